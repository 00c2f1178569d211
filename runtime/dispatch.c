/* Building the dispatch tables; see dispatch.h. */
#include "runtime/dispatch.h"
#include "runtime/method.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 256  /* handlers of a behavior and its bases */
#define BASES_MAX 256 /* in a row: who has more leads back to itself */

/* Counts the rows of a behavior and its bases. SOMA_EINVAL if a base leads back to itself, SOMA_ETOOBIG. */
static int rows_count(const soma_behavior *behavior, uint32_t *count)
{
    uint32_t depth = 0;
    for (const soma_behavior *b = behavior; b; b = b->base)
        if (++depth > BASES_MAX)
            return SOMA_EINVAL;
    *count = 0;
    for (; behavior; behavior = behavior->base) {
        for (const soma_handler *h = behavior->handlers; h && h->type; h++) {
            if (!h->fn)
                return SOMA_EINVAL;
            if (++*count > ROWS_MAX)
                return SOMA_ETOOBIG;
        }
    }
    return 0;
}

/* Adds a handler unless its type has one; false if the row is not where it is looked for first. */
static bool row_add(struct dispatch *dispatch, const soma_handler *handler)
{
    for (size_t place = dispatch_place(handler->type);; place += sizeof(struct dispatch_row)) {
        struct dispatch_row *row = (struct dispatch_row *)(uintptr_t)dispatch_row(dispatch, place);
        if (row->type == handler->type)
            return true; // the extending behavior came first
        if (!row->type) {
            *row = (struct dispatch_row){handler->type, handler->fn};
            return row == dispatch_home(dispatch, handler->type);
        }
    }
}

/* NULL when memory is out. `*at_home` if each row is where it is looked for first. */
static struct dispatch *dispatch_new(const soma_behavior *behavior, size_t size, bool *at_home)
{
    struct dispatch *dispatch = calloc(1, sizeof(*dispatch) + size * sizeof(struct dispatch_row));
    if (!dispatch)
        return NULL;
    dispatch->behavior = behavior;
    dispatch->size = size;
    dispatch->mask = (size - 1) * sizeof(struct dispatch_row);
    *at_home = true;
    for (const soma_behavior *b = behavior; b; b = b->base) {
        dispatch->fallback = dispatch->fallback ? dispatch->fallback : b->fallback;
        dispatch->ready = dispatch->ready ? dispatch->ready : b->ready;
        dispatch->idle = dispatch->idle ? dispatch->idle : b->idle;
        for (const soma_handler *h = b->handlers; h && h->type; h++)
            *at_home &= row_add(dispatch, h);
    }
    bool called = !dispatch->fallback; // by name; else that is for the fallback
    for (const soma_behavior *b = behavior; b; b = b->base)
        called |= b->methods || b->attributes;
    if (called) // behind all handlers: one of the user's own comes first, and the others' places are theirs
        row_add(dispatch, &method_row);
    return dispatch;
}

static int dispatch_build(const soma_behavior *behavior, struct dispatch **result)
{
    uint32_t count;
    int error = rows_count(behavior, &count);
    if (error)
        return error;
    size_t size = 2;
    while (size < 2 * count + 2)
        size *= 2;
    bool at_home;
    struct dispatch *dispatch = dispatch_new(behavior, size, &at_home);
    for (size_t most = 8 * size; dispatch && !at_home && size < most;) {
        size *= 2; // a handler that is not at home costs more at each message than this
        free(dispatch);
        dispatch = dispatch_new(behavior, size, &at_home);
    }
    *result = dispatch;
    return dispatch ? 0 : SOMA_ENOMEM;
}

int dispatch_get(struct dispatch_table *table, const soma_behavior *behavior, const struct dispatch **result)
{
    if (!behavior || !behavior->name)
        return SOMA_EINVAL;
    pthread_mutex_lock(&table->lock);
    struct dispatch *dispatch = table->first;
    while (dispatch && dispatch->behavior != behavior)
        dispatch = dispatch->next;
    int error = 0;
    if (!dispatch) {
        error = dispatch_build(behavior, &dispatch);
        if (!error) {
            dispatch->next = table->first;
            table->first = dispatch;
        }
    }
    pthread_mutex_unlock(&table->lock);
    if (!error)
        *result = dispatch;
    return error;
}

void dispatch_table_destroy(struct dispatch_table *table)
{
    while (table->first) {
        struct dispatch *next = table->first->next;
        free(table->first);
        table->first = next;
    }
    pthread_mutex_destroy(&table->lock);
}

soma_handler_fn *dispatch_find_equal(const struct dispatch *dispatch, const soma_type *type)
{
    for (size_t i = 0; i < dispatch->size; i++) {
        const struct dispatch_row *row = &dispatch->rows[i];
        if (row->type && type_same(row->type, type))
            return row->fn;
    }
    return NULL;
}
