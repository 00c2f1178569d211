/*
 * An agent's life: spawning, its turns, its end. Whoever runs an agent owns all of its slot but the mailbox's head and
 * `life`; ownership passes with the mailbox's marks (see mailbox.h), so nothing here needs a lock.
 */
#include "runtime/agent.h"
#include "runtime/blocking.h"
#include "runtime/extension.h"
#include "runtime/keep.h"
#include "runtime/monitor.h"
#include "runtime/pressure.h"
#include "runtime/request.h"
#include "runtime/tally.h"
#include <soma/error.h>
#include <soma/keep.h>
#include <soma/log.h>
#include <soma/monitor.h>
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

/* ---- spawning ---- */

static void agent_observe(const struct worker *worker, const soma_agent *agent, enum event_kind kind, int reason)
{
    soma_system *system = worker->system;
    if (!system->driver.observe)
        return;
    const struct event event = {
        .kind = kind,
        .reason = reason,
        .agent = {system->node, (uint32_t)(agent - system->slots.base), life_generation(u64_load(&agent->life))},
        .behavior = agent->dispatch->behavior};
    system->driver.observe(system->driver.context, system, &event);
}

/* Fills a held slot and publishes its generation: from here refs to it work. */
static void agent_begin(struct worker *worker, soma_agent *agent, const struct dispatch *dispatch, void *state,
                        uint32_t generation)
{
    agent->dispatch = dispatch;
    agent->state = state;
    agent->state_size = (uint32_t)dispatch->behavior->state_size;
    agent->worker = worker;
    const struct slots *slots = &worker->system->slots;
    bool counted = tally_begin(tally_of(slots, (uint32_t)(agent - slots->base)), dispatch->behavior,
                               worker->system->options.handler_limit_ms);
    uint64_t marks = counted ? LIFE_COUNTED : u64_load(&agent->life) & LIFE_COUNTED;
    if (worker->system->driver.observe)
        marks |= LIFE_OBSERVED;
    // release: who reads this generation sees the agent whole
    u64_store(&agent->life, life_of(generation) | marks);
    agent_observe(worker, agent, EVENT_SPAWN, 0);
}

void agent_unhold(struct worker *worker, soma_agent *agent)
{
    soma_system *system = worker->system;
    uint64_t life = u64_load(&agent->life);
    bool free_now = !life_alive(life);
    if (free_now)
        u64_store(&agent->life, life & ~(uint64_t)LIFE_RELEASE);
    if (mailbox_unhold(&agent->mailbox)) {
        if (free_now) // its first mail releases it
            u64_store(&agent->life, life | LIFE_RELEASE);
        worker_schedule(worker_or_outside(worker), system, agent);
    } else if (free_now) {
        slots_give(&system->slots, slot_cache_of(worker), agent);
    }
}

/* The ready hook's message goes before all that waits already. */
static int agent_make_ready(struct worker *worker, soma_agent *agent)
{
    struct message *message = message_new(worker_or_outside(worker), MESSAGE_READY, sizeof(uint64_t));
    if (!message)
        return SOMA_ENOMEM;
    message->body[0] = keep_life(agent); // one killed before it is ready leaves this to its next life
    message->generation = life_generation(u64_load(&agent->life));
    mailbox_push_front(&agent->mailbox, message);
    return 0;
}

/* Runs init as the agent, on this thread. Returns its error; the agent has ended then, or is down if it is revived. */
static int agent_init(struct worker *worker, soma_agent *agent, const void *arg, bool revived)
{
    const soma_behavior *behavior = agent->dispatch->behavior;
    struct message *outer = worker->current; // a spawn from a handler: its context comes back after
    bool outer_exiting = worker->exiting;
    int outer_reason = worker->exit_reason;
    uint64_t outer_tag = worker->tag;
    worker->current = NULL;
    worker->exiting = false;
    worker->tag = 0;

    bool ready = agent->dispatch->ready;
    int error = behavior->init ? behavior->init(agent, agent->state, arg) : 0;
    error = error < 0 ? error : 0;
    if (ready && !error && !worker->exiting) // not before: the next life may follow in this mailbox
        error = agent_make_ready(worker, agent);
    const char *text = error ? failure_text(agent, error) : NULL;
    if (text)
        soma_log_warning(agent, "its init failed: %s (%d)", text, error);
    if (error && !revived) // then the spawn fails, and that is all
        keep_drop(worker, agent);
    if (error || worker->exiting)
        agent_end(worker, agent, error ? error : worker->exit_reason);

    worker->current = outer;
    worker->exiting = outer_exiting;
    worker->exit_reason = outer_reason;
    worker->tag = outer_tag;
    return error;
}

