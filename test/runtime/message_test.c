/* Message types and their wire form: copies, comparison, printing, round trips, and every kind of bad input. */
#include "runtime/type.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

SOMA_MESSAGE(point, (i32, x), (i32, y))
SOMA_MESSAGE(every, (u8, a), (u16, b), (u32, c), (u64, d), (i8, e), (i16, f), (i32, g), (i64, h), (f32, i), (f64, j),
             (bool, k), (string, l), (bytes, m), (ref, n))
SOMA_MESSAGE(nested, (message, point, at), (messages, point, path), (array, u64, numbers), (array, string, names))
SOMA_MESSAGE(nothing)

static const struct every sample = {.a = 255,
                                    .b = 65535,
                                    .c = 7,
                                    .d = UINT64_MAX,
                                    .e = -128,
                                    .f = -2,
                                    .g = INT32_MIN,
                                    .h = INT64_MIN,
                                    .i = 1.5F,
                                    .j = -0.25,
                                    .k = true,
                                    .l = "hi",
                                    .m = {"\x01\xff", 2},
                                    .n = {1, 2, 3}};

static const struct point path[] = {{1, 2}, {-3, 4}};
static const uint64_t numbers[] = {0, 127, 128, 65536, UINT64_MAX};
static const char *const names[] = {"", "two"};
static const struct nested tree = {.at = {5, -6}, .path = {path, 2}, .numbers = {numbers, 5}, .names = {names, 2}};

static void test_descriptor(void **state)
{
    (void)state;
    assert_string_equal(every_type.name, "every");
    assert_int_equal(every_type.field_count, 14);
    assert_false(every_type.flat);
    assert_true(point_type.flat);
    assert_int_equal(nothing_type.field_count, 0);
    assert_string_equal(every_type.fields[10].name, "k");
    assert_int_equal(every_type.fields[10].offset, offsetof(struct every, k));
    assert_int_not_equal(soma_type_hash(&every_type), soma_type_hash(&nested_type));
}

static void test_copy_is_deep(void **state)
{
    (void)state;
    struct every copy;
    assert_int_equal(every_copy(&copy, &sample), 0);
    assert_true(every_equal(&copy, &sample));
    assert_ptr_not_equal(copy.l, sample.l);
    ((char *)(uintptr_t)copy.l)[0] = 'H';
    assert_false(every_equal(&copy, &sample));
    every_destroy(&copy);
    assert_null(copy.l);

    struct nested other;
    assert_int_equal(nested_copy(&other, &tree), 0);
    assert_true(nested_equal(&other, &tree));
    assert_ptr_not_equal(other.path.items, tree.path.items);
    nested_destroy(&other);
    assert_int_equal(every_copy(&copy, NULL), SOMA_EINVAL);
    assert_false(every_equal(NULL, &sample));
}

static void test_flat_copy(void **state)
{
    (void)state;
    size_t size;
    assert_int_equal(type_flat_size(&nested_type, &tree, &size), 0);
    assert_true(size > sizeof(struct nested));
    struct nested *block = malloc(size);
    assert_non_null(block);
    type_flatten(&nested_type, block, &tree);
    assert_true(nested_equal(block, &tree));
    const char *inside = (const char *)block->names.items[1];
    assert_true(inside > (char *)block && inside < (char *)block + size);
    free(block);
    const struct every huge = {.l = "x", .m = {"", UINT32_MAX}}, torn = {.m = {NULL, 5}};
    assert_int_equal(type_flat_size(&every_type, &huge, &size), SOMA_ETOOBIG);
    assert_int_equal(type_flat_size(&every_type, &torn, &size), SOMA_EINVAL);
}

static void test_print(void **state)
{
    (void)state;
    char text[64];
    struct point p = {-1, 2};
    int length = point_print(&p, text, sizeof(text));
    assert_int_equal(length, strlen(text));
    assert_non_null(strstr(text, "-1"));
    char cut[6];
    assert_int_equal(point_print(&p, cut, sizeof(cut)), length);
    assert_memory_equal(cut, text, 5);
    assert_int_equal(cut[5], '\0');
    assert_int_equal(point_print(NULL, text, sizeof(text)), SOMA_EINVAL);
}

static void test_round_trips(void **state)
{
    (void)state;
    void *wire;
    size_t size;
    struct every every;
    assert_int_equal(every_pack(&sample, &wire, &size), 0);
    assert_int_equal(every_unpack(&every, wire, size), 0);
    assert_true(every_equal(&every, &sample));
    every_destroy(&every);
    free(wire);

    struct nested nested;
    assert_int_equal(nested_pack(&tree, &wire, &size), 0);
    assert_int_equal(nested_unpack(&nested, wire, size), 0);
    assert_true(nested_equal(&nested, &tree));
    nested_destroy(&nested);
    free(wire);
}

