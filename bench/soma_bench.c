/*
 * soma_bench WORKLOAD [--workers N] [--ops N] [--curve] [--compress] [--json]: measures one workload and prints a line.
 * bench/README.md says what each workload is. `demo` is spawn for people: a million agents, and what they cost.
 */
#include "bench.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_AGENTS 503u
#define FANIN_SENDERS 100u
#define FANIN_BURST 100u
#define CHURN_WAVE 1000u
#define SKYNET_LEAVES 1000000u

SOMA_MESSAGE(token, (u64, left))
SOMA_MESSAGE(neighbour, (ref, next))
SOMA_MESSAGE(item)
SOMA_MESSAGE(proceed)
SOMA_MESSAGE(reply_to, (ref, parent))
SOMA_MESSAGE(grow, (ref, parent), (u64, first), (u64, leaves))
SOMA_MESSAGE(sum, (u64, value))
SOMA_MESSAGE(poke)

void check(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "soma_bench: %s: %s\n", what, soma_strerror(error));
    exit(1);
}

void system_open(struct bench *bench)
{
    const soma_options options = {.workers = bench->workers, .log_level = SOMA_LOG_WARNING};
    check(soma_system_open(&bench->system, &options), "open");
}

void spawn(struct bench *bench, const soma_behavior *behavior, const void *arg, soma_ref *ref)
{
    check(soma_spawn(bench->system, behavior, arg, ref), "spawn");
}

double rss(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &all, &resident) != 2)
        exit(1);
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* ---- ring and ping-pong: one token goes round ---- */

struct station {
    struct bench *bench;
    soma_ref next;
};

static int station_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct station *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_neighbour(soma_agent *self, struct station *my, const struct neighbour *m)
{
    (void)self;
    my->next = m->next;
    return 0;
}

static int on_token(soma_agent *self, struct station *my, const struct token *m)
{
    if (m->left)
        return soma_send(self, my->next, token, .left = m->left - 1);
    return soma_system_stop(my->bench->system);
}

static const soma_behavior station = {.name = "station",
                                      .state_size = sizeof(struct station),
                                      .init = station_init,
                                      .handlers =
                                          SOMA_HANDLERS(SOMA_ON(token, on_token), SOMA_ON(neighbour, on_neighbour))};

static void round_trip(struct bench *bench, uint32_t agents)
{
    soma_ref refs[RING_AGENTS];
    for (uint32_t i = 0; i < agents; i++)
        spawn(bench, &station, bench, &refs[i]);
    for (uint32_t i = 0; i < agents; i++)
        check(soma_send(bench->system, refs[i], neighbour, .next = refs[(i + 1) % agents]), "send");
    double start = now();
    check(soma_send(bench->system, refs[0], token, .left = bench->ops), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}

static void run_ring(struct bench *bench)
{
    round_trip(bench, RING_AGENTS);
}

static void run_pingpong(struct bench *bench)
{
    round_trip(bench, 2);
}

/* ---- fan-in: a hundred senders, one receiver ---- */

struct receiver {
    struct bench *bench;
    uint64_t got;
};

static int receiver_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct receiver *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_item(soma_agent *self, struct receiver *my, const struct item *m)
{
    (void)self, (void)m;
    return ++my->got == my->bench->ops ? soma_system_stop(my->bench->system) : 0;
}

static const soma_behavior receiver = {.name = "receiver",
                                       .state_size = sizeof(struct receiver),
                                       .init = receiver_init,
                                       .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item))};

struct sender {
    soma_ref to;
    uint64_t left;
};

static int sender_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct sender *)state = *(const struct sender *)arg;
    return 0;
}

static int on_proceed(soma_agent *self, struct sender *my, const struct proceed *m)
{
    (void)m;
    for (uint32_t i = 0; i < FANIN_BURST && my->left; i++, my->left--) {
        int error = soma_send(self, my->to, item);
        if (error)
            return error;
    }
    return my->left ? soma_send(self, soma_self(self), proceed) : 0;
}

