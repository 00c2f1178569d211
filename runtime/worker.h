/*
 * Workers: the threads that run agents, and the scheduler's choice of the next one.
 *
 * A worker takes, in this order: the agent just woken (the LIFO slot: its messages are still in the cache; at most
 * LIFO_MAX times in a row, so that nobody starves), its own ring, the inbox, another worker's ring. Every INBOX_EVERY
 * turns the inbox comes first. With nothing to do it searches for a while, then sleeps.
 *
 * Waking: work that another worker could take (a ring's or the inbox's, never the LIFO slot's) wakes one sleeper, but
 * only if no worker is searching already; a searcher that finds work wakes the next. The proof that no wake is lost is
 * at worker_sleep().
 */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "runtime/pool.h"
#include "runtime/run_queue.h"
#include <pthread.h>

struct message;

/* Counters: written by one thread, read by any, so each is a relaxed store in effect. */
struct counters {
    shared_u64 spawned;
    shared_u64 ended;
    shared_u64 processed;
    shared_u64 dead_letters;
    shared_u64 steals;
    shared_u64 sleeps;
};

struct worker {
    soma_system *system;
    soma_agent *lifo;        /* the agent just woken */
    struct message *current; /* the message being handled */
    bool exiting;            /* the agent asked to end */
    int exit_reason;
    uint32_t lifo_streak;
    uint32_t tick;
    uint32_t index;
    struct pool pool;
    struct counters counters;
    pthread_t thread;
    struct run_ring ring;
    shared_u32 awake; /* the futex: 0 while asleep */
};

/* Only the counter's own thread adds. */
static inline void counter_add(shared_u64 *counter, uint64_t n)
{
    u64_store(counter, counter->value + n);
}

/*
 * A thread outside the system that spawns is a worker for the time of the init: it has the fields that handlers reach,
 * but no pool, ring or counters.
 */
#define WORKER_GUEST UINT32_MAX

static inline void worker_guest(struct worker *guest, soma_system *system)
{
    guest->system = system;
    guest->index = WORKER_GUEST;
    guest->lifo = NULL;
    guest->current = NULL;
    guest->exiting = false;
    guest->exit_reason = 0;
}

/* NULL for a guest, which is how the functions below call a thread outside. */
static inline struct worker *worker_or_outside(struct worker *worker)
{
    return worker->index == WORKER_GUEST ? NULL : worker;
}

/* The thread's body. */
void *worker_main(void *worker);

/* Makes an agent run some time: called by the one that a mailbox told to. `worker` is NULL for outside threads. */
void worker_schedule(struct worker *worker, soma_system *system, soma_agent *agent);

/* As worker_schedule, but behind all that waits: for an agent whose turn is over though it has mail. */
void worker_schedule_last(struct worker *worker, soma_agent *agent);

/* Wakes every sleeper: when the system stops. */
void worker_wake_all(soma_system *system);

#endif
