/*
 * Atomic operations by C11 <stdatomic.h>, for builds under ThreadSanitizer; see runtime/concurrent.h.
 */
#ifndef RUNTIME_CONCURRENT_C11_H
#define RUNTIME_CONCURRENT_C11_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    _Atomic(void *) value;
} shared_ptr;

static inline void *ptr_load(const shared_ptr *p)
{
    return atomic_load_explicit(&p->value, memory_order_acquire);
}

static inline void ptr_store(shared_ptr *p, void *v)
{
    atomic_store_explicit(&p->value, v, memory_order_release);
}

static inline void *ptr_exchange(shared_ptr *p, void *v)
{
    return atomic_exchange_explicit(&p->value, v, memory_order_acq_rel);
}

static inline bool ptr_cas(shared_ptr *p, void *expected, void *v)
{
    return atomic_compare_exchange_strong_explicit(&p->value, &expected, v, memory_order_acq_rel, memory_order_acquire);
}

// gcc refuses atomic_thread_fence under ThreadSanitizer; an exchange on a local is a full barrier on x86, where these
// builds run. No happens-before edge is taken from it: it only decides whether a sleeper must be woken.
static inline void fence_full(void)
{
    (void)__atomic_exchange_n(&(int){0}, 1, __ATOMIC_SEQ_CST);
}

static inline void atomic_order_keep(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

#define BARRIER_SYMMETRIC 1 // what membarrier orders ThreadSanitizer can't see

static inline void cpu_relax(void) {}

typedef struct {
    _Atomic(uint32_t) value;
} shared_u32;

static inline uint32_t u32_load(const shared_u32 *p)
{
    return atomic_load_explicit(&p->value, memory_order_seq_cst);
}

static inline void u32_store(shared_u32 *p, uint32_t v)
{
    atomic_store_explicit(&p->value, v, memory_order_release);
}

static inline bool u32_cas(shared_u32 *p, uint32_t expected, uint32_t v)
{
    return atomic_compare_exchange_strong_explicit(&p->value, &expected, v, memory_order_seq_cst, memory_order_seq_cst);
}

static inline uint32_t u32_add(shared_u32 *p, uint32_t v)
{
    return atomic_fetch_add_explicit(&p->value, v, memory_order_seq_cst);
}

typedef struct {
    _Atomic(uint64_t) value;
} shared_u64;

static inline uint64_t u64_load(const shared_u64 *p)
{
    return atomic_load_explicit(&p->value, memory_order_seq_cst);
}

static inline void u64_store(shared_u64 *p, uint64_t v)
{
    atomic_store_explicit(&p->value, v, memory_order_release);
}

static inline bool u64_cas(shared_u64 *p, uint64_t expected, uint64_t v)
{
    return atomic_compare_exchange_strong_explicit(&p->value, &expected, v, memory_order_seq_cst, memory_order_seq_cst);
}

static inline uint64_t u64_add(shared_u64 *p, uint64_t v)
{
    return atomic_fetch_add_explicit(&p->value, v, memory_order_seq_cst);
}

#endif
