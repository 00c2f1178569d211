/* A system in the test's own thread and in virtual time: agents run in the order in which they could, when the test
 * says so. And a record of what happened. */
#ifndef ONE_THREAD_H
#define ONE_THREAD_H

#include "runtime/agent.h"
#include "runtime/driver.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

static soma_system *sys;
static soma_agent *waiting[65536];
static uint32_t waiting_count;
static uint64_t now_ns;
static char happened[4096];

static uint64_t virtual_now(void *context)
{
    (void)context;
    return now_ns;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    (void)context, (void)system;
    assert_true(waiting_count < 65536);
    waiting[waiting_count++] = agent;
}

/* Opens `sys`; it is one second past. */
static inline void sys_open(void)
{
    const struct driver driver = {.now = virtual_now, .date = virtual_now, .random = virtual_now, .runnable = runnable};
    now_ns = SOMA_SECOND;
    waiting_count = 0;
    happened[0] = 0;
    assert_int_equal(system_open_driven(&sys, &(soma_options){.log_level = SOMA_LOG_OFF}, &driver), 0);
}

/* Runs all that can run, and what can because of that. */
static inline void run(void)
{
    for (uint32_t i = 0; i < waiting_count; i++)
        agent_turn(&sys->workers[0], waiting[i], 100);
    waiting_count = 0;
}

/* The same, and then lets time pass up to `span`, with what comes of that. */
static inline void run_for(uint64_t span)
{
    uint64_t until = now_ns + span;
    for (;;) {
        run();
        uint64_t next = clock_next(&sys->clock);
        if (next > until)
            break;
        now_ns = next > now_ns ? next : now_ns;
        clock_fire(sys, now_ns);
    }
    now_ns = until;
}

/* Appends to what happened: a sign for what, a letter for whom. */
static inline void note(char sign, char name)
{
    size_t length = strlen(happened);
    assert_true(length + 3 < sizeof(happened));
    happened[length] = sign;
    happened[length + 1] = name;
    happened[length + 2] = 0;
}

/* That is what has happened since the last one. */
#define HAPPENED(text)                                                                                                 \
    do {                                                                                                               \
        assert_string_equal(happened, text);                                                                           \
        happened[0] = 0;                                                                                               \
    } while (0)

#endif
