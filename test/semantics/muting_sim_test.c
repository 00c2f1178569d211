/*
 * Agents that flood each other are slowed down and never stuck: all that was sent is handled, and nobody is muted when
 * all is done; also when whom others wait for stands still for a while or is killed.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/test.h>

#define AGENTS 4u
#define BUDGET 60u

SOMA_MESSAGE(friends, (ref, first), (ref, second))
SOMA_MESSAGE(flood)

/* Of a run; agents are in one thread. */
struct world {
    uint32_t sent;
    uint32_t handled;
    uint32_t budget;
    uint32_t burst; /* what each sends for a message; 0: any number up to 5 */
    bool muted;     /* somebody was */
};

struct flooder {
    struct world *world;
    soma_ref friends[2];
};

static int flooder_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct flooder *)state)->world = (struct world *)(uintptr_t)arg;
    return 0;
}

static int on_friends(soma_agent *self, struct flooder *my, const struct friends *m)
{
    (void)self;
    my->friends[0] = m->first;
    my->friends[1] = m->second;
    return 0;
}

static int on_flood(soma_agent *self, struct flooder *my, const struct flood *m)
{
    struct world *world = my->world;
    (void)m;
    world->handled++;
    for (uint64_t burst = world->burst ? world->burst : soma_random(self) % 6; burst && world->budget;
         burst--, world->budget--)
        world->sent += !soma_send(self, my->friends[soma_random(self) % 2], flood);
    return 0;
}

static const soma_behavior flooder = {.name = "flooder",
                                      .state_size = sizeof(struct flooder),
                                      .init = flooder_init,
                                      .handlers =
                                          SOMA_HANDLERS(SOMA_ON(friends, on_friends), SOMA_ON(flood, on_flood))};

static const soma_behavior unmuted = {
    .name = "unmuted", .base = &flooder, .state_size = sizeof(struct flooder), .init = flooder_init, .unmuted = true};

static uint64_t flood_all(soma_test *test, struct world *world, uint32_t batch)
{
    soma_system *system = soma_test_node_open(test, "node", &(soma_options){.batch = batch});
    soma_ref refs[AGENTS];
    soma_stats stats;
    world->budget = BUDGET;
    for (uint32_t i = 0; i < AGENTS; i++)
        assert_int_equal(soma_spawn(system, &flooder, world, &refs[i]), 0);
    for (uint32_t i = 0; i < AGENTS; i++) // each its neighbour, and one across: cycles of all lengths
        assert_int_equal(soma_send(system, refs[i], friends, .first = refs[(i + 1) % AGENTS],
                                   .second = refs[(i + AGENTS / 2) % AGENTS]),
                         0);
    soma_test_settle(test);
    for (uint32_t i = 0; i < 2 * AGENTS; i++)
        world->sent += !soma_send(system, refs[i % AGENTS], flood); // it may have been killed
    soma_test_settle(test);
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.muted, 0);
    return stats.dead_letters;
}

static void test_flood(soma_test *test)
{
    struct world *world = soma_test_alloc(test, sizeof(*world));
    assert_int_equal(flood_all(test, world, 1 + (uint32_t)soma_test_random(test, 3)), 0);
    assert_int_equal(world->handled, world->sent);
    assert_int_equal(world->sent, 2 * AGENTS + BUDGET - world->budget);
}

static void test_flood_with_ends(soma_test *test)
{
    struct world *world = soma_test_alloc(test, sizeof(*world));
    flood_all(test, world, 1 + (uint32_t)soma_test_random(test, 3));
    assert_true(world->handled <= world->sent);
}

/* The floods are such that somebody is slowed down. */
static void muted_look(soma_test *test, void *arg)
{
    struct world *world = arg;
    soma_stats stats;
    assert_int_equal(soma_system_stats(soma_test_system(test), &stats), 0);
    world->muted |= stats.muted > 0;
}

static void test_mutes(soma_test *test)
{
    struct world *world = soma_test_alloc(test, sizeof(*world));
    soma_test_always(test, muted_look, world);
    world->burst = 5; // at one message a turn all are overloaded when the last one sends
    flood_all(test, world, 1);
    assert_true(world->muted);
}

/* One that sends twice to an agent that is overloaded and stands still: does it come to the second? */
static uint32_t sends(soma_test *test, soma_system *system, struct world *world, const soma_behavior *behavior)
{
    soma_ref slow, sender;
    assert_int_equal(soma_spawn(system, &flooder, world, &slow), 0);
    assert_int_equal(soma_spawn(system, behavior, world, &sender), 0);
    assert_int_equal(soma_send(system, sender, friends, .first = slow, .second = slow), 0);
    soma_test_settle(test);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(soma_send(system, slow, flood), 0);
    soma_test_step(test); // it has handled a batch, and has mail
    soma_test_pause(test, slow);
    world->budget = 2;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(soma_send(system, sender, flood), 0);
    soma_test_settle(test);
    uint32_t sent = 2 - world->budget;
    world->budget = 0;
    soma_test_resume(test, slow);
    soma_test_settle(test);
    return sent;
}

static void test_unmuted(soma_test *test)
{
    struct world *world = soma_test_alloc(test, sizeof(*world));
    soma_system *system = soma_test_node_open(test, "node", &(soma_options){.batch = 1});
    world->burst = 1;
    assert_int_equal(sends(test, system, world, &flooder), 1);
    assert_int_equal(sends(test, system, world, &unmuted), 2);
    assert_int_equal(world->handled, 2 * (4 + 2) + 1 + 2); // nothing is lost
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_flood, 10000, 5000, .pauses = 2, .reorders = 4),
        SOMA_SIM(test_flood, 10000, 5000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_flood_with_ends, 10000, 5000, .kills = 3),
        SOMA_SIM(test_mutes, 1, 5000, .schedule = SOMA_SCHEDULE_ROUND_ROBIN),
        SOMA_SIM(test_unmuted, 1000, 5000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
