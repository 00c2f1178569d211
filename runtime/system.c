/* Opening, running, draining and closing a system. */
#include "runtime/system.h"
#include "runtime/agent.h"
#include "runtime/blocking.h"
#include "runtime/closing.h"
#include "runtime/guard.h"
#include "runtime/options.h"
#include "runtime/outside.h"
#include "runtime/port.h"
#include "runtime/send.h"
#include "runtime/thread.h"
#include <errno.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- opening ---- */

static uint64_t node_identity(const struct driver *driver)
{
    uint64_t node;
    do
        node = driver->random(driver->context);
    while (!node); // 0 is the null ref's node
    return node;
}

/* Says each second which handler a closing system waits for. False if they were too many. */
static bool worker_join(struct worker *worker, uint32_t seconds)
{
    soma_system *system = worker->system;
    for (uint32_t passed = 1; !worker->joined; passed++) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until); // what pthread_timedjoin_np counts by; no agent sees it
        until.tv_sec++;
        worker->joined = pthread_timedjoin_np(worker->thread, NULL, &until) != ETIMEDOUT;
        if (worker->joined)
            break;
        const struct dispatch *running = ptr_load(&worker->running);
        soma_system_log(system, SOMA_LOG_WARNING, "closing: since %u s a handler of '%s' has not returned", passed,
                        running ? running->behavior->name : "?");
        if (passed >= seconds)
            return false;
    }
    return true;
}

/* Joins all threads that run agents, which have been told to leave. False if one of them has not in time. */
static bool workers_join(soma_system *system, uint32_t count, uint32_t seconds)
{
    for (uint32_t i = 0; i < count; i++)
        if (!worker_join(&system->workers[i], seconds))
            return false;
    for (struct worker *own = system->blocking; own; own = own->own_next) // blocking_stop has been: it is complete
        if (!worker_join(own, seconds))
            return false;
    return true;
}

static void workers_stop(soma_system *system)
{
    u32_store(&system->stopping, 1);
    fence_full(); // pairs with worker_sleep: who doesn't see it is asleep, and roused
    for (uint32_t i = 0; i < system->options.workers; i++)
        u32_store(&system->workers[i].leave, 1);
    worker_wake_all(system);
    blocking_stop(system);
}

/* One core each, in their order; where that is not allowed they run anywhere. */
static void worker_pin(const struct worker *worker)
{
    cpu_set_t all, one;
    if (pthread_getaffinity_np(worker->thread, sizeof(all), &all) || !CPU_COUNT(&all))
        return;
    uint32_t skip = worker->index % (uint32_t)CPU_COUNT(&all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || skip--)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(worker->thread, sizeof(one), &one);
        return;
    }
}

static int workers_start(soma_system *system)
{
    uint32_t count = system->options.workers;
    for (uint32_t i = 0; i < count; i++) {
        worker_init(&system->workers[i], system, i, !system->driver.runnable);
        if (lookout_open(&system->workers[i]))
            return SOMA_ENOMEM;
    }
    if (system->driver.runnable)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        int error = thread_start(&system->workers[i].thread, worker_main, &system->workers[i]);
        if (error) {
            workers_stop(system);
            workers_join(system, i, UINT32_MAX);
            return error;
        }
        if (system->options.pin)
            worker_pin(&system->workers[i]);
    }
    int error = watcher_start(system);
    if (error) {
        workers_stop(system);
        workers_join(system, count, UINT32_MAX);
    }
    return error;
}

static void system_free(soma_system *system)
{
    const struct route *route = ptr_load(&system->route);
    if (route && route->release)
        route->release(route->context);
    struct tenant *tenant = ptr_load(&system->tenant);
    if (tenant)
        tenant->release(tenant);
    for (struct run_chunk *chunk; (chunk = run_overflow_pop(&system->overflow));)
        free(chunk);
    clock_close(&system->clock);
    log_close(&system->log);
    names_close(&system->names);
    blocking_free(system);
    pthread_mutex_destroy(&system->outside_pool.lock);
    free(system->told.refs);
    pool_depot_destroy(&system->depot);
    dispatch_table_destroy(&system->dispatches);
    types_close(&system->types);
    slots_close(&system->slots);
    pthread_cond_destroy(&system->changed);
    pthread_mutex_destroy(&system->lock);
    for (uint32_t i = 0; system->workers && i < system->options.workers; i++)
        free(system->workers[i].lookout);
    free(system->workers);
    if (system->options.guard)
        guard_close();
    free(system);
}

