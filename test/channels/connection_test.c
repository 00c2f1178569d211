/*
 * What becomes of channels over ipc and tcp when their connection does not hold: a peer that is cut off, messages that
 * are too large, who is too slow, and what is under way at the end; each with a relay between the two.
 */
#include "relay.h"
#include <stdlib.h>

static const uint32_t one = 1, three = 3;

/* ---- two channels, and a relay between them ---- */

/* How an end is opened: by pattern, bound at the place or connected to an address. */
struct end {
    soma_pattern pattern;
    const soma_handler *handlers;
    const soma_address *to; /* NULL: it is bound */
    soma_channel_options options;
};

static int end_open(soma_agent *self, void *state, void *arg)
{
    const struct end *end = arg;
    soma_channel_options options = end->options;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("relayed", end->pattern);
    (void)state;
    options.serializer = "typed";
    options.handlers = end->handlers;
    options.place = end->to ? NULL : place;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    assert_int_equal(end->to ? soma_connect_with(self, end->to, "it", &options)
                             : soma_bind(self, end->pattern, "it", &options, NULL),
                     0);
    return 0;
}

struct relayed {
    struct relay *relay;
    soma_ref bound, connected;
};

/* Binds one end, connects the other through a relay, and waits until they know each other. */
static struct relayed open_relayed(soma_test *test, const soma_behavior *behavior, struct end bound,
                                   struct end connected)
{
    struct end *ends = soma_test_alloc(test, 2 * sizeof(*ends));
    struct relayed pair = {.bound = player_open(test, behavior), .connected = player_open(test, behavior)};
    pair.relay = relay_open(test, player_at("relayed", bound.pattern));
    ends[0] = bound;
    ends[1] = connected;
    ends[1].to = &pair.relay->address;
    player_do(test, pair.bound, end_open, &ends[0]);
    player_do(test, pair.connected, end_open, &ends[1]);
    player_peers(test, pair.bound, "it", 1);
    player_peers(test, pair.connected, "it", 1);
    return pair;
}

static soma_channel_counts counts_of(soma_test *test, soma_ref agent)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    player_do(test, agent, player_counts, counts);
    return *counts;
}

/* ---- a cut ---- */

static int keep_question(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    if (m->number == 1)
        return (my->promise = soma_reply_later(self)) < 0;
    return soma_reply(self, answer, .number = m->number);
}

static int ask_number(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    (void)state;
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = *(const uint32_t *)arg) > 0);
    return 0;
}

static int answer_kept(soma_agent *self, void *state, void *arg)
{
    struct player *my = state;
    (void)arg;
    assert_int_equal(soma_reply_to(self, my->promise, answer, .number = 1), 0);
    return 0;
}

/* The question that was on its way fails, the next one does not; the answer to the first is counted as missed. */
static void test_a_cut(soma_test *test)
{
    const soma_handler *questions = SOMA_HANDLERS(SOMA_ON(ask, keep_question));
    struct relayed pair = open_relayed(test, &player, (struct end){SOMA_ASYNC_REP, questions, NULL, {0}},
                                       (struct end){SOMA_ASYNC_REQ, NULL, NULL, {0}});
    char expected[64];
    player_do(test, pair.connected, ask_number, &one);
    player_expect(test, pair.bound, "it:1 ask1 ");
    atomic_store(&pair.relay->cut, true);
    snprintf(expected, sizeof(expected), "it:1 error%d it:0 it:1 ", SOMA_EGONE);
    player_expect(test, pair.connected, expected);
    player_expect(test, pair.bound, "it:1 ask1 it:0 it:1 ");
    player_do(test, pair.bound, answer_kept, NULL);
    player_do(test, pair.connected, ask_number, &three);
    snprintf(expected, sizeof(expected), "it:1 error%d it:0 it:1 answer3 ", SOMA_EGONE);
    player_expect(test, pair.connected, expected);
    assert_int_equal(counts_of(test, pair.bound).missed, 1);
    assert_int_equal(counts_of(test, pair.bound).connected, 2);
    relay_close(pair.relay);
}

