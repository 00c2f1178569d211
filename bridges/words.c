/*
 * Items that come of no message: what the bridge itself says to a peer, and what it passes on. They go where those of
 * messages go, see outbound.c; under the peer's lock, and appended whole or not at all.
 */
#include "bridges/bridge.h"
#include "bridges/item.h"
#include <soma/error.h>
#include <string.h>

/* After an item of the bridge's own, or one that it passes on. */
static int item_end(struct peer *peer, struct chunk *chunk, const struct writer *writer, size_t before)
{
    if (writer->failed)
        chunk->items.size = before;
    peer->out.bytes += chunk->items.size - before;
    return writer->failed ? SOMA_ENOMEM : 0;
}

static int word_end(struct peer *peer, struct chunk *chunk, const struct writer *writer, size_t before)
{
    int error = item_end(peer, chunk, writer, before);
    if (!error)
        outbound_owe(peer, chunk, chunk->items.size - before);
    return error;
}

int outbound_moved(struct peer *peer, soma_ref asker, soma_ref to, uint64_t handle)
{
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return SOMA_ENOMEM;
    size_t before = chunk->items.size;
    struct writer writer = {&chunk->items, false};
    item_begin(&writer, ITEM_MOVED, 1, peer->bridge->system->node, peer->node, asker, to);
    write_number(&writer, handle);
    peer->out.owes = true; // whoever asked would take this node's end for the end of his request
    return word_end(peer, chunk, &writer, before);
}

int outbound_pressure(struct peer *peer, soma_ref agent, bool on)
{
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return SOMA_ENOMEM;
    size_t before = chunk->items.size;
    struct writer writer = {&chunk->items, false};
    item_begin(&writer, ITEM_PRESSURE, 1, peer->bridge->system->node, peer->node, SOMA_REF_NULL, agent);
    write_number(&writer, on);
    return word_end(peer, chunk, &writer, before);
}

int outbound_relay(struct peer *peer, uint64_t to, uint64_t from, uint64_t channel, const void *frame, size_t size)
{
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return SOMA_ENOMEM;
    size_t before = chunk->items.size;
    struct writer writer = {&chunk->items, false};
    write_array(&writer, 5);
    write_number(&writer, ITEM_RELAY);
    write_number(&writer, to);
    write_number(&writer, from);
    write_number(&writer, channel);
    if (frame)
        write_bytes(&writer, frame, (uint32_t)size);
    else
        write_nil(&writer);
    return frame ? item_end(peer, chunk, &writer, before) : word_end(peer, chunk, &writer, before);
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
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return SOMA_ENOMEM;
    size_t before = chunk->items.size;
    struct writer writer = {&chunk->items, false};
    introduction_write(&writer, other);
    return word_end(peer, chunk, &writer, before);
}

int outbound_refuse(struct peer *peer, uint64_t index, const char *layout, size_t size)
{
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return SOMA_ENOMEM;
    size_t before = chunk->items.size;
    struct writer writer = {&chunk->items, false};
    write_array(&writer, 3);
    write_number(&writer, ITEM_REFUSED);
    write_number(&writer, index);
    write_text(&writer, layout, size);
    return word_end(peer, chunk, &writer, before);
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
        struct chunk *chunk = outbound_chunk(&peer->out);
        if (!chunk)
            break;
        size_t before = chunk->items.size;
        struct writer writer = {&chunk->items, false};
        write_array(&writer, 2);
        write_number(&writer, ITEM_FORGET);
        write_number(&writer, share->number);
        if (word_end(peer, chunk, &writer, before))
            break;
        bodies[count++] = shares_take(shares, share);
        last = chunk;
    }
    if (last) // they are forgotten before others take their places
        last->full = true;
    return count;
}
