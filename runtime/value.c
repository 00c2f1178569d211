// Dynamic values, read where they stand: kind, content, elements, walks; comparing and copying. All goes through
// value_head_read(), which trusts no byte, so that a value nobody checked does no harm.
#include "runtime/value.h"

#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

static int tag_kind(unsigned tag)
{
    if (tag <= 0x7f || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3))
        return SOMA_VALUE_INTEGER;
    if (reader_tag_is_map(tag))
        return SOMA_VALUE_MAP;
    if ((tag & 0xf0) == 0x90 || tag == 0xdc || tag == 0xdd)
        return SOMA_VALUE_ARRAY;
    if ((tag & 0xe0) == 0xa0 || (tag >= 0xd9 && tag <= 0xdb))
        return SOMA_VALUE_STRING;
    if (tag >= 0xc4 && tag <= 0xc6)
        return SOMA_VALUE_BYTES;
    if (tag == 0xca || tag == 0xcb)
        return SOMA_VALUE_FLOAT;
    if (tag == 0xc2 || tag == 0xc3)
        return SOMA_VALUE_BOOL;
    if (tag == 0xd8) // fixext 16
        return SOMA_VALUE_REF;
    return tag == 0xc0 ? SOMA_VALUE_NIL : tag == 0xc1 ? SOMA_EFORMAT : SOMA_ETYPE; // any other extension
}

static int read_ref(struct reader *reader, struct value_head *head)
{
    if (reader_left(reader) < 2 + VALUE_REF_SIZE)
        return SOMA_EFORMAT;
    if (reader->at[1] != VALUE_EXT_REF)
        return SOMA_ETYPE;
    head->data = reader->at + 2;
    head->length = VALUE_REF_SIZE;
    reader->at += 2 + VALUE_REF_SIZE;
    return 0;
}

static int read_container(struct reader *reader, struct value_head *head)
{
    bool map = head->kind == SOMA_VALUE_MAP;
    int error = map ? reader_map(reader, &head->length) : reader_array(reader, &head->length);
    if (!error && head->length > reader_left(reader) / (map ? 2 : 1))
        error = SOMA_EFORMAT;
    return error;
}

int value_head_read(struct reader *reader, struct value_head *head)
{
    unsigned tag = reader_peek(reader);
    *head = (struct value_head){.kind = tag_kind(tag)};
    switch (head->kind) {
    case SOMA_VALUE_NIL:
    case SOMA_VALUE_BOOL:
        head->number = tag == 0xc3;
        reader->at++;
        return 0;
    case SOMA_VALUE_INTEGER:
        return reader_integer(reader, &head->number, &head->negative);
    case SOMA_VALUE_FLOAT:
        return reader_float(reader, &head->real);
    case SOMA_VALUE_STRING:
    case SOMA_VALUE_BYTES:
        return reader_block(reader, head->kind == SOMA_VALUE_STRING, &head->data, &head->length);
    case SOMA_VALUE_REF:
        return read_ref(reader, head);
    case SOMA_VALUE_ARRAY:
    case SOMA_VALUE_MAP:
        return read_container(reader, head);
    default:
        return head->kind; // an error
    }
}

int value_skip(struct reader *reader)
{
    // A loop and not a recursion, as nobody may have checked the depth.
    for (uint64_t left = 1; left; left--) {
        struct value_head head;
        int error = value_head_read(reader, &head);
        if (error)
            return error;
        if (head.kind >= SOMA_VALUE_ARRAY)
            left += (uint64_t)head.length << (head.kind == SOMA_VALUE_MAP);
        if (left - 1 > reader_left(reader)) // so it can't overflow either
            return SOMA_EFORMAT;
    }
    return 0;
}

static int value_head(soma_value value, struct value_head *head)
{
    struct reader reader = value_reader(value);
    return value_head_read(&reader, head);
}

static int value_expect(soma_value value, int kind, struct value_head *head)
{
    int error = value_head(value, head);
    return error ? error : head->kind == kind ? 0 : SOMA_ETYPE;
}

// -- What it holds ---------------------------------------------------------------------------------------------------

int soma_value_get_kind(soma_value value)
{
    struct value_head head;
    int error = value_head(value, &head);
    return error ? error : head.kind;
}

int soma_value_get_bool(soma_value value, bool *out)
{
    struct value_head head;
    if (!out)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_BOOL, &head);
    *out = !error && head.number;
    return error;
}

