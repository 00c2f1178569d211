/* The way of answers: to who asked, or at once to the tenant, if an agent stands in for that one. See send.h, port.h.
 */
#include "runtime/port.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include <soma/error.h>

/* ---- for who stands in for others ---- */

void stand_in_begin(soma_agent *self)
{
    life_mark(self, LIFE_STANDS);
}

static int stand_in_give(soma_system *system, struct worker *worker, soma_ref to, uint64_t handle,
                         const soma_type *type, const void *body)
{
    struct tenant *tenant = ptr_load(&system->tenant); // it is there before any such agent
    return tenant->answer(tenant, worker, to, (soma_handle)handle, type, body);
}

static void stand_in_hear(soma_system *system, struct worker *worker, soma_ref to, const struct message *message)
{
    bool failed = message->kind == MESSAGE_ERROR;
    const struct soma_failure failure = {.error = failed ? (int)(int64_t)message->body[1] : SOMA_ENOMEM};
    if (failed ||
        stand_in_give(system, worker, to, message->body[0], message->type, message_body(message)) == SOMA_ENOMEM)
        stand_in_give(system, worker, to, message->body[0], &soma_failure_type, &failure);
}

bool stand_in_take(soma_system *system, struct worker *worker, soma_ref to, struct message *message)
{
    bool answers = message->kind == MESSAGE_REPLY || message->kind == MESSAGE_ERROR;
    if (!answers || message->marks & MARK_PASSED)
        return false;
    stand_in_hear(system, worker, to, message);
    message_dispose(worker, message);
    return true;
}

void stand_in_settle(struct worker *worker, const soma_agent *agent, const struct message *answer)
{
    stand_in_hear(worker->system, worker_or_outside(worker), soma_self(agent), answer);
}

/* Is an answer for such an agent here? Then it need not become a block. */
static bool stands_in(soma_system *system, soma_ref ref)
{
    const soma_agent *agent = ref.node == system->node ? slots_find(&system->slots, ref.slot) : NULL;
    return agent && life_stands(u64_load(&agent->life), ref);
}

static int stand_in_answer(soma_system *system, struct worker *worker, soma_ref to, uint64_t handle,
                           const soma_type *type, const void *body)
{
    count_outside_or(system, worker, offsetof(struct counters, sent));
    if (worker && worker->sending)
        outbox_flush(worker); // what was sent before arrives before
    return stand_in_give(system, worker, to, handle, type, body);
}

/* ---- answers ---- */

int reply_send(soma_system *system, struct worker *worker, soma_ref from, soma_ref requester, uint64_t handle,
               const soma_type *type, const void *body)
{
    struct message *message = NULL;
    bool at_once = stands_in(system, requester);
    size_t size;
    int error = at_once ? type_flat_size(type, body, &size)
                        : message_build(worker, MESSAGE_REPLY, handle, type, body, &message);
    if (error)
        return error;
    if (at_once)
        return stand_in_answer(system, worker, requester, handle, type, body);
    message->sender = from;
    return message_push(system, worker, requester, message);
}

int reply_fail(soma_system *system, struct worker *worker, soma_ref from, soma_ref requester, uint64_t handle,
               int error)
{
    if (stands_in(system, requester))
        return stand_in_answer(system, worker, requester, handle, &soma_failure_type,
                               &(const struct soma_failure){.error = error});
    struct message *message = message_new(worker, MESSAGE_ERROR, 2 * sizeof(uint64_t));
    if (!message)
        return SOMA_ENOMEM;
    message->sender = from;
    message->body[0] = handle;
    message->body[1] = (uint64_t)(int64_t)error;
    return message_push(system, worker, requester, message);
}

static void request_become_error(struct message *request, int error)
{
    request->kind = MESSAGE_ERROR;
    request->type = NULL;
    request->body[1] = (uint64_t)(int64_t)error;
}

void request_fail(soma_system *system, struct worker *worker, soma_ref from, struct message *request, int error)
{
    soma_ref requester = request->sender;
    request_become_error(request, error);
    request->sender = from;
    message_push(system, worker, requester, request);
}

void request_refuse(struct worker *worker, soma_ref self, struct message *request, int error)
{
    request->settled = true;
    if (reply_fail(worker->system, worker_or_outside(worker), self, request->sender, request->body[0], error) ==
        SOMA_ENOMEM)
        request_become_error(request, error);
}

void request_refused(soma_system *system, struct worker *worker, soma_ref self, struct message *refused)
{
    soma_ref requester = refused->sender;
    refused->settled = false;
    refused->sender = self;
    message_push(system, worker, requester, refused);
}
