/*
 * Memory is out where a question over a socket is taken, or answered: it is lost, or fails, but the line goes on, and
 * who answers may try again. The linker wraps what makes blocks and frames, see test/CMakeLists.txt.
 */
#include "channels/remote.h"
#include "desk.h"
#include "runtime/request.h"
#include <zmq.h>

static atomic_int short_of = -1; /* the next block of this kind can't be had; below 0: all can */

struct message *__real_message_new(struct worker *worker, enum message_kind kind, size_t size);
struct message *__wrap_message_new(struct worker *worker, enum message_kind kind, size_t size);

struct message *__wrap_message_new(struct worker *worker, enum message_kind kind, size_t size)
{
    int expected = (int)kind;
    return atomic_compare_exchange_strong(&short_of, &expected, -1) ? NULL : __real_message_new(worker, kind, size);
}

static atomic_int too_large = -1; /* nor the next frame of so many bytes, */
static _Thread_local int frames;  /* or the next ones that this thread makes */

int __real_zmq_msg_init_size(zmq_msg_t *part, size_t size);
int __wrap_zmq_msg_init_size(zmq_msg_t *part, size_t size);

int __wrap_zmq_msg_init_size(zmq_msg_t *part, size_t size)
{
    int expected = (int)size;
    bool fails = frames || atomic_compare_exchange_strong(&too_large, &expected, -1);
    frames -= frames > 0;
    if (fails)
        memset(part, 0xff, sizeof(*part)); // ZeroMQ leaves garbage, too
    return fails ? -1 : __real_zmq_msg_init_size(part, size);
}

/* ---- who is asked ---- */

static soma_ref clerk;
static uint64_t name;
static atomic_int missed;

/* The second try does. */
static int on_tried(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my;
    frames = 1;
    assert_int_equal(soma_reply(self, chunk, .data = {bytes, size_asked(m)}), SOMA_ENOMEM);
    return soma_reply(self, chunk, .data = {bytes, size_asked(m)});
}

static int on_kept(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    clerk = soma_sender(self);
    name = self->worker->current->body[0];
    int64_t promise = soma_reply_later(self);
    atomic_fetch_add(&held, 1);
    return promise < 0;
}

/* There is not even a word of failure. */
static int on_failed(soma_agent *self, void *my, const struct chunk *m)
{
    soma_channel_counts counts;
    (void)my, (void)m;
    frames = 1;
    assert_int_equal(soma_reply_error(self, SOMA_EFORMAT), 0);
    assert_int_equal(soma_channel_count(self, "it", &counts), 0);
    atomic_store(&missed, (int)counts.missed);
    return 0;
}

static int on_asked(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my;
    return soma_reply(self, chunk, .data = {bytes, size_asked(m)});
}

SOMA_MESSAGE(look)

static atomic_int malformed, looked;

static int on_look(soma_agent *self, void *my, const struct look *m)
{
    soma_channel_counts counts;
    (void)my, (void)m;
    assert_int_equal(soma_channel_count(self, "it", &counts), 0);
    if (!counts.missed && !counts.malformed)
        return soma_after(self, SOMA_MS, look) < 0;
    atomic_store(&missed, (int)counts.missed);
    atomic_store(&malformed, (int)counts.malformed);
    atomic_store(&looked, 1);
    return 0;
}

static const soma_behavior looks = {
    .name = "looks", .init = desk_init, .handlers = SOMA_HANDLERS(SOMA_ON(look, on_look))};

/* ---- tests ---- */

/* A question for which there is no block is lost. Its bytes count neither as waiting nor as handled. */
static void test_of_what_comes(void **state)
{
    static const uint32_t asked[] = {1, 0, 2, 3, 0};
    struct node node;
    (void)state;
    node_open(&node, "short");
    soma_ref asks = desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_asked)), asked);
    wait_word("an answer", &answered, 1);
    atomic_store(&short_of, MESSAGE_CALLBACK); // nothing else makes one now
    assert_int_equal(soma_send(node.system, asks, more), 0);
    wait_word("a question that is lost", &short_of, -1);
    assert_int_equal(soma_send(node.system, asks, more), 0);
    wait_word("the answer to the next", &answered, 2);
    assert_int_equal(sizes[1], 3);
    nodes_close(&node, 1);
}

/* Who answers may try again. */
static void test_of_an_answer(void **state)
{
    static const uint32_t asked[] = {5, 200, 0}; // what is larger comes from a pool
    struct node node;
    (void)state;
    node_open(&node, "tries");
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_tried)), asked);
    wait_word("answers", &answered, 2);
    assert_int_equal(sizes[0], 5);
    assert_int_equal(sizes[1], 200);
    nodes_close(&node, 1);
}

/* Who has answered from elsewhere can't: who has asked hears why there is no answer. */
static void test_of_an_answer_on_its_way(void **state)
{
    static const uint32_t asked[] = {5, 0};
    const struct chunk answer = {.data = {bytes, 5}};
    struct node node;
    struct message *message;
    (void)state;
    node_open(&node, "far");
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_kept)), asked);
    wait_word("a question", &held, 1);
    assert_int_equal(message_build(NULL, MESSAGE_REPLY, name, &chunk_type, &answer, &message), 0);
    message->sender = SOMA_REF_NULL;
    frames = 1;
    assert_int_equal(message_push(node.system, NULL, clerk, message), 0);
    wait_word("no answer", &answered, 1);
    assert_int_equal(errors[0], SOMA_ENOMEM);
    nodes_close(&node, 1);
}

/* Nobody hears of it, but it is counted. */
static void test_of_a_failure(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    (void)state;
    node_open(&node, "fails");
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_failed)), asked);
    wait_word("a failure that is lost", &missed, 1);
    nodes_close(&node, 1);
}

/* There is no block to show an answer in: the request fails. */
static void test_of_who_asks(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    (void)state;
    node_open(&node, "asks");
    atomic_store(&short_of, MESSAGE_REPLY);
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_asked)), asked);
    wait_word("no answer", &answered, 1);
    assert_int_equal(errors[0], SOMA_ENOMEM);
    nodes_close(&node, 1);
}

/* A subscriber's question is lost for the same reason, and not malformed. */
static void test_of_a_subscriber(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    (void)state;
    node_open(&node, "publishes");
    desk_pattern = SOMA_SYNC_PUB;
    atomic_store(&too_large, ANSWER_TOPIC);
    desk_ask_at(&node, &looks, SOMA_HANDLERS(SOMA_ON(chunk, on_asked)), asked);
    assert_int_equal(soma_send(node.system, node.agent, look), 0);
    wait_word("a look", &looked, 1);
    assert_int_equal(atomic_load(&missed), 1);
    assert_int_equal(atomic_load(&malformed), 0);
    nodes_close(&node, 1);
}

int main(void)
{
    bytes_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_what_comes),
        cmocka_unit_test(test_of_an_answer),
        cmocka_unit_test(test_of_an_answer_on_its_way),
        cmocka_unit_test(test_of_a_failure),
        cmocka_unit_test(test_of_who_asks),
        cmocka_unit_test(test_of_a_subscriber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
