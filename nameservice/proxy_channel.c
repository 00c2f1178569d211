/*
 * Channels from outside: a proxy has its agent bind, connect, send and close, by the methods of soma_channel_agent. See
 * soma/proxy.h.
 */
#include "nameservice/client.h"
#include "nameservice/proxy.h"
#include <soma/channel.h>
#include <soma/error.h>
#include <soma/timer.h>
#include <stdio.h>
#include <string.h>

/* What a method is called with; entries that are NULL are left out. */
struct wiring {
    const char *alias, *pattern, *place, *to, *topic, *handler;
    const soma_value *value;
    const soma_channel_options *options;
    uint64_t timeout;
};

static void text_add(soma_value_builder *builder, const char *key, const char *text)
{
    if (!text)
        return;
    soma_value_add_key(builder, key);
    soma_value_add_string(builder, text);
}

static void number_add(soma_value_builder *builder, const char *key, uint64_t number)
{
    if (!number)
        return;
    soma_value_add_key(builder, key);
    soma_value_add_u64(builder, number);
}

static void yes_add(soma_value_builder *builder, const char *key, bool yes)
{
    if (!yes)
        return;
    soma_value_add_key(builder, key);
    soma_value_add_bool(builder, true);
}

static void handlers_add(soma_value_builder *builder, const soma_handler *handlers)
{
    if (!handlers)
        return;
    soma_value_add_key(builder, "handler");
    soma_value_begin_array(builder);
    for (; handlers->type; handlers++)
        soma_value_add_string(builder, handlers->method);
    soma_value_end(builder);
}

static void options_add(soma_value_builder *builder, const soma_channel_options *options)
{
    static const char *const framings[] = {NULL, "prefix", "separated"};
    handlers_add(builder, options->handlers);
    text_add(builder, "serializer", options->serializer);
    text_add(builder, "framing", framings[options->framing]);
    text_add(builder, "identity", options->identity);
    number_add(builder, "high_water", options->high_water);
    number_add(builder, "linger_ms", options->linger_ms);
    number_add(builder, "message_most", options->message_most);
    number_add(builder, "heartbeat_ms", options->heartbeat_ms);
    yes_add(builder, "conflate", options->conflate);
    yes_add(builder, "insecure", options->insecure);
    if (!options->keys)
        return;
    soma_value_add_key(builder, "keys");
    soma_value_begin_map(builder);
    text_add(builder, "secret", options->keys->secret);
    text_add(builder, "server", options->keys->server);
    text_add(builder, "allowed", options->keys->allowed);
    soma_value_end(builder);
}

static int wiring_build(const struct wiring *wiring, soma_value_builder *builder, soma_value *map)
{
    soma_value_begin_map(builder);
    text_add(builder, "alias", wiring->alias);
    text_add(builder, "pattern", wiring->pattern);
    text_add(builder, "place", wiring->place);
    text_add(builder, "to", wiring->to);
    text_add(builder, "topic", wiring->topic);
    text_add(builder, "handler", wiring->handler);
    if (wiring->value && soma_value_get_kind(*wiring->value) != SOMA_VALUE_NIL) {
        soma_value_add_key(builder, "value");
        soma_value_add_value(builder, *wiring->value);
    }
    if (wiring->options)
        options_add(builder, wiring->options);
    number_add(builder, "timeout", wiring->timeout);
    int error = soma_value_end(builder);
    return error ? error : soma_value_builder_finish(builder, map);
}

static int wire(soma_proxy *proxy, uint64_t timeout, const char *method, const struct wiring *wiring,
                soma_value *result)
{
    soma_value_builder *builder;
    struct asking asking = {.method = method};
    if (result)
        *result = SOMA_VALUE_NONE;
    if (!proxy || !timeout)
        return proxy_misused(proxy, "no timeout");
    int error = soma_value_builder_open(&builder);
    if (!error)
        error = wiring_build(wiring, builder, &asking.arguments);
    error = error ? proxy_fail_by(proxy, error, NULL) : proxy_ask(proxy, timeout, &asking, result);
    soma_value_builder_close(&builder);
    return error;
}

