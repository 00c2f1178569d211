/*
 * An index of names in their order, by bytes: what is kept by name, here and at the server, has a node of it inside. A
 * treap: a search tree by key that is at the same time a heap by a number drawn from the key and a seed, so it is as
 * balanced as one that was filled in random order, whatever the order was. The same number leads to a key at once, by a
 * table of chains: among a hundred thousand names a way down the tree is some fifty misses of the cache.
 */
#ifndef NAMESERVICE_INDEX_H
#define NAMESERVICE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

struct index_node {
    struct index_node *left, *right;
    struct index_node *chain; /* the next of the same place in the table */
    uint64_t order;
    const char *key; /* stays while the node is in, but for another copy of it */
};

struct index {
    struct index_node *root;
    struct index_node **table;
    uint32_t table_size; /* a power of two */
    uint32_t count;
    uint64_t seed; /* strangers must not know it */
};

/* Empty. 0 or SOMA_ENOMEM. */
int index_open(struct index *index, uint64_t seed);

/* NULL if there is none. */
struct index_node *index_find(const struct index *index, const char *key);

/* The first at or behind a key; NULL if there is none. With `beyond` the key itself does not count. */
struct index_node *index_from(const struct index *index, const char *key, bool beyond);

/* The key must not be there. */
void index_add(struct index *index, struct index_node *node, const char *key);

/* It must be there. */
void index_remove(struct index *index, struct index_node *node);

/* The nodes are the owner's. Also one that was never opened. */
void index_free(struct index *index);

#endif
