// Values as fields of messages, and messages as values.
#include "runtime/type.h"
#include "runtime/value.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

// clang-format off
SOMA_MESSAGE(setting, (string, key), (value, data))
SOMA_MESSAGE(settings, (array, value, list), (messages, setting, path), (u8, last))
SOMA_MESSAGE(point, (i32, x), (f32, y))
SOMA_MESSAGE(every, (u8, a), (u64, b), (i8, c), (i64, d), (f32, e), (f64, f), (bool, g), (string, h), (bytes, i),
             (ref, j), (value, k), (message, point, l), (messages, point, m), (array, string, n), (array, ref, o))
SOMA_MESSAGE(tree, (messages, tree, children))
SOMA_MESSAGE(leaf, (value, data), (messages, leaf, children))
// clang-format on

#define VALUE(literal) ((soma_value){literal, sizeof(literal) - 1})
#define UNPACK(type, literal, into) type##_unpack(into, literal, sizeof(literal) - 1)

static const struct every sample = {
    .a = 255,
    .b = UINT64_MAX,
    .c = -128,
    .d = INT64_MIN,
    .e = 1.5F,
    .f = -0.25,
    .g = true,
    .h = "hi",
    .i = {"\x01\xff", 2},
    .j = {1, 2, 3},
    .k = {"\x82\xa1x\x01\xa1y\x92\xc0\xc3", 9},
    .l = {7, 0.5F},
    .m = {(const struct point[]){{1, 2}, {-3, 4}}, 2},
    .n = {(const char *const[]){"", NULL, "x"}, 3},
    .o = {(const soma_ref[]){{UINT64_MAX, 1, UINT32_MAX}, {0, 0, 0}}, 2},
};

/* Its size flattened; 0 if it can't be. */
static size_t flat_size(const soma_type *type, const void *body)
{
    size_t size;
    return type_flat_size(type, body, &size) ? 0 : size;
}

static void test_in_memory(void **state)
{
    (void)state;
    struct setting a = {"k", VALUE("\x91\x07")}, b = {"k", VALUE("\x91\xcc\x07")}, copy, bad = {NULL, {NULL, 1}};
    char text[64];
    assert_false(setting_type.flat);
    assert_true(setting_equal(&a, &b)); // by meaning, not by bytes
    b.data = VALUE("\x91\x08");
    assert_false(setting_equal(&a, &b));
    assert_int_equal(setting_copy(&copy, &a), 0);
    assert_ptr_not_equal(copy.data.data, a.data.data);
    assert_true(setting_equal(&copy, &a));
    setting_destroy(&copy);
    assert_null(copy.data.data);
    setting_print(&a, text, sizeof text);
    assert_string_equal(text, "setting{key: \"k\", data: [7]}");
    setting_init(&copy);
    setting_print(&copy, text, sizeof text);
    assert_string_equal(text, "setting{key: null, data: null}");
    assert_true(setting_equal(&copy, &(struct setting){NULL, VALUE("\xc0")}));
    assert_int_equal(setting_copy(&copy, &bad), SOMA_EINVAL);
    assert_int_equal(flat_size(&setting_type, &bad), 0);
    assert_false(setting_equal(&bad, &bad));
    soma_field bytes[] = {setting_type.fields[0], setting_type.fields[1]};
    bytes[1].kind = SOMA_KIND_BYTES;
    soma_type other = setting_type;
    other.fields = bytes;
    assert_true(soma_type_hash(&setting_type) != soma_type_hash(&other));
}

static void test_flatten(void **state)
{
    (void)state;
    const soma_value values[] = {VALUE("\xa3xyz"), SOMA_VALUE_NONE, VALUE("\x93\1\2\3")};
    const struct setting path[] = {{"a", VALUE("\x01")}};
    struct settings m = {{values, 3}, {path, 1}, 9};
    size_t size = flat_size(&settings_type, &m);
    struct settings *block = malloc(size); // exact, so that the address sanitizer sees a byte too many
    assert_non_null(block);
    type_flatten(&settings_type, block, &m);
    assert_true(settings_equal(block, &m));
    assert_in_range((uintptr_t)block->list.items[2].data, (uintptr_t)block, (uintptr_t)block + size - 1);
    free(block);
}

