/*
 * What only some agents need, kept out of the slot: pending timers, requests and promises, user data, a thread of its
 * own. Made at first use. Like the rest of an agent it belongs to whoever runs it.
 *
 * Whatever an agent waits for has a handle: index and generation of an entry in its table, so a stale handle is known
 * for one, and an answer finds what it is for without a search.
 */
#ifndef RUNTIME_EXTENSION_H
#define RUNTIME_EXTENSION_H

#include "runtime/slot.h"

struct pending {
    struct message *message; /* NULL: the entry is free */
    uint32_t generation;
    uint32_t next_free; /* index + 1; 0 ends the chain */
};

struct timer_name {
    struct timer_name *next;
    int64_t handle;
    char text[];
};

/* What an agent said with soma_fail(). */
struct failure {
    int code;
    char text[256];
};

struct extension {
    struct pending *pending;
    uint32_t capacity;
    uint32_t free; /* index + 1 of the first free entry; 0 for none */
    struct timer_name *timer_names;
    struct port *ports; /* all that it has, see port.h */
    void *data;         /* the user's */
    uint32_t log_level;
    uint16_t wheel;          /* + 1: where all its timers are, so that equal ones fire in order; 0 before the first */
    bool told;               /* it is to hear that the system closes */
    bool traps;              /* exits of linked agents come as messages */
    bool leaving;            /* it was told to shut down, and does so in its own time */
    struct message *watches; /* who is told of its end, see monitor.h */
    struct failure *failure;
    struct message *keeper; /* the watch of who keeps it, see keep.h */
    struct message *stash;  /* what it leaves to its successor */
    bool keeps_mail;        /* down, it still takes mail */
    bool revived;           /* it has had a life before in this slot's generation */
    bool behind;            /* the mail from before this life is not all handled */
    uint64_t life;          /* its number, from 0 */
    bool blocking;          /* spawned as a blocking agent */
    struct worker *own;     /* its thread, where there are threads */
};

/* The agent's extension, made if there is none; NULL when memory is out. */
struct extension *extension_need(soma_agent *agent);

/* Frees an agent's extension; nothing may be pending. */
void extension_free(soma_agent *agent);

/* Ends what belongs to one life of a kept agent; what it hands on stays, and stale handles stay stale. */
void extension_reset(soma_agent *agent);

/* Enters something to wait for. A handle above 0, or SOMA_ENOMEM. */
int64_t pending_add(soma_agent *agent, struct message *message);

/* The handle of the entry at an index of the table. */
int64_t pending_handle(const soma_agent *agent, uint32_t index);

/* The entry of a handle; NULL if what it stood for is over, or never was. */
static inline struct pending *pending_entry(const soma_agent *agent, int64_t handle)
{
    const struct extension *extension = agent->extension;
    uint32_t index = (uint32_t)handle;
    if (handle <= 0 || !extension || !index || index > extension->capacity)
        return NULL;
    struct pending *entry = &extension->pending[index - 1];
    return entry->message && entry->generation == (uint32_t)((uint64_t)handle >> 32) ? entry : NULL;
}

/* What a handle stands for; NULL as pending_entry(). */
static inline struct message *pending_find(const soma_agent *agent, int64_t handle)
{
    const struct pending *entry = pending_entry(agent, handle);
    return entry ? entry->message : NULL;
}

/* Takes it out; its handle is stale from now on. NULL as pending_entry(). */
struct message *pending_remove(soma_agent *agent, int64_t handle);

#endif