/* What the agent has for its part of it, so that its answer, which says more, comes in time. */
static uint64_t less(uint64_t timeout)
{
    return timeout == SOMA_NEVER ? timeout : timeout - timeout / 8;
}

/* ---- opening and closing ---- */

/* A text in a value, into an address's buffer. */
static void address_take(soma_value value, char address[SOMA_ADDRESS_MOST + 1])
{
    const char *text;
    uint32_t size;
    if (!soma_value_get_string(value, &text, &size) && size <= SOMA_ADDRESS_MOST)
        snprintf(address, SOMA_ADDRESS_MOST + 1, "%.*s", (int)size, text);
}

/* Why options don't travel; NULL if they do. Functions don't, methods do; `handler` is one in their place. */
static const char *options_wrong(const soma_channel_options *options, const char *handler)
{
    if (!options)
        return NULL;
    if ((unsigned)options->framing > SOMA_FRAMES_SEPARATED)
        return "there is no such framing";
    for (const soma_handler *row = options->handlers; row && row->type; row++)
        if (handler)
            return "a handler, and handlers among the options: which?";
        else if (!row->method)
            return "a handler that is a function doesn't travel: say a method";
    return NULL;
}

int soma_proxy_bind(soma_proxy *proxy, uint64_t timeout, soma_pattern pattern, const char *alias, const char *place,
                    const char *handler, char address[SOMA_ADDRESS_MOST + 1])
{
    const soma_channel_options options = {.place = place};
    return soma_proxy_bind_with(proxy, timeout, pattern, alias, &options, handler, address);
}

int soma_proxy_bind_with(soma_proxy *proxy, uint64_t timeout, soma_pattern pattern, const char *alias,
                         const soma_channel_options *options, const char *handler, char address[SOMA_ADDRESS_MOST + 1])
{
    const char *name = soma_pattern_name(pattern);
    soma_value value;
    if (address)
        *address = '\0';
    const char *wrong = !name ? "there is no such pattern" : !alias ? "no alias" : options_wrong(options, handler);
    if (wrong)
        return proxy_misused(proxy, wrong);
    const struct wiring wiring = {.pattern = name,
                                  .alias = alias,
                                  .place = options ? options->place : NULL,
                                  .handler = handler,
                                  .options = options,
                                  .timeout = less(timeout)};
    int error = wire(proxy, timeout, "soma.bind", &wiring, &value);
    if (!error && address)
        address_take(value, address);
    soma_value_destroy(&value);
    return error;
}

int soma_proxy_connect(soma_proxy *proxy, uint64_t timeout, const char *to, const char *alias, const char *handler)
{
    return soma_proxy_connect_with(proxy, timeout, to, alias, NULL, handler);
}

int soma_proxy_connect_with(soma_proxy *proxy, uint64_t timeout, const char *to, const char *alias,
                            const soma_channel_options *options, const char *handler)
{
    const char *wrong = !to || !alias               ? "no address or alias"
                        : options && options->place ? "who connects has no place of its own"
                                                    : options_wrong(options, handler);
    if (wrong)
        return proxy_misused(proxy, wrong);
    const struct wiring wiring = {
        .to = to, .alias = alias, .handler = handler, .options = options, .timeout = less(timeout)};
    return wire(proxy, timeout, "soma.connect", &wiring, NULL);
}

int soma_proxy_subscribe(soma_proxy *proxy, uint64_t timeout, const char *alias, const char *topic, const char *handler)
{
    if (!alias || !topic || !handler)
        return proxy_misused(proxy, "no alias, topic or handler");
    return wire(proxy, timeout, "soma.subscribe", &(struct wiring){.alias = alias, .topic = topic, .handler = handler},
                NULL);
}

int soma_proxy_unsubscribe(soma_proxy *proxy, uint64_t timeout, const char *alias, const char *topic)
{
    if (!alias || !topic)
        return proxy_misused(proxy, "no alias or topic");
    return wire(proxy, timeout, "soma.unsubscribe", &(struct wiring){.alias = alias, .topic = topic}, NULL);
}

