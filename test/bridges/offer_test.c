/* Spawning on another node what that offers. */
#include "nodes.h"
#include <soma/request.h>

SOMA_MESSAGE(begin_at, (u64, number), (string, text))
SOMA_MESSAGE(other_argument, (u64, number))
SOMA_MESSAGE(next)
SOMA_MESSAGE(number, (u64, value))
SOMA_MESSAGE(spawn_there, (ref, offer))
SOMA_MESSAGE(which, (ref, agent))

struct counter {
    uint64_t number;
};

static int counter_init(soma_agent *self, void *state, const void *arg)
{
    struct counter *my = state;
    const struct begin_at *begin = arg;
    (void)self;
    if (!begin->text || strcmp(begin->text, "please") != 0)
        return -1234;
    my->number = begin->number;
    return 0;
}

static int on_next(soma_agent *self, struct counter *my, const struct next *m)
{
    (void)m;
    return soma_reply(self, number, .value = my->number++);
}

static const soma_behavior counter = {.name = "counter",
                                      .state_size = sizeof(struct counter),
                                      .init = counter_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(next, on_next))};

/* An agent that spawns there by itself, and tells who asked it whom. */
struct spawner {
    soma_handle promise;
};

static int on_spawned(soma_agent *self, struct spawner *my, const struct soma_bridge_spawned *m)
{
    return soma_reply_to(self, my->promise, which, .agent = m->agent);
}

static int on_failed(soma_agent *self, struct spawner *my, const int *error)
{
    return soma_reply_error_to(self, my->promise, *error);
}

static int on_spawn_there(soma_agent *self, struct spawner *my, const struct spawn_there *m)
{
    my->promise = soma_reply_later(self);
    soma_handle request = soma_request(self, m->offer, PATIENCE, SOMA_THEN(soma_bridge_spawned, on_spawned, on_failed),
                                       begin_at, .number = 7, .text = "please");
    return request < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior spawner = {.name = "spawner",
                                      .state_size = sizeof(struct spawner),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(spawn_there, on_spawn_there))};

static const char *pair_open(struct node *nodes)
{
    node_open(&nodes[0], "near");
    node_spawn(&nodes[0], &spawner);
    node_open(&nodes[1], "far");
    assert_int_equal(soma_bridge_offer(nodes[1].bridge, "counter", &counter, &begin_at_type), 0);
    return soma_bridge_address(nodes[1].bridge, 0);
}

static void test_spawn(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_ref agents[2];
    struct number answer;
    const char *far = pair_open(nodes);
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(soma_bridge_spawn(nodes[0].bridge, far, "counter", PATIENCE, &agents[i], begin_at,
                                           .number = 100 * i, .text = "please"),
                         0);
    for (uint64_t i = 0; i < 2; i++)
        for (uint64_t j = 0; j < 3; j++) {
            assert_int_equal(soma_call(nodes[0].system, agents[i], PATIENCE, &answer, number, next), 0);
            assert_int_equal(answer.value, 100 * i + j);
        }
    nodes_close(nodes, 2);
}

static void test_errors(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_ref agent;
    const char *far = pair_open(nodes);
    soma_bridge *bridge = nodes[0].bridge;
    assert_int_equal(soma_bridge_spawn(bridge, far, "counter", PATIENCE, &agent, begin_at, .number = 1), -1234);
    assert_true(soma_ref_is_null(agent));
    assert_int_equal(soma_bridge_spawn(bridge, far, "nothing", PATIENCE, &agent, begin_at), SOMA_ENOENT);
    assert_int_equal(soma_bridge_spawn(bridge, far, "counter", PATIENCE, &agent, other_argument), SOMA_ETYPE);
    assert_int_equal(soma_type_register(nodes[1].system, &other_argument_type), 0); // there, but not what is offered
    assert_int_equal(soma_bridge_spawn(bridge, far, "counter", PATIENCE, &agent, other_argument), SOMA_ETYPE);
    assert_int_equal(soma_bridge_offer(nodes[1].bridge, "counter", &counter, &begin_at_type), SOMA_EEXIST);
    assert_int_equal(soma_bridge_offer(nodes[1].bridge, "counter", &counter, NULL), SOMA_EINVAL);
    nodes_close(nodes, 2);
}

static void test_from_agent(void **state)
{
    (void)state;
    struct node nodes[2];
    struct which answer;
    struct number value;
    pair_open(nodes);
    soma_ref offer = node_find(&nodes[0], &nodes[1], "counter");
    assert_int_equal(soma_call(nodes[0].system, nodes[0].agent, PATIENCE, &answer, which, spawn_there, .offer = offer),
                     0);
    assert_int_equal(answer.agent.node, offer.node);
    assert_int_equal(soma_call(nodes[0].system, answer.agent, PATIENCE, &value, number, next), 0);
    assert_int_equal(value.value, 7);
    nodes_close(nodes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spawn),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_from_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
