/* Who waits for whom, as text. */
#ifndef TESTKIT_WAITS_H
#define TESTKIT_WAITS_H

#include <soma/test.h>

/* The length of the whole text; what is cut ends with a NUL all the same. `stuck`: only what will wait for ever now
 * that nobody can run: requests without a timeout, mail that nobody will handle. */
size_t waits_print(soma_test *test, bool stuck, char *buf, size_t size);

/*
 * The body is over, and the run at rest: fails the test if somebody waits for what can't come any more. While timers
 * are pending somebody may still bring it, so time goes on: until all that fire once have done so, and each that fires
 * again and again has done it twice. Whoever waits for an answer as he did when the body was over is in a deadlock
 * then. Nothing is said if the test's steps are used up before that.
 */
void waits_end(soma_test *test);

#endif
