/*
 * Who is let in, and what strangers can do: right and wrong keys, keys that are taken away, garbage, hellos that are
 * said again, other versions, handshakes that never end, and thousands that say nothing. Peers are served throughout.
 */
#include "bridges/address.h"
#include "bridges/frame.h"
#include "test_support.h"
#include <arpa/inet.h>
#include <errno.h>
#include <soma/error.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))

static int on_ask(soma_agent *self, void *state, const struct ask *m)
{
    (void)state;
    return soma_reply(self, told, .number = m->number * 2);
}

static const soma_behavior server = {.name = "server", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

/* ---- nodes ---- */

struct node {
    soma_system *system;
    soma_bridge *bridge;
    char public_key[SOMA_BRIDGE_KEY_SIZE];
    char secret_key[SOMA_BRIDGE_KEY_SIZE];
};

static const char *const loopback[] = {"tcp://127.0.0.1", NULL};

static void node_keys(struct node *node)
{
    *node = (struct node){0};
    assert_int_equal(soma_bridge_keygen(node->public_key, node->secret_key), 0);
}

/* With its keys, if it has any, and with a server that others find. It takes no slow node for a silent one, whose
 * connection it would end, as it counts for strangers. */
static void node_open(struct node *node, const char *allowed)
{
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    const soma_bridge_options options = {.bind = loopback,
                                         .secret_key = node->secret_key[0] ? node->secret_key : NULL,
                                         .allowed = allowed,
                                         .retry_most_ms = 100,
                                         .heartbeat_ms = 6000,
                                         .down_ms = 20000};
    soma_ref agent;
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
    assert_int_equal(soma_spawn(node->system, &server, NULL, &agent), 0);
    assert_int_equal(soma_name_set(node->system, agent, "server"), 0);
}

static void node_close(struct node *node)
{
    soma_bridge_close(&node->bridge);
    assert_int_equal(soma_system_close(&node->system), 0);
}

static int find(const struct node *node, const char *address, uint64_t timeout, soma_ref *agent)
{
    return soma_bridge_find(node->bridge, address, "server", timeout, agent);
}

static soma_ref found(const struct node *node, const struct node *other)
{
    soma_ref agent;
    assert_int_equal(find(node, soma_bridge_address(other->bridge, 0), 20 * SOMA_SECOND, &agent), 0);
    return agent;
}

static int asked(const struct node *node, soma_ref agent, uint64_t number)
{
    struct told answer;
    int error = soma_call(node->system, agent, 20 * SOMA_SECOND, &answer, told, ask, .number = number);
    assert_true(error || answer.number == 2 * number);
    return error;
}

static soma_bridge_counts counts_of(const struct node *node)
{
    soma_bridge_counts counts;
    assert_int_equal(soma_bridge_count(node->bridge, &counts), 0);
    return counts;
}

/* Waits until one of the counts has come to a number; they are words. */
static void wait_count(const struct node *node, size_t offset, uint64_t wanted)
{
    for (int i = 0; i < 30000; i++) {
        soma_bridge_counts counts = counts_of(node);
        uint64_t count;
        memcpy(&count, (const char *)&counts + offset, sizeof(count));
        if (count >= wanted)
            return;
        const struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    fail_msg("the count at %zu did not come to %llu", offset, (unsigned long long)wanted);
}

#define WAIT_COUNT(node, member, wanted) wait_count(node, offsetof(soma_bridge_counts, member), wanted)

/* ---- addresses ---- */

static void test_addresses(void **state)
{
    (void)state;
    static const char *const local[] = {"ipc:///tmp/x",      "tcp://127.0.0.1",   "tcp://127.0.0.1:5555",
                                        "tcp://127.9.9.9:*", "tcp://localhost:1", "tcp://LocalHost:1",
                                        "tcp://[::1]:5555",  "tcp://[::1]"};
    static const char *const far[] = {"tcp://10.0.0.1:5555",
                                      "tcp://127.example.org:5555",
                                      "tcp://*:5555",
                                      "tcp://localhost.example.org",
                                      "tcp://0.0.0.0:1",
                                      "tcp://[::]:5555",
                                      "tcp://127.0.0.1:0;10.0.0.1:5",
                                      "tcp://eth0:5555",
                                      "tcp://"};
    struct address address;
    char key[SOMA_BRIDGE_KEY_SIZE], secret[SOMA_BRIDGE_KEY_SIZE], text[200];
    for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
        assert_true(address_is_local(local[i]));
    for (size_t i = 0; i < sizeof(far) / sizeof(*far); i++)
        assert_false(address_is_local(far[i]));
    assert_true(address_is_any("tcp://0.0.0.0:5555"));
    assert_true(address_is_any("tcp://[::]:5555 key"));
    assert_true(address_is_any("tcp://*:5555"));
    assert_false(address_is_any("tcp://10.0.0.0:5555"));
    assert_false(address_is_any("ipc://0.0.0.0:5555"));
    assert_int_equal(soma_bridge_keygen(key, secret), 0);
    snprintf(text, sizeof(text), "tcp://10.0.0.1:5555 %s", key);
    assert_true(address_read(text, &address));
    assert_string_equal(address.place, "tcp://10.0.0.1:5555");
    assert_string_equal(address.key, key);
    assert_false(address_read("tcp://10.0.0.1:5555 short", &address));
    assert_false(address_read("udp://10.0.0.1:5555", &address));
    text[strlen(text) - 1] = '~'; // not in Z85
    assert_false(address_read(text, &address));
}

static int try_options(const soma_bridge_options *options)
{
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    soma_system *system;
    soma_bridge *bridge;
    assert_int_equal(soma_system_open(&system, &quiet), 0);
    int error = soma_bridge_open(system, options, &bridge);
    assert_true(!error == (bridge != NULL));
    assert_int_equal(soma_system_close(&system), 0);
    return error;
}

/* What is no address is told so, in place of being bound or called somewhere else. */
static void test_malformed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"tcp://127.0.0.1:99999",
                                        "tcp://127.0.0.1:-1",
                                        "tcp://127.0.0.1:12ab",
                                        "tcp://127.0.0.1:7810 push",
                                        "tcp://",
                                        "tcp://:7810",
                                        "ipc://",
                                        "7810"};
    static const char *const nowhere[] = {"tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://[::1]"};
    struct address address;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        const char *const here[] = {wrong[i], NULL};
        assert_int_equal(try_options(&(soma_bridge_options){.bind = here}), SOMA_EINVAL);
        assert_int_equal(try_options(&(soma_bridge_options){.advertise = here}), SOMA_EINVAL);
        assert_int_equal(try_options(&(soma_bridge_options){.connect = here}), SOMA_EINVAL);
    }
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++)
        assert_false(address_read(nowhere[i], &address));
    const char *const all[] = {"tcp://0.0.0.0:7000", NULL};
    assert_int_equal(try_options(&(soma_bridge_options){.advertise = all}), SOMA_EINVAL);
}

