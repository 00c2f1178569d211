/*
 * Workload `remote_links`: what links at rest cost one node, to which many others are linked. The others live in a few
 * processes, each node a system with one worker.
 */
#include "bench.h"
#include <soma/bridge.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define REST_SECONDS 5
#define NODES_A_PROCESS 125u

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* Nodes that connect to an address, until the pipe ends. */
static void nodes_run(uint32_t count, int address_from, int until)
{
    char address[256] = "", byte;
    if (read(address_from, address, sizeof(address)) <= 0)
        exit(1);
    const char *const connect[] = {address, NULL};
    for (uint32_t i = 0; i < count; i++) {
        soma_system *system;
        soma_bridge *bridge;
        check(soma_system_open(&system, &(soma_options){.workers = 1, .log_level = SOMA_LOG_ERROR}), "open");
        check(soma_bridge_open(system, &(soma_bridge_options){.connect = connect}, &bridge), "bridge");
    }
    if (read(until, &byte, 1) < 0)
        exit(1);
    _exit(0); // without a goodbye: the hub is gone by now
}

static uint32_t connected(soma_bridge *bridge, soma_bridge_peer *peers, uint32_t most)
{
    uint32_t count = 0;
    int known = soma_bridge_peers(bridge, peers, most);
    for (int i = 0; i < known && i < (int)most; i++)
        count += peers[i].connected;
    return count;
}

/* `seconds` is the CPU time that the hub used while all links were at rest; an operation is a link. */
void run_remote_links(struct bench *bench)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    uint32_t links = (uint32_t)bench->ops, processes = (links + NODES_A_PROCESS - 1) / NODES_A_PROCESS;
    int pipes[2], until[2];
    if (pipe(pipes) || pipe(until))
        exit(1);
    for (uint32_t i = 0; i < processes; i++) {
        if (!fork()) {
            close(until[1]);
            nodes_run(i ? NODES_A_PROCESS : links - (processes - 1) * NODES_A_PROCESS, pipes[0], until[0]);
        }
    }
    soma_bridge *bridge;
    soma_bridge_peer *peers = calloc(links, sizeof(*peers));
    system_open(bench);
    check(soma_bridge_open(bench->system, &(soma_bridge_options){.name = "hub", .bind = bind}, &bridge), "bridge");
    double empty = rss(), begun = now();
    char address[256] = "";
    snprintf(address, sizeof(address), "%s", soma_bridge_address(bridge, 0));
    for (uint32_t i = 0; i < processes; i++)
        if (write(pipes[1], address, sizeof(address)) < 0)
            exit(1);
    while (connected(bridge, peers, links) < links)
        usleep(10000);
    double joined = now() - begun;
    sleep(2); // long enough to settle: nothing is decided by it
    double used = cpu_seconds();
    sleep(REST_SECONDS);
    used = cpu_seconds() - used;
    fprintf(stderr,
            "%u links in %.1f s, %.1f KiB each; at rest for %d s: %.4f s of CPU time, %.1f us a link and second\n",
            links, joined, (rss() - empty) / 1024 / links, REST_SECONDS, used, used / REST_SECONDS / links * 1e6);
    bench->seconds = used > 0 ? used : 1e-6;
    close(until[1]);
    soma_bridge_close(&bridge);
    free(peers);
    while (wait(NULL) > 0)
        ;
}
