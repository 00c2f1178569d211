/* Ports: opening, closing, sending there; see port.h. */
#include "runtime/port.h"
#include "runtime/depart.h"
#include "runtime/extension.h"
#include "runtime/request.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <string.h>

/* ---- the agent's ports ---- */

static struct message *entry_of(struct port *port)
{
    return (struct message *)((char *)port - offsetof(struct message, body));
}

static struct port *port_of(struct message *entry)
{
    return (struct port *)entry->body;
}

struct port *port_open(soma_agent *self, const struct port_class *class, size_t size)
{
    struct worker *worker = worker_or_outside(self->worker);
    struct message *entry = message_new(worker, MESSAGE_PORT, size);
    if (!entry)
        return NULL;
    int64_t handle = pending_add(self, entry);
    if (handle < 0) {
        message_free(worker, entry);
        return NULL;
    }
    struct port *port = port_of(entry);
    memset(port, 0, size);
    *port = (struct port){.class = class, .next = self->extension->ports, .handle = handle};
    self->extension->ports = port;
    return port;
}

struct port *port_find(const soma_agent *self, soma_handle handle)
{
    struct message *entry = pending_find(self, handle);
    return entry && entry->kind == MESSAGE_PORT ? port_of(entry) : NULL;
}

static void port_free(struct worker *worker, struct port *port)
{
    port->class->release(port);
    message_free(worker_or_outside(worker), entry_of(port));
}

void port_end(soma_agent *agent, struct message *entry)
{
    struct port *port = port_of(entry), **link = &agent->extension->ports;
    while (*link != port)
        link = &(*link)->next;
    *link = port->next;
    port->closed = true;
    port->class->end(agent, port);
    if (!port->busy) // else port_deliver() does
        port_free(agent->worker, port);
}

void port_close(soma_agent *self, struct port *port)
{
    pending_remove(self, port->handle);
    port_end(self, entry_of(port));
}

int port_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    struct port *port = port_find(agent, message_label(message)->port);
    if (!port) {
        message_unhandled(worker, soma_self(agent), message, SOMA_EGONE);
        return 0;
    }
    port->busy = true;
    int error = port->class->deliver(agent, agent->state, port, message);
    port->busy = false;
    if (port->closed)
        port_free(worker, port);
    return error;
}

/* ---- sending ---- */

/* A block with its label, and where the `size` bytes are that are left behind it. NULL when memory is out. */
static inline struct message *block_new(struct worker *worker, enum message_kind kind, soma_handle port,
                                        const char *text, const soma_type *type, size_t size, void **body)
{
    size_t length = *text ? strlen(text) + 1 : 0, words = (length + 7) / sizeof(uint64_t);
    size_t ahead = LABEL_OFFSET(kind) + sizeof(struct port_label) / sizeof(uint64_t) + words;
    struct message *message = message_take(worker, kind, ahead * sizeof(uint64_t) + size);
    if (!message)
        return NULL;
    message->head |= (uint64_t)MARK_LABEL << 16;
    message->type = type;
    struct port_label *label = (struct port_label *)(message->body + LABEL_OFFSET(kind));
    label->port = port;
    label->words = words;
    if (length)
        memcpy(label->text, text, length);
    *body = message->body + ahead;
    return message;
}

static inline int block_build(struct worker *worker, enum message_kind kind, soma_handle port, const char *text,
                              const soma_type *type, const void *body, struct message **message)
{
    size_t size;
    void *copy;
    const bool is_bytes = type_is_bytes(type); // asked once, as most large ones are
    const struct type_array bytes = is_bytes ? type_array_get(body) : (struct type_array){NULL, 0};
    int error = is_bytes ? type_bytes_size(type, bytes, &size) : type_flat_size(type, body, &size);
    if (error)
        return error;
    *message = block_new(worker, kind, port, text, type, size, &copy);
    if (!*message)
        return SOMA_ENOMEM;
    if (is_bytes)
        type_bytes_flatten(copy, bytes);
    else
        type_flatten(type, copy, body);
    return 0;
}

int port_copy(soma_agent *self, const struct port *port, const char *label, const soma_type *type, const void *message,
              struct message **block)
{
    int error = block_build(worker_or_outside(self->worker), MESSAGE_PLAIN, port->handle, label, type, message, block);
    if (!error)
        (*block)->sender = SOMA_REF_NULL;
    return error;
}

