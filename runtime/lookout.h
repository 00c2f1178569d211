/*
 * What a worker notes of its handlers, if it is to be watched: which one runs since when, the slowest, the last ones.
 * See include/soma/watch.h. The worker writes, the watching thread and a crash's report read.
 */
#ifndef RUNTIME_LOOKOUT_H
#define RUNTIME_LOOKOUT_H

#include "runtime/concurrent.h"
#include <pthread.h>
#include <soma/watch.h>

struct worker;

#define LOOKOUT_RECENT 8u

/* A handler's run, in words that any thread may read. */
struct lookout_note {
    shared_ptr behavior; /* names */
    shared_ptr message;
    shared_u64 agent; /* generation and slot */
};

struct lookout {
    shared_u64 since; /* when the handler that runs began; 0: none does */
    struct lookout_note recent[LOOKOUT_RECENT];
    shared_u32 recent_next; /* runs so far; the one that runs is the last before */
    uint64_t told_of;       /* the watching thread's: the `since` that it has told of, and how often */
    uint32_t told;
    shared_u32 busy; /* guards what follows */
    uint32_t slowest_count;
    soma_watch_handler slowest[SOMA_WATCH_MOST];
};

/* The system's thread that looks. */
struct watcher {
    shared_u32 stopping;
    bool started;
    pthread_t thread;
};

/* Gives a worker its notes, if its system is watched. 0 or SOMA_ENOMEM. */
int lookout_open(struct worker *worker);

/* Around each handler of a watched worker. */
void lookout_begin(struct worker *worker, const soma_agent *agent, const char *message);
void lookout_end(struct worker *worker, soma_agent *agent);

/* The watching thread, if the options want it. 0 or SOMA_ETHREAD. */
int watcher_start(soma_system *system);
void watcher_stop(soma_system *system);

/* Writes to standard error what a worker was at; only what a signal handler may call. */
void lookout_report(const struct lookout *lookout);

#endif
