/*
 * Connections to hosts by their names. A name is asked for once at a time, whoever else wants to know: the bridge tries
 * again long before a slow resolver answers. An answer that nobody waited for any more is for the next who asks.
 */
#include "bridges/zmtp_parts.h"
#include <soma/error.h>

#define LOOKUPS_MOST 16u

static struct lookup *lookup_find(const struct zmtp_wire *wire, const char *host)
{
    struct lookup *lookup = wire->lookups;
    while (lookup && (lookup->used || !lookup_is_for(lookup, host)))
        lookup = lookup->next;
    return lookup;
}

/* Those go whose answer was used; or of all that are over one (`old`), so that there is room. How many are left. */
static uint32_t lookups_tidy(struct zmtp_wire *wire, bool old)
{
    uint32_t count = 0;
    for (struct lookup **link = &wire->lookups; *link;) {
        struct lookup *lookup = *link;
        if (!lookup->used && !(old && lookup_is_over(lookup))) {
            link = &lookup->next;
            count++;
            continue;
        }
        old &= lookup->used;
        *link = lookup->next;
        lookup_drop(lookup);
    }
    return count;
}

static struct lookup *lookup_for(struct zmtp_wire *wire, const char *host)
{
    struct lookup *lookup = lookup_find(wire, host);
    if (lookup)
        return lookup;
    if (lookups_tidy(wire, false) >= LOOKUPS_MOST && lookups_tidy(wire, true) >= LOOKUPS_MOST)
        return NULL;
    lookup = lookup_begin(host, &wire->keeper.post, KEY_SOUGHT);
    if (!lookup)
        return NULL;
    lookup->next = wire->lookups;
    wire->lookups = lookup;
    return lookup;
}

/* False: it comes to nothing. */
static bool stream_found(struct zmtp_wire *wire, struct stream *stream)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = stream->port};
    struct lookup *lookup = stream->lookup;
    if (!lookup_is_over(lookup))
        return true;
    stream->unknown = !lookup->found;
    there.sin_addr = lookup->ip;
    lookup->used = true;
    lookup_drop(lookup);
    stream->lookup = NULL;
    return !stream->unknown && stream_dial(wire, stream, (const struct sockaddr *)&there, sizeof(there));
}

bool stream_seek(struct zmtp_wire *wire, struct stream *stream, const char *host, in_port_t port)
{
    stream->port = port;
    stream->lookup = lookup_for(wire, host);
    if (!stream->lookup)
        return false;
    lookup_hold(stream->lookup);
    const bool goes_on = stream_found(wire, stream);
    lookups_tidy(wire, false);
    return goes_on;
}

void seekers_attend(struct zmtp_wire *wire)
{
    wire->sought = false;
    for (struct stream *stream = wire->streams; stream; stream = stream->next)
        if (stream->state == STREAM_SEEKS && stream->lookup && !stream->gone && !stream_found(wire, stream))
            stream_fail(wire, stream);
    lookups_tidy(wire, false);
}

void lookups_drop(struct zmtp_wire *wire)
{
    for (struct lookup *lookup = wire->lookups, *next; lookup; lookup = next) {
        next = lookup->next;
        lookup_drop(lookup);
    }
    wire->lookups = NULL;
}
