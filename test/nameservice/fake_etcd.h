/*
 * A server that takes what etcd would, and answers what a test wants: nonsense, or what etcd says at moments that are
 * hard to bring about. One request a connection, each in a thread of its own.
 */
#ifndef TEST_NAMESERVICE_FAKE_ETCD_H
#define TEST_NAMESERVICE_FAKE_ETCD_H

#include "test_support.h"
#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake {
    /* Answers a request, by fake_answer() and fake_say(); the connection ends when it returns. */
    void (*serve)(struct fake *fake, int fd, const char *path, json_t *body);
    void *context;
    int port;
    int fd;
    pthread_t thread;
    atomic_bool closing;
    atomic_int busy; /* threads that serve */
};

static inline void fake_say(int fd, const char *text)
{
    size_t size = strlen(text);
    for (ssize_t sent; size && (sent = send(fd, text, size, MSG_NOSIGNAL)) > 0; size -= (size_t)sent)
        text += sent;
}

static inline void fake_answer(int fd, int status, const char *text)
{
    char head[96];
    snprintf(head, sizeof(head), "HTTP/1.1 %d Some\r\nConnection: close\r\n\r\n", status);
    fake_say(fd, head);
    fake_say(fd, text);
}

static inline void fake_nap(void)
{
    const struct timespec nap = {0, 1000000};
    nanosleep(&nap, NULL);
}

/* Says nothing more, until the other side has had enough, or the test is over. */
static inline void fake_hold(const struct fake *fake, int fd)
{
    char byte;
    while (!atomic_load(&fake->closing) && recv(fd, &byte, 1, MSG_DONTWAIT) != 0)
        fake_nap();
}

struct fake_call {
    struct fake *fake;
    int fd;
};

static inline void *fake_serve(void *pointer)
{
    struct fake_call call = *(struct fake_call *)pointer;
    char text[65536], path[64] = "";
    size_t size = 0;
    const char *body = NULL;
    free(pointer);
    for (ssize_t got; (got = recv(call.fd, text + size, sizeof(text) - 1 - size, 0)) > 0;) {
        size += (size_t)got;
        text[size] = 0;
        const char *length = strcasestr(text, "content-length: ");
        body = strstr(text, "\r\n\r\n");
        if (body && length && strlen(body + 4) >= strtoul(length + 16, NULL, 10))
            break;
    }
    if (body && sscanf(text, "POST %63s", path) == 1) {
        json_t *json = json_loads(body, 0, NULL);
        call.fake->serve(call.fake, call.fd, path, json);
        json_decref(json);
    }
    shutdown(call.fd, SHUT_RDWR);
    close(call.fd);
    atomic_fetch_sub(&call.fake->busy, 1);
    return NULL;
}

static inline void *fake_main(void *pointer)
{
    struct fake *fake = pointer;
    for (int fd; (fd = accept(fake->fd, NULL, NULL)) >= 0 && !atomic_load(&fake->closing);) {
        struct fake_call *call = malloc(sizeof(*call));
        pthread_t thread;
        *call = (struct fake_call){fake, fd};
        atomic_fetch_add(&fake->busy, 1);
        assert_int_equal(pthread_create(&thread, NULL, fake_serve, call), 0);
        pthread_detach(thread);
    }
    return NULL;
}

static inline void fake_open(struct fake *fake,
                             void (*serve)(struct fake *fake, int fd, const char *path, json_t *body), void *context)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = (struct sockaddr *)(void *)&place;
    socklen_t size = sizeof(place);
    *fake = (struct fake){.serve = serve, .context = context, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(fake->fd, address, size), 0);
    assert_int_equal(listen(fake->fd, 64), 0);
    assert_int_equal(getsockname(fake->fd, address, &size), 0);
    fake->port = ntohs(place.sin_port);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_main, fake), 0);
}

static inline void fake_close(struct fake *fake)
{
    atomic_store(&fake->closing, true);
    shutdown(fake->fd, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->fd);
    while (atomic_load(&fake->busy))
        fake_nap();
}

#endif
