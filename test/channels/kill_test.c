/*
 * The other side of a channel, of Soma or a plain ZeroMQ socket, is a process that is killed with no warning, and
 * started again: what each pattern promises then, counted message by message.
 */
#include "killed.h"

#define HELD 50u /* from this one on the first process does not answer */

/* ---- this side ---- */

#define ROLES 2u

static const char *const others[ROLES] = {"peer", "plain"};

/* What a PUSH or PAIR has sent: to the first process a run from the first on, to the second one from some later one to
 * the last; what is between was lost with the connection, and nothing comes twice. */
static void pusher_and_killed(soma_test *test, const char *role, soma_pattern pattern, bool binds)
{
    char place[64];
    struct program program;
    struct run before = {0}, after = {0};
    side_place(place);
    const struct side here = {pattern, binds, place, NULL, ALL, 0},
                      there = {soma_pattern_twin(pattern), !binds, place, NULL, ALL, 0};
    soma_ref sender = player_open(test, &pump);
    player_do(test, sender, side_open, &here);
    peer_start(&program, role, &there, "0");
    player_peers(test, sender, "it", 1);
    pump_go(test, sender, FIRST);
    while (before.count < FIRST / 8)
        assert_true(run_read(&program, &before));
    peer_kill(&program);
    while (run_read(&program, &before))
        ;
    peer_close(&program);
    player_peers(test, sender, "it", 0);
    peer_start(&program, role, &there, "0");
    player_peers(test, sender, "it", 1);
    pump_go(test, sender, ALL);
    while (!after.count || after.first + after.count < ALL)
        assert_true(run_read(&program, &after));
    program_end(&program);
    assert_int_equal(before.first, 0);
    assert_true(after.first >= before.count);
    assert_true(after.first <= FIRST);
    assert_int_equal(soma_kill(soma_test_system(test), sender), 0);
    soma_test_settle(test);
}

static void test_push(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        pusher_and_killed(test, others[i], SOMA_PUSH, true);
        pusher_and_killed(test, others[i], SOMA_PUSH, false);
    }
}

PLAYER_WIRES(test_push)

static void test_pair(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        pusher_and_killed(test, others[i], SOMA_PAIR, true);
        pusher_and_killed(test, others[i], SOMA_PAIR, false);
    }
}

PLAYER_WIRES(test_pair)

/* ---- publications ---- */

static int on_all(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    assert_int_equal(m->number, my->notes);
    my->notes++;
    return 0;
}

static const soma_handler *const all = SOMA_HANDLERS(SOMA_ON(note, on_all));

/* One that is killed costs others nothing; and who comes again gets all from when it has subscribed. */
static void publisher_and_killed(soma_test *test, const char *role)
{
    char place[64];
    struct program program;
    struct run before = {0}, after = {0};
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    side_place(place);
    const struct side here = {SOMA_PUB, true, place, NULL, ALL, 0}, there = {SOMA_SUB, false, place, NULL, ALL, 0},
                      good = {SOMA_SUB, false, place, all, ALL, 0};
    soma_ref publisher = player_open(test, &pump), subscriber = player_open(test, &player_quiet);
    player_do(test, publisher, pump_publishes, NULL);
    player_do(test, publisher, side_open, &here);
    player_do(test, subscriber, side_open, &good);
    peer_start(&program, role, &there, "0");
    player_peers(test, publisher, "it", 2);
    pump_go(test, publisher, FIRST);
    while (before.count < FIRST / 8)
        assert_true(run_read(&program, &before));
    peer_kill(&program);
    while (run_read(&program, &before))
        ;
    peer_close(&program);
    player_peers(test, publisher, "it", 1);
    peer_start(&program, role, &there, "0");
    player_peers(test, publisher, "it", 2);
    pump_go(test, publisher, ALL);
    while (!after.count || after.first + after.count < ALL)
        assert_true(run_read(&program, &after));
    program_end(&program);
    assert_int_equal(before.first, 0);
    assert_in_range(after.first, before.count, FIRST); // of the first ones some may have come late to this one
    do
        player_do(test, subscriber, player_look, look);
    while (look->notes < ALL && player_wait(&looks));
    assert_int_equal(look->notes, ALL);
}

