/*
 * The handshake. First each side says hello, who dialed first: who it is. Then each says what it knows of the session
 * with the other. Two nodes may dial each other at once, by several addresses, and lose any connection at any word;
 * still they are joined by one session, that ends only if one of them gives it up.
 *
 * Which connection, of two: if the same side made both, the one over which it said hello later; they may be read in any
 * order. Else the one over which the side that made it said hello after it had said so over the other one, which it had
 * lost then; a node never says hello over a second one if it has one that works. If both said theirs first where they
 * dialed, they have dialed at once: then it is the one that the node with the smaller identity has made. Both sides can
 * tell all that from the counts of their hellos.
 *
 * Which session: it has two halves, each a number that its side draws when it has none, and forgets with the session.
 * The session goes on if each side names both halves alike, and begins if one does not know the other's yet. One that
 * hears of a new half in place of the one it knew, or of an old one in place of its own, has a session that the other
 * side gave up, and gives it up, too.
 */
#include "bridges/address.h"
#include "bridges/bridge.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct span span_of(const char *text)
{
    return (struct span){text, (uint32_t)strlen(text)};
}

void hello_say(struct soma_bridge *bridge, struct connection *connection)
{
    connection->said = ++bridge->hellos;
    struct hello hello = {.version = PROTOCOL_VERSION,
                          .least = PROTOCOL_LEAST,
                          .node = bridge->system->node,
                          .agent = bridge->agent,
                          .name = span_of(bridge->name),
                          .address_count = bridge->address_count,
                          .beat_ms = bridge->options.heartbeat_ms,
                          .count = connection->said,
                          .reads = READS_ALL | (bridge->options.relay ? READS_RELAYED : 0)};
    for (uint32_t i = 0; i < bridge->address_count; i++)
        hello.addresses[i] = span_of(bridge->addresses[i]);
    msgpack_sbuffer_clear(&bridge->frame);
    if (hello_write(&bridge->frame, &hello))
        frame_send(bridge, connection->id, NULL);
}

static void join_say(struct soma_bridge *bridge, struct peer *peer)
{
    while (!peer->session.mine)
        peer->session.mine = bridge_random(bridge);
    const struct join join = {peer->session.mine, peer->session.yours, peer->session.received};
    msgpack_sbuffer_clear(&bridge->frame);
    if (join_write(&bridge->frame, &join))
        frame_send(bridge, peer->connection, NULL);
}

