/*
 * Two plain ZeroMQ sockets that ask under one identity: libzmq forgets the first without a word, and never closes its
 * connection once it has said more. So it is left alone: to cut it off would cost a file each time that it comes again.
 */
#include "player.h"
#include <dirent.h>
#include <zmq.h>

#define ROUNDS 20u
#define PATIENCE_MS 20000

/* ---- the two ---- */

static void *plain_open(void *context)
{
    const int none = 0, soon = 1;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("asked", SOMA_ANY_PATTERN);
    void *socket = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_ROUTING_ID, "me", 2);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &soon, sizeof(soon));
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    assert_int_equal(zmq_connect(socket, place), 0);
    return socket;
}

static void plain_ask(void *socket)
{
    assert_int_equal(zmq_send(socket, "", 0, ZMQ_SNDMORE), 0);
    assert_int_equal(zmq_send(socket, "?", 1, 0), 1);
}

/* How many answers the two have got, once one of them has one. */
static uint32_t plain_answers(void *first, void *second)
{
    char bytes[8];
    uint32_t frames = 0;
    zmq_pollitem_t items[] = {{.socket = first, .events = ZMQ_POLLIN}, {.socket = second, .events = ZMQ_POLLIN}};
    zmq_poll(items, 2, PATIENCE_MS);
    for (int i = 0; i < 2; i++)
        while (zmq_recv(items[i].socket, bytes, sizeof(bytes), ZMQ_DONTWAIT) >= 0)
            frames++;
    return frames / 2;
}

/* ---- who is asked ---- */

static int on_question(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)my;
    return soma_reply(self, chunk, .data = m->data);
}

static int asked_bind(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("asked", SOMA_ANY_PATTERN);
    (void)state;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    const soma_channel_options options = {
        .place = place, .serializer = "raw", .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_question))};
    assert_int_equal(soma_bind(self, *(const soma_pattern *)arg, "it", &options, NULL), 0);
    return 0;
}

static uint32_t files_count(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* ---- all together ---- */

/* The fewest files that are open after a round: libzmq opens some for a moment. */
static uint32_t rounds(soma_test *test, soma_ref asked, void *first, void *second)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        plain_ask(first); // is not heard
        plain_ask(second);
        assert_true(plain_answers(first, second) > 0);
        player_peers(test, asked, "it", 2); // who was cut off has come again
        uint32_t files = files_count();
        least = files < least ? files : least;
    }
    return least;
}

static void two_ask(soma_test *test, soma_pattern pattern)
{
    soma_ref asked = player_open(test, &player_quiet);
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    void *context = zmq_ctx_new();
    player_move();
    player_do(test, asked, asked_bind, &pattern);
    void *first = plain_open(context);
    plain_ask(first);
    assert_int_equal(plain_answers(first, first), 1);
    void *second = plain_open(context);
    player_peers(test, asked, "it", 2);
    uint32_t before = rounds(test, asked, first, second), after = rounds(test, asked, first, second);
    assert_int_equal(after, before);
    player_do(test, asked, player_counts, counts);
    assert_int_equal(counts->connected, 2);
    zmq_close(first);
    zmq_close(second);
    zmq_ctx_term(context);
}

static void test_rep(soma_test *test)
{
    two_ask(test, SOMA_REP);
}

static void test_async_rep(soma_test *test)
{
    two_ask(test, SOMA_ASYNC_REP);
}

PLAYER_WIRES(test_rep)
PLAYER_WIRES(test_async_rep)

int main(void)
{
    const struct CMUnitTest tests[] = {PLAYER_OVER_WIRES(test_rep), PLAYER_OVER_WIRES(test_async_rep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
