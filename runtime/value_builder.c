// Makes dynamic values. A container's head is one byte until it is ended, as most have at most 15 elements; then the
// others' content moves up for the longer head. So callers need not count beforehand, and the shortest form comes out.
#include "runtime/type.h"
#include "runtime/value.h"

#include <msgpack/pack.h>
#include <msgpack/sbuffer.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

// A container that was begun and not ended; the outermost level is the builder itself, which takes one value.
struct level {
    uint32_t head;  // where its head is in the buffer
    uint32_t count; // its values until now
    bool map;
    bool keyed; // a map's key was added, and its value was not
};

struct soma_value_builder {
    msgpack_sbuffer out;
    msgpack_packer packer;
    int error;      // the first one
    uint32_t depth; // index of the innermost level
    struct level levels[SOMA_VALUE_DEPTH_MAX + 1];
};

// -- Life ------------------------------------------------------------------------------------------------------------

int soma_value_builder_open(soma_value_builder **builder)
{
    if (!builder)
        return SOMA_EINVAL;
    soma_value_builder *new = *builder = calloc(1, sizeof *new);
    if (!new)
        return SOMA_ENOMEM;
    msgpack_sbuffer_init(&new->out);
    msgpack_packer_init(&new->packer, &new->out, msgpack_sbuffer_write);
    return 0;
}

int soma_value_builder_close(soma_value_builder **builder)
{
    if (builder && *builder) {
        msgpack_sbuffer_destroy(&(*builder)->out);
        free(*builder);
        *builder = NULL;
    }
    return 0;
}

int soma_value_builder_reset(soma_value_builder *builder)
{
    if (!builder)
        return SOMA_EINVAL;
    msgpack_sbuffer_clear(&builder->out);
    builder->error = 0;
    builder->depth = 0;
    memset(builder->levels, 0, sizeof builder->levels);
    return 0;
}

int soma_value_builder_finish(soma_value_builder *builder, soma_value *value)
{
    if (value)
        *value = SOMA_VALUE_NONE;
    if (!builder || !value)
        return SOMA_EINVAL;
    if (builder->error)
        return builder->error;
    if (builder->depth || !builder->levels[0].count)
        return SOMA_ESTATE;
    *value = (soma_value){builder->out.data, (uint32_t)builder->out.size};
    return 0;
}

// -- Adding ----------------------------------------------------------------------------------------------------------

int value_builder_fail(soma_value_builder *builder, int error)
{
    if (!builder->error)
        builder->error = error;
    return builder->error;
}

// May `size` bytes and their head be added?
static int builder_room(soma_value_builder *builder, size_t size)
{
    enum { HEAD_MAX = 9 };
    if (!builder)
        return SOMA_EINVAL;
    if (!builder->error && (size > UINT32_MAX - HEAD_MAX || builder->out.size > UINT32_MAX - HEAD_MAX - size))
        builder->error = SOMA_ETOOBIG;
    return builder->error;
}

// The same for a value, which must also be due here.
static int builder_ready(soma_value_builder *builder, size_t size)
{
    int error = builder_room(builder, size);
    if (error)
        return error;
    const struct level *level = &builder->levels[builder->depth];
    if (builder->depth ? level->map && !level->keyed : level->count)
        return value_builder_fail(builder, SOMA_ESTATE);
    return 0;
}

// A value was added, if the packer did not fail.
static int builder_added(soma_value_builder *builder, int failed)
{
    struct level *level = &builder->levels[builder->depth];
    if (failed)
        return value_builder_fail(builder, SOMA_ENOMEM);
    level->count++;
    level->keyed = false;
    return 0;
}

int soma_value_add_nil(soma_value_builder *builder)
{
    int error = builder_ready(builder, 0);
    return error ? error : builder_added(builder, msgpack_pack_nil(&builder->packer));
}

int soma_value_add_bool(soma_value_builder *builder, bool value)
{
    int error = builder_ready(builder, 0);
    if (error)
        return error;
    return builder_added(builder, value ? msgpack_pack_true(&builder->packer) : msgpack_pack_false(&builder->packer));
}

int soma_value_add_i64(soma_value_builder *builder, int64_t value)
{
    int error = builder_ready(builder, 0);
    return error ? error : builder_added(builder, msgpack_pack_int64(&builder->packer, value));
}

int soma_value_add_u64(soma_value_builder *builder, uint64_t value)
{
    int error = builder_ready(builder, 0);
    return error ? error : builder_added(builder, msgpack_pack_uint64(&builder->packer, value));
}

int soma_value_add_f64(soma_value_builder *builder, double value)
{
    int error = builder_ready(builder, 0);
    return error ? error : builder_added(builder, msgpack_pack_double(&builder->packer, value));
}

static int pack_text(soma_value_builder *builder, const char *text, size_t size)
{
    return msgpack_pack_str(&builder->packer, size) || msgpack_pack_str_body(&builder->packer, text, size);
}

