/**
 * @file
 * Dynamic values: data whose shape is not known when the program is compiled, such as a configuration, or what came as
 * JSON. A value is a view of one MessagePack object; it is read where it stands. A builder makes new ones.
 *
 * A value holds nil, a bool, an integer (int64_t and uint64_t together), a float, a string (UTF-8 without NUL), bytes,
 * a ref, an array, or a map whose keys are strings, each there once. Containers stand at most #SOMA_VALUE_DEPTH_MAX
 * deep.
 *
 * A ref in a value is MessagePack's extension type 1 with 16 bytes (fixext 16): node, slot and generation, big-endian.
 * In a typed message, where the field's type says that it is a ref, it is an array of three integers; in a value that
 * could not be told from any other array, and would not come back from JSON as a ref.
 *
 * The functions that read take any value that soma_value_check(), soma_value_builder_finish() or a message gave. On
 * bytes that nobody checked they read nothing outside them either, but then may return SOMA_EFORMAT or miss things.
 * Any thread may read a value, as long as no other changes its bytes; a builder is for one thread at a time.
 */
#ifndef SOMA_VALUE_H
#define SOMA_VALUE_H

#include <soma/export.h>
#include <soma/message.h>
#include <soma/ref.h>
#include <soma/type.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How deep arrays and maps may stand in each other, the outermost one counted. Twice the depth of messages, as each of
 * those may also stand in an array: so every message has a value's form. */
#define SOMA_VALUE_DEPTH_MAX (2 * SOMA_TYPE_DEPTH_MAX)

/** The empty value, which reads as nil. Zeroed memory is one too. */
#define SOMA_VALUE_NONE ((soma_value){NULL, 0})

/** What a value holds. */
enum soma_value_kind {
    SOMA_VALUE_NIL,     /**< nothing */
    SOMA_VALUE_BOOL,    /**< soma_value_get_bool() */
    SOMA_VALUE_INTEGER, /**< soma_value_get_i64(), soma_value_get_u64(), soma_value_get_f64() */
    SOMA_VALUE_FLOAT,   /**< soma_value_get_f64() */
    SOMA_VALUE_STRING,  /**< soma_value_get_string() */
    SOMA_VALUE_BYTES,   /**< soma_value_get_bytes() */
    SOMA_VALUE_REF,     /**< soma_value_get_ref() */
    SOMA_VALUE_ARRAY,   /**< soma_value_get_item(), soma_value_iterate() */
    SOMA_VALUE_MAP      /**< soma_value_get_entry(), soma_value_iterate() */
};

/** @name Reading */
/** @{ */

/**
 * Checks untrusted bytes completely, and makes a value of them. Maps of over 32 entries take 4 bytes an entry of memory
 * meanwhile, once the entries are known to be there.
 * @param data the bytes, which must outlive the value
 * @param size their number
 * @param value gets the view; empty on error
 * @return 0; SOMA_EINVAL (an argument is NULL); SOMA_EFORMAT (truncated, malformed, bytes left over, a string that is
 *         not UTF-8 or has a NUL, a key that comes twice); SOMA_ETYPE (a key that is no string, or an extension other
 *         than a ref); SOMA_ETOOBIG (too deep, or over 4 GiB); SOMA_ENOMEM
 */
SOMA_API int soma_value_check(const void *data, size_t size, soma_value *value);

/**
 * What does it hold?
 * @param value a value
 * @return an enum #soma_value_kind, or an error for bytes that were not checked
 */
SOMA_API int soma_value_get_kind(soma_value value);

/**
 * Reads a bool.
 * @param value a value
 * @param out gets it; false on error
 * @return 0, SOMA_ETYPE (it is something else), SOMA_EINVAL (`out` is NULL)
 */
SOMA_API int soma_value_get_bool(soma_value value, bool *out);

