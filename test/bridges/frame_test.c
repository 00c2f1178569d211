/* Frames and items: what is written comes back, and what is cut, too long, or not meant, is refused. */
#include "bridges/item.h"
#include "test_support.h"
#include <soma/error.h>
#include <string.h>

#define HERE 7u
#define THERE 8u

static struct span span_of(const char *text)
{
    return (struct span){text, (uint32_t)strlen(text)};
}

static struct reader reader_of(const msgpack_sbuffer *buffer)
{
    const unsigned char *bytes = (const unsigned char *)buffer->data;
    return (struct reader){bytes, bytes + buffer->size};
}

static struct hello sample_hello(void)
{
    return (struct hello){.version = PROTOCOL_VERSION,
                          .node = UINT64_MAX,
                          .least = PROTOCOL_LEAST,
                          .agent = {UINT64_MAX, 3, UINT32_MAX},
                          .name = span_of("far"),
                          .addresses = {span_of("tcp://127.0.0.1:1"), span_of("ipc://x")},
                          .address_count = 2,
                          .beat_ms = 1000,
                          .reads = UINT64_MAX};
}

/* ---- frames ---- */

/* Reads whatever it is; 0 or an error. */
static int frame_read(struct reader *reader, struct hello *hello, uint64_t numbers[2])
{
    enum frame_kind kind;
    uint32_t count;
    int reason, error = frame_open(reader, &kind, &count);
    struct span text;
    struct join join;
    if (error)
        return error;
    switch (kind) {
    case FRAME_HELLO:
        return hello_read(reader, count, hello);
    case FRAME_DATA:
        return data_read(reader, count, &numbers[0], &numbers[1]);
    case FRAME_PACKED:
        return packed_read(reader, count, &numbers[0], &numbers[1], &(uint64_t){0});
    case FRAME_SESSION:
        return join_read(reader, count, &join);
    case FRAME_PING:
        return ping_read(reader, count, &numbers[0], &numbers[1]);
    case FRAME_REJECT:
        error = reject_read(reader, count, &reason, &text);
        return error ? error : reason == SOMA_EINVAL && text.size == 3 ? 0 : 1;
    default:
        return 0;
    }
}

static void test_hello(void **state)
{
    (void)state;
    struct hello hello = sample_hello(), again;
    uint64_t numbers[2];
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    assert_true(hello_write(&buffer, &hello));
    struct reader reader = reader_of(&buffer);
    assert_int_equal(frame_read(&reader, &again, numbers), 0);
    assert_int_equal(reader_left(&reader), 0);
    assert_true(again.node == hello.node && again.least == hello.least);
    assert_true(soma_ref_equal(again.agent, hello.agent) && again.beat_ms == 1000 && again.reads == UINT64_MAX);
    assert_int_equal(again.address_count, 2);
    assert_memory_equal(again.name.text, "far", 3);
    assert_memory_equal(again.addresses[1].text, "ipc://x", again.addresses[1].size);
    msgpack_sbuffer_destroy(&buffer);
}

/* Every beginning of a frame is refused, and nothing behind its end is read: each is in a block of its own. */
static void cut_everywhere(const msgpack_sbuffer *whole)
{
    for (size_t size = 0; size < whole->size; size++) {
        unsigned char *cut = malloc(size ? size : 1);
        struct hello hello;
        uint64_t numbers[2];
        assert_non_null(cut);
        memcpy(cut, whole->data, size);
        struct reader reader = {cut, cut + size};
        assert_int_equal(frame_read(&reader, &hello, numbers), SOMA_EFORMAT);
        free(cut);
    }
}

static void test_truncation(void **state)
{
    (void)state;
    struct hello hello = sample_hello();
    uint64_t numbers[2];
    for (int kind = FRAME_HELLO; kind <= FRAME_LAST; kind++) {
        msgpack_sbuffer buffer;
        msgpack_sbuffer_init(&buffer);
        bool written = kind == FRAME_HELLO     ? hello_write(&buffer, &hello)
                       : kind == FRAME_PACKED  ? packed_write(&buffer, 300, UINT64_MAX, 1 << 20, NULL, 0)
                       : kind == FRAME_DATA    ? data_write(&buffer, 70000, UINT64_MAX, NULL, 0)
                       : kind == FRAME_SESSION ? join_write(&buffer, &(struct join){1, 2, UINT64_MAX})
                       : kind == FRAME_PING    ? ping_write(&buffer, 300, UINT64_MAX)
                       : kind == FRAME_REJECT  ? reject_write(&buffer, SOMA_EINVAL, "why")
                                               : bye_write(&buffer);
        assert_true(written);
        cut_everywhere(&buffer);
        struct reader reader = reader_of(&buffer);
        assert_int_equal(frame_read(&reader, &hello, numbers), 0);
        assert_int_equal(reader_left(&reader), 0);
        msgpack_sbuffer_destroy(&buffer);
    }
    assert_int_equal(numbers[0], 300);
    assert_true(numbers[1] == UINT64_MAX);
}

