/* What every test includes: cmocka with its prerequisites, and the loads' scale. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The load, or a fiftieth of it under valgrind (SOMA_TEST_LIGHT=1). */
static inline uint32_t test_load(uint32_t load)
{
    return getenv("SOMA_TEST_LIGHT") ? load / 50 + 1 : load;
}

#endif
