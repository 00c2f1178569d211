/* What an agent does of itself, with channels: by timers, when it is idle, and to itself, in order. */
#include "player.h"
#include <stdlib.h>

SOMA_MESSAGE(tick)
SOMA_MESSAGE(once, (u32, number))

static const soma_address out_at = {.transport = SOMA_INPROC, .pattern = SOMA_PUSH, .host = "out"};
static const soma_address news_at = {.transport = SOMA_INPROC, .pattern = SOMA_PUB, .host = "news"};

/* ---- timers ---- */

static int on_tick(soma_agent *self, struct player *my, const struct tick *m)
{
    (void)m;
    return soma_send_to(self, "out", note, .number = ++my->notes);
}

static int on_once(soma_agent *self, struct player *my, const struct once *m)
{
    (void)my;
    return soma_publish(self, "news", "late", note, .number = m->number);
}

static const soma_behavior ticking = {.name = "clock",
                                      .state_size = sizeof(struct player),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_tick), SOMA_ON(once, on_once))};

static int clock_start(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "out", &(soma_channel_options){.place = "inproc://out"}, NULL), 0);
    assert_int_equal(soma_bind(self, SOMA_PUB, "news", &(soma_channel_options){.place = "inproc://news"}, NULL), 0);
    assert_int_equal(soma_timer_name(self, soma_each(self, 100 * SOMA_MS, tick), "tick"), 0);
    assert_true(soma_after(self, 250 * SOMA_MS, once, .number = 7) > 0);
    return 0;
}

static int clock_stop(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_timer_cancel(self, soma_timer_find(self, "tick"));
}

static int hear_both(soma_agent *self, void *state, void *arg)
{
    const soma_handler *notes = SOMA_HANDLERS(SOMA_ON(note, player_note));
    (void)state, (void)arg;
    assert_int_equal(soma_connect(self, &out_at, "in", notes), 0);
    assert_int_equal(soma_connect(self, &news_at, "news", notes), 0);
    return 0;
}

static void test_timers(soma_test *test)
{
    soma_ref listener = player_open(test, &player_quiet), source = player_open(test, &ticking);
    player_do(test, listener, hear_both, NULL);
    player_do(test, source, clock_start, NULL);
    player_expect(test, listener, "");
    soma_test_advance(test, 100 * SOMA_MS);
    player_expect(test, listener, "1 ");
    soma_test_advance(test, 200 * SOMA_MS);
    player_expect(test, listener, "1 2 late7 3 ");
    player_do(test, source, clock_stop, NULL);
    soma_test_advance(test, SOMA_SECOND);
    player_expect(test, listener, "1 2 late7 3 ");
}

/* ---- to itself ---- */

static int self_pair_up(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "out", &(soma_channel_options){.place = "inproc://out"}, NULL), 0);
    assert_int_equal(soma_connect(self, &out_at, "in", SOMA_HANDLERS(SOMA_ON(note, player_note))), 0);
    return 0;
}

static int self_send(soma_agent *self, void *state, void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(soma_send(self, soma_self(self), note, .number = i), 0);
        assert_int_equal(soma_send_to(self, "out", note, .number = 10 * i), 0);
    }
    player_log(state, "sent ");
    return 0;
}

static int on_plain_note(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    player_log(my, "plain%u ", m->number);
    return 0;
}

static const soma_behavior looped = {
    .name = "looped", .state_size = sizeof(struct player), .handlers = SOMA_HANDLERS(SOMA_ON(note, on_plain_note))};

/* Behind what it does now, and all in the order in which it was sent, by whatever way. */
static void test_to_itself(soma_test *test)
{
    soma_ref ref = player_open(test, &looped);
    player_do(test, ref, self_pair_up, NULL);
    player_do(test, ref, self_send, NULL);
    player_expect(test, ref, "sent plain1 10 plain2 20 plain3 30 ");
}

static int on_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    return soma_reply(self, answer, .number = m->number + 1);
}

static int self_ask(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options rep = {.place = "inproc://rep", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};
    soma_address address;
    (void)arg;
    assert_int_equal(soma_bind(self, SOMA_REP, "rep", &rep, &address), 0);
    assert_int_equal(soma_connect(self, &address, "req", NULL), 0);
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    assert_true(soma_request_to(self, "req", SOMA_SECOND, then, ask, .number = 1) > 0);
    player_log(state, "asked ");
    return 0;
}

static void test_asks_itself(soma_test *test)
{
    soma_ref ref = player_open(test, &player_quiet);
    player_do(test, ref, self_ask, NULL);
    player_expect(test, ref, "asked ask1 answer2 ");
}

/* ---- when there is nothing to do ---- */

struct busy {
    uint32_t notes; /* since it rested last */
    uint32_t rests;
};

/* Tells by its channel how many came since it rested last. */
static int rest(soma_agent *self, void *state)
{
    struct busy *my = state;
    uint32_t notes = my->notes;
    my->notes = 0;
    my->rests++;
    return notes ? soma_send_to(self, "out", note, .number = notes) : 0;
}

static int on_busy_note(soma_agent *self, struct busy *my, const struct note *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

static const soma_behavior busy = {.name = "busy",
                                   .state_size = sizeof(struct busy),
                                   .idle = rest,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(note, on_busy_note))};

static int busy_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_bind(self, SOMA_PUSH, "out", &(soma_channel_options){.place = "inproc://out"}, NULL);
}

static int give_three(soma_agent *self, void *state, void *arg)
{
    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(soma_send(self, *(const soma_ref *)arg, note, .number = i), 0);
    return 0;
}

static void give_from_outside(soma_test *test, soma_ref worker, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(soma_send(soma_test_system(test), worker, note, .number = i), 0);
    soma_test_settle(test);
}

/* Each time that it has no more messages it says so, and no other time. What is there before it runs comes together;
 * what another agent gives it while it may run comes as it likes. */
static void test_idle(soma_test *test)
{
    soma_ref listener = player_open(test, &player_quiet), giver = player_open(test, &player_quiet);
    soma_ref *worker = soma_test_alloc(test, sizeof(*worker));
    *worker = player_open(test, &busy);
    player_do(test, *worker, busy_bind, NULL);
    player_do(test, listener, hear_both, NULL);
    const struct player *my = soma_test_state(test, listener);
    const struct busy *theirs = soma_test_state(test, *worker);
    uint32_t rests = theirs->rests, words = 0;
    give_from_outside(test, *worker, 3);
    assert_string_equal(my->log, "3 ");
    assert_int_equal(theirs->rests, rests + 1);
    give_from_outside(test, *worker, 1);
    assert_string_equal(my->log, "3 1 ");
    assert_int_equal(theirs->rests, rests + 2);
    player_do(test, *worker, give_three, worker);
    assert_string_equal(my->log, "3 1 3 ");
    assert_int_equal(theirs->rests, rests + 3);
    player_do(test, giver, give_three, worker);
    unsigned long sum = 0;
    char *end;
    for (const char *word = my->log; *word; word = end + 1, words++)
        sum += strtoul(word, &end, 10);
    assert_int_equal(sum, 3 + 1 + 3 + 3);
    assert_int_equal(theirs->notes, 0);             // nothing was left untold,
    assert_int_equal(theirs->rests, rests + words); // and it had always something to tell
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_timers, 100, 20000),      SOMA_SIM(test_to_itself, 100, 20000), SOMA_REAL(test_to_itself),
        SOMA_SIM(test_asks_itself, 100, 20000), SOMA_REAL(test_asks_itself),          SOMA_SIM(test_idle, 200, 20000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
