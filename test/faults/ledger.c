/*
 * A node of the fault tests. To each of its peers it has some streams of numbered messages, as fast as they go or at a
 * rate; of what it sends and gets it keeps a ledger in a file (ledger.h). A stream ends when its monitor tells of the
 * other side's end, and another one begins.
 *
 * ledger --file PATH --bind ADDRESS [--advertise ADDRESS] [--insecure] [--secret FILE] [--allowed FILE]
 *        [--streams N] [--rate N] [--size BYTES] [--down-ms N] [--beat-ms N] [--seconds N] [--compress BYTES] PEER...
 *
 * Runs until its standard input ends, or a time; a line "quiet" there stops the sending. Prints its sums as a line of
 * JSON.
 */
#include "ledger.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <soma/bridge.h>
#include <soma/error.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STREAMS_MAX 16u
#define PEERS_MAX 16u
#define BURST 50u
#define LOAD_MAX 4096u
#define TICK (5 * SOMA_MS)

SOMA_MESSAGE(parcel, (u64, key), (u64, number), (bytes, load))
SOMA_MESSAGE(go_on)

struct options {
    const char *file;
    const char *bind[2];
    const char *advertise[2];
    bool insecure;
    const char *secret, *allowed; /* files of keys */
    uint32_t streams, rate, size, down_ms, beat_ms, seconds, compress;
    uint32_t peer_count;
    const char *peers[PEERS_MAX];
};

static struct options options = {.streams = 2, .size = 64, .down_ms = 10000, .beat_ms = 1000, .seconds = 600};
static struct ledger *ledger;
static atomic_bool quiet;
static atomic_uint alive[PEERS_MAX]; /* streams to a peer */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SOMA_SECOND + (uint64_t)time.tv_nsec;
}

/* ---- the ledger: sources and the sink write into records of their own, and find them under a lock ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct record *record_find(enum record_side side, uint64_t key, uint64_t node)
{
    pthread_mutex_lock(&lock);
    struct record *record = &ledger->records[(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (LEDGER_RECORDS - 1)];
    while (record->side && (record->key != key || record->side != (uint64_t)side))
        record = record == &ledger->records[LEDGER_RECORDS - 1] ? ledger->records : record + 1;
    if (!record->side) {
        if (++ledger->used > LEDGER_RECORDS / 2) {
            fprintf(stderr, "ledger: too many streams\n");
            exit(1);
        }
        record->key = key;
        record->node = node;
        record->side = side;
    }
    pthread_mutex_unlock(&lock);
    return record;
}

/* ---- loads: bytes that follow from the stream and the number ---- */

static void load_fill(unsigned char *load, uint32_t size, uint64_t key, uint64_t number)
{
    uint64_t word = key ^ number * UINT64_C(0xff51afd7ed558ccd);
    for (uint32_t i = 0; i < size; i++) {
        if (!(i & 7))
            word = (word ^ word >> 29) * UINT64_C(0x9e3779b97f4a7c15);
        load[i] = (unsigned char)(word >> 8 * (i & 7));
    }
}

/* ---- the sink: one a node ---- */

struct sink {
    uint64_t key;
    struct record *record; /* of that key, found last */
};

static int on_parcel(soma_agent *self, struct sink *my, const struct parcel *m)
{
    unsigned char expected[LOAD_MAX];
    if (!my->record || my->key != m->key)
        my->record = record_find(RECORD_GOT, m->key, soma_sender(self).node);
    my->key = m->key;
    struct record *record = my->record;
    if (m->number <= record->last)
        record->wrong++;
    else
        record->last = m->number;
    record->count++;
    load_fill(expected, options.size, m->key, m->number);
    if (m->load.size != options.size || memcmp(m->load.data, expected, options.size) != 0)
        record->altered++;
    ledger->got++;
    uint64_t time = now(), pause = ledger->got_at ? time - ledger->got_at : 0;
    ledger->got_at = time;
    if (pause > ledger->pause)
        ledger->pause = pause;
    return 0;
}

static const soma_behavior sink = {
    .name = "sink", .state_size = sizeof(struct sink), .handlers = SOMA_HANDLERS(SOMA_ON(parcel, on_parcel))};

/* ---- sources ---- */

struct source {
    soma_ref to;
    uint32_t peer;
    struct record *record;
    unsigned char load[LOAD_MAX];
};

