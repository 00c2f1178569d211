/* The door alone: a router, one who has left it, and another whose connection has the same socket. */
#include "bridges/door.h"
#include "lone_node.h"
#include "test_support.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

static struct lone lone;
static struct door door;
static void *context, *router;
static char address[64];

/* One who has come, and said something. */
static void *come(void)
{
    void *client = zmq_socket(context, ZMQ_DEALER);
    const int none = 0;
    REQUIRE(client && !zmq_setsockopt(client, ZMQ_LINGER, &none, sizeof(none)));
    REQUIRE(!zmq_connect(client, address) && zmq_send(client, "hello", 5, 0) == 5);
    return client;
}

/* The socket of the next frame that comes. */
static int hear(void)
{
    zmq_msg_t frame;
    char identity[8];
    REQUIRE(zmq_recv(router, identity, sizeof(identity), 0) == 5);
    REQUIRE(!zmq_msg_init(&frame) && zmq_msg_recv(&frame, router, 0) == 5);
    int socket = zmq_msg_get(&frame, ZMQ_SRCFD);
    zmq_msg_close(&frame);
    return socket;
}

static void gone(void *client, int socket)
{
    zmq_close(client);
    while (fcntl(socket, F_GETFD) >= 0 || errno != EBADF)
        zmq_poll(NULL, 0, 1); // until ZeroMQ has seen it: by no event, since those are not to be read
}

/* What is left of one that has gone harms nobody who has its socket now, though word of their coming was not read. */
static void test_same_socket(void **state)
{
    (void)state;
    int first = -1, second = -2;
    for (uint64_t id = 1; id < 200 && first != second; id += 2) {
        void *client = come();
        first = hear();
        door_admit(&door, first, id);
        gone(client, first);
        client = come();
        second = hear();
        door_dismiss(&door, second, id);
        door_admit(&door, second, id + 1);
        door_dismiss(&door, second, id);
        lone.now += SOMA_SECOND;
        door_watch(&door);
        assert_int_equal(lone.bridge->counts.cut_off, 0);
        door_dismiss(&door, -1, id + 1); // it is known by its number
        lone.now += SOMA_SECOND;
        door_watch(&door);
        assert_int_equal(lone.bridge->counts.cut_off, 1);
        lone.bridge->counts.cut_off = 0;
        gone(client, second);
    }
    assert_int_equal(first, second);
}

/* One who has named himself ends at once, and nobody else. */
static void test_turned_away(void **state)
{
    (void)state;
    void *known = come(), *own;
    int socket = hear();
    door_admit(&door, socket, 1);
    door_turn_away(&door, socket);
    assert_int_equal(lone.bridge->counts.cut_off, 0);
    own = come();
    socket = hear();
    door_turn_away(&door, socket);
    assert_int_equal(lone.bridge->counts.cut_off, 1);
    lone.bridge->counts.cut_off = 0;
    gone(own, socket);
    zmq_close(known);
}

/* One who sends and sends, and does not say who he is, ends long before his time is over. */
static void test_too_much(void **state)
{
    (void)state;
    static unsigned char much[1 << 20];
    void *known = come(), *unknown, *flood;
    door_admit(&door, hear(), 3);
    unknown = come();
    hear();
    REQUIRE(zmq_send(known, much, sizeof(much), 0) == sizeof(much));
    flood = come();
    REQUIRE(zmq_send(flood, much, sizeof(much), 0) == sizeof(much));
    const uint64_t over = lone.now + HANDSHAKE;
    for (; !lone.bridge->counts.cut_off && lone.now < over; lone.now += SOMA_MS) {
        door_look(&door);
        door_watch(&door);
        zmq_poll(NULL, 0, 1);
    }
    assert_int_equal(lone.bridge->counts.cut_off, 1);
    assert_true(lone.now < over);
    lone.bridge->counts.cut_off = 0;
    zmq_close(flood);
    zmq_close(known);
    zmq_close(unknown);
}

static void *connected(void)
{
    void *client = zmq_socket(context, ZMQ_DEALER), *monitor = zmq_socket(context, ZMQ_PAIR);
    unsigned char event[6];
    REQUIRE(client && monitor && !zmq_socket_monitor(client, "inproc://client", ZMQ_EVENT_HANDSHAKE_SUCCEEDED));
    REQUIRE(!zmq_connect(monitor, "inproc://client") && !zmq_connect(client, address));
    REQUIRE(zmq_recv(monitor, event, sizeof(event), 0) == sizeof(event));
    zmq_socket_monitor(client, NULL, 0);
    zmq_close(monitor);
    return client;
}

/* By TCP alone; or with a greeting of ZeroMQ's, but of a mechanism that there is not. */
static void touch(bool greets)
{
    const unsigned char greeting[64] = {0xff, [9] = 0x7f, 3, 0, 'N', 'O', 'N', 'E'};
    unsigned char answer[64];
    const struct sockaddr_in there = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int stranger = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(stranger >= 0 && !connect(stranger, (const struct sockaddr *)&there, sizeof(there)));
    REQUIRE(!greets || send(stranger, greeting, sizeof(greeting), MSG_NOSIGNAL) == sizeof(greeting));
    while (greets && recv(stranger, answer, sizeof(answer), 0) > 0)
        ;
    close(stranger);
}

/* Until so many have come in all, and all have gone. */
static void all_gone(uint64_t count)
{
    while (lone.bridge->counts.accepted < count || door.first) {
        door_look(&door);
        zmq_poll(NULL, 0, 1);
    }
    assert_int_equal(lone.bridge->counts.accepted, count);
}

/* Who connects as a node does, and leaves without a word, has been called meanwhile: that is no failure. Nor is a line
 * logged of one who leaves before; but of one who is not understood. */
static void test_left(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        void *known = come(), *other = connected();
        door_admit(&door, hear(), 1 + i);
        zmq_close(known);
        zmq_close(other);
        all_gone(3 * i + 2);
        assert_int_equal(lone.bridge->counts.failed, i);
        touch(i == 2);
        all_gone(3 * i + 3);
        assert_int_equal(lone.bridge->counts.failed, i + 1);
        assert_int_equal(lone.bridge->strangers_log.lines, i == 2);
    }
}

/* Strangers who have taken all descriptors are cut off all the same, or nobody else would ever come in again. */
static void test_no_descriptors(void **state)
{
    (void)state;
    void *own = come();
    int socket = hear(), taken[100], count = 0;
    struct rlimit limit, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){sizeof(taken) / sizeof(*taken), limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while ((taken[count] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    door_turn_away(&door, socket);
    while (count)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    char end;
    ssize_t size = recv(socket, &end, 1, MSG_PEEK | MSG_DONTWAIT);
    assert_false(size < 0 && errno == EAGAIN); // it is over, or ZeroMQ has seen that and closed it
    lone.bridge->counts.cut_off = 0;
    gone(own, socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_left), cmocka_unit_test(test_same_socket),
                                       cmocka_unit_test(test_turned_away), cmocka_unit_test(test_no_descriptors),
                                       cmocka_unit_test(test_too_much)};
    size_t size = sizeof(address);
    lone_open(&lone, &(soma_bridge_options){.name = "here"});
    context = zmq_ctx_new();
    router = context ? zmq_socket(context, ZMQ_ROUTER) : NULL;
    REQUIRE(router && !door_open(&door, lone.bridge, context, router));
    REQUIRE(!zmq_bind(router, "tcp://127.0.0.1:*") && !zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, address, &size));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    zmq_close(router);
    door_close(&door);
    zmq_ctx_term(context);
    lone_close(&lone);
    return failed;
}
