/*
 * A node without keys and bare sockets: what comes in pieces, what is cut, what is too much, and who does not take what
 * the node has to say.
 */
#include "bridges/item.h"
#include "bridges/keeper.h"
#include "bridges/zmtp_parts.h"
#include "raw_peer.h"
#include <netinet/tcp.h>
#include <soma/error.h>

SOMA_MESSAGE(parcel, (u64, number), (bytes, content))

static struct raw_node node;

static int setup(void **state)
{
    (void)state;
    raw_node_open(&node, (soma_bridge_options){.window = (uint64_t)64 << 20, .close_ms = 1});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    raw_node_close(&node);
    return 0;
}

/* The node goes on: somebody else comes, and is joined. */
static void is_well(void)
{
    struct raw other;
    unsigned char ping[] = "\4\7\4PING\0";
    raw_open(&other, soma_bridge_address(node.bridge, 0), 0);
    raw_greet(&other, false);
    assert_true(raw_say(&other, ping, 9) && raw_hear(&other) && other.command);
    raw_close(&other);
}

/* The most bytes that are kept of any frame that is not whole. */
static size_t kept_most(void)
{
    struct keeper *keeper = node.bridge->keeper;
    size_t most = 0;
    pthread_mutex_lock(&keeper->post.turn);
    for (const struct stream *stream = ((struct zmtp_wire *)keeper)->streams; stream; stream = stream->next)
        most = stream->kept_room > most ? stream->kept_room : most;
    pthread_mutex_unlock(&keeper->post.turn);
    return most;
}

/* ---- pieces ---- */

static void bytes_say(const struct raw *raw, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_true(raw_say(raw, (const char *)bytes + i, 1));
}

