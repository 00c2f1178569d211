/**
 * @file
 * Agents: behaviors, spawning, sending, ending. A handler runs one message at a time, on one thread at a time, so an
 * agent's state needs no lock.
 */
#ifndef SOMA_AGENT_H
#define SOMA_AGENT_H

#include <soma/export.h>
#include <soma/message.h>
#include <soma/ref.h>
#include <soma/type.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A handler that takes another struct than its message is a bug in every case, so it is an error also for the
// compilers that only warn by default (gcc before 14, clang before 16). The same for an
// error handler that takes an int instead of a pointer to one.
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#pragma GCC diagnostic error "-Wint-conversion"

/** One runtime: workers and agents. Opened by soma_system_open(). */
typedef struct soma_system soma_system;

/** The running agent as its own handlers see it. Never pass it to another thread. */
typedef struct soma_agent soma_agent;

/** How every handler looks once its types are erased; users write typed ones and pass them to #SOMA_ON. */
typedef int soma_handler_fn(soma_agent *self, void *state, const void *message);

/** One row of a behavior's handler table; made by #SOMA_ON. */
typedef struct soma_handler {
    const soma_type *type; /**< the message type it handles */
    soma_handler_fn *fn;   /**< the function */
    size_t checked;        /**< not used at run time: its initializer makes the compiler check the signature */
    const char *method;    /**< in a channel's table: the method in place of a function; NULL elsewhere */
} soma_handler;

/** What becomes of a message for an agent that has as much mail as its limit allows. */
typedef enum soma_policy {
    SOMA_REJECT,      /**< it is not sent: the sender gets SOMA_EAGAIN, a request fails with it */
    SOMA_DROP_NEWEST, /**< it is a dead letter (SOMA_EAGAIN); the sender gets 0 */
    SOMA_DROP_OLDEST /**< it is sent, and when the agent comes to it the oldest is the dead letter; while a handler runs
                          on and on, at twice the limit, the newest */
} soma_policy;

/**
 * How much mail may wait for an agent; 0 is any amount. Messages and requests count; answers, timers, posted functions
 * and word of ends don't, and are never turned away. Bytes are those of the messages' blocks, some 40 more than the
 * message, and of bodies (soma/body.h), whoever else holds them; the first always fits.
 */
typedef struct soma_limit {
    uint32_t messages;  /**< at most so many */
    uint64_t bytes;     /**< and at most so many bytes */
    soma_policy policy; /**< else this */
} soma_limit;

/**
 * What an agent is made of. Usually a static const; it must outlive every system that spawns from it.
 *
 * A behavior may extend another (`base`): a message is looked up in its own table first, then in the base's, and so on.
 * Hooks that it leaves NULL (fallback, ready, idle) are the base's; init and stop are its own; its state starts with
 * the base's state if the base's handlers are to work on it.
 */
typedef struct soma_behavior {
    const char *name;                        /**< for logs and errors; must not be NULL */
    size_t state_size;                       /**< bytes of private state, zeroed before init; 0 for none */
    const soma_handler *handlers;            /**< made by #SOMA_HANDLERS; NULL for none */
    const struct soma_method *methods;       /**< made by #SOMA_METHODS of soma/method.h; NULL for none */
    const struct soma_attribute *attributes; /**< made by #SOMA_ATTRIBUTES of soma/attribute.h; NULL for none */
    const struct soma_behavior *base;        /**< the behavior that this one extends, or NULL */
    /** Runs in soma_spawn(), before any message. `arg` is valid during the call. A negative result fails the spawn;
     *  stop runs then, too, so that it can undo what init got done: the state was zeroed before. */
    int (*init)(soma_agent *self, void *state, const void *arg);
    /** Runs last, when the agent ends; `reason` is 0 or the error that it ended with. What it sends still goes out;
     *  what it asks, watches or sets a timer for ends with it. */
    void (*stop)(soma_agent *self, void *state, int reason);
    /** Gets what no handler is for. Without one such a message is a dead letter. */
    int (*fallback)(soma_agent *self, void *state, const soma_type *type, const void *message);
    /** Runs on a worker before the first message: for what should not hold up the spawner. An error ends the agent. */
    int (*ready)(soma_agent *self, void *state);
    /** Runs each time that the agent has no more messages, before it goes idle. An error ends the agent. */
    int (*idle)(soma_agent *self, void *state);
    /** The agent gets a thread of its own, so its handlers may block. Not inherited from the base. */
    bool blocking;
    /** It is never muted (see soma_send()): for an agent that serves many, and must not stand still for one of them.
     *  What waits for each it bounds itself, as by sending more only when it has had an answer. Not inherited. */
    bool unmuted;
    /** How much mail may wait for it; not inherited, and soma_become() doesn't change it. */
    soma_limit limit;
} soma_behavior;

/** A handler table, at file scope: `.handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet), …)`. At most 256 rows, its
 * bases' included. */
