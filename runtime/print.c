// The text that people read of a message or a value, in one line, written like snprintf does.
#include "runtime/load.h"
#include "runtime/type.h"
#include "runtime/value.h"

#include <inttypes.h>
#include <limits.h>
#include <soma/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// What does not fit is counted, not written.
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

static void print_string(struct printer *printer, const char *text, size_t size)
{
    put(printer, "\"");
    for (; size--; text++) {
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

static void print_string_field(struct printer *printer, const char *text)
{
    if (text)
        print_string(printer, text, strlen(text));
    else
        put(printer, "null");
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

static void print_value(struct printer *printer, soma_value value, unsigned depth);

static void print_elements(struct printer *printer, soma_value value, unsigned depth)
{
    const char *between = "";
    for (soma_value_cursor cursor = soma_value_iterate(value); soma_value_next(&cursor); between = ", ") {
        put(printer, "%s", between);
        if (cursor.key) {
            print_string(printer, cursor.key, cursor.key_size);
            put(printer, ": ");
        }
        print_value(printer, cursor.value, depth + 1);
    }
}

static void print_ref_value(struct printer *printer, soma_value value)
{
    soma_ref ref;
    soma_value_get_ref(value, &ref);
    print_ref(printer, ref);
}

static void print_value(struct printer *printer, soma_value value, unsigned depth)
{
    struct reader reader = value_reader(value);
    struct value_head head;
    if (value_head_read(&reader, &head) || depth > SOMA_VALUE_DEPTH_MAX) {
        put(printer, "...");
        return;
    }
    switch (head.kind) {
    case SOMA_VALUE_NIL:
        put(printer, "null");
        break;
    case SOMA_VALUE_BOOL:
        put(printer, "%s", head.number ? "true" : "false");
        break;
    case SOMA_VALUE_INTEGER:
        if (head.negative)
            put(printer, "%" PRId64, (int64_t)head.number);
        else
            put(printer, "%" PRIu64, head.number);
        break;
    case SOMA_VALUE_FLOAT:
        put(printer, "%.17g", head.real);
        break;
    case SOMA_VALUE_STRING:
        print_string(printer, head.data, head.length);
        break;
    case SOMA_VALUE_BYTES:
        print_bytes(printer, (soma_bytes){head.data, head.length});
        break;
    case SOMA_VALUE_REF:
        print_ref_value(printer, value);
        break;
    default:
        put(printer, head.kind == SOMA_VALUE_MAP ? "{" : "[");
        print_elements(printer, value, depth);
        put(printer, head.kind == SOMA_VALUE_MAP ? "}" : "]");
    }
}

static void print_type(struct printer *printer, const soma_type *type, const char *body, int depth);

static void print_item(struct printer *printer, const soma_field *field, const char *at, int depth)
{
    if (field->kind <= SOMA_KIND_U64)
        put(printer, "%" PRIu64, type_load_unsigned(field->kind, at));
    else if (field->kind <= SOMA_KIND_I64)
        put(printer, "%" PRId64, type_load_signed(field->kind, at));
    else if (field->kind == SOMA_KIND_F32)
        put(printer, "%.9g", (double)type_load_float(at));
    else if (field->kind == SOMA_KIND_F64)
        put(printer, "%.17g", type_load_double(at));
    else if (field->kind == SOMA_KIND_BOOL)
        put(printer, "%s", type_load_bool(at) ? "true" : "false");
    else if (field->kind == SOMA_KIND_REF)
        print_ref(printer, type_load_ref(at));
    else if (field->kind == SOMA_KIND_STRING)
        print_string_field(printer, type_string_get(at));
    else if (field->kind == SOMA_KIND_BYTES)
        print_bytes(printer, type_load_bytes(at));
    else if (field->kind == SOMA_KIND_VALUE)
        print_value(printer, type_load_value(at), value_depth_in_message(depth));
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

int soma_value_print(soma_value value, char *buf, size_t size)
{
    struct printer printer = {buf, size, 0};
    if (!buf && size)
        return SOMA_EINVAL;
    print_value(&printer, value, 0);
    return printer.length > INT_MAX ? SOMA_ETOOBIG : (int)printer.length;
}