/* Every cut of a message is an error, and so is a byte too many; nothing leaks (the sanitizer builds see that). */
static void test_truncation_and_trailing_bytes(void **state)
{
    (void)state;
    char *wire;
    size_t size;
    struct nested nested;
    assert_int_equal(nested_pack(&tree, (void **)&wire, &size), 0);
    for (size_t cut = 0; cut < size; cut++) {
        char *exact = malloc(cut ? cut : 1); // on the heap at its exact size, so a read past it is seen
        assert_non_null(exact);
        memcpy(exact, wire, cut);
        assert_int_not_equal(nested_unpack(&nested, exact, cut), 0);
        free(exact);
    }
    char *longer = calloc(1, size + 1);
    assert_non_null(longer);
    memcpy(longer, wire, size);
    assert_int_not_equal(nested_unpack(&nested, longer, size + 1), 0);
    free(longer);
    free(wire);
}

#define UNPACK(type, bytes) type##_unpack(&type, bytes, sizeof(bytes) - 1)

static void test_maps_by_name(void **state)
{
    (void)state;
    struct point point;
    assert_int_equal(UNPACK(point, "\x82\xa1y\x02\xa1x\x01"), 0);
    assert_int_equal(point.x, 1);
    assert_int_equal(point.y, 2);
    assert_int_not_equal(UNPACK(point, "\x82\xa1x\x02\xa1x\x01"), 0);          // twice
    assert_int_not_equal(UNPACK(point, "\x82\xa1x\x02\xa1z\x01"), 0);          // unknown
    assert_int_not_equal(UNPACK(point, "\x81\xa1x\x02"), 0);                   // one missing
    assert_int_not_equal(UNPACK(point, "\x83\xa1x\x02\xa1y\x01\xa1z\x01"), 0); // one more
    assert_int_not_equal(UNPACK(point, "\x82\x01\x02\x02\x01"), 0);            // keys are no strings
}

static void test_wrong_types_and_lengths(void **state)
{
    (void)state;
    struct point point;
    struct nested nested;
    assert_int_equal(UNPACK(point, "\x92\x01\x02"), 0);
    assert_int_not_equal(UNPACK(point, "\x92\x01\xa1x"), 0);                                // a string for a number
    assert_int_not_equal(UNPACK(point, "\x92\x01\xcf\x00\x00\x00\x01\x00\x00\x00\x00"), 0); // over 32 bits
    assert_int_not_equal(UNPACK(point, "\x91\x01"), 0);
    assert_int_not_equal(UNPACK(point, "\x93\x01\x02\x03"), 0);
    assert_int_not_equal(UNPACK(point, "\xdd\xff\xff\xff\xff"), 0);
    assert_int_not_equal(UNPACK(point, "\xc0"), 0);
    assert_int_not_equal(UNPACK(nested, "\x94\x92\x01\x02\xdd\xff\xff\xff\xff\x90\x90"), 0); // 4 G elements
    assert_int_not_equal(UNPACK(nested, "\x94\x92\x01\x02\x90\x90\x91\xa2\xff\xff"), 0);     // no UTF-8
    assert_int_not_equal(UNPACK(nested, "\x94\x92\x01\x02\x90\x90\x91\xa2\x61\x00"), 0);     // a NUL
    assert_int_equal(point_unpack(NULL, "", 0), SOMA_EINVAL);
    assert_int_equal(point_unpack(&point, NULL, 1), SOMA_EINVAL);
}

/* Random and mutated bytes: an error or a message that packs again, never a crash. */
static void test_random_bytes(void **state)
{
    (void)state;
    char *wire;
    size_t size;
    unsigned int seed = 1;
    assert_int_equal(nested_pack(&tree, (void **)&wire, &size), 0);
    unsigned char *mutant = malloc(size);
    assert_non_null(mutant);
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < test_load(100000); round++) {
        memcpy(mutant, wire, size);
        for (uint32_t i = 0; i <= round % 3; i++)
            mutant[(size_t)rand_r(&seed) % size] = (unsigned char)rand_r(&seed);
        struct nested nested, again;
        if (nested_unpack(&nested, mutant, size))
            continue;
        void *repacked;
        size_t length;
        assert_int_equal(nested_pack(&nested, &repacked, &length), 0);
        assert_int_equal(nested_unpack(&again, repacked, length), 0);
        assert_true(nested_equal(&nested, &again));
        nested_destroy(&again);
        nested_destroy(&nested);
        free(repacked);
        accepted++;
    }
    assert_true(accepted > 0);
    free(mutant);
    free(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor),   cmocka_unit_test(test_copy_is_deep),
        cmocka_unit_test(test_flat_copy),    cmocka_unit_test(test_print),
        cmocka_unit_test(test_round_trips),  cmocka_unit_test(test_truncation_and_trailing_bytes),
        cmocka_unit_test(test_maps_by_name), cmocka_unit_test(test_wrong_types_and_lengths),
        cmocka_unit_test(test_random_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
