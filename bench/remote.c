/*
 * Between processes over TCP on loopback: one node, or eight, send as fast as they may to an agent of the hub. See
 * remote.h for what they are; bench/latency.c has the round trip.
 */
#include "remote.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMPRESS_LEAST 1024u /* bytes of a frame */

/* ---- the nodes ---- */

struct pair {
    char public_key[SOMA_BRIDGE_KEY_SIZE], secret_key[SOMA_BRIDGE_KEY_SIZE];
};

/* What another node is to send. */
struct share {
    uint64_t parcels;
    uint32_t size;
    bool text;
};

/* What another node's process is given. */
struct other {
    uint32_t workers;
    const soma_behavior *behavior;
    int hub; /* the socket to the hub's process */
    bool curve, compress;
    struct pair own;
    const char *allowed;
};

static soma_bridge_options keys_options(bool curve, const struct pair *own, const char *allowed)
{
    return curve ? (soma_bridge_options){.secret_key = own->secret_key, .allowed = allowed} : (soma_bridge_options){0};
}

static void told(int socket, void *text, size_t size)
{
    if (read(socket, text, size) <= 0)
        exit(1);
}

static void tell(int socket, const void *text, size_t size)
{
    if (write(socket, text, size) < 0)
        exit(1);
}

/* Ends when the hub's process closes its socket, or ends. */
static _Noreturn void other_run(const struct other *other)
{
    char address[256] = "", byte;
    soma_system *system;
    soma_bridge *bridge;
    soma_ref hub, agent;
    soma_bridge_options options = keys_options(other->curve, &other->own, other->allowed);
    options.compress_least = other->compress ? COMPRESS_LEAST : 0;
    struct share share;
    const soma_options quiet = {.workers = other->workers, .log_level = SOMA_LOG_WARNING};
    check(soma_system_open(&system, &quiet), "open");
    check(soma_bridge_open(system, &options, &bridge), "bridge");
    told(other->hub, address, sizeof(address));
    check(soma_bridge_find(bridge, address, "hub", 10 * SOMA_SECOND, &hub), "find");
    check(soma_spawn(system, other->behavior, NULL, &agent), "spawn");
    tell(other->hub, "", 1);
    told(other->hub, &share, sizeof(share));
    check(soma_send(system, agent, begin, .hub = hub, .left = share.parcels, .size = share.size, .text = share.text),
          "send");
    if (read(other->hub, &byte, 1) < 0)
        exit(1);
    soma_bridge_close(&bridge);
    soma_system_cancel(&system);
    _exit(0);
}

static void other_start(struct other *other, struct remote *remote)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
        exit(1);
    remote->others[remote->nodes] = ends[0];
    other->hub = ends[1];
    if (!fork()) {
        for (uint32_t i = 0; i <= remote->nodes; i++)
            close(remote->others[i]); // or their ends would not be told
        other_run(other);
    }
    close(ends[1]);
}

void nodes_open(struct bench *bench, struct remote *remote, uint32_t nodes, uint32_t workers, const soma_behavior *here,
                const soma_behavior *there)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    struct pair own;
    struct other other = {.workers = workers, .behavior = there, .curve = bench->curve, .compress = bench->compress};
    soma_ref hub;
    if (bench->curve) {
        check(soma_bridge_keygen(own.public_key, own.secret_key), "keygen");
        check(soma_bridge_keygen(other.own.public_key, other.own.secret_key), "keygen");
    }
    other.allowed = own.public_key;
    for (remote->nodes = 0; remote->nodes < nodes; remote->nodes++)
        other_start(&other, remote);
    system_open(bench);
    spawn(bench, here, bench, &hub);
    check(soma_name_set(bench->system, hub, "hub"), "name");
    soma_bridge_options options = keys_options(bench->curve, &own, other.own.public_key);
    options.bind = bind;
    options.compress_least = bench->compress ? COMPRESS_LEAST : 0;
    check(soma_bridge_open(bench->system, &options, &remote->bridge), "bridge");
    const char *address = soma_bridge_address(remote->bridge, 0);
    char byte;
    for (uint32_t i = 0; i < nodes; i++)
        tell(remote->others[i], address, strlen(address) + 1);
    for (uint32_t i = 0; i < nodes; i++)
        told(remote->others[i], &byte, 1);
}

void remote_begin(const struct bench *bench, const struct remote *remote, uint32_t size)
{
    const struct share share = {.parcels = bench->ops / remote->nodes, .size = size, .text = bench->compress};
    for (uint32_t i = 0; i < remote->nodes; i++)
        tell(remote->others[i], &share, sizeof(share));
}

void nodes_close(struct remote *remote)
{
    for (uint32_t i = 0; i < remote->nodes; i++)
        close(remote->others[i]);
    while (wait(NULL) > 0)
        ;
    soma_bridge_close(&remote->bridge);
}

/* ---- the hub's agent: counts ---- */

struct sink {
    struct bench *bench;
    uint64_t got;
};

static int sink_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct sink *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_parcel(soma_agent *self, struct sink *my, const struct parcel *m)
{
    (void)self, (void)m;
    return ++my->got == my->bench->ops ? soma_system_stop(my->bench->system) : 0;
}

static const soma_behavior sink = {.name = "sink",
                                   .state_size = sizeof(struct sink),
                                   .init = sink_init,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(parcel, on_parcel))};

/* ---- the others' agents: send ---- */

#define BURST 100u

/* Letters, half of whose bits say nothing; other ones for each message of a frame. */
static const char *text_at(uint64_t number)
{
    enum { SIZE = 256 * 1024 };
    static char text[SIZE];
    uint64_t bits = 1;
    for (uint32_t i = 0; i < SIZE && !text[SIZE - 1]; i++) {
        bits = bits * UINT64_C(6364136223846793005) + 1;
        text[i] = (char)('a' + (bits >> 60));
    }
    return text + number * PARCEL_MOST % SIZE;
}

static int on_begin(soma_agent *self, void *my, const struct begin *m)
{
    static const char zeros[PARCEL_MOST];
    uint64_t count = m->left < BURST ? m->left : BURST;
    (void)my;
    for (uint64_t i = 0; i < count; i++)
        check(soma_send(self, m->hub, parcel, .load = {m->text ? text_at(m->left - i) : zeros, m->size}), "send");
    return m->left > count ? soma_send(self, soma_self(self), begin, .hub = m->hub, .left = m->left - count,
                                       .size = m->size, .text = m->text)
                           : 0;
}

static const soma_behavior source = {.name = "source", .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

/* ---- the workloads ---- */

static void send_all(struct bench *bench, uint32_t nodes, uint32_t workers, uint32_t size)
{
    struct remote remote;
    bench->ops -= bench->ops % nodes;
    nodes_open(bench, &remote, nodes, workers, &sink, &source);
    double begun = now();
    remote_begin(bench, &remote, size);
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - begun;
    nodes_close(&remote);
}

void run_remote_throughput(struct bench *bench)
{
    send_all(bench, 1, bench->workers, 64);
}

void run_remote_throughput_1k(struct bench *bench)
{
    send_all(bench, 1, bench->workers, 1024);
}

void run_remote_fanin(struct bench *bench)
{
    send_all(bench, REMOTE_NODES_MOST, 1, 64);
}
