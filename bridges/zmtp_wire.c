/*
 * A node's streams: those that it makes, those that others have made, and how they end; see zmtp_wire.h. A stream never
 * connects again: the bridge makes a new one.
 */
#include "bridges/zmtp_wire.h"
#include "bridges/address.h"
#include "bridges/zmtp_parts.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct zmtp_wire *wire_of(void *keeper)
{
    return keeper;
}

/* ---- streams ---- */

struct stream *stream_find(const struct zmtp_wire *wire, uint64_t id)
{
    struct stream *stream = wire->buckets[id % STREAM_BUCKETS];
    while (stream && stream->id != id)
        stream = stream->beside;
    return stream;
}

struct stream *stream_new(struct zmtp_wire *wire, int socket, enum stream_state state)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->id = ++wire->next_id;
    stream->socket = socket;
    stream->state = state;
    stream->until = UINT64_MAX; // the bridge sees to those that it makes
    struct stream **bucket = &wire->buckets[stream->id % STREAM_BUCKETS];
    stream->beside = *bucket;
    *bucket = stream;
    *wire->streams_end = stream;
    wire->streams_end = &stream->next;
    return stream;
}

/* Not with something unread, by which the kernel would throw away what was said last. */
static void socket_end(const struct zmtp_wire *wire, int socket)
{
    for (int i = 0; i < READ_LAST && recv(socket, wire->room, READ_ROOM, MSG_DONTWAIT) > 0; i++)
        ;
    close(socket);
}

static void stream_free(struct zmtp_wire *wire, struct stream *stream)
{
    struct stream **link = &wire->buckets[stream->id % STREAM_BUCKETS];
    while (*link != stream)
        link = &(*link)->beside;
    *link = stream->beside;
    unsent_free(stream);
    lookup_drop(stream->lookup);
    free(stream->kept);
    if (stream->socket >= 0)
        socket_end(wire, stream->socket);
    free(stream);
}

void stream_look(struct zmtp_wire *wire, struct stream *stream)
{
    wire->keeper.looks = true;
    if (stream->looked)
        return;
    stream->looked = true;
    stream->next_look = NULL;
    wire->look_count++;
    *wire->look_end = stream;
    wire->look_end = &stream->next_look;
}

void stream_end(struct zmtp_wire *wire, struct stream *stream)
{
    if (stream->gone)
        return;
    stream->gone = wire->any_gone = true;
    wire->waiting -= stream->called && !stream->said;
}

void stream_until(struct zmtp_wire *wire, struct stream *stream, uint64_t until)
{
    stream->until = until;
    wire->due = earlier(wire->due, until);
}

void stream_fail(struct zmtp_wire *wire, struct stream *stream)
{
    stream->failed = wire->any_failed = true;
}

/* ---- what the bridge calls ---- */

