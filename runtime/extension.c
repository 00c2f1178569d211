/* Making extensions, and the table of what an agent waits for; see extension.h. */
#include "runtime/extension.h"
#include <soma/error.h>
#include <stdlib.h>

#define PENDING_FIRST 4u
#define PENDING_MAX (1u << 28)
#define GENERATION_MASK 0x7fffffffu /* a handle is positive */

struct extension *extension_need(soma_agent *agent)
{
    if (!agent->extension)
        agent->extension = calloc(1, sizeof(*agent->extension));
    return agent->extension;
}

static void timer_names_free(struct extension *extension)
{
    while (extension->timer_names) {
        struct timer_name *next = extension->timer_names->next;
        free(extension->timer_names);
        extension->timer_names = next;
    }
}

void extension_reset(soma_agent *agent)
{
    struct extension *extension = agent->extension;
    timer_names_free(extension);
    free(extension->failure);
    extension->failure = NULL;
    extension->data = NULL;
    extension->traps = false;
    extension->leaving = false;
}

void extension_free(soma_agent *agent)
{
    struct extension *extension = agent->extension;
    if (!extension)
        return;
    timer_names_free(extension);
    free(extension->failure);
    free(extension->stash);
    free(extension->pending);
    free(extension);
    agent->extension = NULL;
}

static bool pending_grow(struct extension *extension)
{
    uint32_t before = extension->capacity, capacity = before ? before * 2 : PENDING_FIRST;
    if (capacity > PENDING_MAX)
        return false;
    struct pending *grown = realloc(extension->pending, capacity * sizeof(*grown));
    if (!grown)
        return false;
    for (uint32_t i = before; i < capacity; i++)
        grown[i] = (struct pending){.next_free = i + 1 < capacity ? i + 2 : 0};
    extension->pending = grown;
    extension->capacity = capacity;
    extension->free = before + 1;
    return true;
}

int64_t pending_add(soma_agent *agent, struct message *message)
{
    struct extension *extension = extension_need(agent);
    if (!extension || (!extension->free && !pending_grow(extension)))
        return SOMA_ENOMEM;
    uint32_t index = extension->free;
    struct pending *entry = &extension->pending[index - 1];
    extension->free = entry->next_free;
    entry->message = message;
    return (int64_t)entry->generation << 32 | index;
}

int64_t pending_handle(const soma_agent *agent, uint32_t index)
{
    return (int64_t)agent->extension->pending[index].generation << 32 | (index + 1);
}

struct message *pending_remove(soma_agent *agent, int64_t handle)
{
    struct pending *entry = pending_entry(agent, handle);
    if (!entry)
        return NULL;
    struct message *message = entry->message;
    entry->message = NULL;
    entry->generation = (entry->generation + 1) & GENERATION_MASK;
    entry->next_free = agent->extension->free;
    agent->extension->free = (uint32_t)handle;
    return message;
}
