/*
 * What the files of the wire over ZeroMQ share: zmq_wire.c sends and opens, zmq_round.c reads and waits. All of it is
 * for who has the turn, see post.h.
 */
#ifndef BRIDGES_ZMQ_PARTS_H
#define BRIDGES_ZMQ_PARTS_H

#include "bridges/door.h"
#include "bridges/keeper.h"
#include "bridges/zmq_wire.h"
#include <zmq.h>

#define ACCEPTED (UINT64_C(1) << 63) /* of a connection's number: the other side has made it */
#define IDENTITY_SIZE 5              /* what a ROUTER knows it by, without that bit */

/* What the post tells of: POST_NOTHING, these, or a dealer's by its number, which is never 0. */
#define KEY_ROUTER 1u
#define KEY_DOOR 2u
#define KEY_OF(dealer) ((dealer)->id * 4)
#define KEY_MONITOR 1u

#define ENDED 1024u

/* Frames of a connection that ZeroMQ has read are handled before the end of that is seen, so many of them at most. More
 * only those send who do not keep to the window. */
#define READ_LAST 1024

/* A socket that is read. */
struct end {
    void *socket;
    bool look; /* there may be something */
};

struct dealer {
    struct dealer *next;
    uint64_t id;
    struct end socket;
    struct end monitor;
    bool gone; /* hung up: closed after the round that it may be part of */
};

struct zmq_wire {
    struct keeper keeper; /* first, as whoever has that has this */
    void *context;
    struct end router;
    struct end guard; /* for the door, whose sockets are its own */
    struct door door;
    uint64_t ended[ENDED]; /* accepted connections that the bridge has ended, each in the place of its number; */
    bool ejected[ENDED];   /* and which of them have sent more */
    zmq_msg_t *current;    /* the frame of an accepted connection that the bridge has just been given */
    uint64_t current_id;
    struct dealer *dealers;
    uint64_t next_id;
    bool looked;         /* the keeper's `looks`, before another thread sent something */
    struct end *touched; /* by which something was sent last */
    uint64_t *broken;    /* connections to tell the bridge of, once it has returned */
    uint32_t broken_count;
    uint32_t broken_capacity;
};

/* Closes those dealers that have gone. */
void dealers_sweep(struct zmq_wire *wire);

struct dealer *dealer_find(const struct zmq_wire *wire, uint64_t id);

/* The socket that a frame came through. */
static inline int frame_socket(zmq_msg_t *frame)
{
    return zmq_msg_get(frame, ZMQ_SRCFD);
}

/* struct ways', for the keeper. */
void zmq_note(struct keeper *keeper, const uint64_t *keys, uint32_t count);
bool zmq_look(struct keeper *keeper, bool all);
bool zmq_tell(struct keeper *keeper);

#endif
