/* The public functions of bridges; see include/soma/bridge.h. */
#include "bridges/address.h"
#include "bridges/agent.h"
#include "bridges/bridge.h"
#include "bridges/keeper.h"
#include "bridges/zmq_wire.h"
#include "bridges/zmtp_wire.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/request.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening and closing ---- */

static void bridge_release(void *context)
{
    struct soma_bridge *bridge = context;
    if (bridge->keeper)
        keeper_free(bridge->keeper);
    struct soma_bridge *older = bridge->older;
    bridge->keeper = NULL;
    bridge_free(bridge);
    if (older)
        bridge_release(older);
}

static int bridge_stop(void *context)
{
    struct soma_bridge *bridge = context;
    int error = keeper_stop(bridge->keeper) ? 0 : SOMA_ETIMEOUT;
    explicit_bzero(bridge->keys.secret_key, KEY_SIZE); // the rest stays until the system ends
    return error;
}

int soma_bridge_open(soma_system *system, const soma_bridge_options *options, soma_bridge **result)
{
    struct soma_bridge *bridge = NULL;
    if (result)
        *result = NULL;
    if (!system || !options || !result)
        return SOMA_EINVAL;
    if (system_on_worker(system))
        return SOMA_ESTATE;
    int error = bridge_vacancy(system); // ahead of what else a second one would fail by
    if (!error)
        error = bridge_new(system, options, &bridge);
    if (error)
        return error;
    error = bridge->keys.on ? zmq_wire_open(bridge) : zmtp_wire_open(bridge);
    if (!error)
        error = bridge_agent_spawn(bridge);
    if (!error)
        error = bridge_start(bridge, bridge_stop, bridge_release);
    if (error) {
        soma_kill(system, bridge->agent); // nobody knows it: it handles nothing any more
        bridge_release(bridge);
        return error;
    }
    error = soma_name_set(system, bridge->agent, SOMA_NODE);
    if (error)
        soma_log_warning(system, "bridge: no agent is called '%s': %s", SOMA_NODE, soma_strerror(error));
    error = keeper_start(bridge->keeper);
    if (error)
        return error; // the system has it, and frees it
    *result = bridge;
    return 0;
}

int soma_bridge_close(soma_bridge **pointer)
{
    if (!pointer || !*pointer)
        return 0;
    struct soma_bridge *bridge = *pointer;
    if (system_on_worker(bridge->system))
        return SOMA_ESTATE;
    *pointer = NULL;
    soma_name_set(bridge->system, SOMA_REF_NULL, SOMA_NODE); // the agent ends later, and the next bridge may come first
    soma_kill(bridge->system, bridge->agent);
    return bridge_stop(bridge); // the rest goes with the system: others may be sending through it now
}

/* ---- looking ---- */

const char *soma_bridge_address(const soma_bridge *bridge, uint32_t index)
{
    return bridge && index < bridge->address_count ? bridge->addresses[index] : NULL;
}

/* False if there is nothing to say of it yet. Under the bridge's lock. */
static bool peer_show(struct peer *peer, soma_bridge_peer *shown)
{
    spin_lock(&peer->busy);
    bool hearsay = peer->hearsay;
    if (shown && !hearsay) {
        *shown = (soma_bridge_peer){.node = peer->node,
                                    .connected = peer->shown.connected,
                                    .down = !peer->open,
                                    .reachable = peer->listens || peer->bridge->options.relay,
                                    .frames_sent = peer->shown.sent,
                                    .frames_waiting = peer->shown.sent - peer->shown.acked,
                                    .bytes_waiting = peer->shown.bytes + peer->out.bytes,
                                    .received = peer->shown.received,
                                    .bytes_before = peer->shown.before,
                                    .bytes_after = peer->shown.after,
                                    .agent = peer->shown.agent};
        memcpy(shown->name, peer->name, sizeof(shown->name));
    }
    spin_unlock(&peer->busy);
    return !hearsay;
}

int soma_bridge_peers(soma_bridge *bridge, soma_bridge_peer *peers, uint32_t most)
{
    uint32_t count = 0;
    if (!bridge || (most && !peers))
        return SOMA_EINVAL;
    pthread_mutex_lock(&bridge->lock);
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        count += peer_show(bridge->list[i], count < most ? &peers[count] : NULL);
    pthread_mutex_unlock(&bridge->lock);
    return (int)count;
}

int soma_bridge_count(soma_bridge *bridge, soma_bridge_counts *counts)
{
    if (!bridge || !counts)
        return SOMA_EINVAL;
    pthread_mutex_lock(&bridge->lock);
    *counts = bridge->counts;
    pthread_mutex_unlock(&bridge->lock);
    return 0;
}

/* ---- keys ---- */

int soma_bridge_keys_reload(soma_bridge *bridge, const char *allowed)
{
    struct key_list list;
    if (!bridge)
        return SOMA_EINVAL;
    const char *wrong = !bridge->keys.on                 ? "no keys can be allowed, as the node has none of its own"
                        : !allowed && !bridge->keys.file ? "there is no file of allowed keys to read again"
                                                         : NULL;
    if (wrong) {
        soma_log_error(bridge->system, "bridge: %s", wrong);
        return SOMA_ESTATE;
    }
    int error = keys_load(bridge->system, allowed, bridge->keys.file, &list);
    if (error)
        return error;
    pthread_mutex_lock(&bridge->lock);
    struct key_list before = bridge->keys.allowed;
    bridge->keys.allowed = list;
    bridge->reloaded = true;
    pthread_mutex_unlock(&bridge->lock);
    free(before.keys);
    bridge->wire.wake(bridge->wire.context);
    return 0;
}

/* ---- finding ---- */

soma_ref soma_bridge_agent(const soma_bridge *bridge)
{
    return bridge ? bridge->agent : SOMA_REF_NULL;
}

int soma_bridge_find(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout, soma_ref *agent)
{
    struct soma_bridge_located located;
    if (agent)
        *agent = SOMA_REF_NULL;
    if (!bridge || !address || !name || !agent || !timeout)
        return SOMA_EINVAL;
    int error = soma_call(bridge->system, bridge->agent, SOMA_NEVER, &located, soma_bridge_located, soma_bridge_locate,
                          .address = address, .name = name, .timeout = timeout);
    *agent = located.agent;
    return error;
}
