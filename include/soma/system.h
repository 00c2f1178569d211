/**
 * @file
 * A system: the workers that run agents. Several may live in one process; there are no globals.
 */
#ifndef SOMA_SYSTEM_H
#define SOMA_SYSTEM_H

#include <soma/agent.h>

/** The most workers that a system takes. */
#define SOMA_WORKERS_MAX 64

/**
 * What a system is opened with. Zero means: the environment variable named, else the default. The code's value wins.
 */
typedef struct soma_options {
    uint32_t workers; /**< threads that run agents: SOMA_WORKERS, else one a core; at most #SOMA_WORKERS_MAX */
    uint32_t batch;   /**< messages an agent may handle a turn: SOMA_BATCH, else 100; at most 1,000,000 */
    uint32_t slots;   /**< most agents alive at once: SOMA_SLOTS, else 16,777,216; at most 268,435,456 */
} soma_options;

/** A snapshot of a system's counters; see soma_system_stats(). */
typedef struct soma_stats {
    uint64_t agents;       /**< alive now */
    uint64_t spawned;      /**< ever spawned */
    uint64_t processed;    /**< messages handled */
    uint64_t dead_letters; /**< messages that reached nobody */
    uint64_t late_replies; /**< answers to requests that had ended already */
    uint64_t steals;       /**< agents that a worker took from another one's queue */
    uint64_t sleeps;       /**< times that a worker went to sleep */
    uint64_t memory;       /**< bytes held for messages, slots excepted */
} soma_stats;

/**
 * Opens a system: on return its workers run.
 * @param system gets it; NULL on error
 * @param options NULL for all defaults; copied
 * @return 0, SOMA_EINVAL (NULL `system`, or an environment variable that is no number), SOMA_ETOOBIG (an option over
 *         its limit), SOMA_ENOMEM, SOMA_ETHREAD. Any thread may call it.
 */
SOMA_API int soma_system_open(soma_system **system, const soma_options *options);

/**
 * Closes a system and frees it: waits until every message is handled, then ends each agent (its stop runs), joins the
 * workers and sets `*system` to NULL. A system whose agents never come to rest is not drained by this: use
 * soma_system_cancel().
 * @param system NULL or a pointer to NULL is fine: 0
 * @return 0, or SOMA_ESTATE from one of the system's own workers. No other thread may use the system any more.
 */
SOMA_API int soma_system_close(soma_system **system);

/** As soma_system_close(), but without waiting: messages not yet handled become dead letters. */
SOMA_API int soma_system_cancel(soma_system **system);

/** Waits until soma_system_stop() is called. Any thread outside the system; SOMA_ESTATE from a worker. */
SOMA_API int soma_system_run(soma_system *system);

/** Makes soma_system_run() return, now or when it is called. Any thread, agents too. SOMA_EINVAL on NULL. */
SOMA_API int soma_system_stop(soma_system *system);

/**
 * Reads the counters. Any thread; each is exact once the system is at rest, and never blocks a worker.
 * @return 0, or SOMA_EINVAL if an argument is NULL
 */
SOMA_API int soma_system_stats(const soma_system *system, soma_stats *stats);

#endif
