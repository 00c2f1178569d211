// A typed message as a dynamic value, whose maps name the fields. The way back is in unpack.c, as a value is
// MessagePack.
#include "runtime/load.h"
#include "runtime/type.h"
#include "runtime/value.h"

#include <soma/error.h>

static int add_message(soma_value_builder *builder, const soma_type *type, const char *body);

int value_add_item(soma_value_builder *builder, const soma_field *field, const char *at)
{
    switch (field->kind) {
    case SOMA_KIND_F32:
        return soma_value_add_f64(builder, (double)type_load_float(at));
    case SOMA_KIND_F64:
        return soma_value_add_f64(builder, type_load_double(at));
    case SOMA_KIND_BOOL:
        return soma_value_add_bool(builder, type_load_bool(at));
    case SOMA_KIND_REF:
        return soma_value_add_ref(builder, type_load_ref(at));
    case SOMA_KIND_STRING:
        return soma_value_add_string(builder, type_string_get(at));
    case SOMA_KIND_BYTES:
        return soma_value_add_bytes(builder, type_load_bytes(at));
    case SOMA_KIND_VALUE:
        return soma_value_add_value(builder, type_load_value(at));
    case SOMA_KIND_MESSAGE:
        return add_message(builder, field->nested, at);
    default:
        if (field->kind <= SOMA_KIND_U64)
            return soma_value_add_u64(builder, type_load_unsigned(field->kind, at));
        return soma_value_add_i64(builder, type_load_signed(field->kind, at));
    }
}

static int add_array(soma_value_builder *builder, const soma_field *field, const char *at)
{
    struct type_array array = type_array_get(at);
    if (array.count && !array.items)
        return value_builder_fail(builder, SOMA_EINVAL);
    int error = soma_value_begin_array(builder);
    for (uint32_t i = 0; i < array.count && !error; i++)
        error = value_add_item(builder, field, (const char *)array.items + i * type_item_size(field));
    return error ? error : soma_value_end(builder);
}

// Ends also where messages lead back to themselves: the builder takes no container that is too deep.
static int add_message(soma_value_builder *builder, const soma_type *type, const char *body)
{
    int error = soma_value_begin_map(builder);
    for (uint32_t i = 0; i < type->field_count && !error; i++) {
        const soma_field *field = &type->fields[i];
        const char *at = body + field->offset;
        error = soma_value_add_key(builder, field->name);
        if (!error)
            error = field->is_array ? add_array(builder, field, at) : value_add_item(builder, field, at);
    }
    return error ? error : soma_value_end(builder);
}

int soma_type_to_value(const soma_type *type, const void *message, soma_value_builder *builder)
{
    if (!builder)
        return SOMA_EINVAL;
    if (!type || !message)
        return value_builder_fail(builder, SOMA_EINVAL);
    return add_message(builder, type, message);
}
