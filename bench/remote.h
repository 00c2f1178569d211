/*
 * What the workloads of remote delivery share: this process, whose node is the hub, and others, each a node of its own
 * that links to the hub over TCP on loopback.
 */
#ifndef BENCH_REMOTE_H
#define BENCH_REMOTE_H

#include "bench.h"
#include <soma/bridge.h>

#define REMOTE_NODES_MOST 8u

struct remote {
    soma_bridge *bridge;
    uint32_t nodes;                /* how many others */
    int others[REMOTE_NODES_MOST]; /* sockets to their processes */
};

/* What the other nodes' agents get: whom to send how many parcels, with so many bytes. */
SOMA_MESSAGE(begin, (ref, hub), (u64, left), (u32, size), (bool, text))

#define PARCEL_MOST 1024u /* bytes of its load */
SOMA_MESSAGE(parcel, (bytes, load))

/*
 * Starts the other nodes, each with an agent of `there` and as many workers, and returns when all of them have found
 * the hub's agent, of `here`; with keys if bench->curve is set, and compressed if
 * bench->compress is.
 */
void nodes_open(struct bench *bench, struct remote *remote, uint32_t nodes, uint32_t workers, const soma_behavior *here,
                const soma_behavior *there);

/* Each of the other nodes' agents gets a `begin`, with its share of the operations. */
void remote_begin(const struct bench *bench, const struct remote *remote, uint32_t size);

/* Ends the other nodes, and then the bridge. */
void nodes_close(struct remote *remote);

#endif
