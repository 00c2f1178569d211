/*
 * Who is told of what an agent binds and closes: the clients of name services where it has names. Each is a port of the
 * agent's, though nothing comes there, so that it ends with it; and so is whoever waits until they have made it known.
 */
#include "channels/channel.h"
#include <soma/error.h>
#include <soma/method.h>
#include <string.h>

struct told {
    struct port port; /* first */
    soma_ref names;
};

/* A method that has bound or closed something, and is answered when all who were told have answered. */
struct settling {
    struct port port; /* first */
    soma_handle promise;
    uint32_t left;
    char text[SOMA_ADDRESS_TEXT_SIZE]; /* that it gives; empty: none */
};

static int nothing_comes(soma_agent *self, void *state, struct port *port, struct message *message)
{
    (void)self, (void)state, (void)port, (void)message;
    return 0;
}

static void nothing_ends(soma_agent *self, struct port *port)
{
    (void)self, (void)port;
}

static void nothing_is_left(struct port *port)
{
    (void)port;
}

static const struct port_class told_class = {nothing_comes, nothing_ends, nothing_is_left};
static const struct port_class settling_class = {nothing_comes, nothing_ends, nothing_is_left};

static struct told *told_from(struct port *port)
{
    while (port && port->class != &told_class)
        port = port->next;
    return (struct told *)port;
}

/* ---- telling ---- */

static int tell(soma_agent *self, const struct told *told, const struct channel *channel, bool bound)
{
    char address[SOMA_ADDRESS_TEXT_SIZE];
    soma_address_print(&channel->address, address, sizeof(address));
    return soma_send(self, told->names, soma_channel_bound, .alias = channel->alias, .address = bound ? address : NULL);
}

void names_tell(soma_agent *self, const struct channel *channel, bool bound)
{
    for (struct told *told = told_from(port_first(self)), *next; channel->bound && told; told = next) {
        next = told_from(told->port.next);
        if (tell(self, told, channel, bound) == SOMA_EGONE)
            port_close(self, &told->port);
    }
}

int soma_channels_announce(soma_agent *self, soma_ref names)
{
    if (!self || soma_ref_is_null(names))
        return SOMA_EINVAL;
    struct told *told = told_from(port_first(self));
    while (told && !soma_ref_equal(told->names, names))
        told = told_from(told->port.next);
    if (!told)
        told = (struct told *)port_open(self, &told_class, sizeof(*told));
    if (!told)
        return SOMA_ENOMEM;
    told->names = names;
    for (const struct channel *channel = NULL; (channel = channel_after(self, channel));)
        if (channel->bound)
            tell(self, told, channel, true);
    return 0;
}

/* ---- until it is known ---- */

static void settling_answer(soma_agent *self, struct settling *settling)
{
    soma_value_builder *builder;
    soma_value value = SOMA_VALUE_NONE;
    int error = soma_value_builder_open(&builder);
    if (!error && *settling->text && !(error = soma_value_add_string(builder, settling->text)))
        error = soma_value_builder_finish(builder, &value);
    if (error)
        soma_reply_error_to(self, settling->promise, error);
    else
        soma_reply_to(self, settling->promise, soma_result, .value = value);
    soma_value_builder_close(&builder);
    port_close(self, &settling->port);
}

static int settled(soma_agent *self)
{
    struct settling *settling = (struct settling *)port_find(self, (soma_handle)soma_tag(self));
    if (settling && !--settling->left)
        settling_answer(self, settling);
    return 0;
}

static int on_settled(soma_agent *self, void *state, const struct soma_result *m)
{
    (void)state, (void)m;
    return settled(self);
}

/* It is bound or closed all the same. */
static int on_not_settled(soma_agent *self, void *state, const int *error)
{
    (void)state, (void)error;
    return settled(self);
}

int names_settle(soma_agent *self, uint64_t timeout, const char *text, soma_value_builder *result)
{
    struct told *told = told_from(port_first(self));
    struct settling *settling = told ? (struct settling *)port_open(self, &settling_class, sizeof(*settling)) : NULL;
    soma_handle promise = settling ? soma_reply_later(self) : 0;
    for (; promise > 0 && told; told = told_from(told->port.next))
        if (soma_request(self, told->names, timeout,
                         SOMA_THEN(soma_result, on_settled, on_not_settled, .tag = (uint64_t)settling->port.handle),
                         soma_channel_settle, .timeout = timeout) > 0)
            settling->left++;
    if (promise <= 0) { // nobody is told, or waits
        if (settling)
            port_close(self, &settling->port);
        return text ? soma_value_add_string(result, text) : 0;
    }
    settling->promise = promise;
    if (text)
        memcpy(settling->text, text, strlen(text) + 1);
    if (!settling->left)
        settling_answer(self, settling);
    return 0;
}
