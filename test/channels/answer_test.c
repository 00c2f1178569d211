/*
 * Answers to questions from beyond, by whatever way they come: from the agent that was asked, in the same frame as the
 * question's name or not; from another node; and word that there will be none.
 */
#include "desk.h"

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

int main(void)
{
    bytes_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_each_size),
        cmocka_unit_test(test_from_another),
        cmocka_unit_test(test_from_another_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
