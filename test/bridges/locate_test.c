/* Finding agents at addresses, as handlers do: by a request to the bridge's own agent. */
#include "bridges/bridge.h"
#include "nodes.h"
#include <pthread.h>
#include <soma/fault.h>
#include <soma/request.h>
#include <soma/test.h>

static int on_anything(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    (void)self, (void)state, (void)type, (void)message;
    return 0;
}

static const soma_behavior found_behavior = {.name = "found", .fallback = on_anything};

SOMA_MESSAGE(look, (string, address))
SOMA_MESSAGE(soma_bridge_again, (i64, promise)) // the bridge agent's word to itself

static int locate(struct node *from, soma_ref bridge, const char *address, const char *name, uint64_t timeout,
                  soma_ref *agent)
{
    struct soma_bridge_located located;
    int error = soma_call(from->system, bridge, SOMA_NEVER, &located, soma_bridge_located, soma_bridge_locate,
                          .address = address, .name = name, .timeout = timeout);
    *agent = located.agent;
    return error;
}

/* The address that was asked for last. */
static bool is_awaited(const struct node *node)
{
    pthread_mutex_lock(&node->bridge->lock);
    bool awaited = node->bridge->wants->awaited;
    pthread_mutex_unlock(&node->bridge->lock);
    return awaited;
}

static void test_locate(void **state)
{
    struct node nodes[2];
    soma_ref found;
    (void)state;
    node_open(&nodes[0], "first");
    node_open(&nodes[1], "second");
    node_spawn(&nodes[1], &found_behavior);
    soma_ref here = soma_bridge_agent(nodes[0].bridge), there = soma_bridge_agent(nodes[1].bridge);
    const char *address = soma_bridge_address(nodes[1].bridge, 0);
    assert_int_equal(locate(&nodes[0], here, address, "found", PATIENCE, &found), 0);
    assert_true(soma_ref_equal(found, nodes[1].agent));
    assert_int_equal(locate(&nodes[0], here, address, "nobody", PATIENCE, &found), SOMA_ENOENT);
    assert_int_equal(locate(&nodes[0], here, "tcp://127.0.0.1:1", "found", 50 * SOMA_MS, &found), SOMA_ETIMEOUT);
    assert_false(is_awaited(&nodes[0])); // it is called ever less often
    assert_int_equal(locate(&nodes[0], here, "nonsense", "found", PATIENCE, &found), SOMA_EINVAL);
    assert_int_equal(locate(&nodes[0], here, address, NULL, PATIENCE, &found), SOMA_EINVAL);
    assert_int_equal(locate(&nodes[0], here, address, "found", 0, &found), SOMA_EINVAL);
    assert_int_equal(locate(&nodes[0], there, address, "found", PATIENCE, &found), SOMA_EINVAL); // a stranger
    nodes_close(nodes, 2);
}

/* Closing answers who waits. */
struct late {
    struct node *node;
    atomic_int error;
};

static void *wait_for_nobody(void *arg)
{
    struct late *late = arg;
    soma_ref found;
    atomic_store(&late->error, soma_bridge_find(late->node->bridge, "tcp://127.0.0.1:1", "found", PATIENCE, &found));
    return NULL;
}

static void test_closed_meanwhile(void **state)
{
    struct node nodes[1];
    pthread_t thread;
    (void)state;
    node_open(&nodes[0], "first");
    struct late late = {&nodes[0], 1};
    soma_stats stats = {0};
    assert_int_equal(soma_system_stats(nodes[0].system, &stats), 0);
    uint64_t before = stats.spawned;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_nobody, &late), 0);
    while (stats.spawned == before) // until it has begun to ask
        assert_int_equal(soma_system_stats(nodes[0].system, &stats), 0);
    soma_bridge *bridge = nodes[0].bridge;
    assert_int_equal(soma_bridge_close(&bridge), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&late.error) == SOMA_ECLOSED || atomic_load(&late.error) == SOMA_EGONE);
    nodes_close(nodes, 1);
}

