/* Sending: a body becomes a message block, the block goes into a mailbox, and an idle agent is scheduled. See send.h.
 */
#include "runtime/send.h"
#include "runtime/agent.h"
#include "runtime/depart.h"
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

/* A small body that is not whole words: by words that overlap. */
static inline void bytes_copy(char *to, const char *body, size_t size)
{
    if (size > 8) {
        memcpy(to, body, 8);
        memcpy(to + (size - 8) / 2, body + (size - 8) / 2, 8);
        memcpy(to + size - 8, body + size - 8, 8);
    } else if (size >= 4) {
        memcpy(to, body, 4);
        memcpy(to + size - 4, body + size - 4, 4);
    } else {
        to[0] = body[0];
        to[size / 2] = body[size / 2];
        to[size - 1] = body[size - 1];
    }
}

/* A small body. Word by word, as a wider load would wait for the stores that have just made it. */
static inline void small_copy(uint64_t *to, const void *body, const soma_type *type)
{
    const char *from = body;
    uint8_t small = type->small;
    if (__builtin_expect(small == SOMA_SMALL_WORDS, 1)) {
        memcpy(to, from, 8);
    } else if (small == SOMA_SMALL_BYTES) {
        bytes_copy((char *)to, from, type->size);
    } else if (small != SOMA_SMALL_NONE) {
        memcpy(to, from, 8);
        memcpy(to + 1, from + 8, 8);
        if (small > SOMA_SMALL_WORDS + 1)
            memcpy(to + 2, from + 16, 8);
    }
}

struct message *heap_take(struct worker *worker, size_t size)
{
    if (worker)
        pool_outgrow(&worker->pool, size);
    return malloc(size);
}

