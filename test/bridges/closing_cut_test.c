/* The same as in closing_test.c, through real sockets: a bridge closes while the network to the other node is dead. */
#include "channels/cut.h"
#include "nodes.h"
#include <stdlib.h>

static atomic_int notes, asked;

/* A request that is answered once a note comes. */
static int on_ask(soma_agent *self, soma_handle *promise, const struct ask *m)
{
    (void)m;
    *promise = soma_reply_later(self);
    atomic_store(&asked, 1);
    return *promise < 0;
}

static int on_note(soma_agent *self, soma_handle *promise, const struct note *m)
{
    int error = *promise ? soma_reply_to(self, *promise, answer, .number = 1) : 0;
    *promise = 0;
    atomic_fetch_add(&notes, (int)m->number);
    return error;
}

static const soma_behavior reader = {.name = "reader",
                                     .state_size = sizeof(soma_handle),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(note, on_note))};

static void *close_main(void *argument)
{
    return soma_bridge_close(&((struct node *)argument)->bridge) ? argument : NULL;
}

/* Between them is a relay. */
static void nodes_begin(struct node *nodes, struct relay *relay)
{
    char address[64];
    soma_ref found;
    atomic_store(&notes, 0);
    atomic_store(&asked, 0);
    for (int i = 0; i < 2; i++)
        node_spawn(&nodes[i], &reader);
    relay_open(relay, (uint16_t)atoi(strrchr(soma_bridge_address(nodes[1].bridge, 0), ':') + 1));
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", relay->from);
    assert_int_equal(soma_bridge_find(nodes[0].bridge, address, "reader", PATIENCE, &found), 0);
}

static void closes(int which)
{
    struct node nodes[2];
    struct relay relay;
    pthread_t thread;
    soma_ref found;
    void *failed;
    for (int i = 0; i < 2; i++)
        node_open(&nodes[i], i ? "second" : "first");
    nodes_begin(nodes, &relay);
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

/* ---- what is left ---- */

static char said[4096]; // what the log says of closing

static void sink(void *context, const soma_log_record *record)
{
    (void)context;
    if (strstr(record->text, "closing"))
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", record->text);
}

static int on_answer(soma_agent *self, void *my, const struct answer *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my, (void)error;
    return 0;
}

static soma_ref whom;

static int on_go(soma_agent *self, void *my, const struct note *m)
{
    (void)my;
    return soma_request(self, whom, SOMA_NEVER, SOMA_THEN(answer, on_answer, on_error), ask, m->number) < 0;
}

static const soma_behavior asker = {.name = "asker", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_go))};

/* A message and an answer that do not leave: closing says so, once. */
static void test_left(void **state)
{
    (void)state;
    const soma_options options = {.log_sink = sink};
    const soma_bridge_options bridge = {.name = "first", .close_ms = 100};
    struct node nodes[2] = {0};
    struct relay relay;
    soma_ref agent;
    assert_int_equal(soma_system_open(&nodes[0].system, &options), 0);
    assert_int_equal(soma_bridge_open(nodes[0].system, &bridge, &nodes[0].bridge), 0);
    node_open(&nodes[1], "second");
    nodes_begin(nodes, &relay);
    whom = nodes[0].agent;
    assert_int_equal(soma_spawn(nodes[1].system, &asker, NULL, &agent), 0);
    assert_int_equal(soma_send(nodes[1].system, agent, note, .number = 1), 0);
    wait_word("the question", &asked, 1);
    soma_bridge_peer peer = {.frames_waiting = 1};
    while (peer.frames_waiting) // else the second would wait for word of that at its end
        assert_int_equal(soma_bridge_peers(nodes[1].bridge, &peer, 1), 1);
    relay_silence(&relay, true);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, note, .number = 1), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[0].agent, note, .number = 1), 0);
    wait_word("the note", &notes, 1);
    assert_int_equal(soma_bridge_close(&nodes[0].bridge), SOMA_ETIMEOUT);
    nodes_close(nodes, 2);
    relay_close(&relay);
    assert_string_equal(said, "bridge: closing: 1 messages, 1 answers and 0 other words were not acknowledged\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caller_closes), cmocka_unit_test(test_called_closes),
                                       cmocka_unit_test(test_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
