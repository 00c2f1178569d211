/*
 * Peers: two channels that know each other's ports. The one that connects adds its peer and says hello; the other adds
 * it when that comes. Either says goodbye when it ends, and one that connects then tries again. See channel.h.
 */
#include "channels/hub.h"
#include "channels/remote.h"
#include "runtime/dispatch.h"
#include "runtime/system.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>

enum notice_kind {
    NOTICE_HELLO,  /* I am your peer, and want these topics */
    NOTICE_BYE,    /* I am not any more */
    NOTICE_WANT,   /* I want these topics, too */
    NOTICE_UNWANT, /* and this one no more */
    NOTICE_BOUND   /* something is bound where you want to connect; from nobody */
};

struct notice {
    soma_system *system;
    struct port_place to;
    struct port_place from;
    enum notice_kind kind;
    size_t size; /* of the topics, each with its NUL */
    char topics[];
};

/* ---- topics that a peer wants ---- */

static struct topic **topic_find(struct peer *peer, const char *text)
{
    struct topic **link = &peer->topics;
    while (*link && strcmp((*link)->text, text) != 0)
        link = &(*link)->next;
    return link;
}

static void topic_remove(struct peer *peer, const char *text)
{
    struct topic **link = topic_find(peer, text), *topic = *link;
    if (topic)
        *link = topic->next;
    free(topic);
}

static int topics_add(struct peer *peer, const char *texts, size_t size)
{
    for (size_t at = 0, length; at < size; at += length) {
        length = strlen(texts + at) + 1;
        struct topic **link = topic_find(peer, texts + at);
        if (*link)
            continue;
        struct topic *topic = malloc(sizeof(*topic) + length);
        if (!topic)
            return SOMA_ENOMEM;
        topic->next = NULL;
        memcpy(topic->text, texts + at, length);
        *link = topic;
    }
    return 0;
}

/* ---- the list ---- */

static struct peer *peer_find(struct channel *channel, const struct port_place *place)
{
    for (uint32_t i = 0; i < channel->peer_count; i++)
        if (port_place_equal(&channel->peers[i].place, place))
            return &channel->peers[i];
    return NULL;
}

static struct peer *peer_add(struct channel *channel, const struct port_place *place)
{
    if (channel->peer_count == channel->peer_capacity) {
        uint32_t capacity = channel->peer_capacity ? channel->peer_capacity * 2 : 1;
        struct peer *grown = realloc(channel->peers, capacity * sizeof(*grown));
        if (!grown)
            return NULL;
        channel->peers = grown;
        channel->peer_capacity = capacity;
    }
    struct peer *peer = &channel->peers[channel->peer_count++];
    *peer = (struct peer){.place = *place};
    return peer;
}

void peer_drop(struct channel *channel, uint32_t index)
{
    struct peer *peer = &channel->peers[index];
    while (peer->topics)
        topic_remove(peer, peer->topics->text);
    channel->peer_count--;
    memmove(peer, peer + 1, (channel->peer_count - index) * sizeof(*peer));
    if (index < channel->peer_next)
        channel->peer_next--;
    if (channel->peer_next >= channel->peer_count)
        channel->peer_next = 0;
}

uint32_t peers_ready(const struct channel *channel)
{
    if (channel->remote)
        return channel->remote->peers;
    if (!pattern_publishes(channel->pattern))
        return channel->peer_count;
    uint32_t ready = 0;
    for (uint32_t i = 0; i < channel->peer_count; i++)
        ready += channel->peers[i].topics != NULL;
    return ready;
}

/* ---- sending notices ---- */

static int notice_run(soma_agent *self, void *state, void *arg);
static void notice_drop(void *arg);

static struct notice *notice_new(soma_system *system, const struct port_place *to, enum notice_kind kind,
                                 const struct port_place *from, size_t size)
{
    struct notice *notice = malloc(sizeof(*notice) + size);
    if (notice)
        *notice = (struct notice){.system = system, .to = *to, .from = *from, .kind = kind, .size = size};
    return notice;
}

static int notice_send(struct notice *notice)
{
    if (!notice)
        return SOMA_ENOMEM;
    int error = soma_post(notice->system, notice->to.agent, notice_run, notice, notice_drop);
    return error == SOMA_ENOMEM ? error : 0; // who is gone has said goodbye, or its mail's end will: notice_drop()
}

static int notice_plain(soma_system *system, const struct port_place *to, enum notice_kind kind,
                        const struct port_place *from)
{
    return notice_send(notice_new(system, to, kind, from, 0));
}

void notice_bound(soma_system *system, const struct port_place *to)
{
    notice_plain(system, to, NOTICE_BOUND, &(struct port_place){SOMA_REF_NULL, 0});
}

/* With all that a channel has subscribed to. */
static int notice_topics(soma_agent *self, const struct channel *channel, const struct port_place *to,
                         enum notice_kind kind)
{
    const struct port_place here = port_here(self, &channel->port);
    size_t size = 0;
    for (const struct subscription *s = channel->subscriptions; s; s = s->next)
        size += s->ended ? 0 : strlen(s->topic) + 1;
    struct notice *notice = notice_new(soma_agent_system(self), to, kind, &here, size);
    size = 0;
    for (const struct subscription *s = channel->subscriptions; s && notice; s = s->next) {
        size_t length = s->ended ? 0 : strlen(s->topic) + 1;
        memcpy(notice->topics + size, s->topic, length);
        size += length;
    }
    return notice_send(notice);
}

