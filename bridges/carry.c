/* The route: what the runtime's threads call for a message to another node. And the end of a session. */
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/link.h"
#include "runtime/monitor.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>

/* The calling thread's worker of this system; NULL for a thread outside. */
static struct worker *worker_of(const struct soma_bridge *bridge)
{
    struct worker *here = worker_here();
    return here && here->system == bridge->system ? worker_or_outside(here) : NULL;
}

/* A block whose item is on its way. What it pointed to and the item does not is freed. */
static void message_departed(struct worker *worker, struct message *message)
{
    if (message->kind == MESSAGE_LINK)
        message_free(worker, link_carried(message));
    message_dispose(worker, message);
}

/* What could not be sent. Takes it. */
static int message_refused(struct soma_bridge *bridge, struct worker *worker, soma_ref to, struct message *message,
                           int error)
{
    bool gone = error == SOMA_ENODEDOWN || error == SOMA_ENOROUTE;
    if (gone && (message->kind == MESSAGE_REPLY || message->kind == MESSAGE_ERROR))
        unsaid_note(bridge, &(struct unsaid_word){.asker = to, .from = message->sender, .handle = message->body[0]});
    if (message->kind != MESSAGE_REPLY || gone) {
        message_dead(bridge->system, worker, to, message, error);
        return error;
    }
    error = reply_fail(bridge->system, worker, message->sender, to, message->body[0], error); // who asked must know
    message_dispose(worker, message);
    return error;
}

/* What others have sent meanwhile may be much: this is the time of a handler. It takes one to see that there is none.
 */
#define FRAMES_HERE 2u

/*
 * While the bridge's thread waits, the first thing that a handler sends leaves by the handler's own worker: to wake the
 * thread would take as long, and what leaves would come later. The rest of what the handler sends leaves by the thread,
 * together. False if it must be woken.
 */
static bool peer_flush_here(struct peer *peer, struct worker *worker)
{
    const struct wire *wire = &peer->bridge->wire;
    if (!worker || !worker->queues || worker->carried || !wire->enter || !wire->enter(wire->context))
        return false;
    bool straight = peer->joined && !(peer->connection & RELAYED);
    bool brief = peer->session.bytes < FRAME_ITEMS; // else much is on its way, and this is sooner there with more
    bool all = straight && brief && peer_flush(peer->bridge, peer, FRAMES_HERE);
    wire->leave(wire->context);
    worker->carried = straight;
    return all;
}

/* After an item went to where the others wait: what leaves now, and by whom. */
static void item_taken(struct peer *peer, struct worker *worker, bool first)
{
    if (first && !peer_flush_here(peer, worker))
        peer->bridge->wire.wake(peer->bridge->wire.context);
}

/* Of a node that is no peer: it was never heard of, or is gone for good. */
static int node_missing(const struct soma_bridge *bridge, uint64_t node)
{
    return peers_met(&bridge->peers, node) ? SOMA_ENODEDOWN : SOMA_ENOROUTE;
}

/* The item goes to where the others wait. An error, and the message has stayed. Lets `busy` go. */
static int item_take(struct peer *peer, struct worker *worker, soma_ref to, struct message *message)
{
    struct message *watch = NULL;
    int error = peer->open ? outbound_append(peer, to, message, message_body(message), &watch) : SOMA_ENODEDOWN;
    bool first = !error && (!peer->dirty || u32_load(&peer->overfull));
    peer->dirty |= first;
    if (!error)
        gate_press(peer, worker, to, message_presses(message));
    spin_unlock(&peer->busy);
    if (watch)
        message_free(worker, watch);
    item_taken(peer, worker, first);
    return error;
}

int bridge_carry(void *context, soma_ref to, struct message *message)
{
    struct soma_bridge *bridge = context;
    struct worker *worker = worker_of(bridge);
    struct peer *peer = peer_lock(&bridge->peers, to.node);
    int error = peer ? item_take(peer, worker, to, message) : node_missing(bridge, to.node);
    if (error)
        return message_refused(bridge, worker, to, message, error);
    message_departed(worker, message);
    return 0;
}

