/*
 * Nodes as their agents soma.node show them. All are asked at a time, and none is waited for longer than a look may
 * take: what one that is silent has said last stays, with its age. The node that is asked first tells of the others;
 * where an etcd cluster is the name service, that is this node itself, which then meets all whose agents have names.
 */
#ifndef TOOLS_NODES_H
#define TOOLS_NODES_H

#include "soma.h"

struct nodes;

/* Finds the node of the options, or the name server's. STATUS_FINE, or what the command ends with. `stop`, which may be
 * NULL, is asked now and then whether a look shall end at once; `key` is a file that wakes it, or -1. */
int nodes_open(struct tool *tool, bool (*stop)(void), int key, struct nodes **nodes);
void nodes_close(struct nodes *nodes);

/* Asks all, and waits for their answers, but not for those that owe one from a look before. False: it was stopped. */
bool nodes_look(struct nodes *nodes, uint64_t limit);

/* Has the first one answered yet? */
bool nodes_heard(const struct nodes *nodes);

/* STATUS_FINE if so; else says that, and gives what the command ends with. */
int nodes_check(const struct tool *tool, const struct nodes *nodes);

/* Waits until a time; false: it was stopped. */
bool nodes_rest(struct nodes *nodes, uint64_t until);

/* Ends the rest; for signal handlers, too. */
void nodes_wake(const struct nodes *nodes);

/* An array of what the nodes have shown: `node`, `name`, `stats`, … as SOMA_NODE of soma/bridge.h says, and also
 * `state`: "up", "silent" or "down"; `age`, the seconds since it was heard, or null; and `messages_per_second`. One
 * that does not answer has no more than `node` and `name`, and what others know of it. */
json_t *nodes_rows(struct nodes *nodes);

/* "" and 0 for what is not there. */
const char *node_text(json_t *node, const char *key);
json_int_t node_number(json_t *node, const char *key);
bool node_answers(json_t *node);

/* Can it not be asked, as it listens nowhere? */
bool node_is_hidden(json_t *node);

#endif
