/*
 * What goes through channels: messages to one peer or to all who want them, questions, and whose handlers get what
 * comes. In one system a message goes from the sender's turn into the receiver's mailbox, as any other does.
 */
#include "channels/remote.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define SHARED_FROM 512u /* bytes of a publication from which on all subscribers share one body */

/* ---- who gets it ---- */

/* Does the agent of the peer whose turn it is live, and is not overloaded, or the only one? */
static inline bool peer_ready(soma_system *system, const struct channel *channel)
{
    const soma_agent *target = target_find(system, channel->peers[channel->peer_next].place.agent);
    return target && (channel->peer_count == 1 || !u32_load(&target->pressure));
}

/* The same from whose turn it is on, if that one can't. */
static __attribute__((noinline)) uint32_t peer_search(soma_system *system, struct channel *channel)
{
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

/*
 * The peer whose turn it is and whose agent lives; one that is overloaded is passed over if another one isn't. The
 * count if there is none.
 */
static inline uint32_t peer_choose(const soma_agent *self, struct channel *channel)
{
    soma_system *system = self->worker->system;
    bool ready = channel->peer_count && peer_ready(system, channel);
    return ready ? channel->peer_next : peer_search(system, channel);
}

static void peer_used(struct channel *channel, uint32_t index)
{
    channel->peer_next = index + 1 < channel->peer_count ? index + 1 : 0;
}

bool topic_fits(const char *subscribed, const char *topic)
{
    while (*subscribed && *subscribed == *topic)
        subscribed++, topic++;
    return !*subscribed;
}

static bool peer_wants(const struct peer *peer, const char *topic)
{
    const struct topic *wanted = peer->topics;
    while (wanted && !topic_fits(wanted->text, topic))
        wanted = wanted->next;
    return wanted;
}

/* ---- sending ---- */

/* What is sent, and the body that it is, if it is one. */
struct content {
    const soma_type *type;
    const void *message;
    soma_body *body;
};

static inline int peer_send(soma_agent *self, const struct peer *peer, const char *topic, const struct content *content)
{
    return content->body ? port_send_body(self, &peer->place, topic, content->body)
                         : port_send(self, &peer->place, topic, content->type, content->message);
}

/* The agent of the only peer, if there is nothing special about it, as with most: then nobody is to be chosen. */
static inline soma_agent *peer_only(const soma_agent *self, const struct channel *channel)
{
    if (channel->peer_count != 1 || channel->peers->place.agent.node != self->worker->node)
        return NULL; // the sender is a guest, whose node is 0
    bool plainly = false;
    soma_agent *target = target_look(self->worker->system, channel->peers->place.agent, &plainly);
    return plainly ? target : NULL;
}

static int push(soma_agent *self, struct channel *channel, const struct content *content)
{
    for (uint32_t refused = 0; refused < channel->peer_count;) {
        uint32_t index = peer_choose(self, channel);
        if (index == channel->peer_count)
            break;
        peer_used(channel, index);
        int error = peer_send(self, &channel->peers[index], "", content);
        if (error != SOMA_EAGAIN && error != SOMA_EGONE)
            return error;
        refused++;
    }
    return SOMA_EAGAIN;
}

/* Makes a body of what is large, for several subscribers. */
static int content_share(struct content *content)
{
    size_t size;
    int error = type_flat_size(content->type, content->message, &size);
    return error || size < SHARED_FROM ? error : soma_body_copy(&content->body, content->type, content->message);
}

/* A subscriber that is gone, or turns it away, misses it. */
static int publish(soma_agent *self, struct channel *channel, const char *topic, const struct content *given)
{
    const struct peer *last =
        NULL; // who wants it: sent to when the next one is found, or none, so that one has no body
    struct content content = *given;
    int error = 0;
    for (uint32_t i = 0; i <= channel->peer_count && !error; i++) {
        const struct peer *peer = i < channel->peer_count ? &channel->peers[i] : NULL;
        if (peer && !peer_wants(peer, topic))
            continue;
        if (last && peer && !content.body)
            error = content_share(&content);
        if (last && !error)
            error = peer_send(self, last, topic, &content);
        if (error == SOMA_EGONE || error == SOMA_EAGAIN)
            error = 0;
        last = peer;
    }
    if (!given->body)
        soma_body_close(&content.body);
    return error;
}

/* May it be published, and subscribed to? */
static inline int topic_check(const char *topic)
{
    if (strnlen(topic, SOMA_TOPIC_MOST + 1) > SOMA_TOPIC_MOST)
        return SOMA_ETOOBIG;
    return *topic == ANSWER_MARK ? SOMA_EINVAL : 0;
}

/* With all that may have to be done. Those that are opened by a name have no pattern before that is known. */
static __attribute__((noinline)) int send_fully(soma_agent *self, struct channel *channel, const char *topic,
                                                const struct content *content)
{
    if (!channel)
        return SOMA_ENOENT;
    if (!channel->pattern)
        return SOMA_EAGAIN;
    if (pattern_pushes(channel->pattern) && !topic)
        return channel->remote ? remote_send(self, channel, "", content->type, content->message)
                               : push(self, channel, content);
    if (!pattern_publishes(channel->pattern))
        return SOMA_ESTATE;
    int error = topic ? topic_check(topic) : 0;
    if (error)
        return error;
    return channel->remote ? remote_send(self, channel, topic ? topic : "", content->type, content->message)
                           : publish(self, channel, topic ? topic : "", content);
}

int soma_channel_send(soma_agent *self, const char *alias, const char *topic, const soma_type *type, const void *body)
{
    if (!self || !alias || !type || !body)
        return SOMA_EINVAL;
    struct channel *channel = channel_find(self, alias);
    bool pushes = channel && pattern_pushes(channel->pattern) && !topic;
    soma_agent *only = pushes ? peer_only(self, channel) : NULL;
    return only ? port_send_near(self, only, &channel->peers->place, type, body)
                : send_fully(self, channel, topic, &(const struct content){type, body, NULL});
}

int soma_channel_send_body(soma_agent *self, const char *alias, const char *topic, soma_body *body)
{
    if (!self || !alias || !body)
        return SOMA_EINVAL;
    const struct content content = {body->type, soma_body_message(body), body};
    return send_fully(self, channel_find(self, alias), topic, &content);
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
    if (!channel->pattern)
        return SOMA_EAGAIN;
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
    return topic_check(topic);
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

/* The row for a type; NULL if there is none. */
static inline const soma_handler *row_find(const struct rows *rows, const soma_type *type)
{
    const soma_handler *row = rows ? rows->rows : NULL, *end = rows ? row + rows->count : NULL;
    while (row < end && row->type != type && !row->method && !type_same(row->type, type))
        row++;
    return row < end ? row : NULL;
}

static inline int row_handle(soma_agent *self, void *state, const soma_handler *row, struct message *message)
{
    const void *body = message_body(message);
    return row->fn ? row->fn(self, state, body) : method_deliver(self, state, row->method, message->type, body);
}

/* Has the handlers for a message's type, if there are any, handle it; a question only the first. */
static inline int rows_handle(soma_agent *self, void *state, const struct port *port, const struct rows *rows,
                              struct message *message, bool *used)
{
    const soma_handler *row = row_find(rows, message->type);
    if (!rows || !row)
        return 0;
    *used = true;
    int error = row_handle(self, state, row, message);
    const soma_handler *end = rows->several && message->kind != MESSAGE_REQUEST ? rows->rows + rows->count : row;
    for (const soma_handler *next = row + 1; next < end && error >= 0 && !port->closed; next++)
        if (rows_alike(row, next))
            error = row_handle(self, state, next, message);
    return error;
}

/* To the handlers of each subscription that there is now and that fits. One that none wants any more is used, too. */
static int topics_deliver(soma_agent *self, void *state, struct channel *channel, struct message *message, bool *used)
{
    struct subscription *last = channel->subscriptions;
    const char *topic = label_text(message);
    bool wanted = false;
    int error = 0;
    while (last && last->next)
        last = last->next;
    for (struct subscription *s = channel->subscriptions; s && error >= 0 && !channel->port.closed;
         s = s == last ? NULL : s->next) {
        if (s->ended || !topic_fits(s->topic, topic))
            continue;
        wanted = true;
        error = rows_handle(self, state, &channel->port, s->rows, message, used);
    }
    *used |= !wanted;
    return error;
}

/* Does a subscriber want it still? */
static bool topics_want(const struct channel *channel, struct message *message)
{
    for (const struct subscription *s = channel->subscriptions; s; s = s->next)
        if (topic_fits(s->topic, label_text(message)))
            return true;
    return false;
}

/* With all that may have to be done. */
static __attribute__((noinline)) int deliver_fully(soma_agent *self, void *state, struct channel *channel,
                                                   struct message *message)
{
    bool subscribes = pattern_subscribes(channel->pattern), used = false;
    if (channel->conflates && !channel->remote &&
        newest_keep(self, channel, message, !subscribes || topics_want(channel, message)))
        return 0;
    int error = subscribes ? topics_deliver(self, state, channel, message, &used)
                           : rows_handle(self, state, &channel->port, channel->rows, message, &used);
    if (!used)
        message_unhandled(self->worker, soma_self(self), message, SOMA_EUNHANDLED);
    if (subscribes && !channel->port.closed)
        subscriptions_sweep(channel);
    return error;
}

/* The rows that alone may handle a message; NULL if that is not so plain. */
static inline const struct rows *rows_alone(const struct channel *channel, struct message *message)
{
    const struct subscription *only = channel->subscriptions;
    if (channel->conflates || !only)
        return channel->conflates ? NULL : channel->rows;
    return !only->next && topic_fits(only->topic, label_text(message)) ? only->rows : NULL;
}

int channel_deliver(soma_agent *self, void *state, struct port *port, struct message *message)
{
    struct channel *channel = (struct channel *)port;
    const struct rows *rows = rows_alone(channel, message);
    const soma_handler *first = rows ? rows->rows : NULL;
    if (!first || rows->several || first->type != message->type || !first->fn)
        return deliver_fully(self, state, channel, message);
    int error = first->fn(self, state, message_body(message)); // as most are
    if (channel->subscriptions && !port->closed)
        subscriptions_sweep(channel);
    return error;
}
