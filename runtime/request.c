/*
 * Requests. A pending one is a timer's block in the requester's table, so the timeout costs no second block; the
 * request carries its handle, the answer brings it back. A promise is the request's header, kept in the answerer's
 * table.
 */
#include "runtime/request.h"
#include "runtime/agent.h"
#include "runtime/depart.h"
#include "runtime/extension.h"
#include "runtime/monitor.h"
#include "runtime/port.h"
#include "runtime/tally.h"
#include "runtime/timer.h"
#include <soma/body.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/request.h>
#include <stdio.h>
#include <string.h>

/* ---- asking ---- */

/* What of a soma_then is kept behind a timer's block. */
struct waiting {
    soma_ref to;
    const soma_type *reply;
    soma_handler_fn *on_reply;
    soma_handler_fn *on_error;
};

static struct waiting *waiting_of(struct timer *timer)
{
    return (struct waiting *)timer->body;
}

soma_ref request_asked(struct message *pending)
{
    return waiting_of(timer_of(pending))->to;
}

/*
 * Whom an agent has asked last, and has no answer from, any thread may read: so a timeout can tell whether who was
 * asked waits for who asked, by way of any others. With several requests at a time it may miss a cycle, but never sees
 * one where there is none.
 */
#define CYCLE_MAX 64
#define CYCLE_LOOK 16u

static shared_u64 *waits_of(const soma_agent *agent)
{
    const struct slots *slots = &agent->worker->system->slots;
    return &tally_of(slots, (uint32_t)(agent - slots->base))->waits;
}

/* 0 for one on another node, of whom nothing is known here. */
static uint64_t waits_pack(const soma_agent *agent, soma_ref to)
{
    return to.node == agent->worker->system->node ? (uint64_t)to.generation << 32 | to.slot : 0;
}

/* Another one whom it has asked, of the first among its pending; 0 if there is none. */
static uint64_t waits_other(const soma_agent *agent)
{
    const struct extension *extension = agent->extension;
    for (uint32_t i = 0; i < extension->capacity && i < CYCLE_LOOK; i++) {
        struct message *message = extension->pending[i].message;
        if (message && message->kind == MESSAGE_TIMEOUT)
            return waits_pack(agent, waiting_of(timer_of(message))->to);
    }
    return 0;
}

/* After the request is no longer pending. */
static void waits_end(soma_agent *agent, soma_ref to)
{
    if (u64_load(waits_of(agent)) == waits_pack(agent, to))
        u64_store(waits_of(agent), waits_other(agent));
}

/* Does `to`, who did not answer in time, wait for the agent? Says so, then. */
static bool waits_in_cycle(soma_agent *agent, soma_ref to)
{
    const struct slots *slots = &agent->worker->system->slots;
    uint64_t self = waits_pack(agent, agent_ref(agent)), next = waits_pack(agent, to);
    char text[256];
    int length = 0;
    for (uint32_t i = 0; i < CYCLE_MAX && next && next != self; i++) {
        const soma_agent *other = slots_find(slots, (uint32_t)next);
        if (!other || life_generation(u64_load(&other->life)) != next >> 32)
            return false;
        if ((size_t)length < sizeof(text))
            length += snprintf(text + length, sizeof(text) - (size_t)length, "%u.%u, which waits for ", (uint32_t)next,
                               (uint32_t)(next >> 32));
        next = u64_load(&tally_of(slots, (uint32_t)next)->waits);
    }
    if (next != self)
        return false;
    soma_log_warning(agent, "a request timed out in a cycle: it waits for %sit", length ? text : "");
    return true;
}

bool then_valid(const soma_then *then)
{
    return then && then->reply && then->on_reply && then->on_error;
}

bool request_waits(const soma_agent *self, soma_handle request)
{
    const struct message *message = pending_find(self, request);
    return message && message->kind == MESSAGE_TIMEOUT;
}

soma_handle request_open(soma_agent *self, soma_ref to, uint64_t timeout, const soma_then *then)
{
    struct timer *timer = timer_new(self, MESSAGE_TIMEOUT, sizeof(struct waiting));
    if (!timer)
        return SOMA_ENOMEM;
    *waiting_of(timer) = (struct waiting){to, then->reply, then->on_reply, then->on_error};
    timer->tag = then->tag;
    soma_handle handle = timer_start(self, timer, timeout);
    if (handle > 0)
        u64_store(waits_of(self), waits_pack(self, to));
    return handle;
}

