/*
 * What a watcher is to be told, until its teller takes it. So much of it is kept as there is news, and no more: a name
 * that changes again changes where it stands, and one that goes before it was told never was. So a watcher that takes
 * nothing costs its node what it has not heard of the names that there are, however often they change.
 */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <stdlib.h>

static void telling_drop(struct watching *watching, struct telling *telling)
{
    *(telling->previous ? &telling->previous->next : &watching->first) = telling->next;
    *(telling->next ? &telling->next->previous : &watching->last) = telling->previous;
    if (telling->seen)
        telling->seen->telling = NULL;
    soma_name_destroy(&telling->name);
    free(telling);
}

static struct telling *telling_add(struct watching *watching, enum soma_name_event_kind event,
                                   const struct soma_name *entry)
{
    struct telling *telling = calloc(1, sizeof(*telling));
    if (!telling || soma_name_copy(&telling->name, entry)) {
        free(telling);
        return NULL;
    }
    telling->event = event;
    telling->previous = watching->last;
    *(watching->last ? &watching->last->next : &watching->first) = telling;
    watching->last = telling;
    return telling;
}

bool telling_see(struct watching *watching, struct seen *seen, bool is_new, const struct soma_name *entry)
{
    struct soma_name name;
    if (!seen->telling) {
        seen->telling = telling_add(watching, is_new ? SOMA_NAME_ADDED : SOMA_NAME_CHANGED, entry);
        if (seen->telling)
            seen->telling->seen = seen;
        return seen->telling != NULL;
    }
    if (soma_name_copy(&name, entry))
        return false;
    soma_name_destroy(&seen->telling->name);
    seen->telling->name = name;
    return true;
}

bool telling_remove(struct watching *watching, struct seen *seen)
{
    const struct soma_name entry = {.name = seen->name, .agent = seen->agent};
    bool unknown = seen->telling && seen->telling->event == SOMA_NAME_ADDED;
    if (!unknown && !telling_add(watching, SOMA_NAME_REMOVED, &entry))
        return false;
    if (unknown)
        telling_drop(watching, seen->telling);
    else if (seen->telling)
        seen->telling->seen = NULL;
    return true;
}

/* Stale and current again, with nothing between, is nothing. */
bool telling_mark(struct watching *watching, enum soma_name_event_kind event)
{
    const struct soma_name none = {0};
    struct telling *last = watching->last;
    bool undone = last && !last->leaves && (last->event == SOMA_NAME_STALE || last->event == SOMA_NAME_CURRENT);
    if (undone)
        telling_drop(watching, last);
    return undone || telling_add(watching, event, &none);
}

void tellings_heard(struct watching *watching, uint32_t count)
{
    for (struct telling *telling = watching->first, *next; count && telling && telling->leaves; telling = next) {
        next = telling->next;
        telling_drop(watching, telling);
        count--;
    }
}

void tellings_leave(soma_agent *self, struct watching *watching)
{
    struct soma_name_event events[NEWS_ITEMS_MOST];
    struct names_tell tell = {.events = {events, 0}};
    uint32_t bytes = 0;
    struct telling *telling = watching->first;
    if (!telling || !watching->asks)
        return;
    for (; telling && tell.events.count < NEWS_ITEMS_MOST && bytes < NEWS_BYTES_MOST; telling = telling->next) {
        events[tell.events.count++] = (struct soma_name_event){watching->id, (uint8_t)telling->event, telling->name};
        bytes += telling->name.name ? entry_weight(&telling->name) : 0;
    }
    if (soma_agent_send(self, watching->teller, &names_tell_type, &tell))
        return; // memory is out, and the next change tries again
    watching->asks = false;
    for (telling = watching->first; tell.events.count; telling = telling->next, tell.events.count--) {
        telling->leaves = true;
        if (telling->seen)
            telling->seen->telling = NULL;
        telling->seen = NULL;
    }
}

void tellings_free(struct watching *watching)
{
    for (struct telling *telling = watching->first, *next; telling; telling = next) {
        next = telling->next;
        telling_drop(watching, telling);
    }
}
