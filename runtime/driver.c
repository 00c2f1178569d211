/* The real driver: the machine's clock and chance. */
#include "runtime/driver.h"
#include <sys/random.h>
#include <time.h>

static uint64_t clock_read(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t real_now(void *context)
{
    (void)context;
    return clock_read(CLOCK_MONOTONIC);
}

static uint64_t real_date(void *context)
{
    (void)context;
    return clock_read(CLOCK_REALTIME);
}

static uint64_t real_random(void *context)
{
    (void)context;
    uint64_t number;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = clock_read(CLOCK_MONOTONIC); // only a kernel without entropy source comes here
    return number;
}

const struct driver driver_real = {.now = real_now, .date = real_date, .random = real_random};
