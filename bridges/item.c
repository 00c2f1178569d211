/* Reading items, and the beginning of writing them; see item.h. */
#include "bridges/item.h"
#include "runtime/value.h"
#include <soma/error.h>

/* ---- refs: [slot, generation] of the node that is meant anyhow, [node, slot, generation] of another, or nil ---- */

static inline int ref_read(struct reader *reader, uint64_t meant, soma_ref *ref)
{
    uint64_t node = meant, slot, generation;
    uint32_t count;
    *ref = SOMA_REF_NULL;
    if (reader_peek(reader) == 0xc0) {
        reader->at++;
        return 0;
    }
    int error = reader_array(reader, &count);
    if (!error && count != 2 && count != 3)
        error = SOMA_EFORMAT;
    if (!error && count == 3)
        error = read_number(reader, UINT64_MAX, &node);
    if (error || (error = read_number(reader, UINT32_MAX, &slot)) ||
        (error = read_number(reader, UINT32_MAX, &generation)))
        return error;
    *ref = (soma_ref){node, (uint32_t)slot, (uint32_t)generation};
    return 0;
}

#define REF_MOST (4 * PUT_MOST)

static inline char *put_ref(char *at, uint64_t meant, soma_ref ref)
{
    if (soma_ref_is_null(ref))
        return put_nil(at);
    at = put_array(at, ref.node == meant ? 2 : 3);
    if (ref.node != meant)
        at = put_number(at, ref.node);
    return put_number(put_number(at, ref.slot), ref.generation);
}

void item_begin(struct writer *writer, enum item_kind kind, uint32_t count, uint64_t here, uint64_t there, soma_ref to,
                soma_ref from)
{
    char *at = writer_room(writer, 2 * PUT_MOST + 2 * REF_MOST);
    if (at)
        writer_end(writer, put_ref(put_ref(put_number(put_array(at, 3 + count), kind), there, to), here, from));
}

/* ---- reading ---- */

#define MOVED_COUNTED 5u /* elements, if it has a number */

static int number_read(struct reader *reader, struct item *item)
{
    int error = read_number(reader, UINT64_MAX, &item->number);
    return !error && !item->number ? SOMA_EFORMAT : error;
}

/* Is there the number of a message that has come apart, in its place? */
static inline bool body_is_apart(const struct reader *reader)
{
    unsigned tag = reader_peek(reader);
    return tag < 0x80 || (tag >= 0xcc && tag <= 0xcf);
}

/* The packed message itself is left; unless it has come apart, and its number is here. */
static int body_read(struct reader *reader, struct item *item)
{
    int error = read_number(reader, TYPES_MAX - 1, &item->type);
    if (!error && body_is_apart(reader))
        return number_read(reader, item);
    item->body = *reader;
    return error;
}

static int text_read(struct reader *reader, struct item *item)
{
    int error = read_signed(reader, &item->reason);
    if (!error && (item->reason > INT32_MAX || item->reason < INT32_MIN))
        error = SOMA_EFORMAT;
    if (!error && reader_peek(reader) == 0xc0) {
        reader->at++;
        return 0;
    }
    return error ? error : read_span(reader, REASON_MAX, &item->text);
}

static int type_read(struct reader *reader, struct item *item)
{
    int error = read_number(reader, TYPES_MAX - 1, &item->type);
    if (!error && item->kind == ITEM_TYPE)
        error = read_span(reader, UINT16_MAX, &item->name);
    return error ? error : read_span(reader, UINT16_MAX, &item->layout);
}

static int node_read(struct reader *reader, struct item *item)
{
    int error = read_number(reader, UINT64_MAX, &item->node);
    if (error || (error = read_span(reader, NODE_NAME_MAX, &item->name)) ||
        (error = reader_array(reader, &item->address_count)))
        return error;
    if (item->address_count > ADDRESSES_MAX)
        return SOMA_EFORMAT;
    for (uint32_t i = 0; !error && i < item->address_count; i++)
        error = read_span(reader, ADDRESS_MAX, &item->addresses[i]);
    return error;
}

static int pressure_read(struct reader *reader, struct item *item)
{
    uint64_t on;
    int error = read_number(reader, 1, &on);
    item->on = !error && on;
    return error;
}

static int relay_read(struct reader *reader, struct item *item)
{
    const void *data;
    uint32_t size;
    int error = read_number(reader, UINT64_MAX, &item->node);
    if (error || (error = read_number(reader, UINT64_MAX, &item->other)) ||
        (error = read_number(reader, UINT64_MAX, &item->handle)))
        return error;
    if (reader_peek(reader) == 0xc0) {
        reader->at++;
        return 0;
    }
    error = reader_block(reader, false, &data, &size);
    if (!error)
        item->body = (struct reader){data, (const unsigned char *)data + size};
    return error;
}

/* What is for others is not taken along, nor whom another node's agent watches or is linked with, or that it has ended:
 * only its own node knows. */
