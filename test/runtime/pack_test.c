// The wire form of messages: round trips, every form that is accepted, and that nothing else is, whatever the bytes.
#include "runtime/type.h"

#include <math.h>
#include <setjmp.h>
#include <soma/error.h>
#include <soma/message.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// clang-format off
SOMA_MESSAGE(empty)
SOMA_MESSAGE(pair, (i8, x), (u16, y))
SOMA_MESSAGE(scalars, (u8, a), (u16, b), (u32, c), (u64, d), (i8, e), (i16, f), (i32, g), (i64, h), (f32, i), (f64, j),
             (bool, k), (string, l), (bytes, m), (ref, n), (message, pair, o), (message, empty, p))
SOMA_MESSAGE(arrays, (array, u8, a), (array, u16, b), (array, i32, c), (array, i64, d), (array, f32, e),
             (array, f64, f), (array, bool, g), (array, string, h), (array, bytes, i), (array, ref, j),
             (messages, pair, k), (messages, empty, l))
SOMA_MESSAGE(text, (string, s))
SOMA_MESSAGE(blob, (bytes, b))
SOMA_MESSAGE(real, (f32, f), (f64, d))
SOMA_MESSAGE(many, (array, u64, v))
SOMA_MESSAGE(tree, (messages, tree, children))
// clang-format on

static const struct scalars scalars_min = {0,     0,         0,     0,    INT8_MIN,  INT16_MIN, INT32_MIN, INT64_MIN,
                                           -1.5F, -INFINITY, false, NULL, {NULL, 0}, {0, 0, 0}, {-33, 0},  {0}};
static const struct scalars scalars_max = {UINT8_MAX,     UINT16_MAX,
                                           UINT32_MAX,    UINT64_MAX,
                                           INT8_MAX,      INT16_MAX,
                                           INT32_MAX,     INT64_MAX,
                                           3.25e38F,      1e300,
                                           true,          "gr\xc3\xbc\xc3\x9f",
                                           {"\0\xff", 2}, {UINT64_MAX, UINT32_MAX, UINT32_MAX},
                                           {127, 65535},  {0}};
static const struct arrays arrays_full = {
    .a = {(const uint8_t[]){0, 127, 128, 255}, 4},
    .b = {(const uint16_t[]){0, 256, 65535}, 3},
    .c = {(const int32_t[]){-1, -32, -33, -129, -32769, INT32_MIN, INT32_MAX}, 7},
    .d = {(const int64_t[]){INT64_MIN, INT64_MAX}, 2},
    .e = {(const float[]){0, NAN}, 2},
    .f = {(const double[]){0.1, INFINITY}, 2},
    .g = {(const bool[]){true, false}, 2},
    .h = {(const char *const[]){"", NULL, "0123456789012345678901234567890123456789"}, 3},
    .i = {(const soma_bytes[]){{"\0", 1}, {NULL, 0}}, 2},
    .j = {(const soma_ref[]){{1, 2, 3}, {0, 0, 0}}, 2},
    .k = {(const struct pair[]){{-1, 1}, {1, 2}}, 2},
    .l = {(const struct empty[]){{0}, {0}}, 2},
};

// An exact heap copy, so that the address sanitizer sees every read behind the end.
static int unpack_exact(const soma_type *type, void *dst, const void *data, size_t size)
{
    void *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    if (size)
        memcpy(exact, data, size);
    int error = soma_type_unpack(type, dst, exact, size);
    free(exact);
    return error;
}

static void assert_zeroed(const soma_type *type, const void *message)
{
    for (size_t i = 0; i < type->size; i++)
        assert_int_equal(((const char *)message)[i], 0);
}

// Unpacks a literal as a type; frees what comes of it.
static int result(const soma_type *type, const void *data, size_t size)
{
    char message[512];
    assert_true(type->size <= sizeof message);
    memset(message, 0xff, sizeof message);
    int error = unpack_exact(type, message, data, size);
    if (error)
        assert_zeroed(type, message);
    soma_type_destroy(type, message);
    return error;
}

#define RESULT(T, literal) result(&T##_type, literal, sizeof(literal) - 1)

