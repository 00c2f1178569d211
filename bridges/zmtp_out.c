/*
 * What leaves by a stream. A frame goes to the kernel from where its items were written, with all that belongs to it,
 * in one call. What the kernel does not take waits: then the frame's block is held, or what is short is copied.
 */
#include "bridges/zmtp_parts.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PIECES_MOST 16 /* that are sent by one call */

/* How many bytes the kernel has taken of all; -1: none any more. */
static ssize_t pieces_write(const struct stream *stream, struct iovec *pieces, size_t count)
{
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(stream->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* ---- what waits ---- */

static void body_drop(const struct unsent *unsent)
{
    if (!unsent->block)
        free((void *)(uintptr_t)unsent->body);
    else if (block_let_go(unsent->block))
        free(unsent->block);
}

static void unsent_drop(struct unsent *unsent)
{
    body_drop(unsent);
    free(unsent);
}

void unsent_free(struct stream *stream)
{
    for (struct unsent *unsent = stream->first, *next; unsent; unsent = next) {
        next = unsent->next;
        unsent_drop(unsent);
    }
    stream->first = stream->last = NULL;
}

/* It is told once the kernel takes more. */
static bool room_await(struct zmtp_wire *wire, struct stream *stream, bool full)
{
    if (stream->full == full)
        return true;
    stream->full = full;
    return post_watch_again(&wire->keeper.post, stream->socket, stream->id, full);
}

/* Takes over what it has. */
static bool unsent_add(struct zmtp_wire *wire, struct stream *stream, struct unsent what)
{
    struct unsent *unsent = malloc(sizeof(*unsent));
    if (!unsent) {
        body_drop(&what);
        return false;
    }
    *unsent = what;
    if (stream->last)
        stream->last->next = unsent;
    else
        stream->first = unsent;
    stream->last = unsent;
    return room_await(wire, stream, true);
}

/* The pieces of an unsent that are to go. How many: two at most. */
static size_t unsent_pieces(const struct unsent *unsent, struct iovec *pieces)
{
    size_t sent = unsent->sent, count = 0;
    if (sent < unsent->head_size)
        pieces[count++] = (struct iovec){(void *)(uintptr_t)(unsent->head + sent), unsent->head_size - sent};
    sent = sent > unsent->head_size ? sent - unsent->head_size : 0;
    pieces[count++] = (struct iovec){(void *)(uintptr_t)(unsent->body + sent), unsent->size - sent};
    return count;
}

/* So many bytes more have left. */
static void unsent_take(struct stream *stream, size_t sent)
{
    while (stream->first) {
        struct unsent *unsent = stream->first;
        size_t left = unsent->head_size + unsent->size - unsent->sent;
        if (sent < left) {
            unsent->sent += sent;
            return;
        }
        sent -= left;
        stream->first = unsent->next;
        if (!stream->first)
            stream->last = NULL;
        unsent_drop(unsent);
    }
}

bool stream_flush(struct zmtp_wire *wire, struct stream *stream)
{
    while (stream->first) {
        struct iovec pieces[PIECES_MOST];
        size_t count = 0, size = 0;
        for (const struct unsent *unsent = stream->first; unsent && count + 2 <= PIECES_MOST; unsent = unsent->next)
            count += unsent_pieces(unsent, pieces + count);
        for (size_t i = 0; i < count; i++)
            size += pieces[i].iov_len;
        ssize_t sent = pieces_write(stream, pieces, count);
        if (sent < 0)
            return false;
        unsent_take(stream, (size_t)sent);
        if ((size_t)sent < size) // it is full, or has been: then there is word of it already
            return room_await(wire, stream, true);
    }
    return room_await(wire, stream, false);
}

/* ---- sending ---- */

/* A frame of which the kernel has taken the begin, or nothing: the rest waits. */
static bool frame_wait(struct zmtp_wire *wire, struct stream *stream, const struct pieces *frame, struct unsent rest)
{
    const char *whole = block_join(frame);
    char *copy = whole ? NULL : malloc(rest.size);
    if (!whole && !copy)
        return false;
    if (copy)
        pieces_join(frame, copy);
    rest.body = whole ? whole : copy;
    rest.block = whole ? frame->block : NULL;
    return unsent_add(wire, stream, rest);
}

bool stream_send(struct zmtp_wire *wire, struct stream *stream, const struct pieces *frame)
{
    struct unsent begun = {.size = pieces_size(frame)};
    begun.head_size = zmtp_head(begun.head, begun.size);
    if (!stream->first) {
        struct iovec pieces[] = {{begun.head, begun.head_size},
                                 {(void *)(uintptr_t)frame->head, frame->head_size},
                                 {(void *)(uintptr_t)frame->items, frame->items_size},
                                 {(void *)(uintptr_t)frame->sum, sizeof(frame->sum)}};
        ssize_t sent = pieces_write(stream, pieces, sizeof(pieces) / sizeof(*pieces));
        if (sent < 0)
            return false;
        begun.sent = (size_t)sent;
    }
    return begun.sent == begun.head_size + begun.size || frame_wait(wire, stream, frame, begun);
}

bool stream_say(struct zmtp_wire *wire, struct stream *stream, const unsigned char *bytes, size_t size)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, size};
    struct unsent rest = {.size = size};
    ssize_t sent = stream->first ? 0 : pieces_write(stream, &piece, 1);
    if (sent < 0 || (size_t)sent == size)
        return sent >= 0;
    char *copy = malloc(size);
    if (!copy)
        return false;
    rest.body = memcpy(copy, bytes, size);
    rest.sent = (size_t)sent;
    return unsent_add(wire, stream, rest);
}
