/* Sending: a body becomes a message block, the block goes into a mailbox, and an idle agent is scheduled. */
#include "runtime/agent.h"
#include "runtime/message.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* Eight bytes at a time: bodies are small, and a call to memcpy of unknown size costs more than the copy. */
static inline void body_copy(struct message *message, const void *body, size_t size)
{
    if (size > 64 || size % 8) {
        memcpy(message->body, body, size);
        return;
    }
    const char *from = body;
    for (size_t i = 0; i < size; i += 8)
        memcpy((char *)message->body + i, from + i, 8);
}

/* A block with room for `size` bytes of body; from the heap for outside threads and large bodies. */
static inline struct message *message_new(struct worker *worker, size_t size)
{
    size_t total = sizeof(struct message) + size;
    uint8_t class = worker ? pool_class(total) : POOL_HEAP;
    struct message *message = class == POOL_HEAP ? malloc(total) : pool_take(&worker->pool, class);
    if (message)
        message->class = class;
    return message;
}

void message_free(struct worker *worker, struct message *message)
{
    if (message->class == POOL_HEAP)
        free(message);
    else
        pool_give(&worker->pool, message->class, message);
}

void message_dead(soma_system *system, struct worker *worker, struct message *message)
{
    if (!message->control)
        dead_letter_count(system, worker);
    message_free(worker, message);
}

void dead_letter_count(soma_system *system, struct worker *worker)
{
    if (worker)
        counter_add(&worker->counters.dead_letters, 1);
    else
        u64_add(&system->outside.dead_letters, 1);
}

static inline int message_build(struct worker *worker, const soma_type *type, const void *body, struct message **result)
{
    size_t size = type->size;
    if (__builtin_expect(!type->flat, 0) && !(size = type_flat_size(type, body)))
        return SOMA_ETOOBIG;
    struct message *message = message_new(worker, size);
    if (__builtin_expect(!message, 0))
        return SOMA_ENOMEM;
    message->type = type;
    message->control = 0;
    if (type->flat)
        body_copy(message, body, size);
    else
        type_flatten(type, message->body, body);
    *result = message;
    return 0;
}

/* The slot of a ref that is alive as far as can be seen now, else NULL and the error. */
static inline soma_agent *target_find(soma_system *system, soma_ref to, int *error)
{
    if (__builtin_expect(to.node != system->node, 0)) {
        *error = to.node ? SOMA_ENOROUTE : SOMA_EGONE;
        return NULL;
    }
    soma_agent *target = slots_find(&system->slots, to.slot);
    if (__builtin_expect(!target || life_generation(u64_load(&target->life)) != to.generation || !(to.generation & 1),
                         0)) {
        *error = SOMA_EGONE;
        return NULL;
    }
    return target;
}

static inline int send_from(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to,
                            const soma_type *type, const void *body)
{
    int error = 0;
    soma_agent *target = target_find(system, to, &error);
    if (__builtin_expect(!target, 0)) {
        dead_letter_count(system, worker);
        return error;
    }
    struct message *message;
    error = message_build(worker, type, body, &message);
    if (__builtin_expect(error, 0))
        return error;
    message->generation = to.generation;
    message->sender = sender;
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(worker, system, target);
    return 0;
}

int soma_agent_send(soma_agent *self, soma_ref to, const soma_type *type, const void *body)
{
    if (!self || !type || !body)
        return SOMA_EINVAL;
    struct worker *worker = self->worker;
    return send_from(worker->system, worker_or_outside(worker), soma_self(self), to, type, body);
}

int soma_system_send(soma_system *system, soma_ref to, const soma_type *type, const void *body)
{
    if (!system || !type || !body)
        return SOMA_EINVAL;
    return send_from(system, NULL, SOMA_REF_NULL, to, type, body);
}

int soma_kill(soma_system *system, soma_ref agent)
{
    if (!system)
        return SOMA_EINVAL;
    int error = 0;
    soma_agent *target = target_find(system, agent, &error);
    if (!target)
        return error;
    struct message *message = message_new(NULL, 0);
    if (!message)
        return SOMA_ENOMEM;
    // The mark and the generation are one word, so it can't fall on the slot's next agent.
    uint64_t life;
    do {
        life = u64_load(&target->life);
        if (life_generation(life) != agent.generation) {
            free(message);
            return SOMA_EGONE;
        }
    } while (!u64_cas(&target->life, life, life | LIFE_KILL));
    message->control = 1; // an idle agent runs only if it gets mail
    message->generation = agent.generation;
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(NULL, system, target);
    return 0;
}
