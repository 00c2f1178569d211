/* Memory that runs out at each point of what a supervisor does; see memory_world.h. */
#include "memory_world.h"

static const soma_child children[] = {{.name = "first", .behavior = &leaf, .restart = SOMA_PERMANENT},
                                      {.name = "second", .behavior = &ready_leaf, .restart = SOMA_PERMANENT}};
static const soma_supervision top = {.strategy = SOMA_ONE_FOR_ALL, .children = children, .count = 2};
static const soma_child kind = {.behavior = &ready_leaf, .restart = SOMA_PERMANENT};
static const soma_supervision pool = {.strategy = SOMA_POOL, .children = &kind, .count = 1};

static int supervise(soma_agent *self, struct host *my)
{
    return soma_spawn(self, &soma_supervisor, &top, &my->child);
}

static bool is_named(soma_system *system, const char *who)
{
    soma_ref ref;
    return soma_whereis(system, who, &ref) == 0;
}

static void nobody_supervised(struct world *world)
{
    assert_true(soma_ref_is_null(host_of(world)->child));
    assert_int_equal(agents_of(world->system), world->agents);
    assert_false(is_named(world->system, "first") || is_named(world->system, "second"));
}

static void two_supervised(struct world *world)
{
    assert_int_equal(agents_of(world->system), world->agents + 3);
    assert_true(is_named(world->system, "first") && is_named(world->system, "second"));
    assert_int_equal(soma_shutdown(world->system, host_of(world)->child), 0);
    soma_test_settle(world->test);
    assert_int_equal(agents_of(world->system), world->agents);
}

SCENARIO(supervise, supervise, nobody_supervised, two_supervised, 15)

/* A supervisor, and what an order to it, given while the n-th allocation fails, leads to. */
typedef int order(soma_test *test, soma_system *system, soma_ref supervisor);

static uint64_t each_order(soma_test *test, const soma_supervision *what, order *order_, check *check_)
{
    uint64_t n = 1;
    for (bool reached = true; reached; n++) {
        struct world world = {.test = test, .system = soma_test_system(test), .n = n};
        assert_int_equal(soma_spawn(world.system, &soma_supervisor, what, &world.host), 0);
        soma_test_settle(test);
        world.agents = agents_of(world.system);
        uint64_t before = soma_test_allocations(test);
        soma_test_fail_allocation(test, n);
        int result = order_(test, world.system, world.host);
        reached = soma_test_allocations(test) - before >= n;
        soma_test_fail_allocation(test, 0);
        assert_true(!result || reached);
        world.n = (uint64_t)(int64_t)result;
        check_(&world);
        soma_shutdown(world.system, world.host);
        soma_test_settle(test);
        assert_int_equal(agents_of(world.system), 0);
    }
    return n;
}

static int kill_first(soma_test *test, soma_system *system, soma_ref supervisor)
{
    soma_ref first;
    (void)supervisor;
    assert_int_equal(soma_whereis(system, "first", &first), 0);
    int error = soma_kill(system, first);
    soma_test_settle(test);
    return error;
}

/* Both are there again; or the supervisor has failed, as it could not even note that, and took them with it. */
static void restarted(struct world *world)
{
    bool lives = soma_test_state(world->test, world->host);
    assert_int_equal(agents_of(world->system), lives ? 3 : 0);
    assert_int_equal(is_named(world->system, "first") + is_named(world->system, "second"), lives ? 2 : 0);
    soma_ref first;
    if (soma_whereis(world->system, "first", &first))
        return;
    assert_int_equal(soma_send(world->system, first, flat, .n = 5), 0);
    soma_test_settle(world->test);
    assert_int_equal(leaf_of(world, first)->got, 1);
}

static void test_restart(soma_test *test)
{
    assert_true(each_order(test, &top, kill_first, restarted) > 8);
}

static int start_one(soma_test *test, soma_system *system, soma_ref supervisor)
{
    struct soma_started started;
    (void)test;
    return soma_call(system, supervisor, SOMA_SECOND, &started, soma_started, soma_start_child);
}

/* Who asked knows. */
static void started(struct world *world)
{
    int error = (int)(int64_t)world->n;
    assert_true(!error || error == SOMA_ENOMEM);
    soma_test_settle(world->test);
    assert_int_equal(agents_of(world->system), world->agents + !error);
}

static void test_start_child(soma_test *test)
{
    assert_true(each_order(test, &pool, start_one, started) > 6);
}

static int stop_one(soma_test *test, soma_system *system, soma_ref supervisor)
{
    struct soma_children list;
    int error = soma_call(system, supervisor, SOMA_SECOND, &list, soma_children, soma_list_children);
    if (error)
        return error;
    struct soma_stopped stopped;
    error = soma_call(system, supervisor, SOMA_SECOND, &stopped, soma_stopped, soma_stop_child,
                      .child = list.list.items[0].agent);
    soma_children_destroy(&list);
    soma_test_settle(test);
    return error;
}

/* Once it is to be stopped it is, also if it can't be told so; but who asked hears at once that memory was short. */
static void stopped(struct world *world)
{
    int error = (int)(int64_t)world->n;
    uint64_t agents = agents_of(world->system);
    assert_true(!error || error == SOMA_ENOMEM);
    assert_true(agents == world->agents - 1 || (error && agents == world->agents));
}

static void test_stop_child(soma_test *test)
{
    assert_true(each_order(test, &pool, stop_one, stopped) > 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_supervise, 1, 0),
        SOMA_SIM(test_restart, 1, 0),
        SOMA_SIM(test_start_child, 1, 0),
        SOMA_SIM(test_stop_child, 1, 0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
