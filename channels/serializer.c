/*
 * Serializers that are built in: bytes as they are, MessagePack, JSON, and messages with the name of their type. See
 * serializer.h and docs/channels.md, which has what each looks like.
 */
#include "channels/serializer.h"
#include "runtime/load.h"
#include "runtime/reader.h"
#include "runtime/type.h"
#include "runtime/value.h"
#include "runtime/writer.h"
#include <soma/error.h>
#include <soma/value.h>
#include <stdlib.h>
#include <string.h>

/* The one field of a type that has just one of a kind, else NULL. */
static const soma_field *only_field(const soma_type *type, enum soma_kind kind)
{
    const soma_field *field = type->fields;
    return type->field_count == 1 && field->kind == kind && !field->is_array ? field : NULL;
}

/* ---- raw: the bytes of the only field ---- */

static int raw_find(const soma_type *type, const void *message, soma_bytes *bytes)
{
    const soma_field *field = only_field(type, SOMA_KIND_BYTES);
    if (field) {
        memcpy(bytes, (const char *)message + field->offset, sizeof(*bytes));
    } else if ((field = only_field(type, SOMA_KIND_STRING))) {
        const char *text = type_string_get((const char *)message + field->offset);
        size_t length = text ? strlen(text) : 0;
        if (length > UINT32_MAX)
            return SOMA_ETOOBIG;
        *bytes = (soma_bytes){text, (uint32_t)length};
    } else {
        return SOMA_ETYPE;
    }
    return bytes->size && !bytes->data ? SOMA_EINVAL : 0;
}

static int raw_view(const struct serializer *serializer, const soma_type *type, const void *data, size_t size,
                    struct arena *arena, void *message)
{
    (void)serializer;
    const soma_field *field = only_field(type, SOMA_KIND_BYTES);
    if (size > UINT32_MAX)
        return SOMA_ETOOBIG;
    if (field) {
        const soma_bytes bytes = {data, (uint32_t)size};
        memcpy((char *)message + field->offset, &bytes, sizeof(bytes));
        return 0;
    }
    field = only_field(type, SOMA_KIND_STRING);
    if (!field)
        return SOMA_ETYPE;
    if (memchr(data, '\0', size) || !type_utf8_valid(data, size))
        return SOMA_EFORMAT;
    char *text = arena_take(arena, size + 1); // zeroed
    if (!text)
        return SOMA_ENOMEM;
    memcpy(text, data, size);
    memcpy((char *)message + field->offset, &text, sizeof(text));
    return 0;
}

/* ---- msgpack: a map from the fields' names; of a type with a value alone, that value ---- */

static int msgpack_pack(const struct serializer *serializer, const soma_type *type, const void *message,
                        msgpack_sbuffer *out)
{
    (void)serializer;
    const soma_field *field = only_field(type, SOMA_KIND_VALUE);
    if (!field)
        return type_pack_map_into(type, message, out);
    soma_value value = type_load_value((const char *)message + field->offset);
    int error = value.size ? value_check_at(value, 0) : 0;
    if (error)
        return error;
    return msgpack_sbuffer_write(out, value.size ? value.data : "\xc0", value.size ? value.size : 1) ? SOMA_ENOMEM : 0;
}

/* All of the bytes must be the message. */
static int view_whole(const soma_type *type, const void *data, size_t size, struct arena *arena, void *message)
{
    struct reader reader = {data, (const unsigned char *)data + size};
    int error = type_view_exact(type, message, &reader, arena);
    return !error && reader_left(&reader) ? SOMA_EFORMAT : error;
}

static int msgpack_view(const struct serializer *serializer, const soma_type *type, const void *data, size_t size,
                        struct arena *arena, void *message)
{
    (void)serializer;
    const soma_field *field = only_field(type, SOMA_KIND_VALUE);
    if (!field)
        return view_whole(type, data, size, arena, message);
    soma_value value;
    int error = soma_value_check(data, size, &value);
    if (!error)
        memcpy((char *)message + field->offset, &value, sizeof(value));
    return error;
}

/* ---- json: the same, as text ---- */

