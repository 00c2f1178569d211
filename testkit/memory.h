/*
 * Allocations that fail. The linker wraps malloc and its kin in each program that links the kit (see CMakeLists.txt),
 * so that those of Soma, of agents and of bodies are counted, and one of them may fail. The kit itself is compiled to
 * go past that; where it has Soma allocate for it, it says so with memory_own().
 */
#ifndef TESTKIT_MEMORY_H
#define TESTKIT_MEMORY_H

#include <soma/test.h>

/* From now on the seed's choice and the trace are that run's; NULL: nobody's. Whatever was to fail doesn't any more. */
void memory_watch(soma_test *test);

/* Whose run that is; NULL: nobody's. Any thread. */
soma_test *memory_watched(void);

/* How many allocations have been made in this process. */
uint64_t memory_count(void);

/* The n-th from now fails; 0: none. */
void memory_fail(uint64_t n);

/* Between true and false this thread's allocations are the kit's own: neither counted nor failed. They nest. */
void memory_own(bool own);

#endif