/* Of the greeting, of READY, and of a hello with its head; each part is answered as soon as it is whole. */
static void test_byte_by_byte(void **state)
{
    (void)state;
    struct raw raw;
    unsigned char greeting[ZMTP_GREETING], theirs[ZMTP_GREETING], ready[ZMTP_READY_MOST], head[ZMTP_HEAD_MOST];
    const int on = 1;
    uint32_t count;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    raw_open(&raw, soma_bridge_address(node.bridge, 0), 0);
    assert_int_equal(setsockopt(raw.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    zmtp_greet(greeting);
    assert_true(raw_take(&raw, theirs, ZMTP_GREETING_FIRST)); // it does not wait for ours
    bytes_say(&raw, greeting, 10);
    assert_true(raw_take(&raw, theirs + ZMTP_GREETING_FIRST, ZMTP_GREETING - ZMTP_GREETING_FIRST));
    assert_memory_equal(theirs, greeting, sizeof(greeting));
    bytes_say(&raw, greeting + 10, ZMTP_GREETING - 10);
    assert_true(raw_hear(&raw) && raw.command);
    bytes_say(&raw, ready, zmtp_ready(ready, false));
    hello_of(&raw, &frame);
    assert_true(frame_seal(&frame));
    bytes_say(&raw, head, zmtp_head(head, frame.size));
    bytes_say(&raw, frame.data, frame.size);
    raw_expect(&raw, FRAME_HELLO, &count);
    raw_expect(&raw, FRAME_SESSION, &count);
    msgpack_sbuffer_destroy(&frame);
    raw_close(&raw);
    is_well();
}

/* All at once, before the node has said anything. */
static void test_at_once(void **state)
{
    (void)state;
    struct raw raw;
    unsigned char all[1000], head[ZMTP_HEAD_MOST], theirs[ZMTP_GREETING];
    uint32_t count;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    raw_open(&raw, soma_bridge_address(node.bridge, 0), 0);
    zmtp_greet(all);
    size_t size = ZMTP_GREETING + zmtp_ready(all + ZMTP_GREETING, false);
    hello_of(&raw, &frame);
    assert_true(frame_seal(&frame));
    const size_t head_size = zmtp_head(head, frame.size);
    memcpy(all + size, head, head_size);
    memcpy(all + size + head_size, frame.data, frame.size);
    assert_true(raw_say(&raw, all, size + head_size + frame.size));
    assert_true(raw_take(&raw, theirs, sizeof(theirs)) && raw_hear(&raw) && raw.command);
    raw_expect(&raw, FRAME_HELLO, &count);
    raw_expect(&raw, FRAME_SESSION, &count);
    msgpack_sbuffer_destroy(&frame);
    raw_close(&raw);
}

/* ---- what is cut ---- */

/* A frame has begun, and the connection is gone: at the begin of its body, and far in it. */
static void test_reset(void **state)
{
    (void)state;
    static const unsigned char head[ZMTP_HEAD_MOST] = {2, [6] = 0x10}, body[200000]; // of 1 MiB
    static const size_t begun[] = {0, 1, 100, 4095, 4096, sizeof(body)};
    for (size_t i = 0; i < sizeof(begun) / sizeof(*begun); i++) {
        struct raw raw;
        raw_come(&raw, &node, 0);
        assert_true(raw_say(&raw, head, sizeof(head)) && raw_say(&raw, body, begun[i]));
        raw_reset(&raw);
        soma_send(node.system, ((soma_ref){77, 1, 1}), parcel, .number = 1); // by which the node finds out
        while (raw_shown(&node).connected)
            sched_yield();
    }
    is_well();
}

/* Who says no more is gone, even if it still hears. */
static void test_half_closed(void **state)
{
    (void)state;
    struct raw raw;
    raw_come(&raw, &node, 0);
    assert_int_equal(shutdown(raw.socket, SHUT_WR), 0);
    raw_ends(&raw);
    raw_open(&raw, soma_bridge_address(node.bridge, 0), 0); // during the handshake, too
    assert_int_equal(shutdown(raw.socket, SHUT_WR), 0);
    raw_ends(&raw);
}

/* ---- what is too much, or makes no sense ---- */

static void test_large_of_stranger(void **state)
{
    (void)state;
    static const unsigned char large[ZMTP_HEAD_MOST] = {2, [5] = 1}; // 16 MiB
    struct raw raw;
    raw_open(&raw, soma_bridge_address(node.bridge, 0), 0);
    raw_greet(&raw, false);
    const uint64_t bad = raw_counts(&node).bad_frames;
    assert_true(raw_say(&raw, large, sizeof(large)));
    while (raw_counts(&node).bad_frames == bad) // by its head alone
        sched_yield();
    raw_ends(&raw);
    raw_open(&raw, soma_bridge_address(node.bridge, 0), 0); // and before it has said READY
    unsigned char greeting[ZMTP_GREETING];
    zmtp_greet(greeting);
    assert_true(raw_say(&raw, greeting, sizeof(greeting)) && raw_say(&raw, large, sizeof(large)));
    raw_ends(&raw);
    is_well();
}

/* Room is made for what has come, not for what is said to come; of a peer, which may send as much. */
static void test_large_of_peer(void **state)
{
    (void)state;
    static const unsigned char large[ZMTP_HEAD_MOST] = {2, [5] = 1}, body[100000];
    struct raw raw;
    raw_come(&raw, &node, 0);
    assert_true(raw_say(&raw, large, sizeof(large)) && raw_say(&raw, body, 5000));
    while (!kept_most())
        sched_yield();
    assert_true(kept_most() <= 64 * 1024);
    assert_true(raw_say(&raw, body, sizeof(body)));
    while (kept_most() <= 64 * 1024)
        sched_yield();
    assert_true(kept_most() <= 256 * 1024);
    raw_close(&raw);
    while (kept_most())
        sched_yield();
}

static void test_parts(void **state)
{
    (void)state;
    struct raw raw;
    raw_come(&raw, &node, 0);
    const uint64_t bad = raw_counts(&node).bad_frames;
    assert_true(raw_say(&raw, "\1\1x\0\1y", 6));
    while (raw_counts(&node).bad_frames == bad)
        sched_yield();
    raw_ends(&raw);
    while (raw_shown(&node).connected)
        sched_yield();
    is_well();
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n", "\xff\0\0\0\0\0\0\0\1\x7e",
                                          "\xff\0\0\0\0\0\0\0\1\x7f\1", "\1"};
    for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
        const uint64_t cut = raw_counts(&node).cut_off;
        struct raw raw;
        raw_open(&raw, soma_bridge_address(node.bridge, 0), 0);
        assert_true(raw_say(&raw, garbage[i], i == 0 ? 18 : i == 3 ? 1 : 10 + (i == 2)));
        raw_ends(&raw);
        assert_int_equal(raw_counts(&node).cut_off, cut + 1);
    }
    is_well();
}

/* ---- PING ---- */

static void test_ping(void **state)
{
    (void)state;
    struct raw raw;
    raw_come(&raw, &node, 0);
    assert_true(raw_say(&raw, "\4\x0a\4PING\0\1ctx", 12) && raw_hear(&raw));
    assert_true(raw.command && raw.size == 8);
    assert_memory_equal(raw.bytes, "\4PONGctx", 8);
    assert_true(raw_say(&raw, "\4\5\4PONG\4\7\4PING\0\1", 16) && raw_hear(&raw)); // no answer to the first
    assert_true(raw.command && raw.size == 5);
    assert_true(raw_shown(&node).connected);
    raw_close(&raw);
}

/* ---- who does not read ---- */

#define LARGEST ((size_t)1 << 20)

