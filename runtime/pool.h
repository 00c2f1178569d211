/*
 * Message blocks, and agents' states, in size classes. Each worker has a pool of its own (no lock, no atomic on the
 * fast path); blocks that pile up with a receiver go back to the senders in chains of POOL_CHAIN through the depot that
 * all pools share. Blocks live until the depot is destroyed. Threads outside the system use plain malloc: they have no
 * pool.
 */
#ifndef RUNTIME_POOL_H
#define RUNTIME_POOL_H

#include "runtime/concurrent.h"
#include <pthread.h>
#include <stddef.h>

#define POOL_CLASSES 8 /* 32, 64, 128, … 4096 bytes */
#define POOL_LEAST ((size_t)32)
#define POOL_CHAIN 128 /* blocks that cross between workers at a time */
#define POOL_HEAP 0xff /* the class of a block that came from malloc */

/* A free block: chained within its chain, and a chain's first block chains the chains. */
struct pool_block {
    struct pool_block *next;
    struct pool_block *next_chain;
    uint32_t length; /* of the chain, in its first block */
};

/* What the pools of one system share. */
struct pool_depot {
    shared_ptr chains[POOL_CLASSES]; /* stack of full chains: pushed by cas, taken whole by exchange (no ABA) */
    shared_ptr slabs;                /* every slab, for the end */
    shared_u64 memory[POOL_CLASSES]; /* bytes in slabs */
};

struct pool_list {
    struct pool_block *blocks;
    uint32_t count;
    uint32_t chain_count;
    struct pool_block *chains; /* full ones, kept close */
};

/* One worker's pool: only its thread touches it. */
struct pool {
    struct pool_depot *depot;
    struct pool_list lists[POOL_CLASSES];
};

void pool_init(struct pool *pool, struct pool_depot *depot);

/* The class whose blocks hold `size` bytes, POOL_HEAP if none does. */
static inline uint8_t pool_class(size_t size)
{
    if (size <= POOL_LEAST)
        return 0;
    if (size > POOL_LEAST << (POOL_CLASSES - 1))
        return POOL_HEAP;
    return (uint8_t)(59 - __builtin_clzl(size - 1));
}

/* Slow halves of the two below. */
void *pool_refill(struct pool *pool, uint8_t class);
void pool_spill(struct pool *pool, uint8_t class);

/* A block of a class, NULL when memory is out. */
static inline void *pool_take(struct pool *pool, uint8_t class)
{
    struct pool_list *list = &pool->lists[class];
    struct pool_block *block = list->blocks;
    if (__builtin_expect(!block, 0))
        return pool_refill(pool, class);
    list->blocks = block->next;
    list->count--;
    return block;
}

/* Gives a block back, to whichever pool the caller owns. */
static inline void pool_give(struct pool *pool, uint8_t class, void *memory)
{
    struct pool_list *list = &pool->lists[class];
    struct pool_block *block = memory;
    block->next = list->blocks;
    list->blocks = block;
    if (__builtin_expect(++list->count >= POOL_CHAIN, 0))
        pool_spill(pool, class);
}

/* The pool of all outside threads together. */
struct outside_pool {
    pthread_mutex_t lock;
    struct pool pool;
};

static inline void *outside_take(struct outside_pool *outside, uint8_t class)
{
    pthread_mutex_lock(&outside->lock);
    void *block = pool_take(&outside->pool, class);
    pthread_mutex_unlock(&outside->lock);
    return block;
}

static inline void outside_give(struct outside_pool *outside, uint8_t class, void *block)
{
    pthread_mutex_lock(&outside->lock);
    pool_give(&outside->pool, class, block);
    pthread_mutex_unlock(&outside->lock);
}

/* Gives all that a pool keeps to the depot: its thread ends. */
void pool_flush(struct pool *pool);

/* Frees all slabs; no block may be in use. */
void pool_depot_destroy(struct pool_depot *depot);

#endif
