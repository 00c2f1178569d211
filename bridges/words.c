/*
 * Items that come of no message: what the bridge itself says to a peer, and what it passes on. They go where those of
 * messages go, see outbound.c; under the peer's lock, and appended whole or not at all.
 */
#include "bridges/bridge.h"
#include "bridges/item.h"
#include <soma/error.h>
#include <string.h>

/* An item that is being appended. */
struct entry {
    struct peer *peer;
    struct chunk *chunk;
    size_t before; /* bytes in it */
    struct writer writer;
};

/* False when memory is out. */
static bool entry_begin(struct entry *entry, struct peer *peer)
{
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (chunk)
        *entry = (struct entry){peer, chunk, chunk->items.size, {&chunk->items, false}};
    return chunk;
}

/* One that is passed on. 0 or SOMA_ENOMEM. */
static int item_end(const struct entry *entry)
{
    struct chunk *chunk = entry->chunk;
    if (entry->writer.failed)
        chunk->items.size = entry->before;
    entry->peer->out.bytes += chunk->items.size - entry->before;
    return entry->writer.failed ? SOMA_ENOMEM : 0;
}

/* One of the bridge's own. The same. */
static int word_end(const struct entry *entry)
{
    int error = item_end(entry);
    if (!error)
        outbound_owe(entry->peer, entry->chunk, entry->chunk->items.size - entry->before);
    return error;
}

int outbound_moved(struct peer *peer, soma_ref asker, soma_ref to, uint64_t handle, uint64_t number)
{
    struct entry entry;
    bool counted = peer->reads & READS_COUNTED;
    if (!entry_begin(&entry, peer))
        return SOMA_ENOMEM;
    if (!number)
        number = ++peer->bridge->moves_said;
    item_begin(&entry.writer, ITEM_MOVED, 1 + counted, peer->bridge->system->node, peer->node, asker, to);
    write_number(&entry.writer, handle);
    if (counted)
        write_number(&entry.writer, number);
    peer->out.owes = true; // whoever asked would take this node's end for the end of his request
    return word_end(&entry);
}

int outbound_pressure(struct peer *peer, soma_ref agent, bool on)
{
    struct entry entry;
    if (!entry_begin(&entry, peer))
        return SOMA_ENOMEM;
    item_begin(&entry.writer, ITEM_PRESSURE, 1, peer->bridge->system->node, peer->node, SOMA_REF_NULL, agent);
    write_number(&entry.writer, on);
    return word_end(&entry);
}

int outbound_relay(struct peer *peer, uint64_t to, uint64_t from, uint64_t channel, const void *frame, size_t size)
{
    struct entry entry;
    if (!entry_begin(&entry, peer))
        return SOMA_ENOMEM;
    write_array(&entry.writer, 5);
    write_number(&entry.writer, ITEM_RELAY);
    write_number(&entry.writer, to);
    write_number(&entry.writer, from);
    write_number(&entry.writer, channel);
    if (frame)
        write_bytes(&entry.writer, frame, (uint32_t)size);
    else
        write_nil(&entry.writer);
    return frame ? item_end(&entry) : word_end(&entry);
}

void introduction_write(struct writer *writer, const struct peer *other)
{
    uint32_t count = 0;
    while (count < ADDRESSES_MAX && other->addresses[count])
        count++;
    write_array(writer, 4);
    write_number(writer, ITEM_NODE);
    write_number(writer, other->node);
    write_text(writer, other->name, strlen(other->name));
    write_array(writer, count);
    for (uint32_t i = 0; i < count; i++)
        write_text(writer, other->addresses[i], strlen(other->addresses[i]));
}

int outbound_introduce(struct peer *peer, const struct peer *other)
{
    struct entry entry;
    if (!entry_begin(&entry, peer))
        return SOMA_ENOMEM;
    introduction_write(&entry.writer, other);
    return word_end(&entry);
}

int outbound_refuse(struct peer *peer, uint64_t index, const char *layout, size_t size)
{
    struct entry entry;
    if (!entry_begin(&entry, peer))
        return SOMA_ENOMEM;
    write_array(&entry.writer, 3);
    write_number(&entry.writer, ITEM_REFUSED);
    write_number(&entry.writer, index);
    write_text(&entry.writer, layout, size);
    return word_end(&entry);
}

uint32_t outbound_forget(struct peer *peer, soma_body *bodies[SHARES_MOST])
{
    struct shares *shares = &peer->out.shares;
    struct chunk *last = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; shares->count && i < SHARES_MOST; i++) {
        struct share *share = &shares->places[i];
        if (!share->body || !transit_is_past(&peer->transit, share->number, share->used) ||
            !shares_can_spare(shares, share))
            continue;
        struct entry entry;
        if (!entry_begin(&entry, peer))
            break;
        write_array(&entry.writer, 2);
        write_number(&entry.writer, ITEM_FORGET);
        write_number(&entry.writer, share->number);
        if (word_end(&entry))
            break;
        bodies[count++] = shares_take(shares, share);
        last = entry.chunk;
    }
    if (last) // they are forgotten before others take their places
        last->full = true;
    return count;
}
