/* The bridge agent: one a node, asked by other nodes for what only the node itself can tell. */
#ifndef BRIDGES_AGENT_H
#define BRIDGES_AGENT_H

#include <soma/agent.h>

/** @cond internal */
SOMA_MESSAGE(soma_bridge_whereis, (string, name))
SOMA_MESSAGE(soma_bridge_located, (ref, agent))
/** @endcond */

extern const soma_behavior bridge_agent;

#endif
