/*
 * Backpressure: on random graphs, cycles and self-loops included, agents flood each other far beyond their batches.
 * Nothing may be lost, come twice or out of order per sender, and all must come to rest: no muted agent stays behind.
 */
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

#define AGENTS 40
#define EDGES 5

SOMA_MESSAGE(wire, (array, ref, to), (u32, number))
SOMA_MESSAGE(flood, (u32, from), (u32, n), (u32, hops))
SOMA_MESSAGE(begin, (u32, count))

struct world {
    atomic_ullong handled;
    atomic_uint disordered;
};

struct vertex {
    struct world *world;
    soma_ref to[EDGES];
    uint32_t count;
    uint32_t number;
    uint32_t sent[EDGES];
    uint32_t last[AGENTS][EDGES]; /* by sender and edge of the sender */
};

static int vertex_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    memcpy(&((struct vertex *)state)->world, arg, sizeof(struct world *));
    return 0;
}

static int on_wire(soma_agent *self, struct vertex *my, const struct wire *m)
{
    (void)self;
    my->count = m->to.count;
    my->number = m->number;
    memcpy(my->to, m->to.items, m->to.count * sizeof(soma_ref));
    return 0;
}

static int send_on(soma_agent *self, struct vertex *my, uint32_t edge, uint32_t hops)
{
    uint32_t from = my->number * EDGES + edge;
    return soma_send(self, my->to[edge], flood, .from = from, .n = ++my->sent[edge], .hops = hops);
}

static int on_begin(soma_agent *self, struct vertex *my, const struct begin *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        int error = send_on(self, my, i / 7 % my->count, 2); // runs of seven to one receiver
        if (error)
            return error;
    }
    return 0;
}

static int on_flood(soma_agent *self, struct vertex *my, const struct flood *m)
{
    uint32_t *last = &my->last[m->from / EDGES][m->from % EDGES];
    if (m->n != ++*last)
        atomic_fetch_add(&my->world->disordered, 1);
    atomic_fetch_add_explicit(&my->world->handled, 1, memory_order_relaxed);
    for (uint32_t edge = 0; m->hops && edge < 2; edge++) {
        int error = send_on(self, my, (m->n + edge) % my->count, m->hops - 1);
        if (error)
            return error;
    }
    return 0;
}

static const soma_behavior vertex = {
    .name = "vertex",
    .state_size = sizeof(struct vertex),
    .init = vertex_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(wire, on_wire), SOMA_ON(begin, on_begin), SOMA_ON(flood, on_flood)),
};

static const soma_behavior blocking_vertex = {
    .name = "blocking vertex",
    .state_size = sizeof(struct vertex),
    .init = vertex_init,
    .base = &vertex,
    .blocking = true,
};

static uint64_t chance(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void flood_graph(uint64_t seed)
{
    struct world world = {0}, *pointer = &world;
    soma_system *system;
    soma_ref refs[AGENTS];
    uint32_t each = test_load(1000);
    const soma_options options = {.workers = (uint32_t)(seed % 4 + 1), .batch = (uint32_t)(chance(&seed) % 50 + 1)};
    assert_int_equal(soma_system_open(&system, &options), 0);
    for (uint32_t i = 0; i < AGENTS; i++)
        assert_int_equal(soma_spawn(system, i % 16 == 5 ? &blocking_vertex : &vertex, &pointer, &refs[i]), 0);
    for (uint32_t i = 0; i < AGENTS; i++) {
        soma_ref to[EDGES];
        for (uint32_t edge = 0; edge < EDGES; edge++) // few targets, so that they are overloaded
            to[edge] = refs[chance(&seed) % (edge < 2 ? 3 : AGENTS)];
        assert_int_equal(soma_send(system, refs[i], wire, .to = {to, EDGES}, .number = i), 0);
    }
    for (uint32_t i = 0; i < AGENTS; i++)
        assert_int_equal(soma_send(system, refs[i], begin, .count = each), 0);
    soma_stats stats;
    uint64_t expected = (uint64_t)AGENTS * each * 7; // each, two on, and two on from each of those
    do
        assert_int_equal(soma_system_stats(system, &stats), 0);
    while (atomic_load(&world.handled) < expected);
    assert_int_equal(soma_system_close(&system), 0); // it rests: nobody is left muted with mail
    assert_int_equal(world.handled, expected);
    assert_int_equal(world.disordered, 0);
}

static void test_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        flood_graph(seed);
}

/* ---- a fast sender and a slow receiver: memory stays bounded ---- */

SOMA_MESSAGE(load, (u64, n))
SOMA_MESSAGE(again)

struct slow {
    soma_ref to;
    uint64_t left;
    uint64_t sum;
};

static int slow_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    if (arg)
        *(struct slow *)state = *(const struct slow *)arg;
    return 0;
}

static int on_load(soma_agent *self, struct slow *my, const struct load *m)
{
    (void)self;
    for (uint32_t i = 0; i < 200; i++) // work: some hundred nanoseconds, much more than a send
        my->sum = my->sum * 31 + m->n;
    return 0;
}

static int on_again(soma_agent *self, struct slow *my, const struct again *m)
{
    (void)m;
    for (uint32_t i = 0; i < 50 && my->left; i++, my->left--)
        if (soma_send(self, my->to, load, .n = my->left))
            return SOMA_EGONE;
    return my->left ? soma_send(self, soma_self(self), again) : 0;
}

static const soma_behavior slow = {
    .name = "slow",
    .state_size = sizeof(struct slow),
    .init = slow_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(load, on_load), SOMA_ON(again, on_again)),
};

static void test_memory_is_bounded(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref to, from;
    soma_stats stats;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2}), 0);
    assert_int_equal(soma_spawn(system, &slow, NULL, &to), 0);
    struct slow job = {.to = to, .left = test_load(400000)};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(soma_spawn(system, &slow, &job, &from), 0);
        assert_int_equal(soma_send(system, from, again), 0);
    }
    uint64_t most = 0;
    do {
        assert_int_equal(soma_system_stats(system, &stats), 0);
        most = stats.memory > most ? stats.memory : most;
    } while (stats.processed < 4 * (uint64_t)job.left);
    assert_int_equal(soma_system_close(&system), 0);
    assert_true(most < UINT64_C(16) << 20); // of a hundred megabytes of messages that went through
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs), cmocka_unit_test(test_memory_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