static void reject(struct soma_bridge *bridge, struct connection *connection, int error, const char *text)
{
    trust_count(bridge, &bridge->counts.bad_hellos);
    if (trust_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: a hello is not accepted: %s", text);
    msgpack_sbuffer_clear(&bridge->frame);
    if (reject_write(&bridge->frame, error, text))
        frame_send(bridge, connection->id, NULL);
    connection_end(bridge, connection, true);
}

/* ---- who it is ---- */

void peer_learn(struct peer *peer, const struct span *name, const struct span *addresses, uint32_t count)
{
    spin_lock(&peer->busy); // who asks for peers reads these
    peer->listens = count;
    if (name->size)
        snprintf(peer->name, sizeof(peer->name), "%.*s", (int)name->size, name->text);
    spin_unlock(&peer->busy);
    for (uint32_t i = 0; i < ADDRESSES_MAX; i++) {
        free(peer->addresses[i]);
        peer->addresses[i] = i < count ? strndup(addresses[i].text, addresses[i].size) : NULL;
    }
}

/* Another node is where this one was: it is no more, unless it has a connection by another way. */
static void peer_replaced(struct soma_bridge *bridge, struct peer *before, const char *address)
{
    if (!before->open || before->connection)
        return;
    if (node_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: node %s has been replaced by another at %s", before->name, address);
    peer_end(before, SOMA_ENODEDOWN);
    before->replaced = true;
    dials_forget(bridge, before->node);
}

/* Can this node be reached from this machine alone? Then all others are there, too. */
static bool is_local(const struct soma_bridge *bridge)
{
    bool local = bridge->address_count > 0;
    for (uint32_t i = 0; i < bridge->address_count; i++)
        local &= address_is_local(bridge->addresses[i]);
    return local;
}

/* An address of both; NULL if there is none. That of any interface is no place, and a machine's own is one on each. */
static const char *address_shared(const struct peer *one, const struct peer *other)
{
    bool local = is_local(one->bridge);
    for (uint32_t i = 0; i < ADDRESSES_MAX && one->addresses[i]; i++)
        for (uint32_t j = 0; j < ADDRESSES_MAX && other->addresses[j]; j++)
            if (!strcmp(one->addresses[i], other->addresses[j]) && !address_is_any(one->addresses[i]) &&
                (local || !address_is_local(one->addresses[i])))
                return one->addresses[i];
    return NULL;
}

/*
 * A node that has begun where another was, with its key, while that one was silent, is the next run of a program that
 * has ended; and has word of that ahead of what it says, unless the connection of before is not known to be broken yet.
 */
static void peer_look(struct soma_bridge *bridge, const struct peer *peer, struct peer *before)
{
    bool later = peer != before && peer->open && before->open && peer->begun >= before->heard;
    const char *address = later ? address_shared(peer, before) : NULL;
    if (address && !strcmp(before->key, peer->key))
        peer_replaced(bridge, before, address);
}

static void peer_succeed(struct soma_bridge *bridge, struct peer *peer)
{
    peer->begun = bridge_now(bridge);
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        peer_look(bridge, peer, bridge->list[i]);
}

void peer_lost(struct soma_bridge *bridge, struct peer *peer)
{
    peer->lost = false;
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        peer_look(bridge, bridge->list[i], peer);
}

static void dial_answered(struct soma_bridge *bridge, struct dial *dial, soma_ref agent)
{
    struct peer *before = dial->node && dial->node != agent.node ? peers_find(&bridge->peers, dial->node) : NULL;
    dial->node = agent.node;
    dial->asked = false;
    dial->wait = 0;
    if (before)
        peer_replaced(bridge, before, dial->address);
}

/* ---- which connection ---- */

/* Who dialed a connection said hello over it later than over another: it had given that one up. */
static bool is_later(const struct connection *connection, const struct connection *other)
{
    return connection->dial ? connection->said > other->said : connection->heard > other->heard;
}

/* The peer has a connection, and here is another: true if the new one takes its place. */
static bool connection_wins(const struct soma_bridge *bridge, const struct connection *old,
                            const struct connection *new, uint64_t node)
{
    if (!old->dial == !new->dial) // the same side has dialed again: it has given up the one before
        return !is_later(old, new);
    if (is_later(new, old) || is_later(old, new))
        return is_later(new, old);
    bool here_dials = bridge->system->node < node;
    return here_dials == (new->dial != NULL);
}

/* It is the peer's from now on. What is sent to the peer waits for the session. */
static void connection_claim(struct soma_bridge *bridge, struct peer *peer, struct connection *connection,
                             const struct hello *hello)
{
    struct connection *old = connection_find(bridge, peer->connection);
    if (old)
        connection_end(bridge, old, true);
    peer_learn(peer, &hello->name, hello->addresses, hello->address_count);
    peer->agent = hello->agent;
    spin_lock(&peer->busy);
    peer->reads = hello->reads;
    spin_unlock(&peer->busy);
    peer->beat = (hello->beat_ms > BEAT_LEAST_MS ? hello->beat_ms : BEAT_LEAST_MS) * SOMA_MS;
    peer->connection = connection->id;
    connection->peer = peer;
    peer->replaced = false;
    peer_wake(peer);
    peer_open(peer);
}

/* ---- which session ---- */

/* Not to one that is idle: it hears of all when its session begins. */
static void introduce(struct peer *to, const struct peer *other)
{
    spin_lock(&to->busy);
    if (to->open && !to->idle && to != other)
        outbound_introduce(to, other);
    spin_unlock(&to->busy);
}

void peer_announce(struct soma_bridge *bridge, struct peer *peer)
{
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        introduce(bridge->list[i], peer);
}

/* A new one hears of all others, and they of it. */
static void peer_introduce(struct soma_bridge *bridge, struct peer *peer)
{
    peer_announce(bridge, peer);
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        if (bridge->list[i]->open && !bridge->list[i]->hearsay && bridge->list[i] != peer)
            transit_introduce(peer, bridge->list[i]);
}

/* The session goes on over a connection, or begins there. */
static void peer_join(struct soma_bridge *bridge, struct peer *peer, struct connection *connection)
{
    connection->ready = peer->joined = true;
    peer->pings = 0;
    bridge->half_open -= !connection->dial;
    bridge->accepted += !connection->dial;
    connection_called(bridge, connection);
    peer->heard = peer->spoken = bridge_now(bridge);
    peer->since = UINT64_MAX;
    wants_answered(bridge, peer->node, peer->agent);
    if (connection->dial)
        dial_settle(bridge, connection->dial, connection->id);
}

int join_arrive(struct soma_bridge *bridge, struct connection *connection, const struct join *join)
{
    struct peer *peer = connection->peer;
    struct session *session = &peer->session;
    bool begins = session->yours != join->mine, over = begins && session->yours;
    if (over) { // the other side has given it up
        peer_end(peer, SOMA_ENODEDOWN);
        if (!bridge_admits(bridge, peer->node))
            return SOMA_ECLOSED;
        peer_open(peer);
    }
    bool agreed = !join->yours || (!over && join->yours == session->mine);
    if (agreed)
        session->yours = join->mine;
    if (over)
        join_say(bridge, peer);
    if (!agreed) // it takes this half for an older one; once it has heard of this one, it says so
        return 0;
    if (join->received < session->acked) // an old word, as what is acknowledged stays so: a new connection says more
        return SOMA_ECLOSED;
    if (join->received > session->sent) {
        peer_end(peer, SOMA_ENODEDOWN);
        return SOMA_EFORMAT;
    }
    if (peer_publish(bridge, peer)) {
        session->yours = begins ? 0 : session->yours; // it begins when there is room for another node
        return SOMA_ECLOSED;
    }
    if (begins)
        peer_succeed(bridge, peer);
    passed_settle(peer, join->received);
    session_acknowledge(session, join->received);
    peer_join(bridge, peer, connection);
    peer->gained = begins ? peer->heard : 0;
    if (begins) {
        if (node_may_log(bridge))
            soma_log_info(bridge->system, "bridge: node %s is there", peer->name);
        peer_introduce(bridge, peer);
        unsaid_say(peer);
    }
    peer_resume(bridge, peer);
    return 0;
}

/* ---- hello ---- */

/* May the other side make a connection? One that it has may be lost without a sign here: another takes its place. */
static bool has_room(const struct soma_bridge *bridge, uint64_t node)
{
    const struct peer *peer = peers_find(&bridge->peers, node);
    const struct connection *old = peer ? connection_find(bridge, peer->connection) : NULL;
    return bridge->accepted < bridge->options.links_most || (old && old->ready && !old->dial);
}

void hello_arrive(struct soma_bridge *bridge, struct connection *connection, const struct hello *hello)
{
    if (!hello_speaks(hello)) {
        reject(bridge, connection, SOMA_EFORMAT, "another version of the protocol");
        return;
    }
    if (hello->node == bridge->system->node) { // an address of its own: no use in trying again soon
        reject(bridge, connection, SOMA_EEXIST, "that is the node itself");
        return;
    }
    if (connection->id & RELAYED && hello->node != relay_far(bridge, connection->id)) {
        reject(bridge, connection, SOMA_EINVAL, "it is not whom the relay says");
        return;
    }
    if (!trust_connection(bridge, connection)) {
        reject(bridge, connection, SOMA_EINVAL, "its key is not allowed");
        return;
    }
    if (!connection->dial && !has_room(bridge, hello->node)) {
        reject(bridge, connection, SOMA_EFULL, "there are too many links");
        return;
    }
    if (!connection->dial && !bridge_admits(bridge, hello->node)) {
        connection_end(bridge, connection, true);
        return;
    }
    struct peer *peer = peer_meet(bridge, hello->node);
    if (!peer) {
        reject(bridge, connection, SOMA_ENOMEM, "there is no room for another node");
        return;
    }
    if (!trust_peer(peer, connection)) {
        reject(bridge, connection, SOMA_EINVAL, "its key is another node's");
        return;
    }
    if (!connection->dial)
        hello_say(bridge, connection); // also if it loses: so who dialed learns who is here
    connection->heard = hello->count;
    const struct connection *old = connection_find(bridge, peer->connection);
    bool wins = !old || connection_wins(bridge, old, connection, hello->node);
    const struct dial *dial = connection->dial;
    if (dial)
        dial_answered(bridge, connection->dial, hello->agent);
    if (wins) {
        connection_claim(bridge, peer, connection, hello);
        join_say(bridge, peer);
    } else {
        connection_end(bridge, connection, true);
    }
    if (dial && peer->joined) // else when it is
        want_answered(bridge, dial->address, hello->agent);
}
