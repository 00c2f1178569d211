/**
 * @file
 * Message type descriptors, and what can be done with any message through its descriptor. User code rarely needs these
 * functions by name: #SOMA_MESSAGE generates a typed wrapper of each.
 *
 * All of them are reentrant: any thread may call them, on messages that no other thread changes at that moment.
 */
#ifndef SOMA_TYPE_H
#define SOMA_TYPE_H

#include <soma/export.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How deep messages may stand in messages, the outermost one counted. Types may be recursive, so data needs a limit.
 */
#define SOMA_TYPE_DEPTH_MAX 16

/** What a field holds; for an array, what each element is. The flat kinds (no pointer) come first. */
enum soma_kind {
    SOMA_KIND_U8,     /**< uint8_t */
    SOMA_KIND_U16,    /**< uint16_t */
    SOMA_KIND_U32,    /**< uint32_t */
    SOMA_KIND_U64,    /**< uint64_t */
    SOMA_KIND_I8,     /**< int8_t */
    SOMA_KIND_I16,    /**< int16_t */
    SOMA_KIND_I32,    /**< int32_t */
    SOMA_KIND_I64,    /**< int64_t */
    SOMA_KIND_F32,    /**< float */
    SOMA_KIND_F64,    /**< double */
    SOMA_KIND_BOOL,   /**< bool */
    SOMA_KIND_REF,    /**< soma_ref; the last flat kind */
    SOMA_KIND_STRING, /**< const char *: UTF-8, or NULL */
    SOMA_KIND_BYTES,  /**< soma_bytes */
    SOMA_KIND_VALUE,  /**< soma_value: any value, see soma/value.h */
    SOMA_KIND_MESSAGE /**< a nested struct, of the field's nested type */
};

/** Any bytes, with their number. */
typedef struct soma_bytes {
    const void *data; /**< may be NULL if size is 0 */
    uint32_t size;    /**< how many */
} soma_bytes;

/** A dynamic value: a view of one MessagePack object, which it does not own. See soma/value.h for what can be done with
 * it. */
typedef struct soma_value {
    const void *data; /**< the object; may be NULL if size is 0 */
    uint32_t size;    /**< its bytes; 0: the empty value, which counts as nil everywhere */
} soma_value;

/** How a send copies a small message. */
enum soma_small {
    SOMA_SMALL_NONE = 1, /**< it has no fields */
    SOMA_SMALL_BYTES,    /**< by its size */
    SOMA_SMALL_WORDS     /**< by one word of 8 bytes; the next two numbers: by two, by three */
};

struct soma_type;

/** One field of a message type; made by #SOMA_MESSAGE. An array is a struct of a pointer `items` and a uint32_t
 * `count`. */
typedef struct soma_field {
    const char *name;               /**< as declared; the key in the wire's map form */
    uint8_t kind;                   /**< an enum soma_kind */
    bool is_array;                  /**< an array of that kind */
    uint32_t offset;                /**< where it is in the struct */
    const struct soma_type *nested; /**< the message type, for #SOMA_KIND_MESSAGE only */
} soma_field;

/** Describes a message type; made by #SOMA_MESSAGE, constant, alive as long as the program. */
typedef struct soma_type {
    const char *name;         /**< as declared */
    uint32_t size;            /**< bytes of the struct */
    uint32_t field_count;     /**< length of fields */
    const soma_field *fields; /**< in the order of declaration; NULL for none */
    bool flat;                /**< no pointers: memcpy copies it. False for every type with nested messages */
    uint8_t small;            /**< flat and of at most 24 bytes: an enum soma_small; else 0 */
} soma_type;

/**
 * Zeroes a message: numbers 0, strings NULL, arrays and values empty.
 * @param type its type
 * @param message gets it; what it held before is not freed
 * @return 0, or SOMA_EINVAL if an argument is NULL
 */
SOMA_API int soma_type_init(const soma_type *type, void *message);

/**
 * Frees all that a message owns and zeroes it, so that a second call is harmless. Only for messages that were made by
 * soma_type_init(), soma_type_copy() or soma_type_unpack() and whose pointers were not replaced since; a message whose
 * fields point to the caller's own strings or arrays must not be destroyed. The struct itself is the caller's.
 * @param type its type; NULL does nothing
 * @param message the message; NULL does nothing
 */
