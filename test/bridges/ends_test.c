/* Monitors, links, orders to end, across nodes: who is told what. */
#include "nodes.h"
#include <soma/monitor.h>

SOMA_MESSAGE(watch_it, (ref, agent))
SOMA_MESSAGE(link_to, (ref, agent), (bool, trap))
SOMA_MESSAGE(unlink_from, (ref, agent))
SOMA_MESSAGE(fail_now, (i32, reason))
SOMA_MESSAGE(ping)
SOMA_MESSAGE(pong)

/* What was heard last of an end, and how often, by this process's agents that are told. */
static atomic_int down_reason, downs, exit_reason, exits, stops, stop_reason;

static int on_watch_it(soma_agent *self, void *my, const struct watch_it *m)
{
    (void)my;
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : 0;
}

static int on_link_to(soma_agent *self, void *my, const struct link_to *m)
{
    (void)my;
    soma_trap_exits(self, m->trap);
    return soma_link(self, m->agent);
}

static int on_unlink_from(soma_agent *self, void *my, const struct unlink_from *m)
{
    (void)my;
    int error = soma_unlink(self, m->agent);
    return error == SOMA_ENOENT ? 0 : error; // the other side may have been first
}

static int on_fail_now(soma_agent *self, void *my, const struct fail_now *m)
{
    (void)my;
    return soma_fail(self, m->reason, "it was asked to");
}

static int on_ping(soma_agent *self, void *my, const struct ping *m)
{
    (void)my, (void)m;
    return soma_reply(self, pong);
}

static int on_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)self, (void)my;
    if (m->reason == -1000)
        assert_string_equal(m->text, "it was asked to");
    atomic_store(&down_reason, m->reason);
    atomic_fetch_add(&downs, 1);
    return 0;
}

static int on_exited(soma_agent *self, void *my, const struct soma_exited *m)
{
    (void)self, (void)my;
    atomic_store(&exit_reason, m->reason);
    atomic_fetch_add(&exits, 1);
    return 0;
}

static void on_stop(soma_agent *self, void *my, int reason)
{
    (void)self, (void)my;
    atomic_store(&stop_reason, reason);
    atomic_fetch_add(&stops, 1);
}

static const soma_behavior mortal = {
    .name = "mortal",
    .stop = on_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(watch_it, on_watch_it), SOMA_ON(link_to, on_link_to),
                              SOMA_ON(unlink_from, on_unlink_from), SOMA_ON(fail_now, on_fail_now),
                              SOMA_ON(ping, on_ping), SOMA_ON(soma_down, on_down), SOMA_ON(soma_exited, on_exited))};

static void pair_open(struct node *nodes)
{
    atomic_int *const words[] = {&down_reason, &downs, &exit_reason, &exits, &stops, &stop_reason};
    for (int i = 0; i < 6; i++)
        atomic_store(words[i], 0);
    for (int i = 0; i < 2; i++) {
        node_open(&nodes[i], i ? "far" : "near");
        node_spawn(&nodes[i], &mortal);
    }
    node_find(&nodes[0], &nodes[1], "mortal");
}

/* What was said to the agent before has been done. */
static int settle(const struct node *from, const struct node *at)
{
    struct pong answer;
    return soma_call(from->system, at->agent, PATIENCE, &answer, pong, ping);
}

/* ---- monitors ---- */

/* One that is gone, one that never was, and one with bits that no slot has. */
static void test_monitor_gone(void **state)
{
    (void)state;
    struct node nodes[2];
    pair_open(nodes);
    soma_ref gone[3] = {nodes[1].agent, nodes[1].agent, nodes[1].agent};
    gone[0].generation += 2;
    gone[1].slot = 123456;
    gone[2].slot = UINT32_MAX;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, watch_it, .agent = gone[i]), 0);
        wait_word("word of the end", &downs, i + 1);
        assert_int_equal(atomic_load(&down_reason), SOMA_EGONE);
    }
    gone[0].node ^= 1; // a node that nobody has heard of
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, watch_it, .agent = gone[0]), 0);
    wait_word("word of the end", &downs, 4);
    assert_int_equal(atomic_load(&down_reason), SOMA_ENOROUTE);
    nodes_close(nodes, 2);
}

