/*
 * The bridge's own round: connections come and go, frames arrive, what waits is sent, time passes. See bridge.h; the
 * handshake is in hello.c, calling others in dial.c, opening and closing in open.c.
 */
#include "bridges/bridge.h"
#include "bridges/agent.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGE (5 * SOMA_MS) /* after this at the latest */
#define HALF_OPEN_MAX 256u        /* connections of others that are not agreed on yet; the oldest goes */

/* ---- frames ---- */

void frame_send(struct soma_bridge *bridge, uint64_t connection, const struct kept_frame *kept)
{
    struct pieces frame = frame_pieces(&bridge->frame, kept ? kept->block->items : NULL, kept ? kept->size : 0);
    if (kept && kept->room - kept->size >= BLOCK_AHEAD + CHECKSUM_SIZE)
        frame.block = kept->block;
    if (connection & RELAYED)
        relay_send(bridge, connection, &frame);
    else
        bridge->wire.send(bridge->wire.context, connection, &frame);
    msgpack_sbuffer_clear(&bridge->frame);
}

static void hang_up_on(struct soma_bridge *bridge, uint64_t connection)
{
    if (connection & RELAYED)
        relay_hang_up(bridge, connection);
    else
        bridge->wire.hang_up(bridge->wire.context, connection);
}

/* What has left says what has come, too. */
static void told_all(struct peer *peer)
{
    peer->session.told = peer->session.received;
    peer->session.untold = 0;
    peer->spoken = bridge_now(peer->bridge);
}

static bool data_send(struct soma_bridge *bridge, struct peer *peer, uint64_t number)
{
    struct session *session = &peer->session;
    const struct kept_frame *kept = session_kept(session, number);
    msgpack_sbuffer_clear(&bridge->frame);
    bool written = kept->size < kept->plain
                       ? packed_write(&bridge->frame, number, session->received, kept->plain, NULL, 0)
                       : data_write(&bridge->frame, number, session->received, NULL, 0);
    if (!written)
        return false; // it stays kept, and is sent once there is memory and a new connection
    frame_send(bridge, peer->connection, kept);
    told_all(peer);
    if (number == session->acked + 1 && peer->gained)
        peer->gained = peer->spoken;
    return true;
}

/* Memory for frames that nobody sends for now. */
static void peer_tidy(struct peer *peer, uint64_t now)
{
    peer->tidied = now;
    spin_lock(&peer->busy);
    bool streams = peer->out.streams;
    peer->out.streams = false;
    if (!streams)
        outbound_tidy(&peer->out);
    spin_unlock(&peer->busy);
    if (!streams)
        session_tidy(&peer->session);
}

static void ping_send(struct soma_bridge *bridge, struct peer *peer)
{
    msgpack_sbuffer_clear(&bridge->frame);
    if (!ping_write(&bridge->frame, peer->session.received, peer->session.sent))
        return;
    frame_send(bridge, peer->connection, NULL);
    told_all(peer);
    if (++peer->pings > bridge->pings_most)
        u32_store(&peer->overfull, 1);
}

/* ---- connections ---- */

struct connection *connection_find(const struct soma_bridge *bridge, uint64_t id)
{
    struct connection *connection = bridge->connections;
    while (connection && connection->id != id)
        connection = connection->next;
    return connection;
}

struct connection *connection_new(struct soma_bridge *bridge, uint64_t id, struct dial *dial)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->id = id;
    connection->dial = dial;
    connection->begun = bridge_now(bridge);
    connection->next = bridge->connections;
    bridge->connections = connection;
    connection->calls = dial && dial->fleeting && !dial->relayed;
    bridge->half_open += !dial;
    bridge->calling += connection->calls;
    return connection;
}

void connection_called(struct soma_bridge *bridge, struct connection *connection)
{
    bridge->calling -= connection->calls;
    connection->calls = false;
}

void connection_end(struct soma_bridge *bridge, struct connection *connection, bool hang_up)
{
    struct peer *peer = connection->peer;
    if (hang_up)
        hang_up_on(bridge, connection->id);
    if (connection->dial && connection->dial->connection == connection->id)
        dial_later(bridge, connection->dial);
    if (!connection->dial)
        --*(connection->ready ? &bridge->accepted : &bridge->half_open);
    connection_called(bridge, connection);
    if (peer && peer->connection == connection->id) {
        if (peer->joined)
            peer->since = bridge_now(bridge);
        peer->lost |= peer->joined;
        peer->connection = 0;
        peer->joined = false;
    }
    for (struct connection **link = &bridge->connections; *link; link = &(*link)->next) {
        if (*link == connection) {
            *link = connection->next;
            break;
        }
    }
    free(connection);
}

