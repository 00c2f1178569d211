/* Message types that two nodes have unlike: what fits is understood, what does not is said clearly where it can be
 * mended. In one process, so the other node's types are descriptors made by hand, of the same names. */
#include "nodes.h"
#include <soma/monitor.h>
#include <soma/request.h>
#include <stdio.h>

SOMA_MESSAGE(grow, (u64, number))
SOMA_MESSAGE(grow_longer, (u64, number), (string, text), (array, u32, list))
SOMA_MESSAGE(flat, (u64, number))
SOMA_MESSAGE(flat_longer, (u64, number), (u32, more))
SOMA_MESSAGE(unlike, (u64, number), (string, text))
SOMA_MESSAGE(unlike_other, (string, text), (u64, number))
SOMA_MESSAGE(stranger, (bool, odd))
SOMA_MESSAGE(told, (u64, number))

static soma_type grow_far, flat_far, unlike_far;

/* The descriptor of a type as the other node has it: under the name of the first. */
static soma_type named(const soma_type *type, const char *name)
{
    soma_type other = *type;
    other.name = name;
    return other;
}

static atomic_int handled, sum;

static int on_grow(soma_agent *self, void *my, const struct grow *m)
{
    (void)self, (void)my;
    atomic_fetch_add(&sum, (int)m->number);
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int on_grow_longer(soma_agent *self, void *my, const struct grow_longer *m)
{
    (void)self, (void)my;
    if (!m->text && !m->list.count)
        atomic_fetch_add(&sum, (int)m->number);
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int on_flat(soma_agent *self, void *my, const struct flat *m)
{
    (void)self, (void)my;
    atomic_fetch_add(&sum, (int)m->number);
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int on_flat_longer(soma_agent *self, void *my, const struct flat_longer *m)
{
    (void)self, (void)my;
    if (!m->more)
        atomic_fetch_add(&sum, (int)m->number);
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int on_unlike_other(soma_agent *self, void *my, const struct unlike_other *m)
{
    (void)my, (void)m;
    return soma_reply(self, told);
}

#define ERASED(fn) ((soma_handler_fn *)(void (*)(void))(fn))

static const soma_behavior near = {.name = "near",
                                   .handlers = SOMA_HANDLERS(SOMA_ON(grow, on_grow), SOMA_ON(flat, on_flat))};

static const soma_behavior far = {.name = "far",
                                  .handlers = (const soma_handler[]){{&grow_far, ERASED(on_grow_longer), 0, NULL},
                                                                     {&flat_far, ERASED(on_flat_longer), 0, NULL},
                                                                     {&unlike_far, ERASED(on_unlike_other), 0, NULL},
                                                                     {NULL, NULL, 0, NULL}}};

/* ---- what the sender's log says ---- */

static char logged[4][512];
static atomic_int lines;

static void sink(void *context, const soma_log_record *record)
{
    (void)context;
    int line = atomic_load(&lines);
    if (line == 4)
        return;
    snprintf(logged[line], sizeof(logged[line]), "%s", record->text);
    atomic_store(&lines, line + 1);
}

static void pair_open(struct node *nodes)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_options loud = {.log_level = SOMA_LOG_ERROR, .log_sink = sink};
    const soma_bridge_options options = {.bind = bind, .down_ms = 20000, .heartbeat_ms = 6000};
    grow_far = named(&grow_longer_type, "grow");
    flat_far = named(&flat_longer_type, "flat");
    unlike_far = named(&unlike_other_type, "unlike");
    atomic_store(&handled, 0);
    atomic_store(&sum, 0);
    atomic_store(&lines, 0);
    assert_int_equal(soma_system_open(&nodes[0].system, &loud), 0);
    assert_int_equal(soma_bridge_open(nodes[0].system, &options, &nodes[0].bridge), 0);
    node_spawn(&nodes[0], &near);
    node_open(&nodes[1], "other");
    node_spawn(&nodes[1], &far);
    node_find(&nodes[0], &nodes[1], "far");
}

/* Fields that only the sender has are skipped, those that only the receiver has are zero. */
static void test_trailing(void **state)
{
    (void)state;
    struct node nodes[2];
    uint32_t numbers[] = {1, 2, 3};
    const struct grow_longer longer = {.number = 1, .text = "more", .list = {numbers, 3}};
    const struct flat_longer flat_more = {.number = 10, .more = 7};
    pair_open(nodes);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, grow, .number = 100), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, flat, .number = 1000), 0);
    assert_int_equal(soma_system_send(nodes[1].system, nodes[0].agent, &grow_far, &longer), 0);
    assert_int_equal(soma_system_send(nodes[1].system, nodes[0].agent, &flat_far, &flat_more), 0);
    wait_word("messages", &handled, 4);
    assert_int_equal(atomic_load(&sum), 1111);
    assert_int_equal(atomic_load(&lines), 0);
    nodes_close(nodes, 2);
}

