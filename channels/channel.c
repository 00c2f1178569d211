/* Channels: opening, closing, looking. See include/soma/channel.h and channel.h. */
#include "channels/channel.h"
#include "channels/hub.h"
#include "channels/options.h"
#include "channels/remote.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MOST 256u

/* How many there are, and bytes of the names of methods; or an error. */
static int rows_measure(const soma_handler *handlers, uint32_t *count, size_t *names)
{
    for (*count = 0, *names = 0; handlers[*count].type; ++*count)
        if (!handlers[*count].fn && !handlers[*count].method)
            return SOMA_EINVAL;
        else if (*count == ROWS_MOST)
            return SOMA_ETOOBIG;
        else if (handlers[*count].method)
            *names += strlen(handlers[*count].method) + 1;
    return *count ? 0 : SOMA_EINVAL;
}

bool rows_alike(const soma_handler *a, const soma_handler *b)
{
    return a->method || b->method ? a->method && b->method : type_same(a->type, b->type);
}

static bool rows_repeat(const soma_handler *handlers, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (rows_alike(&handlers[i], &handlers[k]))
                return true;
    return false;
}

int rows_copy(const soma_handler *handlers, struct rows **rows)
{
    uint32_t count;
    size_t names;
    int error = rows_measure(handlers, &count, &names);
    if (error)
        return error;
    *rows = malloc(sizeof(**rows) + (count + 1) * sizeof(*handlers) + names);
    if (!*rows)
        return SOMA_ENOMEM;
    (*rows)->count = count;
    (*rows)->several = rows_repeat(handlers, count);
    memcpy((*rows)->rows, handlers, (count + 1) * sizeof(*handlers));
    char *at = (char *)&(*rows)->rows[count + 1];
    for (uint32_t i = 0; i < count; i++) {
        if (!handlers[i].method)
            continue;
        size_t size = strlen(handlers[i].method) + 1;
        (*rows)->rows[i].method = memcpy(at, handlers[i].method, size);
        at += size;
    }
    return 0;
}

/* ---- the port ---- */

void channel_part(soma_agent *self, struct channel *channel)
{
    const struct port_place here = port_here(self, &channel->port);
    if (channel->address.transport != SOMA_INPROC) {
        if (channel->remote)
            remote_channel_close(self, channel);
        return;
    }
    (channel->bound ? hub_unbind : hub_unwant)(soma_agent_system(self), channel, &here);
    peers_leave(self, channel);
}

static void channel_end(soma_agent *self, struct port *port)
{
    struct channel *channel = (struct channel *)port;
    waits_drop(channel);
    newest_end(self, channel);
    named_end(self, channel);
    channel_part(self, channel);
}

static void channel_release(struct port *port)
{
    struct channel *channel = (struct channel *)port;
    for (struct subscription *s = channel->subscriptions; s; s = s->next)
        s->ended = true;
    subscriptions_sweep(channel);
    free(channel->rows);
    free(channel->peers);
    free(channel->sought);
    options_free(channel->options);
}

static const struct port_class channel_class = {channel_deliver, channel_end, channel_release};

struct channel *channel_after(const soma_agent *self, const struct channel *last)
{
    struct port *port = last ? last->port.next : port_first(self);
    while (port && port->class != &channel_class)
        port = port->next;
    return (struct channel *)port;
}

/* Byte by byte, as aliases are short: a call would take longer. */
static inline bool alias_is(const char *alias, const char *wanted)
{
    while (*alias && *alias == *wanted)
        alias++, wanted++;
    return *alias == *wanted;
}

struct channel *channel_find(const soma_agent *self, const char *alias)
{
    struct port *port = port_first(self);
    while (port && (port->class != &channel_class || !alias_is(((struct channel *)port)->alias, alias)))
        port = port->next;
    return (struct channel *)port;
}

/* ---- opening ---- */

static int alias_check(const char *alias)
{
    size_t length = strnlen(alias, SOMA_CHANNEL_ALIAS_MOST + 1);
    if (length > SOMA_CHANNEL_ALIAS_MOST)
        return SOMA_ETOOBIG;
    for (size_t i = 0; i < length; i++)
        if (alias[i] <= ' ' || alias[i] > '~' || alias[i] == '/')
            return SOMA_EINVAL;
    return length ? 0 : SOMA_EINVAL;
}

static int handlers_set(soma_agent *self, struct channel *channel, const soma_handler *handlers)
{
    if (!handlers)
        return 0;
    if (pattern_subscribes(channel->pattern))
        return soma_subscribe(self, channel->alias, "", handlers);
    return rows_copy(handlers, &channel->rows);
}

int channel_make(soma_agent *self, const char *alias, struct channel **channel)
{
    int error = alias_check(alias);
    if (error) {
        channel_refuse(self, alias, error, "an alias has 1 to %u printable characters, no blank and no /",
                       SOMA_CHANNEL_ALIAS_MOST);
        return error; // said anew: the analyzer does not see that it is one
    }
    if (channel_find(self, alias)) {
        channel_refuse(self, alias, SOMA_EEXIST, "the agent has a channel of that alias");
        return SOMA_EEXIST;
    }
    *channel = (struct channel *)port_open(self, &channel_class, sizeof(**channel));
    if (!*channel)
        return SOMA_ENOMEM;
    memcpy((*channel)->alias, alias, strlen(alias));
    return 0;
}

