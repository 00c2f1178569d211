/* Links, as monitor.c and the turn see them; see monitor.h. */
#ifndef RUNTIME_LINK_H
#define RUNTIME_LINK_H

#include "runtime/message.h"
#include "runtime/slot.h"
#include "runtime/system.h"

/* MESSAGE_LINK, MESSAGE_UNLINK, MESSAGE_EXIT and MESSAGE_SHUTDOWN, for a living agent. */
int link_deliver(struct worker *worker, soma_agent *agent, struct message *message);

/* A MESSAGE_LINK has reached nobody: its sender is told, as if the other had just ended. */
void link_fail(soma_system *system, struct worker *worker, soma_ref to, struct message *message, int reason);

/* The block that a MESSAGE_LINK brings for the other side. */
struct message *link_carried(const struct message *courier);

/* At an agent's end: its side of a link becomes the word to the other. */
void link_end(soma_agent *agent, struct message *link, int reason);

#endif
