/**
 * @file
 * Faults for tests: what goes wrong on purpose. The seed injects as many as #SOMA_SIM allows (kills, pauses, …), the
 * body whatever it calls here. Part of the test kit; see soma/test.h.
 */
#ifndef SOMA_FAULT_H
#define SOMA_FAULT_H

#include <soma/test.h>

/** No fault of the seed's choice strikes this agent: for those that a test needs in order to see. */
SOMA_API void soma_test_spare(soma_test *test, soma_ref agent);

/** Kills an agent, as soma_kill() does, when the run has taken that many steps from now. */
SOMA_API void soma_test_kill_after(soma_test *test, uint64_t steps, soma_ref agent);

/** An agent does not run any more, whatever it is sent, until soma_test_resume(). */
SOMA_API void soma_test_pause(soma_test *test, soma_ref agent);

/** Ends a pause; nothing if there is none. */
SOMA_API void soma_test_resume(soma_test *test, soma_ref agent);

/**
 * The n-th allocation from now fails, once: malloc, calloc, realloc, aligned_alloc, strdup or strndup, called by Soma,
 * by an agent or by the body; not what the test kit or another library (libc's fopen(), say) allocates for itself. In a
 * simulation each message and each state is one.
 * @param test the run
 * @param n 1 for the next; 0: none fails any more
 */
SOMA_API void soma_test_fail_allocation(soma_test *test, uint64_t n);

/**
 * How many such allocations the run has made so far. So that each one in turn can fail:
 *
 *     for (uint64_t n = 1, before; ; n++) {
 *         before = soma_test_allocations(test);
 *         soma_test_fail_allocation(test, n);
 *         int error = deliver(test); // what is tested
 *         soma_test_fail_allocation(test, 0);
 *         if (soma_test_allocations(test) - before < n)
 *             break; // it needs no more than that, and none has failed
 *         assert_int_equal(error, SOMA_ENOMEM);
 *     }
 */
SOMA_API uint64_t soma_test_allocations(const soma_test *test);

#endif
