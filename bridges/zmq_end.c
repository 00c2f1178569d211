/* Handles of sockets in an epoll; see zmq_end.h. */
#include "bridges/zmq_end.h"
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#define READY_MOST 64 /* a wait tells of; the others by the next */

static int handle_of(void *socket)
{
    int handle = -1;
    size_t size = sizeof(handle);
    return zmq_getsockopt(socket, ZMQ_FD, &handle, &size) ? -1 : handle;
}

bool zmq_end_watch(int poll, void *socket, struct zmq_end *end)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
    end->look = true; // it has been used
    return !epoll_ctl(poll, EPOLL_CTL_ADD, handle_of(socket), &event);
}

void zmq_end_forget(int poll, void *socket)
{
    epoll_ctl(poll, EPOLL_CTL_DEL, handle_of(socket), NULL);
}

void zmq_ends_await(int poll, int bell, int timeout)
{
    struct epoll_event events[READY_MOST];
    uint64_t rings;
    int count = epoll_wait(poll, events, READY_MOST, timeout);
    for (int i = 0; i < count; i++) {
        struct zmq_end *end = events[i].data.ptr;
        if (end)
            end->look = true;
        else if (read(bell, &rings, sizeof(rings)) < 0)
            continue; // somebody else has
    }
}

bool zmq_end_has(void *socket)
{
    int events = 0;
    size_t size = sizeof(events);
    return !zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) && events & ZMQ_POLLIN;
}
