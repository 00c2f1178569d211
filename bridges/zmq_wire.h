/* ZeroMQ as the wire of a node with keys: it alone speaks CURVE. A node without keys has zmtp_wire.h. */
#ifndef BRIDGES_ZMQ_WIRE_H
#define BRIDGES_ZMQ_WIRE_H

#include "bridges/bridge.h"

/* Binds the addresses of the options, tells the bridge where, and is its wire and keeper from then on. 0, SOMA_EINVAL,
 * SOMA_EEXIST, SOMA_ENOMEM; what is wrong is in the log. */
int zmq_wire_open(struct soma_bridge *bridge);

#endif
