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

/** Kills an agent, as soma_kill() does, at the step that is the `steps`-th from now. In a simulation only. */
SOMA_API void soma_test_kill_after(soma_test *test, uint64_t steps, soma_ref agent);

/** An agent does not run any more, whatever it is sent, until soma_test_resume(). In a simulation only. */
SOMA_API void soma_test_pause(soma_test *test, soma_ref agent);

/** Ends a pause; nothing if there is none. */
SOMA_API void soma_test_resume(soma_test *test, soma_ref agent);

/**
 * The n-th allocation from now fails, once: malloc, calloc, realloc, aligned_alloc, strdup or strndup, called by Soma,
 * by an agent or by the body; not what the test kit or another library (libc's fopen(), say) allocates for itself. In a
 * simulation each message and each state is one. On real threads it may be that of any agent that runs meanwhile.
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

/*
 * Faults between nodes, in a simulation only. Nodes go by their names, and are joined by bridges with the default
 * options (soma/bridge.h). Whatever is done to the connection between two nodes, what arrives arrives in the order in
 * which it was sent, and once; and nothing is lost by an outage that is shorter than a bridge's `down_ms`, 10 s.
 */

/**
 * From now on each message between two nodes takes a time, both ways: chosen by the seed, one of sixteen from `least`
 * to `most`. At first it takes none, and arrives some steps later.
 * @param test the run
 * @param a a node
 * @param b another
 * @param least nanoseconds
 * @param most nanoseconds
 */
SOMA_API void soma_test_net_delay(soma_test *test, const char *a, const char *b, uint64_t least, uint64_t most);

/** From now on a message between two nodes takes, besides the delay, the time that its bytes need, and that of those
 *  before it: each way so many bytes a second; 0: any number. */
SOMA_API void soma_test_net_speed(soma_test *test, const char *a, const char *b, uint64_t bytes_per_second);

/** What two nodes send each other waits, until soma_test_net_heal(); if that is long, either is down to the other. */
SOMA_API void soma_test_net_partition(soma_test *test, const char *a, const char *b);

/** What one node sends another one waits, until soma_test_net_heal(); the other way is free. */
SOMA_API void soma_test_net_partition_way(soma_test *test, const char *from, const char *to);

/**
 * Two nodes lose their connection, and what is on the way between them, and get no other until soma_test_net_heal().
 * Their bridges send all of it again then; if that is long, either is down to the other: requests between them that
 * have no answer yet fail with SOMA_ENODEDOWN, and what was not acknowledged becomes dead letters at its senders.
 */
SOMA_API void soma_test_net_cut(soma_test *test, const char *a, const char *b);

/** Ends partitions and a cut between two nodes. */
SOMA_API void soma_test_net_heal(soma_test *test, const char *a, const char *b);

/** A node stands still, as a stopped process does: its agents do not run, its timers do not fire, and what is sent to
 *  it waits; if that is long, it is down to the others. */
SOMA_API void soma_test_node_stop(soma_test *test, const char *name);

/** It goes on; timers that were due meanwhile fire. */
SOMA_API void soma_test_node_continue(soma_test *test, const char *name);

/**
 * A node goes down without a word, as a process that is killed: its agents end, and what is on the way from and to it
 * is lost. The other nodes find out within `down_ms`, or as soon as they reach its next incarnation: then their
 * requests to it fail with SOMA_ENODEDOWN, and so does whatever is sent to it.
 */
SOMA_API void soma_test_node_down(soma_test *test, const char *name);

/**
 * A node goes down, if it is up, and comes up again, with the same options and without agents. It is a new incarnation:
 * refs to agents of an earlier one lead nowhere.
 * @return its system
 */
SOMA_API soma_system *soma_test_node_restart(soma_test *test, const char *name);

#endif
