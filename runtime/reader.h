// Reads MessagePack piece by piece from untrusted bytes. unpack.c makes messages of the pieces, value.c finds its way
// in dynamic values by them. Nothing is read that is not there: SOMA_EFORMAT for what is cut short, and for the one
// byte that MessagePack never uses; SOMA_ETYPE for a piece of another kind than asked for.
#ifndef RUNTIME_READER_H
#define RUNTIME_READER_H

#include <soma/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// What is still to be read.
struct reader {
    const unsigned char *at;
    const unsigned char *end;
};

static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

// The next byte, which says what follows; 0xc1, which says nothing, at the end.
static inline unsigned reader_peek(const struct reader *reader)
{
    return reader->at < reader->end ? *reader->at : 0xc1;
}

// Takes that byte.
static inline int reader_tag(struct reader *reader, unsigned *tag)
{
    if (__builtin_expect(reader->at == reader->end, 0))
        return SOMA_EFORMAT;
    *tag = *reader->at++;
    return __builtin_expect(*tag == 0xc1, 0) ? SOMA_EFORMAT : 0;
}

// Reads a big-endian number of `width` bytes: 1, 2, 4 or 8.
static inline int reader_number(struct reader *reader, unsigned width, uint64_t *number)
{
    if (__builtin_expect(reader_left(reader) < width, 0))
        return SOMA_EFORMAT;
    uint64_t turned = 0;
    if (reader_left(reader) >= sizeof turned)
        memcpy(&turned, reader->at, sizeof turned); // the bytes behind are shifted out
    else
        memcpy(&turned, reader->at, width);
    *number = __builtin_bswap64(turned) >> (64 - 8 * width);
    reader->at += width;
    return 0;
}

// Reads any integer; `negative` says that *number is to be taken as an int64_t below 0.
int reader_integer_long(struct reader *reader, uint64_t *number, bool *negative);

static inline int reader_integer(struct reader *reader, uint64_t *number, bool *negative)
{
    unsigned tag = reader_peek(reader);
    if (tag > 0x7f)
        return reader_integer_long(reader, number, negative);
    reader->at++;
    *number = tag;
    *negative = false;
    return 0;
}

// Reads a float of either width.
int reader_float(struct reader *reader, double *number);

// Reads a string's or binary's length, and gives where its bytes are.
int reader_block_long(struct reader *reader, bool string, const void **data, uint32_t *size);

static inline int reader_block(struct reader *reader, bool string, const void **data, uint32_t *size)
{
    const unsigned char *at = reader->at;
    bool brief = reader_left(reader) >= 2 && at[0] == (string ? 0xd9 : 0xc4) && at[1] <= reader_left(reader) - 2;
    if (!brief)
        return reader_block_long(reader, string, data, size);
    *data = at + 2;
    *size = at[1];
    reader->at = at + 2 + at[1];
    return 0;
}

// Reads what an array starts with, and a map: the number of its elements or entries, which need not be there.
int reader_array_long(struct reader *reader, uint32_t *count);

static inline int reader_array(struct reader *reader, uint32_t *count)
{
    unsigned tag = reader_peek(reader);
    if ((tag & 0xf0) != 0x90)
        return reader_array_long(reader, count);
    reader->at++;
    *count = tag & 0x0f;
    return 0;
}

int reader_map(struct reader *reader, uint32_t *count);

static inline bool reader_tag_is_map(unsigned tag)
{
    return (tag & 0xf0) == 0x80 || tag == 0xde || tag == 0xdf;
}

#endif
