// From a message to what leaves the process: MessagePack (writer.h).
#include "runtime/load.h"
#include "runtime/type.h"
#include "runtime/value.h"
#include "runtime/writer.h"

#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

// How a message is written: an array of its fields, or, for who does not know the type, a map from their names.
struct packer {
    struct writer writer;
    bool maps;
};

static int pack_string(struct writer *writer, const char *text)
{
    if (!text) {
        write_nil(writer);
        return 0;
    }
    size_t length = strlen(text);
    if (length > UINT32_MAX)
        return SOMA_ETOOBIG;
    // The receiver would reject it; here the one who made it learns of it.
    if (!type_utf8_valid(text, length))
        return SOMA_EFORMAT;
    write_text(writer, text, length);
    return 0;
}

static int pack_bytes(struct writer *writer, soma_bytes bytes)
{
    if (bytes.size && !bytes.data)
        return SOMA_EINVAL;
    write_bytes(writer, bytes.data, bytes.size);
    return 0;
}

static void pack_ref(struct writer *writer, soma_ref ref)
{
    char *at = writer_room(writer, (size_t)4 * PUT_MOST);
    if (at)
        writer_end(writer, put_number(put_number(put_number(put_array(at, 3), ref.node), ref.slot), ref.generation));
}

static int pack_value(struct writer *writer, soma_value value, int depth)
{
    if (!value.size) {
        write_nil(writer);
        return 0;
    }
    int error = value_check_at(value, value_depth_in_message(depth));
    if (!error)
        write_raw(writer, value.data, value.size);
    return error;
}

// The numbers, and bool; each has room.
static char *put_scalar(char *to, const soma_field *field, const char *at)
{
    uint32_t bits32;
    uint64_t bits64;
    switch (field->kind) {
    case SOMA_KIND_F32:
        memcpy(&bits32, at, sizeof bits32);
        return put_tagged(to, 0xca, bits32, 4);
    case SOMA_KIND_F64:
        memcpy(&bits64, at, sizeof bits64);
        return put_tagged(to, 0xcb, bits64, 8);
    case SOMA_KIND_BOOL:
        return put_byte(to, type_load_bool(at) ? 0xc3 : 0xc2);
    default:
        return field->kind <= SOMA_KIND_U64 ? put_number(to, type_load_unsigned(field->kind, at))
                                            : put_signed(to, type_load_signed(field->kind, at));
    }
}

static int pack_type(struct packer *packer, const soma_type *type, const char *body, int depth);

static int pack_item(struct packer *packer, const soma_field *field, const char *at, int depth)
{
    struct writer *writer = &packer->writer;
    char *to;
    switch (field->kind) {
    case SOMA_KIND_REF:
        pack_ref(writer, type_load_ref(at));
        return 0;
    case SOMA_KIND_STRING:
        return pack_string(writer, type_string_get(at));
    case SOMA_KIND_BYTES:
        return pack_bytes(writer, type_load_bytes(at));
    case SOMA_KIND_VALUE:
        return pack_value(writer, type_load_value(at), depth);
    case SOMA_KIND_MESSAGE:
        return pack_type(packer, field->nested, at, depth + 1);
    default:
        to = writer_room(writer, PUT_MOST);
        if (to)
            writer_end(writer, put_scalar(to, field, at));
        return 0;
    }
}

static int pack_array(struct packer *packer, const soma_field *field, const char *at, int depth)
{
    struct type_array array = type_array_get(at);
    int error = array.count && !array.items ? SOMA_EINVAL : 0;
    write_array(&packer->writer, array.count);
    for (uint32_t i = 0; i < array.count && !error; i++)
        error = pack_item(packer, field, (const char *)array.items + i * type_item_size(field), depth);
    return error;
}

static int pack_type(struct packer *packer, const soma_type *type, const char *body, int depth)
{
    struct writer *writer = &packer->writer;
    int error = depth > SOMA_TYPE_DEPTH_MAX ? SOMA_ETOOBIG : 0;
    if (packer->maps)
        write_map(writer, type->field_count);
    else
        write_array(writer, type->field_count);
    for (uint32_t i = 0; i < type->field_count && !error && !writer->failed; i++) {
        const soma_field *field = &type->fields[i];
        const char *at = body + field->offset;
        if (packer->maps)
            write_text(writer, field->name, strlen(field->name));
        error = field->is_array ? pack_array(packer, field, at, depth) : pack_item(packer, field, at, depth);
    }
    return error;
}

static int pack(const soma_type *type, const void *message, msgpack_sbuffer *buffer, bool maps)
{
    struct packer packer = {{buffer, false}, maps};
    int error = pack_type(&packer, type, message, 1);
    return !error && packer.writer.failed ? SOMA_ENOMEM : error;
}

int type_pack_into(const soma_type *type, const void *message, msgpack_sbuffer *buffer)
{
    return pack(type, message, buffer, false);
}

int type_pack_map_into(const soma_type *type, const void *message, msgpack_sbuffer *buffer)
{
    return pack(type, message, buffer, true);
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
