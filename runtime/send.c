/* Sending: a body becomes a message block, the block goes into a mailbox, and an idle agent is scheduled. See send.h.
 */
#include "runtime/send.h"
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "runtime/type.h"
#include <soma/body.h>
#include <soma/dead_letter.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* ---- blocks ---- */

/* Eight bytes at a time: bodies are small, and a call to memcpy of unknown size costs more than the copy. */
static inline void body_copy(uint64_t *to, const void *body, size_t size)
{
    if (size > 64 || size % 8) {
        memcpy(to, body, size);
        return;
    }
    const char *from = body;
    for (size_t i = 0; i < size; i += 8)
        memcpy((char *)to + i, from + i, 8);
}

static inline struct message *block_new(struct worker *worker, enum message_kind kind, size_t size)
{
    size_t total = sizeof(struct message) + size;
    uint8_t class = worker ? pool_class(total) : POOL_HEAP;
    struct message *message = class == POOL_HEAP ? malloc(total) : pool_take(&worker->pool, class);
    if (__builtin_expect(message != NULL, 1)) {
        message->class = class;
        message->kind = (uint8_t)kind;
        message->settled = false;
    }
    return message;
}

struct message *message_new(struct worker *worker, enum message_kind kind, size_t size)
{
    struct message *message = block_new(worker, kind, size);
    if (message) {
        message->type = NULL;
        message->sender = SOMA_REF_NULL;
    }
    return message;
}

static inline int block_build(struct worker *worker, enum message_kind kind, uint64_t word, const soma_type *type,
                              const void *body, struct message **result)
{
    size_t words = kind != MESSAGE_PLAIN, size = type->size;
    if (__builtin_expect(!type->flat, 0) && !(size = type_flat_size(type, body)))
        return SOMA_ETOOBIG;
    struct message *message = block_new(worker, kind, size + words * sizeof(uint64_t));
    if (__builtin_expect(!message, 0))
        return SOMA_ENOMEM;
    message->type = type;
    if (words)
        message->body[0] = word;
    if (type->flat)
        body_copy(message->body + words, body, size);
    else
        type_flatten(type, message->body + words, body);
    *result = message;
    return 0;
}

int message_build(struct worker *worker, enum message_kind kind, uint64_t word, const soma_type *type, const void *body,
                  struct message **result)
{
    return block_build(worker, kind, word, type, body, result);
}

void message_free(struct worker *worker, struct message *message)
{
    if (message->class == POOL_HEAP)
        free(message);
    else
        pool_give(&worker->pool, message->class, message);
}

void message_dispose(struct worker *worker, struct message *message)
{
    if (message->kind == MESSAGE_SHARED) {
        soma_body *body = (soma_body *)(uintptr_t)message->body[0];
        soma_body_close(&body);
    } else if (message->kind == MESSAGE_CALLBACK && !message->settled) {
        struct callback *callback = (struct callback *)message->body;
        if (callback->drop)
            callback->drop(callback->arg);
    }
    message_free(worker, message);
}

/* ---- reaching nobody ---- */

static void count_outside_or(soma_system *system, struct worker *worker, size_t counter)
{
    struct counters *counters = worker ? &worker->counters : &system->outside;
    shared_u64 *value = (shared_u64 *)((char *)counters + counter);
    if (worker)
        counter_add(value, 1);
    else
        u64_add(value, 1);
}

/* Tells the watching agent, unless the letter is about itself. */
static void dead_letter_tell(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to,
                             const soma_type *type, int reason)
{
    uint64_t packed = u64_load(&system->dead_watch);
    soma_ref watcher = {system->node, (uint32_t)packed, (uint32_t)(packed >> 32)};
    if (!packed || soma_ref_equal(watcher, to) || u32_load(&system->stopping))
        return;
    const struct soma_dead_letter letter = {.to = to, .sender = sender, .type = type->name, .reason = reason};
    struct message *message;
    if (!message_build(worker, MESSAGE_PLAIN, 0, &soma_dead_letter_type, &letter, &message)) {
        message->sender = SOMA_REF_NULL;
        message_push(system, worker, watcher, message);
    }
}

static void letter_dead(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to, const soma_type *type,
                        int reason)
{
    count_outside_or(system, worker, offsetof(struct counters, dead_letters));
    dead_letter_tell(system, worker, sender, to, type, reason);
}

void message_unhandled(struct worker *worker, soma_ref self, struct message *message)
{
    letter_dead(worker->system, worker, message->sender, self, message->type, SOMA_EUNHANDLED);
    if (message->kind != MESSAGE_REQUEST)
        return;
    message->settled = true;
    reply_fail(worker->system, worker, self, message->sender, message->body[0], SOMA_EUNHANDLED);
}

