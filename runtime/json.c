// Dynamic values from and to JSON, by jansson. What JSON has no type for stands in an object of one member whose name
// starts with "$"; a map that looks like one of those gets another "$", so that every value comes back as it was.
#include "runtime/base64.h"
#include "runtime/value.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char bytes_name[] = "$bytes", ref_name[] = "$ref", u64_name[] = "$u64";

// Is it one of those names, behind any number of further "$"?
static bool name_is_special(const char *name, size_t size)
{
    static const char *const names[] = {bytes_name, ref_name, u64_name};
    for (; size > 1 && name[0] == '$' && name[1] == '$'; name++)
        size--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (size == strlen(names[i]) && !memcmp(name, names[i], size))
            return true;
    return false;
}

// -- From JSON -------------------------------------------------------------------------------------------------------

static int add_json(soma_value_builder *builder, const json_t *json);

static int add_bytes(soma_value_builder *builder, const char *text, size_t length)
{
    size_t size;
    void *data = malloc(length / 4 * 3 + 1);
    if (!data)
        return value_builder_fail(builder, SOMA_ENOMEM);
    int error = SOMA_EFORMAT;
    if (!base64_decode(data, &size, text, length))
        value_builder_fail(builder, error);
    else if (size > UINT32_MAX)
        error = value_builder_fail(builder, SOMA_ETOOBIG);
    else
        error = soma_value_add_bytes(builder, (soma_bytes){data, (uint32_t)size});
    free(data);
    return error;
}

// Reads digits up to `end`, without the signs and spaces that strtoull would take; gives what follows the end, or NULL.
static const char *read_digits(const char *text, int base, char end, uint64_t max, uint64_t *number)
{
    static const char digits[] = "0123456789abcdef";
    const char *start = text;
    for (*number = 0; *text != end; text++) {
        const char *digit = *text ? memchr(digits, *text, (size_t)base) : NULL;
        if (!digit || __builtin_mul_overflow(*number, (uint64_t)base, number) ||
            __builtin_add_overflow(*number, (uint64_t)(digit - digits), number) || *number > max)
            return NULL;
    }
    return text == start ? NULL : text + 1;
}

static int add_ref(soma_value_builder *builder, const char *text)
{
    uint64_t node, slot, generation;
    if (!(text = read_digits(text, 16, '/', UINT64_MAX, &node)) ||
        !(text = read_digits(text, 10, '/', UINT32_MAX, &slot)) ||
        !read_digits(text, 10, '\0', UINT32_MAX, &generation))
        return value_builder_fail(builder, SOMA_EFORMAT);
    return soma_value_add_ref(builder, (soma_ref){node, (uint32_t)slot, (uint32_t)generation});
}

static int add_u64(soma_value_builder *builder, const char *text)
{
    uint64_t number;
    if (!read_digits(text, 10, '\0', UINT64_MAX, &number))
        return value_builder_fail(builder, SOMA_EFORMAT);
    return soma_value_add_u64(builder, number);
}

static int add_special(soma_value_builder *builder, const char *name, const json_t *json)
{
    const char *text = json_string_value(json);
    if (!text)
        return value_builder_fail(builder, SOMA_EFORMAT);
    if (!strcmp(name, bytes_name))
        return add_bytes(builder, text, json_string_length(json));
    return strcmp(name, ref_name) ? add_u64(builder, text) : add_ref(builder, text);
}

static int add_object(soma_value_builder *builder, const json_t *json)
{
    json_t *object = (json_t *)(uintptr_t)json; // its iterators know no const
    void *at = json_object_iter(object);
    const char *name = json_object_iter_key(at);
    bool special = json_object_size(object) == 1 && name_is_special(name, strlen(name));
    if (special && name[1] != '$')
        return add_special(builder, name, json_object_iter_value(at));
    int error = soma_value_begin_map(builder);
    for (; at && !error; at = json_object_iter_next(object, at)) {
        error = soma_value_add_key(builder, json_object_iter_key(at) + special);
        if (!error)
            error = add_json(builder, json_object_iter_value(at));
    }
    return error ? error : soma_value_end(builder);
}

static int add_array(soma_value_builder *builder, const json_t *json)
{
    int error = soma_value_begin_array(builder);
    for (size_t i = 0; i < json_array_size(json) && !error; i++)
        error = add_json(builder, json_array_get(json, i));
    return error ? error : soma_value_end(builder);
}

static int add_json(soma_value_builder *builder, const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return add_object(builder, json);
    case JSON_ARRAY:
        return add_array(builder, json);
    case JSON_STRING:
        return soma_value_add_string(builder, json_string_value(json));
    case JSON_INTEGER:
        return soma_value_add_i64(builder, json_integer_value(json));
    case JSON_REAL:
        return soma_value_add_f64(builder, json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return soma_value_add_bool(builder, json_is_true(json));
    default:
        return soma_value_add_nil(builder);
    }
}

static int parse_error(const json_error_t *error)
{
    // jansson says nothing at all where it could not make an object; where a token, it takes that for malformed.
    if (!*error->text)
        return SOMA_ENOMEM;
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return SOMA_ENOMEM;
    case json_error_stack_overflow:
        return SOMA_ETOOBIG;
    case json_error_numeric_overflow:
        return SOMA_ETYPE;
    default:
        return SOMA_EFORMAT;
    }
}

