/*
 * The other side of a node's link as a bare socket, for tests that say byte by byte what they like. What surely comes
 * is waited for; nothing is judged by the time.
 */
#ifndef TEST_BRIDGES_RAW_PEER_H
#define TEST_BRIDGES_RAW_PEER_H

#include "bridges/frame.h"
#include "bridges/zmtp.h"
#include "test_support.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <soma/bridge.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct raw_node {
    soma_system *system;
    soma_bridge *bridge;
};

struct raw {
    int socket;
    uint64_t node;        /* who it says it is */
    unsigned char *bytes; /* of the frame that was heard last */
    size_t size;
    bool more;
    bool command;
};

/* Silence of an hour is no reason for such a node to end anything. */
static inline void raw_node_open(struct raw_node *node, soma_bridge_options options)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    options.bind = options.bind ? options.bind : loopback;
    options.heartbeat_ms = 3600000;
    options.down_ms = 36000000;
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
}

static inline void raw_node_close(struct raw_node *node)
{
    soma_bridge_close(&node->bridge);
    assert_int_equal(soma_system_close(&node->system), 0);
}

static inline soma_bridge_counts raw_counts(const struct raw_node *node)
{
    soma_bridge_counts counts;
    assert_int_equal(soma_bridge_count(node->bridge, &counts), 0);
    return counts;
}

/* The only peer that the node knows, once there is one. */
static inline soma_bridge_peer raw_shown(const struct raw_node *node)
{
    soma_bridge_peer peer;
    while (soma_bridge_peers(node->bridge, &peer, 1) < 1)
        sched_yield();
    return peer;
}

/* ---- sockets ---- */

