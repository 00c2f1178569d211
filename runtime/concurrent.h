/*
 * The only door to atomic operations. Two implementations of one set of names: Concurrency Kit, and C11 atomics for
 * ThreadSanitizer, which can't see into CK's assembly. All other code is the same in both builds.
 *
 * load is acquire, store is release, exchange/cas/add are acquire-release: who relies on a full fence says
 * fence_full(), also after one of them. A plain comment at each use says what it pairs with.
 */
#ifndef RUNTIME_CONCURRENT_H
#define RUNTIME_CONCURRENT_H

#ifdef SOMA_C11_ATOMICS
#include "runtime/concurrent_c11.h"
#else
#include "runtime/concurrent_ck.h"
#endif

#endif
