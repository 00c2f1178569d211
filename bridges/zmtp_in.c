/*
 * What comes by a stream. As much as there is, up to a bound, is read at once, and frames are handled where they were
 * read; of one that is not whole the begin is kept, and if that is much the rest is read to behind it.
 */
#include "bridges/zmtp_parts.h"
#include <errno.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define KEPT_LITTLE ((size_t)4096)     /* that is copied to before what is read next */
#define KEPT_LEAST ((size_t)64 * 1024) /* room for more than that, at first: others say how much is to come */

static void kept_free(struct stream *stream)
{
    free(stream->kept);
    stream->kept = NULL;
    stream->kept_size = stream->kept_room = 0;
}

/* ---- the other side makes no sense ---- */

/* `what` it has done: of one that has come; and of one that was called, for which that may be a `guess`. */
static void stream_refuse(struct zmtp_wire *wire, struct stream *stream, const char *what, bool guess)
{
    if (stream->called) {
        guest_cut(wire, stream, what);
        return;
    }
    stream_end(wire, stream);
    bridge_turned_away(wire->keeper.bridge, stream->id, what, guess);
}

/* The other side has ended it, or the network, and the bridge hears of it. */
static void stream_lost(struct zmtp_wire *wire, struct stream *stream)
{
    struct soma_bridge *bridge = wire->keeper.bridge;
    const bool open = stream->state >= STREAM_OPEN, tried = stream->state >= STREAM_GREETS && !open;
    if (stream->state != STREAM_OPEN)
        guest_gone(wire, stream, NULL); // in the log there is enough, or it is a node that has made another one sooner
    stream_end(wire, stream);
    if (stream->unknown)
        bridge_turned_away(bridge, stream->id, "has a host that the resolver does not find", false);
    else if (tried && !stream->called)
        bridge_turned_away(bridge, stream->id,
                           "closed the connection during the handshake: is it of a node with keys? This one has none",
                           true);
    else
        bridge_broken(bridge, stream->id);
}

/*
 * The same, as far as a stream can tell. Who has called will call again; until then, or until something is to be sent,
 * nobody needs to know: so it is with ZeroMQ's ROUTER, and both sides' handshakes are made for that.
 */
static void stream_over(struct zmtp_wire *wire, struct stream *stream)
{
    if (!stream->said || stream->state != STREAM_OPEN) {
        stream_lost(wire, stream);
        return;
    }
    unsent_free(stream);
    kept_free(stream);
    close(stream->socket);
    stream->socket = -1;
    stream->state = STREAM_RESTS;
}

/* ---- what was read ---- */

static void say(struct zmtp_wire *wire, struct stream *stream, const unsigned char *bytes, size_t size)
{
    if (!stream->failed && !stream_say(wire, stream, bytes, size))
        stream_fail(wire, stream);
}

/* Bytes that are not needed any more; 0: too few have come. */
static size_t greeting_take(struct zmtp_wire *wire, struct stream *stream, const unsigned char *bytes, size_t size)
{
    unsigned char greeting[ZMTP_GREETING], ready[ZMTP_READY_MOST];
    const enum zmtp_greeted greeted = zmtp_greeting_read(bytes, size);
    if (greeted != ZMTP_WAITS && greeted != ZMTP_WRONG && !stream->greeted) {
        stream->greeted = true;
        zmtp_greet(greeting);
        say(wire, stream, greeting + ZMTP_GREETING_FIRST, ZMTP_GREETING - ZMTP_GREETING_FIRST);
    }
    switch (greeted) {
    case ZMTP_WAITS:
    case ZMTP_BEGUN:
        return 0;
    case ZMTP_GREETED:
        stream->state = STREAM_MEETS;
        say(wire, stream, ready, zmtp_ready(ready, stream->called));
        return ZMTP_GREETING;
    case ZMTP_OTHER:
        stream_refuse(wire, stream,
                      stream->called ? "has keys, and this node has none"
                                     : "is of a node with keys, and this one has none",
                      false);
        return size;
    default:
        stream_refuse(wire, stream,
                      stream->called ? "has said what is no greeting of ZeroMQ's" : "answers, but not as a node does",
                      false);
        return size;
    }
}

/* Of pings one at a time is answered, and none while something waits to leave: who sends a flood gets no flood. */
static void command_take(struct zmtp_wire *wire, struct stream *stream, const struct zmtp_frame *frame)
{
    unsigned char answer[ZMTP_PONG_MOST];
    size_t size = stream->answered || stream->first ? 0 : zmtp_answer(frame, answer);
    if (!size)
        return;
    stream->answered = true;
    say(wire, stream, answer, size);
}

