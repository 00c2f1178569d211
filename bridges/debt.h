/*
 * What stands open between agents here and a peer: answers, words of an end, links; and requests of others that are to
 * get there. When the peer goes down, each ends here as if the other side had said so. One hash table a peer, and one
 * for what peers have said of requests, which holds whatever becomes of them.
 */
#ifndef BRIDGES_DEBT_H
#define BRIDGES_DEBT_H

#include "runtime/message.h"
#include <stdbool.h>

enum debt_kind {
    DEBT_REQUEST, /* an agent here has asked, and has no answer */
    DEBT_WATCH,   /* an agent here watches one there */
    DEBT_WATCHED, /* one there watches an agent here */
    DEBT_PASSED,  /* a request of another node's agent was passed on to one there, and may not have come yet */
    DEBT_MOVED,   /* a request of an agent here comes to a node, as others will say, and has gone on to `there` */
    DEBT_LINK     /* an agent here and one there are linked, or about to be; its handle does not count */
};

struct debt {
    struct debt *next;
    enum debt_kind kind;
    soma_ref here;
    soma_ref there;
    uint64_t handle; /* of who asked or watches */
    union {
        struct message *watch;         /* DEBT_WATCH: becomes the word of the end */
        const struct message *watched; /* DEBT_WATCHED: that the agent has, and is not to be searched for */
        uint64_t by;                   /* DEBT_MOVED: the node that it comes to, and that says so */
    };
};

struct debts {
    struct debt **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t count;
};

/* Enters one. SOMA_ENOMEM; 0, also if a link is there already. */
int debts_add(struct debts *debts, const struct debt *debt);

/* Is there one? As debts_take(). */
bool debts_have(const struct debts *debts, enum debt_kind kind, soma_ref here, soma_ref there, uint64_t handle);

/* Takes the oldest out, into *found. False if there is none. `there` counts for links and what is watched; and its node
 * for what has moved by it, unless that is 0. */
bool debts_take(struct debts *debts, enum debt_kind kind, soma_ref here, soma_ref there, uint64_t handle,
                struct debt *found);

/* Takes any one out; false if there are none. From the first on only this may be done, and debts_free(). */
bool debts_pop(struct debts *debts, struct debt *found);

void debts_free(struct debts *debts);

#endif
