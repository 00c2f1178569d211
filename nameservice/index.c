/* The index of names; see index.h. */
#include "nameservice/index.h"
#include <stddef.h>
#include <string.h>

static uint64_t order_of(const struct index *index, const char *key)
{
    uint64_t hash = index->seed ^ UINT64_C(0xcbf29ce484222325);
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

struct index_node *index_find(const struct index *index, const char *key)
{
    struct index_node *node = index->root;
    for (int order; node && (order = strcmp(key, node->key)) != 0;)
        node = order < 0 ? node->left : node->right;
    return node;
}

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
    index->count--;
}