static void test_pub(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        publisher_and_killed(test, others[i]);
}

PLAYER_WIRES(test_pub)

static const soma_behavior hears = {.name = "hears",
                                    .state_size = sizeof(struct taker),
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, player_changed))};

/* Of a publisher that is killed a subscriber has a run from the first on; and of one that comes in its place all, as it
 * is subscribed there, too. */
static void subscriber_and_killed(soma_test *test, const char *role)
{
    char place[64];
    struct program program;
    struct taker *before = soma_test_alloc(test, sizeof(*before));
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    side_place(place);
    const struct side here = {SOMA_SUB, false, place, takes, ALL, 0}, there = {SOMA_PUB, true, place, NULL, ALL, 0};
    soma_ref subscriber = player_open(test, &hears);
    player_do(test, subscriber, side_open, &here);
    peer_start(&program, role, &there, "0");
    do
        player_do(test, subscriber, look_taker, before);
    while (before->count < FIRST / 8 && player_wait(&looks));
    peer_kill(&program);
    peer_close(&program);
    player_expect(test, subscriber, "it:1 it:0 ");
    player_do(test, subscriber, look_taker, before);
    assert_in_range(before->count, FIRST / 8, FIRST);
    assert_int_equal(before->next, before->count);
    peer_start(&program, role, &there, "4000");
    const struct taker *after = taker_wait(test, subscriber, ALL, 1);
    assert_int_equal(after->count, before->count + ALL - FIRST);
    player_expect(test, subscriber, "it:1 it:0 it:1 ");
    player_do(test, subscriber, player_counts, counts);
    assert_int_equal(counts->connected, 2);
    program_end(&program);
    assert_int_equal(soma_kill(soma_test_system(test), subscriber), 0);
    soma_test_settle(test);
}

static void test_sub(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        subscriber_and_killed(test, others[i]);
}

PLAYER_WIRES(test_sub)

/* ---- questions ---- */

/* Each question ends once: with its answer, or, if whoever had it is killed, with SOMA_EGONE. */
static void asker_and_killed(soma_test *test, const char *role, soma_pattern pattern, bool binds)
{
    static const uint32_t first = 0, later = HELD;
    char place[64];
    struct program program;
    uint32_t number = 0, asked = 0;
    side_place(place);
    const struct side here = {pattern, binds, place, NULL, ALL, 0},
                      there = {soma_pattern_twin(pattern), !binds, place, NULL, ALL, 0};
    soma_ref ref = player_open(test, &asker);
    player_do(test, ref, side_open, &here);
    peer_start(&program, role, &there, "50");
    player_peers(test, ref, "it", 1);
    player_do(test, ref, ask_from, &first);
    for (; asked < QUESTIONS; asked++) {
        assert_true(peer_says(&program, &number));
        assert_int_equal(number, asked);
    }
    asker_expect(test, ref, HELD, 0);
    peer_kill(&program);
    asker_expect(test, ref, HELD, QUESTIONS - HELD);
    assert_false(peer_says(&program, &number)); // none has come twice
    peer_close(&program);
    player_peers(test, ref, "it", 0);
    peer_start(&program, role, &there, "4294967295");
    player_peers(test, ref, "it", 1);
    player_do(test, ref, ask_from, &later);
    asker_expect(test, ref, QUESTIONS, QUESTIONS - HELD);
    program_end(&program);
    assert_int_equal(soma_kill(soma_test_system(test), ref), 0);
    soma_test_settle(test);
}

static void test_req(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        asker_and_killed(test, others[i], SOMA_ASYNC_REQ, true);
        asker_and_killed(test, others[i], SOMA_ASYNC_REQ, false);
    }
}

PLAYER_WIRES(test_req)

static void test_sync_sub(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        asker_and_killed(test, others[i], SOMA_SYNC_SUB, false);
}

PLAYER_WIRES(test_sync_sub)

static int ask_too_much(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(answer, on_step, on_step_gone);
    (void)state;
    assert_int_equal(soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = 0), *(const int *)arg);
    return 0;
}

/* In lockstep: the question that it had fails, none is asked while nobody is there, and the next ones go to who comes.
 */
