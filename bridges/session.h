/*
 * A session: what makes a link between two nodes outlive its connections. Frames of data have numbers; the sender keeps
 * each until the other side has it, and after a new connection sends again what it has not; the receiver takes each
 * number once. So what goes through a session arrives exactly once and in order, while both processes live and neither
 * gives up. Knows nothing of sockets, time or agents. See docs/protocol.md.
 */
#ifndef BRIDGES_SESSION_H
#define BRIDGES_SESSION_H

#include "bridges/block.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A frame's items, kept until they are acknowledged. */
struct kept_frame {
    struct frame_block *block; /* of which the session is a holder */
    size_t size;
    size_t plain; /* bytes that they are; more than `size`: they are compressed */
    size_t room;  /* bytes that were allocated */
    bool passes;  /* there may be requests of other nodes' agents among them */
};

#define SPENT_MOST 16u

struct session {
    uint64_t mine;           /* the number of this side's half; 0: none was drawn yet */
    uint64_t yours;          /* of the other side's; 0: it is not known, so nothing has come from there */
    uint64_t sent;           /* the number of the last frame that was made; the first is 1 */
    uint64_t acked;          /* the other side has all up to here */
    uint64_t received;       /* this side has all up to here */
    uint64_t told;           /* and the other side has been told so up to here */
    size_t untold;           /* bytes of the frames after it */
    struct kept_frame *kept; /* a ring, of the frames from acked + 1 to sent */
    uint32_t capacity;       /* a power of two */
    size_t bytes;            /* of all kept, before compression: as many as they may become over there */
    uint64_t before;         /* bytes of all that were made, before compression */
    uint64_t after;          /* and after it */
    /* Blocks of BLOCK_ROOM bytes that are free for other frames. */
    struct frame_block *spent[SPENT_MOST];
    uint32_t spent_count;
};

/* What a frame of a number is to the receiver. */
enum arrival { ARRIVAL_NEXT, ARRIVAL_REPEATED, ARRIVAL_MISSING };

/* Frees the buffers that nobody has taken. */
void session_tidy(struct session *session);

/* Can one more frame be kept? False when memory is out. */
bool session_has_room(struct session *session);

/* Keeps a frame's items, for which there is room, under the next number. Takes its block over. */
void session_keep(struct session *session, const struct kept_frame *frame);

/* The items of a kept frame. */
const struct kept_frame *session_kept(const struct session *session, uint64_t number);

/* The other side has all up to a number. False if it can't be: it was never sent, or is less than before. */
bool session_acknowledge(struct session *session, uint64_t number);

/* What a frame is that has come. `received` grows by the next one, once that is known to be whole. */
enum arrival session_look(const struct session *session, uint64_t number);

/* Frees what is kept; the session is as new. */
void session_reset(struct session *session);

#endif
