/* Draining, shutting down in order, and ending what is left; see closing.h. */
#include "runtime/closing.h"
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/send.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- draining ---- */

static bool all_asleep(const soma_system *system)
{
    uint32_t workers = system->options.workers;
    return u64_load(&system->asleep) == (workers == 64 ? UINT64_MAX : (1ull << workers) - 1);
}

/* True if no worker runs and none has anything to run: all sleep, and nobody rose while we looked. */
bool closing_rests(const soma_system *system)
{
    uint64_t wakes = u64_load(&system->wakes);
    if (!all_asleep(system) || !run_inbox_empty(&system->inbox) || !run_overflow_empty(&system->overflow))
        return false;
    for (uint32_t i = 0; i < system->options.workers; i++)
        if (run_ring_count(&system->workers[i].ring))
            return false;
    if (u32_load(&system->blocking_busy)) // acquire: who left it at 0 has made its sends visible before
        return false;
    return all_asleep(system) && u64_load(&system->wakes) == wakes;
}

/* Does mail wait for an agent that is down, to be revived, or for one that is muted, if only until a bridge's thread
 * has scheduled it again? No worker sees that. */
static bool mail_waits(const soma_system *system)
{
    uint32_t used = u32_load(&system->slots.used);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t life = u64_load(&system->slots.base[i].life);
        bool takes = life_alive(life) && !(life & LIFE_DEAF);
        if (takes && ptr_load(&system->slots.base[i].mailbox.head) > MAIL_HELD)
            return true;
    }
    return false;
}

/* Nothing runs and no mail waits: not of those that were passed when the look at the others began, either. */
static bool all_handled(const soma_system *system)
{
    uint64_t wakes = u64_load(&system->wakes);
    return closing_rests(system) && !mail_waits(system) && closing_rests(system) && u64_load(&system->wakes) == wakes;
}

static bool is_alive(const soma_system *system, soma_ref ref)
{
    uint64_t life = u64_load(&system->slots.base[ref.slot].life);
    return life_generation(life) == ref.generation && !life_down(life);
}

/* Under the lock: waits until the system rests, or until an agent has ended. False if the time was over first. */
static bool wait_until(soma_system *system, const struct timespec *limit, const soma_ref *ended)
{
    int late = 0;
    while (!late && (ended ? is_alive(system, *ended) : !all_handled(system))) // told by closer_tell
        late = pthread_cond_timedwait(&system->changed, &system->lock, limit);
    return !late;
}

bool closing_drain(soma_system *system)
{
    uint64_t now = system->driver.now(system->driver.context);
    uint64_t until = now + system->options.drain_ms * UINT64_C(1000000);
    const struct timespec limit = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    pthread_mutex_lock(&system->lock);
    bool drained = wait_until(system, &limit, NULL);
    for (uint32_t i = 0; i < system->told.count && drained; i++) {
        const soma_ref told = system->told.refs[i];
        pthread_mutex_unlock(&system->lock);
        int error = soma_system_shutdown(system, told);
        pthread_mutex_lock(&system->lock);
        drained = error ? error == SOMA_EGONE : wait_until(system, &limit, &told);
    }
    if (drained && system->told.count) // what they have brought about
        drained = wait_until(system, &limit, NULL);
    pthread_mutex_unlock(&system->lock);
    return drained;
}

void closing_busy(soma_system *system)
{
    uint64_t asleep = u64_load(&system->asleep);
    for (uint32_t i = 0; i < system->options.workers; i++) {
        const struct dispatch *running = ptr_load(&system->workers[i].running);
        if (!(asleep >> i & 1) && running)
            soma_log_warning(system, "closing: a handler of '%s' is running, and is waited for",
                             running->behavior->name);
    }
}

/* ---- being told ---- */

/* Under the lock: room for one more, of those that have ended if there are any. */
static bool told_room(soma_system *system)
{
    struct closing_told *told = &system->told;
    if (told->count < told->capacity)
        return true;
    uint32_t count = 0;
    for (uint32_t i = 0; i < told->count; i++)
        if (is_alive(system, told->refs[i]))
            told->refs[count++] = told->refs[i];
    told->count = count;
    if (told->count < told->capacity / 2)
        return true;
    uint32_t capacity = told->capacity ? told->capacity * 2 : 16;
    soma_ref *grown = realloc(told->refs, capacity * sizeof(*grown));
    if (!grown)
        return told->count < told->capacity;
    told->refs = grown;
    told->capacity = capacity;
    return true;
}

int soma_shutdown_on_close(soma_agent *self)
{
    if (!self)
        return SOMA_EINVAL;
    struct extension *extension = extension_need(self);
    if (!extension)
        return SOMA_ENOMEM;
    if (extension->told)
        return 0;
    soma_system *system = self->worker->system;
    pthread_mutex_lock(&system->lock);
    extension->told = told_room(system);
    if (extension->told)
        system->told.refs[system->told.count++] = agent_ref(self);
    pthread_mutex_unlock(&system->lock);
    return extension->told ? 0 : SOMA_ENOMEM;
}

/* ---- who was left ---- */

#define LEFT_MOST 10

/* An agent that a late closing finds with mail. */
struct left {
    soma_ref agent;
    const char *behavior;
    uint32_t messages;
    uint32_t pressure;
    bool down;
};

