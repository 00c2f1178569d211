/* `soma run`: an agent from a shared object, as a node of its own. See soma.h. */
#include "soma.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** @cond internal */
SOMA_MESSAGE(host_register, (ref, names), (string, name)) /* -> soma_name_done, whenever a name server has taken it */
/** @endcond */

/* An agent that registers the one that is hosted, waits for its end, and tells main. */
struct host {
    const soma_behavior *behavior;
    soma_ref agent, self;
    soma_handle promise; /* to main, which may not wait any more */
    int reason;
    char text[256]; /* what has happened */
};

static int host_init(soma_agent *self, void *state, const void *arg)
{
    struct host *host = *(struct host **)state = (struct host *)(uintptr_t)arg;
    host->self = soma_self(self);
    soma_handle monitor = soma_spawn_monitor(self, host->behavior, NULL, &host->agent);
    return monitor < 0 ? (int)monitor : 0;
}

static int on_down(soma_agent *self, struct host **my, const struct soma_down *m)
{
    struct host *host = *my;
    host->reason = m->reason;
    snprintf(host->text, sizeof(host->text), "has ended: %s", m->text ? m->text : soma_strerror(m->reason));
    return soma_system_stop(soma_agent_system(self));
}

/* `holder`: who has the name, or the null ref. Main reads that as soon as it has the reply. */
static int host_refused(soma_agent *self, struct host *host, int error, soma_ref holder)
{
    char ref[REF_TEXT_SIZE];
    host->reason = error;
    if (error == SOMA_ESTATE)
        snprintf(host->text, sizeof(host->text),
                 "is not registered: the name server follows another one, which alone takes names; its address is to be"
                 " the first of --nameserver");
    else if (soma_ref_is_null(holder))
        snprintf(host->text, sizeof(host->text), "is not registered: %s", soma_strerror(error));
    else
        snprintf(host->text, sizeof(host->text), "is not registered: %s has the name", ref_text(holder, ref));
    soma_reply_error_to(self, host->promise, error);
    return soma_system_stop(soma_agent_system(self));
}

static int on_registered(soma_agent *self, struct host **my, const struct soma_name_registered *m)
{
    if (m->error)
        return host_refused(self, *my, m->error, m->holder);
    soma_reply_to(self, (*my)->promise, soma_name_done);
    return 0;
}

static int on_not_registered(soma_agent *self, struct host **my, const int *error)
{
    return host_refused(self, *my, *error, SOMA_REF_NULL);
}

static int on_register(soma_agent *self, struct host **my, const struct host_register *m)
{
    (*my)->promise = soma_reply_later(self);
    if (soma_request(self, m->names, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_registered, on_not_registered),
                     soma_name_register, .name = m->name, .agent = (*my)->agent, .timeout = SOMA_NEVER) < 0)
        return host_refused(self, *my, SOMA_ENOMEM, SOMA_REF_NULL);
    return 0;
}

static const soma_behavior host_behavior = {
    .name = "host",
    .state_size = sizeof(struct host *),
    .init = host_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_down), SOMA_ON(host_register, on_register))};

/* By path: dlopen() itself would look for a bare name elsewhere. The library stays until the process ends. */
static int behavior_load(const struct tool *tool, const soma_behavior **behavior)
{
    char *path = realpath(tool->arguments[0], NULL);
    if (!path)
        return tool_fail(tool, SOMA_ENOENT, "%s: %s", tool->arguments[0], strerror(errno));
    void *library = dlopen(path, RTLD_NOW);
    free(path);
    if (!library)
        return tool_fail(tool, SOMA_ENOENT, "%s", dlerror());
    *behavior = dlsym(library, tool->arguments[1]);
    if (!*behavior)
        return tool_fail(tool, SOMA_ENOENT, "%s has no behavior '%s'", tool->arguments[0], tool->arguments[1]);
    return STATUS_FINE;
}

/* Sets attributes before anybody else can reach it, and gives it its name. */
static int agent_introduce(struct tool *tool, const struct host *host, soma_value attributes, const char *name)
{
    soma_proxy *proxy;
    int error = soma_proxy_open_ref(tool->system, host->agent, &proxy), status = STATUS_FINE;
    if (error)
        return tool_fail(tool, error, "%s", soma_strerror(error));
    if (tool->count > 2 && (error = soma_proxy_set(proxy, tool->timeout, NULL, attributes)))
        status = tool_fail(tool, error, "%s", soma_proxy_error(proxy));
    soma_proxy_close(&proxy);
    if (status)
        return status;
    error = soma_name_set(tool->system, host->agent, name);
    return error ? tool_fail(tool, error, "'%s': %s", name, soma_strerror(error)) : STATUS_FINE;
}

/* With a name service, if one was said to be there. If that can't be reached yet, it will be whenever it can. */
static int agent_register(struct tool *tool, const struct host *host, const char *name)
{
    struct soma_name_done done;
    if (!getenv("SOMA_NAMESERVICE"))
        return STATUS_FINE;
    int status = tool_names(tool);
    if (status)
        return status;
    int error = soma_call(tool->system, host->self, tool->timeout, &done, soma_name_done, host_register,
                          .names = soma_names_agent(tool->names), .name = name);
    if (!error)
        return STATUS_FINE;
    if (error != SOMA_ETIMEOUT)
        return tool_fail(tool, error, "'%s' %s", name, host->text);
    tool_fail(tool, error, "'%s' is not registered: no name server was reached yet; it will be when one is", name);
    return STATUS_FINE;
}

static int agent_run(struct tool *tool, const struct host *host, const char *name)
{
    const char *address = soma_bridge_address(tool->bridge, 0);
    if (tool->json)
        tool_print(tool, json_pack("{ssss}", "agent", name, "address", address));
    else
        printf("%s runs at %s\n", name, address);
    fflush(stdout);
    soma_system_run(tool->system);
    if (host->reason && host->reason != SOMA_ESHUTDOWN)
        return tool_fail(tool, host->reason, "%s %s", name, host->text);
    return STATUS_FINE;
}

int command_run(struct tool *tool)
{
    static struct host host; // it may be written to until the system is closed
    soma_value attributes;
    int status = tool_json(tool, 2, &attributes);
    if (!status && tool->count > 2 && soma_value_get_kind(attributes) != SOMA_VALUE_MAP)
        status = tool_misused(tool, "'%s' is no object of attributes", tool->arguments[2]);
    if (!status)
        status = behavior_load(tool, &host.behavior);
    if (!tool->name)
        tool->name = tool->arguments[1];
    if (!status)
        status = tool_open(tool, tool->bind ? tool->bind : "tcp://127.0.0.1");
    if (!status) {
        int error = soma_spawn(tool->system, &host_behavior, &host, NULL);
        status = error ? tool_fail(tool, error, "'%s' can't start: %s", tool->name, soma_strerror(error))
                       : agent_introduce(tool, &host, attributes, tool->name);
    }
    if (!status)
        status = agent_register(tool, &host, tool->name);
    soma_value_destroy(&attributes);
    return status ? status : agent_run(tool, &host, tool->name);
}
