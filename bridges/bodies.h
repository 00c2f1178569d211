/*
 * Bodies that come apart from their messages, in parts, and wait here for them: for one, or for many that share it.
 * What they take is bounded: by their number, and each by the largest message that this node takes. The bridge's thread
 * alone.
 */
#ifndef BRIDGES_BODIES_H
#define BRIDGES_BODIES_H

#include "runtime/reader.h"
#include <soma/body.h>

struct item;

#define BODIES_MOST 16u /* that are there at once */

/* A body, or its beginning. */
struct apart {
    uint64_t number; /* 0: the place is free */
    uint64_t left;   /* bytes that are still to come */
    char *bytes;
    size_t size;
    size_t capacity;
    int error;       /* why it is not kept, and its messages are to fail */
    bool shared;     /* it stays until it is forgotten */
    soma_body *made; /* of it, when the first message had come; the bytes are gone then */
};

struct bodies {
    struct apart places[BODIES_MOST];
};

/* Takes a part, of a body of at most `most` bytes: a larger one is not kept. 0, or SOMA_EFORMAT: it does not fit those
 * before it, or there are too many. */
int bodies_put(struct bodies *bodies, const struct item *item, uint64_t most);

/* The body of a number; NULL if there is none, or not all of it. */
struct apart *bodies_find(struct bodies *bodies, uint64_t number);

/* It is shared, and here from now on, in place of the bytes. */
void bodies_made(struct apart *body, soma_body *made);

/* Nobody names a shared one any more. 0, or SOMA_EFORMAT: there is no such. */
int bodies_forget(struct bodies *bodies, uint64_t number);

void bodies_drop(struct apart *body);
void bodies_reset(struct bodies *bodies);

#endif
