// Values from and to JSON: what comes back is what went, in both directions, and what is no JSON is told.
#include "runtime/base64.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

SOMA_MESSAGE(point, (i32, x), (f64, y))
SOMA_MESSAGE(greet, (string, name), (u64, age), (bytes, blob), (ref, who), (value, more), (messages, point, path))

#define VALUE(literal) ((soma_value){literal, sizeof(literal) - 1})

// From an exact heap copy without a NUL, so that the address sanitizer sees every read behind the end.
static int from_sized(const char *text, size_t size, soma_value *value)
{
    char *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, text, size);
    int error = soma_value_from_json(exact, size, value);
    free(exact);
    if (error)
        assert_true(!value->data && !value->size);
    return error;
}

static int from(const char *text)
{
    soma_value value;
    int error = from_sized(text, strlen(text), &value);
    soma_value_destroy(&value);
    return error;
}

// The text becomes that value, and the value that text.
static void check_both_ways(const char *text, soma_value expected)
{
    soma_value value;
    char *back;
    assert_int_equal(from_sized(text, strlen(text), &value), 0);
    assert_true(soma_value_equal(value, expected));
    assert_int_equal(soma_value_check(value.data, value.size, &expected), 0);
    assert_int_equal(soma_value_to_json(value, &back), 0);
    assert_string_equal(back, text);
    free(back);
    soma_value_destroy(&value);
}

static void test_both_ways(void **state)
{
    (void)state;
    check_both_ways("null", VALUE("\xc0"));
    check_both_ways("true", VALUE("\xc3"));
    check_both_ways("false", VALUE("\xc2"));
    check_both_ways("0", VALUE("\x00"));
    check_both_ways("-1", VALUE("\xff"));
    check_both_ways("9223372036854775807", VALUE("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"));
    check_both_ways("-9223372036854775808", VALUE("\xd3\x80\0\0\0\0\0\0\0"));
    check_both_ways("1.5", VALUE("\xca\x3f\xc0\0\0"));
    check_both_ways("1.0", VALUE("\xca\x3f\x80\0\0")); // stays a float
    check_both_ways("-0.0", VALUE("\xca\x80\0\0\0"));
    check_both_ways("\"\"", VALUE("\xa0"));
    check_both_ways("\"gr\xc3\xbc\xc3\x9f\\n\\\"\\u0001\"", VALUE("\xa9gr\xc3\xbc\xc3\x9f\n\"\1"));
    check_both_ways("[]", VALUE("\x90"));
    check_both_ways("{}", VALUE("\x80"));
    check_both_ways("[1,[2,{}],null]", VALUE("\x93\1\x92\2\x80\xc0"));
    check_both_ways("{\"b\":1,\"a\":{\"\":[]}}", VALUE("\x82\xa1"
                                                       "b\1\xa1"
                                                       "a\x81\xa0\x90"));
}

