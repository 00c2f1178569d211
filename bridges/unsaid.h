/*
 * Answers that got lost as the node of who asked was down, or its session ended, and words that a request had gone on.
 * If that was the node's own session, it has ended what it waited for. But a request that others have passed on may
 * have come by another way, and who asked hears of it afterwards that he is to wait for this node: then nobody would
 * ever end it. So when the node is there again, it is told that those have failed of which the answer got lost, and
 * where the others have gone; of what has ended it takes no notice.
 *
 * A word that a request has moved may have come, and only its acknowledgement not. The request may have been here again
 * meanwhile, and have gone on elsewhere: then the same word would lead who asked astray. So these words have numbers,
 * which they keep when they are said again, and which grow from each to the next that is said to a node; who has had
 * one of that number, or a later one, leaves it out. That is why one for a node whose session has not begun waits here
 * behind those from before.
 *
 * Most such nodes never come again. So there are only the latest: of more than UNSAID_WORDS the oldest are forgotten.
 */
#ifndef BRIDGES_UNSAID_H
#define BRIDGES_UNSAID_H

#include <soma/ref.h>
#include <stdbool.h>

struct soma_bridge;
struct peer;

#define UNSAID_WORDS 16384u /* a power of two */

struct unsaid_word {
    soma_ref asker;
    soma_ref from; /* who was to answer, or has the request now */
    uint64_t handle;
    bool moved;      /* it has gone on to `from`; else the answer was lost */
    uint64_t number; /* of a word that it has moved; 0: it was not said yet */
};

/* A ring; under the bridge's lock. */
struct unsaid {
    struct unsaid_word *words;
    uint32_t capacity; /* a power of two, or none */
    uint64_t count;    /* how many there ever were: the last ones are there */
};

/* Any thread. Without memory it is forgotten. */
void unsaid_note(struct soma_bridge *bridge, const struct unsaid_word *word);

/* A session with the peer has begun. */
void unsaid_say(struct peer *peer);

#endif
