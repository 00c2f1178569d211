/*
 * From messages to items: what carriers do, under the peer's lock. An item is appended whole or not at all.
 */
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "bridges/peer.h"
#include "runtime/link.h"
#include "runtime/monitor.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include "runtime/types.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

#define APART_LEAST ((size_t)128 * 1024) /* bytes of a body, above which it leaves in parts */
#define SHARED_LEAST 512u                /* of a shared one, in memory, below which a copy is no worse */

/* ---- chunks ---- */

/* Where much is sent, a chunk has room for a whole frame at once: to grow is to copy. */
static bool chunk_make_room(struct outbound *out, struct chunk *chunk)
{
    bool streams = out->recent >= FRAME_ITEMS / 2;
    out->streams |= streams;
    chunk->at = BLOCK_AHEAD;
    return block_begin(&chunk->items, streams && out->spare_count ? out->spare[--out->spare_count] : NULL,
                       streams ? BLOCK_ROOM : MSGPACK_SBUFFER_INIT_SIZE);
}

static struct chunk *chunk_add(struct outbound *out)
{
    struct chunk *chunk = calloc(1, sizeof(*chunk));
    if (!chunk || !chunk_make_room(out, chunk)) {
        free(chunk);
        return NULL;
    }
    chunk->number = ++out->chunks;
    if (out->last)
        out->last->next = chunk;
    else
        out->first = chunk;
    out->last = chunk;
    return chunk;
}

struct chunk *outbound_chunk(struct outbound *out)
{
    struct chunk *last = out->last;
    return last && !last->full && block_size(&last->items) < FRAME_ITEMS ? last : chunk_add(out);
}

void chunk_free(struct chunk *chunk)
{
    msgpack_sbuffer_destroy(&chunk->items);
    free(chunk);
}

/*
 * The body at the end of the last chunk becomes one of its own, behind which the items follow: it leaves in parts, so
 * that neither others' items nor the heartbeat wait for all of it. False without memory: it stays where it is.
 */
static bool body_set_apart(struct outbound *out, size_t at)
{
    struct chunk *chunk = out->last;
    msgpack_sbuffer items;
    msgpack_sbuffer_init(&items);
    struct writer writer = {&items, false};
    write_raw(&writer, chunk->items.data, at);
    write_number(&writer, out->bodies + 1);
    struct chunk *rest = writer.failed ? NULL : chunk_add(out);
    if (!rest) {
        msgpack_sbuffer_destroy(&items);
        return false;
    }
    msgpack_sbuffer_destroy(&rest->items);
    rest->items = items;
    rest->number = chunk->number;
    chunk->body = ++out->bodies;
    chunk->at = at;
    out->bytes += chunk->items.size - at;
    return true;
}

/* The same for one that is not large, in the item that begins at a place: it goes before that, for others to name. */
static bool body_set_ahead(struct outbound *out, size_t item, size_t at)
{
    msgpack_sbuffer *items = &out->last->items, both;
    msgpack_sbuffer_init(&both);
    struct writer writer = {&both, false};
    write_array(&writer, 4);
    write_number(&writer, ITEM_SHARED);
    write_number(&writer, out->bodies + 1);
    write_number(&writer, 0);
    write_bytes(&writer, items->data + at, items->size - at);
    write_raw(&writer, items->data + item, at - item);
    write_number(&writer, out->bodies + 1);
    size_t more = both.size - (items->size - item);
    bool done = !writer.failed && !msgpack_sbuffer_write(items, both.data, more); // only to make room
    if (done)
        memcpy(items->data + item, both.data, both.size);
    out->bodies += done;
    msgpack_sbuffer_destroy(&both);
    return done;
}

void outbound_tidy(struct outbound *out)
{
    while (out->spare_count)
        free(out->spare[--out->spare_count]);
    out->recent = 0;
}

void outbound_reset(struct outbound *out)
{
    outbound_tidy(out);
    for (struct chunk *chunk = out->first, *next; chunk; chunk = next) {
        next = chunk->next;
        chunk_free(chunk);
    }
    free(out->types);
    shares_reset(&out->shares);
    *out = (struct outbound){0};
}

/* ---- types ---- */

static struct offered *type_place(const struct outbound *out, const soma_type *type)
{
    uint32_t at = (uint32_t)((uintptr_t)type >> 4 ^ (uintptr_t)type >> 12);
    while (out->types[at & (out->type_capacity - 1)].type && out->types[at & (out->type_capacity - 1)].type != type)
        at++;
    return &out->types[at & (out->type_capacity - 1)];
}