bool stream_dial(struct zmtp_wire *wire, struct stream *stream, const struct sockaddr *there, socklen_t size)
{
    const int on = 1;
    stream->socket = socket(there->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->socket < 0)
        return false;
    if (there->sa_family == AF_INET)
        setsockopt(stream->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    stream->state = STREAM_CONNECTS;
    if (connect(stream->socket, there, size) && errno != EINPROGRESS)
        return false;
    stream->full = true; // until it is connected
    return post_watch_handle(&wire->keeper.post, stream->socket, stream->id, true);
}

/* The same by an address: at once, or when its host's name has been looked up. */
static bool stream_call(struct zmtp_wire *wire, struct stream *stream, const char *place)
{
    struct sockaddr_un path;
    struct sockaddr_in there = {.sin_family = AF_INET};
    char host[ADDRESS_MAX + 1];
    if (!strncmp(place, "ipc://", 6)) {
        const socklen_t size = address_to_path(place + 6, &path);
        return size && stream_dial(wire, stream, (struct sockaddr *)&path, size);
    }
    there.sin_port = htons(address_split(place, host, sizeof(host)));
    if (inet_pton(AF_INET, host, &there.sin_addr) == 1)
        return stream_dial(wire, stream, (struct sockaddr *)&there, sizeof(there));
    return stream_seek(wire, stream, host, there.sin_port);
}

static int wire_dial(void *context, const char *address, uint64_t *connection)
{
    struct zmtp_wire *wire = wire_of(context);
    struct address parts;
    if (address_check(wire->keeper.bridge, address, &parts))
        return SOMA_EINVAL;
    struct stream *stream = stream_new(wire, -1, STREAM_SEEKS);
    if (!stream)
        return SOMA_ENOMEM;
    if (!stream_call(wire, stream, parts.place))
        stream_fail(wire, stream);
    *connection = stream->id;
    return 0;
}

static void wire_send(void *context, uint64_t connection, const struct pieces *frame)
{
    struct zmtp_wire *wire = wire_of(context);
    struct stream *stream = stream_find(wire, connection);
    if (!stream || stream->gone || stream->failed || stream->state < STREAM_OPEN || stream->state == STREAM_LEAVES)
        return;
    if (stream->state == STREAM_RESTS || !stream_send(wire, stream, frame))
        stream_fail(wire, stream);
}

/* One that others have made they end: both sides know which of two is meant. It has little time. */
static void wire_hang_up(void *context, uint64_t connection)
{
    struct zmtp_wire *wire = wire_of(context);
    struct stream *stream = stream_find(wire, connection);
    if (!stream || stream->gone || stream->state == STREAM_LEAVES)
        return;
    if (stream->state != STREAM_OPEN || (!stream->called && !stream->first) || stream->failed) {
        guest_gone(wire, stream, NULL);
        stream_end(wire, stream);
        return;
    }
    stream->state = STREAM_LEAVES;
    stream_until(wire, stream, bridge_now(wire->keeper.bridge) + FAREWELL);
    stream_look(wire, stream);
}

/* Nobody has a key. */
static const char *wire_greeted(void *context, uint64_t connection)
{
    struct zmtp_wire *wire = wire_of(context);
    struct stream *stream = stream_find(wire, connection);
    if (stream)
        guest_said(wire, stream);
    return NULL;
}

static void wire_leave(void *context)
{
    struct zmtp_wire *wire = wire_of(context);
    const bool wanted = wire->any_failed || wire->any_gone;
    pthread_mutex_unlock(&wire->keeper.post.turn);
    if (wanted)
        keeper_wake(context);
}

/* ---- what the keeper calls ---- */

static void zmtp_note(struct keeper *keeper, const uint64_t *keys, uint32_t count)
{
    struct zmtp_wire *wire = wire_of(keeper);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t key = keys[i] & ~POST_ENDED;
        struct stream *stream = key > KEY_SOUGHT ? stream_find(wire, key) : NULL; // it may have gone
        if (key == KEY_SOUGHT)
            wire->sought = keeper->looks = true;
        if (key && key <= wire->door_count)
            wire->doors[key - 1].look = keeper->looks = true;
        if (!stream)
            continue;
        stream->ended |= (keys[i] & POST_ENDED) != 0;
        stream_look(wire, stream);
    }
}

static struct stream *look_take(struct zmtp_wire *wire)
{
    struct stream *stream = wire->look_first;
    wire->look_count--;
    wire->look_first = stream->next_look;
    if (!wire->look_first)
        wire->look_end = &wire->look_first;
    stream->looked = false;
    return stream;
}

static bool zmtp_look(struct keeper *keeper, bool all)
{
    struct zmtp_wire *wire = wire_of(keeper);
    const uint32_t count = wire->look_count; // more come while these are looked at
    bool any = false, more = false;
    for (uint32_t i = 0; i < wire->door_count; i++) {
        struct doorway *door = &wire->doors[i];
        any |= door->look;
        door->look = door->look && door_accept(wire, door);
        more |= door->look;
    }
    if (wire->sought)
        seekers_attend(wire);
    wire->read = 0;
    for (uint32_t i = 0; i < count && wire->read < READ_BYTES && (all || !any); i++) {
        struct stream *stream = look_take(wire);
        any = true;
        if (!stream->gone)
            stream_attend(wire, stream);
    }
    keeper->looks = more || wire->look_first;
    return any;
}

/* Its time is over: for what was said last, or to say who it is. */
static void stream_expire(struct zmtp_wire *wire, struct stream *stream)
{
    if (stream->called)
        guest_cut(wire, stream, stream->state == STREAM_LEAVES ? NULL : "has ended before it said who it is");
    else
        stream_end(wire, stream);
}

/* Ends all whose time is over. True if there was any. */
static bool streams_expire(struct zmtp_wire *wire)
{
    const uint64_t now = bridge_now(wire->keeper.bridge);
    bool any = false;
    if (now < wire->due)
        return false;
    wire->due = UINT64_MAX;
    for (struct stream *stream = wire->streams; stream; stream = stream->next) {
        const bool over = !stream->gone && now >= stream->until;
        any |= over;
        if (over)
            stream_expire(wire, stream);
        if (!stream->gone)
            wire->due = earlier(wire->due, stream->until);
    }
    return any;
}