static void lockstep_and_killed(soma_test *test, const char *role, bool binds)
{
    static const uint32_t some = HELD + 1, whole = QUESTIONS;
    static const int waits = SOMA_ESTATE, nobody = SOMA_EAGAIN;
    char place[64];
    struct program program;
    struct run before = {0}, after = {0};
    side_place(place);
    const struct side here = {SOMA_REQ, binds, place, NULL, ALL, 0}, there = {SOMA_REP, !binds, place, NULL, ALL, 0};
    soma_ref ref = player_open(test, &lockstep);
    player_do(test, ref, side_open, &here);
    player_do(test, ref, lockstep_until, &some);
    peer_start(&program, role, &there, "50");
    while (before.count < some)
        assert_true(run_read(&program, &before));
    player_do(test, ref, ask_too_much, &waits);
    peer_kill(&program);
    assert_int_equal(lockstep_wait(test, ref, some)->gone, 1);
    assert_false(run_read(&program, &before));
    peer_close(&program);
    player_expect(test, ref, "it:1 it:0 ");
    player_do(test, ref, ask_too_much, &nobody);
    player_do(test, ref, lockstep_until, &whole);
    peer_start(&program, role, &there, "4294967295");
    assert_int_equal(lockstep_wait(test, ref, whole)->gone, 1);
    while (after.count < whole - some)
        assert_true(run_read(&program, &after));
    assert_int_equal(after.first, some); // not what has failed
    player_expect(test, ref, "it:1 it:0 it:1 ");
    program_end(&program);
    assert_int_equal(soma_kill(soma_test_system(test), ref), 0);
    soma_test_settle(test);
}

static void test_lockstep(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        lockstep_and_killed(test, others[i], true);
        lockstep_and_killed(test, others[i], false);
    }
}

PLAYER_WIRES(test_lockstep)

/* ---- an answer for one who is dead ---- */

static int on_ask_kept(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    return (my->promise = soma_reply_later(self)) < 0;
}

static const soma_handler *const keeps = SOMA_HANDLERS(SOMA_ON(ask, on_ask_kept));

static int answer_late(soma_agent *self, void *state, void *arg)
{
    struct player *my = state;
    (void)arg;
    return soma_reply_to(self, my->promise, answer, .number = 1);
}

static void killed_with_a_question(soma_test *test, const char *role)
{
    char place[64];
    struct program program;
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    side_place(place);
    const struct side here = {SOMA_REP, true, place, keeps, ALL, 0}, there = {SOMA_REQ, false, place, NULL, ALL, 0};
    soma_ref keeper = player_open(test, &player_quiet);
    player_do(test, keeper, side_open, &here);
    peer_start(&program, role, &there, "0");
    player_expect(test, keeper, "ask7 ");
    peer_kill(&program);
    peer_close(&program);
    player_peers(test, keeper, "it", 0);
    // ZeroMQ says that somebody is gone before it has done away with him, but lets the next one in only after that.
    player_do(test, player_open(test, &player_quiet), side_open, &there);
    player_peers(test, keeper, "it", 1);
    player_do(test, keeper, answer_late, NULL);
    do
        player_do(test, keeper, player_counts, counts);
    while (!counts->missed && player_wait(&looks));
    assert_int_equal(counts->missed, 1);
    assert_int_equal(counts->malformed, 0);
}

static void test_rep(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        killed_with_a_question(test, others[i]);
}

PLAYER_WIRES(test_rep)

int main(int argc, char **argv)
{
    static const struct role roles[] = {{"peer", peer_run}, {"plain", plain_run}, {NULL, NULL}};
    const struct CMUnitTest tests[] = {
        PLAYER_OVER_WIRES(test_push), PLAYER_OVER_WIRES(test_pair),     PLAYER_OVER_WIRES(test_pub),
        PLAYER_OVER_WIRES(test_req),  PLAYER_OVER_WIRES(test_sync_sub), PLAYER_OVER_WIRES(test_rep),
        PLAYER_OVER_WIRES(test_sub),  PLAYER_OVER_WIRES(test_lockstep),
    };
    int status;
    (void)argc;
    return role_run(roles, argv, &status) ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
