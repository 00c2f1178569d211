/*
 * A behavior as the workers use it: its handlers and its bases' in one hash table by message type. Built once a
 * behavior and system, at its first spawn, and kept until the system closes.
 */
#ifndef RUNTIME_DISPATCH_H
#define RUNTIME_DISPATCH_H

#include <pthread.h>
#include <soma/agent.h>

struct dispatch {
    struct dispatch *next;
    const soma_behavior *behavior;
    int (*fallback)(soma_agent *, void *, const soma_type *, const void *);
    int (*ready)(soma_agent *, void *);
    int (*idle)(soma_agent *, void *);
    uint32_t mask;
    struct dispatch_row {
        const soma_type *type;
        soma_handler_fn *fn;
    } rows[]; /* open addressing, at most half full, so a search always meets an empty row */
};

struct dispatch_table {
    pthread_mutex_t lock;
    struct dispatch *first;
};

/* The dispatch of a behavior, built if needed. Any thread. SOMA_EINVAL if malformed, SOMA_ETOOBIG, SOMA_ENOMEM.
 */
int dispatch_get(struct dispatch_table *table, const soma_behavior *behavior, const struct dispatch **result);
void dispatch_table_destroy(struct dispatch_table *table);

/* For a type whose descriptor is at another address (another shared object's copy): by name and layout. */
soma_handler_fn *dispatch_find_equal(const struct dispatch *dispatch, const soma_type *type);

static inline uint32_t dispatch_hash(const soma_type *type)
{
    return (uint32_t)((uintptr_t)type >> 4 ^ (uintptr_t)type >> 10);
}

static inline soma_handler_fn *dispatch_find(const struct dispatch *dispatch, const soma_type *type)
{
    for (uint32_t i = dispatch_hash(type);; i++) {
        const struct dispatch_row *row = &dispatch->rows[i & dispatch->mask];
        if (row->type == type)
            return row->fn;
        if (!row->type)
            return dispatch_find_equal(dispatch, type);
    }
}

#endif
