/*
 * Channels and methods: methods that handle what comes through a channel, and the methods of an agent that is wired
 * from outside. See SOMA_BY_METHOD and soma_channel_agent in soma/channel.h.
 */
#include "channels/arguments.h"
#include "channels/channel.h"
#include "channels/options.h"
#include "runtime/method.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <soma/timer.h>
#include <string.h>

/* ---- methods as handlers ---- */

int method_deliver(soma_agent *self, void *state, const char *method, const soma_type *type, const void *message)
{
    soma_value_builder *builder = NULL;
    soma_value arguments = SOMA_VALUE_NONE;
    int error = 0;
    if (type_same(&soma_data_type, type)) {
        arguments = ((const struct soma_data *)message)->value;
    } else {
        error = soma_value_builder_open(&builder);
        if (!error)
            error = soma_type_to_value(type, message, builder);
        if (!error)
            error = soma_value_builder_finish(builder, &arguments);
    }
    if (error)
        soma_reply_error(self, error);
    else
        error = method_run(self, state, method, arguments);
    soma_value_builder_close(&builder);
    if (error) {
        const char *said = channel_refused(self, error);
        soma_log_warning(self, "method '%s' can't handle what came: %s", method, said ? said : soma_strerror(error));
    }
    return 0;
}

/* ---- the methods ---- */

static int defaults(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    struct given_options given;
    (void)state, (void)result;
    if (soma_value_get_kind(arguments) == SOMA_VALUE_NIL)
        return soma_channel_defaults(self, NULL);
    int error = entries_check(self, arguments, ENTRIES("place", "serializer", "linger_ms"), false);
    if (!error)
        error = options_get(self, arguments, true, &given);
    if (error)
        return error;
    error = soma_channel_defaults(self, &given.options);
    options_forget(&given);
    return error == SOMA_EINVAL ? soma_fail(self, error,
                                            "all channels can't have that: a place is a transport or tcp://IP, a "
                                            "serializer one that there is, a linger_ms at most 2147483647")
                                : error;
}

/* With all topics that its handlers are for, or not at all. */
static int topics_or_none(soma_agent *self, soma_value arguments, const char *alias)
{
    int error = topics_subscribe(self, arguments, alias);
    if (error)
        soma_close_channel(self, alias);
    return error;
}

static int bind(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    char pattern[16], alias[SOMA_CHANNEL_ALIAS_MOST + 1];
    struct given_options given;
    soma_address address;
    uint64_t timeout;
    (void)state;
    int error = text_get(self, arguments, "pattern", true, pattern, sizeof(pattern));
    if (!error && !soma_pattern_find(pattern))
        error = soma_fail(self, SOMA_EINVAL, "there is no pattern '%s'", pattern);
    if (!error)
        error = alias_get(self, arguments, alias);
    if (!error)
        error = timeout_get(self, arguments, &timeout);
    if (!error)
        error = entries_check(self, arguments, ENTRIES("pattern", "alias", "place", "timeout"), true);
    if (!error)
        error = options_get(self, arguments, true, &given);
    if (error)
        return error;
    error = soma_bind(self, soma_pattern_find(pattern), alias, &given.options, &address);
    options_forget(&given);
    error = error ? channel_explain(self, alias, error, NULL) : topics_or_none(self, arguments, alias);
    if (error)
        return error;
    char text[SOMA_ADDRESS_TEXT_SIZE];
    soma_address_print(&address, text, sizeof(text));
    return names_settle(self, timeout, text, result);
}

