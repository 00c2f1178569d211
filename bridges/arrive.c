/*
 * From items to messages: what a frame brought is given to the agents here. The bridge's thread alone. Whatever a
 * stranger writes, nothing is read that is not there; what makes no sense ends the connection.
 */
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/link.h"
#include "runtime/monitor.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "runtime/type.h"
#include "runtime/types.h"
#include "runtime/value.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- types ---- */

#define ROOM_MOST 4096u

static int types_room(struct peer *peer, uint64_t index)
{
    if (index < peer->type_count)
        return 0;
    uint32_t count = peer->type_count ? peer->type_count * 2 : 16;
    while (count <= index)
        count *= 2;
    struct heard_type *grown = realloc(peer->types, count * sizeof(*grown));
    if (!grown)
        return SOMA_ENOMEM;
    memset(grown + peer->type_count, 0, (count - peer->type_count) * sizeof(*grown));
    peer->types = grown;
    peer->type_count = count;
    return 0;
}

static void refuse(struct peer *peer, uint64_t index, const soma_type *closest)
{
    char layout[LAYOUT_MAX] = "";
    if (closest)
        type_layout(closest, layout, sizeof(layout));
    spin_lock(&peer->busy);
    outbound_refuse(peer, index, layout, strlen(layout));
    spin_unlock(&peer->busy);
}

/* A block is made for a size before it is known: what the last one had, if that was not much. */
static size_t room_of(size_t size)
{
    return size <= ROOM_MOST ? (size + 7) & ~(size_t)7 : 0;
}

/* What the runtime alone says, and has items of its own for: whoever gets one believes that somebody has ended. */
static bool is_for_runtime(const struct span *name)
{
    const soma_type *const types[] = {&soma_down_type, &soma_exited_type};
    for (uint32_t i = 0; i < 2; i++)
        if (strlen(types[i]->name) == name->size && !memcmp(types[i]->name, name->text, name->size))
            return true;
    return false;
}

static int type_arrive(struct peer *peer, const struct item *item)
{
    const soma_type *closest = NULL, *type = NULL;
    int error = types_room(peer, item->type);
    if (error)
        return error;
    if (!is_for_runtime(&item->name))
        type = types_find(peer->bridge->system, item->name.text, item->name.size, item->layout.text, item->layout.size,
                          &closest);
    peer->types[item->type] = (struct heard_type){type, type ? room_of(type->size) : 0};
    if (!type)
        refuse(peer, item->type, closest);
    return 0;
}

/* Clear words where it can be mended: at who sends. Once, as each message of the type may be refused. */
static void refused_arrive(struct peer *peer, const struct item *item)
{
    char mine[LAYOUT_MAX];
    spin_lock(&peer->busy);
    const soma_type *type = outbound_refused(&peer->out, item->type);
    spin_unlock(&peer->busy);
    if (!type)
        return;
    type_layout(type, mine, sizeof(mine));
    static const char fate[] = "what is sent of it is a dead letter there, a request fails";
    if (item->layout.size)
        soma_log_error(peer->bridge->system, "bridge: node %s has '%s' as {%.*s}, here it is {%s}: %s", peer->name,
                       type->name, (int)item->layout.size, item->layout.text, mine, fate);
    else
        soma_log_error(peer->bridge->system, "bridge: node %s does not know '%s' {%s}: %s", peer->name, type->name,
                       mine, fate);
}

/* ---- messages ---- */

/* A block of just the size, for what is looked at first. */
static int body_fit(struct peer *peer, struct item *item, enum message_kind kind, struct heard_type *heard,
                    struct message **message)
{
    struct arena *arena = &peer->bridge->arena;
    void *view = arena_take(arena, heard->type->size);
    size_t size;
    int error = view ? type_view_next(heard->type, view, &item->body, arena) : SOMA_ENOMEM;
    if (!error && !(error = type_flat_size(heard->type, view, &size)))
        heard->room = room_of(size);
    if (!error)
        error = message_build(peer->bridge->worker, kind, item->handle, heard->type, view, message);
    arena_reset(arena);
    return error;
}

/*
 * A block of a kind for what comes next in the item's body; its handle, if it has one, is the first word. Messages of a
 * type are often of one size, so it is read straight into a block of the last one's.
 */
