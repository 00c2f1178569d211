/*
 * Workload `timers`: one agent sets a million timers that are all pending at once and all due at one moment, and
 * handles them when they fire. The time counted is that of setting them plus that from the moment until the last was
 * handled; the wait between is not work. Every peer does the same.
 */
#include "bench.h"

#define LEAD (3 * SOMA_SECOND) /* from the first set to the moment; longer than setting takes */

SOMA_MESSAGE(arm)
SOMA_MESSAGE(ring_out)

struct setter {
    struct bench *bench;
    uint64_t due;
    uint64_t fired;
    uint64_t set_time;
};

static int setter_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct setter *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_arm(soma_agent *self, struct setter *my, const struct arm *m)
{
    (void)m;
    uint64_t start = soma_now(self);
    my->due = start + LEAD;
    for (uint64_t i = 0; i < my->bench->ops; i++) {
        uint64_t current = soma_now(self);
        if (current >= my->due)
            return SOMA_ETIMEOUT;
        soma_handle timer = soma_after(self, my->due - current, ring_out);
        check(timer < 0 ? (int)timer : 0, "timer");
    }
    my->set_time = soma_now(self) - start;
    return 0;
}

static int on_ring_out(soma_agent *self, struct setter *my, const struct ring_out *m)
{
    (void)m;
    if (++my->fired < my->bench->ops)
        return 0;
    my->bench->seconds = (double)(my->set_time + soma_now(self) - my->due) / 1e9;
    return soma_system_stop(my->bench->system);
}

static void setter_stop(soma_agent *self, void *state, int reason)
{
    (void)self;
    (void)state;
    check(reason, "timers: a handler"); // else the benchmark would wait for ever
}

static const soma_behavior setter = {.name = "setter",
                                     .state_size = sizeof(struct setter),
                                     .init = setter_init,
                                     .stop = setter_stop,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(arm, on_arm), SOMA_ON(ring_out, on_ring_out))};

void run_timers(struct bench *bench)
{
    soma_ref ref;
    spawn(bench, &setter, bench, &ref);
    check(soma_send(bench->system, ref, arm), "send");
    check(soma_system_run(bench->system), "run");
}
