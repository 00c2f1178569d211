/* The scheduler: where agents queue, who runs them, when workers sleep and are woken. See worker.h. */
#include "runtime/worker.h"
#include "runtime/agent.h"
#include "runtime/blocking.h"
#include "runtime/extension.h"
#include "runtime/guard.h"
#include "runtime/port.h"
#include "runtime/thread.h"
#include <stddef.h>
#include <stdlib.h>

#define OTHERS_EVERY 61   /* turns between a busy worker's looks at the inbox; prime: no resonance with batches */
#define CHUNK_EVERY 8     /* such looks between those at the overflow, where one chunk is many agents */
#define INBOX_TAKE 64     /* agents moved from the inbox to the ring at a time */
#define SEARCH_ROUNDS 25  /* looks around before sleeping: some 80 microseconds, a few times what a wake costs */
#define SEARCH_PAUSES 128 /* between them: each takes the cache lines away from who is about to queue something */

static _Thread_local struct worker *here;

void worker_enter(struct worker *worker)
{
    here = worker;
}

struct worker *worker_here(void)
{
    return here;
}

void worker_init(struct worker *worker, soma_system *system, uint32_t index, bool queues)
{
    *worker = (struct worker){.system = system,
                              .node = system->node,
                              .slots = system->slots.base,
                              .batch = (int32_t)system->options.batch,
                              .lifo = queues ? NULL : LIFO_NEVER,
                              .index = index,
                              .queues = queues};
    pool_init(&worker->pool, &system->depot);
}

void counters_merge(struct counters *sum, const struct counters *counters)
{
    const shared_u64 *from = (const shared_u64 *)counters; // all its members are that
    shared_u64 *to = (shared_u64 *)sum;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        counter_add(&to[i], u64_load(&from[i]));
}

/* A thief's first looks take only what is worth the other core's cache misses. */
#define PATIENT_ROUNDS 20
#define STEAL_MANY 16

/* ---- waking ---- */

static void worker_rouse(struct worker *worker)
{
    u32_store(&worker->awake, 1);
    fence_full(); // pairs with worker_await: either it sees that it is awake, or we see where it waits
    const struct rest *rest = ptr_load(&worker->rests);
    if (rest)
        rest->rouse(rest->context);
    else
        futex_wake(&worker->awake);
}

/* Work was made that others could take: wakes one sleeper, unless a searcher will find it. */
static void wake_one(soma_system *system)
{
    barrier_light(); // the work is visible before we look for sleepers; pairs with worker_sleep
    if (u32_load(&system->searching))
        return;
    for (;;) {
        uint64_t asleep = u64_load(&system->asleep);
        if (!asleep)
            return;
        if (u64_cas(&system->asleep, asleep, asleep & (asleep - 1))) {
            worker_rouse(&system->workers[__builtin_ctzll(asleep)]);
            return;
        }
    }
}

void worker_wake_all(soma_system *system)
{
    for (uint32_t i = 0; i < system->options.workers; i++)
        worker_rouse(&system->workers[i]);
}

/* ---- queueing ---- */

/* The ring is full: its older half makes room. Without memory for that the agent goes to the inbox. */
static void ring_overflow(struct worker *worker, soma_agent *agent)
{
    struct run_chunk *chunk = malloc(sizeof(*chunk));
    if (!chunk) {
        run_inbox_push(&worker->system->inbox, agent);
        return;
    }
    chunk->count = 0;
    chunk->count = run_ring_take_half(&worker->ring, RUN_RING_SIZE / 2, chunk->agents);
    if (chunk->count)
        run_overflow_push(&worker->system->overflow, chunk);
    else
        free(chunk);                     // thieves were faster
    run_ring_push(&worker->ring, agent); // only the owner pushes, so there is room now
}

/* Behind all that this worker has. */
static void ring_put(struct worker *worker, soma_agent *agent)
{
    if (__builtin_expect(!run_ring_push(&worker->ring, agent), 0))
        ring_overflow(worker, agent);
}

/* Agents that no worker's queue takes: from outside, of a driver, with a thread of their own. */
static void schedule_special(const struct worker *worker, soma_system *system, soma_agent *agent)
{
    if (system->driver.runnable) {
        system->driver.runnable(system->driver.context, system, agent);
    } else if (agent->extension && agent->extension->own) {
        blocking_schedule(system, agent->extension->own);
    } else {
        run_inbox_push(&system->inbox, agent);
        fence_full(); // worker_sleep counts on it, as the caller may be no worker
        if (!worker || !worker->lent)
            wake_one(system);
    }
}

/* The caller made the agent runnable, so it owns it until it is queued and may look at its extension. */
static inline bool is_special(const struct worker *worker, const soma_agent *agent)
{
    return !worker || !worker->queues || (agent->extension && agent->extension->own);
}

