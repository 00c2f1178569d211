// Messages in memory: what SOMA_MESSAGE generates, deep copies on the heap and in one block, equality, hash, print.
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
SOMA_MESSAGE(tick)
SOMA_MESSAGE(point, (f64, x), (f64, y))
SOMA_MESSAGE(flat, (u8, a), (i64, b), (bool, c), (ref, d), (f32, e))
SOMA_MESSAGE(greet, (string, name), (u32, age), (array, u64, samples), (array, string, tags), (bytes, blob),
             (message, point, pos), (messages, point, path), (array, bytes, blobs), (array, bool, flags), (bool, ok))
SOMA_MESSAGE(tree, (string, label), (messages, tree, children))
SOMA_MESSAGE(sixteen, (u8, a), (u16, b), (u32, c), (u64, d), (i8, e), (i16, f), (i32, g), (i64, h), (f32, i), (f64, j),
             (bool, k), (string, l), (bytes, m), (ref, n), (array, u8, o), (message, tick, p))
// clang-format on

static const struct greet sample = {
    .name = "Bob",
    .age = 42,
    .samples = {(const uint64_t[]){1, 2, UINT64_MAX}, 3},
    .tags = {(const char *const[]){"a", NULL, "long enough to take more than eight"}, 3},
    .blob = {"\0\1\2", 3},
    .pos = {1.5, -2},
    .path = {(const struct point[]){{1, 2}, {3, 4}}, 2},
    .blobs = {(const soma_bytes[]){{"xy", 2}, {NULL, 0}}, 2},
    .flags = {(const bool[]){true, false}, 2},
    .ok = true,
};

// A chain of trees, `depth` of them.
static void chain(struct tree *trees, int depth)
{
    for (int i = 0; i < depth; i++)
        trees[i] = (struct tree){.label = "t", .children = {i + 1 < depth ? &trees[i + 1] : NULL, i + 1 < depth}};
}

/* Its size flattened; 0 if it can't be. Out of line: else the compiler takes any type for one of bytes. */
static __attribute__((noinline)) size_t flat_size(const soma_type *type, const void *body)
{
    size_t size;
    return type_flat_size(type, body, &size) ? 0 : size;
}

static void test_descriptor(void **state)
{
    (void)state;
    assert_string_equal(greet_type.name, "greet");
    assert_int_equal(greet_type.field_count, 10);
    assert_int_equal(greet_type.size, sizeof(struct greet));
    assert_string_equal(greet_type.fields[2].name, "samples");
    assert_true(greet_type.fields[2].is_array);
    assert_int_equal(greet_type.fields[9].kind, SOMA_KIND_BOOL);
    assert_int_equal(greet_type.fields[9].offset, offsetof(struct greet, ok));
    assert_ptr_equal(greet_type.fields[5].nested, &point_type);
    assert_ptr_equal(tree_type.fields[1].nested, &tree_type);
    assert_int_equal(sixteen_type.field_count, 16);
    assert_true(flat_type.flat && tick_type.flat && point_type.flat);
    assert_false(greet_type.flat || sixteen_type.flat || tree_type.flat);
    assert_int_equal(tick_type.field_count, 0);
}

