/* What the linker puts in place of malloc and its kin; see memory.h. */
#include "testkit/memory.h"
#include "runtime/concurrent.h"
#include "testkit/kit.h"
#include <soma/fault.h>
#include <stdlib.h>
#include <string.h>

static shared_u64 count;   /* any thread adds; only the sum matters, and its order with `failing` */
static shared_u64 failing; /* the number of the one that fails; 0: none */
static shared_ptr watching;
static _Thread_local uint32_t own;

void memory_watch(soma_test *test)
{
    u64_store(&failing, 0);
    ptr_store(&watching, test); // release: who allocates sees the test whole
    own = 0;                    // a run that failed jumped out from wherever it was
}

soma_test *memory_watched(void)
{
    return ptr_load(&watching);
}

uint64_t memory_count(void)
{
    return u64_load(&count);
}

void memory_fail(uint64_t n)
{
    u64_store(&failing, n ? u64_load(&count) + n : 0);
}

void memory_own(bool is_own)
{
    own += is_own ? 1 : (uint32_t)-1;
}

static bool fails(void)
{
    if (own)
        return false;
    uint64_t number = u64_add(&count, 1) + 1;
    soma_test *test = ptr_load(&watching);
    if (number != u64_load(&failing) && !(test && faults_allocation(test)))
        return false;
    if (test)
        trace_note(test, "fault: an allocation fails");
    return true;
}

/* ---- what the test program's malloc is; the real ones are declared by what CMakeLists.txt defines ---- */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t members, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t members, size_t size)
{
    return fails() ? NULL : __real_calloc(members, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

/* ---- what bodies call ---- */

void soma_test_fail_allocation(soma_test *test, uint64_t n)
{
    if (!test)
        soma_test_fail(NULL, "soma_test_fail_allocation: the test is NULL");
    memory_fail(n);
}

uint64_t soma_test_allocations(const soma_test *test)
{
    return test ? memory_count() - test->allocations : 0;
}
