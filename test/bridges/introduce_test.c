/* A node that an agent here tells of: refs that came by another way than a bridge lead there. */
#include "bridges/nodes.h"
#include <soma/request.h>
#include <soma/timer.h>
#include <stdatomic.h>

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))

static atomic_uint asked;

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    atomic_fetch_add(&asked, 1);
    soma_reply(self, told, .number = m->number + 1); // it may only have been sent
    return 0;
}

static const soma_behavior teller = {.name = "teller", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

static int introduce(const struct node *to, uint64_t node, const char *const *addresses, uint32_t count)
{
    struct soma_bridge_introduced done;
    return soma_call(to->system, soma_bridge_agent(to->bridge), PATIENCE, &done, soma_bridge_introduced,
                     soma_bridge_introduce, .node = node, .addresses = {addresses, count});
}

static int call(const struct node *from, soma_ref to, uint64_t number)
{
    struct told answer = {0};
    int error = soma_call(from->system, to, PATIENCE, &answer, told, ask, .number = number);
    assert_int_equal(answer.number, error ? 0 : number + 1);
    return error;
}

static void test_introduce(void **state)
{
    struct node nodes[2];
    (void)state;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    node_spawn(&nodes[1], &teller);
    soma_ref agent = nodes[1].agent;
    const char *const addresses[] = {soma_bridge_address(nodes[1].bridge, 0)};
    assert_int_equal(call(&nodes[0], agent, 1), SOMA_ENOROUTE);
    assert_int_equal(introduce(&nodes[0], agent.node, addresses, 1), 0);
    assert_int_equal(call(&nodes[0], agent, 2), 0);
    assert_int_equal(introduce(&nodes[0], agent.node, addresses, 1), 0); // it is known already
    assert_int_equal(call(&nodes[0], agent, 3), 0);
    nodes_close(nodes, 2);
}

/* Where this node may not call, or nobody could, a ref would lead nowhere. Of more addresses the first is called. */
static void test_not_callable(void **state)
{
    struct node nodes[2];
    (void)state;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    node_spawn(&nodes[1], &teller);
    soma_ref agent = nodes[1].agent;
    const char *const foo[] = {"foo"}, *const far[] = {"tcp://8.8.8.8:1"};
    const char *const both[] = {soma_bridge_address(nodes[1].bridge, 0), far[0]}, *const half[] = {both[0], foo[0]};
    assert_int_equal(introduce(&nodes[0], agent.node, foo, 1), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], agent.node, far, 1), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], agent.node, half, 2), SOMA_EINVAL);
    assert_int_equal(call(&nodes[0], agent, 1), SOMA_ENOROUTE);
    assert_int_equal(introduce(&nodes[0], agent.node, both, 2), 0);
    assert_int_equal(call(&nodes[0], agent, 2), 0);
    nodes_close(nodes, 2);
}

/* A node that listens nowhere can't be called, but may come: what is sent to it waits, and holds up nobody else. */
static void test_nowhere(void **state)
{
    struct node nodes[2];
    (void)state;
    atomic_store(&asked, 0);
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    node_spawn(&nodes[1], &teller);
    for (uint64_t i = 1; i <= 50; i++)
        assert_int_equal(introduce(&nodes[0], i, NULL, 0), 0);
    assert_int_equal(introduce(&nodes[0], nodes[1].agent.node, NULL, 0), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, ask, .number = 1), 0);
    node_find(&nodes[1], &nodes[0], SOMA_NODE);
    assert_int_equal(call(&nodes[0], nodes[1].agent, 2), 0);
    assert_int_equal(atomic_load(&asked), 2); // what has waited, too
    nodes_close(nodes, 2);
}

/* Where such a one listens may be known later, by somebody else. */
static void test_nowhere_first(void **state)
{
    struct node nodes[2];
    (void)state;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    node_spawn(&nodes[1], &teller);
    const char *const addresses[] = {soma_bridge_address(nodes[1].bridge, 0)};
    assert_int_equal(introduce(&nodes[0], nodes[1].agent.node, NULL, 0), 0);
    assert_int_equal(introduce(&nodes[0], nodes[1].agent.node, addresses, 1), 0);
    assert_int_equal(call(&nodes[0], nodes[1].agent, 1), 0);
    nodes_close(nodes, 2);
}

static void test_nonsense(void **state)
{
    struct node nodes[2];
    char longer[300];
    (void)state;
    node_open(&nodes[0], "here");
    node_open(&nodes[1], "there");
    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    const char *const none[] = {NULL}, *const empty[] = {""}, *const long_one[] = {longer};
    const char *const many[] = {"a", "a", "a", "a", "a", "a", "a", "a", "a"};
    const char *const own[] = {soma_bridge_address(nodes[0].bridge, 0)};
    assert_int_equal(introduce(&nodes[0], 0, NULL, 0), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], 7, none, 1), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], 7, empty, 1), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], 7, long_one, 1), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], 7, many, 9), SOMA_EINVAL);
    assert_int_equal(introduce(&nodes[0], soma_bridge_agent(nodes[0].bridge).node, own, 1), 0); // its own: nothing new
    // Other nodes may tell of nodes by themselves, but not by this.
    soma_ref far = node_find(&nodes[1], &nodes[0], SOMA_NODE);
    struct soma_bridge_introduced done;
    assert_int_equal(
        soma_call(nodes[1].system, far, PATIENCE, &done, soma_bridge_introduced, soma_bridge_introduce, .node = 7),
        SOMA_EINVAL);
    nodes_close(nodes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_introduce), cmocka_unit_test(test_not_callable),
                                       cmocka_unit_test(test_nowhere), cmocka_unit_test(test_nowhere_first),
                                       cmocka_unit_test(test_nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
