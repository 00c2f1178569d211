/* Faults within a node, as the body orders them and as the seed has them strike; checks, and who waits for whom. */
#include "test_support.h"
#include "testkit/says.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(count)
SOMA_MESSAGE(tell, (ref, whom), (u32, number))
SOMA_MESSAGE(told, (u32, number))
SOMA_MESSAGE(ask, (ref, whom))
SOMA_MESSAGE(owed)

/* Counts, and sends itself the next; or notes what it is told, in order. */
struct counter {
    bool on_and_on;
    uint32_t counted;
    uint32_t told[4];
};

static int counter_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct counter *)state)->on_and_on = arg;
    return 0;
}

static int on_count(soma_agent *self, struct counter *my, const struct count *m)
{
    (void)m;
    my->counted++;
    return my->on_and_on ? soma_send(self, soma_self(self), count) : 0;
}

static int on_told(soma_agent *self, struct counter *my, const struct told *m)
{
    (void)self;
    my->told[my->counted++] = m->number;
    return 0;
}

static int on_tell(soma_agent *self, struct counter *my, const struct tell *m)
{
    (void)my;
    return soma_send(self, m->whom, told, .number = m->number);
}

static int on_answer(soma_agent *self, struct counter *my, const struct owed *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_no_answer(soma_agent *self, struct counter *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_ask(soma_agent *self, struct counter *my, const struct ask *m)
{
    (void)my;
    soma_handle asked = soma_request(self, m->whom, SOMA_NEVER, SOMA_THEN(owed, on_answer, on_no_answer), owed);
    return asked < 0 ? (int)asked : 0;
}

/* Owes the answer for ever. */
static int on_owed(soma_agent *self, struct counter *my, const struct owed *m)
{
    (void)my, (void)m;
    soma_handle promise = soma_reply_later(self);
    return promise < 0 ? (int)promise : 0;
}

static const soma_behavior counter = {.name = "counter",
                                      .state_size = sizeof(struct counter),
                                      .init = counter_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(count, on_count), SOMA_ON(tell, on_tell),
                                                                SOMA_ON(told, on_told), SOMA_ON(ask, on_ask),
                                                                SOMA_ON(owed, on_owed))};

static soma_ref counter_spawn(soma_test *test, bool on_and_on)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), &counter, on_and_on ? test : NULL, &ref), 0);
    return ref;
}

static const struct counter *state_of(soma_test *test, soma_ref ref)
{
    return soma_test_state(test, ref);
}

/* ---- pauses ---- */

/* However the seed pauses agents, one that the body has paused waits for the body. */
static void test_pause(soma_test *test)
{
    soma_ref paused = counter_spawn(test, false), others[3];
    char text[512];
    soma_test_pause(test, paused);
    assert_int_equal(soma_send(soma_test_system(test), paused, count), 0);
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            others[i] = round ? others[i] : counter_spawn(test, false);
            assert_int_equal(soma_send(soma_test_system(test), others[i], count), 0);
        }
        soma_test_settle(test);
        assert_int_equal(state_of(test, others[0])->counted, round + 1);
        assert_int_equal(state_of(test, paused)->counted, 0);
    }
    soma_test_waits(test, text, sizeof(text));
    assert_string_equal(text, "    counter 0 has mail, and is paused\n");
    soma_test_resume(test, paused);
    soma_test_settle(test);
    assert_int_equal(state_of(test, paused)->counted, 1);
    assert_int_equal(soma_test_waits(test, text, sizeof(text)), 0);
}

/* ---- kills ---- */

static void test_kill_after(soma_test *test)
{
    soma_ref ref = counter_spawn(test, true);
    uint32_t counted = 0, steps = 0;
    assert_int_equal(soma_send(soma_test_system(test), ref, count), 0);
    soma_test_kill_after(test, 10, ref);
    for (; state_of(test, ref) && soma_test_step(test); steps++)
        counted = state_of(test, ref) ? state_of(test, ref)->counted : counted;
    assert_int_equal(steps, 10); // it ends in its tenth turn, without the message
    assert_int_equal(counted, 9);
}

/* ---- reorders ---- */