void worker_schedule(struct worker *worker, soma_system *system, soma_agent *agent)
{
    if (is_special(worker, agent)) {
        schedule_special(worker, system, agent);
        return;
    }
    soma_agent *displaced = worker->lifo;
    worker->lifo = agent;
    if (displaced) {
        ring_put(worker, displaced);
        wake_one(system);
    }
}

void worker_schedule_last(struct worker *worker, soma_agent *agent)
{
    if (__builtin_expect(is_special(worker, agent), 0)) {
        schedule_special(worker, worker->system, agent);
        return;
    }
    ring_put(worker, agent);
    if (worker->lifo || run_ring_count(&worker->ring) > 1) // surplus: more to do than this worker's next turn
        wake_one(worker->system);
}

/* ---- choosing ---- */

static soma_agent *inbox_take(struct worker *worker)
{
    soma_agent *first = run_inbox_take(&worker->system->inbox, INBOX_TAKE);
    if (!first)
        return NULL;
    soma_agent *rest = first->run_next;
    if (rest || !run_inbox_empty(&worker->system->inbox)) {
        while (rest) { // next is read before the push: after it another worker may run the agent
            soma_agent *next = rest->run_next;
            ring_put(worker, rest);
            rest = next;
        }
        wake_one(worker->system);
    }
    return first;
}

/* A chunk of what overflowed: one agent to run, the others into the own ring, which is empty enough. */
static soma_agent *overflow_take(struct worker *worker)
{
    struct run_chunk *chunk = run_overflow_pop(&worker->system->overflow);
    if (!chunk)
        return NULL;
    for (uint32_t i = 1; i < chunk->count; i++)
        ring_put(worker, chunk->agents[i]);
    soma_agent *first = chunk->agents[0];
    bool more = chunk->count > 1 || !run_overflow_empty(&worker->system->overflow);
    free(chunk);
    if (more)
        wake_one(worker->system);
    return first;
}

/* Takes half of what another worker has queued, if it is at least so many: one to run, the others into the own ring. */
static soma_agent *steal(struct worker *worker, uint32_t least)
{
    soma_system *system = worker->system;
    uint32_t workers = system->options.workers;
    for (uint32_t i = 1; i < workers; i++) {
        soma_agent *taken[RUN_RING_SIZE / 2];
        uint32_t count = run_ring_take_half(&system->workers[(worker->index + i) % workers].ring, least, taken);
        if (!count)
            continue;
        for (uint32_t n = 1; n < count; n++)
            ring_put(worker, taken[n]);
        counter_add(&worker->counters.steals, count);
        return taken[0];
    }
    return NULL;
}

/*
 * It is time for whom others have made runnable; NULL if it is the ring's turn. That comes next after one of them in
 * any case, so that both go on, however many wait here and there.
 */
static soma_agent *next_others(struct worker *worker)
{
    soma_agent *woken = worker->lifo, *agent = NULL;
    worker->others_in = OTHERS_EVERY;
    worker->lifo = NULL;
    if (woken)
        ring_put(worker, woken); // it waits its turn once
    if (!worker->ring_first && worker->chunk_in-- == 0) {
        worker->chunk_in = CHUNK_EVERY;
        agent = overflow_take(worker); // first, as the inbox may never be empty
    }
    if (!worker->ring_first && !agent)
        agent = inbox_take(worker);
    worker->ring_first = agent;
    if (agent && run_ring_count(&worker->ring)) // who has waited for this turn doesn't get it
        wake_one(worker->system);
    return agent;
}

/* The next agent from this worker's own places and the inbox. */
static inline soma_agent *next_own(struct worker *worker)
{
    soma_agent *agent = worker->others_in ? NULL : next_others(worker);
    if (agent)
        return agent;
    agent = worker->lifo;
    if (agent) {
        worker->lifo = NULL;
        return agent;
    }
    agent = run_ring_pop(&worker->ring);
    if (agent)
        return agent;
    agent = inbox_take(worker);
    return agent ? agent : overflow_take(worker);
}

/* ---- resting ---- */

static bool work_visible(const soma_system *system)
{
    if (!run_inbox_empty(&system->inbox) || !run_overflow_empty(&system->overflow))
        return true;
    for (uint32_t i = 0; i < system->options.workers; i++)
        if (run_ring_count(&system->workers[i].ring))
            return true;
    return false;
}

static void asleep_clear(soma_system *system, uint64_t bit)
{
    for (;;) {
        uint64_t asleep = u64_load(&system->asleep);
        if (!(asleep & bit) || u64_cas(&system->asleep, asleep, asleep & ~bit))
            return;
    }
}

void closer_tell(soma_system *system)
{
    if (!u32_load(&system->closing))
        return;
    pthread_mutex_lock(&system->lock);
    pthread_cond_broadcast(&system->changed);
    pthread_mutex_unlock(&system->lock);
}

/* False at once if that may not be now. Else *mail says whether something has come; or the worker is roused, or should
 * look whether it is. */