/* The first frame of each stream: then it is one. */
static void ready_take(struct zmtp_wire *wire, struct stream *stream, const struct zmtp_frame *frame)
{
    if (!frame->command || !zmtp_ready_read(frame, stream->called)) {
        stream_refuse(wire, stream,
                      stream->called ? "is of a socket that no node has" : "answers, but not as a node does", false);
        return;
    }
    stream->state = STREAM_OPEN;
    if (!stream->called) // else its time goes on until it has said a hello
        bridge_connected(wire->keeper.bridge, stream->id);
}

/* Bytes that are not needed any more; 0: too few have come. */
static size_t frame_take(struct zmtp_wire *wire, struct stream *stream, const unsigned char *bytes, size_t size)
{
    const bool stranger = stream->called && !stream->said;
    const size_t most = stream->state == STREAM_MEETS ? ZMTP_COMMAND_MOST
                        : stranger                    ? UNSAID_MOST
                                                      : (size_t)wire->keeper.bridge->options.message_most + (1u << 20);
    struct zmtp_frame frame;
    int whole = zmtp_frame_read(bytes, size, most, &frame);
    if (whole < 0 && stream->state == STREAM_MEETS) {
        stream_refuse(wire, stream, stream->called ? "has made no sense" : "answers, but not as a node does", false);
        return size;
    }
    if (whole < 0) // what comes behind it can't be found
        frame = (struct zmtp_frame){.body = bytes, .whole = size};
    stream->kept_whole = frame.whole;
    if (!whole)
        return 0;
    if (stream->state == STREAM_MEETS)
        ready_take(wire, stream, &frame);
    else if (frame.command)
        command_take(wire, stream, &frame);
    else
        bridge_received(wire->keeper.bridge, stream->id, frame.body,
                        frame.more ? 0 : frame.size); // nodes send no parts
    return frame.whole;
}

/* Nothing more is to be heard of it. */
static bool is_deaf(const struct stream *stream)
{
    return stream->gone || stream->state >= STREAM_LEAVES;
}

/* What is whole, up to a number of frames: there is `more` then. How many bytes that was; all of them, if nothing more
 * is to be heard. */
static size_t bytes_take(struct zmtp_wire *wire, struct stream *stream, const unsigned char *bytes, size_t size)
{
    size_t at = 0, taken = 1;
    stream->kept_whole = 0;
    for (int i = 0; i < READ_FRAMES && at < size && taken && !is_deaf(stream); i++) {
        taken = stream->state == STREAM_GREETS ? greeting_take(wire, stream, bytes + at, size - at)
                                               : frame_take(wire, stream, bytes + at, size - at);
        at += taken;
    }
    at = is_deaf(stream) ? size : at;
    stream->more = taken && at < size;
    return at;
}

/* ---- what is kept ---- */

/* Room for so much. It grows with what has come, not with what was said to come. */
static bool kept_reserve(struct stream *stream, size_t size)
{
    if (size <= stream->kept_room)
        return true;
    unsigned char *grown = realloc(stream->kept, size);
    if (!grown)
        return false;
    stream->kept = grown;
    stream->kept_room = size;
    return true;
}

static bool kept_set(struct stream *stream, const unsigned char *bytes, size_t size)
{
    stream->kept_size = 0;
    if (!size)
        return true;
    if (!kept_reserve(stream, size))
        return false;
    memcpy(stream->kept, bytes, size);
    stream->kept_size = size;
    return true;
}

/* ---- reading ---- */

/* Where the next bytes go. How many places, and how much room there is: behind what is kept, if that is much. */
static int room_find(const struct zmtp_wire *wire, struct stream *stream, struct iovec room[2])
{
    if (stream->kept_size < KEPT_LITTLE) {
        if (stream->kept_size)
            memcpy(wire->room, stream->kept, stream->kept_size);
        room[0] = (struct iovec){wire->room + stream->kept_size, READ_ROOM - stream->kept_size};
        return 1;
    }
    size_t wanted = 2 * stream->kept_size > KEPT_LEAST ? 2 * stream->kept_size : KEPT_LEAST;
    wanted = wanted < stream->kept_whole ? wanted : stream->kept_whole;
    if (!kept_reserve(stream, wanted))
        return 0;
    room[0] = (struct iovec){stream->kept + stream->kept_size, stream->kept_whole - stream->kept_size};
    if (stream->kept_room < stream->kept_whole) {
        room[0].iov_len = stream->kept_room - stream->kept_size;
        return 1;
    }
    room[1] = (struct iovec){wire->room, READ_ROOM};
    return 2;
}

/* So many bytes have come there. False: there is no memory for those that are left. */
static bool room_take(struct zmtp_wire *wire, struct stream *stream, size_t size)
{
    if (stream->kept_size < KEPT_LITTLE) {
        size += stream->kept_size;
    } else {
        const size_t missing = stream->kept_whole - stream->kept_size, first = size < missing ? size : missing;
        stream->kept_size += first;
        if (first < missing)
            return true;
        bytes_take(wire, stream, stream->kept, stream->kept_size);
        size -= first;
    }
    stream->kept_size = 0;
    const size_t taken = bytes_take(wire, stream, wire->room, size);
    return kept_set(stream, wire->room + taken, size - taken);
}