/* What is spawned where a behavior is asked for: that, but for a driver that has another. */
static const soma_behavior *behavior_of(const struct worker *worker, const soma_behavior *behavior)
{
    const struct driver *driver = &worker->system->driver;
    return driver->replace && behavior ? driver->replace(driver->context, worker->system, behavior) : behavior;
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

/* What a spawn that watches, see monitor.h, does with the new agent before its init. A handle, or an error. */
typedef int64_t watch_fn(soma_agent *self, soma_agent *agent, soma_ref ref);

struct spawner {
    struct worker *worker;
    soma_agent *self; /* who watches, if one does */
    watch_fn *watch;
    const struct keep_how *keep; /* who keeps it, does so */
    int64_t handle;              /* what either gave */
};

/* What a held agent has beside its state: a thread if it blocks, one that watches it. */
static int agent_equip(struct spawner *from, soma_agent *agent, const soma_behavior *behavior)
{
    soma_system *system = from->worker->system;
    if (behavior->blocking) {
        if (!extension_need(agent))
            return SOMA_ENOMEM;
        agent->extension->blocking = true;
        int error = system->driver.runnable ? 0 : blocking_start(system, agent);
        if (error)
            return error;
    }
    if (!from->self)
        return 0;
    const soma_ref ref = {system->node, (uint32_t)(agent - system->slots.base),
                          life_generation(u64_load(&agent->life)) + 1};
    from->handle = from->keep ? keep_spawned(from->self, agent, ref, from->keep) : from->watch(from->self, agent, ref);
    if (from->handle < 0 && agent->extension && agent->extension->own)
        blocking_end(agent->extension->own);
    return from->handle < 0 ? (int)from->handle : 0;
}

/* The init failed, so the spawner hears of it only by the error: what watched goes, and its word will find nothing. */
static void spawn_unwatch(struct spawner *from)
{
    if (from->self)
        message_free(worker_or_outside(from->worker), pending_remove(from->self, from->handle));
}

/* A held slot with all that an agent needs before its init. */
static int agent_alloc(struct spawner *from, const soma_behavior *behavior, void **state, soma_agent **agent)
{
    struct worker *worker = from->worker;
    int error = 0;
    *state = behavior->state_size ? state_new(worker, behavior->state_size) : NULL;
    if (behavior->state_size && !*state)
        return SOMA_ENOMEM;
    *agent = slots_take(&worker->system->slots, slot_cache_of(worker), &error);
    if (*agent) {
        error = agent_equip(from, *agent, behavior);
        if (error) { // it has not begun to live
            extension_free(*agent);
            agent_unhold(worker, *agent);
        }
    }
    if (error && *state)
        state_free(worker, *state, behavior->state_size);
    return error;
}

/* After its init: the agent runs from here on, is gone, or went down in it. */
static void agent_let_go(struct worker *worker, soma_agent *agent)
{
    if (worker->sending)
        outbox_flush(worker); // what the init has sent is before what the agent sends now
    if (life_down(u64_load(&agent->life)))
        keep_hand_over(worker, agent);
    else
        agent_unhold(worker, agent);
}

/* Does a handler spawn, if only by way of its system? Those go on while the system drains. */
static bool spawns_inside(struct worker *worker)
{
    struct worker *here = worker_here();
    return worker_or_outside(worker) || (here && here->system == worker->system && worker_or_outside(here));
}

static int agent_spawn(struct spawner *from, const soma_behavior *asked, const void *arg, soma_ref *ref)
{
    struct worker *worker = from->worker;
    soma_system *system = worker->system;
    const soma_behavior *behavior = behavior_of(worker, asked);
    const struct dispatch *dispatch;
    bool closed = u32_load(spawns_inside(worker) ? &system->stopping : &system->closing);
    int error = closed ? SOMA_ECLOSED : dispatch_of(worker, behavior, &dispatch);
    if (error)
        return error;
    if (behavior->state_size > UINT32_MAX)
        return SOMA_ETOOBIG;
    void *state;
    soma_agent *agent;
    error = agent_alloc(from, behavior, &state, &agent);
    if (error)
        return error;
    agent_begin(worker, agent, dispatch, state, life_generation(u64_load(&agent->life)) + 1);
    if (worker_or_outside(worker))
        counter_add(&worker->counters.spawned, 1);
    else
        u64_add(&system->outside.spawned, 1);
    const soma_ref self = agent_ref(agent);
    error = agent_init(worker, agent, arg, false);
    if (error)
        spawn_unwatch(from);
    else if (ref)
        *ref = self;
    agent_let_go(worker, agent);
    return error;
}

int agent_revive(struct worker *worker, soma_agent *agent, const soma_behavior *asked, const void *arg)
{
    const soma_behavior *behavior = behavior_of(worker, asked);
    const struct dispatch *dispatch;
    int error = u32_load(&worker->system->stopping) ? SOMA_ECLOSED : dispatch_of(worker, behavior, &dispatch);
    if (error)
        return error;
    if (behavior->state_size > UINT32_MAX)
        return SOMA_ETOOBIG;
    if (behavior->blocking && !agent->extension->blocking)
        return SOMA_ESTATE;
    void *state = behavior->state_size ? state_new(worker, behavior->state_size) : NULL;
    if (behavior->state_size && !state)
        return SOMA_ENOMEM;
    if (!agent->extension->keeps_mail)
        keep_drop_mail(worker, agent);
    error = keep_mark(worker, agent);
    if (error) {
        if (state)
            state_free(worker, state, behavior->state_size);
        return error;
    }
    agent_begin(worker, agent, dispatch, state, life_generation(u64_load(&agent->life)));
    error = agent_init(worker, agent, arg, true);
    if (!error)
        agent_let_go(worker, agent);
    return error;
}

int soma_agent_spawn(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    return self ? agent_spawn(&(struct spawner){.worker = self->worker}, behavior, arg, ref) : SOMA_EINVAL;
}

int soma_system_spawn(soma_system *system, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    if (!system)
        return SOMA_EINVAL;
    struct worker guest, *here = worker_here();
    worker_guest(&guest, system);
    if (!here || here->system != system) // init may not do what a handler may not, whoever runs it
        worker_enter(&guest);
    int error = agent_spawn(&(struct spawner){.worker = &guest}, behavior, arg, ref);
    worker_enter(here);
    return error;
}

static int64_t agent_spawn_watched(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref,
                                   watch_fn *watch, const struct keep_how *keep)
{
    if (ref)
        *ref = SOMA_REF_NULL;
    if (!self)
        return SOMA_EINVAL;
    struct spawner from = {.worker = self->worker, .self = self, .watch = watch, .keep = keep};
    int error = agent_spawn(&from, behavior, arg, ref);
    return error ? error : from.handle;
}

soma_handle soma_spawn_monitor(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    return agent_spawn_watched(self, behavior, arg, ref, monitor_spawned, NULL);
}

int soma_spawn_link(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    int64_t result = agent_spawn_watched(self, behavior, arg, ref, link_spawned, NULL);
    return result < 0 ? (int)result : 0;
}

soma_handle soma_spawn_kept(soma_agent *self, const soma_behavior *behavior, const void *arg, bool mail, uint64_t tag,
                            soma_ref *ref)
{
    return agent_spawn_watched(self, behavior, arg, ref, NULL, &(const struct keep_how){mail, tag});
}

/* ---- ending ---- */

void agent_finish(struct worker *worker, soma_agent *agent)
{
    bool awaited = agent->extension && agent->extension->told;
    if (u64_load(&agent->life) & LIFE_COUNTED)
        tally_end(tally_of(&worker->system->slots, (uint32_t)(agent - worker->system->slots.base)));
    if (agent->extension) {
        keep_drop(worker, agent);
        if (agent->extension->own)
            blocking_end(agent->extension->own);
        extension_free(agent);
    }
    if (worker_or_outside(worker))
        counter_add(&worker->counters.ended, 1);
    else
        u64_add(&worker->system->outside.ended, 1);
    // A store, not a cas: a kill that comes between falls on this agent, which is ending anyway, and is lost with it.
    u64_store(&agent->life, life_of(life_generation(u64_load(&agent->life)) + 1) | LIFE_FREE | LIFE_RELEASE);
    if (awaited)
        closer_tell(worker->system);
}

void agent_end(struct worker *worker, soma_agent *agent, int reason)
{
    const soma_behavior *behavior = agent->dispatch->behavior;
    agent_observe(worker, agent, EVENT_END, reason);
    if (behavior->stop)
        behavior->stop(agent, agent->state, reason);
    worker->exiting = false; // asked for and done; what stop asked for means nothing, and must not end the next agent
    bool kept = keep_wanted(agent) && !u32_load(&worker->system->stopping);
    if (agent->extension) {
        life_mark(agent, LIFE_KILL | (kept ? 0 : LIFE_LOOSE)); // who hears of its end finds its names free
        pending_end(agent, reason);
        watches_end(agent, reason);
    }
    pressure_end(worker, agent);
    if (agent->state)
        state_free(worker, agent->state, agent->state_size);
    agent->state = NULL;
    if (kept)
        keep_down(worker, agent, reason);
    else
        agent_finish(worker, agent);
}

/* ---- what handlers ask of their agent ---- */

soma_ref soma_self(const soma_agent *self)
{
    if (!self)
        return SOMA_REF_NULL;
    return agent_ref(self);
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
    if (behavior->blocking && !(self->extension && self->extension->blocking))
        return SOMA_ESTATE;
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