static void test_null_arguments(void **state)
{
    (void)state;
    struct point p = {1, 2};
    void *buf = &p;
    size_t size = 1;
    assert_int_equal(point_init(NULL), SOMA_EINVAL);
    assert_int_equal(point_copy(NULL, &p), SOMA_EINVAL);
    assert_int_equal(point_copy(&p, NULL), SOMA_EINVAL);
    assert_int_equal(point_copy(&p, &p), SOMA_EINVAL);
    assert_int_equal(point_print(NULL, NULL, 0), SOMA_EINVAL);
    assert_int_equal(point_print(&p, NULL, 1), SOMA_EINVAL);
    assert_int_equal(point_pack(&p, NULL, &size), SOMA_EINVAL);
    assert_int_equal(size, 0);
    assert_int_equal(point_pack(NULL, &buf, &size), SOMA_EINVAL);
    assert_null(buf);
    assert_int_equal(point_pack(&p, &buf, NULL), SOMA_EINVAL);
    assert_int_equal(point_unpack(NULL, "", 0), SOMA_EINVAL);
    assert_int_equal(point_unpack(&p, NULL, 0), SOMA_EINVAL);
    assert_true(p.x == 0);
    assert_int_equal(soma_type_init(NULL, &p), SOMA_EINVAL);
    assert_int_equal(soma_type_copy(NULL, &p, &size), SOMA_EINVAL);
    assert_false(point_equal(&p, NULL));
    assert_false(soma_type_equal(NULL, &p, &p));
    assert_int_equal(soma_type_hash(NULL), 0);
    point_destroy(NULL);
    soma_type_destroy(NULL, &p);
}

static void test_init_destroy(void **state)
{
    (void)state;
    struct greet m, zero = {0};
    struct tick t = {7};
    memset(&m, 0xff, sizeof m);
    assert_int_equal(greet_init(&m), 0);
    assert_true(greet_equal(&m, &zero));
    greet_destroy(&m);
    greet_destroy(&m);
    assert_int_equal(tick_init(&t), 0);
    assert_true(tick_equal(&t, &(struct tick){1}));
    tick_destroy(&t);
}

static void test_copy_is_independent(void **state)
{
    (void)state;
    struct greet a, b;
    assert_int_equal(greet_copy(&a, &sample), 0);
    assert_true(greet_equal(&a, &sample));
    assert_ptr_not_equal(a.name, sample.name);
    assert_ptr_not_equal(a.samples.items, sample.samples.items);
    assert_ptr_not_equal(a.tags.items[0], sample.tags.items[0]);
    assert_null(a.tags.items[1]);
    assert_int_equal(greet_copy(&b, &a), 0);
    ((char *)(uintptr_t)a.name)[0] = 'X';
    assert_string_equal(b.name, "Bob");
    assert_false(greet_equal(&a, &b));
    greet_destroy(&a);
    assert_null(a.name);
    greet_destroy(&a);
    assert_true(greet_equal(&b, &sample));
    greet_destroy(&b);
}

static void test_copy_rejects(void **state)
{
    (void)state;
    struct greet dst, bad = sample;
    struct tree trees[SOMA_TYPE_DEPTH_MAX + 1], copy;
    bad.samples.items = NULL;
    assert_int_equal(greet_copy(&dst, &bad), SOMA_EINVAL);
    assert_null(dst.name);
    assert_int_equal(flat_size(&greet_type, &bad), 0);
    bad = sample;
    bad.blob.data = NULL;
    assert_int_equal(greet_copy(&dst, &bad), SOMA_EINVAL);
    assert_int_equal(flat_size(&greet_type, &bad), 0);
    assert_false(greet_equal(&bad, &bad));
    chain(trees, SOMA_TYPE_DEPTH_MAX + 1);
    assert_int_equal(tree_copy(&copy, trees), SOMA_ETOOBIG);
    assert_null(copy.label);
    assert_int_equal(flat_size(&tree_type, trees), 0);
    chain(trees, SOMA_TYPE_DEPTH_MAX);
    assert_int_equal(tree_copy(&copy, trees), 0);
    assert_true(tree_equal(&copy, trees));
    tree_destroy(&copy);
    trees[0].children.items = trees; // a cycle comes to an end
    trees[0].children.count = 1;
    assert_int_equal(tree_copy(&copy, trees), SOMA_ETOOBIG);
    assert_false(tree_equal(trees, trees));
}

