/*
 * What carries messages between the nodes of a run: a bridge for each (bridges/bridge.h), the very code that runs over
 * ZeroMQ, here over the kit's own wire. Nodes go by the addresses `sim://NAME`. A node is introduced to another one
 * when it first sends there, and then connects, so that refs work between all nodes of a run.
 *
 * The wire behaves as bridges/zmq_wire.c does: who has dialed is told when the connection breaks, who was called only
 * finds that nothing can be sent any more. In a simulation a bridge's turn is one more thing that may come next, chosen
 * like an agent's; on real threads one thread takes the turns of all bridges.
 */
#ifndef TESTKIT_CARRIER_H
#define TESTKIT_CARRIER_H

#include <soma/test.h>
#include <stdbool.h>

struct node;
struct soma_bridge;
struct end;

/* A node's. */
struct carrier {
    struct soma_bridge *bridge; /* NULL: the node is alone, or down */
    struct end *ends;           /* of its connections */
    uint64_t due;               /* when its bridge wants a turn; UINT64_MAX: never */
    bool ready;                 /* it is where the next step is chosen from */
    uint64_t healed;            /* bits of nodes that can be reached again */
    uint64_t priority;          /* for SOMA_SCHEDULE_PCT; 0: none yet */
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

/* A node has a system now. With two of them all get bridges. */
void carrier_open(struct node *node);

/* The node's process is no more: nothing is said, its connections break. Its bridge goes with its system. */
void carrier_close(struct node *node);

/* A step: the bridge does what there is to do. */
void carrier_turn(struct node *node);

/* A frame has come for a node. */
void carrier_arrive(struct node *node, uint32_t from, const void *bytes, size_t size);

/* The connections between a node and another one are lost. */
void carrier_break(struct node *node, uint32_t other);

/* A node reaches another one again, or is reached: it does not wait before it dials. */
void carrier_heal(struct node *node, uint32_t other);

/* When the next bridge wants a turn, UINT64_MAX if none does. Those due become ready. */
uint64_t carriers_next(const soma_test *test);
void carriers_fire(soma_test *test);

/* Is nothing on its way that has not been acknowledged? */
bool carriers_rest(const soma_test *test);

/* The node that has, or had, an identity; NULL for one of another run. On real threads under the network's lock. */
struct node *carrier_node(soma_test *test, uint64_t identity);

#endif