static bool rest_await(struct worker *worker, struct rest *rest, bool *mail)
{
    if (!rest || !rest->await)
        return false;
    ptr_store(&worker->rests, rest);
    fence_full(); // pairs with worker_rouse, before `awake` is looked at
    bool waited = rest->await(rest->context, &worker->awake, mail);
    ptr_store(&worker->rests, NULL);
    return waited;
}

/* Waits for the route's mail or the tenant's, if that may be: NULL if not. */
static const struct rest *worker_await(struct worker *worker, bool *mail)
{
    struct route *route = ptr_load(&worker->system->route);          // acquire: sees the route whole
    const struct tenant *tenant = ptr_load(&worker->system->tenant); // the same
    struct rest *first = route ? &route->rest : NULL, *second = tenant ? ptr_load(&tenant->rest) : NULL;
    return rest_await(worker, first, mail) ? first : rest_await(worker, second, mail) ? second : NULL;
}

/*
 * Sleeps until woken. No wake is lost: we set our bit, fence, and look for work once more; a waker makes work visible,
 * fences (the light half, see thread.h), and looks for bits. One of the two comes second and sees the other. The same
 * holds for `searching`, which we left before setting the bit: a waker that saw us searching made its work visible
 * before our last look. A rouse that comes late, for a sleep already over, only makes the next sleep shorter.
 *
 * The heavy half stops the other cores, ZeroMQ's thread on one of them, say, that we are about to wait for; and it is
 * for workers alone, as who else makes work fences in full. If all the others' bits are set it is not needed: whoever
 * of them wakes clears his, in the same word and after we have set ours, and from then on sees that, and all before.
 */
static void worker_sleep(struct worker *worker)
{
    soma_system *system = worker->system;
    uint64_t bit = 1ull << worker->index;
    const struct rest *rest = NULL;
    bool mail = false;
    u32_store(&worker->awake, 0);
    uint64_t others = u64_add(&system->asleep, bit); // clear before: only we set it
    if ((uint32_t)__builtin_popcountll(others) + 1 == system->options.workers)
        fence_full();
    else
        barrier_heavy();
    if (!work_visible(system) && !u32_load(&system->stopping)) {
        closer_tell(system);
        counter_add(&worker->counters.sleeps, 1);
        while (!mail && !u32_load(&worker->awake))
            if (!(rest = worker_await(worker, &mail)))
                futex_wait(&worker->awake, 0, FUTEX_FOREVER);
    }
    u64_add(&system->wakes, 1); // before the bit can be set again: the closer compares it
    asleep_clear(system, bit);
    worker->fetched = mail;
    if (mail)
        rest->attend(rest->context, worker);
}

/*
 * Does any worker run an agent? Else nothing comes but from outside, by whom a worker is woken; and to look around
 * takes a core away from them: the threads of a bridge, of ZeroMQ, of the program. With two nodes on two cores
 * half the time of a round trip was that.
 */
static bool some_work(const soma_system *system)
{
    uint32_t resting = u32_load(&system->searching) + (uint32_t)__builtin_popcountll(u64_load(&system->asleep));
    return resting < system->options.workers; // a guess: who sleeps has looked, in any case
}

/* Looks around for a while; NULL if it slept instead. Who has fetched what came from outside looks but once: the next
 * is most likely to come from there, too, and those who send it may need the core. */
static soma_agent *search(struct worker *worker)
{
    soma_system *system = worker->system;
    uint32_t rounds = worker->fetched ? 1 : SEARCH_ROUNDS;
    u32_add(&system->searching, 1);
    for (uint32_t round = 0; round < rounds && !u32_load(&system->stopping); round++) {
        soma_agent *agent = inbox_take(worker);
        if (!agent)
            agent = overflow_take(worker);
        if (!agent)
            agent = steal(worker, round < PATIENT_ROUNDS ? STEAL_MANY : 1);
        if (agent) {
            if (u32_add(&system->searching, (uint32_t)-1) == 1 && work_visible(system))
                wake_one(system); // the last searcher hands the search on; what it misses by an instant, as there is
                                  // no heavy fence here, is its maker's, who is awake, or the next searcher's
            return agent;
        }
        if (round + 1 == rounds || !some_work(system))
            break;
        for (int i = 0; i < SEARCH_PAUSES; i++)
            cpu_relax();
    }
    u32_add(&system->searching, (uint32_t)-1);
    worker_sleep(worker);
    return NULL;
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;
    void *stack = worker->system->options.guard ? guard_thread_begin() : NULL;
    worker_enter(worker);
    while (!u32_load(&worker->system->stopping)) {
        soma_agent *agent = next_own(worker);
        if (!agent)
            agent = search(worker);
        if (!agent)
            continue;
        if (worker->lookout) { // what it notes isn't for the fast path
            agent_turn(worker, agent, (uint32_t)worker->batch);
            worker->others_in--;
        } else {
            agent_turns(worker, agent);
        }
    }
    guard_thread_end(stack);
    return NULL;
}
