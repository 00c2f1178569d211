/* Base64 with the standard alphabet and padding (RFC 4648), as etcd's gateway has keys and values. */
#ifndef NAMESERVICE_ETCD_BASE64_H
#define NAMESERVICE_ETCD_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters that so many bytes take, without a NUL. */
#define ETCD_BASE64_LENGTH(size) (((size) + 2) / 3 * 4)

/* Writes them, and a NUL. */
void etcd_base64_write(char *text, const void *data, size_t size);

/* Writes at most length / 4 * 3 bytes, and gives their number. False for any other character, length or padding. */
bool etcd_base64_read(void *data, size_t *size, const char *text, size_t length);

#endif
