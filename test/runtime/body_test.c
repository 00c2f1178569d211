/* Shared bodies: one copy for many receivers, none for a moved one, kept and forwarded, freed once. */
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(chunk, (string, name), (bytes, data))
SOMA_MESSAGE(pass, (ref, to))
SOMA_MESSAGE(sum, (u64, bytes))
SOMA_MESSAGE(report)

struct reader {
    uint64_t bytes;
    const void *data; /* where the last chunk was */
    soma_body *kept;
    soma_ref next;
};

static int on_chunk(soma_agent *self, struct reader *my, const struct chunk *m)
{
    my->bytes += m->data.size;
    my->data = m->data.data;
    soma_body_close(&my->kept);
    my->kept = soma_current_body(self);
    return soma_ref_is_null(my->next) ? 0 : soma_forward(self, my->next);
}

static int on_pass(soma_agent *self, struct reader *my, const struct pass *m)
{
    (void)self;
    my->next = m->to;
    return 0;
}

static int on_report(soma_agent *self, struct reader *my, const struct report *m)
{
    (void)m;
    const struct chunk *kept = soma_body_message(my->kept);
    return soma_reply(self, sum, .bytes = kept && kept->data.data == my->data ? my->bytes : 0);
}

static void reader_stop(soma_agent *self, void *state, int reason)
{
    (void)self;
    (void)reason;
    soma_body_close(&((struct reader *)state)->kept);
}

static const soma_behavior reader = {
    .name = "reader",
    .state_size = sizeof(struct reader),
    .stop = reader_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_chunk), SOMA_ON(pass, on_pass), SOMA_ON(report, on_report)),
};

static uint64_t bytes_of(soma_system *system, soma_ref ref)
{
    struct sum sum;
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &sum, sum, report), 0);
    return sum.bytes;
}

static void test_many(void **state)
{
    (void)state;
    static char big[100000];
    soma_system *system;
    soma_ref readers[20];
    soma_body *body;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_body_new(&body, chunk, .name = "zeros", .data = {big, sizeof(big)}), 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(soma_spawn(system, &reader, NULL, &readers[i]), 0);
        assert_int_equal(soma_send_body(system, readers[i], body), 0);
    }
    soma_body_close(&body);
    assert_null(body);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(bytes_of(system, readers[i]), sizeof(big));
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_move_and_forward(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref first, second;
    soma_body *body;
    struct chunk mine = {.name = strdup("mine"), .data = {calloc(1, 5000), 5000}};
    const void *data = mine.data.data;
    assert_int_equal(soma_body_move(&body, &chunk_type, &mine), 0);
    assert_null(mine.name);
    assert_ptr_equal(((const struct chunk *)soma_body_message(body))->data.data, data);
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &reader, NULL, &first), 0);
    assert_int_equal(soma_spawn(system, &reader, NULL, &second), 0);
    assert_int_equal(soma_send(system, first, pass, .to = second), 0);
    assert_int_equal(soma_send_body(system, first, body), 0);
    assert_int_equal(soma_send_body(system, first, body), 0);
    soma_body_close(&body);
    assert_int_equal(bytes_of(system, first), 10000);
    assert_int_equal(bytes_of(system, second), 10000);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_dead_and_misuse(void **state)
{
    (void)state;
    soma_system *system;
    soma_body *body = NULL;
    const struct chunk message = {.name = "x"}, broken = {.data = {NULL, 5}};
    const soma_ref nobody = SOMA_REF_NULL;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_body_copy(NULL, &chunk_type, &message), SOMA_EINVAL);
    assert_int_equal(soma_body_copy(&body, NULL, &message), SOMA_EINVAL);
    assert_int_equal(soma_body_copy(&body, &chunk_type, NULL), SOMA_EINVAL);
    assert_int_equal(soma_body_copy(&body, &chunk_type, &broken), SOMA_EINVAL);
    assert_null(body);
    assert_int_equal(soma_body_copy(&body, &chunk_type, &message), 0);
    assert_int_equal(soma_send_body(system, nobody, body), SOMA_EGONE); // a dead letter drops its reference
    assert_int_equal(soma_system_send_body(system, nobody, NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_send_body(NULL, nobody, body), SOMA_EINVAL);
    assert_null(soma_body_share(NULL));
    assert_null(soma_body_message(NULL));
    assert_null(soma_current_body(NULL));
    soma_body_close(&body);
    soma_body_close(&body);
    soma_body_close(NULL);
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_move_and_forward),
        cmocka_unit_test(test_dead_and_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
