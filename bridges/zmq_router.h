/*
 * ROUTERs, and how those are known who come to one.
 *
 * ZeroMQ (4.3.4) numbers connections that do not say who they are, and aborts the process if one of them gets a number
 * that another has said to be his own. It counts them from a random number, of a generator that it never seeds: so from
 * the same one in each process.
 */
#ifndef BRIDGES_ZMQ_ROUTER_H
#define BRIDGES_ZMQ_ROUTER_H

/* A ROUTER that counts from a number that nobody can foresee; or NULL, as zmq_socket() has it. */
void *router_open(void *context);

#endif
