/* Making a failing run small: fewer choices that are not the tame ones, and fewer steps, and it still fails. */
#ifndef TESTKIT_SHRINK_H
#define TESTKIT_SHRINK_H

#include "testkit/child.h"

/*
 * The run of a seed has failed, its tape is in `shared`, and `place` says where. Returns the tamest tape found by so
 * many attempts that fails in the same place, to be ended with free(), and its length; NULL when memory is out.
 */
uint32_t *shrink(const soma_sim *sim, uint64_t seed, struct shared *shared, const char *place, uint32_t attempts,
                 uint32_t *count);

#endif
