/*
 * Frames, as bytes: what two nodes say to each other, in MessagePack. Everything that is read here comes from
 * strangers: each length is checked against the bytes that are there and against a bound. Byte by byte in
 * docs/protocol.md.
 */
#ifndef BRIDGES_FRAME_H
#define BRIDGES_FRAME_H

#include "bridges/checksum.h"
#include "bridges/compress.h"
#include "runtime/reader.h"
#include "runtime/writer.h"
#include <soma/ref.h>
#include <stdbool.h>

#define PROTOCOL_VERSION 1u
#define PROTOCOL_LEAST 1u /* the oldest that is still spoken */
#define NODE_NAME_MAX 63u
#define ADDRESS_MAX 255u
#define ADDRESSES_MAX 8u
#define REASON_MAX 255u

#define READS_APART 1u   /* bodies that come apart from their messages: in parts, or for many of these */
#define READS_RELAYED 2u /* frames for other nodes, which it passes on */
#define READS_PACKED 4u  /* frames of data whose items are compressed */
#define READS_COUNTED 8u /* words that a request has gone on, with their number */
#define READS_ALL (READS_APART | READS_COUNTED | (compress_is_there() ? READS_PACKED : 0))

enum frame_kind {
    FRAME_HELLO = 1, /* who speaks; the first of a connection, from either side */
    FRAME_SESSION,   /* what this side knows of the session; then data may follow */
    FRAME_DATA,      /* a number, an acknowledgement, then items up to the end of the frame */
    FRAME_PING,      /* an acknowledgement, and how much was sent: nothing else was to be said */
    FRAME_REJECT,    /* why the other side's hello is not accepted; the connection is over */
    FRAME_BYE,       /* this node leaves for good */
    FRAME_PACKED,    /* as data, and how many bytes its items are: they are compressed */
    FRAME_LAST = FRAME_PACKED
};

/* A string among the bytes of a frame; not ended by a NUL. */
struct span {
    const char *text;
    uint32_t size;
};

struct hello {
    uint64_t version; /* the newest that this side speaks */
    uint64_t least;   /* and the oldest */
    uint64_t node;
    soma_ref agent; /* the node's bridge agent */
    struct span name;
    struct span addresses[ADDRESSES_MAX];
    uint32_t address_count;
    uint64_t beat_ms; /* so often this side wants to hear something */
    uint64_t count;   /* of the hellos that the node has said, this one included; 0: it does not say */
    uint64_t reads;   /* what it reads beyond the least that all do: bits, see READS_APART */
};

/* What one side says of the session; see hello.c. */
struct join {
    uint64_t mine;     /* the number of this side's half */
    uint64_t yours;    /* of the other's, as this side knows it; 0: it knows none */
    uint64_t received; /* frames of data, in that session */
};

/* Ends a whole frame with its checksum; false when memory is out. */
bool frame_seal(msgpack_sbuffer *frame);

/* A whole frame as it leaves, whose items are where they were. */
struct frame_block;
struct pieces {
    const char *head;
    size_t head_size;
    const char *items;
    size_t items_size;
    unsigned char sum[CHECKSUM_SIZE];
    struct frame_block *block; /* that has room for all the rest round the items; NULL: there is none. See block.h */
};

struct pieces frame_pieces(const msgpack_sbuffer *head, const char *items, size_t size);

static inline size_t pieces_size(const struct pieces *pieces)
{
    return pieces->head_size + pieces->items_size + sizeof(pieces->sum);
}

/* One behind the other, to where there is room for all. */
void pieces_join(const struct pieces *pieces, void *to);

/* Takes the checksum off again; false if it is not that of the frame. */
bool frame_unseal(struct reader *reader);

/* The kind of a frame, whose array is thereby entered, and how many elements follow; or SOMA_EFORMAT. */
int frame_open(struct reader *reader, enum frame_kind *kind, uint32_t *count);

/* Is there a version that both sides speak? The newest such is the one that counts. */
static inline bool hello_speaks(const struct hello *hello)
{
    return hello->least <= PROTOCOL_VERSION && hello->version >= PROTOCOL_LEAST;
}

int hello_read(struct reader *reader, uint32_t count, struct hello *hello);
int join_read(struct reader *reader, uint32_t count, struct join *join);
int data_read(struct reader *reader, uint32_t count, uint64_t *number, uint64_t *acked);
int packed_read(struct reader *reader, uint32_t count, uint64_t *number, uint64_t *acked, uint64_t *plain);
int ping_read(struct reader *reader, uint32_t count, uint64_t *acked, uint64_t *sent);
int reject_read(struct reader *reader, uint32_t count, int *error, struct span *text);

/* They append to a buffer; false when memory is out. */
bool hello_write(msgpack_sbuffer *buffer, const struct hello *hello);
bool join_write(msgpack_sbuffer *buffer, const struct join *join);
bool data_write(msgpack_sbuffer *buffer, uint64_t number, uint64_t acked, const char *items, size_t size);
bool packed_write(msgpack_sbuffer *buffer, uint64_t number, uint64_t acked, uint64_t plain, const char *items,
                  size_t size);
bool ping_write(msgpack_sbuffer *buffer, uint64_t acked, uint64_t sent);
bool reject_write(msgpack_sbuffer *buffer, int error, const char *text);
bool bye_write(msgpack_sbuffer *buffer);

/* Pieces that items are made of, too. An unsigned number of at most `most`; a string of at most `most` bytes. */
static inline int read_number(struct reader *reader, uint64_t most, uint64_t *number)
{
    bool negative;
    int error = reader_integer(reader, number, &negative);
    return error ? error : negative || *number > most ? SOMA_EFORMAT : 0;
}

int read_signed(struct reader *reader, int64_t *number);
int read_span(struct reader *reader, uint32_t most, struct span *span);

#endif
