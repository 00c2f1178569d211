/* The commands of the name service: starting one, and looking at what it has. See soma.h. */
#include "soma.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tool_names(struct tool *tool)
{
    int status = tool->system ? STATUS_FINE : tool_open(tool, NULL);
    if (status || tool->names)
        return status;
    const char *const at[] = {tool->at, NULL};
    const soma_names_options options = {.addresses = tool->at ? at : NULL};
    int error = soma_names_open(tool->system, tool->bridge, &options, &tool->names);
    if (error == SOMA_EINVAL || error == SOMA_ETOOBIG)
        return tool_misused(tool, "%s '%s' is no address of a name service: %s",
                            tool->at ? "--at (SOMA_AT)" : "--nameserver (SOMA_NAMESERVICE)",
                            tool->at ? tool->at : getenv("SOMA_NAMESERVICE"), soma_strerror(error));
    return error ? tool_fail(tool, error, "the name server can't be used: %s", soma_strerror(error)) : STATUS_FINE;
}

int names_fail(const struct tool *tool, int error)
{
    const char *tried = tool->at ? tool->at : getenv("SOMA_NAMESERVICE");
    if (error != SOMA_ETIMEOUT)
        return tool_fail(tool, error, "%s", soma_strerror(error));
    return tool_fail(tool, error, "no name server was reached in time at %s",
                     tried && *tried ? tried : SOMA_NAMESERVICE_DEFAULT);
}

/* ---- starting one ---- */

/* An agent that stops the system when the server has ended. */
static int server_watch(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    soma_handle monitor = soma_monitor(self, *(const soma_ref *)arg);
    return monitor < 0 ? (int)monitor : 0;
}

static int on_server_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)my, (void)m;
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior watch_behavior = {
    .name = "watch", .init = server_watch, .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_server_down))};

int command_nameserver(struct tool *tool)
{
    soma_ref server;
    int status = tool_open(tool, tool->bind ? tool->bind : SOMA_NAMESERVICE_DEFAULT);
    if (status)
        return status;
    const char *const follow[] = {tool->follow, NULL};
    const soma_nameserver_options options = {.follow = tool->follow ? follow : NULL, .bridge = tool->bridge};
    int error = soma_nameserver_start(tool->system, &options, &server);
    if (!error)
        error = soma_spawn(tool->system, &watch_behavior, &server, NULL);
    const char *address = soma_bridge_address(tool->bridge, 0);
    if (error == SOMA_EINVAL && tool->follow)
        return tool_misused(tool, "--follow '%s' is %s", tool->follow,
                            strcmp(tool->follow, address) ? "no address of a name server"
                                                          : "where this one listens itself: it can't follow itself");
    if (error)
        return tool_fail(tool, error, "can't start: %s", soma_strerror(error));
    if (tool->json)
        tool_print(tool, json_pack("{ss}", "address", address));
    else
        printf("the name server is at %s\n", address);
    fflush(stdout);
    soma_system_run(tool->system);
    return STATUS_FINE;
}

/* ---- what it has ---- */

/* A name with all that is known of it. */
static json_t *name_json(const struct soma_name *name)
{
    char ref[REF_TEXT_SIZE];
    json_t *aliases = json_object();
    for (uint32_t i = 0; i < name->aliases.count; i++)
        json_object_set_new(aliases, name->aliases.items[i].alias, json_string(name->aliases.items[i].address));
    return json_pack("{sssssoso}", "name", name->name, "ref", ref_text(name->agent, ref), "attributes",
                     value_json(name->attributes), "aliases", aliases);
}

/* One line a name: for people its aliases are as many lines below. */
static void name_print(const struct tool *tool, const char *event, const struct soma_name *name)
{
    json_t *json = name_json(name);
    if (tool->json) {
        if (event)
            json_object_set_new(json, "event", json_string(event));
        tool_print(tool, json);
        return;
    }
    char *attributes = name->attributes.size ? json_dumps(json_object_get(json, "attributes"), JSON_COMPACT) : NULL;
    printf("%s%s%-24s %s%s%s\n", event ? event : "", event ? " " : "", name->name,
           json_string_value(json_object_get(json, "ref")), attributes ? " " : "", attributes ? attributes : "");
    for (uint32_t i = 0; i < name->aliases.count; i++)
        printf("  %-22s %s\n", name->aliases.items[i].alias, name->aliases.items[i].address);
    free(attributes);
    json_decref(json);
}

int command_ls(struct tool *tool)
{
    char after[SOMA_NAME_MOST + 1] = "";
    bool more = true;
    tool->only_looks = true;
    int error = 0, status = tool_names(tool);
    if (status)
        return status;
    while (more && !error) {
        struct soma_name_page page;
        error = soma_names_list(tool->names, tool->count ? tool->arguments[0] : NULL, *after ? after : NULL, 0,
                                tool->timeout, &page);
        for (uint32_t i = 0; i < page.names.count; i++)
            name_print(tool, NULL, &page.names.items[i]);
        more = page.more && page.names.count;
        if (more)
            snprintf(after, sizeof(after), "%s", page.names.items[page.names.count - 1].name);
        soma_name_page_destroy(&page);
    }
    return error ? names_fail(tool, error) : STATUS_FINE;
}

int command_addr(struct tool *tool)
{
    char address[SOMA_ADDRESS_MOST + 1];
    soma_proxy *proxy;
    tool->only_looks = true;
    int status = tool_proxy(tool, tool->arguments[0], &proxy);
    if (status)
        return status;
    int error = soma_proxy_address(proxy, tool->timeout, tool->arguments[1], address);
    status = proxy_done(tool, &proxy, error);
    return status ? status : tool_print(tool, json_string(address));
}

/* ---- changes ---- */

static void event_print(void *context, const struct soma_name_event *event)
{
    static const char *const names[] = {"added", "changed", "removed", "current", "stale"};
    const struct tool *tool = context;
    const char *what = event->event < sizeof(names) / sizeof(*names) ? names[event->event] : "?";
    if (event->event < SOMA_NAME_CURRENT)
        name_print(tool, what, &event->name);
    else if (tool->json)
        tool_print(tool, json_pack("{ss}", "event", what));
    else
        printf("%s\n", what);
    if (fflush(stdout))
        soma_system_stop(tool->system); // nobody reads it any more
}

int command_watch(struct tool *tool)
{
    soma_ref watcher;
    int status = tool_names(tool);
    if (status)
        return status;
    int error = soma_system_stop_on_signals(tool->system);
    if (!error)
        error = soma_names_server(tool->names, tool->timeout, NULL);
    if (!error)
        error = soma_names_watch(tool->names, tool->count ? tool->arguments[0] : NULL, event_print, tool, &watcher);
    if (error)
        return names_fail(tool, error);
    soma_system_run(tool->system);
    return STATUS_FINE;
}
