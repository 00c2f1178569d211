/**
 * @file
 * A system: the workers that run agents. Several may live in one process; there are no globals.
 */
#ifndef SOMA_SYSTEM_H
#define SOMA_SYSTEM_H

#include <soma/agent.h>
#include <soma/log.h>

/** How many sizes of blocks for messages and states there are. */
#define SOMA_CLASSES 22

/** The most workers that a system takes. */
#define SOMA_WORKERS_MAX 64

/**
 * What a system is opened with. Zero means: the environment variable named, else the default. The code's value wins.
 */
typedef struct soma_options {
    uint32_t workers; /**< threads that run agents: SOMA_WORKERS, else one a core; at most #SOMA_WORKERS_MAX */
    uint32_t batch;   /**< messages an agent may handle or send a turn: SOMA_BATCH, else 100; at most
                         1,000,000 */
    uint32_t slots;   /**< most agents alive at once: SOMA_SLOTS, else 16,777,216; at most 268,435,456. From
                          65,536 on each worker may keep up to 129 of them for itself */
    uint32_t pin;     /**< 1: each worker keeps to one core: SOMA_PIN, else not. Helps if nothing else runs there */
    uint32_t handler_limit_ms; /**< say so if a handler runs longer: SOMA_HANDLER_LIMIT_MS, else never; at most a day.
                                    See soma/watch.h */
    uint32_t guard;            /**< 1: report which handler crashed: SOMA_GUARD, else not. See soma/watch.h */
    uint32_t drain_ms;         /**< how long closing waits for messages to be handled: SOMA_DRAIN_MS, else 30,000 */
    soma_log_level log_level;  /**< what is logged: SOMA_LOG_LEVEL (a name), else info */
    soma_log_sink *log_sink;   /**< where it goes; else soma_log_stderr() */
    void *log_context;         /**< for the sink */
    void *data;                /**< anything of the user's: soma_system_data() */
} soma_options;

/** A snapshot of a system's counters; see soma_system_stats(). */
typedef struct soma_stats {
    uint64_t agents;       /**< alive now */
    uint64_t spawned;      /**< ever spawned */
    uint64_t sent;         /**< messages, requests and answers sent, those that reached nobody, too */
    uint64_t processed;    /**< messages handled, with timers and posted functions */
    uint64_t dead_letters; /**< messages that reached nobody */
    uint64_t muted;        /**< agents that wait now until one that they sent to has caught up */
    uint64_t rejected;     /**< messages that a limit turned away, to their senders' knowledge */
    uint64_t dropped;      /**< messages that a limit made dead letters, and counted there, too */
    uint64_t late_replies; /**< answers to requests that had ended already */
    uint64_t steals;       /**< agents that a worker took from another one's queue */
    uint64_t sleeps;       /**< times that a worker went to sleep */
    uint64_t queued;       /**< agents that wait in the workers' queues now */
    uint64_t memory;       /**< bytes held for messages and states in blocks; slots and what is larger excepted */
    uint64_t memory_by_class[SOMA_CLASSES]; /**< the same by size of block: 32, 64, 96, 128, on by 64 to 512,
                                                 then four sizes a doubling: 640, 768, … 4096 */
} soma_stats;

/**
 * Opens a system: on return its workers run.
 * @param system gets it; NULL on error
 * @param options NULL for all defaults; copied
 * @return 0, SOMA_EINVAL (NULL `system`, or an environment variable that is no number), SOMA_ETOOBIG (an option over
 *         its limit); an environment variable that is wrong is named in a record to the log sink; SOMA_ENOMEM,
 * SOMA_ETHREAD. Any thread may call it.
 */
SOMA_API int soma_system_open(soma_system **system, const soma_options *options);

/**
 * Closes a system and frees it: waits until every message is handled (also what is kept for an agent that is down, or
 * waits with one that is muted for an agent of another node),
 * then shuts supervisors down in their order (see soma_shutdown_on_close()), all that no longer than the option
 * drain_ms; then ends each agent that is left (its stop runs; pending timers and requests are forgotten), joins the
 * threads, flushes the log and sets `*system` to NULL. A handler that runs is waited for as long again, 2 seconds at
 * least; log lines say which one it is. If it has not returned by then, nothing can end it safely: the function returns
 * SOMA_ETIMEOUT, and agents are ended and memory is freed when it does return, if ever. Until then behaviors, the log's
 * sink and what else they use must stay.
 *
 * What channels over ipc and tcp have sent to agents of this same system, and what is in ZeroMQ's sockets by then, is
 * no message yet and is not waited for: it may be lost. (Within the system, over inproc, all is handled first.) Their
 * linger_ms only helps what is on its way to other processes. Who must know asks (REQ), and closes when the answer has
 * come.
 * @param system NULL or a pointer to NULL is fine: 0
 * @return 0; SOMA_ETIMEOUT if the time was over before all was handled and shut down: the system is closed all the
 *         same, the rest became dead letters, and the log says who did not come to an end, in which state, with how
 * many messages; SOMA_ESTATE from one of the system's own threads, and nothing happens. No other thread may use the
 * system any more; those that wait in soma_call() get SOMA_ECLOSED, those in soma_system_run() return.
 */
SOMA_API int soma_system_close(soma_system **system);

/** As soma_system_close(), but messages are not waited for: those not yet handled become dead letters. */
SOMA_API int soma_system_cancel(soma_system **system);

/** Waits until soma_system_stop() is called. Any thread outside the system; SOMA_ESTATE from a worker. */
SOMA_API int soma_system_run(soma_system *system);

/** Makes soma_system_run() return, now and whenever it is called from now on; the system works on. Any thread, agents
 *  too. SOMA_EINVAL on NULL. */
SOMA_API int soma_system_stop(soma_system *system);

/**
 * Makes SIGINT and SIGTERM stop the system as soma_system_stop() does; a second signal ends the process at once, but
 * for one that comes within a quarter of a second, which is taken for the same: `timeout` sends two. Blocks both
 * signals in the calling thread, so call it in main before other threads start. The arrangement ends with the system,
 * but the signals stay blocked. For one system of a process: of several, a signal would stop any one.
 * @return 0, SOMA_EINVAL (NULL), SOMA_ESTATE (done already), SOMA_ETHREAD
 */
SOMA_API int soma_system_stop_on_signals(soma_system *system);

/** The option `data`. Any thread. NULL for NULL. */
SOMA_API void *soma_system_data(const soma_system *system);

/**
 * Reads the counters. Any thread; each is exact once the system is at rest, and never blocks a worker.
 * @return 0, or SOMA_EINVAL if an argument is NULL
 */
SOMA_API int soma_system_stats(const soma_system *system, soma_stats *stats);

/**
 * Makes a message type known to bridges here, so that other nodes can send it. Types that a behavior handles, and those
 * of replies that are asked for, are known without.
 * @return 0, SOMA_EINVAL (NULL), SOMA_ENOMEM. Any thread.
 */
SOMA_API int soma_type_register(soma_system *system, const soma_type *type);

/** The version of the library that runs, as "0.1.0"; a constant string. Any thread. */
SOMA_API const char *soma_version(void);

#endif