/* The same in virtual time, and the node that is looked for begins anew. */
static void test_simulated(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here"), *there = soma_test_node(test, "there");
    soma_bridge *bridge = soma_test_bridge(test, "here");
    static const char address[] = "sim://there"; // also of the next incarnation
    assert_string_equal(soma_bridge_address(soma_test_bridge(test, "there"), 0), address);
    soma_ref agent, found, again;
    assert_int_equal(soma_bridge_find(bridge, address, "found", SOMA_SECOND, &found), SOMA_ENOENT);
    assert_int_equal(soma_spawn(there, &found_behavior, NULL, &agent), 0);
    assert_int_equal(soma_name_set(there, agent, "found"), 0);
    assert_int_equal(soma_bridge_find(bridge, address, "found", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, agent));
    there = soma_test_node_restart(test, "there");
    assert_int_equal(soma_spawn(there, &found_behavior, NULL, &again), 0);
    assert_int_equal(soma_name_set(there, again, "found"), 0);
    assert_int_equal(soma_bridge_find(bridge, address, "found", 30 * SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, again));
    soma_test_net_cut(test, "here", "there");
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(soma_bridge_find(bridge, address, "found", SOMA_SECOND, &found), SOMA_ETIMEOUT);
    assert_true(soma_now(here) > 31 * SOMA_SECOND);
}

struct looker {
    soma_ref bridge;
    int answers;
};

static int looker_init(soma_agent *self, void *state, const void *bridge)
{
    (void)self;
    ((struct looker *)state)->bridge = *(const soma_ref *)bridge;
    return 0;
}

static int on_found(soma_agent *self, struct looker *my, const struct soma_bridge_located *m)
{
    (void)self, (void)m;
    my->answers++;
    return 0;
}

static int on_not_found(soma_agent *self, struct looker *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_look(soma_agent *self, struct looker *my, const struct look *m)
{
    soma_handle request =
        soma_request(self, my->bridge, SOMA_NEVER, SOMA_THEN(soma_bridge_located, on_found, on_not_found),
                     soma_bridge_locate, .address = m->address, .name = "found", .timeout = SOMA_NEVER);
    return request < 0 ? (int)request : 0;
}

static const soma_behavior looker = {.name = "looker",
                                     .state_size = sizeof(struct looker),
                                     .init = looker_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(look, on_look))};

/* What the bridge agent says to itself does no harm if another says it, as anybody can. */
static void test_word_of_stranger(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here"), *there = soma_test_node(test, "there");
    soma_bridge *bridge = soma_test_bridge(test, "here");
    static const char address[] = "sim://there";
    soma_ref bridge_agent = soma_bridge_agent(bridge), agent, asks;
    assert_int_equal(soma_spawn(there, &found_behavior, NULL, &agent), 0);
    assert_int_equal(soma_name_set(there, agent, "found"), 0);
    assert_int_equal(soma_bridge_find(bridge, address, "found", SOMA_SECOND, &agent), 0);
    assert_int_equal(soma_spawn(here, &looker, &bridge_agent, &asks), 0);
    soma_test_net_cut(test, "here", "there");
    assert_int_equal(soma_send(here, asks, look, .address = address), 0);
    soma_test_advance(test, SOMA_SECOND);
    for (int64_t generation = 0; generation < 4; generation++)
        for (int64_t index = 0; index < 10; index++) // some are promises, such as these go
            assert_int_equal(soma_send(here, bridge_agent, soma_bridge_again, .promise = generation << 32 | index), 0);
    soma_test_net_heal(test, "here", "there");
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(((const struct looker *)soma_test_state(test, asks))->answers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locate),
        cmocka_unit_test(test_closed_meanwhile),
        SOMA_SIM(test_simulated, test_load(500), 10000),
        SOMA_SIM(test_simulated, test_load(200), 10000, .pauses = 2),
        SOMA_SIM(test_word_of_stranger, test_load(20), 10000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