static int connect_to(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    char to[SOMA_CHANNEL_SOUGHT_MOST + 1], alias[SOMA_CHANNEL_ALIAS_MOST + 1];
    struct given_options given;
    uint64_t timeout;
    (void)state, (void)result;
    int error = text_get(self, arguments, "to", true, to, sizeof(to));
    if (!error)
        error = alias_get(self, arguments, alias);
    if (!error)
        error = timeout_get(self, arguments, &timeout);
    if (!error)
        error = entries_check(self, arguments, ENTRIES("to", "alias", "timeout"), true);
    if (!error)
        error = options_get(self, arguments, false, &given);
    if (error)
        return error;
    error = soma_connect_to(self, to, alias, &given.options, timeout);
    options_forget(&given);
    error = error ? channel_explain(self, alias, error, NULL) : topics_or_none(self, arguments, alias);
    if (error)
        return error;
    struct channel *channel = channel_find(self, alias);
    soma_handle promise = channel->pattern ? 0 : soma_reply_later(self);
    channel->promise = promise > 0 ? promise : 0; // nobody is told if it was only sent
    return 0;
}

static int subscribe(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1], topic[SOMA_TOPIC_MOST + 1];
    struct by_method by;
    const soma_handler *handlers;
    (void)state, (void)result;
    int error = alias_get(self, arguments, alias);
    if (!error)
        error = text_get(self, arguments, "topic", true, topic, sizeof(topic));
    if (!error)
        error = handler_get(self, arguments, true, &by, &handlers);
    if (!error)
        error = entries_check(self, arguments, ENTRIES("alias", "topic", "handler"), false);
    return error ? error : channel_explain(self, alias, soma_subscribe(self, alias, topic, handlers), "subscribe");
}

static int unsubscribe(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1], topic[SOMA_TOPIC_MOST + 1];
    (void)state, (void)result;
    int error = alias_get(self, arguments, alias);
    if (!error)
        error = text_get(self, arguments, "topic", true, topic, sizeof(topic));
    if (!error)
        error = entries_check(self, arguments, ENTRIES("alias", "topic"), false);
    return error ? error : channel_explain(self, alias, soma_unsubscribe(self, alias, topic), "unsubscribe");
}

static int send_to(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1], topic[SOMA_TOPIC_MOST + 1];
    struct soma_data data = {0};
    (void)state, (void)result;
    int error = alias_get(self, arguments, alias);
    if (!error)
        error = text_get(self, arguments, "topic", false, topic, sizeof(topic));
    if (!error)
        error = entries_check(self, arguments, ENTRIES("alias", "topic", "value"), false);
    if (error)
        return error;
    soma_value_get_entry(arguments, "value", &data.value); // without one it is empty
    error = soma_channel_send(self, alias, *topic ? topic : NULL, &soma_data_type, &data);
    return channel_explain(self, alias, error, *topic ? "publish" : "send");
}

/* ---- asking for somebody else: the tag is the promise ---- */

static int on_result(soma_agent *self, void *state, const struct soma_result *m)
{
    (void)state;
    return soma_reply_to(self, (soma_handle)soma_tag(self), soma_result, .value = m->value);
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    const char *text = soma_error_text(self);
    (void)state;
    return soma_reply_error_to(self, (soma_handle)soma_tag(self), text ? soma_fail(self, *error, "%s", text) : *error);
}

static int request_to(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1];
    struct soma_data data = {0};
    uint64_t timeout;
    (void)state, (void)result;
    int error = alias_get(self, arguments, alias);
    if (!error)
        error = timeout_get(self, arguments, &timeout);
    if (!error)
        error = entries_check(self, arguments, ENTRIES("alias", "value", "timeout"), false);
    if (error)
        return error;
    soma_value_get_entry(arguments, "value", &data.value);
    soma_handle promise = soma_reply_later(self);
    if (promise < 0)
        return (int)promise;
    const soma_then *then = SOMA_THEN(soma_result, on_result, on_error, .tag = (uint64_t)promise);
    soma_handle asked = soma_channel_request(self, alias, timeout, then, &soma_data_type, &data);
    if (asked < 0)
        soma_reply_error_to(self, promise, channel_explain(self, alias, (int)asked, "ask"));
    return 0;
}

/* ---- looking, closing ---- */