static int body_unpack(struct peer *peer, struct item *item, enum message_kind kind, struct heard_type *heard,
                       struct message **message)
{
    struct worker *worker = peer->bridge->worker;
    const struct reader body = item->body;
    size_t words = kind != MESSAGE_PLAIN, used,
           room = heard->room > heard->type->size ? heard->room : heard->type->size;
    size_t size = words * sizeof(uint64_t) + room;
    *message = message_new(worker, kind, size < 2 * sizeof(uint64_t) ? 2 * sizeof(uint64_t) : size);
    if (!*message)
        return SOMA_ENOMEM;
    int error = type_unpack_flat(heard->type, (*message)->body + words, room, &item->body, &used);
    if (error) {
        message_free(worker, *message);
        item->body = body;
        return error == SOMA_EFULL ? body_fit(peer, item, kind, heard, message) : error;
    }
    if (used < room / 2)
        heard->room = used;
    (*message)->type = heard->type;
    if (words)
        (*message)->body[0] = item->handle;
    return 0;
}

static struct reader apart_reader(const struct apart *apart)
{
    const unsigned char *bytes = (const unsigned char *)apart->bytes;
    return (struct reader){bytes, bytes + apart->size};
}

/* The one body for all who get it. */
static int body_make(struct apart *apart, const soma_type *type)
{
    struct reader reader = apart_reader(apart);
    soma_body *made;
    void *body = malloc(type->size ? type->size : 1);
    int error = body ? type_unpack_next(type, body, &reader) : SOMA_ENOMEM;
    if (!error && (error = soma_body_move(&made, type, body)))
        soma_type_destroy(type, body);
    free(body);
    if (!error)
        bodies_made(apart, made);
    return error;
}

/* A message with a shared body. */
static int shared_unpack(struct peer *peer, struct apart *apart, const soma_type *type, struct message **message)
{
    int error = apart->made ? 0 : body_make(apart, type);
    if (error)
        return error;
    if (apart->made->type != type)
        return SOMA_EFORMAT;
    *message = message_new(peer->bridge->worker, MESSAGE_SHARED, 2 * sizeof(uint64_t));
    if (!*message)
        return SOMA_ENOMEM;
    (*message)->type = type;
    (*message)->body[0] = (uintptr_t)soma_body_share(apart->made);
    (*message)->body[1] = apart->made->size;
    return 0;
}

/* A message whose body has come before it. */
static int apart_unpack(struct peer *peer, struct item *item, enum message_kind kind, struct heard_type *heard,
                        struct message **message)
{
    struct apart *apart = bodies_find(&peer->bodies, item->number);
    if (!apart || (apart->shared && kind != MESSAGE_PLAIN))
        return SOMA_EFORMAT;
    int error = apart->error ? apart->error : heard ? 0 : SOMA_ETYPE;
    if (apart->shared)
        return error ? error : shared_unpack(peer, apart, heard->type, message);
    item->body = apart_reader(apart);
    if (!error)
        error = body_unpack(peer, item, kind, heard, message);
    bodies_drop(apart);
    return error;
}

/* A message that can't be made into one here: who waits for an answer is told. */
static void body_refused(struct peer *peer, const struct item *item, int error)
{
    struct soma_bridge *bridge = peer->bridge;
    static const soma_type unknown = {.name = "unknown"};
    if (item->kind == ITEM_REPLY) { // the asker waits no longer
        reply_fail(bridge->system, bridge->worker, item->from, item->to, item->handle, error);
        return;
    }
    letter_dead(bridge->system, NULL, item->from, item->to, &unknown, error);
    if (item->kind == ITEM_REQUEST)
        reply_fail(bridge->system, bridge->worker, item->to, item->from, item->handle, error);
}

