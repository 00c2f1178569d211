/* What else than messages is put into a mailbox: posted calls, kills, orders to end. See send.h for the way they go. */
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "runtime/pressure.h"
#include "runtime/send.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

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
