/* Who connects to whom, when and how often must not matter: two nodes are joined by one session. */
#include "nodes.h"
#include <pthread.h>
#include <sched.h>
#include <soma/monitor.h>
#include <stdio.h>
#include <unistd.h>

SOMA_MESSAGE(watch_it, (ref, agent))
SOMA_MESSAGE(count)
SOMA_MESSAGE(counted, (u64, number))

static atomic_int ends;

static int on_watch_it(soma_agent *self, void *my, const struct watch_it *m)
{
    (void)my;
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : 0;
}

static int on_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)self, (void)my, (void)m;
    atomic_fetch_add(&ends, 1);
    return 0;
}

static int on_count(soma_agent *self, uint64_t *my, const struct count *m)
{
    (void)m;
    return soma_sender(self).node ? soma_reply(self, counted, .number = ++*my) : 0;
}

static const soma_behavior counter = {
    .name = "counter",
    .state_size = sizeof(uint64_t),
    .handlers = SOMA_HANDLERS(SOMA_ON(count, on_count), SOMA_ON(watch_it, on_watch_it), SOMA_ON(soma_down, on_down))};

static void ask(const struct node *from, const struct node *at, uint64_t expected)
{
    struct counted answer;
    assert_int_equal(soma_call(from->system, at->agent, PATIENCE, &answer, counted, count), 0);
    assert_int_equal(answer.number, expected);
}

static void nodes_begin(struct node *nodes, int count)
{
    atomic_store(&ends, 0);
    for (int i = 0; i < count; i++) {
        node_open(&nodes[i], i ? "second" : "first");
        node_spawn(&nodes[i], &counter);
    }
}

/* Watches both ways; so each end of the session would be told of. */
static void watch_both(const struct node *nodes)
{
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, watch_it, .agent = nodes[1].agent), 0);
    assert_int_equal(soma_send(nodes[1].system, nodes[1].agent, watch_it, .agent = nodes[0].agent), 0);
}

static void test_called_back(void **state)
{
    (void)state;
    struct node nodes[2];
    nodes_begin(nodes, 2);
    node_find(&nodes[0], &nodes[1], "counter");
    watch_both(nodes);
    ask(&nodes[0], &nodes[1], 1);
    node_find(&nodes[1], &nodes[0], "counter"); // there is a link already
    ask(&nodes[1], &nodes[0], 1);
    ask(&nodes[0], &nodes[1], 2);
    assert_int_equal(atomic_load(&ends), 0);
    nodes_close(nodes, 2);
}

static void test_two_addresses(void **state)
{
    (void)state;
    static const char *const both[] = {"tcp://127.0.0.1", "tcp://127.0.0.1", NULL};
    struct node nodes[2];
    soma_ref found;
    node_open(&nodes[0], "first");
    node_spawn(&nodes[0], &counter);
    node_open_at(&nodes[1], "second", both);
    node_spawn(&nodes[1], &counter);
    atomic_store(&ends, 0);
    node_find(&nodes[0], &nodes[1], "counter");
    watch_both(nodes);
    ask(&nodes[0], &nodes[1], 1);
    const char *second = soma_bridge_address(nodes[1].bridge, 1);
    assert_string_not_equal(second, soma_bridge_address(nodes[1].bridge, 0));
    assert_int_equal(soma_bridge_find(nodes[0].bridge, second, "counter", PATIENCE, &found), 0);
    assert_true(soma_ref_equal(found, nodes[1].agent));
    ask(&nodes[0], &nodes[1], 2);
    ask(&nodes[1], &nodes[0], 1);
    assert_int_equal(atomic_load(&ends), 0);
    nodes_close(nodes, 2);
}

/* Two that know each other from a third one, and are linked. Each finds the other by its address, too. */
static void test_hearsay(void **state)
{
    (void)state;
    struct node nodes[3];
    nodes_begin(nodes, 3);
    node_find(&nodes[1], &nodes[0], "counter");
    node_find(&nodes[2], &nodes[0], "counter");
    soma_bridge_peer peers[2] = {0};
    while (soma_bridge_peers(nodes[1].bridge, peers, 2) < 2 || !peers[0].connected || !peers[1].connected)
        sched_yield();
    for (int i = 1; i < 3; i++)
        assert_true(soma_ref_equal(node_find(&nodes[i], &nodes[3 - i], "counter"), nodes[3 - i].agent));
    assert_int_equal(atomic_load(&ends), 0);
    nodes_close(nodes, 3);
}

struct caller {
    const struct node *from;
    const struct node *at;
    pthread_t thread;
};

static void *call_main(void *argument)
{
    const struct caller *caller = argument;
    soma_ref found;
    int error =
        soma_bridge_find(caller->from->bridge, soma_bridge_address(caller->at->bridge, 0), "counter", PATIENCE, &found);
    struct counted answer = {0};
    for (int i = 0; i < 10 && !error; i++)
        error = soma_call(caller->from->system, found, PATIENCE, &answer, counted, count);
    return error || answer.number != 10 ? argument : NULL;
}

/* Two nodes that call each other at once, and send at once: one session, of which nothing is lost. */
static void test_at_once(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < test_load(50); round++) {
        struct node nodes[2];
        nodes_begin(nodes, 2);
        struct caller callers[2] = {{.from = &nodes[0], .at = &nodes[1]}, {.from = &nodes[1], .at = &nodes[0]}};
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&callers[i].thread, NULL, call_main, &callers[i]), 0);
        for (int i = 0; i < 2; i++) {
            void *failed;
            pthread_join(callers[i].thread, &failed);
            assert_null(failed);
        }
        soma_bridge_peer peers[2];
        for (int i = 0; i < 2; i++)
            assert_int_equal(soma_bridge_peers(nodes[i].bridge, peers, 2), 1);
        nodes_close(nodes, 2);
    }
}

/* Who is called comes later, and again: each time another node. */
static void test_late(void **state)
{
    (void)state;
    struct node nodes[2];
    char address[64];
    soma_ref found[2];
    snprintf(address, sizeof(address), "ipc:///tmp/soma_handshake_test.%d", (int)getpid());
    const char *const bind[] = {address, NULL};
    node_open(&nodes[0], "first");
    assert_int_equal(soma_bridge_find(nodes[0].bridge, address, "counter", SOMA_MS, &found[0]), SOMA_ETIMEOUT);
    for (int i = 0; i < 2; i++) {
        node_open_at(&nodes[1], "second", bind);
        node_spawn(&nodes[1], &counter);
        assert_int_equal(soma_bridge_find(nodes[0].bridge, address, "counter", PATIENCE, &found[i]), 0);
        assert_true(soma_ref_equal(found[i], nodes[1].agent));
        ask(&nodes[0], &nodes[1], 1);
        assert_int_equal(soma_system_close(&nodes[1].system), 0);
    }
    assert_int_not_equal(found[0].node, found[1].node);
    struct counted answer;
    assert_int_equal(soma_call(nodes[0].system, found[0], PATIENCE, &answer, counted, count), SOMA_ENODEDOWN);
    nodes_close(nodes, 1);
    unlink(address + strlen("ipc://"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_called_back), cmocka_unit_test(test_two_addresses), cmocka_unit_test(test_hearsay),
        cmocka_unit_test(test_at_once),     cmocka_unit_test(test_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
