/*
 * Items: what a frame of data holds, one for each message between agents. An item is a MessagePack array that begins
 * with its kind, the receiver and the sender; docs/protocol.md has the rest of each.
 */
#ifndef BRIDGES_ITEM_H
#define BRIDGES_ITEM_H

#include "bridges/frame.h"
#include <soma/type.h>

enum item_kind {
    ITEM_TYPE = 1, /* index, name, layout: what an index stands for from now on */
    ITEM_REFUSED,  /* index, layout: the other side does not know this type, or has it so */
    ITEM_NODE,     /* node, name, addresses: another node, and where it is */
    ITEM_SEND,     /* to, from, type, body */
    ITEM_REQUEST,  /* to, from, handle, type, body */
    ITEM_REPLY,    /* to, from, handle, type, body */
    ITEM_ERROR,    /* to, from, handle, error */
    ITEM_MOVED,    /* to, from, handle, number: a request of `to` was passed on, and `from` has it now */
    ITEM_WATCH,    /* to, from, handle */
    ITEM_UNWATCH,  /* to, from, handle */
    ITEM_DOWN,     /* to, from, handle, reason, text */
    ITEM_LINK,     /* to, from, handle */
    ITEM_UNLINK,   /* to, from, handle, sender's handle */
    ITEM_EXIT,     /* to, from, handle, reason, text */
    ITEM_SHUTDOWN, /* to, from */
    ITEM_KILL,     /* to, from */
    ITEM_BODY,     /* number, left, bytes: a part of a body whose message comes later */
    ITEM_SHARED,   /* the same for one that many messages name */
    ITEM_FORGET,   /* number: of a shared body, which none names any more */
    ITEM_PRESSURE, /* nil, from, on: who sends to `from` is held up, or not any more */
    ITEM_RELAY,    /* to, from, channel, frame: a frame of a connection between two other nodes; nil: it is no more */
    ITEM_LAST = ITEM_RELAY
};

/* Is it from one agent to another? */
static inline bool item_is_word(enum item_kind kind)
{
    return kind >= ITEM_SEND && kind <= ITEM_KILL;
}

/* An item that was read, with the fields that its kind has. */
struct item {
    enum item_kind kind;
    soma_ref to;
    soma_ref from;
    uint64_t handle;
    uint64_t other; /* an unlink's sender's handle; the node that a frame is from */
    int64_t reason;
    bool on;
    struct span text;   /* text NULL: nil */
    uint64_t type;      /* an index */
    struct reader body; /* the packed message, a part of it, or a frame; of that NULL: nil */
    uint64_t number;    /* of the body, if that comes or has come apart; of a word that a request has moved; else 0 */
    uint64_t left;      /* bytes of it that come in later parts */
    uint64_t node;      /* that is told of, or that a frame is for */
    struct span name;   /* of a type or node */
    struct span layout;
    uint32_t address_count;
    struct span addresses[ADDRESSES_MAX]; /* so many of them are set */
};

#define TYPES_MAX 4096u /* different types on one link, each way */

/*
 * The next item; the reader is behind it then. `here` and `there` are the nodes of the reader and of who wrote: refs to
 * them are written short. 0 or SOMA_EFORMAT.
 */
int item_read(struct reader *reader, uint64_t here, uint64_t there, struct item *item);

/* The same, but the packed message, if the item has one, is left to be read: the item's body begins with it, and
 * whoever unpacks it has then checked it. */
int item_head_read(struct reader *reader, uint64_t here, uint64_t there, struct item *item);

/*
 * Does the next item begin like one before, whose bytes up to the packed message are `head`? Then it is that item, but
 * for the message, and the reader is before that. What agents say to each other comes in bursts, and to compare is
 * less than to read.
 */
bool item_repeats(struct reader *reader, const struct reader *head, struct item *item);

static inline bool item_has_body(const struct item *item)
{
    return item->kind >= ITEM_SEND && item->kind <= ITEM_REPLY && !item->number;
}

/* What all items of messages begin with; `count` is the number of elements behind these three. As for item_read(),
 * `here` is the node of who writes. */
void item_begin(struct writer *writer, enum item_kind kind, uint32_t count, uint64_t here, uint64_t there, soma_ref to,
                soma_ref from);

#endif
