/*
 * Shared bodies that the other side of a link has, or will have by what is on its way: each crosses once, however many
 * agents there it is sent to. It is kept on both sides for as long as somebody here may send it, within bounds. Under
 * the peer's lock.
 */
#ifndef BRIDGES_SHARES_H
#define BRIDGES_SHARES_H

#include "bridges/bodies.h"
#include <soma/body.h>
#include <stdbool.h>

#define SHARES_MOST (BODIES_MOST - 2) /* beside one that is used up by its message, and one to spare */

struct share {
    soma_body *body; /* NULL: the place is free */
    uint64_t number;
    uint64_t used; /* the number of the chunk with the last item that names it */
    size_t size;   /* packed */
    bool stale;    /* it is not to be named again */
};

struct shares {
    struct share places[SHARES_MOST];
    uint32_t count;
    size_t bytes; /* of all */
};

/* The one to name for a body; NULL if there is none. */
struct share *shares_find(struct shares *shares, const soma_body *body);

/* Is there room, for at most so many bytes in all? A single one may have more. */
bool shares_room(const struct shares *shares, size_t size, size_t most);

/* Notes one, for which there is room, and keeps a reference. */
void shares_add(struct shares *shares, soma_body *body, uint64_t number, size_t size, uint64_t chunk);

/* Those of a type are not named again: the other side has refused it. */
void shares_refuse(struct shares *shares, const soma_type *type);

/* Will nobody send it any more, or is it the one that should make room for others? */
bool shares_can_spare(const struct shares *shares, const struct share *share);

/* Takes it out; the reference is the caller's. */
soma_body *shares_take(struct shares *shares, struct share *share);

void shares_reset(struct shares *shares);

#endif
