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

static int place_check(const char *place)
{
    soma_address address;
    if (place_is_transport(place))
        return 0;
    return !place_parse(place, &address) && !address.pattern ? 0 : SOMA_EINVAL;
}

/* Of texts that are right; NULL and "" are none. */
static void defaults_set(struct defaults *defaults, const char *place, const char *serializer, uint32_t linger_ms)
{
    *defaults = (struct defaults){.linger_ms = linger_ms};
    snprintf(defaults->place, sizeof(defaults->place), "%s", place ? place : "");
    snprintf(defaults->serializer, sizeof(defaults->serializer), "%s", serializer ? serializer : "");
}

static int defaults_make(const soma_channel_options *options, struct defaults *defaults)
{
    *defaults = (struct defaults){0};
    if (!options)
        return 0;
    const char *place = options->place, *serializer = options->serializer;
    if ((place && place_check(place)) || (serializer && !serializer_find(serializer)))
        return SOMA_EINVAL;
    defaults_set(defaults, place, serializer, options->linger_ms);
    return 0;
}

int soma_channel_defaults(soma_agent *self, const soma_channel_options *options)
{
    struct defaults made;
    int error = self ? defaults_make(options, &made) : SOMA_EINVAL;
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
    int error = system ? defaults_make(options, &made) : SOMA_EINVAL;
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

/* False if it is no number of 32 bits; none is 0. */
static bool number_read(const char *text, uint32_t *number)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    *number = (uint32_t)value;
    return !*text || (*text >= '0' && *text <= '9' && !*end && value <= UINT32_MAX);
}

/* Who set a variable and who binds are seldom the same, so the error alone would not be found. */
static int variable_refuse(soma_agent *self, const char *name, const char *text)
{
    soma_log_error(self, "environment: %s=%.100s is wrong", name, text);
    return SOMA_EINVAL;
}

static int environment_add(soma_agent *self, struct defaults *defaults)
{
    const char *place = variable("SOMA_CHANNEL_PLACE"), *serializer = variable("SOMA_CHANNEL_SERIALIZER"),
               *linger = variable("SOMA_CHANNEL_LINGER_MS");
    uint32_t linger_ms;
    struct defaults made;
    if (!number_read(linger, &linger_ms))
        return variable_refuse(self, "SOMA_CHANNEL_LINGER_MS", linger);
    if (*place && place_check(place))
        return variable_refuse(self, "SOMA_CHANNEL_PLACE", place);
    if (*serializer && !serializer_find(serializer))
        return variable_refuse(self, "SOMA_CHANNEL_SERIALIZER", serializer);
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
    if (!options->serializer && !options->own_serializer && *texts->serializer)
        options->serializer = texts->serializer;
    if (!options->place && *texts->place)
        options->place = texts->place;
    if (!options->linger_ms)
        options->linger_ms = texts->linger_ms;
    return 0;
}
