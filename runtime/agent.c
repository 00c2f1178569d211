/*
 * An agent's life: spawning, its turns, its end. Whoever runs an agent owns all of its slot but the mailbox's head and
 * `life`; ownership passes with the mailbox's marks (see mailbox.h), so nothing here needs a lock.
 */
#include "runtime/agent.h"
#include "runtime/message.h"
#include <soma/error.h>
#include <stdlib.h>

/* ---- spawning ---- */

/* Fills a held slot and publishes its generation: from here refs to it work. */
static soma_ref agent_begin(soma_system *system, struct worker *worker, soma_agent *agent,
                            const struct dispatch *dispatch, void *state)
{
    agent->dispatch = dispatch;
    agent->state = state;
    agent->state_size = dispatch->behavior->state_size;
    agent->worker = worker;
    uint32_t generation = life_generation(u64_load(&agent->life)) + 1;
    u64_store(&agent->life, life_of(generation)); // release: who reads this generation sees the agent whole
    return (soma_ref){system->node, (uint32_t)(agent - system->slots.base), generation};
}

/* Runs init as the agent, on this thread, then lets its mail in. Returns init's error. */
static int agent_init(struct worker *worker, soma_agent *agent, const void *arg)
{
    soma_system *system = worker->system;
    const soma_behavior *behavior = agent->dispatch->behavior;
    struct message *outer = worker->current; // a spawn from a handler: its context comes back after
    bool outer_exiting = worker->exiting;
    int outer_reason = worker->exit_reason;
    worker->current = NULL;
    worker->exiting = false;

    int error = behavior->init ? behavior->init(agent, agent->state, arg) : 0;
    if (error || worker->exiting)
        agent_end(worker, agent, error ? error : worker->exit_reason);

    worker->current = outer;
    worker->exiting = outer_exiting;
    worker->exit_reason = outer_reason;
    bool free_now = !life_alive(u64_load(&agent->life));
    if (free_now)
        u64_store(&agent->life, life_of(life_generation(u64_load(&agent->life))));
    if (mailbox_unhold(&agent->mailbox)) {
        if (free_now) // its first mail releases it
            u64_store(&agent->life, u64_load(&agent->life) | LIFE_RELEASE);
        worker_schedule(worker_or_outside(worker), system, agent);
    } else if (free_now) {
        slots_give(&system->slots, agent);
    }
    return error;
}

static int agent_spawn(soma_system *system, struct worker *worker, const soma_behavior *behavior, const void *arg,
                       soma_ref *ref)
{
    const struct dispatch *dispatch;
    int error = u32_load(&system->closing) ? SOMA_ECLOSED : dispatch_get(&system->dispatches, behavior, &dispatch);
    if (error)
        return error;
    void *state = NULL;
    if (behavior->state_size && !(state = calloc(1, behavior->state_size)))
        return SOMA_ENOMEM;
    soma_agent *agent = slots_take(&system->slots, &error);
    if (!agent) {
        free(state);
        return error;
    }
    soma_ref self = agent_begin(system, worker, agent, dispatch, state);
    if (worker_or_outside(worker))
        counter_add(&worker->counters.spawned, 1);
    else
        u64_add(&system->outside.spawned, 1);
    error = agent_init(worker, agent, arg);
    if (ref && !error)
        *ref = self;
    return error;
}

int soma_agent_spawn(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    return self ? agent_spawn(self->worker->system, self->worker, behavior, arg, ref) : SOMA_EINVAL;
}

int soma_system_spawn(soma_system *system, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    if (!system)
        return SOMA_EINVAL;
    struct worker guest; // only what init can reach; see worker.h
    worker_guest(&guest, system);
    return agent_spawn(system, &guest, behavior, arg, ref);
}

/* ---- turns ---- */

