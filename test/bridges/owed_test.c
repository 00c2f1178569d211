/*
 * What a node owes another one that takes nothing: answers, and words that nobody is held up for. They take so much
 * memory and no more.
 */
#include "lone_asker.h"
#include "pair.h"

#define OWED ((size_t)1 << 16)
#define WINDOW 4096u
#define SLACK (1u << 14) /* of one frame that has come, and what it brings about */

SOMA_MESSAGE(text, (string, letters))
SOMA_MESSAGE(ask_all, (ref, to))

/* ---- words ---- */

/* Watches of somebody who was never there. */
static void watches_from(struct lone *lone, uint64_t first, uint32_t count)
{
    const soma_ref nobody = {lone->system->node, 4000, 7}, watcher = {FAR, 1, 1};
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    msgpack_sbuffer_init(&items);
    for (uint64_t i = 0; i < count; i++) {
        item_begin(&writer, ITEM_WATCH, 1, FAR, lone->system->node, nobody, watcher);
        write_number(&writer, first + i);
    }
    lone_receive_data(lone, CONNECTION, peer_of(lone, FAR)->session.received + 1, 0, items.data, items.size);
    msgpack_sbuffer_destroy(&items);
    lone_pass(lone, 0);
}

/* Who hears all, and acknowledges nothing. */
static void test_words(void **state)
{
    struct lone lone;
    (void)state;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .window = WINDOW});
    lone.bridge->owed_most = OWED;
    join_from(&lone, FAR, CONNECTION);
    struct peer *peer = peer_of(&lone, FAR);
    for (uint64_t i = 0; i < 1000 && peer->open; i++) {
        watches_from(&lone, 1 + i * 100, 100);
        assert_in_range(peer->out.bytes, 0, OWED + SLACK);
    }
    assert_false(peer->open);
    assert_int_equal(peer->out.bytes, 0);
    assert_int_equal(lone.hung_up, 1);
    assert_int_equal(lone.bridge->counts.overfull, 1);
    join_from(&lone, FAR, CONNECTION + 1); // it may begin anew
    assert_true(peer_of(&lone, FAR)->open);
    lone_close(&lone);
}

/* One that takes what it gets may be owed any number of them in time. */
static void test_taken(void **state)
{
    struct lone lone;
    (void)state;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .window = WINDOW});
    lone.bridge->owed_most = OWED;
    join_from(&lone, FAR, CONNECTION);
    const struct peer *peer = peer_of(&lone, FAR);
    msgpack_sbuffer ping;
    for (uint64_t i = 0; i < 300; i++) {
        watches_from(&lone, 1 + i * 100, 100);
        while (peer->session.acked != peer->session.sent) {
            msgpack_sbuffer_init(&ping);
            assert_true(ping_write(&ping, peer->session.sent, peer->session.received));
            lone_receive(&lone, CONNECTION, ping.data, ping.size);
            msgpack_sbuffer_destroy(&ping);
            lone_pass(&lone, 0);
        }
        assert_int_equal(peer->out.owed, 0);
    }
    assert_true(peer->open);
    assert_int_equal(lone.bridge->counts.overfull, 0);
    lone_close(&lone);
}

/* ---- pings ---- */

#define PINGS 100u

/* Frames without items, two of which are told of at once; what has come there is acknowledged, or nothing is. */
static void frames_from(struct lone *lone, uint32_t count, bool acknowledges)
{
    const struct session *session = &peer_of(lone, FAR)->session;
    for (uint32_t i = 0; i < count && peer_of(lone, FAR)->open; i++) {
        lone_receive_data(lone, CONNECTION, session->received + 1, acknowledges ? session->sent : 0, NULL, 0);
        lone_pass(lone, 0);
    }
}

/* Who sends, and may not read: a sign is asked for. */
static void test_pings(void **state)
{
    (void)state;
    for (int acknowledges = 0; acknowledges < 2; acknowledges++) {
        struct lone lone;
        lone_open(&lone, &(soma_bridge_options){.name = "lone"});
        lone.bridge->pings_most = PINGS;
        join_from(&lone, FAR, CONNECTION);
        const struct peer *peer = peer_of(&lone, FAR);
        frames_from(&lone, PINGS, acknowledges);
        assert_int_equal(peer->session.sent, 0);
        frames_from(&lone, 4, acknowledges);
        assert_int_equal(peer->session.sent, 1);
        assert_int_equal(peer->session.bytes, 0);
        frames_from(&lone, 4 * PINGS, acknowledges);
        assert_int_equal(peer->open, acknowledges);
        assert_int_equal(lone.hung_up, !acknowledges);
        assert_int_equal(lone.bridge->counts.overfull, !acknowledges);
        lone_close(&lone);
    }
}

/* ---- answers ---- */

#define REQUESTS 100
#define LETTERS ((size_t)200000) /* an answer leaves in parts */

static uint32_t answered, refused, strange;

