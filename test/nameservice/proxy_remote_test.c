/* Proxies to agents on other nodes, by their node's address: in either order of start, and when the node comes again.
 */
#include "bridges/nodes.h"
#include "proxy_agents.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* An address that is known before anybody listens there. */
static const char *address_make(char *address, size_t size)
{
    static int number;
    snprintf(address, size, "ipc:///tmp/soma_proxy_test.%d.%d", (int)getpid(), number++);
    return address;
}

static void node_open_ipc(struct node *node, const char *address)
{
    const char *const bind[] = {address, NULL};
    node_open_at(node, "other", bind);
}

static void test_call(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_proxy *proxy;
    soma_ref ref;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    tank_open(nodes[1].system, "tank/1");
    const char *address = soma_bridge_address(nodes[1].bridge, 0);
    assert_int_equal(soma_proxy_open_at(nodes[0].system, nodes[0].bridge, address, "tank/1", &proxy), 0);
    assert_int_equal(fill_by(proxy, 40), 40);
    assert_int_equal(fill_by(proxy, 2), 42);
    assert_int_equal(soma_proxy_call(proxy, PATIENCE, "fill", SOMA_VALUE_NONE, NULL), SOMA_ETYPE);
    assert_string_equal(soma_proxy_error(proxy), "fill wants litres");
    assert_int_equal(soma_proxy_ref(proxy, PATIENCE, &ref), 0);
    assert_int_equal(ref.node == nodes[0].agent.node, 0);
    assert_int_equal(soma_proxy_kill(proxy, PATIENCE), 0);
    assert_int_equal(soma_proxy_ping(proxy, PATIENCE), SOMA_ENOENT);
    char text[256];
    snprintf(text, sizeof(text), "no agent is called 'tank/1' at %s", address);
    assert_string_equal(soma_proxy_error(proxy), text);
    assert_int_equal(soma_proxy_wait(proxy, 55 * SOMA_MS), SOMA_ETIMEOUT); // whatever its last look had time for
    assert_string_equal(soma_proxy_error(proxy), text);
    tank_open(nodes[1].system, "tank/1");
    assert_int_equal(fill_by(proxy, 5), 5);
    assert_int_equal(soma_proxy_shutdown(proxy, PATIENCE), 0);
    soma_proxy_close(&proxy);
    nodes_close(nodes, 2);
}

/* Nothing is there at first: the node comes, and then the agent. */
struct starting {
    struct node node;
    char address[64];
};

static void *start_main(void *argument)
{
    struct starting *starting = argument;
    node_open_ipc(&starting->node, starting->address);
    tank_open(starting->node.system, "tank/1");
    return NULL;
}

