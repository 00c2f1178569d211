// Base64: see base64.h.
#include "runtime/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(char *text, const void *data, size_t size)
{
    for (const unsigned char *at = data; size; text += 4) {
        size_t n = size < 3 ? size : 3;
        uint32_t bits = (uint32_t)at[0] << 16 | (n > 1 ? (uint32_t)at[1] << 8 : 0) | (n > 2 ? at[2] : 0);
        text[0] = alphabet[bits >> 18];
        text[1] = alphabet[bits >> 12 & 63];
        text[2] = '=';
        text[3] = '=';
        if (n > 1)
            text[2] = alphabet[bits >> 6 & 63];
        if (n > 2)
            text[3] = alphabet[bits & 63];
        at += n;
        size -= n;
    }
}

bool base64_decode(void *data, size_t *size, const char *text, size_t length)
{
    unsigned char *to = data;
    *size = 0;
    if (length % 4)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        const char *found = i < length - padding ? strchr(alphabet, text[i]) : alphabet;
        if (!found || !*found) // a NUL would be found at the end
            return false;
        bits = bits << 6 | (uint32_t)(found - alphabet);
        if (i % 4 < 3)
            continue;
        to[0] = (unsigned char)(bits >> 16);
        to[1] = (unsigned char)(bits >> 8);
        to[2] = (unsigned char)bits;
        to += 3;
        bits = 0;
    }
    *size = length / 4 * 3 - padding;
    return !padding || (!to[-1] && (padding == 1 || !to[-2]));
}
