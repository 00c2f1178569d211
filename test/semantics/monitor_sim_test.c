/*
 * Exactly one word of an end comes for each monitor that was not given up, with the reason that the agent ended with,
 * or SOMA_EGONE if it was set too late; linked agents end together, unless they are unlinked or trap exits.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/monitor.h>
#include <soma/test.h>

#define WATCHED 4u
#define MONITORS 8u

SOMA_MESSAGE(begin)
SOMA_MESSAGE(leave, (i32, reason))

enum { ALIVE = 1 }; /* no reason: those are 0 or less */

/* What the body knows of the agents; those tell it. */
struct world {
    soma_ref refs[WATCHED];
    int ended[WATCHED]; /* the reason */
};

/* ---- who is watched ---- */

struct mayfly {
    struct world *world;
    uint32_t number;
};

static int mayfly_init(soma_agent *self, void *state, const void *arg)
{
    struct mayfly *my = state;
    *my = *(const struct mayfly *)arg;
    my->world->refs[my->number] = soma_self(self);
    my->world->ended[my->number] = ALIVE;
    return 0;
}

static void mayfly_stop(soma_agent *self, void *state, int reason)
{
    const struct mayfly *my = state;
    (void)self;
    assert_int_equal(my->world->ended[my->number], ALIVE);
    my->world->ended[my->number] = reason;
}

static int on_leave(soma_agent *self, struct mayfly *my, const struct leave *m)
{
    (void)my;
    soma_agent_exit(self, m->reason);
    return 0;
}

static const soma_behavior mayfly = {.name = "mayfly",
                                     .state_size = sizeof(struct mayfly),
                                     .init = mayfly_init,
                                     .stop = mayfly_stop,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(leave, on_leave))};

/* ---- who watches ---- */

struct watcher {
    struct world *world;
    uint32_t set;
    soma_handle handle[MONITORS];
    uint32_t of[MONITORS];
    bool from_birth[MONITORS]; /* set before it could end */
    uint8_t told[MONITORS];    /* given up counts, too */
};

static int watcher_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct watcher *)state)->world = (struct world *)(uintptr_t)arg;
    return 0;
}

/* The last of the agents is the watcher's own. */
static int watcher_spawns(soma_agent *self, struct watcher *my)
{
    const struct mayfly child = {.world = my->world, .number = WATCHED - 1};
    soma_ref ref;
    my->of[0] = child.number;
    my->from_birth[0] = true;
    my->handle[0] = soma_spawn_monitor(self, &mayfly, &child, &ref);
    my->set = 1;
    return my->handle[0] > 0 ? soma_send(self, ref, leave, .reason = -77) : SOMA_ENOMEM;
}

static int on_begin(soma_agent *self, struct watcher *my, const struct begin *m)
{
    (void)m;
    uint32_t number = my->set, given_up = (uint32_t)soma_random(self) % MONITORS;
    if (!number)
        assert_int_equal(watcher_spawns(self, my), 0);
    else if (number < MONITORS) {
        my->of[number] = (uint32_t)(soma_random(self) % WATCHED);
        my->handle[number] = soma_monitor(self, my->world->refs[my->of[number]]);
        assert_true(my->handle[number] > 0);
        my->set++;
    }
    if (given_up < my->set && soma_random(self) % 2) {
        int error = soma_demonitor(self, my->handle[given_up]);
        assert_int_equal(error, my->told[given_up] ? SOMA_ENOENT : 0);
        my->told[given_up] = 1;
    }
    return my->set < MONITORS ? soma_send(self, soma_self(self), begin) : 0;
}

static int on_down(soma_agent *self, struct watcher *my, const struct soma_down *m)
{
    uint32_t i = 0;
    (void)self;
    while (i < my->set && my->handle[i] != m->monitor)
        i++;
    assert_true(i < my->set);
    assert_int_equal(my->told[i]++, 0);
    assert_true(soma_ref_equal(m->agent, my->world->refs[my->of[i]]));
    int reason = my->world->ended[my->of[i]];
    assert_int_not_equal(reason, ALIVE);
    assert_true(m->reason == reason || (m->reason == SOMA_EGONE && !my->from_birth[i]));
    return 0;
}

static const soma_behavior watcher = {.name = "watcher",
                                      .state_size = sizeof(struct watcher),
                                      .init = watcher_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(soma_down, on_down))};