void bridge_connected(struct soma_bridge *bridge, uint64_t id)
{
    struct connection *connection = connection_find(bridge, id);
    if (!connection)
        return;
    const struct dial *dial = connection->dial;
    const struct peer *peer = dial && dial->node && !dial->asked ? peers_find(&bridge->peers, dial->node) : NULL;
    if (peer && peer->joined && bridge_now(bridge) < peer_doubt(peer)) { // it has come by itself, or is heard again
        connection_end(bridge, connection, true);
        return;
    }
    if (dial) // hello is said over one at a time: who is called takes the last one that it hears for meant
        dial_settle(bridge, connection->dial, id);
    hello_say(bridge, connection);
}

void bridge_broken(struct soma_bridge *bridge, uint64_t id)
{
    struct connection *connection = connection_find(bridge, id);
    if (connection)
        connection_end(bridge, connection, false);
}

void bridge_turned_away(struct soma_bridge *bridge, uint64_t id, const char *why, bool guess)
{
    const struct connection *connection = connection_find(bridge, id);
    struct dial *dial = connection ? connection->dial : NULL;
    if (dial && !(guess && dial->node) && dial_may_log(bridge, dial))
        soma_log_error(bridge->system, "bridge: '%s' %s", dial->address, why);
    bridge_broken(bridge, id);
}

/* ---- what arrives ---- */