static void test_special(void **state)
{
    (void)state;
    check_both_ways("{\"$bytes\":\"AP8=\"}", VALUE("\xc4\2\0\xff"));
    check_both_ways("{\"$bytes\":\"\"}", VALUE("\xc4\0"));
    check_both_ways("[{\"$ref\":\"00000000000000ab/2/4294967295\"}]",
                    VALUE("\x91\xd8\1\0\0\0\0\0\0\0\xab\0\0\0\2\xff\xff\xff\xff"));
    check_both_ways("{\"$u64\":\"18446744073709551615\"}", VALUE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
    // Maps that only look so get another $, and lose it again.
    check_both_ways("{\"$$bytes\":\"AP8=\"}", VALUE("\x81\xa6$bytes\xa4"
                                                    "AP8="));
    check_both_ways("{\"$$$ref\":1}", VALUE("\x81\xa5$$ref\1"));
    check_both_ways("{\"$$u64\":{\"$$u64\":1}}", VALUE("\x81\xa4$u64\x81\xa4$u64\1"));
    // What can't be taken for one stays as it is.
    check_both_ways("{\"$set\":1}", VALUE("\x81\xa4$set\1"));
    check_both_ways("{\"$\":1}", VALUE("\x81\xa1$\1"));
    check_both_ways("{\"$$\":1}", VALUE("\x81\xa2$$\1"));
    check_both_ways("{\"bytes\":1}", VALUE("\x81\xa5"
                                           "bytes\1"));
    check_both_ways("{\"$bytes\":1,\"x\":2}", VALUE("\x82\xa6$bytes\1\xa1x\2"));
    check_both_ways("{\"$bytesx\":1}", VALUE("\x81\xa7$bytesx\1"));
}

static void test_special_errors(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"$bytes\":1}",
        "{\"$bytes\":\"A\"}",
        "{\"$bytes\":\"AP8\"}",
        "{\"$bytes\":\"AP9=\"}",
        "{\"$bytes\":\"AB==\"}",
        "{\"$bytes\":\"A===\"}",
        "{\"$bytes\":\"====\"}",
        "{\"$bytes\":\"A=8=\"}",
        "{\"$bytes\":\"AP_=\"}",
        "{\"$bytes\":\"AP8=\\n\"}",
        "{\"$bytes\":null}",
        "{\"$ref\":\"\"}",
        "{\"$ref\":\"1/2\"}",
        "{\"$ref\":\"1/2/\"}",
        "{\"$ref\":\"/2/3\"}",
        "{\"$ref\":\"1/2/3/\"}",
        "{\"$ref\":\"1/2/3 \"}",
        "{\"$ref\":\"-1/2/3\"}",
        "{\"$ref\":\"A/2/3\"}",
        "{\"$ref\":\"1/a/3\"}",
        "{\"$ref\":\"10000000000000000/2/3\"}",
        "{\"$ref\":\"1/4294967296/3\"}",
        "{\"$ref\":\"1/2/4294967296\"}",
        "{\"$ref\":[1,2,3]}",
        "{\"$u64\":\"18446744073709551616\"}",
        "{\"$u64\":\"-1\"}",
        "{\"$u64\":\"\"}",
        "{\"$u64\":\" 1\"}",
        "{\"$u64\":1}",
        "{\"$u64\":\"99999999999999999999999\"}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(from(wrong[i]), SOMA_EFORMAT);
    assert_int_equal(from("{\"$u64\":\"7\"}"), 0);
    assert_int_equal(from("{\"$ref\":\"ab/0/0\"}"), 0);
}

static void test_from_json_errors(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "x",
        "nul",
        "[",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{1:2}",
        "\"a",
        "1 2",
        "[]]",
        "01",
        "+1",
        ".5",
        "NaN",
        "Infinity",
        "'a'",
        "\"\\x\"",
        "// c\n1",
        "{\"a\":1,\"a\":2}", // a name twice
        "\"\xff\"",          // no UTF-8
        "\"\xc0\x80\"",      // an overlong NUL
        "\"\\ud800\"",       // half a surrogate pair
        "\"a\\u0000b\"",     // a NUL
        "{\"a\\u0000b\":1}",
        "\xef\xbb\xbf[]", // a byte order mark
    };
    soma_value value;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(from(wrong[i]), SOMA_EFORMAT);
    assert_int_equal(from_sized("[1,\0002]", 6, &value), SOMA_EFORMAT);
    assert_int_equal(from_sized("1\0", 2, &value), SOMA_EFORMAT);
    assert_int_equal(from("9223372036854775808"), SOMA_ETYPE);
    assert_int_equal(from("-9223372036854775809"), SOMA_ETYPE);
    assert_int_equal(from("1e400"), SOMA_ETYPE);
    assert_int_equal(from(" [ 1 , 2e3 ] \n"), 0);
    assert_int_equal(soma_value_from_json(NULL, 0, &value), SOMA_EINVAL);
    assert_int_equal(soma_value_from_json("1", 1, NULL), SOMA_EINVAL);
}

static void test_to_json_errors(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(soma_value_to_json(VALUE("\xca\x7f\xc0\0\0"), &text), SOMA_ETYPE); // NaN
    assert_null(text);
    assert_int_equal(soma_value_to_json(VALUE("\x92\x90\x81\xa1x\xca\x7f\x80\0\0"), &text), SOMA_ETYPE); // infinity
    assert_int_equal(soma_value_to_json(VALUE("\x91"), &text), SOMA_EFORMAT);
    assert_int_equal(soma_value_to_json(VALUE("\xa1\xff"), &text), SOMA_EFORMAT);
    assert_int_equal(soma_value_to_json(VALUE("\x81\1\1"), &text), SOMA_ETYPE);
    assert_int_equal(soma_value_to_json((soma_value){NULL, 1}, &text), SOMA_EINVAL);
    assert_int_equal(soma_value_to_json(VALUE("\x01"), NULL), SOMA_EINVAL);
    assert_null(text);
    assert_int_equal(soma_value_to_json(SOMA_VALUE_NONE, &text), 0);
    assert_string_equal(text, "null");
    free(text);
}