int soma_value_add_string(soma_value_builder *builder, const char *value)
{
    if (!value)
        return soma_value_add_nil(builder);
    size_t size = strlen(value);
    int error = builder_ready(builder, size);
    if (error)
        return error;
    if (!type_utf8_valid(value, size))
        return value_builder_fail(builder, SOMA_EFORMAT);
    return builder_added(builder, pack_text(builder, value, size));
}

int soma_value_add_bytes(soma_value_builder *builder, soma_bytes value)
{
    int error = builder_ready(builder, value.size);
    if (error)
        return error;
    if (value.size && !value.data)
        return value_builder_fail(builder, SOMA_EINVAL);
    return builder_added(builder, msgpack_pack_bin(&builder->packer, value.size) ||
                                      (value.size && msgpack_pack_bin_body(&builder->packer, value.data, value.size)));
}

int soma_value_add_ref(soma_value_builder *builder, soma_ref value)
{
    unsigned char body[VALUE_REF_SIZE];
    int error = builder_ready(builder, sizeof body);
    if (error)
        return error;
    for (unsigned i = 0; i < 8; i++)
        body[i] = (unsigned char)(value.node >> (56 - 8 * i));
    for (unsigned i = 0; i < 4; i++) {
        body[8 + i] = (unsigned char)(value.slot >> (24 - 8 * i));
        body[12 + i] = (unsigned char)(value.generation >> (24 - 8 * i));
    }
    return builder_added(builder, msgpack_pack_ext(&builder->packer, sizeof body, VALUE_EXT_REF) ||
                                      msgpack_pack_ext_body(&builder->packer, body, sizeof body));
}

int soma_value_add_value(soma_value_builder *builder, soma_value value)
{
    if (!value.size)
        return soma_value_add_nil(builder);
    int error = builder_ready(builder, value.size);
    if (error)
        return error;
    if ((error = value_check_at(value, builder->depth)))
        return value_builder_fail(builder, error);
    return builder_added(builder, msgpack_sbuffer_write(&builder->out, value.data, value.size));
}

// -- Containers ------------------------------------------------------------------------------------------------------

int soma_value_add_key(soma_value_builder *builder, const char *key)
{
    size_t size = key ? strlen(key) : 0;
    int error = builder_room(builder, size);
    if (error)
        return error;
    struct level *level = &builder->levels[builder->depth];
    if (!key)
        return value_builder_fail(builder, SOMA_EINVAL);
    if (!level->map || level->keyed)
        return value_builder_fail(builder, SOMA_ESTATE);
    if (!type_utf8_valid(key, size))
        return value_builder_fail(builder, SOMA_EFORMAT);
    if (pack_text(builder, key, size))
        return value_builder_fail(builder, SOMA_ENOMEM);
    level->keyed = true;
    return 0;
}

static int builder_begin(soma_value_builder *builder, bool map)
{
    int error = builder_ready(builder, 0);
    if (error)
        return error;
    if (builder->depth == SOMA_VALUE_DEPTH_MAX)
        return value_builder_fail(builder, SOMA_ETOOBIG);
    uint32_t head = (uint32_t)builder->out.size;
    if (msgpack_sbuffer_write(&builder->out, "", 1))
        return value_builder_fail(builder, SOMA_ENOMEM);
    builder->levels[++builder->depth] = (struct level){head, 0, map, false};
    return 0;
}

int soma_value_begin_array(soma_value_builder *builder)
{
    return builder_begin(builder, false);
}

int soma_value_begin_map(soma_value_builder *builder)
{
    return builder_begin(builder, true);
}

// Writes the head now that the count is known.
static int builder_close_level(soma_value_builder *builder, const struct level *level)
{
    size_t behind = (size_t)level->head + 1, content = builder->out.size - behind;
    unsigned more = level->count <= 15 ? 0 : level->count <= UINT16_MAX ? 2 : 4;
    if (more) {
        if (msgpack_sbuffer_write(&builder->out, "\0\0\0", more))
            return SOMA_ENOMEM;
        memmove(builder->out.data + behind + more, builder->out.data + behind, content);
    }
    unsigned char *head = (unsigned char *)builder->out.data + level->head;
    if (more)
        *head = (unsigned char)((level->map ? 0xde : 0xdc) + (more == 4));
    else
        *head = (unsigned char)((level->map ? 0x80 : 0x90) | level->count);
    for (unsigned i = 0; i < more; i++)
        head[1 + i] = (unsigned char)(level->count >> 8 * (more - 1 - i));
    if (!level->map)
        return 0;
    const unsigned char *first = head + 1 + more;
    int error = value_keys_check(first, first + content, level->count);
    return error == SOMA_EFORMAT ? SOMA_EEXIST : error;
}

int soma_value_end(soma_value_builder *builder)
{
    int error = builder_room(builder, 0);
    if (error)
        return error;
    struct level *level = &builder->levels[builder->depth];
    if (!builder->depth || level->keyed)
        return value_builder_fail(builder, SOMA_ESTATE);
    if ((error = builder_close_level(builder, level)))
        return value_builder_fail(builder, error);
    builder->depth--;
    return builder_added(builder, 0);
}
