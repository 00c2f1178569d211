/*
 * Large messages cross in parts: what others send goes in between, order and exactly-once hold wherever the connection
 * breaks, and whatever a stranger makes of it, hurts nobody.
 */
#include "pair.h"
#include "test_support.h"
#include <soma/dead_letter.h>
#include <soma/error.h>
#include <soma/request.h>

SOMA_MESSAGE(block, (u64, number), (bytes, data))
SOMA_MESSAGE(note, (u64, number))
SOMA_MESSAGE(act, (u64, what))
SOMA_MESSAGE(ask, (bytes, data))
SOMA_MESSAGE(told, (bytes, data))

#define BLOCK 1000000u /* bytes of a large message: sixteen parts */
#define PARTS 16u

/* ---- agents ---- */

/* What has happened, in its order: one letter each. */
static char story[4096];
static char bytes[BLOCK];
static soma_ref receivers[2];

static void happens(char what)
{
    size_t length = strlen(story);
    REQUIRE(length + 1 < sizeof(story));
    story[length] = what;
    story[length + 1] = 0;
}

static bool is_block(const void *data, uint32_t size)
{
    return size == BLOCK && !memcmp(data, bytes, BLOCK);
}

static int on_block(soma_agent *self, void *my, const struct block *m)
{
    (void)self, (void)my;
    happens(is_block(m->data.data, m->data.size) ? (char)('A' + m->number) : '?');
    return 0;
}

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    happens((char)('a' + m->number));
    return 0;
}

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .data = {m->data.data, m->data.size});
}

static const soma_behavior receiver = {
    .name = "receiver",
    .handlers = SOMA_HANDLERS(SOMA_ON(block, on_block), SOMA_ON(note, on_note), SOMA_ON(ask, on_ask))};

static int on_told(soma_agent *self, void *my, const struct told *m)
{
    (void)self, (void)my;
    happens(is_block(m->data.data, m->data.size) ? '!' : '?');
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    happens(*error == SOMA_ETOOBIG ? '2' : *error == SOMA_ENODEDOWN ? '3' : '?');
    return 0;
}

static int on_act(soma_agent *self, void *my, const struct act *m)
{
    (void)my;
    soma_ref to = receivers[0];
    switch (m->what) {
    case 0: // a large one, and a word behind it
        return soma_send(self, to, block, .number = 0, .data = {bytes, BLOCK}) ||
               soma_send(self, to, note, .number = 0);
    case 1:
        return soma_send(self, receivers[1], note, .number = 1);
    case 2: // two large ones, with words before, in between, and behind
        return soma_send(self, to, note, .number = 2) ||
               soma_send(self, to, block, .number = 1, .data = {bytes, BLOCK}) ||
               soma_send(self, to, note, .number = 3) ||
               soma_send(self, to, block, .number = 2, .data = {bytes, BLOCK}) ||
               soma_send(self, to, note, .number = 4);
    default:
        return soma_request(self, to, SOMA_NEVER, SOMA_THEN(told, on_told, on_error), ask, {bytes, BLOCK}) < 0;
    }
}

static const soma_behavior actor = {.name = "actor", .handlers = SOMA_HANDLERS(SOMA_ON(act, on_act))};

static int on_letter(soma_agent *self, void *my, const struct soma_dead_letter *letter)
{
    (void)self, (void)my;
    happens(!strcmp(letter->type, "block") ? 'X' : !strcmp(letter->type, "note") ? 'x' : '-');
    return 0;
}

