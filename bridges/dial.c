/*
 * Calling other nodes: where, when, and how often. An address that the user gave is called for as long as the bridge
 * lives; one of which another node told until the node that was there has left, or was down for long.
 */
#include "bridges/bridge.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define GRACE (200 * SOMA_MS) /* for another connection's handshake, before this side dials, too */
#define RETRY_LEAST (50 * SOMA_MS)
#define RETRY_HOPED (500 * SOMA_MS)  /* the longest wait while somebody waits for who is to answer */
#define COMPLAINT (60 * SOMA_SECOND) /* between two lines about the same */
#define CALLS_MOST 128u              /* to where others say that somebody is, at a time: each takes descriptors */
#define RETRY_SLOW (2 * SOMA_SECOND) /* and if there is a connection, but no word */

/* ---- which there are ---- */

int dial_add(struct soma_bridge *bridge, const char *address, uint64_t node)
{
    for (struct dial *dial = bridge->dials; dial; dial = dial->next) {
        if (!strcmp(dial->address, address)) {
            dial->fleeting &= node != 0;
            dial->asked |= !node;
            return 0;
        }
    }
    struct dial *dial = calloc(1, sizeof(*dial));
    char *copy = dial ? strdup(address) : NULL;
    if (!copy) {
        free(dial);
        return SOMA_ENOMEM;
    }
    *dial = (struct dial){.next = bridge->dials, .address = copy, .node = node, .fleeting = node != 0};
    bridge->dials = dial;
    return 0;
}

void dial_want(struct soma_bridge *bridge, const struct want *want)
{
    struct dial *dial = dial_add(bridge, want->address, 0) ? NULL : bridge->dials;
    while (dial && strcmp(dial->address, want->address) != 0)
        dial = dial->next;
    if (dial)
        dial->want = want; // both stay as long as the bridge
}

void dial_settle(struct soma_bridge *bridge, struct dial *dial, uint64_t id)
{
    for (struct connection *other = bridge->connections, *after; other; other = after) {
        after = other->next;
        if (other->dial == dial && other->id != id && !other->ready)
            connection_end(bridge, other, true);
    }
    dial->connection = id;
    dial->due = bridge_now(bridge) + RETRY_SLOW;
}

/* All by a dial: one that is doubted, and those that were to take its place. */
static void connections_end(struct soma_bridge *bridge, const struct dial *dial)
{
    for (struct connection *connection = bridge->connections, *after; connection; connection = after) {
        after = connection->next;
        if (connection->dial == dial)
            connection_end(bridge, connection, true);
    }
}

bool dial_may_log(struct soma_bridge *bridge, struct dial *dial)
{
    uint64_t now = bridge_now(bridge);
    bool may = (!dial->told || now >= dial->told + COMPLAINT) && own_may_log(bridge);
    if (may)
        dial->told = now;
    return may;
}

void dials_forget(struct soma_bridge *bridge, uint64_t node)
{
    for (struct dial **link = &bridge->dials; *link;) {
        struct dial *dial = *link;
        if (!dial->fleeting || dial->node != node) {
            link = &dial->next;
            continue;
        }
        connections_end(bridge, dial);
        *link = dial->next;
        free(dial->address);
        free(dial);
    }
}

/* ---- when ---- */

/* Some time between half of it and all, so that those who lost the same node do not come back as one. */
static uint64_t jitter(const struct soma_bridge *bridge, uint64_t wait)
{
    return wait / 2 + bridge_random(bridge) % (wait / 2 + 1);
}

/* Does an agent want to know who answers there? Also when the node that was there is long down. */
static bool dial_is_awaited(struct soma_bridge *bridge, const struct dial *dial)
{
    if (!dial->want)
        return false;
    pthread_mutex_lock(&bridge->lock);
    bool awaited = dial->want->awaited;
    pthread_mutex_unlock(&bridge->lock);
    return awaited;
}

/*
 * Somebody waits for the node who is to be dialed: the way there should be used soon after it is back. That may also be
 * so while there is a link: what was on its way when a network was cut is tried again by TCP ever less often, long
 * after it is back, so a new connection is sooner there. (A link through a relay has one below it for that.)
 */
