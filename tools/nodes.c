/* `soma nodes`, and how nodes are read from their rows. See nodes.h. */
#include "nodes.h"
#include <string.h>

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

bool node_is_hidden(json_t *node)
{
    return json_is_false(json_object_get(node, "reachable")) && !json_is_true(json_object_get(node, "down"));
}

int nodes_check(const struct tool *tool, const struct nodes *nodes)
{
    if (nodes_heard(nodes))
        return STATUS_FINE;
    return tool_fail(tool, SOMA_ETIMEOUT, "%s has not answered in time",
                     tool->at ? tool->at : "the name server's node");
}

/* The first address, where a name server of the node's is. */
static const char *node_address(json_t *node)
{
    const char *address = json_string_value(json_array_get(json_object_get(node, "addresses"), 0));
    return address ? address : "";
}

#define SERVER_TIME SOMA_SECOND /* for a node that has just answered */

/* What the node's name server shows, if it has one. */
static void nameserver_look(const struct tool *tool, json_t *node)
{
    soma_proxy *proxy;
    soma_value value;
    uint64_t limit = tool->timeout < SERVER_TIME ? tool->timeout : SERVER_TIME;
    if (!node_answers(node) || !*node_address(node) ||
        soma_proxy_open_at(tool->system, tool->bridge, node_address(node), SOMA_NAMESERVER, &proxy))
        return;
    if (!soma_proxy_get(proxy, limit, NULL, &value))
        json_object_set_new(node, "nameserver", value_json(value));
    soma_value_destroy(&value);
    soma_proxy_close(&proxy);
}

static void node_print(json_t *node)
{
    json_t *server = json_object_get(node, "nameserver");
    const char *first = json_string_value(json_object_get(server, "following"));
    printf("%-16s %-20s %-7s ", node_text(node, "node"), node_text(node, "name"), node_text(node, "state"));
    if (!node_answers(node)) {
        printf("%10s %10s  %s\n", "", "", node_is_hidden(node) ? "it listens nowhere, and can't be asked" : "");
        return;
    }
    printf("%9.0fs %10lld  %s", json_number_value(json_object_get(node, "uptime")),
           (long long)node_number(node, "agents"), node_address(node));
    if (first && *first)
        printf("  name server, follows %s%s", first,
               json_is_true(json_object_get(server, "alone")) ? ", which it can't reach (yet)" : "");
    else if (server)
        printf("  name server");
    printf("\n");
}

int command_nodes(struct tool *tool)
{
    struct nodes *nodes;
    json_t *rows = NULL, *node;
    size_t i;
    int status = nodes_open(tool, NULL, -1, &nodes);
    if (!status) {
        nodes_look(nodes, tool->timeout);
        status = nodes_check(tool, nodes);
    }
    if (!status)
        rows = nodes_rows(nodes);
    nodes_close(nodes);
    if (status)
        return status;
    json_array_foreach(rows, i, node) nameserver_look(tool, node);
    if (tool->json)
        return tool_print(tool, rows);
    printf("%-16s %-20s %-7s %10s %10s  %s\n", "NODE", "NAME", "STATE", "UPTIME", "AGENTS", "ADDRESS");
    json_array_foreach(rows, i, node) node_print(node);
    json_decref(rows);
    return STATUS_FINE;
}