static void test_monitor_reasons(void **state)
{
    (void)state;
    const int reasons[] = {-1000, SOMA_EKILLED, SOMA_ESHUTDOWN};
    for (int i = 0; i < 3; i++) {
        struct node nodes[2];
        pair_open(nodes);
        assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, watch_it, .agent = nodes[1].agent), 0);
        assert_int_equal(settle(&nodes[0], &nodes[0]), 0);
        assert_int_equal(settle(&nodes[0], &nodes[1]), 0);
        if (!i)
            assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, fail_now, .reason = reasons[i]), 0);
        else if (i == 1)
            assert_int_equal(soma_kill(nodes[0].system, nodes[1].agent), 0);
        else
            assert_int_equal(soma_shutdown(nodes[0].system, nodes[1].agent), 0);
        wait_word("word of the end", &downs, 1);
        assert_int_equal(atomic_load(&down_reason), reasons[i]);
        nodes_close(nodes, 2);
    }
}

/* ---- links ---- */

/* The one ends with the other, whichever of them has asked for it. */
static void test_link(void **state)
{
    (void)state;
    for (int asking = 0; asking < 2; asking++) {
        struct node nodes[2];
        pair_open(nodes);
        assert_int_equal(soma_send(nodes[asking].system, nodes[asking].agent, link_to, .agent = nodes[!asking].agent),
                         0);
        assert_int_equal(settle(&nodes[asking], &nodes[asking]), 0);
        assert_int_equal(settle(&nodes[asking], &nodes[!asking]), 0);
        assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, fail_now, .reason = -1000), 0);
        wait_word("both ends", &stops, 2);
        assert_int_equal(atomic_load(&stop_reason), -1000);
        assert_int_equal(settle(&nodes[0], &nodes[0]), SOMA_EGONE);
        nodes_close(nodes, 2);
    }
}

static void test_link_trapped(void **state)
{
    (void)state;
    struct node nodes[2];
    pair_open(nodes);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, link_to, .agent = nodes[1].agent, .trap = true), 0);
    assert_int_equal(settle(&nodes[0], &nodes[0]), 0);
    assert_int_equal(settle(&nodes[0], &nodes[1]), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, fail_now, .reason = -1000), 0);
    wait_word("word of the end", &exits, 1);
    assert_int_equal(atomic_load(&exit_reason), -1000);
    assert_int_equal(settle(&nodes[0], &nodes[0]), 0); // it lives
    nodes_close(nodes, 2);
}

static void test_link_ended(void **state)
{
    (void)state;
    struct node nodes[2];
    pair_open(nodes);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, link_to, .agent = nodes[1].agent), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, unlink_from, .agent = nodes[1].agent), 0);
    assert_int_equal(settle(&nodes[0], &nodes[0]), 0);
    assert_int_equal(settle(&nodes[0], &nodes[1]), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, fail_now, .reason = -1000), 0);
    wait_word("its end", &stops, 1);
    assert_int_equal(settle(&nodes[0], &nodes[1]), SOMA_EGONE);
    assert_int_equal(settle(&nodes[0], &nodes[0]), 0); // it lives
    nodes_close(nodes, 2);
}

static void test_link_gone(void **state)
{
    (void)state;
    struct node nodes[2];
    pair_open(nodes);
    soma_ref gone = nodes[1].agent;
    gone.generation += 2;
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, link_to, .agent = gone, .trap = true), 0);
    wait_word("word of the end", &exits, 1);
    assert_int_equal(atomic_load(&exit_reason), SOMA_EGONE);
    nodes_close(nodes, 2);
}

