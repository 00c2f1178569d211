/* The commands that speak to one agent by its proxy. See soma.h. */
#include "soma.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A proxy for the first argument; for the name server if there is none. */
static int agent_proxy(struct tool *tool, soma_proxy **proxy)
{
    return tool_proxy(tool, tool->arguments[0], proxy); // NULL without
}

int proxy_done(const struct tool *tool, soma_proxy **proxy, int error)
{
    bool serverless = error == SOMA_ETIMEOUT && tool->names && soma_names_server(tool->names, SOMA_MS, NULL);
    int status = STATUS_FINE;
    if (serverless)
        status = names_fail(tool, error);
    else if (error)
        status = tool_fail(tool, error, "%s", soma_proxy_error(*proxy));
    soma_proxy_close(proxy);
    return status;
}

int command_ping(struct tool *tool)
{
    soma_proxy *proxy;
    tool->only_looks = true;
    int status = agent_proxy(tool, &proxy);
    if (status)
        return status;
    soma_ref ref;
    int error = soma_proxy_ref(proxy, tool->timeout, &ref); // so that finding it does not count
    uint64_t begun = soma_now(tool->system);
    if (!error)
        error = soma_proxy_ping(proxy, tool->timeout);
    double took = (double)(soma_now(tool->system) - begun) / (double)SOMA_MS;
    status = proxy_done(tool, &proxy, error);
    if (status)
        return status;
    if (tool->json)
        return tool_print(tool, json_pack("{sssf}", "agent", agent_text(tool->arguments[0]), "ms", took));
    printf("%s has answered in %.3f ms\n", agent_text(tool->arguments[0]), took);
    return STATUS_FINE;
}

int command_wait(struct tool *tool)
{
    soma_proxy *proxy;
    tool->only_looks = true;
    int status = agent_proxy(tool, &proxy);
    return status ? status : proxy_done(tool, &proxy, soma_proxy_wait(proxy, tool->timeout));
}

static int value_print(const struct tool *tool, soma_value value)
{
    return tool_print(tool, value_json(value));
}

int command_call(struct tool *tool)
{
    soma_value arguments, result;
    soma_proxy *proxy;
    int status = tool_json(tool, 2, &arguments);
    if (status)
        return status;
    status = agent_proxy(tool, &proxy);
    if (!status)
        status =
            proxy_done(tool, &proxy, soma_proxy_call(proxy, tool->timeout, tool->arguments[1], arguments, &result));
    soma_value_destroy(&arguments);
    if (status)
        return status;
    status = value_print(tool, result);
    soma_value_destroy(&result);
    return status;
}

/* Closing the bridge waits until the other node has it. */
int command_send(struct tool *tool)
{
    soma_value arguments;
    soma_proxy *proxy;
    soma_ref ref;
    int status = tool_json(tool, 2, &arguments);
    if (status)
        return status;
    status = agent_proxy(tool, &proxy);
    if (!status)
        status = proxy_done(tool, &proxy, soma_proxy_ref(proxy, tool->timeout, &ref));
    if (!status) {
        int error = soma_send(tool->system, ref, soma_invoke, .method = tool->arguments[1], .arguments = arguments);
        if (error)
            status = tool_fail(tool, error, "%s", soma_strerror(error));
        else if (soma_bridge_close(&tool->bridge))
            status =
                tool_fail(tool, SOMA_ETIMEOUT, "'%s' may not have got '%s': its node has not acknowledged it in time",
                          tool->arguments[0], tool->arguments[1]);
    }
    soma_value_destroy(&arguments);
    return status;
}

int command_get(struct tool *tool)
{
    soma_proxy *proxy;
    soma_value value;
    tool->only_looks = true;
    int status = agent_proxy(tool, &proxy);
    if (status)
        return status;
    status = proxy_done(tool, &proxy,
                        soma_proxy_get(proxy, tool->timeout, tool->count > 1 ? tool->arguments[1] : NULL, &value));
    if (status)
        return status;
    status = value_print(tool, value);
    soma_value_destroy(&value);
    return status;
}

int command_set(struct tool *tool)
{
    soma_proxy *proxy;
    soma_value value;
    int status = tool_json(tool, 2, &value);
    if (status)
        return status;
    status = agent_proxy(tool, &proxy);
    if (!status)
        status = proxy_done(tool, &proxy, soma_proxy_set(proxy, tool->timeout, tool->arguments[1], value));
    soma_value_destroy(&value);
    return status;
}

int command_kill(struct tool *tool)
{
    soma_proxy *proxy;
    int status = agent_proxy(tool, &proxy);
    return status ? status : proxy_done(tool, &proxy, soma_proxy_kill(proxy, tool->timeout));
}

static int all_end(struct tool *tool)
{
    int status = tool_names(tool);
    if (status)
        return status;
    int error = soma_names_server(tool->names, tool->timeout, NULL);
    if (error)
        return names_fail(tool, error);
    error = soma_names_shutdown(tool->names, NULL, tool->timeout);
    return error ? tool_fail(tool, error, "not all have ended: %s", soma_strerror(error)) : STATUS_FINE;
}

