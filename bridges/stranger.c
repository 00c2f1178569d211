/*
 * Strangers: nodes that have said hello, and have no session with this one yet. Anybody can claim to be any node, so
 * little is kept of them, of no more than a number of them at a time, and not for long. Who gets as far as a session is
 * a peer from then on, for all to see (bridge_peer()). All in the bridge's thread.
 */
#include "bridges/bridge.h"

#define STRANGERS_MOST 1024u /* the oldest goes */

static struct peer *stranger_find(const struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = bridge->strangers;
    while (peer && peer->node != node)
        peer = peer->next;
    return peer;
}

struct peer *peer_seen(const struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = peers_find(&bridge->peers, node);
    return peer ? peer : stranger_find(bridge, node);
}

static void stranger_forget(struct soma_bridge *bridge, struct peer *peer)
{
    peer_hang_up(peer);
    stranger_remove(bridge, peer);
    peer_retire(peer);
}

static struct peer *stranger_oldest(const struct soma_bridge *bridge)
{
    struct peer *peer = bridge->strangers;
    while (peer->next)
        peer = peer->next;
    return peer;
}

struct peer *peer_meet(struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = peer_seen(bridge, node);
    if (peer || !(peer = peer_new(bridge, node)))
        return peer;
    if (bridge->stranger_count >= STRANGERS_MOST)
        stranger_forget(bridge, stranger_oldest(bridge));
    peer->next = bridge->strangers;
    bridge->strangers = peer;
    bridge->stranger_count++;
    return peer;
}

void stranger_remove(struct soma_bridge *bridge, struct peer *peer)
{
    struct peer **link = &bridge->strangers;
    while (*link && *link != peer)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = peer->next;
    bridge->stranger_count--;
}

/* Not before its time: the other side may have a session with this one already, and have lost the connection then. */
uint64_t strangers_watch(struct soma_bridge *bridge, uint64_t now)
{
    uint64_t next = UINT64_MAX, patience = bridge->options.down_ms * SOMA_MS;
    for (struct peer *peer = bridge->strangers, *after; peer; peer = after) {
        after = peer->next;
        uint64_t over = peer->open ? peer->since + patience : now;
        if (now < over) {
            next = earlier(next, over);
            continue;
        }
        stranger_forget(bridge, peer);
    }
    return next;
}

void strangers_free(struct soma_bridge *bridge)
{
    for (struct peer *peer = bridge->strangers, *next; peer; peer = next) {
        next = peer->next;
        peer_free(peer);
    }
}