soma_handle request_go(soma_agent *self, soma_ref to, uint64_t timeout, const soma_then *then, struct message *message)
{
    struct worker *worker = worker_or_outside(self->worker);
    soma_system *system = self->worker->system;
    soma_handle handle = request_open(self, to, timeout, then);
    if (handle < 0) {
        message_free(worker, message);
        return handle;
    }
    if (to.node != system->node) // the answer comes by its name
        soma_type_register(system, then->reply);
    message->body[0] = (uint64_t)handle;
    message_send(self, to, message); // whoever drops it answers with the reason
    return handle;
}

soma_handle soma_request_send(soma_agent *self, soma_ref to, uint64_t timeout, const soma_then *then,
                              const soma_type *type, const void *body)
{
    if (!self || !timeout || !then_valid(then) || !type || !body)
        return SOMA_EINVAL;
    struct message *message;
    int error = message_build(worker_or_outside(self->worker), MESSAGE_REQUEST, 0, type, body, &message);
    return error ? error : request_go(self, to, timeout, then, message);
}

int soma_request_cancel(soma_agent *self, soma_handle request)
{
    if (!self)
        return SOMA_EINVAL;
    if (request < 0)
        return (int)request;
    struct message *message = pending_find(self, request);
    if (!message)
        return SOMA_ENOENT;
    if (message->kind != MESSAGE_TIMEOUT)
        return SOMA_EINVAL;
    pending_remove(self, request);
    waits_end(self, waiting_of(timer_of(message))->to);
    timer_end(self, timer_of(message));
    return 0;
}

/* ---- what comes back ---- */

/* A reply of another type than expected: an error, which may have come with a text. */
static int reply_error(struct worker *worker, const struct message *message)
{
    if (!type_same(message->type, &soma_failure_type))
        return SOMA_ETYPE;
    const struct soma_failure *failure = message_body(message);
    worker->error_text = failure->text;
    return failure->error ? failure->error : SOMA_ETYPE;
}

/* Who expects none takes any. */
static bool reply_fits(const soma_type *type, const soma_type *expected)
{
    return expected ? type_same(type, expected) : !type_same(type, &soma_failure_type);
}

int request_settle(struct worker *worker, soma_agent *agent, const struct message *message)
{
    bool timeout = message->kind == MESSAGE_TIMEOUT;
    if (u64_load(&agent->life) & LIFE_STANDS && !timeout) { // it may have asked for itself, by a call that was posted
        stand_in_settle(worker, agent, message);
        return 0;
    }
    struct timer *timer = timeout ? timer_of((struct message *)(uintptr_t)message) : NULL;
    if (timeout && timer->wheel_timer.cancelled)
        return 0;
    int64_t handle = timeout ? timer->handle : (int64_t)message->body[0];
    struct message *waiter = pending_find(agent, handle);
    if (!waiter || waiter->kind != MESSAGE_TIMEOUT) {
        counter_add(&worker->counters.late_replies, 1);
        return 0;
    }
    pending_remove(agent, handle);
    struct waiting waiting = *waiting_of(timer_of(waiter));
    bool cycle = timeout && waits_in_cycle(agent, waiting.to);
    waits_end(agent, waiting.to);
    worker->tag = timer_of(waiter)->tag;
    if (!timeout)
        timer_end(agent, timer_of(waiter));

    int error = timeout                          ? (cycle ? SOMA_EDEADLOCK : SOMA_ETIMEOUT)
                : message->kind == MESSAGE_ERROR ? (int)(int64_t)message->body[1]
                                                 : 0;
    if (!error && !reply_fits(message->type, waiting.reply))
        error = reply_error(worker, message);
    int result = error ? waiting.on_error(agent, agent->state, &error)
                       : waiting.on_reply(agent, agent->state, message_body(message));
    worker->tag = 0;
    if (error)
        worker->error_text = NULL;
    return result;
}

/* ---- what comes back by another way ---- */

const soma_type *request_expects(const soma_agent *self, soma_handle request, soma_ref to)
{
    struct message *message = pending_find(self, request);
    if (!message || message->kind != MESSAGE_TIMEOUT)
        return NULL;
    const struct waiting *waiting = waiting_of(timer_of(message));
    return soma_ref_equal(waiting->to, to) ? waiting->reply : NULL;
}

