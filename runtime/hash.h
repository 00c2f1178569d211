/*
 * FNV-1a in 64 bits, byte by byte: for tables in this process and for soma_type_hash(). Whoever chooses the bytes can
 * make them collide, so it is no guard against that.
 */
#ifndef RUNTIME_HASH_H
#define RUNTIME_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* The hash of what was hashed so far, with these bytes behind it. */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    for (const unsigned char *p = data; size--; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

static inline uint64_t hash_text(const char *text)
{
    uint64_t hash = HASH_START;
    for (; *text; text++)
        hash = hash_bytes(hash, text, 1);
    return hash;
}

#endif
