/*
 * A node that gets much at once acknowledges it in between, and so also dials, beats and answers handshakes in time:
 * what it reads before it looks after all else is bounded. One that can't send by a connection any more reads all that
 * has come by it. The other node is the test, which speaks ZeroMQ itself. All of it over both wires, that of a node
 * without keys and that of one with some.
 */
#include "bridges/item.h"
#include "bridges/keeper.h"
#include "test_support.h"
#include <netinet/in.h>
#include <soma/error.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

SOMA_MESSAGE(word, (u64, number))

#define NODE 77u  /* the stranger */
#define MUCH 600u /* frames, for a while */
#define FRAMES 200u
#define FRAME_SIZE ((size_t)64 << 10)
#define VISITS 16                      /* some milliseconds, as a socket looks only now and then at what has ended */
#define UNHEARD_MOST ((size_t)1 << 20) /* bytes */

static const unsigned char unwatch[] = {0x94, ITEM_UNWATCH, 0x92, 0x70, 0x01, 0x92, 0x00, 0x01, 0x05}; // of nobody

struct keys_of {
    char public_key[SOMA_BRIDGE_KEY_SIZE];
    char secret_key[SOMA_BRIDGE_KEY_SIZE];
};

static struct keys_of node_keys, stranger_keys;
static bool keyed; /* the node has keys, and so ZeroMQ for its wire */

struct stranger {
    soma_system *system;
    soma_bridge *bridge;
    void *context;
    void *visitors; /* a context */
    unsigned visits;
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

static const struct hello hello = {
    .version = PROTOCOL_VERSION,
    .least = PROTOCOL_VERSION,
    .node = NODE,
    .name = {"stranger", 8},
    .beat_ms = 60000,
    .count = 1,
};

/* Both hellos, and both sides' word of the session; until the node has heard all of it. */
static void stranger_join(struct stranger *stranger)
{
    unsigned char data[4096];
    struct reader reader;
    struct join join;
    soma_bridge_peer peer;
    uint32_t count;
    assert_true(hello_write(&stranger->frame, &hello));
    stranger_say(stranger);
    assert_int_equal(stranger_hear(stranger, data, sizeof(data), &reader, &count), FRAME_HELLO);
    assert_int_equal(stranger_hear(stranger, data, sizeof(data), &reader, &count), FRAME_SESSION);
    assert_int_equal(join_read(&reader, count, &join), 0);
    join = (struct join){.mine = 5, .yours = join.mine};
    assert_true(join_write(&stranger->frame, &join));
    stranger_say(stranger);
    while (soma_bridge_peers(stranger->bridge, &peer, 1) < 1 || !peer.connected)
        sched_yield();
}

static void *socket_open(void *context, int kind)
{
    const int linger = 1000, all = 0;
    void *socket = zmq_socket(context, kind);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(socket, ZMQ_SNDHWM, &all, sizeof(all));
    return socket;
}

/* Where the node listens, without its key. */
static void node_place(const struct stranger *stranger, char place[64])
{
    const char *address = soma_bridge_address(stranger->bridge, 0);
    snprintf(place, 64, "%.*s", (int)strcspn(address, " "), address);
}

static void stranger_connect(const struct stranger *stranger, void *socket)
{
    char place[64];
    node_place(stranger, place);
    if (keyed) {
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, node_keys.public_key, SOMA_BRIDGE_KEY_SIZE);
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, stranger_keys.public_key, SOMA_BRIDGE_KEY_SIZE);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, stranger_keys.secret_key, SOMA_BRIDGE_KEY_SIZE);
    }
    assert_int_equal(zmq_connect(socket, place), 0);
}

static void stranger_open(struct stranger *stranger)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_options options = {.log_level = SOMA_LOG_OFF, .workers = 1};
    const soma_bridge_options bridging = {.bind = loopback,
                                          .secret_key = keyed ? node_keys.secret_key : NULL,
                                          .allowed = keyed ? stranger_keys.public_key : NULL,
                                          .heartbeat_ms = 60000,
                                          .down_ms = 600000};
    assert_int_equal(soma_system_open(&stranger->system, &options), 0);
    assert_int_equal(soma_bridge_open(stranger->system, &bridging, &stranger->bridge), 0);
    stranger->context = zmq_ctx_new();
    stranger->visitors = zmq_ctx_new();
    stranger->socket = socket_open(stranger->context, ZMQ_DEALER);
    stranger_connect(stranger, stranger->socket);
    msgpack_sbuffer_init(&stranger->frame);
    stranger_join(stranger);
}

