// What can be done with a message in memory through its descriptor: init, deep copy (on the heap or into one block),
// destroy, compare, hash. Its text and its wire form are made in pack.c and read in unpack.c.
#include "runtime/type.h"
#include "runtime/hash.h"

#include <soma/error.h>
#include <soma/value.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t kind_sizes[] = {
    [SOMA_KIND_U8] = sizeof(uint8_t),    [SOMA_KIND_U16] = sizeof(uint16_t),     [SOMA_KIND_U32] = sizeof(uint32_t),
    [SOMA_KIND_U64] = sizeof(uint64_t),  [SOMA_KIND_I8] = sizeof(int8_t),        [SOMA_KIND_I16] = sizeof(int16_t),
    [SOMA_KIND_I32] = sizeof(int32_t),   [SOMA_KIND_I64] = sizeof(int64_t),      [SOMA_KIND_F32] = sizeof(float),
    [SOMA_KIND_F64] = sizeof(double),    [SOMA_KIND_BOOL] = sizeof(bool),        [SOMA_KIND_REF] = sizeof(soma_ref),
    [SOMA_KIND_STRING] = sizeof(char *), [SOMA_KIND_BYTES] = sizeof(soma_bytes), [SOMA_KIND_VALUE] = sizeof(soma_value),
};

// In memory a value is only bytes, so that what takes or frees memory does not tell the two apart.
_Static_assert(sizeof(soma_value) == sizeof(soma_bytes) && offsetof(soma_value, size) == offsetof(soma_bytes, size),
               "soma_value and soma_bytes have one layout");
_Static_assert(sizeof(struct type_array) == sizeof(soma_bytes) &&
                   offsetof(struct type_array, count) == offsetof(soma_bytes, size),
               "and so has an array");

static bool kind_is_bytes(unsigned kind)
{
    return kind == SOMA_KIND_BYTES || kind == SOMA_KIND_VALUE;
}

static bool field_nests(const soma_field *field)
{
    return field->is_array || field->kind == SOMA_KIND_MESSAGE;
}

size_t type_item_size(const soma_field *field)
{
    return field->kind == SOMA_KIND_MESSAGE ? field->nested->size : kind_sizes[field->kind];
}

bool type_utf8_valid(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    while (p < end) {
        unsigned c = *p++;
        if (c < 0x80)
            continue;
        // The second byte's range is what shuts out overlong forms, surrogates and what is above U+10FFFF.
        unsigned low = 0x80, high = 0xbf, more;
        if (c >= 0xc2 && c <= 0xdf)
            more = 1;
        else if (c >= 0xe0 && c <= 0xef)
            more = 2, low = c == 0xe0 ? 0xa0 : low, high = c == 0xed ? 0x9f : high;
        else if (c >= 0xf0 && c <= 0xf4)
            more = 3, low = c == 0xf0 ? 0x90 : low, high = c == 0xf4 ? 0x8f : high;
        else
            return false;
        if ((size_t)(end - p) < more || *p < low || *p > high)
            return false;
        for (p++; --more; p++)
            if ((*p & 0xc0) != 0x80)
                return false;
    }
    return true;
}

int soma_type_init(const soma_type *type, void *message)
{
    if (!type || !message)
        return SOMA_EINVAL;
    memset(message, 0, type->size);
    return 0;
}

// -- How big a flattened message is ----------------------------------------------------------------------------------

static int size_add(size_t *size, uint64_t more)
{
    if (more > soma_type_size_limit)
        return SOMA_ETOOBIG;
    *size += type_rounded(more);
    return *size > soma_type_size_limit ? SOMA_ETOOBIG : 0;
}

static int size_behind(const soma_type *type, const char *body, size_t *size, int depth);

// Of what is neither an array nor a message; that is most, and so done in place.
static inline int size_plain(const soma_field *field, const char *at, size_t *size)
{
    if (kind_is_bytes(field->kind)) {
        soma_bytes bytes;
        memcpy(&bytes, at, sizeof bytes);
        return bytes.data || !bytes.size ? size_add(size, bytes.size) : SOMA_EINVAL;
    }
    const char *text = field->kind == SOMA_KIND_STRING ? type_string_get(at) : NULL;
    return text ? size_add(size, (uint64_t)strlen(text) + 1) : 0;
}

static int size_item(const soma_field *field, const char *at, size_t *size, int depth)
{
    return field->kind == SOMA_KIND_MESSAGE ? size_behind(field->nested, at, size, depth + 1)
                                            : size_plain(field, at, size);
}

static int size_array(const soma_field *field, const char *at, size_t *size, int depth)
{
    struct type_array array = type_array_get(at);
    size_t item_size = type_item_size(field);
    if (array.count && !array.items)
        return SOMA_EINVAL;
    int error = size_add(size, (uint64_t)array.count * item_size);
    for (uint32_t i = 0; i < array.count && !error && !type_field_flat(field); i++)
        error = size_item(field, (const char *)array.items + i * item_size, size, depth);
    return error;
}

