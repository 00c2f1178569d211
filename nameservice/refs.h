/* A table by ref: what is kept of an agent has a node of it inside. */
#ifndef NAMESERVICE_REFS_H
#define NAMESERVICE_REFS_H

#include <soma/ref.h>

struct refs_node {
    struct refs_node *next;
    soma_ref ref;
};

struct refs {
    struct refs_node **buckets;
    uint32_t bucket_count; /* a power of two, or 0 */
    uint32_t count;
};

/* NULL if there is none. */
struct refs_node *refs_find(const struct refs *refs, soma_ref ref);

/* The ref must not be there. 0 or SOMA_ENOMEM. */
int refs_add(struct refs *refs, struct refs_node *node, soma_ref ref);

/* It must be there. */
void refs_remove(struct refs *refs, struct refs_node *node);

/* The nodes are the owner's. */
void refs_free(struct refs *refs);

#endif
