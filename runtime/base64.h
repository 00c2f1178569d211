// Base64 with the standard alphabet and padding (RFC 4648), as JSON has bytes.
#ifndef RUNTIME_BASE64_H
#define RUNTIME_BASE64_H

#include <stdbool.h>
#include <stddef.h>

static inline size_t base64_length(size_t size)
{
    return (size + 2) / 3 * 4;
}

// Writes base64_length(size) characters, without a NUL.
void base64_encode(char *text, const void *data, size_t size);

// Writes at most length / 4 * 3 bytes and gives their number. Strict: false for any other character, length or padding,
// and where bits that stand for nothing are not 0, so that no two texts mean the same bytes.
bool base64_decode(void *data, size_t *size, const char *text, size_t length);

#endif
