/* Connections through a third node; see relay.h. */
#include "bridges/relay.h"
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>

#define RELAY_AFTER SOMA_SECOND /* for a node to be reached directly */

struct way {
    struct way *next;
    uint64_t id;
    uint64_t far;     /* the node at the other end */
    uint64_t channel; /* which of those between the two; drawn by who called */
    struct peer *relay;
};

static struct way *way_find(const struct soma_bridge *bridge, uint64_t id)
{
    struct way *way = bridge->relay.ways;
    while (way && way->id != id)
        way = way->next;
    return way;
}

static struct way *way_add(struct soma_bridge *bridge, struct peer *relay, uint64_t far, uint64_t channel)
{
    struct way *way = malloc(sizeof(*way));
    if (way) {
        *way = (struct way){bridge->relay.ways, RELAYED | ++bridge->relay.count, far, channel, relay};
        bridge->relay.ways = way;
    }
    return way;
}

static void way_remove(struct soma_bridge *bridge, struct way *way)
{
    struct way **link = &bridge->relay.ways;
    while (*link != way)
        link = &(*link)->next;
    *link = way->next;
    free(way);
}

/* Who has called, of two nodes, is told by the channel's lowest bit: so an answer over one that is no more is not taken
 * for a new call. */
static uint64_t channel_bit(uint64_t caller, uint64_t other)
{
    return caller > other;
}

/* A frame, or (NULL) word that there is no way. False if the peer does not get it. */
static bool item_send(struct peer *peer, uint64_t to, uint64_t from, uint64_t channel, const void *frame, size_t size)
{
    struct soma_bridge *bridge = peer->bridge;
    spin_lock(&peer->busy);
    bool sent = peer->open && !outbound_relay(peer, to, from, channel, frame, size);
    spin_unlock(&peer->busy);
    bridge->relay.busy |= sent;
    return sent;
}

/* ---- as a wire ---- */

static bool does_relay(const struct peer *peer)
{
    return peer->reads & READS_RELAYED && peer->joined && !(peer->connection & RELAYED);
}

bool relay_is_there(const struct soma_bridge *bridge)
{
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        if (does_relay(bridge->list[i]))
            return true;
    return false;
}

int relay_dial(struct soma_bridge *bridge, uint64_t node, uint64_t *connection)
{
    struct peer *relay = NULL;
    for (uint32_t i = 0; i < bridge->peer_count && !relay; i++) {
        struct peer *peer = bridge->list[bridge->relay.turn++ % bridge->peer_count];
        relay = does_relay(peer) && peer->node != node ? peer : NULL;
    }
    if (!relay)
        return SOMA_ENOENT;
    uint64_t channel = bridge_random(bridge) << 1 | channel_bit(bridge->system->node, node);
    const struct way *way = way_add(bridge, relay, node, channel);
    if (!way)
        return SOMA_ENOMEM;
    *connection = way->id;
    return 0;
}

void relay_send(struct soma_bridge *bridge, uint64_t connection, const struct pieces *frame)
{
    const struct way *way = way_find(bridge, connection);
    // What does not leave is missed by the other end, or its answer by this one: that ends the connection.
    size_t size = pieces_size(frame);
    char *whole = way ? malloc(size) : NULL;
    if (!whole)
        return;
    pieces_join(frame, whole);
    item_send(way->relay, way->far, bridge->system->node, way->channel, whole, size);
    free(whole);
}

void relay_hang_up(struct soma_bridge *bridge, uint64_t connection)
{
    struct way *way = way_find(bridge, connection);
    if (!way)
        return;
    item_send(way->relay, way->far, bridge->system->node, way->channel, NULL, 0);
    way_remove(bridge, way);
}

uint64_t relay_far(const struct soma_bridge *bridge, uint64_t connection)
{
    const struct way *way = way_find(bridge, connection);
    return way ? way->far : 0;
}

int relay_want(struct soma_bridge *bridge, uint64_t node, bool has_address)
{
    char address[32];
    if (bridge->keys.on)
        return 0;
    snprintf(address, sizeof(address), "relay:%016llx", (unsigned long long)node);
    int error = dial_add(bridge, address, node);
    struct dial *dial = bridge->dials;
    if (!error && !dial->relayed && !strcmp(dial->address, address)) { // it was not there before
        dial->relayed = true;
        dial->due = has_address ? bridge_now(bridge) + RELAY_AFTER : 0;
    }
    return error;
}

/* ---- what arrives ---- */

static void way_broken(struct soma_bridge *bridge, struct way *way)
{
    uint64_t id = way->id;
    way_remove(bridge, way);
    bridge_broken(bridge, id);
}

/* For this node. */
static void frame_arrive(struct peer *relay, const struct item *item)
{
    struct soma_bridge *bridge = relay->bridge;
    struct way *way = bridge->relay.ways;
    while (way && !(way->relay == relay && way->far == item->other && way->channel == item->handle))
        way = way->next;
    if (!item->body.at) {
        if (way)
            way_broken(bridge, way);
        return;
    }
    uint64_t far = item->other, here = bridge->system->node;
    bool calls = (item->handle & 1) == channel_bit(far, here) && far != relay->node && far != here;
    if (!way && calls && !bridge->keys.on)
        way = way_add(bridge, relay, far, item->handle);
    if (way)
        bridge_received(bridge, way->id, item->body.at, reader_left(&item->body));
    else
        item_send(relay, far, here, item->handle, NULL, 0);
}

/* A relay holds no more than that: who sends more begins anew later, and loses nothing. */
static bool has_room(struct peer *peer)
{
    spin_lock(&peer->busy);
    bool room = peer->out.bytes < OUT_HIGH || peer->out.bytes - OUT_HIGH < peer->bridge->options.window;
    spin_unlock(&peer->busy);
    return room;
}

/* For another one. */
static void frame_pass(struct peer *peer, const struct item *item)
{
    struct soma_bridge *bridge = peer->bridge;
    struct peer *to = peers_find(&bridge->peers, item->node);
    bool passes = bridge->options.relay && to && to != peer && to->joined && !(to->connection & RELAYED);
    size_t size = reader_left(&item->body);
    if (passes && (has_room(to) || !size) && item_send(to, item->node, item->other, item->handle, item->body.at, size))
        return;
    if (item->body.at)
        item_send(peer, peer->node, item->node, item->handle, NULL, 0);
}

int relay_arrive(struct peer *peer, const struct item *item)
{
    if (peer->connection & RELAYED)
        return 0;
    if (item->node == peer->bridge->system->node)
        frame_arrive(peer, item);
    else if (item->other == peer->node) // each speaks for itself
        frame_pass(peer, item);
    return 0;
}

void relay_end(struct peer *peer)
{
    struct soma_bridge *bridge = peer->bridge;
    for (struct way *way = bridge->relay.ways; way;) {
        if (way->relay != peer) {
            way = way->next;
            continue;
        }
        way_broken(bridge, way);
        way = bridge->relay.ways; // any of the others may have ended with it
    }
}

void relay_free(struct soma_bridge *bridge)
{
    for (struct way *way = bridge->relay.ways, *next; way; way = next) {
        next = way->next;
        free(way);
    }
}