int command_shutdown(struct tool *tool)
{
    bool one = tool->count || !(tool->all || tool->server);
    soma_proxy *proxy;
    if (one && (!tool->count || tool->all || tool->server))
        return tool_misused(tool, "'shutdown' takes either: AGENT, or --all, --server or both");
    int status = tool->all ? all_end(tool) : STATUS_FINE;
    if (status || (!one && !tool->server))
        return status;
    status = agent_proxy(tool, &proxy);
    return status ? status : proxy_done(tool, &proxy, soma_proxy_shutdown(proxy, tool->timeout));
}

/* ---- info ---- */

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A value, if it is short enough for a line; numbers as people like them. The caller frees it. */
static char *value_text(json_t *value)
{
    if (!value || json_is_object(value) || json_is_array(value))
        return NULL;
    if (!json_is_real(value))
        return json_dumps(value, JSON_ENCODE_ANY);
    double number = json_real_value(value), size = fabs(number);
    char *text = malloc(32);
    if (text)
        snprintf(text, 32, size < 1 || size > 1e15 ? "%.6g" : "%.3f", number);
    return text;
}

static void attribute_print(json_t *row)
{
    char *value = value_text(json_object_get(row, "value"));
    printf("  %-20s %-7s %-4s %-16s %s\n", text_of(row, "name"), text_of(row, "type"),
           json_is_true(json_object_get(row, "settable")) ? "" : "read", value ? value : "", text_of(row, "about"));
    free(value);
}

static void info_print(json_t *info)
{
    size_t i;
    json_t *row;
    printf("%s: %s %s\n", text_of(info, "agent"), text_of(info, "behavior"), text_of(info, "ref"));
    if (json_array_size(json_object_get(info, "methods")))
        printf("methods\n");
    json_array_foreach(json_object_get(info, "methods"), i, row)
        printf("  %-20s %s\n", text_of(row, "name"), text_of(row, "about"));
    if (json_array_size(json_object_get(info, "attributes")))
        printf("attributes\n");
    json_array_foreach(json_object_get(info, "attributes"), i, row) attribute_print(row);
}

/* What the attributes are now, beside what they are; an agent may fail to tell. */
static void values_add(const struct tool *tool, soma_proxy *proxy, json_t *info)
{
    size_t i;
    soma_value value;
    json_t *row, *values = soma_proxy_get(proxy, tool->timeout, NULL, &value) ? NULL : value_json(value);
    json_array_foreach(json_object_get(info, "attributes"), i, row)
    {
        json_t *now = json_object_get(values, text_of(row, "name"));
        if (now)
            json_object_set(row, "value", now);
    }
    json_decref(values);
    soma_value_destroy(&value);
}

int command_info(struct tool *tool)
{
    soma_proxy *proxy;
    soma_value value;
    soma_ref ref = SOMA_REF_NULL;
    char text[REF_TEXT_SIZE];
    tool->only_looks = true;
    int status = agent_proxy(tool, &proxy);
    if (status)
        return status;
    int error = soma_proxy_describe(proxy, tool->timeout, &value);
    if (!error)
        error = soma_proxy_ref(proxy, tool->timeout, &ref);
    json_t *info = error ? NULL : value_json(value);
    soma_value_destroy(&value);
    if (info)
        values_add(tool, proxy, info);
    status = proxy_done(tool, &proxy, error);
    if (status)
        return status;
    if (!info || json_object_set_new(info, "agent", json_string(agent_text(tool->arguments[0]))) ||
        json_object_set_new(info, "ref", json_string(ref_text(ref, text))))
        return tool_fail(tool, SOMA_ENOMEM, "%s", soma_strerror(SOMA_ENOMEM));
    if (tool->json)
        return tool_print(tool, info);
    info_print(info);
    json_decref(info);
    return STATUS_FINE;
}

/* ---- keys ---- */

/* The secret key goes into a file that nobody else may read, as soma_bridge_options wants it. */
static int secret_write(const struct tool *tool, const char *path, const char *secret)
{
    FILE *file = fopen(path, "wxe");
    if (!file)
        return tool_fail(tool,
                         errno == ENOENT   ? SOMA_ENOENT
                         : errno == EEXIST ? SOMA_EEXIST
                                           : SOMA_EINVAL,
                         "can't make %s: %s", path, strerror(errno));
    if (fchmod(fileno(file), 0600) || fprintf(file, "%s\n", secret) < 0 || fclose(file))
        return tool_fail(tool, SOMA_EINVAL, "can't write %s: %s", path, strerror(errno));
    return STATUS_FINE;
}

int command_keygen(struct tool *tool)
{
    char public_key[SOMA_BRIDGE_KEY_SIZE], secret_key[SOMA_BRIDGE_KEY_SIZE];
    int error = soma_bridge_keygen(public_key, secret_key);
    if (error)
        return tool_fail(tool, error, "%s", soma_strerror(error));
    const char *path = tool->count ? tool->arguments[0] : NULL;
    int status = path ? secret_write(tool, path, secret_key) : STATUS_FINE;
    if (!status && tool->json)
        status = tool_print(tool, json_pack("{ssss*}", "public", public_key, "secret", path ? NULL : secret_key));
    else if (!status && path)
        printf("%s\n", public_key);
    else if (!status)
        printf("public %s\nsecret %s\n", public_key, secret_key);
    explicit_bzero(secret_key, sizeof(secret_key));
    return status;
}
