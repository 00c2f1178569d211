/*
 * Blocking agents: each has a worker of its own, with a thread that runs only this agent and sleeps while it is idle.
 * Such a worker has a pool and counters like the others, but no queue: whom it wakes goes to the system's inbox.
 */
#ifndef RUNTIME_BLOCKING_H
#define RUNTIME_BLOCKING_H

#include "runtime/worker.h"

/* Gives a held agent that is being spawned its thread, which waits. 0, SOMA_ENOMEM, SOMA_ETHREAD, SOMA_ECLOSED. */
int blocking_start(soma_system *system, soma_agent *agent);

/* The agent is runnable: its thread runs it. Any thread. */
void blocking_schedule(soma_system *system, struct worker *own);

/* The agent has ended: its thread leaves after the turn that it is in. Any thread. */
void blocking_end(struct worker *own);

/* Tells all their threads to leave, after the turn that they are in; they are joined as other workers. The system is
 * stopping, so there will be no more of them. */
void blocking_stop(soma_system *system);

/* Frees the joined workers. */
void blocking_free(soma_system *system);

#endif
