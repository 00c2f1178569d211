// The MessagePack reader: see reader.h.
#include "runtime/reader.h"

int reader_integer_long(struct reader *reader, uint64_t *number, bool *negative)
{
    unsigned tag;
    int error = reader_tag(reader, &tag);
    *negative = false;
    if (error)
        return error;
    if (tag >= 0xe0) {
        *negative = true;
        *number = tag | ~UINT64_C(0xff);
        return 0;
    }
    if (tag < 0xcc || tag > 0xd3)
        return SOMA_ETYPE;
    unsigned width = 1U << ((tag - 0xcc) & 3);
    if ((error = reader_number(reader, width, number)))
        return error;
    uint64_t sign = UINT64_C(1) << (width * 8 - 1);
    if (tag >= 0xd0 && (*number & sign)) {
        *negative = true;
        *number |= ~(sign - 1);
    }
    return 0;
}

int reader_float(struct reader *reader, double *number)
{
    unsigned tag;
    uint64_t bits;
    int error = reader_tag(reader, &tag);
    if (error)
        return error;
    if (tag != 0xca && tag != 0xcb)
        return SOMA_ETYPE;
    if ((error = reader_number(reader, tag == 0xca ? 4 : 8, &bits)))
        return error;
    uint32_t bits32 = (uint32_t)bits;
    float narrow;
    memcpy(&narrow, &bits32, sizeof narrow);
    memcpy(number, &bits, sizeof *number);
    if (tag == 0xca)
        *number = (double)narrow;
    return 0;
}

// Reads what an array, map, string or binary starts with. `fix` is its short form's tag, whose low bits in `mask` are
// the length (mask 0: it has no short form); `wide` is its first long form's, of `width` bytes of length.
static int read_length(struct reader *reader, unsigned fix, unsigned mask, unsigned wide, unsigned width,
                       uint32_t *length)
{
    unsigned tag;
    uint64_t number = 0;
    int error = reader_tag(reader, &tag);
    if (error)
        return error;
    if (mask && (tag & ~mask) == fix) {
        *length = tag & mask;
        return 0;
    }
    for (; width <= 4; width *= 2, wide++) {
        if (tag == wide) {
            error = reader_number(reader, width, &number);
            *length = (uint32_t)number;
            return error;
        }
    }
    return SOMA_ETYPE;
}

int reader_array_long(struct reader *reader, uint32_t *count)
{
    return read_length(reader, 0x90, 0x0f, 0xdc, 2, count);
}

int reader_map(struct reader *reader, uint32_t *count)
{
    return read_length(reader, 0x80, 0x0f, 0xde, 2, count);
}

int reader_block_long(struct reader *reader, bool string, const void **data, uint32_t *size)
{
    int error = string ? read_length(reader, 0xa0, 0x1f, 0xd9, 1, size) : read_length(reader, 0, 0, 0xc4, 1, size);
    if (!error && *size > reader_left(reader))
        error = SOMA_EFORMAT;
    if (error)
        return error;
    *data = reader->at;
    reader->at += *size;
    return 0;
}
