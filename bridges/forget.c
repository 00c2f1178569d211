/*
 * Peers that are forgotten: nodes that have left, or were down for so long that nobody looks for them any more. A node
 * is one run of a program, so it hardly ever comes back; else a node that others visit, such as the command `soma` from
 * a timer, would keep each of them for ever.
 *
 * When a session is over nothing of it is left: requests, monitors and links were told, and what was not acknowledged
 * is lost. So there is nothing to keep but that the node was there, which its place in the table says: refs to it fail
 * as before; those to one of which others only told, as if nobody had. If it does come back, that is a new session, as
 * it is for one that was not forgotten.
 *
 * Other threads may have found the peer before it was. So its memory is not freed, but is the next node's: under `busy`
 * they see whose it is.
 */
#include "bridges/bridge.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include <stdio.h>
#include <stdlib.h>

struct peer *peer_new(struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = bridge->spare;
    if (peer)
        bridge->spare = peer->next;
    else if ((peer = calloc(1, sizeof(*peer))))
        peer->bridge = bridge;
    else
        return NULL;
    spin_lock(&peer->busy); // one that was another's may still be looked at
    peer->node = node;
    snprintf(peer->name, sizeof(peer->name), "%016llx", (unsigned long long)node);
    spin_unlock(&peer->busy);
    peer->next = NULL;
    peer->replaced = false;
    peer->since = UINT64_MAX;
    return peer;
}

/* All that is a node's, but what other threads may have. */
static void peer_clear(struct peer *peer)
{
    struct debt debt;
    while (debts_pop(&peer->debts, &debt))
        if (debt.kind == DEBT_WATCH)
            message_free(peer->bridge->worker, debt.watch);
    outbound_reset(&peer->out);
    transit_reset(&peer->transit);
    bodies_reset(&peer->bodies);
    debts_free(&peer->debts);
    session_reset(&peer->session);
    free(peer->types);
    peer->types = NULL;
    peer->type_count = 0;
    for (uint32_t i = 0; i < ADDRESSES_MAX; i++) {
        free(peer->addresses[i]);
        peer->addresses[i] = NULL;
    }
}

void peer_free(struct peer *peer)
{
    peer_clear(peer);
    gates_free(&peer->gates);
    free(peer);
}

void peer_retire(struct peer *peer)
{
    struct soma_bridge *bridge = peer->bridge;
    if (!peer->gate) { // no other thread ever knew it
        peer_free(peer);
        return;
    }
    spin_lock(&peer->busy);
    peer_clear(peer);
    peer->node = peer->reads = 0;
    peer->open = peer->dirty = peer->idle = peer->hearsay = false;
    peer->shown = (struct shown){0};
    spin_unlock(&peer->busy);
    peer->agent = SOMA_REF_NULL;
    peer->key[0] = '\0';
    peer->luck = (struct compress_luck){0};
    peer->connection = peer->beat = peer->heard = peer->spoken = peer->owed = peer->begun = peer->ended = 0;
    peer->joined = peer->lost = peer->unsaid = false;
    peer->moved = 0;
    peer->next = bridge->spare;
    bridge->spare = peer;
}

void spares_free(struct soma_bridge *bridge)
{
    while (bridge->spare) {
        struct peer *peer = bridge->spare;
        bridge->spare = peer->next;
        peer_free(peer);
    }
}

/* Does a connection have it that is not agreed on yet? */
static bool is_greeted(const struct soma_bridge *bridge, const struct peer *peer)
{
    const struct connection *connection = bridge->connections;
    while (connection && connection->peer != peer)
        connection = connection->next;
    return connection;
}

/* False without memory: it stays for now. */
static bool peer_forget(struct soma_bridge *bridge, uint32_t at)
{
    struct peer *peer = bridge->list[at];
    if (peers_forget(&bridge->peers, peer))
        return false;
    dials_forget(bridge, peer->node);
    pthread_mutex_lock(&bridge->lock);
    bridge->list[at] = bridge->list[--bridge->peer_count];
    pthread_mutex_unlock(&bridge->lock);
    peer_retire(peer);
    return true;
}

/* It has left; or others have told of it, and it was neither heard of nor wanted, and can't be called. */
static bool is_over(const struct peer *peer)
{
    return !peer->connection && (!peer->open || peer->hearsay);
}

/* Nothing is taken for it any more. False if somebody wants it after all. */
static bool peer_drop(struct peer *peer)
{
    spin_lock(&peer->busy);
    bool wanted = peer->unsaid || peer->out.bytes || peer->debts.count;
    peer->open &= wanted;
    spin_unlock(&peer->busy);
    return !wanted;
}

bool peers_make_room(struct soma_bridge *bridge)
{
    uint32_t first = bridge->peer_count;
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        if (bridge->list[i]->idle &&
            (first == bridge->peer_count || bridge->list[i]->ended < bridge->list[first]->ended))
            first = i;
    return first < bridge->peer_count && peer_drop(bridge->list[first]) && peer_forget(bridge, first);
}

uint64_t peers_watch(struct soma_bridge *bridge, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = bridge->peer_count; i--;) { // the last one takes the place of one that goes
        struct peer *peer = bridge->list[i];
        uint64_t over = peer->ended + HOPELESS * bridge->options.down_ms * SOMA_MS;
        if (!is_over(peer))
            continue;
        if (now < over)
            next = earlier(next, over);
        else if (!is_greeted(bridge, peer) && peer_drop(peer))
            peer_forget(bridge, i);
    }
    return next;
}
