/*
 * Agents for tests of what happens when memory runs out, and the loop that has each allocation of what one of them does
 * fail in turn. Each time it is done or not done, never by half, and works when it is tried again; and nothing leaks,
 * which the sanitizer looks at when all is over.
 */
#ifndef TEST_TESTKIT_MEMORY_WORLD_H
#define TEST_TESTKIT_MEMORY_WORLD_H

#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/test.h>
#include <string.h>

SOMA_MESSAGE(flat, (u64, n))
SOMA_MESSAGE(text, (string, text), (array, string, more))
SOMA_MESSAGE(ask, (u32, how))
SOMA_MESSAGE(told, (string, text))
SOMA_MESSAGE(tick)
SOMA_MESSAGE(later, (i64, promise), (bool, broken))

/* ---- who does it, and to whom ---- */

struct host {
    soma_ref leaf;  /* there from the start */
    soma_ref child; /* what was spawned */
    uint32_t ended; /* words of ends that came */
    uint32_t answers;
    uint32_t errors; /* in place of answers */
    uint32_t ticks;
    soma_handle handle;
};

typedef int operation(soma_agent *self, struct host *my);

struct call {
    operation *operation;
    int result;
};

static inline int call_run(soma_agent *self, void *state, void *arg)
{
    struct call *call = arg;
    call->result = call->operation(self, state);
    return 0;
}

static inline int host_init(soma_agent *self, void *state, const void *arg)
{
    struct host *my = state;
    (void)self;
    memcpy(&my->leaf, arg, sizeof(my->leaf));
    return 0;
}

static inline int on_down(soma_agent *self, struct host *my, const struct soma_down *m)
{
    (void)self, (void)m;
    my->ended++;
    return 0;
}

static inline int on_exited(soma_agent *self, struct host *my, const struct soma_exited *m)
{
    (void)self, (void)m;
    my->ended++;
    return 0;
}

static inline int on_told(soma_agent *self, struct host *my, const struct told *m)
{
    (void)self;
    assert_string_equal(m->text, "as you asked");
    my->answers++;
    return 0;
}

static inline int on_error(soma_agent *self, struct host *my, const int *error)
{
    (void)self, (void)error;
    my->errors++;
    return 0;
}

static inline int on_tick(soma_agent *self, struct host *my, const struct tick *m)
{
    (void)self, (void)m;
    my->ticks++;
    return 0;
}

static const soma_behavior host = {
    .name = "host",
    .state_size = sizeof(struct host),
    .init = host_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_down), SOMA_ON(soma_exited, on_exited), SOMA_ON(tick, on_tick))};

struct leaf {
    uint32_t got;
    uint32_t readied;
};

static inline int leaf_ready(soma_agent *self, void *state)
{
    (void)self;
    ((struct leaf *)state)->readied++;
    return 0;
}

static inline int on_flat(soma_agent *self, struct leaf *my, const struct flat *m)
{
    (void)self;
    my->got += m->n == 5;
    return 0;
}

static inline int on_text(soma_agent *self, struct leaf *my, const struct text *m)
{
    (void)self;
    my->got += !strcmp(m->text, "one") && m->more.count == 2 && !strcmp(m->more.items[1], "three");
    return 0;
}

enum how { REPLY, PROMISE, BREAK, FORWARD, NOT };

/* Whatever fails may be tried again; what then fails for want of memory, too, was not the one allocation. */
static inline int on_ask(soma_agent *self, struct leaf *my, const struct ask *m)
{
    my->got++;
    if (m->how == REPLY)
        return soma_reply(self, told, .text = "as you asked") == SOMA_ENOMEM
                   ? soma_reply(self, told, .text = "as you asked")
                   : 0;
    if (m->how == FORWARD) {
        soma_ref other;
        int error = soma_whereis(soma_agent_system(self), "other", &other);
        if (!error)
            error = soma_forward(self, other);
        return error == SOMA_ENOMEM ? soma_forward(self, other) : error;
    }
    if (m->how == PROMISE || m->how == BREAK) {
        soma_handle promise = soma_reply_later(self);
        if (promise < 0)
            return soma_reply_error(self, (int)promise);
        int error = soma_send(self, soma_self(self), later, .promise = promise, .broken = m->how == BREAK);
        return error ? soma_reply_error_to(self, promise, error) : 0;
    }
    return 0;
}

static inline int on_later(soma_agent *self, struct leaf *my, const struct later *m)
{
    (void)my;
    if (m->broken)
        return soma_reply_error_to(self, m->promise, SOMA_EFULL); // which needs no memory
    int error = soma_reply_to(self, m->promise, told, .text = "as you asked");
    return error == SOMA_ENOMEM ? soma_reply_error_to(self, m->promise, error) : error;
}

