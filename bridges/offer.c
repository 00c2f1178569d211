/*
 * What may be spawned here from other nodes: an offer is an agent with a name, which spawns for whoever asks. So it is
 * found as any agent is, and the argument is a message like any other.
 */
#include "bridges/bridge.h"
#include <soma/error.h>
#include <soma/request.h>

struct offer {
    soma_system *system;
    const char *name;
    const soma_behavior *behavior;
    const soma_type *argument;
};

static int offer_init(soma_agent *self, void *state, const void *arg)
{
    struct offer *my = state;
    *my = *(const struct offer *)arg;
    int error = soma_name_set(my->system, soma_self(self), my->name);
    my->name = NULL; // the caller's
    return error;
}

static int on_any(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    const struct offer *my = state;
    soma_ref agent;
    int error = type == my->argument ? soma_agent_spawn(self, my->behavior, message, &agent) : SOMA_ETYPE;
    if (error)
        soma_reply_error(self, error);
    else if (soma_reply(self, soma_bridge_spawned, .agent = agent))
        soma_kill(my->system, agent); // nobody will ever know it
    return 0;
}

static const soma_behavior offer_behavior = {
    .name = "offer", .state_size = sizeof(struct offer), .init = offer_init, .fallback = on_any};

int soma_bridge_offer(soma_bridge *bridge, const char *name, const soma_behavior *behavior, const soma_type *argument)
{
    if (!bridge || !name || !behavior || !argument)
        return SOMA_EINVAL;
    const struct offer offer = {bridge->system, name, behavior, argument};
    int error = soma_type_register(bridge->system, argument);
    return error ? error : soma_system_spawn(bridge->system, &offer_behavior, &offer, NULL);
}

int soma_bridge_spawn_send(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout,
                           soma_ref *agent, const soma_type *type, const void *body)
{
    if (agent)
        *agent = SOMA_REF_NULL;
    if (!bridge || !agent || !type || !body)
        return SOMA_EINVAL;
    soma_ref offer;
    struct soma_bridge_spawned spawned;
    uint64_t begun = bridge_now(bridge);
    int error = soma_bridge_find(bridge, address, name, timeout, &offer);
    if (error)
        return error;
    uint64_t gone = bridge_now(bridge) - begun;
    if (gone >= timeout)
        return SOMA_ETIMEOUT;
    error = soma_call_send(bridge->system, offer, timeout - gone, &soma_bridge_spawned_type, &spawned, type, body);
    if (!error)
        *agent = spawned.agent;
    return error;
}