/**
 * Reads an integer.
 * @param value a value
 * @param out gets it; 0 on error
 * @return 0, SOMA_ETYPE (it is no integer, or over INT64_MAX), SOMA_EINVAL (`out` is NULL)
 */
SOMA_API int soma_value_get_i64(soma_value value, int64_t *out);

/**
 * Reads an integer that is not negative.
 * @param value a value
 * @param out gets it; 0 on error
 * @return 0, SOMA_ETYPE (it is no integer, or below 0), SOMA_EINVAL (`out` is NULL)
 */
SOMA_API int soma_value_get_u64(soma_value value, uint64_t *out);

/**
 * Reads a number as a float. An integer is taken too if it is at most 2^53 either way, so that nothing is rounded:
 * many languages and people write 1 for 1.0.
 * @param value a value
 * @param out gets it; 0 on error
 * @return 0, SOMA_ETYPE (it is no number, or too large an integer), SOMA_EINVAL (`out` is NULL)
 */
SOMA_API int soma_value_get_f64(soma_value value, double *out);

/**
 * Finds a string's text. It has no NUL at its end: print it by `"%.*s"`.
 * @param value a value
 * @param text gets a pointer into the value; NULL on error
 * @param size gets the number of bytes; 0 on error
 * @return 0, SOMA_ETYPE (it is something else), SOMA_EINVAL (an argument is NULL)
 */
SOMA_API int soma_value_get_string(soma_value value, const char **text, uint32_t *size);

/**
 * Finds bytes.
 * @param value a value
 * @param out gets a pointer into the value, and their number; NULL and 0 on error
 * @return 0, SOMA_ETYPE (it is something else), SOMA_EINVAL (`out` is NULL)
 */
SOMA_API int soma_value_get_bytes(soma_value value, soma_bytes *out);

/**
 * Reads a ref.
 * @param value a value
 * @param out gets it; #SOMA_REF_NULL on error
 * @return 0, SOMA_ETYPE (it is something else), SOMA_EINVAL (`out` is NULL)
 */
SOMA_API int soma_value_get_ref(soma_value value, soma_ref *out);

/**
 * How long is it?
 * @param value a value
 * @param length gets the number of an array's elements, of a map's entries, or of the bytes in a string or in bytes;
 *               0 on error
 * @return 0, SOMA_ETYPE (it has no length), SOMA_EINVAL (`length` is NULL)
 */
SOMA_API int soma_value_get_length(soma_value value, uint32_t *length);

/**
 * Finds an array's element. It walks there over those before: to see them all, use soma_value_iterate().
 * @param value an array
 * @param index from 0
 * @param item gets the element, a view into the array's bytes; empty on error, so that reading on gives SOMA_ETYPE
 * @return 0, SOMA_ENOENT (there are not so many), SOMA_ETYPE (it is no array), SOMA_EINVAL (`item` is NULL)
 */
SOMA_API int soma_value_get_item(soma_value value, uint32_t index, soma_value *item);

/**
 * Finds a map's entry. It walks there over those before.
 * @param value a map
 * @param key the key
 * @param item gets the entry's value, a view into the map's bytes; empty on error, so that reading on gives SOMA_ETYPE
 * @return 0, SOMA_ENOENT (there is none of that key), SOMA_ETYPE (it is no map), SOMA_EINVAL (an argument is NULL)
 */
SOMA_API int soma_value_get_entry(soma_value value, const char *key, soma_value *item);

/** A place in an array or map; made by soma_value_iterate(), moved by soma_value_next(). Owns nothing. */
typedef struct soma_value_cursor {
    const char *key;   /**< in a map, the entry's key, without a NUL at its end; in an array NULL */
    uint32_t key_size; /**< bytes of the key */
    soma_value value;  /**< the element, or the entry's value */
    soma_value rest;   /**< internal: what was not read yet */
    uint32_t left;     /**< internal: how many are in it */
    bool map;          /**< internal: they are entries */
} soma_value_cursor;

