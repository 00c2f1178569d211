/* The table of peers; see peer.h. */
#include "bridges/peer.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MOST (1u << 20) /* that are ever known: without keys anybody can make some up */

/* The node's place, or the one where it would be. */
static struct place *place_of(struct peer_table *table, uint64_t node)
{
    for (uint32_t at = (uint32_t)(node ^ node >> 32);; at++) {
        struct place *place = &table->places[at & (table->capacity - 1)];
        uint64_t there = u64_load(&place->node); // acquire: sees what stands there
        if (!there || there == node)
            return place;
    }
}

static struct place *place_find(const shared_ptr *table, uint64_t node)
{
    struct peer_table *here = ptr_load(table); // acquire: sees the table whole
    struct place *place = here ? place_of(here, node) : NULL;
    return place && u64_load(&place->node) ? place : NULL;
}

struct peer *peers_find(const shared_ptr *table, uint64_t node)
{
    struct place *place = place_find(table, node);
    return place ? ptr_load(&place->peer) : NULL; // acquire: sees the peer whole
}

struct peer *peer_lock(const shared_ptr *table, uint64_t node)
{
    struct peer *peer;
    while ((peer = peers_find(table, node))) {
        spin_lock(&peer->busy);
        if (peer->node == node)
            break;
        spin_unlock(&peer->busy); // it was forgotten just now, and is another's already
    }
    return peer;
}

bool peers_know(const shared_ptr *table, uint64_t node)
{
    return place_find(table, node);
}

bool peers_met(const shared_ptr *table, uint64_t node)
{
    const struct place *place = place_find(table, node);
    return place && u32_load(&place->met); // acquire, as it is stored ahead of the peer that is gone
}

const char *peers_key(const shared_ptr *table, uint64_t node)
{
    const struct place *place = place_find(table, node);
    return place ? place->key : NULL;
}

static struct peer_table *table_grow(struct peer_table *older)
{
    uint32_t capacity = older ? older->capacity * 2 : 16;
    struct peer_table *grown = calloc(1, sizeof(*grown) + capacity * sizeof(struct place));
    if (!grown)
        return NULL;
    grown->older = older;
    grown->capacity = capacity;
    for (uint32_t i = 0; older && i < older->capacity; i++) {
        struct place *from = &older->places[i];
        uint64_t node = u64_load(&from->node);
        if (!node)
            continue;
        struct place *to = place_of(grown, node);
        ptr_store(&to->peer, ptr_load(&from->peer));
        u64_store(&to->node, node);
        u32_store(&to->met, u32_load(&from->met)); // nobody sees the new table yet
        to->key = from->key;
        to->moved = from->moved;
        grown->count++;
    }
    return grown;
}

int peers_add(shared_ptr *table, struct peer *peer)
{
    struct peer_table *here = ptr_load(table);
    bool is_new = !peers_know(table, peer->node);
    if (is_new && here && here->count >= NODES_MOST)
        return SOMA_EFULL;
    if (!here || (is_new && (here->count + 1) * 2 > here->capacity)) {
        here = table_grow(here);
        if (!here)
            return SOMA_ENOMEM;
        ptr_store(table, here); // release: readers see the old one, or this one whole
    }
    struct place *place = place_of(here, peer->node);
    here->count += is_new;
    if (place->key)
        memcpy(peer->key, place->key, KEY_SIZE);
    free(place->key);
    place->key = NULL;
    peer->moved = place->moved;
    ptr_store(&place->peer, peer);       // release: readers see the peer whole
    u64_store(&place->node, peer->node); // release: likewise the place
    return 0;
}

int peers_forget(const shared_ptr *table, const struct peer *peer)
{
    struct place *place = place_of(ptr_load(table), peer->node); // it is there
    if (peer->key[0] && !(place->key = strdup(peer->key)))
        return SOMA_ENOMEM;
    place->moved = peer->moved;
    if (!peer->idle)
        u32_store(&place->met, 1); // release, and ahead of what follows: who misses the peer sees it
    ptr_store(&place->peer, NULL); // release: who had found it before asks the peer, under busy
    return 0;
}

void peers_free(shared_ptr *table)
{
    struct peer_table *here = ptr_load(table);
    for (uint32_t i = 0; here && i < here->capacity; i++)
        free(here->places[i].key);
    for (struct peer_table *older; here; here = older) {
        older = here->older;
        free(here);
    }
    ptr_store(table, NULL);
}
