/* Reading and writing frames; see frame.h. */
#include "bridges/frame.h"
#include "bridges/checksum.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <string.h>

/* ---- reading ---- */

int read_signed(struct reader *reader, int64_t *number)
{
    bool negative;
    uint64_t bits;
    int error = reader_integer(reader, &bits, &negative);
    if (error)
        return error;
    *number = (int64_t)bits;
    return !negative && bits > INT64_MAX ? SOMA_EFORMAT : 0;
}

int read_span(struct reader *reader, uint32_t most, struct span *span)
{
    const void *data;
    int error = reader_block(reader, true, &data, &span->size);
    if (error)
        return error;
    span->text = data;
    return span->size > most || memchr(data, 0, span->size) || !type_utf8_valid(data, span->size) ? SOMA_EFORMAT : 0;
}

bool frame_seal(msgpack_sbuffer *frame)
{
    const struct pieces pieces = frame_pieces(frame, NULL, 0);
    return !msgpack_sbuffer_write(frame, (const char *)pieces.sum, sizeof(pieces.sum));
}

struct pieces frame_pieces(const msgpack_sbuffer *head, const char *items, size_t size)
{
    uint32_t sum = checksum_more(checksum_more(0, head->data, head->size), items, size);
    return (struct pieces){
        head->data,
        head->size,
        items,
        size,
        {(unsigned char)sum, (unsigned char)(sum >> 8), (unsigned char)(sum >> 16), (unsigned char)(sum >> 24)},
        NULL};
}

void pieces_join(const struct pieces *pieces, void *to)
{
    char *at = to;
    memcpy(at, pieces->head, pieces->head_size);
    if (pieces->items_size) // else there may be none
        memcpy(at + pieces->head_size, pieces->items, pieces->items_size);
    memcpy(at + pieces->head_size + pieces->items_size, pieces->sum, sizeof(pieces->sum));
}

bool frame_unseal(struct reader *reader)
{
    if (reader_left(reader) < CHECKSUM_SIZE)
        return false;
    reader->end -= CHECKSUM_SIZE;
    const unsigned char *said = reader->end;
    return checksum_more(0, reader->at, reader_left(reader)) ==
           ((uint32_t)said[0] | (uint32_t)said[1] << 8 | (uint32_t)said[2] << 16 | (uint32_t)said[3] << 24);
}

int frame_open(struct reader *reader, enum frame_kind *kind, uint32_t *count)
{
    uint64_t number;
    int error = reader_array(reader, count);
    if (error || !*count)
        return SOMA_EFORMAT;
    error = read_number(reader, FRAME_LAST, &number);
    if (error || !number)
        return SOMA_EFORMAT;
    *kind = (enum frame_kind)number;
    --*count;
    return 0;
}

static int addresses_read(struct reader *reader, struct hello *hello)
{
    int error = reader_array(reader, &hello->address_count);
    if (!error && hello->address_count > ADDRESSES_MAX)
        error = SOMA_EFORMAT;
    for (uint32_t i = 0; !error && i < hello->address_count; i++)
        error = read_span(reader, ADDRESS_MAX, &hello->addresses[i]);
    return error;
}

/* A later version may say more behind what is known here, and is then spoken to in this one, if it still speaks it. */
int hello_read(struct reader *reader, uint32_t count, struct hello *hello)
{
    uint64_t slot = 0, generation = 0;
    *hello = (struct hello){0};
    int error = count < 8 ? SOMA_EFORMAT : read_number(reader, UINT32_MAX, &hello->version);
    if (error || (error = read_number(reader, UINT32_MAX, &hello->least)) || !hello_speaks(hello))
        return error;
    if ((error = read_number(reader, UINT64_MAX, &hello->node)) || (error = read_number(reader, UINT32_MAX, &slot)) ||
        (error = read_number(reader, UINT32_MAX, &generation)) ||
        (error = read_span(reader, NODE_NAME_MAX, &hello->name)) || (error = addresses_read(reader, hello)) ||
        (error = read_number(reader, UINT32_MAX, &hello->beat_ms)) ||
        (count > 8 && (error = read_number(reader, UINT64_MAX, &hello->count))) ||
        (count > 9 && (error = read_number(reader, UINT64_MAX, &hello->reads))))
        return error;
    hello->agent = (soma_ref){hello->node, (uint32_t)slot, (uint32_t)generation};
    return hello->node ? 0 : SOMA_EFORMAT;
}