int soma_proxy_close_channel(soma_proxy *proxy, uint64_t timeout, const char *alias)
{
    return wire(proxy, timeout, "soma.close", &(struct wiring){.alias = alias, .timeout = less(timeout)}, NULL);
}

/* ---- sending ---- */

int soma_proxy_send_to(soma_proxy *proxy, uint64_t timeout, const char *alias, soma_value value)
{
    return soma_proxy_publish(proxy, timeout, alias, NULL, value);
}

int soma_proxy_publish(soma_proxy *proxy, uint64_t timeout, const char *alias, const char *topic, soma_value value)
{
    if (!alias)
        return proxy_misused(proxy, "no alias");
    return wire(proxy, timeout, "soma.send", &(struct wiring){.alias = alias, .topic = topic, .value = &value}, NULL);
}

int soma_proxy_request_to(soma_proxy *proxy, uint64_t timeout, const char *alias, soma_value value, soma_value *answer)
{
    if (answer)
        *answer = SOMA_VALUE_NONE;
    if (!alias)
        return proxy_misused(proxy, "no alias");
    const struct wiring wiring = {.alias = alias, .value = &value, .timeout = less(timeout)};
    return wire(proxy, timeout, "soma.request", &wiring, answer);
}

/* ---- looking ---- */

/* What the agent says of one of its channels. */
static int channel_look(soma_proxy *proxy, uint64_t timeout, const char *alias, soma_value *all, soma_value *channel)
{
    struct asking asking = {.method = "soma.channels", .harmless = true};
    int error = proxy_ask(proxy, timeout, &asking, all);
    if (!error && soma_value_get_entry(*all, alias, channel))
        error = proxy_fail(proxy, SOMA_ENOENT, "the agent has no channel '%s'", alias);
    return error;
}

int soma_proxy_wait_peers(soma_proxy *proxy, uint64_t timeout, const char *alias, uint32_t peers)
{
    if (!proxy || !timeout || !alias)
        return proxy_misused(proxy, "no timeout or alias");
    uint64_t until = deadline_of(proxy, timeout), count = 0;
    for (bool heard = false;; heard = true) {
        soma_value all, channel, item;
        int error = channel_look(proxy, time_left(proxy, until), alias, &all, &channel);
        if (!error && !soma_value_get_entry(channel, "peers", &item))
            soma_value_get_u64(item, &count);
        soma_value_destroy(&all);
        bool late = error ? error == SOMA_ETIMEOUT && heard : soma_now(proxy->system) >= until;
        if (error && !late)
            return error;
        if (count >= peers)
            return 0;
        if (late)
            return proxy_fail(proxy, SOMA_ETIMEOUT, "channel '%s' has %u of %u peers", alias, (unsigned)count, peers);
        if ((error = proxy_nap(proxy, until)))
            return error;
    }
}

/* What the name service knows, now: the caller may have moved it. */
static int named_address(soma_proxy *proxy, uint64_t timeout, const char *alias, char address[SOMA_ADDRESS_MOST + 1])
{
    soma_ref agent;
    uint64_t until = deadline_of(proxy, timeout);
    int error = names_address(proxy->names, proxy->name, alias, true, timeout, address);
    if (error != SOMA_ENOENT)
        return proxy_fail_by(proxy, error, NULL);
    error = soma_proxy_ref(proxy, time_left(proxy, until), &agent); // which of the two is not there?
    return error ? error : proxy_fail(proxy, SOMA_ENOENT, "'%s' has no alias '%s'", proxy->name, alias);
}

int soma_proxy_address(soma_proxy *proxy, uint64_t timeout, const char *alias, char address[SOMA_ADDRESS_MOST + 1])
{
    if (address)
        *address = '\0';
    if (!proxy || !timeout || !alias || !address)
        return proxy_misused(proxy, "no timeout, no alias, or nowhere for the address");
    if (proxy->names && proxy->name)
        return named_address(proxy, timeout, alias, address);
    soma_value all, channel, item;
    int error = channel_look(proxy, timeout, alias, &all, &channel);
    if (!error && !soma_value_get_entry(channel, "address", &item))
        address_take(item, address);
    soma_value_destroy(&all);
    return error;
}