static int read_bytes(const char *bytes, size_t size)
{
    struct reader reader = {(const unsigned char *)bytes, (const unsigned char *)bytes + size};
    struct hello hello;
    uint64_t numbers[2];
    return frame_read(&reader, &hello, numbers);
}

#define READ(bytes) read_bytes(bytes, sizeof(bytes) - 1)

static void test_malformed_frames(void **state)
{
    (void)state;
    assert_int_equal(READ("\x90"), SOMA_EFORMAT);                 // nothing in it
    assert_int_equal(READ("\x91\x08"), SOMA_EFORMAT);             // no such kind
    assert_int_equal(READ("\x91\x00"), SOMA_EFORMAT);             // nor this
    assert_int_equal(READ("\x91\xff"), SOMA_EFORMAT);             // nor a negative one
    assert_int_equal(READ("\x93\x04\xff\x01"), SOMA_EFORMAT);     // a negative acknowledgement
    assert_int_equal(READ("\x94\x04\x01\x01\x01"), SOMA_EFORMAT); // one too many
    assert_int_equal(READ("\x93\x05\x05\xa0"), 1);                // a reason that is none becomes one: not SOMA_EINVAL
    assert_int_equal(READ("\x94\x07\x01\x01\xce\x00\x10\x00\x01"), SOMA_EFORMAT); // over a MiB
    assert_int_equal(READ("\x94\x07\x01\x01\x00"), SOMA_EFORMAT);                 // of no bytes
    assert_int_equal(READ("\x93\x07\x01\x01"), SOMA_EFORMAT);                     // of no size
    assert_int_equal(READ("\xdd\xff\xff\xff\xff\x01"), SOMA_EFORMAT);
    assert_int_equal(READ("\x99\x01\x02\x02"), 0); // another version: the rest is not looked at
}

static void test_lengths(void **state)
{
    (void)state;
    static const char text[ADDRESS_MAX + 2];
    char letters[sizeof(text)];
    memset(letters, 'x', sizeof(letters));
    for (int what = 0; what < 4; what++) {
        struct hello hello = sample_hello(), again;
        uint64_t numbers[2];
        msgpack_sbuffer buffer;
        if (what == 1)
            hello.name = (struct span){letters, NODE_NAME_MAX + 1};
        if (what == 2)
            hello.addresses[1] = (struct span){letters, ADDRESS_MAX + 1};
        if (what == 3)
            hello.name = (struct span){text, 3}; // with a NUL inside
        msgpack_sbuffer_init(&buffer);
        assert_true(hello_write(&buffer, &hello));
        struct reader reader = reader_of(&buffer);
        assert_int_equal(frame_read(&reader, &again, numbers), what ? SOMA_EFORMAT : 0);
        msgpack_sbuffer_destroy(&buffer);
    }
}

/* ---- items ---- */

struct sample {
    const char *bytes;
    size_t size;
    enum item_kind kind;
};

#define SAMPLE(kind, bytes)                                                                                            \
    {                                                                                                                  \
        bytes, sizeof(bytes) - 1, kind                                                                                 \
    }

static const struct sample samples[] = {
    SAMPLE(ITEM_TYPE, "\x94\x01\x00\xa4note\xa5u64 a"),
    SAMPLE(ITEM_REFUSED, "\x93\x02\x05\xa5u64 a"),
    SAMPLE(ITEM_NODE, "\x94\x03\x0c\xa3"
                      "far\x91\xa7ipc://x"),
    SAMPLE(ITEM_SEND, "\x95\x04\x92\x01\x01\xc0\x00\x92\x05\xa2hi"),
    SAMPLE(ITEM_REQUEST, "\x96\x05\x92\x01\x01\x92\x01\x01\x07\x00\x91\x05"),
    SAMPLE(ITEM_REPLY, "\x96\x06\x92\x01\x01\x93\x09\x01\x01\x07\x00\x91\x05"),
    SAMPLE(ITEM_ERROR, "\x95\x07\x92\x01\x01\x92\x01\x01\x07\xfd"),
    SAMPLE(ITEM_MOVED, "\x94\x08\x92\x01\x01\x92\x01\x01\x07"),
    SAMPLE(ITEM_MOVED, "\x95\x08\x92\x01\x01\x92\x01\x01\x07\x01"), // with a number
    SAMPLE(ITEM_WATCH, "\x94\x09\x92\x01\x01\x92\x01\x01\x07"),
    SAMPLE(ITEM_UNWATCH, "\x94\x0a\x92\x01\x01\x92\x01\x01\x07"),
    SAMPLE(ITEM_DOWN, "\x96\x0b\x92\x01\x01\x92\x01\x01\x07\xfd\xc0"),
    SAMPLE(ITEM_LINK, "\x94\x0c\x92\x01\x01\x92\x01\x01\x07"),
    SAMPLE(ITEM_UNLINK, "\x95\x0d\x92\x01\x01\x92\x01\x01\x07\x01"),
    SAMPLE(ITEM_EXIT, "\x96\x0e\x92\x01\x01\x92\x01\x01\x07\xfd\xa3why"),
    SAMPLE(ITEM_SHUTDOWN, "\x93\x0f\x92\x01\x01\xc0"),
    SAMPLE(ITEM_KILL, "\x93\x10\x92\x01\x01\xc0"),
    SAMPLE(ITEM_SEND, "\x95\x04\x92\x01\x01\xc0\x00\xcd\x01\x00"), // its body came before
    SAMPLE(ITEM_BODY, "\x94\x11\x07\x05\xc4\x02\x92\x05"),
    SAMPLE(ITEM_SHARED, "\x94\x12\x07\x00\xc4\x02\x91\x05"),
    SAMPLE(ITEM_FORGET, "\x92\x13\x07"),
    SAMPLE(ITEM_PRESSURE, "\x94\x14\xc0\x92\x01\x01\x01"),
};