static int channel_open(soma_agent *self, soma_pattern pattern, const char *alias, const soma_channel_options *options,
                        struct channel **channel)
{
    int error = options_fit(self, alias, pattern, options);
    if (!error)
        error = channel_make(self, alias, channel);
    if (error)
        return error;
    (*channel)->pattern = pattern;
    (*channel)->conflates = options->conflate;
    error = handlers_set(self, *channel, options->handlers);
    if (error)
        port_close(self, &(*channel)->port);
    return error;
}

/* A place of a transport that nobody else has; of tcp the port is found by binding. */
static void place_any(const soma_agent *self, struct channel *channel, const char *transport)
{
    soma_address *address = &channel->address;
    const char *folder = getenv("TMPDIR");
    soma_ref ref = soma_self(self);
    char own[64];
    snprintf(own, sizeof(own), "soma.%u.%u.%lld.%d", ref.slot, ref.generation, (long long)channel->port.handle,
             (int)getpid());
    address->transport = transport[0] == 't' ? SOMA_TCP : transport[1] == 'p' ? SOMA_IPC : SOMA_INPROC;
    if (address->transport == SOMA_TCP)
        snprintf(address->host, sizeof(address->host), "127.0.0.1");
    else if (address->transport == SOMA_INPROC)
        snprintf(address->host, sizeof(address->host), "%s", own);
    else
        snprintf(address->host, sizeof(address->host), "%.30s/%.60s",
                 folder && strlen(folder) <= 30 && *folder ? folder : "/tmp", own);
}

/* Where a channel is to be bound. */
static int place_read(soma_agent *self, struct channel *channel, const char *place)
{
    soma_address *address = &channel->address;
    if (!place || place_is_transport(place)) {
        place_any(self, channel, place ? place : "inproc");
    } else {
        int error = place_parse(place, address);
        if (error)
            return channel_refuse(self, channel->alias, error == SOMA_EFORMAT ? SOMA_EINVAL : error,
                                  "'%.200s' is no place that it can be bound at%s", place, place_wrong(place));
        if (address->pattern && address->pattern != channel->pattern)
            return channel_refuse(self, channel->alias, SOMA_EINVAL, "'%.200s' is a place of another pattern", place);
    }
    address->pattern = channel->pattern;
    return 0;
}

int soma_bind(soma_agent *self, soma_pattern pattern, const char *alias, const soma_channel_options *options,
              soma_address *address)
{
    struct filled filled;
    const soma_channel_options *given = &filled.options;
    struct channel *channel;
    if (address)
        *address = (soma_address){0};
    int error = self && alias ? defaults_fill(self, options, &filled) : SOMA_EINVAL;
    if (!error)
        error = channel_open(self, pattern, alias, given, &channel);
    if (error)
        return error;
    channel->bound = true;
    const struct port_place here = port_here(self, &channel->port);
    error = place_read(self, channel, given->place);
    bool inproc = channel->address.transport == SOMA_INPROC;
    if (!error)
        error = inproc ? hub_bind(soma_agent_system(self), channel, &here) : remote_channel_open(self, channel, given);
    if (inproc && error == SOMA_EEXIST)
        channel_refuse(self, alias, error, "something is bound at 'inproc://%s'", channel->address.host);
    if (error) {
        port_close(self, &channel->port);
        return error;
    }
    if (address)
        *address = channel->address;
    if (inproc)
        hub_announce(soma_agent_system(self), channel->address.host);
    names_tell(self, channel, true);
    return 0;
}

/* A channel within the system looks for what it wants to be connected to. */
static int channel_look(soma_agent *self, struct channel *channel)
{
    const struct port_place here = port_here(self, &channel->port);
    int error = hub_want(soma_agent_system(self), channel, &here);
    if (!error && (error = channel_reach(self, channel)) == SOMA_ETYPE)
        channel_refuse(self, channel->alias, error, "what is bound at 'inproc://%s' is of another pattern",
                       channel->address.host);
    if (!error && channel->peer_count)
        notice_bound(soma_agent_system(self), &here); // so that the agent is told, in a turn of its own
    return error;
}

static int channel_connect(soma_agent *self, struct channel *channel, const soma_address *address,
                           const soma_channel_options *options)
{
    struct filled filled;
    channel->address = *address;
    if (address->transport == SOMA_INPROC)
        return channel_look(self, channel);
    int error = defaults_fill(self, options, &filled);
    return error ? error : remote_channel_open(self, channel, &filled.options);
}

static bool address_leads(const soma_address *address)
{
    return soma_address_valid(address) && address->pattern && (address->transport != SOMA_TCP || address->port);
}

