/*
 * Messages of the serializer `typed` with one number, as plain ZeroMQ sockets send and read them in the tests of
 * channels.
 */
#ifndef TEST_CHANNELS_TYPED_H
#define TEST_CHANNELS_TYPED_H

#include "player.h"
#include <zmq.h>

#define TYPED_MOST 64u   /* bytes */
#define TYPED_HASHED 10u /* bytes between its name and its field */

/* The number, as MessagePack writes it, in as few bytes as it needs. */
static inline uint32_t typed_number(const unsigned char *data)
{
    const unsigned char *at = data + 2 + (data[1] & 0x1f) + TYPED_HASHED;
    uint32_t number = *at < 0x80 ? *at : 0;
    for (int i = 1; *at >= 0xcc && i <= 1 << (*at - 0xcc); i++)
        number = number << 8 | at[i];
    return number;
}

/* 0, or an errno. */
static inline int typed_send(void *socket, const soma_type *type, uint32_t number)
{
    unsigned char data[TYPED_MOST] = {0x93, (unsigned char)(0xa0 | strlen(type->name))};
    const uint64_t hash = soma_type_hash(type);
    size_t size = 2 + strlen(type->name);
    memcpy(data + 2, type->name, strlen(type->name));
    data[size++] = 0xcf;
    for (int i = 56; i >= 0; i -= 8)
        data[size++] = (unsigned char)(hash >> i);
    data[size++] = 0x91;
    data[size++] = 0xce;
    for (int i = 24; i >= 0; i -= 8)
        data[size++] = (unsigned char)(number >> i);
    return zmq_send(socket, data, size, 0) < 0 ? errno : 0;
}

#endif
