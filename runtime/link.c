/*
 * Links; see monitor.h. An end of a link knows the other end's handle once a message from there has told it.
 *
 * Calls of both sides may cross, and still both ends must be there or none. What makes an end:
 *  - soma_link: the *asking* end; its MESSAGE_LINK tells its handle. The asked agent makes the other end when that
 *    arrives, unless it has one: then it asked itself meanwhile, and the two ends belong together.
 * What takes it away:
 *  - a MESSAGE_EXIT, whichever end it meant: the other agent is no more.
 *  - a MESSAGE_UNLINK, if it names this end as the other one, or comes from the end for which this one was made. Else
 *    this is an asking end that its sender did not know yet: the MESSAGE_LINK is still on its way there, and makes a
 * new other end.
 */
#include "runtime/link.h"
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/keep.h"
#include "runtime/monitor.h"
#include "runtime/send.h"
#include <soma/error.h>
#include <soma/monitor.h>

/* What a link's block holds, on either side. Its header's sender is the other agent. */
struct link {
    uint64_t handle; /* of the other end; 0 as long as that is not known */
    union {
        bool asking;               /* while it is pending */
        uint64_t sender_handle;    /* as a MESSAGE_UNLINK: of the end that sent it */
        struct soma_exited exited; /* as a MESSAGE_EXIT */
    };
};

static struct link *link_of(struct message *message)
{
    return (struct link *)message->body;
}

struct message *link_carried(const struct message *courier)
{
    return (struct message *)(uintptr_t)courier->body[1];
}

/* The agent's end of its link with another; *handle gets what it is among the pending. NULL if there is none. */
static struct message *link_find(const soma_agent *agent, soma_ref other, int64_t *handle)
{
    const struct extension *extension = agent->extension;
    for (uint32_t i = 0; extension && i < extension->capacity; i++) {
        struct message *message = extension->pending[i].message;
        if (message && message->kind == MESSAGE_LINKED && soma_ref_equal(message->sender, other)) {
            *handle = pending_handle(agent, i);
            return message;
        }
    }
    return NULL;
}

/* The same for a message from the other end, which mostly knows the handle. */
static struct message *link_find_for(const soma_agent *agent, const struct message *from, int64_t *handle)
{
    *handle = (int64_t)from->body[0];
    struct message *link = pending_find(agent, *handle);
    bool found = link && link->kind == MESSAGE_LINKED && soma_ref_equal(link->sender, from->sender);
    return found ? link : link_find(agent, from->sender, handle);
}

/* Enters one end. A handle, or SOMA_ENOMEM, and the block is still the caller's. */
static int64_t link_add(soma_agent *agent, struct message *link, soma_ref other, uint64_t handle)
{
    link->kind = MESSAGE_LINKED;
    link->sender = other;
    link_of(link)->handle = handle;
    link_of(link)->asking = !handle;
    return pending_add(agent, link);
}

/* Sends a link's block as the word that `from` has ended. */
static void link_exit(soma_system *system, struct worker *worker, soma_ref from, soma_ref to, struct message *link,
                      int reason, const char *text)
{
    struct soma_exited exited = {.agent = from, .reason = reason, .text = text};
    struct message *longer;
    if (text && !message_build(worker, MESSAGE_EXIT, link_of(link)->handle, &soma_exited_type, &exited, &longer)) {
        message_free(worker, link);
        link = longer;
    } else {
        exited.text = NULL;
        link->kind = MESSAGE_EXIT;
        link->type = &soma_exited_type;
        link_of(link)->exited = exited;
    }
    link->sender = from;
    message_push(system, worker, to, link);
}

void link_end(soma_agent *agent, struct message *link, int reason)
{
    link_exit(agent->worker->system, worker_or_outside(agent->worker), soma_self(agent), link->sender, link, reason,
              failure_text(agent, reason));
}

void link_fail(soma_system *system, struct worker *worker, soma_ref to, struct message *message, int reason)
{
    struct message *link = link_carried(message);
    link_of(link)->handle = message->body[0];
    link_exit(system, worker, to, message->sender, link, reason, NULL);
}

/* ---- making and ending ---- */

static struct message *link_new(struct worker *worker)
{
    return message_new(worker, MESSAGE_LINKED, sizeof(struct link));
}

int soma_link(soma_agent *self, soma_ref agent)
{
    int64_t handle;
    if (!self || soma_ref_equal(agent, soma_self(self)))
        return SOMA_EINVAL;
    if (link_find(self, agent, &handle))
        return 0;
    struct worker *worker = worker_or_outside(self->worker);
    struct message *courier = message_new(worker, MESSAGE_LINK, 2 * sizeof(uint64_t));
    struct message *mine = link_new(worker), *theirs = link_new(worker);
    handle = courier && mine && theirs ? link_add(self, mine, agent, 0) : SOMA_ENOMEM;
    if (handle < 0) {
        struct message *const blocks[] = {courier, mine, theirs};
        for (size_t i = 0; i < 3; i++)
            if (blocks[i])
                message_free(worker, blocks[i]);
        return (int)handle;
    }
    courier->sender = soma_self(self);
    courier->body[0] = (uint64_t)handle;
    courier->body[1] = (uintptr_t)theirs;
    message_push(self->worker->system, worker, agent, courier);
    return 0;
}

