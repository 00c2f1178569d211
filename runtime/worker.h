/*
 * Workers: the threads that run agents, and the scheduler's choice of the next one.
 *
 * A worker takes, in this order: the agent just woken (the LIFO slot: its messages are still in the cache), its own
 * ring, the inbox, the overflow of full rings, another worker's ring. Every OTHERS_EVERY turns, so that nobody starves,
 * the one just woken comes last, and the inbox first (now and then the overflow before it), or the ring if it was one
 * of those the last time. With nothing to do it searches for a while, then sleeps.
 *
 * Waking: work that another worker could take (a ring's or the inbox's, never the LIFO slot's) wakes one sleeper, but
 * only if no worker is searching already; a searcher that finds work wakes the next. The proof that no wake is lost is
 * at worker_sleep().
 */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "runtime/pool.h"
#include "runtime/run_queue.h"
#include "runtime/slot.h"
#include <pthread.h>

struct message;

/* Counters: written by one thread, read by any, so each is a relaxed store in effect. */
struct counters {
    shared_u64 spawned;
    shared_u64 ended;
    shared_u64 sent;
    shared_u64 processed;
    shared_u64 dead_letters;
    shared_u64 late_replies;
    shared_u64 rejected;
    shared_u64 dropped;
    shared_u64 outside_done; /* bytes of messages from threads outside that are done with */
    shared_u64 muted; /* once more a mute, once less a release; so the sum over all threads is how many are muted */
    shared_u64 steals;
    shared_u64 sleeps;
};

/*
 * Messages that the running handler has sent to one agent, right after another: they go into its mailbox together, as
 * each exchange on a mailbox that several cores write costs more than all else about a small message. Only while no
 * worker is idle, so that nothing waits here that could be handled; and never longer than the handler runs.
 */
struct outbox {
    soma_agent *target; /* whom the handler's last message was for */
    struct message *first;
    struct message *last;
    uint32_t count;
};

#define OUTBOX_MAX 64

#define LIFO_NEVER ((soma_agent *)1)

struct worker {
    /* What each message needs, in one cache line. */
    _Alignas(64) shared_ptr running; /* whose turn it is, or was last: its dispatch, for a closer that waits */
    soma_system *system;
    uint64_t node;     /* the system's, as what follows, so that a send doesn't look there */
    soma_agent *slots; /* the first of all */
    uint32_t reach;    /* how many there were when this was last looked up; 0: a guest's sends go the long way */
    union {
        struct {
            bool exiting : 1; /* the agent asked to end */
            bool failing : 1; /* it said why it will, with soma_fail() */
            bool carried : 1; /* what it sent to another node has left by this worker: more waits for others */
            bool pressing;    /* it has sent to `pressed` */
            bool sending;     /* there is something in the outbox */
        };
        uint32_t due; /* any of them: one look after each message */
    };
    soma_agent *lifo;        /* the agent just woken; LIFO_NEVER for a worker that has no queue */
    struct message *current; /* the message being handled */
    int32_t batch;           /* how many a turn may have */
    uint32_t budget;         /* what is left of the turn: messages handled and sent; as a signed number, but one that
                                wraps around: a handler may send more than 2^31 */
    shared_u32 leave;        /* the system stops: no more messages after the one being handled */

