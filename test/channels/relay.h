/*
 * What lies between two channels in the tests of connections: a thread that listens at a place of its own and passes on
 * all that comes to another one, until it is told to be still, with all connections left as they are, or to cut them.
 */
#ifndef TEST_CHANNELS_RELAY_H
#define TEST_CHANNELS_RELAY_H

#include "kernel.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/un.h>

#define RELAY_LINKS 16
#define RELAY_ROOM 65536 /* bytes on their way through it */

/* One way of a connection. */
struct relay_way {
    int from, to;
    size_t has, gone;
    char data[RELAY_ROOM];
};

struct relay {
    pthread_t thread;
    int listener;
    struct sockaddr_storage target;
    socklen_t size;
    soma_address address;
    struct relay_way ways[RELAY_LINKS][2]; /* `from` is 0: not used */
    atomic_bool still, cut, ends;
    atomic_ullong passed; /* bytes, both ways */
};

static inline socklen_t relay_name(const soma_address *address, struct sockaddr_storage *name)
{
    struct sockaddr_in *tcp = (struct sockaddr_in *)name;
    struct sockaddr_un *ipc = (struct sockaddr_un *)name;
    memset(name, 0, sizeof(*name));
    if (address->transport == SOMA_TCP) {
        *tcp = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(address->port)};
        assert_int_equal(inet_pton(AF_INET, address->host, &tcp->sin_addr), 1);
        return sizeof(*tcp);
    }
    ipc->sun_family = AF_UNIX;
    assert_true(strlen(address->host) < sizeof(ipc->sun_path));
    memcpy(ipc->sun_path, address->host, strlen(address->host));
    return sizeof(*ipc);
}

static inline void relay_unlink(struct relay_way link[2])
{
    close(link[0].from);
    close(link[0].to);
    link[0].from = link[1].from = 0;
}

static inline void relay_accept(struct relay *relay)
{
    struct relay_way(*link)[2] = relay->ways;
    int here = accept(relay->listener, NULL, NULL);
    int there = socket(relay->target.ss_family, SOCK_STREAM, 0);
    while (link < relay->ways + RELAY_LINKS && (*link)[0].from)
        link++;
    kernel_keeps_little(there);
    if (here < 0 || there < 0 || link == relay->ways + RELAY_LINKS ||
        connect(there, (const struct sockaddr *)&relay->target, relay->size)) {
        close(here);
        close(there);
        return; // nobody is there: who came tries again
    }
    fcntl(here, F_SETFL, O_NONBLOCK);
    fcntl(there, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 2; i++) {
        (*link)[i].from = i ? there : here;
        (*link)[i].to = i ? here : there;
        (*link)[i].has = (*link)[i].gone = 0;
    }
}

/* False if the connection is over. */
static inline bool relay_pass(struct relay *relay, struct relay_way *way)
{
    ssize_t count = way->has ? 0 : read(way->from, way->data, sizeof(way->data));
    if (!way->has && (count == 0 || (count < 0 && errno != EAGAIN)))
        return false;
    if (count > 0) {
        way->has = (size_t)count;
        way->gone = 0;
    }
    if (way->has && (count = send(way->to, way->data + way->gone, way->has, MSG_NOSIGNAL)) > 0) {
        way->gone += (size_t)count;
        way->has -= (size_t)count;
        atomic_fetch_add(&relay->passed, (size_t)count);
    }
    return count >= 0 || errno == EAGAIN;
}

static inline void relay_round(struct relay *relay)
{
    struct pollfd items[2 * RELAY_LINKS + 1] = {{relay->listener, POLLIN, 0}};
    nfds_t count = 1;
    for (int i = 0; i < 2 * RELAY_LINKS; i++) {
        const struct relay_way *way = &relay->ways[i / 2][i % 2];
        if (way->from)
            items[count++] = (struct pollfd){way->has ? way->to : way->from, way->has ? POLLOUT : POLLIN, 0};
    }
    poll(items, count, 2);
    if (items[0].revents)
        relay_accept(relay);
    for (int i = 0; i < RELAY_LINKS; i++) {
        struct relay_way *link = relay->ways[i];
        if (link[0].from && (!relay_pass(relay, &link[0]) || !relay_pass(relay, &link[1])))
            relay_unlink(link);
    }
}

static inline void relay_cut_all(struct relay *relay)
{
    for (int i = 0; i < RELAY_LINKS; i++)
        if (relay->ways[i][0].from)
            relay_unlink(relay->ways[i]);
}

static inline void *relay_main(void *argument)
{
    struct relay *relay = argument;
    while (!atomic_load(&relay->ends)) {
        if (atomic_exchange(&relay->cut, false))
            relay_cut_all(relay);
        if (atomic_load(&relay->still))
            poll(NULL, 0, 2);
        else
            relay_round(relay);
    }
    relay_cut_all(relay);
    return NULL;
}

/* To what is bound at a place, also if it is so later. `relay->address` is where to connect. */
static inline struct relay *relay_open(soma_test *test, soma_address target)
{
    struct relay *relay = soma_test_alloc(test, sizeof(*relay));
    struct sockaddr_storage name;
    memset(relay, 0, sizeof(*relay));
    relay->size = relay_name(&target, &relay->target);
    relay->address = target;
    relay->address.port = 0;
    if (target.transport == SOMA_IPC)
        strncat(relay->address.host, "-relay", sizeof(relay->address.host) - strlen(relay->address.host) - 1);
    socklen_t size = relay_name(&relay->address, &name);
    relay->listener = socket(name.ss_family, SOCK_STREAM, 0);
    assert_true(relay->listener >= 0);
    kernel_keeps_little(relay->listener); // also for those who come
    if (target.transport == SOMA_IPC)
        unlink(relay->address.host); // of a test that has failed
    assert_int_equal(bind(relay->listener, (const struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(relay->listener, 64), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&name, &size), 0);
    if (target.transport == SOMA_TCP)
        relay->address.port = ntohs(((struct sockaddr_in *)&name)->sin_port);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_main, relay), 0);
    return relay;
}

static inline void relay_close(struct relay *relay)
{
    atomic_store(&relay->ends, true);
    pthread_join(relay->thread, NULL);
    close(relay->listener);
    if (relay->address.transport == SOMA_IPC)
        unlink(relay->address.host);
}

#endif