int soma_value_get_i64(soma_value value, int64_t *out)
{
    struct value_head head;
    if (!out)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_INTEGER, &head);
    if (!error && !head.negative && head.number > INT64_MAX)
        error = SOMA_ETYPE;
    *out = error ? 0 : (int64_t)head.number;
    return error;
}

int soma_value_get_u64(soma_value value, uint64_t *out)
{
    struct value_head head;
    if (!out)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_INTEGER, &head);
    if (!error && head.negative)
        error = SOMA_ETYPE;
    *out = error ? 0 : head.number;
    return error;
}

int value_integer_to_float(uint64_t number, bool negative, double *out)
{
    uint64_t magnitude = negative ? -number : number;
    *out = 0;
    if (magnitude > UINT64_C(1) << 53)
        return SOMA_ETYPE;
    *out = negative ? -(double)magnitude : (double)magnitude;
    return 0;
}

int soma_value_get_f64(soma_value value, double *out)
{
    struct value_head head;
    if (!out)
        return SOMA_EINVAL;
    *out = 0;
    int error = value_head(value, &head);
    if (error)
        return error;
    if (head.kind == SOMA_VALUE_INTEGER)
        return value_integer_to_float(head.number, head.negative, out);
    if (head.kind != SOMA_VALUE_FLOAT)
        return SOMA_ETYPE;
    *out = head.real;
    return 0;
}

int soma_value_get_string(soma_value value, const char **text, uint32_t *size)
{
    struct value_head head;
    if (text)
        *text = NULL;
    if (size)
        *size = 0;
    if (!text || !size)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_STRING, &head);
    if (error)
        return error;
    *text = head.data;
    *size = head.length;
    return 0;
}

int soma_value_get_bytes(soma_value value, soma_bytes *out)
{
    struct value_head head;
    if (!out)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_BYTES, &head);
    *out = error ? (soma_bytes){NULL, 0} : (soma_bytes){head.data, head.length};
    return error;
}

int soma_value_get_ref(soma_value value, soma_ref *out)
{
    struct value_head head;
    uint64_t node = 0, slot = 0, generation = 0;
    if (!out)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_REF, &head);
    if (!error) {
        struct reader reader = {head.data, (const unsigned char *)head.data + head.length};
        reader_number(&reader, 8, &node); // none of the three can fail: read_ref() saw 16 bytes
        reader_number(&reader, 4, &slot);
        reader_number(&reader, 4, &generation);
    }
    *out = (soma_ref){node, (uint32_t)slot, (uint32_t)generation};
    return error;
}

int soma_value_get_length(soma_value value, uint32_t *length)
{
    struct value_head head;
    if (!length)
        return SOMA_EINVAL;
    int error = value_head(value, &head);
    if (!error && (head.kind < SOMA_VALUE_STRING || head.kind == SOMA_VALUE_REF))
        error = SOMA_ETYPE;
    *length = error ? 0 : head.length;
    return error;
}

// -- Elements --------------------------------------------------------------------------------------------------------

soma_value_cursor soma_value_iterate(soma_value value)
{
    soma_value_cursor cursor = {NULL, 0, SOMA_VALUE_NONE, SOMA_VALUE_NONE, 0, false};
    struct reader reader = value_reader(value);
    struct value_head head;
    if (!value_head_read(&reader, &head) && head.kind >= SOMA_VALUE_ARRAY) {
        cursor.rest = (soma_value){reader.at, (uint32_t)reader_left(&reader)};
        cursor.left = head.length;
        cursor.map = head.kind == SOMA_VALUE_MAP;
    }
    return cursor;
}

static bool cursor_stop(soma_value_cursor *cursor)
{
    *cursor = soma_value_iterate(SOMA_VALUE_NONE);
    return false;
}

bool soma_value_next(soma_value_cursor *cursor)
{
    struct value_head head;
    if (!cursor)
        return false;
    if (!cursor->left)
        return cursor_stop(cursor);
    struct reader reader = value_reader(cursor->rest);
    cursor->left--;
    if (cursor->map) {
        if (value_head_read(&reader, &head) || head.kind != SOMA_VALUE_STRING)
            return cursor_stop(cursor);
        cursor->key = head.data;
        cursor->key_size = head.length;
    }
    const unsigned char *start = reader.at;
    if (value_skip(&reader))
        return cursor_stop(cursor);
    cursor->value = (soma_value){start, (uint32_t)(reader.at - start)};
    cursor->rest = (soma_value){reader.at, (uint32_t)reader_left(&reader)};
    return true;
}