/* Sends and asks for what the other node does not have so, many times: it is offered anew each time, as it may be known
 * by then, but the log says so once. */
static void refused(const struct node *nodes, const soma_type *type, const void *body)
{
    struct told answer;
    for (int i = 0; i < 100; i++)
        assert_int_equal(soma_system_send(nodes[0].system, nodes[1].agent, type, body), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(soma_call_send(nodes[0].system, nodes[1].agent, PATIENCE, &told_type, &answer, type, body),
                         SOMA_ETYPE);
}

static void test_another_layout(void **state)
{
    (void)state;
    struct node nodes[2];
    const struct unlike body = {.number = 1, .text = "one"};
    pair_open(nodes);
    refused(nodes, &unlike_type, &body);
    wait_word("lines in the log", &lines, 1);
    assert_non_null(strstr(logged[0], "'unlike'"));
    assert_non_null(strstr(logged[0], "{string text,u64 number}"));
    assert_non_null(strstr(logged[0], "{u64 number,string text}"));
    assert_non_null(strstr(logged[0], "other"));
    assert_non_null(strstr(logged[0], "dead letter there"));
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, grow, .number = 1), 0); // all else works on
    wait_word("a message", &handled, 1);
    nodes_close(nodes, 2);
    assert_int_equal(atomic_load(&lines), 1);
}

static void test_unknown(void **state)
{
    (void)state;
    struct node nodes[2];
    const struct stranger body = {.odd = true};
    pair_open(nodes);
    refused(nodes, &stranger_type, &body);
    wait_word("lines in the log", &lines, 1);
    assert_non_null(strstr(logged[0], "does not know 'stranger' {bool odd}"));
    assert_int_equal(soma_type_register(nodes[1].system, &stranger_type), 0);
    struct told answer; // known, but not to the agent
    assert_int_equal(soma_call(nodes[0].system, nodes[1].agent, PATIENCE, &answer, told, stranger, .odd = true),
                     SOMA_EUNHANDLED);
    nodes_close(nodes, 2);
    assert_int_equal(atomic_load(&lines), 1);
}

/* That somebody has ended the other node's runtime alone says: no agent can, though there are handlers for it. */
static void test_ends_of_others(void **state)
{
    (void)state;
    struct node nodes[2];
    const struct soma_down down = {.monitor = 1};
    const struct soma_exited exited = {.reason = SOMA_EKILLED};
    pair_open(nodes);
    assert_int_equal(soma_type_register(nodes[1].system, &soma_down_type), 0);
    assert_int_equal(soma_type_register(nodes[1].system, &soma_exited_type), 0);
    refused(nodes, &soma_down_type, &down);
    refused(nodes, &soma_exited_type, &exited);
    wait_word("lines in the log", &lines, 2);
    assert_non_null(strstr(logged[0], "does not know 'soma_down'"));
    assert_non_null(strstr(logged[1], "does not know 'soma_exited'"));
    nodes_close(nodes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trailing),
        cmocka_unit_test(test_another_layout),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_ends_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