static inline socklen_t raw_place(const char *address, struct sockaddr_storage *there)
{
    struct sockaddr_in *ip = (struct sockaddr_in *)(void *)there;
    struct sockaddr_un *path = (struct sockaddr_un *)(void *)there;
    *there = (struct sockaddr_storage){0};
    if (strncmp(address, "ipc://", 6)) {
        const char *port = strrchr(address, ':') + 1;
        ip->sin_family = AF_INET;
        ip->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
        ip->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof(*ip);
    }
    const size_t size = strlen(address + 6);
    path->sun_family = AF_UNIX;
    memcpy(path->sun_path, address + 6, size);
    if (address[6] == '@')
        path->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static inline void raw_open(struct raw *raw, const char *address, int room)
{
    struct sockaddr_storage there;
    const socklen_t size = raw_place(address, &there);
    *raw = (struct raw){.socket = socket(there.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), .node = 77};
    assert_true(raw->socket >= 0);
    if (room)
        assert_int_equal(setsockopt(raw->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    assert_int_equal(connect(raw->socket, (struct sockaddr *)&there, size), 0);
}

static inline void raw_close(struct raw *raw)
{
    close(raw->socket);
    free(raw->bytes);
    *raw = (struct raw){.socket = -1};
}

/* As if the machine had gone: what is on its way is lost. */
static inline void raw_reset(struct raw *raw)
{
    const struct linger none = {.l_onoff = 1};
    assert_int_equal(setsockopt(raw->socket, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
    raw_close(raw);
}

/* False if the node has ended it. */
static inline bool raw_say(const struct raw *raw, const void *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(raw->socket, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        bytes = (const char *)bytes + sent;
        size -= (size_t)sent;
    }
    return true;
}

static inline bool raw_take(const struct raw *raw, void *bytes, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t come = recv(raw->socket, (char *)bytes + got, size - got, 0);
        if (come < 0 && errno == EINTR)
            continue;
        if (come <= 0)
            return false;
        got += (size_t)come;
    }
    return true;
}

/* ---- ZMTP ---- */

/* The next frame of the node's; false if it has ended the connection. */
static inline bool raw_hear(struct raw *raw)
{
    unsigned char head[9];
    uint64_t size = 0;
    if (!raw_take(raw, head, 2) || (head[0] & 2 && !raw_take(raw, head + 2, 7)))
        return false;
    for (size_t i = 1; i < (head[0] & 2 ? 9 : 2); i++)
        size = size << 8 | head[i];
    free(raw->bytes);
    raw->bytes = malloc(size ? size : 1);
    assert_non_null(raw->bytes);
    raw->size = size;
    raw->more = head[0] & 1;
    raw->command = head[0] & 4;
    return raw_take(raw, raw->bytes, size);
}

/* Nothing comes any more; what had been said before that does not matter. */
static inline void raw_ends(struct raw *raw)
{
    char some[4096];
    while (recv(raw->socket, some, sizeof(some), 0) > 0)
        ;
    raw_close(raw);
}

/* Both greetings, and what kinds of sockets these are. */
static inline void raw_greet(struct raw *raw, bool called)
{
    unsigned char greeting[ZMTP_GREETING], ready[ZMTP_READY_MOST];
    zmtp_greet(greeting);
    assert_true(raw_say(raw, greeting, sizeof(greeting)) && raw_say(raw, ready, zmtp_ready(ready, called)));
    assert_true(raw_take(raw, greeting, sizeof(greeting)) && raw_hear(raw) && raw->command);
    assert_memory_equal(raw->bytes, "\5READY\x0bSocket-Type\0\0\0\6", 22);
    assert_memory_equal(raw->bytes + 22, called ? "DEALER" : "ROUTER", 6);
}

/* What was written to a buffer, which is empty then. False if the node has ended the connection. */
static inline bool raw_say_frame(const struct raw *raw, msgpack_sbuffer *frame)
{
    unsigned char head[ZMTP_HEAD_MOST];
    assert_true(frame_seal(frame));
    bool said = raw_say(raw, head, zmtp_head(head, frame->size)) && raw_say(raw, frame->data, frame->size);
    msgpack_sbuffer_clear(frame);
    return said;
}

/* ---- the link ---- */

/* The next frame must be of that kind; the reader is behind that. */
static inline struct reader raw_expect(struct raw *raw, enum frame_kind expected, uint32_t *count)
{
    enum frame_kind kind;
    assert_true(raw_hear(raw) && !raw->more && !raw->command);
    struct reader reader = {raw->bytes, raw->bytes + raw->size};
    assert_true(frame_unseal(&reader));
    assert_int_equal(frame_open(&reader, &kind, count), 0);
    assert_int_equal(kind, expected);
    return reader;
}

static inline void hello_of(const struct raw *raw, msgpack_sbuffer *frame)
{
    const struct hello hello = {.version = PROTOCOL_VERSION,
                                .least = PROTOCOL_LEAST,
                                .node = raw->node,
                                .agent = {raw->node, 1, 1},
                                .name = {"raw", 3},
                                .beat_ms = 3600000,
                                .count = 1};
    assert_true(hello_write(frame, &hello));
}

/* Of one that has greeted: who it is, and the session. Returns when the node has taken it for joined. */
static inline void raw_join(struct raw *raw, const struct raw_node *node)
{
    struct join join;
    uint32_t count;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    hello_of(raw, &frame);
    assert_true(raw_say_frame(raw, &frame));
    raw_expect(raw, FRAME_HELLO, &count);
    struct reader reader = raw_expect(raw, FRAME_SESSION, &count);
    assert_int_equal(join_read(&reader, count, &join), 0);
    join = (struct join){.mine = 5, .yours = join.mine};
    assert_true(join_write(&frame, &join) && raw_say_frame(raw, &frame));
    msgpack_sbuffer_destroy(&frame);
    while (!raw_shown(node).connected)
        sched_yield();
}

static inline void raw_come(struct raw *raw, const struct raw_node *node, int room)
{
    raw_open(raw, soma_bridge_address(node->bridge, 0), room);
    raw_greet(raw, false);
    raw_join(raw, node);
}

#endif
