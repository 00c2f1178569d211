/*
 * How strangers are told apart. One may say that he is known by what ZeroMQ will call another: it aborts the process
 * once it does, so nobody may know what that will be. And what is said of one is not taken for said of the next.
 */
#include "nodes.h"
#include <sched.h>
#include <stdlib.h>
#include <zmq.h>

#define STRANGERS 32u

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(answer, (u64, number))

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, answer, .number = m->number + 1);
}

static const soma_behavior server = {.name = "server", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

/* What a ROUTER of ZeroMQ's counts from, if it is the next to draw from the program's random numbers. */
static uint32_t number_foreseen(void)
{
    srand(1);
    uint32_t low = (uint32_t)rand(), high = (uint32_t)rand();
    srand(1);
    return low | high << 31;
}

static void *stranger_new(void *context)
{
    const int none = 0, once = -1;
    void *stranger = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(stranger);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_LINGER, &none, sizeof(none)), 0);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_RECONNECT_IVL, &once, sizeof(once)), 0);
    return stranger;
}

/* Says something, so that the node is known to have met him. */
static void *stranger_come(void *context, const char *address, uint32_t number)
{
    void *stranger = stranger_new(context);
    const unsigned char identity[5] = {0, (unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                       (unsigned char)(number >> 8), (unsigned char)number};
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_ROUTING_ID, identity, sizeof(identity)), 0);
    assert_int_equal(zmq_connect(stranger, address), 0);
    assert_int_equal(zmq_send(stranger, "?", 1, 0), 1);
    return stranger;
}

static void test_foreseen(void **state)
{
    (void)state;
    struct node nodes[2];
    void *strangers[STRANGERS], *context = zmq_ctx_new();
    soma_bridge_counts counts = {0};
    uint32_t number = number_foreseen();
    node_open(&nodes[0], "served");
    node_spawn(&nodes[0], &server);
    for (uint32_t i = 0; i < STRANGERS; i++)
        strangers[i] = stranger_come(context, soma_bridge_address(nodes[0].bridge, 0), number + i);
    do
        assert_int_equal(soma_bridge_count(nodes[0].bridge, &counts), 0);
    while (counts.bad_frames < STRANGERS && !sched_yield());
    node_open(&nodes[1], "friend"); // of whom it has heard nothing yet, so he gets a number
    soma_ref found = node_find(&nodes[1], &nodes[0], "server");
    struct answer answered;
    assert_int_equal(soma_call(nodes[1].system, found, PATIENCE, &answered, answer, ask, .number = 1), 0);
    assert_int_equal(answered.number, 2);
    nodes_close(nodes, 2);
    for (uint32_t i = 0; i < STRANGERS; i++)
        zmq_close(strangers[i]);
    zmq_ctx_term(context);
}

/* All that they say is nonsense, and after the first of it nobody listens to them. */
static void test_two(void **state)
{
    (void)state;
    struct node node;
    soma_bridge_counts counts = {0};
    void *strangers[2], *context = zmq_ctx_new();
    node_open(&node, "served");
    for (int i = 0; i < 2; i++) {
        strangers[i] = stranger_new(context);
        assert_int_equal(zmq_connect(strangers[i], soma_bridge_address(node.bridge, 0)), 0);
    }
    for (int i = 0; i < 1000; i++)
        zmq_send(strangers[i % 2], "?", 1, ZMQ_DONTWAIT); // he may have been shown out already
    do
        assert_int_equal(soma_bridge_count(node.bridge, &counts), 0);
    while (counts.cut_off < 2 && !sched_yield());
    assert_int_equal(counts.bad_frames, 2);
    for (int i = 0; i < 2; i++)
        zmq_close(strangers[i]);
    zmq_ctx_term(context);
    nodes_close(&node, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_foreseen), cmocka_unit_test(test_two)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
