// From untrusted bytes to a message: a strict MessagePack reader that follows the type's descriptor. It believes no
// length: before memory is taken for what the bytes declare, the bytes for it must be there.
#include "runtime/type.h"

#include <float.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

// What is still to be read.
struct cursor {
    const unsigned char *at;
    const unsigned char *end;
};

static size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

// Reads a big-endian number of `width` bytes.
static int read_number(struct cursor *cursor, unsigned width, uint64_t *number)
{
    if (cursor_left(cursor) < width)
        return SOMA_EFORMAT;
    for (*number = 0; width--; cursor->at++)
        *number = *number << 8 | *cursor->at;
    return 0;
}

static int read_tag(struct cursor *cursor, unsigned *tag)
{
    if (cursor->at == cursor->end)
        return SOMA_EFORMAT;
    *tag = *cursor->at++;
    return *tag == 0xc1 ? SOMA_EFORMAT : 0; // the one byte that MessagePack never uses
}

// Reads what an array, map, string or binary starts with. `fix` is its short form's tag, whose low bits in `mask` are
// the length (mask 0: it has no short form); `wide` is its first long form's, of `width` bytes of length.
static int read_length(struct cursor *cursor, unsigned fix, unsigned mask, unsigned wide, unsigned width,
                       uint32_t *length)
{
    unsigned tag;
    uint64_t number = 0;
    int error = read_tag(cursor, &tag);
    if (error)
        return error;
    if (mask && (tag & ~mask) == fix) {
        *length = tag & mask;
        return 0;
    }
    for (; width <= 4; width *= 2, wide++) {
        if (tag == wide) {
            error = read_number(cursor, width, &number);
            *length = (uint32_t)number;
            return error;
        }
    }
    return SOMA_ETYPE;
}

static int read_array(struct cursor *cursor, uint32_t *count)
{
    return read_length(cursor, 0x90, 0x0f, 0xdc, 2, count);
}

// Reads a string's or binary's length, and gives where its bytes are.
static int read_block(struct cursor *cursor, bool string, const void **data, uint32_t *size)
{
    int error = string ? read_length(cursor, 0xa0, 0x1f, 0xd9, 1, size) : read_length(cursor, 0, 0, 0xc4, 1, size);
    if (!error && *size > cursor_left(cursor))
        error = SOMA_EFORMAT;
    if (error)
        return error;
    *data = cursor->at;
    cursor->at += *size;
    return 0;
}

// -- Numbers ---------------------------------------------------------------------------------------------------------

// Reads any integer; `negative` says that *number is to be taken as an int64_t below 0.
static int read_integer(struct cursor *cursor, uint64_t *number, bool *negative)
{
    unsigned tag;
    int error = read_tag(cursor, &tag);
    *negative = false;
    if (error)
        return error;
    if (tag <= 0x7f || tag >= 0xe0) {
        *negative = tag >= 0xe0;
        *number = *negative ? tag | ~UINT64_C(0xff) : tag;
        return 0;
    }
    if (tag < 0xcc || tag > 0xd3)
        return SOMA_ETYPE;
    unsigned width = 1U << ((tag - 0xcc) & 3);
    if ((error = read_number(cursor, width, number)))
        return error;
    uint64_t sign = UINT64_C(1) << (width * 8 - 1);
    if (tag >= 0xd0 && (*number & sign)) {
        *negative = true;
        *number |= ~(sign - 1);
    }
    return 0;
}

static int read_unsigned(struct cursor *cursor, uint64_t max, uint64_t *number)
{
    bool negative;
    int error = read_integer(cursor, number, &negative);
    if (error)
        return error;
    return negative || *number > max ? SOMA_ETYPE : 0;
}

static void store(void *at, size_t width, uint64_t number)
{
    uint8_t u8 = (uint8_t)number;
    uint16_t u16 = (uint16_t)number;
    uint32_t u32 = (uint32_t)number;
    memcpy(at,
           width == 1   ? (void *)&u8
           : width == 2 ? (void *)&u16
           : width == 4 ? (void *)&u32
                        : (void *)&number,
           width);
}

static int unpack_integer(struct cursor *cursor, const soma_field *field, void *at)
{
    bool negative, is_signed = field->kind >= SOMA_KIND_I8;
    size_t width = type_item_size(field);
    uint64_t number, max = UINT64_MAX >> (64 - width * 8 + is_signed);
    int error = read_integer(cursor, &number, &negative);
    if (error)
        return error;
    // ~number of a negative one is -number - 1: the two halves of a signed range are then of equal size.
    if (negative ? !is_signed || ~number > max : number > max)
        return SOMA_ETYPE;
    store(at, width, number); // two's complement: the low bytes are the number
    return 0;
}

