/* Base64: see base64.h. It is etcd's own, as nameservice/ stands on public headers alone. */
#include "nameservice/etcd/base64.h"
#include <stdint.h>
#include <string.h>

#define PADDING 64 /* behind the digits */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

void etcd_base64_write(char *text, const void *data, size_t size)
{
    const unsigned char *from = data;
    for (size_t i = 0; i < size; i += 3, text += 4) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0);
        bits |= left > 2 ? from[i + 2] : 0;
        text[0] = digits[bits >> 18];
        text[1] = digits[bits >> 12 & 63];
        text[2] = digits[left > 1 ? bits >> 6 & 63 : PADDING];
        text[3] = digits[left > 2 ? bits & 63 : PADDING];
    }
    *text = 0;
}

/* Each digit but the first of four ends a byte. */
bool etcd_base64_read(void *data, size_t *size, const char *text, size_t length)
{
    unsigned char *to = data;
    size_t end = length;
    uint32_t bits = 0;
    *size = 0;
    if (length % 4)
        return false;
    while (end && length - end < 2 && text[end - 1] == '=')
        end--;
    for (size_t i = 0; i < end; i++) {
        const char *digit = memchr(digits, text[i], PADDING);
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        if (i % 4)
            to[(*size)++] = (unsigned char)(bits >> (6 - i % 4 * 2));
    }
    return true;
}