/* The reader is behind the body then. SOMA_EFORMAT: it can't be read, or is no message. */
static int body_arrive(struct peer *peer, struct item *item, struct reader *reader)
{
    struct soma_bridge *bridge = peer->bridge;
    static const enum message_kind kinds[] = {
        [ITEM_SEND] = MESSAGE_PLAIN, [ITEM_REQUEST] = MESSAGE_REQUEST, [ITEM_REPLY] = MESSAGE_REPLY};
    struct heard_type *heard = item->type < peer->type_count ? &peer->types[item->type] : NULL;
    struct message *message;
    bool apart = item->number != 0;
    if (heard && !heard->type)
        heard = NULL;
    int error = apart   ? apart_unpack(peer, item, kinds[item->kind], heard, &message)
                : heard ? body_unpack(peer, item, kinds[item->kind], heard, &message)
                        : SOMA_ETYPE;
    bool cut = error && !apart && value_skip(reader);
    if (error) {
        body_refused(peer, item, error);
        return cut || error == SOMA_EFORMAT ? SOMA_EFORMAT : 0;
    }
    const soma_type *type = message->type;
    uint64_t bytes = message_bytes(message);
    if (!apart)
        reader->at = item->body.at;
    message->sender = item->from;
    error = message_push_along(bridge->system, bridge->worker, item->to, message);
    if (item->kind == ITEM_REPLY)
        return 0;
    if (error == SOMA_EAGAIN && item->kind == ITEM_SEND) // who sent it can't be told any more
        letter_dead(bridge->system, bridge->worker, item->from, item->to, type, error);
    if (bridge->worker->pressing) // as a sender here, who would be muted for it
        burden_weigh(peer, item->to, bytes);
    return 0;
}

/* ---- what stands open ---- */

static bool debt_settle(struct peer *peer, enum debt_kind kind, soma_ref here, soma_ref there, uint64_t handle,
                        struct debt *debt)
{
    spin_lock(&peer->busy);
    bool found = debts_take(&peer->debts, kind, here, there, handle, debt);
    spin_unlock(&peer->busy);
    return found;
}

static int debt_enter(struct peer *peer, const struct debt *debt)
{
    spin_lock(&peer->busy);
    int error = debts_add(&peer->debts, debt);
    spin_unlock(&peer->busy);
    return error;
}

/* Text of a span, with its NUL. */
static const char *span_text(const struct span *span, char *buf, size_t size)
{
    if (!span->text)
        return NULL;
    snprintf(buf, size, "%.*s", (int)span->size, span->text);
    return buf;
}

static int end_arrive(struct peer *peer, const struct item *item)
{
    struct soma_bridge *bridge = peer->bridge;
    char buf[REASON_MAX + 1];
    struct debt debt;
    const char *text = span_text(&item->text, buf, sizeof(buf));
    if (item->kind == ITEM_EXIT) {
        debt_settle(peer, DEBT_LINK, item->to, item->from, 0, &debt);
        return exit_arrive(bridge->system, bridge->worker, item->to, item->from, item->handle, (int)item->reason, text);
    }
    if (!debt_settle(peer, DEBT_WATCH, item->to, item->from, item->handle, &debt))
        return 0; // it has been told already, or does not want to know any more
    soma_ref from = debt.there;
    message_push(bridge->system, bridge->worker, item->to,
                 watch_tell(bridge->worker, from, debt.watch, (int)item->reason, text));
    return 0;
}

static int watch_come(struct peer *peer, const struct item *item)
{
    struct soma_bridge *bridge = peer->bridge;
    struct debt debt = {.kind = DEBT_WATCHED, .here = item->to, .there = item->from, .handle = item->handle};
    struct message *watch, *courier = monitor_come(bridge->worker, item->from, item->handle, &watch);
    if (!courier)
        return SOMA_ENOMEM;
    debt.watched = watch;
    int error = debt_enter(peer, &debt); // first: the word of an end here takes it out
    if (error) {
        message_free(bridge->worker, watch);
        message_free(bridge->worker, courier);
        return error;
    }
    message_push(bridge->system, bridge->worker, item->to, courier);
    return 0;
}

static int unwatch_come(struct peer *peer, const struct item *item)
{
    struct soma_bridge *bridge = peer->bridge;
    struct debt debt;
    if (!debt_settle(peer, DEBT_WATCHED, item->to, item->from, item->handle, &debt))
        return 0; // the word of its end is on its way
    return unmonitor_arrive(bridge->system, bridge->worker, item->to, item->from, item->handle, debt.watched);
}

