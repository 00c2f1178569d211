/* Threads of blocking agents; see blocking.h. */
#include "runtime/blocking.h"
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/guard.h"
#include "runtime/lookout.h"
#include "runtime/thread.h"
#include <soma/error.h>
#include <stdlib.h>

static void *blocking_main(void *argument)
{
    struct worker *own = argument;
    soma_system *system = own->system;
    soma_agent *agent = own->own_agent;
    void *stack = system->options.guard ? guard_thread_begin() : NULL;
    worker_enter(own);
    for (;;) {
        while (!u32_load(&own->awake))
            futex_wait(&own->awake, 0, FUTEX_FOREVER);
        // Before the turn, so what is scheduled in it stays. A cas, so that who has set it again after a mark that we
        // don't see below comes later, and wakes us again.
        u32_cas(&own->awake, 1, 0);
        if (u32_load(&system->stopping) || u32_load(&own->own_ended))
            break;
        agent_turn(own, agent, system->options.batch);
        u32_add(&system->blocking_busy, (uint32_t)-1); // after the turn's sends: the closer sees those first
        closer_tell(system);
        if (u32_load(&own->own_ended))
            break;
    }
    pool_flush(&own->pool);
    guard_thread_end(stack);
    u32_store(&own->own_gone, 1); // release: who joins sees the counters
    return NULL;
}

static void own_free(struct worker *own)
{
    free(own->lookout);
    free(own);
}

/* Joins threads whose agents have ended, so that a system with many short ones does not collect them. */
static void blocking_reap(soma_system *system)
{
    for (struct worker **link = &system->blocking; *link;) {
        struct worker *own = *link;
        if (!u32_load(&own->own_gone)) {
            link = &own->own_next;
            continue;
        }
        *link = own->own_next;
        pthread_join(own->thread, NULL);
        counters_merge(&system->retired, &own->counters);
        own_free(own);
    }
}

int blocking_start(soma_system *system, soma_agent *agent)
{
    if (!extension_need(agent))
        return SOMA_ENOMEM;
    struct worker *own = aligned_alloc(64, sizeof(*own));
    if (!own)
        return SOMA_ENOMEM;
    worker_init(own, system, WORKER_OWN, false);
    own->own_agent = agent;
    if (lookout_open(own)) {
        free(own);
        return SOMA_ENOMEM;
    }
    agent->extension->own = own;
    pthread_mutex_lock(&system->lock);
    int error = u32_load(&system->stopping) ? SOMA_ECLOSED : 0; // under the lock: blocking_stop looks after the mark
    if (!error) {
        blocking_reap(system);
        error = thread_start(&own->thread, blocking_main, own);
    }
    if (!error) {
        own->own_next = system->blocking;
        system->blocking = own;
    }
    pthread_mutex_unlock(&system->lock);
    if (error) {
        agent->extension->own = NULL;
        own_free(own);
    }
    return error;
}

void blocking_schedule(soma_system *system, struct worker *own)
{
    u32_add(&system->blocking_busy, 1);
    u32_store(&own->awake, 1);
    futex_wake(&own->awake);
}

void blocking_end(struct worker *own)
{
    u32_store(&own->own_ended, 1);
    u32_store(&own->awake, 1); // release: the thread that sees it sees the end
    futex_wake(&own->awake);   // by now it may be gone; then this wakes nobody
}

void blocking_stop(soma_system *system)
{
    pthread_mutex_lock(&system->lock);
    for (struct worker *own = system->blocking; own; own = own->own_next) {
        u32_store(&own->leave, 1);
        u32_store(&own->awake, 1);
        futex_wake(&own->awake);
    }
    pthread_mutex_unlock(&system->lock);
}

void blocking_free(soma_system *system)
{
    while (system->blocking) {
        struct worker *own = system->blocking;
        system->blocking = own->own_next;
        own_free(own);
    }
}
