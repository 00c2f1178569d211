/* The choice of what leaves next; see transit.h. */
#include "bridges/transit.h"
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/spin.h"
#include <soma/log.h>
#include <stdlib.h>

/* ---- who waits ---- */

static bool sender_waits(const struct transit *transit, soma_ref from)
{
    for (uint32_t i = transit->waiter_count; i; i--) // mostly it was the last one
        if (soma_ref_equal(transit->waiters[i - 1].from, from))
            return true;
    return false;
}

static bool body_waits(const struct transit *transit, uint64_t body)
{
    for (uint32_t i = transit->waiter_count; i; i--)
        if (transit->waiters[i - 1].body == body)
            return true;
    return false;
}

static bool waiter_add(struct transit *transit, soma_ref from, uint64_t body)
{
    if (sender_waits(transit, from) && (!body || body_waits(transit, body)))
        return true;
    if (transit->waiter_count == transit->waiter_capacity) {
        uint32_t capacity = transit->waiter_capacity ? transit->waiter_capacity * 2 : 8;
        struct waiter *grown = realloc(transit->waiters, capacity * sizeof(*grown));
        if (!grown)
            return false;
        transit->waiters = grown;
        transit->waiter_capacity = capacity;
    }
    transit->waiters[transit->waiter_count++] = (struct waiter){from, body};
    return true;
}

bool transit_is_past(const struct transit *transit, uint64_t body, uint64_t chunk)
{
    return chunk <= transit->taken && !body_waits(transit, body);
}

/* Is a small body held, which others are to name? */
static bool body_is_held(const struct transit *transit, uint64_t number)
{
    for (uint32_t i = 0; number && i < transit->waiter_count; i++)
        if (transit->waiters[i].body == number && soma_ref_is_null(transit->waiters[i].from))
            return true;
    return false;
}

/* Is there more to come of a body? */
static bool body_leaves(const struct transit *transit, uint64_t number)
{
    const struct chunk *body = number ? transit->first : NULL;
    while (body && body->body != number)
        body = body->next;
    return body;
}

/* A kill is ahead of all mail, and what no agent says is for all of them; but a body waits for the end of another.
 * Words that a request has moved are said in the order of their numbers, whoever has them now. */
static bool item_waits(const struct transit *transit, const struct item *item)
{
    if (item->kind == ITEM_SHARED)
        return transit->parted;
    return item_is_word(item->kind) && item->kind != ITEM_KILL && item->kind != ITEM_MOVED &&
           (body_leaves(transit, item->number) || body_is_held(transit, item->number) ||
            sender_waits(transit, item->from));
}

static bool item_leave(msgpack_sbuffer *leave, const char *item, size_t size)
{
    return (leave->data || block_begin(leave, NULL, BLOCK_ROOM)) && !msgpack_sbuffer_write(leave, item, size);
}

/* Sorts items into those that leave, as long as they fit one frame, and those that are held. */
static void items_sort(struct peer *peer, const char *items, size_t all, msgpack_sbuffer *leave)
{
    struct transit *transit = &peer->transit;
    const unsigned char *bytes = (const unsigned char *)items;
    struct reader reader = {bytes, bytes + all};
    struct item item;
    size_t lost = 0;
    for (const char *at = items; reader_left(&reader); at = (const char *)reader.at) {
        if (item_read(&reader, peer->node, peer->bridge->system->node, &item)) // never: it was written here
            break;
        size_t size = (size_t)((const char *)reader.at - at);
        bool full = block_size(leave) >= FRAME_ITEMS, waits = full || item_waits(transit, &item);
        transit->again |= full;
        if ((waits && !waiter_add(transit, item.from, item.number)) ||
            (waits ? msgpack_sbuffer_write(&transit->held, at, size) : !item_leave(leave, at, size)))
            lost += size;
    }
    if (lost)
        soma_log_error(peer->bridge->system, "bridge: out of memory: %zu bytes to node %s are lost", lost, peer->name);
}

/* ---- what leaves ---- */

/* Small chunks among large ones, of which a handler's first word is one, say little of what comes next. */
static void chunk_count(struct outbound *out, size_t size)
{
    if (size >= out->recent)
        out->recent = size < FRAME_ITEMS ? size : FRAME_ITEMS;
    else
        out->recent -= out->recent / 4;
}

/* The queue's first chunk; what is sure to leave now counts no more. */
static struct chunk *chunk_pop(struct peer *peer)
{
    bool straight = !peer->transit.first && !peer->transit.held.size;
    soma_body *forgotten[SHARES_MOST];
    spin_lock(&peer->busy);
    uint32_t count = outbound_forget(peer, forgotten);
    struct chunk *chunk = peer->out.first;
    while (peer->session.spent_count && peer->out.spare_count < SPENT_MOST)
        peer->out.spare[peer->out.spare_count++] = peer->session.spent[--peer->session.spent_count];
    if (chunk && block_size(&chunk->items)) {
        chunk_count(&peer->out, block_size(&chunk->items));
        if (!chunk->body) {
            peer->transit.taken = chunk->number;
            peer->out.owed -= chunk->owed;
        }
        peer->out.first = chunk->next;
        if (!chunk->next)
            peer->out.last = NULL;
        if (straight && !chunk->body)
            peer->out.bytes -= block_size(&chunk->items);
        peer->transit.owes |= peer->out.owes;
        peer->out.owes &= chunk->next != NULL;
        peer->transit.passes |= peer->out.passes;
        peer->out.passes &= chunk->next != NULL;
    } else {
        chunk = NULL;
        peer->dirty = false;
    }
    spin_unlock(&peer->busy);
    while (count) // not under the lock: it may be much to free
        soma_body_close(&forgotten[--count]);
    return chunk;
}