static int link_come(struct peer *peer, const struct item *item)
{
    struct soma_bridge *bridge = peer->bridge;
    struct debt debt;
    if (item->kind == ITEM_UNLINK) {
        debt_settle(peer, DEBT_LINK, item->to, item->from, 0, &debt);
        return unlink_arrive(bridge->system, bridge->worker, item->to, item->from, item->handle, item->other);
    }
    debt = (struct debt){.kind = DEBT_LINK, .here = item->to, .there = item->from};
    int error = debt_enter(peer, &debt);
    return error ? error : link_arrive(bridge->system, bridge->worker, item->to, item->from, item->handle);
}

/* ---- all of them ---- */

/* A request is over, wherever it is still waited for: more than once, if it has been here again on its way. */
static void debts_settle_all(const struct soma_bridge *bridge, soma_ref asker, uint64_t handle)
{
    struct debt debt;
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        while (debt_settle(bridge->list[i], DEBT_REQUEST, asker, SOMA_REF_NULL, handle, &debt))
            ;
}

static bool request_waits(const struct soma_bridge *bridge, soma_ref asker, uint64_t handle)
{
    bool waits = false;
    for (uint32_t i = 0; i < bridge->peer_count && !waits; i++) {
        struct peer *peer = bridge->list[i];
        spin_lock(&peer->busy);
        waits = debts_have(&peer->debts, DEBT_REQUEST, asker, SOMA_REF_NULL, handle);
        spin_unlock(&peer->busy);
    }
    return waits;
}

void moves_forget(struct soma_bridge *bridge, soma_ref asker, uint64_t handle)
{
    struct debt debt;
    bool any = false;
    while (debts_take(&bridge->moves, DEBT_MOVED, asker, SOMA_REF_NULL, handle, &debt))
        any = true;
    if (any) // words to come would lead to where these have gone on from
        debts_settle_all(bridge, asker, handle);
}

/* A request has come to `holder`, and gone on from there as far as is known: its last node owes the answer. */
static int request_follow(struct soma_bridge *bridge, soma_ref asker, soma_ref holder, uint64_t handle)
{
    struct debt debt;
    bool home;
    while (!(home = holder.node == bridge->system->node) &&
           debts_take(&bridge->moves, DEBT_MOVED, asker, holder, handle, &debt))
        holder = debt.there;
    struct peer *peer = home ? NULL : peers_find(&bridge->peers, holder.node);
    debt = (struct debt){.kind = DEBT_REQUEST, .here = asker, .there = holder, .handle = handle};
    int error = home          ? 0 // an agent's end here needs no word
                : !peer       ? SOMA_ENOROUTE
                : !peer->open ? SOMA_ENODEDOWN
                              : debt_enter(peer, &debt);
    if (error || (home && !request_waits(bridge, asker, handle))) // else it may have left again, and gone on from there
        moves_forget(bridge, asker, handle);
    return error ? reply_fail(bridge->system, bridge->worker, holder, asker, handle, error) : 0;
}

/*
 * Each node that passes a request on says so by its own link, so the words may come in another order than it went. One
 * from a node to which it has not come yet, as far as is known here, is kept until it has.
 */
static int moved_arrive(struct peer *peer, const struct item *item)
{
    struct soma_bridge *bridge = peer->bridge;
    struct debt debt;
    if (item->number && item->number <= peer->moved)
        return 0; // said again, as its acknowledgement was lost
    if (item->number)
        peer->moved = item->number;
    if (debt_settle(peer, DEBT_REQUEST, item->to, item->from, item->handle, &debt))
        return request_follow(bridge, item->to, item->from, item->handle);
    if (!request_waits(bridge, item->to, item->handle))
        return 0; // it has been answered
    debt = (struct debt){
        .kind = DEBT_MOVED, .here = item->to, .there = item->from, .handle = item->handle, .by = peer->node};
    return debts_add(&bridge->moves, &debt);
}

static int answer_arrive(struct peer *peer, struct item *item, struct reader *reader)
{
    struct soma_bridge *bridge = peer->bridge;
    struct debt debt;
    if (!debt_settle(peer, DEBT_REQUEST, item->to, item->from, item->handle, &debt))
        debts_settle_all(bridge, item->to, item->handle); // it was passed on, and word of that comes after the answer
    moves_forget(bridge, item->to, item->handle);
    if (item->kind == ITEM_REPLY)
        return body_arrive(peer, item, reader);
    return reply_fail(bridge->system, bridge->worker, item->from, item->to, item->handle, (int)item->reason);
}