/* Who is bound to all interfaces says where that is for others. */
static void test_bound_to_all(void **state)
{
    static const char *const all[] = {"tcp://0.0.0.0", NULL};
    const soma_bridge_options options = {.bind = all, .insecure = true};
    struct node node = {0};
    (void)state;
    assert_int_equal(soma_system_open(&node.system, &(soma_options){.log_level = SOMA_LOG_OFF}), 0);
    assert_int_equal(soma_bridge_open(node.system, &options, &node.bridge), 0);
    assert_false(address_is_any(soma_bridge_address(node.bridge, 0)));
    node_close(&node);
}

static void test_plain_is_local(void **state)
{
    (void)state;
    static const char *const all[] = {"tcp://0.0.0.0", NULL}, *const there[] = {"tcp://192.0.2.1:5555", NULL};
    struct node keyed, plain = {0};
    soma_ref agent;
    assert_int_equal(try_options(&(soma_bridge_options){.bind = all}), SOMA_EINVAL);
    assert_int_equal(try_options(&(soma_bridge_options){.connect = there}), SOMA_EINVAL);
    assert_int_equal(try_options(&(soma_bridge_options){.bind = all, .connect = there, .insecure = true}), 0);
    node_keys(&keyed);
    assert_int_equal(try_options(&(soma_bridge_options){.bind = all, .secret_key = keyed.secret_key}), 0);
    assert_int_equal(try_options(&(soma_bridge_options){.connect = there, .secret_key = keyed.secret_key}),
                     SOMA_EINVAL); // it needs the other's key
    node_open(&plain, NULL);
    assert_int_equal(find(&plain, there[0], SOMA_SECOND, &agent), SOMA_EINVAL);
    assert_int_equal(soma_bridge_keys_reload(plain.bridge, keyed.public_key), SOMA_ESTATE);
    node_close(&plain);
}

