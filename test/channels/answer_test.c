/*
 * Answers to questions from beyond, by whatever way they come: from the agent that was asked, in the same frame as the
 * question's name or not; from another node; and word that there will be none.
 */
#include "desk.h"
#include <sched.h>
#include <stdlib.h>

#define SLOW_SIZE 9u /* of an answer that takes its time to be written */

static soma_ref helper; /* who answers for who was asked */

/* ---- who is asked ---- */

/* At once. What is no message is not sent, and then another may be. */
static int on_asked(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my;
    assert_int_equal(soma_reply(self, chunk, .data = {NULL, 1}), SOMA_EINVAL);
    return soma_reply(self, chunk, .data = {bytes, size_asked(m)});
}

static int on_passed(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    return soma_forward(self, helper);
}

/* The helper: at once what is small, else never. */
static int on_helped(soma_agent *self, void *my, const struct chunk *m)
{
    uint32_t size = size_asked(m);
    (void)my;
    if (size <= MOST)
        return soma_reply(self, chunk, .data = {bytes, size});
    atomic_fetch_add(&held, 1);
    return soma_reply_later(self) < 0;
}

static const soma_behavior helpful = {.name = "helper", .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_helped))};

/* ---- a serializer that is slow ---- */

static atomic_int writes, may_write;

static int slow_pack(const soma_type *type, const void *message, void **data, size_t *size)
{
    const struct chunk *m = message;
    assert_ptr_equal(type, &chunk_type);
    if (m->data.size == SLOW_SIZE) {
        atomic_store(&writes, 1);
        while (!atomic_load(&may_write))
            sched_yield();
    }
    *size = m->data.size;
    *data = malloc(*size);
    memcpy(*data, m->data.data, *size);
    return 0;
}

static int slow_unpack(const soma_type *type, const void *data, size_t size, void *message)
{
    const struct chunk view = {.data = {data, (uint32_t)size}};
    return type == &chunk_type ? soma_type_copy(type, message, &view) : SOMA_ETYPE;
}

/* ---- tests ---- */

/* Up to the last byte that a message may have, whether the name fits beside it or not. */
static void test_of_each_size(void **state)
{
    static const uint32_t asked[] = {1, MOST - 13, MOST - 12, MOST - 11, MOST, MOST + 1, 2, 0};
    struct node node;
    (void)state;
    node_open(&node, "answers");
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_asked)), asked);
    wait_word("answers", &answered, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(sizes[i], i == 5 ? 0 : asked[i]);
        assert_int_equal(errors[i], i == 5 ? SOMA_ETOOBIG : 0);
    }
    nodes_close(&node, 1);
}

/* By somebody else, in this node or another one, who answers, and ends when it should answer again. */
static void helped(struct node *node, struct node *with)
{
    static const uint32_t asked[] = {5, MOST, MOST + 1, 7, 0};
    node_spawn(with, &helpful);
    helper = with->agent;
    assert_int_equal(soma_type_register(node->system, &chunk_type),
                     0); // or an answer from elsewhere is of no type here
    if (with != node)
        helper = node_find(node, with, "helper");
    desk_ask(node, SOMA_HANDLERS(SOMA_ON(chunk, on_passed)), asked);
    wait_word("a question that is held", &held, 1);
    assert_int_equal(soma_kill(with->system, with->agent), 0);
    wait_word("answers", &answered, 4);
    assert_int_equal(errors[0], 0);
    assert_int_equal(sizes[0], 5);
    assert_int_equal(sizes[1], MOST);
    assert_int_equal(errors[2], SOMA_EGONE);
    assert_int_equal(errors[3], SOMA_EGONE);
}

static void test_from_another(void **state)
{
    struct node node;
    (void)state;
    node_open(&node, "answers");
    helped(&node, &node);
    nodes_close(&node, 1);
}

static void test_from_another_node(void **state)
{
    struct node nodes[2];
    (void)state;
    node_open(&nodes[0], "answers");
    node_open(&nodes[1], "helps");
    helped(&nodes[0], &nodes[1]);
    nodes_close(nodes, 2);
}

/* Another node's answer is not written by who brings it: all that comes from other nodes would wait meanwhile. */
static void test_from_another_node_slowly(void **state)
{
    static const uint32_t asked[] = {SLOW_SIZE, 1, 0};
    const soma_serializer slow = {"slow", slow_pack, slow_unpack};
    struct node nodes[2];
    (void)state;
    node_open(&nodes[0], "answers");
    node_open(&nodes[1], "helps");
    assert_int_equal(soma_serializer_register(nodes[0].system, &slow), 0);
    assert_int_equal(soma_type_register(nodes[0].system, &chunk_type), 0);
    node_spawn(&nodes[1], &helpful);
    helper = node_find(&nodes[0], &nodes[1], "helper");
    speaks.serializer = "slow";
    desk_ask(&nodes[0], SOMA_HANDLERS(SOMA_ON(chunk, on_passed)), asked);
    wait_word("a slow answer", &writes, 1);
    assert_int_equal(soma_name_set(nodes[0].system, nodes[0].agent, "desk"), 0);
    node_find(&nodes[1], &nodes[0], "desk"); // by the bridge, whose turn is free
    atomic_store(&may_write, 1);
    wait_word("answers", &answered, 2);
    assert_int_equal(sizes[0], SLOW_SIZE);
    assert_int_equal(sizes[1], 1);
    speaks.serializer = "raw";
    nodes_close(nodes, 2);
}

int main(void)
{
    bytes_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_each_size),
        cmocka_unit_test(test_from_another),
        cmocka_unit_test(test_from_another_node),
        cmocka_unit_test(test_from_another_node_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
