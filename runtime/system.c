/* Opening, running, draining and closing a system. */
#include "runtime/system.h"
#include "runtime/agent.h"
#include "runtime/message.h"
#include "runtime/options.h"
#include <signal.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- opening ---- */

static uint64_t node_identity(void)
{
    uint64_t node = 0;
    while (!node) // 0 is the null ref's node
        if (getrandom(&node, sizeof(node), 0) != sizeof(node))
            node = 0;
    return node;
}

/* Workers take no signals: those are for the program's own threads. */
static int worker_start(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? SOMA_ETHREAD : 0;
}

static void workers_join(soma_system *system, uint32_t count)
{
    u32_store(&system->stopping, 1);
    fence_full(); // pairs with worker_sleep: who doesn't see it is asleep, and roused
    worker_wake_all(system);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(system->workers[i].thread, NULL);
}

static int workers_start(soma_system *system)
{
    uint32_t count = system->options.workers;
    for (uint32_t i = 0; i < count; i++) {
        system->workers[i].system = system;
        system->workers[i].index = i;
        pool_init(&system->workers[i].pool, &system->depot);
    }
    for (uint32_t i = 0; i < count; i++) {
        int error = worker_start(&system->workers[i]);
        if (error) {
            workers_join(system, i);
            return error;
        }
    }
    return 0;
}

static void system_free(soma_system *system)
{
    pool_depot_destroy(&system->depot);
    dispatch_table_destroy(&system->dispatches);
    slots_close(&system->slots);
    pthread_cond_destroy(&system->changed);
    pthread_mutex_destroy(&system->lock);
    free(system->workers);
    free(system);
}

int soma_system_open(soma_system **system, const soma_options *options)
{
    if (!system)
        return SOMA_EINVAL;
    *system = NULL;
    soma_options resolved;
    int error = options_resolve(options, &resolved);
    if (error)
        return error;
    soma_system *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return SOMA_ENOMEM;
    opened->options = resolved;
    opened->node = node_identity();
    pthread_mutex_init(&opened->lock, NULL);
    pthread_cond_init(&opened->changed, NULL);
    pthread_mutex_init(&opened->dispatches.lock, NULL);
    opened->workers = calloc(resolved.workers, sizeof(struct worker));
    error = opened->workers ? slots_open(&opened->slots, resolved.slots) : SOMA_ENOMEM;
    if (!error)
        error = workers_start(opened);
    if (error)
        system_free(opened);
    else
        *system = opened;
    return error;
}

/* ---- running ---- */

static bool on_worker(const soma_system *system)
{
    for (uint32_t i = 0; i < system->options.workers; i++)
        if (pthread_equal(pthread_self(), system->workers[i].thread))
            return true;
    return false;
}

int soma_system_run(soma_system *system)
{
    if (!system)
        return SOMA_EINVAL;
    if (on_worker(system))
        return SOMA_ESTATE;
    pthread_mutex_lock(&system->lock);
    while (!system->stopped)
        pthread_cond_wait(&system->changed, &system->lock);
    pthread_mutex_unlock(&system->lock);
    return 0;
}

int soma_system_stop(soma_system *system)
{
    if (!system)
        return SOMA_EINVAL;
    pthread_mutex_lock(&system->lock);
    system->stopped = true;
    pthread_cond_broadcast(&system->changed);
    pthread_mutex_unlock(&system->lock);
    return 0;
}

/* ---- closing ---- */

static bool all_asleep(const soma_system *system)
{
    uint32_t workers = system->options.workers;
    return u64_load(&system->asleep) == (workers == 64 ? UINT64_MAX : (1ull << workers) - 1);
}

/* True if no worker runs and none has anything to run: all sleep, and nobody rose while we looked. */
static bool system_rests(const soma_system *system)
{
    uint64_t wakes = u64_load(&system->wakes);
    if (!all_asleep(system) || !run_inbox_empty(&system->inbox))
        return false;
    for (uint32_t i = 0; i < system->options.workers; i++)
        if (run_ring_count(&system->workers[i].ring))
            return false;
    return all_asleep(system) && u64_load(&system->wakes) == wakes;
}

static void system_drain(soma_system *system)
{
    pthread_mutex_lock(&system->lock);
    while (!system_rests(system))
        pthread_cond_wait(&system->changed, &system->lock); // told by the last one that falls asleep
    pthread_mutex_unlock(&system->lock);
}

/* What is still in a mailbox becomes dead letters. The workers are gone: nobody pushes. */
static void mailbox_empty(struct worker *worker, soma_agent *agent)
{
    struct message *message = ptr_load(&agent->mailbox.head) > MAIL_HELD ? ptr_load(&agent->mailbox.tail) : NULL;
    while (message) {
        struct message *next = ptr_load(&message->next);
        message_dead(worker->system, worker, message);
        message = next;
    }
    ptr_store(&agent->mailbox.head, MAIL_HELD); // what stop hooks send from now on waits here for the sweep below
    ptr_store(&agent->mailbox.tail, NULL);
}

static void agents_end(soma_system *system)
{
    struct worker *worker = &system->workers[0]; // its thread is gone: this one is it now
    uint32_t used = u32_load(&system->slots.used);
    for (uint32_t i = 0; i < used; i++) {
        soma_agent *agent = &system->slots.base[i];
        mailbox_empty(worker, agent);
        agent->worker = worker;
        if (life_alive(u64_load(&agent->life)))
            agent_end(worker, agent, 0);
    }
    for (uint32_t i = 0; i < used; i++)
        mailbox_empty(worker, &system->slots.base[i]);
}

static int system_end(soma_system **pointer, bool drain)
{
    if (!pointer || !*pointer)
        return 0;
    soma_system *system = *pointer;
    if (on_worker(system))
        return SOMA_ESTATE;
    u32_store(&system->closing, 1);
    fence_full(); // pairs with the fence in worker_sleep: either it sees closing, or we see its bit
    if (drain)
        system_drain(system);
    workers_join(system, system->options.workers);
    agents_end(system);
    system_free(system);
    *pointer = NULL;
    return 0;
}

int soma_system_close(soma_system **system)
{
    return system_end(system, true);
}

int soma_system_cancel(soma_system **system)
{
    return system_end(system, false);
}

/* ---- looking ---- */

static void counters_add(soma_stats *stats, const struct counters *counters, uint64_t *ended)
{
    stats->spawned += u64_load(&counters->spawned);
    *ended += u64_load(&counters->ended);
    stats->processed += u64_load(&counters->processed);
    stats->dead_letters += u64_load(&counters->dead_letters);
    stats->steals += u64_load(&counters->steals);
    stats->sleeps += u64_load(&counters->sleeps);
}

int soma_system_stats(const soma_system *system, soma_stats *stats)
{
    if (!system || !stats)
        return SOMA_EINVAL;
    *stats = (soma_stats){0};
    uint64_t ended = 0;
    counters_add(stats, &system->outside, &ended);
    for (uint32_t i = 0; i < system->options.workers; i++)
        counters_add(stats, &system->workers[i].counters, &ended);
    stats->agents = stats->spawned > ended ? stats->spawned - ended : 0;
    stats->memory = u64_load(&system->depot.memory);
    return 0;
}