struct message *message_new(struct worker *worker, enum message_kind kind, size_t size)
{
    struct message *message = message_take(worker, kind, size);
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
    struct message *message = message_take(worker, kind, words && size < sizeof(uint64_t) ? 16 : size + words * 8);
    if (__builtin_expect(!message, 0))
        return SOMA_ENOMEM;
    message->type = type;
    if (words)
        message->body[0] = word;
    if (type->small)
        small_copy(message->body + words, body, type);
    else if (type->flat)
        memcpy(message->body + words, body, size);
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

void message_unhandled(struct worker *worker, soma_ref self, struct message *message, int reason)
{
    letter_dead(worker->system, worker, message->sender, self, message->type, reason);
    if (message->kind == MESSAGE_REQUEST)
        request_refuse(worker, self, message, reason);
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
    if (__builtin_expect(!u32_load(&target->pressure), 1) || !worker || slot == sender)
        return;
    worker_press(worker, slot);
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

/* A handler may also send as from outside: what it has sent before as itself goes first. */
static void outbox_flush_here(const soma_system *system)
{
    struct worker *worker = worker_here();
    if (worker && worker->system == system && worker->sending)
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
    else if (worker->sending)
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
    uint64_t life = u64_load(&target->life);
    if (life_stands(life, to) && stand_in_take(system, worker, to, message))
        return 0;
    bool passed = message->marks & MARK_PASSED; // then its sender isn't who sends it now
    uint32_t sender = passed ? UINT32_MAX : message->sender.slot;
    bool from_agent = message_presses(message);
    if (message->kind <= MESSAGE_REQUEST && life & LIFE_COUNTED) {
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
    message_address(message, to.generation);
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
    const struct route *route = ptr_load(&system->route); // acquire: sees the route whole
    if (!route->send || system->driver.observe)
        return send_slowly(system, worker, sender, to, type, body);
    count_outside_or(system, worker, offsetof(struct counters, sent));
    if (!worker)
        outbox_flush_here(system);
    else if (worker->sending)
        outbox_flush(worker);
    return route->send(route->context, sender, to, type, body);
}

void outbox_flush(struct worker *worker)
{
    struct outbox *outbox = &worker->outbox;
    soma_agent *target = outbox->target;
    uint32_t sender = outbox->last->sender.slot;
    outbox->count = 0;
    worker->sending = false;
    if (mailbox_push_chain(&target->mailbox, outbox->first, outbox->last))
        worker_schedule(worker, worker->system, target);
    else
        pressure_note(worker, target, (uint32_t)(target - worker->system->slots.base), sender);
}

int message_push_along(soma_system *system, struct worker *worker, soma_ref to, struct message *message)
{
    struct outbox *outbox = &worker->outbox;
    bool plainly = false;
    soma_agent *target = to.node == system->node ? target_look(system, to, &plainly) : NULL;
    if (!target || !plainly || worker->pool.grown || system->driver.observe) {
        message->marks |= MARK_PASSED; // its sender's slot is not one here
        return message_push(system, worker, to, message);
    }
    if (worker->sending && (outbox->target != target || outbox->count == OUTBOX_MAX))
        outbox_flush(worker);
    counter_add(&worker->counters.sent, 1);
    message_address(message, to.generation);
    if (worker->sending)
        ptr_store(&outbox->last->next, message); // nobody looks before the push, which publishes it
    else
        outbox->first = message;
    outbox->target = target;
    outbox->last = message;
    outbox->count++;
    worker->sending = true;
    worker->pressing = u32_load(&target->pressure) != 0;
    return 0;
}

/* The last step of a send by an agent: into the mailbox. */
static inline void message_go(struct worker *worker, const soma_agent *self, soma_agent *target,
                              struct message *message)
{
    worker->outbox.target = target;
    if (__builtin_expect(!mailbox_put(&target->mailbox, message, message), 0)) // from here on it isn't ours
        pressure_note(worker, target, (uint32_t)(target - worker->slots), (uint32_t)(self - worker->slots));
    else if (__builtin_expect(!worker->lifo && !target->extension, 1))
        worker->lifo = target; // what worker_schedule would do
    else
        worker_schedule(worker, worker->system, target);
}

/* The same behind what waits in the outbox. */
static __attribute__((noinline)) int message_follow(struct worker *worker, const soma_agent *self, soma_agent *target,
                                                    struct message *message)
{
    if (worker->sending)
        outbox_flush(worker);
    message_go(worker, self, target, message);
    return 0;
}

/* Might a worker that is idle handle what is sent to an agent at once? Not if that is this one's next, as nobody takes
 * it away. */
static inline bool idle_might(const struct worker *worker, const soma_agent *target)
{
    const soma_system *system = worker->system;
    return worker->lifo != target && (!worker->queues || u32_load(&system->searching) || u64_load(&system->asleep));
}

__attribute__((noinline)) int message_more(struct worker *worker, const soma_agent *self, soma_agent *target,
                                           struct message *message)
{
    struct outbox *outbox = &worker->outbox;
    if (outbox->target != target || outbox->count == OUTBOX_MAX || idle_might(worker, target))
        return message_follow(worker, self, target, message);
    if (outbox->count++)
        ptr_store(&outbox->last->next, message); // nobody looks before the push, which publishes it
    else
        outbox->first = message;
    outbox->last = message;
    worker->sending = true;
    return 0;
}

/* A send by an agent, by the way that has no shortcuts. */
static __attribute__((noinline)) int agent_send(soma_agent *self, soma_ref to, const soma_type *type, const void *body)
{
    if (!self || !type || !body)
        return SOMA_EINVAL;
    struct worker *worker = self->worker;
    soma_system *system = worker->system;
    bool plainly;
    soma_agent *target = to.node == system->node ? target_look(system, to, &plainly) : NULL;
    if (__builtin_expect(!target, 0))
        return send_astray(system, worker_or_outside(worker), agent_ref(self), to, type, body);
    if (__builtin_expect(!worker_or_outside(worker) || !plainly, 0))
        return send_slowly(system, worker_or_outside(worker), agent_ref(self), to, type, body);
    worker->reach = u32_load(&system->slots.used); // acquire: see slots_find
    struct message *message;
    int error = block_build(worker, MESSAGE_PLAIN, 0, type, body, &message);
    if (__builtin_expect(error, 0))
        return error;
    return message_depart(worker, self, target, to, message);
}

_Static_assert(sizeof(struct message) + 24 <= (CLASS_SMALL + 1) * POOL_STEP, "a small message fits its block");

/* The fast path: a small message to an agent with nothing special about it. All that it can't do is left to others. */
int soma_agent_send(soma_agent *self, soma_ref to, const soma_type *type, const void *body)
{
    if (__builtin_expect(!self, 0) || __builtin_expect(!type, 0))
        return agent_send(self, to, type, body);
    struct worker *worker = self->worker;
    uint64_t place = ref_place(to), slot = (uint32_t)place, life = place - slot;
    if (__builtin_expect(to.node != worker->node || (uint32_t)place >= worker->reach, 0))
        return agent_send(self, to, type, body);
    soma_agent *target = worker->slots + slot;
    if (__builtin_expect(
            u64_load(&target->life) != life || !body || !type->small || !pool_has(&worker->pool, CLASS_SMALL), 0))
        return agent_send(self, to, type, body);
    struct message *message = pool_pop(&worker->pool, CLASS_SMALL);
    message->head = life | CLASS_SMALL;
    message->type = type;
    ptr_store(&message->next, NULL);
    message->sender.node = worker->node;
    message->sender.slot = (uint32_t)(self - worker->slots);
    message->sender.generation = life_generation(u64_load(&self->life));
    message_hint(message, pool_ahead(&worker->pool, CLASS_SMALL, HINT_AHEAD)); // before the body: it may take its place
    small_copy(message->body, body, type);
    worker->budget--;
    counter_add(&worker->counters.sent, 1);
    if (__builtin_expect(worker->outbox.target != NULL, 0))
        return message_more(worker, self, target, message);
    message_go(worker, self, target, message);
    return 0;
}

static int outside_send(soma_system *system, soma_ref to, const soma_type *type, const void *body, bool waits)
{
    if (!system || !type || !body)
        return SOMA_EINVAL;
    int error = outside_enter(system, to, waits);
    if (error)
        return error;
    soma_agent *target = to.node == system->node ? target_find(system, to) : NULL;
    return (target ? send_slowly : send_astray)(system, NULL, SOMA_REF_NULL, to, type, body);
}

int soma_system_send(soma_system *system, soma_ref to, const soma_type *type, const void *body)
{
    return outside_send(system, to, type, body, true);
}

int soma_system_try_send(soma_system *system, soma_ref to, const soma_type *type, const void *body)
{
    return outside_send(system, to, type, body, false);
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