static void test_proxy_first(void **state)
{
    (void)state;
    struct node here;
    struct starting starting;
    soma_proxy *proxy;
    pthread_t thread;
    node_open(&here, "here");
    address_make(starting.address, sizeof(starting.address));
    assert_int_equal(soma_proxy_open_at(here.system, here.bridge, starting.address, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_ping(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    assert_int_equal(pthread_create(&thread, NULL, start_main, &starting), 0);
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    assert_int_equal(fill_by(proxy, 1), 1);
    pthread_join(thread, NULL);
    soma_proxy_close(&proxy);
    nodes_close(&here, 1);
    nodes_close(&starting.node, 1);
}

/* The node ends, and another one comes at its address. */
static void test_node_restarts(void **state)
{
    (void)state;
    struct node here, there;
    soma_proxy *proxy;
    char address[64];
    address_make(address, sizeof(address));
    node_open(&here, "here");
    assert_int_equal(soma_proxy_open_at(here.system, here.bridge, address, "tank/1", &proxy), 0);
    for (int i = 0; i < 3; i++) {
        node_open_ipc(&there, address);
        tank_open(there.system, "tank/1");
        assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
        assert_int_equal(fill_by(proxy, 5), 5); // of the one that is there now
        nodes_close(&there, 1);
    }
    soma_proxy_close(&proxy);
    nodes_close(&here, 1);
}

struct holding {
    soma_proxy *proxy;
    int error;
};

static void *hold_main(void *argument)
{
    struct holding *holding = argument;
    holding->error = soma_proxy_call(holding->proxy, PATIENCE, "hold", SOMA_VALUE_NONE, NULL);
    return NULL;
}

static atomic_int held;

static int hold_and_tell(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    int error = hold(self, my, arguments, result);
    atomic_fetch_add(&held, 1);
    return error;
}

static const soma_behavior holder = {
    .name = "holder", .state_size = sizeof(struct tank), .methods = SOMA_METHODS(SOMA_METHOD("hold", hold_and_tell))};

/* A method that may have run is not called again. */
static void test_node_ends(void **state)
{
    (void)state;
    struct node nodes[2];
    struct holding holding;
    pthread_t thread;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    node_spawn(&nodes[1], &holder);
    assert_int_equal(soma_proxy_open_at(nodes[0].system, nodes[0].bridge, soma_bridge_address(nodes[1].bridge, 0),
                                        "holder", &holding.proxy),
                     0);
    assert_int_equal(pthread_create(&thread, NULL, hold_main, &holding), 0);
    wait_word("the call", &held, 1);
    nodes_close(&nodes[1], 1);
    pthread_join(thread, NULL);
    assert_int_equal(holding.error, SOMA_ENODEDOWN);
    soma_proxy_close(&holding.proxy);
    nodes_close(nodes, 1);
}

/* What takes one type of message alone is there all the same. */
static void test_offer(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_proxy *proxy;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    assert_int_equal(soma_bridge_offer(nodes[1].bridge, "tanks", &tank, &soma_bridge_located_type), 0);
    assert_int_equal(
        soma_proxy_open_at(nodes[0].system, nodes[0].bridge, soma_bridge_address(nodes[1].bridge, 0), "tanks", &proxy),
        0);
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    assert_int_equal(soma_proxy_call(proxy, PATIENCE, "fill", SOMA_VALUE_NONE, NULL), SOMA_ETYPE);
    soma_proxy_close(&proxy);
    nodes_close(nodes, 2);
}

/* ---- what a node shows of itself ---- */

static uint64_t shown_number(soma_value map, const char *key)
{
    soma_value value;
    uint64_t number = 0;
    assert_int_equal(soma_value_get_entry(map, key, &value), 0);
    assert_int_equal(soma_value_get_u64(value, &number), 0);
    return number;
}

static void test_node_shown(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_proxy *proxy;
    soma_value value, item, name;
    soma_ref ref, named;
    const char *text;
    uint32_t size;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    assert_int_equal(soma_proxy_open_at(nodes[0].system, nodes[0].bridge, soma_bridge_address(nodes[1].bridge, 0),
                                        SOMA_NODE, &proxy),
                     0);
    assert_int_equal(soma_proxy_get(proxy, PATIENCE, "name", &value), 0);
    assert_int_equal(soma_value_get_string(value, &text, &size), 0);
    assert_memory_equal(text, "there", size);
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_get(proxy, PATIENCE, "stats", &value), 0);
    assert_true(shown_number(value, "agents") >= 1);
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_get(proxy, PATIENCE, "peers", &value), 0); // it has one, by which it was asked
    assert_int_equal(soma_value_get_item(value, 0, &item), 0);
    assert_int_equal(soma_value_get_entry(item, "name", &name), 0);
    assert_int_equal(soma_value_get_string(name, &text, &size), 0);
    assert_memory_equal(text, "here", size);
    assert_int_equal(soma_value_get_entry(item, "agent", &name), 0);
    assert_int_equal(soma_value_get_ref(name, &ref), 0);
    assert_int_equal(soma_whereis(nodes[0].system, SOMA_NODE, &named), 0);
    assert_true(soma_ref_equal(ref, named));
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_get(proxy, PATIENCE, NULL, &value), 0);
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_set(proxy, PATIENCE, "name", SOMA_VALUE_NONE), SOMA_ESTATE);
    soma_proxy_close(&proxy);
    nodes_close(nodes, 2);
}

/* A second bridge is refused, and takes nothing from the first; one that follows has its name. */
static void test_node_again(void **state)
{
    (void)state;
    struct node node;
    soma_bridge *second;
    soma_ref first, agent;
    const soma_bridge_options options = {.name = "again"};
    node_open(&node, "first");
    assert_int_equal(soma_whereis(node.system, SOMA_NODE, &first), 0);
    assert_int_equal(soma_bridge_open(node.system, &options, &second), SOMA_EEXIST);
    assert_int_equal(soma_whereis(node.system, SOMA_NODE, &agent), 0);
    assert_true(soma_ref_equal(agent, first));
    assert_int_equal(soma_bridge_close(&node.bridge), 0);
    assert_int_equal(soma_bridge_open(node.system, &options, &node.bridge), 0);
    assert_int_equal(soma_whereis(node.system, SOMA_NODE, &agent), 0);
    assert_false(soma_ref_equal(agent, first));
    nodes_close(&node, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_call),          cmocka_unit_test(test_proxy_first),
                                       cmocka_unit_test(test_node_restarts), cmocka_unit_test(test_node_ends),
                                       cmocka_unit_test(test_node_shown),    cmocka_unit_test(test_node_again),
                                       cmocka_unit_test(test_offer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
