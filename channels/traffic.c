/*
 * What goes through channels: messages to one peer or to all who want them, questions, and whose handlers get what
 * comes. In one system a message goes from the sender's turn into the receiver's mailbox, as any other does.
 */
#include "channels/remote.h"
#include "runtime/request.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define SHARED_FROM 512u /* bytes of a publication from which on all subscribers share one body */

/* ---- who gets it ---- */

/*
 * The peer whose turn it is and whose agent lives; one that is overloaded is passed over if another one isn't. The
 * count if there is none.
 */
static uint32_t peer_choose(const soma_agent *self, struct channel *channel)
{
    soma_system *system = soma_agent_system(self);
    uint32_t best = channel->peer_count;
    for (uint32_t tried = 0; tried < channel->peer_count;) {
        uint32_t index = (channel->peer_next + tried) % channel->peer_count;
        const soma_agent *target = target_find(system, channel->peers[index].place.agent);
        if (!target) {
            peer_drop(channel, index);
            tried = 0;
            best = channel->peer_count;
            continue;
        }
        if (!u32_load(&target->pressure))
            return index;
        if (best == channel->peer_count)
            best = index;
        tried++;
    }
    return best;
}

static void peer_used(struct channel *channel, uint32_t index)
{
    channel->peer_next = index + 1 < channel->peer_count ? index + 1 : 0;
}

bool topic_fits(const char *subscribed, const char *topic)
{
    return !strncmp(topic, subscribed, strlen(subscribed));
}

static bool peer_wants(const struct peer *peer, const char *topic)
{
    const struct topic *wanted = peer->topics;
    while (wanted && !topic_fits(wanted->text, topic))
        wanted = wanted->next;
    return wanted;
}

/* ---- sending ---- */

static int push(soma_agent *self, struct channel *channel, const soma_type *type, const void *body)
{
    for (uint32_t refused = 0; refused < channel->peer_count;) {
        uint32_t index = peer_choose(self, channel);
        if (index == channel->peer_count)
            break;
        peer_used(channel, index);
        int error = port_send(self, &channel->peers[index].place, "", type, body);
        if (error != SOMA_EAGAIN && error != SOMA_EGONE)
            return error;
        refused++;
    }
    return SOMA_EAGAIN;
}

/* A subscriber that is gone, or turns it away, misses it. */
static int publish(soma_agent *self, struct channel *channel, const char *topic, const soma_type *type,
                   const void *body)
{
    size_t size;
    soma_body *shared = NULL;
    int error = type_flat_size(type, body, &size);
    for (uint32_t i = 0; i < channel->peer_count && !error; i++) {
        const struct peer *peer = &channel->peers[i];
        if (!peer_wants(peer, topic))
            continue;
        if (size >= SHARED_FROM && !shared && (error = soma_body_copy(&shared, type, body)))
            break;
        error = shared ? port_send_body(self, &peer->place, topic, shared)
                       : port_send(self, &peer->place, topic, type, body);
        if (error == SOMA_EGONE || error == SOMA_EAGAIN)
            error = 0;
    }
    soma_body_close(&shared);
    return error;
}

int soma_channel_send(soma_agent *self, const char *alias, const char *topic, const soma_type *type, const void *body)
{
    if (!self || !alias || !type || !body)
        return SOMA_EINVAL;
    struct channel *channel = channel_find(self, alias);
    if (!channel)
        return SOMA_ENOENT;
    if (pattern_pushes(channel->pattern) && !topic)
        return channel->remote ? remote_send(self, channel, "", type, body) : push(self, channel, type, body);
    if (!pattern_publishes(channel->pattern))
        return SOMA_ESTATE;
    if (topic && strnlen(topic, SOMA_TOPIC_MOST + 1) > SOMA_TOPIC_MOST)
        return SOMA_ETOOBIG;
    return (channel->remote ? remote_send : publish)(self, channel, topic ? topic : "", type, body);
}

static soma_handle ask(soma_agent *self, struct channel *channel, uint64_t timeout, const soma_then *then,
                       const soma_type *type, const void *body)
{
    uint32_t index = peer_choose(self, channel);
    if (index == channel->peer_count)
        return SOMA_EAGAIN;
    peer_used(channel, index);
    return port_request(self, &channel->peers[index].place, timeout, then, type, body);
}

soma_handle soma_channel_request(soma_agent *self, const char *alias, uint64_t timeout, const soma_then *then,
                                 const soma_type *type, const void *body)
{
    if (!self || !alias || !timeout || !then_valid(then) || !type || !body)
        return SOMA_EINVAL;
    struct channel *channel = channel_find(self, alias);
    if (!channel)
        return SOMA_ENOENT;
    bool one = channel->pattern == SOMA_REQ;
    if (!pattern_asks(channel->pattern) || (one && request_waits(self, channel->asked)))
        return SOMA_ESTATE;
    soma_handle handle = channel->remote ? remote_request(self, channel, timeout, then, type, body)
                                         : ask(self, channel, timeout, then, type, body);
    if (one && handle > 0)
        channel->asked = handle;
    return handle;
}

