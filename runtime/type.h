// Message types inside the runtime: the single-block copy that sends make, and what type.c, pack.c and unpack.c share.
#ifndef RUNTIME_TYPE_H
#define RUNTIME_TYPE_H

#include <soma/error.h>
#include <soma/ref.h>
#include <soma/type.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The most bytes that a flattened message may have: its header keeps the size in 32 bits.
static const uint64_t soma_type_size_limit = UINT32_MAX;

// Every array field `struct { const X *items; uint32_t count; }` has this layout. It is read and written by memcpy, as
// the compiler takes the two for unlike types.
struct type_array {
    const void *items;
    uint32_t count;
};

static inline struct type_array type_array_get(const void *at)
{
    struct type_array array = {NULL, 0};
    // Field by field, as the struct in the message may have padding that was never written.
    memcpy(&array.items, at, sizeof array.items);
    memcpy(&array.count, (const char *)at + offsetof(struct type_array, count), sizeof array.count);
    return array;
}

static inline void type_array_set(void *at, const void *items, uint32_t count)
{
    memcpy(at, &items, sizeof items);
    memcpy((char *)at + offsetof(struct type_array, count), &count, sizeof count);
}

static inline const char *type_string_get(const void *at)
{
    const char *text;
    memcpy(&text, at, sizeof text);
    return text;
}

static inline bool type_field_flat(const soma_field *field)
{
    return field->kind <= SOMA_KIND_REF;
}

// Is it bytes or a value, and nothing else? Many large messages are, so these need no walk over fields.
static inline bool type_is_bytes(const soma_type *type)
{
    const soma_field *field = type->fields;
    return type->field_count == 1 && !field->is_array &&
           (field->kind == SOMA_KIND_BYTES || field->kind == SOMA_KIND_VALUE);
}

// The bytes that a piece takes in a block.
static inline size_t type_rounded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

// The two below, of a message whose fields lead to more.
int type_flat_size_walk(const soma_type *type, const void *body, size_t *size);
void type_flatten_walk(const soma_type *type, void *block, const void *body);

// The two below, of what type_is_bytes(): laid out as an array of them.
static inline int type_bytes_size(const soma_type *type, struct type_array bytes, size_t *size)
{
    *size = type_rounded(type->size) + type_rounded(bytes.count);
    if (bytes.count && !bytes.items)
        return SOMA_EINVAL;
    return *size > soma_type_size_limit ? SOMA_ETOOBIG : 0;
}

static inline void type_bytes_flatten(void *block, struct type_array bytes)
{
    void *copy = (char *)block + sizeof(soma_bytes);
    memset(block, 0, sizeof(soma_bytes)); // its padding, too
    type_array_set(block, bytes.count ? copy : NULL, bytes.count);
    if (bytes.count)
        memcpy(copy, bytes.items, bytes.count);
}

// Bytes of one block that takes a deep copy of the message: the struct, then each string, bytes and array behind it,
// every one aligned to 8. 0; SOMA_ETOOBIG (over soma_type_size_limit, or nested too deep), SOMA_EINVAL (a length
// without data).
static inline int type_flat_size(const soma_type *type, const void *body, size_t *size)
{
    *size = type_rounded(type->size);
    if (type->flat)
        return 0;
    return type_is_bytes(type) ? type_bytes_size(type, type_array_get(body), size)
                               : type_flat_size_walk(type, body, size);
}

// Makes that deep copy in a block of type_flat_size() bytes, aligned to 8. Its pointers point into the block, which
// must not be moved. A NULL string stays NULL.
static inline void type_flatten(const soma_type *type, void *block, const void *body)
{
    if (type->flat || !type_is_bytes(type))
        type_flatten_walk(type, block, body);
    else
        type_bytes_flatten(block, type_array_get(body));
}

struct msgpack_sbuffer;
struct reader;
struct arena;

// Appends what soma_type_pack() makes to a buffer; on error it holds a part of it.
int type_pack_into(const soma_type *type, const void *message, struct msgpack_sbuffer *buffer);

// The same as a map from the fields' names, also of nested messages: for who does not know the type.
int type_pack_map_into(const soma_type *type, const void *message, struct msgpack_sbuffer *buffer);

// Unpacks the message that comes next, as soma_type_unpack() does, of whoever has a longer or shorter layout: fields
// too many are skipped, those that are missing stay zero. The reader is behind it then.
int type_unpack_next(const soma_type *type, void *dst, struct reader *reader);

// The way back of value_add_item(), as soma_type_from_value(): what is at `at` counts for nothing, and after an error
// too.
int type_item_from_value(const soma_field *field, void *at, soma_value value);

// The same into one block, as type_flatten() makes it, of `size` bytes, which are at least the struct's; how many are
// *used. SOMA_EFULL if it needs more. After an error there is nothing to destroy, and the reader is anywhere.
int type_unpack_flat(const soma_type *type, void *block, size_t size, struct reader *reader, size_t *used);

// The same for a look, which owns nothing: bytes and values point to where they are read, what else takes memory is the
// arena's. Whatever it returns there is nothing to destroy.
int type_view_next(const soma_type *type, void *dst, struct reader *reader, struct arena *arena);

// The same, of exactly the declared fields.
int type_view_exact(const soma_type *type, void *dst, struct reader *reader, struct arena *arena);

// Bytes of one value of a field in memory, for an array one element.
size_t type_item_size(const soma_field *field);

// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. A NUL is not looked for.
bool type_utf8_valid(const char *text, size_t size);

// The same type, maybe by another shared object's descriptor.
static inline bool type_same(const soma_type *a, const soma_type *b)
{
    return a == b || (!strcmp(a->name, b->name) && soma_type_hash(a) == soma_type_hash(b));
}

#endif
