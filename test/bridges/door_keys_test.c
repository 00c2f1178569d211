/* The door of a node with keys, alone: who is let in, and then breaks what CURVE asks for. */
#include "bridges/door.h"
#include "bridges/zmq_cut.h"
#include "lone_node.h"
#include "test_support.h"
#include <sys/socket.h>
#include <zmq.h>

#define ROUNDS 20 /* for what does not happen each time */

static struct lone lone;
static struct door door;
static void *context, *router;
static char address[64], public_key[SOMA_BRIDGE_KEY_SIZE], secret_key[SOMA_BRIDGE_KEY_SIZE];

/* One with the node's own key, which is allowed. */
static void *come(void)
{
    void *client = zmq_socket(context, ZMQ_DEALER);
    const int none = 0, never = -1;
    REQUIRE(client && !zmq_setsockopt(client, ZMQ_LINGER, &none, sizeof(none)));
    REQUIRE(!zmq_setsockopt(client, ZMQ_RECONNECT_IVL, &never, sizeof(never)));
    REQUIRE(!zmq_setsockopt(client, ZMQ_CURVE_SERVERKEY, public_key, KEY_SIZE));
    REQUIRE(!zmq_setsockopt(client, ZMQ_CURVE_PUBLICKEY, public_key, KEY_SIZE));
    REQUIRE(!zmq_setsockopt(client, ZMQ_CURVE_SECRETKEY, secret_key, KEY_SIZE));
    REQUIRE(!zmq_connect(client, address) && zmq_send(client, "hello", 5, 0) == 5);
    return client;
}

/* The socket of the next message of a ROUTER or a DEALER. */
static int hear(void *from)
{
    zmq_msg_t message;
    REQUIRE(!zmq_msg_init(&message) && zmq_msg_recv(&message, from, 0) == 5);
    int socket = zmq_msg_get(&message, ZMQ_SRCFD);
    zmq_msg_close(&message);
    return socket;
}

/* Whom it is from; he is known here as ZeroMQ has it. */
static int meet(unsigned char identity[5])
{
    int size;
    while ((size = zmq_recv(router, identity, 5, ZMQ_DONTWAIT)) < 0) {
        door_look(&door);
        zmq_poll(NULL, 0, 1);
    }
    REQUIRE(size == 5);
    return hear(router);
}

/* A message that nobody with the connection's key has made ends the connection; its file is not left open. */
static void test_forged(void **state)
{
    (void)state;
    const unsigned char forged[2 + 60] = {0, 60, 7, 'M', 'E', 'S', 'S', 'A', 'G', 'E', 1};
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char identity[5];
        void *client = come();
        int socket = meet(identity);
        uint64_t cookie = socket_cookie(socket);
        REQUIRE(zmq_send(router, identity, 5, ZMQ_SNDMORE) == 5 && zmq_send(router, "hello", 5, 0) == 5);
        REQUIRE(send(hear(client), forged, sizeof(forged), MSG_NOSIGNAL) == sizeof(forged));
        for (int i = 0; i < 10000 && socket_cookie(socket) == cookie; i++)
            zmq_poll(NULL, 0, 1);
        assert_int_not_equal(socket_cookie(socket), cookie);
        zmq_close(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forged)};
    size_t size = sizeof(address);
    REQUIRE(!soma_bridge_keygen(public_key, secret_key));
    lone_open(&lone, &(soma_bridge_options){.name = "here", .secret_key = secret_key, .allowed = public_key});
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
