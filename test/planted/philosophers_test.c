/*
 * Planted: a deadlock. Each philosopher takes the fork to the left, then the one to the right; if all have a left one,
 * all wait for ever. In the fixed company everybody takes the fork of the lower number first.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/test.h>

#define SEATS 3u
#define MEALS 2u

SOMA_MESSAGE(dine, (ref, first), (ref, second))
SOMA_MESSAGE(take)
SOMA_MESSAGE(taken)
SOMA_MESSAGE(put_back)

/* A fork: whoever asks for it while it is used gets it later. */
struct fork {
    bool used;
    soma_handle waits; /* the other neighbour's promise */
};

static int on_take(soma_agent *self, struct fork *my, const struct take *m)
{
    (void)m;
    if (my->used) {
        my->waits = soma_reply_later(self);
        return my->waits < 0 ? (int)my->waits : 0;
    }
    my->used = true;
    return soma_reply(self, taken);
}

static int on_put_back(soma_agent *self, struct fork *my, const struct put_back *m)
{
    (void)m;
    my->used = my->waits;
    soma_handle next = my->waits;
    my->waits = 0;
    return next ? soma_reply_to(self, next, taken) : 0;
}

static const soma_behavior fork_behavior = {.name = "fork",
                                            .state_size = sizeof(struct fork),
                                            .handlers =
                                                SOMA_HANDLERS(SOMA_ON(take, on_take), SOMA_ON(put_back, on_put_back))};

struct philosopher {
    soma_ref forks[2]; /* in the order in which they are taken */
    uint32_t has;
    uint32_t meals;
};

static int on_taken(soma_agent *self, struct philosopher *my, const struct taken *m);

static int on_not_taken(soma_agent *self, struct philosopher *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int fork_take(soma_agent *self, const struct philosopher *my)
{
    soma_handle asked =
        soma_request(self, my->forks[my->has], SOMA_NEVER, SOMA_THEN(taken, on_taken, on_not_taken), take);
    return asked < 0 ? (int)asked : 0;
}

static int on_taken(soma_agent *self, struct philosopher *my, const struct taken *m)
{
    (void)m;
    if (++my->has < 2)
        return fork_take(self, my);
    my->has = 0;
    for (uint32_t i = 0; i < 2; i++) {
        int error = soma_send(self, my->forks[i], put_back);
        if (error)
            return error;
    }
    return ++my->meals < MEALS ? fork_take(self, my) : 0;
}

static int on_dine(soma_agent *self, struct philosopher *my, const struct dine *m)
{
    my->forks[0] = m->first;
    my->forks[1] = m->second;
    return fork_take(self, my);
}

static const soma_behavior philosopher = {
    .name = "philosopher", .state_size = sizeof(struct philosopher), .handlers = SOMA_HANDLERS(SOMA_ON(dine, on_dine))};

static void company_dines(soma_test *test, bool ordered)
{
    soma_system *system = soma_test_system(test);
    soma_ref forks[SEATS], guests[SEATS];
    for (uint32_t i = 0; i < SEATS; i++)
        assert_int_equal(soma_spawn(system, &fork_behavior, NULL, &forks[i]), 0);
    for (uint32_t i = 0; i < SEATS; i++) {
        uint32_t right = (i + 1) % SEATS;
        bool swap = ordered && right < i;
        assert_int_equal(soma_spawn(system, &philosopher, NULL, &guests[i]), 0);
        assert_int_equal(
            soma_send(system, guests[i], dine, .first = forks[swap ? right : i], .second = forks[swap ? i : right]), 0);
    }
    soma_test_settle(test);
    for (uint32_t i = 0; ordered && i < SEATS; i++)
        assert_int_equal(((const struct philosopher *)soma_test_state(test, guests[i]))->meals, MEALS);
}

static void test_deadlock(soma_test *test)
{
    company_dines(test, false);
}

static void test_no_deadlock(soma_test *test)
{
    company_dines(test, true);
}

/* Found within 50 seeds, by the kit itself: nothing is asserted of the buggy company. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_deadlock, 50, 1000, .fails = true, .lines = 30),
        SOMA_SIM(test_deadlock, 50, 1000, .fails = true, .lines = 30, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_no_deadlock, 10000, 1000),
        SOMA_SIM(test_no_deadlock, 10000, 1000, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