/**
 * Starts a walk over an array or a map:
 *
 *     for (soma_value_cursor c = soma_value_iterate(list); soma_value_next(&c);)
 *         use(c.value);
 *
 * @param value an array or a map; anything else is a walk over nothing
 * @return a cursor before the first element
 */
SOMA_API soma_value_cursor soma_value_iterate(soma_value value);

/**
 * Goes to the next element or entry. Its cost is that of passing over this one element, wherever it stands.
 * @param cursor gets it
 * @return false at the end, with the cursor's key and value empty; also if `cursor` is NULL
 */
SOMA_API bool soma_value_next(soma_value_cursor *cursor);

/**
 * Compares two values by what they mean: the width of an integer or float on the wire does not count, nor does the
 * order of a map's entries; an integer never equals a float; NaN equals NaN. Maps of unlike order cost the product of
 * their lengths.
 * @param a a value
 * @param b another
 * @return true if they are equal
 */
SOMA_API bool soma_value_equal(soma_value a, soma_value b);

/**
 * Copies a value to the heap.
 * @param dst gets the copy, to be ended with soma_value_destroy(); what it held before is not freed; empty on error
 * @param src the value; not checked
 * @return 0, SOMA_EINVAL (`dst` is NULL, or src has a size but no data), SOMA_ENOMEM
 */
SOMA_API int soma_value_copy(soma_value *dst, soma_value src);

/**
 * Frees a value that soma_value_copy() or soma_value_from_json() made, and makes it empty. Any other value owns nothing
 * and must not come here.
 * @param value the value; NULL and the empty value do nothing
 */
SOMA_API void soma_value_destroy(soma_value *value);

/**
 * Prints a value in one line for people: `{"name": "Bob", "blob": <00ff>, "tags": [1, 2]}`. Control characters are
 * escaped.
 * @param value the value
 * @param buf gets the text, cut to fit and always ended with a NUL if size is not 0
 * @param size bytes of buf; if 0, buf may be NULL
 * @return the length of the whole text, as snprintf gives it; SOMA_EINVAL (buf is NULL), SOMA_ETOOBIG (longer than
 *         INT_MAX)
 */
SOMA_API int soma_value_print(soma_value value, char *buf, size_t size);

/** @} */
/** @name Building
 *
 * Every function that adds returns 0 or the builder's first error, which sticks: so most callers look only at what
 * soma_value_builder_finish() returns. The errors are SOMA_EINVAL (a NULL), SOMA_ESTATE (not allowed here: a key
 * outside a map or two in a row, a value in a map without a key, an end without a begin, more than one value in all),
 * SOMA_EFORMAT (not UTF-8), SOMA_EEXIST (a key that is in the map already), SOMA_ETOOBIG (too deep, or over 4 GiB) and
 * SOMA_ENOMEM. */
/** @{ */

/** Makes a value, piece by piece. Opened by soma_value_builder_open(). */
typedef struct soma_value_builder soma_value_builder;

/**
 * Opens an empty builder.
 * @param builder gets it; NULL on error
 * @return 0, SOMA_EINVAL (`builder` is NULL), SOMA_ENOMEM
 */
SOMA_API int soma_value_builder_open(soma_value_builder **builder);

/**
 * Frees a builder with the value that it made, and sets `*builder` to NULL.
 * @param builder NULL or a pointer to NULL is fine
 * @return 0
 */
SOMA_API int soma_value_builder_close(soma_value_builder **builder);

/**
 * Makes a builder empty again, whatever was in it, and forgets its error. It keeps its memory for the next value.
 * @param builder the builder; the value that it gave is gone
 * @return 0, or SOMA_EINVAL on NULL
 */
SOMA_API int soma_value_builder_reset(soma_value_builder *builder);

