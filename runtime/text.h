/* Texts for people, such as log lines and the reasons of failures: one line each, UTF-8, that no terminal obeys. */
#ifndef RUNTIME_TEXT_H
#define RUNTIME_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* Makes control characters and line ends spaces, and what is no UTF-8 '?'. */
void text_clean(char *text);

/* Formats a text, and cleans it. One that is too long for `size` bytes, at least 4, ends in whole characters and "...".
 */
void text_format(char *text, size_t size, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));

#endif