static int unpack_float(struct cursor *cursor, const soma_field *field, void *at)
{
    unsigned tag;
    uint64_t bits;
    int error = read_tag(cursor, &tag);
    if (error)
        return error;
    if (tag != 0xca && tag != 0xcb)
        return SOMA_ETYPE;
    if ((error = read_number(cursor, tag == 0xca ? 4 : 8, &bits)))
        return error;
    uint32_t bits32 = (uint32_t)bits;
    float narrow;
    double wide;
    memcpy(&narrow, &bits32, sizeof narrow);
    memcpy(&wide, &bits, sizeof wide);
    if (tag == 0xca) {
        wide = (double)narrow;
    } else if (field->kind == SOMA_KIND_F32) {
        // Many languages only ever send doubles: it is rounded, but infinite only if it was.
        if ((wide > (double)FLT_MAX || wide < -(double)FLT_MAX) && wide - wide == 0)
            return SOMA_ETYPE;
        narrow = (float)wide;
    }
    if (field->kind == SOMA_KIND_F32)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &wide, sizeof wide);
    return 0;
}

static int unpack_bool(struct cursor *cursor, void *at)
{
    unsigned tag;
    int error = read_tag(cursor, &tag);
    if (error)
        return error;
    bool value = tag == 0xc3;
    memcpy(at, &value, sizeof value);
    return value || tag == 0xc2 ? 0 : SOMA_ETYPE;
}

static int unpack_ref(struct cursor *cursor, void *at)
{
    uint64_t node, slot, generation;
    uint32_t count;
    int error = read_array(cursor, &count);
    if (error)
        return error;
    if (count != 3)
        return SOMA_EFORMAT;
    if ((error = read_unsigned(cursor, UINT64_MAX, &node)) || (error = read_unsigned(cursor, UINT32_MAX, &slot)) ||
        (error = read_unsigned(cursor, UINT32_MAX, &generation)))
        return error;
    soma_ref ref = {node, (uint32_t)slot, (uint32_t)generation};
    memcpy(at, &ref, sizeof ref);
    return 0;
}

// -- What takes memory -----------------------------------------------------------------------------------------------

static int unpack_string(struct cursor *cursor, void *at)
{
    const void *data;
    uint32_t size;
    if (cursor->at < cursor->end && *cursor->at == 0xc0) {
        cursor->at++; // nil: the field is NULL already
        return 0;
    }
    int error = read_block(cursor, true, &data, &size);
    if (error)
        return error;
    if (memchr(data, 0, size) || !type_utf8_valid(data, size))
        return SOMA_EFORMAT;
    char *text = malloc((size_t)size + 1);
    if (!text)
        return SOMA_ENOMEM;
    memcpy(text, data, size);
    text[size] = '\0';
    memcpy(at, &text, sizeof text);
    return 0;
}

static int unpack_bytes(struct cursor *cursor, void *at)
{
    const void *data;
    soma_bytes bytes = {NULL, 0};
    uint32_t size;
    int error = read_block(cursor, false, &data, &size);
    if (error || !size)
        return error;
    void *copy = malloc(size);
    if (!copy)
        return SOMA_ENOMEM;
    bytes.data = memcpy(copy, data, size);
    bytes.size = size;
    memcpy(at, &bytes, sizeof bytes);
    return 0;
}

static int unpack_type(struct cursor *cursor, const soma_type *type, char *body, int depth);

static int unpack_item(struct cursor *cursor, const soma_field *field, char *at, int depth)
{
    switch (field->kind) {
    case SOMA_KIND_F32:
    case SOMA_KIND_F64:
        return unpack_float(cursor, field, at);
    case SOMA_KIND_BOOL:
        return unpack_bool(cursor, at);
    case SOMA_KIND_REF:
        return unpack_ref(cursor, at);
    case SOMA_KIND_STRING:
        return unpack_string(cursor, at);
    case SOMA_KIND_BYTES:
        return unpack_bytes(cursor, at);
    case SOMA_KIND_MESSAGE:
        return unpack_type(cursor, field->nested, at, depth + 1);
    default:
        return unpack_integer(cursor, field, at);
    }
}

static size_t least_wire_size(const soma_type *type);

