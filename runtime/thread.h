/* Threads of the runtime, and the futex that they sleep on. */
#ifndef RUNTIME_THREAD_H
#define RUNTIME_THREAD_H

#include "runtime/concurrent.h"
#include <pthread.h>

#define FUTEX_FOREVER UINT64_MAX

/* Sleeps while the word has the value, up to `nanoseconds`; may wake for no reason. */
void futex_wait(shared_u32 *word, uint32_t value, uint64_t nanoseconds);

/* Wakes one sleeper. */
void futex_wake(shared_u32 *word);

/* Starts a thread that takes no signals: those are for the program's own threads. 0 or SOMA_ETHREAD. */
int thread_start(pthread_t *thread, void *(*main)(void *), void *argument);

#endif
