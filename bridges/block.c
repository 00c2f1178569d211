/* Who holds a frame's bytes; see block.h. */
#include "bridges/block.h"
#include <stdlib.h>
#include <string.h>

#define JOIN_LEAST ((size_t)8 * 1024) /* bytes of a frame below which ZeroMQ would copy it anyway */

bool block_begin(msgpack_sbuffer *buffer, struct frame_block *block, size_t room)
{
    char *data = block ? (char *)block : malloc(room);
    *buffer = data ? (msgpack_sbuffer){.size = BLOCK_AHEAD, .data = data, .alloc = room} : (msgpack_sbuffer){0};
    return data;
}

struct frame_block *block_of(const msgpack_sbuffer *buffer)
{
    struct frame_block *block = (struct frame_block *)(void *)buffer->data; // malloc's
    u32_store(&block->holders, 1);
    return block;
}

bool block_let_go(struct frame_block *block)
{
    return u32_add(&block->holders, (uint32_t)-1) == 1; // acquire and release: what others have read stays before it
}

char *block_join(const struct pieces *frame)
{
    struct frame_block *block = frame->block;
    // Only who has this one hold can make it more. What another has read is over: he let go of it, see above.
    if (!block || frame->items_size < JOIN_LEAST || u32_load(&block->holders) != 1)
        return NULL;
    char *begin = block->items - frame->head_size;
    memcpy(begin, frame->head, frame->head_size);
    memcpy(block->items + frame->items_size, frame->sum, sizeof(frame->sum));
    u32_store(&block->holders, 2);
    return begin;
}
