/* PUSH and PULL: each message to one, each in turn; whoever binds, in any order of start, whoever comes and goes. */
#include "player.h"

static const soma_handler *const notes = SOMA_HANDLERS(SOMA_ON(note, player_note));
static const soma_address push_at = {.transport = SOMA_INPROC, .pattern = SOMA_PUSH, .host = "jobs"};
static const soma_address pull_at = {.transport = SOMA_INPROC, .pattern = SOMA_PULL, .host = "jobs"};

static int push_bind(soma_agent *self, void *state, void *arg)
{
    soma_address address;
    (void)state, (void)arg;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "out", &(soma_channel_options){.place = "inproc://jobs"}, &address), 0);
    assert_true(soma_address_equal(&address, &push_at));
    return 0;
}

static int pull_bind(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {.place = "inproc://jobs pull", .handlers = notes};
    soma_address address;
    (void)state, (void)arg;
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &options, &address), 0);
    assert_true(soma_address_equal(&address, &pull_at));
    return 0;
}

static int push_connect(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_connect(self, &pull_at, "out", NULL), 0);
    return 0;
}

static int pull_connect(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_connect(self, &push_at, "in", notes), 0);
    return 0;
}

/* Sends as many as `arg` says, numbered from 1. */
static int send_some(soma_agent *self, void *state, void *arg)
{
    (void)state;
    for (uint32_t i = 1; i <= *(const uint32_t *)arg; i++)
        assert_int_equal(soma_send_to(self, "out", note, .number = i), 0);
    return 0;
}

static int send_in_vain(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_channel_peers(self, "out"), 0);
    assert_int_equal(soma_send_to(self, "out", note, .number = 1), SOMA_EAGAIN);
    return 0;
}

static int close_in(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_close_channel(self, "in"), 0);
    return 0;
}

static const uint32_t two = 2, six = 6, thousand = 1000;

static void test_each_in_turn(soma_test *test)
{
    soma_ref pusher = player_open(test, &player), pullers[3];
    player_do(test, pusher, push_bind, NULL);
    player_do(test, pusher, send_in_vain, NULL);
    for (int i = 0; i < 3; i++) {
        pullers[i] = player_open(test, &player);
        player_do(test, pullers[i], pull_connect, NULL);
    }
    player_do(test, pusher, send_some, &six);
    player_expect(test, pusher, "out:1 out:2 out:3 ");
    player_expect(test, pullers[0], "in:1 1 4 ");
    player_expect(test, pullers[1], "in:1 2 5 ");
    player_expect(test, pullers[2], "in:1 3 6 ");
}

static int send_thousand(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    for (uint32_t i = 0; i < thousand; i++)
        assert_int_equal(soma_send_to(self, "out", note, .number = 1), 0);
    return 0;
}

static int on_counted_note(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

static int pull_counting(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_connect(self, &push_at, "in", SOMA_HANDLERS(SOMA_ON(note, on_counted_note))), 0);
    return 0;
}

/* On threads one may be overloaded for a moment, and is passed over then; but all get some, and nothing is lost. */
static void test_all_have_their_share(soma_test *test)
{
    soma_ref pusher = player_open(test, &player_quiet), pullers[3];
    uint32_t sum = 0;
    player_do(test, pusher, push_bind, NULL);
    for (int i = 0; i < 3; i++) {
        pullers[i] = player_open(test, &player_quiet);
        player_do(test, pullers[i], pull_counting, NULL);
    }
    player_do(test, pusher, send_thousand, NULL);
    for (int i = 0; i < 3; i++) {
        const struct player *my = soma_test_state(test, pullers[i]);
        assert_true(my->notes > 0);
        sum += my->notes;
    }
    assert_int_equal(sum, thousand);
}

static void test_all_arrive_at_one(soma_test *test)
{
    soma_ref puller = player_open(test, &player_quiet), pushers[3];
    player_do(test, puller, pull_bind, NULL);
    for (int i = 0; i < 3; i++) {
        pushers[i] = player_open(test, &player_quiet);
        player_do(test, pushers[i], push_connect, NULL);
        player_do(test, pushers[i], send_some, &two);
    }
    player_expect(test, puller, "1 2 1 2 1 2 ");
}

/* Who connects first is connected when the other one binds, and again when it does so anew. */
static void test_any_order_of_start(soma_test *test)
{
    soma_ref puller = player_open(test, &player), pusher = player_open(test, &player), again;
    player_do(test, puller, pull_connect, NULL);
    player_expect(test, puller, "");
    player_do(test, pusher, push_bind, NULL);
    player_do(test, pusher, send_some, &two);
    player_expect(test, puller, "in:1 1 2 ");
    assert_int_equal(soma_kill(soma_test_system(test), pusher), 0);
    soma_test_settle(test);
    player_expect(test, puller, "in:1 1 2 in:0 ");
    again = player_open(test, &player);
    player_do(test, again, push_bind, NULL);
    player_do(test, again, send_some, &two);
    player_expect(test, puller, "in:1 1 2 in:0 in:1 1 2 ");
}