int peers_tell_topic(soma_agent *self, const struct channel *channel, const char *topic, bool wanted)
{
    const struct port_place here = port_here(self, &channel->port);
    size_t size = strlen(topic) + 1;
    int error = channel->remote ? remote_topic(self, channel, topic, wanted) : 0;
    for (uint32_t i = 0; i < channel->peer_count && !error; i++) {
        struct notice *notice = notice_new(soma_agent_system(self), &channel->peers[i].place,
                                           wanted ? NOTICE_WANT : NOTICE_UNWANT, &here, size);
        if (notice)
            memcpy(notice->topics, topic, size);
        error = notice_send(notice);
    }
    return error;
}

/* ---- connecting and leaving ---- */

int channel_reach(soma_agent *self, struct channel *channel)
{
    soma_system *system = soma_agent_system(self);
    struct port_place there;
    if (channel->bound || channel->peer_count)
        return 0;
    int error = hub_enter(system, channel, &there);
    if (error)
        return error == SOMA_ENOENT ? 0 : error;
    if (!peer_add(channel, &there))
        error = SOMA_ENOMEM;
    else if ((error = notice_topics(self, channel, &there, NOTICE_HELLO)))
        peer_drop(channel, 0);
    if (error && channel->pattern == SOMA_PAIR)
        hub_leave(system, channel);
    return error;
}

void peers_leave(soma_agent *self, struct channel *channel)
{
    soma_system *system = soma_agent_system(self);
    const struct port_place here = port_here(self, &channel->port);
    bool tells = !u32_load(&system->stopping); // else all end
    while (channel->peer_count) {
        if (tells)
            notice_plain(system, &channel->peers[channel->peer_count - 1].place, NOTICE_BYE, &here);
        peer_drop(channel, channel->peer_count - 1);
    }
}

/* ---- getting notices ---- */

static int hello_arrive(soma_agent *self, struct channel *channel, const struct notice *notice)
{
    struct peer *peer = peer_add(channel, &notice->from);
    int error = peer ? topics_add(peer, notice->topics, notice->size) : SOMA_ENOMEM;
    if (!error && channel->subscriptions)
        error = notice_topics(self, channel, &notice->from, NOTICE_WANT);
    if (error && peer)
        peer_drop(channel, channel->peer_count - 1);
    if (error && channel->pattern == SOMA_PAIR)
        hub_leave(soma_agent_system(self), channel);
    return error;
}

static int bye_arrive(soma_agent *self, struct channel *channel, struct peer *peer)
{
    if (peer)
        peer_drop(channel, (uint32_t)(peer - channel->peers));
    if (!channel->bound)
        return channel_reach(self, channel);
    if (peer && channel->pattern == SOMA_PAIR)
        hub_leave(soma_agent_system(self), channel);
    return 0;
}

static int notice_apply(soma_agent *self, struct channel *channel, const struct notice *notice)
{
    struct peer *peer = peer_find(channel, &notice->from);
    switch (notice->kind) {
    case NOTICE_HELLO:
        return hello_arrive(self, channel, notice);
    case NOTICE_BYE:
        return bye_arrive(self, channel, peer);
    case NOTICE_WANT:
        return peer ? topics_add(peer, notice->topics, notice->size) : 0;
    case NOTICE_UNWANT:
        if (peer)
            topic_remove(peer, notice->topics);
        return 0;
    default:
        return channel_reach(self, channel);
    }
}

int channel_tell(soma_agent *self, void *state, struct channel *channel)
{
    char alias[sizeof(channel->alias)];
    uint32_t ready = peers_ready(channel);
    waits_look(channel);
    if (ready == channel->told)
        return 0;
    channel->told = ready;
    soma_handler_fn *fn = dispatch_find(self->dispatch, &soma_channel_changed_type);
    if (!fn)
        return 0;
    memcpy(alias, channel->alias, sizeof(alias));
    return fn(self, state, &(const struct soma_channel_changed){.alias = alias, .peers = ready});
}

/* Somebody says hello who can't be a peer, or to nobody. */
static void notice_refuse(const struct notice *notice)
{
    if (notice->kind == NOTICE_HELLO && !u32_load(&notice->system->stopping))
        notice_plain(notice->system, &notice->from, NOTICE_BYE, &notice->to);
}

static int notice_run(soma_agent *self, void *state, void *arg)
{
    struct notice *notice = arg;
    struct channel *channel = (struct channel *)port_find(self, notice->to.port);
    int error = channel ? notice_apply(self, channel, notice) : SOMA_EGONE;
    if (error)
        notice_refuse(notice);
    if (error && channel)
        soma_log_warning(self, "channel '%s' can't be connected: %s", channel->alias, soma_strerror(error));
    free(notice);
    return channel ? channel_tell(self, state, channel) : 0;
}

/* Its agent is gone. */
static void notice_drop(void *arg)
{
    notice_refuse(arg);
    free(arg);
}
