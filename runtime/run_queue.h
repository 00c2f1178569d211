/*
 * Where runnable agents wait: a bounded ring per worker that its owner fills and all may empty; a list of chunks per
 * system for what overflows, half a ring at a time; and an inbox per system for single agents from outside threads.
 */
#ifndef RUNTIME_RUN_QUEUE_H
#define RUNTIME_RUN_QUEUE_H

#include "runtime/concurrent.h"
#include <soma/agent.h>

#define RUN_RING_SIZE 256 /* a power of two */

/*
 * Single producer, many consumers. `begin` only grows by cas, so no entry is taken twice; an entry is overwritten only
 * after begin has passed it, and a consumer that read an overwritten one fails its cas.
 */
struct run_ring {
    shared_u32 begin;
    char pad[60]; /* thieves write begin; the owner writes end */
    shared_u32 end;
    uint32_t begin_seen; /* the owner's: begin is there or farther, so a push rarely reads what thieves write */
    shared_ptr agents[RUN_RING_SIZE];
};

/* The owner only. False if the ring is full. */
static inline bool run_ring_push(struct run_ring *ring, soma_agent *agent)
{
    uint32_t end = ring->end.value; // only the owner writes it
    if (__builtin_expect(end - ring->begin_seen >= RUN_RING_SIZE, 0)) {
        ring->begin_seen = u32_load(&ring->begin);
        if (end - ring->begin_seen >= RUN_RING_SIZE)
            return false;
    }
    ptr_store(&ring->agents[end % RUN_RING_SIZE], agent);
    u32_store(&ring->end, end + 1); // release: the entry is there before it can be counted
    return true;
}

/* Any thread. The oldest agent, or NULL if the ring is empty. */
static inline soma_agent *run_ring_pop(struct run_ring *ring)
{
    for (;;) {
        uint32_t begin = u32_load(&ring->begin);
        if (begin == u32_load(&ring->end)) // acquire: pairs with push
            return NULL;
        soma_agent *agent = ptr_load(&ring->agents[begin % RUN_RING_SIZE]);
        if (u32_cas(&ring->begin, begin, begin + 1))
            return agent;
    }
}

/* Any thread. The oldest half of the agents, oldest first, if there are at least so many; how many were taken. */
static inline uint32_t run_ring_take_half(struct run_ring *ring, uint32_t least, soma_agent **taken)
{
    for (;;) {
        uint32_t begin = u32_load(&ring->begin), count = u32_load(&ring->end) - begin;
        if (!count || count < least)
            return 0;
        if (count > RUN_RING_SIZE) // begin has moved on in between
            continue;
        uint32_t half = (count + 1) / 2;
        for (uint32_t i = 0; i < half; i++)
            taken[i] = ptr_load(&ring->agents[(begin + i) % RUN_RING_SIZE]);
        if (u32_cas(&ring->begin, begin, begin + half)) // so none of them was taken or overwritten meanwhile
            return half;
    }
}

static inline uint32_t run_ring_count(const struct run_ring *ring)
{
    uint32_t begin = u32_load(&ring->begin); // first: end only grows, so the difference is never negative
    return u32_load(&ring->end) - begin;
}

/* Producers push onto `pushed` by cas; whoever gets `busy` moves all of it, in order of arrival, to `ordered`. */
struct run_inbox {
    shared_ptr pushed;
    shared_ptr ordered;
    shared_u32 busy;
};

/* Any thread; lock-free. */
void run_inbox_push(struct run_inbox *inbox, soma_agent *agent);

/* Any worker. Up to `limit` agents, linked by run_next, oldest first; NULL if there are none or another takes now. */
soma_agent *run_inbox_take(struct run_inbox *inbox, uint32_t limit);

static inline bool run_inbox_empty(const struct run_inbox *inbox)
{
    return !ptr_load(&inbox->pushed) && !ptr_load(&inbox->ordered);
}

#define RUN_CHUNK_SIZE (RUN_RING_SIZE / 2)

/* Agents that left a full ring, oldest first. An array and not a list, as walking cold agents is what costs. */
struct run_chunk {
    struct run_chunk *next;
    uint32_t count;
    soma_agent *agents[RUN_CHUNK_SIZE];
};

/* First in, first out. */
struct run_overflow {
    shared_u32 busy;  /* guards the list, for a few instructions a chunk */
    shared_u32 count; /* of chunks */
    struct run_chunk *first;
    struct run_chunk *last;
};

/* Any worker. */
void run_overflow_push(struct run_overflow *overflow, struct run_chunk *chunk);

/* Any worker. The oldest chunk, which the caller frees; NULL if there is none. */
struct run_chunk *run_overflow_pop(struct run_overflow *overflow);

static inline bool run_overflow_empty(const struct run_overflow *overflow)
{
    return !u32_load(&overflow->count);
}

#endif
