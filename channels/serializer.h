/*
 * Serializers: how a message looks to who gets it over ipc or tcp. Those that are built in, and the users' own, have
 * one shape.
 */
#ifndef CHANNELS_SERIALIZER_H
#define CHANNELS_SERIALIZER_H

#include "runtime/arena.h"
#include <msgpack/sbuffer.h>
#include <soma/channel.h>

struct serializer {
    const char *name;
    /* Appends the message's bytes. 0, SOMA_ETYPE (a type that it has no form for), or another error. */
    int (*pack)(const struct serializer *serializer, const soma_type *type, const void *message, msgpack_sbuffer *out);
    /* In its place, if they are in the message as they are: where. */
    int (*find)(const soma_type *type, const void *message, soma_bytes *bytes);
    /* Makes a message of bytes, into memory of the type's size. 0, or an error: the bytes are none of that type. What
     * it points to is the bytes' or the arena's, or, if it `owns`, for soma_type_destroy(). */
    int (*view)(const struct serializer *serializer, const soma_type *type, const void *data, size_t size,
                struct arena *arena, void *message);
    bool owns;
    soma_serializer user;    /* of the user's own */
    struct serializer *next; /* of those */
};

/* The serializer of a name that is built in; NULL stands for the default. NULL if there is none. */
const struct serializer *serializer_built_in(const char *name);

/* One of the user's own, around its functions. */
struct serializer serializer_wrap(const soma_serializer *user);

/* Of two of a name: are they the same? */
bool serializer_equal(const struct serializer *serializer, const soma_serializer *user);

#endif
