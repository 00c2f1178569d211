/*
 * Supervisors under kills: whoever should run does, they start in their order and stop in reverse, and those that keep
 * their mail get all of it, in order, over as many lives as it takes.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/keep.h>
#include <soma/supervisor.h>
#include <soma/test.h>
#include <string.h>

#define CHILDREN 4u
#define ITEMS 6u

SOMA_MESSAGE(item, (u32, number))
SOMA_MESSAGE(handled, (u32, number))

/* What the children tell of themselves. */
struct world {
    soma_strategy strategy;
    bool alive[CHILDREN];
    uint32_t starts[CHILDREN];
};

struct worker {
    struct world *world;
    uint32_t number;
};

/* The others at this moment: those before it run, if all start together; those after it don't, if they follow it. */
static int worker_init(soma_agent *self, void *state, const void *arg)
{
    const struct worker *my = memcpy(state, arg, sizeof(*my));
    struct world *world = my->world;
    (void)self;
    assert_false(world->alive[my->number]);
    for (uint32_t i = 0; i < CHILDREN; i++) {
        if (i < my->number && world->strategy == SOMA_ONE_FOR_ALL)
            assert_true(world->alive[i]);
        if (i > my->number && world->strategy != SOMA_ONE_FOR_ONE)
            assert_false(world->alive[i]);
    }
    world->alive[my->number] = true;
    world->starts[my->number]++;
    return 0;
}

/* Who is told to stop is the last of those that were started. */
static void worker_stop(soma_agent *self, void *state, int reason)
{
    const struct worker *my = state;
    (void)self;
    assert_true(my->world->alive[my->number]);
    for (uint32_t i = my->number + 1; reason == SOMA_ESHUTDOWN && i < CHILDREN; i++)
        assert_false(my->world->alive[i]);
    my->world->alive[my->number] = false;
}

/* What it has handled outlives it. */
static int on_item(soma_agent *self, struct worker *my, const struct item *m)
{
    const struct handled *before = soma_stashed(self, handled);
    (void)my;
    assert_int_equal(m->number, before ? before->number + 1 : 1);
    return soma_stash(self, handled, .number = m->number);
}

static int on_handled(soma_agent *self, struct worker *my, const struct handled *m)
{
    const struct handled *before = soma_stashed(self, handled);
    (void)my, (void)m;
    return soma_reply(self, handled, .number = before ? before->number : 0);
}

static const soma_behavior worker = {.name = "worker",
                                     .state_size = sizeof(struct worker),
                                     .init = worker_init,
                                     .stop = worker_stop,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item), SOMA_ON(handled, on_handled))};

/* A supervisor of four, whose arguments must outlive it. */
struct tree {
    struct world world;
    struct worker args[CHILDREN];
    soma_child children[CHILDREN];
    soma_supervision supervision;
    soma_ref refs[CHILDREN];
    soma_ref top;
};

static void tree_grow(soma_test *test, struct tree *tree, soma_strategy strategy)
{
    static const char *const names[CHILDREN] = {"first", "second", "third", "fourth"};
    soma_system *system = soma_test_system(test);
    tree->world.strategy = strategy;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        tree->args[i] = (struct worker){&tree->world, i};
        tree->children[i] = (soma_child){.name = names[i], .behavior = &worker, .arg = &tree->args[i], .mail = true};
    }
    tree->supervision =
        (soma_supervision){.strategy = strategy, .intensity = 100, .children = tree->children, .count = CHILDREN};
    assert_int_equal(soma_spawn(system, &soma_supervisor, &tree->supervision, &tree->top), 0);
    soma_test_spare(test, tree->top);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_int_equal(soma_whereis(system, names[i], &tree->refs[i]), 0);
}

static void tree_works(soma_test *test, soma_strategy strategy)
{
    soma_system *system = soma_test_system(test);
    struct tree *tree = soma_test_alloc(test, sizeof(*tree));
    tree_grow(test, tree, strategy);
    for (uint32_t n = 1; n <= ITEMS; n++)
        for (uint32_t i = 0; i < CHILDREN; i++) {
            assert_int_equal(soma_send(system, tree->refs[i], item, .number = n), 0);
            soma_test_step(test);
        }
    soma_test_settle(test);
    for (uint32_t i = 0; i < CHILDREN; i++) {
        struct handled result;
        assert_int_equal(soma_call(system, tree->refs[i], SOMA_NEVER, &result, handled, handled), 0);
        assert_int_equal(result.number, ITEMS);
    }
    soma_test_settle(test);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_true(tree->world.alive[i]);
    assert_int_equal(soma_shutdown(system, tree->top), 0);
    soma_test_settle(test);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_false(tree->world.alive[i]);
    assert_null(soma_test_state(test, tree->top));
}

static void test_one_for_one(soma_test *test)
{
    tree_works(test, SOMA_ONE_FOR_ONE);
}

static void test_one_for_all(soma_test *test)
{
    tree_works(test, SOMA_ONE_FOR_ALL);
}

static void test_rest_for_one(soma_test *test)
{
    tree_works(test, SOMA_REST_FOR_ONE);
}

/* It is told to end while its children are killed and started again. */
static void test_shutdown(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct tree *tree = soma_test_alloc(test, sizeof(*tree));
    tree_grow(test, tree, (soma_strategy)soma_test_random(test, SOMA_POOL));
    for (uint64_t steps = soma_test_random(test, 30); steps; steps--) {
        (void)soma_send(system, tree->refs[steps % CHILDREN], handled);
        soma_test_step(test);
    }
    assert_int_equal(soma_shutdown(system, tree->top), 0);
    soma_test_advance(test, 100 * SOMA_SECOND);
    assert_null(soma_test_state(test, tree->top));
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_false(tree->world.alive[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_one_for_one, 10000, 5000, .kills = 3),
        SOMA_SIM(test_one_for_all, 10000, 5000, .kills = 3),
        SOMA_SIM(test_one_for_all, 10000, 5000, .kills = 3, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_REAL(test_one_for_all),
        SOMA_SIM(test_rest_for_one, 10000, 5000, .kills = 3),
        SOMA_SIM(test_rest_for_one, 10000, 5000, .kills = 3, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_shutdown, 10000, 5000, .kills = 4, .pauses = 1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