static bool types_grow(struct outbound *out)
{
    struct outbound grown = {.type_capacity = out->type_capacity ? out->type_capacity * 2 : 16};
    grown.types = calloc(grown.type_capacity, sizeof(*grown.types));
    if (!grown.types)
        return false;
    for (uint32_t i = 0; i < out->type_capacity; i++)
        if (out->types[i].type)
            *type_place(&grown, out->types[i].type) = out->types[i];
    free(out->types);
    out->types = grown.types;
    out->type_capacity = grown.type_capacity;
    return true;
}

static struct offered *offered_find(const struct outbound *out, uint64_t index)
{
    for (uint32_t i = 0; i < out->type_capacity; i++)
        if (out->types[i].type && out->types[i].index == index)
            return &out->types[i];
    return NULL;
}

const soma_type *outbound_type(const struct outbound *out, uint64_t index)
{
    const struct offered *offered = offered_find(out, index);
    return offered ? offered->type : NULL;
}

const soma_type *outbound_refused(struct outbound *out, uint64_t index)
{
    struct offered *offered = offered_find(out, index);
    if (!offered)
        return NULL;
    offered->again = true;
    out->head.type = NULL;
    shares_refuse(&out->shares, offered->type);
    bool first = !offered->told;
    offered->told = true;
    return first ? offered->type : NULL;
}

/* Offers a type first, if the other side does not have it; then *new is its entry. */
static int type_offer(struct outbound *out, struct writer *writer, const soma_type *type, struct offered **new)
{
    char layout[LAYOUT_MAX];
    *new = NULL;
    if (out->type_count * 2 >= out->type_capacity && !types_grow(out))
        return SOMA_ENOMEM;
    struct offered *offered = type_place(out, type);
    if (offered->type && !offered->again)
        return 0;
    size_t size = type_layout(type, layout, sizeof(layout));
    if (size >= sizeof(layout) || out->type_count >= TYPES_MAX)
        return SOMA_ETOOBIG;
    if (!offered->type)
        *offered = (struct offered){.type = type, .index = out->type_count++};
    write_array(writer, 4);
    write_number(writer, ITEM_TYPE);
    write_number(writer, offered->index);
    write_text(writer, type->name, strlen(type->name));
    write_text(writer, layout, size);
    offered->again = false;
    *new = offered;
    return 0;
}

/* ---- items ---- */

struct departure {
    struct peer *peer;
    struct writer writer;
    uint64_t here; /* this node */
    soma_ref to;
    struct message *message;
    const void *content;     /* what it carries to a handler, if anything */
    struct offered *offered; /* a type that was offered with this item */
    size_t item;             /* where in the buffer one with a body begins */
    size_t body;             /* and where that does; 0: it has none, or elsewhere */
    struct share *share;     /* its body, if the other side has it */
};

/* The body that the message shares with others, if that is worth a place over there. */
static soma_body *shared_body(const struct departure *d)
{
    bool worth = d->message->kind == MESSAGE_SHARED && d->message->body[1] >= SHARED_LEAST;
    return worth && d->peer->reads & READS_APART ? (soma_body *)(uintptr_t)d->message->body[0] : NULL;
}

/* What is better apart from the item that was appended last is set apart. */
static void body_sort_out(struct departure *d)
{
    struct outbound *out = &d->peer->out;
    struct chunk *chunk = out->last;
    soma_body *body = shared_body(d);
    size_t size = chunk->items.size - d->body;
    bool large = size > APART_LEAST && d->peer->reads & READS_APART;
    if (body && !shares_room(&out->shares, size, d->peer->bridge->options.window))
        body = NULL;
    bool done = large ? body_set_apart(out, d->body) : body && body_set_ahead(out, d->item, d->body);
    if (!done || !body)
        return;
    chunk->shared = large;
    shares_add(&out->shares, body, out->bodies, size, out->last->number);
}

static void begin(struct departure *d, enum item_kind kind, uint32_t count)
{
    item_begin(&d->writer, kind, count, d->here, d->peer->node, d->to, d->message->sender);
}