/* ---- key files ---- */

static void file_write(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/soma-keys-XXXXXX", secret[64], allowed[64], text[300];
    struct node node, other;
    node_keys(&node);
    node_keys(&other);
    assert_non_null(mkdtemp(folder));
    snprintf(secret, sizeof(secret), "%s/secret", folder);
    snprintf(allowed, sizeof(allowed), "%s/allowed", folder);
    snprintf(text, sizeof(text), "# this node's\n%s\n", node.secret_key);
    const soma_bridge_options options = {.secret_file = secret, .allowed_file = allowed};
    assert_int_equal(try_options(&options), SOMA_ENOENT);
    file_write(secret, text, 0640);
    snprintf(text, sizeof(text), "# others\n\n%s other\r\n  %s", other.public_key, node.public_key);
    file_write(allowed, text, 0644);
    assert_int_equal(try_options(&options), SOMA_EINVAL); // others may read it
    assert_int_equal(chmod(secret, 0600), 0);
    assert_int_equal(try_options(&options), 0);
    file_write(allowed, "#not a comment\n", 0644);
    assert_int_equal(try_options(&options), SOMA_EFORMAT);
    file_write(secret, "# none\n", 0600);
    assert_int_equal(try_options(&options), SOMA_EFORMAT);
    assert_int_equal(try_options(&(soma_bridge_options){.allowed = other.public_key}), SOMA_EINVAL);
    unlink(secret);
    unlink(allowed);
    rmdir(folder);
}

/* ---- keys ---- */

/* Another node, with keys or without, is not let in, whoever dials. */
static void refused(const struct node *node, struct node *other, const char *allowed, const char *dialed)
{
    soma_ref agent;
    node_open(other, allowed);
    int error = find(other, dialed, SOMA_SECOND / 4, &agent);
    assert_true(error == SOMA_ETIMEOUT || error == SOMA_EINVAL);
    error = find(node, soma_bridge_address(other->bridge, 0), SOMA_SECOND / 4, &agent);
    assert_true(error == SOMA_ETIMEOUT || error == SOMA_EINVAL);
    node_close(other);
}

static void test_keys(void **state)
{
    (void)state;
    struct node node, friend, stranger, plain = {0};
    char both[2 * SOMA_BRIDGE_KEY_SIZE], wrong[200];
    node_keys(&node);
    node_keys(&friend);
    node_keys(&stranger);
    node_open(&node, friend.public_key);
    node_open(&friend, node.public_key);
    soma_ref agent = found(&friend, &node);
    assert_int_equal(asked(&friend, agent, 1), 0);
    const char *address = soma_bridge_address(node.bridge, 0);

    refused(&node, &stranger, node.public_key, address); // a key that is not allowed
    WAIT_COUNT(&node, refused, 1);
    refused(&node, &plain, NULL, address); // none, and no idea of any
    snprintf(wrong, sizeof(wrong), "%.*s", (int)strcspn(address, " "), address);
    refused(&node, &plain, NULL, wrong); // none
    snprintf(both, sizeof(both), "%s\n%s", stranger.public_key, node.public_key);
    snprintf(wrong + strlen(wrong), 60, " %s", stranger.public_key);
    refused(&node, &stranger, both, wrong); // it takes this node for another one

    assert_int_equal(asked(&friend, agent, 2), 0);
    node_close(&friend);
    node_close(&node);
}

