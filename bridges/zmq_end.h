/*
 * The ends that the wire's thread waits for: ZeroMQ's sockets, each by its handle in an epoll.
 *
 * A handle becomes readable once ZeroMQ has something to tell its socket, and any use of the socket may take that word
 * without a sign of what it was. So who has used a socket, other than by reading until nothing was left, must look at
 * it again before it waits. zmq_poll() looks at every socket before and after each wait, with system calls for each.
 */
#ifndef BRIDGES_ZMQ_END_H
#define BRIDGES_ZMQ_END_H

#include <stdbool.h>
#include <stdint.h>

struct zmq_end {
    void *socket;
    bool look; /* there may be something to read, whatever its handle says */
};

/* Waits for a socket's handle from now on, in the name of an end; which is to be looked at first. False: it can't. */
bool zmq_end_watch(int poll, void *socket, struct zmq_end *end);

/* Before the socket is closed. */
void zmq_end_forget(int poll, void *socket);

/* Waits for any, or the bell, which it silences. Those that may have something are to be looked at then. */
void zmq_ends_await(int poll, int bell, int timeout);

/* Would reading from a socket that something was sent by bring anything? */
bool zmq_end_has(void *socket);

#endif
