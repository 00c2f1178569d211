/**
 * @file
 * Shared bodies: a message made once that goes to any number of agents without a copy, and large bodies that move by
 * pointer. A body never changes, is counted by reference, and may be used by any thread.
 *
 * soma_send() copies what it is given, which is best for small messages. For a body of many kilobytes, or one for many
 * receivers, make a soma_body and send that. Receivers handle it like any message of its type.
 */
#ifndef SOMA_BODY_H
#define SOMA_BODY_H

#include <soma/agent.h>

/** A message that several may hold. */
typedef struct soma_body soma_body;

/**
 * Makes a body: `soma_body_new(&body, chunk, .data = {bytes, size})`, a deep copy, the only one.
 * @return as soma_body_copy()
 */
#define soma_body_new(body, ...) soma_body_copy((body), SOMA_BODY_(__VA_ARGS__))

/**
 * Makes a body from a message, which is copied with all that it points to.
 * @param body gets it, with one reference for the caller; NULL on error
 * @param type the message's type
 * @param message the message; unchanged
 * @return 0, SOMA_EINVAL (NULL, or a length without data), SOMA_ENOMEM, SOMA_ETOOBIG (over 4 GiB, or nested too deep).
 *         Any thread.
 */
SOMA_API int soma_body_copy(soma_body **body, const soma_type *type, const void *message);

/**
 * Makes a body from a message without copying what it points to: its strings, bytes and arrays must each be a malloc
 * block of its own (as T_copy and T_unpack make them), and belong to the body from then on.
 * @param body gets it, with one reference for the caller; NULL on error
 * @param type the message's type
 * @param message the message; zeroed on success, unchanged on error
 * @return as soma_body_copy()
 */
SOMA_API int soma_body_move(soma_body **body, const soma_type *type, void *message);

/** One more reference. Any thread that has one. NULL gives NULL. */
SOMA_API soma_body *soma_body_share(soma_body *body);

/** Gives the caller's reference up and sets its pointer to NULL; the last one frees the body. Any thread. */
SOMA_API void soma_body_close(soma_body **body);

/** The message in a body, to be read by whoever has a reference. NULL gives NULL. */
SOMA_API const void *soma_body_message(const soma_body *body);

/**
 * Sends a body: `soma_send_body(self, to, body)` from a handler, `soma_send_body(sys, to, body)` from any thread.
 * The caller keeps its reference. The receiver's handler for the body's type gets the message.
 * @return as soma_send()
 */
#define soma_send_body(from, to, body) SOMA_FROM_(from, send_body)((from), (to), (body))

/** soma_send_body() from a handler. Only the agent itself may call it. */
SOMA_API int soma_agent_send_body(soma_agent *self, soma_ref to, soma_body *body);

/** soma_send_body() from any thread. */
SOMA_API int soma_system_send_body(soma_system *system, soma_ref to, soma_body *body);

/**
 * The body of the message being handled, if it came as one: lets a handler keep a large message without copying it.
 * @return a new reference, to be given up with soma_body_close(); NULL if the message did not come as a body. Only the
 *         agent itself may call it.
 */
SOMA_API soma_body *soma_current_body(soma_agent *self);

#endif