// The fewest bytes that a value of the field can have on the wire, which bounds how many may follow.
static size_t least_item_size(const soma_field *field)
{
    switch (field->kind) {
    case SOMA_KIND_F32:
    case SOMA_KIND_F64:
        return 5;
    case SOMA_KIND_REF:
        return 4;
    case SOMA_KIND_BYTES:
        return 2;
    case SOMA_KIND_MESSAGE:
        return least_wire_size(field->nested);
    default:
        return 1;
    }
}

// A type holds itself only in arrays, so this recursion ends.
static size_t least_wire_size(const soma_type *type)
{
    size_t size = 1;
    for (uint32_t i = 0; i < type->field_count; i++)
        size += type->fields[i].is_array ? 1 : least_item_size(&type->fields[i]);
    return size;
}

static int unpack_array(struct cursor *cursor, const soma_field *field, char *at, int depth)
{
    uint32_t count;
    size_t item_size = type_item_size(field);
    int error = read_array(cursor, &count);
    if (error || !count)
        return error;
    if (field->kind == SOMA_KIND_MESSAGE && depth >= SOMA_TYPE_DEPTH_MAX)
        return SOMA_ETOOBIG;
    if (count > cursor_left(cursor) / least_item_size(field))
        return SOMA_EFORMAT;
    char *items = calloc(count, item_size);
    if (!items)
        return SOMA_ENOMEM;
    // From here on the message owns it, zeroed: after an error the whole is destroyed.
    type_array_set(at, items, count);
    for (uint32_t i = 0; i < count && !error; i++)
        error = unpack_item(cursor, field, items + i * item_size, depth);
    return error;
}

// -- Messages --------------------------------------------------------------------------------------------------------

static int unpack_field(struct cursor *cursor, const soma_field *field, char *body, int depth)
{
    char *at = body + field->offset;
    return field->is_array ? unpack_array(cursor, field, at, depth) : unpack_item(cursor, field, at, depth);
}

// Reads a key and gives the index of its field.
static int read_key(struct cursor *cursor, const soma_type *type, uint32_t *index)
{
    const void *key;
    uint32_t size;
    int error = read_block(cursor, true, &key, &size);
    if (error)
        return error;
    for (*index = 0; *index < type->field_count; ++*index) {
        const char *name = type->fields[*index].name;
        if (strlen(name) == size && !memcmp(name, key, size))
            return 0;
    }
    return SOMA_EFORMAT;
}

// As there are just as many keys as fields, and none is unknown or comes twice, none is missing.
static int unpack_map(struct cursor *cursor, const soma_type *type, char *body, int depth)
{
    uint64_t seen = 0;
    uint32_t count = 0, index;
    int error = read_length(cursor, 0x80, 0x0f, 0xde, 2, &count);
    if (!error && count != type->field_count)
        error = SOMA_EFORMAT;
    for (uint32_t i = 0; i < count && !error; i++) {
        if ((error = read_key(cursor, type, &index)))
            return error;
        if (seen & UINT64_C(1) << index)
            return SOMA_EFORMAT;
        seen |= UINT64_C(1) << index;
        error = unpack_field(cursor, &type->fields[index], body, depth);
    }
    return error;
}

static int unpack_type(struct cursor *cursor, const soma_type *type, char *body, int depth)
{
    uint32_t count;
    if (depth > SOMA_TYPE_DEPTH_MAX || type->field_count > 64) // 64 bits say which keys were seen; the macro makes 16
        return SOMA_ETOOBIG;
    unsigned tag = cursor->at < cursor->end ? *cursor->at : 0;
    if ((tag & 0xf0) == 0x80 || tag == 0xde || tag == 0xdf)
        return unpack_map(cursor, type, body, depth);
    int error = read_array(cursor, &count);
    if (!error && count != type->field_count)
        error = SOMA_EFORMAT;
    for (uint32_t i = 0; i < type->field_count && !error; i++)
        error = unpack_field(cursor, &type->fields[i], body, depth);
    return error;
}

int soma_type_unpack(const soma_type *type, void *dst, const void *data, size_t size)
{
    if (type && dst)
        memset(dst, 0, type->size);
    if (!type || !dst || !data)
        return SOMA_EINVAL;
    struct cursor cursor = {data, (const unsigned char *)data + size};
    int error = unpack_type(&cursor, type, dst, 1);
    if (!error && cursor.at != cursor.end)
        error = SOMA_EFORMAT;
    if (error)
        soma_type_destroy(type, dst);
    return error;
}