/**
 * Gives what was built.
 * @param builder the builder, which keeps the bytes: the value is good until the builder is reset or closed
 * @param value gets it; empty on error
 * @return 0; the first error that adding gave; SOMA_ESTATE (nothing was added, or a container was not ended);
 *         SOMA_EINVAL (an argument is NULL)
 */
SOMA_API int soma_value_builder_finish(soma_value_builder *builder, soma_value *value);

/** Adds nil. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_nil(soma_value_builder *builder);

/** Adds a bool. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_bool(soma_value_builder *builder, bool value);

/** Adds an integer. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_i64(soma_value_builder *builder, int64_t value);

/** Adds an integer. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_u64(soma_value_builder *builder, uint64_t value);

/** Adds a float. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_f64(soma_value_builder *builder, double value);

/** Adds a string, which must be UTF-8; NULL adds nil, as in a message. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_string(soma_value_builder *builder, const char *value);

/** Adds bytes; a size without data is SOMA_EINVAL. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_bytes(soma_value_builder *builder, soma_bytes value);

/** Adds a ref. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_ref(soma_value_builder *builder, soma_ref value);

/**
 * Adds a copy of another value, after a check of its bytes as by soma_value_check(); the empty value adds nil.
 * @param builder the builder
 * @param value the value, which must not be this builder's own
 * @return 0 or the builder's first error, with those of soma_value_check() too
 */
SOMA_API int soma_value_add_value(soma_value_builder *builder, soma_value value);

/** Adds the key of a map's next entry, which must be UTF-8 and not NULL. Returns 0 or the builder's first error. */
SOMA_API int soma_value_add_key(soma_value_builder *builder, const char *key);

/** Begins an array: what is added until its soma_value_end() are its elements. Returns 0 or the builder's first error.
 */
SOMA_API int soma_value_begin_array(soma_value_builder *builder);

/** Begins a map: a key and a value by turns, until its soma_value_end(). Returns 0 or the builder's first error. */
SOMA_API int soma_value_begin_map(soma_value_builder *builder);

/** Ends the array or map that was begun last. Returns 0 or the builder's first error; a key that came twice in a map is
 * found here. */
SOMA_API int soma_value_end(soma_value_builder *builder);

/**
 * Adds a whole map of 1 to 16 entries, each `(KIND, key, value)` with a KIND that is bool i64 u64 f64 string bytes ref
 * or value:
 *
 *     SOMA_VALUE_MAP(builder, (string, "name", "Bob"), (i64, "age", 42), (bool, "here", true));
 *
 * The kinds are written out, as in #SOMA_MESSAGE, because C takes `true` for an int: only so does the compiler check
 * each value against what it is to be. `builder` is evaluated many times. It is the value of the last soma_value_end().
 */
// clang-format off
#define SOMA_VALUE_MAP(builder, ...) \
    (soma_value_begin_map(builder), SOMA_EACH_(SOMA_VALUE_ENTRY_, builder, __VA_ARGS__) soma_value_end(builder))

/** @cond internal */
#define SOMA_VALUE_ENTRY_(B, E) SOMA_VALUE_ENTRY_SPREAD_(B, SOMA_ARGS_ E)
#define SOMA_VALUE_ENTRY_SPREAD_(...) SOMA_VALUE_ENTRY_ADD_(__VA_ARGS__)
#define SOMA_VALUE_ENTRY_ADD_(B, kind, key, ...) soma_value_add_key(B, key), SOMA_VALUE_ADD_##kind(B, __VA_ARGS__),

// With stdbool.h `bool` reaches these macros as `_Bool`, so both are here.
#define SOMA_VALUE_ADD_bool soma_value_add_bool
#define SOMA_VALUE_ADD__Bool soma_value_add_bool
#define SOMA_VALUE_ADD_i64 soma_value_add_i64
#define SOMA_VALUE_ADD_u64 soma_value_add_u64
#define SOMA_VALUE_ADD_f64 soma_value_add_f64
#define SOMA_VALUE_ADD_string soma_value_add_string
#define SOMA_VALUE_ADD_bytes soma_value_add_bytes
#define SOMA_VALUE_ADD_ref soma_value_add_ref
#define SOMA_VALUE_ADD_value soma_value_add_value
// clang-format on
/** @endcond */

