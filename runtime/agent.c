/*
 * An agent's life: spawning, its turns, its end. Whoever runs an agent owns all of its slot but the mailbox's head and
 * `life`; ownership passes with the mailbox's marks (see mailbox.h), so nothing here needs a lock.
 */
#include "runtime/agent.h"
#include "runtime/blocking.h"
#include "runtime/extension.h"
#include "runtime/request.h"
#include "runtime/timer.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* ---- states: from the pool of the worker, or of all outside threads together ---- */

static void *state_new(struct worker *worker, size_t size)
{
    uint8_t class = pool_class(size);
    if (class == POOL_HEAP)
        return calloc(1, size);
    void *state = worker_or_outside(worker) ? pool_take(&worker->pool, class)
                                            : outside_take(&worker->system->outside_pool, class);
    return state ? memset(state, 0, size) : NULL;
}

static void state_free(struct worker *worker, void *state, size_t size)
{
    uint8_t class = pool_class(size);
    if (class == POOL_HEAP)
        free(state);
    else if (worker_or_outside(worker))
        pool_give(&worker->pool, class, state);
    else
        outside_give(&worker->system->outside_pool, class, state);
}

/* With few slots in all none is kept in a cache, where another thread couldn't have it. */
static struct slot_cache *slot_cache_of(struct worker *worker)
{
    bool caches = worker_or_outside(worker) && worker->system->options.slots >= SLOTS_FOR_CACHES;
    return caches ? &worker->slots : NULL;
}

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

/* Lets the mail of a held agent in; if it did not come to life, its slot goes back. */
static void agent_unhold(struct worker *worker, soma_agent *agent)
{
    soma_system *system = worker->system;
    uint64_t life = u64_load(&agent->life);
    bool free_now = !life_alive(life);
    if (free_now)
        u64_store(&agent->life, life_of(life_generation(life)));
    if (mailbox_unhold(&agent->mailbox)) {
        if (free_now) // its first mail releases it
            u64_store(&agent->life, life_of(life_generation(life)) | LIFE_RELEASE);
        worker_schedule(worker_or_outside(worker), system, agent);
    } else if (free_now) {
        slots_give(&system->slots, slot_cache_of(worker), agent);
    }
}

/* The ready hook's message goes first: nobody else knows the agent yet. */
static int agent_make_ready(struct worker *worker, soma_ref self)
{
    struct message *message = message_new(worker_or_outside(worker), MESSAGE_READY, 0);
    return message ? message_push(worker->system, worker_or_outside(worker), self, message) : SOMA_ENOMEM;
}

/* Runs init as the agent, on this thread. Returns its error; the agent has ended then. */
static int agent_init(struct worker *worker, soma_agent *agent, soma_ref self, const void *arg)
{
    const soma_behavior *behavior = agent->dispatch->behavior;
    struct message *outer = worker->current; // a spawn from a handler: its context comes back after
    bool outer_exiting = worker->exiting;
    int outer_reason = worker->exit_reason;
    worker->current = NULL;
    worker->exiting = false;

    int error = agent->dispatch->ready ? agent_make_ready(worker, self) : 0;
    if (!error && behavior->init)
        error = behavior->init(agent, agent->state, arg);
    if (error || worker->exiting)
        agent_end(worker, agent, error ? error : worker->exit_reason);

    worker->current = outer;
    worker->exiting = outer_exiting;
    worker->exit_reason = outer_reason;
    return error;
}

/* The dispatch of a behavior; the worker's last one without looking. */
static int dispatch_of(struct worker *worker, const soma_behavior *behavior, const struct dispatch **dispatch)
{
    *dispatch = worker->spawned;
    if (*dispatch && (*dispatch)->behavior == behavior)
        return 0;
    int error = dispatch_get(&worker->system->dispatches, behavior, dispatch);
    if (!error)
        worker->spawned = *dispatch;
    return error;
}

