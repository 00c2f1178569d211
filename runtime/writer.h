/*
 * Writes MessagePack piece by piece, as reader.h reads it: each in its shortest form, which is what msgpack-c makes,
 * but without a call for each byte. pack.c makes messages of the pieces, bridges/ frames and items.
 *
 * put_…() write where there is room and give the place behind; write_…() see to the room themselves.
 */
#ifndef RUNTIME_WRITER_H
#define RUNTIME_WRITER_H

#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PUT_MOST 9 /* bytes of a number, or of what a string, binary or array starts with */

/* Appends to a buffer. Once memory is out nothing more is said of it but `failed`, and a part may be missing. */
struct writer {
    msgpack_sbuffer *buffer;
    bool failed;
};

/* ---- into room that is there ---- */

/* A tag and the lowest bytes of a number behind it, the highest first. */
static inline char *put_tagged(char *at, unsigned tag, uint64_t number, unsigned width)
{
    *at++ = (char)tag;
    uint64_t turned = __builtin_bswap64(number) >> (64 - 8 * width);
    memcpy(at, &turned, width);
    return at + width;
}

static inline char *put_number(char *at, uint64_t number)
{
    if (number < 0x80) {
        *at = (char)number;
        return at + 1;
    }
    if (number <= UINT8_MAX)
        return put_tagged(at, 0xcc, number, 1);
    if (number <= UINT16_MAX)
        return put_tagged(at, 0xcd, number, 2);
    return number <= UINT32_MAX ? put_tagged(at, 0xce, number, 4) : put_tagged(at, 0xcf, number, 8);
}

static inline char *put_signed(char *at, int64_t number)
{
    if (number >= 0)
        return put_number(at, (uint64_t)number);
    if (number >= -32) {
        *at = (char)number;
        return at + 1;
    }
    if (number >= INT8_MIN)
        return put_tagged(at, 0xd0, (uint64_t)number, 1);
    if (number >= INT16_MIN)
        return put_tagged(at, 0xd1, (uint64_t)number, 2);
    return number >= INT32_MIN ? put_tagged(at, 0xd2, (uint64_t)number, 4) : put_tagged(at, 0xd3, (uint64_t)number, 8);
}

static inline char *put_byte(char *at, unsigned byte)
{
    *at = (char)byte;
    return at + 1;
}

static inline char *put_nil(char *at)
{
    return put_byte(at, 0xc0);
}

static inline char *put_array(char *at, uint32_t count)
{
    if (count < 16)
        return put_byte(at, 0x90 | count);
    return count <= UINT16_MAX ? put_tagged(at, 0xdc, count, 2) : put_tagged(at, 0xdd, count, 4);
}

static inline char *put_map(char *at, uint32_t count)
{
    if (count < 16)
        return put_byte(at, 0x80 | count);
    return count <= UINT16_MAX ? put_tagged(at, 0xde, count, 2) : put_tagged(at, 0xdf, count, 4);
}

/* What a binary starts with, and a string. */
static inline char *put_bytes_size(char *at, uint32_t size)
{
    if (size <= UINT8_MAX)
        return put_tagged(at, 0xc4, size, 1);
    return size <= UINT16_MAX ? put_tagged(at, 0xc5, size, 2) : put_tagged(at, 0xc6, size, 4);
}

static inline char *put_text_size(char *at, uint32_t size)
{
    if (size < 32)
        return put_byte(at, 0xa0 | size);
    if (size <= UINT8_MAX)
        return put_tagged(at, 0xd9, size, 1);
    return size <= UINT16_MAX ? put_tagged(at, 0xda, size, 2) : put_tagged(at, 0xdb, size, 4);
}

/* ---- at the end of a buffer ---- */

/* Room for so many bytes at the end; NULL when memory is out. */
char *writer_grow(struct writer *writer, size_t size);

static inline char *writer_room(struct writer *writer, size_t size)
{
    const msgpack_sbuffer *buffer = writer->buffer;
    if (__builtin_expect(buffer->alloc - buffer->size < size, 0))
        return writer_grow(writer, size);
    return buffer->data + buffer->size;
}

/* What stands before `end` was written. */
static inline void writer_end(struct writer *writer, const char *end)
{
    writer->buffer->size = (size_t)(end - writer->buffer->data);
}

static inline void write_array(struct writer *writer, uint32_t count)
{
    char *at = writer_room(writer, PUT_MOST);
    if (at)
        writer_end(writer, put_array(at, count));
}

static inline void write_map(struct writer *writer, uint32_t count)
{
    char *at = writer_room(writer, PUT_MOST);
    if (at)
        writer_end(writer, put_map(at, count));
}

static inline void write_number(struct writer *writer, uint64_t number)
{
    char *at = writer_room(writer, PUT_MOST);
    if (at)
        writer_end(writer, put_number(at, number));
}

static inline void write_signed(struct writer *writer, int64_t number)
{
    char *at = writer_room(writer, PUT_MOST);
    if (at)
        writer_end(writer, put_signed(at, number));
}

static inline void write_nil(struct writer *writer)
{
    char *at = writer_room(writer, PUT_MOST);
    if (at)
        writer_end(writer, put_nil(at));
}

static inline void write_raw(struct writer *writer, const void *bytes, size_t size)
{
    char *at = size ? writer_room(writer, size) : NULL;
    if (at)
        writer_end(writer, (char *)memcpy(at, bytes, size) + size);
}

static inline void write_text(struct writer *writer, const char *text, size_t size)
{
    char *at = writer_room(writer, PUT_MOST + size);
    if (!at)
        return;
    at = put_text_size(at, (uint32_t)size);
    if (size)
        memcpy(at, text, size);
    writer_end(writer, at + size);
}

static inline void write_bytes(struct writer *writer, const void *bytes, size_t size)
{
    char *at = writer_room(writer, PUT_MOST + size);
    if (!at)
        return;
    at = put_bytes_size(at, (uint32_t)size);
    if (size)
        memcpy(at, bytes, size);
    writer_end(writer, at + size);
}

#endif
