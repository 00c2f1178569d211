/*
 * Workloads about what goes wrong. `overload`: a hundred senders that send for as long as there is anything to send,
 * and one receiver that needs a microsecond for each message. `monitor`: an agent monitors another one and ends that
 * again. `down`: an agent is spawned, ends, and is spawned anew at word of its end. Every peer does the same.
 */
#include "bench.h"

#define SENDERS 100u
#define BURST 100u /* messages, or pairs of monitor and demonitor, a turn */
#define WORK_NS 1000u

SOMA_MESSAGE(go_on)
SOMA_MESSAGE(work)
SOMA_MESSAGE(end)

/* ---- overload ---- */

/* All senders share what is left to send: none of them is ever done before the others. */
struct crowd {
    struct bench *bench;
    soma_ref to;
    atomic_ullong sent;
};

struct toiler {
    struct bench *bench;
    uint64_t got;
};

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void spin(void)
{
    uint64_t start = now_ns();
    while (now_ns() - start < WORK_NS)
        ;
}

static int toiler_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct toiler *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_work(soma_agent *self, struct toiler *my, const struct work *m)
{
    (void)self, (void)m;
    spin();
    return ++my->got == my->bench->ops ? soma_system_stop(my->bench->system) : 0;
}

static const soma_behavior toiler = {.name = "toiler",
                                     .state_size = sizeof(struct toiler),
                                     .init = toiler_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(work, on_work))};

static int pusher_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct crowd **)state = (struct crowd *)(uintptr_t)arg;
    return 0;
}

static int on_push(soma_agent *self, struct crowd **my, const struct go_on *m)
{
    (void)m;
    struct crowd *crowd = *my;
    uint64_t ops = crowd->bench->ops, first = atomic_fetch_add_explicit(&crowd->sent, BURST, memory_order_relaxed);
    for (uint64_t i = first; i < first + BURST && i < ops; i++)
        check(soma_send(self, crowd->to, work), "send");
    return first + BURST < ops ? soma_send(self, soma_self(self), go_on) : 0;
}

static const soma_behavior pusher = {.name = "pusher",
                                     .state_size = sizeof(struct crowd *),
                                     .init = pusher_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(go_on, on_push))};

/* What the receiver could do if it did nothing but its work. */
static double limit_measure(uint64_t ops)
{
    double start = now();
    for (uint64_t i = 0; i < ops; i++)
        spin();
    return (double)ops / (now() - start);
}

void run_overload(struct bench *bench)
{
    static struct crowd crowd; // the last of the senders may still look at it after the run
    crowd = (struct crowd){.bench = bench};
    soma_ref refs[SENDERS];
    bench->limit = limit_measure(bench->ops);
    spawn(bench, &toiler, bench, &crowd.to);
    for (uint32_t i = 0; i < SENDERS; i++)
        spawn(bench, &pusher, &crowd, &refs[i]);
    double start = now();
    for (uint32_t i = 0; i < SENDERS; i++)
        check(soma_send(bench->system, refs[i], go_on), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}

/* ---- monitor ---- */

struct watcher {
    struct bench *bench;
    soma_ref watched;
    uint64_t left;
};

static int watcher_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct watcher *)state = *(const struct watcher *)arg;
    return 0;
}

static int on_watch(soma_agent *self, struct watcher *my, const struct go_on *m)
{
    (void)m;
    for (uint32_t i = 0; i < BURST && my->left; i++, my->left--) {
        soma_handle monitor = soma_monitor(self, my->watched);
        check(monitor < 0 ? (int)monitor : 0, "monitor");
        check(soma_demonitor(self, monitor), "demonitor");
    }
    return my->left ? soma_send(self, soma_self(self), go_on) : soma_send(self, my->watched, end);
}

static const soma_behavior watcher = {.name = "watcher",
                                      .state_size = sizeof(struct watcher),
                                      .init = watcher_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(go_on, on_watch))};

static int on_end_all(soma_agent *self, void *my, const struct end *m)
{
    (void)my, (void)m;
    return soma_system_stop(soma_agent_system(self));
}

/* Ends the run behind the last word of a monitor, so that its part of the work is counted, too. */
static const soma_behavior watched = {.name = "watched", .handlers = SOMA_HANDLERS(SOMA_ON(end, on_end_all))};

void run_monitor(struct bench *bench)
{
    struct watcher job = {.bench = bench, .left = bench->ops};
    soma_ref ref;
    spawn(bench, &watched, NULL, &job.watched);
    spawn(bench, &watcher, &job, &ref);
    double start = now();
    check(soma_send(bench->system, ref, go_on), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}

/* ---- down ---- */

static int on_end(soma_agent *self, void *my, const struct end *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior casualty = {
    .name = "casualty", .state_size = 16, .handlers = SOMA_HANDLERS(SOMA_ON(end, on_end))};

struct keeper {
    struct bench *bench;
    uint64_t ends;
};

static int keeper_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct keeper *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_replace(soma_agent *self, struct keeper *my, const struct go_on *m)
{
    (void)my, (void)m;
    soma_ref ref;
    soma_handle monitor = soma_spawn_monitor(self, &casualty, NULL, &ref);
    check(monitor < 0 ? (int)monitor : 0, "spawn");
    return soma_send(self, ref, end);
}

static int on_down(soma_agent *self, struct keeper *my, const struct soma_down *m)
{
    check(m->reason, "end");
    return ++my->ends < my->bench->ops ? on_replace(self, my, NULL) : soma_system_stop(my->bench->system);
}

static const soma_behavior keeper = {.name = "keeper",
                                     .state_size = sizeof(struct keeper),
                                     .init = keeper_init,
                                     .handlers =
                                         SOMA_HANDLERS(SOMA_ON(go_on, on_replace), SOMA_ON(soma_down, on_down))};

void run_down(struct bench *bench)
{
    soma_ref ref;
    spawn(bench, &keeper, bench, &ref);
    double start = now();
    check(soma_send(bench->system, ref, go_on), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}