static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct sender),
                                     .init = sender_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(proceed, on_proceed))};

static void run_fanin(struct bench *bench)
{
    bench->ops -= bench->ops % FANIN_SENDERS;
    struct sender job = {.left = bench->ops / FANIN_SENDERS};
    soma_ref refs[FANIN_SENDERS];
    spawn(bench, &receiver, bench, &job.to);
    for (uint32_t i = 0; i < FANIN_SENDERS; i++)
        spawn(bench, &sender, &job, &refs[i]);
    double start = now();
    for (uint32_t i = 0; i < FANIN_SENDERS; i++)
        check(soma_send(bench->system, refs[i], proceed), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}

/* ---- spawn: agents that each get one message; churn: agents that end after it ---- */

struct idler {
    struct bench *bench;
    uint64_t pokes;
};

static int idler_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct idler *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_poke(soma_agent *self, struct idler *my, const struct poke *m)
{
    (void)self, (void)m;
    my->pokes++;
    if (atomic_fetch_add_explicit(&my->bench->finished, 1, memory_order_relaxed) + 1 == my->bench->ops)
        return soma_system_stop(my->bench->system);
    return 0;
}

static const soma_behavior idler = {.name = "idler",
                                    .state_size = sizeof(struct idler),
                                    .init = idler_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(poke, on_poke))};

static int on_spawn_all(soma_agent *self, struct idler *my, const struct proceed *m)
{
    (void)m;
    for (uint64_t i = 0; i < my->bench->ops; i++) {
        soma_ref ref;
        int error = soma_spawn(self, &idler, my->bench, &ref);
        if (!error)
            error = soma_send(self, ref, poke);
        check(error, "spawn");
    }
    return 0;
}

static const soma_behavior spawner = {.name = "spawner",
                                      .state_size = sizeof(struct idler),
                                      .init = idler_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(proceed, on_spawn_all))};

static void run_spawn(struct bench *bench)
{
    soma_ref ref;
    spawn(bench, &spawner, bench, &ref);
    double before = rss();
    double start = now();
    check(soma_send(bench->system, ref, proceed), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
    bench->rss_per_agent = (rss() - before) / (double)bench->ops;
}

struct driver {
    struct bench *bench;
    uint64_t done;
};

static int on_reply_and_end(soma_agent *self, void *my, const struct reply_to *m)
{
    (void)my;
    soma_agent_exit(self, 0);
    return soma_send(self, m->parent, item);
}

static const soma_behavior mayfly = {
    .name = "mayfly", .state_size = 16, .handlers = SOMA_HANDLERS(SOMA_ON(reply_to, on_reply_and_end))};

static int on_wave(soma_agent *self, struct driver *my, const struct proceed *m)
{
    (void)my, (void)m;
    for (uint32_t i = 0; i < CHURN_WAVE; i++) {
        soma_ref ref;
        int error = soma_spawn(self, &mayfly, NULL, &ref);
        if (!error)
            error = soma_send(self, ref, reply_to, .parent = soma_self(self));
        check(error, "spawn");
    }
    return 0;
}

static int on_ended(soma_agent *self, struct driver *my, const struct item *m)
{
    (void)m;
    if (++my->done == my->bench->ops)
        return soma_system_stop(my->bench->system);
    return my->done % CHURN_WAVE ? 0 : on_wave(self, my, NULL);
}

static const soma_behavior driver = {.name = "driver",
                                     .state_size = sizeof(struct driver),
                                     .init = receiver_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(proceed, on_wave), SOMA_ON(item, on_ended))};