static const soma_behavior undertaker = {.name = "undertaker",
                                         .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

/* ---- the nodes ---- */

static struct pair pair;
static soma_ref actors[3];

static soma_ref spawn_on(int side, const soma_behavior *behavior)
{
    soma_ref ref;
    REQUIRE(!soma_spawn(pair.sides[side].system, behavior, NULL, &ref));
    return ref;
}

static void begin(const soma_bridge_options *second)
{
    static const soma_bridge_options plain = {.name = "plain"};
    for (uint32_t i = 0; i < BLOCK; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    pair_open(&pair, plain, second ? second : &plain);
    for (int i = 0; i < 2; i++)
        receivers[i] = spawn_on(1, &receiver);
    for (int i = 0; i < 3; i++)
        actors[i] = spawn_on(0, &actor);
    for (int side = 0; side < 2; side++)
        REQUIRE(!soma_dead_letters_watch(pair.sides[side].system, spawn_on(side, &undertaker)));
    story[0] = 0;
}

static void order(int actor_number, uint64_t what)
{
    REQUIRE(!soma_send(pair.sides[0].system, actors[actor_number], act, .what = what));
}

static bool happened(char what)
{
    return strchr(story, what);
}

/* ---- what must hold ---- */

/* Others' words go in between, the sender's own don't; and no frame is large. */
static void test_interleaved(void **state)
{
    (void)state;
    begin(NULL);
    order(0, 0);
    for (int i = 0; i < 5; i++)
        order(1, 1);
    pair_run(&pair);
    assert_string_equal(story, "bbbbbAa");
    assert_int_equal(pair.items[ITEM_BODY], PARTS);
    assert_int_equal(pair.items[ITEM_SEND], 7);
    assert_in_range(pair.largest, 64 * 1024, 65 * 1024);
    assert_in_range(pair.bytes, BLOCK, BLOCK + 2000);
    assert_int_equal(pair_peer(&pair, 0)->out.bytes, 0);
    pair_close(&pair);
}

/* Words that are sent while a large message is on its way arrive before its end, from whoever has not sent that. */
static void test_overtaking(void **state)
{
    (void)state;
    begin(NULL);
    pair.sides[0].bridge->options.window = PARTS / 2 * 64 * 1024; // the rest has not left yet
    order(0, 0);
    pair_turn(&pair, 0);
    while (pair_step(&pair, 0))
        ;
    assert_int_equal(pair.items[ITEM_BODY], PARTS / 2);
    assert_string_equal(story, "");
    order(1, 1);
    order(0, 1); // the same sender, to another receiver: behind it, too
    pair_run(&pair);
    assert_string_equal(story, "bAab");
    pair_close(&pair);
}

/* Several senders have large ones: each keeps its order, and nobody is starved. */
static void test_many(void **state)
{
    (void)state;
    begin(NULL);
    order(0, 2);
    order(1, 2);
    order(2, 1);
    pair_run(&pair);
    assert_int_equal(strlen(story), 11);
    assert_int_equal(pair.items[ITEM_BODY], 4 * PARTS);
    assert_true(strchr(story, 'b') < strchr(story, 'B'));
    char others[12] = {0};
    for (const char *at = story; *at; at++) // both tell the same, in their own order: each letter twice
        if (*at != 'b')
            others[strlen(others)] = *at;
    const char *told = "cBdCe";
    for (size_t i = 0; i < 5; i++)
        for (size_t j = i + 1; j < 5; j++) {
            assert_true(strchr(others, told[i]) < strchr(others, told[j]));
            assert_true(strrchr(others, told[i]) < strrchr(others, told[j]));
            assert_ptr_not_equal(strchr(others, told[i]), strrchr(others, told[i]));
        }
    pair_close(&pair);
}

/* Wherever the connection breaks, all arrives once and in order. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    for (uint32_t frames = 0; frames <= PARTS + 4; frames += test_load(50) > 1 ? 1 : 5) {
        begin(NULL);
        order(0, 0);
        order(1, 1);
        pair_turn(&pair, 0);
        for (uint32_t i = 0; i < frames; i++)
            pair_step(&pair, 0);
        pair_cut(&pair);
        for (int i = 0; i < 3; i++) { // and again, while it is sent again
            pair_turn(&pair, 0);
            pair_step(&pair, 0);
            pair_step(&pair, 1);
        }
        pair_cut(&pair);
        pair_run(&pair);
        assert_string_equal(story, "bAa");
        pair_close(&pair);
    }
}

static void test_request(void **state)
{
    (void)state;
    begin(NULL);
    order(0, 3);
    order(0, 0);
    pair_run(&pair);
    assert_string_equal(story, "Aa!");
    assert_int_equal(pair.items[ITEM_BODY], 3 * PARTS);
    assert_int_equal(pair.items[ITEM_REPLY], 1);
    pair_close(&pair);
}

/* The link beats while a message crosses that takes longer than a node may be silent. */
static void test_slow_link(void **state)
{
    (void)state;
    begin(NULL);
    order(0, 2);
    pair_turn(&pair, 0);
    for (uint32_t i = 0; !happened('e'); i++) {
        pair_step(&pair, 0);
        pair_step(&pair, 1);
        pair_turn(&pair, SOMA_SECOND);
        assert_true(i < 100);
    }
    assert_string_equal(story, "cBdCe");
    assert_int_equal(pair.connected, 1);
    assert_int_equal(pair.sides[0].hung_up + pair.sides[1].hung_up, 0);
    pair_close(&pair);
}

/* A node that is lost half-way: each message is a dead letter, once, in the order in which they were sent. */
static void test_lost(void **state)
{
    (void)state;
    for (uint32_t frames = 0; frames < PARTS; frames += 5) {
        begin(NULL);
        order(0, 2);
        order(0, 3);
        pair_turn(&pair, 0);
        for (uint32_t i = 0; i < frames; i++)
            pair_step(&pair, 0);
        pair_turn(&pair, 0);
        while (pair_step(&pair, 1)) // all that was taken is acknowledged
            ;
        bool first = happened('c');
        assert_true(first == (frames > 0));
        story[0] = 0;
        worker_enter(pair.sides[0].bridge->worker);
        peer_end(pair_peer(&pair, 0), SOMA_ENODEDOWN);
        lone_settle(&pair.sides[0]);
        assert_string_equal(story, first ? "XxXx-3" : "xXxXx-3");
        assert_null(pair_peer(&pair, 0)->transit.first);
        pair_close(&pair);
    }
}

/* A receiver that takes less than the sender gives: that message is lost, and said so; all others arrive. */
static void test_too_large(void **state)
{
    (void)state;
    const soma_bridge_options small = {.name = "small", .message_most = BLOCK / 2};
    begin(&small);
    order(0, 2);
    order(0, 3);
    pair_run(&pair);
    assert_string_equal(story, "c-d-e-2");
    assert_int_equal(pair.sides[1].bridge->counts.bad_frames, 0);
    pair_close(&pair);
}

/* Who does not say that it reads parts gets none. */
static void test_plain_peer(void **state)
{
    (void)state;
    begin(NULL);
    pair_peer(&pair, 0)->reads = 0;
    order(0, 0);
    pair_run(&pair);
    assert_string_equal(story, "Aa");
    assert_int_equal(pair.items[ITEM_BODY], 0);
    assert_int_equal(pair.frames, 2);
    pair_close(&pair);
}

/* ---- strangers ---- */

#define THERE 8u

static struct lone lone;

struct bad {
    const char *bytes;
    size_t size;
};

#define BAD(bytes)                                                                                                     \
    {                                                                                                                  \
        bytes, sizeof(bytes) - 1                                                                                       \
    }

#define TYPE "\x94\x01\x00\xa4note\xaau64 number"
#define SEND(body) "\x95\x04\x92\x00\x01\xc0\x00" body

static const struct bad bads[] = {
    BAD("\x94\x11\x00\x00\xc4\x01\x90"),                                    // no number
    BAD("\x94\x11\x01\x00\xc4\x00"),                                        // nothing
    BAD("\x93\x11\x01\x00"),                                                // an element too few
    BAD("\x94\x11\x01\x00\xa1x"),                                           // a string
    BAD("\x94\x11\x01\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xc4\x01\x91"),    // longer than anything
    BAD("\x94\x11\x01\x00\xc4\x01\x91"),                                    // half of one
    BAD("\x94\x11\x01\x02\xc4\x01\x91\x94\x11\x01\x02\xc4\x01\x05"),        // its length changes
    BAD("\x94\x11\x01\x01\xc4\x01\x91\x94\x11\x01\x00\xc4\x02\x05\x05"),    // it is longer in the end
    BAD("\x94\x11\x01\x01\xc4\x01\x91\x94\x11\x02\x00\xc4\x01\x90"),        // another one in between
    BAD("\x94\x11\x01\x00\xc4\x01\x90\x94\x11\x01\x00\xc4\x01\x90"),        // once more
    BAD(TYPE "\x94\x11\x01\x01\xc4\x01\x91" SEND("\x01")),                  // not all there yet
    BAD(TYPE SEND("\x01")),                                                 // never heard of
    BAD(TYPE SEND("\x00")),                                                 // no number
    BAD(TYPE "\x94\x11\x01\x00\xc4\x02\x91\x05" SEND("\x01") SEND("\x01")), // it is gone
    BAD("\x94\x11\x01\x00\xc4\x02\x90\x90"),                                // two values
};

/* Each connection that says such a thing is ended, and counted, but for one that only misuses a body, which is left
 * out; another one goes on. */
static void test_malformed(void **state)
{
    (void)state;
    static const char good[] = TYPE "\x94\x11\x07\x01\xc4\x01\x91\x94\x11\x07\x00\xc4\x01\x05" SEND("\x07");
    static const soma_bridge_options options = {.name = "here"};
    const struct hello other = lone_hello(THERE + 1);
    const struct join join = {.mine = 5};
    soma_ref here;
    lone_open(&lone, &options);
    REQUIRE(!soma_spawn(lone.system, &receiver, NULL, &here));
    assert_int_equal(here.slot, 0);
    lone_receive_hello(&lone, 1, &other);
    lone_receive_join(&lone, 1, &join);
    story[0] = 0;
    for (uint32_t i = 0; i < sizeof(bads) / sizeof(*bads); i++) {
        const struct hello hello = lone_hello(THERE);
        const struct join anew = {.mine = 10 + i};
        lone_receive_hello(&lone, 2 + i, &hello);
        lone_receive_join(&lone, 2 + i, &anew);
        lone_receive_data(&lone, 2 + i, 1, 0, bads[i].bytes, bads[i].size);
        assert_int_equal(lone.bridge->counts.bad_frames, i + 1);
        bool left_out = !memcmp(bads[i].bytes, TYPE, 2);
        assert_true(left_out == (lone.last_ended != 2 + i));
        lone_receive_data(&lone, 1, 1 + i, 0, good, sizeof(good) - 1);
    }
    assert_int_equal(lone.hung_up, sizeof(bads) / sizeof(*bads));
    assert_int_equal(strlen(story),
                     sizeof(bads) / sizeof(*bads) + 1); // all from the other one, but for one that came twice
    assert_int_equal(strspn(story, "f"), strlen(story));
    lone_close(&lone);
}

/* Bodies whose messages do not come are kept up to a number. */
static void test_too_many(void **state)
{
    (void)state;
    static const soma_bridge_options options = {.name = "here"};
    const struct hello hello = lone_hello(THERE);
    const struct join join = {.mine = 5};
    lone_open(&lone, &options);
    lone_receive_hello(&lone, 1, &hello);
    lone_receive_join(&lone, 1, &join);
    for (uint32_t i = 1; i <= BODIES_MOST + 1; i++) {
        const unsigned char body[] = {0x94, 0x11, (unsigned char)i, 0, 0xc4, 1, 0x90};
        assert_int_equal(lone.bridge->counts.bad_frames, 0);
        lone_receive_data(&lone, 1, i, 0, body, sizeof(body));
    }
    assert_int_equal(lone.bridge->counts.bad_frames, 1);
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved),  cmocka_unit_test(test_overtaking), cmocka_unit_test(test_many),
        cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_request),    cmocka_unit_test(test_slow_link),
        cmocka_unit_test(test_lost),         cmocka_unit_test(test_too_large),  cmocka_unit_test(test_plain_peer),
        cmocka_unit_test(test_malformed),    cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
