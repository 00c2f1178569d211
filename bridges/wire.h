/*
 * What carries frames between nodes: ZeroMQ (zmq_wire.c), or the test kit's simulated network. A connection is a number
 * that the wire gives: frames on it arrive whole and in their order, until it breaks, and then never again.
 */
#ifndef BRIDGES_WIRE_H
#define BRIDGES_WIRE_H

#include "bridges/frame.h"
#include "runtime/concurrent.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Only the bridge's own thread calls these, but for wake(), and who has entered. */
struct worker;

struct wire {
    /* Begins a connection to an address. bridge_connected() or bridge_broken() follows. 0 or an error: it never can be.
     */
    int (*dial)(void *context, const char *address, uint64_t *connection);
    /* Sends a frame: a copy, or what block_join() makes of it. What can't be sent breaks the connection, of which
     * bridge_broken() tells. */
    void (*send)(void *context, uint64_t connection, const struct pieces *frame);
    /* Ends a connection; bridge_broken() is not called for it. */
    void (*hang_up)(void *context, uint64_t connection);
    /* There is something to be done: bridge_turn() is wanted soon. Any thread. */
    void (*wake)(void *context);
    void *context;
    /* A connection that the other side has made has said a hello. The key that it has proven to have, in Z85, which
     * lives during the call; NULL: none. The member itself may be NULL: this wire knows no keys. */
    const char *(*greeted)(void *context, uint64_t connection);
    /* Lets another thread send in the bridge's place, until it leaves: true if the bridge's thread waits, and now keeps
     * still. NULL: no other thread ever may. Any thread. */
    bool (*enter)(void *context);
    void (*leave)(void *context);
    /* struct route's await(), attend() and rouse(), or NULL; with `context` as their post. */
    bool (*await)(void *context, const shared_u32 *awake, bool *mail);
    void (*attend)(void *context, struct worker *worker);
    void (*rouse)(void *context);
};

#endif
