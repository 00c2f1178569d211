/*
 * Answers to questions from beyond, by whatever way they come: from the agent that was asked, in the same frame as the
 * question's name or not; from another node; and word that there will be none.
 */
#include "../bridges/nodes.h"
#include <soma/channel.h>

SOMA_MESSAGE(chunk, (bytes, data))

#define MOST 1000u /* bytes of a message here */
#define BACK_MOST 16

static char bytes[MOST + 1];
static soma_address place;
static soma_ref helper; /* who answers for who was asked */
static atomic_int bound, answered, held;
static uint32_t sizes[BACK_MOST]; /* of the answers; */
static int errors[BACK_MOST];     /* or why there is none */

static const soma_channel_options least = {.serializer = "raw", .message_most = MOST};

/* ---- who asks: for one answer after the other, by its size ---- */

struct asker {
    const uint32_t *next; /* 0 is the last */
    int count;
};

static int ask_next(soma_agent *self, struct asker *my);

static int answer_note(soma_agent *self, struct asker *my, uint32_t size, int error)
{
    sizes[my->count] = size;
    errors[my->count++] = error;
    atomic_fetch_add(&answered, 1);
    return ask_next(self, my);
}

static int on_answer(soma_agent *self, struct asker *my, const struct chunk *m)
{
    assert_memory_equal(m->data.data, bytes, m->data.size);
    return answer_note(self, my, m->data.size, 0);
}

static int on_no_answer(soma_agent *self, struct asker *my, const int *error)
{
    return answer_note(self, my, 0, *error);
}

static int ask_next(soma_agent *self, struct asker *my)
{
    uint32_t size = *my->next++;
    if (!size)
        return 0;
    return soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(chunk, on_answer, on_no_answer), chunk,
                           .data = {(const char *)&size, sizeof(size)}) < 0;
}

static int on_changed(soma_agent *self, struct asker *my, const struct soma_channel_changed *m)
{
    return m->peers ? ask_next(self, my) : 0;
}

static int asker_init(soma_agent *self, void *state, const void *asked)
{
    ((struct asker *)state)->next = asked;
    return soma_connect_with(self, &place, "it", &least);
}

static const soma_behavior asker = {.name = "asker",
                                    .state_size = sizeof(struct asker),
                                    .init = asker_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

/* ---- who is asked ---- */

static uint32_t size_asked(const struct chunk *m)
{
    uint32_t size;
    assert_int_equal(m->data.size, sizeof(size));
    memcpy(&size, m->data.data, sizeof(size));
    return size;
}

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

static int desk_init(soma_agent *self, void *my, const void *handlers)
{
    soma_channel_options options = least;
    (void)my;
    options.place = "tcp";
    options.handlers = handlers;
    int error = soma_bind(self, SOMA_ASYNC_REP, "it", &options, &place);
    atomic_store(&bound, 1);
    return error;
}

static const soma_behavior desk = {.name = "desk", .init = desk_init};

/* A desk with such handlers is asked for answers of sizes. */
static void desk_ask(struct node *node, const soma_handler *handlers, const uint32_t *asked)
{
    soma_ref ref;
    atomic_store(&bound, 0);
    atomic_store(&answered, 0);
    atomic_store(&held, 0);
    assert_int_equal(soma_spawn(node->system, &desk, handlers, &node->agent), 0);
    wait_word("a desk", &bound, 1);
    assert_int_equal(soma_spawn(node->system, &asker, asked, &ref), 0);
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

int main(void)
{
    for (uint32_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i % 251);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_each_size),
        cmocka_unit_test(test_from_another),
        cmocka_unit_test(test_from_another_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
