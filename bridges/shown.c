/* What the bridge agent shows of its node, see SOMA_NODE. */
#include "bridges/agent.h"
#include <soma/attribute.h>
#include <soma/error.h>
#include <soma/watch.h>
#include <stdio.h>
#include <stdlib.h>

static const char *node_text(uint64_t node, char text[17])
{
    snprintf(text, 17, "%016llx", (unsigned long long)node);
    return text;
}

static int get_node(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    char text[17];
    (void)self;
    return soma_value_add_string(result, node_text(my->bridge->system->node, text));
}

static int get_name(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    (void)self;
    return soma_value_add_string(result, my->bridge->name);
}

static int get_addresses(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    (void)self;
    soma_value_begin_array(result);
    for (uint32_t i = 0; i < my->bridge->address_count; i++)
        soma_value_add_string(result, my->bridge->addresses[i]);
    return soma_value_end(result);
}

static int get_uptime(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    return soma_value_add_f64(result, (double)(soma_now(self) - my->since) / (double)SOMA_SECOND);
}

static void peer_add(const soma_bridge_peer *peer, soma_value_builder *result)
{
    char text[17];
    SOMA_VALUE_MAP(result, (string, "node", node_text(peer->node, text)), (string, "name", peer->name),
                   (bool, "connected", peer->connected), (bool, "down", peer->down),
                   (bool, "reachable", peer->reachable), (u64, "frames_sent", peer->frames_sent),
                   (u64, "frames_waiting", peer->frames_waiting), (u64, "bytes_waiting", peer->bytes_waiting),
                   (u64, "received", peer->received), (u64, "bytes_before", peer->bytes_before),
                   (u64, "bytes_after", peer->bytes_after), (ref, "agent", peer->agent));
}

static int get_peers(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    (void)self;
    int count = soma_bridge_peers(my->bridge, NULL, 0);
    soma_bridge_peer *peers = calloc((size_t)count + 1, sizeof(*peers));
    if (!peers)
        return SOMA_ENOMEM;
    int now = soma_bridge_peers(my->bridge, peers, (uint32_t)count);
    soma_value_begin_array(result);
    for (int i = 0; i < count && i < now; i++)
        peer_add(&peers[i], result);
    free(peers);
    return soma_value_end(result);
}

static int get_stats(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    soma_stats s;
    (void)my;
    int error = soma_system_stats(soma_agent_system(self), &s);
    if (error)
        return error;
    return SOMA_VALUE_MAP(result, (u64, "agents", s.agents), (u64, "spawned", s.spawned), (u64, "sent", s.sent),
                          (u64, "processed", s.processed), (u64, "dead_letters", s.dead_letters),
                          (u64, "muted", s.muted), (u64, "rejected", s.rejected), (u64, "dropped", s.dropped),
                          (u64, "late_replies", s.late_replies), (u64, "steals", s.steals), (u64, "sleeps", s.sleeps),
                          (u64, "queued", s.queued), (u64, "memory", s.memory));
}

static int get_watch(soma_agent *self, struct bridge_agent *my, soma_value_builder *result)
{
    soma_watch watch;
    (void)my;
    int error = soma_system_watch(soma_agent_system(self), &watch);
    if (error)
        return error;
    soma_value_begin_map(result);
    soma_value_add_key(result, "mailboxes");
    soma_value_begin_array(result);
    for (uint32_t i = 0; i < watch.mailbox_count; i++)
        SOMA_VALUE_MAP(result, (ref, "agent", watch.mailboxes[i].agent),
                       (string, "behavior", watch.mailboxes[i].behavior),
                       (u64, "messages", watch.mailboxes[i].messages));
    soma_value_end(result);
    soma_value_add_key(result, "handlers");
    soma_value_begin_array(result);
    for (uint32_t i = 0; i < watch.handler_count; i++)
        SOMA_VALUE_MAP(result, (string, "behavior", watch.handlers[i].behavior),
                       (string, "message", watch.handlers[i].message), (ref, "agent", watch.handlers[i].agent),
                       (f64, "longest", (double)watch.handlers[i].longest / (double)SOMA_SECOND),
                       (bool, "running", watch.handlers[i].running));
    soma_value_end(result);
    return soma_value_end(result);
}

const soma_behavior bridge_shown = {
    .name = "node",
    .state_size = sizeof(struct bridge_agent),
    .attributes = SOMA_ATTRIBUTES(
        SOMA_ATTRIBUTE_GET("node", get_node, "its identity"), SOMA_ATTRIBUTE_GET("name", get_name, "its name"),
        SOMA_ATTRIBUTE_GET("addresses", get_addresses, "where it is reached"),
        SOMA_ATTRIBUTE_GET("uptime", get_uptime, "seconds since its bridge was opened"),
        SOMA_ATTRIBUTE_GET("peers", get_peers, "the nodes that it knows"),
        SOMA_ATTRIBUTE_GET("stats", get_stats, "its counters"),
        SOMA_ATTRIBUTE_GET("watch", get_watch, "its longest mailboxes and slowest handlers"))};
