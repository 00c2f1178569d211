/* How long round trips took, summed up. */
#ifndef BENCH_TRIPS_H
#define BENCH_TRIPS_H

#include <stdint.h>
#include <stdlib.h>

struct trips {
    double seconds;                 /* all of them */
    double p50_us, p99_us, p999_us; /* no more than that took 50, 99 and 99.9 of a hundred */
};

#define TRIPS_WARM_UP(count) ((count) / 10) /* so many go before those that count */

static inline int trips_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `took`, seconds of each trip. */
static inline struct trips trips_sum_up(double *took, uint64_t count)
{
    double all = 0;
    for (uint64_t i = 0; i < count; i++)
        all += took[i];
    qsort(took, count, sizeof(*took), trips_compare);
    return (struct trips){all, took[count / 2] * 1e6, took[count - 1 - count / 100] * 1e6,
                          took[count - 1 - count / 1000] * 1e6};
}

#endif
