/* Errors of what is done by a channel, in words, for who has called a method. */
#include "channels/channel.h"
#include "channels/options.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <string.h>

static const char *why(const struct channel *channel, int error)
{
    switch (error) {
    case SOMA_EAGAIN:
        if (channel && !channel->pattern)
            return "where it connects to is not known yet";
        return channel && peers_ready(channel) ? "too much waits for who is there"
                                               : "nobody is there who takes it; wait until it has peers";
    case SOMA_EEXIST:
        return "the alias is used already, or something is bound there";
    case SOMA_EINVAL:
        return "its alias, place, topic or pattern may not be, or not with this handler or option, or without one";
    case SOMA_ENOENT:
        return "there is no such subscription";
    default:
        return soma_strerror(error);
    }
}

int channel_explain(soma_agent *self, const char *alias, int error, const char *does)
{
    if (error >= 0 || channel_refused(self, error))
        return error < 0 ? error : 0;
    const struct channel *channel = channel_find(self, alias);
    if (!channel && error == SOMA_ENOENT)
        return soma_fail(self, error, "the agent has no channel '%.64s'", alias);
    if (!channel || !does || error != SOMA_ESTATE)
        return soma_fail(self, error, "channel '%.64s': %s", alias, why(channel, error));
    const char *name = soma_pattern_name(channel->pattern), *article = pattern_article(channel->pattern);
    bool asks = pattern_asks(channel->pattern) && !strcmp(does, "ask");
    return soma_fail(self, error,
                     asks ? "channel '%s': %s %s can't %s before the last answer has come"
                          : "channel '%s': %s %s can't %s",
                     alias, article, name, does);
}
