/*
 * The bridge agent, one a node: other nodes ask it for what only the node itself can tell, and agents of its own node
 * for who has a name at an address, which may take a while.
 */
#ifndef BRIDGES_AGENT_H
#define BRIDGES_AGENT_H

#include "bridges/bridge.h"

/** @cond internal */
SOMA_MESSAGE(soma_bridge_whereis, (string, name))
/** @endcond */

struct seeker;
struct bridge_agent;

/* Introductions, see introduce.c. */
int on_introduce(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_introduce *m);

struct bridge_agent {
    struct soma_bridge *bridge;
    uint64_t since; /* when it was opened */
    struct seeker *seekers;
};

/* What it shows: its base. */
extern const soma_behavior bridge_shown;

/* Spawns it, as bridge->agent. 0, or as soma_spawn(). */
int bridge_agent_spawn(struct soma_bridge *bridge);

/* Who is wanted at some address has answered, or gone. Any thread. */
void bridge_agent_wake(struct soma_bridge *bridge);

#endif
