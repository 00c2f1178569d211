/* What every test includes: cmocka with its prerequisites, and the loads' scale. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The load, or a part of it where all is slow: a fiftieth with SOMA_TEST_LIGHT=50. */
static inline uint32_t test_load(uint32_t load)
{
    const char *light = getenv("SOMA_TEST_LIGHT");
    return light ? load / (uint32_t)strtoul(light, NULL, 10) + 1 : load;
}

#endif
