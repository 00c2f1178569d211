// Dynamic values: what the builder makes is what the readers find, and nothing else than a value passes the check.
#include "runtime/value.h"
#include "test_support.h"
#include <soma/error.h>
#include <string.h>

// Checks an exact heap copy, so that the address sanitizer sees every read behind the end.
static int check_exact(const void *data, size_t size)
{
    soma_value value;
    void *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    if (size)
        memcpy(exact, data, size);
    int error = soma_value_check(exact, size, &value);
    assert_int_equal(value.size, error ? 0 : size);
    free(exact);
    return error;
}

#define CHECK(literal) check_exact(literal, sizeof(literal) - 1)
#define VALUE(literal) ((soma_value){literal, sizeof(literal) - 1})

static soma_value_builder *opened(void)
{
    soma_value_builder *builder;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    return builder;
}

// {"name": "Bob", "age": -42, "big": 2^64-1, "pi": 3.5, "ok": true, "none": nil, "blob": <00ff>, "who": 1/2/3,
//  "list": [1, [], {"": "gruesse"}]}
static soma_value sample(soma_value_builder *builder)
{
    soma_value value;
    soma_value_begin_map(builder);
    soma_value_add_key(builder, "name");
    soma_value_add_string(builder, "Bob");
    soma_value_add_key(builder, "age");
    soma_value_add_i64(builder, -42);
    soma_value_add_key(builder, "big");
    soma_value_add_u64(builder, UINT64_MAX);
    soma_value_add_key(builder, "pi");
    soma_value_add_f64(builder, 3.5);
    soma_value_add_key(builder, "ok");
    soma_value_add_bool(builder, true);
    soma_value_add_key(builder, "none");
    soma_value_add_nil(builder);
    soma_value_add_key(builder, "blob");
    soma_value_add_bytes(builder, (soma_bytes){"\0\xff", 2});
    soma_value_add_key(builder, "who");
    soma_value_add_ref(builder, (soma_ref){1, 2, 3});
    soma_value_add_key(builder, "list");
    soma_value_begin_array(builder);
    soma_value_add_i64(builder, 1);
    soma_value_begin_array(builder);
    soma_value_end(builder);
    soma_value_begin_map(builder);
    soma_value_add_key(builder, "");
    soma_value_add_string(builder, "gr\xc3\xbc\xc3\x9f"
                                   "e");
    soma_value_end(builder);
    soma_value_end(builder);
    soma_value_end(builder);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    assert_int_equal(check_exact(value.data, value.size), 0);
    return value;
}

static soma_value entry(soma_value map, const char *key)
{
    soma_value item;
    assert_int_equal(soma_value_get_entry(map, key, &item), 0);
    return item;
}