/* Items with a body. */
static int body_depart(struct departure *d, enum item_kind kind, bool handle)
{
    size_t before = d->writer.buffer->size;
    int error = type_offer(&d->peer->out, &d->writer, d->message->type, &d->offered);
    if (error)
        return error;
    d->share = shares_find(&d->peer->out.shares, shared_body(d));
    d->item = d->writer.buffer->size;
    begin(d, kind, 2 + handle);
    if (handle)
        write_number(&d->writer, d->message->body[0]);
    write_number(&d->writer, type_place(&d->peer->out, d->message->type)->index);
    if (d->share) {
        write_number(&d->writer, d->share->number);
        return 0;
    }
    d->body = d->writer.buffer->size;
    error = type_pack_into(d->message->type, d->content, d->writer.buffer);
    if (!error && d->writer.failed)
        error = SOMA_ENOMEM;
    return !error && d->writer.buffer->size - before > d->peer->bridge->options.message_most ? SOMA_ETOOBIG : error;
}

static int request_depart(struct departure *d)
{
    bool passed = d->message->sender.node != d->here;
    const struct debt debt = {.kind = passed ? DEBT_PASSED : DEBT_REQUEST,
                              .here = d->message->sender,
                              .there = d->to,
                              .handle = d->message->body[0]};
    int error = body_depart(d, ITEM_REQUEST, true);
    if (!error)
        error = debts_add(&d->peer->debts, &debt);
    d->peer->out.passes |= passed && !error;
    return error;
}

static int watch_depart(struct departure *d)
{
    struct debt debt = {.kind = DEBT_WATCH, .here = d->message->sender, .there = d->to};
    debt.watch = monitor_depart(d->message, &debt.handle);
    begin(d, ITEM_WATCH, 1);
    write_number(&d->writer, debt.handle);
    return d->writer.failed ? SOMA_ENOMEM : debts_add(&d->peer->debts, &debt);
}

static int unwatch_depart(struct departure *d, struct message **watch)
{
    struct debt debt;
    uint64_t handle;
    monitor_depart(d->message, &handle);
    if (!debts_take(&d->peer->debts, DEBT_WATCH, d->message->sender, d->to, handle, &debt))
        return 0; // its end was told already, and is on its way
    *watch = debt.watch;
    begin(d, ITEM_UNWATCH, 1);
    write_number(&d->writer, handle);
    return 0;
}

static void reason_write(struct departure *d, uint64_t handle, int reason, const char *text)
{
    write_number(&d->writer, handle);
    write_signed(&d->writer, reason);
    size_t size = text ? strlen(text) : 0;
    if (text && size <= REASON_MAX)
        write_text(&d->writer, text, size);
    else
        write_nil(&d->writer);
}

/* Word of an end here, to who watched or was linked there. */
static int end_depart(struct departure *d)
{
    struct debt debt;
    uint64_t handle = d->message->body[0];
    if (d->message->kind == MESSAGE_DOWN) {
        const struct soma_down *down = message_body(d->message);
        debts_take(&d->peer->debts, DEBT_WATCHED, down->agent, d->to, handle, &debt);
        begin(d, ITEM_DOWN, 3);
        reason_write(d, handle, down->reason, down->text);
        return 0;
    }
    const struct soma_exited *exited = message_body(d->message);
    debts_take(&d->peer->debts, DEBT_LINK, d->message->sender, d->to, 0, &debt);
    begin(d, ITEM_EXIT, 3);
    reason_write(d, handle, exited->reason, exited->text);
    return 0;
}

static int link_leave(struct departure *d)
{
    struct debt debt = {.kind = DEBT_LINK, .here = d->message->sender, .there = d->to};
    uint64_t handle, sender_handle;
    link_depart(d->message, &handle, &sender_handle);
    if (d->message->kind == MESSAGE_LINK) {
        begin(d, ITEM_LINK, 1);
        write_number(&d->writer, handle);
        return d->writer.failed ? SOMA_ENOMEM : debts_add(&d->peer->debts, &debt);
    }
    debts_take(&d->peer->debts, DEBT_LINK, debt.here, debt.there, 0, &debt);
    begin(d, ITEM_UNLINK, 2);
    write_number(&d->writer, handle);
    write_number(&d->writer, sender_handle);
    return 0;
}

/* How the item begins, for outbound_plain(). */
static void head_note(const struct departure *d)
{
    struct head *head = &d->peer->out.head;
    const struct message *message = d->message;
    size_t size = d->body - d->item;
    if (message->kind != MESSAGE_PLAIN || size > HEAD_MOST)
        return;
    *head = (struct head){.to = d->to, .from = message->sender, .type = message->type, .size = size};
    memcpy(head->bytes, d->writer.buffer->data + d->item, size);
}

