/* The bridge's thread, and ZeroMQ as its wire. */
#ifndef BRIDGES_ZMQ_WIRE_H
#define BRIDGES_ZMQ_WIRE_H

#include "bridges/bridge.h"

struct zmq_wire;

/* Binds the addresses of the options, tells the bridge where, and is its wire from then on. 0, SOMA_EINVAL,
 * SOMA_EEXIST, SOMA_ENOMEM; what is wrong is in the log. */
int zmq_wire_open(struct soma_bridge *bridge, struct zmq_wire **wire);

/* Starts the thread that drives the bridge. 0 or SOMA_ETHREAD. */
int zmq_wire_start(struct zmq_wire *wire);

/* Drains, says goodbye, joins the thread and closes all sockets. False if something was left when the time was over. */
bool zmq_wire_stop(struct zmq_wire *wire);
void zmq_wire_free(struct zmq_wire *wire);

#endif