struct leftover {
    uint64_t messages;
    uint32_t agents;
    uint32_t count;
    struct left most[LEFT_MOST]; /* those with most, first */
};

static struct message *mailbox_waiting(soma_agent *agent)
{
    return ptr_load(&agent->mailbox.head) > MAIL_HELD ? ptr_load(&agent->mailbox.tail) : NULL;
}

static void leftover_add(struct leftover *leftover, const struct left *left)
{
    leftover->messages += left->messages;
    leftover->agents++;
    uint32_t place = leftover->count;
    if (place == LEFT_MOST && leftover->most[--place].messages >= left->messages)
        return;
    if (place == leftover->count)
        leftover->count++;
    for (; place && leftover->most[place - 1].messages < left->messages; place--)
        leftover->most[place] = leftover->most[place - 1];
    leftover->most[place] = *left;
}

/* Before anybody is ended: then it would be too late to tell. */
static void leftover_find(soma_system *system, struct leftover *leftover)
{
    uint32_t used = u32_load(&system->slots.used);
    for (uint32_t i = 0; i < used; i++) {
        soma_agent *agent = &system->slots.base[i];
        uint64_t life = u64_load(&agent->life);
        struct left left = {.agent = {system->node, i, life_generation(life)}, .down = life_down(life)};
        for (const struct message *m = mailbox_waiting(agent); m; m = ptr_load(&m->next))
            left.messages++;
        if (!life_alive(life) || !left.messages)
            continue;
        left.behavior = agent->dispatch->behavior->name;
        left.pressure = u32_load(&agent->pressure);
        leftover_add(leftover, &left);
    }
}

static void left_log(soma_system *system, const struct left *left)
{
    char state[128] = "it had not come to them";
    if (left->down) {
        snprintf(state, sizeof(state), "it was down, and its keeper had not revived it");
    } else if (left->pressure & PRESSURE_MUTED) {
        uint32_t slot = left->pressure & ~PRESSURE_MUTED;
        const soma_agent *other = &system->slots.base[slot];
        uint64_t life = u64_load(&other->life);
        snprintf(state, sizeof(state), "it waited for '%.60s' %u.%u to catch up",
                 life_alive(life) ? other->dispatch->behavior->name : "?", slot, life_generation(life));
    } else if (left->pressure) {
        snprintf(state, sizeof(state), "it could not keep up");
    }
    soma_log_warning(system, "closing: '%s' %u.%u had %u messages: %s", left->behavior, left->agent.slot,
                     left->agent.generation, left->messages, state);
}

/* Who was told to shut down, or was to be, and lives: a supervisor, and the child that it waits for. */
static void loiterers_log(soma_system *system)
{
    uint32_t used = u32_load(&system->slots.used);
    for (uint32_t i = 0; i < used; i++) {
        const soma_agent *agent = &system->slots.base[i];
        uint64_t life = u64_load(&agent->life);
        if (life_runs(life) && agent->extension && (agent->extension->leaving || agent->extension->told))
            soma_log_warning(system, "closing: '%s' %u.%u had not shut down", agent->dispatch->behavior->name, i,
                             life_generation(life));
    }
}

static void leftover_log(soma_system *system)
{
    struct leftover leftover = {0};
    leftover_find(system, &leftover);
    loiterers_log(system);
    for (uint32_t i = 0; i < leftover.count; i++)
        left_log(system, &leftover.most[i]);
    soma_log_warning(system, "closing: %u ms were not enough: %llu messages of %u agents were left",
                     system->options.drain_ms, (unsigned long long)leftover.messages, leftover.agents);
}

/* ---- the end ---- */

/* What is still in a mailbox becomes dead letters. */
static void mailbox_empty(struct worker *worker, soma_agent *agent)
{
    soma_ref to = {worker->system->node, (uint32_t)(agent - worker->system->slots.base), 0};
    for (struct message *message = mailbox_waiting(agent); message;) {
        struct message *next = ptr_load(&message->next);
        to.generation = message->generation;
        message_dead(worker->system, worker, to, message, SOMA_EGONE);
        message = next;
    }
}

/*
 * All are held first, which also makes what their last turns wrote visible: what stop hooks then send to agents that
 * have not ended yet wakes nobody, and goes with them.
 */
void closing_end(soma_system *system, bool late)
{
    struct worker *worker = &system->workers[0], *outer = worker_here();
    uint32_t used = u32_load(&system->slots.used);
    worker_enter(worker); // its thread is gone: this one is it now
    worker->queues = false;
    worker->lifo = LIFO_NEVER;
    for (uint32_t i = 0; i < used; i++)
        mailbox_hold(&system->slots.base[i].mailbox);
    if (late)
        leftover_log(system);
    pressure_forget(system);
    for (uint32_t i = 0; i < used; i++) {
        soma_agent *agent = &system->slots.base[i];
        uint64_t life = u64_load(&agent->life);
        if (life_alive(life))
            agent->worker = worker;
        if (life_down(life))
            agent_finish(worker, agent);
        else if (life_alive(life))
            agent_end(worker, agent, 0); // before its mail goes: a timer that has fired belongs to both
        mailbox_empty(worker, agent);
    }
    worker_enter(outer);
}