// Round trip, and that neither any cut of it nor a byte more is taken.
static void check_round_trip(const soma_type *type, const void *message)
{
    char copy[512];
    void *buf, *again;
    size_t size, size_again;
    assert_true(type->size <= sizeof copy);
    assert_int_equal(soma_type_pack(type, message, &buf, &size), 0);
    assert_int_equal(unpack_exact(type, copy, buf, size), 0);
    assert_true(soma_type_equal(type, copy, message));
    assert_int_equal(soma_type_pack(type, copy, &again, &size_again), 0);
    assert_int_equal(size, size_again);
    assert_memory_equal(buf, again, size);
    soma_type_destroy(type, copy);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(result(type, buf, cut), SOMA_EFORMAT);
    char *longer = calloc(1, size + 1);
    assert_non_null(longer);
    memcpy(longer, buf, size);
    assert_int_equal(result(type, longer, size + 1), SOMA_EFORMAT);
    free(longer);
    free(buf);
    free(again);
}

static void test_round_trips(void **state)
{
    (void)state;
    check_round_trip(&empty_type, &(struct empty){0});
    check_round_trip(&scalars_type, &scalars_min);
    check_round_trip(&scalars_type, &scalars_max);
    check_round_trip(&arrays_type, &arrays_full);
    check_round_trip(&arrays_type, &(struct arrays){0});
}

static void test_long_lengths(void **state)
{
    (void)state;
    enum { LONG = 70000 };
    char *string = malloc(LONG + 1);
    uint64_t *items = calloc(LONG, sizeof *items);
    assert_true(string && items);
    memset(string, 'a', LONG);
    for (size_t length = 1; length <= LONG; length = length < 300 ? length * 6 : length * 4) {
        struct text text = {string}, text_copy;
        struct blob blob = {{string, (uint32_t)length}}, blob_copy;
        struct many many = {{items, (uint32_t)length}}, many_copy;
        void *buf;
        size_t size;
        string[length] = '\0';
        assert_int_equal(text_pack(&text, &buf, &size), 0);
        assert_int_equal(text_unpack(&text_copy, buf, size), 0);
        assert_true(text_equal(&text, &text_copy));
        text_destroy(&text_copy);
        free(buf);
        string[length] = 'a';
        assert_int_equal(blob_pack(&blob, &buf, &size), 0);
        assert_int_equal(blob_unpack(&blob_copy, buf, size), 0);
        assert_true(blob_equal(&blob, &blob_copy));
        blob_destroy(&blob_copy);
        free(buf);
        assert_int_equal(many_pack(&many, &buf, &size), 0);
        assert_int_equal(many_unpack(&many_copy, buf, size), 0);
        assert_true(many_equal(&many, &many_copy));
        many_destroy(&many_copy);
        free(buf);
    }
    free(string);
    free(items);
}