/* Memory for an agent: its state, a held slot, and a thread if it blocks. */
static int agent_alloc(struct worker *worker, const soma_behavior *behavior, void **state, soma_agent **agent)
{
    soma_system *system = worker->system;
    int error = 0;
    *state = behavior->state_size ? state_new(worker, behavior->state_size) : NULL;
    if (behavior->state_size && !*state)
        return SOMA_ENOMEM;
    *agent = slots_take(&system->slots, slot_cache_of(worker), &error);
    if (*agent && behavior->blocking && !system->driver.runnable) {
        error = blocking_start(system, *agent);
        if (error) {
            extension_free(*agent);
            agent_unhold(worker, *agent);
        }
    }
    if (error && *state)
        state_free(worker, *state, behavior->state_size);
    return error;
}

static int agent_spawn(struct worker *worker, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    soma_system *system = worker->system;
    const struct dispatch *dispatch;
    int error = u32_load(&system->closing) ? SOMA_ECLOSED : dispatch_of(worker, behavior, &dispatch);
    if (error)
        return error;
    void *state;
    soma_agent *agent;
    error = agent_alloc(worker, behavior, &state, &agent);
    if (error)
        return error;
    soma_ref self = agent_begin(system, worker, agent, dispatch, state);
    if (worker_or_outside(worker))
        counter_add(&worker->counters.spawned, 1);
    else
        u64_add(&system->outside.spawned, 1);
    error = agent_init(worker, agent, self, arg);
    agent_unhold(worker, agent);
    if (ref && !error)
        *ref = self;
    return error;
}

int soma_agent_spawn(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    return self ? agent_spawn(self->worker, behavior, arg, ref) : SOMA_EINVAL;
}

int soma_system_spawn(soma_system *system, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    if (!system)
        return SOMA_EINVAL;
    struct worker guest; // only what init can reach; see worker.h
    worker_guest(&guest, system);
    return agent_spawn(&guest, behavior, arg, ref);
}

/* ---- turns ---- */

void agent_end(struct worker *worker, soma_agent *agent, int reason)
{
    const soma_behavior *behavior = agent->dispatch->behavior;
    if (behavior->stop)
        behavior->stop(agent, agent->state, reason);
    worker->exiting = false; // asked for and done; what stop asked for means nothing, and must not end the next agent
    if (agent->extension) {
        pending_end(agent);
        if (agent->extension->own)
            blocking_end(agent->extension->own);
        extension_free(agent);
    }
    if (agent->state)
        state_free(worker, agent->state, agent->state_size);
    agent->state = NULL;
    if (worker_or_outside(worker))
        counter_add(&worker->counters.ended, 1);
    else
        u64_add(&worker->system->outside.ended, 1);
    // A store, not a cas: a kill that comes between falls on this agent, which is ending anyway, and is lost with it.
    u64_store(&agent->life, life_of(life_generation(u64_load(&agent->life)) + 1) | LIFE_RELEASE);
}

/* A message to the handler of its type. One that nothing handles is a dead letter, and a request then fails. */
static inline int message_handle(struct worker *worker, soma_agent *agent, struct message *message, const void *body)
{
    soma_handler_fn *fn = dispatch_find(agent->dispatch, message->type);
    if (__builtin_expect(fn != NULL, 1))
        return fn(agent, agent->state, body);
    if (agent->dispatch->fallback)
        return agent->dispatch->fallback(agent, agent->state, message->type, body);
    message_unhandled(worker, soma_self(agent), message);
    return 0;
}

