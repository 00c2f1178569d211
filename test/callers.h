/* Threads outside that call agents, for tests of who is woken for that; and what the agents answer. */
#ifndef TEST_CALLERS_H
#define TEST_CALLERS_H

#include "test_support.h"
#include <pthread.h>
#include <soma/soma.h>

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(answer, (u64, number))

static int on_call(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, answer, .number = m->number);
}

struct caller {
    soma_system *system;
    soma_ref agent;
    uint64_t calls;
    uint64_t failed;
};

static void *caller_main(void *argument)
{
    struct caller *caller = argument;
    for (uint64_t i = 0; i < caller->calls; i++) {
        struct answer got = {0};
        int error = soma_call(caller->system, caller->agent, 30 * SOMA_SECOND, &got, answer, ask, .number = i);
        caller->failed += error || got.number != i;
    }
    return NULL;
}

/* Three threads, each with an agent of that behavior, which has on_call. A call that nobody hears would last for half a
 * minute, and fail. */
static inline void callers_run(soma_system *system, const soma_behavior *behavior, uint64_t calls)
{
    struct caller callers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.system = system, .calls = calls};
        assert_int_equal(soma_spawn(system, behavior, NULL, &callers[i].agent), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, caller_main, &callers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].failed, 0);
    }
}

#endif
