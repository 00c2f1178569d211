/*
 * Relays. Two nodes that can't call each other, but have a link each to a third that relays, are joined through that
 * one. To a bridge this is a connection like any other: frames go over it, of which each is an item (ITEM_RELAY) on the
 * link to the relay, and of that to the other end. Hello, session and acknowledgements are between the two ends; so
 * what is sent arrives exactly once and in order, whatever becomes of the relay, and all else need not know of it. The
 * relay passes items on, and keeps nothing of them.
 *
 * One hop: what came through a relay is not passed on again. Nodes with keys take no relay, which could read all.
 */
#ifndef BRIDGES_RELAY_H
#define BRIDGES_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct soma_bridge;
struct pieces;
struct peer;
struct item;
struct way;

#define RELAYED (UINT64_C(1) << 62) /* in the number of such a connection, which no wire sets */

struct relay {
    struct way *ways; /* such connections, from or to this node */
    uint64_t count;   /* that there ever were */
    uint32_t turn;    /* the relay to try next, by its place among the peers */
    bool busy;        /* items were written, and wait to be sent */
};

/* As struct wire's. SOMA_ENOENT: no node that is joined relays. */
int relay_dial(struct soma_bridge *bridge, uint64_t node, uint64_t *connection);
void relay_send(struct soma_bridge *bridge, uint64_t connection, const struct pieces *frame);
void relay_hang_up(struct soma_bridge *bridge, uint64_t connection);

/* Is a node relaying for this one, now? */
bool relay_is_there(const struct soma_bridge *bridge);

/* A node that may be out of reach is called through a relay, too, when the other ways have had some time. 0 or
 * SOMA_ENOMEM. */
int relay_want(struct soma_bridge *bridge, uint64_t node, bool has_address);

/* The node at the other end of a connection, as the relay says. */
uint64_t relay_far(const struct soma_bridge *bridge, uint64_t connection);

/* An item that a peer has passed on, or that is to be. Always 0. */
int relay_arrive(struct peer *peer, const struct item *item);

/* A peer's session is over, and all that goes through it. */
void relay_end(struct peer *peer);
void relay_free(struct soma_bridge *bridge);

#endif
