/* The last steps of a send by an agent, in line, for who has made a block. */
#ifndef RUNTIME_DEPART_H
#define RUNTIME_DEPART_H

#include "runtime/agent.h"
#include "runtime/pressure.h"
#include "runtime/send.h"

/*
 * Into the mailbox, a message that may not be the first of its handler. If it is for the same agent as the last one, it
 * waits in the outbox, unless a worker is idle that might handle it at once, or this one has no queue.
 */
int message_more(struct worker *worker, const soma_agent *self, soma_agent *target, struct message *message);

/* A block that is whole but for its sender and whom it is for: an agent with nothing special about it. */
static inline int message_depart(struct worker *worker, const soma_agent *self, soma_agent *target, soma_ref to,
                                 struct message *message)
{
    ptr_store(&message->next, NULL);
    message_address(message, to.generation);
    message->sender =
        (soma_ref){worker->node, (uint32_t)(self - worker->slots), life_generation(u64_load(&self->life))};
    worker->budget--;
    counter_add(&worker->counters.sent, 1);
    if (__builtin_expect(worker->pool.grown, 0)) {
        worker->pool.grown = false;
        if (target != self)
            pressure_mark(worker, target); // before the push: see pressure.h
    }
    return message_more(worker, self, target, message);
}

/* The same for any agent: as message_push(). A plain message, a shared one, or a request. */
static inline int message_send(soma_agent *self, soma_ref to, struct message *message)
{
    struct worker *worker = self->worker;
    bool plainly = false, here = to.node && to.node == worker->node; // never a guest's
    soma_agent *target = here ? target_look(worker->system, to, &plainly) : NULL;
    if (__builtin_expect(target && plainly, 1))
        return message_depart(worker, self, target, to, message);
    message->sender = agent_ref(self);
    return message_push(worker->system, worker_or_outside(worker), to, message);
}

#endif
