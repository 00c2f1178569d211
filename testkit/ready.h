/*
 * Who can run: agents, bridges, and lines of the network with a frame that is due, in the order in which they became
 * so. Taking the oldest is cheap, taking another one costs the distance to the nearer end.
 */
#ifndef TESTKIT_READY_H
#define TESTKIT_READY_H

#include <soma/agent.h>

struct line;
struct node;

struct ready_agent {
    struct node *node;
    soma_agent *agent; /* NULL: the node's bridge */
    struct line *line; /* else NULL, and then there is neither node nor agent */
};

/* A ring. */
struct ready {
    struct ready_agent *agents;
    uint32_t capacity; /* a power of two */
    uint32_t first;
    uint32_t count;
};

/* False when memory is out. */
bool ready_push(struct ready *ready, struct ready_agent agent);

static inline const struct ready_agent *ready_at(const struct ready *ready, uint32_t index)
{
    return &ready->agents[(ready->first + index) & (ready->capacity - 1)];
}

struct ready_agent ready_take(struct ready *ready, uint32_t index);

/* Forgets all agents of a node; or a line. */
void ready_forget(struct ready *ready, const struct node *node);
void ready_drop(struct ready *ready, const struct line *line);

void ready_free(struct ready *ready);

#endif