/* ---- subscriptions ---- */

static struct subscription *subscription_find(const struct channel *channel, const char *topic)
{
    struct subscription *s = channel->subscriptions;
    while (s && (s->ended || strcmp(s->topic, topic) != 0))
        s = s->next;
    return s;
}

void subscriptions_sweep(struct channel *channel)
{
    for (struct subscription **link = &channel->subscriptions; *link;) {
        struct subscription *s = *link;
        if (!s->ended) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        free(s->rows);
        free(s);
    }
}

static void subscription_end(struct channel *channel, struct subscription *subscription)
{
    subscription->ended = true;
    if (!channel->port.busy)
        subscriptions_sweep(channel);
}

static int subscription_add(struct channel *channel, const char *topic, const soma_handler *handlers)
{
    size_t size = strlen(topic) + 1;
    struct subscription **link = &channel->subscriptions, *made = malloc(sizeof(*made) + size);
    int error = made ? rows_copy(handlers, &made->rows) : SOMA_ENOMEM;
    if (error) {
        free(made);
        return error;
    }
    made->next = NULL;
    made->ended = false;
    memcpy(made->topic, topic, size);
    while (*link)
        link = &(*link)->next;
    *link = made;
    return 0;
}

/* The SUB of an alias. */
static int subscriber_find(const soma_agent *self, const char *alias, const char *topic, struct channel **channel)
{
    if (!self || !alias || !topic)
        return SOMA_EINVAL;
    *channel = channel_find(self, alias);
    if (!*channel)
        return SOMA_ENOENT;
    if (!pattern_subscribes((*channel)->pattern))
        return SOMA_ESTATE;
    return strnlen(topic, SOMA_TOPIC_MOST + 1) > SOMA_TOPIC_MOST ? SOMA_ETOOBIG : 0;
}

int soma_subscribe(soma_agent *self, const char *alias, const char *topic, const soma_handler *handlers)
{
    struct channel *channel;
    int error = handlers ? subscriber_find(self, alias, topic, &channel) : SOMA_EINVAL;
    if (error)
        return error;
    struct subscription *before = subscription_find(channel, topic);
    error = subscription_add(channel, topic, handlers);
    if (error)
        return error;
    if (before)
        subscription_end(channel, before);
    else if ((error = peers_tell_topic(self, channel, topic, true)))
        subscription_end(channel, subscription_find(channel, topic));
    return error;
}

int soma_unsubscribe(soma_agent *self, const char *alias, const char *topic)
{
    struct channel *channel;
    int error = subscriber_find(self, alias, topic, &channel);
    if (error)
        return error;
    struct subscription *subscription = subscription_find(channel, topic);
    if (!subscription)
        return SOMA_ENOENT;
    peers_tell_topic(self, channel, topic, false); // without memory it comes still, and is not handled
    subscription_end(channel, subscription);
    return 0;
}

const char *soma_topic(const soma_agent *self)
{
    return self ? port_label(self) : NULL;
}

/* ---- what comes ---- */

/* Has the handler for a message's type, if there is one, handle it. */
static int rows_handle(soma_agent *self, void *state, const struct rows *rows, struct message *message, bool *used)
{
    for (uint32_t i = 0; rows && i < rows->count; i++) {
        const soma_handler *row = &rows->rows[i];
        if (!row->method && !type_same(row->type, message->type))
            continue;
        *used = true;
        return row->fn ? row->fn(self, state, message_body(message))
                       : method_deliver(self, state, row->method, message->type, message_body(message));
    }
    return 0;
}

/* To the handlers of each subscription that there is now and that fits. */
static int topics_deliver(soma_agent *self, void *state, struct channel *channel, struct message *message, bool *used)
{
    struct subscription *last = channel->subscriptions;
    int error = 0;
    while (last && last->next)
        last = last->next;
    for (struct subscription *s = channel->subscriptions; s && error >= 0 && !channel->port.closed;
         s = s == last ? NULL : s->next) {
        if (s->ended || !topic_fits(s->topic, message_label(message)->text))
            continue;
        error = rows_handle(self, state, s->rows, message, used);
    }
    return error;
}

/* Does a subscriber want it still? */
static bool topics_want(const struct channel *channel, struct message *message)
{
    for (const struct subscription *s = channel->subscriptions; s; s = s->next)
        if (topic_fits(s->topic, message_label(message)->text))
            return true;
    return false;
}

int channel_deliver(soma_agent *self, void *state, struct port *port, struct message *message)
{
    struct channel *channel = (struct channel *)port;
    bool subscribes = pattern_subscribes(channel->pattern), used = subscribes && !topics_want(channel, message);
    if (channel->conflates && !channel->remote && newest_keep(self, channel, message, !used))
        return 0;
    int error = subscribes ? topics_deliver(self, state, channel, message, &used)
                           : rows_handle(self, state, channel->rows, message, &used);
    if (!used)
        message_unhandled(self->worker, soma_self(self), message, SOMA_EUNHANDLED);
    if (!port->closed)
        subscriptions_sweep(channel);
    return error;
}
