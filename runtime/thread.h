/* Threads of the runtime, and the futex that they sleep on. */
#ifndef RUNTIME_THREAD_H
#define RUNTIME_THREAD_H

#include "runtime/concurrent.h"
#include <pthread.h>

#define FUTEX_FOREVER UINT64_MAX

/* Sleeps while the word has the value, up to `nanoseconds`; may wake for no reason. */
void futex_wait(shared_u32 *word, uint32_t value, uint64_t nanoseconds);

/* Wakes one sleeper. */
void futex_wake(shared_u32 *word); /* one waiter */
void futex_wake_all(shared_u32 *word);

/*
 * A full fence in two halves, for two threads that each write one thing and then read the other's: one of them sees the
 * other's write. The heavy half, on the side that is about to sleep anyway, makes every running thread of the process
 * pass a full fence (membarrier); so the light half, on the hot side, only keeps the compiler in order. Where the
 * kernel has no membarrier, both are full fences.
 */
extern bool barrier_asymmetric; /* set once, before the threads that use it start */

static inline void barrier_light(void)
{
    if (__builtin_expect(barrier_asymmetric, 1))
        atomic_order_keep();
    else
        fence_full();
}

void barrier_heavy(void);

/* Finds out what the kernel has. Before the first of the two above. */
void barrier_init(void);

/* Starts a thread that takes no signals: those are for the program's own threads. 0 or SOMA_ETHREAD. */
int thread_start(pthread_t *thread, void *(*main)(void *), void *argument);

/* A condition whose time limits are on the steady clock, which is also the real driver's. */
void condition_init(pthread_cond_t *condition);

#endif