static void run_churn(struct bench *bench)
{
    soma_ref ref;
    bench->ops -= bench->ops % CHURN_WAVE;
    spawn(bench, &driver, bench, &ref);
    double start = now();
    check(soma_send(bench->system, ref, proceed), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}

/* ---- skynet: a tree of ten children a node, its leaves' numbers summed up ---- */

struct node {
    struct bench *bench;
    soma_ref parent;
    uint64_t total;
    uint32_t waiting;
};

static int node_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct node *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_sum(soma_agent *self, struct node *my, const struct sum *m)
{
    my->total += m->value;
    if (--my->waiting)
        return 0;
    soma_agent_exit(self, 0);
    if (!soma_ref_is_null(my->parent))
        return soma_send(self, my->parent, sum, .value = my->total);
    atomic_store(&my->bench->finished, my->total);
    return soma_system_stop(my->bench->system);
}

static int on_grow(soma_agent *self, struct node *my, const struct grow *m);

static const soma_behavior node = {.name = "node",
                                   .state_size = sizeof(struct node),
                                   .init = node_init,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(sum, on_sum), SOMA_ON(grow, on_grow))};

static int on_grow(soma_agent *self, struct node *my, const struct grow *m)
{
    if (m->leaves == 1) {
        soma_agent_exit(self, 0);
        return soma_send(self, m->parent, sum, .value = m->first);
    }
    my->parent = m->parent;
    my->waiting = 10;
    uint64_t leaves = m->leaves / 10;
    for (uint64_t i = 0; i < 10; i++) {
        soma_ref child;
        int error = soma_spawn(self, &node, my->bench, &child);
        if (!error)
            error = soma_send(self, child, grow, .parent = soma_self(self), .first = m->first + i * leaves,
                              .leaves = leaves);
        check(error, "spawn");
    }
    return 0;
}

