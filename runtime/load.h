// Reads a field of a message, whatever its kind's C type. By memcpy, as only the descriptor knows the type.
#ifndef RUNTIME_LOAD_H
#define RUNTIME_LOAD_H

#include <soma/ref.h>
#include <soma/type.h>
#include <string.h>

#define TYPE_LOAD(ctype, at)                                                                                           \
    do {                                                                                                               \
        ctype value;                                                                                                   \
        memcpy(&value, (at), sizeof value);                                                                            \
        return value;                                                                                                  \
    } while (0)

static inline uint64_t type_load_unsigned(unsigned kind, const void *at)
{
    if (kind == SOMA_KIND_U8)
        TYPE_LOAD(uint8_t, at);
    if (kind == SOMA_KIND_U16)
        TYPE_LOAD(uint16_t, at);
    if (kind == SOMA_KIND_U32)
        TYPE_LOAD(uint32_t, at);
    TYPE_LOAD(uint64_t, at);
}

static inline int64_t type_load_signed(unsigned kind, const void *at)
{
    if (kind == SOMA_KIND_I8)
        TYPE_LOAD(int8_t, at);
    if (kind == SOMA_KIND_I16)
        TYPE_LOAD(int16_t, at);
    if (kind == SOMA_KIND_I32)
        TYPE_LOAD(int32_t, at);
    TYPE_LOAD(int64_t, at);
}

static inline float type_load_float(const void *at)
{
    TYPE_LOAD(float, at);
}

static inline double type_load_double(const void *at)
{
    TYPE_LOAD(double, at);
}

static inline bool type_load_bool(const void *at)
{
    TYPE_LOAD(bool, at);
}

static inline soma_ref type_load_ref(const void *at)
{
    TYPE_LOAD(soma_ref, at);
}

static inline soma_bytes type_load_bytes(const void *at)
{
    TYPE_LOAD(soma_bytes, at);
}

static inline soma_value type_load_value(const void *at)
{
    TYPE_LOAD(soma_value, at);
}

#endif