static int on_text(soma_agent *self, void *my, const struct text *m)
{
    (void)self, (void)my;
    answered++;
    strange += strlen(m->letters) != LETTERS;
    return 0;
}

static int on_refused(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    refused++;
    strange += *error != SOMA_EAGAIN;
    return 0;
}

static int on_ask_all(soma_agent *self, void *my, const struct ask_all *m)
{
    (void)my;
    for (int i = 0; i < REQUESTS; i++)
        strange += soma_request(self, m->to, SOMA_NEVER, SOMA_THEN(text, on_text, on_refused), note, .number = 1) < 0;
    return 0;
}

static const soma_behavior many_asker = {.name = "many asker", .handlers = SOMA_HANDLERS(SOMA_ON(ask_all, on_ask_all))};

static int on_question(soma_agent *self, void *my, const struct note *m)
{
    static char letters[LETTERS + 1];
    (void)my, (void)m;
    memset(letters, 'a', LETTERS);
    return soma_reply(self, text, .letters = letters);
}

static const soma_behavior answerer = {.name = "answerer", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_question))};

/* Answers that are too much at a time fail; each request ends once, and the link stays. */
static void test_answers(void **state)
{
    struct pair pair;
    soma_ref agents[2];
    (void)state;
    answered = refused = strange = 0;
    pair_open(&pair, (soma_bridge_options){.name = "first"},
              &(soma_bridge_options){.name = "second", .window = WINDOW});
    pair.sides[1].bridge->owed_most = 10 * LETTERS;
    assert_int_equal(soma_spawn(pair.sides[0].system, &many_asker, NULL, &agents[0]), 0);
    assert_int_equal(soma_spawn(pair.sides[1].system, &answerer, NULL, &agents[1]), 0);
    assert_int_equal(soma_send(pair.sides[0].system, agents[0], ask_all, .to = agents[1]), 0);
    lone_settle(&pair.sides[0]);
    pair_turn(&pair, 0);
    while (pair_step(&pair, 0))
        pair_turn(&pair, 0);
    const struct peer *peer = pair_peer(&pair, 1);
    assert_in_range(peer->out.bytes, 4 * LETTERS, 7 * LETTERS);
    pair_run(&pair);
    assert_true(answered >= 5 && refused > 0);
    assert_int_equal(answered + refused, REQUESTS);
    assert_int_equal(strange, 0);
    assert_true(peer->open);
    assert_int_equal(peer->out.bytes, 0);
    assert_int_equal(peer->out.owed, 0);
    pair_close(&pair);
}

/* ---- one large answer ---- */

#define LARGE ((size_t)65 << 20) /* more than may be owed, were messages not so large */

static char *large;

static int on_large(soma_agent *self, void *my, const struct text *m)
{
    (void)self, (void)my;
    answered++;
    strange += strlen(m->letters) != LARGE;
    return 0;
}

static int on_ask(soma_agent *self, void *my, const struct ask_all *m)
{
    (void)my;
    soma_handle handle =
        soma_request(self, m->to, SOMA_NEVER, SOMA_THEN(text, on_large, on_refused), note, .number = 1);
    return handle < 0 ? (int)handle : 0;
}

static const soma_behavior asker_of_much = {.name = "asker of much",
                                            .handlers = SOMA_HANDLERS(SOMA_ON(ask_all, on_ask))};

static int on_large_question(soma_agent *self, void *my, const struct note *m)
{
    (void)my, (void)m;
    return soma_reply(self, text, .letters = large);
}

static const soma_behavior large_answerer = {.name = "large answerer",
                                             .handlers = SOMA_HANDLERS(SOMA_ON(note, on_large_question))};

/* What one message may be is not too much to owe. */
static void test_large(void **state)
{
    const soma_bridge_options options = {.name = "first", .message_most = 2 * LARGE};
    struct pair pair;
    soma_ref agents[2];
    (void)state;
    answered = refused = strange = 0;
    large = malloc(LARGE + 1);
    assert_non_null(large);
    memset(large, 'a', LARGE);
    large[LARGE] = '\0';
    pair_open(&pair, options, &(soma_bridge_options){.name = "second", .message_most = 2 * LARGE});
    assert_int_equal(soma_spawn(pair.sides[0].system, &asker_of_much, NULL, &agents[0]), 0);
    assert_int_equal(soma_spawn(pair.sides[1].system, &large_answerer, NULL, &agents[1]), 0);
    assert_int_equal(soma_send(pair.sides[0].system, agents[0], ask_all, .to = agents[1]), 0);
    lone_settle(&pair.sides[0]);
    pair_run(&pair);
    assert_int_equal(pair.sides[1].bridge->counts.overfull, 0);
    assert_int_equal(answered, 1);
    assert_int_equal(refused + strange, 0);
    assert_int_equal(pair_peer(&pair, 1)->out.owed, 0);
    pair_close(&pair);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_taken),
                                       cmocka_unit_test(test_pings), cmocka_unit_test(test_answers),
                                       cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
