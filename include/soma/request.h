/**
 * @file
 * Requests: a message that expects an answer, and what an agent does with one that it gets: reply, fail, answer later,
 * or forward it. A request ends exactly once, with a reply or with an error.
 */
#ifndef SOMA_REQUEST_H
#define SOMA_REQUEST_H

#include <soma/agent.h>
#include <soma/timer.h>

/** Where the answer to a request goes; made by #SOMA_THEN, copied by soma_request(). */
typedef struct soma_then {
    const soma_type *reply;    /**< the type of reply that is expected */
    soma_handler_fn *on_reply; /**< gets it */
    soma_handler_fn *on_error; /**< gets the error */
    uint64_t tag;              /**< the caller's: soma_tag() gives it in either handler */
    size_t checked;            /**< not used at run time: its initializer makes the compiler check the signatures */
} soma_then;

/**
 * `SOMA_THEN(R, on_reply, on_error)`, or with `.tag = n` behind:
 * `int on_reply(soma_agent *self, STATE *my, const struct R *reply)` gets a reply of type R;
 * `int on_error(soma_agent *self, STATE *my, const int *error)` gets what went wrong instead: SOMA_ETIMEOUT, SOMA_EGONE
 * (no such agent, or it ended first), SOMA_EDEADLOCK (the time is over, and whom it was sent to waits for an answer
 * from the requester, perhaps by way of others), SOMA_EAGAIN (the agent's limit), SOMA_EUNHANDLED (it has no handler
 * for the request), SOMA_ENOREPLY (its handler returned without answering), SOMA_ETYPE (the reply was of another type),
 * SOMA_ENOROUTE, or the number that it failed the request with. The compiler rejects handlers of other types. As with
 * every handler, a negative result ends the agent.
 */
#define SOMA_THEN(R, on_reply_, ...)                                                                                   \
    (&(const soma_then){                                                                                               \
        .reply = &R##_type,                                                                                            \
        .on_reply = (soma_handler_fn *)(void (*)(void))(on_reply_),                                                    \
        .checked = _Generic((on_reply_)((soma_agent *)0, (void *)0, (const struct R *)0), int : 0) +                   \
                   _Generic((SOMA_FIRST_(__VA_ARGS__, ~))((soma_agent *)0, (void *)0, (const int *)0), int : 0),       \
        .on_error = (soma_handler_fn *)(void (*)(void))__VA_ARGS__})
/** @cond internal */
#define SOMA_FIRST_(first, ...) first
/** @endcond */

/**
 * Asks another agent: `soma_request(self, to, SOMA_SECOND, SOMA_THEN(balance, on_balance, on_error), ask, .id = 7)`.
 * The answer, or the error, comes to one of the two handlers, later and exactly once, even if `to` is known to be gone
 * by now. A reply that comes after the timeout is dropped and counted. If this agent ends first, neither runs.
 *
 * Only the agent itself may call it. `timeout` is in nanoseconds, SOMA_NEVER for none.
 * @return the request's handle; or SOMA_EINVAL (NULL, or a timeout of 0), SOMA_ENOMEM, SOMA_ETOOBIG, SOMA_ETHREAD, and
 *         then nothing was sent and no handler runs
 */
#define soma_request(self, to, timeout, then, ...)                                                                     \
    soma_request_send((self), (to), (timeout), (then), SOMA_BODY_(__VA_ARGS__))

/** soma_request() with the type and body spelled out. */
SOMA_API soma_handle soma_request_send(soma_agent *self, soma_ref to, uint64_t timeout, const soma_then *then,
                                       const soma_type *type, const void *body);

/**
 * Forgets a request: neither of its handlers will run. Only the agent itself may call it.
 * @return 0, SOMA_ENOENT (it has ended already), SOMA_EINVAL (NULL, or no request's handle); a negative `request` is
 *         returned as it is
 */
SOMA_API int soma_request_cancel(soma_agent *self, soma_handle request);

/** In a reply or error handler: the tag that the request was made with; 0 elsewhere. Only the agent itself. */
SOMA_API uint64_t soma_tag(const soma_agent *self);

/**
 * In an error handler: what the agent that was asked said of the error, by soma_fail() before it failed the request;
 * NULL if it said nothing, and elsewhere. It lives as long as the handler runs. Only the agent itself.
 */
