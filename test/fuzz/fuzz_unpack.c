// Any bytes, taken for a message of a type with everything in it, and for a value. What is accepted must come back the
// same from its packed form, from its form as a value, and, if it is a value, from a walk over it.
#include <soma/soma.h>
#include <stdlib.h>

// clang-format off
SOMA_MESSAGE(small, (u8, a), (f32, b))
SOMA_MESSAGE(rich, (u16, a), (i64, b), (f64, c), (bool, d), (string, e), (bytes, f), (ref, g), (value, h),
             (message, small, i), (messages, small, j), (array, u64, k), (array, string, l), (array, bytes, m),
             (array, ref, n), (array, value, o), (messages, rich, p))
// clang-format on

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static soma_value_builder *opened(void)
{
    soma_value_builder *builder;
    REQUIRE(!soma_value_builder_open(&builder));
    return builder;
}

static void comes_back_from_value(const struct rich *message)
{
    struct rich again;
    soma_value value;
    soma_value_builder *builder = opened();
    REQUIRE(!soma_type_to_value(&rich_type, message, builder));
    REQUIRE(!soma_value_builder_finish(builder, &value));
    REQUIRE(!soma_type_from_value(&rich_type, &again, value));
    REQUIRE(rich_equal(message, &again));
    rich_destroy(&again);
    soma_value_builder_close(&builder);
}

static void try_message(const uint8_t *data, size_t size)
{
    struct rich message, again;
    void *wire;
    size_t length;
    char text[64];
    if (rich_unpack(&message, data, size))
        return;
    REQUIRE(!rich_pack(&message, &wire, &length));
    REQUIRE(!rich_unpack(&again, wire, length));
    REQUIRE(rich_equal(&message, &again));
    free(wire);
    rich_destroy(&again);
    REQUIRE(!rich_copy(&again, &message));
    REQUIRE(rich_equal(&message, &again));
    rich_destroy(&again);
    REQUIRE(rich_print(&message, text, sizeof text) > 0);
    comes_back_from_value(&message);
    rich_destroy(&message);
}

// Builds the value anew from what the readers say of it.
static void rebuild(soma_value_builder *builder, soma_value value)
{
    int kind = soma_value_get_kind(value);
    if (kind < SOMA_VALUE_ARRAY) {
        REQUIRE(kind >= 0 && !soma_value_add_value(builder, value));
        return;
    }
    uint32_t count = 0, length;
    REQUIRE(!(kind == SOMA_VALUE_MAP ? soma_value_begin_map(builder) : soma_value_begin_array(builder)));
    for (soma_value_cursor cursor = soma_value_iterate(value); soma_value_next(&cursor); count++) {
        if (kind == SOMA_VALUE_MAP) {
            char *key = calloc(1, (size_t)cursor.key_size + 1);
            REQUIRE(key);
            for (uint32_t i = 0; i < cursor.key_size; i++)
                key[i] = cursor.key[i];
            REQUIRE(!soma_value_add_key(builder, key));
            free(key);
        }
        rebuild(builder, cursor.value);
    }
    REQUIRE(!soma_value_get_length(value, &length) && length == count);
    REQUIRE(!soma_value_end(builder));
}

static void try_value(const uint8_t *data, size_t size)
{
    soma_value value, again, unchecked = {data, (uint32_t)size};
    struct rich message;
    char text[64];
    if (soma_value_check(data, size, &value)) {
        soma_value_print(unchecked, text, sizeof text); // and nothing bad happens
        soma_value_equal(unchecked, unchecked);
        REQUIRE(soma_type_from_value(&rich_type, &message, unchecked)); // what a message can be made of is a value
        return;
    }
    soma_value_builder *builder = opened();
    rebuild(builder, value);
    REQUIRE(!soma_value_builder_finish(builder, &again));
    REQUIRE(soma_value_equal(value, again));
    soma_value_builder_close(&builder);
    if (soma_type_from_value(&rich_type, &message, value))
        return;
    comes_back_from_value(&message);
    rich_destroy(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_message(data, size);
    try_value(data, size);
    return 0;
}