/* When it returns, all has been said and the connection has ended. */
static void stranger_go(struct stranger *stranger)
{
    if (!stranger->socket)
        return;
    zmq_close(stranger->socket);
    zmq_ctx_term(stranger->context);
    stranger->socket = NULL;
}

static void stranger_close(struct stranger *stranger)
{
    stranger_go(stranger);
    zmq_ctx_term(stranger->visitors);
    msgpack_sbuffer_destroy(&stranger->frame);
    soma_bridge_close(&stranger->bridge);
    assert_int_equal(soma_system_close(&stranger->system), 0);
}

static void test_much_at_once(void **state)
{
    (void)state;
    static char items[FRAME_SIZE / sizeof(unwatch) * sizeof(unwatch)];
    struct stranger stranger = {.visits = 0};
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

/* ---- a connection that has ended ---- */

/* Another who connects to the node. */
static void *visitor_new(struct stranger *stranger)
{
    void *visitor = socket_open(stranger->visitors, ZMQ_DEALER), *monitor = socket_open(stranger->visitors, ZMQ_PAIR);
    char name[32];
    unsigned char event[6];
    snprintf(name, sizeof(name), "inproc://visitor-%u", stranger->visits++);
    assert_int_equal(zmq_socket_monitor(visitor, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED), 0);
    assert_int_equal(zmq_connect(monitor, name), 0);
    stranger_connect(stranger, visitor);
    assert_int_equal(zmq_recv(monitor, event, sizeof(event), 0), sizeof(event));
    zmq_socket_monitor(visitor, NULL, 0);
    zmq_close(monitor);
    return visitor;
}

/* Then ZeroMQ's thread, if there is one, has seen to all connections that ended before; and the node's own is told. */
static void visitor_come(struct stranger *stranger)
{
    unsigned port;
    char place[64], byte;
    node_place(stranger, place);
    assert_int_equal(sscanf(place, "tcp://127.0.0.1:%u", &port), 1);
    const struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int visitor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(visitor, (const struct sockaddr *)&there, sizeof(there)), 0);
    if (keyed) // it greets
        assert_int_equal(recv(visitor, &byte, 1, 0), 1);
    close(visitor);
}

static bool turn_is_free(struct post *post)
{
    bool is_free = !pthread_mutex_trylock(&post->turn);
    if (is_free)
        pthread_mutex_unlock(&post->turn);
    return is_free;
}

/*
 * The stranger says goodbye while a round of the node has begun in which something is sent to it, which comes to
 * nothing. Else the node would wait for it until it gives up closing.
 */
static void test_goodbye_unread(void **state)
{
    (void)state;
    struct stranger stranger = {.visits = 0};
    stranger_open(&stranger);
    soma_bridge *bridge = stranger.bridge;
    pthread_mutex_lock(&bridge->lock); // for which each round waits in its begin
    assert_int_equal(soma_send(stranger.system, ((soma_ref){NODE, 1, 1}), word, .number = 1), 0);
    do
        visitor_come(&stranger);
    while (turn_is_free(&bridge->keeper->post));
    assert_true(bye_write(&stranger.frame));
    stranger_say(&stranger);
    stranger_go(&stranger);
    for (int i = 0; i < VISITS; i++)
        visitor_come(&stranger);
    pthread_mutex_unlock(&bridge->lock);
    assert_int_equal(soma_bridge_close(&stranger.bridge), 0);
    stranger_close(&stranger);
}

/*
 * A connection is known by the identity that the node's router gives it, which begins with a zero. One who brings its
 * own, with the rest of another's behind something else, is not that other.
 */