int64_t link_spawned(soma_agent *self, soma_agent *agent, soma_ref ref)
{
    struct worker *worker = worker_or_outside(self->worker);
    struct message *mine = link_new(worker), *theirs = link_new(worker);
    int64_t handle = mine && theirs ? link_add(self, mine, ref, 0) : SOMA_ENOMEM;
    int64_t other = handle > 0 ? link_add(agent, theirs, soma_self(self), (uint64_t)handle) : SOMA_ENOMEM;
    if (other > 0) {
        *link_of(mine) = (struct link){.handle = (uint64_t)other};
        return handle;
    }
    if (handle > 0)
        pending_remove(self, handle);
    if (mine)
        message_free(worker, mine);
    if (theirs)
        message_free(worker, theirs);
    return SOMA_ENOMEM;
}

int soma_unlink(soma_agent *self, soma_ref agent)
{
    int64_t handle;
    struct message *link = self ? link_find(self, agent, &handle) : NULL;
    if (!link)
        return self ? SOMA_ENOENT : SOMA_EINVAL;
    pending_remove(self, handle);
    link->kind = MESSAGE_UNLINK;
    link_of(link)->sender_handle = (uint64_t)handle;
    link->sender = soma_self(self);
    message_push(self->worker->system, worker_or_outside(self->worker), agent, link);
    return 0;
}

int soma_trap_exits(soma_agent *self, bool trap)
{
    if (!self)
        return SOMA_EINVAL;
    if (!trap && !self->extension)
        return 0;
    if (!extension_need(self))
        return SOMA_ENOMEM;
    self->extension->traps = trap;
    return 0;
}

/* ---- what arrives ---- */

/* The other side has asked: with the block that it brought, unless both have done so at once. */
static int link_accept(struct worker *worker, soma_agent *agent, struct message *courier)
{
    struct message *theirs = link_carried(courier);
    int64_t handle;
    struct message *link = link_find(agent, courier->sender, &handle);
    if (link) {
        link_of(link)->handle = courier->body[0];
        message_free(worker_or_outside(worker), theirs);
    } else if (link_add(agent, theirs, courier->sender, courier->body[0]) < 0) { // it must end, as of a watch
        link_exit(worker->system, worker_or_outside(worker), agent_ref(agent), courier->sender, theirs, SOMA_ENOMEM,
                  NULL);
        return SOMA_ENOMEM;
    }
    return 0;
}

static int exit_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    int64_t handle;
    if (!link_find_for(agent, message, &handle))
        return 0;
    message_free(worker_or_outside(worker), pending_remove(agent, handle));
    const struct soma_exited *exited = message_body(message);
    if (agent->extension->traps)
        return message_handle(worker, agent, message, exited);
    if (exited->reason)
        soma_agent_exit(agent, exited->reason);
    return 0;
}

/* Takes the end away that the message means, see above. */
static void unlink_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    int64_t handle, meant = (int64_t)message->body[0];
    struct message *link = link_find_for(agent, message, &handle);
    if (!link)
        return;
    bool known = link_of(link)->handle == link_of(message)->sender_handle;
    if (meant == handle || (known && !link_of(link)->asking))
        message_free(worker_or_outside(worker), pending_remove(agent, handle));
    else if (known)
        link_of(link)->handle = 0;
}

static int shutdown_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    if (keep_outlived(agent, message))
        return 0;
    const struct soma_exited exited = {.agent = message->sender, .reason = SOMA_ESHUTDOWN};
    if (agent->extension && agent->extension->traps) {
        agent->extension->leaving = true;
        return message_handle(worker, agent, message, &exited);
    }
    soma_agent_exit(agent, SOMA_ESHUTDOWN);
    return 0;
}

/* ---- to and from other nodes ---- */

void link_depart(struct message *message, uint64_t *handle, uint64_t *sender_handle)
{
    *handle = message->body[0];
    *sender_handle = message->kind == MESSAGE_UNLINK ? link_of(message)->sender_handle : 0;
}

int link_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref from, uint64_t handle)
{
    struct message *courier = message_new(worker, MESSAGE_LINK, 2 * sizeof(uint64_t));
    struct message *theirs = courier ? link_new(worker) : NULL;
    if (!theirs) {
        if (courier)
            message_free(worker, courier);
        return SOMA_ENOMEM;
    }
    courier->sender = from;
    courier->body[0] = handle;
    courier->body[1] = (uintptr_t)theirs;
    message_push(system, worker, agent, courier);
    return 0;
}

int unlink_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref from, uint64_t handle,
                  uint64_t sender_handle)
{
    struct message *unlink = link_new(worker);
    if (!unlink)
        return SOMA_ENOMEM;
    unlink->kind = MESSAGE_UNLINK;
    unlink->sender = from;
    link_of(unlink)->handle = handle;
    link_of(unlink)->sender_handle = sender_handle;
    message_push(system, worker, agent, unlink);
    return 0;
}

int exit_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref from, uint64_t handle, int reason,
                const char *text)
{
    const struct soma_exited exited = {.agent = from, .reason = reason, .text = text};
    struct message *message;
    int error = message_build(worker, MESSAGE_EXIT, handle, &soma_exited_type, &exited, &message);
    if (error)
        return error;
    message->sender = from;
    message_push(system, worker, agent, message);
    return 0;
}

int link_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    if (message->kind == MESSAGE_SHUTDOWN)
        return shutdown_deliver(worker, agent, message);
    if (message->kind == MESSAGE_EXIT)
        return exit_deliver(worker, agent, message);
    if (message->kind == MESSAGE_LINK)
        return link_accept(worker, agent, message);
    unlink_deliver(worker, agent, message);
    return 0;
}
