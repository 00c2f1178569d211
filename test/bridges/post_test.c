/*
 * Workers wait for a bridge's mail beside its thread: whoever else wants them still wakes them, the bridge can be
 * closed at any time, nothing is lost between two that wake each other over it, and the thread sees to all while they
 * are busy.
 */
#include "callers.h"
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(block, (bytes, data))
SOMA_MESSAGE(small, (u64, number), (bytes, data))
SOMA_MESSAGE(send_all, (ref, to))
SOMA_MESSAGE(hold)
SOMA_MESSAGE(idle)

static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
static const soma_options two = {.workers = 2, .log_level = SOMA_LOG_ERROR};

static const soma_behavior clerk = {.name = "clerk", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_call))};

/* ---- woken from outside ---- */

static void test_called(void **state)
{
    (void)state;
    soma_system *system;
    soma_bridge *bridge;
    assert_int_equal(soma_system_open(&system, &two), 0);
    assert_int_equal(soma_bridge_open(system, &(soma_bridge_options){.bind = loopback}, &bridge), 0);
    callers_run(system, &clerk, test_load(20000));
    assert_int_equal(soma_bridge_close(&bridge), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- closing ---- */

/* While workers come and go there, and are wanted elsewhere. */
static void test_closed(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < test_load(300); round++) {
        soma_system *system;
        soma_bridge *bridge;
        soma_ref agents[2];
        assert_int_equal(soma_system_open(&system, &two), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(soma_spawn(system, &clerk, NULL, &agents[i]), 0);
        assert_int_equal(soma_bridge_open(system, &(soma_bridge_options){.bind = loopback}, &bridge), 0);
        struct answer got;
        if (round % 3)
            assert_int_equal(soma_call(system, agents[0], SOMA_NEVER, &got, answer, ask, .number = 1), 0);
        assert_int_equal(soma_kill(system, agents[0]), 0);
        if (round % 2)
            assert_int_equal(soma_bridge_close(&bridge), 0);
        assert_int_equal(soma_kill(system, agents[1]), 0);
        assert_int_equal(soma_system_close(&system), 0);
    }
}

/* ---- between two ---- */

static atomic_ulong got_small, got_large, wrong;

#define ROUNDS 8u
#define SMALL 4000u   /* messages, so that frames are full */
#define LARGE 300000u /* bytes: it leaves in parts */

static int on_small(soma_agent *self, uint64_t *next, const struct small *m)
{
    atomic_fetch_add(&wrong, m->number != (*next)++);
    return atomic_fetch_add(&got_small, 1) + 1 == (uint64_t)ROUNDS * SMALL ? soma_system_stop(soma_agent_system(self))
                                                                           : 0;
}

static int on_block(soma_agent *self, uint64_t *next, const struct block *m)
{
    (void)self, (void)next;
    atomic_fetch_add(&wrong, m->data.size != LARGE);
    atomic_fetch_add(&got_large, 1);
    return 0;
}

static const soma_behavior sink = {.name = "sink",
                                   .state_size = sizeof(uint64_t),
                                   .handlers = SOMA_HANDLERS(SOMA_ON(small, on_small), SOMA_ON(block, on_block))};

/* And once more, until it was ROUNDS times. */
static int on_send_all(soma_agent *self, uint64_t *sent, const struct send_all *m)
{
    static const char data[LARGE];
    for (uint64_t i = 0; i < SMALL; i++) {
        int error = soma_send(self, m->to, small, .number = (*sent)++, .data = {data, 200});
        if (error || (i % 1000 == 999 && (error = soma_send(self, m->to, block, .data = {data, LARGE}))))
            return error;
    }
    return *sent < (uint64_t)ROUNDS * SMALL ? soma_send(self, soma_self(self), send_all, .to = m->to) : 0;
}

static const soma_behavior source = {
    .name = "source", .state_size = sizeof(uint64_t), .handlers = SOMA_HANDLERS(SOMA_ON(send_all, on_send_all))};

/* Two systems; an agent of the first, which the second knows. */
static void pair_open(soma_system *systems[2], soma_bridge *bridges[2], const soma_behavior *behavior, soma_ref *agent)
{
    for (int i = 0; i < 2; i++) {
        const soma_bridge_options options = {.bind = i ? NULL : loopback};
        assert_int_equal(soma_system_open(&systems[i], &two), 0);
        assert_int_equal(soma_bridge_open(systems[i], &options, &bridges[i]), 0);
    }
    assert_int_equal(soma_spawn(systems[0], behavior, NULL, agent), 0);
    assert_int_equal(soma_name_set(systems[0], *agent, "agent"), 0);
    assert_int_equal(soma_bridge_find(bridges[1], soma_bridge_address(bridges[0], 0), "agent", 30 * SOMA_SECOND, agent),
                     0);
}

/* Full frames with bodies in parts between them, of which memory that is lost would be found. */
static void test_streams(void **state)
{
    (void)state;
    soma_system *systems[2];
    soma_bridge *bridges[2];
    soma_ref to, from;
    atomic_store(&got_small, 0);
    atomic_store(&got_large, 0);
    atomic_store(&wrong, 0);
    pair_open(systems, bridges, &sink, &to);
    assert_int_equal(soma_spawn(systems[1], &source, NULL, &from), 0);
    assert_int_equal(soma_send(systems[1], from, send_all, .to = to), 0);
    assert_int_equal(soma_system_run(systems[0]), 0);
    assert_int_equal(soma_system_close(&systems[1]), 0);
    assert_int_equal(soma_system_close(&systems[0]), 0);
    assert_int_equal(atomic_load(&got_small), ROUNDS * SMALL);
    assert_int_equal(atomic_load(&got_large), ROUNDS * SMALL / 1000);
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ---- while all workers are busy ---- */

static atomic_uint held, released;

static int on_hold(soma_agent *self, void *my, const struct hold *m)
{
    (void)self, (void)my, (void)m;
    unsigned round = atomic_load(&released);
    atomic_fetch_add(&held, 1);
    while (atomic_load(&released) == round)
        sched_yield();
    return 0;
}

static int on_idle(soma_agent *self, void *my, const struct idle *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior holder = {
    .name = "holder", .handlers = SOMA_HANDLERS(SOMA_ON(hold, on_hold), SOMA_ON(idle, on_idle), SOMA_ON(ask, on_call))};

static void until_acknowledged(soma_bridge *bridge)
{
    soma_bridge_peer peer;
    do
        assert_int_equal(soma_bridge_peers(bridge, &peer, 1), 1);
    while (peer.frames_waiting || peer.bytes_waiting);
}

/* What comes then is read and acknowledged, and so are beats; else this would never end. */
static void test_busy(void **state)
{
    (void)state;
    soma_system *systems[2];
    soma_bridge *bridges[2];
    soma_ref holders[2], third;
    pair_open(systems, bridges, &holder, &holders[0]);
    assert_int_equal(soma_spawn(systems[0], &holder, NULL, &holders[1]), 0);
    assert_int_equal(soma_spawn(systems[0], &holder, NULL, &third), 0);
    for (unsigned round = 0; round < test_load(100); round++) {
        struct answer got;
        atomic_store(&held, 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(soma_send(systems[1], holders[i], hold), 0);
        while (atomic_load(&held) < 2)
            sched_yield();
        for (unsigned i = 0; i < round % 3; i++) // of several frames each is acknowledged at once, of one later
            assert_int_equal(soma_send(systems[1], third, idle), 0);
        until_acknowledged(bridges[1]);
        atomic_fetch_add(&released, 1);
        assert_int_equal(soma_call(systems[1], third, SOMA_NEVER, &got, answer, ask, .number = round), 0);
    }
    assert_int_equal(soma_system_close(&systems[1]), 0);
    assert_int_equal(soma_system_close(&systems[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_called), cmocka_unit_test(test_closed),
                                       cmocka_unit_test(test_streams), cmocka_unit_test(test_busy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
