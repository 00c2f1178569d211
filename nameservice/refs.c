/* The table by ref; see refs.h. */
#include "nameservice/refs.h"
#include <soma/error.h>
#include <stdlib.h>

static struct refs_node **bucket_of(const struct refs *refs, soma_ref ref)
{
    uint64_t hash = (ref.node ^ ref.slot ^ (uint64_t)ref.generation << 32) * UINT64_C(0x9e3779b97f4a7c15);
    return &refs->buckets[hash >> 32 & (refs->bucket_count - 1)];
}

struct refs_node *refs_find(const struct refs *refs, soma_ref ref)
{
    struct refs_node *node = refs->bucket_count ? *bucket_of(refs, ref) : NULL;
    while (node && !soma_ref_equal(node->ref, ref))
        node = node->next;
    return node;
}

static int refs_grow(struct refs *refs)
{
    struct refs grown = {.bucket_count = refs->bucket_count ? refs->bucket_count * 2 : 16, .count = refs->count};
    grown.buckets =
        calloc(grown.bucket_count, sizeof(*grown.buckets)); // NOLINT(bugprone-sizeof-expression): of pointers
    if (!grown.buckets)
        return SOMA_ENOMEM;
    for (uint32_t i = 0; i < refs->bucket_count; i++)
        for (struct refs_node *node = refs->buckets[i], *next; node; node = next) {
            struct refs_node **bucket = bucket_of(&grown, node->ref);
            next = node->next;
            node->next = *bucket;
            *bucket = node;
        }
    free(refs->buckets);
    *refs = grown;
    return 0;
}

int refs_add(struct refs *refs, struct refs_node *node, soma_ref ref)
{
    if (refs->count >= refs->bucket_count && refs_grow(refs) && !refs->bucket_count)
        return SOMA_ENOMEM;
    node->ref = ref;
    struct refs_node **bucket = bucket_of(refs, ref);
    node->next = *bucket;
    *bucket = node;
    refs->count++;
    return 0;
}

void refs_remove(struct refs *refs, struct refs_node *node)
{
    struct refs_node **link = bucket_of(refs, node->ref);
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    refs->count--;
}

void refs_free(struct refs *refs)
{
    free(refs->buckets);
    *refs = (struct refs){0};
}