static int system_start(soma_system *system)
{
    int error = slots_open(&system->slots, system->options.slots);
    if (!error)
        error = clock_open(&system->clock, system->options.workers, system->driver.now(system->driver.context));
    system->workers = error ? NULL : aligned_alloc(64, system->options.workers * sizeof(struct worker));
    if (!system->workers)
        return error ? error : SOMA_ENOMEM;
    memset(system->workers, 0, system->options.workers * sizeof(struct worker));
    return workers_start(system);
}

int system_open_driven(soma_system **system, const soma_options *options, const struct driver *driver)
{
    if (!system)
        return SOMA_EINVAL;
    *system = NULL;
    soma_options resolved;
    int error = options_resolve(options, driver, &resolved);
    if (error)
        return error;
    soma_system *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return SOMA_ENOMEM;
    barrier_init();
    if (resolved.guard)
        guard_open();
    opened->options = resolved;
    opened->driver = *driver;
    if (driver->runnable)
        opened->options.workers = 1;
    opened->depot.single = driver->runnable;
    opened->node = node_identity(driver);
    log_open(&opened->log, resolved.log_level, resolved.log_sink, resolved.log_context, driver->runnable);
    pthread_mutex_init(&opened->lock, NULL);
    condition_init(&opened->changed);
    pthread_mutex_init(&opened->dispatches.lock, NULL);
    types_open(&opened->types);
    pthread_mutex_init(&opened->names.lock, NULL);
    pthread_mutex_init(&opened->outside_pool.lock, NULL);
    pool_init(&opened->outside_pool.pool, &opened->depot);
    error = system_start(opened);
    if (error)
        system_free(opened);
    else
        *system = opened;
    return error;
}

int soma_system_open(soma_system **system, const soma_options *options)
{
    return system_open_driven(system, options, &driver_real);
}

void system_route_set(soma_system *system, const struct route *route)
{
    ptr_store(&system->route, (void *)(uintptr_t)route); // release: senders see the route whole
}

/* ---- running ---- */

bool system_on_worker(soma_system *system)
{
    const struct worker *here = worker_here();
    return (system->driver.runnable && !system->driver.wait) || (here && here->system == system) ||
           log_on_thread(&system->log);
}

int soma_system_run(soma_system *system)
{
    if (!system)
        return SOMA_EINVAL;
    if (system_on_worker(system))
        return SOMA_ESTATE;
    pthread_mutex_lock(&system->lock);
    system->running++;
    while (!system->stopped)
        pthread_cond_wait(&system->changed, &system->lock);
    system->running--;
    pthread_cond_broadcast(&system->changed);
    pthread_mutex_unlock(&system->lock);
    return 0;
}

