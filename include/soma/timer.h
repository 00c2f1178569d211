/**
 * @file
 * Time for agents: a timer is a message that an agent sends to itself later, once or again and again.
 */
#ifndef SOMA_TIMER_H
#define SOMA_TIMER_H

#include <soma/agent.h>

#define SOMA_US UINT64_C(1000)           /**< a microsecond, in the nanoseconds that all durations are in */
#define SOMA_MS UINT64_C(1000000)        /**< a millisecond */
#define SOMA_SECOND UINT64_C(1000000000) /**< a second */
#define SOMA_NEVER UINT64_MAX            /**< as a timeout: none */

/**
 * What an agent waits for, a timer, a request or a promise: above 0, and unlike all others of this agent. Functions
 * that make one return a negative SOMA_E… code instead if they fail.
 */
typedef int64_t soma_handle;

/**
 * Sends a message to the agent itself after a while: `soma_after(self, 20 * SOMA_MS, tick, .n = 1)`. Its handler for
 * the message runs then, some 0.2 ms late at most on an idle machine and never early. Timers of an agent fire in the
 * order of their time, to the microsecond, and among equal ones in that of their setting. They end with the agent. Only
 * the agent itself may call it.
 * @return the timer's handle, or SOMA_EINVAL (NULL), SOMA_ENOMEM, SOMA_ETOOBIG (over 4 GiB), SOMA_ETHREAD
 */
#define soma_after(self, delay, ...) soma_timer_after((self), (delay), SOMA_BODY_(__VA_ARGS__))

/**
 * Sends a message to the agent itself again and again: `soma_each(self, SOMA_SECOND, tick)`, for the first time after
 * one period. The beat does not drift: each time is counted from the one before, however late its handler ran. Beats
 * that passed before an earlier one was handled are left out, not made up for. Only the agent itself may call it.
 * @return as soma_after(); SOMA_EINVAL also for a period of 0
 */
#define soma_each(self, period, ...) soma_timer_each((self), (period), SOMA_BODY_(__VA_ARGS__))

/** soma_after() with the type and body spelled out; SOMA_NEVER is SOMA_EINVAL, over 100 years are 100 years. */
SOMA_API soma_handle soma_timer_after(soma_agent *self, uint64_t delay, const soma_type *type, const void *body);

/** soma_each() with the type and body spelled out. */
SOMA_API soma_handle soma_timer_each(soma_agent *self, uint64_t period, const soma_type *type, const void *body);

/**
 * Cancels a timer: its handler will not run any more, even if its time has come already. Only the agent itself.
 * @param self the agent
 * @param timer its handle. A negative one is returned as it is, so that
 *        `soma_timer_cancel(self, soma_timer_find(self, "flush"))` needs no check between
 * @return 0, SOMA_ENOENT (it has fired, was cancelled, or never was), SOMA_EINVAL (NULL, or the handle of a
 *         request or promise)
 */
SOMA_API int soma_timer_cancel(soma_agent *self, soma_handle timer);

/**
 * Cancels all timers of the agent, also the periodic one whose handler runs. Requests keep their timeouts. Only the
 * agent itself.
 * @return 0, also if there are none; SOMA_EINVAL (NULL)
 */
SOMA_API int soma_timers_cancel(soma_agent *self);

/**
 * Gives a timer a name, unique in its agent, by which soma_timer_find() finds it; one more, if it has some already.
 * Only the agent itself.
 * @return 0, SOMA_EEXIST (another timer has it), SOMA_ENOENT (no such timer), SOMA_EINVAL (NULL), SOMA_ENOMEM; a
 *         negative `timer` is returned as it is
 */
SOMA_API int soma_timer_name(soma_agent *self, soma_handle timer, const char *name);

/** The pending timer of that name: its handle, SOMA_ENOENT, or SOMA_EINVAL (NULL). Only the agent itself. */
SOMA_API soma_handle soma_timer_find(soma_agent *self, const char *name);

/**
 * Lists the names of the pending timers, the newest name first. A periodic timer is pending while its handler runs, one
 * that fires once is not. Only the agent itself.
 * @param self the agent
 * @param names gets the first `most` of them; each is valid until its timer ends
 * @param most how many fit; if 0, `names` may be NULL
 * @param pending gets how many timers are pending, those without a name too; may be NULL
 * @return how many names there are, though they be more than `most`; SOMA_EINVAL (NULL)
 */
SOMA_API int soma_timers_list(const soma_agent *self, const char **names, uint32_t most, uint32_t *pending);

/** The system's clock: steady nanoseconds from some start; under test, virtual time. 0 for NULL. */
#define soma_now(from) SOMA_FROM_(from, now)(from)

/** soma_now() for a handler. Only the agent itself may call it. */
SOMA_API uint64_t soma_agent_now(const soma_agent *self);

/** soma_now() for any thread. */
SOMA_API uint64_t soma_system_now(const soma_system *system);

/**
 * A random number, all 64 bits; under test it follows from the seed. Not for secrets. Only the agent itself may call
 * it; 0 for NULL.
 */
SOMA_API uint64_t soma_random(soma_agent *self);

#endif