/* Is it to end the bridge's own agent, now or with its sender? That lives as long as the bridge: who links with it
 * hears of the node's end. */
static bool is_end_of_bridge(const struct soma_bridge *bridge, const struct item *item)
{
    bool ends = item->kind == ITEM_KILL || item->kind == ITEM_SHUTDOWN || item->kind == ITEM_LINK ||
                item->kind == ITEM_UNLINK || item->kind == ITEM_EXIT;
    return ends && soma_ref_equal(item->to, bridge->agent);
}

/* The reader is behind what was read of the item. */
static int item_arrive(struct peer *peer, struct item *item, struct reader *reader)
{
    soma_system *system = peer->bridge->system;
    if (is_end_of_bridge(peer->bridge, item))
        return 0;
    switch (item->kind) {
    case ITEM_TYPE:
        return type_arrive(peer, item);
    case ITEM_REFUSED:
        refused_arrive(peer, item);
        return 0;
    case ITEM_NODE:
        return node_arrive(peer->bridge, item);
    case ITEM_SEND:
    case ITEM_REQUEST:
        return body_arrive(peer, item, reader);
    case ITEM_REPLY:
    case ITEM_ERROR:
        return answer_arrive(peer, item, reader);
    case ITEM_MOVED:
        return moved_arrive(peer, item);
    case ITEM_WATCH:
        return watch_come(peer, item);
    case ITEM_UNWATCH:
        return unwatch_come(peer, item);
    case ITEM_LINK:
    case ITEM_UNLINK:
        return link_come(peer, item);
    case ITEM_DOWN:
    case ITEM_EXIT:
        return end_arrive(peer, item);
    case ITEM_SHUTDOWN:
        shutdown_send(system, peer->bridge->worker, item->from, item->to);
        return 0;
    case ITEM_KILL:
        soma_kill(system, item->to);
        return 0;
    case ITEM_PRESSURE:
        return pressure_arrive(peer, item);
    case ITEM_FORGET:
        return bodies_forget(&peer->bodies, item->number);
    case ITEM_BODY:
    case ITEM_SHARED:
        return bodies_put(&peer->bodies, item, peer->bridge->options.message_most);
    case ITEM_RELAY:
        return relay_arrive(peer, item);
    }
    return SOMA_EFORMAT;
}

/* One that makes no sense is left out. The others do not suffer for it, as long as it is known where it ends. */
static int item_skip(struct peer *peer, struct reader *reader)
{
    struct soma_bridge *bridge = peer->bridge;
    if (value_skip(reader))
        return SOMA_EFORMAT;
    trust_count(bridge, &bridge->counts.bad_frames);
    if (trust_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: node %s: an item makes no sense, and is left out", peer->name);
    return 0;
}

static int items_read(struct peer *peer, const unsigned char *items, size_t size)
{
    struct reader reader = {items, items + size};
    struct reader head = {NULL, NULL}; // of the item, if another one may begin so
    struct item item;
    peer->bridge->worker->budget = 0; // it has no turns, but counts what it pushes
    while (reader_left(&reader)) {
        const struct reader begin = reader;
        int error = 0;
        if (!item_repeats(&reader, &head, &item)) {
            error = item_head_read(&reader, peer->bridge->system->node, peer->node, &item);
            bool plain = !error && item.kind == ITEM_SEND && !item.number;
            head = plain ? (struct reader){begin.at, reader.at} : (struct reader){NULL, NULL};
        }
        if (!error)
            error = item_arrive(peer, &item, &reader);
        if (error == SOMA_ENOMEM) { // what it was is lost, and said so; the session must not be
            if (trust_may_log(peer->bridge))
                soma_log_error(peer->bridge->system, "bridge: out of memory for what node %s sent", peer->name);
            error = 0;
        }
        if (error == SOMA_EFORMAT) {
            reader = begin;
            bool apart = item.kind >= ITEM_BODY && item.kind <= ITEM_FORGET; // without it no other body fits any more
            if (apart || item_skip(peer, &reader))
                return error;
        }
    }
    return 0;
}

int items_arrive(struct peer *peer, const unsigned char *items, size_t size)
{
    struct worker *worker = peer->bridge->worker;
    int error = items_read(peer, items, size);
    if (worker->sending)
        outbox_flush(worker); // they went on together
    return error;
}
