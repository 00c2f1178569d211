/*
 * Workload `channels`: messages of 1 KiB through channels, each pattern over each transport, and the same through bare
 * sockets of libzmq between two threads, in turns in one run. What is printed is the median of each. Either side copies
 * the bytes once into each message; who gets them, but for answers, compares all of them with what was sent. PUB and
 * SUB have queues that hold all.
 */
#include "bench.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define SIZE 1024u
#define BURST 64u
#define ROUNDS_MOST 15u
#define REQUESTS 20u /* messages for which there is one round trip */
#define AHEAD 40000u /* publications under way: no publisher is held up, and Soma's misses what is beyond 64 MiB */

SOMA_MESSAGE(block, (bytes, data))
SOMA_MESSAGE(more)

static char bytes[SIZE];

struct run {
    struct bench *bench;
    const char *name;
    soma_pattern sends;
    soma_pattern takes;
    int socket_sends;
    int socket_takes;
    uint64_t ops;
    _Alignas(64) _Atomic uint64_t taken; /* by the one who takes, who alone writes here: so who sends is not slowed */
    _Alignas(64) sem_t done;             /* it has taken all */
    atomic_uint ready;
    char place[SOMA_ADDRESS_TEXT_SIZE];
};

/* Reads all of a message that has come, as it must be what was sent, and tells when it was the last. */
static void take(struct run *run, const char *data, size_t size)
{
    check(size == SIZE && !memcmp(data, bytes, SIZE) ? 0 : SOMA_EFORMAT, "content");
    uint64_t taken = atomic_load_explicit(&run->taken, memory_order_relaxed) + 1; // nobody else writes it,
    atomic_store_explicit(&run->taken, taken, memory_order_relaxed);              // and it publishes nothing
    if (taken == run->ops)
        sem_post(&run->done);
}

/* Must a publisher wait that has sent so many? */
static bool is_ahead(const struct run *run, uint64_t sent)
{
    return run->sends == SOMA_PUB && sent - atomic_load_explicit(&run->taken, memory_order_relaxed) >= AHEAD;
}

static void begin(struct run *run)
{
    atomic_store(&run->taken, 0);
    atomic_store(&run->ready, 0);
}

/* Waits for all; the seconds that it took. */
static double finish(struct run *run, double begun)
{
    while (sem_wait(&run->done))
        ;
    return now() - begun;
}

/* ---- channels ---- */

static struct run *run_of(const soma_agent *self)
{
    return soma_system_data(soma_agent_system(self));
}

static int on_block(soma_agent *self, void *state, const struct block *m)
{
    struct run *run = run_of(self);
    (void)state;
    take(run, m->data.data, m->data.size);
    return run->takes == SOMA_REP ? soma_reply(self, block, .data = m->data) : 0;
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    return *error;
}

static int on_more(soma_agent *self, uint64_t *sent, const struct more *m);

static int on_answer(soma_agent *self, uint64_t *sent, const struct block *m)
{
    (void)m;
    return on_more(self, sent, NULL);
}

/* A burst, and then again; or a question, and again when it is answered. */
static int on_more(soma_agent *self, uint64_t *sent, const struct more *m)
{
    const struct run *run = run_of(self);
    (void)m;
    if (run->sends == SOMA_REQ) {
        if (*sent == run->ops)
            return 0;
        ++*sent;
        return soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(block, on_answer, on_error), block,
                               .data = {bytes, SIZE}) < 0;
    }
    bool waits = is_ahead(run, *sent);
    for (uint32_t i = 0; i < BURST && *sent < run->ops && !waits; i++, ++*sent) {
        int error = soma_send_to(self, "it", block, .data = {bytes, SIZE});
        if (error == SOMA_EAGAIN) // too many wait; later
            break;
        if (error)
            return error;
    }
    return *sent < run->ops ? soma_send(self, soma_self(self), more) : 0;
}

static int on_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    atomic_fetch_add(&run_of(self)->ready, m->peers);
    return 0;
}

static const soma_handler *const takes_block = SOMA_HANDLERS(SOMA_ON(block, on_block));