static bool zmtp_tell(struct keeper *keeper)
{
    struct zmtp_wire *wire = wire_of(keeper);
    const bool failed = wire->any_failed;
    wire->any_failed = false;
    for (struct stream *stream = failed ? wire->streams : NULL; stream; stream = stream->next)
        if (stream->failed && !stream->gone)
            stream_finish(wire, stream);
    return streams_expire(wire) || failed;
}

static void streams_sweep(struct zmtp_wire *wire)
{
    wire->any_gone = false;
    for (struct stream **link = &wire->streams; *link;) {
        struct stream *stream = *link;
        if (!stream->gone || stream->looked) { // then it is swept once it has been taken from those to look at
            wire->any_gone |= stream->gone;
            link = &stream->next;
            continue;
        }
        *link = stream->next;
        if (!stream->next)
            wire->streams_end = link;
        stream_free(wire, stream);
    }
}

static uint64_t zmtp_watch(struct keeper *keeper)
{
    struct zmtp_wire *wire = wire_of(keeper);
    const uint64_t now = bridge_now(wire->keeper.bridge);
    if (now >= wire->opens) {
        wire->opens = UINT64_MAX;
        for (uint32_t i = 0; i < wire->door_count; i++)
            wire->doors[i].look = keeper->looks = true;
    }
    if (wire->any_gone)
        streams_sweep(wire);
    return earlier(wire->due, wire->opens);
}

/* ---- opening and closing ---- */

/* Sends what waits, as far as the kernel takes it. Of how many something is left: those are waited for. */
static nfds_t streams_flush(struct zmtp_wire *wire, struct pollfd *waits)
{
    nfds_t count = 0;
    for (struct stream *stream = wire->streams; stream; stream = stream->next) {
        if (stream->state < STREAM_OPEN || stream->failed || !stream->first)
            continue;
        stream->failed = !stream_flush(wire, stream);
        if (!stream->failed && stream->first)
            waits[count++] = (struct pollfd){.fd = stream->socket, .events = POLLOUT};
    }
    return count;
}

/* What was said last leaves, as far as others take it in that time (ms). */
static void streams_drain(struct zmtp_wire *wire, int linger)
{
    const uint64_t until = bridge_now(wire->keeper.bridge) + (uint64_t)linger * SOMA_MS;
    nfds_t count = 0;
    for (const struct stream *stream = wire->streams; stream; stream = stream->next)
        count++;
    struct pollfd *waits = calloc(count + 1, sizeof(*waits));
    for (uint64_t now;
         waits && (count = streams_flush(wire, waits)) && (now = bridge_now(wire->keeper.bridge)) < until;)
        poll(waits, count, (int)((until - now) / SOMA_MS) + 1);
    free(waits);
}

static void zmtp_close(struct keeper *keeper, int linger)
{
    struct zmtp_wire *wire = wire_of(keeper);
    streams_drain(wire, linger);
    while (wire->streams) {
        struct stream *stream = wire->streams;
        wire->streams = stream->next;
        stream_free(wire, stream);
    }
    doors_close(wire);
    lookups_drop(wire);
}

static void zmtp_free(struct keeper *keeper)
{
    struct zmtp_wire *wire = wire_of(keeper);
    free(wire->room);
    free(wire);
}

int zmtp_wire_open(struct soma_bridge *bridge)
{
    static const struct ways ways = {zmtp_note, zmtp_look, zmtp_tell, zmtp_watch, zmtp_close, zmtp_free};
    struct zmtp_wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return SOMA_ENOMEM;
    wire->streams_end = &wire->streams;
    wire->look_end = &wire->look_first;
    wire->next_id = KEY_SOUGHT;
    wire->due = wire->opens = UINT64_MAX;
    int error = keeper_open(&wire->keeper, &ways, bridge);
    wire->room = malloc(READ_ROOM);
    if (!error && !wire->room)
        error = SOMA_ENOMEM;
    if (error)
        soma_log_error(bridge->system, "bridge: no sockets: %s", strerror(errno));
    return keeper_begin(&wire->keeper, error, door_bind,
                        &(const struct wire){.dial = wire_dial,
                                             .send = wire_send,
                                             .hang_up = wire_hang_up,
                                             .greeted = wire_greeted,
                                             .enter = keeper_enter,
                                             .leave = wire_leave});
}