void agent_end(struct worker *worker, soma_agent *agent, int reason)
{
    const soma_behavior *behavior = agent->dispatch->behavior;
    if (behavior->stop)
        behavior->stop(agent, agent->state, reason);
    worker->exiting = false; // asked for and done; what stop asked for means nothing, and must not end the next agent
    free(agent->state);
    agent->state = NULL;
    if (worker_or_outside(worker))
        counter_add(&worker->counters.ended, 1);
    else
        u64_add(&worker->system->outside.ended, 1);
    // A store, not a cas: a kill that comes between falls on this agent, which is ending anyway, and is lost with it.
    u64_store(&agent->life, life_of(life_generation(u64_load(&agent->life)) + 1) | LIFE_RELEASE);
}

/* One message to its handler. */
static inline int message_handle(soma_agent *agent, const struct message *message)
{
    soma_handler_fn *fn = dispatch_find(agent->dispatch, message->type);
    if (__builtin_expect(fn != NULL, 1))
        return fn(agent, agent->state, message->body);
    if (agent->dispatch->fallback)
        return agent->dispatch->fallback(agent, agent->state, message->type, message->body);
    dead_letter_count(agent->worker->system, agent->worker);
    return 0;
}

/* What is not plain mail for a living agent: a kill, a stale generation, a control message. */
static void message_exceptional(struct worker *worker, soma_agent *agent, const struct message *message, uint64_t life)
{
    if (life_alive(life) && (life & LIFE_KILL))
        agent_end(worker, agent, SOMA_EKILLED);
    if (!message->control)
        dead_letter_count(worker->system, worker);
}

/* The message after `last`, or NULL if the agent went idle; a dead agent's slot is released then, once. */
static inline struct message *turn_next(struct worker *worker, soma_agent *agent, struct message *last)
{
    uint64_t life = u64_load(&agent->life);
    if (__builtin_expect(life_alive(life) || !(life & LIFE_RELEASE), 1))
        return mailbox_next(&agent->mailbox, last);
    // Once idle the slot is no longer ours to write, so the mark goes first and comes back if there is mail.
    u64_store(&agent->life, life & ~(uint64_t)LIFE_RELEASE);
    struct message *next = mailbox_next(&agent->mailbox, last);
    if (next)
        u64_store(&agent->life, life);
    else
        slots_give(&worker->system->slots, agent);
    return next;
}

void agent_turn(struct worker *worker, soma_agent *agent)
{
    agent->worker = worker;
    struct message *message = mailbox_first(&agent->mailbox);
    uint32_t handled = 0;
    for (uint32_t left = worker->system->options.batch;; left--) {
        uint64_t life = u64_load(&agent->life);
        if (__builtin_expect(life == life_of(message->generation) && !message->control, 1)) {
            worker->current = message;
            int error = message_handle(agent, message);
            handled++;
            if (__builtin_expect(error || worker->exiting, 0))
                agent_end(worker, agent, error ? error : worker->exit_reason);
        } else {
            message_exceptional(worker, agent, message, life);
        }
        struct message *next = turn_next(worker, agent, message);
        message_free(worker, message);
        if (!next)
            break;
        message = next;
        if (left <= 1) {
            ptr_store(&agent->mailbox.tail, message);
            worker_schedule_last(worker, agent);
            break;
        }
    }
    worker->current = NULL;
    counter_add(&worker->counters.processed, handled);
}

/* ---- what handlers ask of their agent ---- */

soma_ref soma_self(const soma_agent *self)
{
    if (!self)
        return SOMA_REF_NULL;
    const soma_system *system = self->worker->system;
    return (soma_ref){system->node, (uint32_t)(self - system->slots.base), life_generation(u64_load(&self->life))};
}

soma_ref soma_sender(const soma_agent *self)
{
    return self && self->worker->current ? self->worker->current->sender : SOMA_REF_NULL;
}

soma_system *soma_agent_system(const soma_agent *self)
{
    return self ? self->worker->system : NULL;
}

void soma_agent_exit(soma_agent *self, int reason)
{
    if (!self)
        return;
    self->worker->exiting = true;
    self->worker->exit_reason = reason;
}

int soma_become(soma_agent *self, const soma_behavior *behavior)
{
    if (!self || !behavior)
        return SOMA_EINVAL;
    if (behavior->state_size > self->state_size)
        return SOMA_ETOOBIG;
    return dispatch_get(&self->worker->system->dispatches, behavior, &self->dispatch);
}