int soma_value_from_json(const char *text, size_t size, soma_value *value)
{
    soma_value_builder *builder;
    soma_value built;
    json_error_t details;
    if (value)
        *value = SOMA_VALUE_NONE;
    if (!text || !value)
        return SOMA_EINVAL;
    if (memchr(text, 0, size)) // jansson takes it for the end of the text where nothing else is due
        return SOMA_EFORMAT;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &details);
    if (!json)
        return parse_error(&details);
    int error = soma_value_builder_open(&builder);
    if (!error) {
        add_json(builder, json);
        error = soma_value_builder_finish(builder, &built);
        if (!error)
            error = soma_value_copy(value, built);
        soma_value_builder_close(&builder);
    }
    json_decref(json);
    return error;
}

// -- To JSON ---------------------------------------------------------------------------------------------------------

static int make_json(soma_value value, json_t **json);

// What jansson makes is NULL only if there is no memory: the values were checked.
static int made(const json_t *json)
{
    return json ? 0 : SOMA_ENOMEM;
}

static json_t *make_special(const char *name, json_t *content)
{
    json_t *json = json_object();
    // It takes the content over, also when it fails; and fails on NULL.
    if (json_object_set_new_nocheck(json, name, content)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *make_bytes(const struct value_head *head)
{
    size_t length = base64_length(head->length);
    char *text = malloc(length + 1);
    if (!text)
        return NULL;
    base64_encode(text, head->data, head->length);
    json_t *json = make_special(bytes_name, json_stringn_nocheck(text, length));
    free(text);
    return json;
}

static json_t *make_ref(soma_value value)
{
    char text[64];
    soma_ref ref;
    soma_value_get_ref(value, &ref);
    snprintf(text, sizeof text, "%016" PRIx64 "/%" PRIu32 "/%" PRIu32, ref.node, ref.slot, ref.generation);
    return make_special(ref_name, json_string_nocheck(text));
}

static json_t *make_integer(const struct value_head *head)
{
    char text[32];
    if (head->negative || head->number <= INT64_MAX)
        return json_integer((json_int_t)head->number);
    snprintf(text, sizeof text, "%" PRIu64, head->number);
    return make_special(u64_name, json_string_nocheck(text));
}

static int make_array(soma_value value, json_t **json)
{
    int error = made(*json = json_array());
    for (soma_value_cursor cursor = soma_value_iterate(value); !error && soma_value_next(&cursor);) {
        json_t *item;
        error = make_json(cursor.value, &item);
        if (!error && json_array_append(*json, item))
            error = SOMA_ENOMEM;
        json_decref(item);
    }
    return error;
}

static int set_member(json_t *object, const soma_value_cursor *cursor, bool special)
{
    json_t *item;
    char *longer = NULL;
    int error = make_json(cursor->value, &item);
    if (!error && special && !(longer = malloc((size_t)cursor->key_size + 1)))
        error = SOMA_ENOMEM;
    if (!error) {
        const char *key = cursor->key;
        if (longer) {
            *longer = '$';
            memcpy(longer + 1, key, cursor->key_size);
            key = longer;
        }
        if (json_object_setn_nocheck(object, key, (size_t)cursor->key_size + special, item))
            error = SOMA_ENOMEM;
    }
    free(longer);
    json_decref(item);
    return error;
}

static int make_object(soma_value value, uint32_t count, json_t **json)
{
    int error = made(*json = json_object());
    for (soma_value_cursor cursor = soma_value_iterate(value); !error && soma_value_next(&cursor);)
        error = set_member(*json, &cursor, count == 1 && name_is_special(cursor.key, cursor.key_size));
    return error;
}

// Gives a new reference, also after an error, or NULL.
static int make_json(soma_value value, json_t **json)
{
    struct reader reader = value_reader(value);
    struct value_head head;
    *json = NULL;
    int error = value_head_read(&reader, &head);
    if (error)
        return error;
    switch (head.kind) {
    case SOMA_VALUE_NIL:
        return made(*json = json_null());
    case SOMA_VALUE_BOOL:
        return made(*json = json_boolean(head.number));
    case SOMA_VALUE_INTEGER:
        return made(*json = make_integer(&head));
    case SOMA_VALUE_FLOAT:
        return isfinite(head.real) ? made(*json = json_real(head.real)) : SOMA_ETYPE;
    case SOMA_VALUE_STRING:
        return made(*json = json_stringn_nocheck(head.data, head.length));
    case SOMA_VALUE_BYTES:
        return made(*json = make_bytes(&head));
    case SOMA_VALUE_REF:
        return made(*json = make_ref(value));
    case SOMA_VALUE_ARRAY:
        return make_array(value, json);
    default:
        return make_object(value, head.length, json);
    }
}

int soma_value_to_json(soma_value value, char **text)
{
    json_t *json = NULL;
    if (!text)
        return SOMA_EINVAL;
    *text = NULL;
    int error = value_check_at(value, 0);
    if (!error)
        error = make_json(value, &json);
    if (!error) {
        // Twice, as jansson's own memory might not be for free().
        size_t flags = JSON_COMPACT | JSON_ENCODE_ANY, size = json_dumpb(json, NULL, 0, flags);
        *text = size ? malloc(size + 1) : NULL;
        if (!*text)
            error = SOMA_ENOMEM;
        else
            (*text)[json_dumpb(json, *text, size, flags)] = '\0';
    }
    json_decref(json);
    return error;
}
