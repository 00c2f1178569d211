/* The table of peers; see peer.h. */
#include "bridges/peer.h"
#include <soma/error.h>
#include <stdlib.h>

static struct peer *table_find(const struct peer_table *table, uint64_t node, uint32_t *at)
{
    for (*at = (uint32_t)(node ^ node >> 32) & (table->capacity - 1);; *at = (*at + 1) & (table->capacity - 1)) {
        struct peer *peer = ptr_load(&table->places[*at]); // acquire: sees the peer whole
        if (!peer || peer->node == node)
            return peer;
    }
}

struct peer *peers_find(const shared_ptr *table, uint64_t node)
{
    uint32_t at;
    const struct peer_table *here = ptr_load(table); // acquire: sees the table whole
    return here ? table_find(here, node, &at) : NULL;
}

static struct peer_table *table_grow(struct peer_table *older)
{
    uint32_t at, capacity = older ? older->capacity * 2 : 16;
    struct peer_table *grown = calloc(1, sizeof(*grown) + capacity * sizeof(shared_ptr));
    if (!grown)
        return NULL;
    grown->older = older;
    grown->capacity = capacity;
    for (uint32_t i = 0; older && i < older->capacity; i++) {
        struct peer *peer = ptr_load(&older->places[i]);
        if (peer && !table_find(grown, peer->node, &at))
            ptr_store(&grown->places[at], peer);
    }
    return grown;
}

int peers_add(shared_ptr *table, uint32_t count, struct peer *peer)
{
    uint32_t at;
    struct peer_table *here = ptr_load(table);
    if (!here || (count + 1) * 2 > here->capacity) {
        here = table_grow(here);
        if (!here)
            return SOMA_ENOMEM;
        ptr_store(table, here); // release: readers see the old one, or this one whole
    }
    if (!table_find(here, peer->node, &at))
        ptr_store(&here->places[at], peer); // release: likewise for the peer
    return 0;
}

void peers_free(shared_ptr *table)
{
    for (struct peer_table *here = ptr_load(table), *older; here; here = older) {
        older = here->older;
        free(here);
    }
    ptr_store(table, NULL);
}
