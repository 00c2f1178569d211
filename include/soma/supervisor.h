/**
 * @file
 * Supervisors: agents that start others, restart those that fail, and stop them in order. A supervisor is an agent like
 * any other, so a tree of them is made by giving one to another as a child:
 *
 *     static const soma_child workers[] = {{.name = "cache", .behavior = &cache}, {.name = "web", .behavior = &web}};
 *     static const soma_supervision top = {.strategy = SOMA_ONE_FOR_ALL, .children = workers, .count = 2};
 *     soma_spawn(system, &soma_supervisor, &top, &ref);
 *
 * Children are kept (soma/keep.h): their refs and names survive restarts, their stash too, and their mail if they say
 * so. A child starts once the one before it has run its init, and stops before that one does. What a supervisor itself
 * gets is never lost or muted away by a child's overload. (The rules are those of Erlang/OTP, with backoff added.)
 */
#ifndef SOMA_SUPERVISOR_H
#define SOMA_SUPERVISOR_H

#include <soma/agent.h>
#include <soma/message.h>
#include <stdio.h>

/** After which ends a child is restarted. */
typedef enum soma_restart {
    SOMA_PERMANENT, /**< all */
    SOMA_TRANSIENT, /**< all but those with reason 0 or SOMA_ESHUTDOWN */
    SOMA_TEMPORARY  /**< none */
} soma_restart;

/** Who is restarted with a child that ended. */
typedef enum soma_strategy {
    SOMA_ONE_FOR_ONE,  /**< nobody */
    SOMA_ONE_FOR_ALL,  /**< all others, which are stopped first, in reverse order */
    SOMA_REST_FOR_ONE, /**< those that were started after it, likewise */
    SOMA_POOL          /**< nobody; all children are of one kind, and their number changes */
} soma_strategy;

/** One child, or the one kind of child of a pool. It must outlive the supervisor, with all that it points to. */
typedef struct soma_child {
    const char *name;              /**< set as the agent's name (soma_name_set()); NULL for none; not for a pool */
    const soma_behavior *behavior; /**< what it is; &soma_supervisor with a soma_supervision as `arg` for a subtree */
    const void *arg;               /**< for its init, each time */
    soma_restart restart;          /**< when it is restarted */
    bool mail;                     /**< what it is sent while it is down waits for its next life */
    uint64_t shutdown; /**< nanoseconds that it may take to end when told to, then it is killed; 0: 5 seconds,
                            and no limit for a supervisor; SOMA_NEVER: no limit */
} soma_child;

/** What a supervisor does: the argument of its init. It must outlive it. */
typedef struct soma_supervision {
    soma_strategy strategy; /**< who is restarted with whom */
    uint32_t intensity;     /**< so many restarts in a period are fine; at one more all children are stopped, and the
                                 supervisor fails with SOMA_ERESTARTS, for its own supervisor to judge; 0: 3; at most
                                 1,000,000 */
    uint64_t period;        /**< nanoseconds; 0: 5 seconds */
    uint64_t backoff;       /**< wait so long before a child's first restart, doubled for each further one until it has
                                 lived for a period; 0: restart at once */
    uint64_t backoff_max;   /**< but no longer than this; 0: 30 seconds */
    const soma_child *children; /**< started in this order; a pool has one, which is its kind */
    uint32_t count;             /**< how many; for a pool, how many of its kind it starts with */
} soma_supervision;

/**
 * The behavior of supervisors. Its init, and so soma_spawn(), fails with the error of the first child that can't be
 * started, or with SOMA_EINVAL (NULL, a child without behavior, a pool without kind), SOMA_ETOOBIG (intensity) or
 * SOMA_ENOMEM.
 *
 * It ends, with its children in reverse order and each in bounded time (a pool's all at once), when soma_shutdown()
 * tells it to. Killed, or by an error of its own, it kills them.
 */
SOMA_API extern const soma_behavior soma_supervisor;

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_start_child, (bytes, arg))
SOMA_MESSAGE(soma_started, (ref, child))
SOMA_MESSAGE(soma_stop_child, (ref, child))
SOMA_MESSAGE(soma_stopped)
SOMA_MESSAGE(soma_list_children)
SOMA_MESSAGE(soma_child_info, (string, name), (string, behavior), (string, state), (ref, agent), (u32, restarts),
             (bool, supervisor))
SOMA_MESSAGE(soma_children, (messages, soma_child_info, list), (u64, restarts), (string, strategy))
/** @endcond */

/*
 * Requests that a supervisor answers, made with soma_request() or soma_call():
 *
 * soma_start_child: a pool starts one more; `arg` (copied; NULL for the kind's) is for its init. Answer: soma_started;
 *   errors: as soma_spawn(), SOMA_ESTATE (no pool, or it is ending).
 * soma_stop_child: stops one for good. Answer: soma_stopped, when it is gone; errors: SOMA_ENOENT, SOMA_ESTATE (it is
 *   being stopped for somebody already).
 * soma_list_children: answer: soma_children. `state` is "running", "restarting", "stopping" or "ended".
 */

/**
 * Prints a supervisor's tree, as soma_list_children walks it.
 * @param system the system
 * @param supervisor its root
 * @param stream where to
 * @return 0, SOMA_EINVAL (NULL), SOMA_ESTATE (from one of the system's own threads), or as soma_call(), for the root;
 *         what can't be reached below it is named in the tree. Any thread outside.
 */
SOMA_API int soma_tree_print(soma_system *system, soma_ref supervisor, FILE *stream);

#endif
