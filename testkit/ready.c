/* The ring of runnable agents; see ready.h. */
#include "testkit/ready.h"
#include <stdlib.h>

static struct ready_agent *place(struct ready *ready, uint32_t index)
{
    return &ready->agents[(ready->first + index) & (ready->capacity - 1)];
}

static bool ready_grow(struct ready *ready)
{
    uint32_t capacity = ready->capacity ? ready->capacity * 2 : 64;
    struct ready_agent *grown = malloc(capacity * sizeof(*grown));
    if (!grown)
        return false;
    for (uint32_t i = 0; i < ready->count; i++)
        grown[i] = *place(ready, i);
    free(ready->agents);
    *ready = (struct ready){grown, capacity, 0, ready->count};
    return true;
}

bool ready_push(struct ready *ready, struct ready_agent agent)
{
    if (ready->count == ready->capacity && !ready_grow(ready))
        return false;
    *place(ready, ready->count++) = agent;
    return true;
}

struct ready_agent ready_take(struct ready *ready, uint32_t index)
{
    struct ready_agent taken = *place(ready, index);
    if (index < ready->count / 2) {
        for (uint32_t i = index; i; i--)
            *place(ready, i) = *place(ready, i - 1);
        ready->first++;
    } else {
        for (uint32_t i = index; i + 1 < ready->count; i++)
            *place(ready, i) = *place(ready, i + 1);
    }
    ready->count--;
    return taken;
}

void ready_forget(struct ready *ready, const struct node *node)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ready->count; i++) {
        struct ready_agent agent = *place(ready, i);
        if (agent.node != node)
            *place(ready, kept++) = agent;
    }
    ready->count = kept;
}

void ready_drop(struct ready *ready, const struct line *line)
{
    uint32_t index = 0;
    while (index < ready->count && ready_at(ready, index)->line != line)
        index++;
    if (index < ready->count)
        ready_take(ready, index);
}

void ready_free(struct ready *ready)
{
    free(ready->agents);
    *ready = (struct ready){0};
}
