// Dynamic values inside the runtime: what value.c, value_check.c, value_builder.c and the packing of messages share.
#ifndef RUNTIME_VALUE_H
#define RUNTIME_VALUE_H

#include "runtime/reader.h"
#include <soma/value.h>

// A ref's extension type, and its bytes.
enum { VALUE_EXT_REF = 1, VALUE_REF_SIZE = 16 };

// A reader of the value's bytes, if empty of a nil. A size without data reads as truncated.
static inline struct reader value_reader(soma_value value)
{
    static const unsigned char nil = 0xc0;
    const unsigned char *at = value.size ? value.data : &nil;
    return (struct reader){at, !at ? NULL : value.size ? at + value.size : at + 1};
}

// What an object starts with; for all but arrays and maps, that is all of it.
struct value_head {
    int kind;         // an enum soma_value_kind
    bool negative;    // integer: the number is an int64_t below 0
    uint64_t number;  // bool, integer
    double real;      // float
    const void *data; // string, bytes, ref: where its bytes are
    uint32_t length;  // of these; array, map: how many elements or entries follow
};

// Reads it. What it declares is there, or can be: an element has one byte at least.
int value_head_read(struct reader *reader, struct value_head *head);

// An integer as a float, if that is exact: SOMA_ETYPE above 2^53 either way.
int value_integer_to_float(uint64_t number, bool negative, double *out);

// Passes over one object, however deep, without a check of more than its lengths.
int value_skip(struct reader *reader);

// Checks the next object completely and passes over it. `depth` is how many containers it stands in. The reader must
// not have more than 4 GiB left.
int value_check_next(struct reader *reader, unsigned depth);

// The same for a whole value.
int value_check_at(soma_value value, unsigned depth);

// Is no key twice in a map's entries? They stand between `first` and `end`. SOMA_EFORMAT if one is, or SOMA_ENOMEM.
int value_keys_check(const unsigned char *first, const unsigned char *end, uint32_t count);

// Adds what a field holds, of an array one element, that is at `at`.
int value_add_item(soma_value_builder *builder, const soma_field *field, const char *at);

// Makes the builder fail, if it did not before; gives its first error.
int value_builder_fail(soma_value_builder *builder, int error);

// How many containers a value in a message of that depth may count to stand in: two a message, as each of them may
// stand in an array. So whatever can be packed also has a value's form.
static inline unsigned value_depth_in_message(int depth)
{
    return 2 * (unsigned)depth;
}

#endif
