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
