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
    size_t size; /* of the table, in rows */
    size_t mask; /* of a row's place in it, in bytes */
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

/*
 * Descriptors lie one behind another, so their addresses are as good as a hash: descriptor's size to row's size, the
 * place of the n-th is that of the n-th row.
 */
static inline size_t dispatch_place(const soma_type *type)
{
    return (uintptr_t)type / (sizeof(soma_type) / sizeof(struct dispatch_row));
}

static inline const struct dispatch_row *dispatch_row(const struct dispatch *dispatch, size_t place)
{
    return (const struct dispatch_row *)((const char *)dispatch->rows + (place & dispatch->mask));
}

/* The row where a type's handler is if it has one, unless another one's stands in the way. */
static inline const struct dispatch_row *dispatch_home(const struct dispatch *dispatch, const soma_type *type)
{
    return dispatch_row(dispatch, dispatch_place(type));
}

static inline soma_handler_fn *dispatch_find(const struct dispatch *dispatch, const soma_type *type)
{
    for (size_t place = dispatch_place(type);; place += sizeof(struct dispatch_row)) {
        const struct dispatch_row *row = dispatch_row(dispatch, place);
        if (row->type == type)
            return row->fn;
        if (!row->type)
            return dispatch_find_equal(dispatch, type);
    }
}

#endif