/* ---- too large ---- */

static int on_size(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)self;
    player_log(my, "%u ", m->data.size);
    return 0;
}

static int send_size(soma_agent *self, void *state, void *arg)
{
    static char bytes[4000];
    (void)state;
    assert_int_equal(soma_send_to(self, "it", chunk, .data = {bytes, *(const uint32_t *)arg}), 0);
    return 0;
}

static const uint32_t small = 100, large = 4000;

static void too_large(soma_test *test, struct end bound, struct end connected, bool upwards)
{
    struct relayed pair = open_relayed(test, &player, bound, connected);
    soma_ref sends = upwards ? pair.connected : pair.bound, takes = upwards ? pair.bound : pair.connected;
    player_do(test, sends, send_size, &small);
    player_expect(test, takes, "it:1 100 ");
    player_do(test, sends, send_size, &large);
    player_expect(test, takes, "it:1 100 it:0 it:1 ");
    player_expect(test, sends, "it:1 it:0 it:1 ");
    player_do(test, sends, send_size, &small);
    player_expect(test, takes, "it:1 100 it:0 it:1 100 ");
    assert_int_equal(counts_of(test, takes).connected, 2);
    assert_int_equal(counts_of(test, takes).malformed, 0);
    relay_close(pair.relay);
}

static const soma_channel_options least = {.message_most = 1000};
static const soma_handler *const sizes = SOMA_HANDLERS(SOMA_ON(chunk, on_size));

/* Who sends what is too large is disconnected, whichever side that is, and may come again. */
static void test_too_large_a_job(soma_test *test)
{
    too_large(test, (struct end){SOMA_PULL, sizes, NULL, least}, (struct end){SOMA_PUSH, NULL, NULL, {0}}, true);
}

static void test_too_large_a_publication(soma_test *test)
{
    too_large(test, (struct end){SOMA_PUB, NULL, NULL, {0}}, (struct end){SOMA_SUB, sizes, NULL, least}, false);
}

/* Nor is it sent by who has the same bound; nobody is disconnected. */
static int send_too_large(soma_agent *self, void *state, void *arg)
{
    static char bytes[1000];
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "it", chunk, .data = {bytes, sizeof(bytes)}), SOMA_ETOOBIG);
    return 0;
}

static void test_too_large_to_send(soma_test *test)
{
    struct relayed pair = open_relayed(test, &player, (struct end){SOMA_PULL, sizes, NULL, least},
                                       (struct end){SOMA_PUSH, NULL, NULL, least});
    player_do(test, pair.connected, send_too_large, NULL);
    player_do(test, pair.connected, send_size, &small);
    player_expect(test, pair.bound, "it:1 100 ");
    assert_int_equal(counts_of(test, pair.connected).connected, 1);
    relay_close(pair.relay);
}

/* A question with such an answer fails, and the next one does not. */
static int answer_size(soma_agent *self, struct player *my, const struct ask *m)
{
    static char bytes[4000];
    (void)my;
    return soma_reply(self, chunk, .data = {bytes, m->number});
}

static int ask_size(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(chunk, on_size, player_error);
    (void)state;
    return soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = *(const uint32_t *)arg) < 0;
}

static void test_too_large_an_answer(soma_test *test)
{
    const soma_handler *questions = SOMA_HANDLERS(SOMA_ON(ask, answer_size));
    struct relayed pair = open_relayed(test, &player, (struct end){SOMA_REP, questions, NULL, least},
                                       (struct end){SOMA_REQ, NULL, NULL, {0}});
    char expected[64];
    player_do(test, pair.connected, ask_size, &large);
    snprintf(expected, sizeof(expected), "it:1 error%d ", SOMA_ETOOBIG);
    player_expect(test, pair.connected, expected);
    player_do(test, pair.connected, ask_size, &small);
    snprintf(expected, sizeof(expected), "it:1 error%d 100 ", SOMA_ETOOBIG);
    player_expect(test, pair.connected, expected);
    relay_close(pair.relay);
}