struct source_start {
    soma_ref to;
    uint32_t peer;
};

static struct record *source_record(soma_ref source, uint64_t to)
{
    uint64_t place = (uint64_t)source.generation << 32 | source.slot;
    return record_find(RECORD_SENT, source.node ^ place * UINT64_C(0xc2b2ae3d27d4eb4f), to);
}

static int source_init(soma_agent *self, void *state, const void *arg)
{
    const struct source_start *start = arg;
    struct source *my = state;
    my->to = start->to;
    my->peer = start->peer;
    my->record = source_record(soma_self(self), my->to.node);
    soma_handle monitor = soma_monitor(self, my->to);
    return monitor < 0 ? (int)monitor : soma_send(self, soma_self(self), go_on);
}

static void source_stop(soma_agent *self, void *state, int reason)
{
    const struct source *my = state;
    (void)self, (void)reason;
    atomic_fetch_sub(&alive[my->peer], 1);
}

static int on_go_on(soma_agent *self, struct source *my, const struct go_on *m)
{
    (void)m;
    if (atomic_load(&quiet))
        return 0;
    uint64_t burst = options.rate ? (uint64_t)options.rate * TICK / SOMA_SECOND : BURST;
    for (uint64_t i = 0; i < (burst ? burst : 1); i++) {
        uint64_t number = ++my->record->last;
        load_fill(my->load, options.size, my->record->key, number);
        int error =
            soma_send(self, my->to, parcel, .key = my->record->key, .number = number, .load = {my->load, options.size});
        if (error == SOMA_ENODEDOWN)
            return 0; // the monitor tells so, too
        if (error)
            return error;
    }
    if (!options.rate)
        return soma_send(self, soma_self(self), go_on);
    soma_handle timer = soma_after(self, TICK, go_on);
    return timer < 0 ? (int)timer : 0;
}

static int on_down(soma_agent *self, struct source *my, const struct soma_down *m)
{
    my->record->over = (uint64_t)-m->reason;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior source = {.name = "source",
                                     .state_size = sizeof(struct source),
                                     .init = source_init,
                                     .stop = source_stop,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(go_on, on_go_on), SOMA_ON(soma_down, on_down))};

/* ---- dead letters ---- */

static int on_dead_letter(soma_agent *self, void *my, const struct soma_dead_letter *m)
{
    (void)self, (void)my;
    if (!m->sender.node || strcmp(m->type, "parcel") != 0)
        return 0;
    struct record *record = source_record(m->sender, m->to.node);
    if (m->reason == SOMA_ENODEDOWN)
        record->reported++;
    else
        record->wrong++;
    return 0;
}

static const soma_behavior undertaker = {.name = "undertaker",
                                         .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_dead_letter))};

/* ---- the node ---- */

/* Streams to a peer that has none, if it can be found. */
static void peer_begin(soma_system *system, soma_bridge *bridge, uint32_t peer)
{
    struct source_start start = {.peer = peer};
    soma_ref ref;
    if (atomic_load(&quiet) || atomic_load(&alive[peer]) ||
        soma_bridge_find(bridge, options.peers[peer], "sink", SOMA_SECOND / 2, &start.to))
        return;
    for (uint32_t i = 0; i < options.streams; i++) {
        atomic_fetch_add(&alive[peer], 1);
        soma_spawn(system, &source, &start, &ref);
    }
}

/* Reads commands for some time. False at the end of the standard input. */
static bool commands_read(int milliseconds)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];
    if (poll(&input, 1, milliseconds) <= 0)
        return true;
    ssize_t size = read(STDIN_FILENO, line, sizeof(line));
    if (size >= 5 && !memcmp(line, "quiet", 5))
        atomic_store(&quiet, true);
    return size > 0;
}

static void ledger_sum(const struct soma_bridge_peer *sizes)
{
    struct record sum = {0}, *record;
    for (record = ledger->records; record < ledger->records + LEDGER_RECORDS; record++) {
        if (record->side == RECORD_SENT)
            ledger->sent += record->last;
        sum.wrong += record->wrong;
        sum.altered += record->altered;
        sum.reported += record->reported;
    }
    printf("{\"node\":\"%016llx\",\"streams\":%llu,\"sent\":%llu,\"got\":%llu,\"wrong\":%llu,\"altered\":%llu,"
           "\"reported\":%llu,\"before\":%llu,\"after\":%llu}\n",
           (unsigned long long)ledger->node, (unsigned long long)ledger->used, (unsigned long long)ledger->sent,
           (unsigned long long)ledger->got, (unsigned long long)sum.wrong, (unsigned long long)sum.altered,
           (unsigned long long)sum.reported, (unsigned long long)sizes->bytes_before,
           (unsigned long long)sizes->bytes_after);
}

