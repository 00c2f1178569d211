// Decides whether untrusted bytes are a value: everything is looked at once here, so that readers need not ask again.
#include "runtime/type.h"
#include "runtime/value.h"

#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

// -- Doubled keys ----------------------------------------------------------------------------------------------------

// Keys are sorted, as to compare each with each would let a small message keep a worker busy for hours. Up to this many
// need no memory.
enum { KEYS_ON_STACK = 32 };

// The key at that offset; it was read before, so that this can't fail.
static struct value_head key_at(const struct reader *entries, uint32_t offset)
{
    struct value_head key;
    struct reader reader = {entries->at + offset, entries->end};
    value_head_read(&reader, &key);
    return key;
}

static int keys_compare(const void *a, const void *b, void *entries)
{
    struct value_head x = key_at(entries, *(const uint32_t *)a), y = key_at(entries, *(const uint32_t *)b);
    if (x.length != y.length)
        return x.length < y.length ? -1 : 1;
    return memcmp(x.data, y.data, x.length);
}

static int keys_sort(struct reader *entries, uint32_t *offsets, uint32_t count)
{
    struct reader reader = *entries;
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = (uint32_t)(reader.at - entries->at);
        int error = value_skip(&reader);
        if (error || (error = value_skip(&reader)))
            return error;
    }
    qsort_r(offsets, count, sizeof *offsets, keys_compare, entries);
    for (uint32_t i = 1; i < count; i++)
        if (!keys_compare(&offsets[i - 1], &offsets[i], entries))
            return SOMA_EFORMAT;
    return 0;
}

int value_keys_check(const unsigned char *first, const unsigned char *end, uint32_t count)
{
    struct reader entries = {first, end};
    uint32_t few[KEYS_ON_STACK], *offsets = few;
    if (count < 2)
        return 0;
    if (count > KEYS_ON_STACK && !(offsets = malloc(count * sizeof *offsets)))
        return SOMA_ENOMEM;
    int error = keys_sort(&entries, offsets, count);
    if (offsets != few)
        free(offsets);
    return error;
}

// -- Everything else -------------------------------------------------------------------------------------------------

static int check_text(const struct value_head *head)
{
    bool good = !memchr(head->data, 0, head->length) && type_utf8_valid(head->data, head->length);
    return good ? 0 : SOMA_EFORMAT;
}

static int check_key(struct reader *reader)
{
    struct value_head head;
    int error = value_head_read(reader, &head);
    if (error)
        return error;
    return head.kind == SOMA_VALUE_STRING ? check_text(&head) : SOMA_ETYPE;
}

int value_check_next(struct reader *reader, unsigned depth)
{
    struct value_head head;
    int error = value_head_read(reader, &head);
    if (error || head.kind < SOMA_VALUE_ARRAY)
        return error || head.kind != SOMA_VALUE_STRING ? error : check_text(&head);
    if (depth >= SOMA_VALUE_DEPTH_MAX)
        return SOMA_ETOOBIG;
    const unsigned char *first = reader->at;
    for (uint32_t i = 0; i < head.length && !error; i++) {
        if (head.kind == SOMA_VALUE_MAP)
            error = check_key(reader);
        if (!error)
            error = value_check_next(reader, depth + 1);
    }
    if (!error && head.kind == SOMA_VALUE_MAP)
        error = value_keys_check(first, reader->at, head.length);
    return error;
}

int value_check_at(soma_value value, unsigned depth)
{
    if (!value.size)
        return 0;
    if (!value.data)
        return SOMA_EINVAL;
    struct reader reader = {value.data, (const unsigned char *)value.data + value.size};
    int error = value_check_next(&reader, depth);
    return error || reader.at == reader.end ? error : SOMA_EFORMAT;
}

int soma_value_check(const void *data, size_t size, soma_value *value)
{
    if (value)
        *value = SOMA_VALUE_NONE;
    if (!data || !value)
        return SOMA_EINVAL;
    if (!size)
        return SOMA_EFORMAT;
    if (size > UINT32_MAX)
        return SOMA_ETOOBIG;
    soma_value view = {data, (uint32_t)size};
    int error = value_check_at(view, 0);
    if (!error)
        *value = view;
    return error;
}
