/* The system's inside: what its workers share. */
#ifndef RUNTIME_SYSTEM_H
#define RUNTIME_SYSTEM_H

#include "runtime/dispatch.h"
#include "runtime/slot.h"
#include "runtime/worker.h"
#include <soma/system.h>

struct soma_system {
    uint64_t node; /* this incarnation's identity; never 0, which is the null ref's */
    soma_options options;
    struct slots slots;
    struct worker *workers;
    struct run_inbox inbox;
    shared_u64 asleep;    /* a bit a worker */
    shared_u32 searching; /* workers that look for work */
    shared_u32 stopping;  /* workers leave as soon as they see it */
    shared_u32 closing;   /* spawns are refused, and sleepers tell the closer */
    shared_u64 wakes;     /* how often a sleeper rose: lets the closer see that all rested throughout */
    struct pool_depot depot;
    struct dispatch_table dispatches;
    struct counters outside; /* of threads outside, under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* run and close wait for it */
    bool stopped;
};

#endif
