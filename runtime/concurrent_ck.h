/*
 * Atomic operations by Concurrency Kit; see runtime/concurrent.h. CK's read-modify-writes are full barriers on x86; the
 * fences around them are what other machines need and cost nothing there.
 */
#ifndef RUNTIME_CONCURRENT_CK_H
#define RUNTIME_CONCURRENT_CK_H

#include <ck_pr.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    void *value;
} shared_ptr;

static inline void *ptr_load(const shared_ptr *p)
{
    void *v = ck_pr_load_ptr(&p->value);
    ck_pr_fence_acquire();
    return v;
}

static inline void ptr_store(shared_ptr *p, void *v)
{
    ck_pr_fence_release();
    ck_pr_store_ptr(&p->value, v);
}

static inline void *ptr_exchange(shared_ptr *p, void *v)
{
    ck_pr_fence_release();
    void *old = ck_pr_fas_ptr(&p->value, v);
    ck_pr_fence_acquire();
    return old;
}

static inline bool ptr_cas(shared_ptr *p, void *expected, void *v)
{
    ck_pr_fence_release();
    if (ck_pr_cas_ptr(&p->value, expected, v)) { // a fence a branch, so that the caller's branch is on the flag itself
        ck_pr_fence_acquire();
        return true;
    }
    ck_pr_fence_acquire();
    return false;
}

static inline void fence_full(void)
{
    ck_pr_fence_memory();
}

/* The compiler keeps the order; the processor need not. */
static inline void atomic_order_keep(void)
{
    ck_pr_barrier();
}

#define BARRIER_SYMMETRIC 0

static inline void cpu_relax(void)
{
    ck_pr_stall();
}

typedef struct {
    uint32_t value;
} shared_u32;

static inline uint32_t u32_load(const shared_u32 *p)
{
    uint32_t v = ck_pr_load_32(&p->value);
    ck_pr_fence_acquire();
    return v;
}

static inline void u32_store(shared_u32 *p, uint32_t v)
{
    ck_pr_fence_release();
    ck_pr_store_32(&p->value, v);
}

static inline bool u32_cas(shared_u32 *p, uint32_t expected, uint32_t v)
{
    ck_pr_fence_release();
    bool done = ck_pr_cas_32(&p->value, expected, v);
    ck_pr_fence_acquire();
    return done;
}

static inline uint32_t u32_add(shared_u32 *p, uint32_t v)
{
    ck_pr_fence_release();
    uint32_t old = ck_pr_faa_32(&p->value, v);
    ck_pr_fence_acquire();
    return old;
}

typedef struct {
    uint64_t value;
} shared_u64;

static inline uint64_t u64_load(const shared_u64 *p)
{
    uint64_t v = ck_pr_load_64(&p->value);
    ck_pr_fence_acquire();
    return v;
}

static inline void u64_store(shared_u64 *p, uint64_t v)
{
    ck_pr_fence_release();
    ck_pr_store_64(&p->value, v);
}

static inline bool u64_cas(shared_u64 *p, uint64_t expected, uint64_t v)
{
    ck_pr_fence_release();
    bool done = ck_pr_cas_64(&p->value, expected, v);
    ck_pr_fence_acquire();
    return done;
}

static inline uint64_t u64_add(shared_u64 *p, uint64_t v)
{
    ck_pr_fence_release();
    uint64_t old = ck_pr_faa_64(&p->value, v);
    ck_pr_fence_acquire();
    return old;
}

#endif