static __attribute__((noinline)) int size_nested(const soma_field *field, const char *at, size_t *size, int depth)
{
    return field->is_array ? size_array(field, at, size, depth) : size_item(field, at, size, depth);
}

// Adds what the message's pointers lead to.
static int size_behind(const soma_type *type, const char *body, size_t *size, int depth)
{
    int error = depth > SOMA_TYPE_DEPTH_MAX ? SOMA_ETOOBIG : 0;
    for (const soma_field *field = type->fields, *end = field + type->field_count; field < end && !error; field++)
        error = field_nests(field) ? size_nested(field, body + field->offset, size, depth)
                                   : size_plain(field, body + field->offset, size);
    return error;
}

int type_flat_size_walk(const soma_type *type, const void *body, size_t *size)
{
    return size_behind(type, body, size, 1);
}

// -- Deep copy -------------------------------------------------------------------------------------------------------

// A copy starts as a plain memcpy, whose pointers still lead to the source. Then each is replaced by one to a copy of
// what is there. After an error the walk goes on and sets what it cannot copy to NULL, so that at its end no pointer
// leads to the source any more, and the whole can be destroyed.
struct copier {
    char *block; // where the next piece goes; NULL: each piece gets a malloc of its own
    int error;
};

static void *copier_take(struct copier *copier, const void *data, size_t size)
{
    void *piece = NULL;
    if (copier->block) {
        piece = copier->block;
        copier->block += type_rounded(size);
    } else if (!copier->error && !(piece = malloc(size))) {
        copier->error = SOMA_ENOMEM;
    }
    return piece ? memcpy(piece, data, size) : NULL;
}

static void copy_behind(struct copier *copier, const soma_type *type, char *body, int depth);

// What is neither an array nor a message.
static inline void copy_plain(struct copier *copier, const soma_field *field, char *at)
{
    if (field->kind == SOMA_KIND_STRING) {
        const char *text = type_string_get(at);
        if (text)
            text = copier_take(copier, text, strlen(text) + 1);
        memcpy(at, &text, sizeof text);
    } else if (kind_is_bytes(field->kind)) {
        soma_bytes bytes;
        memcpy(&bytes, at, sizeof bytes);
        if (bytes.size && !bytes.data)
            copier->error = SOMA_EINVAL;
        bytes.data = bytes.data && bytes.size ? copier_take(copier, bytes.data, bytes.size) : NULL;
        bytes.size = bytes.data ? bytes.size : 0;
        memcpy(at, &bytes, sizeof bytes);
    }
}

static void copy_item(struct copier *copier, const soma_field *field, char *at, int depth)
{
    if (field->kind == SOMA_KIND_MESSAGE)
        copy_behind(copier, field->nested, at, depth + 1);
    else
        copy_plain(copier, field, at);
}

static void copy_array(struct copier *copier, const soma_field *field, char *at, int depth)
{
    struct type_array array = type_array_get(at);
    size_t item_size = type_item_size(field), bytes;
    char *items = NULL;
    if (array.count && !array.items)
        copier->error = SOMA_EINVAL;
    else if (field->kind == SOMA_KIND_MESSAGE && array.count && depth >= SOMA_TYPE_DEPTH_MAX)
        copier->error = SOMA_ETOOBIG; // here, as the elements could not be left half copied
    else if (__builtin_mul_overflow((size_t)array.count, item_size, &bytes))
        copier->error = SOMA_ETOOBIG;
    else if (array.count)
        items = copier_take(copier, array.items, bytes);
    type_array_set(at, items, items ? array.count : 0);
    for (uint32_t i = 0; items && i < array.count && !type_field_flat(field); i++)
        copy_item(copier, field, items + i * item_size, depth);
}

static __attribute__((noinline)) void copy_nested(struct copier *copier, const soma_field *field, char *at, int depth)
{
    if (field->is_array)
        copy_array(copier, field, at, depth);
    else
        copy_item(copier, field, at, depth);
}

static void copy_behind(struct copier *copier, const soma_type *type, char *body, int depth)
{
    if (depth > SOMA_TYPE_DEPTH_MAX) {
        copier->error = SOMA_ETOOBIG;
        memset(body, 0, type->size);
        return;
    }
    for (const soma_field *field = type->fields, *end = field + type->field_count; field < end; field++)
        if (field_nests(field))
            copy_nested(copier, field, body + field->offset, depth);
        else
            copy_plain(copier, field, body + field->offset);
}

void type_flatten_walk(const soma_type *type, void *block, const void *body)
{
    struct copier copier = {.block = (char *)block + type_rounded(type->size)};
    memcpy(block, body, type->size);
    if (!type->flat)
        copy_behind(&copier, type, block, 1);
}

int soma_type_copy(const soma_type *type, void *dst, const void *src)
{
    struct copier copier = {NULL, 0};
    if (!type || !dst || !src || dst == src)
        return SOMA_EINVAL;
    memcpy(dst, src, type->size);
    if (!type->flat)
        copy_behind(&copier, type, dst, 1);
    if (copier.error)
        soma_type_destroy(type, dst);
    return copier.error;
}