/* The same for a plain message that is no block. */
static int plain_take(struct peer *peer, struct worker *worker, soma_ref from, soma_ref to, const soma_type *type,
                      const void *body)
{
    int error = peer->open ? outbound_plain(peer, from, to, type, body) : SOMA_ENODEDOWN;
    bool first = !error && !peer->dirty;
    peer->dirty |= first;
    if (!error)
        gate_press(peer, worker, to, from.node != 0);
    spin_unlock(&peer->busy);
    item_taken(peer, worker, first);
    return error;
}

int bridge_send(void *context, soma_ref from, soma_ref to, const soma_type *type, const void *body)
{
    struct soma_bridge *bridge = context;
    struct worker *worker = worker_of(bridge);
    struct peer *peer = peer_lock(&bridge->peers, to.node);
    int error = peer ? plain_take(peer, worker, from, to, type, body) : node_missing(bridge, to.node);
    if (error && error != SOMA_EINVAL) // then it never was a message
        letter_dead(bridge->system, worker, from, to, type, error);
    return error;
}

/* ---- requests that are passed on ---- */

static const char *kept_items(struct peer *peer, const struct kept_frame *kept)
{
    const char *items = kept->block->items;
    return kept->size == kept->plain ? items : compress_undo(&peer->bridge->compressor, items, kept->size, kept->plain);
}

/* Another node's agent's request has come to whom it was passed on to: there it is waited for from now on. SOMA_ENOMEM:
 * nobody hears of it. It leaves in this round of the bridge. */
static int request_moved(struct soma_bridge *bridge, const struct item *item)
{
    struct peer *peer = peers_find(&bridge->peers, item->from.node);
    if (!peer || !peer->open || !peer->session.yours) {
        if (peer)
            peer->unsaid = peer->open;
        unsaid_note(bridge, &(struct unsaid_word){item->from, item->to, item->handle, .moved = true});
        return 0;
    }
    spin_lock(&peer->busy);
    int error = outbound_moved(peer, item->from, item->to, item->handle, 0);
    spin_unlock(&peer->busy);
    return error;
}

static void items_passed(struct peer *peer, const char *items, size_t size)
{
    struct soma_bridge *bridge = peer->bridge;
    struct reader reader = {(const unsigned char *)items, (const unsigned char *)items + size};
    struct item item;
    struct debt debt;
    while (reader_left(&reader) && !item_read(&reader, peer->node, bridge->system->node, &item)) {
        if (item.kind != ITEM_REQUEST || item.from.node == bridge->system->node || request_moved(bridge, &item))
            continue;
        spin_lock(&peer->busy);
        debts_take(&peer->debts, DEBT_PASSED, item.from, item.to, item.handle, &debt);
        spin_unlock(&peer->busy);
    }
}

void passed_settle(struct peer *peer, uint64_t number)
{
    const struct session *session = &peer->session;
    for (uint64_t next = session->acked + 1; next <= number && number <= session->sent; next++) {
        const struct kept_frame *kept = session_kept(session, next);
        if (kept->passes)
            items_passed(peer, kept_items(peer, kept), kept->plain);
    }
}

/* ---- the end of a session ---- */

static void debt_end(struct peer *peer, const struct debt *debt, int reason)
{
    struct soma_bridge *bridge = peer->bridge;
    switch (debt->kind) {
    case DEBT_REQUEST:
        moves_forget(bridge, debt->here, debt->handle);
        reply_fail(bridge->system, bridge->worker, debt->there, debt->here, debt->handle, reason);
        break;
    case DEBT_PASSED: // it may have come: then who has asked takes what comes first, this or the answer. If this is his
                      // node, he hears of it when it is back, as he may come to wait for this one only then
        reply_fail(bridge->system, bridge->worker, debt->there, debt->here, debt->handle, reason);
        break;
    case DEBT_WATCH:
        message_push(bridge->system, bridge->worker, debt->here,
                     watch_tell(bridge->worker, debt->there, debt->watch, reason, NULL));
        break;
    case DEBT_WATCHED:
        unmonitor_arrive(bridge->system, bridge->worker, debt->here, debt->there, debt->handle, debt->watched);
        break;
    case DEBT_MOVED: // no peer's
        break;
    case DEBT_LINK:
        exit_arrive(bridge->system, bridge->worker, debt->here, debt->there, 0, reason, NULL);
        break;
    }
}