static void test_borrowed_identity(void **state)
{
    (void)state;
    struct stranger stranger = {.visits = 0};
    stranger_open(&stranger);
    unsigned char identity[5] = {1};
    struct post *post = &stranger.bridge->keeper->post;
    pthread_mutex_lock(&post->turn); // the connections are for who has it
    const uint64_t id = stranger.bridge->connections->id;
    pthread_mutex_unlock(&post->turn);
    for (int i = 1; i < 5; i++)
        identity[i] = (unsigned char)(id >> 8 * (4 - i));
    void *other = socket_open(stranger.visitors, ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(other, ZMQ_ROUTING_ID, identity, sizeof(identity)), 0);
    stranger_connect(&stranger, other);
    assert_true(bye_write(&stranger.frame) && frame_seal(&stranger.frame));
    assert_int_equal(zmq_send(other, stranger.frame.data, stranger.frame.size, 0), stranger.frame.size);
    soma_bridge_counts counts = {0};
    soma_bridge_peer peer;
    while (!counts.cut_off) { // whoever it is
        assert_int_equal(soma_bridge_peers(stranger.bridge, &peer, 1), 1);
        assert_true(peer.connected && !peer.down);
        assert_int_equal(soma_bridge_count(stranger.bridge, &counts), 0);
        sched_yield();
    }
    zmq_close(other);
    msgpack_sbuffer_clear(&stranger.frame);
    stranger_close(&stranger);
}

/* ---- a connection that the node has made ---- */

struct called {
    struct stranger stranger;
    void *router;
    unsigned char identity[256];
    size_t size;
};

static void called_say(struct called *called)
{
    msgpack_sbuffer *frame = &called->stranger.frame;
    assert_true(frame_seal(frame));
    assert_int_equal(zmq_send(called->router, called->identity, called->size, ZMQ_SNDMORE), called->size);
    assert_int_equal(zmq_send(called->router, frame->data, frame->size, 0), frame->size);
    msgpack_sbuffer_clear(frame);
}

/* The next frame of the node's: its size, or -1 if there is none, and it is not waited for. */
static int called_hear(struct called *called, unsigned char *data, size_t size, int flags)
{
    int got = zmq_recv(called->router, called->identity, sizeof(called->identity), flags);
    if (got < 0)
        return -1;
    called->size = (size_t)got;
    return zmq_recv(called->router, data, size, 0);
}

/* The node has called, and said hello. */
static void called_open(struct called *called)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    char address[128];
    const char *const connect[] = {address, NULL};
    const soma_options options = {.log_level = SOMA_LOG_OFF, .workers = 1};
    const soma_bridge_options bridging = {.bind = loopback,
                                          .connect = connect,
                                          .secret_key = keyed ? node_keys.secret_key : NULL,
                                          .allowed = keyed ? stranger_keys.public_key : NULL,
                                          .heartbeat_ms = 60000,
                                          .down_ms = 600000};
    unsigned char data[4096];
    const int on = 1;
    size_t room = sizeof(address);
    struct stranger *stranger = &called->stranger;
    *stranger = (struct stranger){.context = zmq_ctx_new(), .visitors = zmq_ctx_new()};
    called->router = socket_open(stranger->context, ZMQ_ROUTER);
    msgpack_sbuffer_init(&stranger->frame);
    if (keyed) {
        zmq_setsockopt(called->router, ZMQ_CURVE_SERVER, &on, sizeof(on));
        zmq_setsockopt(called->router, ZMQ_CURVE_SECRETKEY, stranger_keys.secret_key, SOMA_BRIDGE_KEY_SIZE);
    }
    assert_int_equal(zmq_bind(called->router, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(called->router, ZMQ_LAST_ENDPOINT, address, &room), 0);
    if (keyed)
        snprintf(address + strlen(address), sizeof(address) - strlen(address), " %s", stranger_keys.public_key);
    assert_int_equal(soma_system_open(&stranger->system, &options), 0);
    assert_int_equal(soma_bridge_open(stranger->system, &bridging, &stranger->bridge), 0);
    assert_true(called_hear(called, data, sizeof(data), 0) > 0);
}

static void called_close(struct called *called)
{
    zmq_close(called->router);
    zmq_ctx_term(called->stranger.context);
    stranger_close(&called->stranger);
}

