/* Nobody starves: whoever can run does so in a bounded number of others' turns, wherever he waits. */
#include "test_support.h"
#include <soma/soma.h>

#define WAITERS 1000u /* more than a worker's ring holds, so most are in the overflow */
#define RUNNERS 200u  /* more than are taken out of the inbox at a time, so it is never empty */
#define TURNS_MOST 1000000u

SOMA_MESSAGE(begin)
SOMA_MESSAGE(run)
SOMA_MESSAGE(wait)

/* One worker's, so nobody else writes. */
static struct {
    soma_ref waiters[WAITERS];
    soma_ref runners[RUNNERS];
    uint32_t waited;
    uint32_t turns;
} race;

static int on_wait(soma_agent *self, void *my, const struct wait *m)
{
    (void)self, (void)my, (void)m;
    race.waited++;
    return 0;
}

/* Sends as a thread outside does, so that the other one goes into the inbox. */
static int on_run(soma_agent *self, void *my, const struct run *m)
{
    (void)my, (void)m;
    if (race.waited == WAITERS || race.turns >= TURNS_MOST)
        return 0;
    return soma_send(soma_agent_system(self), race.runners[++race.turns % RUNNERS], run);
}

static int on_begin(soma_agent *self, void *my, const struct begin *m)
{
    int error = 0;
    (void)my, (void)m;
    for (uint32_t i = 0; i < RUNNERS && !error; i++)
        error = soma_send(soma_agent_system(self), race.runners[i], run);
    for (uint32_t i = 0; i < WAITERS && !error; i++)
        error = soma_send(self, race.waiters[i], wait);
    return error;
}

static const soma_behavior runner = {.name = "runner", .handlers = SOMA_HANDLERS(SOMA_ON(run, on_run))};
static const soma_behavior waiter = {.name = "waiter", .handlers = SOMA_HANDLERS(SOMA_ON(wait, on_wait))};
static const soma_behavior starter = {.name = "starter", .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

static void test_overflow_beside_a_busy_inbox(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref first;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    for (uint32_t i = 0; i < WAITERS; i++)
        assert_int_equal(soma_spawn(system, &waiter, NULL, &race.waiters[i]), 0);
    for (uint32_t i = 0; i < RUNNERS; i++)
        assert_int_equal(soma_spawn(system, &runner, NULL, &race.runners[i]), 0);
    assert_int_equal(soma_spawn(system, &starter, NULL, &first), 0);
    assert_int_equal(soma_send(system, first, begin), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(race.waited, WAITERS);
    assert_true(race.turns < TURNS_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overflow_beside_a_busy_inbox)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
