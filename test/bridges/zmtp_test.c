/* The bytes of ZMTP: what is written is what ZeroMQ reads, what comes in parts waits, and what makes no sense is
 * refused. Nothing behind the end of what has come is read: each try has a block of its own. */
#include "bridges/zmtp.h"
#include "test_support.h"
#include <string.h>

#define MOST ((size_t)1 << 20)

/* A copy of just that size, to be freed. */
static unsigned char *alone(const void *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

/* ---- greeting ---- */

static enum zmtp_greeted greeted(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = alone(bytes, size);
    enum zmtp_greeted result = zmtp_greeting_read(copy, size);
    free(copy);
    return result;
}

/* As libzmq 4.3 begins, but that it may name a later minor version. */
static const unsigned char sample_greeting[ZMTP_GREETING] = {0xff, [8] = 1, [9] = 0x7f, [10] = 3, [11] = 1,
                                                             'N',  'U',     'L',        'L'};

static void test_greeting(void **state)
{
    (void)state;
    unsigned char greeting[ZMTP_GREETING];
    zmtp_greet(greeting);
    assert_memory_equal(greeting, sample_greeting, ZMTP_GREETING);
    for (size_t size = 0; size < ZMTP_GREETING; size++)
        assert_int_equal(greeted(greeting, size), size < 10 ? ZMTP_WAITS : ZMTP_BEGUN);
    assert_int_equal(greeted(greeting, ZMTP_GREETING), ZMTP_GREETED);
}

/* What a byte stands for decides what comes of it; and that it is said as soon as the byte is there. */
static void test_greeting_changed(void **state)
{
    (void)state;
    for (size_t at = 0; at < ZMTP_GREETING; at++) {
        const bool signs = at == 0 || at == 9, names = at >= 12 && at < 32;
        for (unsigned value = 0; value < 256; value++) {
            unsigned char greeting[ZMTP_GREETING];
            memcpy(greeting, sample_greeting, sizeof(greeting));
            if (greeting[at] == value)
                continue;
            greeting[at] = (unsigned char)value;
            const bool wrong = signs || (at == 10 && value < 3);
            assert_int_equal(greeted(greeting, ZMTP_GREETING), wrong ? ZMTP_WRONG : names ? ZMTP_OTHER : ZMTP_GREETED);
            assert_int_equal(greeted(greeting, at + 1) == ZMTP_WRONG, wrong);
            assert_int_not_equal(greeted(greeting, at), ZMTP_WRONG);
        }
    }
}

static void test_other_mechanisms(void **state)
{
    (void)state;
    static const char *const names[] = {"CURVE", "PLAIN", "GSSAPI", "NULLS", "NUL", "null", ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        unsigned char greeting[ZMTP_GREETING];
        memcpy(greeting, sample_greeting, sizeof(greeting));
        memset(greeting + 12, 0, 20);
        memcpy(greeting + 12, names[i], strlen(names[i]));
        for (size_t size = 10; size < ZMTP_GREETING; size++)
            assert_int_equal(greeted(greeting, size), ZMTP_BEGUN);
        assert_int_equal(greeted(greeting, ZMTP_GREETING), ZMTP_OTHER);
    }
}

/* ---- frames ---- */

static int frame_read(const void *bytes, size_t size, size_t most, struct zmtp_frame *frame)
{
    unsigned char *copy = alone(bytes, size);
    int whole = zmtp_frame_read(copy, size, most, frame);
    assert_true(whole <= 0 || (frame->whole <= size && frame->body == copy + frame->whole - frame->size));
    frame->body = NULL;
    free(copy);
    return whole;
}

/* All of its beginnings wait, and tell how long it is as soon as that is known; behind it anything may follow. */
static void frame_try(const unsigned char *head, size_t head_size, size_t body, bool more, bool command)
{
    const size_t whole = head_size + body;
    unsigned char *bytes = calloc(1, whole + 1);
    struct zmtp_frame frame;
    assert_non_null(bytes);
    memcpy(bytes, head, head_size);
    bytes[whole] = 0xff;
    for (size_t size = 0; size<whole; size += body> 1000 && size >= head_size ? 997 : 1) {
        assert_int_equal(frame_read(bytes, size, MOST, &frame), 0);
        assert_int_equal(frame.whole, size < head_size ? 0 : whole);
    }
    for (size_t size = whole; size <= whole + 1; size++) {
        assert_int_equal(frame_read(bytes, size, MOST, &frame), 1);
        assert_int_equal(frame.whole, whole);
        assert_int_equal(frame.size, body);
        assert_true(frame.more == more && frame.command == command);
    }
    free(bytes);
}

static void test_frames(void **state)
{
    (void)state;
    static const size_t shorts[] = {0, 1, 2, 254, 255}, longs[] = {0, 1, 255, 256, 8192, 65535, 65536, MOST};
    for (unsigned flags = 0; flags <= 4; flags++) {
        if (flags & 2)
            continue;
        for (size_t i = 0; i < sizeof(shorts) / sizeof(*shorts); i++)
            frame_try((const unsigned char[]){(unsigned char)flags, (unsigned char)shorts[i]}, 2, shorts[i], flags & 1,
                      flags & 4);
        for (size_t i = 0; i < sizeof(longs) / sizeof(*longs); i++) {
            const size_t body = longs[i];
            const unsigned char head[9] = {(unsigned char)(flags | 2), [6] = (unsigned char)(body >> 16),
                                           (unsigned char)(body >> 8), (unsigned char)body};
            if (!(flags & 4) || body <= ZMTP_COMMAND_MOST)
                frame_try(head, sizeof(head), body, flags & 1, flags & 4);
        }
    }
}

/* Refused by their flags alone. */
static void test_frame_flags(void **state)
{
    (void)state;
    struct zmtp_frame frame;
    for (unsigned flags = 0; flags < 256; flags++) {
        const unsigned char bytes[9] = {(unsigned char)flags};
        const bool wrong = flags > 7 || (flags & 5) == 5;
        for (size_t size = 1; size <= sizeof(bytes); size++)
            assert_int_equal(frame_read(bytes, size, MOST, &frame), wrong ? -1 : size >= (flags & 2 ? 9 : 2));
    }
}

static int long_read(unsigned flags, uint64_t length, size_t most)
{
    unsigned char head[9] = {(unsigned char)(flags | 2)};
    struct zmtp_frame frame;
    for (size_t i = 8; i > 0; i--, length >>= 8)
        head[i] = (unsigned char)length;
    for (size_t size = 1; size < sizeof(head); size++)
        assert_int_equal(frame_read(head, size, most, &frame), 0);
    return frame_read(head, sizeof(head), most, &frame);
}

/* By what they say of their length, before any of it has come. */
static void test_frame_lengths(void **state)
{
    (void)state;
    static const uint64_t many[] = {MOST + 1,          UINT32_MAX,     (uint64_t)1 << 32, ((uint64_t)1 << 32) + 1,
                                    (uint64_t)1 << 62, INT64_MAX,      (uint64_t)1 << 63, ((uint64_t)1 << 63) + 5,
                                    UINT64_MAX - 9,    UINT64_MAX - 8, UINT64_MAX};
    for (size_t i = 0; i < sizeof(many) / sizeof(*many); i++)
        assert_int_equal(long_read(0, many[i], MOST), -1);
    assert_int_equal(long_read(0, MOST, MOST), 0);
    assert_int_equal(long_read(0, ((uint64_t)UINT32_MAX) + MOST, (size_t)UINT32_MAX + MOST), 0); // the most there is
    assert_int_equal(long_read(4, ZMTP_COMMAND_MOST, MOST), 0);
    assert_int_equal(long_read(4, ZMTP_COMMAND_MOST + 1, MOST), -1);
    assert_int_equal(long_read(4, 101, 100), -1);
    struct zmtp_frame frame;
    assert_int_equal(frame_read("\0\x0b", 2, 10, &frame), -1);
    assert_int_equal(frame_read("\0\x0a", 2, 10, &frame), 0);
}

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        size_t size, head;
        unsigned char bytes[ZMTP_HEAD_MOST];
    } heads[] = {{0, 2, {0, 0}},
                 {255, 2, {0, 255}},
                 {256, 9, {2, [7] = 1}},
                 {(size_t)1 << 32, 9, {2, [4] = 1}},
                 {SIZE_MAX, 9, {2, 255, 255, 255, 255, 255, 255, 255, 255}}};
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        unsigned char head[ZMTP_HEAD_MOST] = {0};
        struct zmtp_frame frame;
        assert_int_equal(zmtp_head(head, heads[i].size), heads[i].head);
        assert_memory_equal(head, heads[i].bytes, sizeof(head));
        if (heads[i].size == SIZE_MAX)
            continue;
        assert_int_equal(frame_read(head, heads[i].head, SIZE_MAX, &frame), !heads[i].size);
        assert_true(frame.whole == heads[i].head + heads[i].size && !frame.more && !frame.command);
    }
}