static int json_pack(const struct serializer *serializer, const soma_type *type, const void *message,
                     msgpack_sbuffer *out)
{
    char *text = NULL;
    soma_value_builder *builder = NULL;
    soma_value value = SOMA_VALUE_NONE;
    const soma_field *field = only_field(type, SOMA_KIND_VALUE);
    int error = 0;
    (void)serializer;
    if (field) {
        value = type_load_value((const char *)message + field->offset);
    } else {
        error = soma_value_builder_open(&builder);
        if (!error)
            error = soma_type_to_value(type, message, builder);
        if (!error)
            error = soma_value_builder_finish(builder, &value);
    }
    if (!error)
        error = soma_value_to_json(value, &text);
    if (!error && msgpack_sbuffer_write(out, text, strlen(text)))
        error = SOMA_ENOMEM;
    free(text);
    soma_value_builder_close(&builder);
    return error;
}

static int json_view(const struct serializer *serializer, const soma_type *type, const void *data, size_t size,
                     struct arena *arena, void *message)
{
    soma_value value;
    (void)serializer, (void)arena;
    int error = soma_value_from_json(data, size, &value);
    if (error)
        return error;
    const soma_field *field = only_field(type, SOMA_KIND_VALUE);
    if (field) {
        memcpy((char *)message + field->offset, &value, sizeof(value));
        return 0;
    }
    error = soma_type_from_value(type, message, value);
    soma_value_destroy(&value);
    return error == SOMA_EFORMAT ? SOMA_ETYPE : error; // the text is well-formed: other fields
}

/* ---- typed: an array of the type's name, its hash, and the fields in their order ---- */

static int typed_pack(const struct serializer *serializer, const soma_type *type, const void *message,
                      msgpack_sbuffer *out)
{
    struct writer writer = {out, false};
    (void)serializer;
    write_array(&writer, 3);
    write_text(&writer, type->name, strlen(type->name));
    write_number(&writer, soma_type_hash(type));
    return writer.failed ? SOMA_ENOMEM : type_pack_into(type, message, out);
}

static int typed_view(const struct serializer *serializer, const soma_type *type, const void *data, size_t size,
                      struct arena *arena, void *message)
{
    struct reader reader = {data, (const unsigned char *)data + size};
    const void *name;
    uint32_t count, length;
    uint64_t hash;
    bool negative;
    (void)serializer;
    if (reader_array(&reader, &count) || count != 3 || reader_block(&reader, true, &name, &length) ||
        reader_integer(&reader, &hash, &negative))
        return SOMA_EFORMAT;
    if (length != strlen(type->name) || memcmp(name, type->name, length) != 0)
        return SOMA_EUNHANDLED;
    if (negative || hash != soma_type_hash(type)) // of the same name, with other fields
        return SOMA_ETYPE;
    return view_whole(type, reader.at, reader_left(&reader), arena, message);
}

/* ---- the user's own ---- */

/* What a function of the user's says, as an error of ours: those are negative. */
static int user_error(int error)
{
    return error > 0 ? SOMA_EFORMAT : error;
}

static int user_pack(const struct serializer *serializer, const soma_type *type, const void *message,
                     msgpack_sbuffer *out)
{
    void *data = NULL;
    size_t size = 0;
    int error = user_error(serializer->user.pack(type, message, &data, &size));
    if (!error && size && !data)
        error = SOMA_EINVAL;
    if (!error && size && msgpack_sbuffer_write(out, data, size))
        error = SOMA_ENOMEM;
    free(data);
    return error;
}

static int user_view(const struct serializer *serializer, const soma_type *type, const void *data, size_t size,
                     struct arena *arena, void *message)
{
    (void)arena;
    return user_error(serializer->user.unpack(type, data, size, message));
}

struct serializer serializer_wrap(const soma_serializer *user)
{
    return (struct serializer){.name = user->name, .pack = user_pack, .view = user_view, .owns = true, .user = *user};
}

static const struct serializer serializers[] = {
    {.name = "msgpack", .pack = msgpack_pack, .view = msgpack_view},
    {.name = "raw", .find = raw_find, .view = raw_view},
    {.name = "json", .pack = json_pack, .view = json_view, .owns = true},
    {.name = "typed", .pack = typed_pack, .view = typed_view},
};

bool serializer_equal(const struct serializer *serializer, const soma_serializer *user)
{
    return serializer->user.pack == user->pack && serializer->user.unpack == user->unpack;
}

const struct serializer *serializer_built_in(const char *name)
{
    for (size_t i = 0; i < sizeof(serializers) / sizeof(*serializers); i++)
        if (!name || !strcmp(name, serializers[i].name))
            return &serializers[i];
    return NULL;
}