static void test_reload(void **state)
{
    (void)state;
    struct node node, one, two;
    char both[2 * SOMA_BRIDGE_KEY_SIZE];
    node_keys(&node);
    node_keys(&one);
    node_keys(&two);
    snprintf(both, sizeof(both), "%s\n%s", one.public_key, two.public_key);
    node_open(&node, both);
    node_open(&one, node.public_key);
    node_open(&two, node.public_key);
    soma_ref for_one = found(&one, &node), for_two = found(&two, &node), from_one = found(&node, &one);
    assert_int_equal(asked(&one, for_one, 1), 0);
    assert_int_equal(soma_bridge_keys_reload(node.bridge, "what is this?"), SOMA_EFORMAT);
    assert_int_equal(asked(&two, for_two, 2), 0);
    assert_int_equal(soma_bridge_keys_reload(node.bridge, two.public_key), 0);
    while (!asked(&node, from_one, 3)) // until it is taken note of
        ;
    assert_int_equal(asked(&node, from_one, 3), SOMA_ENODEDOWN);
    assert_int_equal(asked(&two, for_two, 4), 0);
    soma_ref again;
    assert_int_not_equal(find(&node, soma_bridge_address(one.bridge, 0), SOMA_SECOND / 4, &again), 0);
    WAIT_COUNT(&node, refused, 1); // it tries
    assert_int_equal(soma_bridge_keys_reload(node.bridge, both), 0);
    const char *address = soma_bridge_address(node.bridge, 0);
    while (find(&one, address, SOMA_SECOND, &for_one) || asked(&one, for_one, 5)) // what it had asked before fails
        ;
    assert_int_equal(asked(&two, for_two, 6), 0);
    node_close(&one);
    node_close(&two);
    node_close(&node);
}

/* ---- strangers ---- */

/* A TCP connection to the node. */
static int stranger_connect(const struct node *node)
{
    unsigned port;
    struct sockaddr_in to = {.sin_family = AF_INET};
    assert_int_equal(sscanf(soma_bridge_address(node->bridge, 0), "tcp://127.0.0.1:%u", &port), 1);
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(stranger >= 0);
    assert_int_equal(connect(stranger, (struct sockaddr *)&to, sizeof(to)), 0);
    return stranger;
}

