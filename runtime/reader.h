// Reads MessagePack piece by piece from untrusted bytes. unpack.c makes messages of the pieces, value.c finds its way
// in dynamic values by them. Nothing is read that is not there: SOMA_EFORMAT for what is cut short, and for the one
// byte that MessagePack never uses; SOMA_ETYPE for a piece of another kind than asked for.
#ifndef RUNTIME_READER_H
#define RUNTIME_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
int reader_tag(struct reader *reader, unsigned *tag);

// Reads a big-endian number of `width` bytes.
int reader_number(struct reader *reader, unsigned width, uint64_t *number);

// Reads any integer; `negative` says that *number is to be taken as an int64_t below 0.
int reader_integer(struct reader *reader, uint64_t *number, bool *negative);

// Reads a float of either width.
int reader_float(struct reader *reader, double *number);

// Reads a string's or binary's length, and gives where its bytes are.
int reader_block(struct reader *reader, bool string, const void **data, uint32_t *size);

// Reads what an array starts with, and a map: the number of its elements or entries, which need not be there.
int reader_array(struct reader *reader, uint32_t *count);
int reader_map(struct reader *reader, uint32_t *count);

static inline bool reader_tag_is_map(unsigned tag)
{
    return (tag & 0xf0) == 0x80 || tag == 0xde || tag == 0xdf;
}

#endif
