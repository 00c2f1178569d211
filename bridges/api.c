/* The public functions of bridges; see include/soma/bridge.h. */
#include "bridges/address.h"
#include "bridges/agent.h"
#include "bridges/bridge.h"
#include "bridges/zmq_wire.h"
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
    if (bridge->zmq)
        zmq_wire_free(bridge->zmq);
    struct soma_bridge *older = bridge->older;
    bridge->zmq = NULL;
    bridge_free(bridge);
    if (older)
        bridge_release(older);
}

static int bridge_stop(void *context)
{
    struct soma_bridge *bridge = context;
    int error = zmq_wire_stop(bridge->zmq) ? 0 : SOMA_ETIMEOUT;
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
    int error = bridge_new(system, options, &bridge);
    if (error)
        return error;
    error = zmq_wire_open(bridge, &bridge->zmq);
    if (!error)
        error = soma_spawn(system, &bridge_agent, bridge, &bridge->agent);
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
    error = zmq_wire_start(bridge->zmq);
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

int soma_bridge_peers(soma_bridge *bridge, soma_bridge_peer *peers, uint32_t most)
{
    if (!bridge || (most && !peers))
        return SOMA_EINVAL;
    pthread_mutex_lock(&bridge->lock);
    uint32_t count = bridge->peer_count;
    for (uint32_t i = 0; i < count && i < most; i++) {
        struct peer *peer = bridge->list[i];
        spin_lock(&peer->busy);
        peers[i] = (soma_bridge_peer){.node = peer->node,
                                      .connected = peer->shown.connected,
                                      .down = !peer->open,
                                      .frames_sent = peer->shown.sent,
                                      .frames_waiting = peer->shown.sent - peer->shown.acked,
                                      .bytes_waiting = peer->shown.bytes + peer->out.bytes,
                                      .received = peer->shown.received,
                                      .agent = peer->shown.agent};
        memcpy(peers[i].name, peer->name, sizeof(peers[i].name));
        spin_unlock(&peer->busy);
    }
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
    if (!bridge->keys.on || (!allowed && !bridge->keys.file))
        return SOMA_ESTATE;
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

/* Under the lock. */
static struct want *want_find(const struct soma_bridge *bridge, const char *address)
{
    struct want *want = bridge->wants;
    while (want && strcmp(want->address, address) != 0)
        want = want->next;
    return want;
}

static struct want *want_add(struct soma_bridge *bridge, const char *address)
{
    struct want *want = want_find(bridge, address);
    if (want)
        return want;
    want = calloc(1, sizeof(*want));
    char *copy = want ? strdup(address) : NULL;
    if (!copy) {
        free(want);
        return NULL;
    }
    *want = (struct want){.next = bridge->wants, .address = copy};
    bridge->wants = want;
    bridge->wire.wake(bridge->wire.context);
    return want;
}

struct wait {
    struct soma_bridge *bridge;
    const struct want *want;
    uint64_t until;
};

/* For a driver that runs agents meanwhile. */
static bool is_answered(const void *arg)
{
    const struct wait *wait = arg;
    return wait->want->agent.node || bridge_now(wait->bridge) >= wait->until;
}

/* The bridge agent at an address, within a time. */
static int agent_at(struct soma_bridge *bridge, const char *address, uint64_t until, soma_ref *agent)
{
    const struct driver *driver = &bridge->system->driver;
    const struct timespec limit = {(time_t)(until / SOMA_SECOND), (long)(until % SOMA_SECOND)};
    pthread_mutex_lock(&bridge->lock);
    const struct want *want = want_add(bridge, address);
    if (want && driver->wait) {
        const struct wait wait = {bridge, want, until};
        pthread_mutex_unlock(&bridge->lock);
        driver->wait(driver->context, is_answered, &wait);
        pthread_mutex_lock(&bridge->lock);
    }
    int late = driver->wait ? 1 : 0;
    while (want && !want->agent.node && !late)
        late = pthread_cond_timedwait(&bridge->changed, &bridge->lock, &limit);
    *agent = want ? want->agent : SOMA_REF_NULL;
    pthread_mutex_unlock(&bridge->lock);
    return !want ? SOMA_ENOMEM : agent->node ? 0 : SOMA_ETIMEOUT;
}

int soma_bridge_find(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout, soma_ref *agent)
{
    if (agent)
        *agent = SOMA_REF_NULL;
    if (!bridge || !address || !name || !agent || !timeout)
        return SOMA_EINVAL;
    if (system_on_worker(bridge->system))
        return SOMA_ESTATE;
    struct address parts;
    if (bridge->zmq && address_check(bridge, address, &parts)) // a simulation has addresses of its own
        return SOMA_EINVAL;
    uint64_t now = bridge_now(bridge), until = timeout < UINT64_MAX / 2 ? now + timeout : UINT64_MAX / 2;
    int error;
    do {
        soma_ref node;
        struct soma_bridge_located located;
        if ((error = agent_at(bridge, address, until, &node)))
            return error;
        if ((now = bridge_now(bridge)) >= until)
            return SOMA_ETIMEOUT;
        error = soma_call(bridge->system, node, until - now, &located, soma_bridge_located, soma_bridge_whereis,
                          .name = name);
        *agent = error ? SOMA_REF_NULL : located.agent;
    } while (error == SOMA_ENODEDOWN); // it has ended meanwhile: another may come in its place
    return error;
}
