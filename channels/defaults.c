/*
 * What a channel's options leave out is taken from its agent's defaults, else its system's, else the environment, else
 * it is what soma/channel.h says. An agent's are a port of its own, and so end with it.
 */
#include "channels/hub.h"
#include "channels/remote.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct defaults_port {
    struct port port;
    struct defaults defaults;
};

static void port_ends(soma_agent *self, struct port *port)
{
    (void)self, (void)port;
}

static void port_released(struct port *port)
{
    (void)port;
}

static const struct port_class defaults_class = {.end = port_ends, .release = port_released};

static struct defaults *defaults_of(const soma_agent *self)
{
    struct port *port = port_first(self);
    while (port && port->class != &defaults_class)
        port = port->next;
    return port ? &((struct defaults_port *)port)->defaults : NULL;
}

/* ---- setting ---- */

/* Why it can't be one; NULL if it can. */
static const char *place_unfit(const char *place)
{
    soma_address address;
    if (place_is_transport(place))
        return NULL;
    if (place_parse(place, &address))
        return "that is no place";
    return address.transport != SOMA_TCP || address.port || address.pattern
               ? "only one channel can have that place: say a transport, or tcp://IP without a port"
               : NULL;
}

static const char *serializer_unfit(soma_system *system, const char *serializer)
{
    return hub_serializer(system, serializer) ? NULL : "there is no such serializer";
}

/* Of texts that are right; NULL and "" are none. */
static void defaults_set(struct defaults *defaults, const char *place, const char *serializer, uint32_t linger_ms)
{
    *defaults = (struct defaults){.linger_ms = linger_ms};
    snprintf(defaults->place, sizeof(defaults->place), "%s", place ? place : "");
    snprintf(defaults->serializer, sizeof(defaults->serializer), "%s", serializer ? serializer : "");
}

static int default_refuse(soma_system *system, const char *text, const char *why)
{
    soma_log_error(system, "defaults of channels: '%.200s': %s", text, why);
    return SOMA_EINVAL;
}

/* One that is each channel's own would be lost without a word. */
static bool options_own(const soma_channel_options *options)
{
    return options->handlers || options->conflate || options->framing || options->high_water || options->message_most ||
           options->heartbeat_ms || options->identity || options->keys || options->insecure;
}

static int defaults_make(soma_system *system, const soma_channel_options *options, struct defaults *defaults)
{
    const char *wrong;
    *defaults = (struct defaults){0};
    if (!options)
        return 0;
    const char *place = options->place, *serializer = options->serializer;
    if (place && (wrong = place_unfit(place)))
        return default_refuse(system, place, wrong);
    if (serializer && (wrong = serializer_unfit(system, serializer)))
        return default_refuse(system, serializer, wrong);
    if (options->linger_ms > INT32_MAX)
        return default_refuse(system, "linger_ms", "that is over 2147483647");
    if (options_own(options)) {
        soma_log_error(system, "defaults of channels: only place, serializer and linger_ms can be said for all");
        return SOMA_EINVAL;
    }
    defaults_set(defaults, place, serializer, options->linger_ms);
    return 0;
}

int soma_channel_defaults(soma_agent *self, const soma_channel_options *options)
{
    struct defaults made;
    int error = self ? defaults_make(soma_agent_system(self), options, &made) : SOMA_EINVAL;
    if (error)
        return error;
    struct defaults *mine = defaults_of(self);
    if (!mine) {
        struct port *port = port_open(self, &defaults_class, sizeof(struct defaults_port));
        if (!port)
            return SOMA_ENOMEM;
        mine = &((struct defaults_port *)port)->defaults;
    }
    *mine = made;
    return 0;
}

int soma_system_channel_defaults(soma_system *system, const soma_channel_options *options)
{
    struct defaults made;
    int error = system ? defaults_make(system, options, &made) : SOMA_EINVAL;
    return error ? error : hub_set_defaults(system, &made);
}

/* ---- taking ---- */

/* What nobody nearer has said. */
static void defaults_add(struct defaults *defaults, const struct defaults *more)
{
    if (!*defaults->place)
        memcpy(defaults->place, more->place, sizeof(more->place));
    if (!*defaults->serializer)
        memcpy(defaults->serializer, more->serializer, sizeof(more->serializer));
    if (!defaults->linger_ms)
        defaults->linger_ms = more->linger_ms;
}

/* What a variable says; "" if it is not set. */
static const char *variable(const char *name)
{
    const char *text = getenv(name);
    return text ? text : "";
}

/* False if it is no number of milliseconds; none is 0. */
static bool number_read(const char *text, uint32_t *number)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    *number = (uint32_t)value;
    return !*text || (*text >= '0' && *text <= '9' && !*end && value <= INT32_MAX);
}

/* Who set a variable and who binds are seldom the same, so the error alone would not be found. */
static int variable_refuse(soma_agent *self, const char *name, const char *text, const char *why)
{
    soma_log_error(self, "environment: %s=%.100s is wrong: %s", name, text, why);
    return SOMA_EINVAL;
}

static int environment_add(soma_agent *self, struct defaults *defaults)
{
    const char *place = variable("SOMA_CHANNEL_PLACE"), *serializer = variable("SOMA_CHANNEL_SERIALIZER"),
               *linger = variable("SOMA_CHANNEL_LINGER_MS");
    uint32_t linger_ms;
    struct defaults made;
    const char *wrong;
    if (!number_read(linger, &linger_ms))
        return variable_refuse(self, "SOMA_CHANNEL_LINGER_MS", linger, "that is no number up to 2147483647");
    if (*place && (wrong = place_unfit(place)))
        return variable_refuse(self, "SOMA_CHANNEL_PLACE", place, wrong);
    if (*serializer && (wrong = serializer_unfit(soma_agent_system(self), serializer)))
        return variable_refuse(self, "SOMA_CHANNEL_SERIALIZER", serializer, wrong);
    defaults_set(&made, place, serializer, linger_ms);
    defaults_add(defaults, &made);
    return 0;
}

int defaults_fill(soma_agent *self, const soma_channel_options *given, struct filled *filled)
{
    const struct defaults *mine = defaults_of(self);
    struct defaults *texts = &filled->defaults, ours;
    soma_channel_options *options = &filled->options;
    *options = given ? *given : (soma_channel_options){0};
    *texts = mine ? *mine : (struct defaults){0};
    int error = hub_get_defaults(soma_agent_system(self), &ours);
    if (error)
        return error;
    defaults_add(texts, &ours);
    if ((!*texts->place || !*texts->serializer || !texts->linger_ms) && (error = environment_add(self, texts)))
        return error;
    if (!options->serializer && *texts->serializer)
        options->serializer = texts->serializer;
    if (!options->place && *texts->place)
        options->place = texts->place;
    if (!options->linger_ms)
        options->linger_ms = texts->linger_ms;
    return 0;
}
