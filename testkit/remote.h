/*
 * What carries messages between the nodes of a run as long as there are no bridges: each message becomes a frame of
 * its own, and its block stays at the sender until it has arrived or is known to be lost. One that is lost is a dead
 * letter there, and a request then fails, exactly once; so does one that has arrived, when its answer can't come any
 * more. Monitors, links, kills and shutdowns need a bridge.
 */
#ifndef TESTKIT_REMOTE_H
#define TESTKIT_REMOTE_H

#include "runtime/driver.h"
#include <soma/test.h>

struct node;
struct parcel;

/* Messages on their way to one node, in their order. */
struct parcels {
    struct parcel *first, *last;
};

/* A node's. */
struct remote {
    uint64_t identity; /* of its system; 0: the node is down */
    struct route route;
    struct parcels *parcels; /* by receiving node; NULL before the first */
};

/* All identities that nodes have had: a ref to an earlier one's agent is known to lead nowhere. */
struct identity {
    uint64_t identity;
    uint32_t number; /* of the node */
};

struct identities {
    struct identity *all;
    uint32_t count, capacity;
};

/* A node has a system, connected from now on; or will have none. All that waits for it fails with SOMA_ENODEDOWN. */
void remote_open(struct node *node);
void remote_close(struct node *node);

/* Ends it with the run: frees what is on the way, without a word. The route stays, and refuses. */
void remote_end(struct node *node);

/* The node that has, or had, an identity; NULL for one of another run. On real threads under the network's lock. */
struct node *remote_node(soma_test *test, uint64_t identity);

#endif
