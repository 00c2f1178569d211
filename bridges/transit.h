/*
 * What leaves for a peer next. Mostly that is the queue, chunk by chunk. A large body leaves in parts, one frame each,
 * between which other chunks go; of these stays behind what must not overtake it: its message, and what follows from
 * the same sender. The bridge's thread alone.
 */
#ifndef BRIDGES_TRANSIT_H
#define BRIDGES_TRANSIT_H

#include <msgpack/sbuffer.h>
#include <soma/ref.h>
#include <stdbool.h>

struct chunk;
struct peer;

struct transit {
    struct chunk *first; /* bodies, of which the first one's parts leave */
    struct chunk *last;
    uint64_t done;        /* all up to this number have left */
    bool turn;            /* a part is next, else a chunk */
    bool again;           /* some of what is held may leave */
    msgpack_sbuffer held; /* items that wait for a body, or for others of their sender that do; in their order */
    soma_ref *senders;    /* of those */
    uint32_t sender_count;
    uint32_t sender_capacity;
};

/* Takes a frame's items; false if there are none now. */
bool transit_take(struct peer *peer, msgpack_sbuffer *items);

void transit_reset(struct transit *transit);

#endif
