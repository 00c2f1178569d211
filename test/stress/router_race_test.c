/* A router under threads that ask at once, while members end and their next lives join: one outcome for each request.
 */
#include "test_support.h"
#include <pthread.h>
#include <soma/soma.h>
#include <stdatomic.h>

SOMA_MESSAGE(ask, (u64, key))
SOMA_MESSAGE(told, (ref, member))

static soma_system *sys;
static atomic_uint good, failed;

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    int error = soma_reply(self, told, .member = soma_self(self));
    return m->key % 16 ? error : SOMA_EFORMAT;
}

static int joiner_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return soma_send(self, *(const soma_ref *)arg, soma_router_add, .member = soma_self(self));
}

static const soma_behavior joiner = {
    .name = "joiner", .init = joiner_init, .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

static void *asks(void *arg)
{
    soma_ref router = *(soma_ref *)arg;
    struct told answer;
    for (uint64_t n = 1; n <= test_load(1000); n++) {
        int error = soma_call(sys, router, SOMA_NEVER, &answer, told, ask, .key = n);
        assert_true(error == 0 || error == SOMA_EGONE || error == SOMA_ENOENT);
        atomic_fetch_add(error ? &failed : &good, 1);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    const soma_options options = {.workers = 4, .log_level = SOMA_LOG_OFF};
    const soma_routing routing = {.strategy = SOMA_RANDOM};
    pthread_t threads[3];
    soma_ref router, supervisor;
    assert_int_equal(soma_system_open(&sys, &options), 0);
    assert_int_equal(soma_spawn(sys, &soma_router, &routing, &router), 0);
    const soma_child kind = {.behavior = &joiner, .arg = &router};
    const soma_supervision spec = {
        .strategy = SOMA_POOL, .children = &kind, .count = 4, .intensity = 1000, .period = SOMA_US};
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &spec, &supervisor), 0);
    atomic_store(&good, 0);
    atomic_store(&failed, 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, asks, &router), 0);
    for (uint32_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&good) + atomic_load(&failed), 3 * test_load(1000)); // each has one outcome
    assert_true(atomic_load(&good) > atomic_load(&failed));
    assert_int_equal(soma_system_close(&sys), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
