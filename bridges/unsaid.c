/* What was to be said to nodes that were gone; see unsaid.h. */
#include "bridges/unsaid.h"
#include "bridges/bridge.h"
#include "runtime/request.h"
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

void unsaid_note(struct soma_bridge *bridge, soma_ref asker, soma_ref from, uint64_t handle)
{
    struct unsaid *unsaid = &bridge->unsaid;
    pthread_mutex_lock(&bridge->lock);
    if (unsaid_room(unsaid))
        unsaid->words[unsaid->count++ % unsaid->capacity] = (struct unsaid_word){asker, from, handle};
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

void unsaid_say(struct soma_bridge *bridge, uint64_t node)
{
    struct unsaid_word word;
    for (uint64_t at = 0; unsaid_take(bridge, node, &at, &word);)
        reply_fail(bridge->system, bridge->worker, word.from, word.asker, word.handle, SOMA_ENODEDOWN);
}
