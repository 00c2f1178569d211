/* Muting and letting go; see pressure.h. */
#include "runtime/pressure.h"
#include "runtime/outside.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "runtime/system.h"

static struct pressure_list *list_of(soma_system *system, uint32_t target)
{
    return &system->muted[target % PRESSURE_LISTS];
}

/* Takes the waiters of a slot out of its list and puts them before `others`. */
static soma_agent *waiters_take(soma_system *system, uint32_t target, soma_agent *others)
{
    struct pressure_list *list = list_of(system, target);
    spin_lock(&list->busy);
    for (soma_agent **link = &list->first; *link;) {
        soma_agent *agent = *link;
        if (u32_load(&agent->pressure) != (PRESSURE_MUTED | target)) {
            link = &agent->run_next;
            continue;
        }
        *link = agent->run_next;
        agent->run_next = others;
        others = agent;
    }
    spin_unlock(&list->busy);
    return others;
}

/* A guest has no counters of its own. */
static void muted_add(struct worker *worker, uint64_t n)
{
    if (worker_or_outside(worker))
        counter_add(&worker->counters.muted, n);
    else
        u64_add(&worker->system->outside.muted, n);
}

void pressure_release(struct worker *worker, uint32_t target)
{
    soma_system *system = worker->system;
    fence_full(); // the target's pressure is 0 before we look; pairs with pressure_mute and outside_wait
    soma_agent *waiters = waiters_take(system, target, NULL);
    while (waiters) {
        soma_agent *agent = waiters;
        uint32_t index = (uint32_t)(agent - system->slots.base);
        waiters = agent->run_next;
        u32_store(&agent->pressure, 0);
        fence_full();
        waiters = waiters_take(system, index, waiters);
        muted_add(worker, (uint64_t)-1);
        if (mailbox_unhold(&agent->mailbox))
            worker_schedule(worker_or_outside(worker), system, agent);
    }
    outside_release(system);
}

/* Takes one agent out of the list that it waits in; false if somebody else has. */
static bool waiter_take(struct pressure_list *list, const soma_agent *agent)
{
    bool found = false;
    spin_lock(&list->busy);
    for (soma_agent **link = &list->first; *link && !found; link = found ? link : &(*link)->run_next) {
        found = *link == agent;
        if (found)
            *link = agent->run_next;
    }
    spin_unlock(&list->busy);
    return found;
}

void pressure_unmute(soma_system *system, struct worker *worker, soma_agent *agent)
{
    struct worker guest;
    fence_full(); // the life is marked before we look; pairs with pressure_mute, which looks at it once it has entered
    uint32_t pressure = u32_load(&agent->pressure);
    if (!(pressure & PRESSURE_MUTED) || !waiter_take(list_of(system, pressure & ~PRESSURE_MUTED), agent))
        return;
    if (!worker) {
        worker_guest(&guest, system);
        worker = &guest;
    }
    u32_store(&agent->pressure, 0);
    muted_add(worker, (uint64_t)-1);
    pressure_release(worker, (uint32_t)(agent - system->slots.base));
    if (mailbox_unhold(&agent->mailbox))
        worker_schedule(worker_or_outside(worker), system, agent);
}

void pressure_mute(struct worker *worker, soma_agent *agent, uint32_t target)
{
    soma_system *system = worker->system;
    struct pressure_list *list = list_of(system, target);
    muted_add(worker, 1);
    u32_store(&agent->pressure, PRESSURE_MUTED | target);
    spin_lock(&list->busy);
    agent->run_next = list->first;
    list->first = agent;
    spin_unlock(&list->busy);
    // Who waits for this agent has entered itself while it was overloaded: let go, or a cycle could close.
    pressure_release(worker, (uint32_t)(agent - system->slots.base));
    fence_full(); // entered before we look; pairs with pressure_release: one of the two sees the other
    if (!u32_load(&system->slots.base[target].pressure))
        pressure_release(worker, target);
    if (u64_load(&agent->life) &
        LIFE_KILL) // the same with pressure_unmute. It may be another's by now, who is in no list
        pressure_unmute(system, worker, agent);
}

void pressure_mark(struct worker *worker, soma_agent *target)
{
    if (!u32_cas(&target->pressure, 0, PRESSURE_OVERLOADED))
        return;
    fence_full(); // between the mark and the look, as there is one between going down and the look at the mark
    if (life_down(u64_load(&target->life)))
        pressure_end(worker, target);
}

void pressure_forget(soma_system *system)
{
    for (uint32_t i = 0; i < PRESSURE_LISTS; i++) {
        for (soma_agent *agent = system->muted[i].first; agent; agent = agent->run_next)
            u32_store(&agent->pressure, 0);
        system->muted[i].first = NULL;
    }
}

void pressure_begin(struct worker *worker, soma_agent *agent)
{
    if (u32_load(&agent->pressure) == PRESSURE_ENDING)
        return;
    struct message *message = message_new(worker, MESSAGE_CAUGHT_UP, 0);
    if (message) {
        message->generation = life_generation(u64_load(&agent->life));
        mailbox_push(&agent->mailbox, message); // it has mail, so it is scheduled
    }
    // Without memory it must come to rest first. release: senders look after their push.
    u32_store(&agent->pressure, message ? PRESSURE_ENDING : PRESSURE_OVERLOADED);
}

void pressure_end(struct worker *worker, soma_agent *agent)
{
    if (!u32_load(&agent->pressure))
        return;
    u32_store(&agent->pressure, 0);
    pressure_release(worker, (uint32_t)(agent - worker->system->slots.base));
}