static void test_exact_bytes(void **state)
{
    (void)state;
    void *buf;
    size_t size;
    assert_int_equal(pair_pack(&(struct pair){-1, 300}, &buf, &size), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(buf, "\x92\xff\xcd\x01\x2c", 5);
    free(buf);
    assert_int_equal(text_pack(&(struct text){NULL}, &buf, &size), 0);
    assert_int_equal(size, 2);
    assert_memory_equal(buf, "\x91\xc0", 2);
    free(buf);
}

static void test_pack_rejects(void **state)
{
    (void)state;
    void *buf;
    size_t size;
    assert_int_equal(text_pack(&(struct text){"\xff"}, &buf, &size), SOMA_EFORMAT);
    assert_null(buf);
    assert_int_equal(blob_pack(&(struct blob){{NULL, 1}}, &buf, &size), SOMA_EINVAL);
    assert_int_equal(many_pack(&(struct many){{NULL, 1}}, &buf, &size), SOMA_EINVAL);
    struct tree loop = {{&loop, 1}};
    assert_int_equal(tree_pack(&loop, &buf, &size), SOMA_ETOOBIG);
    assert_null(buf);
    assert_int_equal(size, 0);
}

static void test_integers(void **state)
{
    (void)state;
    struct pair p;
    // Every width is taken if the value fits, signed or not.
    assert_int_equal(pair_unpack(&p, "\x92\xd3\xff\xff\xff\xff\xff\xff\xff\x80\xd0\x7f", 12), 0);
    assert_int_equal(p.x, -128);
    assert_int_equal(p.y, 127);
    assert_int_equal(RESULT(pair, "\x92\xcf\0\0\0\0\0\0\0\x7f\xce\0\0\xff\xff"), 0);
    assert_int_equal(RESULT(pair, "\x92\xcc\x80\x01"), SOMA_ETYPE);     // 128 in i8
    assert_int_equal(RESULT(pair, "\x92\xd1\xff\x7f\x01"), SOMA_ETYPE); // -129 in i8
    assert_int_equal(RESULT(pair, "\x92\x01\xff"), SOMA_ETYPE);         // -1 in u16
    assert_int_equal(RESULT(pair, "\x92\x01\xce\0\1\0\0"), SOMA_ETYPE); // 65536 in u16
    assert_int_equal(RESULT(pair, "\x92\x01\xca\0\0\0\0"), SOMA_ETYPE); // a float
    assert_int_equal(RESULT(pair, "\x92\x01\xc2"), SOMA_ETYPE);         // a bool
    assert_int_equal(RESULT(pair, "\x92\x01\xc0"), SOMA_ETYPE);         // nil
    assert_int_equal(RESULT(pair, "\x92\x01\xc1"), SOMA_EFORMAT);       // never used
    assert_int_equal(RESULT(pair, "\x92\x01\xa1\x31"), SOMA_ETYPE);     // a string
    assert_int_equal(RESULT(pair, "\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01"), SOMA_ETYPE);
}

static void test_floats(void **state)
{
    (void)state;
    struct real r;
    assert_int_equal(real_unpack(&r, "\x92\xcb\x3f\xf8\0\0\0\0\0\0\xca\x3f\xc0\0\0", 15), 0);
    assert_true(r.f == 1.5F && r.d == 1.5);
    assert_int_equal(real_unpack(&r, "\x92\xcb\x7f\xf0\0\0\0\0\0\0\xcb\x7f\xf8\0\0\0\0\0\0", 19), 0);
    assert_true(isinf(r.f) && isnan(r.d));
    assert_int_equal(RESULT(real, "\x92\xcb\x7e\x37\xe4\x3c\x88\0\x75\x9c\xca\0\0\0\0"), SOMA_ETYPE); // 1e300 in f32
    assert_int_equal(RESULT(real, "\x92\x01\xca\0\0\0\0"), SOMA_ETYPE);                               // an integer
    assert_int_equal(RESULT(real, "\x92\xca\0\0\0\0\x01"), SOMA_ETYPE);
}

static void test_strings(void **state)
{
    (void)state;
    assert_int_equal(RESULT(text, "\x91\xa1z"), 0);
    assert_int_equal(RESULT(text, "\x91\xdb\0\0\0\1z"), 0);
    assert_int_equal(RESULT(text, "\x91\xa1\0"), SOMA_EFORMAT);
    assert_int_equal(RESULT(text, "\x91\xa1\xff"), SOMA_EFORMAT);
    assert_int_equal(RESULT(text, "\x91\xa2\xc0\x80"), SOMA_EFORMAT);
    assert_int_equal(RESULT(text, "\x91\xc4\1z"), SOMA_ETYPE); // binary
    assert_int_equal(RESULT(text, "\x91\x01"), SOMA_ETYPE);
    assert_int_equal(RESULT(blob, "\x91\xa1z"), SOMA_ETYPE);
    assert_int_equal(RESULT(blob, "\x91\xc0"), SOMA_ETYPE);
}

static void test_oversized_lengths(void **state)
{
    (void)state;
    assert_int_equal(RESULT(many, "\x91\xdd\xff\xff\xff\xff"), SOMA_EFORMAT);
    assert_int_equal(RESULT(many, "\x91\xdd\xff\xff\xff\xff\1\2\3"), SOMA_EFORMAT);
    assert_int_equal(RESULT(many, "\x91\xdc\xff\xff\1"), SOMA_EFORMAT);
    assert_int_equal(RESULT(many, "\xdd\xff\xff\xff\xff"), SOMA_EFORMAT);
    assert_int_equal(RESULT(many, "\xdf\xff\xff\xff\xff"), SOMA_EFORMAT);
    assert_int_equal(RESULT(tree, "\x91\xdd\xff\xff\xff\xff\x91\x90"), SOMA_EFORMAT);
    assert_int_equal(RESULT(text, "\x91\xdb\xff\xff\xff\xff"), SOMA_EFORMAT);
    assert_int_equal(RESULT(text, "\x91\xd9\xffz"), SOMA_EFORMAT);
    assert_int_equal(RESULT(blob, "\x91\xc6\xff\xff\xff\xff"), SOMA_EFORMAT);
}

static void test_containers(void **state)
{
    (void)state;
    struct pair p;
    assert_int_equal(pair_unpack(&p, "\x82\xa1y\x02\xa1x\x01", 7), 0); // a map, in any order
    assert_true(p.x == 1 && p.y == 2);
    assert_int_equal(RESULT(pair, "\xde\0\x02\xa1y\x02\xa1x\x01"), 0);
    assert_int_equal(RESULT(pair, "\xdf\0\0\0\x02\xa1y\x02\xa1x\x01"), 0);
    assert_int_equal(RESULT(pair, "\xdd\0\0\0\x02\x01\x02"), 0);
    assert_int_equal(RESULT(empty, "\x80"), 0);
    assert_int_equal(RESULT(tree, "\x91\x92\x81\xa8"
                                  "children\x90\x91\x90"),
                     0);                                                    // nested ones too
    assert_int_equal(RESULT(pair, "\x91\x01"), SOMA_EFORMAT);               // missing
    assert_int_equal(RESULT(pair, "\x93\x01\x02\x03"), SOMA_EFORMAT);       // extra
    assert_int_equal(RESULT(pair, "\x81\xa1x\x01"), SOMA_EFORMAT);          // missing
    assert_int_equal(RESULT(pair, "\x82\xa1x\x01\xa1x\x02"), SOMA_EFORMAT); // duplicate
    assert_int_equal(RESULT(pair, "\x82\xa1x\x01\xa1z\x02"), SOMA_EFORMAT); // unknown
    assert_int_equal(RESULT(pair, "\x83\xa1x\x01\xa1y\x02\xa1z\x03"), SOMA_EFORMAT);
    assert_int_equal(RESULT(pair, "\x82\xa2xx\x01\xa1y\x02"), SOMA_EFORMAT);
    assert_int_equal(RESULT(pair, "\x82\x01\x01\xa1y\x02"), SOMA_ETYPE); // a key that is no string
    assert_int_equal(RESULT(text, "\x82\xa1s\xa1"
                                  "a\xa1s\xa1"
                                  "b"),
                     SOMA_EFORMAT); // nothing leaks
    assert_int_equal(RESULT(pair, "\xc0"), SOMA_ETYPE);
    assert_int_equal(RESULT(pair, "\x01"), SOMA_ETYPE);
    assert_int_equal(RESULT(pair, ""), SOMA_EFORMAT);
}

static void test_depth(void **state)
{
    (void)state;
    char data[4096];
    // Each level is an array of one field, which is an array of one tree; the innermost one is empty.
    for (size_t depth = 1; depth <= sizeof data / 2; depth *= 2) {
        memset(data, '\x91', depth * 2);
        data[depth * 2 - 1] = '\x90';
        assert_int_equal(result(&tree_type, data, depth * 2), depth <= SOMA_TYPE_DEPTH_MAX ? 0 : SOMA_ETOOBIG);
    }
    memset(data, '\x91', 34);
    data[33] = '\x90';
    assert_int_equal(result(&tree_type, data, 34), SOMA_ETOOBIG); // 17 is one too many
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

// Half of the rounds are noise, half damage a good message, which gets further in.
static void test_random_bytes(void **state)
{
    (void)state;
    static const soma_type *const types[] = {&scalars_type, &arrays_type, &tree_type, &text_type};
    const void *good[] = {&scalars_max, &arrays_full, &(struct tree){{NULL, 0}}, &(struct text){"hello"}};
    uint64_t seed = 0x5eed;
    for (size_t t = 0; t < 4; t++) {
        void *packed;
        size_t size;
        assert_int_equal(soma_type_pack(types[t], good[t], &packed, &size), 0);
        unsigned char data[512];
        assert_true(size <= sizeof data);
        for (int round = 0; round < 25000; round++) {
            char message[512];
            size_t length = round & 1 ? size : random_next(&seed) % 64;
            memcpy(data, packed, size);
            for (size_t i = 0; round & 1 ? i < 2 : i < length; i++)
                data[round & 1 ? random_next(&seed) % size : i] = (unsigned char)random_next(&seed);
            int error = unpack_exact(types[t], message, data, length);
            assert_in_range(-error, 0, -SOMA_ETYPE);
            if (error)
                assert_zeroed(types[t], message);
            else
                soma_type_destroy(types[t], message);
        }
        free(packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),  cmocka_unit_test(test_long_lengths),
        cmocka_unit_test(test_exact_bytes),  cmocka_unit_test(test_pack_rejects),
        cmocka_unit_test(test_integers),     cmocka_unit_test(test_floats),
        cmocka_unit_test(test_strings),      cmocka_unit_test(test_oversized_lengths),
        cmocka_unit_test(test_containers),   cmocka_unit_test(test_depth),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
