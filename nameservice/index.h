/*
 * An index of names in their order, by bytes: what is kept by name, here and at the server, has a node of it inside. A
 * treap: a search tree by key that is at the same time a heap by a number drawn from the key and a seed, so it is as
 * balanced as one that was filled in random order, whatever the order was.
 */
#ifndef NAMESERVICE_INDEX_H
#define NAMESERVICE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

struct index_node {
    struct index_node *left, *right;
    uint64_t order;
    const char *key; /* stays while the node is in */
};

struct index {
    struct index_node *root;
    uint64_t seed; /* strangers must not know it */
    uint32_t count;
};

/* NULL if there is none. */
struct index_node *index_find(const struct index *index, const char *key);

/* The first at or behind a key; NULL if there is none. With `beyond` the key itself does not count. */
struct index_node *index_from(const struct index *index, const char *key, bool beyond);

/* The key must not be there. */
void index_add(struct index *index, struct index_node *node, const char *key);

/* It must be there. */
void index_remove(struct index *index, struct index_node *node);

#endif
