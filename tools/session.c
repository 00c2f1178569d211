/* What all commands need: a system and a bridge, proxies, errors, JSON in and out. See soma.h. */
#include "soma.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

static int status_of(int error)
{
    switch (error) {
    case SOMA_ENOENT:
    case SOMA_EGONE:
        return STATUS_MISSING;
    case SOMA_ETIMEOUT:
    case SOMA_ENODEDOWN:
    case SOMA_ENOROUTE:
        return STATUS_UNREACHED;
    default:
        return STATUS_FAILED;
    }
}

/* In one piece, as the log's thread writes such lines, too; and ends it. */
static void json_say(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", text ? text : "{}");
    free(text);
    json_decref(json);
}

static void error_say(const struct tool *tool, int error, const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof(text), format, arguments);
    if (tool->leave)
        tool->leave();
    if (!tool->json) {
        fprintf(stderr, "soma: %s\n", text);
        return;
    }
    json_say(json_pack("{s{siss}}", "error", "code", error, "text", text));
}

int tool_fail(const struct tool *tool, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_say(tool, error, format, arguments);
    va_end(arguments);
    return status_of(error);
}

int tool_misused(const struct tool *tool, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_say(tool, SOMA_EINVAL, format, arguments);
    va_end(arguments);
    return STATUS_USAGE;
}

/* ---- opening and closing ---- */

/* The keys in addresses, `tcp://IP:PORT KEY` with commas between, one a line: whoever gives them trusts them. */
static void keys_in(const char *addresses, char *keys, size_t size)
{
    size_t length = 0;
    *keys = '\0';
    while (addresses && *addresses) {
        addresses += strspn(addresses, " ");
        size_t end = strcspn(addresses, ","), space = strcspn(addresses, " ");
        if (space < end && length + end - space < size)
            length +=
                (size_t)snprintf(keys + length, size - length, "%.*s\n", (int)(end - space - 1), addresses + space + 1);
        addresses += end + (addresses[end] == ',');
    }
}

/* What is on its way at the end has as long as an answer would. */
static uint32_t close_time(const struct tool *tool)
{
    uint64_t time = tool->timeout / SOMA_MS;
    if (tool->only_looks) // a silent node would take all of it
        return 100;
    return time < 5000 ? (uint32_t)time + 1 : 5000;
}

/* Quiet, unless something else is wanted. */
static soma_log_level level_of(const struct tool *tool)
{
    if (tool->verbose)
        return SOMA_LOG_INFO;
    return getenv("SOMA_LOG_LEVEL") ? SOMA_LOG_DEFAULT : SOMA_LOG_ERROR;
}

/* The log's sink where all on standard error is to be JSON. */
static void log_say(void *context, const soma_log_record *record)
{
    (void)context;
    json_say(json_pack("{s{sfsssssssI}}", "log", "time", (double)record->time / (double)SOMA_SECOND, "level",
                       soma_log_level_name(record->level), "from", record->origin, "text", record->text, "dropped",
                       (json_int_t)record->dropped));
}

int tool_open(struct tool *tool, const char *bind)
{
    const char *const addresses[] = {bind, NULL};
    const soma_options options = {
        .workers = bind ? 0 : 1, .log_level = level_of(tool), .log_sink = tool->json ? log_say : NULL};
    char keys[1024];
    char name[64]; // of a node, which has shorter ones than agents have
    snprintf(name, sizeof(name), "%s", tool->name ? tool->name : tool->command->name);
    keys_in(tool->at ? tool->at : getenv("SOMA_NAMESERVICE"), keys, sizeof(keys));
    const soma_bridge_options bridge = {.name = name,
                                        .bind = addresses,
                                        .insecure = tool->insecure,
                                        .on_demand = !bind && !tool->meets_all,
                                        .close_ms = close_time(tool),
                                        .secret_file = tool->secret_file,
                                        .allowed = *keys && !tool->allowed_file ? keys : NULL,
                                        .allowed_file = tool->secret_file ? tool->allowed_file : NULL};
    int error = soma_system_open(&tool->system, &options);
    if (!error && bind)
        error = soma_system_stop_on_signals(tool->system);
    if (!error)
        error = soma_bridge_open(tool->system, &bridge, &tool->bridge);
    if (error == SOMA_EEXIST)
        return tool_fail(tool, error, "can't listen at %s: it is in use", bind);
    bool logged = error == SOMA_ENOENT || error == SOMA_EFORMAT || error == SOMA_EINVAL; // of files, keys, addresses
    return error ? tool_fail(tool, error, "can't begin: %s%s", soma_strerror(error),
                             logged ? "; the log says of what" : "")
                 : STATUS_FINE;
}