static int taker_ready(soma_agent *self, void *state)
{
    struct run *run = run_of(self);
    soma_channel_options options = {
        .place = run->place, .serializer = "raw", .handlers = takes_block, .high_water = (uint32_t)run->ops};
    soma_address address;
    (void)state;
    if (run->takes != SOMA_SUB)
        options.high_water = 0;
    check(soma_bind(self, run->takes, "it", &options, &address), "bind");
    soma_address_print(&address, run->place, sizeof(run->place));
    atomic_fetch_add(&run->ready, 1);
    return 0;
}

static int sender_ready(soma_agent *self, void *state)
{
    const struct run *run = run_of(self);
    soma_channel_options options = {.serializer = "raw", .high_water = (uint32_t)run->ops};
    soma_address address;
    (void)state;
    if (run->takes != SOMA_SUB)
        options.high_water = 0;
    check(soma_address_parse(run->place, &address), "address");
    check(soma_connect_with(self, &address, "it", &options), "connect");
    return 0;
}

static const soma_behavior taker = {.name = "taker", .ready = taker_ready};
static const soma_behavior sender = {
    .name = "sender",
    .state_size = sizeof(uint64_t),
    .ready = sender_ready,
    .handlers = SOMA_HANDLERS(SOMA_ON(more, on_more), SOMA_ON(soma_channel_changed, on_changed))};

static double run_soma(struct run *run)
{
    const soma_options options = {.workers = run->bench->workers, .data = run, .log_level = SOMA_LOG_ERROR};
    soma_system *system;
    soma_ref to, from;
    begin(run);
    check(soma_system_open(&system, &options), "open");
    check(soma_spawn(system, &taker, NULL, &to), "spawn");
    while (atomic_load(&run->ready) < 1)
        usleep(50);
    check(soma_spawn(system, &sender, NULL, &from), "spawn");
    while (atomic_load(&run->ready) < 2)
        usleep(50);
    double begun = now();
    soma_send(system, from, more);
    double seconds = finish(run, begun);
    check(soma_system_cancel(&system), "close");
    return seconds;
}

/* ---- libzmq ---- */

struct side {
    struct run *run;
    void *socket;
};

static void *zmq_takes(void *argument)
{
    const struct side *side = argument;
    struct run *run = side->run;
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (uint64_t i = 0; i < run->ops && zmq_msg_recv(&message, side->socket, 0) >= 0; i++) {
        take(run, zmq_msg_data(&message), zmq_msg_size(&message));
        if (run->takes == SOMA_REP)
            zmq_send(side->socket, bytes, SIZE, 0);
    }
    zmq_msg_close(&message);
    return NULL;
}

static double run_zmq(struct run *run)
{
    void *context = zmq_ctx_new(), *from = zmq_socket(context, run->socket_sends),
         *to = zmq_socket(context, run->socket_takes);
    struct side side = {run, to};
    pthread_t thread;
    char place[SOMA_ADDRESS_TEXT_SIZE], answer[SIZE];
    size_t size = sizeof(place);
    int high_water = run->takes == SOMA_SUB ? (int)run->ops : 1000;
    zmq_setsockopt(from, ZMQ_SNDHWM, &high_water, sizeof(high_water));
    zmq_setsockopt(to, ZMQ_RCVHWM, &high_water, sizeof(high_water));
    snprintf(place, sizeof(place), "%.*s", (int)strcspn(run->place, " "), run->place);
    if (run->takes == SOMA_SUB)
        zmq_setsockopt(to, ZMQ_SUBSCRIBE, "", 0);
    check(zmq_bind(to, place), "zmq_bind");
    zmq_getsockopt(to, ZMQ_LAST_ENDPOINT, place, &size);
    check(zmq_connect(from, place), "zmq_connect");
    begin(run);
    check(pthread_create(&thread, NULL, zmq_takes, &side), "thread");
    usleep(200000); // until it is connected, and has heard of the subscription
    double begun = now();
    for (uint64_t i = 0; i < run->ops; i++) {
        while (i % BURST == 0 && is_ahead(run, i))
            sched_yield();
        zmq_send(from, bytes, SIZE, 0);
        if (run->sends == SOMA_REQ)
            zmq_recv(from, answer, sizeof(answer), 0);
    }
    double seconds = finish(run, begun);
    pthread_join(thread, NULL);
    zmq_close(from);
    zmq_close(to);
    zmq_ctx_term(context);
    return seconds;
}

