/*
 * Plain ZeroMQ sockets in the tests of channels, and channels for them, which speak raw bytes. All sockets are noted,
 * so that those that a test has left open when it failed are closed at the end, which else would wait for them for
 * ever.
 */
#ifndef TEST_CHANNELS_PLAIN_H
#define TEST_CHANNELS_PLAIN_H

#include "player.h"
#include <zmq.h>

#define PLAIN_MOST 64u /* that are open at a time */
#define PLAIN_PATIENCE_MS 20000
#define PLAIN_LARGE 20000u /* bytes of a frame, at most */

static void *plain_context;
static _Atomic(void *) plain_sockets[PLAIN_MOST];

/* ---- the plain side ---- */

/* One that keeps so many messages for who reads it. */
static inline void *plain_open(int kind, int room)
{
    const int patience = PLAIN_PATIENCE_MS, none = 0;
    uint32_t at = 0;
    if (!plain_context)
        plain_context = zmq_ctx_new();
    void *socket = zmq_socket(plain_context, kind);
    assert_non_null(socket);
    while (at < PLAIN_MOST && atomic_load(&plain_sockets[at]))
        at++;
    assert_true(at < PLAIN_MOST);
    atomic_store(&plain_sockets[at], socket);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &room, sizeof(room));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof(patience));
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof(patience));
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    return socket;
}

/* Any thread. */
static inline void plain_close(void *socket)
{
    for (uint32_t i = 0; i < PLAIN_MOST; i++) {
        void *expected = socket;
        atomic_compare_exchange_strong(&plain_sockets[i], &expected, NULL);
    }
    zmq_close(socket);
}

/* For cmocka, at the end of all tests. */
static inline int plain_end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PLAIN_MOST; i++)
        if (atomic_load(&plain_sockets[i]))
            zmq_close(atomic_load(&plain_sockets[i]));
    return plain_context ? zmq_ctx_term(plain_context) : 0;
}

/* Where one side is bound. Over ipc without a file, which ZeroMQ would leave. */
static inline void plain_place(char text[SOMA_ADDRESS_TEXT_SIZE])
{
    if (player_transport == SOMA_IPC)
        snprintf(text, SOMA_ADDRESS_TEXT_SIZE, "ipc://@soma-%ld-%u", (long)getpid(), player_moved);
    else
        snprintf(text, SOMA_ADDRESS_TEXT_SIZE, "tcp://127.0.0.1:%u", player_port());
}

static inline void plain_connect(void *socket)
{
    char text[SOMA_ADDRESS_TEXT_SIZE];
    plain_place(text);
    assert_int_equal(zmq_connect(socket, text), 0);
}

static inline void plain_bind(void *socket)
{
    char text[SOMA_ADDRESS_TEXT_SIZE];
    plain_place(text);
    assert_int_equal(zmq_bind(socket, text), 0);
}

/* How many bytes its last frame had; -1 if nothing came in time. */
static inline int plain_receive(void *socket, char last[64], int flags)
{
    char whole[PLAIN_LARGE + 64];
    int more = 1, size = -1;
    size_t width = sizeof(more);
    while (more) {
        size = zmq_recv(socket, whole, sizeof(whole), flags);
        if (size < 0)
            return -1;
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &width);
    }
    memset(last, 0, 64);
    memcpy(last, whole, size < 63 ? (size_t)size : 63);
    return size;
}

static inline void plain_send(void *socket, const void *frame, size_t size, bool more)
{
    assert_int_equal(zmq_send(socket, frame, size, more ? ZMQ_SNDMORE : 0), size);
}

static inline void plain_ask(void *socket, const char *text)
{
    plain_send(socket, "", 0, true);
    plain_send(socket, text, strlen(text), false);
}

/* ---- the channel's side ---- */

/* How a channel of the test is opened. */
struct opened {
    soma_pattern pattern; /* its own */
    bool binds;
    soma_channel_options options;
};

static inline int channel_open(soma_agent *self, void *state, void *arg)
{
    struct opened opened = *(const struct opened *)arg;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address address;
    (void)state;
    plain_place(place);
    opened.options.serializer = opened.options.serializer ? opened.options.serializer : "raw";
    if (opened.binds) {
        opened.options.place = place;
        assert_int_equal(soma_bind(self, opened.pattern, "it", &opened.options, NULL), 0);
        return 0;
    }
    assert_int_equal(soma_address_parse(place, &address), 0);
    address.pattern = soma_pattern_twin(opened.pattern);
    assert_int_equal(soma_connect_with(self, &address, "it", &opened.options), 0);
    return 0;
}

static inline soma_ref agent_open(soma_test *test, const struct opened *opened)
{
    soma_ref ref = player_open(test, &player_quiet);
    player_do(test, ref, channel_open, opened);
    return ref;
}

/* Once nothing waits to be sent any more. */
static inline soma_channel_counts counts_at_rest(soma_test *test, soma_ref agent)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    do
        player_do(test, agent, player_counts, counts);
    while (counts->waiting && player_wait(&looks));
    assert_int_equal(counts->waiting, 0);
    return *counts;
}

static inline int plain_bytes(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)self;
    player_log(my, "%.*s ", (int)m->data.size, (const char *)m->data.data);
    return 0;
}

/* Answers with as much as the question asks for, which begins with the question. */
static inline int plain_question(soma_agent *self, struct player *my, const struct chunk *m)
{
    char whole[PLAIN_LARGE] = "";
    my->notes++;
    memcpy(whole, m->data.data, m->data.size < 64 ? m->data.size : 64);
    bool large = m->data.size && whole[0] == 'L';
    return soma_reply(self, chunk, .data = {whole, large ? PLAIN_LARGE : m->data.size});
}

#endif
