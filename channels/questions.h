/*
 * Places for questions that wait for their answers, of all lines of a system; see clerk.h. A question's handle is the
 * number of its place, from 1 on, and the place's generation, so who is too late finds none or another one's.
 */
#ifndef CHANNELS_QUESTIONS_H
#define CHANNELS_QUESTIONS_H

#include "runtime/concurrent.h"
#include <stdbool.h>

#define PLACES_FIRST 64u  /* for questions that wait at the same time: */
#define PLACE_SHELVES 25u /* each has as many as all before it, so that no place ever moves, and there are 2^30 */

struct questions {
    shared_u32 busy; /* guards what follows */
    struct question_place {
        struct question *question; /* NULL: it is free, or is being answered */
        uint32_t generation;
        uint32_t next_free; /* its number, from 1 on; 0 for none */
    } * shelves[PLACE_SHELVES];
    uint32_t capacity; /* who has the porter's turn writes */
    uint32_t free;
};

/* The place of a number that is one. Under the lock. */
struct question_place *place_of(struct questions *questions, uint32_t number);

/* Makes as many places as there are, by who has the porter's turn. False when memory is out. */
bool places_grow(struct questions *questions);

/* The question there has ended. Under the lock. */
void place_free(struct questions *questions, uint32_t number);

#endif
