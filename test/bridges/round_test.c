/*
 * A node that gets much at once acknowledges it in between, and so also dials, beats and answers handshakes in time:
 * what it reads before it looks after all else is bounded. The other node is the test, which speaks ZeroMQ itself.
 */
#include "bridges/frame.h"
#include "bridges/item.h"
#include "test_support.h"
#include <soma/error.h>
#include <soma/soma.h>
#include <string.h>
#include <zmq.h>

#define FRAMES 200u
#define FRAME_SIZE ((size_t)64 << 10)
#define UNHEARD_MOST ((size_t)1 << 20) /* bytes */

static const unsigned char unwatch[] = {0x94, ITEM_UNWATCH, 0x92, 0x70, 0x01, 0x92, 0x00, 0x01, 0x05}; // of nobody

struct stranger {
    soma_system *system;
    soma_bridge *bridge;
    void *context;
    void *socket;
    msgpack_sbuffer frame;
};

static void stranger_say(struct stranger *stranger)
{
    assert_true(frame_seal(&stranger->frame));
    assert_int_equal(zmq_send(stranger->socket, stranger->frame.data, stranger->frame.size, 0), stranger->frame.size);
    msgpack_sbuffer_clear(&stranger->frame);
}

/* The next frame that the node says; `data` is where it is. Its kind, with the reader behind that. */
static enum frame_kind stranger_hear(const struct stranger *stranger, unsigned char *data, size_t size,
                                     struct reader *reader, uint32_t *count)
{
    enum frame_kind kind;
    int got = zmq_recv(stranger->socket, data, size, 0);
    assert_true(got > 0 && (size_t)got <= size);
    *reader = (struct reader){data, data + got};
    assert_true(frame_unseal(reader));
    assert_int_equal(frame_open(reader, &kind, count), 0);
    return kind;
}

/* Both hellos, and both sides' word of the session. */
static void stranger_join(struct stranger *stranger)
{
    const struct hello hello = {.version = PROTOCOL_VERSION,
                                .least = PROTOCOL_VERSION,
                                .node = 77,
                                .name = {"stranger", 8},
                                .beat_ms = 1000,
                                .count = 1};
    unsigned char data[4096];
    struct reader reader;
    struct join join;
    uint32_t count;
    assert_true(hello_write(&stranger->frame, &hello));
    stranger_say(stranger);
    assert_int_equal(stranger_hear(stranger, data, sizeof(data), &reader, &count), FRAME_HELLO);
    assert_int_equal(stranger_hear(stranger, data, sizeof(data), &reader, &count), FRAME_SESSION);
    assert_int_equal(join_read(&reader, count, &join), 0);
    join = (struct join){.mine = 5, .yours = join.mine};
    assert_true(join_write(&stranger->frame, &join));
    stranger_say(stranger);
}

static void stranger_open(struct stranger *stranger)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_options options = {.log_level = SOMA_LOG_OFF, .workers = 1};
    const soma_bridge_options bridging = {.bind = loopback, .heartbeat_ms = 60000, .down_ms = 600000};
    const int none = 0, all = 0;
    assert_int_equal(soma_system_open(&stranger->system, &options), 0);
    assert_int_equal(soma_bridge_open(stranger->system, &bridging, &stranger->bridge), 0);
    stranger->context = zmq_ctx_new();
    stranger->socket = zmq_socket(stranger->context, ZMQ_DEALER);
    zmq_setsockopt(stranger->socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(stranger->socket, ZMQ_SNDHWM, &all, sizeof(all));
    assert_int_equal(zmq_connect(stranger->socket, soma_bridge_address(stranger->bridge, 0)), 0);
    msgpack_sbuffer_init(&stranger->frame);
    stranger_join(stranger);
}

static void stranger_close(struct stranger *stranger)
{
    zmq_close(stranger->socket);
    zmq_ctx_term(stranger->context);
    msgpack_sbuffer_destroy(&stranger->frame);
    soma_bridge_close(&stranger->bridge);
    assert_int_equal(soma_system_close(&stranger->system), 0);
}

static void test_much_at_once(void **state)
{
    (void)state;
    static char items[FRAME_SIZE / sizeof(unwatch) * sizeof(unwatch)];
    struct stranger stranger;
    unsigned char data[4096];
    struct reader reader;
    uint32_t count;
    uint64_t heard = 0, acked = 0, sent, most = 0;
    for (size_t at = 0; at < sizeof(items); at += sizeof(unwatch))
        memcpy(items + at, unwatch, sizeof(unwatch));
    stranger_open(&stranger);
    for (uint64_t number = 1; number <= FRAMES; number++) {
        assert_true(data_write(&stranger.frame, number, 0, items, sizeof(items)));
        stranger_say(&stranger);
    }
    for (; acked < FRAMES; heard = acked) {
        if (stranger_hear(&stranger, data, sizeof(data), &reader, &count) == FRAME_PING)
            assert_int_equal(ping_read(&reader, count, &acked, &sent), 0);
        most = acked - heard > most ? acked - heard : most;
    }
    if (most * FRAME_SIZE > UNHEARD_MOST)
        fail_msg("%llu frames came before one was acknowledged", (unsigned long long)most);
    stranger_close(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_much_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