#define SOMA_HANDLERS(...)                                                                                             \
    (const soma_handler[])                                                                                             \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL, NULL, 0, NULL                                                                                        \
        }                                                                                                              \
    }

/**
 * A row of the table: `int fn(soma_agent *self, STATE *my, const struct T *message)` handles messages of type T. The
 * compiler rejects a function whose message parameter or result is another. STATE is the behavior's; that all of its
 * handlers agree on it is the one thing that the compiler can't see. Of two rows for one type the first counts.
 *
 * What a handler or hook returns: a negative number is an error, which ends the agent and is logged as a warning; 0 or
 * more is none. So `return soma_request(…);` and other calls that give a handle do what they look like. Return
 * soma_send() only if the agent is to end once the other one is gone.
 */
#define SOMA_ON(T, fn_)                                                                                                \
    {                                                                                                                  \
        &T##_type, (soma_handler_fn *)(void (*)(void))(fn_),                                                           \
            _Generic((fn_)((soma_agent *)0, (void *)0, (const struct T *)0), int : 0), NULL                            \
    }

/** Whatever soma_spawn() and soma_send() may be called from: an agent (its handlers) or a system (any thread). */
#define SOMA_FROM_(from, verb) _Generic((from), soma_agent * : soma_agent_##verb, soma_system * : soma_system_##verb)

/** @cond internal */
// clang-format off
#define SOMA_BODY_PICK_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, X, ...) X
#define SOMA_BODY_NONE_(T) &T##_type, &(const struct T){0}
#define SOMA_BODY_SOME_(T, ...) &T##_type, &(const struct T){__VA_ARGS__}
#define SOMA_BODY_(...)                                                                                                \
    SOMA_BODY_PICK_(__VA_ARGS__, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_,  \
                    SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_,               \
                    SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_, SOMA_BODY_SOME_,               \
                    SOMA_BODY_SOME_, SOMA_BODY_NONE_, ~)(__VA_ARGS__)
// clang-format on
/** @endcond */

/**
 * Sends a message: `soma_send(self, to, greet, .name = "Bob")` from a handler, `soma_send(sys, to, …)` from any thread.
 *
 * The body is copied (strings and arrays too) before it returns; the caller keeps what it passed, whatever is returned.
 * Two messages from one agent to another arrive in the order in which they were sent; so do two from one outside
 * thread. From a handler it never waits; from a thread outside it does while the receiver is overloaded, so that memory
 * is bounded (soma_try_send() doesn't). A handler sends as itself: what it sends by way of its system has no sender,
 * and nobody is slowed down for it. While all workers are busy, what a handler sends to one agent in a row may reach it
 * together, at the latest when the handler returns. An agent that sends to an overloaded one does not run again, once
 * its handler has returned, until that one has caught up.
 * @return 0, or SOMA_EGONE (no such agent: a dead letter, counted), SOMA_EAGAIN (its limit is reached, and it rejects
 *         what is more), SOMA_ENOROUTE, SOMA_ENODEDOWN, SOMA_ENOMEM, SOMA_ETOOBIG,
 *         SOMA_EINVAL (NULL `from`, a length without data)
 */
#define soma_send(from, to, ...) SOMA_FROM_(from, send)((from), (to), SOMA_BODY_(__VA_ARGS__))

/**
 * Starts an agent: `soma_spawn(from, &behavior, arg, &ref)`. Its init runs within the call, on the caller's thread, so
 * `arg` needs to live only that long, and on return the agent takes messages.
 * @return 0, or SOMA_EINVAL (NULL behavior or nameless one, or one that extends itself, or a row without a function),
 *         SOMA_ENOMEM, SOMA_ETOOBIG (a state over 4 GiB, over 256 handlers), SOMA_EFULL, SOMA_ETHREAD (a blocking one),
 *         SOMA_ECLOSED (the system closes; what agents spawn while it drains is welcome), or what init returned. `*ref`
 *         is the null ref on error; `ref` may be NULL.
 */
#define soma_spawn(from, ...) SOMA_FROM_(from, spawn)((from), __VA_ARGS__)

/**
 * As soma_send() from a thread outside, but never waits: `soma_try_send(sys, to, greet, .name = "Bob")`.
 * @return as soma_send(), or SOMA_EAGAIN: the receiver has to catch up first, and nothing was sent
 */
#define soma_try_send(system, to, ...) soma_system_try_send((system), (to), SOMA_BODY_(__VA_ARGS__))

/** soma_try_send() with the type and body spelled out. */
SOMA_API int soma_system_try_send(soma_system *system, soma_ref to, const soma_type *type, const void *body);

