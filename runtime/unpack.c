// From untrusted bytes to a message: reads MessagePack (reader.h) as the type's descriptor says, strictly. It believes
// no length: before memory is taken for what the bytes declare, the bytes for it must be there.
#include "runtime/arena.h"
#include "runtime/reader.h"
#include "runtime/type.h"
#include "runtime/value.h"

#include <float.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

// The bytes, and what form of a message they may have.
struct unpacker {
    struct reader reader;
    bool loose; // a value: a ref is one as values have it, an integer will do for a float, fields may be missing
    bool grown; // the outermost message may have another number of fields than here
    struct arena
        *arena; // a view: bytes and values stay where they are, all else is the arena's. NULL: each is malloc's
    char *room; // but in one block: the next piece of it
    char *room_end;
};

// -- Numbers ---------------------------------------------------------------------------------------------------------

static int read_unsigned(struct reader *reader, uint64_t max, uint64_t *number)
{
    bool negative;
    int error = reader_integer(reader, number, &negative);
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

static int unpack_integer(struct reader *reader, const soma_field *field, void *at)
{
    bool negative, is_signed = field->kind >= SOMA_KIND_I8;
    size_t width = type_item_size(field);
    uint64_t number, max = UINT64_MAX >> (64 - width * 8 + is_signed);
    int error = reader_integer(reader, &number, &negative);
    if (error)
        return error;
    // ~number of a negative one is -number - 1: the two halves of a signed range are then of equal size.
    if (negative ? !is_signed || ~number > max : number > max)
        return SOMA_ETYPE;
    store(at, width, number); // two's complement: the low bytes are the number
    return 0;
}

static int read_float(struct unpacker *unpacker, double *number)
{
    uint64_t integer;
    bool negative;
    unsigned tag = reader_peek(&unpacker->reader);
    if (!unpacker->loose || tag == 0xca || tag == 0xcb)
        return reader_float(&unpacker->reader, number);
    int error = reader_integer(&unpacker->reader, &integer, &negative);
    return error ? error : value_integer_to_float(integer, negative, number);
}

static int unpack_float(struct unpacker *unpacker, const soma_field *field, void *at)
{
    double wide;
    int error = read_float(unpacker, &wide);
    if (error)
        return error;
    if (field->kind == SOMA_KIND_F64) {
        memcpy(at, &wide, sizeof wide);
        return 0;
    }
    // Many languages only ever send doubles: it is rounded, but infinite only if it was.
    if ((wide > (double)FLT_MAX || wide < -(double)FLT_MAX) && wide - wide == 0)
        return SOMA_ETYPE;
    float narrow = (float)wide;
    memcpy(at, &narrow, sizeof narrow);
    return 0;
}

static int unpack_bool(struct reader *reader, void *at)
{
    unsigned tag;
    int error = reader_tag(reader, &tag);
    if (error)
        return error;
    bool value = tag == 0xc3;
    memcpy(at, &value, sizeof value);
    return value || tag == 0xc2 ? 0 : SOMA_ETYPE;
}

static int unpack_ref_value(struct reader *reader, void *at)
{
    soma_ref ref;
    const unsigned char *start = reader->at;
    int error = value_skip(reader);
    if (error || (error = soma_value_get_ref((soma_value){start, (uint32_t)(reader->at - start)}, &ref)))
        return error;
    memcpy(at, &ref, sizeof ref);
    return 0;
}

static int unpack_ref(struct reader *reader, void *at)
{
    uint64_t node, slot, generation;
    uint32_t count;
    int error = reader_array(reader, &count);
    if (error)
        return error;
    if (count != 3)
        return SOMA_EFORMAT;
    if ((error = read_unsigned(reader, UINT64_MAX, &node)) || (error = read_unsigned(reader, UINT32_MAX, &slot)) ||
        (error = read_unsigned(reader, UINT32_MAX, &generation)))
        return error;
    soma_ref ref = {node, (uint32_t)slot, (uint32_t)generation};
    memcpy(at, &ref, sizeof ref);
    return 0;
}

// -- What takes memory -----------------------------------------------------------------------------------------------

// A piece of the block; NULL if it is full.
static void *room_take(struct unpacker *unpacker, size_t size)
{
    size_t rounded = (size + 7) & ~(size_t)7;
    if (rounded > (size_t)(unpacker->room_end - unpacker->room))
        return NULL;
    char *piece = unpacker->room;
    unpacker->room += rounded;
    return piece;
}

// Zeroed.
static void *take(struct unpacker *unpacker, size_t count, size_t size)
{
    if (unpacker->arena)
        return arena_take(unpacker->arena, count * size);
    if (!unpacker->room)
        return calloc(count, size);
    void *piece = room_take(unpacker, count * size);
    return piece ? memset(piece, 0, count * size) : NULL;
}

// A copy of bytes, but in a view.
static const void *take_copy(struct unpacker *unpacker, const void *data, size_t size)
{
    if (unpacker->arena)
        return data;
    void *copy = unpacker->room ? room_take(unpacker, size) : malloc(size);
    return copy ? memcpy(copy, data, size) : NULL;
}

static int unpack_string(struct unpacker *unpacker, void *at)
{
    const void *data;
    uint32_t size;
    if (reader_peek(&unpacker->reader) == 0xc0) {
        unpacker->reader.at++; // nil: the field is NULL already
        return 0;
    }
    int error = reader_block(&unpacker->reader, true, &data, &size);
    if (error)
        return error;
    if (memchr(data, 0, size) || !type_utf8_valid(data, size))
        return SOMA_EFORMAT;
    char *text = take(unpacker, (size_t)size + 1, 1);
    if (!text)
        return SOMA_ENOMEM;
    memcpy(text, data, size);
    memcpy(at, &text, sizeof text);
    return 0;
}

static int unpack_bytes(struct unpacker *unpacker, void *at)
{
    const void *data = NULL;
    uint32_t size = 0;
    int error = reader_block(&unpacker->reader, false, &data, &size);
    if (error || !size)
        return error;
    // Made here, in registers: what was stored in two pieces could be read as one only once the whole copy has drained.
    const soma_bytes bytes = {take_copy(unpacker, data, size), size};
    if (!bytes.data)
        return SOMA_ENOMEM;
    memcpy(at, &bytes, sizeof bytes);
    return 0;
}

static int unpack_value(struct unpacker *unpacker, void *at, int depth)
{
    struct reader *reader = &unpacker->reader;
    const unsigned char *start = reader->at;
    if (reader_peek(reader) == 0xc0) {
        reader->at++; // nil: the field is empty already
        return 0;
    }
    struct reader limited = *reader;
    if (reader_left(reader) > UINT32_MAX)
        limited.end = start + UINT32_MAX;
    int error = value_check_next(&limited, value_depth_in_message(depth));
    if (error)
        return error;
    reader->at = limited.at;
    soma_value value = {NULL, (uint32_t)(reader->at - start)};
    value.data = take_copy(unpacker, start, value.size);
    if (!value.data)
        return SOMA_ENOMEM;
    memcpy(at, &value, sizeof value);
    return 0;
}

static int unpack_type(struct unpacker *unpacker, const soma_type *type, char *body, int depth);

static int unpack_item(struct unpacker *unpacker, const soma_field *field, char *at, int depth)
{
    switch (field->kind) {
    case SOMA_KIND_F32:
    case SOMA_KIND_F64:
        return unpack_float(unpacker, field, at);
    case SOMA_KIND_BOOL:
        return unpack_bool(&unpacker->reader, at);
    case SOMA_KIND_REF:
        return unpacker->loose ? unpack_ref_value(&unpacker->reader, at) : unpack_ref(&unpacker->reader, at);
    case SOMA_KIND_STRING:
        return unpack_string(unpacker, at);
    case SOMA_KIND_BYTES:
        return unpack_bytes(unpacker, at);
    case SOMA_KIND_VALUE:
        return unpack_value(unpacker, at, depth);
    case SOMA_KIND_MESSAGE:
        return unpack_type(unpacker, field->nested, at, depth + 1);
    default:
        return unpack_integer(&unpacker->reader, field, at);
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

static int unpack_array(struct unpacker *unpacker, const soma_field *field, char *at, int depth)
{
    uint32_t count;
    size_t item_size = type_item_size(field);
    int error = reader_array(&unpacker->reader, &count);
    if (error || !count)
        return error;
    if (field->kind == SOMA_KIND_MESSAGE && depth >= SOMA_TYPE_DEPTH_MAX)
        return SOMA_ETOOBIG;
    if (count > reader_left(&unpacker->reader) / (unpacker->loose ? 1 : least_item_size(field)))
        return SOMA_EFORMAT;
    char *items = take(unpacker, count, item_size);
    if (!items)
        return SOMA_ENOMEM;
    // From here on the message owns it, zeroed: after an error the whole is destroyed.
    type_array_set(at, items, count);
    for (uint32_t i = 0; i < count && !error; i++)
        error = unpack_item(unpacker, field, items + i * item_size, depth);
    return error;
}

// -- Messages --------------------------------------------------------------------------------------------------------

static int unpack_field(struct unpacker *unpacker, const soma_field *field, char *body, int depth)
{
    char *at = body + field->offset;
    return field->is_array ? unpack_array(unpacker, field, at, depth) : unpack_item(unpacker, field, at, depth);
}

// Reads a key and gives the index of its field.
static int read_key(struct reader *reader, const soma_type *type, uint32_t *index)
{
    const void *key;
    uint32_t size;
    int error = reader_block(reader, true, &key, &size);
    if (error)
        return error;
    for (*index = 0; *index < type->field_count; ++*index) {
        const char *name = type->fields[*index].name;
        if (strlen(name) == size && !memcmp(name, key, size))
            return 0;
    }
    return SOMA_EFORMAT;
}

// If there are just as many keys as fields, and none is unknown or comes twice, none is missing.
static int unpack_map(struct unpacker *unpacker, const soma_type *type, char *body, int depth)
{
    uint64_t seen = 0;
    uint32_t count = 0, index;
    int error = reader_map(&unpacker->reader, &count);
    if (!error && count != type->field_count && !unpacker->loose)
        error = SOMA_EFORMAT;
    for (uint32_t i = 0; i < count && !error; i++) {
        if ((error = read_key(&unpacker->reader, type, &index)))
            return error;
        if (seen & UINT64_C(1) << index)
            return SOMA_EFORMAT;
        seen |= UINT64_C(1) << index;
        error = unpack_field(unpacker, &type->fields[index], body, depth);
    }
    return error;
}

static int unpack_type(struct unpacker *unpacker, const soma_type *type, char *body, int depth)
{
    uint32_t count = 0;
    if (depth > SOMA_TYPE_DEPTH_MAX || type->field_count > 64) // 64 bits say which keys were seen; the macro makes 16
        return SOMA_ETOOBIG;
    if (reader_tag_is_map(reader_peek(&unpacker->reader)))
        return unpack_map(unpacker, type, body, depth);
    int error = reader_array(&unpacker->reader, &count);
    if (!error && count != type->field_count && !(unpacker->grown && depth == 1))
        error = SOMA_EFORMAT;
    for (uint32_t i = 0; i < count && !error; i++)
        error = i < type->field_count ? unpack_field(unpacker, &type->fields[i], body, depth)
                                      : value_skip(&unpacker->reader);
    return error;
}

static int unpack(struct unpacker *unpacker, const soma_type *type, void *dst)
{
    int error = unpack_type(unpacker, type, dst, 1);
    if (!error && unpacker->reader.at != unpacker->reader.end)
        error = SOMA_EFORMAT;
    if (error)
        soma_type_destroy(type, dst);
    return error;
}

int soma_type_unpack(const soma_type *type, void *dst, const void *data, size_t size)
{
    if (type && dst)
        memset(dst, 0, type->size);
    if (!type || !dst || !data)
        return SOMA_EINVAL;
    struct unpacker unpacker = {.reader = {data, (const unsigned char *)data + size}};
    return unpack(&unpacker, type, dst);
}

int type_unpack_next(const soma_type *type, void *dst, struct reader *reader)
{
    struct unpacker unpacker = {.reader = *reader, .grown = true};
    memset(dst, 0, type->size);
    int error = unpack_type(&unpacker, type, dst, 1);
    if (error)
        soma_type_destroy(type, dst);
    *reader = unpacker.reader;
    return error;
}

int type_unpack_flat(const soma_type *type, void *block, size_t size, struct reader *reader, size_t *used)
{
    size_t behind = ((size_t)type->size + 7) & ~(size_t)7;
    char *end = (char *)block + size;
    struct unpacker unpacker = {.reader = *reader, .grown = true};
    unpacker.room = behind < size ? (char *)block + behind : end;
    unpacker.room_end = end;
    memset(block, 0, type->size);
    int error = unpack_type(&unpacker, type, block, 1);
    *used = (size_t)(unpacker.room - (char *)block);
    *reader = unpacker.reader;
    return error == SOMA_ENOMEM ? SOMA_EFULL : error; // it takes no other memory
}

static int view(const soma_type *type, void *dst, struct reader *reader, struct arena *arena, bool grown)
{
    struct unpacker unpacker = {.reader = *reader, .grown = grown, .arena = arena};
    memset(dst, 0, type->size);
    int error = unpack_type(&unpacker, type, dst, 1);
    *reader = unpacker.reader;
    return error;
}

int type_view_next(const soma_type *type, void *dst, struct reader *reader, struct arena *arena)
{
    return view(type, dst, reader, arena, true);
}

int type_view_exact(const soma_type *type, void *dst, struct reader *reader, struct arena *arena)
{
    return view(type, dst, reader, arena, false);
}

int soma_type_from_value(const soma_type *type, void *dst, soma_value value)
{
    if (type && dst)
        memset(dst, 0, type->size);
    if (!type || !dst || (value.size && !value.data))
        return SOMA_EINVAL;
    struct unpacker unpacker = {.reader = value_reader(value), .loose = true};
    return unpack(&unpacker, type, dst);
}

int type_item_from_value(const soma_field *field, void *at, soma_value value)
{
    struct unpacker unpacker = {.reader = value_reader(value), .loose = true};
    memset(at, 0, type_item_size(field));
    return unpack_item(&unpacker, field, at, 1);
}