int soma_value_get_item(soma_value value, uint32_t index, soma_value *item)
{
    struct value_head head;
    if (!item)
        return SOMA_EINVAL;
    *item = SOMA_VALUE_NONE;
    int error = value_expect(value, SOMA_VALUE_ARRAY, &head);
    if (error)
        return error;
    if (index >= head.length)
        return SOMA_ENOENT;
    soma_value_cursor cursor = soma_value_iterate(value);
    for (uint32_t i = 0; i <= index; i++)
        if (!soma_value_next(&cursor))
            return SOMA_EFORMAT;
    *item = cursor.value;
    return 0;
}

static bool key_is(const soma_value_cursor *cursor, const char *key, size_t size)
{
    return cursor->key_size == size && !memcmp(cursor->key, key, size);
}

int soma_value_get_entry(soma_value value, const char *key, soma_value *item)
{
    struct value_head head;
    if (item)
        *item = SOMA_VALUE_NONE;
    if (!key || !item)
        return SOMA_EINVAL;
    int error = value_expect(value, SOMA_VALUE_MAP, &head);
    if (error)
        return error;
    size_t size = strlen(key);
    for (soma_value_cursor cursor = soma_value_iterate(value); soma_value_next(&cursor);) {
        if (key_is(&cursor, key, size)) {
            *item = cursor.value;
            return 0;
        }
    }
    return SOMA_ENOENT;
}

// -- Compare ---------------------------------------------------------------------------------------------------------

static bool equal_at(soma_value a, soma_value b, unsigned depth);

static bool equal_arrays(soma_value a, soma_value b, unsigned depth)
{
    soma_value_cursor x = soma_value_iterate(a), y = soma_value_iterate(b);
    while (soma_value_next(&x))
        if (!soma_value_next(&y) || !equal_at(x.value, y.value, depth + 1))
            return false;
    return true;
}

// Goes on in `cursor` to the key, from the map's start again where it ends: in maps of one order that is one step.
static bool find_key(soma_value map, soma_value_cursor *cursor, const char *key, size_t size, uint32_t count)
{
    while (count--) {
        if (!soma_value_next(cursor)) {
            *cursor = soma_value_iterate(map);
            if (!soma_value_next(cursor))
                return false;
        }
        if (key_is(cursor, key, size))
            return true;
    }
    return false;
}

// They have as many entries, and no key is twice in one of them: so it is enough to find each of a's in b.
static bool equal_maps(soma_value a, soma_value b, uint32_t count, unsigned depth)
{
    soma_value_cursor x = soma_value_iterate(a), y = soma_value_iterate(b);
    while (soma_value_next(&x))
        if (!find_key(b, &y, x.key, x.key_size, count) || !equal_at(x.value, y.value, depth + 1))
            return false;
    return true;
}

static bool equal_at(soma_value a, soma_value b, unsigned depth)
{
    struct value_head x, y;
    if (depth > SOMA_VALUE_DEPTH_MAX || value_head(a, &x) || value_head(b, &y) || x.kind != y.kind ||
        x.length != y.length)
        return false;
    switch (x.kind) {
    case SOMA_VALUE_ARRAY:
        return equal_arrays(a, b, depth);
    case SOMA_VALUE_MAP:
        return equal_maps(a, b, x.length, depth);
    case SOMA_VALUE_FLOAT:
        return x.real == y.real || (x.real != x.real && y.real != y.real);
    default:
        return x.number == y.number && x.negative == y.negative && (!x.length || !memcmp(x.data, y.data, x.length));
    }
}

bool soma_value_equal(soma_value a, soma_value b)
{
    return equal_at(a, b, 0);
}

// -- Copy ------------------------------------------------------------------------------------------------------------

int soma_value_copy(soma_value *dst, soma_value src)
{
    if (dst)
        *dst = SOMA_VALUE_NONE;
    if (!dst || (src.size && !src.data))
        return SOMA_EINVAL;
    if (!src.size)
        return 0;
    void *data = malloc(src.size);
    if (!data)
        return SOMA_ENOMEM;
    memcpy(data, src.data, src.size);
    dst->data = data;
    dst->size = src.size;
    return 0;
}

void soma_value_destroy(soma_value *value)
{
    if (!value)
        return;
    free((void *)(uintptr_t)value->data);
    *value = SOMA_VALUE_NONE;
}