/**
 * How many messages and requests wait for an agent. Counting begins with the first call for it, which therefore gives 0
 * (what waits already is never counted), or with its spawn if it has a limit; it takes its messages off the fastest
 * path.
 * @param system the agent's system
 * @param agent the agent
 * @param messages gets the number
 * @return 0, SOMA_EGONE, SOMA_ENOROUTE, SOMA_EINVAL (NULL). Any thread may call it.
 */
SOMA_API int soma_backlog(soma_system *system, soma_ref agent, uint32_t *messages);

/** soma_send() from a handler, with the type and body spelled out. Only the agent itself may call it. */
SOMA_API int soma_agent_send(soma_agent *self, soma_ref to, const soma_type *type, const void *body);

/** soma_send() from any thread, with the type and body spelled out. */
SOMA_API int soma_system_send(soma_system *system, soma_ref to, const soma_type *type, const void *body);

/** soma_spawn() from a handler. Only the agent itself may call it. */
SOMA_API int soma_agent_spawn(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref);

/** soma_spawn() from any thread. */
SOMA_API int soma_system_spawn(soma_system *system, const soma_behavior *behavior, const void *arg, soma_ref *ref);

/** The agent's own ref. Only the agent itself may call it; NULL gives the null ref. */
SOMA_API soma_ref soma_self(const soma_agent *self);

/** Who sent the message being handled: the null ref for one from outside. Only the agent itself may call it. */
SOMA_API soma_ref soma_sender(const soma_agent *self);

/** The system that the agent lives in. Only the agent itself may call it; NULL gives NULL. */
SOMA_API soma_system *soma_agent_system(const soma_agent *self);

/**
 * Ends the agent as soon as the running handler (or init) returns, with `reason` unless that returns an error, which
 * then counts. What waits in its mailbox becomes dead letters.
 * Only the agent itself may call it.
 * @param self the agent
 * @param reason 0 for a normal end, or an error code; stop gets it
 */
SOMA_API void soma_agent_exit(soma_agent *self, int reason);

/**
 * Swaps the handlers: from the next message on, `behavior`'s table, hooks and methods count, all but its init, which
 * does not run; the state stays as it is. Only the agent itself may call it.
 * @return 0, SOMA_EINVAL (NULL or nameless, or it extends itself), SOMA_ETOOBIG (it needs a larger state than the agent
 *         has, or has over 256 handlers), SOMA_ESTATE (it is blocking, and the agent was not spawned as one, so has no
 *         thread to block), SOMA_ENOMEM
 */
SOMA_API int soma_become(soma_agent *self, const soma_behavior *behavior);

/**
 * Ends an agent from outside, ahead of all that waits in its mailbox, with reason SOMA_EKILLED; a handler that runs
 * is finished first. So it may still be there on return, and have its names. Any thread may call it.
 * @return 0, SOMA_EGONE, SOMA_ENOROUTE, SOMA_ENOMEM, SOMA_EINVAL (NULL)
 */
SOMA_API int soma_kill(soma_system *system, soma_ref agent);

/**
 * Runs a function as a handler of an agent, behind what waits in its mailbox: `run(self, state, arg)`. Never waits,
 * also for an overloaded agent.
 * @param system the agent's system
 * @param to the agent
 * @param run the function
 * @param arg for it
 * @param drop called with `arg` instead if `run` will never be called, also before an error is returned; may be NULL
 * @return 0, SOMA_EGONE, SOMA_ENOROUTE (it lives elsewhere), SOMA_ENOMEM, SOMA_EINVAL (NULL). Any thread may call it.
 */
SOMA_API int soma_post(soma_system *system, soma_ref to, int (*run)(soma_agent *self, void *state, void *arg),
                       void *arg, void (*drop)(void *arg));

/**
 * Gives an agent a name, unique in its system while it lives. One agent may have several.
 * @param system the agent's system
 * @param agent the agent; the null ref frees the name
 * @param name up to 255 bytes
 * @return 0, also if it is this agent's already; SOMA_EEXIST (another living agent has it); SOMA_EGONE (no such agent
 * here); SOMA_ENOENT (nobody to free); SOMA_EINVAL (NULL or empty); SOMA_ETOOBIG; SOMA_ENOMEM. Any thread may call it.
 */
SOMA_API int soma_name_set(soma_system *system, soma_ref agent, const char *name);

/**
 * Finds the living agent of a name.
 * @param system the system
 * @param name the name
 * @param agent gets its ref; the null ref on error
 * @return 0, SOMA_ENOENT, SOMA_EINVAL (NULL). Any thread may call it.
 */
SOMA_API int soma_whereis(soma_system *system, const char *name, soma_ref *agent);

/** Attaches a pointer of the user's to the agent. 0, SOMA_EINVAL (NULL), SOMA_ENOMEM. Only the agent itself. */
SOMA_API int soma_agent_data_set(soma_agent *self, void *data);

/** The pointer that soma_agent_data_set() attached; NULL if none. Only the agent itself may call it. */
SOMA_API void *soma_agent_data(const soma_agent *self);

#endif