static int read_item(const void *bytes, size_t size, struct item *item)
{
    struct reader reader = {bytes, (const unsigned char *)bytes + size};
    int error = item_read(&reader, HERE, THERE, item);
    assert_true(error || !reader_left(&reader));
    return error;
}

static void test_items(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
        struct item item;
        assert_int_equal(read_item(samples[i].bytes, samples[i].size, &item), 0);
        assert_int_equal(item.kind, samples[i].kind);
        if (item_is_word(item.kind))
            assert_true(item.to.node == HERE && item.to.slot == 1 && item.to.generation == 1);
        for (size_t size = 0; size < samples[i].size; size++) {
            unsigned char *cut = malloc(size ? size : 1);
            assert_non_null(cut);
            memcpy(cut, samples[i].bytes, size);
            assert_int_equal(read_item(cut, size, &item), SOMA_EFORMAT);
            free(cut);
        }
    }
}

#define ITEM(bytes) read_item(bytes, sizeof(bytes) - 1, &item)

static void test_malformed_items(void **state)
{
    (void)state;
    struct item item;
    assert_int_equal(ITEM("\x93\x00\x92\x01\x01\xc0"), SOMA_EFORMAT);     // no such kind
    assert_int_equal(ITEM("\x93\x7f\x92\x01\x01\xc0"), SOMA_EFORMAT);     // nor this
    assert_int_equal(ITEM("\x94\x10\x92\x01\x01\xc0\x01"), SOMA_EFORMAT); // one element too many
    assert_int_equal(ITEM("\x93\x10\x93\x08\x01\x01\xc0"), SOMA_EFORMAT); // for an agent elsewhere
    assert_int_equal(ITEM("\x93\x10\xc0\xc0"), SOMA_EFORMAT);             // for nobody
    assert_int_equal(ITEM("\x93\x10\x91\x01\xc0"), SOMA_EFORMAT);         // half a ref
    assert_int_equal(ITEM("\x93\x10\x92\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x01\xc0"),
                     SOMA_EFORMAT);                                   // a slot over 32 bits
    assert_int_equal(ITEM("\x93\x02\xcd\x10\x00\xa0"), SOMA_EFORMAT); // an index over the limit
    assert_int_equal(ITEM("\x94\x03\x0c\xa0\x99\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0"), SOMA_EFORMAT); // 9 addresses
    assert_int_equal(ITEM("\x94\x03\x0c\xa0\xdd\xff\xff\xff\xff"), SOMA_EFORMAT);                     // very many
    assert_int_equal(ITEM("\x94\x09\x92\x01\x01\xc0\xff"), SOMA_EFORMAT);                      // a negative handle
    assert_int_equal(ITEM("\x95\x04\x92\x01\x01\xc0\x00\xdb\xff\xff\xff\xffx"), SOMA_EFORMAT); // a long string, cut
    assert_int_equal(ITEM("\x94\x14\x92\x01\x01\x92\x01\x01\x01"), SOMA_EFORMAT);              // for one agent
    assert_int_equal(ITEM("\x94\x14\xc0\x93\x09\x01\x01\x01"), SOMA_EFORMAT);                  // of an agent elsewhere
    assert_int_equal(ITEM("\x94\x14\xc0\x92\x01\x01\x02"), SOMA_EFORMAT);                      // neither on nor off
}

/* What one side writes the other reads, whichever nodes are meant. */
static void test_refs(void **state)
{
    (void)state;
    const soma_ref to = {HERE, UINT32_MAX, 5}, froms[] = {{THERE, 1, 3}, {HERE, 2, 5}, {99, 3, 7}, SOMA_REF_NULL};
    for (size_t i = 0; i < sizeof(froms) / sizeof(*froms); i++) {
        struct item item;
        msgpack_sbuffer buffer;
        msgpack_sbuffer_init(&buffer);
        struct writer writer = {&buffer, false};
        item_begin(&writer, ITEM_SHUTDOWN, 0, THERE, HERE, to, froms[i]);
        assert_false(writer.failed);
        assert_int_equal(read_item(buffer.data, buffer.size, &item), 0);
        assert_true(soma_ref_equal(item.to, to) && soma_ref_equal(item.from, froms[i]));
        msgpack_sbuffer_destroy(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),   cmocka_unit_test(test_truncation), cmocka_unit_test(test_malformed_frames),
        cmocka_unit_test(test_lengths), cmocka_unit_test(test_items),      cmocka_unit_test(test_malformed_items),
        cmocka_unit_test(test_refs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