static int address_refuse(soma_agent *self, const char *alias, const soma_address *address)
{
    return channel_refuse(self, alias, SOMA_EINVAL,
                          !soma_address_valid(address) ? "that is no address"
                          : address->pattern           ? "an address without a port leads nowhere"
                                                       : "an address without a pattern, as in 'tcp://IP:PORT push', "
                                                         "leads nowhere");
}

int soma_connect_with(soma_agent *self, const soma_address *address, const char *alias,
                      const soma_channel_options *options)
{
    static const soma_channel_options defaults = {0};
    const soma_channel_options *given = options ? options : &defaults;
    struct channel *channel;
    if (!self || !alias || !address)
        return SOMA_EINVAL;
    if (!address_leads(address))
        return address_refuse(self, alias, address);
    if (given->place)
        return channel_refuse(self, alias, SOMA_EINVAL, "who connects has no place of its own");
    int error = channel_open(self, soma_pattern_twin(address->pattern), alias, given, &channel);
    if (error)
        return error;
    error = channel_connect(self, channel, address, given);
    if (error)
        port_close(self, &channel->port);
    return error;
}

int soma_connect(soma_agent *self, const soma_address *address, const char *alias, const soma_handler *handlers)
{
    return soma_connect_with(self, address, alias, &(const soma_channel_options){.handlers = handlers});
}

/* What its handlers and options are for is seen now. */
static int pattern_settle(soma_agent *self, struct channel *channel, soma_pattern pattern)
{
    soma_channel_options options = *channel->options;
    struct rows *rows = channel->rows;
    if (channel->pattern)
        return channel->pattern == pattern ? 0 : SOMA_ETYPE;
    options.handlers = rows ? rows->rows : NULL;
    int error = options_fit(self, channel->alias, pattern, &options);
    if (!error && channel->subscriptions && !pattern_subscribes(pattern))
        error = channel_refuse(self, channel->alias, SOMA_ETYPE,
                               "it has subscriptions, but what it is connected to is no pub");
    if (error)
        return error;
    channel->pattern = pattern;
    channel->conflates = options.conflate;
    if (!rows || !pattern_subscribes(pattern))
        return 0;
    channel->rows = NULL;
    error = soma_subscribe(self, channel->alias, "", rows->rows);
    free(rows);
    return error;
}

int channel_settle(soma_agent *self, struct channel *channel, const soma_address *address)
{
    if (!address_leads(address))
        return address_refuse(self, channel->alias, address);
    int error = pattern_settle(self, channel, soma_pattern_twin(address->pattern));
    return error ? error : channel_connect(self, channel, address, channel->options);
}

/* ---- looking, closing ---- */

int soma_channel_peers(const soma_agent *self, const char *alias)
{
    if (!self || !alias)
        return SOMA_EINVAL;
    const struct channel *channel = channel_find(self, alias);
    return channel ? (int)peers_ready(channel) : SOMA_ENOENT;
}

int soma_channel_address(const soma_agent *self, const char *alias, soma_address *address)
{
    if (!self || !alias || !address)
        return SOMA_EINVAL;
    const struct channel *channel = channel_find(self, alias);
    if (channel)
        *address = channel->address;
    return channel ? 0 : SOMA_ENOENT;
}

int soma_channel_count(const soma_agent *self, const char *alias, soma_channel_counts *counts)
{
    if (!self || !alias || !counts)
        return SOMA_EINVAL;
    *counts = (soma_channel_counts){0};
    const struct channel *channel = channel_find(self, alias);
    if (channel && channel->remote)
        line_count(channel->remote->line, counts);
    else if (channel)
        counts->missed = channel->passed;
    return channel ? 0 : SOMA_ENOENT;
}

static void linger_set(struct channel *channel, uint32_t linger_ms)
{
    if (channel->options) // each time that it is connected
        channel->options->linger_ms = linger_ms ? linger_ms : 1;
    if (channel->remote)
        line_linger(channel->remote->line, linger_ms);
}

int soma_channel_linger(soma_agent *self, const char *alias, uint32_t linger_ms)
{
    if (!self)
        return SOMA_EINVAL;
    if (linger_ms > INT32_MAX) // ZeroMQ's are signed, and below 0 for ever
        return soma_fail(self, SOMA_EINVAL, "a linger over 2147483647 ms");
    struct channel *channel = alias ? channel_find(self, alias) : channel_after(self, NULL);
    if (alias && !channel)
        return SOMA_ENOENT;
    for (; channel; channel = alias ? NULL : channel_after(self, channel))
        linger_set(channel, linger_ms);
    return 0;
}

int soma_close_channel(soma_agent *self, const char *alias)
{
    if (!self || !alias)
        return SOMA_EINVAL;
    struct channel *channel = channel_find(self, alias);
    if (!channel)
        return SOMA_ENOENT;
    names_tell(self, channel, false);
    port_close(self, &channel->port);
    return 0;
}

int soma_close_channels(soma_agent *self)
{
    if (!self)
        return SOMA_EINVAL;
    for (struct channel *channel; (channel = channel_after(self, NULL));) {
        names_tell(self, channel, false);
        port_close(self, &channel->port);
    }
    return 0;
}