static void test_equal(void **state)
{
    (void)state;
    struct point a = {NAN, 0.0}, b = {NAN, -0.0};
    assert_true(point_equal(&a, &b));
    a.x = 1;
    assert_false(point_equal(&a, &b));
    struct flat f = {1, -1, true, {1, 2, 3}, 1.5F}, g = f;
    assert_true(flat_equal(&f, &g));
    g.d.generation = 4;
    assert_false(flat_equal(&f, &g));
    g = f, g.e = 2;
    assert_false(flat_equal(&f, &g));
    struct greet m = sample;
    m.name = NULL;
    assert_false(greet_equal(&m, &sample));
    m = sample, m.name = "Rob";
    assert_false(greet_equal(&m, &sample));
    m = sample, m.samples.count = 2;
    assert_false(greet_equal(&m, &sample));
    m = sample, m.path.items = (const struct point[]){{1, 2}, {3, 5}};
    assert_false(greet_equal(&m, &sample));
    m = sample, m.blob.data = "\0\1\3";
    assert_false(greet_equal(&m, &sample));
}

static void test_flatten(void **state)
{
    (void)state;
    size_t size = flat_size(&greet_type, &sample);
    assert_true(size > sizeof sample && size % 8 == 0);
    char *block = malloc(size); // exact, so that the address sanitizer sees a byte too many
    assert_non_null(block);
    type_flatten(&greet_type, block, &sample);
    const struct greet *m = (const struct greet *)(void *)block;
    assert_true(greet_equal(m, &sample));
    assert_in_range((uintptr_t)m->name, (uintptr_t)block, (uintptr_t)block + size - 1);
    assert_in_range((uintptr_t)m->samples.items, (uintptr_t)block, (uintptr_t)block + size - 1);
    assert_in_range((uintptr_t)m->tags.items[2], (uintptr_t)block, (uintptr_t)block + size - 1);
    assert_in_range((uintptr_t)m->blobs.items[0].data, (uintptr_t)block, (uintptr_t)block + size - 1);
    assert_int_equal((uintptr_t)m->samples.items % 8, 0);
    assert_null(m->tags.items[1]);
    free(block);

    struct tree trees[SOMA_TYPE_DEPTH_MAX];
    chain(trees, SOMA_TYPE_DEPTH_MAX);
    block = malloc(flat_size(&tree_type, trees));
    assert_non_null(block);
    type_flatten(&tree_type, block, trees);
    assert_true(tree_equal((const struct tree *)(void *)block, trees));
    free(block);
}

static void test_flat_size(void **state)
{
    (void)state;
    struct greet m = {0};
    assert_int_equal(flat_size(&tick_type, &(struct tick){0}), 8);
    assert_int_equal(flat_size(&greet_type, &m), sizeof m);
    m.name = "1234567";
    assert_int_equal(flat_size(&greet_type, &m), sizeof m + 8);
    m.name = "12345678";
    assert_int_equal(flat_size(&greet_type, &m), sizeof m + 16);
    m.samples.items = (const uint64_t[]){0}; // flat elements are only counted, not read
    m.samples.count = UINT32_MAX;
    assert_int_equal(flat_size(&greet_type, &m), 0);
    m.samples.count = UINT32_MAX / 8;
    assert_int_equal(flat_size(&greet_type, &m), 0);
}

