/*
 * A spin lock, for what is held for a few instructions and met by few: a list of chunks, of slots, of magazines. Who
 * finds it taken for longer lets the holder have the core.
 */
#ifndef RUNTIME_SPIN_H
#define RUNTIME_SPIN_H

#include "runtime/concurrent.h"
#include <sched.h>

static inline void spin_lock(shared_u32 *lock)
{
    for (uint32_t spins = 0; !u32_cas(lock, 0, 1); spins++) { // acquire: sees what the last holder wrote
        if (spins < 64)
            cpu_relax();
        else
            sched_yield();
    }
}

static inline void spin_unlock(shared_u32 *lock)
{
    u32_store(lock, 0); // release
}

#endif
