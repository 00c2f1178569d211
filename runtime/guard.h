/* Reporting a crash in a handler before the process dies of it; see include/soma/watch.h. */
#ifndef RUNTIME_GUARD_H
#define RUNTIME_GUARD_H

#include <stdbool.h>

/* Handlers of signals belong to the process: the first system that is guarded sets them, the last one takes them back.
 */
void guard_open(void);
void guard_close(void);

/* A stack for the calling thread's signal handlers: a handler may have used up its own. Freed by guard_thread_end(). */
void *guard_thread_begin(void);
void guard_thread_end(void *stack);

#endif
