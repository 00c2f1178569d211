/*
 * Compression of what frames of data hold, by zstd, if the library was built with it. What comes in says how many bytes
 * it will be, which is bounded before any memory is taken for it, and it is that many or nothing. One thread at a time.
 */
#ifndef BRIDGES_COMPRESS_H
#define BRIDGES_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

#define COMPRESS_MOST ((size_t)1 << 20) /* bytes of a frame's items, above which it goes as it is */

/* Kept from call to call, since it is large; zeroed at first. */
struct compressor {
    void *out;  /* zstd's own */
    void *in;   /* the same, for the other way */
    char *room; /* for what is compressed here, or was */
    size_t capacity;
};

/* Whether it was worth it of late: if not, it is tried less and less often, so that noise costs little. */
struct compress_luck {
    unsigned missed; /* so many times in a row, up to a bound */
    size_t skip;     /* bytes that are not tried now: so a large frame still is after small ones */
};

/* Was it built with compression? */
bool compress_is_there(void);

/* The bytes in fewer, by a sixteenth at least, until the next call; NULL if that does not come of it. */
const char *compress(struct compressor *compressor, struct compress_luck *luck, const char *bytes, size_t size,
                     size_t *smaller);

/* A copy of the bytes that compress() has made fewer, of which there were `size`, as they were: until the next call. No
 * memory is needed. */
const char *compress_undo(struct compressor *compressor, const char *smaller, size_t length, size_t size);

/* What another node has compressed, to be freed. 0, SOMA_EFORMAT (it is not `size` bytes, or more may follow), or
 * SOMA_ENOMEM. */
int decompress(struct compressor *compressor, const void *smaller, size_t length, size_t size, unsigned char **bytes);

void compressor_close(struct compressor *compressor);

#endif