static void test_wire(void **state)
{
    (void)state;
    const soma_value values[] = {VALUE("\xa3xyz"), SOMA_VALUE_NONE, VALUE("\x81\xa1q\x92\1\2")};
    struct settings m = {{values, 3}, {NULL, 0}, 9}, copy;
    void *wire;
    size_t size;
    const char expected[] = "\x93\x93\xa3xyz\xc0\x81\xa1q\x92\1\2\x90\x09"; // inline, as themselves
    assert_int_equal(settings_pack(&m, &wire, &size), 0);
    assert_int_equal(size, sizeof expected - 1);
    assert_memory_equal(wire, expected, size);
    assert_int_equal(settings_unpack(&copy, wire, size), 0);
    assert_true(settings_equal(&copy, &m));
    assert_null(copy.list.items[1].data); // nil is the empty value
    settings_destroy(&copy);
    for (size_t cut = 0; cut < size; cut++) {
        void *exact = malloc(cut ? cut : 1);
        assert_non_null(exact);
        memcpy(exact, wire, cut);
        assert_int_equal(settings_unpack(&copy, exact, cut), SOMA_EFORMAT);
        free(exact);
    }
    free(wire);
    struct setting one;
    assert_int_equal(UNPACK(setting,
                            "\x82\xa4"
                            "data\xa1z\xa3key\xc0",
                            &one),
                     0);
    setting_destroy(&one);
    assert_int_equal(UNPACK(setting, "\x92\xc0\xa1\xff", &one), SOMA_EFORMAT);
    assert_int_equal(UNPACK(setting, "\x92\xc0\x81\x01\x01", &one), SOMA_ETYPE);
    assert_int_equal(UNPACK(setting, "\x92\xa1k\x82\xa1x\1\xa1x\2", &one), SOMA_EFORMAT);
    assert_int_equal(UNPACK(setting, "\x92\xa1k\xdd\xff\xff\xff\xff", &one), SOMA_EFORMAT);
    assert_int_equal(UNPACK(setting, "\x92\xa1k\xd4\1x", &one), SOMA_ETYPE);
    assert_int_equal(setting_pack(&(struct setting){NULL, VALUE("\x91")}, &wire, &size), SOMA_EFORMAT);
    assert_int_equal(setting_pack(&(struct setting){NULL, VALUE("\1\1")}, &wire, &size), SOMA_EFORMAT);
    assert_int_equal(setting_pack(&(struct setting){NULL, {NULL, 1}}, &wire, &size), SOMA_EINVAL);
    assert_null(wire);
}

// A value in a message may be less deep, by two for the message; packing and unpacking agree where that ends.
static void test_depth(void **state)
{
    (void)state;
    char deep[SOMA_VALUE_DEPTH_MAX], wire_deep[SOMA_VALUE_DEPTH_MAX + 2];
    memset(deep, '\x91', sizeof deep);
    deep[sizeof deep - 1] = '\x90';
    for (uint32_t depth = 1; depth <= sizeof deep; depth++) {
        struct setting m = {NULL, {deep + sizeof deep - depth, depth}}, copy;
        int expected = depth <= SOMA_VALUE_DEPTH_MAX - 2 ? 0 : SOMA_ETOOBIG;
        void *wire;
        size_t size;
        assert_int_equal(setting_pack(&m, &wire, &size), expected);
        free(wire);
        memcpy(wire_deep, "\x92\xc0", 2);
        memcpy(wire_deep + 2, m.data.data, depth);
        assert_int_equal(setting_unpack(&copy, wire_deep, depth + 2), expected);
        setting_destroy(&copy);
    }
}

static void test_to_value_and_back(void **state)
{
    (void)state;
    soma_value_builder *builder;
    soma_value value;
    struct every copy;
    char text[512];
    assert_int_equal(soma_value_builder_open(&builder), 0);
    assert_int_equal(soma_type_to_value(&every_type, &sample, builder), 0);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    soma_value_print(value, text, sizeof text);
    assert_string_equal(
        text, "{\"a\": 255, \"b\": 18446744073709551615, \"c\": -128, \"d\": -9223372036854775808, \"e\": 1.5, "
              "\"f\": -0.25, \"g\": true, \"h\": \"hi\", \"i\": <01ff>, \"j\": 0000000000000001/2/3, "
              "\"k\": {\"x\": 1, \"y\": [null, true]}, \"l\": {\"x\": 7, \"y\": 0.5}, "
              "\"m\": [{\"x\": 1, \"y\": 2}, {\"x\": -3, \"y\": 4}], \"n\": [\"\", null, \"x\"], "
              "\"o\": [ffffffffffffffff/1/4294967295, 0000000000000000/0/0]}");
    assert_int_equal(soma_type_from_value(&every_type, &copy, value), 0);
    assert_true(every_equal(&copy, &sample));
    every_destroy(&copy);
    soma_value_builder_close(&builder);
}

static int from(const soma_type *type, void *dst, soma_value value)
{
    memset(dst, 0xff, type->size);
    int error = soma_type_from_value(type, dst, value);
    for (size_t i = 0; i < type->size && error; i++)
        assert_int_equal(((const char *)dst)[i], 0);
    return error;
}

