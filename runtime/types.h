/*
 * The message types that a system knows by name, for what comes from other nodes: those that its behaviors handle,
 * those of replies that its agents ask other nodes for, and those that were registered.
 */
#ifndef RUNTIME_TYPES_H
#define RUNTIME_TYPES_H

#include <pthread.h>
#include <soma/agent.h>

struct types {
    pthread_mutex_t lock;
    const soma_type **known;
    uint32_t count;
    uint32_t capacity;
};

void types_open(struct types *types);
void types_close(struct types *types);

/* A kind's name, as in SOMA_MESSAGE; not for SOMA_KIND_MESSAGE. */
const char *kind_name(enum soma_kind kind);

/* A layout as text, `u32 id,string name,[ref] all`: what two nodes compare. The length of the whole, as snprintf(). */
size_t type_layout(const soma_type *type, char *buf, size_t size);

/* The longest that is compared. */
#define LAYOUT_MAX 2048u

/*
 * The known type of a name whose layout is that one, or, if there is none such, one of which either is the beginning of
 * the other: what one side has more stands at the end, and is skipped or zero. NULL if there is neither; then *closest
 * is a type of the name, or NULL.
 */
const soma_type *types_find(soma_system *system, const char *name, size_t name_size, const char *layout,
                            size_t layout_size, const soma_type **closest);

#endif