/* Something on the way has lost a frame: a new connection brings it again. */
static int frame_missing(struct soma_bridge *bridge, const struct peer *peer)
{
    if (node_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: node %s: a frame is missing", peer->name);
    return SOMA_EFORMAT;
}

/* Items that are `plain` bytes once they are unpacked; in `unpacked`, to be freed. */
static int items_unpack(struct soma_bridge *bridge, struct peer *peer, const struct reader *items, uint64_t plain,
                        unsigned char **unpacked)
{
    int error = decompress(&bridge->compressor, items->at, reader_left(items), plain, unpacked);
    if (error == SOMA_EFORMAT) // sent again, it would be no better
        peer_end(peer, SOMA_ENODEDOWN);
    if (error != SOMA_ENOMEM)
        return error;
    if (node_may_log(bridge))
        soma_log_error(bridge->system, "bridge: out of memory for %llu bytes of node %s, which sends them again",
                       (unsigned long long)plain, peer->name);
    return SOMA_ECLOSED;
}

/* The next frame, with items of `plain` bytes, if they are packed; else 0. */
static int items_take(struct soma_bridge *bridge, struct peer *peer, uint64_t number, const struct reader *items,
                      uint64_t plain)
{
    unsigned char *unpacked = NULL;
    int error = plain ? items_unpack(bridge, peer, items, plain, &unpacked) : 0;
    if (error) // it has not arrived
        return error;
    if (number == peer->session.told + 1)
        peer->owed = bridge_now(bridge) + ACKNOWLEDGE;
    peer->session.received = number;
    peer->session.untold += plain ? plain : reader_left(items);
    error = plain ? items_arrive(peer, unpacked, plain) : items_arrive(peer, items->at, reader_left(items));
    free(unpacked);
    if (error) // what follows in the frame is lost, so nobody may take the session for whole
        peer_end(peer, SOMA_ENODEDOWN);
    return error;
}

/* The peer, which has just been heard, has all frames up to a number. False if that makes no sense. */
static bool acknowledge(struct peer *peer, uint64_t number)
{
    struct session *session = &peer->session;
    if (number > session->acked) {
        peer->gained = peer->heard;
        peer->pings = 0;
    }
    passed_settle(peer, number);
    return session_acknowledge(session, number) || number <= session->sent;
}

static int data_arrive(struct soma_bridge *bridge, struct peer *peer, struct reader *reader, uint32_t count,
                       bool packed)
{
    uint64_t number, acked, plain = 0;
    int error =
        packed ? packed_read(reader, count, &number, &acked, &plain) : data_read(reader, count, &number, &acked);
    if (error)
        return error;
    if (!acknowledge(peer, acked))
        return SOMA_EFORMAT;
    switch (session_look(&peer->session, number)) {
    case ARRIVAL_REPEATED:
        return 0;
    case ARRIVAL_MISSING:
        return frame_missing(bridge, peer);
    default:
        return items_take(bridge, peer, number, reader, plain);
    }
}

static int ping_arrive(struct soma_bridge *bridge, struct peer *peer, struct reader *reader, uint32_t count)
{
    uint64_t acked, sent;
    int error = ping_read(reader, count, &acked, &sent);
    if (!error && !acknowledge(peer, acked))
        error = SOMA_EFORMAT;
    return error || sent <= peer->session.received ? error : frame_missing(bridge, peer);
}

static int bye_arrive(struct soma_bridge *bridge, struct peer *peer)
{
    if (peer->session.yours && node_may_log(bridge)) // else it was not there yet
        soma_log_info(bridge->system, "bridge: node %s has left", peer->name);
    peer_end(peer, SOMA_ENODEDOWN);
    dials_forget(bridge, peer->node);
    return SOMA_ECLOSED;
}

static int reject_arrive(struct soma_bridge *bridge, const struct connection *connection, struct reader *reader,
                         uint32_t count)
{
    struct span text;
    int reason, error = reject_read(reader, count, &reason, &text);
    if (error)
        return error;
    struct dial *dial = connection->dial;
    if (dial ? dial_may_log(bridge, dial) : trust_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: the node at '%s' rejects this one: %.*s (%d)",
                         dial ? dial->address : "an unknown place", (int)text.size, text.text, reason);
    return SOMA_ECLOSED;
}

static int frame_arrive(struct soma_bridge *bridge, struct connection *connection, struct reader *reader)
{
    enum frame_kind kind;
    uint32_t count;
    struct hello hello;
    struct join join;
    struct peer *peer = connection->peer;
    int error = frame_open(reader, &kind, &count);
    if (error)
        return error;
    if (kind == FRAME_REJECT)
        return reject_arrive(bridge, connection, reader, count);
    if (kind == FRAME_HELLO && !peer) {
        error = hello_read(reader, count, &hello);
        if (!error)
            hello_arrive(bridge, connection, &hello);
        return error;
    }
    if (!peer) // on its way while the connection was ended here
        return SOMA_ECLOSED;
    peer->heard = bridge_now(bridge);
    if (kind == FRAME_SESSION && !connection->ready) {
        error = join_read(reader, count, &join);
        return error ? error : join_arrive(bridge, connection, &join);
    }
    if (kind == FRAME_BYE)
        return bye_arrive(bridge, peer);
    if (!connection->ready)
        return SOMA_EFORMAT;
    if (kind == FRAME_DATA || kind == FRAME_PACKED)
        return data_arrive(bridge, peer, reader, count, kind == FRAME_PACKED);
    return kind == FRAME_PING ? ping_arrive(bridge, peer, reader, count) : SOMA_EFORMAT;
}

/* Strangers may have made as many as there can be: who comes now means it, and needs its place for a moment only. */
static void half_open_make_room(struct soma_bridge *bridge)
{
    struct connection *oldest = NULL;
    for (struct connection *connection = bridge->connections; connection; connection = connection->next)
        if (!connection->dial && !connection->ready) // the latest are the first
            oldest = connection;
    if (oldest)
        connection_end(bridge, oldest, true);
}

void bridge_received(struct soma_bridge *bridge, uint64_t id, const void *frame, size_t size)
{
    struct connection *connection = connection_find(bridge, id);
    struct reader reader = {frame, (const unsigned char *)frame + size};
    if (!connection) {
        if (bridge->half_open >= HALF_OPEN_MAX)
            half_open_make_room(bridge);
        connection = connection_new(bridge, id, NULL);
        if (!connection) {
            hang_up_on(bridge, id);
            return;
        }
    }
    int error = frame_unseal(&reader) ? frame_arrive(bridge, connection, &reader) : SOMA_EFORMAT;
    if (!error)
        return;
    connection = connection_find(bridge, id); // it may have ended meanwhile
    if (error != SOMA_ECLOSED) {
        trust_count(bridge, &bridge->counts.bad_frames);
        if (trust_may_log(bridge))
            soma_log_warning(bridge->system,
                             "bridge: a frame of %zu bytes from %s makes no sense%s: the connection is ended", size,
                             connection && connection->peer ? connection->peer->name : "a stranger",
                             size ? "" : ", or one of several parts, or too long");
    }
    if (connection)
        connection_end(bridge, connection, true);
}

/* ---- what is sent ---- */

/* If that is asked for, the other side reads it, and it is worth it. */
static void frame_compress(struct soma_bridge *bridge, struct peer *peer, struct kept_frame *frame)
{
    uint32_t least = bridge->options.compress_least;
    if (!least || frame->size < least || !(peer->reads & READS_PACKED))
        return;
    size_t smaller;
    const char *compressed = compress(&bridge->compressor, &peer->luck, frame->block->items, frame->size, &smaller);
    if (!compressed)
        return;
    memcpy(frame->block->items, compressed, smaller); // nobody else has the block yet
    frame->size = smaller;
}

/* Puts what leaves next into the session; false if there is nothing, or the window is full. */
static bool frame_take(struct soma_bridge *bridge, struct peer *peer)
{
    if (peer->session.bytes >= bridge->options.window || !session_has_room(&peer->session))
        return false;
    msgpack_sbuffer next;
    if (!transit_take(peer, &next))
        return false;
    size_t size = block_size(&next);
    struct kept_frame frame = {
        .block = block_of(&next), .size = size, .plain = size, .room = next.alloc, .passes = peer->transit.passes};
    frame_compress(bridge, peer, &frame);
    session_keep(&peer->session, &frame);
    if (peer->transit.owes)
        peer->owing = peer->session.sent;
    bool stays = peer->transit.first || peer->transit.held.size; // something of what was taken
    peer->transit.owes = peer->transit.owes && stays;
    peer->transit.passes = peer->transit.passes && stays;
    return true;
}

/* For who asks, by way of the lock. */
static void peer_show(struct peer *peer)
{
    const struct session *session = &peer->session;
    struct shown shown = {session->sent,   session->acked, session->received, session->bytes,
                          session->before, session->after, peer->joined,      peer->agent};
    if (shown.sent == peer->shown.sent && shown.acked == peer->shown.acked && shown.received == peer->shown.received &&
        shown.connected == peer->shown.connected)
        return; // only this thread writes it
    spin_lock(&peer->busy);
    peer->shown = shown;
    spin_unlock(&peer->busy);
}

bool peer_flush(struct soma_bridge *bridge, struct peer *peer, uint32_t most)
{
    bool all = !peer->joined;
    for (; !all && most; most--)
        all = !frame_take(bridge, peer) || !data_send(bridge, peer, peer->session.sent);
    gate_look(peer);
    peer_show(peer);
    return all;
}

void relayed_flush(struct soma_bridge *bridge)
{
    while (bridge->relay.busy) { // once more for links through relays, whose frames are others' items
        bridge->relay.busy = false;
        for (uint32_t i = 0; i < bridge->peer_count; i++)
            peer_flush(bridge, bridge->list[i], UINT32_MAX);
    }
}

void peer_resume(struct soma_bridge *bridge, struct peer *peer)
{
    uint64_t last = peer->session.sent;
    for (uint64_t number = peer->session.acked + 1; number <= last && peer->joined; number++)
        if (!data_send(bridge, peer, number))
            break;
    peer_flush(bridge, peer, UINT32_MAX);
}

/* ---- time ---- */

/*
 * One small frame is acknowledged a moment later, as what answers it mostly leaves before that and says so by the way.
 * Of more, or of much, the sender hears at once: it may wait for room.
 */
static bool acknowledgement_due(const struct peer *peer, uint64_t now)
{
    const struct session *session = &peer->session;
    return session->received - session->told >= 2 || session->untold >= FRAME_ITEMS / 2 ||
           (session->received != session->told && (now >= peer->owed || u32_load(&peer->bridge->closing)));
}

/* One that is idle is called once something waits for it, or it for something. */
static void peer_demand(struct soma_bridge *bridge, struct peer *peer)
{
    spin_lock(&peer->busy);
    bool waits = peer->unsaid || peer->out.bytes || peer->debts.count;
    spin_unlock(&peer->busy);
    if (waits && !peer_call(bridge, peer)) // without memory it is tried again
        peer_wake(peer);
}

/* A node that was neither heard of nor reached for too long is down. When to look again. */
static uint64_t peer_watch(struct soma_bridge *bridge, struct peer *peer, uint64_t now)
{
    uint64_t beat = bridge->options.heartbeat_ms * SOMA_MS, patience = bridge->options.down_ms * SOMA_MS;
    if (u32_load(&peer->overfull))
        peer_cut_off(peer);
    if (!peer->joined) {
        if (peer->lost)
            peer_lost(bridge, peer);
        if (peer->idle)
            peer_demand(bridge, peer);
        if (!peer->open || peer->since == UINT64_MAX)
            return UINT64_MAX;
        if (now < peer->since + patience)
            return peer->since + patience;
        if (node_may_log(bridge))
            soma_log_warning(bridge->system, "bridge: node %s is down", peer->name);
        peer_hang_up(peer);
        peer_end(peer, SOMA_ENODEDOWN);
        return UINT64_MAX;
    }
    uint64_t silent = peer->heard + (beat * 3 < patience ? beat * 3 : patience);
    if (now >= silent) {
        if (node_may_log(bridge))
            soma_log_info(bridge->system, "bridge: node %s is silent: the connection is given up", peer->name);
        struct connection *connection = connection_find(bridge, peer->connection);
        uint64_t heard = peer->heard;
        connection_end(bridge, connection, true);
        peer->since = heard; // the time without a word counts from the last one
        return now;
    }
    if (now >= peer->tidied + peer->beat)
        peer_tidy(peer, now);
    if (now >= peer->spoken + peer->beat || acknowledgement_due(peer, now))
        ping_send(bridge, peer);
    uint64_t next = earlier(peer->spoken + peer->beat, silent);
    return peer->session.told != peer->session.received ? earlier(next, peer->owed) : next;
}

/* Within which both sides must agree: so that there is time for some attempts before the node is down. */
static uint64_t handshake_limit(const struct soma_bridge *bridge)
{
    return earlier(bridge->options.down_ms * SOMA_MS / 4, HANDSHAKE);
}

/* Those without both hellos for too long. When to look again. */
static uint64_t connections_watch(struct soma_bridge *bridge, uint64_t now)
{
    uint64_t next = UINT64_MAX, limit = handshake_limit(bridge);
    for (struct connection *connection = bridge->connections, *after; connection; connection = after) {
        after = connection->next;
        if (connection->ready)
            continue;
        if (now >= connection->begun + limit)
            connection_end(bridge, connection, true);
        else
            next = earlier(next, connection->begun + limit);
    }
    return next;
}

/* The one that this side has made to an address. */
static const struct connection *connection_to(const struct soma_bridge *bridge, const char *address)
{
    const struct connection *connection = bridge->connections;
    while (connection && !(connection->dial && !strcmp(connection->dial->address, address)))
        connection = connection->next;
    return connection;
}

/* What others have asked for since the last look: addresses, and a review of keys. */
static void wants_take(struct soma_bridge *bridge)
{
    bool awaited = false;
    pthread_mutex_lock(&bridge->lock);
    for (struct want *want = bridge->wants; want != bridge->wants_seen; want = want->next) {
        dial_want(bridge, want);
        const struct connection *connection = connection_to(bridge, want->address);
        if (connection && connection->ready) {
            want->agent = connection->peer->agent;
            awaited |= want->awaited;
            want->awaited = false;
        }
    }
    bridge->wants_seen = bridge->wants;
    bool reloaded = bridge->reloaded;
    bridge->reloaded = false;
    pthread_mutex_unlock(&bridge->lock);
    if (awaited)
        bridge_agent_wake(bridge);
    if (reloaded)
        trust_review(bridge);
}

/*
 * A turn that comes much later than it was due: this process stood still. That was no silence of others, so their time
 * begins where it was. What they have said meanwhile will be read.
 */
static void standstill_forgive(struct soma_bridge *bridge, uint64_t now)
{
    if (now < bridge->due || now - bridge->due < LATE)
        return;
    uint64_t stood = now - bridge->due;
    for (uint32_t i = 0; i < bridge->peer_count; i++) {
        struct peer *peer = bridge->list[i];
        peer->heard = earlier(peer->heard + stood, now);
        if (peer->gained)
            peer->gained = earlier(peer->gained + stood, now);
        if (peer->since != UINT64_MAX)
            peer->since = earlier(peer->since + stood, now);
    }
    for (struct connection *connection = bridge->connections; connection; connection = connection->next)
        connection->begun = earlier(connection->begun + stood, now);
}

static uint64_t bridge_round(struct soma_bridge *bridge, uint64_t now)
{
    uint64_t next;
    wants_take(bridge);
    introductions_take(bridge);
    burdens_look(bridge);
    next = connections_watch(bridge, now); // before dials, which it may free
    next = earlier(next, strangers_watch(bridge, now));
    for (uint32_t i = 0; i < bridge->peer_count; i++) {
        peer_flush(bridge, bridge->list[i], UINT32_MAX);
        next = earlier(next, peer_watch(bridge, bridge->list[i], now));
    }
    next = earlier(next, peers_watch(bridge, now)); // after what may end some: it says when they are to be forgotten
    next = earlier(next, dials_watch(bridge, now));
    relayed_flush(bridge);
    return next;
}

uint64_t bridge_turn(struct soma_bridge *bridge)
{
    uint64_t now = bridge_now(bridge);
    standstill_forgive(bridge, now);
    return bridge->due = bridge_round(bridge, now);
}