void tool_close(struct tool *tool)
{
    soma_names_close(&tool->names);
    soma_system_close(&tool->system);
}

const char *agent_text(const char *name)
{
    return name ? name : "the name server";
}

const char *ref_text(soma_ref ref, char text[REF_TEXT_SIZE])
{
    snprintf(text, REF_TEXT_SIZE, "%016llx/%u/%u", (unsigned long long)ref.node, ref.slot, ref.generation);
    return text;
}

int tool_proxy(struct tool *tool, const char *name, soma_proxy **proxy)
{
    int status = STATUS_FINE;
    if (!tool->at || !name)
        status = tool_names(tool);
    else if (!tool->system)
        status = tool_open(tool, NULL);
    if (status)
        return status;
    int error = !name      ? soma_proxy_open_server(tool->system, tool->names, proxy)
                : tool->at ? soma_proxy_open_at(tool->system, tool->bridge, tool->at, name, proxy)
                           : soma_proxy_open_named(tool->system, tool->names, name, proxy);
    return error ? tool_fail(tool, error, "%s: %s", agent_text(name), soma_strerror(error)) : STATUS_FINE;
}

/* ---- JSON ---- */

/* Was a text meant, without its quotes? */
static bool is_bare_text(const char *text)
{
    return *text && !strpbrk(text, "{}[]\"") && strspn(text, "+-.0123456789eE") != strlen(text);
}

static int argument_json(const struct tool *tool, const char *text, soma_value *value)
{
    json_error_t wrong;
    int error = soma_value_from_json(text, strlen(text), value);
    if (!error)
        return STATUS_FINE;
    if (is_bare_text(text))
        return tool_misused(tool, "'%s' is no JSON; a text needs quotes of its own: '\"%s\"'", text, text);
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &wrong);
    json_decref(json);
    return json ? tool_misused(tool, "no value can be made of the JSON '%s': %s", text, soma_strerror(error))
                : tool_misused(tool, "'%s' is no JSON that a value can be made of: %s", text, wrong.text);
}

static int arguments_json(const struct tool *tool, int from, soma_value_builder *builder, soma_value *value)
{
    soma_value item, all;
    soma_value_begin_array(builder);
    for (int i = from; i < tool->count; i++) {
        int status = argument_json(tool, tool->arguments[i], &item);
        if (status)
            return status;
        soma_value_add_value(builder, item);
        soma_value_destroy(&item);
    }
    soma_value_end(builder);
    int error = soma_value_builder_finish(builder, &all);
    if (!error)
        error = soma_value_copy(value, all);
    return error ? tool_fail(tool, error, "%s", soma_strerror(error)) : STATUS_FINE;
}

int tool_json(const struct tool *tool, int from, soma_value *value)
{
    soma_value_builder *builder;
    *value = SOMA_VALUE_NONE;
    if (tool->count <= from)
        return STATUS_FINE;
    if (tool->count == from + 1)
        return argument_json(tool, tool->arguments[from], value);
    int error = soma_value_builder_open(&builder);
    if (error)
        return tool_fail(tool, error, "%s", soma_strerror(error));
    int status = arguments_json(tool, from, builder, value);
    soma_value_builder_close(&builder);
    return status;
}

json_t *value_json(soma_value value)
{
    char *text;
    if (soma_value_to_json(value, &text))
        return NULL;
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    free(text);
    return json;
}

int tool_print(const struct tool *tool, json_t *json)
{
    if (!json)
        return tool_fail(tool, SOMA_ETYPE, "that has no form in JSON");
    if (json_is_string(json) && !tool->json)
        fputs(json_string_value(json), stdout);
    else
        json_dumpf(json, stdout, JSON_ENCODE_ANY | (tool->json ? JSON_COMPACT : JSON_INDENT(2)));
    fputc('\n', stdout);
    json_decref(json);
    return STATUS_FINE;
}
