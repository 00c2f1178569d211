/* Shared bodies: made once, counted, sent by pointer. See include/soma/body.h. */
#include "runtime/depart.h"
#include "runtime/outside.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include <soma/body.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* Of `size` bytes in all, of which the caller adopts what is not in its block. */
static soma_body *body_alloc(const soma_type *type, size_t size, bool adopted)
{
    soma_body *body = malloc(sizeof(*body) + (adopted ? type->size : size));
    if (body) {
        body->size = size;
        u32_store(&body->references, 1);
        body->type = type;
        body->adopted = adopted;
    }
    return body;
}

int soma_body_copy(soma_body **body, const soma_type *type, const void *message)
{
    if (!body)
        return SOMA_EINVAL;
    *body = NULL;
    if (!type || !message)
        return SOMA_EINVAL;
    size_t size;
    int error = type_flat_size(type, message, &size);
    if (error)
        return error;
    *body = body_alloc(type, size, false);
    if (!*body)
        return SOMA_ENOMEM;
    type_flatten(type, (*body)->words, message);
    return 0;
}

int soma_body_move(soma_body **body, const soma_type *type, void *message)
{
    if (!body)
        return SOMA_EINVAL;
    *body = NULL;
    size_t size;
    int error = type && message ? type_flat_size(type, message, &size) : SOMA_EINVAL;
    if (error)
        return error;
    *body = body_alloc(type, size, true);
    if (!*body)
        return SOMA_ENOMEM;
    memcpy((*body)->words, message, type->size);
    memset(message, 0, type->size);
    return 0;
}

soma_body *soma_body_share(soma_body *body)
{
    if (body)
        u32_add(&body->references, 1); // the caller's own reference keeps it alive meanwhile
    return body;
}

void soma_body_close(soma_body **body)
{
    if (!body || !*body)
        return;
    soma_body *mine = *body;
    *body = NULL;
    // acquire and release: the last one sees all that the others did with it before it frees
    if (u32_add(&mine->references, (uint32_t)-1) != 1)
        return;
    if (mine->adopted)
        soma_type_destroy(mine->type, mine->words);
    free(mine);
}

const void *soma_body_message(const soma_body *body)
{
    return body ? body->words : NULL;
}

void body_hold(struct worker *worker, struct message *message, soma_body *body)
{
    if (worker && u32_load(&body->references) == 1) // the caller's: it is new, and not only passed on
        pool_outgrow(&worker->pool, body->size);
    message->type = body->type;
    message->body[0] = (uintptr_t)soma_body_share(body);
    message->body[1] = body->size;
}

int soma_agent_send_body(soma_agent *self, soma_ref to, soma_body *body)
{
    if (!self || !body)
        return SOMA_EINVAL;
    struct worker *worker = worker_or_outside(self->worker);
    struct message *message = message_take(worker, MESSAGE_SHARED, 2 * sizeof(uint64_t));
    if (!message)
        return SOMA_ENOMEM;
    body_hold(worker, message, body);
    return message_send(self, to, message);
}

int soma_system_send_body(soma_system *system, soma_ref to, soma_body *body)
{
    if (!system || !body)
        return SOMA_EINVAL;
    int error = outside_enter(system, to, true);
    if (error)
        return error;
    struct message *message = message_new(NULL, MESSAGE_SHARED, 2 * sizeof(uint64_t));
    if (!message)
        return SOMA_ENOMEM;
    body_hold(NULL, message, body);
    return message_push(system, NULL, to, message);
}

soma_body *soma_current_body(soma_agent *self)
{
    const struct message *message = self ? self->worker->current : NULL;
    if (!message || message->kind != MESSAGE_SHARED)
        return NULL;
    return soma_body_share((soma_body *)(uintptr_t)message->body[0]);
}
