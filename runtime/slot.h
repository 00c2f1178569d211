/*
 * Agent slots: one cache line an agent, in one reserved range of addresses that is never given back while the system
 * lives. So a send to any ref, however old, touches valid memory: index -> slot is one addition, and no hazard pointers
 * are needed. Pages are made usable chunk by chunk as slots are first needed.
 *
 * `life` is what a message is checked against: generation in the upper half (odd: alive, even: free), requests from
 * other threads in the lower half. An agent that is alive and undisturbed has exactly `generation << 32`.
 */
#ifndef RUNTIME_SLOT_H
#define RUNTIME_SLOT_H

#include "runtime/mailbox.h"
#include <soma/agent.h>

struct worker;
struct dispatch;
struct extension;

/* Bits that no message's head has, so that message_unlike() and all that compares a life sees each of them. */
#define LIFE_KILL (1u << 25)     /* alive: end as soon as you run; or it is just ending */
#define LIFE_DOWN (1u << 26)     /* alive in name only: its keeper decides what comes next; see keep.h */
#define LIFE_DEAF (1u << 27)     /* it is down, and takes no mail */
#define LIFE_COUNTED (1u << 28)  /* its mail is counted, see tally.h */
#define LIFE_LOOSE (1u << 29)    /* nobody keeps it, or its keeper has let go of it, which it has not heard yet */
#define LIFE_OBSERVED (1u << 30) /* its driver is told of all its messages */
#define LIFE_STANDS (1u << 31)   /* it stands in for others: what it is answered is the tenant's, see port.h */
#define LIFE_RELEASE (1u << 25)  /* free: nobody has put the slot on the free list yet; its last turn will */
#define LIFE_FREE (1u << 26)     /* free: so that no ref, not even a forged one, has the slot's life */

struct soma_agent {
    struct mailbox mailbox;
    const struct dispatch *dispatch; /* who handles what */
    union {
        void *state;           /* alive */
        soma_agent *free_next; /* free */
    };
    union {
        struct worker *worker; /* who runs it, during a turn */
        soma_agent *run_next;  /* while in an inbox */
    };
    struct extension *extension; /* what only some agents need; NULL for the others */
    uint32_t state_size;
    shared_u32 pressure; /* see pressure.h */
    shared_u64 life;
};

_Static_assert(sizeof(struct soma_agent) == 64, "a slot is one cache line");

static inline uint64_t life_of(uint32_t generation)
{
    return (uint64_t)generation << 32;
}

static inline uint32_t life_generation(uint64_t life)
{
    return (uint32_t)(life >> 32);
}

static inline bool life_alive(uint64_t life)
{
    return life_generation(life) & 1;
}

/* Kept by its keeper, and without a life of its own. */
static inline bool life_down(uint64_t life)
{
    return life_alive(life) && (life & LIFE_DOWN);
}

static inline bool life_runs(uint64_t life)
{
    return life_alive(life) && !(life & LIFE_DOWN);
}

/* Marks an agent that the caller runs; others may mark it at the same time. */
static inline void life_mark(soma_agent *agent, uint64_t marks)
{
    uint64_t life;
    do
        life = u64_load(&agent->life);
    while (!u64_cas(&agent->life, life, life | marks));
}

struct tally;

struct slots {
    soma_agent *base;
    struct tally *tallies;
    uint32_t capacity;
    shared_u32 used;  /* slots below this are usable memory */
    shared_u32 ready; /* how many slots have had their pages made usable */
    shared_ptr free;  /* free slots that no cache has */
    shared_u32 busy;  /* guards free and growing */
};

/* Free slots at hand for one worker, so that spawning rarely takes the lock. */
struct slot_cache {
    soma_agent *free;
    uint32_t count;
};

#define SLOT_CACHE 64u          /* slots that move between a cache and the rest at a time */
#define SLOTS_FOR_CACHES 65536u /* capacity from which on workers have caches */

/* Reserves addresses for `capacity` slots. 0 or SOMA_ENOMEM. */
int slots_open(struct slots *slots, uint32_t capacity);
void slots_close(struct slots *slots);

/*
 * A free slot, held (see mailbox.h), or NULL with *error set to SOMA_EFULL or SOMA_ENOMEM. The cache is the worker's,
 * or NULL for any other thread.
 */
soma_agent *slots_take(struct slots *slots, struct slot_cache *cache, int *error);

/* Puts a slot back, unless it has had all the generations there are, that nobody will run any more but for stray mail.
 * The cache as in slots_take(). */
void slots_give(struct slots *slots, struct slot_cache *cache, soma_agent *slot);

/* The slot that a ref names, NULL if there is none in memory. */
static inline soma_agent *slots_find(const struct slots *slots, uint32_t index)
{
    return index < u32_load(&slots->used) ? &slots->base[index] : NULL;
}

#endif
