/*
 * Kept agents: one word to the keeper for each life that ends, one life at a time, what was stashed is there in the
 * next, and mail that stays is neither lost nor out of order, however long the agent is down and whoever is killed.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/keep.h>
#include <soma/monitor.h>
#include <soma/test.h>

#define ITEMS 12u

SOMA_MESSAGE(item, (u32, number))
SOMA_MESSAGE(total, (u32, handled))
SOMA_MESSAGE(revive)

/* What happened, as agents tell it. */
struct world {
    bool mail;     /* it stays */
    bool releases; /* the keeper gives up after two lives */
    uint32_t lives;
    uint32_t ended;
    uint32_t told;
    uint32_t handled;
    uint32_t last;
    soma_ref child;
};

/* ---- the kept one ---- */

static int child_init(soma_agent *self, void *state, const void *arg)
{
    struct world *world = *(struct world **)state = (struct world *)(uintptr_t)arg;
    const struct total *before = soma_stashed(self, total);
    assert_int_equal(world->lives, world->ended);
    assert_int_equal(before ? before->handled : 0, world->handled);
    world->lives++;
    return 0;
}

static void child_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    (*(struct world **)state)->ended++;
}

static int on_item(soma_agent *self, struct world **my, const struct item *m)
{
    struct world *world = *my;
    assert_true(world->mail && !world->releases ? m->number == world->last + 1 : m->number > world->last);
    world->last = m->number;
    assert_int_equal(soma_stash(self, total, .handled = ++world->handled), 0);
    return soma_random(self) % 6 ? 0 : SOMA_EFORMAT;
}

static const soma_behavior child = {.name = "child",
                                    .state_size = sizeof(struct world *),
                                    .init = child_init,
                                    .stop = child_stop,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item))};

/* ---- the keeper: revives it at once or later, until it works ---- */

struct keeper {
    struct world *world;
    soma_handle kept;
};

static int keeper_init(soma_agent *self, void *state, const void *arg)
{
    struct keeper *my = state;
    my->world = (struct world *)(uintptr_t)arg;
    my->kept = soma_spawn_kept(self, &child, my->world, my->world->mail, 7, &my->world->child);
    return my->kept < 0 ? (int)my->kept : 0;
}

static int on_revive(soma_agent *self, struct keeper *my, const struct revive *m)
{
    (void)m;
    assert_int_equal(soma_revive(self, my->kept, &child, my->world), 0);
    return 0;
}

static int on_down(soma_agent *self, struct keeper *my, const struct soma_down *m)
{
    struct world *world = my->world;
    assert_int_equal(soma_tag(self), 7);
    assert_int_equal(m->monitor, my->kept);
    assert_int_equal(++world->told, world->ended);
    if (world->releases && world->told == 2) {
        assert_int_equal(soma_release(self, my->kept), 0);
        assert_int_equal(soma_release(self, my->kept), SOMA_ENOENT);
        return 0;
    }
    if (soma_random(self) % 2)
        return soma_after(self, SOMA_MS, revive) < 0;
    return on_revive(self, my, NULL);
}

static const soma_behavior keeper = {.name = "keeper",
                                     .state_size = sizeof(struct keeper),
                                     .init = keeper_init,
                                     .handlers =
                                         SOMA_HANDLERS(SOMA_ON(soma_down, on_down), SOMA_ON(revive, on_revive))};

static void test_kept(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct world *world = soma_test_alloc(test, sizeof(*world));
    soma_ref top;
    soma_stats stats;
    world->mail = soma_test_random(test, 2);
    world->releases = soma_test_random(test, 2);
    assert_int_equal(soma_spawn(system, &keeper, world, &top), 0);
    soma_test_spare(test, top);
    for (uint32_t i = 1; i <= ITEMS; i++) {
        (void)soma_send(system, world->child, item, .number = i); // perhaps nobody is there
        for (uint64_t steps = soma_test_random(test, 4); steps; steps--)
            soma_test_step(test);
        if (soma_test_random(test, 4) == 0)
            soma_test_advance(test, SOMA_MS);
    }
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(world->told, world->ended);
    assert_int_equal(world->handled + stats.dead_letters, ITEMS);
    if (world->releases && world->told == 2) {
        assert_int_equal(world->lives, 2);
        assert_null(soma_test_state(test, world->child));
    } else {
        assert_int_equal(world->lives, world->ended + 1);
        assert_non_null(soma_test_state(test, world->child));
        assert_true(!world->mail || world->handled == ITEMS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_kept, 10000, 5000, .kills = 2, .pauses = 1),
        SOMA_SIM(test_kept, 10000, 5000, .kills = 2, .late = 2, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
