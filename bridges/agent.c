/* What other nodes ask of this one; see agent.h. */
#include "bridges/agent.h"
#include <soma/error.h>
#include <soma/request.h>

static int on_whereis(soma_agent *self, void *state, const struct soma_bridge_whereis *m)
{
    soma_ref agent;
    (void)state;
    int error = m->name ? soma_whereis(soma_agent_system(self), m->name, &agent) : SOMA_EINVAL;
    return error ? soma_reply_error(self, error) : soma_reply(self, soma_bridge_located, .agent = agent);
}

const soma_behavior bridge_agent = {.name = "bridge",
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_bridge_whereis, on_whereis))};
