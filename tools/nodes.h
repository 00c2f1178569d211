/* Nodes as their agents soma.node show them, in JSON: `node`, `name`, `stats`, … as SOMA_NODE of soma/bridge.h says. */
#ifndef TOOLS_NODES_H
#define TOOLS_NODES_H

#include "soma.h"

/* The node of the options, and all that it knows but this one, and but those that are down if not all are wanted. One
 * that does not answer has what is known of it alone. STATUS_FINE and an array, or what the command ends with. */
int nodes_look(struct tool *tool, json_t **nodes);

/* "" and 0 for what is not there. */
const char *node_text(json_t *node, const char *key);
json_int_t node_number(json_t *node, const char *key);
bool node_answers(json_t *node);

#endif