struct message *answer_copy(soma_agent *self, const soma_type *type, const void *body, int error)
{
    struct worker *worker = worker_or_outside(self->worker);
    struct message *answer = NULL;
    int failed = type ? message_build(worker, MESSAGE_REPLY, 0, type, body, &answer) : error;
    if (!answer && (answer = message_new(worker, MESSAGE_ERROR, 2 * sizeof(uint64_t))))
        answer->body[1] = (uint64_t)(int64_t)failed;
    return answer;
}

int answer_settle(soma_agent *self, soma_handle request, struct message *answer)
{
    struct worker *worker = self->worker;
    struct message *outer = worker->current;
    if (!answer)
        return 0;
    answer->sender = SOMA_REF_NULL;
    answer->body[0] = (uint64_t)request;
    worker->current = answer;
    int result = request_settle(worker, self, answer);
    worker->current = outer;
    outer->type = answer->type ? answer->type : &soma_failure_type; // names it, if the agent ends by it
    message_free(worker_or_outside(worker), answer);
    return result;
}

int answer_show(soma_agent *self, soma_handle request, const soma_type *type, const void *body)
{
    struct message *answer =
        message_new(worker_or_outside(self->worker), MESSAGE_REPLY, sizeof(answer->body[0]) + type->size);
    if (!answer)
        return answer_settle(self, request, answer_copy(self, NULL, NULL, SOMA_ENOMEM));
    answer->type = type;
    memcpy(answer->body + 1, body, type->size);
    return answer_settle(self, request, answer);
}

int requests_fail(soma_agent *self, soma_ref to, int error)
{
    int result = 0;
    for (uint32_t i = 0; self->extension && i < self->extension->capacity && result >= 0; i++) {
        const struct message *message = self->extension->pending[i].message;
        soma_handle handle = message && message->kind == MESSAGE_TIMEOUT ? pending_handle(self, i) : 0;
        if (handle && request_expects(self, handle, to))
            result = answer_settle(self, handle, answer_copy(self, NULL, NULL, error));
    }
    return result;
}

const char *soma_error_text(const soma_agent *self)
{
    return self && self->worker->current ? self->worker->error_text : NULL; // an init within the handler has none
}

uint64_t soma_tag(const soma_agent *self)
{
    return self ? self->worker->tag : 0;
}

/* ---- answering ---- */

void request_handled(struct worker *worker, const soma_agent *agent, struct message *message, int error)
{
    if (message->settled)
        return;
    request_refuse(worker, soma_self(agent), message, error < 0 || worker->exiting ? SOMA_EGONE : SOMA_ENOREPLY);
}

/* The request that is being handled, if it may be answered; else NULL. */
static struct message *request_current(const soma_agent *self)
{
    struct message *message = self->worker->current;
    return message && message->kind == MESSAGE_REQUEST && !message->settled ? message : NULL;
}

/* What a promise (0: the current request) stands for, in *asked; the caller settles it if its answer is on its way. */
static int request_find(const soma_agent *self, soma_handle promise, struct message **asked)
{
    if (promise < 0)
        return (int)promise;
    *asked = promise ? pending_find(self, promise) : request_current(self);
    if (!*asked)
        return promise ? SOMA_ENOENT : SOMA_ESTATE;
    return (*asked)->kind == MESSAGE_REQUEST ? 0 : SOMA_EINVAL;
}

/*
 * After an answer was sent, or not: what the answerer is told. Who has stopped waiting is no error of its: the answer
 * is counted as late, and the request is done with.
 */
static int request_answered(soma_agent *self, soma_handle promise, struct message *asked, int error)
{
    if (error == SOMA_ENOMEM || error == SOMA_ETOOBIG || error == SOMA_EINVAL)
        return error; // not sent: may be tried again
    asked->settled = true;
    if (promise) {
        pending_remove(self, promise);
        message_free(worker_or_outside(self->worker), asked);
    }
    return 0;
}

int soma_reply_send(soma_agent *self, soma_handle promise, const soma_type *type, const void *body)
{
    struct message *asked = NULL;
    if (!self || !type || !body)
        return SOMA_EINVAL;
    int error = request_find(self, promise, &asked);
    if (error)
        return error;
    struct worker *worker = self->worker;
    error = reply_send(worker->system, worker_or_outside(worker), soma_self(self), asked->sender, asked->body[0], type,
                       body);
    return request_answered(self, promise, asked, error);
}

