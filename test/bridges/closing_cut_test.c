/* The same as in closing_test.c, through real sockets: a bridge closes while the network to the other node is dead. */
#include "channels/cut.h"
#include "nodes.h"
#include <stdlib.h>

static atomic_int notes;

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    atomic_fetch_add(&notes, (int)m->number);
    return 0;
}

static const soma_behavior reader = {.name = "reader", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note))};

static void *close_main(void *argument)
{
    return soma_bridge_close(&((struct node *)argument)->bridge) ? argument : NULL;
}

static void closes(int which)
{
    struct node nodes[2];
    struct relay relay;
    pthread_t thread;
    soma_ref found;
    void *failed;
    char address[64];
    atomic_store(&notes, 0);
    for (int i = 0; i < 2; i++) {
        node_open(&nodes[i], i ? "second" : "first");
        node_spawn(&nodes[i], &reader);
    }
    relay_open(&relay, (uint16_t)atoi(strrchr(soma_bridge_address(nodes[1].bridge, 0), ':') + 1));
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", relay.from);
    assert_int_equal(soma_bridge_find(nodes[0].bridge, address, "reader", PATIENCE, &found), 0);
    struct node *closing = &nodes[which];
    relay_silence(&relay, true);
    assert_int_equal(soma_send(closing->system, nodes[!which].agent, note, .number = 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, close_main, closing), 0);
    while (!soma_whereis(closing->system, SOMA_NODE, &found)) // with that closing begins
        sched_yield();
    relay_silence(&relay, false); // what was connected is cut
    pthread_join(thread, &failed);
    assert_null(failed);
    wait_word("the note", &notes, 1);
    nodes_close(nodes, 2);
    relay_close(&relay);
}

static void test_caller_closes(void **state)
{
    (void)state;
    closes(0);
}

static void test_called_closes(void **state)
{
    (void)state;
    closes(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caller_closes), cmocka_unit_test(test_called_closes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
