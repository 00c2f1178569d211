/* What the scheduler and the system need of agents: a turn, and the end. */
#ifndef RUNTIME_AGENT_H
#define RUNTIME_AGENT_H

#include "runtime/system.h"

/* Runs a scheduled agent until its mailbox is empty or `batch` messages are handled; at least one is. */
void agent_turn(struct worker *worker, soma_agent *agent, uint32_t batch);

/* Ends an agent that only the caller runs: stop, state, generation. The slot is free once it has gone idle. */
void agent_end(struct worker *worker, soma_agent *agent, int reason);

#endif