static int item_depart(struct departure *d, struct message **watch)
{
    switch (d->message->kind) {
    case MESSAGE_PLAIN:
    case MESSAGE_SHARED:
        return body_depart(d, ITEM_SEND, false);
    case MESSAGE_REQUEST:
        return request_depart(d);
    case MESSAGE_REPLY:
        return body_depart(d, ITEM_REPLY, true);
    case MESSAGE_ERROR:
        begin(d, ITEM_ERROR, 2);
        write_number(&d->writer, d->message->body[0]);
        write_signed(&d->writer, (int64_t)d->message->body[1]);
        return 0;
    case MESSAGE_WATCH:
        return watch_depart(d);
    case MESSAGE_UNWATCH:
        return unwatch_depart(d, watch);
    case MESSAGE_DOWN:
    case MESSAGE_EXIT:
        return end_depart(d);
    case MESSAGE_LINK:
    case MESSAGE_UNLINK:
        return link_leave(d);
    case MESSAGE_SHUTDOWN:
        begin(d, ITEM_SHUTDOWN, 0);
        return 0;
    case MESSAGE_WAKE:
        begin(d, ITEM_KILL, 0);
        return 0;
    default:
        return SOMA_ENOROUTE; // functions and the like can't travel
    }
}

void outbound_owe(struct peer *peer, struct chunk *chunk, size_t size)
{
    chunk->owed += size;
    peer->out.owed += size;
    if (peer->out.owed > peer->bridge->owed_most)
        u32_store(&peer->overfull, 1); // under busy, as what led to it
}

/* Who says it is not held up for it, so that no cycle goes through the way's gate; see flow.h. */
static bool is_owed(const struct message *message)
{
    uint8_t kind = message->kind;
    return kind == MESSAGE_REPLY || kind == MESSAGE_ERROR || kind == MESSAGE_DOWN || kind == MESSAGE_EXIT ||
           kind == MESSAGE_SHUTDOWN || kind == MESSAGE_WAKE;
}

int outbound_append(struct peer *peer, soma_ref to, struct message *message, const void *body, struct message **watch)
{
    if (message->kind == MESSAGE_REPLY && peer->out.owed > peer->bridge->owed_most / 2)
        return SOMA_EAGAIN; // who asked hears that in its place
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return SOMA_ENOMEM;
    size_t before = chunk->items.size, bytes = peer->out.bytes;
    struct departure d = {.peer = peer,
                          .writer = {&chunk->items, false},
                          .here = peer->bridge->system->node,
                          .to = to,
                          .message = message,
                          .content = body};
    *watch = NULL;
    int error = item_depart(&d, watch);
    if (!error && d.writer.failed)
        error = SOMA_ENOMEM;
    if (error) {
        chunk->items.size = before;
        if (d.offered) // that was taken back, too
            d.offered->again = true;
        return error;
    }
    if (d.body) {
        head_note(&d);
        body_sort_out(&d);
    }
    if (d.share)
        d.share->used = chunk->number;
    peer->out.bytes += peer->out.last->items.size - before;
    if (is_owed(message))
        outbound_owe(peer, chunk, peer->out.bytes - bytes);
    peer->out.owes |= message->kind != MESSAGE_WATCH && message->kind != MESSAGE_UNWATCH; // which end with this node
    return 0;
}

/* Appends an item that begins like the last one. False, and nothing was appended: it is none, or needs a closer look.
 */
static bool plain_repeat(struct peer *peer, soma_ref from, soma_ref to, const soma_type *type, const void *body)
{
    const struct head *head = &peer->out.head;
    if (head->type != type || !soma_ref_equal(head->to, to) || !soma_ref_equal(head->from, from))
        return false;
    struct chunk *chunk = outbound_chunk(&peer->out);
    if (!chunk)
        return false;
    size_t before = chunk->items.size;
    struct writer writer = {&chunk->items, false};
    char *at = writer_room(&writer, HEAD_MOST);
    if (!at)
        return false;
    memcpy(at, head->bytes, HEAD_MOST); // of one length, which is quick; what is behind its end is written over
    writer_end(&writer, at + head->size);
    int error = type_pack_into(type, body, &chunk->items);
    size_t size = chunk->items.size - before;
    if (error || size > APART_LEAST || size > peer->bridge->options.message_most) {
        chunk->items.size = before;
        return false;
    }
    peer->out.bytes += size;
    peer->out.owes = true;
    return true;
}

int outbound_plain(struct peer *peer, soma_ref from, soma_ref to, const soma_type *type, const void *body)
{
    if (plain_repeat(peer, from, to, type, body))
        return 0;
    struct message *watch, message = {.type = type, .kind = MESSAGE_PLAIN, .sender = from};
    return outbound_append(peer, to, &message, body, &watch);
}
