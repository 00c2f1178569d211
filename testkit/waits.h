/* Who waits for whom, as text. */
#ifndef TESTKIT_WAITS_H
#define TESTKIT_WAITS_H

#include <soma/test.h>

/* The length of the whole text; what is cut ends with a NUL all the same. `stuck`: only what will wait for ever now
 * that nobody can run: requests without a timeout, mail that nobody will handle. */
size_t waits_print(soma_test *test, bool stuck, char *buf, size_t size);

#endif
