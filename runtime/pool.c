/* The slow halves of the pools: magazines to and from the depot, new slabs. See pool.h. */
#include "runtime/pool.h"
#include "runtime/populate.h"
#include "runtime/spin.h"
#include <stdlib.h>

#define SLAB_BYTES ((size_t)64 * 1024)
#define POPULATE_FROM ((uint64_t)4 * 1024 * 1024) /* bytes of a class: before, a little is enough */

/* A slab begins with this and ends in blocks; 64 bytes keep the blocks on cache lines. */
struct slab {
    struct slab *next;
    char pad[64 - sizeof(struct slab *)];
};

void pool_init(struct pool *pool, struct pool_depot *depot)
{
    *pool = (struct pool){.depot = depot};
}

/* ---- the depot ---- */

static void stack_push(struct magazine **stack, struct magazine *magazine)
{
    magazine->next = *stack;
    *stack = magazine;
}

static struct magazine *stack_pop(struct magazine **stack)
{
    struct magazine *magazine = *stack;
    if (magazine)
        *stack = magazine->next;
    return magazine;
}

/* An empty magazine, NULL when memory is out. */
static struct magazine *magazine_new(struct pool_depot *depot)
{
    spin_lock(&depot->busy);
    struct magazine *magazine = stack_pop(&depot->empty);
    spin_unlock(&depot->busy);
    if (magazine || !(magazine = malloc(sizeof(*magazine))))
        return magazine;
    magazine->count = 0;
    for (size_t i = 0; i < POOL_AHEAD; i++)
        magazine->blocks[i] =
            magazine; // what is fetched in vain is at hand: for NULL the page tables would be searched
    spin_lock(&depot->busy);
    magazine->next_all = depot->all;
    depot->all = magazine;
    spin_unlock(&depot->busy);
    return magazine;
}

static void magazine_share(struct pool_depot *depot, uint8_t class, struct magazine *magazine)
{
    spin_lock(&depot->busy);
    stack_push(magazine->count ? &depot->full[class] : &depot->empty, magazine);
    spin_unlock(&depot->busy);
}

/* Gives an empty magazine for one with blocks; the same if there is none. */
static struct magazine *magazine_swap(struct pool_depot *depot, uint8_t class, struct magazine *magazine)
{
    spin_lock(&depot->busy);
    struct magazine *full = stack_pop(&depot->full[class]);
    if (full)
        stack_push(&depot->empty, magazine);
    spin_unlock(&depot->busy);
    return full ? full : magazine;
}

/* ---- slabs ---- */

static struct slab *slab_new(struct pool_depot *depot, uint8_t class)
{
    struct slab *slab = aligned_alloc(64, SLAB_BYTES);
    if (!slab)
        return NULL;
    spin_lock(&depot->busy);
    slab->next = depot->slabs;
    depot->slabs = slab;
    spin_unlock(&depot->busy);
    if (u64_add(&depot->memory[class], SLAB_BYTES) >= POPULATE_FROM)
        populate(slab, SLAB_BYTES);
    return slab;
}

/* Cuts a new slab into the empty magazine and, where it doesn't fit, into others for the depot. */
static void slab_carve(struct pool *pool, uint8_t class, struct magazine *magazine)
{
    struct pool_depot *depot = pool->depot;
    struct slab *slab = slab_new(depot, class);
    if (!slab)
        return;
    pool->grown |= u64_load(&depot->memory[class]) > POOL_OUTGREW; // any order will do: it is a guess
    struct magazine *filling = magazine;
    size_t size = pool_class_size(class);
    for (size_t end = SLAB_BYTES; end >= sizeof(struct slab) + size; end -= size) {
        if (filling->count == POOL_MAGAZINE) {
            if (filling != magazine)
                magazine_share(depot, class, filling);
            filling = magazine_new(depot);
            if (!filling) // the rest of the slab stays unused: memory is out
                return;
        }
        filling->blocks[POOL_AHEAD + filling->count++] = (char *)slab + end - size;
    }
    if (filling != magazine)
        magazine_share(depot, class, filling);
}

/* ---- taking and giving ---- */

/* The loaded magazine taken out, with its count; NULL if there is none. */
static struct magazine *list_unload(struct pool_list *list)
{
    if (!list->bottom)
        return NULL;
    struct magazine *magazine =
        (struct magazine *)((char *)list->bottom - offsetof(struct magazine, blocks) - POOL_AHEAD * sizeof(void *));
    magazine->count = (uint32_t)(list->top - list->bottom);
    list->top = list->bottom = list->end = NULL;
    return magazine;
}

static void list_load(struct pool_list *list, struct magazine *magazine)
{
    list->bottom = magazine->blocks + POOL_AHEAD;
    list->top = list->bottom + magazine->count;
    list->end = list->bottom + POOL_MAGAZINE;
}

static void list_swap(struct pool_list *list)
{
    struct magazine *loaded = list_unload(list);
    list_load(list, list->spare);
    list->spare = loaded;
}

/* Makes the list's two magazines at the first use; false when memory is out. */
static bool list_ready(struct pool *pool, struct pool_list *list)
{
    struct magazine *magazine;
    if (!list->bottom && (magazine = magazine_new(pool->depot)))
        list_load(list, magazine);
    if (!list->spare)
        list->spare = magazine_new(pool->depot);
    return list->bottom && list->spare;
}

void *pool_refill(struct pool *pool, uint8_t class)
{
    if (pool->depot->single) // no magazine is ever loaded, so each block comes this way
        return malloc(pool_class_size(class));
    struct pool_list *list = &pool->lists[class];
    if (!list_ready(pool, list))
        return NULL;
    if (list->spare->count) {
        list_swap(list);
        return *--list->top;
    }
    struct magazine *magazine = magazine_swap(pool->depot, class, list_unload(list));
    if (!magazine->count)
        slab_carve(pool, class, magazine);
    list_load(list, magazine);
    return pool_has(pool, class) ? *--list->top : NULL;
}

void pool_spill(struct pool *pool, uint8_t class, void *block)
{
    if (pool->depot->single) {
        free(block);
        return;
    }
    struct pool_list *list = &pool->lists[class];
    if (!list_ready(pool, list))
        return; // memory is out: the block rests in its slab until the system closes
    if (list->top == list->end)
        list_swap(list);
    if (list->top == list->end) {
        struct magazine *empty = magazine_new(pool->depot);
        if (!empty)
            return;
        magazine_share(pool->depot, class, list_unload(list));
        list_load(list, empty);
    }
    *list->top++ = block;
}

void pool_flush(struct pool *pool)
{
    for (uint8_t class = 0; class < POOL_CLASSES; class ++) {
        struct pool_list *list = &pool->lists[class];
        struct magazine *loaded = list_unload(list);
        if (loaded)
            magazine_share(pool->depot, class, loaded);
        if (list->spare)
            magazine_share(pool->depot, class, list->spare);
        list->spare = NULL;
    }
}

void pool_depot_destroy(struct pool_depot *depot)
{
    for (struct slab *slab = depot->slabs, *next; slab; slab = next) {
        next = slab->next;
        free(slab);
    }
    for (struct magazine *magazine = depot->all, *next; magazine; magazine = next) {
        next = magazine->next_all;
        free(magazine);
    }
    *depot = (struct pool_depot){0};
}
