/*
 * The door: who comes to this node over ZeroMQ. It says which keys may enter (ZAP), ends connections that do not say
 * who they are in time, or that are too many, and shows those out that the bridge does not want. All in the bridge's
 * thread.
 *
 * ZeroMQ lets nobody close a connection that it has accepted. So the door shuts the socket below it, which ZeroMQ takes
 * for the other side's end. What tells that socket from a later one of the same number is the cookie that Linux gives
 * each: it is read when ZeroMQ tells of the connection, and compared before it is shut.
 */
#ifndef BRIDGES_DOOR_H
#define BRIDGES_DOOR_H

#include "bridges/keeper.h"

struct guest;

struct door {
    struct soma_bridge *bridge;
    void *zap;           /* answers who may enter */
    void *monitor;       /* tells who comes and goes */
    struct guest *first; /* in the order in which they came */
    struct guest *last;
    uint32_t waiting; /* of them have not said who they are */
    int64_t shaken;   /* handshakes of ZeroMQ's, less those of who has said who it is, or has gone since: it tells how
                         many there were, but not whose; and that of one who has spoken may be told after that */
    uint64_t due;     /* when the next one's time is over */
    const char *why;  /* the connection that ends next does, as ZeroMQ tells that ahead; NULL: it has not */
};

/* Before anything is bound to the router, which it makes a CURVE server if the node has keys. 0 or SOMA_ENOMEM. */
int door_open(struct door *door, struct soma_bridge *bridge, void *context, void *router);
void door_close(struct door *door);

/* Whatever has happened. */
void door_look(struct door *door);

/* Ends those whose time is over. When to look again. */
uint64_t door_watch(struct door *door);

/* The connection of a socket has said who it is, and is that number from now on. */
void door_admit(struct door *door, int socket, uint64_t id);

/* A connection is to end, after what was said to it last has left. Known by its number, or by its socket if it has not
 * said who it is; never one that has the socket of another by now. */
void door_dismiss(struct door *door, int socket, uint64_t id);

/* One that was dismissed goes on to send: it ends at once, or ZeroMQ would read on all that time. */
void door_eject(struct door *door, int socket, uint64_t id);

/* A connection that was not given its number by ZeroMQ ends at once: no node's is so. */
void door_turn_away(struct door *door, int socket);

#endif