static void test_who_is_gone_gets_nothing(soma_test *test)
{
    soma_ref pusher = player_open(test, &player), pullers[3];
    player_do(test, pusher, push_bind, NULL);
    for (int i = 0; i < 3; i++) {
        pullers[i] = player_open(test, &player_quiet);
        player_do(test, pullers[i], pull_connect, NULL);
    }
    assert_int_equal(soma_kill(soma_test_system(test), pullers[0]), 0);
    player_do(test, pullers[1], close_in, NULL);
    player_do(test, pusher, send_some, &two);
    player_expect(test, pullers[1], "");
    player_expect(test, pullers[2], "1 2 ");
    player_do(test, pullers[2], close_in, NULL);
    player_do(test, pusher, send_in_vain, NULL);
    soma_stats stats;
    assert_int_equal(soma_system_stats(soma_test_system(test), &stats), 0);
    assert_int_equal(stats.dead_letters, 0);
}

static const soma_behavior narrow = {
    .name = "narrow", .state_size = sizeof(struct player), .limit = {.messages = 2, .policy = SOMA_REJECT}};

static int send_until_refused(soma_agent *self, void *state, void *arg)
{
    uint32_t sent = 0;
    (void)state;
    while (!soma_send_to(self, "out", note, .number = sent + 1))
        sent++;
    *(uint32_t *)arg = sent;
    return 0;
}

/* Who turns a message away is passed over; when all do, the sender knows. */
static void test_limits_hold(soma_test *test)
{
    soma_ref pusher = player_open(test, &player), pullers[2];
    player_do(test, pusher, push_bind, NULL);
    for (int i = 0; i < 2; i++) {
        pullers[i] = player_open(test, &narrow);
        player_do(test, pullers[i], pull_connect, NULL);
    }
    uint32_t *sent = soma_test_alloc(test, sizeof(*sent));
    player_do(test, pusher, send_until_refused, sent);
    assert_int_equal(*sent, 4);
    player_expect(test, pullers[0], "1 3 ");
    player_expect(test, pullers[1], "2 4 ");
}

/* Four thousand notes from four at once to one: nothing is lost, and each sender's are in order. */
struct tallies {
    struct player player; /* unused */
    uint32_t last[4];
    uint32_t count;
};

static int on_counted(soma_agent *self, struct tallies *my, const struct note *m)
{
    uint32_t from = m->number >> 16, number = m->number & 0xffff;
    (void)self;
    assert_int_equal(number, ++my->last[from]);
    my->count++;
    return 0;
}

static const soma_behavior tally = {.name = "tally", .state_size = sizeof(struct tallies)};

static int tally_bind(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {.place = "inproc://jobs",
                                          .handlers = SOMA_HANDLERS(SOMA_ON(note, on_counted))};
    (void)state, (void)arg;
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &options, NULL), 0);
    return 0;
}

static int send_many(soma_agent *self, void *state, void *arg)
{
    uint32_t from = (uint32_t)(uintptr_t)arg;
    (void)state;
    for (uint32_t i = 1; i <= thousand; i++)
        assert_int_equal(soma_send_to(self, "out", note, .number = from << 16 | i), 0);
    return 0;
}

static void test_many_at_once(soma_test *test)
{
    soma_ref puller = player_open(test, &tally), pushers[4];
    player_do(test, puller, tally_bind, NULL);
    for (int i = 0; i < 4; i++) {
        pushers[i] = player_open(test, &player_quiet);
        player_do(test, pushers[i], push_connect, NULL);
    }
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(soma_post(soma_test_system(test), pushers[i], send_many, (void *)i, NULL), 0);
    soma_test_settle(test);
    const struct tallies *counts = soma_test_state(test, puller);
    assert_int_equal(counts->count, 4 * thousand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_each_in_turn, 200, 2000),   SOMA_SIM(test_all_have_their_share, 20, 100000),
        SOMA_REAL(test_all_have_their_share),     SOMA_SIM(test_all_arrive_at_one, 200, 2000),
        SOMA_REAL(test_all_arrive_at_one),        SOMA_SIM(test_any_order_of_start, 200, 2000),
        SOMA_REAL(test_any_order_of_start),       SOMA_SIM(test_who_is_gone_gets_nothing, 200, 2000),
        SOMA_REAL(test_who_is_gone_gets_nothing), SOMA_SIM(test_limits_hold, 200, 2000),
        SOMA_SIM(test_many_at_once, 5, 100000),   SOMA_REAL(test_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