static void test_monitors(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct world *world = soma_test_alloc(test, sizeof(*world));
    soma_ref eyes;
    for (uint32_t i = 0; i + 1 < WATCHED; i++)
        assert_int_equal(soma_spawn(system, &mayfly, (&(struct mayfly){world, i}), NULL), 0);
    assert_int_equal(soma_spawn(system, &watcher, world, &eyes), 0);
    soma_test_spare(test, eyes);
    assert_int_equal(soma_send(system, eyes, begin), 0);
    for (uint32_t i = 0; i + 1 < WATCHED; i++) {
        soma_test_step(test);
        (void)soma_send(system, world->refs[i], leave, .reason = -(int32_t)i); // it may have been killed
    }
    soma_test_settle(test);
    const struct watcher *state = soma_test_state(test, eyes);
    assert_int_equal(state->set, MONITORS);
    for (uint32_t i = 0; i < MONITORS; i++)
        assert_int_equal(state->told[i], 1);
}

/* ---- links ---- */

SOMA_MESSAGE(join, (ref, with), (bool, trap))
SOMA_MESSAGE(part, (ref, with))

struct linked {
    struct mayfly mayfly; /* first: its hooks work on it */
    bool trap;
    bool joined;
    int heard;
};

static int on_join(soma_agent *self, struct linked *my, const struct join *m)
{
    my->trap = m->trap;
    assert_int_equal(soma_trap_exits(self, m->trap), 0);
    assert_int_equal(soma_link(self, m->with), 0);
    my->joined = true;
    return 0;
}

static int on_part(soma_agent *self, struct linked *my, const struct part *m)
{
    int error = soma_unlink(self, m->with);
    bool over = my->mayfly.world->ended[1] != ALIVE; // it may have heard of the other's end, and lived on
    assert_true(my->joined && !my->heard ? !error || (over && error == SOMA_ENOENT) : error == SOMA_ENOENT);
    my->joined = false;
    return 0;
}

static int on_exited(soma_agent *self, struct linked *my, const struct soma_exited *m)
{
    (void)self, (void)m;
    assert_true(my->trap && my->joined);
    assert_int_equal(my->heard++, 0);
    return 0;
}

static int on_leave_linked(soma_agent *self, struct linked *my, const struct leave *m)
{
    return on_leave(self, &my->mayfly, m);
}

static const soma_behavior linked = {.name = "linked",
                                     .state_size = sizeof(struct linked),
                                     .init = mayfly_init,
                                     .stop = mayfly_stop,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(join, on_join), SOMA_ON(part, on_part),
                                                               SOMA_ON(soma_exited, on_exited),
                                                               SOMA_ON(leave, on_leave_linked))};

/* Agent 0 links itself with agent 1, which ends; perhaps it parts with it in time. */
static void test_links(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct world *world = soma_test_alloc(test, sizeof(*world));
    bool trap = soma_test_random(test, 2), parts = soma_test_random(test, 2);
    int reason = soma_test_random(test, 3) ? -55 : 0;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(soma_spawn(system, &linked, (&(struct mayfly){world, i}), NULL), 0);
    assert_int_equal(soma_send(system, world->refs[0], join, .with = world->refs[1], .trap = trap), 0);
    for (uint64_t steps = soma_test_random(test, 3); steps; steps--)
        soma_test_step(test);
    if (parts)
        (void)soma_send(system, world->refs[0], part, .with = world->refs[1]);
    (void)soma_send(system, world->refs[1], leave, .reason = reason);
    soma_test_settle(test);
    assert_int_equal(world->ended[1], reason);
    const struct linked *left = soma_test_state(test, world->refs[0]);
    if (trap) {
        assert_non_null(left);
        assert_int_equal(left->heard, left->joined ? 1 : left->heard);
    } else if (left) { // it parted in time, or there was nothing to end for
        assert_true(parts || !reason);
    } else { // with the other's reason; or the other had gone before they were linked
        assert_true(world->ended[0] == SOMA_EGONE || (reason && world->ended[0] == reason));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_monitors, 10000, 2000, .kills = 2, .reorders = 4),
        SOMA_SIM(test_monitors, 10000, 2000, .kills = 2, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_REAL(test_monitors),
        SOMA_SIM(test_links, 10000, 2000, .reorders = 4),
        SOMA_SIM(test_links, 10000, 2000, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
