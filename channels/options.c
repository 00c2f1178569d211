/* Which options are for which pattern, and copies of them; see options.h. */
#include "channels/options.h"
#include "channels/channel.h"
#include "channels/hub.h"
#include "runtime/monitor.h"
#include "runtime/worker.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ZeroMQ holds its handshake to the bound, too, whose largest frame has some 550 bytes with keys and an identity, and
 * subscriptions. */
#define MESSAGE_LEAST 1000u

/* Has a pattern handlers of its own? */
static const enum {
    HANDLERS_NONE,
    HANDLERS_MAY,
    HANDLERS_MUST
} handlers_of[] = {
    [SOMA_PULL] = HANDLERS_MUST,    [SOMA_SUB] = HANDLERS_MAY,        [SOMA_REP] = HANDLERS_MUST,
    [SOMA_PAIR] = HANDLERS_MAY,     [SOMA_ASYNC_REP] = HANDLERS_MUST, [SOMA_SYNC_PUB] = HANDLERS_MUST,
    [SOMA_SYNC_SUB] = HANDLERS_MAY,
};

int channel_refuse(soma_agent *self, const char *alias, int error, const char *format, ...)
{
    char why[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    soma_log_error(self, "channel '%.64s': %s", alias, why);
    return soma_fail(self, error, "channel '%.64s': %s", alias, why);
}

const char *channel_refused(const soma_agent *self, int error)
{
    return self->worker->failing ? failure_text(self, error) : NULL;
}

const char *refusal_reason(const char *text, const char *alias)
{
    char head[sizeof("channel '': ") + SOMA_CHANNEL_ALIAS_MOST];
    size_t length = (size_t)snprintf(head, sizeof(head), "channel '%s': ", alias);
    return strncmp(text, head, length) ? text : text + length;
}

/* Why it may not have these handlers, or none; NULL if it may. */
static const char *handlers_wrong(soma_pattern pattern, const void *handlers)
{
    size_t has = (size_t)pattern < sizeof(handlers_of) / sizeof(*handlers_of) ? handlers_of[pattern] : HANDLERS_NONE;
    if (!handlers && has == HANDLERS_MUST)
        return "has no handlers, and wants some";
    return handlers && has == HANDLERS_NONE ? "has handlers, but nothing comes that would be handled by them" : NULL;
}

static const char *options_wrong(soma_pattern pattern, const soma_channel_options *options)
{
    const char *wrong = handlers_wrong(pattern, options->handlers);
    bool publication = pattern_publishes(pattern) || pattern_subscribes(pattern);
    if (wrong)
        return wrong;
    if (options->high_water > INT32_MAX) // ZeroMQ's are signed
        return "has a high_water over 2147483647";
    if (options->message_most && options->message_most < MESSAGE_LEAST)
        return "has a message_most under 1000: ZeroMQ's own words would be too large, and nobody could connect";
    if (options->linger_ms > INT32_MAX)
        return "has a linger_ms over 2147483647";
    if (options->conflate && pattern != SOMA_PULL && pattern != SOMA_SUB)
        return "can't conflate: that is for a pull or a sub";
    if (options->identity && pattern != SOMA_REQ && pattern != SOMA_ASYNC_REQ)
        return "can't have an identity: that is for a req or an async-req";
    if (options->identity && !*options->identity)
        return "has an empty identity";
    return options->framing && (!publication || (unsigned)options->framing > SOMA_FRAMES_SEPARATED)
               ? "can't have such frames: the option is for a pub and a sub"
               : NULL;
}

int options_fit(soma_agent *self, const char *alias, soma_pattern pattern, const soma_channel_options *options)
{
    if (!soma_pattern_name(pattern))
        return channel_refuse(self, alias, SOMA_EINVAL, "there is no pattern %d", (int)pattern);
    const char *wrong = options_wrong(pattern, options);
    if (wrong)
        return channel_refuse(self, alias, SOMA_EINVAL, "%s %s %s", pattern_article(pattern),
                              soma_pattern_name(pattern), wrong);
    if (options->identity && strnlen(options->identity, SOMA_IDENTITY_MOST + 1) > SOMA_IDENTITY_MOST)
        return channel_refuse(self, alias, SOMA_ETOOBIG, "its identity has over %u bytes", SOMA_IDENTITY_MOST);
    if (options->serializer && !hub_serializer(soma_agent_system(self), options->serializer))
        return channel_refuse(self, alias, SOMA_EINVAL, "there is no serializer '%.100s'", options->serializer);
    return 0;
}

/* ---- copies ---- */

struct kept {
    soma_channel_options options; /* first: the copy is its options */
    soma_channel_keys keys;
    size_t size; /* of the texts, */
    char texts[];
};

/* The texts that options point to, of which there are so many. */
#define TEXTS 5

static void texts_list(soma_channel_options *options, soma_channel_keys *keys, const char **texts[TEXTS])
{
    texts[0] = &options->serializer;
    texts[1] = &options->identity;
    texts[2] = &keys->secret;
    texts[3] = &keys->server;
    texts[4] = &keys->allowed;
}

int options_copy(const soma_channel_options *options, soma_channel_options **copy)
{
    soma_channel_options from = *options;
    soma_channel_keys keys = options->keys ? *options->keys : (soma_channel_keys){0};
    const char **texts[TEXTS];
    size_t size = 0;
    texts_list(&from, &keys, texts);
    for (int i = 0; i < TEXTS; i++)
        size += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    struct kept *kept = malloc(sizeof(*kept) + size);
    if (!kept)
        return SOMA_ENOMEM;
    *kept = (struct kept){.options = from, .keys = keys, .size = size};
    kept->options.handlers = NULL;
    kept->options.keys = options->keys ? &kept->keys : NULL;
    texts_list(&kept->options, &kept->keys, texts);
    char *at = kept->texts;
    for (int i = 0; i < TEXTS; i++) {
        size_t length = *texts[i] ? strlen(*texts[i]) + 1 : 0;
        if (length)
            *texts[i] = memcpy(at, *texts[i], length);
        at += length;
    }
    *copy = &kept->options;
    return 0;
}

void options_free(soma_channel_options *copy)
{
    struct kept *kept = (struct kept *)copy;
    if (kept)
        explicit_bzero(kept->texts, kept->size); // one of them may be a secret
    free(kept);
}
