/* The system's inside: what its workers share. */
#ifndef RUNTIME_SYSTEM_H
#define RUNTIME_SYSTEM_H

#include "runtime/clock.h"
#include "runtime/closing.h"
#include "runtime/dispatch.h"
#include "runtime/driver.h"
#include "runtime/log.h"
#include "runtime/lookout.h"
#include "runtime/names.h"
#include "runtime/pressure.h"
#include "runtime/slot.h"
#include "runtime/types.h"
#include "runtime/worker.h"
#include <soma/system.h>

struct soma_system {
    uint64_t node; /* this incarnation's identity; never 0, which is the null ref's */
    soma_options options;
    struct driver driver;
    struct slots slots;
    struct worker *workers;
    struct run_inbox inbox;
    struct run_overflow overflow;
    struct pressure_list muted[PRESSURE_LISTS];
    shared_u64 asleep;          /* a bit a worker */
    shared_u32 searching;       /* workers that look for work */
    shared_u32 stopping;        /* workers leave as soon as they see it */
    shared_u32 closing;         /* spawns are refused, and sleepers tell the closer */
    shared_u64 outside_sent;    /* see outside.h, as what follows */
    shared_u32 outside_many;    /* of them wait */
    shared_u32 outside_waiters; /* threads in outside_wait() */
    shared_u32 relief;          /* the futex that they wait on */
    shared_u32 calling;         /* threads outside that are at the start of a soma_call */
    shared_u64 wakes;           /* how often a sleeper rose: lets the closer see that all rested throughout */
    shared_u32 blocking_busy;   /* blocking agents that are runnable or running */
    shared_u64 dead_watch;      /* generation and slot of the agent that watches dead letters; 0 for none */
    shared_ptr route;           /* the struct route to other nodes; NULL for none */
    shared_ptr tenant;          /* what channels keep, see port.h; NULL before the first */
    struct worker *courier;     /* whose route has a thread of its own: its counters; under lock */
    struct pool_depot depot;
    struct outside_pool outside_pool;
    struct dispatch_table dispatches;
    struct types types;
    struct clock clock;
    struct names names;
    struct log log;
    struct counters outside; /* of threads outside: they add atomically */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* run and close wait for it */
    struct watcher watcher;
    struct closing_told told; /* under lock */
    bool stopped;             /* under lock, as what follows */
    uint32_t running;         /* threads in soma_system_run() */
    struct worker *blocking;  /* of blocking agents */
    struct counters retired;  /* of those that have ended */
    bool signals;             /* a thread waits for them */
    shared_u32 signals_done;  /* it is to leave */
    pthread_t signal_thread;
};

/* Is the calling thread one of the system's own: a worker or the log's? A driven system has but one thread, so always,
 * but for a driver that can wait, and enters the worker for each turn. */
bool system_on_worker(soma_system *system);

/* Who asks for a thread that waits in soma_call(). */
extern const soma_behavior call_agent;

/* Adds up the counters of all threads. */
void system_counters(soma_system *system, struct counters *sum);

/* Ends the thread of soma_system_stop_on_signals(), if there is one. */
void signals_close(soma_system *system);

#endif