static void bytes_leave(struct peer *peer, size_t bytes, size_t owed)
{
    spin_lock(&peer->busy);
    peer->out.bytes -= bytes;
    peer->out.owed -= owed;
    spin_unlock(&peer->busy);
}

/* The next part of the first body; nothing without memory. */
static void part_take(struct peer *peer, msgpack_sbuffer *items)
{
    struct transit *transit = &peer->transit;
    struct chunk *body = transit->first;
    size_t left = body->items.size - body->at, size = left < FRAME_ITEMS ? left : FRAME_ITEMS;
    struct writer writer = {items, !block_begin(items, NULL, BLOCK_ROOM)};
    if (writer.failed)
        return;
    write_array(&writer, 4);
    write_number(&writer, body->shared ? ITEM_SHARED : ITEM_BODY);
    write_number(&writer, body->body);
    write_number(&writer, left - size);
    write_bytes(&writer, body->items.data + body->at, size);
    if (writer.failed) {
        msgpack_sbuffer_destroy(items);
        msgpack_sbuffer_init(items);
        return;
    }
    transit->turn = false;
    transit->parted = size != left;
    body->at += size;
    bytes_leave(peer, size, size == left ? body->owed : 0);
    if (size == left) {
        transit->again = transit->held.size;
        transit->first = body->next;
        chunk_free(body);
    }
}

/* What is held and need not be any more. */
static void held_take(struct peer *peer, msgpack_sbuffer *items)
{
    struct transit *transit = &peer->transit;
    msgpack_sbuffer held = transit->held;
    msgpack_sbuffer_init(&transit->held);
    transit->waiter_count = 0;
    transit->again = false;
    items_sort(peer, held.data, held.size, items);
    bytes_leave(peer, held.size - transit->held.size, 0);
    msgpack_sbuffer_destroy(&held);
}

static void chunk_take(struct peer *peer, struct chunk *chunk, msgpack_sbuffer *items)
{
    struct transit *transit = &peer->transit;
    transit->turn = true;
    if (chunk->body) {
        chunk->next = NULL;
        *(transit->first ? &transit->last->next : &transit->first) = chunk;
        transit->last = chunk;
        return;
    }
    if (transit->first || transit->held.size) {
        size_t before = transit->held.size, size = block_size(&chunk->items);
        items_sort(peer, chunk->items.data + chunk->at, size, items);
        bytes_leave(peer, size - (transit->held.size - before), 0);
    } else { // as nearly always
        *items = chunk->items;
        msgpack_sbuffer_init(&chunk->items);
    }
    chunk_free(chunk);
}

void transit_introduce(struct peer *peer, const struct peer *other)
{
    struct transit *transit = &peer->transit;
    size_t before = transit->held.size;
    struct writer writer = {&transit->held, false};
    introduction_write(&writer, other);
    if (writer.failed)
        transit->held.size = before; // it is not told
    transit->again |= transit->held.size;
    spin_lock(&peer->busy);
    peer->out.bytes += transit->held.size - before;
    spin_unlock(&peer->busy);
}

/* Nobody acknowledges a ping, and the wire keeps those that are not read: a frame without items asks for a sign. */
static bool sign_take(const struct peer *peer, msgpack_sbuffer *items)
{
    bool waits = peer->session.acked != peer->session.sent;
    return peer->pings > peer->bridge->pings_most / 2 && !waits && block_begin(items, NULL, MSGPACK_SBUFFER_INIT_SIZE);
}

bool transit_take(struct peer *peer, msgpack_sbuffer *items)
{
    struct transit *transit = &peer->transit;
    msgpack_sbuffer_init(items);
    while (!items->size) {
        if (transit->again) {
            held_take(peer, items);
            continue;
        }
        struct chunk *chunk = transit->first && transit->turn ? NULL : chunk_pop(peer);
        if (chunk) {
            chunk_take(peer, chunk, items);
        } else if (transit->first) {
            part_take(peer, items);
            if (!items->size)
                return false; // there may be memory later
        } else {
            return sign_take(peer, items);
        }
    }
    return true;
}

void transit_reset(struct transit *transit)
{
    for (struct chunk *chunk = transit->first, *next; chunk; chunk = next) {
        next = chunk->next;
        chunk_free(chunk);
    }
    msgpack_sbuffer_destroy(&transit->held);
    free(transit->waiters);
    *transit = (struct transit){0};
}
