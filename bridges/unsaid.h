/*
 * Answers that got lost as the node of who asked was down, or its session ended, and words that a request had gone on.
 * If that was the node's own session, it has ended what it waited for. But a request that others have passed on may
 * have come by another way, and who asked hears of it afterwards that he is to wait for this node: then nobody would
 * ever end it. So when the node is there again, it is told that those have failed of which the answer got lost, and
 * where the others have gone; of what has ended it takes no notice.
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
    bool moved; /* it has gone on to `from`; else the answer was lost */
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