/** @} */
/** @name Messages as values */
/** @{ */

/**
 * Adds a message as a map from its field names to what they hold. Every message that soma_type_pack() takes has such a
 * form, and comes back from it.
 * @param type the message's type
 * @param message the message; unchanged
 * @param builder gets the map where the next value is due
 * @return 0 or the builder's first error, as for all that adds; SOMA_EINVAL also for an array, bytes or a value with a
 *         length but no data
 */
SOMA_API int soma_type_to_value(const soma_type *type, const void *message, soma_value_builder *builder);

/**
 * Makes a message of a value: a map from field names, in any order. It is for what people write, so it is easier to
 * please than soma_type_unpack(): a field that is not there is zero, as in soma_send(), and a float field takes an
 * integer of at most 2^53. A field that the type does not have is an error. An array of all fields will do for a map.
 * @param type the type that is expected
 * @param dst gets the message, to be ended with soma_type_destroy(); what it held before is not freed; zeroed on error
 * @param value the value, which need not be checked; not needed after the call. As fields may be missing, an array of
 *              messages may take up to the size of their struct for a byte of it
 * @return 0; SOMA_EINVAL (type or dst is NULL, or the value has a size but no data); SOMA_EFORMAT (malformed, or a
 * field unknown, twice, or in an array missing); SOMA_ETYPE (it is neither map nor array, or a field's value is of
 *         another type or out of range); SOMA_ETOOBIG (messages nested too deep); SOMA_ENOMEM
 */
SOMA_API int soma_type_from_value(const soma_type *type, void *dst, soma_value value);

/** @} */
/** @name JSON
 *
 * What JSON has no type for is an object of one member: bytes are `{"$bytes": "AP8="}` (base64 with padding), a ref is
 * `{"$ref": "00000000000000ab/2/3"}` (node in hexadecimal, slot, generation), an integer over INT64_MAX, which few JSON
 * readers keep exact, is `{"$u64": "18446744073709551615"}`. A map of just one entry with such a key gets one more `$`
 * in front of it, and loses it on the way back. So every value without NaN or infinity comes back as it was. */
/** @{ */

/**
 * Makes a value from JSON text: any JSON value, not only objects and arrays. A number with a fraction or an exponent
 * becomes a float, any other one an integer. Memory taken is bounded by a multiple of size.
 * @param text the text, in UTF-8; need not end with a NUL
 * @param size its bytes
 * @param value gets the value, to be ended with soma_value_destroy(); empty on error
 * @return 0; SOMA_EINVAL (an argument is NULL); SOMA_EFORMAT (no JSON, something behind it, not UTF-8, a NUL in a
 *         string, a name twice in an object, a wrong `$bytes`, `$ref` or `$u64`); SOMA_ETYPE (an integer that is not
 *         within int64_t, or a float too large); SOMA_ETOOBIG (deeper than #SOMA_VALUE_DEPTH_MAX); SOMA_ENOMEM,
 *         for which the parser gives SOMA_EFORMAT if it is in the middle of a string
 */
SOMA_API int soma_value_from_json(const char *text, size_t size, soma_value *value);

/**
 * Writes a value as JSON, in one line without spaces. Floats have 17 digits, so that they come back exactly.
 * @param value the value, which need not be checked
 * @param text gets the text with a NUL at its end, which the caller ends with free(); NULL on error
 * @return 0; SOMA_EINVAL (`text` is NULL, or the value has a size but no data); SOMA_ETYPE (NaN or infinity);
 *         SOMA_ENOMEM; what soma_value_check() returns for bytes that are no value
 */
SOMA_API int soma_value_to_json(soma_value value, char **text);

/** @} */

#endif