SOMA_API const char *soma_error_text(const soma_agent *self);

/**
 * Answers the request that is being handled: `soma_reply(self, balance, .amount = 5)`. Only the agent itself.
 * A requester that is gone, or can't be reached any more, is no error of whom it asked: the answer is dropped and
 * counted (soma_stats.late_replies).
 * @return 0; SOMA_ESTATE (what is handled is no request, or is answered already); SOMA_EINVAL (NULL), SOMA_ENOMEM,
 *         SOMA_ETOOBIG, and then it may be tried again
 */
#define soma_reply(self, ...) soma_reply_send((self), 0, SOMA_BODY_(__VA_ARGS__))

/**
 * Fails the request that is being handled; its requester's error handler gets `error`: one of Soma's codes or any other
 * number but 0, which both sides understand. A text for it comes from soma_fail(): `soma_reply_error(self,
 * soma_fail(self, SOMA_EINVAL, "no tank %u", n))`. Only the agent itself.
 * @return as soma_reply(); SOMA_EINVAL for 0
 */
#define soma_reply_error(self, error) soma_reply_fail((self), 0, (error))

/**
 * Keeps the request that is being handled open, to be answered from another handler with soma_reply_to() or
 * soma_reply_error_to(). If the agent ends without, the requester gets SOMA_EGONE. Only the agent itself.
 * @return the promise's handle; SOMA_ESTATE as soma_reply(); SOMA_EINVAL (NULL), SOMA_ENOMEM
 */
SOMA_API soma_handle soma_reply_later(soma_agent *self);

/** Keeps a promise: `soma_reply_to(self, promise, balance, .amount = 5)`. As soma_reply(); SOMA_ENOENT if it was kept
 * already; a negative `promise` is returned as it is. */
#define soma_reply_to(self, promise, ...) soma_reply_send((self), (promise), SOMA_BODY_(__VA_ARGS__))

/** Breaks a promise: its requester's error handler gets `error`. As soma_reply_to(), but it needs no memory, so never
 * fails for want of it; SOMA_EINVAL for 0. */
#define soma_reply_error_to(self, promise, error) soma_reply_fail((self), (promise), (error))

/** What soma_reply() and soma_reply_to() are made of; `promise` is 0 for the request that is being handled. */
SOMA_API int soma_reply_send(soma_agent *self, soma_handle promise, const soma_type *type, const void *body);

/** What soma_reply_error() and soma_reply_error_to() are made of. */
SOMA_API int soma_reply_fail(soma_agent *self, soma_handle promise, int error);

/**
 * Passes the message that is being handled, request or not, on to another agent, with its sender unchanged: the
 * answer goes straight to whoever asked. A timer's message has the agent itself as its sender. Only the agent itself.
 * @return 0; SOMA_ESTATE (no message is handled, or it is an answer or word of an agent's end, or the request is
 *         answered already); SOMA_EGONE, SOMA_ENOROUTE, SOMA_ENODEDOWN and SOMA_EAGAIN (a request then fails
 *         with it); SOMA_EINVAL (NULL), SOMA_ENOMEM
 */
SOMA_API int soma_forward(soma_agent *self, soma_ref to);

/**
 * Asks an agent from outside and waits: `soma_call(sys, to, SOMA_SECOND, &reply, balance, ask, .id = 7)` fills in
 * `struct balance reply`, to be ended with balance_destroy(). Any thread but the system's own: there a wait would stop
 * all the worker's agents.
 * @return 0, what SOMA_THEN's error handler would get, SOMA_ESTATE from one of the system's own threads, SOMA_EINVAL
 *         (NULL, or a timeout of 0), SOMA_ECLOSED (the system closed meanwhile), or as soma_spawn(); the reply is
 *         zeroed then
 */
#define soma_call(system, to, timeout, result, R, ...)                                                                 \
    soma_call_send((system), (to), (timeout), &R##_type,                                                               \
                   _Generic((result), struct R *                                                                       \
                            : (result)),                                                                               \
                   SOMA_BODY_(__VA_ARGS__))

/** soma_call() with the types and body spelled out. */
SOMA_API int soma_call_send(soma_system *system, soma_ref to, uint64_t timeout, const soma_type *reply, void *result,
                            const soma_type *type, const void *body);

#endif
