/**
 * @file
 * SOMA_MESSAGE declares a message type: its struct, its descriptor and typed functions, from one list of fields.
 */
#ifndef SOMA_MESSAGE_H
#define SOMA_MESSAGE_H

#include <soma/ref.h>
#include <soma/type.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Declares a message type, at file scope, without a semicolon: the name, then at most 16 fields.
 *
 *     SOMA_MESSAGE(tick)
 *     SOMA_MESSAGE(point, (f64, x), (f64, y))
 *     SOMA_MESSAGE(walk, (string, name), (array, u64, samples), (message, point, start), (messages, point, path))
 *
 * A field is one of
 *  - `(KIND, name)`, KIND being u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 bool, string (`const char *`), bytes
 *    (soma_bytes), value (soma_value) or ref (soma_ref);
 *  - `(array, KIND, name)`: a struct of `items`, a pointer to constant elements, and `count`, a uint32_t;
 *  - `(message, T, name)`: a `struct T` that another SOMA_MESSAGE declared;
 *  - `(messages, T, name)`: an array of them; T may be the type itself, which makes a tree.
 *
 * Of a T it makes `struct T`, the descriptor `const soma_type T_type`, and these, which are the functions of
 * soma/type.h with their types spelled out (errors, threads and ownership are explained there):
 *  - `int T_init(struct T *m)`
 *  - `void T_destroy(struct T *m)`
 *  - `int T_copy(struct T *dst, const struct T *src)`
 *  - `bool T_equal(const struct T *a, const struct T *b)`
 *  - `int T_print(const struct T *m, char *buf, size_t size)`
 *  - `int T_pack(const struct T *m, void **buf, size_t *size)`
 *  - `int T_unpack(struct T *dst, const void *data, size_t size)`
 *
 * It may stand in a header that many files include: the descriptor is a weak symbol, so the program has one of it. A
 * name must therefore mean the same fields everywhere in a program; two unlike types of one name are undefined.
 */
// clang-format off
#define SOMA_MESSAGE(...) \
    SOMA_MESSAGE_PICK_(__VA_ARGS__, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, \
    SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, \
    SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, \
    SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_MANY_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, \
    SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, \
    SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, \
    SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, SOMA_MESSAGE_SOME_, \
    SOMA_MESSAGE_NONE_, ~)(__VA_ARGS__)

// What follows is how it works, and not for use.

/** @cond internal */
#define SOMA_MESSAGE_PICK_( \
    _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, \
    _18, _19, _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, _33, X, ...) \
    X

#define SOMA_MESSAGE_MANY_(...) _Static_assert(0, "a SOMA_MESSAGE has at most 16 fields");

// C has no empty struct, so an empty message gets a byte that nobody reads.
#define SOMA_MESSAGE_NONE_(T) \
    struct T { uint8_t soma_empty_; }; \
    extern const soma_type T##_type; \
    const soma_type T##_type __attribute__((weak)) = { #T, (uint32_t)sizeof(struct T), 0, NULL, true, SOMA_SMALL_NONE }; \
    SOMA_MESSAGE_FUNCTIONS_(T)

#define SOMA_MESSAGE_SOME_(T, ...) \
    struct T { SOMA_EACH_(SOMA_MEMBER_, T, __VA_ARGS__) }; \
    extern const soma_type T##_type; \
    static const soma_field T##_fields_[] = { SOMA_EACH_(SOMA_FIELD_, T, __VA_ARGS__) }; \
    const soma_type T##_type __attribute__((weak)) = { \
        #T, (uint32_t)sizeof(struct T), (uint32_t)(sizeof(T##_fields_) / sizeof(T##_fields_[0])), T##_fields_, \
        true SOMA_EACH_(SOMA_FLAT_, T, __VA_ARGS__), \
        SOMA_SMALL_(sizeof(struct T), true SOMA_EACH_(SOMA_FLAT_, T, __VA_ARGS__)) \
    }; \
    SOMA_MESSAGE_FUNCTIONS_(T)