/* Of what was sent in the sessions that there are now. */
static soma_bridge_peer sizes_sum(soma_bridge *bridge)
{
    soma_bridge_peer peers[2 * PEERS_MAX], sum = {0};
    int count = soma_bridge_peers(bridge, peers, 2 * PEERS_MAX);
    for (int i = 0; i < count && i < (int)(2 * PEERS_MAX); i++) {
        sum.bytes_before += peers[i].bytes_before;
        sum.bytes_after += peers[i].bytes_after;
    }
    return sum;
}

static void check(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "ledger: %s: %s\n", what, soma_strerror(error));
    exit(1);
}

static void run(void)
{
    const soma_bridge_options bridging = {.name = options.file,
                                          .bind = options.bind,
                                          .advertise = options.advertise[0] ? options.advertise : NULL,
                                          .insecure = options.insecure,
                                          .secret_file = options.secret,
                                          .allowed_file = options.allowed,
                                          .down_ms = options.down_ms,
                                          .heartbeat_ms = options.beat_ms,
                                          .compress_least = options.compress};
    const soma_options quiet_options = {.workers = 2};
    soma_system *system;
    soma_bridge *bridge;
    soma_ref sink_ref, undertaker_ref;
    check(soma_system_open(&system, &quiet_options), "open");
    check(soma_spawn(system, &undertaker, NULL, &undertaker_ref), "spawn");
    check(soma_dead_letters_watch(system, undertaker_ref), "watch");
    check(soma_spawn(system, &sink, NULL, &sink_ref), "spawn");
    check(soma_name_set(system, sink_ref, "sink"), "name");
    check(soma_bridge_open(system, &bridging, &bridge), "bridge");
    ledger->node = sink_ref.node;
    uint64_t until = now() + options.seconds * SOMA_SECOND;
    while (commands_read(50) && now() < until)
        for (uint32_t i = 0; i < options.peer_count; i++)
            peer_begin(system, bridge, i);
    atomic_store(&quiet, true);
    const soma_bridge_peer sizes = sizes_sum(bridge);
    soma_bridge_close(&bridge);
    soma_system_close(&system);
    ledger_sum(&sizes);
}

static void ledger_map(void)
{
    int file = open(options.file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(*ledger)))
        check(SOMA_EINVAL, options.file);
    ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (ledger == MAP_FAILED)
        check(SOMA_ENOMEM, options.file);
    close(file);
}

static void number_option(const char *name, const char *value)
{
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"--streams", &options.streams},  {"--rate", &options.rate},       {"--size", &options.size},
                   {"--down-ms", &options.down_ms},  {"--beat-ms", &options.beat_ms}, {"--seconds", &options.seconds},
                   {"--compress", &options.compress}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        if (!strcmp(name, numbers[i].name)) {
            *numbers[i].value = (uint32_t)strtoul(value, NULL, 10);
            return;
        }
    }
    check(SOMA_EINVAL, name);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--insecure"))
            options.insecure = true;
        else if (strncmp(argv[i], "--", 2) != 0 && options.peer_count < PEERS_MAX)
            options.peers[options.peer_count++] = argv[i];
        else if (!value)
            check(SOMA_EINVAL, argv[i]);
        else if (!strcmp(argv[i], "--file"))
            options.file = argv[++i];
        else if (!strcmp(argv[i], "--bind"))
            options.bind[0] = argv[++i];
        else if (!strcmp(argv[i], "--advertise"))
            options.advertise[0] = argv[++i];
        else if (!strcmp(argv[i], "--secret"))
            options.secret = argv[++i];
        else if (!strcmp(argv[i], "--allowed"))
            options.allowed = argv[++i];
        else
            number_option(argv[i], value), i++;
    }
    if (!options.file || !options.bind[0] || options.size > LOAD_MAX)
        check(SOMA_EINVAL, "usage: see the top of ledger.c");
    ledger_map();
    run();
    return 0;
}