static const soma_behavior leaf = {.name = "leaf",
                                   .state_size = sizeof(struct leaf),
                                   .handlers = SOMA_HANDLERS(SOMA_ON(flat, on_flat), SOMA_ON(text, on_text),
                                                             SOMA_ON(ask, on_ask), SOMA_ON(later, on_later))};

static const soma_behavior ready_leaf = {
    .name = "ready leaf", .state_size = sizeof(struct leaf), .base = &leaf, .ready = leaf_ready};

static inline int answering(soma_agent *self, void *state, const struct ask *m)
{
    (void)state, (void)m;
    int error = soma_reply(self, told, .text = "as you asked");
    return error == SOMA_ENOMEM ? soma_reply(self, told, .text = "as you asked") : error;
}

static const soma_behavior other = {.name = "other", .handlers = SOMA_HANDLERS(SOMA_ON(ask, answering))};

/* ---- each allocation in turn ---- */

struct world {
    soma_test *test;
    soma_system *system;
    soma_ref host;
    uint64_t before; /* agents before these */
    uint64_t agents; /* and with them */
    uint64_t n;      /* which allocation fails */
};

typedef void check(struct world *world);

/* What is done, and what must be so after it failed, and after it worked. */
struct scenario {
    operation *operation;
    check *undone;
    check *done;
    uint64_t least; /* allocations that it makes, so that the test does not test nothing */
};

static inline const struct host *host_of(const struct world *world)
{
    const struct host *state = soma_test_state(world->test, world->host);
    assert_non_null(state);
    return state;
}

static inline const struct leaf *leaf_of(const struct world *world, soma_ref ref)
{
    const struct leaf *state = soma_test_state(world->test, ref);
    assert_non_null(state);
    return state;
}

static inline uint64_t agents_of(soma_system *system)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    return stats.agents;
}

static inline int operate(struct world *world, operation *what, uint64_t failing)
{
    struct call call = {what, 1234};
    assert_int_equal(soma_post(world->system, world->host, call_run, &call, NULL), 0);
    soma_test_fail_allocation(world->test, failing);
    soma_test_settle(world->test);
    soma_test_fail_allocation(world->test, 0);
    assert_int_not_equal(call.result, 1234);
    return call.result;
}

static inline void world_open(struct world *world, soma_test *test, uint64_t n)
{
    *world = (struct world){.test = test, .system = soma_test_system(test), .n = n};
    soma_ref leaf_ref, other_ref;
    world->before = agents_of(world->system);
    assert_int_equal(soma_spawn(world->system, &leaf, NULL, &leaf_ref), 0);
    assert_int_equal(soma_spawn(world->system, &other, NULL, &other_ref), 0);
    assert_int_equal(soma_name_set(world->system, other_ref, "other"), 0);
    assert_int_equal(soma_spawn(world->system, &host, &leaf_ref, &world->host), 0);
    soma_test_settle(test);
    world->agents = agents_of(world->system);
    assert_int_equal(world->agents, world->before + 3);
}

static inline void world_close(struct world *world)
{
    soma_ref leaf_ref = host_of(world)->leaf, other_ref;
    assert_int_equal(soma_whereis(world->system, "other", &other_ref), 0);
    assert_int_equal(soma_kill(world->system, world->host), 0);
    assert_int_equal(soma_kill(world->system, other_ref), 0);
    soma_kill(world->system, leaf_ref); // it may have ended by what was tested
    soma_test_settle(world->test);
    assert_int_equal(agents_of(world->system), world->before);
}

static inline void each_allocation(soma_test *test, const struct scenario *scenario)
{
    uint64_t n = 1;
    for (bool reached = true; reached; n++) {
        struct world world;
        world_open(&world, test, n);
        uint64_t before = soma_test_allocations(test);
        int result = operate(&world, scenario->operation, n);
        reached = soma_test_allocations(test) - before >= n;
        if (result < 0) {
            assert_true(reached);
            assert_int_equal(result, SOMA_ENOMEM);
            scenario->undone(&world);
            result = operate(&world, scenario->operation, 0);
        }
        assert_true(result >= 0);
        scenario->done(&world);
        world_close(&world);
    }
    assert_true(n > scenario->least);
}

#define SCENARIO(name, ...)                                                                                            \
    static void test_##name(soma_test *test)                                                                           \
    {                                                                                                                  \
        each_allocation(test, &(const struct scenario){__VA_ARGS__});                                                  \
    }

#endif
