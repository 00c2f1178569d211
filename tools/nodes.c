/* `soma nodes` and what `soma top` shows: nodes as their agents soma.node tell of them. See nodes.h. */
#include "nodes.h"
#include <stdlib.h>
#include <string.h>

/* All that a node shows; NULL if it does not answer. Ends the proxy. */
static json_t *node_look(const struct tool *tool, soma_proxy *proxy)
{
    soma_value value;
    json_t *json = NULL;
    if (!soma_proxy_get(proxy, tool->timeout, NULL, &value))
        json = value_json(value);
    soma_value_destroy(&value);
    soma_proxy_close(&proxy);
    return json;
}

/* What a peer shows, or what is known of one that can't be reached. */
static json_t *peer_look(const struct tool *tool, json_t *peer)
{
    soma_proxy *proxy;
    unsigned long long node;
    soma_ref ref;
    const char *text = json_string_value(json_object_get(json_object_get(peer, "agent"), "$ref"));
    if (json_is_true(json_object_get(peer, "connected")) && text &&
        sscanf(text, "%llx/%u/%u", &node, &ref.slot, &ref.generation) == 3) {
        ref.node = node;
        json_t *seen = soma_proxy_open_ref(tool->system, ref, &proxy) ? NULL : node_look(tool, proxy);
        if (seen)
            return seen;
    }
    return json_incref(peer);
}

/* The command is a node, too, and of no interest. */
static bool is_this(const struct tool *tool, json_t *peer)
{
    char text[17];
    soma_ref ref;
    const char *node = json_string_value(json_object_get(peer, "node"));
    if (!node || soma_whereis(tool->system, SOMA_NODE, &ref))
        return false;
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)ref.node);
    return !strcmp(text, node);
}

/* The first address that soma_names_open() would try. */
static const char *nameserver_first(void)
{
    static char address[SOMA_ADDRESS_MOST + 1];
    const char *list = getenv("SOMA_NAMESERVICE");
    snprintf(address, sizeof(address), "%s", list && *list ? list : SOMA_NAMESERVICE_DEFAULT);
    address[strcspn(address, ",")] = '\0';
    return address;
}

int nodes_look(struct tool *tool, json_t **nodes)
{
    soma_proxy *proxy;
    soma_value value;
    *nodes = NULL;
    if (!tool->at) // a name server knows all nodes that use it
        tool->at = nameserver_first();
    int status = tool_proxy(tool, SOMA_NODE, &proxy);
    if (status)
        return status;
    int error = soma_proxy_get(proxy, tool->timeout, NULL, &value);
    if (error)
        status = tool_fail(tool, error, "%s", soma_proxy_error(proxy));
    soma_proxy_close(&proxy);
    json_t *first = error ? NULL : value_json(value);
    soma_value_destroy(&value);
    *nodes = first ? json_array() : NULL;
    if (!*nodes)
        return status ? status : tool_fail(tool, SOMA_ENOMEM, "%s", soma_strerror(SOMA_ENOMEM));
    json_array_append_new(*nodes, first);
    size_t i;
    json_t *peer;
    json_array_foreach(json_object_get(first, "peers"), i, peer)
    {
        bool wanted = tool->all || !json_is_true(json_object_get(peer, "down"));
        if (wanted && !is_this(tool, peer))
            json_array_append_new(*nodes, peer_look(tool, peer));
    }
    return STATUS_FINE;
}

const char *node_text(json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text ? text : "";
}

json_int_t node_number(json_t *node, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(node, "stats"), key));
}

bool node_answers(json_t *node)
{
    return json_object_get(node, "stats");
}

int command_nodes(struct tool *tool)
{
    json_t *nodes, *node;
    size_t i;
    int status = nodes_look(tool, &nodes);
    if (status)
        return status;
    if (tool->json)
        return tool_print(tool, nodes);
    printf("%-16s %-20s %-7s %10s %10s  %s\n", "NODE", "NAME", "STATE", "UPTIME", "AGENTS", "ADDRESS");
    json_array_foreach(nodes, i, node)
    {
        bool answers = node_answers(node);
        printf("%-16s %-20s %-7s ", node_text(node, "node"), node_text(node, "name"),
               answers                                       ? "up"
               : json_is_true(json_object_get(node, "down")) ? "down"
                                                             : "silent");
        if (answers)
            printf("%9.0fs %10lld  %s\n", json_number_value(json_object_get(node, "uptime")),
                   (long long)node_number(node, "agents"),
                   json_string_value(json_array_get(json_object_get(node, "addresses"), 0))
                       ? json_string_value(json_array_get(json_object_get(node, "addresses"), 0))
                       : "");
        else
            printf("%10s %10s\n", "", "");
    }
    json_decref(nodes);
    return STATUS_FINE;
}