/* ---- too slow ---- */

#define FLOOD 4000u
#define FLOOD_BYTES 4096u /* of each */

static atomic_uint published, got; /* the last numbers */

static int flood(soma_agent *self, void *state, void *arg)
{
    uint32_t words[FLOOD_BYTES / sizeof(uint32_t)] = {0};
    (void)state;
    for (uint32_t i = 0; i < *(const uint32_t *)arg; i++) {
        words[0] = atomic_fetch_add(&published, 1) + 1;
        assert_int_equal(soma_send_to(self, "it", chunk, .data = {words, sizeof(words)}), 0);
    }
    return 0;
}

static int on_flood(soma_agent *self, struct player *my, const struct chunk *m)
{
    uint32_t number;
    (void)self;
    memcpy(&number, m->data.data, sizeof(number));
    assert_true(number > atomic_load(&got));
    atomic_store(&got, number);
    my->notes++;
    return 0;
}

/* A subscriber that can't keep up misses some, which is counted and holds nobody up; then it hears the news again. */
static void test_too_slow(soma_test *test)
{
    const soma_channel_options few = {.high_water = 10};
    const soma_handler *chunks = SOMA_HANDLERS(SOMA_ON(chunk, on_flood));
    const uint32_t some = FLOOD;
    uint32_t looks = 0, all = 0;
    struct relayed pair = open_relayed(test, &player_quiet, (struct end){SOMA_PUB, NULL, NULL, few},
                                       (struct end){SOMA_SUB, chunks, NULL, few});
    atomic_store(&published, 0);
    atomic_store(&got, 0);
    atomic_store(&pair.relay->still, true);
    do {
        player_do(test, pair.bound, flood, &some);
        all += some;
        while (counts_of(test, pair.bound).waiting && player_wait(&looks))
            ;
        assert_int_equal(counts_of(test, pair.bound).waiting, 0);
    } while (!counts_of(test, pair.bound).missed && all * (uint64_t)FLOOD_BYTES < 2 * kernel_sends());
    assert_true(counts_of(test, pair.bound).missed > 0);
    atomic_store(&pair.relay->still, false);
    do
        player_do(test, pair.bound, flood, &one);
    while (atomic_load(&got) <= all && player_wait(&looks));
    assert_true(atomic_load(&got) > all);
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    player_do(test, pair.connected, player_look, look);
    assert_true(look->notes < all);
    relay_close(pair.relay);
}

/* ---- the end ---- */

static uint32_t said_last; /* the linger that is said before the end; that of the options: 0 */

static int flood_and_close(soma_agent *self, void *state, void *arg)
{
    flood(self, state, arg);
    if (!said_last)
        return soma_close_channel(self, "it");
    assert_int_equal(soma_channel_linger(self, "none", 1), SOMA_ENOENT);
    assert_int_equal(soma_channel_linger(self, "it", 1u << 31), SOMA_EINVAL);
    assert_int_equal(soma_channel_linger(self, said_last > 1 ? "it" : NULL, said_last > 1 ? said_last : 0), 0);
    return said_last > 1 ? soma_close_channel(self, "it") : soma_close_channels(self);
}

/* Without a gap. */
static int on_next(soma_agent *self, struct player *my, const struct chunk *m)
{
    uint32_t before = atomic_load(&got);
    int error = on_flood(self, my, m);
    assert_int_equal(atomic_load(&got), before + 1);
    return error;
}