static void test_build_and_read(void **state)
{
    (void)state;
    soma_value_builder *builder = opened();
    soma_value value = sample(builder), item;
    const char *text;
    uint32_t size;
    int64_t i64;
    uint64_t u64;
    double f64;
    bool truth;
    soma_bytes bytes;
    soma_ref ref;
    assert_int_equal(soma_value_get_kind(value), SOMA_VALUE_MAP);
    assert_int_equal(soma_value_get_length(value, &size), 0);
    assert_int_equal(size, 9);
    assert_int_equal(soma_value_get_string(entry(value, "name"), &text, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(text, "Bob", 3);
    assert_int_equal(soma_value_get_i64(entry(value, "age"), &i64), 0);
    assert_int_equal(i64, -42);
    assert_int_equal(soma_value_get_u64(entry(value, "big"), &u64), 0);
    assert_true(u64 == UINT64_MAX);
    assert_int_equal(soma_value_get_f64(entry(value, "pi"), &f64), 0);
    assert_true(f64 == 3.5);
    assert_int_equal(soma_value_get_bool(entry(value, "ok"), &truth), 0);
    assert_true(truth);
    assert_int_equal(soma_value_get_kind(entry(value, "none")), SOMA_VALUE_NIL);
    assert_int_equal(soma_value_get_bytes(entry(value, "blob"), &bytes), 0);
    assert_int_equal(bytes.size, 2);
    assert_memory_equal(bytes.data, "\0\xff", 2);
    assert_int_equal(soma_value_get_ref(entry(value, "who"), &ref), 0);
    assert_true(soma_ref_equal(ref, (soma_ref){1, 2, 3}));
    soma_value list = entry(value, "list");
    assert_int_equal(soma_value_get_length(list, &size), 0);
    assert_int_equal(size, 3);
    assert_int_equal(soma_value_get_item(list, 2, &item), 0);
    assert_int_equal(soma_value_get_string(entry(item, ""), &text, &size), 0);
    assert_int_equal(soma_value_get_item(list, 3, &item), SOMA_ENOENT);
    assert_int_equal(item.size, 0);
    assert_int_equal(soma_value_get_entry(value, "nam", &item), SOMA_ENOENT);
    assert_int_equal(soma_value_builder_close(&builder), 0);
    assert_null(builder);
}

static void test_wrong_kinds(void **state)
{
    (void)state;
    soma_value number = VALUE("\x07"), text = VALUE("\xa1x"), item;
    const char *string = "";
    uint32_t size = 1;
    int64_t i64 = 1;
    uint64_t u64 = 1;
    double f64 = 1;
    bool truth = true;
    soma_bytes bytes = {"", 1};
    soma_ref ref = {1, 1, 1};
    assert_int_equal(soma_value_get_string(number, &string, &size), SOMA_ETYPE);
    assert_true(!string && !size);
    assert_int_equal(soma_value_get_i64(text, &i64), SOMA_ETYPE);
    assert_int_equal(i64, 0);
    assert_int_equal(soma_value_get_u64(text, &u64), SOMA_ETYPE);
    assert_int_equal(u64, 0);
    assert_int_equal(soma_value_get_f64(text, &f64), SOMA_ETYPE);
    assert_true(f64 == 0);
    assert_int_equal(soma_value_get_bool(number, &truth), SOMA_ETYPE);
    assert_false(truth);
    assert_int_equal(soma_value_get_bytes(text, &bytes), SOMA_ETYPE);
    assert_true(!bytes.data && !bytes.size);
    assert_int_equal(soma_value_get_ref(text, &ref), SOMA_ETYPE);
    assert_true(soma_ref_is_null(ref));
    assert_int_equal(soma_value_get_length(number, &size), SOMA_ETYPE);
    assert_int_equal(soma_value_get_item(text, 0, &item), SOMA_ETYPE);
    assert_int_equal(soma_value_get_entry(text, "x", &item), SOMA_ETYPE);
    assert_int_equal(soma_value_get_item(VALUE("\x80"), 0, &item), SOMA_ETYPE);
    assert_int_equal(soma_value_get_entry(VALUE("\x90"), "x", &item), SOMA_ETYPE);
    // A failed look gives the empty value, so that a chain of looks ends in an error too.
    assert_int_equal(soma_value_get_i64(item, &i64), SOMA_ETYPE);
    assert_int_equal(soma_value_get_kind(SOMA_VALUE_NONE), SOMA_VALUE_NIL);
    soma_value_cursor cursor = soma_value_iterate(text);
    assert_false(soma_value_next(&cursor));
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t i64;
    uint64_t u64;
    double f64;
    soma_value max = VALUE("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), over = VALUE("\xcf\x80\0\0\0\0\0\0\0");
    soma_value min = VALUE("\xd3\x80\0\0\0\0\0\0\0"), minus = VALUE("\xff");
    assert_int_equal(soma_value_get_i64(max, &i64), 0);
    assert_true(i64 == INT64_MAX);
    assert_int_equal(soma_value_get_i64(over, &i64), SOMA_ETYPE);
    assert_int_equal(soma_value_get_u64(over, &u64), 0);
    assert_true(u64 == UINT64_C(1) << 63);
    assert_int_equal(soma_value_get_i64(min, &i64), 0);
    assert_true(i64 == INT64_MIN);
    assert_int_equal(soma_value_get_u64(minus, &u64), SOMA_ETYPE);
    assert_int_equal(soma_value_get_f64(minus, &f64), 0);
    assert_true(f64 == -1);
    assert_int_equal(soma_value_get_f64(min, &f64), SOMA_ETYPE);
    assert_int_equal(soma_value_get_f64(VALUE("\xcf\0\x20\0\0\0\0\0\0"), &f64), 0);
    assert_true(f64 == 9007199254740992.0);
    assert_int_equal(soma_value_get_f64(VALUE("\xcf\0\x20\0\0\0\0\0\1"), &f64), SOMA_ETYPE);
    assert_int_equal(soma_value_get_f64(VALUE("\xca\x3f\xc0\0\0"), &f64), 0);
    assert_true(f64 == 1.5);
    assert_int_equal(soma_value_get_i64(VALUE("\xca\x3f\x80\0\0"), &i64), SOMA_ETYPE); // 1.0 is no integer
    assert_int_equal(soma_value_get_i64(VALUE("\xd1\x00\x07"), &i64), 0);              // any width is taken
    assert_int_equal(i64, 7);
}

static void test_walk(void **state)
{
    (void)state;
    soma_value_builder *builder = opened();
    soma_value value = sample(builder);
    const char *keys[] = {"name", "age", "big", "pi", "ok", "none", "blob", "who", "list"};
    size_t count = 0;
    for (soma_value_cursor cursor = soma_value_iterate(value); soma_value_next(&cursor); count++) {
        assert_int_equal(cursor.key_size, strlen(keys[count]));
        assert_memory_equal(cursor.key, keys[count], cursor.key_size);
        assert_true(soma_value_equal(cursor.value, entry(value, keys[count])));
    }
    assert_int_equal(count, 9);
    soma_value_cursor cursor = soma_value_iterate(entry(value, "list"));
    assert_true(soma_value_next(&cursor) && soma_value_next(&cursor) && soma_value_next(&cursor));
    assert_null(cursor.key);
    assert_false(soma_value_next(&cursor));
    assert_int_equal(cursor.value.size, 0);
    assert_false(soma_value_next(&cursor));
    soma_value_builder_close(&builder);
}

static void test_null_arguments(void **state)
{
    (void)state;
    soma_value_builder *builder = opened();
    soma_value value = VALUE("\xc0");
    uint32_t size;
    const char *text;
    assert_int_equal(soma_value_builder_open(NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_builder_close(NULL), 0);
    assert_int_equal(soma_value_builder_reset(NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_builder_finish(NULL, &value), SOMA_EINVAL);
    assert_int_equal(soma_value_builder_finish(builder, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_add_nil(NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_add_bool(NULL, true), SOMA_EINVAL);
    assert_int_equal(soma_value_add_i64(NULL, 1), SOMA_EINVAL);
    assert_int_equal(soma_value_add_u64(NULL, 1), SOMA_EINVAL);
    assert_int_equal(soma_value_add_f64(NULL, 1), SOMA_EINVAL);
    assert_int_equal(soma_value_add_string(NULL, "x"), SOMA_EINVAL);
    assert_int_equal(soma_value_add_bytes(NULL, (soma_bytes){NULL, 0}), SOMA_EINVAL);
    assert_int_equal(soma_value_add_ref(NULL, SOMA_REF_NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_add_value(NULL, VALUE("\x01")), SOMA_EINVAL);
    assert_int_equal(soma_value_add_key(NULL, "x"), SOMA_EINVAL);
    assert_int_equal(soma_value_begin_array(NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_begin_map(NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_end(NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_check(NULL, 1, &value), SOMA_EINVAL);
    assert_int_equal(value.size, 0);
    assert_int_equal(soma_value_check("\xc0", 1, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_bool(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_i64(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_u64(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_f64(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_string(value, NULL, &size), SOMA_EINVAL);
    assert_int_equal(soma_value_get_string(value, &text, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_bytes(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_ref(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_length(value, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_item(value, 0, NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_entry(value, "x", NULL), SOMA_EINVAL);
    assert_int_equal(soma_value_get_entry(value, NULL, &value), SOMA_EINVAL);
    assert_false(soma_value_next(NULL));
    assert_int_equal(soma_value_copy(NULL, value), SOMA_EINVAL);
    assert_int_equal(soma_value_copy(&value, (soma_value){NULL, 1}), SOMA_EINVAL);
    assert_int_equal(soma_value_print(value, NULL, 1), SOMA_EINVAL);
    assert_int_equal(soma_value_get_kind((soma_value){NULL, 1}), SOMA_EFORMAT);
    soma_value_destroy(NULL);
    soma_value_builder_close(&builder);
}

static void test_check_accepts(void **state)
{
    (void)state;
    assert_int_equal(CHECK("\xc0"), 0);
    assert_int_equal(CHECK("\xc3"), 0);
    assert_int_equal(CHECK("\xd3\0\0\0\0\0\0\0\1"), 0); // longer than need be
    assert_int_equal(CHECK("\xdb\0\0\0\1x"), 0);
    assert_int_equal(CHECK("\xc6\0\0\0\1x"), 0);
    assert_int_equal(CHECK("\xdd\0\0\0\1\xdf\0\0\0\1\xa1"
                           "a\xca\x7f\xc0\0\0"),
                     0);
    assert_int_equal(CHECK("\xd8\1\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3"), 0); // a ref
    assert_int_equal(CHECK("\x82\xa1"
                           "a\1\xa1"
                           "b\1"),
                     0);
}

static void test_check_rejects(void **state)
{
    (void)state;
    assert_int_equal(CHECK(""), SOMA_EFORMAT);
    assert_int_equal(CHECK("\xc1"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\xc0\xc0"), SOMA_EFORMAT);  // bytes left over
    assert_int_equal(CHECK("\x91"), SOMA_EFORMAT);      // truncated
    assert_int_equal(CHECK("\x81\xa1x"), SOMA_EFORMAT); // a key without a value
    assert_int_equal(CHECK("\xa2x"), SOMA_EFORMAT);     // a short string
    assert_int_equal(CHECK("\xa1\xff"), SOMA_EFORMAT);  // no UTF-8
    assert_int_equal(CHECK("\xa1\0"), SOMA_EFORMAT);    // a NUL
    assert_int_equal(CHECK("\x81\xa1\xff\1"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\x81\xa1\0\1"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\x81\1\1"), SOMA_ETYPE); // a key that is no string
    assert_int_equal(CHECK("\x81\xc4\1x\1"), SOMA_ETYPE);
    assert_int_equal(CHECK("\xd4\1x"), SOMA_ETYPE); // other extensions
    assert_int_equal(CHECK("\xd8\2................"), SOMA_ETYPE);
    assert_int_equal(CHECK("\xc7\0\1"), SOMA_ETYPE);
    assert_int_equal(CHECK("\xd8\1..............."), SOMA_EFORMAT);
    assert_int_equal(CHECK("\x82\xa1x\1\xa1x\2"), SOMA_EFORMAT); // a key twice
    assert_int_equal(CHECK("\x82\xa1x\1\xd9\1x\2"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\x91\x83\xa1x\1\xa1y\x91\x80\xa1x\2"), SOMA_EFORMAT);
    // Lengths that are not there, whatever they promise.
    assert_int_equal(CHECK("\xdd\xff\xff\xff\xff\1\2\3"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\xdf\xff\xff\xff\xff\xa1x\1"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\xdb\xff\xff\xff\xffx"), SOMA_EFORMAT);
    assert_int_equal(CHECK("\xc6\xff\xff\xff\xffx"), SOMA_EFORMAT);
    soma_value value;
    if (SIZE_MAX > UINT32_MAX) // seen before the bytes are
        assert_int_equal(soma_value_check("", (size_t)UINT32_MAX + 1, &value), SOMA_ETOOBIG);
}

static void test_depth(void **state)
{
    (void)state;
    static char data[100000];
    for (size_t depth = 1; depth <= sizeof data; depth *= 2) {
        memset(data, '\x91', depth);
        data[depth - 1] = '\x90';
        assert_int_equal(check_exact(data, depth), depth <= SOMA_VALUE_DEPTH_MAX ? 0 : SOMA_ETOOBIG);
    }
    memset(data, '\x91', SOMA_VALUE_DEPTH_MAX + 1);
    data[SOMA_VALUE_DEPTH_MAX] = '\x90';
    assert_int_equal(check_exact(data, SOMA_VALUE_DEPTH_MAX + 1), SOMA_ETOOBIG);
    data[SOMA_VALUE_DEPTH_MAX] = '\x01';
    assert_int_equal(check_exact(data, SOMA_VALUE_DEPTH_MAX + 1), 0); // what is no container has no depth
    // What nobody checked is walked and printed without harm, and never equal.
    memset(data, '\x91', sizeof data);
    data[sizeof data - 1] = '\x90';
    soma_value deep = {data, sizeof data};
    char text[64];
    assert_false(soma_value_equal(deep, deep));
    assert_true(soma_value_print(deep, text, sizeof text) > 0);
    soma_value_cursor cursor = soma_value_iterate(deep);
    assert_true(soma_value_next(&cursor));
}

// Many keys are compared by sorting: a doubled one is found wherever it is, and a large map takes no time.
static void test_many_keys(void **state)
{
    (void)state;
    enum { HEAD = 5, ENTRY = 8, DIGITS = 6 };
    for (uint32_t count = 2; count <= test_load(1000000); count *= 3) {
        size_t size = HEAD + (size_t)count * ENTRY;
        unsigned char *data = malloc(size);
        soma_value value;
        assert_non_null(data);
        data[0] = 0xdf;
        for (unsigned i = 0; i < 4; i++)
            data[1 + i] = (unsigned char)(count >> (24 - 8 * i));
        for (uint32_t n = 0; n < count; n++) {
            unsigned char *at = data + HEAD + (size_t)n * ENTRY;
            at[0] = 0xa0 | DIGITS;
            for (unsigned i = 0; i < DIGITS; i++)
                at[1 + i] = (unsigned char)('a' + (n >> (4 * i) & 15));
            at[ENTRY - 1] = 0xc0;
        }
        assert_int_equal(soma_value_check(data, size, &value), 0);
        memcpy(data + size - ENTRY, data + HEAD, ENTRY);
        assert_int_equal(soma_value_check(data, size, &value), SOMA_EFORMAT);
        free(data);
    }
}

static void test_equal(void **state)
{
    (void)state;
    soma_value_builder *a = opened(), *b = opened();
    soma_value x = sample(a), y = sample(b);
    assert_true(soma_value_equal(x, y));
    assert_true(soma_value_equal(VALUE("\x07"), VALUE("\xd3\0\0\0\0\0\0\0\x07")));
    assert_true(soma_value_equal(VALUE("\xca\x3f\xc0\0\0"), VALUE("\xcb\x3f\xf8\0\0\0\0\0\0")));
    assert_true(soma_value_equal(VALUE("\xca\x7f\xc0\0\0"), VALUE("\xcb\x7f\xf8\0\0\0\0\0\0"))); // NaN
    assert_true(soma_value_equal(SOMA_VALUE_NONE, VALUE("\xc0")));
    assert_true(soma_value_equal(VALUE("\x82\xa1x\1\xa1y\2"), VALUE("\x82\xa1y\2\xa1x\1"))); // order
    assert_true(soma_value_equal(VALUE("\x83\xa1x\1\xa1y\2\xa1z\3"), VALUE("\x83\xa1y\2\xa1z\3\xa1x\1")));
    assert_false(soma_value_equal(VALUE("\x82\xa1x\1\xa1y\2"), VALUE("\x82\xa1y\1\xa1x\2")));
    assert_false(soma_value_equal(VALUE("\x82\xa1x\1\xa1y\2"), VALUE("\x82\xa1x\1\xa1z\2")));
    assert_false(soma_value_equal(VALUE("\x81\xa1x\1"), VALUE("\x80")));
    assert_false(soma_value_equal(VALUE("\x92\1\2"), VALUE("\x92\2\1")));
    assert_false(soma_value_equal(VALUE("\x01"), VALUE("\xca\x3f\x80\0\0")));                     // 1 and 1.0
    assert_false(soma_value_equal(VALUE("\xff"), VALUE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"))); // -1 and 2^64-1
    assert_false(soma_value_equal(VALUE("\xa1x"), VALUE("\xc4\1x")));                             // string and bytes
    assert_false(soma_value_equal(VALUE("\xa1x"), VALUE("\xa1y")));
    assert_false(soma_value_equal(VALUE("\xc2"), VALUE("\xc3")));
    assert_false(soma_value_equal(VALUE("\x91"), VALUE("\x91"))); // malformed
    soma_value_builder_close(&a);
    soma_value_builder_close(&b);
}

static void test_copy(void **state)
{
    (void)state;
    soma_value_builder *builder = opened();
    soma_value value = sample(builder), copy;
    assert_int_equal(soma_value_copy(&copy, value), 0);
    assert_ptr_not_equal(copy.data, value.data);
    assert_true(soma_value_equal(copy, value));
    soma_value_builder_close(&builder);
    assert_int_equal(soma_value_get_kind(copy), SOMA_VALUE_MAP);
    soma_value_destroy(&copy);
    assert_true(!copy.data && !copy.size);
    soma_value_destroy(&copy);
    assert_int_equal(soma_value_copy(&copy, SOMA_VALUE_NONE), 0);
    assert_null(copy.data);
}

static void test_print(void **state)
{
    (void)state;
    soma_value_builder *builder = opened();
    soma_value value = sample(builder);
    char text[256], small[8];
    const char *expected =
        "{\"name\": \"Bob\", \"age\": -42, \"big\": 18446744073709551615, \"pi\": 3.5, \"ok\": true, "
        "\"none\": null, \"blob\": <00ff>, \"who\": 0000000000000001/2/3, "
        "\"list\": [1, [], {\"\": \"gr\xc3\xbc\xc3\x9f"
        "e\"}]}";
    assert_int_equal(soma_value_print(value, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(soma_value_print(value, NULL, 0), strlen(expected));
    assert_int_equal(soma_value_print(value, small, sizeof small), strlen(expected));
    assert_string_equal(small, "{\"name\"");
    soma_value_print(VALUE("\xa2\n\""), text, sizeof text);
    assert_string_equal(text, "\"\\x0a\\\"\"");
    soma_value_print(SOMA_VALUE_NONE, text, sizeof text);
    assert_string_equal(text, "null");
    soma_value_print(VALUE("\xc1"), text, sizeof text);
    assert_string_equal(text, "...");
    soma_value_builder_close(&builder);
}

// Reads all of a value by every way there is; returns how many objects are in it.
static size_t visit(soma_value value)
{
    size_t count = 1;
    uint32_t index = 0;
    soma_value item;
    for (soma_value_cursor cursor = soma_value_iterate(value); soma_value_next(&cursor); index++) {
        if (!cursor.key)
            assert_int_equal(soma_value_get_item(value, index, &item), 0);
        count += visit(cursor.value);
    }
    return count;
}

// Cuts and damages: an error or a value that can be read and built again, never a crash.
static void test_damaged_bytes(void **state)
{
    (void)state;
    soma_value_builder *builder = opened(), *other = opened();
    soma_value value = sample(builder), mutant, again;
    char text[1024];
    unsigned int seed = 1;
    for (uint32_t cut = 0; cut < value.size; cut++)
        assert_int_equal(check_exact(value.data, cut), SOMA_EFORMAT);
    unsigned char *data = malloc(value.size);
    assert_non_null(data);
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < test_load(100000); round++) {
        memcpy(data, value.data, value.size);
        for (uint32_t i = 0; i <= round % 3; i++)
            data[(uint32_t)rand_r(&seed) % value.size] = (unsigned char)rand_r(&seed);
        if (soma_value_check(data, value.size, &mutant)) {
            // Unchecked bytes do no harm either.
            mutant = (soma_value){data, value.size};
            soma_value_print(mutant, text, sizeof text);
            soma_value_equal(mutant, value);
            visit(mutant);
            continue;
        }
        assert_true(visit(mutant) >= 1);
        soma_value_builder_reset(other);
        assert_int_equal(soma_value_add_value(other, mutant), 0);
        assert_int_equal(soma_value_builder_finish(other, &again), 0);
        assert_true(soma_value_equal(mutant, again));
        accepted++;
    }
    assert_true(accepted > 0);
    free(data);
    soma_value_builder_close(&builder);
    soma_value_builder_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_and_read), cmocka_unit_test(test_wrong_kinds),
        cmocka_unit_test(test_numbers),        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_null_arguments), cmocka_unit_test(test_check_accepts),
        cmocka_unit_test(test_check_rejects),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_keys),      cmocka_unit_test(test_equal),
        cmocka_unit_test(test_copy),           cmocka_unit_test(test_print),
        cmocka_unit_test(test_damaged_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