static bool is_meant(const struct item *item, uint64_t here, uint64_t there)
{
    if (item->kind == ITEM_PRESSURE)
        return soma_ref_is_null(item->to) && item->from.node == there;
    bool own = item->kind >= ITEM_WATCH && item->kind <= ITEM_EXIT;
    return !item_is_word(item->kind) || (item->to.node == here && (!own || item->from.node == there));
}

static int part_read(struct reader *reader, struct item *item)
{
    const void *data;
    uint32_t size;
    int error = number_read(reader, item);
    if (error || (error = read_number(reader, UINT32_MAX, &item->left)) ||
        (error = reader_block(reader, false, &data, &size)))
        return error;
    item->body = (struct reader){data, (const unsigned char *)data + size};
    return size ? 0 : SOMA_EFORMAT;
}

static int rest_read(struct reader *reader, uint32_t count, struct item *item)
{
    switch (item->kind) {
    case ITEM_TYPE:
    case ITEM_REFUSED:
        return type_read(reader, item);
    case ITEM_NODE:
        return node_read(reader, item);
    case ITEM_SEND:
        return body_read(reader, item);
    case ITEM_PRESSURE:
        return pressure_read(reader, item);
    case ITEM_BODY:
    case ITEM_SHARED:
        return part_read(reader, item);
    case ITEM_FORGET:
        return number_read(reader, item);
    case ITEM_RELAY:
        return relay_read(reader, item);
    case ITEM_SHUTDOWN:
    case ITEM_KILL:
        return 0;
    default:
        break;
    }
    int error = read_number(reader, INT64_MAX, &item->handle);
    if (error)
        return error;
    switch (item->kind) {
    case ITEM_REQUEST:
    case ITEM_REPLY:
        return body_read(reader, item);
    case ITEM_ERROR:
        error = read_signed(reader, &item->reason);
        return error || !item->reason || item->reason > INT32_MAX || item->reason < INT32_MIN ? SOMA_EFORMAT : 0;
    case ITEM_MOVED:
        return count == MOVED_COUNTED ? number_read(reader, item) : 0;
    case ITEM_UNLINK:
        return read_number(reader, INT64_MAX, &item->other);
    case ITEM_DOWN:
    case ITEM_EXIT:
        return text_read(reader, item);
    default:
        return 0;
    }
}

static bool has_elements(enum item_kind kind, uint32_t count)
{
    static const uint8_t elements[ITEM_LAST + 1] = {
        [ITEM_TYPE] = 4,  [ITEM_REFUSED] = 3, [ITEM_NODE] = 4,   [ITEM_SEND] = 5,   [ITEM_REQUEST] = 6,
        [ITEM_REPLY] = 6, [ITEM_ERROR] = 5,   [ITEM_MOVED] = 4,  [ITEM_WATCH] = 4,  [ITEM_UNWATCH] = 4,
        [ITEM_DOWN] = 6,  [ITEM_LINK] = 4,    [ITEM_UNLINK] = 5, [ITEM_EXIT] = 6,   [ITEM_SHUTDOWN] = 3,
        [ITEM_KILL] = 3,  [ITEM_BODY] = 4,    [ITEM_SHARED] = 4, [ITEM_FORGET] = 2, [ITEM_PRESSURE] = 4,
        [ITEM_RELAY] = 5};
    return count == elements[kind] || (kind == ITEM_MOVED && count == MOVED_COUNTED);
}

int item_head_read(struct reader *reader, uint64_t here, uint64_t there, struct item *item)
{
    uint32_t count;
    uint64_t kind;
    item->kind = (enum item_kind)0;
    item->to = item->from = SOMA_REF_NULL; // one by one: it is large, and most kinds have few of its fields
    item->handle = item->other = item->type = item->node = item->number = item->left = 0;
    item->reason = 0;
    item->on = false;
    item->body = (struct reader){NULL, NULL};
    item->text = item->name = item->layout = (struct span){NULL, 0};
    item->address_count = 0;
    if (reader_array(reader, &count) || read_number(reader, ITEM_LAST, &kind))
        return SOMA_EFORMAT;
    item->kind = (enum item_kind)kind;
    if (!kind || !has_elements(item->kind, count))
        return SOMA_EFORMAT;
    bool refs = item_is_word(item->kind) || item->kind == ITEM_PRESSURE;
    if (refs && (ref_read(reader, here, &item->to) || ref_read(reader, there, &item->from)))
        return SOMA_EFORMAT;
    if (!is_meant(item, here, there))
        return SOMA_EFORMAT;
    return rest_read(reader, count, item) ? SOMA_EFORMAT : 0;
}

bool item_repeats(struct reader *reader, const struct reader *head, struct item *item)
{
    size_t size = reader_left(head);
    if (!size || reader_left(reader) <= size || memcmp(reader->at, head->at, size) != 0)
        return false;
    const struct reader body = {reader->at + size, reader->end};
    if (body_is_apart(&body))
        return false;
    *reader = item->body = body;
    return true;
}

int item_read(struct reader *reader, uint64_t here, uint64_t there, struct item *item)
{
    int error = item_head_read(reader, here, there, item);
    if (error || !item_has_body(item))
        return error;
    error = value_skip(reader);
    item->body.end = reader->at;
    return error ? SOMA_EFORMAT : 0;
}
