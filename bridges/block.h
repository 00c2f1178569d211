/*
 * The bytes of a frame of data: its items, with room ahead of them for what the frame begins with, and mostly behind
 * them for its checksum. So it leaves from where the items were written. The session holds it until it is acknowledged,
 * a wire that sends it without a copy until it has left; who is last frees it.
 */
#ifndef BRIDGES_BLOCK_H
#define BRIDGES_BLOCK_H

#include "bridges/frame.h"
#include "runtime/concurrent.h"
#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stddef.h>

struct frame_block {
    shared_u32 holders;
    char ahead[28]; /* the longest beginning of a frame of data has 25 bytes */
    char items[];
};

#define BLOCK_AHEAD offsetof(struct frame_block, items)

/* Bytes of items from which on a frame takes no more; and of a block for as many, whose last item mostly fits. */
#define FRAME_ITEMS ((size_t)64 * 1024)
#define BLOCK_ROOM (FRAME_ITEMS + 4096)

/* A buffer for items, which come behind BLOCK_AHEAD bytes: in a block of `room` bytes that nobody holds, or a new one
 * (NULL). False when memory is out. */
bool block_begin(msgpack_sbuffer *buffer, struct frame_block *block, size_t room);

/* Bytes of items in such a buffer, or in one without memory. */
static inline size_t block_size(const msgpack_sbuffer *buffer)
{
    return buffer->size ? buffer->size - BLOCK_AHEAD : 0;
}

/* The buffer's memory, as a block with one holder. */
struct frame_block *block_of(const msgpack_sbuffer *buffer);

/* One holder less. True if it was the last, who then may free it, or fill it anew. */
bool block_let_go(struct frame_block *block);

/*
 * The whole frame where its items are, with one holder more; NULL: that can't be, and pieces_join() it is. One time at
 * a time: while others hold the block they may be reading it.
 */
char *block_join(const struct pieces *frame);

#endif
