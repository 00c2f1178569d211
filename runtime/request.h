/* Requests as the turns of agents see them: what comes back settles a pending one. See include/soma/request.h. */
#ifndef RUNTIME_REQUEST_H
#define RUNTIME_REQUEST_H

#include "runtime/send.h"
#include <soma/message.h>
#include <soma/request.h>

/* An answer of this type is an error that comes with a text, whatever type was asked for. */
SOMA_MESSAGE(soma_failure, (i32, error), (string, text))

/* The rest of soma_request_send() for a block that was built, and is taken; the other arguments must be valid. */
soma_handle request_go(soma_agent *self, soma_ref to, uint64_t timeout, const soma_then *then, struct message *message);

/*
 * The same for a request that goes by a way of the caller's own, to a place that has no ref: `to` is of no node, and
 * what the caller knows it by. Its answer is given by request_answer(). A handle, or an error.
 */
soma_handle request_open(soma_agent *self, soma_ref to, uint64_t timeout, const soma_then *then);

/* The type that the answer to such a request is expected to be of; NULL if it waits no more, or went elsewhere. */
const soma_type *request_expects(const soma_agent *self, soma_handle request, soma_ref to);

/*
 * An answer to such a request, or (type is NULL) an error: a copy of it is made first, and then, in a callback of the
 * agent's, settles the request, which takes it. NULL when memory is out, which settles nothing. The second's result is
 * as a handler's.
 */
struct message *answer_copy(soma_agent *self, const soma_type *type, const void *body, int error);
int answer_settle(soma_agent *self, soma_handle request, struct message *answer);

/* Settles one by an answer that need not be kept: what it points to is the caller's, who has it until this returns.
 * Without memory for its block the request fails. */
int answer_show(soma_agent *self, soma_handle request, const soma_type *type, const void *body);

/* Ends all that went to such a place, with an error. The result is the first handler's that wants the agent to end. */
int requests_fail(soma_agent *self, soma_ref to, int error);

/* Is it all there? */
bool then_valid(const soma_then *then);

/* Does the request of a handle wait for its answer? */
bool request_waits(const soma_agent *self, soma_handle request);

/* A MESSAGE_REPLY, MESSAGE_ERROR or MESSAGE_TIMEOUT has come. What the handler for it returned; 0 if it came late. */
int request_settle(struct worker *worker, soma_agent *agent, const struct message *message);

/* A request's handler has returned: who got no answer, and won't, is told why. */
void request_handled(struct worker *worker, const soma_agent *agent, struct message *message, int error);

/* The agent ends: all that it waited for is forgotten, and who waits for it is told. */
void pending_end(soma_agent *agent, int reason);

/* Whom a pending request (a MESSAGE_TIMEOUT) was sent to. */
soma_ref request_asked(struct message *pending);

#endif