/* ---- all of them ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

static uint32_t rounds_wanted(void)
{
    const char *text = getenv("SOMA_BENCH_ROUNDS");
    uint32_t rounds = text ? (uint32_t)strtoul(text, NULL, 10) : 5;
    return rounds < 1 ? 1 : rounds > ROUNDS_MOST ? ROUNDS_MOST : rounds;
}

/* A place of its own for each: ZeroMQ takes a while to let go of one. */
static void place_name(struct run *run, const char *transport, bool any_port)
{
    static uint32_t places;
    if (!strcmp(transport, "tcp"))
        snprintf(run->place, sizeof(run->place), "tcp://127.0.0.1%s", any_port ? ":*" : "");
    else
        snprintf(run->place, sizeof(run->place), "%s://%s/soma-bench-%ld-%u", transport,
                 strcmp(transport, "ipc") ? "" : "/tmp", (long)getpid(), places++);
}

static void run_one(struct run *run, const char *transport, bool json)
{
    char workload[64];
    double seconds[2][ROUNDS_MOST];
    uint32_t rounds = rounds_wanted();
    struct bench bench = {.workers = run->bench->workers, .ops = run->ops};
    snprintf(workload, sizeof(workload), "channels_%s_%s", run->name, transport);
    sem_init(&run->done, 0, 0);
    for (uint32_t i = 0; i < rounds; i++) {
        place_name(run, transport, false);
        seconds[0][i] = run_soma(run);
        place_name(run, transport, true);
        seconds[1][i] = run_zmq(run);
    }
    sem_destroy(&run->done);
    for (uint32_t side = 0; side < 2; side++) {
        bench.seconds = median(seconds[side], rounds);
        print_line(workload, side ? "zmq" : "soma", &bench, json);
    }
    if (!json)
        printf("%s: %.2f times libzmq\n", workload, bench.seconds / median(seconds[0], rounds));
    fflush(stdout);
}

/* Is it among the words, or are there none of its kind? */
static bool is_chosen(const char *name, const char *const *words, const char *const *kind, size_t count)
{
    bool any = false;
    for (; *words; words++)
        for (size_t i = 0; i < count; i++)
            if (!strcmp(*words, kind[i])) {
                if (!strcmp(*words, name))
                    return true;
                any = true;
            }
    return !any;
}

/* So many that each run takes some tenths of a second at least, or what comes before it is a part of the figure. */
static uint64_t ops_of(const struct bench *bench, const struct run *run, bool inproc)
{
    uint64_t ops = bench->ops ? bench->ops : inproc ? 2000000 : 500000;
    return run->sends == SOMA_REQ ? (ops + REQUESTS - 1) / REQUESTS : ops;
}

void run_channels(struct bench *bench, const char *const *words, bool json)
{
    static const char *const transports[] = {"inproc", "ipc", "tcp"};
    static const char *const names[] = {"push", "pub", "pair", "req"};
    struct run runs[] = {
        {.sends = SOMA_PUSH, .takes = SOMA_PULL, .socket_sends = ZMQ_PUSH, .socket_takes = ZMQ_PULL},
        {.sends = SOMA_PUB, .takes = SOMA_SUB, .socket_sends = ZMQ_PUB, .socket_takes = ZMQ_SUB},
        {.sends = SOMA_PAIR, .takes = SOMA_PAIR, .socket_sends = ZMQ_PAIR, .socket_takes = ZMQ_PAIR},
        {.sends = SOMA_REQ, .takes = SOMA_REP, .socket_sends = ZMQ_REQ, .socket_takes = ZMQ_REP},
    };
    for (uint32_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i % 251);
    for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
        runs[i].bench = bench;
        runs[i].name = names[i];
        for (size_t t = 0; t < sizeof(transports) / sizeof(*transports); t++) {
            runs[i].ops = ops_of(bench, &runs[i], t == 0);
            if (is_chosen(names[i], words, names, 4) && is_chosen(transports[t], words, transports, 3))
                run_one(&runs[i], transports[t], json);
        }
    }
}