/* The node has ended the connection. */
static void assert_cut_off(int stranger)
{
    char byte;
    const struct timeval patience = {30, 0};
    assert_int_equal(setsockopt(stranger, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    ssize_t got;
    do
        got = recv(stranger, &byte, 1, 0);
    while (got > 0); // its greeting
    assert_true(!got || errno == ECONNRESET);
    close(stranger);
}

struct served {
    struct node node, friend;
    soma_ref agent;
};

static void served_open(struct served *served, bool keyed)
{
    *served = (struct served){0};
    if (keyed) {
        node_keys(&served->node);
        node_keys(&served->friend);
    }
    node_open(&served->node, keyed ? served->friend.public_key : NULL);
    node_open(&served->friend, keyed ? served->node.public_key : NULL);
    served->agent = found(&served->friend, &served->node);
}

static void served_close(struct served *served)
{
    assert_int_equal(asked(&served->friend, served->agent, 99), 0); // the session that it had
    node_close(&served->friend);
    node_close(&served->node);
}

static void test_garbage(void **state)
{
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        struct served served;
        char garbage[4096];
        served_open(&served, keyed);
        for (size_t i = 0; i < sizeof(garbage); i++)
            garbage[i] = (char)(i * i * 31 + 7);
        for (uint64_t i = 1; i <= 50; i++) {
            int stranger = stranger_connect(&served.node);
            garbage[0] = (char)i;
            assert_true(send(stranger, garbage, sizeof(garbage), MSG_NOSIGNAL) > 0);
            assert_int_equal(asked(&served.friend, served.agent, i), 0);
            close(stranger);
            WAIT_COUNT(&served.node, failed, i);
        }
        served_close(&served);
    }
}

static void *stranger_dial(void *context, const struct node *node, void **monitor)
{
    void *stranger = zmq_socket(context, ZMQ_DEALER);
    const int none = 0, never = -1;
    assert_non_null(stranger);
    zmq_setsockopt(stranger, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(stranger, ZMQ_RECONNECT_IVL, &never, sizeof(never));
    assert_int_equal(zmq_socket_monitor(stranger, "inproc://stranger", ZMQ_EVENT_DISCONNECTED), 0);
    *monitor = zmq_socket(context, ZMQ_PAIR);
    assert_int_equal(zmq_connect(*monitor, "inproc://stranger"), 0);
    assert_int_equal(zmq_connect(stranger, soma_bridge_address(node->bridge, 0)), 0);
    return stranger;
}

/* One that speaks ZeroMQ, but says nothing that makes sense, is shown out. */
static void test_bad_frames(void **state)
{
    (void)state;
    struct served served;
    struct hello hello = {.version = PROTOCOL_VERSION, .node = 77, .name = {"x", 1}, .beat_ms = 100};
    served_open(&served, false);
    for (uint64_t i = 0; i < 4; i++) {
        void *context = zmq_ctx_new();
        msgpack_sbuffer frame;
        void *monitor;
        unsigned char event[6];
        msgpack_sbuffer_init(&frame);
        hello.version = hello.least = PROTOCOL_VERSION + (i == 1);
        if (i < 3) // the third time it says no more, and waits
            assert_true(hello_write(&frame, &hello));
        else
            assert_true(data_write(&frame, 1, 0, "\x01", 1));
        assert_true(frame_seal(&frame));
        void *stranger = stranger_dial(context, &served.node, &monitor);
        assert_true(zmq_send(stranger, frame.data, frame.size, 0) > 0);
        if (i == 0) {
            assert_int_equal(zmq_send(stranger, "\xc1", 1, 0), 1);
        }
        assert_int_equal(zmq_recv(monitor, event, sizeof(event), 0), sizeof(event)); // it has been cut off
        assert_int_equal(asked(&served.friend, served.agent, i), 0);
        zmq_socket_monitor(stranger, NULL, 0);
        zmq_close(monitor);
        zmq_close(stranger);
        msgpack_sbuffer_destroy(&frame);
        zmq_ctx_term(context);
    }
    soma_bridge_counts counts = counts_of(&served.node);
    assert_int_equal(counts.bad_frames, 1);
    assert_int_equal(counts.bad_hellos, 1);
    assert_int_equal(counts.cut_off, 4);
    served_close(&served);
}

/* They begin ZeroMQ's greeting, and then say nothing, or a byte now and then. */
static void test_handshake_never_ends(void **state)
{
    (void)state;
    static const unsigned char greeting[] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3};
    struct served served;
    int strangers[20];
    served_open(&served, true);
    for (size_t i = 0; i < 20; i++) {
        strangers[i] = stranger_connect(&served.node);
        if (i % 2)
            assert_true(send(strangers[i], greeting, sizeof(greeting), MSG_NOSIGNAL) > 0);
    }
    while (counts_of(&served.node).failed < 20) {
        const struct timespec nap = {0, 20000000};
        assert_int_equal(asked(&served.friend, served.agent, 1), 0);
        for (size_t i = 1; i < 20; i += 4)
            send(strangers[i], "", 1, MSG_NOSIGNAL);
        nanosleep(&nap, NULL);
    }
    for (size_t i = 0; i < 20; i++)
        assert_cut_off(strangers[i]);
    served_close(&served);
}

/* Thousands that never speak: only so many are kept, others get in beside them, and no descriptors run out. */
static void test_crowd(void **state)
{
    (void)state;
    const uint32_t wanted = test_load(10000);
    struct rlimit limit;
    struct served served;
    struct node late;
    served_open(&served, true);
    node_keys(&late);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    uint32_t count = limit.rlim_max > wanted + 1000 ? wanted : (uint32_t)limit.rlim_max / 2;
    int *strangers = calloc(count, sizeof(*strangers));
    assert_non_null(strangers);
    for (uint32_t i = 0; i < count; i++) {
        strangers[i] = stranger_connect(&served.node);
        if (i % 1000 == 500)
            assert_int_equal(asked(&served.friend, served.agent, i), 0);
    }
    char both[2 * SOMA_BRIDGE_KEY_SIZE];
    snprintf(both, sizeof(both), "%s\n%s", served.friend.public_key, late.public_key);
    assert_int_equal(soma_bridge_keys_reload(served.node.bridge, both), 0);
    node_open(&late, served.node.public_key);
    assert_int_equal(asked(&late, found(&late, &served.node), 7), 0); // one that comes now
    WAIT_COUNT(&served.node, failed, count > 256 ? count - 256 : 0);
    assert_int_equal(asked(&served.friend, served.agent, 8), 0);
    for (uint32_t i = 0; i < count; i++)
        close(strangers[i]);
    free(strangers);
    node_close(&late);
    served_close(&served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bound_to_all), cmocka_unit_test(test_plain_is_local),
        cmocka_unit_test(test_files),        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_reload),       cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_bad_frames),   cmocka_unit_test(test_handshake_never_ends),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
