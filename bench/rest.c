/* Workloads about not working: `open`, systems opened and closed; `idle`, what 100,000 agents at rest cost. */
#include "bench.h"
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE_SECONDS 10

void run_open(struct bench *bench)
{
    double start = now();
    for (uint64_t i = 0; i < bench->ops; i++) {
        soma_system *system;
        check(soma_system_open(&system, &(soma_options){.workers = bench->workers}), "open");
        check(soma_system_close(&system), "close");
    }
    bench->seconds = now() - start;
}

SOMA_MESSAGE(settle)

static int on_settle(soma_agent *self, void *my, const struct settle *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior sleeper = {
    .name = "sleeper", .state_size = 16, .handlers = SOMA_HANDLERS(SOMA_ON(settle, on_settle))};

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* `seconds` is the CPU time that ten seconds of rest took; an operation is such a second. */
void run_idle(struct bench *bench)
{
    for (uint64_t i = 0; i < bench->ops; i++) {
        soma_ref ref;
        spawn(bench, &sleeper, NULL, &ref);
        check(soma_send(bench->system, ref, settle), "send");
    }
    sleep(1); // long enough to settle: nothing is decided by it
    double before = cpu_seconds();
    sleep(IDLE_SECONDS);
    double used = cpu_seconds() - before;
    fprintf(stderr, "%" PRIu64 " agents at rest for %d s used %.4f s of CPU time\n", bench->ops, IDLE_SECONDS, used);
    bench->ops = IDLE_SECONDS;
    bench->seconds = used > 0 ? used : 1e-6;
}