static void run_skynet(struct bench *bench)
{
    soma_ref root;
    bench->ops = 1111111; /* agents: the leaves and the nodes above them */
    spawn(bench, &node, bench, &root);
    double start = now();
    check(soma_send(bench->system, root, grow, .leaves = SKYNET_LEAVES), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
    if (atomic_load(&bench->finished) != 499999500000ull) {
        fprintf(stderr, "soma_bench: skynet: wrong sum %llu\n", atomic_load(&bench->finished));
        exit(1);
    }
}

/* ---- the command ---- */

static const struct workload {
    const char *name;
    void (*run)(struct bench *);
    uint64_t ops;
} workloads[] = {
    {"ring", run_ring, 20000000},
    {"pingpong", run_pingpong, 20000000},
    {"fanin", run_fanin, 20000000},
    {"spawn", run_spawn, 1000000},
    {"churn", run_churn, 1000000},
    {"skynet", run_skynet, 1111111},
    {"timers", run_timers, 1000000},
    {"open", run_open, 1000},
    {"idle", run_idle, 100000},
    {"demo", run_spawn, 1000000},
    {"overload", run_overload, 1000000},
    {"monitor", run_monitor, 25000000},
    {"down", run_down, 8000000},
    {"restart", run_restart, 2000000},
    {"tree", run_tree, 100000},
    {"remote_throughput", run_remote_throughput, 5000000},
    {"remote_throughput_1k", run_remote_throughput_1k, 1000000},
    {"remote_fanin", run_remote_fanin, 5000000},
    {"remote_latency", run_remote_latency, 15000},
    {"remote_links", run_remote_links, 500},
    {"simulate", run_simulate, 5000000},
};

/* From /proc, as getrusage counts what ran before exec, too. */
static uint64_t rss_peak(void)
{
    char line[128];
    uint64_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmHWM: %" SCNu64, &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

void print_line(const char *workload, const char *impl, const struct bench *bench, bool json)
{
    double rate = (double)bench->ops / bench->seconds;
    if (!strcmp(workload, "demo")) { // an agent is spawned, sent a message, and handles it
        printf("%" PRIu64 " agents in %.3f s: %.2f M agents/s, %.2f M messages/s, %.0f bytes an agent\n", bench->ops,
               bench->seconds, rate / 1e6, rate / 1e6, bench->rss_per_agent);
        return;
    }
    if (!json) {
        printf("%s (%s): %" PRIu64 " in %.3f s with %" PRIu32 " workers: %.2f M/s", workload, impl, bench->ops,
               bench->seconds, bench->workers, rate / 1e6);
        if (bench->rss_per_agent > 0)
            printf(", %.0f bytes an agent", bench->rss_per_agent);
        if (bench->name_bytes_server > 0)
            printf(", %.0f bytes a name at the server, %.0f at the client", bench->name_bytes_server,
                   bench->name_bytes_client);
        if (bench->limit > 0)
            printf(", %.3f of the limit, %.1f MB at most", rate / bench->limit, (double)rss_peak() / 1e6);
        if (bench->trips.p50_us > 0)
            printf(", p50 %.1f us, p99 %.1f us, p99.9 %.1f us", bench->trips.p50_us, bench->trips.p99_us,
                   bench->trips.p999_us);
        printf("\n");
        return;
    }
    printf("{\"workload\":\"%s\",\"impl\":\"%s\",\"version\":\"0.1.0\",\"workers\":%" PRIu32 ",\"ops\":%" PRIu64
           ",\"seconds\":%.6f,\"ops_per_s\":%.0f",
           workload, impl, bench->workers, bench->ops, bench->seconds, rate);
    if (bench->rss_per_agent > 0)
        printf(",\"rss_bytes_per_agent\":%.1f", bench->rss_per_agent);
    if (bench->name_bytes_server > 0)
        printf(",\"name_bytes_server\":%.1f,\"name_bytes_client\":%.1f", bench->name_bytes_server,
               bench->name_bytes_client);
    if (bench->limit > 0)
        printf(",\"ops_per_s_limit\":%.0f,\"of_limit\":%.4f", bench->limit, rate / bench->limit);
    if (bench->curve)
        printf(",\"curve\":true");
    if (bench->compress)
        printf(",\"compress\":true");
    if (bench->trips.p50_us > 0)
        printf(",\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f", bench->trips.p50_us, bench->trips.p99_us,
               bench->trips.p999_us);
    printf(",\"peak_rss_bytes\":%" PRIu64 "}\n", rss_peak());
}

static int usage(void)
{
    fprintf(stderr, "usage: soma_bench WORKLOAD [--workers N] [--ops N] [--curve] [--compress] [--json]\nworkloads:");
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        fprintf(stderr, " %s", workloads[i].name);
    fprintf(stderr, " floor names channels [push|pub|pair|req] [inproc|ipc|tcp]\n");
    return 2;
}

static int run(const struct workload *workload, struct bench *bench, bool json)
{
    if (!bench->ops)
        bench->ops = workload->ops;
    if (strncmp(workload->name, "remote_", 7) != 0) // those fork first
        system_open(bench);
    workload->run(bench);
    check(soma_system_cancel(&bench->system), "close");
    print_line(workload->name, "soma", bench, json);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"workers", required_argument, NULL, 'w'}, {"ops", required_argument, NULL, 'o'},
        {"curve", no_argument, NULL, 'c'},         {"compress", no_argument, NULL, 'z'},
        {"json", no_argument, NULL, 'j'},          {NULL, 0, NULL, 0}};
    struct bench bench = {.workers = 2};
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'w')
            bench.workers = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'o')
            bench.ops = strtoull(optarg, NULL, 10);
        else if (c == 'c')
            bench.curve = true;
        else if (c == 'z')
            bench.compress = true;
        else if (c == 'j')
            json = true;
        else
            return usage();
    }
    if (optind < argc && !strcmp(argv[optind], "floor")) {
        run_floor(bench.ops, json);
        return 0;
    }
    if (optind < argc && !strcmp(argv[optind], "names")) {
        run_names(&bench, json);
        return 0;
    }
    if (optind < argc && !strcmp(argv[optind], "channels")) {
        run_channels(&bench, (const char *const *)argv + optind + 1, json);
        return 0;
    }
    for (size_t i = 0; optind < argc && i < sizeof(workloads) / sizeof(workloads[0]); i++)
        if (!strcmp(argv[optind], workloads[i].name))
            return run(&workloads[i], &bench, json);
    return usage();
}
