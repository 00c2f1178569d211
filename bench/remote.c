/*
 * Between two processes over TCP on loopback: one sends as fast as it may to an agent of the other, or two agents pass
 * a message back and forth.
 */
#include "bench.h"
#include <soma/bridge.h>
#include <soma/request.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(parcel, (bytes, load))
SOMA_MESSAGE(count_to, (u64, parcels))
SOMA_MESSAGE(counted)
SOMA_MESSAGE(parcels_send, (ref, to), (u64, left), (u32, size))

/* ---- the far side ---- */

struct sink {
    uint64_t got;
    uint64_t awaited;
    soma_handle promise;
};

static int sink_look(soma_agent *self, struct sink *my)
{
    if (!my->awaited || my->got < my->awaited)
        return 0;
    my->awaited = 0;
    my->got = 0;
    return soma_reply_to(self, my->promise, counted);
}

static int on_parcel(soma_agent *self, struct sink *my, const struct parcel *m)
{
    (void)m;
    my->got++;
    return sink_look(self, my);
}

static int on_count_to(soma_agent *self, struct sink *my, const struct count_to *m)
{
    my->awaited = m->parcels;
    my->promise = soma_reply_later(self);
    return sink_look(self, my);
}

static const soma_behavior sink = {.name = "sink",
                                   .state_size = sizeof(struct sink),
                                   .handlers =
                                       SOMA_HANDLERS(SOMA_ON(parcel, on_parcel), SOMA_ON(count_to, on_count_to))};

/* Tells its address, and runs until its standard input ends. */
static void far_run(struct bench *bench, int tell, int until)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_options options = {.workers = bench->workers};
    soma_bridge *bridge;
    soma_ref ref;
    char byte;
    check(soma_system_open(&bench->system, &options), "open");
    check(soma_bridge_open(bench->system, &(soma_bridge_options){.name = "far", .bind = bind}, &bridge), "bridge");
    spawn(bench, &sink, NULL, &ref);
    check(soma_name_set(bench->system, ref, "sink"), "name");
    const char *address = soma_bridge_address(bridge, 0);
    if (write(tell, address, strlen(address) + 1) < 0 || read(until, &byte, 1) < 0)
        exit(1);
    soma_bridge_close(&bridge);
    soma_system_close(&bench->system);
    exit(0);
}

/* ---- the near side ---- */

#define BURST 100u

static int on_parcels_send(soma_agent *self, void *my, const struct parcels_send *m)
{
    static const char load[4096];
    (void)my;
    uint64_t count = m->left < BURST ? m->left : BURST;
    for (uint64_t i = 0; i < count; i++)
        soma_send(self, m->to, parcel, .load = {load, m->size});
    if (m->left > count)
        soma_send(self, soma_self(self), parcels_send, .to = m->to, .left = m->left - count, .size = m->size);
    return 0;
}

static const soma_behavior source = {.name = "source",
                                     .handlers = SOMA_HANDLERS(SOMA_ON(parcels_send, on_parcels_send))};

static void throughput(struct bench *bench, uint32_t size)
{
    int told[2], until[2];
    if (pipe(told) || pipe(until))
        exit(1);
    pid_t far = fork();
    if (!far)
        close(until[1]), far_run(bench, told[1], until[0]);
    char address[256] = "";
    if (read(told[0], address, sizeof(address)) <= 0)
        exit(1);
    const soma_options options = {.workers = bench->workers};
    soma_bridge *bridge;
    soma_ref to, from;
    struct counted counted;
    check(soma_system_open(&bench->system, &options), "open");
    check(soma_bridge_open(bench->system, &(soma_bridge_options){.name = "near"}, &bridge), "bridge");
    check(soma_bridge_find(bridge, address, "sink", 10 * SOMA_SECOND, &to), "find");
    spawn(bench, &source, NULL, &from);
    double begun = now();
    check(soma_send(bench->system, from, parcels_send, .to = to, .left = bench->ops, .size = size), "send");
    check(soma_call(bench->system, to, 600 * SOMA_SECOND, &counted, counted, count_to, .parcels = bench->ops), "count");
    bench->seconds = now() - begun;
    soma_bridge_close(&bridge);
    soma_system_close(&bench->system);
    close(until[1]);
    waitpid(far, NULL, 0);
}

void run_remote_throughput(struct bench *bench)
{
    throughput(bench, 64);
}

void run_remote_throughput_1k(struct bench *bench)
{
    throughput(bench, 1024);
}
