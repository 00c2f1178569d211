/* What the workloads of soma_bench share. */
#ifndef BENCH_H
#define BENCH_H

#include "trips.h"
#include <inttypes.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

struct bench {
    uint32_t workers;
    uint64_t ops;
    double seconds;
    double rss_per_agent;                        /* spawn only */
    double limit;                                /* overload only: operations a second of the receiver by itself */
    struct trips trips;                          /* remote_latency only */
    double name_bytes_server, name_bytes_client; /* names_register only: memory a name */
    bool curve;                                  /* remote delivery, but for remote_links: with keys */
    bool compress;                               /* and compressed, with something in the messages that can be */
    soma_system *system;
    const soma_supervision *tree; /* tree only */
    atomic_ullong finished;
};

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Ends the program with a message if something failed. */
void check(int error, const char *what);

/* Opens bench->system; workloads find it open, but for those that fork. */
void system_open(struct bench *bench);

/* Memory of this process now, in bytes. */
double rss(void);

void spawn(struct bench *bench, const soma_behavior *behavior, const void *arg, soma_ref *ref);

/* Prints the line of a finished workload; peak_rss is in bytes. */
void print_line(const char *workload, const char *impl, const struct bench *bench, bool json);

/* A million timers: workload `timers`. */
void run_timers(struct bench *bench);

/* Opening and closing systems; agents at rest. */
void run_open(struct bench *bench);
void run_idle(struct bench *bench);

/* More messages than a receiver can handle; monitors set and ended; agents that end and are replaced. */
void run_overload(struct bench *bench);
void run_monitor(struct bench *bench);
void run_down(struct bench *bench);

/* A child that is restarted again and again; a tree of supervisors that starts and stops. */
void run_restart(struct bench *bench);
void run_tree(struct bench *bench);

/* Messages of 64 bytes, or 1 KiB, from one process to another, or from eight; a request and its answer. */
void run_remote_throughput(struct bench *bench);
void run_remote_throughput_1k(struct bench *bench);
void run_remote_fanin(struct bench *bench);
void run_remote_latency(struct bench *bench);

/* Links at rest. */
void run_remote_links(struct bench *bench);

/* The name service; a line each for what is done with names. */
void run_names(struct bench *bench, bool json);

/* Runs of the test kit. */
void run_simulate(struct bench *bench);

/* Channels beside bare libzmq; a line each for every pattern, transport and side. Of those that the words name (up to
 * NULL), or all. */
void run_channels(struct bench *bench, const char *const *words, bool json);

/* The machine's limit, without a runtime; a line each for ring, pingpong and fanin. */
void run_floor(uint64_t ops, bool json);

#endif
