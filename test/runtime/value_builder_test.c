// The builder of dynamic values: the shortest form comes out, and whatever is done wrong is told.
#include "runtime/value.h"
#include "test_support.h"
#include <soma/error.h>
#include <stdio.h>
#include <string.h>

#define VALUE(literal) ((soma_value){literal, sizeof(literal) - 1})

static soma_value_builder *opened(void)
{
    soma_value_builder *builder;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    return builder;
}

// The shortest head is chosen once the count is known, with the content moved.
static void test_long_containers(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 15, 16, 300, 65535, 65536};
    soma_value_builder *builder = opened();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        soma_value value, item;
        uint32_t length, head = counts[i] < 16 ? 1 : counts[i] < 65536 ? 3 : 5;
        int64_t number;
        char key[16];
        assert_int_equal(soma_value_builder_reset(builder), 0);
        soma_value_begin_array(builder);
        soma_value_begin_array(builder);
        for (uint32_t n = 0; n < counts[i]; n++)
            soma_value_add_u64(builder, n & 127);
        soma_value_end(builder);
        soma_value_begin_map(builder);
        for (uint32_t n = 0; n < counts[i]; n++) {
            snprintf(key, sizeof key, "%u", (unsigned)n);
            soma_value_add_key(builder, key);
            soma_value_add_u64(builder, n);
        }
        soma_value_end(builder);
        soma_value_end(builder);
        assert_int_equal(soma_value_builder_finish(builder, &value), 0);
        assert_int_equal(soma_value_check(value.data, value.size, &value), 0);
        assert_int_equal(soma_value_get_item(value, 0, &item), 0);
        assert_int_equal(item.size, head + counts[i]);
        assert_int_equal(soma_value_get_length(item, &length), 0);
        assert_int_equal(length, counts[i]);
        assert_int_equal(soma_value_get_item(value, 1, &item), 0);
        assert_int_equal(soma_value_get_length(item, &length), 0);
        assert_int_equal(length, counts[i]);
        assert_int_equal(soma_value_get_entry(item, "299", &item), counts[i] < 300 ? SOMA_ENOENT : 0);
        assert_int_equal(soma_value_get_i64(item, &number), counts[i] < 300 ? SOMA_ETYPE : 0);
    }
    soma_value_builder_close(&builder);
}

static void test_map_macro(void **state)
{
    (void)state;
    soma_value_builder *builder = opened();
    soma_value value;
    char text[256];
    soma_value_begin_array(builder);
    assert_int_equal(SOMA_VALUE_MAP(builder, (bool, "a", true)), 0);
    SOMA_VALUE_MAP(builder, (i64, "i", -1), (u64, "u", 1), (f64, "f", 0.5), (string, "s", "x"),
                   (bytes, "b", (soma_bytes){"\1", 1}), (ref, "r", (soma_ref){1, 2, 3}), (value, "v", VALUE("\x90")));
    soma_value_end(builder);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    soma_value_print(value, text, sizeof text);
    assert_string_equal(text, "[{\"a\": true}, {\"i\": -1, \"u\": 1, \"f\": 0.5, \"s\": \"x\", \"b\": <01>, "
                              "\"r\": 0000000000000001/2/3, \"v\": []}]");
    soma_value_builder_close(&builder);
}

// Runs steps on a fresh builder; the first error must stick, also at the end.
#define STICKS(expected, ...)                                                                                          \
    do {                                                                                                               \
        soma_value_builder *b = opened();                                                                              \
        soma_value v = VALUE("x");                                                                                     \
        __VA_ARGS__;                                                                                                   \
        assert_int_equal(soma_value_add_nil(b), expected);                                                             \
        assert_int_equal(soma_value_builder_finish(b, &v), expected);                                                  \
        assert_true(!v.data && !v.size);                                                                               \
        soma_value_builder_reset(b);                                                                                   \
        assert_int_equal(soma_value_add_nil(b), 0);                                                                    \
        assert_int_equal(soma_value_builder_finish(b, &v), 0);                                                         \
        soma_value_builder_close(&b);                                                                                  \
    } while (0)

static void test_builder_errors(void **state)
{
    (void)state;
    soma_value value;
    STICKS(SOMA_ESTATE, soma_value_end(b));
    STICKS(SOMA_ESTATE, soma_value_add_key(b, "top"));
    STICKS(SOMA_ESTATE, soma_value_add_nil(b));                          // the macro adds the second one
    STICKS(SOMA_ESTATE, soma_value_begin_map(b), soma_value_add_nil(b)); // no key
    STICKS(SOMA_ESTATE, soma_value_begin_map(b), soma_value_begin_map(b));
    STICKS(SOMA_ESTATE, soma_value_begin_map(b), soma_value_add_key(b, "a"), soma_value_add_key(b, "b"));
    STICKS(SOMA_ESTATE, soma_value_begin_map(b), soma_value_add_key(b, "a"), soma_value_end(b));
    STICKS(SOMA_ESTATE, soma_value_begin_array(b), soma_value_add_key(b, "a"));
    STICKS(SOMA_EINVAL, soma_value_begin_map(b), soma_value_add_key(b, NULL));
    STICKS(SOMA_EFORMAT, soma_value_begin_map(b), soma_value_add_key(b, "\xff"));
    STICKS(SOMA_EFORMAT, soma_value_add_string(b, "\xc0\x80"));
    STICKS(SOMA_EINVAL, soma_value_add_bytes(b, (soma_bytes){NULL, 1}));
    STICKS(SOMA_EINVAL, soma_value_add_value(b, (soma_value){NULL, 1}));
    STICKS(SOMA_EFORMAT, soma_value_add_value(b, VALUE("\x91")));
    STICKS(SOMA_ETOOBIG, soma_value_add_bytes(b, (soma_bytes){"", UINT32_MAX})); // seen before it is read
    STICKS(SOMA_EEXIST, SOMA_VALUE_MAP(b, (i64, "a", 1), (i64, "b", 2), (i64, "a", 3)));
    STICKS(SOMA_ETOOBIG, for (int i = 0; i <= SOMA_VALUE_DEPTH_MAX; i++) soma_value_begin_array(b));
    STICKS(SOMA_ETOOBIG, for (int i = 0; i < SOMA_VALUE_DEPTH_MAX; i++) soma_value_begin_array(b),
           soma_value_add_value(b, VALUE("\x90")));
    soma_value_builder *builder = opened();
    assert_int_equal(soma_value_builder_finish(builder, &value), SOMA_ESTATE); // nothing
    soma_value_begin_array(builder);
    assert_int_equal(soma_value_builder_finish(builder, &value), SOMA_ESTATE); // not ended, which does not stick
    assert_int_equal(soma_value_end(builder), 0);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    soma_value_builder_close(&builder);
    soma_value_builder_close(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_containers),
        cmocka_unit_test(test_map_macro),
        cmocka_unit_test(test_builder_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