/* ---- READY ---- */

static bool ready_read(const void *body, size_t size, bool called)
{
    unsigned char *copy = alone(body, size);
    bool fits = zmtp_ready_read(&(struct zmtp_frame){.body = copy, .size = size, .command = true}, called);
    free(copy);
    return fits;
}

#define READY(bytes, called) ready_read("\5READY" bytes, sizeof("\5READY" bytes) - 1, called)

static size_t ready_write(char *body, const char *name, const char *type)
{
    const size_t name_size = strlen(name), type_size = strlen(type);
    char *at = body;
    memcpy(at, "\5READY", 6);
    at += 6;
    *at++ = (char)name_size;
    memcpy(at, name, name_size);
    at += name_size;
    memcpy(at, (const char[]){0, 0, 0, (char)type_size}, 4);
    memcpy(at + 4, type, type_size);
    return (size_t)(at + 4 + type_size - body);
}

/* A node calls a ROUTER, and is called by a DEALER: by none of ZeroMQ's other sockets, whatever those may. */
static void test_socket_types(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool calls, is_called;
    } types[] = {{"DEALER", true, false},  {"ROUTER", false, true},   {"REQ", false, false},   {"REP", false, false},
                 {"PUB", false, false},    {"SUB", false, false},     {"XPUB", false, false},  {"XSUB", false, false},
                 {"PUSH", false, false},   {"PULL", false, false},    {"PAIR", false, false},  {"STREAM", false, false},
                 {"dealer", false, false}, {"DEALER2", false, false}, {"DEALE", false, false}, {"RE", false, false},
                 {"", false, false}};
    static const char *const names[] = {"Socket-Type", "socket-type", "SOCKET-TYPE", "sOcKeT-tYpE"};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        for (size_t j = 0; j < sizeof(names) / sizeof(*names); j++) {
            char body[100];
            const size_t size = ready_write(body, names[j], types[i].type);
            assert_int_equal(ready_read(body, size, true), types[i].calls);
            assert_int_equal(ready_read(body, size, false), types[i].is_called);
        }
    }
}

