/*
 * The driver seam: a driver in the test runs a system in one thread, with virtual time and a schedule chosen from a
 * seed. One seed gives one trace, timers fire at their very time and in order, and messages for other nodes take the
 * route.
 */
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "runtime/pressure.h"
#include "runtime/send.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

#define RUNNABLE_MAX 1024
#define TRACE_MAX 65536

struct simulation {
    soma_system *system;
    uint64_t seed;
    uint64_t now;
    soma_agent *runnable[RUNNABLE_MAX];
    uint32_t count;
    uint64_t trace[TRACE_MAX]; /* what the agents noted, in order */
    uint32_t length;
};

static uint64_t chance(void *context)
{
    struct simulation *sim = context;
    sim->seed = sim->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return sim->seed ^ sim->seed >> 33;
}

static uint64_t virtual_now(void *context)
{
    return ((struct simulation *)context)->now;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    struct simulation *sim = context;
    (void)system;
    assert_true(sim->count < RUNNABLE_MAX);
    sim->runnable[sim->count++] = agent;
}

static void simulation_open(struct simulation *sim, uint64_t seed)
{
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    const struct driver driver = {
        .now = virtual_now, .date = virtual_now, .random = chance, .runnable = runnable, .context = sim};
    assert_int_equal(system_open_driven(&sim->system, NULL, &driver), 0);
}

/* Runs until nothing is runnable and no timer pending before `limit`. */
static void simulation_run(struct simulation *sim, uint64_t limit)
{
    for (;;) {
        while (sim->count) {
            uint32_t pick = (uint32_t)(chance(sim) % sim->count);
            soma_agent *agent = sim->runnable[pick];
            sim->runnable[pick] = sim->runnable[--sim->count];
            agent_turn(&sim->system->workers[0], agent, (uint32_t)(chance(sim) % 3 + 1));
        }
        uint64_t next = clock_next(&sim->system->clock);
        if (next > limit)
            return;
        sim->now = next > sim->now ? next : sim->now;
        clock_fire(sim->system, sim->now);
    }
}

/* ---- agents that gossip at random, and note all that they get ---- */

SOMA_MESSAGE(rumour, (u64, value), (u32, hops))
SOMA_MESSAGE(wake, (u64, value))
SOMA_MESSAGE(peers, (array, ref, all))

struct gossip {
    struct simulation *sim;
    soma_ref peers[16];
    uint32_t count;
};

static int gossip_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    memcpy(&((struct gossip *)state)->sim, arg, sizeof(struct simulation *));
    return 0;
}

static void note(struct gossip *my, uint64_t value)
{
    if (my->sim->length < TRACE_MAX)
        my->sim->trace[my->sim->length++] = value ^ my->sim->now << 20;
}

static int on_peers(soma_agent *self, struct gossip *my, const struct peers *m)
{
    (void)self;
    my->count = m->all.count;
    memcpy(my->peers, m->all.items, m->all.count * sizeof(soma_ref));
    return 0;
}

static int on_rumour(soma_agent *self, struct gossip *my, const struct rumour *m)
{
    note(my, m->value << 8 | soma_self(self).slot);
    if (!m->hops)
        return 0;
    for (uint32_t i = 0; i < 2; i++) {
        soma_ref to = my->peers[soma_random(self) % my->count];
        soma_send(self, to, rumour, .value = m->value * 3 + i, .hops = m->hops - 1);
    }
    return soma_after(self, soma_random(self) % SOMA_SECOND, wake, .value = m->value) > 0 ? 0 : SOMA_ENOMEM;
}

static int on_wake(soma_agent *self, struct gossip *my, const struct wake *m)
{
    note(my, m->value << 8 | soma_self(self).slot | 128);
    return 0;
}

static const soma_behavior gossip = {
    .name = "gossip",
    .state_size = sizeof(struct gossip),
    .init = gossip_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(peers, on_peers), SOMA_ON(rumour, on_rumour), SOMA_ON(wake, on_wake)),
};

static void gossip_run(struct simulation *sim, uint64_t seed)
{
    soma_ref refs[16];
    simulation_open(sim, seed);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(soma_spawn(sim->system, &gossip, &sim, &refs[i]), 0);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(soma_send(sim->system, refs[i], peers, .all = {refs, 16}), 0);
    assert_int_equal(soma_send(sim->system, refs[0], rumour, .value = 1, .hops = 8), 0);
    simulation_run(sim, WHEEL_NEVER - 1);
    assert_int_equal(sim->length, 511 + 255); // each rumour and each timer, exactly once
    assert_int_equal(soma_system_close(&sim->system), 0);
}

static void test_replay(void **state)
{
    (void)state;
    static struct simulation first, again, other;
    for (uint64_t seed = 1; seed <= test_load(20); seed++) {
        gossip_run(&first, seed);
        gossip_run(&again, seed);
        gossip_run(&other, seed + 1000);
        assert_memory_equal(first.trace, again.trace, sizeof(first.trace));
        assert_memory_not_equal(first.trace, other.trace, sizeof(first.trace));
    }
}

/* ---- timers at their very time ---- */

struct waker {
    struct simulation *sim;
    uint64_t last;
    uint32_t fired;
};

SOMA_MESSAGE(set)
SOMA_MESSAGE(due, (u64, deadline), (u64, order))
SOMA_MESSAGE(beat)

static int on_set(soma_agent *self, struct waker *my, const struct set *m)
{
    (void)m;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t delay = soma_random(self) % 50 * (soma_random(self) % 2 ? SOMA_MS : SOMA_SECOND * 3600);
        if (soma_after(self, delay, due, .deadline = my->sim->now + delay, .order = i) <= 0)
            return SOMA_ENOMEM;
    }
    return 0;
}