static int block_deliver(soma_agent *self, void *state, struct port *port, struct message *block)
{
    struct worker *worker = self->worker;
    struct message *outer = worker->current;
    worker->current = block;
    port->busy = true;
    int error = port->class->deliver(self, state, port, block);
    port->busy = false;
    worker->current = outer;
    return error;
}

static void block_done(struct worker *worker, struct port *port, struct message *block)
{
    message_dispose(worker_or_outside(worker), block);
    if (port->closed)
        port_free(worker, port);
}

int port_hand(soma_agent *self, void *state, struct port *port, struct message *block)
{
    int error = block_deliver(self, state, port, block);
    block_done(self->worker, port, block);
    return error;
}

int port_ask(soma_agent *self, void *state, struct port *port, soma_ref stand_in, soma_handle handle,
             const soma_type *type, const void *message)
{
    struct worker *worker = self->worker;
    void *body;
    struct message *block =
        block_new(worker_or_outside(worker), MESSAGE_REQUEST, port->handle, "", type, type->size, &body);
    if (!block) {
        reply_fail(worker->system, worker_or_outside(worker), soma_self(self), stand_in, (uint64_t)handle, SOMA_ENOMEM);
        return 0;
    }
    block->sender = stand_in;
    block->body[0] = (uint64_t)handle;
    memcpy(body, message, type->size);
    int error = block_deliver(self, state, port, block);
    request_handled(worker, self, block, error); // the block stays a request: to fail it needs no memory
    block_done(worker, port, block);
    return error;
}

int port_show(soma_agent *self, void *state, struct port *port, const char *label, const soma_type *type,
              const void *message)
{
    void *body;
    struct message *block =
        block_new(worker_or_outside(self->worker), MESSAGE_PLAIN, port->handle, label, type, type->size, &body);
    if (!block)
        return 0;
    block->sender = SOMA_REF_NULL;
    memcpy(body, message, type->size);
    return port_hand(self, state, port, block);
}

int port_send(soma_agent *self, const struct port_place *to, const char *label, const soma_type *type,
              const void *message)
{
    struct message *block;
    int error = block_build(worker_or_outside(self->worker), MESSAGE_PLAIN, to->port, label, type, message, &block);
    return error ? error : message_send(self, to->agent, block);
}

int port_send_near(soma_agent *self, soma_agent *target, const struct port_place *to, const soma_type *type,
                   const void *message)
{
    struct worker *worker = self->worker;
    struct message *block;
    int error = block_build(worker, MESSAGE_PLAIN, to->port, "", type, message, &block);
    return error ? error : message_depart(worker, self, target, to->agent, block);
}

int port_send_body(soma_agent *self, const struct port_place *to, const char *label, soma_body *body)
{
    struct worker *worker = worker_or_outside(self->worker);
    void *rest;
    struct message *block = block_new(worker, MESSAGE_SHARED, to->port, label, body->type, 0, &rest);
    if (!block)
        return SOMA_ENOMEM;
    body_hold(worker, block, body);
    return message_send(self, to->agent, block);
}

soma_handle port_request(soma_agent *self, const struct port_place *to, uint64_t timeout, const soma_then *then,
                         const soma_type *type, const void *message)
{
    struct message *block;
    int error = block_build(worker_or_outside(self->worker), MESSAGE_REQUEST, to->port, "", type, message, &block);
    return error ? error : request_go(self, to->agent, timeout, then, block);
}

const char *port_label(const soma_agent *self)
{
    struct message *message = self->worker->current;
    return message && message->marks & MARK_LABEL ? label_text(message) : NULL;
}

/* ---- the tenant ---- */

struct tenant *system_tenant(soma_system *system, struct tenant *(*make)(void))
{
    struct tenant *tenant = ptr_load(&system->tenant); // acquire: sees it whole
    if (tenant)
        return tenant;
    pthread_mutex_lock(&system->lock);
    tenant = ptr_load(&system->tenant);
    if (!tenant) {
        tenant = make();
        ptr_store(&system->tenant, tenant); // release
    }
    pthread_mutex_unlock(&system->lock);
    return tenant;
}
