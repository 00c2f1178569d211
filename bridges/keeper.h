/*
 * Who keeps a wire going: its thread, or a worker of the system that has nothing to do, in the thread's place. Whoever
 * is told that something has happened takes the turn (post.h), reads what has come, and gives the bridge its turn.
 * What there is to read, and how, only the wire knows: zmtp_wire.c or zmq_wire.c.
 */
#ifndef BRIDGES_KEEPER_H
#define BRIDGES_KEEPER_H

#include "bridges/bridge.h"
#include "bridges/post.h"

#define GOODBYE_MS 300 /* for what was said last to leave */
#define FAREWELL (GOODBYE_MS * SOMA_MS)

/* What those who come may do before they have said who they are. */
#define WAITING_MOST 256u               /* of them; the oldest goes */
#define UNSAID_MOST ((size_t)64 * 1024) /* bytes of one: a hello has hundreds */
#define BACKLOG 1024                    /* who have not been let in yet */

#define READ_FRAMES 256                 /* that are read of one, and bytes of all, before the bridge has its turn: */
#define READ_BYTES ((size_t)512 * 1024) /* acknowledgements, beats, handshakes wait for it */

/* What a wire does, always under the turn. Each is given the keeper, which is the wire's first member. */
struct ways {
    /* What somebody was told of is to be looked at: sets `looks`. */
    void (*note)(struct keeper *keeper, const uint64_t *keys, uint32_t count);
    /* Reads what there is, of each end not too much at a time; or, if not of `all`, only of one that has anything.
     * False if there was nothing. Sets `looks` if there is more. */
    bool (*look)(struct keeper *keeper, bool all);
    /* Tells the bridge of connections by which nothing can be sent any more. True if there were any. */
    bool (*tell)(struct keeper *keeper);
    /* Ends what has gone, or whose time is over. When to look again. */
    uint64_t (*watch)(struct keeper *keeper);
    /* Closes all that it has open; what was said last has so many milliseconds to leave. Once more does nothing. */
    void (*close)(struct keeper *keeper, int linger);
    void (*free)(struct keeper *keeper);
};

struct keeper {
    const struct ways *ways;
    struct soma_bridge *bridge;
    struct post post;
    bool looks;        /* something is to be looked at */
    uint64_t deadline; /* of closing; UINT64_MAX: it does not close */
    bool over;         /* nobody sees to anything any more */
    bool late;         /* it had come to the deadline by then */
    struct losses left;
    bool started;
    pthread_t thread;
};

/* What a wire begins with: its post. 0 or SOMA_ENOMEM; to be freed in any case. */
int keeper_open(struct keeper *keeper, const struct ways *ways, struct soma_bridge *bridge);

/*
 * What opening a wire ends with, if it has come to no `error` so far: the addresses to call must be some that can be
 * called, those to listen at are bound, and the bridge's wire is this one, kept going by the keeper. Else the keeper is
 * freed. 0, or the first error.
 */
int keeper_begin(struct keeper *keeper, int error, int (*bind)(struct keeper *keeper, const char *address),
                 const struct wire *wire);

/* Starts the thread that drives the bridge. 0 or SOMA_ETHREAD. */
int keeper_start(struct keeper *keeper);

/* Drains, says goodbye, joins the thread and closes all. False if something was left when the time was over. */
bool keeper_stop(struct keeper *keeper);
void keeper_free(struct keeper *keeper);

/* struct wire's, whose context the keeper is. */
void keeper_wake(void *keeper);

/* The turn, for another thread that sends: false if somebody has it, or nobody sees to anything any more. */
bool keeper_enter(void *keeper);

#endif