static int on_due(soma_agent *self, struct waker *my, const struct due *m)
{
    assert_int_equal(soma_now(self), m->deadline);
    uint64_t place = m->deadline << 10 | m->order; // by time, then in the order of setting
    assert_true(!my->fired++ || place > my->last);
    my->last = place;
    return 0;
}

static int on_beat(soma_agent *self, struct waker *my, const struct beat *m)
{
    (void)m;
    my->fired++;
    my->last = soma_now(self);
    if (my->fired == 3)
        my->sim->now += 25 * SOMA_MS; // a slow handler: two beats are missed, the next is on the beat
    return 0;
}

static int beater_init(soma_agent *self, void *state, const void *arg)
{
    memcpy(&((struct waker *)state)->sim, arg, sizeof(struct simulation *));
    return soma_each(self, 10 * SOMA_MS, beat) > 0 ? 0 : SOMA_ENOMEM;
}

static const soma_behavior waker = {
    .name = "waker",
    .state_size = sizeof(struct waker),
    .init = gossip_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(set, on_set), SOMA_ON(due, on_due)),
};

static const soma_behavior beater = {
    .name = "beater",
    .state_size = sizeof(struct waker),
    .init = beater_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(beat, on_beat)),
};

static struct waker *state_of(const struct simulation *sim, soma_ref ref)
{
    return sim->system->slots.base[ref.slot].state;
}

static void test_timers(void **state)
{
    (void)state;
    static struct simulation storage;
    struct simulation *sim = &storage;
    soma_ref ref;
    simulation_open(sim, 7);
    assert_int_equal(soma_spawn(sim->system, &waker, &sim, &ref), 0);
    assert_int_equal(soma_send(sim->system, ref, set), 0);
    simulation_run(sim, WHEEL_NEVER - 1);
    assert_int_equal(state_of(sim, ref)->fired, 1000);
    uint64_t start = sim->now;
    assert_int_equal(soma_spawn(sim->system, &beater, &sim, &ref), 0);
    simulation_run(sim, start + 29 * SOMA_MS);
    assert_int_equal(state_of(sim, ref)->fired, 2);
    simulation_run(sim, start + 69 * SOMA_MS);
    assert_int_equal(state_of(sim, ref)->fired, 4);
    assert_int_equal(state_of(sim, ref)->last, start + 60 * SOMA_MS);
    assert_int_equal(soma_system_close(&sim->system), 0);
}

/* ---- the route ---- */

struct carried {
    soma_ref to;
    uint64_t value;
    uint8_t kind;
};

static int carry(void *context, soma_ref to, struct message *message)
{
    struct carried *carried = context;
    const struct wake *body = message_body(message);
    *carried = (struct carried){to, body->value, message->kind};
    message_dispose(NULL, message);
    return 0;
}

static void test_route(void **state)
{
    (void)state;
    static struct simulation sim;
    struct carried carried = {0};
    const struct route route = {.carry = carry, .context = &carried};
    const soma_ref far = {99, 7, 3};
    simulation_open(&sim, 1);
    assert_int_equal(soma_send(sim.system, far, wake, .value = 5), SOMA_ENOROUTE);
    system_route_set(sim.system, &route);
    assert_int_equal(soma_send(sim.system, far, wake, .value = 6), 0);
    assert_int_equal(carried.value, 6);
    assert_true(soma_ref_equal(carried.to, far));
    system_route_set(sim.system, NULL);
    assert_int_equal(soma_send(sim.system, far, wake, .value = 7), SOMA_ENOROUTE);
    soma_stats stats;
    assert_int_equal(soma_system_stats(sim.system, &stats), 0);
    assert_int_equal(stats.dead_letters, 2);
    assert_int_equal(soma_system_close(&sim.system), 0);
}

/* ---- gates: of an agent elsewhere, and of the way there ---- */

static soma_agent *gates[2];
static uint32_t opened;

static soma_agent *gate(void *context, soma_ref to)
{
    (void)context, (void)to;
    return u32_load(&gates[0]->pressure) ? gates[0] : gates[1];
}

/* The one that is waited for opens. */
static void open_next(void *context, bool (*done)(const void *arg), const void *arg)
{
    (void)context;
    assert_ptr_equal(arg, gates[opened]);
    assert_false(done(arg));
    u32_store(&gates[opened++]->pressure, 0);
}

static void test_gates(void **state)
{
    (void)state;
    static struct simulation sim;
    struct carried carried = {0};
    const struct route route = {.carry = carry, .gate = gate, .context = &carried};
    const soma_ref far = {99, 7, 3};
    simulation_open(&sim, 1);
    sim.system->driver.wait = open_next;
    system_route_set(sim.system, &route);
    for (uint32_t i = 0; i < 2; i++) {
        soma_ref ref;
        assert_int_equal(soma_spawn(sim.system, &waker, &(struct simulation *){&sim}, &ref), 0);
        gates[i] = &sim.system->slots.base[ref.slot];
        u32_store(&gates[i]->pressure, PRESSURE_OVERLOADED);
    }
    opened = 0;
    assert_int_equal(soma_try_send(sim.system, far, wake, .value = 1), SOMA_EAGAIN);
    assert_int_equal(soma_send(sim.system, far, wake, .value = 2), 0);
    assert_int_equal(opened, 2); // it has waited for both
    assert_int_equal(carried.value, 2);
    system_route_set(sim.system, NULL);
    assert_int_equal(soma_system_close(&sim.system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_route),
        cmocka_unit_test(test_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