static bool dial_is_hoped(struct soma_bridge *bridge, const struct dial *dial, const struct peer *peer, uint64_t now)
{
    if (peer && peer->joined)
        return !dial->relayed && now >= peer_doubt(peer);
    return (peer && peer->open) || dial_is_awaited(bridge, dial);
}

static const struct peer *dial_peer(const struct soma_bridge *bridge, const struct dial *dial)
{
    return dial->node ? peer_seen(bridge, dial->node) : NULL;
}

void dial_later(struct soma_bridge *bridge, struct dial *dial)
{
    uint64_t most = bridge->options.retry_most_ms * SOMA_MS, now = bridge_now(bridge);
    if (most > RETRY_HOPED && dial_is_hoped(bridge, dial, dial_peer(bridge, dial), now))
        most = RETRY_HOPED;
    dial->connection = 0;
    dial->wait = dial->wait ? dial->wait * 2 : RETRY_LEAST;
    dial->wait = dial->wait < most ? dial->wait : most;
    dial->due = now + jitter(bridge, dial->wait);
}

/* Others may tell of many nodes that are not there: of the places half are for those that were not called yet. */
static bool dial_must_wait(const struct soma_bridge *bridge, const struct dial *dial)
{
    bool first = !dial->wait && !dial->connection;
    return dial->fleeting && !dial->relayed && bridge->calling >= (first ? CALLS_MOST : CALLS_MOST / 2);
}

/* Connects where it is time to. When to look again. */
static uint64_t dial_watch(struct soma_bridge *bridge, struct dial *dial, uint64_t now)
{
    if (!bridge_admits(bridge, dial->node))
        return UINT64_MAX;
    const struct connection *last = dial->connection ? connection_find(bridge, dial->connection) : NULL;
    const struct peer *peer = dial_peer(bridge, dial);
    bool joined = peer && peer->joined; // by this dial, or it has come by itself
    bool hoped = dial_is_hoped(bridge, dial, peer, now);
    if (!hoped && (last || (joined && !dial->asked)))
        return joined && !dial->relayed ? peer_doubt(peer) : UINT64_MAX;
    if (hoped && dial->wait > RETRY_HOPED) { // so long it was not: nobody waited
        dial->wait = RETRY_HOPED;
        dial->due = earlier(dial->due, now + jitter(bridge, RETRY_HOPED));
    }
    uint64_t due = dial->due;
    const struct connection *other = peer && peer->connection ? connection_find(bridge, peer->connection) : NULL;
    if (other && due < other->begun + GRACE) // but not for long: both may have a dead one that the other side made
        due = other->begun + GRACE;
    if (due > now)
        return due;
    if (dial_must_wait(bridge, dial))
        return now + RETRY_LEAST;
    uint64_t id;
    int error = dial->relayed ? relay_dial(bridge, dial->node, &id)
                              : bridge->wire.dial(bridge->wire.context, dial->address, &id);
    if (error == SOMA_EINVAL) // not before other keys are allowed
        return dial->due = UINT64_MAX;
    struct connection *connection = error ? NULL : connection_new(bridge, id, dial);
    if (!connection) {
        if (!error && dial->relayed)
            relay_hang_up(bridge, id);
        dial_later(bridge, dial);
        return dial->due;
    }
    dial->connection = id;
    dial->due = now + RETRY_HOPED; // then once more, beside this one: the first to be answered counts
    if (dial->relayed)
        bridge_connected(bridge, id); // it needs no more
    return dial->due;
}

/* When a dial is given up; UINT64_MAX: not now. */
static uint64_t dial_limit(const struct soma_bridge *bridge, const struct dial *dial)
{
    const struct peer *peer = dial->fleeting ? peers_find(&bridge->peers, dial->node) : NULL;
    return peer && !peer->open ? peer->ended + HOPELESS * bridge->options.down_ms * SOMA_MS : UINT64_MAX;
}

uint64_t dials_watch(struct soma_bridge *bridge, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (struct dial *dial = bridge->dials; dial;) {
        uint64_t limit = dial_limit(bridge, dial);
        if (now >= limit) {
            dials_forget(bridge, dial->node);
            dial = bridge->dials; // any of the others may be among them
            continue;
        }
        next = earlier(next, earlier(limit, dial_watch(bridge, dial, now)));
        dial = dial->next;
    }
    return next;
}