static int channels(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    (void)state, (void)arguments;
    soma_value_begin_map(result);
    for (const struct channel *channel = NULL; (channel = channel_after(self, channel));) {
        char address[SOMA_ADDRESS_TEXT_SIZE] = "";
        soma_channel_counts counts;
        soma_address_print(&channel->address, address, sizeof(address)); // "": not known yet
        soma_channel_count(self, channel->alias, &counts);
        soma_value_add_key(result, channel->alias);
        SOMA_VALUE_MAP(result, (string, "pattern", soma_pattern_name(channel->pattern)), (string, "address", address),
                       (bool, "bound", channel->bound), (u64, "peers", peers_ready(channel)),
                       (u64, "connected", counts.connected), (u64, "malformed", counts.malformed),
                       (u64, "missed", counts.missed), (u64, "waiting", counts.waiting),
                       (u64, "refused", counts.refused));
    }
    return soma_value_end(result);
}

/* What a map says: of which channel, if of one, and how long it lingers, if that is in it. */
static int closing_get(soma_agent *self, soma_value map, char *alias, size_t size, uint64_t *timeout)
{
    soma_value linger;
    uint32_t linger_ms;
    int error = text_get(self, map, "alias", false, alias, size);
    if (!error)
        error = number_get(self, map, "linger_ms", &linger_ms);
    if (!error)
        error = timeout_get(self, map, timeout);
    if (!error)
        error = entries_check(self, map, ENTRIES("alias", "linger_ms", "timeout"), false);
    if (error || soma_value_get_entry(map, "linger_ms", &linger))
        return error;
    return channel_explain(self, alias, soma_channel_linger(self, *alias ? alias : NULL, linger_ms), NULL);
}

static int close_some(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    const char *text;
    uint32_t length;
    uint64_t timeout;
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1] = "";
    (void)state;
    timeout_get(self, SOMA_VALUE_NONE, &timeout); // unless the map has one
    if (soma_value_get_kind(arguments) == SOMA_VALUE_MAP) {
        int error = closing_get(self, arguments, alias, sizeof(alias), &timeout);
        if (error)
            return error;
    } else if (soma_value_get_kind(arguments) != SOMA_VALUE_NIL) {
        if (soma_value_get_string(arguments, &text, &length) || !length || length >= sizeof(alias))
            return soma_fail(self, SOMA_EINVAL, "soma.close wants an alias");
        memcpy(alias, text, length);
    }
    int error =
        *alias ? channel_explain(self, alias, soma_close_channel(self, alias), NULL) : soma_close_channels(self);
    return error ? error : names_settle(self, timeout, NULL, result);
}

const soma_behavior soma_channel_agent = {
    .name = "channel agent",
    .methods = SOMA_METHODS(
        SOMA_METHOD("soma.defaults", defaults,
                    "what channels take that are opened from now on: [place], [serializer], [linger_ms]"),
        SOMA_METHOD("soma.bind", bind,
                    "binds a channel: pattern, alias, [place], [handler], [options], [timeout in ns]; its address"),
        SOMA_METHOD("soma.connect", connect_to, "connects one: to, alias, [handler], [options], [timeout in ns]"),
        SOMA_METHOD("soma.subscribe", subscribe, "has a topic handled: alias, topic, handler"),
        SOMA_METHOD("soma.unsubscribe", unsubscribe, "ends that: alias, topic"),
        SOMA_METHOD("soma.send", send_to, "sends by a channel: alias, [topic], value"),
        SOMA_METHOD("soma.request", request_to, "asks by one: alias, value, [timeout in ns]; the answer"),
        SOMA_METHOD("soma.channels", channels,
                    "lists channels by their aliases, with what has become of their messages"),
        SOMA_METHOD(
            "soma.close", close_some,
            "closes the channel of an alias, or all: nil, the alias, or [alias], [linger_ms], [timeout in ns]"))};
