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

/* For bridges: the handles that a MESSAGE_LINK, MESSAGE_UNLINK or MESSAGE_EXIT names as it leaves for another node. */
void link_depart(struct message *message, uint64_t *handle, uint64_t *sender_handle);

/* The same words have come from another node, for an agent here. 0 or SOMA_ENOMEM. */
int link_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref from, uint64_t handle);
int unlink_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref from, uint64_t handle,
                  uint64_t sender_handle);
int exit_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref from, uint64_t handle, int reason,
                const char *text);

#endif
