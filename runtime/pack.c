// From a message to what leaves the process: the packed form (MessagePack, by msgpack-c's packer) and the printed one.
#include "runtime/type.h"

#include <inttypes.h>
#include <limits.h>
#include <msgpack/pack.h>
#include <msgpack/sbuffer.h>
#include <soma/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD(ctype, at)                                                                                                \
    do {                                                                                                               \
        ctype value;                                                                                                   \
        memcpy(&value, (at), sizeof value);                                                                            \
        return value;                                                                                                  \
    } while (0)

static uint64_t load_unsigned(unsigned kind, const void *at)
{
    if (kind == SOMA_KIND_U8)
        LOAD(uint8_t, at);
    if (kind == SOMA_KIND_U16)
        LOAD(uint16_t, at);
    if (kind == SOMA_KIND_U32)
        LOAD(uint32_t, at);
    LOAD(uint64_t, at);
}

static int64_t load_signed(unsigned kind, const void *at)
{
    if (kind == SOMA_KIND_I8)
        LOAD(int8_t, at);
    if (kind == SOMA_KIND_I16)
        LOAD(int16_t, at);
    if (kind == SOMA_KIND_I32)
        LOAD(int32_t, at);
    LOAD(int64_t, at);
}

static float load_float(const void *at)
{
    LOAD(float, at);
}

static double load_double(const void *at)
{
    LOAD(double, at);
}

static bool load_bool(const void *at)
{
    LOAD(bool, at);
}

static soma_ref load_ref(const void *at)
{
    LOAD(soma_ref, at);
}

static soma_bytes load_bytes(const void *at)
{
    LOAD(soma_bytes, at);
}

// -- Pack ------------------------------------------------------------------------------------------------------------

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

static int pack_type(msgpack_packer *packer, const soma_type *type, const char *body, int depth);

static int pack_item(msgpack_packer *packer, const soma_field *field, const char *at, int depth)
{
    switch (field->kind) {
    case SOMA_KIND_F32:
        return packed(msgpack_pack_float(packer, load_float(at)));
    case SOMA_KIND_F64:
        return packed(msgpack_pack_double(packer, load_double(at)));
    case SOMA_KIND_BOOL:
        return packed(load_bool(at) ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
    case SOMA_KIND_REF:
        return pack_ref(packer, load_ref(at));
    case SOMA_KIND_STRING:
        return pack_string(packer, type_string_get(at));
    case SOMA_KIND_BYTES:
        return pack_bytes(packer, load_bytes(at));
    case SOMA_KIND_MESSAGE:
        return pack_type(packer, field->nested, at, depth + 1);
    default: // the packer takes the shortest form of an integer
        if (field->kind <= SOMA_KIND_U64)
            return packed(msgpack_pack_uint64(packer, load_unsigned(field->kind, at)));
        return packed(msgpack_pack_int64(packer, load_signed(field->kind, at)));
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

int soma_type_pack(const soma_type *type, const void *message, void **buf, size_t *size)
{
    msgpack_sbuffer out;
    msgpack_packer packer;
    if (buf)
        *buf = NULL;
    if (size)
        *size = 0;
    if (!type || !message || !buf || !size)
        return SOMA_EINVAL;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    int error = pack_type(&packer, type, message, 1);
    if (error) {
        msgpack_sbuffer_destroy(&out);
        return error;
    }
    *size = out.size;
    *buf = msgpack_sbuffer_release(&out);
    return 0;
}

// -- Print -----------------------------------------------------------------------------------------------------------

// Writes like snprintf: what does not fit is counted, not written.
struct printer {
    char *buf;
    size_t size;
    uint64_t length;
};

__attribute__((format(printf, 2, 3))) static void put(struct printer *printer, const char *format, ...)
{
    // Once the buffer is full there is no room at all, and vsnprintf only counts.
    size_t room = printer->length < printer->size ? printer->size - (size_t)printer->length : 0;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(room ? printer->buf + printer->length : NULL, room, format, args);
    va_end(args);
    printer->length += length > 0 ? (uint64_t)length : 0;
}

static void print_string(struct printer *printer, const char *text)
{
    if (!text) {
        put(printer, "null");
        return;
    }
    put(printer, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            put(printer, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            put(printer, "\\x%02x", c);
        else
            put(printer, "%c", c);
    }
    put(printer, "\"");
}

static void print_bytes(struct printer *printer, soma_bytes bytes)
{
    put(printer, "<");
    for (uint32_t i = 0; bytes.data && i < bytes.size; i++)
        put(printer, "%02x", ((const unsigned char *)bytes.data)[i]);
    put(printer, ">");
}

static void print_ref(struct printer *printer, soma_ref ref)
{
    put(printer, "%016" PRIx64 "/%" PRIu32 "/%" PRIu32, ref.node, ref.slot, ref.generation);
}

static void print_type(struct printer *printer, const soma_type *type, const char *body, int depth);

static void print_item(struct printer *printer, const soma_field *field, const char *at, int depth)
{
    if (field->kind <= SOMA_KIND_U64)
        put(printer, "%" PRIu64, load_unsigned(field->kind, at));
    else if (field->kind <= SOMA_KIND_I64)
        put(printer, "%" PRId64, load_signed(field->kind, at));
    else if (field->kind == SOMA_KIND_F32)
        put(printer, "%.9g", (double)load_float(at));
    else if (field->kind == SOMA_KIND_F64)
        put(printer, "%.17g", load_double(at));
    else if (field->kind == SOMA_KIND_BOOL)
        put(printer, "%s", load_bool(at) ? "true" : "false");
    else if (field->kind == SOMA_KIND_REF)
        print_ref(printer, load_ref(at));
    else if (field->kind == SOMA_KIND_STRING)
        print_string(printer, type_string_get(at));
    else if (field->kind == SOMA_KIND_BYTES)
        print_bytes(printer, load_bytes(at));
    else
        print_type(printer, field->nested, at, depth + 1);
}

static void print_array(struct printer *printer, const soma_field *field, const char *at, int depth)
{
    struct type_array array = type_array_get(at);
    put(printer, "[");
    for (uint32_t i = 0; array.items && i < array.count; i++) {
        put(printer, "%s", i ? ", " : "");
        print_item(printer, field, (const char *)array.items + i * type_item_size(field), depth);
    }
    put(printer, "]");
}

static void print_type(struct printer *printer, const soma_type *type, const char *body, int depth)
{
    put(printer, "%s{", type->name);
    if (depth > SOMA_TYPE_DEPTH_MAX)
        put(printer, "...");
    for (uint32_t i = 0; i < type->field_count && depth <= SOMA_TYPE_DEPTH_MAX; i++) {
        const soma_field *field = &type->fields[i];
        put(printer, "%s%s: ", i ? ", " : "", field->name);
        if (field->is_array)
            print_array(printer, field, body + field->offset, depth);
        else
            print_item(printer, field, body + field->offset, depth);
    }
    put(printer, "}");
}

int soma_type_print(const soma_type *type, const void *message, char *buf, size_t size)
{
    struct printer printer = {buf, size, 0};
    if (!type || !message || (!buf && size))
        return SOMA_EINVAL;
    print_type(&printer, type, message, 1);
    return printer.length > INT_MAX ? SOMA_ETOOBIG : (int)printer.length;
}
