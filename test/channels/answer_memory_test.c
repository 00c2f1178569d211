/*
 * Memory is out where a question over a socket is taken, or answered: it is lost, or fails, but the line goes on, and
 * who answers may try again. The linker wraps what makes blocks and frames, see test/CMakeLists.txt.
 */
#include "desk.h"
#include "runtime/message.h"
#include <zmq.h>

struct worker;

static atomic_int short_of = -1; /* the next block of this kind can't be had; below 0: all can */

struct message *__real_message_new(struct worker *worker, enum message_kind kind, size_t size);
struct message *__wrap_message_new(struct worker *worker, enum message_kind kind, size_t size);

struct message *__wrap_message_new(struct worker *worker, enum message_kind kind, size_t size)
{
    int expected = (int)kind;
    return atomic_compare_exchange_strong(&short_of, &expected, -1) ? NULL : __real_message_new(worker, kind, size);
}

/* ---- who is asked ---- */

static int on_asked(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my;
    return soma_reply(self, chunk, .data = {bytes, size_asked(m)});
}

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

int main(void)
{
    bytes_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_what_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
