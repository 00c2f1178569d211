/*
 * Message blocks, and agents' states, in size classes. Each worker has a pool of its own: no lock, no atomic on the
 * fast path. Free blocks are kept in magazines, arrays of pointers, so that neither taking nor giving a block touches
 * it: its cache line may still be another core's, and is fetched ahead. (Bonwick's magazines.) Full magazines go round
 * through the depot that all pools share. Blocks live until the depot is destroyed. Threads outside the system use
 * malloc for messages, and one pool together for states.
 */
#ifndef RUNTIME_POOL_H
#define RUNTIME_POOL_H

#include "runtime/concurrent.h"
#include <pthread.h>
#include <soma/system.h>
#include <stddef.h>

/* 32, 64, 96, 128 bytes, on by 64 to 512, then four a doubling, as jemalloc has them: 640, 768, 896, 1024, 1280, …
 * 4096. So a third at most is unused of those above 128, a fifth above 256; they begin and end with a cache line, as
 * two agents' states must not share one, and large ones don't all begin in the same sets of a cache. */
#define POOL_CLASSES SOMA_CLASSES
#define POOL_STEP ((size_t)32) /* the least, and the distance between the first four */
#define POOL_MOST ((size_t)4096)
#define POOL_AHEAD 16     /* how many blocks ahead are fetched into the cache */
#define POOL_MAGAZINE 108 /* blocks: a magazine is 1 KiB less what malloc needs */
#define POOL_HEAP 0xff    /* the class of a block that came from malloc */

struct magazine {
    struct magazine *next;                    /* in the depot */
    struct magazine *next_all;                /* of all there are */
    uint32_t count;                           /* in the depot */
    void *blocks[POOL_AHEAD + POOL_MAGAZINE]; /* the first POOL_AHEAD are none, so that fetching ahead needs no test */
};

/* What the pools of one system share; `busy` guards the lists, for a few instructions a magazine. */
struct pool_depot {
    shared_u32 busy;
    bool single; /* each block comes from malloc and goes by free, so that tools and tests see each; set before use */
    struct magazine *full[POOL_CLASSES];
    struct magazine *empty;
    struct magazine *all;
    struct slab *slabs;
    shared_u64 memory[POOL_CLASSES]; /* bytes in slabs */
};

/*
 * Two magazines, so that a pool at the edge of one does not go to the depot at each block. The loaded one is three
 * pointers into its blocks; all are NULL before the first block, and so both empty and full.
 */
struct pool_list {
    void **top; /* behind the block to be taken next */
    void **bottom;
    void **end;
    struct magazine *spare;
};

/* One worker's pool: only its thread touches it. */
struct pool {
    struct pool_depot *depot;
    bool grown;     /* a slab was made since this was last cleared: more is in use than ever before. Not while
                       a class has no more than POOL_OUTGREW, as every system makes its first ones */
    size_t outgrew; /* bytes made on the heap since they last counted as a slab */
    struct pool_list lists[POOL_CLASSES];
};

void pool_init(struct pool *pool, struct pool_depot *depot);

/* The class whose blocks hold `size` bytes, POOL_HEAP if none does. */
static inline uint8_t pool_class(size_t size)
{
    if (size <= 4 * POOL_STEP)
        return (uint8_t)(size ? (size - 1) / POOL_STEP : 0);
    if (size <= 16 * POOL_STEP)
        return (uint8_t)(2 + (size - 1) / (2 * POOL_STEP));
    if (size > POOL_MOST)
        return POOL_HEAP;
    uint32_t power = 63 - (uint32_t)__builtin_clzl(size - 1); // of two: 9 to 11, from each of which on there are four
    return (uint8_t)(4 * power - 26 + ((size - 1) >> (power - 2) & 3));
}

/* The bytes of a class's blocks. */
static inline size_t pool_class_size(uint8_t class)
{
    if (class < 4)
        return POOL_STEP * (class + 1u);
    return class < 10 ? 2 * POOL_STEP * (class - 1u) : ((class - 2u) % 4 + 5) * 4 * POOL_STEP << (class - 10) / 4;
}

/* What is too large for the pool is counted all the same: so many bytes are as much as a slab. */
#define POOL_OUTGREW ((size_t)1 << 20)

static inline void pool_outgrow(struct pool *pool, size_t size)
{
    pool->outgrew += size;
    if (pool->outgrew < POOL_OUTGREW)
        return;
    pool->outgrew = 0;
    pool->grown = true;
}

/* Slow halves of the two below. */
void *pool_refill(struct pool *pool, uint8_t class);
void pool_spill(struct pool *pool, uint8_t class, void *block);

/* Is there a block of a class at hand? */
static inline bool pool_has(const struct pool *pool, uint8_t class)
{
    return pool->lists[class].top != pool->lists[class].bottom;
}

/* The block at hand. */
static inline void *pool_pop(struct pool *pool, uint8_t class)
{
    void **top = --pool->lists[class].top;
    __builtin_prefetch(*(top - POOL_AHEAD), 1);
    return *top;
}

/* The block that will be at hand after so many more, at most POOL_AHEAD. As far as the magazine goes: else anything. */
static inline const void *pool_ahead(const struct pool *pool, uint8_t class, uint32_t count)
{
    return *(pool->lists[class].top - count);
}

/* A block of a class, NULL when memory is out. */
static inline void *pool_take(struct pool *pool, uint8_t class)
{
    return __builtin_expect(pool_has(pool, class), 1) ? pool_pop(pool, class) : pool_refill(pool, class);
}

/* Gives a block back, to whichever pool the caller owns. */
static inline void pool_give(struct pool *pool, size_t class, void *block)
{
    struct pool_list *list = &pool->lists[class];
    if (__builtin_expect(list->top == list->end, 0))
        pool_spill(pool, (uint8_t) class, block);
    else
        *list->top++ = block;
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

/* Frees all slabs and magazines; no block may be in use. */
void pool_depot_destroy(struct pool_depot *depot);

#endif
