/* What comes before what, where two ways of sending meet; and that nobody is slowed down for what others sent. */
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/timer.h"
#include "test_support.h"
#include <sched.h>
#include <soma/soma.h>
#include <stdatomic.h>

SOMA_MESSAGE(num, (u32, n))
SOMA_MESSAGE(go)

/* ---- an init and what its agent does next, on another worker ---- */

static atomic_uint order; /* the numbers that came, as digits */
static atomic_bool busy_runs, busy_ends, child_there, child_sent;
static soma_ref target, child;

static int on_num(soma_agent *self, void *state, const struct num *m)
{
    (void)self, (void)state;
    atomic_store(&order, atomic_load(&order) * 10 + m->n);
    return 0;
}

static const soma_behavior collector = {.name = "collector", .handlers = SOMA_HANDLERS(SOMA_ON(num, on_num))};

static int on_go_busy(soma_agent *self, void *state, const struct go *m)
{
    (void)self, (void)state, (void)m;
    atomic_store(&busy_runs, true);
    while (!atomic_load(&busy_ends))
        sched_yield();
    return 0;
}

static const soma_behavior busy = {.name = "busy", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_busy))};

static int child_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    return soma_send(self, target, num, .n = 2);
}

static int on_go_child(soma_agent *self, void *state, const struct go *m)
{
    (void)state, (void)m;
    soma_send(self, target, num, .n = 3);
    atomic_store(&child_sent, true);
    return 0;
}

static const soma_behavior bear = {
    .name = "child", .init = child_init, .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_child))};

static int on_go_parent(soma_agent *self, void *state, const struct go *m)
{
    (void)state, (void)m;
    soma_send(self, target, num, .n = 1); // while both workers are busy it may wait for more to the same agent
    soma_spawn(self, &bear, NULL, &child);
    atomic_store(&child_there, true);
    atomic_store(&busy_ends, true);
    while (!atomic_load(&child_sent)) // until the other worker has run the child
        sched_yield();
    return 0;
}

static const soma_behavior parent = {.name = "parent", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_parent))};

static void test_init_comes_first(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref busy_one, up;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2}), 0);
    assert_int_equal(soma_spawn(system, &collector, NULL, &target), 0);
    assert_int_equal(soma_spawn(system, &busy, NULL, &busy_one), 0);
    assert_int_equal(soma_spawn(system, &parent, NULL, &up), 0);
    soma_send(system, busy_one, go);
    while (!atomic_load(&busy_runs))
        sched_yield();
    soma_send(system, up, go);
    while (!atomic_load(&child_there))
        sched_yield();
    soma_send(system, child, go);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&order), 123);
}

/* ---- shared bodies, sent as from outside ---- */

static int on_go_body(soma_agent *self, void *state, const struct go *m)
{
    (void)state, (void)m;
    soma_body *body;
    soma_send(self, target, num, .n = 4);
    soma_send(self, target, num, .n = 5);
    if (!soma_body_new(&body, num, .n = 6))
        soma_send_body(soma_agent_system(self), target, body);
    soma_body_close(&body);
    return soma_send(self, target, num, .n = 7);
}

static const soma_behavior embodied = {.name = "embodied", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_body))};

static void test_bodies_overtake_nothing(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref from;
    atomic_store(&order, 0);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &collector, NULL, &target), 0);
    assert_int_equal(soma_spawn(system, &embodied, NULL, &from), 0);
    soma_send(system, from, go);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&order), 4567);
}

/* ---- dead letters that go to a watcher who is behind ---- */

static soma_agent *runnable_now[16];
static uint32_t runnable_count;

static uint64_t no_time(void *context)
{
    (void)context;
    return 1;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    (void)context, (void)system;
    assert_true(runnable_count < 16);
    runnable_now[runnable_count++] = agent;
}

static int on_letter(soma_agent *self, void *state, const struct soma_dead_letter *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static const soma_behavior watcher = {.name = "watcher",
                                      .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

static int on_go_leave(soma_agent *self, void *state, const struct go *m)
{
    (void)state, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior leaves = {.name = "leaves", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_leave))};

static void test_dead_letters_slow_nobody(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref pad, letters, gone, victim;
    const struct driver driver = {.now = no_time, .date = no_time, .random = no_time, .runnable = runnable};
    assert_int_equal(system_open_driven(&system, NULL, &driver), 0);
    assert_int_equal(soma_spawn(system, &leaves, NULL, &pad), 0);
    assert_int_equal(soma_spawn(system, &watcher, NULL, &letters), 0);
    assert_int_equal(soma_spawn(system, &leaves, NULL, &gone), 0);
    assert_int_equal(soma_spawn(system, &leaves, NULL, &victim), 0);
    assert_int_equal(soma_dead_letters_watch(system, letters), 0);
    soma_send(system, gone, go);
    agent_turn(&system->workers[0], runnable_now[0], 100);
    soma_send(system, gone, go); // a letter: the watcher has mail
    u32_store(&system->slots.base[letters.slot].pressure, PRESSURE_OVERLOADED);
    soma_send(system, victim, go);
    soma_send(system, victim, go); // one more, of the victim's turn
    agent_turn(&system->workers[0], runnable_now[2], 100);
    assert_false(system->workers[0].pressing);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- timers of one agent that different workers run ---- */

#define TIMERS 200

struct timed {
    uint16_t wheels[TIMERS];
    uint32_t count;
};

static atomic_uint timers_set;

static int on_go_timed(soma_agent *self, struct timed *my, const struct go *m)
{
    (void)m;
    soma_handle timer = soma_after(self, 100 * SOMA_SECOND, go);
    if (timer < 0)
        return (int)timer;
    my->wheels[my->count] = timer_of(pending_find(self, timer))->wheel_timer.wheel;
    if (my->wheels[my->count++] == my->wheels[0]) // or equal ones could fire in any order
        atomic_fetch_add(&timers_set, 1);
    return 0;
}

static const soma_behavior timed = {
    .name = "timed", .state_size = sizeof(struct timed), .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_timed))};

static void test_timers_share_a_wheel(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 4}), 0);
    assert_int_equal(soma_spawn(system, &timed, NULL, &ref), 0);
    for (uint32_t i = 0; i < TIMERS; i++) {
        soma_send(system, ref, go);
        sched_yield(); // now one worker takes it, now another
    }
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&timers_set), TIMERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_comes_first),
        cmocka_unit_test(test_bodies_overtake_nothing),
        cmocka_unit_test(test_dead_letters_slow_nobody),
        cmocka_unit_test(test_timers_share_a_wheel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
