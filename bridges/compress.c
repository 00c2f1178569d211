/* By zstd, or not at all; see compress.h. */
#include "bridges/compress.h"
#include <soma/error.h>
#include <stdlib.h>

#ifdef SOMA_ZSTD

#include <zstd.h>

#define LEVEL 1           /* one thread serves all links: what is slower than the network is no help */
#define LEAST_GAIN 16u    /* bytes beside the sixteenth: the frame's head grows by some */
#define MISSED_MOST 5u    /* so of noise one byte of 32 is tried */
#define ROOM_STEP 0x20000 /* bytes: frames are of about that size */

bool compress_is_there(void)
{
    return true;
}

/* All that compress_undo() will need is there before anything is compressed. */
static bool compressor_ready(struct compressor *compressor, size_t size)
{
    if (!compressor->out)
        compressor->out = ZSTD_createCCtx();
    if (!compressor->in)
        compressor->in = ZSTD_createDCtx();
    if (compressor->capacity < size) {
        size_t capacity = (size + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
        char *room = malloc(capacity);
        if (!room) // what was compressed before fits the old one
            return false;
        free(compressor->room);
        compressor->room = room;
        compressor->capacity = capacity;
    }
    return compressor->out && compressor->in;
}

static const char *try(struct compressor *compressor, const char *bytes, size_t size, size_t *smaller)
{
    size_t gain = size / 16 + LEAST_GAIN;
    if (size <= gain || size > COMPRESS_MOST || !compressor_ready(compressor, size))
        return NULL;
    *smaller = ZSTD_compressCCtx(compressor->out, compressor->room, size - gain, bytes, size, LEVEL);
    return ZSTD_isError(*smaller) ? NULL : compressor->room; // an error: it does not fit
}

const char *compress(struct compressor *compressor, struct compress_luck *luck, const char *bytes, size_t size,
                     size_t *smaller)
{
    if (size <= luck->skip) {
        luck->skip -= size;
        return NULL;
    }
    const char *result = try(compressor, bytes, size, smaller);
    luck->missed = result ? 0 : luck->missed < MISSED_MOST ? luck->missed + 1 : MISSED_MOST;
    luck->skip = ((size_t)1 << luck->missed) * size - size;
    return result;
}

const char *compress_undo(struct compressor *compressor, const char *smaller, size_t length, size_t size)
{
    return ZSTD_decompressDCtx(compressor->in, compressor->room, compressor->capacity, smaller, length) == size
               ? compressor->room
               : NULL;
}

int decompress(struct compressor *compressor, const void *smaller, size_t length, size_t size, unsigned char **bytes)
{
    // Only one frame of zstd's, and all of it: it would take several for one, and skip some.
    if (!size || size > COMPRESS_MOST || ZSTD_findFrameCompressedSize(smaller, length) != length)
        return SOMA_EFORMAT;
    if (!compressor->in)
        compressor->in = ZSTD_createDCtx();
    *bytes = compressor->in ? malloc(size) : NULL;
    if (!*bytes)
        return SOMA_ENOMEM;
    if (ZSTD_decompressDCtx(compressor->in, *bytes, size, smaller, length) == size)
        return 0;
    free(*bytes);
    *bytes = NULL;
    return SOMA_EFORMAT;
}

void compressor_close(struct compressor *compressor)
{
    ZSTD_freeCCtx(compressor->out);
    ZSTD_freeDCtx(compressor->in);
    free(compressor->room);
    *compressor = (struct compressor){0};
}

#else

bool compress_is_there(void)
{
    return false;
}

const char *compress(struct compressor *compressor, struct compress_luck *luck, const char *bytes, size_t size,
                     size_t *smaller)
{
    (void)compressor, (void)luck, (void)bytes, (void)size, (void)smaller;
    return NULL;
}

const char *compress_undo(struct compressor *compressor, const char *smaller, size_t length, size_t size)
{
    (void)compressor, (void)smaller, (void)length, (void)size;
    return NULL;
}

int decompress(struct compressor *compressor, const void *smaller, size_t length, size_t size, unsigned char **bytes)
{
    (void)compressor, (void)smaller, (void)length, (void)size, (void)bytes;
    return SOMA_EFORMAT;
}

void compressor_close(struct compressor *compressor)
{
    (void)compressor;
}

#endif
