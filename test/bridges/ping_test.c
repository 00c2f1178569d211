/*
 * Strangers who speak ZeroMQ's protocol as it should be, ask whether somebody is there, and are gone before they are
 * answered. While ZeroMQ has stopped to read from one, it aborts the process by that.
 */
#include "channels/stranger.h"
#include "nodes.h"
#include <pthread.h>
#include <stdlib.h>

#define STRANGERS 100u
#define FRAMES 2000u

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, answer, .number = m->number + 1);
}

static const soma_behavior server = {.name = "server", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

/* Frames of a byte each, and a PING behind every twentieth. */
static size_t words_ping(unsigned char *words)
{
    static const unsigned char frame[] = {0, 1, 'x'}, ping[] = {4, 8, 4, 'P', 'I', 'N', 'G', 0, 0, '?'};
    size_t at = 0;
    for (uint32_t i = 0; i < FRAMES; i++) {
        memcpy(words + at, frame, sizeof(frame));
        at += sizeof(frame);
        if (i % 20 == 19) {
            memcpy(words + at, ping, sizeof(ping));
            at += sizeof(ping);
        }
    }
    return at;
}

/* He may also be shown out before: there are many of them. */
static void stranger_come_and_go(uint16_t port)
{
    unsigned char words[FRAMES * 4 + 256];
    const struct linger at_once = {1, 0};
    int stranger = relay_dial(port);
    send(stranger, words, words_ready(words, "DEALER"), MSG_NOSIGNAL);
    if (recv(stranger, words, 66, MSG_WAITALL) == 66 && recv(stranger, words, words[65], MSG_WAITALL) > 0)
        send(stranger, words, words_ping(words), MSG_NOSIGNAL);
    setsockopt(stranger, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(stranger);
}

static void *strangers_main(void *port)
{
    for (uint32_t i = 0; i < STRANGERS; i++)
        stranger_come_and_go(*(const uint16_t *)port);
    return NULL;
}

static void test_pings(void **state)
{
    (void)state;
    struct node nodes[2];
    pthread_t threads[4];
    node_open(&nodes[0], "served");
    node_open(&nodes[1], "friend");
    node_spawn(&nodes[0], &server);
    soma_ref found = node_find(&nodes[1], &nodes[0], "server");
    uint16_t port = (uint16_t)atoi(strrchr(soma_bridge_address(nodes[0].bridge, 0), ':') + 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, strangers_main, &port), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    struct answer answered;
    assert_int_equal(soma_call(nodes[1].system, found, PATIENCE, &answered, answer, ask, .number = 1), 0);
    assert_int_equal(answered.number, 2);
    nodes_close(nodes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
