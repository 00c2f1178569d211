// From a message to what leaves the process: MessagePack, by msgpack-c's packer.
#include "runtime/load.h"
#include "runtime/type.h"
#include "runtime/value.h"

#include <msgpack/pack.h>
#include <msgpack/sbuffer.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

// The packer's functions fail only when their buffer cannot grow.
static int packed(int failed)
{
    return failed ? SOMA_ENOMEM : 0;
}

static int pack_string(msgpack_packer *packer, const char *text)
{
    if (!text)
        return packed(msgpack_pack_nil(packer));
    size_t length = strlen(text);
    if (length > UINT32_MAX)
        return SOMA_ETOOBIG;
    // The receiver would reject it; here the one who made it learns of it.
    if (!type_utf8_valid(text, length))
        return SOMA_EFORMAT;
    return packed(msgpack_pack_str(packer, length) || msgpack_pack_str_body(packer, text, length));
}

static int pack_bytes(msgpack_packer *packer, soma_bytes bytes)
{
    if (bytes.size && !bytes.data)
        return SOMA_EINVAL;
    return packed(msgpack_pack_bin(packer, bytes.size) ||
                  (bytes.size && msgpack_pack_bin_body(packer, bytes.data, bytes.size)));
}

static int pack_ref(msgpack_packer *packer, soma_ref ref)
{
    return packed(msgpack_pack_array(packer, 3) || msgpack_pack_uint64(packer, ref.node) ||
                  msgpack_pack_uint32(packer, ref.slot) || msgpack_pack_uint32(packer, ref.generation));
}

static int pack_value(msgpack_packer *packer, soma_value value, int depth)
{
    if (!value.size)
        return packed(msgpack_pack_nil(packer));
    int error = value_check_at(value, value_depth_in_message(depth));
    return error ? error : packed(msgpack_sbuffer_write(packer->data, value.data, value.size));
}

static int pack_type(msgpack_packer *packer, const soma_type *type, const char *body, int depth);

static int pack_item(msgpack_packer *packer, const soma_field *field, const char *at, int depth)
{
    switch (field->kind) {
    case SOMA_KIND_F32:
        return packed(msgpack_pack_float(packer, type_load_float(at)));
    case SOMA_KIND_F64:
        return packed(msgpack_pack_double(packer, type_load_double(at)));
    case SOMA_KIND_BOOL:
        return packed(type_load_bool(at) ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
    case SOMA_KIND_REF:
        return pack_ref(packer, type_load_ref(at));
    case SOMA_KIND_STRING:
        return pack_string(packer, type_string_get(at));
    case SOMA_KIND_BYTES:
        return pack_bytes(packer, type_load_bytes(at));
    case SOMA_KIND_VALUE:
        return pack_value(packer, type_load_value(at), depth);
    case SOMA_KIND_MESSAGE:
        return pack_type(packer, field->nested, at, depth + 1);
    default: // the packer takes the shortest form of an integer
        if (field->kind <= SOMA_KIND_U64)
            return packed(msgpack_pack_uint64(packer, type_load_unsigned(field->kind, at)));
        return packed(msgpack_pack_int64(packer, type_load_signed(field->kind, at)));
    }
}

static int pack_array(msgpack_packer *packer, const soma_field *field, const char *at, int depth)
{
    struct type_array array = type_array_get(at);
    if (array.count && !array.items)
        return SOMA_EINVAL;
    int error = packed(msgpack_pack_array(packer, array.count));
    for (uint32_t i = 0; i < array.count && !error; i++)
        error = pack_item(packer, field, (const char *)array.items + i * type_item_size(field), depth);
    return error;
}

static int pack_type(msgpack_packer *packer, const soma_type *type, const char *body, int depth)
{
    if (depth > SOMA_TYPE_DEPTH_MAX)
        return SOMA_ETOOBIG;
    int error = packed(msgpack_pack_array(packer, type->field_count));
    for (uint32_t i = 0; i < type->field_count && !error; i++) {
        const soma_field *field = &type->fields[i];
        const char *at = body + field->offset;
        error = field->is_array ? pack_array(packer, field, at, depth) : pack_item(packer, field, at, depth);
    }
    return error;
}

int type_pack_into(const soma_type *type, const void *message, msgpack_sbuffer *buffer)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    return pack_type(&packer, type, message, 1);
}

int soma_type_pack(const soma_type *type, const void *message, void **buf, size_t *size)
{
    msgpack_sbuffer out;
    if (buf)
        *buf = NULL;
    if (size)
        *size = 0;
    if (!type || !message || !buf || !size)
        return SOMA_EINVAL;
    msgpack_sbuffer_init(&out);
    int error = type_pack_into(type, message, &out);
    if (error) {
        msgpack_sbuffer_destroy(&out);
        return error;
    }
    *size = out.size;
    *buf = msgpack_sbuffer_release(&out);
    return 0;
}
