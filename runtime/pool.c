/* The slow halves of the message pools: chains to and from the depot, new slabs. See pool.h. */
#include "runtime/pool.h"
#include <stdlib.h>

#define SLAB_BYTES ((size_t)64 * 1024)
#define CHAINS_KEPT 4 /* full chains that a pool keeps before it shares */

/* A slab begins with this and ends in blocks; 64 bytes keep the blocks on cache lines. */
struct slab {
    struct slab *next;
    char pad[64 - sizeof(struct slab *)];
};

void pool_init(struct pool *pool, struct pool_depot *depot)
{
    *pool = (struct pool){.depot = depot};
}

static void chain_keep(struct pool_list *list, struct pool_block *chain)
{
    chain->next_chain = list->chains;
    list->chains = chain;
    list->chain_count++;
}

static void chain_share(struct pool_depot *depot, uint8_t class, struct pool_block *chain)
{
    shared_ptr *shared = &depot->chains[class];
    void *top;
    do { // the release in cas publishes the chain's links to whoever takes it
        top = ptr_load(shared);
        chain->next_chain = top;
    } while (!ptr_cas(shared, top, chain));
}

void pool_spill(struct pool *pool, uint8_t class)
{
    struct pool_list *list = &pool->lists[class];
    struct pool_block *chain = list->blocks;
    chain->length = list->count;
    list->blocks = NULL;
    list->count = 0;
    if (list->chain_count < CHAINS_KEPT)
        chain_keep(list, chain);
    else
        chain_share(pool->depot, class, chain);
}

/* Cuts a new slab into chains; leaves none when memory is out. */
static void slab_carve(struct pool *pool, uint8_t class)
{
    struct pool_depot *depot = pool->depot;
    struct slab *slab = aligned_alloc(64, SLAB_BYTES);
    if (!slab)
        return;
    void *top;
    do { // release: the link is set before the slab can be found
        top = ptr_load(&depot->slabs);
        slab->next = top;
    } while (!ptr_cas(&depot->slabs, top, slab));
    u64_add(&depot->memory[class], SLAB_BYTES);

    size_t size = POOL_LEAST << class;
    struct pool_block *chain = NULL;
    uint32_t length = 0;
    for (size_t at = SLAB_BYTES - size; at >= sizeof(struct slab); at -= size) {
        struct pool_block *block = (void *)((char *)slab + at);
        block->next = chain;
        chain = block;
        if (++length == POOL_CHAIN || at < sizeof(struct slab) + size) {
            chain->length = length;
            chain_keep(&pool->lists[class], chain);
            chain = NULL;
            length = 0;
        }
    }
}

/*
 * Takes all chains there are (so no ABA), keeps a few, and puts the rest back in one piece: the depot may hold hundreds
 * of thousands after a burst, so nothing here may walk them all.
 */
static void depot_take(struct pool *pool, uint8_t class)
{
    shared_ptr *shared = &pool->depot->chains[class];
    if (!ptr_load(shared))
        return;
    struct pool_block *rest = ptr_exchange(shared, NULL);
    while (rest && pool->lists[class].chain_count < CHAINS_KEPT) {
        struct pool_block *next = rest->next_chain;
        chain_keep(&pool->lists[class], rest);
        rest = next;
    }
    while (rest && !ptr_cas(shared, NULL, rest)) { // others shared some meanwhile: ours go behind those few
        struct pool_block *first = ptr_exchange(shared, NULL), *last = first;
        while (last && last->next_chain)
            last = last->next_chain;
        if (last) {
            last->next_chain = rest;
            rest = first;
        }
    }
}

void *pool_refill(struct pool *pool, uint8_t class)
{
    struct pool_list *list = &pool->lists[class];
    if (!list->chains)
        depot_take(pool, class);
    if (!list->chains)
        slab_carve(pool, class);
    struct pool_block *block = list->chains;
    if (!block)
        return NULL;
    list->chains = block->next_chain;
    list->chain_count--;
    list->count = block->length - 1;
    list->blocks = block->next;
    return block;
}

void pool_flush(struct pool *pool)
{
    for (uint8_t class = 0; class < POOL_CLASSES; class ++) {
        struct pool_list *list = &pool->lists[class];
        if (list->blocks) {
            list->blocks->length = list->count;
            chain_share(pool->depot, class, list->blocks);
        }
        while (list->chains) {
            struct pool_block *next = list->chains->next_chain;
            chain_share(pool->depot, class, list->chains);
            list->chains = next;
        }
        *list = (struct pool_list){0};
    }
}

void pool_depot_destroy(struct pool_depot *depot)
{
    struct slab *slab = ptr_load(&depot->slabs);
    while (slab) {
        struct slab *next = slab->next;
        free(slab);
        slab = next;
    }
    *depot = (struct pool_depot){0};
}
