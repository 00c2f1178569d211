/*
 * Timers fire once, never early, in the order of their time and among equal ones of their setting; a cancelled one
 * doesn't; a periodic one keeps its beat and leaves out what it missed. Also when the agent is late to hear of them.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/test.h>

#define TIMERS 12u

SOMA_MESSAGE(begin)
SOMA_MESSAGE(ring, (u32, number))
SOMA_MESSAGE(beat)
SOMA_MESSAGE(work)

enum { PENDING, FIRED, CANCELLED };

/* All timers that were set, by their number, which is the order of setting. */
struct clerk {
    uint64_t due[TIMERS];
    soma_handle handle[TIMERS];
    uint8_t is[TIMERS];
    uint32_t set;
};

static void clerk_sets(soma_agent *self, struct clerk *my)
{
    static const uint64_t delays[] = {0, 1, 2, 100, 128, 129, 1000, 8192, 8193, 300000};
    if (my->set == TIMERS)
        return;
    uint64_t delay = delays[soma_random(self) % (sizeof(delays) / sizeof(*delays))] * SOMA_US;
    my->due[my->set] = soma_now(self) + delay;
    my->handle[my->set] = soma_after(self, delay, ring, .number = my->set);
    assert_true(my->handle[my->set] > 0);
    my->set++;
}

static void clerk_cancels(soma_agent *self, struct clerk *my)
{
    uint64_t number = soma_random(self) % my->set;
    int error = soma_timer_cancel(self, my->handle[number]);
    assert_int_equal(error, my->is[number] == PENDING ? 0 : SOMA_ENOENT);
    if (!error)
        my->is[number] = CANCELLED;
}

/* All that are due before it have fired; those at the same time, if they were set before it. */
static int on_ring(soma_agent *self, struct clerk *my, const struct ring *m)
{
    assert_int_equal(my->is[m->number], PENDING);
    assert_true(soma_now(self) >= my->due[m->number]);
    my->is[m->number] = FIRED;
    for (uint32_t i = 0; i < my->set; i++)
        if (my->due[i] < my->due[m->number] || (my->due[i] == my->due[m->number] && i < m->number))
            assert_int_not_equal(my->is[i], PENDING);
    for (uint64_t more = soma_random(self) % 3; more; more--)
        clerk_sets(self, my);
    if (soma_random(self) % 4 == 0)
        clerk_cancels(self, my);
    return 0;
}

static int on_begin(soma_agent *self, struct clerk *my, const struct begin *m)
{
    (void)m;
    for (uint32_t i = 0; i < 4; i++)
        clerk_sets(self, my);
    if (soma_random(self) % 2)
        clerk_cancels(self, my);
    return 0;
}

static int on_work(soma_agent *self, struct clerk *my, const struct work *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior clerk = {
    .name = "clerk",
    .state_size = sizeof(struct clerk),
    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(ring, on_ring), SOMA_ON(work, on_work))};

static void test_timers(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref clerks[2];
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(soma_spawn(system, &clerk, NULL, &clerks[i]), 0);
        assert_int_equal(soma_send(system, clerks[i], begin), 0);
    }
    for (uint32_t i = 0; i < 8; i++) { // keeps them from their timers
        assert_int_equal(soma_send(system, clerks[i % 2], work), 0);
        soma_test_advance(test, soma_test_random(test, 200) * SOMA_US);
    }
    soma_test_advance(test, 10 * SOMA_SECOND);
    for (uint32_t i = 0; i < 2; i++) {
        const struct clerk *state = soma_test_state(test, clerks[i]);
        for (uint32_t number = 0; number < state->set; number++)
            assert_int_not_equal(state->is[number], PENDING);
    }
}

/* ---- beats ---- */

#define PERIOD (100 * SOMA_US)
#define BEATS 10u

struct drummer {
    uint64_t begun;
    uint64_t beats;
    soma_handle timer;
};

static int on_drum(soma_agent *self, struct drummer *my, const struct begin *m)
{
    (void)m;
    my->begun = soma_now(self);
    my->timer = soma_each(self, PERIOD, beat);
    return my->timer < 0;
}

static int on_beat(soma_agent *self, struct drummer *my, const struct beat *m)
{
    (void)m;
    assert_true(my->timer); // not after it was cancelled
    my->beats++;
    assert_true(soma_now(self) >= my->begun + my->beats * PERIOD);
    if (my->beats == BEATS) {
        assert_int_equal(soma_timer_cancel(self, my->timer), 0);
        my->timer = 0;
    }
    return 0;
}

static const soma_behavior drummer = {.name = "drummer",
                                      .state_size = sizeof(struct drummer),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_drum), SOMA_ON(beat, on_beat))};

static void test_beats(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref drum;
    assert_int_equal(soma_spawn(system, &drummer, NULL, &drum), 0);
    assert_int_equal(soma_send(system, drum, begin), 0);
    soma_test_settle(test);
    const struct drummer *state = soma_test_state(test, drum);
    for (uint32_t i = 0; i < BEATS; i++)
        soma_test_advance(test, PERIOD / 2 + soma_test_random(test, 3) * PERIOD / 4);
    // Whoever is told of each beat in time has heard them all: none drifts, none is lost.
    assert_int_equal(state->beats, (soma_test_now(test) - state->begun) / PERIOD < BEATS
                                       ? (soma_test_now(test) - state->begun) / PERIOD
                                       : BEATS);
    soma_test_advance(test, 2 * BEATS * PERIOD);
    assert_int_equal(state->beats, BEATS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_timers, 10000, 2000, .late = 4, .pauses = 1, .reorders = 2),
        SOMA_SIM(test_timers, 10000, 2000, .late = 4, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_beats, 10000, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
