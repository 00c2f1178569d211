/* Tests by their labels, and runs of them that are replayed. */
#ifndef TESTKIT_REPLAY_H
#define TESTKIT_REPLAY_H

#include <soma/test.h>
#include <stdio.h>

/*
 * What a test is called: a body may be listed several times, so it is the body's name and what decides the test's runs;
 * of tests that do not differ in that the second has `#2` behind it, and so on, in the order in which they run.
 */
const char *label_of(const soma_sim *sim);

/* Prints the command that runs a seed again; `forced`, if not NULL, are the choices of its run as it was shrunk. */
void replay_print(const soma_sim *sim, uint64_t seed, const uint32_t *forced, uint32_t count, FILE *to);

/*
 * Is a run to be replayed? Then this runs it, if it is the test's; else it skips the test, and if the program ends
 * without having found the one that is meant, it fails. A row without seeds, one of SOMA_REAL, is never meant.
 */
bool replay(const soma_sim *sim);

#endif
