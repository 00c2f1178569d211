/*
 * Channels that connect to `name/alias`: somebody whom this layer knows by a local name alone finds the address, and
 * says so again whenever it has changed. See SOMA_NAMES in soma/channel.h.
 */
#include "channels/line.h"
#include "channels/options.h"
#include "runtime/dispatch.h"
#include "runtime/slot.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- looking for an address ---- */

static int on_found(soma_agent *self, void *state, const struct soma_channel_found *m);
static int on_not_found(soma_agent *self, void *state, const int *error);

/* Asks for an address that is not this one. */
static int channel_seek(soma_agent *self, struct channel *channel, const char *unless, uint64_t timeout)
{
    soma_ref names;
    char name[SOMA_CHANNEL_SOUGHT_MOST + 1];
    if (soma_whereis(soma_agent_system(self), SOMA_NAMES, &names))
        return SOMA_ESTATE;
    memcpy(name, channel->sought, strlen(channel->sought) + 1);
    char *alias = strrchr(name, '/');
    *alias++ = '\0';
    soma_handle seek =
        soma_request(self, names, SOMA_NEVER, // the time is kept there
                     SOMA_THEN(soma_channel_found, on_found, on_not_found, .tag = (uint64_t)channel->port.handle),
                     soma_channel_find, .name = name, .alias = alias, .unless = unless, .timeout = timeout);
    channel->seek = seek > 0 ? seek : 0;
    return seek < 0 ? (int)seek : 0;
}

/* It can't be connected: it is closed, and whoever cares hears of it. */
static int channel_fail(soma_agent *self, void *state, struct channel *channel, int error)
{
    char alias[sizeof(channel->alias)], why[300];
    const char *said = channel_refused(self, error);
    memcpy(alias, channel->alias, sizeof(alias));
    if (said)
        said = refusal_reason(said, alias);
    else if (!(said = soma_error_text(self))) // of who was asked for the address
        said = soma_strerror(error);
    snprintf(why, sizeof(why), "can't be connected to '%s': %s", channel->sought, said);
    soma_log_warning(self, "channel '%s' %s", alias, why);
    if (channel->promise)
        soma_reply_error_to(self, channel->promise, soma_fail(self, error, "channel '%s' %s", alias, why));
    channel->promise = 0;
    port_close(self, &channel->port);
    soma_handler_fn *fn = dispatch_find(self->dispatch, &soma_channel_failed_type);
    return fn ? fn(self, state, &(const struct soma_channel_failed){.alias = alias, .error = error}) : 0;
}

static int channel_move(soma_agent *self, struct channel *channel, const char *text)
{
    soma_address address;
    if (soma_address_parse(text, &address))
        return SOMA_EINVAL;
    channel_part(self, channel);
    return channel_settle(self, channel, &address);
}

static int on_found(soma_agent *self, void *state, const struct soma_channel_found *m)
{
    struct channel *channel = (struct channel *)port_find(self, (soma_handle)soma_tag(self));
    if (!channel)
        return 0;
    channel->seek = 0;
    int error = channel_move(self, channel, m->address);
    if (error)
        return channel_fail(self, state, channel, error);
    if (channel->promise)
        soma_reply_to(self, channel->promise, soma_result);
    channel->promise = 0;
    channel_seek(self, channel, m->address, SOMA_NEVER); // without that it stays where it is
    return channel_tell(self, state, channel);
}

static int on_not_found(soma_agent *self, void *state, const int *error)
{
    struct channel *channel = (struct channel *)port_find(self, (soma_handle)soma_tag(self));
    if (!channel)
        return 0;
    channel->seek = 0;
    return channel->pattern ? 0 : channel_fail(self, state, channel, *error);
}

/* ---- opening ---- */

/* `name/alias`, as far as that can be seen here: no name or alias has a blank. */
static int sought_check(const char *to)
{
    const char *alias = strrchr(to, '/');
    if (strnlen(to, SOMA_CHANNEL_SOUGHT_MOST + 1) > SOMA_CHANNEL_SOUGHT_MOST)
        return SOMA_ETOOBIG;
    for (const char *at = to; *at; at++)
        if (*at <= ' ' || *at > '~')
            return SOMA_EINVAL;
    return alias && alias > to && alias[1] ? 0 : SOMA_EINVAL;
}

static int channel_open_named(soma_agent *self, const char *to, const char *alias, const soma_channel_options *options,
                              uint64_t timeout)
{
    struct channel *channel;
    int error = sought_check(to);
    if (error)
        return channel_refuse(self, alias, error, "'%.100s' is neither an address nor a name/alias", to);
    error = channel_make(self, alias, &channel);
    if (error)
        return error;
    error = options_copy(options, &channel->options);
    if (!error && options->handlers)
        error = rows_copy(options->handlers, &channel->rows);
    if (!error && !(channel->sought = strdup(to)))
        error = SOMA_ENOMEM;
    if (!error && (error = channel_seek(self, channel, NULL, timeout)) == SOMA_ESTATE)
        channel_refuse(self, alias, error, "there is no client of a name service here to find '%.200s'", to);
    if (error)
        port_close(self, &channel->port);
    return error;
}

int soma_connect_to(soma_agent *self, const char *to, const char *alias, const soma_channel_options *options,
                    uint64_t timeout)
{
    static const soma_channel_options defaults = {0};
    const soma_channel_options *given = options ? options : &defaults;
    soma_address address;
    if (!self || !to || !alias || !timeout)
        return SOMA_EINVAL;
    if (given->place)
        return channel_refuse(self, alias, SOMA_EINVAL, "who connects has no place of its own");
    if (!strstr(to, "://"))
        return channel_open_named(self, to, alias, given, timeout);
    int error = soma_address_parse(to, &address);
    if (error)
        return channel_refuse(self, alias, error == SOMA_EFORMAT ? SOMA_EINVAL : error, "'%.100s' is no address%s", to,
                              place_wrong(to));
    return soma_connect_with(self, &address, alias, given);
}

void named_end(soma_agent *self, struct channel *channel)
{
    if (channel->seek)
        soma_request_cancel(self, channel->seek);
    if (channel->promise)
        soma_reply_error_to(self, channel->promise, SOMA_EGONE);
}
