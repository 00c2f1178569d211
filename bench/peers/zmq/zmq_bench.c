/*
 * zmq_bench WORKLOAD [--ops N] [--curve]: the workloads of remote delivery on bare libzmq, between processes over TCP
 * on loopback: PUSH and PULL, one message a frame, and DEALER and ROUTER. What Soma's own delivery is built on, so the
 * limit of what does not batch. Its defaults are its fastest settings here. Prints a line as soma_bench --json does.
 * See bench/README.md for the workloads.
 */
#include "../../trips.h"
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define FANIN_SENDERS 8u
#define SIZE_MOST 1024u

#define KEY_SIZE 41
struct keys {
    bool on;
    char public_key[KEY_SIZE], secret_key[KEY_SIZE];
};

struct bench {
    uint64_t ops;
    double seconds;
    struct trips trips;
    struct keys keys[2]; /* of who binds, and of all others */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Ends the program if something failed. */
static void check(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "zmq_bench: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

/* ---- sockets ---- */

static void set(void *socket, int option, const void *value, size_t size)
{
    check(!zmq_setsockopt(socket, option, value, size), "option");
}

static void *socket_open(void *context, int type, const struct keys *own)
{
    void *socket = zmq_socket(context, type);
    check(socket, "socket");
    if (own->on) {
        set(socket, ZMQ_CURVE_PUBLICKEY, own->public_key, KEY_SIZE);
        set(socket, ZMQ_CURVE_SECRETKEY, own->secret_key, KEY_SIZE);
    }
    return socket;
}

/* Binds, and says where to each of the others. */
static void *socket_bind(const struct bench *bench, void *context, int type, int tell, uint32_t others)
{
    const int yes = 1;
    char address[256] = "";
    size_t size = sizeof(address);
    void *socket = socket_open(context, type, &bench->keys[0]);
    if (bench->keys[0].on)
        set(socket, ZMQ_CURVE_SERVER, &yes, sizeof(yes));
    check(!zmq_bind(socket, "tcp://127.0.0.1:*"), "bind");
    check(!zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, address, &size), "address");
    for (uint32_t i = 0; i < others; i++)
        check(write(tell, address, sizeof(address)) == sizeof(address), "write");
    return socket;
}

static void *socket_connect(const struct bench *bench, void *context, int type, int told)
{
    char address[256];
    void *socket = socket_open(context, type, &bench->keys[1]);
    check(read(told, address, sizeof(address)) == sizeof(address), "read");
    if (bench->keys[1].on)
        set(socket, ZMQ_CURVE_SERVERKEY, bench->keys[0].public_key, KEY_SIZE);
    check(!zmq_connect(socket, address), "connect");
    return socket;
}

/* True in the child, which ends with its parent. */
static bool child(void)
{
    pid_t parent = getpid(), pid = fork();
    check(pid >= 0, "fork");
    if (pid)
        return false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    return true;
}

static void context_end(void *context, void *socket)
{
    zmq_close(socket);
    zmq_ctx_term(context); // once all has left
}

/* ---- throughput: an empty message when connected, and the rest when told ---- */

static void send_run(const struct bench *bench, uint64_t count, size_t size, int told, int begin)
{
    static const char load[SIZE_MOST];
    char byte;
    void *context = zmq_ctx_new(), *socket = socket_connect(bench, context, ZMQ_PUSH, told);
    check(zmq_send(socket, "", 0, 0) == 0, "send");
    check(read(begin, &byte, 1) == 1, "read");
    for (uint64_t i = 0; i < count; i++)
        check(zmq_send(socket, load, size, 0) == (int)size, "send");
    context_end(context, socket);
    _exit(0);
}

static void receive(void *socket, uint64_t count)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (uint64_t i = 0; i < count; i++)
        check(zmq_msg_recv(&message, socket, 0) >= 0, "receive");
    zmq_msg_close(&message);
}

static void throughput(struct bench *bench, uint32_t senders, size_t size)
{
    int tell[2], begin[2];
    bench->ops -= bench->ops % senders;
    check(!pipe(tell) && !pipe(begin), "pipe");
    for (uint32_t i = 0; i < senders; i++)
        if (child())
            send_run(bench, bench->ops / senders, size, tell[0], begin[0]);
    void *context = zmq_ctx_new(), *socket = socket_bind(bench, context, ZMQ_PULL, tell[1], senders);
    receive(socket, senders);
    double begun = now();
    for (uint32_t i = 0; i < senders; i++)
        check(write(begin[1], "", 1) == 1, "write");
    receive(socket, bench->ops);
    bench->seconds = now() - begun;
    context_end(context, socket);
}