/* Threads that wait in soma_system_run() have left it on return. */
static void runners_release(soma_system *system)
{
    pthread_mutex_lock(&system->lock);
    system->stopped = true;
    pthread_cond_broadcast(&system->changed);
    while (system->running)
        pthread_cond_wait(&system->changed, &system->lock);
    pthread_mutex_unlock(&system->lock);
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

static uint32_t threads_of(const soma_system *system)
{
    return system->driver.runnable ? 0 : system->options.workers;
}

/* All threads are joined. */
static void system_finish(soma_system *system, bool late)
{
    log_direct(&system->log); // a sink may use the system: from now on only in this thread
    closing_end(system, late);
    system_free(system);
}

static void *system_reap(void *argument)
{
    soma_system *system = argument;
    workers_join(system, threads_of(system), UINT32_MAX);
    system_finish(system, true);
    return NULL;
}

#define GRACE_SECONDS 2u /* at least, for a handler to return */

/*
 * Ends the agents and frees the system once all handlers have returned. One that does not can't be ended in C without
 * danger to all else in the process, and may still use the system: then a thread waits for it in the closer's place.
 * False if it has come to that.
 */
static bool system_leave(soma_system *system, bool late)
{
    uint32_t grace = system->options.drain_ms / 1000;
    pthread_t reaper;
    workers_stop(system);
    if (!workers_join(system, threads_of(system), grace > GRACE_SECONDS ? grace : GRACE_SECONDS)) {
        soma_log_error(system, "closing: given up; what is left of the system goes when that handler returns");
        if (!thread_start(&reaper, system_reap, system)) {
            pthread_detach(reaper);
            return false;
        }
        workers_join(system, threads_of(system), UINT32_MAX);
    }
    system_finish(system, late);
    return true;
}

static int system_end(soma_system **pointer, bool drain)
{
    if (!pointer || !*pointer)
        return 0;
    soma_system *system = *pointer;
    bool driven = system->driver.runnable;
    if ((!driven && system_on_worker(system)) || !u32_cas(&system->closing, 0, 1))
        return SOMA_ESTATE; // the second: a stop hook of a driven system
    fence_full();           // pairs with worker_sleep: either it sees closing, or we see its bit; and with call.c
    outside_release(system);
    while (u32_load(&system->calling))
        sched_yield(); // it is about to wait, or to see that the system closes
    bool drained = !drain || driven || closing_drain(system), whole = drained;
    if (!drained)
        closing_busy(system);
    runners_release(system);
    const struct route *route = ptr_load(&system->route);
    if (route && route->stop && route->stop(route->context))
        whole = false;
    struct tenant *tenant = ptr_load(&system->tenant);
    if (tenant && !tenant->stop(tenant))
        whole = false;
    signals_close(system);
    clock_stop(&system->clock);
    watcher_stop(system);
    bool left = system_leave(system, !drained);
    *pointer = NULL;
    return whole && left ? 0 : SOMA_ETIMEOUT;
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

void system_counters(soma_system *system, struct counters *sum)
{
    counters_merge(sum, &system->outside);
    for (uint32_t i = 0; i < system->options.workers; i++)
        counters_merge(sum, &system->workers[i].counters);
    pthread_mutex_lock(&system->lock); // for blocking agents' workers, which come and go
    counters_merge(sum, &system->retired);
    if (system->courier)
        counters_merge(sum, &system->courier->counters);
    for (const struct worker *own = system->blocking; own; own = own->own_next)
        counters_merge(sum, &own->counters);
    const struct tenant *tenant = ptr_load(&system->tenant);
    const struct worker *porter = tenant ? ptr_load(&tenant->worker) : NULL;
    if (porter)
        counters_merge(sum, &porter->counters);
    pthread_mutex_unlock(&system->lock);
}

int soma_system_stats(const soma_system *system, soma_stats *stats)
{
    if (!system || !stats)
        return SOMA_EINVAL;
    struct counters sum = {0};
    system_counters((soma_system *)(uintptr_t)system, &sum);
    *stats = (soma_stats){
        .agents = sum.spawned.value > sum.ended.value ? sum.spawned.value - sum.ended.value : 0,
        .spawned = sum.spawned.value,
        .sent = sum.sent.value,
        .processed = sum.processed.value,
        .dead_letters = sum.dead_letters.value,
        .muted = sum.muted.value,
        .rejected = sum.rejected.value,
        .dropped = sum.dropped.value,
        .late_replies = sum.late_replies.value,
        .steals = sum.steals.value,
        .sleeps = sum.sleeps.value,
    };
    for (uint32_t i = 0; i < system->options.workers; i++)
        stats->queued += run_ring_count(&system->workers[i].ring);
    for (uint32_t class = 0; class < POOL_CLASSES; class ++) {
        stats->memory_by_class[class] = u64_load(&system->depot.memory[class]);
        stats->memory += stats->memory_by_class[class];
    }
    return 0;
}

void *soma_system_data(const soma_system *system)
{
    return system ? system->options.data : NULL;
}

const char *soma_version(void)
{
    return SOMA_VERSION;
}
