// Values when memory is short, and how much of it they take: the linker puts this file's allocator in front of malloc.
#include "test_support.h"
#include <jansson.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(inner, (string, text), (value, data))
SOMA_MESSAGE(outer, (bytes, blob), (array, value, list), (messages, inner, path), (ref, who))

static int64_t allowed = -1; // allocations that succeed before all fail; below 0: no end
static uint64_t taken;       // bytes asked for

static bool refused(size_t size)
{
    taken += size;
    return allowed >= 0 && allowed-- == 0 && !(allowed = 0);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_malloc(size_t size)
{
    return refused(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refused(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return refused(size) ? NULL : __real_realloc(block, size);
}

#define VALUE(literal) ((soma_value){literal, sizeof(literal) - 1})

static const char json[] = "{\"name\": \"Bob\", \"list\": [1, 2.5, null, {\"$bytes\": \"AP8=\"}], \"$x\": true, "
                           "\"who\": {\"$ref\": \"1/2/3\"}, \"big\": {\"$u64\": \"18446744073709551615\"}, "
                           "\"map\": {\"$$ref\": \"x\"}}";

// A map of so many keys, in the builder.
static int many_keys(soma_value_builder *builder, unsigned count)
{
    char key[16];
    soma_value_begin_map(builder);
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%u", i);
        soma_value_add_key(builder, key);
        soma_value_add_string(builder, "0123456789012345678901234567890123456789012345678901234567890123456789");
    }
    return soma_value_end(builder);
}

static int do_build(void)
{
    soma_value_builder *builder;
    soma_value value;
    int error = soma_value_builder_open(&builder);
    if (error)
        return error;
    many_keys(builder, 1000);
    error = soma_value_builder_finish(builder, &value);
    soma_value_builder_close(&builder);
    return error;
}

static soma_value large; // a map of 100 keys

static int do_check(void)
{
    soma_value value;
    return soma_value_check(large.data, large.size, &value);
}

static int do_copy(void)
{
    soma_value copy;
    int error = soma_value_copy(&copy, large);
    soma_value_destroy(&copy);
    return error;
}

static int do_from_json(void)
{
    soma_value value;
    int error = soma_value_from_json(json, sizeof json - 1, &value);
    soma_value_destroy(&value);
    return error;
}

static soma_value special; // what the JSON above makes

static int do_to_json(void)
{
    char *text;
    int error = soma_value_to_json(special, &text);
    free(text);
    return error;
}

static struct outer message;

static int do_message_copy(void)
{
    struct outer copy;
    int error = outer_copy(&copy, &message);
    outer_destroy(&copy);
    return error;
}

static int do_message_wire(void)
{
    struct outer copy;
    void *wire;
    size_t size;
    int error = outer_pack(&message, &wire, &size);
    if (error)
        return error;
    error = outer_unpack(&copy, wire, size);
    outer_destroy(&copy);
    free(wire);
    return error;
}

static int do_message_value(void)
{
    struct outer copy;
    soma_value_builder *builder;
    soma_value value;
    int error = soma_value_builder_open(&builder);
    if (error)
        return error;
    soma_type_to_value(&outer_type, &message, builder);
    error = soma_value_builder_finish(builder, &value);
    if (!error) {
        error = soma_type_from_value(&outer_type, &copy, value);
        outer_destroy(&copy);
    }
    soma_value_builder_close(&builder);
    return error;
}

// Every allocation fails in turn: each is told as what it is, and nothing leaks (the sanitizer builds see that). Only
// jansson takes a string that it has no memory for as malformed.
static void test_no_memory(void **state)
{
    (void)state;
    int (*const all[])(void) = {do_build,   do_check,        do_copy,         do_from_json,
                                do_to_json, do_message_copy, do_message_wire, do_message_value};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int error = SOMA_ENOMEM;
        int64_t n = 0;
        for (; error; n++) {
            allowed = n;
            error = all[i]();
            allowed = -1;
            assert_true(!error || error == SOMA_ENOMEM || (all[i] == do_from_json && error == SOMA_EFORMAT));
        }
        assert_true(n > 1);
    }
}

// Bytes asked for by a check, a message and JSON.
static uint64_t cost_of_check(soma_value bytes)
{
    soma_value value;
    taken = 0;
    soma_value_check(bytes.data, bytes.size, &value);
    return taken;
}

static uint64_t cost_of_message(soma_value bytes)
{
    struct outer m;
    taken = 0;
    outer_unpack(&m, bytes.data, bytes.size);
    outer_destroy(&m);
    return taken;
}

static void test_promises_take_nothing(void **state)
{
    (void)state;
    assert_int_equal(cost_of_check(VALUE("\xdd\xff\xff\xff\xff\1")), 0);
    assert_int_equal(cost_of_check(VALUE("\xdf\xff\xff\xff\xff\xa1x\1")), 0);
    assert_int_equal(cost_of_check(VALUE("\xdb\xff\xff\xff\xffx")), 0);
    assert_int_equal(cost_of_check(VALUE("\xc6\xff\xff\xff\xffx")), 0);
    assert_int_equal(cost_of_check(large), 100 * 4);
    assert_int_equal(cost_of_message(VALUE("\x94\xc4\0\xdd\xff\xff\xff\xff\1\1")), 0);
    assert_int_equal(cost_of_message(VALUE("\x94\xc4\0\x91\xdd\xff\xff\xff\xff\1\1")), sizeof(soma_value));
    assert_int_equal(cost_of_message(VALUE("\x94\xc4\0\x91\xdb\xff\xff\xff\xff\1\1")), sizeof(soma_value));
}

static void test_json_takes_a_multiple(void **state)
{
    (void)state;
    static const char *const parts[] = {"0,", "[],", "{},", "\"\",", "{\"\":0},", "1e9,", "[[[[[]]]]],"};
    enum { SIZE = 60000 };
    char *text = malloc(SIZE + 16);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        soma_value value;
        size_t size = 0, length = strlen(parts[i]);
        for (text[size++] = '['; size < SIZE; size += length)
            memcpy(text + size, parts[i], length);
        memcpy(text + size, "0]", 2);
        taken = 0;
        assert_int_equal(soma_value_from_json(text, size + 2, &value), 0);
        assert_true(taken < 300 * (uint64_t)size);
        soma_value_destroy(&value);
    }
    free(text);
}

static soma_value_builder *builder;

static int setup(void **state)
{
    (void)state;
    static const soma_value list[] = {{"\x93\1\2\3", 4}, {NULL, 0}, {"\xa3xyz", 4}};
    static const struct inner path[] = {{"a", {"\x81\xa1k\xc3", 4}}, {NULL, {NULL, 0}}};
    message = (struct outer){{"\0\1", 2}, {list, 3}, {path, 2}, {1, 2, 3}};
    json_set_alloc_funcs(__wrap_malloc, free);
    return soma_value_builder_open(&builder) || many_keys(builder, 100) || soma_value_builder_finish(builder, &large) ||
           soma_value_from_json(json, sizeof json - 1, &special);
}

static int teardown(void **state)
{
    (void)state;
    soma_value_destroy(&special);
    return soma_value_builder_close(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_promises_take_nothing),
        cmocka_unit_test(test_json_takes_a_multiple),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