/* What comes by it behind that which ended it is not heard, nor taken for a connection that somebody else has made. */
static void test_ended_when_called(void **state)
{
    (void)state;
    const struct join join = {.mine = 5};
    struct called called;
    soma_bridge_counts counts = {0};
    soma_bridge_peer peer;
    called_open(&called);
    soma_bridge *bridge = called.stranger.bridge;
    msgpack_sbuffer *frame = &called.stranger.frame;
    pthread_mutex_lock(&bridge->lock); // for which each round waits in its begin
    do
        visitor_come(&called.stranger);
    while (turn_is_free(&bridge->keeper->post));
    assert_int_equal(msgpack_sbuffer_write(frame, "\xc1", 1), 0);
    called_say(&called);
    assert_true(hello_write(frame, &hello));
    called_say(&called);
    assert_true(join_write(frame, &join));
    called_say(&called);
    for (int i = 0; i < VISITS; i++)
        visitor_come(&called.stranger);
    pthread_mutex_unlock(&bridge->lock);
    while (!counts.bad_frames) {
        assert_int_equal(soma_bridge_count(bridge, &counts), 0);
        sched_yield();
    }
    pthread_mutex_lock(&bridge->keeper->post.turn); // when what came has been read
    pthread_mutex_unlock(&bridge->keeper->post.turn);
    assert_int_equal(soma_bridge_peers(bridge, &peer, 1), 0);
    called_close(&called);
}

/* How much of what was sent the node has acknowledged, by all that it has said until now, or until it says so first. */
static uint64_t called_acked(struct called *called, uint64_t acked)
{
    unsigned char data[4096];
    enum frame_kind kind;
    uint32_t count;
    uint64_t sent;
    int size;
    while ((size = called_hear(called, data, sizeof(data), acked ? ZMQ_DONTWAIT : 0)) > 0) {
        struct reader reader = {data, data + size};
        assert_true(frame_unseal(&reader));
        assert_int_equal(frame_open(&reader, &kind, &count), 0);
        if (kind == FRAME_PING)
            assert_int_equal(ping_read(&reader, count, &acked, &sent), 0);
    }
    return acked;
}

/* One who comes while there is ever more to read of another gets his turn all the same. */
static void test_newcomer_beside_much(void **state)
{
    (void)state;
    static char items[FRAME_SIZE / sizeof(unwatch) * sizeof(unwatch)];
    struct called called;
    struct reader reader;
    struct join join;
    unsigned char data[4096];
    enum frame_kind kind;
    uint32_t count;
    for (size_t at = 0; at < sizeof(items); at += sizeof(unwatch))
        memcpy(items + at, unwatch, sizeof(unwatch));
    called_open(&called);
    msgpack_sbuffer *frame = &called.stranger.frame;
    assert_true(hello_write(frame, &hello));
    called_say(&called);
    int size = called_hear(&called, data, sizeof(data), 0);
    assert_true(size > 0);
    reader = (struct reader){data, data + size};
    assert_true(frame_unseal(&reader));
    assert_int_equal(frame_open(&reader, &kind, &count), 0);
    assert_int_equal(kind, FRAME_SESSION);
    assert_int_equal(join_read(&reader, count, &join), 0);
    join = (struct join){.mine = 5, .yours = join.mine};
    assert_true(join_write(frame, &join));
    called_say(&called);
    void *visitor = visitor_new(&called.stranger);
    for (uint64_t number = 1; number <= MUCH; number++) {
        assert_true(data_write(frame, number, 0, items, sizeof(items)));
        called_say(&called);
    }
    uint64_t acked = called_acked(&called, 0);
    struct hello another = hello;
    another.node = NODE + 1;
    assert_true(hello_write(frame, &another) && frame_seal(frame));
    assert_int_equal(zmq_send(visitor, frame->data, frame->size, 0), frame->size);
    msgpack_sbuffer_clear(frame);
    assert_true(zmq_recv(visitor, data, sizeof(data), 0) > 0);
    assert_in_range(called_acked(&called, acked), 1, MUCH - 1);
    zmq_close(visitor);
    called_close(&called);
}

/* Each over both wires. */
static int begin_plain(void **state)
{
    (void)state;
    keyed = false;
    return 0;
}

static int begin_keyed(void **state)
{
    (void)state;
    keyed = true;
    return 0;
}

#define BOTH(test) cmocka_unit_test_setup(test, begin_plain), cmocka_unit_test_setup(test, begin_keyed)

int main(void)
{
    const struct CMUnitTest tests[] = {BOTH(test_much_at_once), BOTH(test_goodbye_unread), BOTH(test_borrowed_identity),
                                       BOTH(test_ended_when_called), BOTH(test_newcomer_beside_much)};
    if (soma_bridge_keygen(node_keys.public_key, node_keys.secret_key) ||
        soma_bridge_keygen(stranger_keys.public_key, stranger_keys.secret_key))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
