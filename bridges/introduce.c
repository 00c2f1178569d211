/*
 * Nodes of which an agent here tells, as other nodes do of those that they know. The agent asks the bridge agent, the
 * bridge's thread takes it, and the bridge agent answers: then refs to that node lead there.
 */
#include "bridges/address.h"
#include "bridges/agent.h"
#include "bridges/item.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/request.h>
#include <stdlib.h>
#include <string.h>

struct introduction {
    struct introduction *next;
    soma_handle promise;
    int error; /* what came of it */
    struct soma_bridge_introduce node;
};

static void introduction_free(void *pointer)
{
    struct introduction *introduction = pointer;
    soma_bridge_introduce_destroy(&introduction->node);
    free(introduction);
}

/* Is there nothing new to be said of a node? */
static bool is_open(const struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = peers_find(&bridge->peers, node);
    if (!peer)
        return false;
    spin_lock(&peer->busy);
    bool open = peer->open && !peer->hearsay;
    spin_unlock(&peer->busy);
    return open;
}

/* The first address is called; the others need only be some. */
static int address_refused(struct soma_bridge *bridge, const char *address, bool is_first)
{
    struct address parts;
    if (!address || !address[0] || strlen(address) > ADDRESS_MAX)
        return SOMA_EINVAL;
    if (!bridge->keeper || (!is_first && address_read(address, &parts))) // a simulation has addresses of its own
        return 0;
    return address_check(bridge, address, &parts);
}

static int check(struct soma_bridge *bridge, const struct soma_bridge_introduce *m)
{
    int error = m->node && m->addresses.count <= ADDRESSES_MAX ? 0 : SOMA_EINVAL;
    for (uint32_t i = 0; !error && i < m->addresses.count; i++)
        error = address_refused(bridge, m->addresses.items[i], !i);
    return error;
}

int on_introduce(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_introduce *m)
{
    struct soma_bridge *bridge = my->bridge;
    int error = soma_sender(self).node == soma_self(self).node ? check(bridge, m) : SOMA_EINVAL;
    if (!error && is_open(bridge, m->node)) {
        soma_reply(self, soma_bridge_introduced);
        return 0;
    }
    struct introduction *introduction = error ? NULL : calloc(1, sizeof(*introduction));
    if (!introduction || soma_bridge_introduce_copy(&introduction->node, m)) {
        free(introduction);
        soma_reply_error(self, error ? error : SOMA_ENOMEM);
        return 0;
    }
    introduction->promise = soma_reply_later(self);
    pthread_mutex_lock(&bridge->lock);
    introduction->next = bridge->introductions;
    bridge->introductions = introduction;
    pthread_mutex_unlock(&bridge->lock);
    bridge->wire.wake(bridge->wire.context);
    return 0;
}

static int introduced(soma_agent *self, void *state, void *pointer)
{
    struct introduction *introduction = pointer;
    (void)state;
    if (introduction->error || soma_reply_to(self, introduction->promise, soma_bridge_introduced) == SOMA_ENOMEM)
        soma_reply_error_to(self, introduction->promise, introduction->error ? introduction->error : SOMA_ENOMEM);
    introduction_free(introduction);
    return 0;
}

static struct introduction *introductions_cut(struct soma_bridge *bridge)
{
    pthread_mutex_lock(&bridge->lock);
    struct introduction *all = bridge->introductions;
    bridge->introductions = NULL;
    pthread_mutex_unlock(&bridge->lock);
    return all;
}

void introductions_take(struct soma_bridge *bridge)
{
    for (struct introduction *introduction = introductions_cut(bridge), *next; introduction; introduction = next) {
        const struct soma_bridge_introduce *node = &introduction->node;
        struct item item = {.node = node->node, .address_count = node->addresses.count};
        next = introduction->next;
        for (uint32_t i = 0; i < item.address_count; i++)
            item.addresses[i] = (struct span){node->addresses.items[i], (uint32_t)strlen(node->addresses.items[i])};
        introduction->error = node_arrive(bridge, &item);
        soma_post(bridge->system, bridge->agent, introduced, introduction, introduction_free);
    }
}

void introductions_free(struct soma_bridge *bridge)
{
    for (struct introduction *introduction = bridge->introductions, *next; introduction; introduction = next) {
        next = introduction->next;
        introduction_free(introduction);
    }
}
