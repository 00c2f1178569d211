/* Sending: a body becomes a message block, the block goes into a mailbox, and an idle agent is scheduled. See send.h.
 */
#include "runtime/send.h"
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "runtime/keep.h"
#include "runtime/monitor.h"
#include "runtime/outside.h"
#include "runtime/tally.h"
#include "runtime/type.h"
#include <soma/body.h>
#include <soma/dead_letter.h>
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

/* ---- blocks ---- */

/* The sizes that most bodies have are copied in place: a call to memcpy of unknown size costs more than the copy. */
static inline void body_copy(uint64_t *to, const void *body, size_t size)
{
    switch (size) {
    case 1: // a message without fields
        memcpy(to, body, 1);
        return;
    case 8:
        memcpy(to, body, 8);
        return;
    case 16:
        memcpy(to, body, 16);
        return;
    case 24:
        memcpy(to, body, 24);
        return;
    default:
        memcpy(to, body, size);
    }
}

/* For a thread outside, or too large for the pool. */
static struct message *heap_take(struct worker *worker, size_t size)
{
    if (worker)
        pool_outgrow(&worker->pool, size);
    return malloc(size);
}

static inline struct message *block_new(struct worker *worker, enum message_kind kind, size_t size)
{
    size_t total = sizeof(struct message) + size;
    uint8_t class = !worker ? POOL_HEAP : __builtin_expect(total <= 64, 1) ? 1 : pool_class(total);
    struct message *message = class == POOL_HEAP ? heap_take(worker, total) : pool_take(&worker->pool, class);
    if (__builtin_expect(message != NULL, 1)) {
        message->class = class;
        message->kind = (uint8_t)kind;
        message->settled = false;
        message->marks = 0;
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
    int error = __builtin_expect(type->flat, 1) ? 0 : type_flat_size(type, body, &size);
    if (__builtin_expect(error, 0))
        return error;
    // At least two words with the handle, so that a request's block can become the error that answers it.
    struct message *message = block_new(worker, kind, words && size < sizeof(uint64_t) ? 16 : size + words * 8);
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

void letter_dead(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to, const soma_type *type,
                 int reason)
{
    const struct driver *driver = &system->driver;
    if (driver->observe) {
        const struct event event = {.kind = EVENT_DEAD, .reason = reason, .agent = to, .sender = sender, .type = type};
        driver->observe(driver->context, system, &event);
    }
    count_outside_or(system, worker, offsetof(struct counters, dead_letters));
    dead_letter_tell(system, worker, sender, to, type, reason);
}

void message_unhandled(struct worker *worker, soma_ref self, struct message *message)
{
    letter_dead(worker->system, worker, message->sender, self, message->type, SOMA_EUNHANDLED);
    if (message->kind == MESSAGE_REQUEST)
        request_refuse(worker, self, message, SOMA_EUNHANDLED);
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
        if (message->settled || u32_load(&system->stopping))
            break;
        request_fail(system, worker, to, message, reason);
        return;
    case MESSAGE_REPLY:
    case MESSAGE_ERROR:
        count_outside_or(system, worker, offsetof(struct counters, late_replies));
        break;
    case MESSAGE_DOWN:
        if (message->settled && !u32_load(&system->stopping))
            keep_bury(system, worker, message->sender);
        break;
    case MESSAGE_WATCH:
    case MESSAGE_LINK:
        monitor_dead(system, worker, to, message, reason);
        break;
    default:
        break;
    }
    message_dispose(worker, message);
}

/* ---- pushing ---- */

/* After a push to an agent that was not idle: the sender is muted at the end of its turn if that one is under pressure.
 */
static inline void pressure_note(struct worker *worker, const soma_agent *target, uint32_t slot, uint32_t sender)
{
    if (__builtin_expect(u32_load(&target->pressure), 0) && worker && slot != sender)
        worker->pressed = slot + 1;
}

/* Counts a message against its receiver's limit. An error, and it is gone; 0 with *pushed false, and it is, too. */
static int limit_enter(soma_system *system, struct worker *worker, soma_ref to, struct message *message, bool *pushed)
{
    bool drops;
    int error = tally_enter(tally_of(&system->slots, to.slot), message, &drops);
    *pushed = !error;
    if (!error)
        return 0;
    if (drops) {
        count_outside_or(system, worker, offsetof(struct counters, dropped));
        message_dead(system, worker, to, message, error);
        return 0;
    }
    count_outside_or(system, worker, offsetof(struct counters, rejected));
    if (message->kind == MESSAGE_REQUEST)
        request_fail(system, worker, to, message, error);
    else
        message_dispose(worker, message);
    return error;
}

/* What an agent can make as many of as it likes; answers and words of an end it owes. */
static bool kind_presses(uint8_t kind)
{
    return kind <= MESSAGE_REQUEST || kind == MESSAGE_WATCH || kind == MESSAGE_UNWATCH || kind == MESSAGE_LINK ||
           kind == MESSAGE_UNLINK;
}

/* A handler may also send as from outside: what it has sent before as itself goes first. */
static void outbox_flush_here(const soma_system *system)
{
    struct worker *worker = worker_here();
    if (worker && worker->system == system && worker->outbox.count)
        outbox_flush(worker);
}

void message_observe(soma_system *system, enum event_kind kind, soma_ref to, const struct message *message)
{
    const struct driver *driver = &system->driver;
    const struct event event = {
        .kind = kind, .agent = to, .sender = message->sender, .type = message->type, .message = message};
    driver->observe(driver->context, system, &event);
}

int message_push(soma_system *system, struct worker *worker, soma_ref to, struct message *message)
{
    if (__builtin_expect(system->driver.observe != NULL, 0))
        message_observe(system, EVENT_SEND, to, message);
    if (message->kind <= MESSAGE_ERROR)
        count_outside_or(system, worker, offsetof(struct counters, sent));
    if (!worker)
        outbox_flush_here(system);
    else if (worker->outbox.count)
        outbox_flush(worker); // what was sent before arrives before
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
    bool passed = message->marks & MARK_PASSED; // then its sender isn't who sends it now
    uint32_t sender = passed ? UINT32_MAX : message->sender.slot;
    bool from_agent = (message->sender.node || passed) && kind_presses(message->kind);
    if (message->kind <= MESSAGE_REQUEST && u64_load(&target->life) & LIFE_COUNTED) {
        bool pushed;
        int error = limit_enter(system, worker, to, message, &pushed);
        if (!pushed)
            return error;
    }
    if (worker && from_agent && worker->pool.grown) {
        worker->pool.grown = false;
        if (to.slot != sender)
            pressure_mark(worker, target); // just before the push: see pressure.h
    }
    message->generation = to.generation;
    if (!worker)
        outside_mark(system, target, message);
    else if (from_agent)
        worker->budget--;
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(worker, system, target);
    else if (from_agent)
        pressure_note(worker, target, to.slot, sender);
    return 0;
}

void message_push_own(soma_system *system, struct message *first, struct message *last)
{
    soma_agent *target = &system->slots.base[first->sender.slot];
    if (mailbox_push_chain(&target->mailbox, first, last))
        worker_schedule(NULL, system, target);
}

/* By the way that all but plain mail goes. */
static int send_slowly(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to, const soma_type *type,
                       const void *body)
{
    struct message *message;
    int error = message_build(worker, MESSAGE_PLAIN, 0, type, body, &message);
    if (error)
        return error;
    message->sender = sender;
    return message_push(system, worker, to, message);
}

/* Where the fast path ends: another node, a dead agent. A dead letter is counted without building it. */
static int send_astray(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to, const soma_type *type,
                       const void *body)
{
    bool away = to.node && to.node != system->node;
    if (!away || !ptr_load(&system->route)) {
        int error = away ? SOMA_ENOROUTE : SOMA_EGONE;
        count_outside_or(system, worker, offsetof(struct counters, sent));
        letter_dead(system, worker, sender, to, type, error);
        return error;
    }
    return send_slowly(system, worker, sender, to, type, body);
}

/* False if the message must go by itself: a worker is idle that might handle it at once, or this one has no queue. */
static inline bool outbox_add(struct worker *worker, struct message *message)
{
    const soma_system *system = worker->system;
    if (!worker->queues || u32_load(&system->searching) || u64_load(&system->asleep))
        return false;
    struct outbox *outbox = &worker->outbox;
    if (outbox->count)
        ptr_store(&outbox->last->next, message);
    else
        outbox->first = message;
    outbox->last = message;
    if (++outbox->count >= OUTBOX_MAX)
        outbox_flush(worker);
    return true;
}

void outbox_flush(struct worker *worker)
{
    struct outbox *outbox = &worker->outbox;
    soma_agent *target = outbox->target;
    uint32_t sender = outbox->last->sender.slot;
    outbox->count = 0;
    if (mailbox_push_chain(&target->mailbox, outbox->first, outbox->last))
        worker_schedule(worker, worker->system, target);
    else
        pressure_note(worker, target, (uint32_t)(target - worker->system->slots.base), sender);
}

static inline int send_from(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to,
                            const soma_type *type, const void *body)
{
    bool plainly;
    soma_agent *target = to.node == system->node ? target_look(system, to, &plainly) : NULL;
    if (__builtin_expect(!target, 0))
        return send_astray(system, worker, sender, to, type, body);
    if (__builtin_expect(!worker || !plainly, 0)) // outside, or its mail is counted, or it is about to be killed
        return send_slowly(system, worker, sender, to, type, body);
    struct message *message;
    int error = block_build(worker, MESSAGE_PLAIN, 0, type, body, &message);
    if (__builtin_expect(error, 0))
        return error;
    message->generation = to.generation;
    message->sender = sender;
    worker->budget--;
    counter_add(&worker->counters.sent, 1);
    if (__builtin_expect(worker->pool.grown, 0)) {
        worker->pool.grown = false;
        if (to.slot != sender.slot)
            pressure_mark(worker, target); // before the push: see pressure.h
    }
    if (worker->outbox.target == target && outbox_add(worker, message))
        return 0;
    if (worker->outbox.count)
        outbox_flush(worker);
    worker->outbox.target = target;
    if (!mailbox_push(&target->mailbox, message))
        pressure_note(worker, target, to.slot, sender.slot);
    else if (worker->queues && !worker->lifo && !target->extension)
        worker->lifo = target; // what worker_schedule would do
    else
        worker_schedule(worker, system, target);
    return 0;
}

int soma_agent_send(soma_agent *self, soma_ref to, const soma_type *type, const void *body)
{
    if (!self || !type || !body)
        return SOMA_EINVAL;
    struct worker *worker = self->worker;
    return send_from(worker->system, worker_or_outside(worker), agent_ref(self), to, type, body);
}

static int outside_send(soma_system *system, soma_ref to, const soma_type *type, const void *body, bool waits)
{
    if (!system || !type || !body)
        return SOMA_EINVAL;
    int error = outside_enter(system, to, waits);
    return error ? error : send_from(system, NULL, SOMA_REF_NULL, to, type, body);
}

int soma_system_send(soma_system *system, soma_ref to, const soma_type *type, const void *body)
{
    return outside_send(system, to, type, body, true);
}

int soma_system_try_send(soma_system *system, soma_ref to, const soma_type *type, const void *body)
{
    return outside_send(system, to, type, body, false);
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
    struct message *message = message_new(NULL, MESSAGE_WAKE, 0);
    if (!message)
        return SOMA_ENOMEM;
    if (agent.node && agent.node != system->node)
        return message_push(system, NULL, agent, message);
    soma_agent *target = agent.node ? target_find(system, agent) : NULL;
    if (!target) {
        free(message);
        return SOMA_EGONE;
    }
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
    if (system->driver.observe)
        message_observe(system, EVENT_SEND, agent, message);
    if (mailbox_push(&target->mailbox, message))
        worker_schedule(NULL, system, target);
    pressure_unmute(system, NULL, target);
    return 0;
}

int shutdown_send(soma_system *system, struct worker *worker, soma_ref from, soma_ref agent)
{
    struct message *message = message_new(worker, MESSAGE_SHUTDOWN, 0);
    if (!message)
        return SOMA_ENOMEM;
    message->type = &soma_exited_type;
    message->sender = from;
    return message_push(system, worker, agent, message);
}

int soma_agent_shutdown(soma_agent *self, soma_ref agent)
{
    if (!self)
        return SOMA_EINVAL;
    struct worker *worker = self->worker;
    return shutdown_send(worker->system, worker_or_outside(worker), agent_ref(self), agent);
}

int soma_system_shutdown(soma_system *system, soma_ref agent)
{
    if (!system)
        return SOMA_EINVAL;
    return shutdown_send(system, NULL, SOMA_REF_NULL, agent);
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
