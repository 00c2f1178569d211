/* The life of a message block: who frees it, and what becomes of one that reaches nobody. See send.c. */
#ifndef RUNTIME_MESSAGE_H
#define RUNTIME_MESSAGE_H

#include "runtime/system.h"

/* Frees a block into the worker's pool; a heap block from any thread, with NULL for the worker. */
void message_free(struct worker *worker, struct message *message);

/* Drops a message that reaches nobody, and counts it. */
void message_dead(soma_system *system, struct worker *worker, struct message *message);

/* Counts a message that was never built. `worker` is NULL for outside threads. */
void dead_letter_count(soma_system *system, struct worker *worker);

#endif