/* What was read before, and may be whole. */
static void kept_take(struct zmtp_wire *wire, struct stream *stream)
{
    const size_t left = stream->kept_size - stream->kept_at;
    const size_t taken = bytes_take(wire, stream, stream->kept + stream->kept_at, left);
    wire->read += taken;
    stream->kept_at += taken;
    if (stream->more)
        return;
    stream->kept_size -= stream->kept_at;
    memmove(stream->kept, stream->kept + stream->kept_at, stream->kept_size);
    stream->kept_at = 0;
}

enum came { CAME_NOTHING, CAME_ALL, CAME_MORE, CAME_END };

/* One call's worth, and what is to be known of the rest. */
static enum came stream_read(struct zmtp_wire *wire, struct stream *stream)
{
    struct iovec room[2];
    stream->answered = false;
    if (stream->more) {
        kept_take(wire, stream);
        return CAME_MORE; // of what the kernel has nothing is known
    }
    int places = room_find(wire, stream, room);
    if (!places)
        return CAME_END;
    const size_t most = room[0].iov_len + (places > 1 ? room[1].iov_len : 0);
    ssize_t size;
    do
        size = readv(stream->socket, room, places);
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return CAME_NOTHING;
    if (size <= 0)
        return CAME_END;
    wire->read += (size_t)size;
    if (stream->called && !stream->said)
        stream->unsaid += (size_t)size;
    if (!room_take(wire, stream, (size_t)size))
        return CAME_END;
    if (stream->called && !stream->said && stream->unsaid > UNSAID_MOST && stream->state <= STREAM_OPEN &&
        !stream->gone)
        guest_cut(wire, stream, "has said much, and not who it is");
    return (size_t)size == most || stream->more ? CAME_MORE : CAME_ALL;
}

/* What it goes on to say is not heard: who does not end it by itself is shown out. */
static void stream_leave(struct zmtp_wire *wire, struct stream *stream)
{
    ssize_t size = recv(stream->socket, wire->room, READ_ROOM, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size > 0 && stream->called && !stream->first)
        guest_cut(wire, stream, NULL);
    else if (size <= 0)
        stream_over(wire, stream);
    else
        stream_look(wire, stream);
}

static void stream_hear(struct zmtp_wire *wire, struct stream *stream)
{
    if (stream->state == STREAM_LEAVES) {
        stream_leave(wire, stream);
        return;
    }
    const bool ended = stream->ended;
    enum came came = stream_read(wire, stream);
    if (stream->gone)
        return;
    if (came == CAME_END)
        stream_over(wire, stream);
    else if (came == CAME_MORE || (ended && came == CAME_ALL))
        stream_look(wire, stream);
    else if (!stream->kept_size)
        kept_free(stream);
}

void stream_finish(struct zmtp_wire *wire, struct stream *stream)
{
    enum came came = CAME_ALL;
    for (int i = 0;
         i < READ_LAST && (came == CAME_ALL || came == CAME_MORE) && !is_deaf(stream) && stream->state >= STREAM_GREETS;
         i++)
        came = stream_read(wire, stream);
    if (!stream->gone)
        stream_lost(wire, stream);
}

/* ---- connecting ---- */

void stream_greet(struct zmtp_wire *wire, struct stream *stream)
{
    unsigned char greeting[ZMTP_GREETING];
    stream->state = STREAM_GREETS;
    zmtp_greet(greeting);
    say(wire, stream, greeting, ZMTP_GREETING_FIRST);
}

/* It is connected, or never will be; or it was told for no reason. */
static void stream_connect(struct zmtp_wire *wire, struct stream *stream)
{
    int error = 0;
    socklen_t size = sizeof(error);
    struct sockaddr_storage there;
    if (getsockopt(stream->socket, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
        stream_over(wire, stream);
        return;
    }
    size = sizeof(there);
    if (getpeername(stream->socket, (struct sockaddr *)&there, &size))
        return;
    stream_greet(wire, stream);
    if (!stream_flush(wire,
                      stream)) // nor is it to be told of room any more: over ipc that is at each read of the other's
        stream_fail(wire, stream);
}

void stream_attend(struct zmtp_wire *wire, struct stream *stream)
{
    if (stream->state == STREAM_CONNECTS)
        stream_connect(wire, stream);
    else if (stream->first && !stream_flush(wire, stream))
        stream_fail(wire, stream);
    if (stream->state == STREAM_LEAVES && !stream->called && !stream->first)
        stream_end(wire, stream);
    if (!stream->gone && stream->state >= STREAM_GREETS && stream->state != STREAM_RESTS)
        stream_hear(wire, stream);
}