/* Without a type; with others beside it, before and behind; and with two. */
static void test_properties(void **state)
{
    (void)state;
    assert_false(READY("", true));
    assert_false(READY("\x08Identity\0\0\0\0", true));
    assert_false(READY("\x0bSocket_Type\0\0\0\6DEALER", true));
    assert_false(READY("\x0aSocket-Typ\0\0\0\6DEALER", true));
    assert_false(READY("\x0cSocket-Type2\0\0\0\6DEALER", true));
    assert_false(READY("\0\0\0\0\6DEALER", true));
    assert_true(READY("\x08Identity\0\0\0\0\x0bSocket-Type\0\0\0\6DEALER", true));
    assert_true(READY("\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\3you", true));
    assert_true(READY("\0\0\0\0\0\x0bSocket-Type\0\0\0\6DEALER\0\0\0\0\0", true));
    assert_true(READY("\x0bSocket-Type\0\0\0\3SUB\x0bSocket-Type\0\0\0\6DEALER", true));
    assert_false(READY("\x0bSocket-Type\0\0\0\6DEALER\x0bSocket-Type\0\0\0\3SUB", true));
}

/* It ends in the middle of a property, at each byte but where one ends. */
static void test_properties_cut(void **state)
{
    (void)state;
    static const char body[] = "\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\5you\0\0\1X\0\0\0\1x";
    const size_t size = sizeof(body) - 1, ends[] = {28, 46, size};
    for (size_t cut = 0; cut <= size; cut++)
        assert_int_equal(ready_read(body, cut, true), cut == ends[0] || cut == ends[1] || cut == ends[2]);
}