/* Both ask at once, and again and again: one link, or none. */
static void test_link_crossing(void **state)
{
    (void)state;
    struct node nodes[2];
    pair_open(nodes);
    for (uint32_t i = 0; i < test_load(500); i++)
        for (int side = 0; side < 2; side++) {
            if (i)
                assert_int_equal(
                    soma_send(nodes[side].system, nodes[side].agent, unlink_from, .agent = nodes[!side].agent), 0);
            assert_int_equal(
                soma_send(nodes[side].system, nodes[side].agent, link_to, .agent = nodes[!side].agent, .trap = true),
                0);
        }
    for (int round = 0; round < 2; round++)
        for (int side = 0; side < 2; side++)
            assert_int_equal(settle(&nodes[!side], &nodes[side]), 0);
    assert_int_equal(soma_kill(nodes[0].system, nodes[1].agent), 0);
    wait_word("word of the end", &exits, 1);
    assert_int_equal(atomic_load(&exit_reason), SOMA_EKILLED);
    nodes_close(nodes, 2);
}

/* ---- nodes ---- */

static void test_node_down(void **state)
{
    (void)state;
    struct node nodes[2];
    pair_open(nodes);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, watch_it, .agent = nodes[1].agent), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, link_to, .agent = nodes[1].agent, .trap = true), 0);
    assert_int_equal(settle(&nodes[0], &nodes[0]), 0);
    assert_int_equal(settle(&nodes[0], &nodes[1]), 0);
    assert_int_equal(soma_bridge_close(&nodes[1].bridge), 0);
    wait_word("the monitor", &downs, 1);
    wait_word("the link", &exits, 1);
    assert_int_equal(atomic_load(&down_reason), SOMA_ENODEDOWN);
    assert_int_equal(atomic_load(&exit_reason), SOMA_ENODEDOWN);
    wait_word("the other end", &stops, 1); // from there the first node is down just as well
    assert_int_equal(atomic_load(&stop_reason), SOMA_ENODEDOWN);
    nodes_close(nodes, 2);
}

/* The agent of a bridge lives as long as that, whatever other nodes order, and who links with it ends with the node. */
static void test_bridge_agent(void **state)
{
    (void)state;
    struct node nodes[3];
    struct pong answer;
    pair_open(nodes);
    node_open(&nodes[2], "third");
    node_spawn(&nodes[2], &mortal);
    node_find(&nodes[2], &nodes[1], "mortal");
    soma_ref lasting = soma_bridge_agent(nodes[1].bridge);
    assert_int_equal(soma_kill(nodes[0].system, lasting), 0);
    assert_int_equal(soma_shutdown(nodes[0].system, lasting), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, link_to, .agent = lasting), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, unlink_from, .agent = lasting), 0);
    assert_int_equal(soma_send(nodes[2].system, nodes[2].agent, link_to, .agent = lasting, .trap = true), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, link_to, .agent = lasting), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, fail_now, .reason = -1000), 0);
    wait_word("the end that is not shared", &stops, 1);
    assert_int_equal(soma_call(nodes[2].system, nodes[2].agent, PATIENCE, &answer, pong, ping), 0);
    for (int i = 0; i < 3; i += 2)
        node_find(&nodes[i], &nodes[1], "mortal"); // its agent is asked
    assert_int_equal(soma_bridge_close(&nodes[1].bridge), 0);
    wait_word("word of the node's end", &exits, 1);
    assert_int_equal(atomic_load(&exit_reason), SOMA_ENODEDOWN);
    nodes_close(nodes, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monitor_gone),  cmocka_unit_test(test_monitor_reasons),
        cmocka_unit_test(test_link),          cmocka_unit_test(test_link_trapped),
        cmocka_unit_test(test_link_ended),    cmocka_unit_test(test_link_gone),
        cmocka_unit_test(test_link_crossing), cmocka_unit_test(test_node_down),
        cmocka_unit_test(test_bridge_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
