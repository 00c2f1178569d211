/**
 * @file
 * One handler of one agent, run alone: for unit tests of what an agent does with a message in a given state. Part of
 * the test kit; see soma/test.h. There are no other agents, no threads and no time that passes: all that the agent
 * does to the world is captured, in order, and looked at after.
 *
 *     soma_isolated *iso = soma_isolate(&clerk, NULL);
 *     struct clerk *my = soma_isolated_state(iso);
 *     my->stock = 2;
 *     assert_int_equal(soma_isolated_request(iso, buy, .count = 1), 0);
 *     assert_int_equal(my->stock, 1);
 *     const struct sold *sold = soma_isolated_replied(iso, sold, NULL);
 *     assert_non_null(sold);
 *     assert_null(soma_isolated_sent(iso, reorder, NULL));
 *     soma_isolated_close(&iso);
 *
 * The agent runs as in a system: handlers of its behavior and its bases, fallback, methods, idle and stop hooks. What
 * it sends, also to itself, is handled by nobody, unless the test does so by soma_isolated_handle(). What it spawns are
 * stand-ins, which take all mail and do nothing. It works in any cmocka test, also in a body of #SOMA_SIM; a wrong call
 * (NULL) fails the test. Whoever opens one uses it alone, in one thread.
 */
#ifndef SOMA_ISOLATE_H
#define SOMA_ISOLATE_H

#include <soma/test.h>

/** An agent by itself. */
typedef struct soma_isolated soma_isolated;

/** What an agent did. */
typedef enum soma_effect_kind {
    SOMA_EFFECT_SENT,      /**< sent a message: `to`, `type`, `body` */
    SOMA_EFFECT_FORWARDED, /**< passed the message that it handled on: `to`, `type`, `body` */
    SOMA_EFFECT_REQUESTED, /**< asked: `to`, `type`, `body`, `delay` until its timeout, `handle` */
    SOMA_EFFECT_REPLIED,   /**< answered a request: `to`, `type`, `body`, `handle` */
    SOMA_EFFECT_FAILED,    /**< failed a request, also by not answering: `to`, `error`, `handle` */
    SOMA_EFFECT_TIMER,     /**< set a timer: `type`, `body`, `delay`, `period`, `handle` */
    SOMA_EFFECT_SPAWNED,   /**< spawned an agent: `to`, its ref; `behavior`, `arg`; `error`, if the test let it fail */
    SOMA_EFFECT_KEPT,      /**< keeps the agent that it has just spawned: `to` */
    SOMA_EFFECT_MONITORED, /**< monitors an agent, also one that it has just spawned: `to` */
    SOMA_EFFECT_DEMONITORED, /**< does so no longer, or keeps it no longer: `to` */
    SOMA_EFFECT_LINKED,      /**< linked itself with an agent: `to` */
    SOMA_EFFECT_UNLINKED,    /**< ended a link: `to` */
    SOMA_EFFECT_SHUT_DOWN,   /**< told an agent to shut down: `to` */
    SOMA_EFFECT_KILLED,      /**< killed an agent: `to` */
    SOMA_EFFECT_POSTED,      /**< posted a function to an agent: `to` */
    SOMA_EFFECT_LOGGED,      /**< wrote to the log, at any level: `level`, `text` */
    SOMA_EFFECT_ENDED        /**< ended: `error`, the reason; what its stop hook does comes after */
} soma_effect_kind;

/** One thing that an agent did. What its kind does not name is 0. It and all it points to live until
 * soma_isolated_clear() or soma_isolated_close(). */
typedef struct soma_effect {
    soma_effect_kind kind;         /**< what it is */
    soma_ref to;                   /**< whom it concerns */
    const soma_type *type;         /**< of the message */
    const void *body;              /**< the message, a copy */
    const soma_behavior *behavior; /**< what was spawned */
    const void *arg;               /**< for its init, as it was passed: what it points to may be gone */
    uint64_t delay;                /**< nanoseconds; SOMA_NEVER: a request without a timeout */
    uint64_t period;               /**< of a timer that fires again and again */
    soma_handle handle;            /**< of a request that it made or a timer: as it got it. Of an answer: the number of
                                        the request, the test's first one is 1 */
    int error;                     /**< an error or a reason */
    soma_log_level level;          /**< of a record */
    const char *text;              /**< of a record */
} soma_effect;

/**
 * Makes an agent by itself: its init and its ready hook run, and what they do is captured. Fails the test if init does.
 * To be closed with soma_isolated_close().
 */
#define soma_isolate(behavior, arg) soma_isolate_at((behavior), (arg), __FILE__, __LINE__)

/** What soma_isolate() calls. */
SOMA_API soma_isolated *soma_isolate_at(const soma_behavior *behavior, const void *arg, const char *file, int line);

/**
 * As soma_isolate(), for an init that may fail.
 * @param iso gets it; NULL on error
 * @param behavior the agent's
 * @param arg for its init
 * @return 0, or as soma_spawn()
 */
SOMA_API int soma_isolate_open(soma_isolated **iso, const soma_behavior *behavior, const void *arg);

/** Ends the agent if it lives, and frees all. `*iso` is NULL after; NULL and a pointer to NULL are fine. */
SOMA_API void soma_isolated_close(soma_isolated **iso);

/** The agent's state, to be read and set; NULL if it has none or has ended. */
SOMA_API void *soma_isolated_state(soma_isolated *iso);

/** What the agent is now, which soma_become() changes; NULL if it has ended. */
SOMA_API const soma_behavior *soma_isolated_behavior(const soma_isolated *iso);

/** The agent's own ref. */
SOMA_API soma_ref soma_isolated_self(const soma_isolated *iso);