// -- Destroy ---------------------------------------------------------------------------------------------------------

// What was made by copy or unpack is never deeper than the limit, so this recursion is bounded.
static void destroy_item(const soma_field *field, char *at)
{
    if (field->kind == SOMA_KIND_STRING) {
        free((void *)(uintptr_t)type_string_get(at));
    } else if (kind_is_bytes(field->kind)) {
        soma_bytes bytes;
        memcpy(&bytes, at, sizeof bytes);
        free((void *)(uintptr_t)bytes.data);
    } else if (field->kind == SOMA_KIND_MESSAGE) {
        soma_type_destroy(field->nested, at);
    }
}

void soma_type_destroy(const soma_type *type, void *message)
{
    if (!type || !message)
        return;
    for (uint32_t n = 0; n < type->field_count; n++) {
        const soma_field *field = &type->fields[n];
        char *at = (char *)message + field->offset;
        if (!field->is_array) {
            destroy_item(field, at);
            continue;
        }
        struct type_array array = type_array_get(at);
        char *items = (char *)(uintptr_t)array.items;
        for (uint32_t i = 0; items && i < array.count && !type_field_flat(field); i++)
            destroy_item(field, items + i * type_item_size(field));
        free(items);
    }
    memset(message, 0, type->size);
}

// -- Compare ---------------------------------------------------------------------------------------------------------

static bool equal_at(const soma_type *type, const char *a, const char *b, int depth);

static bool equal_float(double a, double b)
{
    return a == b || (a != a && b != b);
}

static bool equal_item(const soma_field *field, const char *a, const char *b, int depth)
{
    switch (field->kind) {
    case SOMA_KIND_F32: {
        float x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return equal_float((double)x, (double)y);
    }
    case SOMA_KIND_F64: {
        double x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return equal_float(x, y);
    }
    case SOMA_KIND_STRING: {
        const char *x = type_string_get(a), *y = type_string_get(b);
        return x == y || (x && y && !strcmp(x, y));
    }
    case SOMA_KIND_BYTES: {
        soma_bytes x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x.size == y.size && (!x.size || (x.data && y.data && !memcmp(x.data, y.data, x.size)));
    }
    case SOMA_KIND_VALUE: {
        soma_value x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return soma_value_equal(x, y);
    }
    case SOMA_KIND_MESSAGE:
        return equal_at(field->nested, a, b, depth + 1);
    default: // integers, bool, ref: no padding, and one representation a value
        return !memcmp(a, b, type_item_size(field));
    }
}

static bool equal_at(const soma_type *type, const char *a, const char *b, int depth)
{
    if (depth > SOMA_TYPE_DEPTH_MAX)
        return false;
    for (uint32_t n = 0; n < type->field_count; n++) {
        const soma_field *field = &type->fields[n];
        const char *p = a + field->offset, *q = b + field->offset;
        if (!field->is_array) {
            if (!equal_item(field, p, q, depth))
                return false;
            continue;
        }
        struct type_array x = type_array_get(p), y = type_array_get(q);
        size_t size = type_item_size(field);
        if (x.count != y.count || (x.count && (!x.items || !y.items)))
            return false;
        for (uint32_t i = 0; i < x.count; i++)
            if (!equal_item(field, (const char *)x.items + i * size, (const char *)y.items + i * size, depth))
                return false;
    }
    return true;
}

bool soma_type_equal(const soma_type *type, const void *a, const void *b)
{
    return type && a && b && equal_at(type, a, b, 1);
}

// -- Hash ------------------------------------------------------------------------------------------------------------

// The types that are being hashed, innermost first: a recursive type is known by where it stands in that chain.
struct hash_chain {
    const soma_type *type;
    const struct hash_chain *outer;
};

static uint64_t hash_byte(uint64_t hash, unsigned byte)
{
    return hash_bytes(hash, &(unsigned char){(unsigned char)byte}, 1);
}

static uint64_t hash_type(uint64_t hash, const soma_type *type, const struct hash_chain *outer)
{
    unsigned distance = 0;
    // Its NUL goes in too, so that names that are put together another way differ.
    hash = hash_bytes(hash, type->name, strlen(type->name) + 1);
    for (const struct hash_chain *chain = outer; chain; chain = chain->outer, distance++)
        if (chain->type == type || distance >= SOMA_TYPE_DEPTH_MAX)
            return hash_byte(hash, distance);
    struct hash_chain chain = {type, outer};
    hash = hash_byte(hash, type->field_count);
    for (uint32_t n = 0; n < type->field_count; n++) {
        const soma_field *field = &type->fields[n];
        hash = hash_bytes(hash, field->name, strlen(field->name) + 1);
        hash = hash_byte(hash, field->kind);
        hash = hash_byte(hash, field->is_array);
        if (field->kind == SOMA_KIND_MESSAGE)
            hash = hash_type(hash, field->nested, &chain);
    }
    return hash;
}

uint64_t soma_type_hash(const soma_type *type)
{
    return type ? hash_type(HASH_START, type, NULL) : 0;
}
