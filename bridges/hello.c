/*
 * The handshake. Each side says who it is, which session it knows with the other, and what it has received in it; from
 * that both tell alike whether the session goes on, and over which of two connections.
 *
 * A session goes on if both name the same one. Else it is over on whichever side still had it, which ends it as if the
 * node had been down, and the side that was called picks the number of a new one. Two nodes that call each other at
 * once keep the connection that the one with the smaller identity has made: both know both.
 */
#include "bridges/bridge.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct span span_of(const char *text)
{
    return (struct span){text, (uint32_t)strlen(text)};
}

void hello_say(struct soma_bridge *bridge, struct connection *connection, uint64_t session, uint64_t received)
{
    struct hello hello = {.version = PROTOCOL_VERSION,
                          .node = bridge->system->node,
                          .session = session,
                          .received = received,
                          .agent = bridge->agent,
                          .name = span_of(bridge->name),
                          .address_count = bridge->address_count,
                          .down_ms = bridge->options.down_ms};
    for (uint32_t i = 0; i < bridge->address_count; i++)
        hello.addresses[i] = span_of(bridge->addresses[i]);
    msgpack_sbuffer_clear(&bridge->frame);
    if (hello_write(&bridge->frame, &hello))
        frame_send(bridge, connection->id);
}

static void reject(struct soma_bridge *bridge, struct connection *connection, int error, const char *text)
{
    msgpack_sbuffer_clear(&bridge->frame);
    if (reject_write(&bridge->frame, error, text))
        frame_send(bridge, connection->id);
    connection_end(bridge, connection, true);
}

/* ---- who it is ---- */

static void peer_learn(struct peer *peer, const struct span *name, const struct span *addresses, uint32_t count)
{
    if (name->size)
        snprintf(peer->name, sizeof(peer->name), "%.*s", (int)name->size, name->text);
    for (uint32_t i = 0; i < ADDRESSES_MAX; i++) {
        free(peer->addresses[i]);
        peer->addresses[i] = i < count ? strndup(addresses[i].text, addresses[i].size) : NULL;
    }
}

/* At this address there was another node before: that one is no more. */
static void dial_answered(struct soma_bridge *bridge, struct dial *dial, soma_ref agent)
{
    struct peer *before = dial->node && dial->node != agent.node ? peers_find(&bridge->peers, dial->node) : NULL;
    dial->node = agent.node;
    dial->wait = 0;
    if (!before || !before->open)
        return;
    soma_log_warning(bridge->system, "bridge: node %s has been replaced by another at %s", before->name, dial->address);
    peer_end(before, SOMA_ENODEDOWN);
}

/* ---- which connection ---- */

static struct connection *ready_of(const struct soma_bridge *bridge, const struct peer *peer)
{
    struct connection *connection = bridge->connections;
    while (connection && connection->id != peer->connection)
        connection = connection->next;
    return connection;
}

/* The peer has a connection, and here is another: true if the new one takes its place. */
static bool connection_wins(const struct soma_bridge *bridge, const struct connection *old,
                            const struct connection *new, uint64_t node)
{
    if (!old->dial == !new->dial) // the same side has dialed again: it has given up the old one
        return true;
    bool here_dials = bridge->system->node < node;
    return here_dials == (new->dial != NULL);
}

/* ---- which session ---- */

/* True if the session goes on, or nothing was in it yet on either side; else it is over, and a new one begins. */
static void session_agree(struct soma_bridge *bridge, struct peer *peer, const struct connection *connection,
                          const struct hello *hello)
{
    bool called = !connection->dial;
    uint64_t mine = peer->session.id;
    if (mine && mine == hello->session && hello->received >= peer->session.acked &&
        hello->received <= peer->session.sent) {
        session_acknowledge(&peer->session, hello->received);
        return;
    }
    if (mine) // one side has given it up
        peer_end(peer, SOMA_ENODEDOWN);
    while (called && !peer->session.id)
        peer->session.id = bridge_random(bridge);
    if (!called)
        peer->session.id = hello->session;
}

static void peer_open(struct soma_bridge *bridge, struct peer *peer, struct connection *connection)
{
    uint64_t now = bridge_now(bridge);
    spin_lock(&peer->busy);
    peer->open = true;
    spin_unlock(&peer->busy);
    connection->peer = peer;
    connection->ready = true;
    bridge->half_open--;
    peer->connection = connection->id;
    peer->dialed = connection->dial;
    peer->heard = peer->spoken = now;
    peer->since = 0;
}

/* All others hear of a new one, and it of them, ahead of any ref to them. */
static void peer_introduce(struct soma_bridge *bridge, struct peer *peer)
{
    for (uint32_t i = 0; i < bridge->peer_count; i++) {
        struct peer *other = bridge->list[i];
        if (other == peer || !other->open)
            continue;
        spin_lock(&peer->busy);
        outbound_introduce(peer, other);
        spin_unlock(&peer->busy);
        spin_lock(&other->busy);
        outbound_introduce(other, peer);
        spin_unlock(&other->busy);
    }
}

void hello_arrive(struct soma_bridge *bridge, struct connection *connection, const struct hello *hello)
{
    if (hello->version != PROTOCOL_VERSION) {
        reject(bridge, connection, SOMA_EFORMAT, "another version of the protocol");
        return;
    }
    if (hello->node == bridge->system->node) { // an address of its own: no use in trying again soon
        reject(bridge, connection, SOMA_EEXIST, "that is the node itself");
        return;
    }
    struct peer *peer = bridge_peer(bridge, hello->node);
    if (!peer) {
        reject(bridge, connection, SOMA_ENOMEM, "out of memory");
        return;
    }
    if (connection->dial)
        dial_answered(bridge, connection->dial, hello->agent);
    struct connection *old = ready_of(bridge, peer);
    if (old && !connection_wins(bridge, old, connection, hello->node)) {
        connection_end(bridge, connection, true);
        return;
    }
    bool known = peer->session.id;
    if (old)
        connection_end(bridge, old, true);
    peer_learn(peer, &hello->name, hello->addresses, hello->address_count);
    peer->agent = hello->agent;
    session_agree(bridge, peer, connection, hello);
    if (!connection->dial)
        hello_say(bridge, connection, peer->session.id, peer->session.received);
    peer_open(bridge, peer, connection);
    if (connection->dial)
        want_answered(bridge, connection->dial->address, peer->agent);
    if (!known) {
        soma_log_info(bridge->system, "bridge: node %s is there", peer->name);
        peer_introduce(bridge, peer);
    }
    peer_resume(bridge, peer);
}
