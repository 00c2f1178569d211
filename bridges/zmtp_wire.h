/*
 * The wire of a node without keys: ZMTP (zmtp.h) over sockets of its own, tcp and ipc. To others it is ZeroMQ, a ROUTER
 * for who comes and a DEALER for each connection that it makes; but the thread that handles what comes reads it itself.
 * ZeroMQ has a thread between each socket and its user, so a round trip of two nodes takes six wakes over it, here two.
 */
#ifndef BRIDGES_ZMTP_WIRE_H
#define BRIDGES_ZMTP_WIRE_H

#include "bridges/bridge.h"

/* Binds the addresses of the options, tells the bridge where, and is its wire and keeper from then on. 0, SOMA_EINVAL,
 * SOMA_EEXIST, SOMA_ENOMEM; what is wrong is in the log. */
int zmtp_wire_open(struct soma_bridge *bridge);

#endif
