/* Texts for people, made safe to show; see text.h. */
#include "runtime/text.h"
#include "runtime/type.h"
#include <stdio.h>
#include <string.h>

/* The character at the front of a text that ends in a NUL, and its bytes; 0 bytes if it is not UTF-8. */
static size_t character_read(const unsigned char *text, uint32_t *character)
{
    size_t bytes = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    uint32_t value = text[0] & (bytes == 1 ? 0x7fu : 0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if (!text[i])
            return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    *character = value;
    return type_utf8_valid((const char *)text, bytes) ? bytes : 0;
}

void text_clean(char *text)
{
    for (size_t bytes; *text; text += bytes) {
        uint32_t c = 0;
        bytes = character_read((const unsigned char *)text, &c);
        bool control = c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
        if (!bytes) {
            *text = '?';
            bytes = 1;
        } else if (control) {
            memset(text, ' ', bytes);
        }
    }
}

void text_format(char *text, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(text, size, format, arguments);
    if (length < 0) // such as an argument that is too long for its encoding: better the format than nothing
        length = snprintf(text, size, "%s", format);
    if ((size_t)length >= size) {
        size_t end = size - sizeof("...");
        while (end && (text[end] & 0xc0) == 0x80) // not in the middle of one
            end--;
        memcpy(text + end, "...", sizeof("..."));
    }
    text_clean(text);
}