int join_read(struct reader *reader, uint32_t count, struct join *join)
{
    int error = count != 3 ? SOMA_EFORMAT : read_number(reader, UINT64_MAX, &join->mine);
    if (error || (error = read_number(reader, UINT64_MAX, &join->yours)))
        return error;
    error = read_number(reader, UINT64_MAX, &join->received);
    return !error && !join->mine ? SOMA_EFORMAT : error;
}

int data_read(struct reader *reader, uint32_t count, uint64_t *number, uint64_t *acked)
{
    int error = count != 2 ? SOMA_EFORMAT : read_number(reader, UINT64_MAX, number);
    return error ? error : read_number(reader, UINT64_MAX, acked);
}

int packed_read(struct reader *reader, uint32_t count, uint64_t *number, uint64_t *acked, uint64_t *plain)
{
    int error = count != 3 ? SOMA_EFORMAT : data_read(reader, 2, number, acked);
    if (error || (error = read_number(reader, COMPRESS_MOST, plain)))
        return error;
    return *plain ? 0 : SOMA_EFORMAT;
}

int ping_read(struct reader *reader, uint32_t count, uint64_t *acked, uint64_t *sent)
{
    int error = count != 2 ? SOMA_EFORMAT : read_number(reader, UINT64_MAX, acked);
    return error ? error : read_number(reader, UINT64_MAX, sent);
}

int reject_read(struct reader *reader, uint32_t count, int *error, struct span *text)
{
    int64_t number;
    int failed = count < 2 ? SOMA_EFORMAT : read_signed(reader, &number);
    if (failed || (failed = read_span(reader, REASON_MAX, text)))
        return failed;
    *error = number < 0 && number > INT32_MIN ? (int)number : SOMA_EFORMAT;
    return 0;
}

/* ---- writing ---- */

bool hello_write(msgpack_sbuffer *buffer, const struct hello *hello)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 11);
    write_number(&writer, FRAME_HELLO);
    write_number(&writer, hello->version);
    write_number(&writer, hello->least);
    write_number(&writer, hello->node);
    write_number(&writer, hello->agent.slot);
    write_number(&writer, hello->agent.generation);
    write_text(&writer, hello->name.text, hello->name.size);
    write_array(&writer, hello->address_count);
    for (uint32_t i = 0; i < hello->address_count; i++)
        write_text(&writer, hello->addresses[i].text, hello->addresses[i].size);
    write_number(&writer, hello->beat_ms);
    write_number(&writer, hello->count);
    write_number(&writer, hello->reads);
    return !writer.failed;
}

bool join_write(msgpack_sbuffer *buffer, const struct join *join)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 4);
    write_number(&writer, FRAME_SESSION);
    write_number(&writer, join->mine);
    write_number(&writer, join->yours);
    write_number(&writer, join->received);
    return !writer.failed;
}

bool data_write(msgpack_sbuffer *buffer, uint64_t number, uint64_t acked, const char *items, size_t size)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 3);
    write_number(&writer, FRAME_DATA);
    write_number(&writer, number);
    write_number(&writer, acked);
    write_raw(&writer, items, size);
    return !writer.failed;
}

bool packed_write(msgpack_sbuffer *buffer, uint64_t number, uint64_t acked, uint64_t plain, const char *items,
                  size_t size)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 4);
    write_number(&writer, FRAME_PACKED);
    write_number(&writer, number);
    write_number(&writer, acked);
    write_number(&writer, plain);
    write_raw(&writer, items, size);
    return !writer.failed;
}

bool ping_write(msgpack_sbuffer *buffer, uint64_t acked, uint64_t sent)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 3);
    write_number(&writer, FRAME_PING);
    write_number(&writer, acked);
    write_number(&writer, sent);
    return !writer.failed;
}

bool reject_write(msgpack_sbuffer *buffer, int error, const char *text)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 3);
    write_number(&writer, FRAME_REJECT);
    write_signed(&writer, error);
    write_text(&writer, text, strlen(text));
    return !writer.failed;
}

bool bye_write(msgpack_sbuffer *buffer)
{
    struct writer writer = {buffer, false};
    write_array(&writer, 1);
    write_number(&writer, FRAME_BYE);
    return !writer.failed;
}
