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

#endif