/* A PUSH that sends through the relay and closes in the same breath. Bound is who gets it. */
static struct relayed closed_at_once(soma_test *test, uint32_t linger_ms, bool still, const uint32_t *count)
{
    const soma_channel_options lingers = {.linger_ms = linger_ms};
    const soma_handler *chunks = SOMA_HANDLERS(SOMA_ON(chunk, on_next));
    struct relayed pair = open_relayed(test, &player_quiet, (struct end){SOMA_PULL, chunks, NULL, {0}},
                                       (struct end){SOMA_PUSH, NULL, NULL, lingers});
    atomic_store(&published, 0);
    atomic_store(&got, 0);
    atomic_store(&pair.relay->still, still);
    player_do(test, pair.connected, flood_and_close, count);
    return pair;
}

/* What was sent right before the end arrives. */
static void test_sent_and_closed(soma_test *test)
{
    static const uint32_t thousand = 1000;
    struct relayed pair = closed_at_once(test, 60000, false, &thousand);
    uint32_t looks = 0;
    while (atomic_load(&got) < thousand && player_wait(&looks))
        ;
    assert_int_equal(atomic_load(&got), thousand);
    player_peers(test, pair.bound, "it", 0);
    relay_close(pair.relay);
}

/* Not all has left, unless the kernel could take it. */
static void lost_expect(struct relayed pair)
{
    const uint64_t all = FLOOD * (uint64_t)FLOOD_BYTES;
    assert_true(atomic_load(&pair.relay->passed) < all || kernel_sends() + 4 * KERNEL_ROOM > all);
}

/* What can't leave is given up when its time is over. */
static void test_lingered_in_vain(soma_test *test)
{
    static const uint32_t all = FLOOD;
    struct relayed pair = closed_at_once(test, 50, true, &all);
    uint32_t looks = 0;
    while (player_stats(test).agents > 2 && player_wait(&looks))
        ; // until the agent at which senders are held up has gone with its socket
    assert_int_equal(player_stats(test).agents, 2);
    atomic_store(&pair.relay->still, false);
    player_peers(test, pair.bound, "it", 0);
    lost_expect(pair);
    relay_close(pair.relay);
}

/* What is said last counts: nothing is waited for, or what leaves late arrives. */
static void test_lingered_as_said(soma_test *test)
{
    static const uint32_t all = FLOOD, thousand = 1000;
    uint32_t looks = 0;
    said_last = 1;
    struct relayed pair = closed_at_once(test, 1000000, true, &all);
    while (player_stats(test).agents > 2 && player_wait(&looks))
        ;
    assert_int_equal(player_stats(test).agents, 2);
    atomic_store(&pair.relay->still, false);
    player_peers(test, pair.bound, "it", 0);
    lost_expect(pair);
    relay_close(pair.relay);
    assert_int_equal(soma_kill(soma_test_system(test), pair.bound), 0);
    soma_test_settle(test);

    said_last = 60000;
    pair = closed_at_once(test, 1, false, &thousand);
    while (atomic_load(&got) < thousand && player_wait(&looks))
        ;
    assert_int_equal(atomic_load(&got), thousand);
    relay_close(pair.relay);
    said_last = 0;
}

PLAYER_WIRES(test_sent_and_closed)
PLAYER_WIRES(test_lingered_as_said)
PLAYER_WIRES(test_lingered_in_vain)
PLAYER_WIRES(test_a_cut)
PLAYER_WIRES(test_too_large_a_job)
PLAYER_WIRES(test_too_large_a_publication)
PLAYER_WIRES(test_too_large_to_send)
PLAYER_WIRES(test_too_large_an_answer)
PLAYER_WIRES(test_too_slow)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_OVER_WIRES(test_lingered_as_said),  PLAYER_OVER_WIRES(test_sent_and_closed),
        PLAYER_OVER_WIRES(test_lingered_in_vain),  PLAYER_OVER_WIRES(test_a_cut),
        PLAYER_OVER_WIRES(test_too_large_a_job),   PLAYER_OVER_WIRES(test_too_large_a_publication),
        PLAYER_OVER_WIRES(test_too_large_to_send), PLAYER_OVER_WIRES(test_too_large_an_answer),
        PLAYER_OVER_WIRES(test_too_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