SOMA_API void soma_type_destroy(const soma_type *type, void *message);

/**
 * Copies a message with everything that it points to. The copy shares nothing with the source.
 * @param type the type of both
 * @param dst gets the copy, to be ended with soma_type_destroy(); what it held before is not freed; zeroed on error
 * @param src the source; must not be dst
 * @return 0; SOMA_EINVAL (an argument is NULL, src is dst, or an array, bytes or a value has a length but no data);
 *         SOMA_ENOMEM; SOMA_ETOOBIG (nested deeper than #SOMA_TYPE_DEPTH_MAX)
 */
SOMA_API int soma_type_copy(const soma_type *type, void *dst, const void *src);

/**
 * Compares two messages by value. A NaN equals a NaN, so that a copy always equals its source; a NULL string equals
 * only NULL. What is nested deeper than #SOMA_TYPE_DEPTH_MAX, or has a length but no data, is never equal.
 * @param type the type of both
 * @param a a message
 * @param b another
 * @return true if all fields are equal; false if an argument is NULL
 */
SOMA_API bool soma_type_equal(const soma_type *type, const void *a, const void *b);

/**
 * Prints a message in one line for people: `greet{name: "Bob", age: 7}`. Control characters are escaped.
 * @param type its type
 * @param message the message
 * @param buf gets the text, cut to fit and always ended with a NUL if size is not 0
 * @param size bytes of buf; if 0, buf may be NULL
 * @return the length of the whole text, as snprintf gives it (it was cut if that is not less than size); or
 *         SOMA_EINVAL (an argument is NULL), SOMA_ETOOBIG (longer than INT_MAX)
 */
SOMA_API int soma_type_print(const soma_type *type, const void *message, char *buf, size_t size);

/**
 * Packs a message into MessagePack: an array of its fields in their order; a ref is an array of three integers, a NULL
 * string is nil. A value stands there as itself, checked as by soma_value_check(); an empty one is nil.
 * @param type its type
 * @param message the message; unchanged
 * @param buf gets the bytes, which the caller ends with free(); NULL on error
 * @param size gets their number; 0 on error
 * @return 0; SOMA_EINVAL (an argument is NULL, or an array, bytes or a value has a length but no data); SOMA_EFORMAT (a
 *         string is not UTF-8, or a value malformed); SOMA_ETYPE (a value with what none has); SOMA_ENOMEM;
 *         SOMA_ETOOBIG (nested deeper than #SOMA_TYPE_DEPTH_MAX, a value deeper than #SOMA_VALUE_DEPTH_MAX with two
 *         counted for every message around it, or a string over 4 GiB)
 */
SOMA_API int soma_type_pack(const soma_type *type, const void *message, void **buf, size_t *size);

/**
 * Unpacks a message from untrusted bytes. Takes the array form that soma_type_pack() makes (exactly the declared
 * fields), or a map from field names (every field once, in any order), also for nested messages. An integer must fit
 * its field; a float field takes either width of float, and no integer; a string must be UTF-8 without NUL, or nil. A
 * value is checked as by soma_value_check(); nil gives the empty one. Memory taken is bounded by a small multiple of
 * size, whatever lengths the bytes declare.
 * @param type the type that is expected
 * @param dst gets the message, to be ended with soma_type_destroy(); what it held before is not freed; zeroed on error
 * @param data the bytes; not needed after the call
 * @param size their number
 * @return 0; SOMA_EINVAL (an argument is NULL); SOMA_EFORMAT (truncated, malformed, trailing bytes, or a field too
 *         many, missing, unknown or twice); SOMA_ETYPE (a value of another type, or out of its field's range);
 *         SOMA_ETOOBIG (too deep, as in soma_type_pack()); SOMA_ENOMEM
 */
SOMA_API int soma_type_unpack(const soma_type *type, void *dst, const void *data, size_t size);

/**
 * A number for a type's wire form: its name and the names, kinds and order of its fields, nested types included (the
 * offsets are not: machines may differ in them). Two nodes whose hashes agree understand each other.
 * @param type the type
 * @return the hash (FNV-1a, 64 bits); 0 for NULL
 */
SOMA_API uint64_t soma_type_hash(const soma_type *type);

#endif