/* Two senders' messages wait together, the first one's first. */
static const struct counter *told_by_two(soma_test *test, bool spared)
{
    soma_system *system = soma_test_system(test);
    soma_ref listener = counter_spawn(test, false);
    if (spared)
        soma_test_spare(test, listener);
    soma_test_pause(test, listener);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(soma_send(system, counter_spawn(test, false), tell, .whom = listener, .number = i), 0);
        soma_test_settle(test);
    }
    soma_test_resume(test, listener);
    soma_test_settle(test);
    assert_int_equal(state_of(test, listener)->counted, 2);
    return state_of(test, listener);
}

static void test_reordered(soma_test *test)
{
    assert_int_equal(told_by_two(test, false)->told[0], 0);
}

static void test_spared(soma_test *test)
{
    assert_int_equal(told_by_two(test, true)->told[0], 0);
}

/* ---- checks, and what a run says of its end ---- */

static void check_counted(soma_test *test, void *arg)
{
    if (state_of(test, *(const soma_ref *)arg)->counted > 2)
        soma_test_fail(test, "counted more than two");
}

static soma_ref *counted_thrice(soma_test *test)
{
    soma_ref *ref = soma_test_alloc(test, sizeof(*ref));
    *ref = counter_spawn(test, false);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(soma_send(soma_test_system(test), *ref, count), 0);
    return ref;
}

static void body_always(soma_test *test)
{
    soma_test_always(test, check_counted, counted_thrice(test));
    while (soma_test_step(test))
        ;
    soma_test_fail(test, "no step was checked");
}

static void body_at_rest(soma_test *test)
{
    soma_test_at_rest(test, check_counted, counted_thrice(test));
    while (soma_test_step(test))
        ;
    print_error("no step was checked\n");
    soma_test_settle(test);
}

static void body_deadlock(soma_test *test)
{
    soma_ref asks = counter_spawn(test, false), owes = counter_spawn(test, false);
    assert_int_equal(soma_send(soma_test_system(test), asks, ask, .whom = owes), 0);
}

static void body_restless(soma_test *test)
{
    assert_int_equal(soma_send(soma_test_system(test), counter_spawn(test, true), count), 0);
}

/* Somebody goes on for ever beside two that wait. */
static void body_deadlock_aside(soma_test *test)
{
    body_deadlock(test);
    body_restless(test);
}

static void test_says(void **state)
{
    (void)state;
    says(body_always, "counted more than two");
    says(body_at_rest, "no step was checked\ncounted more than two");
    says(body_deadlock, "a deadlock: nobody can run any more, but\n");
    says(body_deadlock, "counter 0 waits for an answer from counter 1");
    says(body_restless, "it did not come to rest within 1000 steps");
    says(body_deadlock_aside,
         "it did not come to rest within 1000 steps\n    counter 0 waits for an answer from counter 1");
}

/* ---- on real threads ---- */

static void body_kill_after(soma_test *test)
{
    soma_test_kill_after(test, 1, counter_spawn(test, false));
}

static void body_pause(soma_test *test)
{
    soma_test_pause(test, counter_spawn(test, false));
}

/* True if the test fails. */
static bool fails_alone(const struct CMUnitTest *test)
{
    fflush(NULL);
    pid_t child = fork();
    int status = 0;
    assert_true(child >= 0);
    if (!child)
        _exit(freopen("/dev/null", "w", stderr) && freopen("/dev/null", "w", stdout) &&
              _cmocka_run_group_tests("real", test, 1, NULL, NULL));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status);
}

/* What only a simulation can do fails there, and not in silence. */
static void test_only_simulated(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(body_kill_after), SOMA_REAL(body_pause)};
    (void)state;
    for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
        assert_true(fails_alone(&tests[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_pause, 1000, 1000, .pauses = 3),
        SOMA_SIM(test_kill_after, 1, 1000, .schedule = SOMA_SCHEDULE_ROUND_ROBIN), // a message a step
        SOMA_SIM(test_reordered, 300, 1000, .reorders = 1, .fails = true, .lines = 30),
        SOMA_SIM(test_spared, 300, 1000, .reorders = 3),
        cmocka_unit_test(test_says),
        cmocka_unit_test(test_only_simulated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