    struct outbox outbox;
    uint64_t tag;           /* of the request whose answer is being handled */
    const char *error_text; /* of the failed request that is being handled, see soma_error_text() */
    uint64_t random;        /* soma_random's state; 0 before the first */
    int exit_reason;
    uint32_t pressed;   /* the slot of an agent under pressure that the running one has sent to */
    uint32_t presses;   /* how often it has sent to such a one, if it is `pressing` */
    uint32_t lot;       /* drawn last: which of them it is */
    uint32_t others_in; /* turns until it must look at whom others have made runnable */
    uint32_t chunk_in;  /* such looks until the next at the overflow */
    bool ring_first;    /* at the next one, as the last one found somebody */
    uint32_t index;
    bool queues; /* it takes agents into its queue; not for the worker of a blocking agent, or without threads */
    struct pool pool;
    struct slot_cache slot_cache;
    struct lookout *lookout;        /* what it notes of its handlers; NULL if it is not watched */
    const struct dispatch *spawned; /* of the last spawn: the next is often the same */
    struct counters counters;
    pthread_t thread;
    bool joined;
    struct run_ring ring;
    shared_u32 awake; /* the futex: 0 while asleep */
    shared_ptr rests; /* the struct rest where it waits; NULL: it waits for the futex, if at all */
    bool fetched;     /* it was woken by what came where it rests, and goes back there soon */
    bool lent;        /* the bridge's or the porter's: a worker has taken its place, and looks for work next */
    /* The worker of a blocking agent, see blocking.h. */
    soma_agent *own_agent;
    struct worker *own_next; /* in the system's list */
    shared_u32 own_ended;    /* its agent has ended */
    shared_u32 own_gone;     /* its thread can be joined without waiting */
};

/* Only the counter's own thread adds. */
static inline void counter_add(shared_u64 *counter, uint64_t n)
{
    u64_store(counter, counter->value + n);
}

/*
 * A thread outside the system that spawns is a worker for the time of the init: it has the fields that handlers reach,
 * but no pool, ring or counters.
 */
#define WORKER_GUEST UINT32_MAX
#define WORKER_OWN (UINT32_MAX - 1) /* the worker of a blocking agent: a pool and counters, but no queue */

static inline void worker_guest(struct worker *guest, soma_system *system)
{
    guest->system = system;
    guest->index = WORKER_GUEST;
    guest->current = NULL;
    guest->due = 0;
    guest->node = 0;
    guest->slots = NULL;
    guest->reach = 0;
    guest->exit_reason = 0;
    guest->tag = 0;
    guest->error_text = NULL;
    guest->outbox = (struct outbox){NULL, NULL, NULL, 0};
    guest->spawned = NULL;
    guest->random = 0;
    guest->lot = 0;
}

/*
 * The running agent has sent to one under pressure: it is muted for that at the end of its turn, or for another to
 * which this has happened since it began to handle its message, each time with the same chance. Why: see pressure.h.
 */
static inline void worker_press(struct worker *worker, uint32_t slot)
{
    worker->presses = worker->pressing ? worker->presses + 1 : 1;
    worker->pressing = true;
    worker->lot = worker->lot * 1664525u + 1013904223u; // the same in each run that is driven the same way
    if ((uint64_t)worker->lot * worker->presses <= UINT32_MAX)
        worker->pressed = slot;
}

/* NULL for a guest, which is how the functions below call a thread outside. */
static inline struct worker *worker_or_outside(struct worker *worker)
{
    return worker->index == WORKER_GUEST ? NULL : worker;
}

/* A worker with a pool of its own, of which nothing else is set yet. Only one that `queues` may run worker_main(). */
void worker_init(struct worker *worker, soma_system *system, uint32_t index, bool queues);

/* The thread's body. */
void *worker_main(void *worker);

/* Makes an agent run some time: called by the one that a mailbox told to. `worker` is NULL for outside threads. */
void worker_schedule(struct worker *worker, soma_system *system, soma_agent *agent);

/* As worker_schedule, but behind all that waits: for an agent whose turn is over though it has mail. */
void worker_schedule_last(struct worker *worker, soma_agent *agent);

/* Wakes every sleeper: when the system stops. */
void worker_wake_all(soma_system *system);

/* Makes the calling thread known as this worker's. */
void worker_enter(struct worker *worker);

/* Puts what the outbox has into its mailbox. */
void outbox_flush(struct worker *worker);

/* The worker whose thread is calling, NULL outside of every system. */
struct worker *worker_here(void);

/* One that could be waited for has come to rest: tells a closing thread. */
void closer_tell(soma_system *system);

/* Adds one thread's counters to a sum. */
void counters_merge(struct counters *sum, const struct counters *counters);

#endif