/* What is not plain mail, for a living agent. */
static int message_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    int error = 0;
    switch (message->kind) {
    case MESSAGE_SHARED:
        return message_handle(worker, agent, message, message_body(message));
    case MESSAGE_REQUEST:
        error = message_handle(worker, agent, message, message_body(message));
        request_handled(worker, agent, message, error);
        return error;
    case MESSAGE_REPLY:
    case MESSAGE_ERROR:
    case MESSAGE_TIMEOUT:
        return request_settle(worker, agent, message);
    case MESSAGE_TIMER: {
        struct timer *timer = timer_of(message);
        if (timer->wheel_timer.cancelled)
            return 0;
        if (!timer->period)
            pending_remove(agent, timer->handle);
        return message_handle(worker, agent, message, timer->body);
    }
    case MESSAGE_CALLBACK: {
        const struct callback *callback = (struct callback *)message->body;
        message->settled = true;
        return callback->run(agent, agent->state, callback->arg);
    }
    case MESSAGE_READY:
        return agent->dispatch->ready(agent, agent->state);
    default:
        return 0;
    }
}

/* What ends the fast path: a kill, a stale generation, a message that is not plain. The handler's error. */
static int message_special(struct worker *worker, soma_agent *agent, struct message *message, uint64_t life)
{
    if (life_alive(life) && (life & LIFE_KILL)) {
        agent_end(worker, agent, SOMA_EKILLED);
        return 0;
    }
    if (life != life_of(message->generation))
        return 0;
    worker->current = message;
    return message_deliver(worker, agent, message);
}

/* After the turn has moved on, so the agent may be another's: what remains of a message that was not plain mail. */
static void message_finish(struct worker *worker, const soma_agent *agent, struct message *message, bool handled)
{
    soma_system *system = worker->system;
    soma_ref self = {system->node, (uint32_t)(agent - system->slots.base), message->generation};
    if (message->kind == MESSAGE_TIMER && timer_of(message)->period && clock_again(system, timer_of(message)))
        return;
    if (handled || message->kind == MESSAGE_TIMER || message->kind == MESSAGE_TIMEOUT)
        message_dispose(worker, message);
    else
        message_dead(system, worker, self, message, SOMA_EGONE);
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
        slots_give(&worker->system->slots, slot_cache_of(worker), agent);
    return next;
}

/* The idle hook, if this was the last message. */
static void turn_idle(struct worker *worker, soma_agent *agent, const struct message *last)
{
    if (ptr_load(&last->next) || !life_alive(u64_load(&agent->life)))
        return;
    worker->current = NULL;
    int error = agent->dispatch->idle(agent, agent->state);
    if (error || worker->exiting)
        agent_end(worker, agent, error ? error : worker->exit_reason);
}

void agent_turn(struct worker *worker, soma_agent *agent, uint32_t batch)
{
    agent->worker = worker;
    ptr_store(&worker->running, (void *)(uintptr_t)agent->dispatch);
    struct message *message = mailbox_first(&agent->mailbox);
    uint32_t handled = 0;
    for (uint32_t left = batch;; left--) {
        uint64_t life = u64_load(&agent->life);
        bool plain = message->kind == MESSAGE_PLAIN, alive = life == life_of(message->generation);
        int error;
        if (__builtin_expect(plain && alive, 1)) {
            worker->current = message;
            error = message_handle(worker, agent, message, message->body);
        } else {
            error = message_special(worker, agent, message, life);
        }
        handled += alive;
        if (__builtin_expect(error || worker->exiting, 0))
            agent_end(worker, agent, error ? error : worker->exit_reason);
        if (__builtin_expect(agent->dispatch->idle != NULL, 0))
            turn_idle(worker, agent, message);
        struct message *next = turn_next(worker, agent, message);
        if (__builtin_expect(plain && alive, 1))
            message_free(worker, message);
        else
            message_finish(worker, agent, message, alive);
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

int soma_agent_data_set(soma_agent *self, void *data)
{
    if (!self)
        return SOMA_EINVAL;
    if (!data && !self->extension)
        return 0;
    if (!extension_need(self))
        return SOMA_ENOMEM;
    self->extension->data = data;
    return 0;
}

void *soma_agent_data(const soma_agent *self)
{
    return self && self->extension ? self->extension->data : NULL;
}
