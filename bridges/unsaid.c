/* What was to be said to nodes that were gone; see unsaid.h. */
#include "bridges/unsaid.h"
#include "bridges/bridge.h"
#include "runtime/request.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <stdlib.h>

#define UNSAID_FIRST 64u

/* There is room for one more, or the oldest makes room. False if memory is out. */
static bool unsaid_room(struct unsaid *unsaid)
{
    if (unsaid->count < unsaid->capacity || unsaid->capacity == UNSAID_WORDS)
        return true;
    uint32_t capacity = unsaid->capacity ? unsaid->capacity * 2 : UNSAID_FIRST;
    struct unsaid_word *grown = realloc(unsaid->words, capacity * sizeof(*grown));
    if (!grown)
        return false;
    unsaid->words = grown;
    unsaid->capacity = capacity;
    return true;
}

void unsaid_note(struct soma_bridge *bridge, const struct unsaid_word *word)
{
    struct unsaid *unsaid = &bridge->unsaid;
    pthread_mutex_lock(&bridge->lock);
    if (unsaid_room(unsaid))
        unsaid->words[unsaid->count++ % unsaid->capacity] = *word;
    pthread_mutex_unlock(&bridge->lock);
}

/* The first one for a node from a place on, which moves behind it; it is taken out. */
static bool unsaid_take(struct soma_bridge *bridge, uint64_t node, uint64_t *at, struct unsaid_word *word)
{
    struct unsaid *unsaid = &bridge->unsaid;
    bool found = false;
    pthread_mutex_lock(&bridge->lock);
    if (unsaid->count > unsaid->capacity && *at < unsaid->count - unsaid->capacity)
        *at = unsaid->count - unsaid->capacity;
    for (; *at < unsaid->count && !found; ++*at) {
        struct unsaid_word *there = &unsaid->words[*at % unsaid->capacity];
        found = there->asker.node == node;
        if (found) {
            *word = *there;
            there->asker = SOMA_REF_NULL;
        }
    }
    pthread_mutex_unlock(&bridge->lock);
    return found;
}

/* Without memory it stays unsaid. */
static void word_say(struct peer *peer, const struct unsaid_word *word)
{
    struct soma_bridge *bridge = peer->bridge;
    if (!word->moved) {
        reply_fail(bridge->system, bridge->worker, word->from, word->asker, word->handle, SOMA_ENODEDOWN);
        return;
    }
    spin_lock(&peer->busy);
    outbound_moved(peer, word->asker, word->from, word->handle, word->number);
    spin_unlock(&peer->busy);
}

void unsaid_say(struct peer *peer)
{
    struct unsaid_word word;
    peer->unsaid = false;
    for (uint64_t at = 0; unsaid_take(peer->bridge, peer->node, &at, &word);)
        word_say(peer, &word);
}