static void test_from_value(void **state)
{
    (void)state;
    struct point p;
    struct every e;
    assert_int_equal(from(&point_type, &p, VALUE("\x82\xa1y\x02\xa1x\xff")), 0); // 2 for 2.0
    assert_true(p.x == -1 && p.y == 2);
    assert_int_equal(from(&point_type, &p, VALUE("\x81\xa1y\xff")), 0); // x is zero
    assert_true(p.x == 0 && p.y == -1);
    assert_int_equal(from(&point_type, &p, VALUE("\x80")), 0);
    assert_int_equal(from(&point_type, &p, VALUE("\x92\x01\x02")), 0);
    assert_int_equal(from(&point_type, &p, VALUE("\x91\x01")), SOMA_EFORMAT);
    assert_int_equal(from(&point_type, &p, VALUE("\x81\xa1z\x01")), SOMA_EFORMAT);
    assert_int_equal(from(&point_type, &p, VALUE("\x82\xa1x\x01\xa1x\x01")), SOMA_EFORMAT);
    assert_int_equal(from(&point_type, &p, VALUE("\x80\x80")), SOMA_EFORMAT);
    assert_int_equal(from(&point_type, &p, VALUE("\x81\xa1y\xa1z")), SOMA_ETYPE);
    assert_int_equal(from(&point_type, &p, VALUE("\x81\xa1y\xcf\x7f\xff\xff\xff\xff\xff\xff\xff")), SOMA_ETYPE);
    assert_int_equal(from(&point_type, &p, VALUE("\x81\xa1x\xca\x3f\x80\0\0")), SOMA_ETYPE); // 1.0 for 1
    assert_int_equal(from(&point_type, &p, SOMA_VALUE_NONE), SOMA_ETYPE);
    assert_int_equal(from(&point_type, &p, VALUE("\x01")), SOMA_ETYPE);
    assert_int_equal(from(&every_type, &e, VALUE("\x81\xa1j\x93\x01\x02\x03")), SOMA_ETYPE); // the wire's ref
    assert_int_equal(from(&every_type, &e, VALUE("\x82\xa1h\xa1z\xa1o\xdd\xff\xff\xff\xff")), SOMA_EFORMAT);
    assert_int_equal(from(&every_type, &e, VALUE("\x82\xa1h\xa1z\xa1m\xdd\xff\xff\xff\xff")), SOMA_EFORMAT);
    assert_int_equal(soma_type_from_value(&point_type, &p, (soma_value){NULL, 1}), SOMA_EINVAL);
    assert_int_equal(soma_type_from_value(NULL, &p, VALUE("\x80")), SOMA_EINVAL);
    assert_int_equal(soma_type_from_value(&point_type, NULL, VALUE("\x80")), SOMA_EINVAL);
}

// The deepest message that packs also has a value's form, with a value in its innermost message.
static void test_deepest_message(void **state)
{
    (void)state;
    struct leaf leaves[SOMA_TYPE_DEPTH_MAX] = {{{NULL, 0}, {NULL, 0}}}, copy;
    soma_value_builder *builder;
    soma_value value;
    void *wire;
    size_t size;
    for (int i = 0; i < SOMA_TYPE_DEPTH_MAX; i++) {
        leaves[i].data = i < SOMA_TYPE_DEPTH_MAX - 1 ? VALUE("\x91\x90") : VALUE("\x07");
        leaves[i].children.items = i + 1 < SOMA_TYPE_DEPTH_MAX ? &leaves[i + 1] : NULL;
        leaves[i].children.count = i + 1 < SOMA_TYPE_DEPTH_MAX;
    }
    assert_int_equal(leaf_pack(leaves, &wire, &size), 0);
    free(wire);
    assert_int_equal(soma_value_builder_open(&builder), 0);
    assert_int_equal(soma_type_to_value(&leaf_type, leaves, builder), 0);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    assert_int_equal(soma_type_from_value(&leaf_type, &copy, value), 0);
    assert_true(leaf_equal(&copy, leaves));
    leaf_destroy(&copy);

    struct tree loop = {{&loop, 1}}; // comes to an end
    soma_value_builder_reset(builder);
    assert_int_equal(soma_type_to_value(&tree_type, &loop, builder), SOMA_ETOOBIG);
    soma_value_builder_reset(builder);
    assert_int_equal(soma_type_to_value(&tree_type, &(struct tree){{NULL, 1}}, builder), SOMA_EINVAL);
    assert_int_equal(soma_value_builder_finish(builder, &value), SOMA_EINVAL);
    soma_value_builder_reset(builder);
    assert_int_equal(soma_type_to_value(NULL, &loop, builder), SOMA_EINVAL);
    soma_value_builder_reset(builder);
    assert_int_equal(soma_type_to_value(&tree_type, NULL, builder), SOMA_EINVAL);
    assert_int_equal(soma_type_to_value(&tree_type, &loop, NULL), SOMA_EINVAL);
    soma_value_builder_close(&builder);
}

static int64_t received;

static int on_setting(soma_agent *self, void *my, const struct setting *message)
{
    (void)self, (void)my;
    soma_value item;
    soma_value_get_entry(message->data, "n", &item);
    return soma_value_get_i64(item, &received);
}

static const soma_behavior holder = {.name = "holder", .handlers = SOMA_HANDLERS(SOMA_ON(setting, on_setting))};

static void test_send(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    char bytes[] = "\x81\xa1n\x07";
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &holder, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, setting, .key = "k", .data = {bytes, 4}), 0);
    memset(bytes, 0, sizeof bytes); // the message has a copy
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(received, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_memory),
        cmocka_unit_test(test_flatten),
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_to_value_and_back),
        cmocka_unit_test(test_from_value),
        cmocka_unit_test(test_deepest_message),
        cmocka_unit_test(test_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