static unsigned char content[LARGEST + 256];

static void parcels_send(uint32_t count)
{
    static const size_t sizes[] = {1, 100, 255, 256, 4096, 65535, 65536, LARGEST};
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (unsigned char)(i * 7);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(soma_send(node.system, ((soma_ref){77, 1, 1}), parcel, .number = i,
                                   .content = {content + i % 256, (uint32_t)sizes[i % 8]}),
                         0);
    }
}

/* What comes next of the parcels in a frame's items; each is as it was sent. */
static void parcels_take(struct reader *items, uint64_t from, uint64_t *next)
{
    struct item item;
    while (reader_left(items)) {
        uint32_t count, length;
        uint64_t number;
        bool negative;
        const void *data;
        assert_int_equal(item_read(items, 77, from, &item), 0);
        if (item.kind != ITEM_SEND)
            continue;
        assert_true(!reader_array(&item.body, &count) && count == 2);
        assert_true(!reader_integer(&item.body, &number, &negative) && number == *next);
        assert_int_equal(reader_block(&item.body, false, &data, &length), 0);
        assert_memory_equal(data, content + number % 256, length);
        ++*next;
    }
}

/* Until all has been put into frames, and some wait as the kernel takes no more. */
static void owed_wait(uint32_t count)
{
    struct keeper *keeper = node.bridge->keeper;
    bool waits = false;
    while (raw_shown(&node).bytes_before < (uint64_t)(count / 8) * LARGEST)
        sched_yield();
    pthread_mutex_lock(&keeper->post.turn);
    for (const struct stream *stream = ((struct zmtp_wire *)keeper)->streams; stream; stream = stream->next)
        waits |= stream->first && stream->full;
    pthread_mutex_unlock(&keeper->post.turn);
    assert_true(waits);
}

/* All of them come, and nothing else. */
static void parcels_take_all(struct raw *raw, uint32_t count)
{
    const uint64_t from = node.system->node;
    uint64_t next = 0, number, acked, expected = 1;
    while (next < count) {
        uint32_t fields;
        struct reader reader = raw_expect(raw, FRAME_DATA, &fields);
        assert_int_equal(data_read(&reader, fields, &number, &acked), 0);
        assert_int_equal(number, expected++);
        parcels_take(&reader, from, &next);
    }
    assert_int_equal(raw_shown(&node).frames_sent, number);
}

/* Nothing is lost, doubled or changed of what waits; and it goes on once there is room. */
static void test_slow_reader(void **state)
{
    (void)state;
    const uint32_t count = test_load(160) + 40;
    struct raw raw;
    raw_come(&raw, &node, 4096);
    parcels_send(count);
    owed_wait(count);
    parcels_take_all(&raw, count);
    raw_close(&raw);
}

/* It is gone with much unsaid: that goes again by the next connection, from the first byte of the first frame. */
static void test_gone_with_much(void **state)
{
    (void)state;
    const uint32_t count = test_load(80) + 40;
    struct raw raw;
    raw_come(&raw, &node, 4096);
    parcels_send(count);
    owed_wait(count);
    raw_reset(&raw);
    while (raw_shown(&node).connected)
        sched_yield();
    raw_come(&raw, &node, 4096);
    parcels_take_all(&raw, count);
    raw_close(&raw);
}

/* It says that it has all, and has not: what waits is not gone by that. */
static void test_acknowledged_unheard(void **state)
{
    (void)state;
    struct raw raw;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    raw_come(&raw, &node, 4096);
    parcels_send(40);
    owed_wait(40);
    assert_true(ping_write(&frame, raw_shown(&node).frames_sent, 0) && raw_say_frame(&raw, &frame));
    while (raw_shown(&node).frames_waiting)
        sched_yield();
    parcels_take_all(&raw, 40);
    msgpack_sbuffer_destroy(&frame);
    raw_close(&raw);
}

/* While much waits for one, others get what is theirs. */
static void test_others_go_on(void **state)
{
    (void)state;
    struct raw raw;
    raw_come(&raw, &node, 4096);
    parcels_send(40);
    owed_wait(40);
    is_well();
    raw_close(&raw);
}

int main(void)
{
#define WITH_NODE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_NODE(test_byte_by_byte), WITH_NODE(test_at_once),           WITH_NODE(test_reset),
        WITH_NODE(test_half_closed),  WITH_NODE(test_large_of_stranger), WITH_NODE(test_large_of_peer),
        WITH_NODE(test_parts),        WITH_NODE(test_garbage),           WITH_NODE(test_ping),
        WITH_NODE(test_slow_reader),  WITH_NODE(test_gone_with_much),    WITH_NODE(test_acknowledged_unheard),
        WITH_NODE(test_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