static void test_property_lengths(void **state)
{
    (void)state;
    assert_false(READY("\x0bSocket-Type\xff\xff\xff\xff"
                       "DEALER",
                       true));
    assert_false(READY("\x0bSocket-Type\x7f\xff\xff\xff"
                       "DEALER",
                       true));
    assert_false(READY("\x0bSocket-Type\x80\0\0\0"
                       "DEALER",
                       true));
    assert_false(READY("\x0bSocket-Type\x80\0\0\6"
                       "DEALER",
                       true)); // -2^31 + 6
    assert_false(READY("\x0bSocket-Type\0\0\0\7"
                       "DEALER",
                       true));
    assert_false(READY("\x0bSocket-Type\0\0\0\6"
                       "DEALER\1X\xff\xff\xff\xff",
                       true));
    assert_false(READY("\x0bSocket-Type\0\0\0\6"
                       "DEALER\xffX\0\0\0\0",
                       true));
}

static void test_ready_names(void **state)
{
    (void)state;
    char body[100];
    const size_t size = ready_write(body, "Socket-Type", "DEALER");
    assert_true(ready_read(body, size, true));
    for (size_t at = 0; at < 6; at++) {
        body[at] ^= 0x20;
        assert_false(ready_read(body, size, true));
        body[at] ^= 0x20;
    }
    assert_false(ready_read("\5ERROR\x0bSocket-Type\0\0\0\6DEALER", 28, true));
}

/* What is said is what the other side wants to hear; whoever called. */
static void test_ready_said(void **state)
{
    (void)state;
    for (int called = 0; called < 2; called++) {
        unsigned char said[ZMTP_READY_MOST];
        struct zmtp_frame frame;
        const size_t size = zmtp_ready(said, called);
        assert_true(size <= sizeof(said));
        assert_int_equal(zmtp_frame_read(said, size, MOST, &frame), 1);
        assert_true(frame.command && !frame.more && frame.whole == size);
        assert_true(zmtp_ready_read(&frame, !called));
        assert_memory_equal(frame.body,
                            called ? "\5READY\x0bSocket-Type\0\0\0\6ROUTER\x08Identity\0\0\0\0"
                                   : "\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\0",
                            frame.size);
    }
}

/* ---- PING ---- */

static size_t answer(const void *body, size_t size, unsigned char pong[ZMTP_PONG_MOST])
{
    unsigned char *copy = alone(body, size);
    size_t answered = zmtp_answer(&(struct zmtp_frame){.body = copy, .size = size, .command = true}, pong);
    free(copy);
    return answered;
}

static void test_ping(void **state)
{
    (void)state;
    unsigned char ping[64] = "\4PING\0\x64"
                             "0123456789abcdefghij",
                  *pong = alone(ping, ZMTP_PONG_MOST);
    for (size_t size = 0; size <= 30; size++) {
        const size_t context = size - 7;
        const bool answered = size >= 7 && context <= 16;
        assert_int_equal(answer(ping, size, pong), answered ? 7 + context : 0);
        if (!answered)
            continue;
        assert_int_equal(pong[0], 4);
        assert_int_equal(pong[1], 5 + context);
        assert_memory_equal(pong + 2, "\4PONG", 5);
        assert_memory_equal(pong + 7, ping + 7, context);
    }
    free(pong);
}

/* None of these wants an answer, or two nodes would go on forever. */
static void test_no_answer(void **state)
{
    (void)state;
    unsigned char pong[ZMTP_PONG_MOST];
    assert_int_equal(answer("\4PONG\0\0", 7, pong), 0);
    assert_int_equal(answer("\4ping\0\0", 7, pong), 0);
    assert_int_equal(answer("\5PINGS\0\0", 8, pong), 0);
    assert_int_equal(answer("\3PIN\0\0\0\0", 8, pong), 0);
    assert_int_equal(answer("\5ERROR\3why", 10, pong), 0);
    assert_int_equal(answer("\xffPING\0\0", 7, pong), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_greeting_changed),
        cmocka_unit_test(test_other_mechanisms),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_frame_flags),
        cmocka_unit_test(test_frame_lengths),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_socket_types),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_properties_cut),
        cmocka_unit_test(test_property_lengths),
        cmocka_unit_test(test_ready_names),
        cmocka_unit_test(test_ready_said),
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
