/* Reserving, growing and recycling agent slots; see slot.h. */
#include "runtime/slot.h"
#include <soma/error.h>
#include <sys/mman.h>

#define SLOTS_CHUNK 16384u /* slots made usable at a time: 1 MiB */

int slots_open(struct slots *slots, uint32_t capacity)
{
    void *base = mmap(NULL, (size_t)capacity * sizeof(soma_agent), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return SOMA_ENOMEM;
    *slots = (struct slots){.base = base, .capacity = capacity};
    return 0;
}

void slots_close(struct slots *slots)
{
    if (slots->base)
        munmap(slots->base, (size_t)slots->capacity * sizeof(soma_agent));
    slots->base = NULL;
}

static void slots_lock(struct slots *slots)
{
    for (uint32_t spins = 0; !u32_cas(&slots->busy, 0, 1); spins++) {
        if (spins < 64)
            cpu_relax();
        else
            sched_yield();
    }
}

static void slots_unlock(struct slots *slots)
{
    u32_store(&slots->busy, 0);
}

/* Under the lock: a slot never used before, held. */
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
        u32_store(&slots->ready, ready + grow);
    }
    soma_agent *slot = &slots->base[index];
    ptr_store(&slot->mailbox.head, MAIL_HELD);
    u32_store(&slots->used, index + 1); // release: senders that find the slot find its mailbox ready
    return slot;
}

soma_agent *slots_take(struct slots *slots, int *error)
{
    slots_lock(slots);
    soma_agent *slot = ptr_load(&slots->free);
    // A free slot may be running for stray mail at this moment; then it can't be held, and a fresh one serves.
    if (slot && mailbox_hold(&slot->mailbox))
        ptr_store(&slots->free, slot->free_next);
    else
        slot = slot_fresh(slots, error);
    slots_unlock(slots);
    return slot;
}

void slots_give(struct slots *slots, soma_agent *slot)
{
    slots_lock(slots);
    slot->free_next = ptr_load(&slots->free);
    ptr_store(&slots->free, slot);
    slots_unlock(slots);
}
