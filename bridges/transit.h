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
    uint64_t taken;         /* the number of the chunk that was taken last */
    bool turn;              /* a part is next, else a chunk */
    bool parted;            /* a part has left of a body, and not all: no other body may begin */
    bool again;             /* some of what is held may leave */
    bool owes;              /* as in outbound: of what was taken from there */
    bool passes;            /* likewise */
    msgpack_sbuffer held;   /* items that wait for a body, or for others of their sender that do; in their order */
    struct waiter *waiters; /* of those: each sender, and each body that is named */
    uint32_t waiter_count;
    uint32_t waiter_capacity;
};

struct waiter {
    soma_ref from; /* null for a body itself, which is as if a thread outside had sent it */
    uint64_t body; /* 0: none */
};

/* Have all items left that name a body, the last of which is in the chunk of a number? */
bool transit_is_past(const struct transit *transit, uint64_t body, uint64_t chunk);

/* Takes a frame's items, in a block; false if there are none now. */
bool transit_take(struct peer *peer, msgpack_sbuffer *items);

void transit_reset(struct transit *transit);

/* Tells the peer, whose session begins, of another one: ahead of all that waits, which may have refs that lead there.
 */
void transit_introduce(struct peer *peer, const struct peer *other);

#endif