int soma_reply_fail(soma_agent *self, soma_handle promise, int error)
{
    struct message *asked = NULL;
    if (!self || !error)
        return SOMA_EINVAL;
    int failed = request_find(self, promise, &asked);
    if (failed)
        return failed;
    struct worker *worker = self->worker;
    const char *text = worker->failing ? failure_text(self, error) : NULL;
    if (text && !soma_reply_send(self, promise, &soma_failure_type, &(const struct soma_failure){error, text}))
        return 0;  // without memory for it, the text is left out
    if (promise) { // its own block becomes the answer, so that this needs no memory
        pending_remove(self, promise);
        request_fail(worker->system, worker_or_outside(worker), soma_self(self), asked, error);
        return 0;
    }
    failed =
        reply_fail(worker->system, worker_or_outside(worker), soma_self(self), asked->sender, asked->body[0], error);
    return request_answered(self, 0, asked, failed);
}

soma_handle soma_reply_later(soma_agent *self)
{
    if (!self)
        return SOMA_EINVAL;
    struct message *asked = request_current(self);
    if (!asked)
        return SOMA_ESTATE;
    struct message *kept = message_new(worker_or_outside(self->worker), MESSAGE_REQUEST, 2 * sizeof(uint64_t));
    if (!kept)
        return SOMA_ENOMEM;
    kept->sender = asked->sender;
    kept->body[0] = asked->body[0];
    int64_t handle = pending_add(self, kept);
    if (handle < 0)
        message_free(worker_or_outside(self->worker), kept);
    else
        asked->settled = true;
    return handle;
}

/* A second block with the same content, for another mailbox. */
static int message_copy(struct worker *worker, const struct message *message, struct message **copy)
{
    if (message->kind == MESSAGE_PLAIN || message->kind == MESSAGE_REQUEST)
        return message_build(worker, message->kind, message->kind == MESSAGE_REQUEST ? message->body[0] : 0,
                             message->type, message_body(message), copy);
    if (message->kind == MESSAGE_TIMER)
        return message_build(worker, MESSAGE_PLAIN, 0, message->type, ((const struct timer *)message->body)->body,
                             copy);
    if (message->kind != MESSAGE_SHARED)
        return SOMA_ESTATE;
    *copy = message_new(worker, MESSAGE_SHARED, 2 * sizeof(uint64_t));
    if (!*copy)
        return SOMA_ENOMEM;
    (*copy)->body[1] = message->body[1];
    (*copy)->type = message->type;
    (*copy)->body[0] = (uintptr_t)soma_body_share((soma_body *)(uintptr_t)message->body[0]);
    return 0;
}

int soma_forward(soma_agent *self, soma_ref to)
{
    if (!self)
        return SOMA_EINVAL;
    struct worker *worker = self->worker;
    struct message *message = worker->current, *copy;
    if (!message || message->settled)
        return SOMA_ESTATE;
    int error = message_copy(worker_or_outside(worker), message, &copy);
    if (error)
        return error;
    copy->sender = message->sender;
    copy->marks |= MARK_PASSED;
    message->settled = message->kind == MESSAGE_REQUEST;
    return message_push(worker->system, worker_or_outside(worker), to, copy);
}

/* ---- the agent's end ---- */

void pending_end(soma_agent *agent, int reason)
{
    struct worker *worker = worker_or_outside(agent->worker);
    soma_system *system = agent->worker->system;
    for (uint32_t i = 0; i < agent->extension->capacity; i++) {
        struct message *message = agent->extension->pending[i].message;
        if (!message)
            continue;
        pending_remove(agent, pending_handle(agent, i));
        if (message->kind == MESSAGE_MONITOR || message->kind == MESSAGE_LINKED || message->kind == MESSAGE_KEPT) {
            monitor_end(agent, message, reason);
            continue;
        }
        if (message->kind == MESSAGE_PORT) {
            port_end(agent, message);
            continue;
        }
        if (message->kind == MESSAGE_TIMEOUT)
            waits_end(agent, waiting_of(timer_of(message))->to);
        if (message->kind != MESSAGE_REQUEST) {
            timer_end(agent, timer_of(message));
            continue;
        }
        if (u32_load(&system->stopping))
            message_free(worker, message);
        else
            request_fail(system, worker, soma_self(agent), message, SOMA_EGONE);
    }
}
