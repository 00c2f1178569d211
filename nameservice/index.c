/* The index of names; see index.h. */
#include "nameservice/index.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

static uint64_t order_of(const struct index *index, const char *key)
{
    uint64_t hash = index->seed ^ UINT64_C(0xcbf29ce484222325);
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* ---- the table ---- */

static struct index_node **place_of(const struct index *index, uint64_t order)
{
    return &index->table[order & (index->table_size - 1)];
}

static struct index_node **table_new(uint32_t size)
{
    return calloc(size, sizeof(struct index_node *)); // NOLINT(bugprone-sizeof-expression): of pointers
}

int index_open(struct index *index, uint64_t seed)
{
    *index = (struct index){.table = table_new(16), .table_size = 16, .seed = seed};
    return index->table ? 0 : SOMA_ENOMEM;
}

/* Twice as large. Without memory the chains grow. */
static void table_grow(struct index *index)
{
    uint32_t size = index->table_size;
    struct index_node **old = index->table, **table = table_new(size * 2);
    if (!table)
        return;
    index->table = table;
    index->table_size = size * 2;
    for (uint32_t i = 0; i < size; i++)
        for (struct index_node *node = old[i], *next; node; node = next) {
            struct index_node **place = place_of(index, node->order);
            next = node->chain;
            node->chain = *place;
            *place = node;
        }
    free(old);
}

struct index_node *index_find(const struct index *index, const char *key)
{
    uint64_t order = order_of(index, key);
    struct index_node *node = *place_of(index, order);
    while (node && (node->order != order || strcmp(key, node->key) != 0))
        node = node->chain;
    return node;
}

/* ---- the tree ---- */

struct index_node *index_from(const struct index *index, const char *key, bool beyond)
{
    struct index_node *node = index->root, *found = NULL;
    while (node) {
        int order = strcmp(key, node->key);
        bool is_behind = beyond ? order < 0 : order <= 0;
        if (is_behind)
            found = node;
        node = is_behind ? node->left : node->right;
    }
    return found;
}

void index_add(struct index *index, struct index_node *node, const char *key)
{
    struct index_node **link = &index->root, **left = &node->left, **right = &node->right;
    if (index->count >= index->table_size)
        table_grow(index);
    node->key = key;
    node->order = order_of(index, key);
    while (*link && (*link)->order >= node->order)
        link = strcmp(key, (*link)->key) < 0 ? &(*link)->left : &(*link)->right;
    struct index_node *below = *link;
    *link = node;
    while (below) { // what stood here goes to its two sides
        bool is_less = strcmp(below->key, key) < 0;
        *(is_less ? left : right) = below;
        if (is_less)
            left = &below->right;
        else
            right = &below->left;
        below = is_less ? below->right : below->left;
    }
    *left = *right = NULL;
    struct index_node **place = place_of(index, node->order);
    node->chain = *place;
    *place = node;
    index->count++;
}

void index_remove(struct index *index, struct index_node *node)
{
    struct index_node **link = &index->root, *left = node->left, *right = node->right;
    while (*link != node)
        link = strcmp(node->key, (*link)->key) < 0 ? &(*link)->left : &(*link)->right;
    while (left && right) { // its two sides become one
        if (left->order >= right->order) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left ? left : right;
    for (link = place_of(index, node->order); *link != node;)
        link = &(*link)->chain;
    *link = node->chain;
    index->count--;
}

void index_free(struct index *index)
{
    free(index->table);
    *index = (struct index){0};
}