static void run_throughput(struct bench *bench)
{
    throughput(bench, 1, 64);
}

static void run_throughput_1k(struct bench *bench)
{
    throughput(bench, 1, 1024);
}

static void run_fanin(struct bench *bench)
{
    throughput(bench, FANIN_SENDERS, 64);
}

/* ---- latency ---- */

#define TRIP_SIZE 64

/* Sends back what comes, until it is empty. */
static void echo_run(const struct bench *bench, int told)
{
    char identity[256], load[TRIP_SIZE];
    void *context = zmq_ctx_new(), *socket = socket_connect(bench, context, ZMQ_ROUTER, told);
    for (;;) {
        int known = zmq_recv(socket, identity, sizeof(identity), 0), size = zmq_recv(socket, load, sizeof(load), 0);
        check(known > 0 && size >= 0, "receive");
        if (!size)
            break;
        check(zmq_send(socket, identity, (size_t)known, ZMQ_SNDMORE) == known, "send");
        check(zmq_send(socket, load, (size_t)size, 0) == size, "send");
    }
    context_end(context, socket);
    _exit(0);
}

static void run_latency(struct bench *bench)
{
    uint64_t warm_up = TRIPS_WARM_UP(bench->ops);
    double *took = calloc(warm_up + bench->ops, sizeof(*took));
    char load[TRIP_SIZE] = "";
    int tell[2];
    check(took && !pipe(tell), "pipe");
    if (child())
        echo_run(bench, tell[0]);
    void *context = zmq_ctx_new(), *socket = socket_bind(bench, context, ZMQ_DEALER, tell[1], 1);
    for (uint64_t i = 0; i < warm_up + bench->ops; i++) {
        double asked = now();
        check(zmq_send(socket, load, sizeof(load), 0) == sizeof(load), "send");
        check(zmq_recv(socket, load, sizeof(load), 0) == sizeof(load), "receive");
        took[i] = now() - asked;
    }
    bench->trips = trips_sum_up(took + warm_up, bench->ops);
    bench->seconds = bench->trips.seconds;
    check(zmq_send(socket, "", 0, 0) == 0, "send");
    context_end(context, socket);
    free(took);
}

/* ---- the command ---- */

static const struct workload {
    const char *name;
    void (*run)(struct bench *);
    uint64_t ops;
} workloads[] = {
    {"remote_throughput", run_throughput, 4000000},
    {"remote_throughput_1k", run_throughput_1k, 1000000},
    {"remote_fanin", run_fanin, 4000000},
    {"remote_latency", run_latency, 15000},
};

static void run(const struct workload *workload, struct bench *bench, bool curve)
{
    int major, minor, patch;
    for (int i = 0; i < 2 && curve; i++) {
        bench->keys[i].on = true;
        check(!zmq_curve_keypair(bench->keys[i].public_key, bench->keys[i].secret_key), "keys");
    }
    if (!bench->ops)
        bench->ops = workload->ops;
    workload->run(bench);
    while (wait(NULL) > 0)
        ;
    zmq_version(&major, &minor, &patch);
    printf("{\"workload\":\"%s\",\"impl\":\"zmq\",\"version\":\"%d.%d.%d\",\"workers\":1,\"ops\":%" PRIu64
           ",\"seconds\":%.6f,\"ops_per_s\":%.0f",
           workload->name, major, minor, patch, bench->ops, bench->seconds, (double)bench->ops / bench->seconds);
    if (curve)
        printf(",\"curve\":true");
    if (bench->trips.p50_us > 0)
        printf(",\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f", bench->trips.p50_us, bench->trips.p99_us,
               bench->trips.p999_us);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"ops", required_argument, NULL, 'o'}, {"curve", no_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
    struct bench bench = {0};
    bool curve = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'o')
            bench.ops = strtoull(optarg, NULL, 10);
        else if (c == 'c')
            curve = true;
    }
    for (size_t i = 0; optind < argc && i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (!strcmp(argv[optind], workloads[i].name)) {
            run(&workloads[i], &bench, curve);
            return 0;
        }
    }
    fprintf(stderr, "usage: zmq_bench WORKLOAD [--ops N] [--curve]\n");
    return 2;
}