/**
 * An agent that is there for the one under test to know: it takes all mail and does nothing.
 * @param iso the agent under test
 * @param name by which soma_whereis() finds it; NULL for none
 * @return its ref
 */
SOMA_API soma_ref soma_isolated_peer(soma_isolated *iso, const char *name);

/** Who sends what the agent gets from now on: soma_sender(), and where answers go. The null ref: somebody outside, who
 * can't ask. At first it is a peer of its own. Returns who it was. */
SOMA_API soma_ref soma_isolated_from(soma_isolated *iso, soma_ref sender);

/** The time that soma_now() tells from now on, in nanoseconds; at first 0. No timer fires by that. */
SOMA_API void soma_isolated_time_set(soma_isolated *iso, uint64_t now);

/** What the agent spawns from now on fails in its init with that error; 0: it works again. */
SOMA_API void soma_isolated_spawns_fail(soma_isolated *iso, int error);

/** Of what the next handler allocates the n-th fails (1: the first), as soma_test_fail_allocation() says. */
SOMA_API void soma_isolated_fail_allocation(soma_isolated *iso, uint64_t n);

/**
 * Has the agent handle one message: `soma_isolated_handle(iso, tick, .n = 1)`.
 * @return what its handler, or fallback, returned; a negative number has ended it. SOMA_EUNHANDLED if there is none,
 *         SOMA_EGONE if the agent has ended before
 */
#define soma_isolated_handle(iso, ...) soma_isolated_deliver((iso), SOMA_BODY_(__VA_ARGS__))

/** The same for a request; its answer, if it has one yet, is an effect. */
#define soma_isolated_request(iso, ...) soma_isolated_ask((iso), SOMA_BODY_(__VA_ARGS__))

/**
 * Answers a request that the agent has made: `soma_isolated_answer(iso, effect, balance, .amount = 5)`.
 * @return what its reply handler returned (its error handler, if it expects another type); SOMA_ENOENT if it does not
 *         wait for that any more
 */
#define soma_isolated_answer(iso, effect, ...) soma_isolated_reply((iso), (effect), SOMA_BODY_(__VA_ARGS__))

/** Fails a request that the agent has made, SOMA_ETIMEOUT for instance: what its error handler returned. Else as
 * soma_isolated_answer(). */
SOMA_API int soma_isolated_answer_error(soma_isolated *iso, const soma_effect *effect, int error);

/**
 * A timer that the agent has set fires, alone; or the time of a request is over. The time moves on to when that is due.
 * @return what the handler returned; SOMA_ENOENT if it was cancelled, has fired or was answered
 */
SOMA_API int soma_isolated_fire(soma_isolated *iso, const soma_effect *effect);

/** Does the agent still wait for this timer or this answer? */
SOMA_API bool soma_isolated_pending(const soma_isolated *iso, const soma_effect *effect);

/** Tells the agent to shut down, as soma_shutdown() does. What its handler returned, if it has one for that. */
SOMA_API int soma_isolated_shutdown(soma_isolated *iso);

/** How many effects there are. */
SOMA_API uint32_t soma_isolated_count(const soma_isolated *iso);

/** An effect by its place, from 0; NULL if there are not so many. */
SOMA_API const soma_effect *soma_isolated_effect(const soma_isolated *iso, uint32_t index);

/** Forgets all effects. */
SOMA_API void soma_isolated_clear(soma_isolated *iso);

/**
 * The first effect of a kind, and of a type, that this has not given before.
 * @param iso the agent
 * @param kind the kind
 * @param type the message's type; NULL: any
 * @return the effect, or NULL
 */
SOMA_API const soma_effect *soma_isolated_take(soma_isolated *iso, soma_effect_kind kind, const soma_type *type);

/**
 * The next message of a type that the agent has sent: `const struct T *soma_isolated_sent(iso, T, &effect)`. NULL if
 * there is none. `effect` gets the whole; it may be NULL.
 */
#define soma_isolated_sent(iso, T, effect) SOMA_ISOLATED_TAKE_(iso, SENT, T, effect)
/** The next request of a type that it has made; as soma_isolated_sent(). */
#define soma_isolated_requested(iso, T, effect) SOMA_ISOLATED_TAKE_(iso, REQUESTED, T, effect)
/** The next answer of a type that it has given; as soma_isolated_sent(). */
#define soma_isolated_replied(iso, T, effect) SOMA_ISOLATED_TAKE_(iso, REPLIED, T, effect)
/** The next timer with a message of a type that it has set; as soma_isolated_sent(). */
#define soma_isolated_timer(iso, T, effect) SOMA_ISOLATED_TAKE_(iso, TIMER, T, effect)
/** @cond internal */
#define SOMA_ISOLATED_TAKE_(iso, kind, T, effect)                                                                      \
    ((const struct T *)soma_isolated_take_body((iso), SOMA_EFFECT_##kind, &T##_type, (effect)))
/** @endcond */

/** What those four call: soma_isolated_take() for the message alone. */
SOMA_API const void *soma_isolated_take_body(soma_isolated *iso, soma_effect_kind kind, const soma_type *type,
                                             const soma_effect **effect);

/** soma_isolated_handle() with the type and body spelled out. */
SOMA_API int soma_isolated_deliver(soma_isolated *iso, const soma_type *type, const void *body);

/** soma_isolated_request() with the type and body spelled out. */
SOMA_API int soma_isolated_ask(soma_isolated *iso, const soma_type *type, const void *body);

/** soma_isolated_answer() with the type and body spelled out. */
SOMA_API int soma_isolated_reply(soma_isolated *iso, const soma_effect *effect, const soma_type *type,
                                 const void *body);

#endif
