/* What the scheduler and the system need of agents: a turn, and the end. */
#ifndef RUNTIME_AGENT_H
#define RUNTIME_AGENT_H

#include "runtime/message.h"
#include "runtime/system.h"

/* Runs a scheduled agent until its mailbox is empty or `batch` messages are handled or sent; at least one is handled.
 */
void agent_turn(struct worker *worker, soma_agent *agent, uint32_t batch);

/* A worker's turns, one after another, for as long as each wakes the next and it is not time to look at the others. */
void agent_turns(struct worker *worker, soma_agent *agent);

/* The ref of an agent in its own turn. */
static inline soma_ref agent_ref(const soma_agent *agent)
{
    const soma_system *system = agent->worker->system;
    return (soma_ref){system->node, (uint32_t)(agent - system->slots.base), life_generation(u64_load(&agent->life))};
}

/*
 * With few slots in all none is kept in a cache, where another thread couldn't have it; nor by the worker of a blocking
 * agent, which may soon be gone.
 */
static inline struct slot_cache *slot_cache_of(struct worker *worker)
{
    const soma_options *options = &worker->system->options;
    bool caches = worker->index < options->workers && options->slots >= SLOTS_FOR_CACHES;
    return caches ? &worker->slot_cache : NULL;
}

/* A message, or what it carries, to the handler for its type; without one it is a dead letter. The handler's result. */
int message_handle(struct worker *worker, soma_agent *agent, struct message *message, const void *body);

/* Ends an agent that only the caller runs: stop, state, generation. The slot is free once it has gone idle; that of a
 * kept agent is held, see keep.h. */
void agent_end(struct worker *worker, soma_agent *agent, int reason);

/* The last of an end, and all there is for an agent that is down. */
void agent_finish(struct worker *worker, soma_agent *agent);

/* Lets the mail of a held agent in; if it is not alive, its slot goes back. */
void agent_unhold(struct worker *worker, soma_agent *agent);

/* A new life for a kept agent that is down. 0, or an error and it is down still. */
int agent_revive(struct worker *worker, soma_agent *agent, const soma_behavior *behavior, const void *arg);

#endif
