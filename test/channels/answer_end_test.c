/* What comes to an end, or is somebody else's, while questions over sockets wait for their answers. */
#include "desk.h"
#include "runtime/request.h"
#include "runtime/worker.h"

static soma_ref clerks[2]; /* who has asked, */
static uint64_t names[2];  /* and what by */
static int asked_so_far;

/* ---- who is asked ---- */

static int on_kept(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    clerks[asked_so_far] = soma_sender(self);
    names[asked_so_far++] = self->worker->current->body[0];
    int64_t promise = soma_reply_later(self);
    atomic_fetch_add(&held, 1);
    return promise < 0;
}

/* ---- tests ---- */

static uint64_t late_replies(soma_system *system)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    return stats.late_replies;
}

/* An answer to one clerk with the handle of another one's question is to nothing. */
static void test_of_another_clerk(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    struct chunk answer = {.data = {bytes, 9}};
    (void)state;
    node_open(&node, "two desks");
    for (int i = 0; i < 2; i++) {
        desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_kept)), asked);
        wait_word("a question", &held, 1);
    }
    assert_int_equal(reply_send(node.system, NULL, SOMA_REF_NULL, clerks[0], names[1], &chunk_type, &answer), 0);
    assert_int_equal(late_replies(node.system), 1);
    answer.data.size = 5;
    assert_int_equal(reply_send(node.system, NULL, SOMA_REF_NULL, clerks[1], names[1], &chunk_type, &answer), 0);
    wait_word("the answer", &answered, 1);
    assert_int_equal(sizes[0], 5);
    assert_int_equal(errors[0], 0);
    nodes_close(&node, 1);
}

int main(void)
{
    bytes_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_another_clerk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