static void test_hash(void **state)
{
    (void)state;
    static const soma_field one[] = {{"a", SOMA_KIND_U8, false, 0, NULL}};
    static const soma_field other_name[] = {{"b", SOMA_KIND_U8, false, 0, NULL}};
    static const soma_field other_kind[] = {{"a", SOMA_KIND_I8, false, 0, NULL}};
    static const soma_field other_form[] = {{"a", SOMA_KIND_U8, true, 0, NULL}};
    static const soma_field other_offset[] = {{"a", SOMA_KIND_U8, false, 8, NULL}};
    uint64_t hash = soma_type_hash(&(soma_type){"t", 1, 1, one, true, 0});
    assert_true(hash == soma_type_hash(&(soma_type){"t", 16, 1, other_offset, true, 0}));
    assert_true(hash != soma_type_hash(&(soma_type){"u", 1, 1, one, true, 0}));
    assert_true(hash != soma_type_hash(&(soma_type){"t", 1, 1, other_name, true, 0}));
    assert_true(hash != soma_type_hash(&(soma_type){"t", 1, 1, other_kind, true, 0}));
    assert_true(hash != soma_type_hash(&(soma_type){"t", 1, 1, other_form, true, 0}));
    assert_true(hash != soma_type_hash(&(soma_type){"t", 1, 0, NULL, true, 0}));
    soma_field outer[] = {{"f", SOMA_KIND_MESSAGE, false, 0, &(const soma_type){"t", 1, 1, one, true, 0}}};
    soma_type type = {"o", 1, 1, outer, false, 0};
    hash = soma_type_hash(&type);
    outer[0].nested = &(const soma_type){"t", 1, 1, other_kind, true, 0};
    assert_true(hash != soma_type_hash(&type));   // nested fields count
    assert_true(soma_type_hash(&tree_type) != 0); // and a recursive type comes to an end
}

static void test_print(void **state)
{
    (void)state;
    char buf[512], small[8];
    const char *expected = "greet{name: \"Bob\", age: 42, samples: [1, 2, 18446744073709551615], tags: [\"a\", null, "
                           "\"long enough to take more than eight\"], blob: <000102>, pos: point{x: 1.5, y: -2}, "
                           "path: [point{x: 1, y: 2}, point{x: 3, y: 4}], blobs: [<7879>, <>], flags: [true, false], "
                           "ok: true}";
    assert_int_equal(greet_print(&sample, buf, sizeof buf), strlen(expected));
    assert_string_equal(buf, expected);
    assert_int_equal(greet_print(&sample, NULL, 0), strlen(expected));
    assert_int_equal(greet_print(&sample, small, sizeof small), strlen(expected));
    assert_string_equal(small, "greet{n");
    for (size_t size = 1; size <= strlen(expected) + 1; size++) {
        memset(buf, 'x', sizeof buf);
        assert_int_equal(greet_print(&sample, buf, size), strlen(expected));
        assert_int_equal(strlen(buf), size - 1);
        assert_memory_equal(buf, expected, size - 1);
    }
    assert_int_equal(tick_print(&(struct tick){0}, buf, sizeof buf), 6);
    assert_string_equal(buf, "tick{}");
    flat_print(&(struct flat){255, INT64_MIN, false, {0xab, 2, 3}, 0.5F}, buf, sizeof buf);
    assert_string_equal(buf, "flat{a: 255, b: -9223372036854775808, c: false, d: 00000000000000ab/2/3, e: 0.5}");
    tree_print(&(struct tree){.label = "\"\n\\\x7f\xc3\xa9"}, buf, sizeof buf);
    assert_string_equal(buf, "tree{label: \"\\\"\\x0a\\\\\\x7f\xc3\xa9\", children: []}");
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "x\xe2\x82\xacy"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xf0\x90\x80\x41",
                                      "\xe2\x82\xac\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(type_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(type_utf8_valid(bad[i], strlen(bad[i])));
}

static void test_ref(void **state)
{
    (void)state;
    soma_ref a = {1, 2, 3}, b = {1, 2, 4};
    assert_true(soma_ref_equal(a, a));
    assert_false(soma_ref_equal(a, b));
    assert_true(soma_ref_is_null(SOMA_REF_NULL));
    assert_false(soma_ref_is_null(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor),   cmocka_unit_test(test_null_arguments),
        cmocka_unit_test(test_init_destroy), cmocka_unit_test(test_copy_is_independent),
        cmocka_unit_test(test_copy_rejects), cmocka_unit_test(test_equal),
        cmocka_unit_test(test_flatten),      cmocka_unit_test(test_flat_size),
        cmocka_unit_test(test_hash),         cmocka_unit_test(test_print),
        cmocka_unit_test(test_utf8),         cmocka_unit_test(test_ref),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
