/* Blocking agents: they hold up nobody, talk to the others both ways, and end in every way. */
#include "test_support.h"
#include <pthread.h>
#include <soma/soma.h>
#include <stdatomic.h>

SOMA_MESSAGE(wait_gate)
SOMA_MESSAGE(echo, (u64, n))
SOMA_MESSAGE(echoed, (u64, n))
SOMA_MESSAGE(finish)

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    uint32_t waiting;
    atomic_uint stopped;
};

struct blocker {
    struct gate *gate;
};

static int blocker_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct blocker *)state)->gate = (struct gate *)(uintptr_t)arg;
    return arg ? 0 : -9;
}

static void blocker_stop(soma_agent *self, void *state, int reason)
{
    (void)self;
    (void)reason;
    if (((struct blocker *)state)->gate)
        atomic_fetch_add(&((struct blocker *)state)->gate->stopped, 1);
}

static int on_wait(soma_agent *self, struct blocker *my, const struct wait_gate *m)
{
    (void)self;
    (void)m;
    pthread_mutex_lock(&my->gate->lock);
    my->gate->waiting++;
    pthread_cond_broadcast(&my->gate->changed);
    while (!my->gate->open)
        pthread_cond_wait(&my->gate->changed, &my->gate->lock);
    pthread_mutex_unlock(&my->gate->lock);
    return 0;
}

static int on_echo(soma_agent *self, struct blocker *my, const struct echo *m)
{
    (void)my;
    return soma_reply(self, echoed, .n = m->n);
}

static int on_finish(soma_agent *self, struct blocker *my, const struct finish *m)
{
    (void)my;
    (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior blocker = {
    .name = "blocker",
    .state_size = sizeof(struct blocker),
    .init = blocker_init,
    .stop = blocker_stop,
    .blocking = true,
    .handlers = SOMA_HANDLERS(SOMA_ON(wait_gate, on_wait), SOMA_ON(echo, on_echo), SOMA_ON(finish, on_finish)),
};

static const soma_behavior plain = {
    .name = "plain",
    .state_size = sizeof(struct blocker),
    .init = blocker_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(echo, on_echo)),
};

static void gate_open(struct gate *gate, uint32_t waiting)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->waiting < waiting)
        pthread_cond_wait(&gate->changed, &gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void test_holds_up_nobody(void **state)
{
    (void)state;
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    soma_system *system;
    soma_ref blockers[4], other;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(soma_spawn(system, &blocker, &gate, &blockers[i]), 0);
        assert_int_equal(soma_send(system, blockers[i], wait_gate), 0);
    }
    assert_int_equal(soma_spawn(system, &plain, &gate, &other), 0);
    struct echoed reply;
    for (uint64_t i = 0; i < 100; i++) // the one worker is free, though four agents block
        assert_int_equal(soma_call(system, other, 60 * SOMA_SECOND, &reply, echoed, echo, .n = i), 0);
    gate_open(&gate, 4);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(soma_call(system, blockers[i % 4], 60 * SOMA_SECOND, &reply, echoed, echo, .n = i), 0);
        assert_int_equal(reply.n, i);
    }
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(gate.stopped, 4);
}

static void test_churn(void **state)
{
    (void)state;
    struct gate gate = {.open = true};
    soma_system *system;
    soma_ref ref;
    uint32_t rounds = test_load(500);
    assert_int_equal(soma_system_open(&system, NULL), 0);
    for (uint32_t i = 0; i < rounds; i++) {
        assert_int_equal(soma_spawn(system, &blocker, &gate, &ref), 0);
        assert_int_equal(i % 2 ? soma_kill(system, ref) : soma_send(system, ref, finish), 0);
    }
    assert_int_equal(soma_spawn(system, &blocker, NULL, &ref), -9); // its thread goes too
    assert_true(soma_ref_is_null(ref));
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(gate.stopped, rounds);
}

/* Closing drains blocking agents as well; cancelling waits only for the handler that runs. */
static void test_drain(void **state)
{
    (void)state;
    struct gate gate = {.open = true, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &blocker, &gate, &ref), 0);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(soma_send(system, ref, wait_gate), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(gate.waiting, 1000);
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &blocker, &gate, &ref), 0);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(soma_send(system, ref, wait_gate), 0);
    assert_int_equal(soma_system_cancel(&system), 0);
    assert_int_equal(gate.stopped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_up_nobody),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