static void word_lost(struct soma_bridge *bridge, const struct item *item)
{
    bool moved = item->kind == ITEM_MOVED;
    unsaid_note(bridge, &(struct unsaid_word){item->to, item->from, item->handle, moved, moved ? item->number : 0});
}

/* Items that never arrived, as far as is known: sends among them are dead letters. */
static void items_die(struct peer *peer, const char *items, size_t size, const struct outbound *out, int reason,
                      struct losses *lost)
{
    if (!size) // then there may be no bytes at all, and no address of any
        return;
    soma_system *system = peer->bridge->system;
    struct reader reader = {(const unsigned char *)items, (const unsigned char *)items + size};
    struct item item;
    while (reader_left(&reader) && !item_read(&reader, peer->node, system->node, &item)) {
        if (item.kind == ITEM_REPLY || item.kind == ITEM_ERROR || item.kind == ITEM_MOVED)
            word_lost(peer->bridge, &item);
        if (item.kind == ITEM_SEND || item.kind == ITEM_REQUEST) {
            letter_dead(system, NULL, item.from, item.to, outbound_type(out, item.type), reason);
            lost->messages++;
        } else if (item.kind == ITEM_REPLY || item.kind == ITEM_ERROR) {
            lost->answers++;
        } else if (item_is_word(item.kind) && item.kind != ITEM_WATCH && item.kind != ITEM_UNWATCH) {
            lost->words++; // those two end with this node
        }
    }
}

static struct losses letters_die(struct peer *peer, const struct outbound *out, int reason)
{
    const struct session *session = &peer->session;
    struct losses lost = {0};
    for (uint64_t number = session->acked + 1; number <= session->sent; number++) {
        const struct kept_frame *kept = session_kept(session, number);
        items_die(peer, kept_items(peer, kept), kept->plain, out, reason, &lost);
    }
    items_die(peer, peer->transit.held.data, peer->transit.held.size, out, reason, &lost);
    for (const struct chunk *chunk = out->first; chunk; chunk = chunk->next)
        if (!chunk->body)
            items_die(peer, chunk->items.data + chunk->at, chunk->items.size - chunk->at, out, reason, &lost);
    return lost;
}

struct losses peer_finish(struct peer *peer, int reason)
{
    struct debt debt;
    spin_lock(&peer->busy); // from here on nothing is added
    struct outbound out = peer->out;
    struct debts debts = peer->debts;
    peer->out = (struct outbound){0};
    peer->debts = (struct debts){0};
    peer->open = peer->dirty = peer->idle = peer->hearsay = false;
    u32_store(&peer->overfull, 0);
    spin_unlock(&peer->busy);
    peer->unsaid = false;
    wants_answered(peer->bridge, peer->node, SOMA_REF_NULL);
    const struct losses lost = letters_die(peer, &out, reason);
    while (debts_pop(&debts, &debt))
        debt_end(peer, &debt, reason);
    debts_free(&debts);
    outbound_reset(&out);
    transit_reset(&peer->transit);
    bodies_reset(&peer->bodies);
    gate_look(peer);
    gates_end(peer);
    burdens_forget(peer);
    relay_end(peer);
    session_reset(&peer->session);
    free(peer->types);
    peer->types = NULL;
    peer->type_count = 0;
    peer->owing = 0;
    peer->since = UINT64_MAX;
    peer->ended = bridge_now(peer->bridge);
    return lost;
}

void peer_end(struct peer *peer, int reason)
{
    const struct losses lost = peer_finish(peer, reason);
    if (losses_any(&lost) && node_may_log(peer->bridge))
        soma_log_warning(peer->bridge->system,
                         "bridge: node %s has not acknowledged %llu messages, %llu answers and %llu other words",
                         peer->name, (unsigned long long)lost.messages, (unsigned long long)lost.answers,
                         (unsigned long long)lost.words);
}

void peer_hang_up(struct peer *peer)
{
    if (peer->connection)
        connection_end(peer->bridge, connection_find(peer->bridge, peer->connection), true);
}

void peer_cut_off(struct peer *peer)
{
    struct soma_bridge *bridge = peer->bridge;
    trust_count(bridge, &bridge->counts.overfull);
    if (node_may_log(bridge))
        soma_log_error(bridge->system, "bridge: node %s does not take what it is owed: it is cut off", peer->name);
    peer_hang_up(peer);
    peer_end(peer, SOMA_ENODEDOWN);
}
