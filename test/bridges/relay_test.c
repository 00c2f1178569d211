/* Two nodes that listen nowhere, so that neither can call the other, joined through one that relays, for real. */
#include "bridges/bridge.h"
#include "nodes.h"
#include <soma/monitor.h>
#include <soma/request.h>

#define COUNT 10000

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))
SOMA_MESSAGE(hold, (ref, agent))
SOMA_MESSAGE(held, (ref, agent))
SOMA_MESSAGE(get)
SOMA_MESSAGE(watch_it, (ref, agent))
SOMA_MESSAGE(numbered, (u64, number))

static atomic_int arrived, disorder, down_reason;

/* ---- who keeps a ref for others ---- */

static int on_hold(soma_agent *self, soma_ref *my, const struct hold *m)
{
    (void)self;
    *my = m->agent;
    return 0;
}

static int on_get(soma_agent *self, soma_ref *my, const struct get *m)
{
    (void)m;
    return soma_reply(self, held, .agent = *my);
}

static const soma_behavior keeper = {.name = "keeper",
                                     .state_size = sizeof(soma_ref),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(hold, on_hold), SOMA_ON(get, on_get))};

/* ---- who is asked, sent to and watched ---- */

static int on_ask(soma_agent *self, uint64_t *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .number = m->number + 1);
}

static int on_numbered(soma_agent *self, uint64_t *my, const struct numbered *m)
{
    (void)self;
    if (m->number != (*my)++)
        atomic_store(&disorder, 1);
    atomic_fetch_add(&arrived, 1);
    return 0;
}

static int on_watch_it(soma_agent *self, uint64_t *my, const struct watch_it *m)
{
    (void)my;
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : soma_reply(self, told, .number = 0);
}

static int on_down(soma_agent *self, uint64_t *my, const struct soma_down *m)
{
    (void)self, (void)my;
    atomic_store(&down_reason, m->reason);
    return 0;
}

static const soma_behavior leaf = {.name = "leaf",
                                   .state_size = sizeof(uint64_t),
                                   .handlers =
                                       SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(numbered, on_numbered),
                                                     SOMA_ON(watch_it, on_watch_it), SOMA_ON(soma_down, on_down))};

/* ---- the test ---- */

static void node_begin(struct node *node, const char *name, bool relay, const soma_behavior *behavior)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {
        .name = name, .bind = relay ? bind : NULL, .relay = relay, .down_ms = 20000, .heartbeat_ms = 6000};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF};
    *node = (struct node){0};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
    node_spawn(node, behavior);
}

static void watch(const struct node *from, soma_ref agent)
{
    struct told answer;
    atomic_store(&down_reason, 0);
    assert_int_equal(soma_call(from->system, from->agent, PATIENCE, &answer, told, watch_it, .agent = agent), 0);
}

/* Both know the relay; the second knows the first by a ref that it got there. */
static soma_ref meet(const struct node *nodes)
{
    struct held found;
    soma_ref at[2];
    for (int i = 0; i < 2; i++)
        at[i] = node_find(&nodes[1 + i], &nodes[0], "keeper");
    do {
        assert_int_equal(soma_send(nodes[1].system, at[0], hold, .agent = nodes[1].agent), 0);
        assert_int_equal(soma_call(nodes[2].system, at[1], PATIENCE, &found, held, get), 0);
    } while (!found.agent.node);
    assert_true(soma_ref_equal(found.agent, nodes[1].agent));
    return found.agent;
}

static void test_three_nodes(void **state)
{
    (void)state;
    struct node nodes[3];
    struct told answer;
    node_begin(&nodes[0], "relay", true, &keeper);
    node_begin(&nodes[1], "first", false, &leaf);
    node_begin(&nodes[2], "second", false, &leaf);
    soma_ref first = meet(nodes);
    assert_int_equal(soma_call(nodes[2].system, first, PATIENCE, &answer, told, ask, .number = 7), 0);
    assert_int_equal(answer.number, 8);
    assert_int_equal(soma_call(nodes[1].system, nodes[2].agent, PATIENCE, &answer, told, ask, .number = 8), 0);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(soma_send(nodes[2].system, first, numbered, .number = i), 0);
    wait_word("messages", &arrived, COUNT);
    assert_int_equal(atomic_load(&disorder), 0);
    watch(&nodes[2], first);
    assert_int_equal(soma_call(nodes[2].system, first, PATIENCE, &answer, told, ask, .number = 8), 0);
    assert_int_equal(soma_kill(nodes[2].system, first), 0); // it has come to the watch: a kill is ahead of mail
    wait_word("the agent's end", &down_reason, SOMA_EKILLED);

    assert_int_equal(soma_spawn(nodes[1].system, &leaf, NULL, &nodes[1].agent), 0);
    watch(&nodes[2], nodes[1].agent);
    assert_int_equal(soma_bridge_close(&nodes[1].bridge), 0); // its goodbye goes through the relay, too
    wait_word("the node's end", &down_reason, SOMA_ENODEDOWN);
    assert_int_equal(soma_call(nodes[2].system, nodes[1].agent, PATIENCE, &answer, told, ask, .number = 9),
                     SOMA_ENODEDOWN);
    nodes_close(nodes, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_three_nodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
