/*
 * Bodies that come apart from their messages, in parts, and wait here for them. What they take is bounded: by their
 * number, and each by the largest message that this node takes. The bridge's thread alone.
 */
#ifndef BRIDGES_BODIES_H
#define BRIDGES_BODIES_H

#include "runtime/reader.h"

struct item;

#define BODIES_MOST 8u /* that are there at once */

/* A body, or its beginning. */
struct apart {
    uint64_t number; /* 0: the place is free */
    uint64_t left;   /* bytes that are still to come */
    char *bytes;
    size_t size;
    size_t capacity;
    int error; /* why it is not kept, and its message is to fail */
};

struct bodies {
    struct apart places[BODIES_MOST];
};

/* Takes a part, of a body of at most `most` bytes: a larger one is not kept. 0, or SOMA_EFORMAT: it does not fit those
 * before it, or there are too many. */
int bodies_put(struct bodies *bodies, const struct item *item, uint64_t most);

/* The packed message of a number. SOMA_EFORMAT (there is none, or not all of it), SOMA_ETOOBIG, SOMA_ENOMEM. */
int bodies_find(const struct bodies *bodies, uint64_t number, struct reader *body);

void bodies_drop(struct bodies *bodies, uint64_t number);
void bodies_reset(struct bodies *bodies);

#endif
