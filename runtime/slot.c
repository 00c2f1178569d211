/* Reserving, growing and recycling agent slots; see slot.h. */
#include "runtime/slot.h"
#include "runtime/populate.h"
#include "runtime/spin.h"
#include "runtime/tally.h"
#include <soma/error.h>
#include <sys/mman.h>

#define SLOTS_CHUNK 4096u    /* slots made usable at a time: 256 KiB */
#define POPULATE_FROM 32768u /* slots: before, a few are enough */

#define GENERATION_LAST (UINT32_MAX - 1) /* of a free slot that had all its agents, more than two thousand million */

int slots_open(struct slots *slots, uint32_t capacity)
{
    void *base = mmap(NULL, (size_t)capacity * sizeof(soma_agent), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return SOMA_ENOMEM;
    void *tallies = mmap(NULL, (size_t)capacity * sizeof(struct tally), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *slots = (struct slots){.base = base, .tallies = tallies == MAP_FAILED ? NULL : tallies, .capacity = capacity};
    if (slots->tallies)
        return 0;
    slots_close(slots);
    return SOMA_ENOMEM;
}

void slots_close(struct slots *slots)
{
    if (slots->base)
        munmap(slots->base, (size_t)slots->capacity * sizeof(soma_agent));
    if (slots->tallies)
        munmap(slots->tallies, (size_t)slots->capacity * sizeof(struct tally));
    *slots = (struct slots){.base = NULL};
}

/* Under the lock: a slot never used before, free. */
static soma_agent *slot_fresh(struct slots *slots, int *error)
{
    uint32_t index = u32_load(&slots->used);
    if (index >= slots->capacity) {
        *error = SOMA_EFULL;
        return NULL;
    }
    uint32_t ready = u32_load(&slots->ready);
    if (index >= ready) {
        uint32_t grow = slots->capacity - ready < SLOTS_CHUNK ? slots->capacity - ready : SLOTS_CHUNK;
        if (mprotect(slots->base + ready, (size_t)grow * sizeof(soma_agent), PROT_READ | PROT_WRITE)) {
            *error = SOMA_ENOMEM;
            return NULL;
        }
        if (ready >= POPULATE_FROM)
            populate(slots->base + ready, (size_t)grow * sizeof(soma_agent));
        u32_store(&slots->ready, ready + grow);
    }
    soma_agent *slot = &slots->base[index];
    ptr_store(&slot->mailbox.head, MAIL_IDLE);
    u64_store(&slot->life, LIFE_FREE);
    u32_store(&slots->used, index + 1); // release: senders that find the slot find its mailbox ready
    return slot;
}

/* Under the lock: a free slot, used before or fresh. */
static soma_agent *slot_any(struct slots *slots, int *error)
{
    soma_agent *slot = ptr_load(&slots->free);
    if (!slot)
        return slot_fresh(slots, error);
    ptr_store(&slots->free, slot->free_next);
    return slot;
}

/* Under the lock: back to the others. */
static void slot_return(struct slots *slots, soma_agent *slot)
{
    slot->free_next = ptr_load(&slots->free);
    ptr_store(&slots->free, slot);
}

/* Fills an empty cache; it stays empty if there is nothing, with *error set. */
static void cache_fill(struct slots *slots, struct slot_cache *cache, uint32_t count, int *error)
{
    soma_agent *last = NULL;
    spin_lock(&slots->busy);
    for (; cache->count < count; cache->count++) {
        soma_agent *slot = slot_any(slots, error);
        if (!slot)
            break;
        slot->free_next = NULL;
        if (last) // in the order of their addresses, if they are fresh
            last->free_next = slot;
        else
            cache->free = slot;
        last = slot;
    }
    spin_unlock(&slots->busy);
}

soma_agent *slots_take(struct slots *slots, struct slot_cache *cache, int *error)
{
    struct slot_cache none = {NULL, 0};
    struct slot_cache *from = cache ? cache : &none;
    soma_agent *strays = NULL, *slot;
    for (;;) {
        if (!from->free)
            cache_fill(slots, from, cache ? SLOT_CACHE : 1, error);
        slot = from->free;
        if (!slot)
            break;
        from->free = slot->free_next;
        from->count--;
        if (mailbox_hold(&slot->mailbox))
            break;
        slot->free_next = strays; // it runs for stray mail at this moment: another one serves
        strays = slot;
    }
    while (strays) {
        soma_agent *stray = strays;
        strays = stray->free_next;
        slots_give(slots, NULL, stray);
    }
    if (slot)
        *error = 0;
    return slot;
}

/* Half of a full cache goes back. */
static void cache_spill(struct slots *slots, struct slot_cache *cache)
{
    spin_lock(&slots->busy);
    while (cache->count > SLOT_CACHE) {
        soma_agent *slot = cache->free;
        cache->free = slot->free_next;
        cache->count--;
        slot_return(slots, slot);
    }
    spin_unlock(&slots->busy);
}

void slots_give(struct slots *slots, struct slot_cache *cache, soma_agent *slot)
{
    if (life_generation(u64_load(&slot->life)) == GENERATION_LAST)
        return; // worn out: its generations would begin anew, and old refs reach new agents
    if (!cache) {
        spin_lock(&slots->busy);
        slot_return(slots, slot);
        spin_unlock(&slots->busy);
        return;
    }
    slot->free_next = cache->free;
    cache->free = slot;
    if (++cache->count > 2 * SLOT_CACHE)
        cache_spill(slots, cache);
}
