/*
 * A relay between the two sides of a channel, on a thread of its own: so a network that breaks, in the middle of a
 * frame, or goes silent, is one within the test.
 */
#ifndef TEST_CHANNELS_CUT_H
#define TEST_CHANNELS_CUT_H

#include "kernel.h"
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/un.h>

#define RELAY_PAIRS 8

struct relay {
    int listener;
    int bell[2]; /* rung when something has changed */
    sem_t heard; /* that it was rung */
    uint16_t from, to;
    pthread_t thread;
    atomic_long budget; /* bytes until all connections are cut; below 0: they are not */
    atomic_bool silent; /* nothing passes, and nobody is told */
    atomic_bool stopped;
    int pairs[RELAY_PAIRS][2];
    int count;
};

/* ---- places ---- */

/* Where nobody has been: a port, or over ipc a number in a name, of which there is no file. */
static inline uint16_t relay_free(void)
{
    static uint16_t number;
    return player_transport == SOMA_IPC ? ++number : player_free_port();
}

static inline void relay_place(uint16_t at, char place[64])
{
    if (player_transport == SOMA_IPC)
        snprintf(place, 64, "ipc://@soma-%ld-%u", (long)getpid(), at);
    else
        snprintf(place, 64, "tcp://127.0.0.1:%u", at);
}

static inline socklen_t relay_name(uint16_t at, struct sockaddr_storage *name)
{
    struct sockaddr_in *tcp = (struct sockaddr_in *)name;
    struct sockaddr_un *ipc = (struct sockaddr_un *)name;
    *name = (struct sockaddr_storage){.ss_family = player_transport == SOMA_IPC ? AF_UNIX : AF_INET};
    if (player_transport == SOMA_IPC) {
        int size = snprintf(ipc->sun_path + 1, sizeof(ipc->sun_path) - 1, "soma-%ld-%u", (long)getpid(), at);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size);
    }
    tcp->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tcp->sin_port = htons(at);
    return sizeof(*tcp);
}

/* ---- the relay ---- */

/* The way of its connections that is to be cut is over. */
static inline void relay_close_pairs(struct relay *relay)
{
    while (relay->count) {
        relay->count--;
        close(relay->pairs[relay->count][0]);
        close(relay->pairs[relay->count][1]);
    }
}

static inline int relay_dial(uint16_t at)
{
    struct sockaddr_storage name;
    const socklen_t size = relay_name(at, &name);
    int made = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(made >= 0);
    kernel_keeps_little(made);
    if (!connect(made, (const struct sockaddr *)&name, size))
        return made;
    close(made);
    return -1;
}

static inline void relay_accept(struct relay *relay)
{
    int client = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC), server = relay_dial(relay->to);
    if (client >= 0 && server >= 0 && relay->count < RELAY_PAIRS) {
        relay->pairs[relay->count][0] = client;
        relay->pairs[relay->count++][1] = server;
        return;
    }
    close(client);
    close(server);
}

/* Passes on what is there. False if that end has closed, or the budget is used up. */
static inline bool relay_pass(struct relay *relay, int from, int to)
{
    char bytes[4096];
    long budget = atomic_load(&relay->budget);
    size_t most = budget >= 0 && budget < (long)sizeof(bytes) ? (size_t)budget : sizeof(bytes);
    ssize_t size = most ? read(from, bytes, most) : 0;
    if (size <= 0)
        return false;
    if (budget >= 0)
        atomic_store(&relay->budget, budget - size);
    return send(to, bytes, (size_t)size, MSG_NOSIGNAL) == size && budget != size;
}

static inline void *relay_main(void *argument)
{
    struct relay *relay = argument;
    while (!atomic_load(&relay->stopped)) {
        struct pollfd ready[2 + 2 * RELAY_PAIRS] = {{relay->bell[0], POLLIN, 0}, {relay->listener, POLLIN, 0}};
        bool silent = atomic_load(&relay->silent);
        int count = relay->count;
        char byte;
        for (int i = 0; i < 2 * count; i++)
            ready[2 + i] = (struct pollfd){silent ? -1 : relay->pairs[i / 2][i % 2], POLLIN, 0};
        assert_true(poll(ready, (nfds_t)(2 + 2 * count), -1) > 0);
        if (ready[0].revents && read(relay->bell[0], &byte, 1) == 1) {
            if (!atomic_load(&relay->silent) && silent)
                relay_close_pairs(relay); // a line that was dead does not come to life again
            sem_post(&relay->heard);
            continue; // from now on nothing passes, if it is silent
        }
        for (int i = 0; i < 2 * count && relay->count; i++)
            if (ready[2 + i].revents &&
                !relay_pass(relay, relay->pairs[i / 2][i % 2], relay->pairs[i / 2][1 - i % 2])) {
                if (atomic_load(&relay->budget) == 0)
                    atomic_store(&relay->budget, -1);
                relay_close_pairs(relay); // a test has one, but for those that are about to end
            }
        if (ready[1].revents)
            relay_accept(relay);
    }
    relay_close_pairs(relay);
    return NULL;
}

/* Has a place of its own, where others can connect. */
static inline void relay_listen(struct relay *relay, uint16_t to)
{
    struct sockaddr_storage name;
    const struct sockaddr_in *tcp = (const struct sockaddr_in *)&name;
    uint16_t from = player_transport == SOMA_IPC ? relay_free() : 0;
    socklen_t size = relay_name(from, &name);
    *relay = (struct relay){.from = from, .to = to, .listener = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    atomic_store(&relay->budget, -1);
    assert_true(relay->listener >= 0);
    kernel_keeps_little(relay->listener); // also for those who come
    assert_int_equal(setsockopt(relay->listener, SOL_SOCKET, SO_REUSEADDR, &(const int){1}, sizeof(int)), 0);
    assert_int_equal(bind(relay->listener, (const struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(relay->listener, RELAY_PAIRS), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&name, &size), 0);
    if (!from)
        relay->from = ntohs(tcp->sin_port);
}

/* From a place of its own to another. */
static inline void relay_open(struct relay *relay, uint16_t to)
{
    relay_listen(relay, to);
    assert_int_equal(pipe(relay->bell), 0);
    assert_int_equal(sem_init(&relay->heard, 0, 0), 0);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_main, relay), 0);
}

static inline void relay_ring(const struct relay *relay)
{
    assert_int_equal(write(relay->bell[1], "", 1), 1);
}

/* Its connections end once so many bytes more have passed; others may be made from then on. */
static inline void relay_cut(struct relay *relay, long bytes)
{
    atomic_store(&relay->budget, bytes);
}

/* When it returns, nothing passes any more; at the end of that, what was connected is cut. */
static inline void relay_silence(struct relay *relay, bool silent)
{
    atomic_store(&relay->silent, silent);
    relay_ring(relay);
    while (sem_wait(&relay->heard))
        ;
}

static inline void relay_close(struct relay *relay)
{
    atomic_store(&relay->stopped, true);
    relay_ring(relay);
    pthread_join(relay->thread, NULL);
    close(relay->listener);
    close(relay->bell[0]);
    close(relay->bell[1]);
    sem_destroy(&relay->heard);
}

#endif