void message_dead(soma_system *system, struct worker *worker, soma_ref to, struct message *message, int reason)
{
    switch (message->kind) {
    case MESSAGE_PLAIN:
    case MESSAGE_SHARED:
        letter_dead(system, worker, message->sender, to, message->type, reason);
        break;
    case MESSAGE_REQUEST:
        letter_dead(system, worker, message->sender, to, message->type, reason);
        if (!message->settled && !u32_load(&system->stopping))
            reply_fail(system, worker, to, message->sender, message->body[0], reason);
        break;
    case MESSAGE_REPLY:
    case MESSAGE_ERROR:
        count_outside_or(system, worker, offsetof(struct counters, late_replies));
        break;
    default:
        break;
    }
    message_dispose(worker, message);
}

/* ---- pushing ---- */

/* The slot of a local ref that is alive as far as can be seen now, else NULL. */
static inline soma_agent *target_find(soma_system *system, soma_ref to)
{
    soma_agent *target = slots_find(&system->slots, to.slot);
    if (__builtin_expect(!target || life_generation(u64_load(&target->life)) != to.generation || !(to.generation & 1),
                         0))
        return NULL;
    return target;
}

int message_push(soma_system *system, struct worker *worker, soma_ref to, struct message *message)
{
    if (to.node && to.node != system->node) {
        const struct route *route = ptr_load(&system->route); // acquire: sees the route whole
        if (route)
            return route->carry(route->context, to, message);
        message_dead(system, worker, to, message, SOMA_ENOROUTE);
        return SOMA_ENOROUTE;
    }
    soma_agent *target = to.node ? target_find(system, to) : NULL;
    if (!target) {
        message_dead(system, worker, to, message, SOMA_EGONE);
        return SOMA_EGONE;
    }
    message->generation = to.generation;
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(worker, system, target);
    return 0;
}

void message_push_own(soma_system *system, struct message *message)
{
    soma_agent *target = &system->slots.base[message->sender.slot];
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(NULL, system, target);
}

/* Where the fast path ends: another node, a dead agent. A dead letter is counted without building it. */
static int send_astray(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to, const soma_type *type,
                       const void *body)
{
    bool away = to.node && to.node != system->node;
    if (!away || !ptr_load(&system->route)) {
        int error = away ? SOMA_ENOROUTE : SOMA_EGONE;
        letter_dead(system, worker, sender, to, type, error);
        return error;
    }
    struct message *message;
    int error = message_build(worker, MESSAGE_PLAIN, 0, type, body, &message);
    if (error)
        return error;
    message->sender = sender;
    return message_push(system, worker, to, message);
}

static inline int send_from(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to,
                            const soma_type *type, const void *body)
{
    soma_agent *target = to.node == system->node ? target_find(system, to) : NULL;
    if (__builtin_expect(!target, 0))
        return send_astray(system, worker, sender, to, type, body);
    struct message *message;
    int error = block_build(worker, MESSAGE_PLAIN, 0, type, body, &message);
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

/* ---- other things put into a mailbox ---- */

int soma_post(soma_system *system, soma_ref to, int (*run)(soma_agent *self, void *state, void *arg), void *arg,
              void (*drop)(void *arg))
{
    struct message *message = system && run ? message_new(NULL, MESSAGE_CALLBACK, sizeof(struct callback)) : NULL;
    if (!message) {
        if (drop)
            drop(arg);
        return system && run ? SOMA_ENOMEM : SOMA_EINVAL;
    }
    const struct callback callback = {run, drop, arg};
    memcpy(message->body, &callback, sizeof(callback));
    if (to.node && to.node != system->node) { // a function can't travel
        message_dispose(NULL, message);
        return SOMA_ENOROUTE;
    }
    return message_push(system, NULL, to, message);
}

int soma_kill(soma_system *system, soma_ref agent)
{
    if (!system)
        return SOMA_EINVAL;
    if (agent.node && agent.node != system->node)
        return SOMA_ENOROUTE;
    soma_agent *target = agent.node ? target_find(system, agent) : NULL;
    if (!target)
        return SOMA_EGONE;
    struct message *message = message_new(NULL, MESSAGE_WAKE, 0);
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
    message->generation = agent.generation; // an idle agent runs only if it gets mail
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(NULL, system, target);
    return 0;
}

int soma_dead_letters_watch(soma_system *system, soma_ref watcher)
{
    if (!system)
        return SOMA_EINVAL;
    if (watcher.node && (watcher.node != system->node || !target_find(system, watcher)))
        return SOMA_EGONE;
    u64_store(&system->dead_watch, watcher.node ? (uint64_t)watcher.generation << 32 | watcher.slot : 0);
    return 0;
}
