/*
 * Cutting a connection of ZeroMQ's off, which has no function for that, and tells but the number of its socket. By the
 * time that is read the number may be another's, so a connection is known by its cookie, too.
 */
#ifndef BRIDGES_ZMQ_CUT_H
#define BRIDGES_ZMQ_CUT_H

#include <stdint.h>

/* 0: there is none any more. */
uint64_t socket_cookie(int socket);

/* How many bytes have come by it, read or not; 0 if it is not TCP. */
uint64_t socket_received(int socket);

/* Ends the connection with that number, if it has that cookie. */
void socket_cut(int socket, uint64_t cookie);

#endif