static void test_depth(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP);
    assert_non_null(text);
    for (size_t depth = 1; depth <= DEEP; depth *= 2) {
        soma_value value;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(from_sized(text, 2 * depth, &value), depth <= SOMA_VALUE_DEPTH_MAX ? 0 : SOMA_ETOOBIG);
        soma_value_destroy(&value);
    }
    memset(text, '[', SOMA_VALUE_DEPTH_MAX + 1);
    memset(text + SOMA_VALUE_DEPTH_MAX + 1, ']', SOMA_VALUE_DEPTH_MAX + 1);
    text[2 * SOMA_VALUE_DEPTH_MAX + 2] = '\0';
    assert_int_equal(from(text), SOMA_ETOOBIG);
    free(text);
}

static void test_floats_come_back(void **state)
{
    (void)state;
    static const double numbers[] = {0.1, 1e300, -1e-300, 5e-324, 1.7976931348623157e308, 3, 1e17, 123456789.125};
    soma_value_builder *builder;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        soma_value value, back;
        char *text;
        soma_value_builder_reset(builder);
        soma_value_add_f64(builder, numbers[i]);
        assert_int_equal(soma_value_builder_finish(builder, &value), 0);
        assert_int_equal(soma_value_to_json(value, &text), 0);
        assert_int_equal(soma_value_from_json(text, strlen(text), &back), 0);
        assert_true(soma_value_equal(value, back));
        free(text);
        soma_value_destroy(&back);
    }
    soma_value_builder_close(&builder);
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; // of RFC 4648
    for (size_t size = 0; size <= 6; size++) {
        char text[8], data[9];
        size_t length = base64_length(size), decoded;
        assert_int_equal(length, strlen(texts[size]));
        base64_encode(text, "foobar", size);
        assert_memory_equal(text, texts[size], length);
        assert_true(base64_decode(data, &decoded, text, length));
        assert_int_equal(decoded, size);
        assert_memory_equal(data, "foobar", size);
    }
    unsigned char all[256], back[260];
    char text[344];
    size_t size;
    for (unsigned i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    base64_encode(text, all, sizeof all);
    assert_true(base64_decode(back, &size, text, sizeof text));
    assert_int_equal(size, sizeof all);
    assert_memory_equal(all, back, size);
}

// A typed message by way of JSON: what the command line does.
static void test_messages(void **state)
{
    (void)state;
    struct greet m = {.name = "Bob",
                      .age = UINT64_MAX,
                      .blob = {"\xff", 1},
                      .who = {1, 2, 3},
                      .more = VALUE("\x91\xc3"),
                      .path = {(const struct point[]){{1, 2}, {3, 0.5}}, 2}};
    struct greet copy;
    soma_value_builder *builder;
    soma_value value, back;
    char *text;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    assert_int_equal(soma_type_to_value(&greet_type, &m, builder), 0);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    assert_int_equal(soma_value_to_json(value, &text), 0);
    assert_string_equal(text, "{\"name\":\"Bob\",\"age\":{\"$u64\":\"18446744073709551615\"},"
                              "\"blob\":{\"$bytes\":\"/w==\"},\"who\":{\"$ref\":\"0000000000000001/2/3\"},"
                              "\"more\":[true],\"path\":[{\"x\":1,\"y\":2.0},{\"x\":3,\"y\":0.5}]}");
    assert_int_equal(soma_value_from_json(text, strlen(text), &back), 0);
    assert_int_equal(soma_type_from_value(&greet_type, &copy, back), 0);
    assert_true(greet_equal(&copy, &m));
    greet_destroy(&copy);
    soma_value_destroy(&back);
    free(text);
    soma_value_builder_close(&builder);
    assert_int_equal(from_sized("{\"path\":[{\"y\":2}]}", 18, &back), 0); // as people write it
    assert_int_equal(soma_type_from_value(&greet_type, &copy, back), 0);
    assert_int_equal(copy.path.count, 1);
    assert_true(copy.path.items[0].x == 0 && copy.path.items[0].y == 2);
    greet_destroy(&copy);
    soma_value_destroy(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),        cmocka_unit_test(test_special),
        cmocka_unit_test(test_special_errors),   cmocka_unit_test(test_from_json_errors),
        cmocka_unit_test(test_to_json_errors),   cmocka_unit_test(test_depth),
        cmocka_unit_test(test_floats_come_back), cmocka_unit_test(test_base64),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