// Marked unused because clang warns of an unused static inline function where the macro stands in a .c file.
#define SOMA_INLINE_ __attribute__((unused)) static inline
#define SOMA_MESSAGE_FUNCTIONS_(T) \
    SOMA_INLINE_ int T##_init(struct T *m) { return soma_type_init(&T##_type, m); } \
    SOMA_INLINE_ void T##_destroy(struct T *m) { soma_type_destroy(&T##_type, m); } \
    SOMA_INLINE_ int T##_copy(struct T *dst, const struct T *src) { return soma_type_copy(&T##_type, dst, src); } \
    SOMA_INLINE_ bool T##_equal(const struct T *a, const struct T *b) { return soma_type_equal(&T##_type, a, b); } \
    SOMA_INLINE_ int T##_print(const struct T *m, char *buf, size_t size) \
    { return soma_type_print(&T##_type, m, buf, size); } \
    SOMA_INLINE_ int T##_pack(const struct T *m, void **buf, size_t *size) \
    { return soma_type_pack(&T##_type, m, buf, size); } \
    SOMA_INLINE_ int T##_unpack(struct T *dst, const void *data, size_t size) \
    { return soma_type_unpack(&T##_type, dst, data, size); }

// A field has two parts or three; the macro that is picked knows by that which form it is.
#define SOMA_ARGS_(...) __VA_ARGS__
#define SOMA_PICK3_(_1, _2, _3, X, ...) X
#define SOMA_PICK4_(_1, _2, _3, _4, X, ...) X

// The struct's members.
#define SOMA_MEMBER_(T, F) SOMA_MEMBER_FORM_ F
#define SOMA_MEMBER_FORM_(...) SOMA_PICK3_(__VA_ARGS__, SOMA_MEMBER_3_, SOMA_MEMBER_2_, ~)(__VA_ARGS__)
#define SOMA_MEMBER_2_(kind, name) SOMA_CTYPE_##kind name;
#define SOMA_MEMBER_3_(form, what, name) SOMA_MEMBER_##form##_(what, name)
#define SOMA_MEMBER_array_(kind, name) struct { SOMA_CTYPE_##kind const *items; uint32_t count; } name;
#define SOMA_MEMBER_message_(M, name) struct M name;
#define SOMA_MEMBER_messages_(M, name) struct { const struct M *items; uint32_t count; } name;

// The descriptor's rows.
#define SOMA_FIELD_(T, F) SOMA_FIELD_FORM_(T, SOMA_ARGS_ F)
#define SOMA_FIELD_FORM_(...) SOMA_PICK4_(__VA_ARGS__, SOMA_FIELD_3_, SOMA_FIELD_2_, ~)(__VA_ARGS__)
#define SOMA_FIELD_ROW_(T, kind, is_array, name, nested) \
    { #name, kind, is_array, (uint32_t)offsetof(struct T, name), nested },
#define SOMA_FIELD_2_(T, kind, name) SOMA_FIELD_ROW_(T, SOMA_KIND_OF_##kind, false, name, NULL)
#define SOMA_FIELD_3_(T, form, what, name) SOMA_FIELD_##form##_(T, what, name)
#define SOMA_FIELD_array_(T, kind, name) SOMA_FIELD_ROW_(T, SOMA_KIND_OF_##kind, true, name, NULL)
#define SOMA_FIELD_message_(T, M, name) SOMA_FIELD_ROW_(T, SOMA_KIND_MESSAGE, false, name, &M##_type)
#define SOMA_FIELD_messages_(T, M, name) SOMA_FIELD_ROW_(T, SOMA_KIND_MESSAGE, true, name, &M##_type)

// Whether the type is flat, as a constant: true, and for each field whether it is.
#define SOMA_FLAT_(T, F) SOMA_FLAT_FORM_ F
#define SOMA_FLAT_FORM_(...) SOMA_PICK3_(__VA_ARGS__, SOMA_FLAT_3_, SOMA_FLAT_2_, ~)(__VA_ARGS__)
#define SOMA_FLAT_2_(kind, name) && SOMA_KIND_OF_##kind <= SOMA_KIND_REF
#define SOMA_FLAT_3_(form, what, name) && false

// How a send copies it, see soma_type.
#define SOMA_SMALL_(size, flat) \
    (uint8_t)(!(flat) || (size) > 24 ? 0 : (size) % 8 ? SOMA_SMALL_BYTES : SOMA_SMALL_WORDS - 1 + (size) / 8)

// Kinds. With stdbool.h `bool` reaches these macros as `_Bool`, so both are here.
#define SOMA_CTYPE_u8 uint8_t
#define SOMA_CTYPE_u16 uint16_t
#define SOMA_CTYPE_u32 uint32_t
#define SOMA_CTYPE_u64 uint64_t
#define SOMA_CTYPE_i8 int8_t
#define SOMA_CTYPE_i16 int16_t
#define SOMA_CTYPE_i32 int32_t
#define SOMA_CTYPE_i64 int64_t
#define SOMA_CTYPE_f32 float
#define SOMA_CTYPE_f64 double
#define SOMA_CTYPE_bool _Bool
#define SOMA_CTYPE__Bool _Bool
#define SOMA_CTYPE_ref soma_ref
#define SOMA_CTYPE_string const char *
#define SOMA_CTYPE_bytes soma_bytes
#define SOMA_CTYPE_value soma_value

#define SOMA_KIND_OF_u8 SOMA_KIND_U8
#define SOMA_KIND_OF_u16 SOMA_KIND_U16
#define SOMA_KIND_OF_u32 SOMA_KIND_U32
#define SOMA_KIND_OF_u64 SOMA_KIND_U64
#define SOMA_KIND_OF_i8 SOMA_KIND_I8
#define SOMA_KIND_OF_i16 SOMA_KIND_I16
#define SOMA_KIND_OF_i32 SOMA_KIND_I32
#define SOMA_KIND_OF_i64 SOMA_KIND_I64
#define SOMA_KIND_OF_f32 SOMA_KIND_F32
#define SOMA_KIND_OF_f64 SOMA_KIND_F64
#define SOMA_KIND_OF_bool SOMA_KIND_BOOL
#define SOMA_KIND_OF__Bool SOMA_KIND_BOOL
#define SOMA_KIND_OF_ref SOMA_KIND_REF
#define SOMA_KIND_OF_string SOMA_KIND_STRING
#define SOMA_KIND_OF_bytes SOMA_KIND_BYTES
#define SOMA_KIND_OF_value SOMA_KIND_VALUE

// SOMA_EACH_(M, T, fields...) is M(T, field) for every field.
#define SOMA_CAT_(a, b) SOMA_CAT2_(a, b)
#define SOMA_CAT2_(a, b) a##b
#define SOMA_COUNT_PICK_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, X, ...) X
#define SOMA_COUNT_(...) SOMA_COUNT_PICK_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, ~)
#define SOMA_EACH_(M, T, ...) SOMA_CAT_(SOMA_EACH_, SOMA_COUNT_(__VA_ARGS__))(M, T, __VA_ARGS__)
#define SOMA_EACH_1(M, T, F) M(T, F)
#define SOMA_EACH_2(M, T, F, ...) M(T, F) SOMA_EACH_1(M, T, __VA_ARGS__)
#define SOMA_EACH_3(M, T, F, ...) M(T, F) SOMA_EACH_2(M, T, __VA_ARGS__)
#define SOMA_EACH_4(M, T, F, ...) M(T, F) SOMA_EACH_3(M, T, __VA_ARGS__)
#define SOMA_EACH_5(M, T, F, ...) M(T, F) SOMA_EACH_4(M, T, __VA_ARGS__)
#define SOMA_EACH_6(M, T, F, ...) M(T, F) SOMA_EACH_5(M, T, __VA_ARGS__)
#define SOMA_EACH_7(M, T, F, ...) M(T, F) SOMA_EACH_6(M, T, __VA_ARGS__)
#define SOMA_EACH_8(M, T, F, ...) M(T, F) SOMA_EACH_7(M, T, __VA_ARGS__)
#define SOMA_EACH_9(M, T, F, ...) M(T, F) SOMA_EACH_8(M, T, __VA_ARGS__)
#define SOMA_EACH_10(M, T, F, ...) M(T, F) SOMA_EACH_9(M, T, __VA_ARGS__)
#define SOMA_EACH_11(M, T, F, ...) M(T, F) SOMA_EACH_10(M, T, __VA_ARGS__)
#define SOMA_EACH_12(M, T, F, ...) M(T, F) SOMA_EACH_11(M, T, __VA_ARGS__)
#define SOMA_EACH_13(M, T, F, ...) M(T, F) SOMA_EACH_12(M, T, __VA_ARGS__)
#define SOMA_EACH_14(M, T, F, ...) M(T, F) SOMA_EACH_13(M, T, __VA_ARGS__)
#define SOMA_EACH_15(M, T, F, ...) M(T, F) SOMA_EACH_14(M, T, __VA_ARGS__)
#define SOMA_EACH_16(M, T, F, ...) M(T, F) SOMA_EACH_15(M, T, __VA_ARGS__)
// clang-format on

/** @endcond */

#endif
