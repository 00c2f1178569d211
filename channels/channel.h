/*
 * A channel: a port of its agent, with an alias, a pattern, and the peers that it is connected to. What is sent goes
 * from port to port; that two channels are peers, and what a subscriber wants, is told by notices, which are posted
 * functions: so they keep their place among the messages, and no limit turns them away.
 */
#ifndef CHANNELS_CHANNEL_H
#define CHANNELS_CHANNEL_H

#include "runtime/port.h"
#include <soma/channel.h>

#define SOMA_CHANNEL_SOUGHT_MOST 319u /* bytes of name/alias: a name of 255 */

/* Handlers, copied; and behind them the names of methods. */
struct rows {
    uint32_t count;
    bool several; /* for one message */
    soma_handler rows[];
};

/* What a subscriber wants. One that is replaced or ended while a message is handled goes after that. */
struct subscription {
    struct subscription *next;
    struct rows *rows;
    bool ended;
    char topic[];
};

/* A topic that a publisher's peer wants. */
struct topic {
    struct topic *next;
    char text[];
};

struct peer {
    struct port_place place;
    struct topic *topics;
};

struct remote;
struct wait;

struct channel {
    struct port port; /* first: a channel is its port */
    soma_pattern pattern;
    bool bound;
    soma_address address; /* as the bound side has it */
    struct rows *rows;    /* NULL: nothing is handled */
    struct subscription *subscriptions;
    struct peer *peers;
    uint32_t peer_count;
    uint32_t peer_capacity;
    uint32_t peer_next; /* whose turn it is; below the count, or 0 */
    uint32_t told;      /* how many the agent has been told of */
    soma_handle asked;  /* a REQ's last question */
    struct wait *waits; /* threads that wait until it has enough peers */
    bool conflates;
    struct message *newest;        /* what waits for its turn, of one that conflates, within a system */
    uint64_t passed;               /* how many it has taken the place of */
    struct remote *remote;         /* of one over ipc or tcp, which has no peers of its own; else NULL */
    char *sought;                  /* name/alias of what it connects to; NULL: that was said by its address */
    soma_channel_options *options; /* of one with that: what it is connected with, each time */
    soma_handle seek;              /* the request for its address */
    soma_handle promise;           /* whom to tell when that is known; 0: nobody */
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1];
};

/* ---- what a pattern can do ---- */

static inline bool pattern_publishes(soma_pattern pattern)
{
    return pattern == SOMA_PUB || pattern == SOMA_SYNC_PUB;
}

/* One that is not known yet may turn out to. */
static inline bool pattern_subscribes(soma_pattern pattern)
{
    return pattern == SOMA_SUB || pattern == SOMA_SYNC_SUB || pattern == SOMA_ANY_PATTERN;
}

/* Sends to one at a time. */
static inline bool pattern_pushes(soma_pattern pattern)
{
    return pattern == SOMA_PUSH || pattern == SOMA_PAIR;
}

static inline bool pattern_asks(soma_pattern pattern)
{
    return pattern == SOMA_REQ || pattern == SOMA_ASYNC_REQ || pattern == SOMA_SYNC_SUB;
}

static inline bool pattern_answers(soma_pattern pattern)
{
    return pattern == SOMA_REP || pattern == SOMA_ASYNC_REP;
}

/* What stands before its name in a sentence. */
static inline const char *pattern_article(soma_pattern pattern)
{
    return pattern == SOMA_ASYNC_REQ || pattern == SOMA_ASYNC_REP ? "an" : "a";
}

/* ---- channel.c ---- */

/* The agent's channel of an alias; NULL if it has none. */
struct channel *channel_find(const soma_agent *self, const char *alias);

/* A channel of that alias, with nothing but that. SOMA_EINVAL, SOMA_ETOOBIG, SOMA_EEXIST, SOMA_ENOMEM. */
int channel_make(soma_agent *self, const char *alias, struct channel **channel);

/* It is not bound or connected any more. */
void channel_part(soma_agent *self, struct channel *channel);

/* Connects one that may have no pattern yet to an address. As soma_connect(), and SOMA_ETYPE if it has another. */
int channel_settle(soma_agent *self, struct channel *channel, const soma_address *address);

/* Are both for the same messages? */
bool rows_alike(const soma_handler *a, const soma_handler *b);

/* A copy of handlers. SOMA_EINVAL, SOMA_ETOOBIG, SOMA_ENOMEM. */
int rows_copy(const soma_handler *handlers, struct rows **rows);

/* The agent's next channel after one; the first after NULL. */
struct channel *channel_after(const soma_agent *self, const struct channel *last);

/* ---- defaults.c ---- */

struct defaults {
    char place[SOMA_ADDRESS_TEXT_SIZE]; /* empty: none */
    char serializer[SOMA_SERIALIZER_NAME_MOST + 1];
    uint32_t linger_ms; /* 0: none */
};

/* Options as they are with all defaults, which are here. */
struct filled {
    soma_channel_options options;
    struct defaults defaults;
};

/* 0, SOMA_EINVAL (a wrong variable of the environment, which is logged), SOMA_ENOMEM. */
int defaults_fill(soma_agent *self, const soma_channel_options *given, struct filled *filled);

/* ---- peer.c ---- */

/* Connects a channel that is not to what is bound at its address, if anything is. 0, SOMA_ETYPE (something of another
 * pattern), SOMA_ENOMEM. */
int channel_reach(soma_agent *self, struct channel *channel);

/* Tells all peers that the channel ends, and forgets them. */
void peers_leave(soma_agent *self, struct channel *channel);

/* One whose agent is gone. */
void peer_drop(struct channel *channel, uint32_t index);

/* Tells all peers of a topic that is wanted from now on, or is not any more. */
int peers_tell_topic(soma_agent *self, const struct channel *channel, const char *topic, bool wanted);

/* To how many there is something to say. */
uint32_t peers_ready(const struct channel *channel);

/* The agent hears of a change of those, if it has a handler for that; which may do anything, so the channel may be
 * gone. As a handler's, the result. */
int channel_tell(soma_agent *self, void *state, struct channel *channel);

/* Something is bound now where a channel wants to be connected to. */
void notice_bound(soma_system *system, const struct port_place *to);

/* ---- named.c ---- */

/* It ends: whoever waits for its address is told. */
void named_end(soma_agent *self, struct channel *channel);

/* ---- told.c ---- */

/* It is bound from now on, or, by close, no more: whoever is told of that is. */
void names_tell(soma_agent *self, const struct channel *channel, bool bound);

/* The method that runs is answered, with a text if there is one, when all that are told have made it known, or that
 * has taken too long. 0 or an error, as a method's. */
int names_settle(soma_agent *self, uint64_t timeout, const char *text, soma_value_builder *result);

/* ---- methods.c ---- */

/* Has the agent's method handle a message. */
int method_deliver(soma_agent *self, void *state, const char *method, const soma_type *type, const void *message);

/* ---- newest.c ---- */

/* Keeps a message that came in the place of the one that waits, if it is wanted. False if it is to be handled now. */
bool newest_keep(soma_agent *self, struct channel *channel, struct message *message, bool wanted);

/* The channel ends. */
void newest_end(const soma_agent *self, struct channel *channel);

/* ---- explain.c ---- */

/* In words, if it is an error of doing that: a verb, or NULL for opening and closing. What has been said of it already
 * stays. The error, or 0. */
int channel_explain(soma_agent *self, const char *alias, int error, const char *does);

/* ---- wait.c ---- */

/* Its number of peers has changed; it ends. */
void waits_look(struct channel *channel);
void waits_drop(struct channel *channel);

/* ---- traffic.c ---- */

/* Does a subscription to a topic take what is published under another? */
bool topic_fits(const char *subscribed, const char *topic);

int channel_deliver(soma_agent *self, void *state, struct port *port, struct message *message);

/* Frees subscriptions that have ended. */
void subscriptions_sweep(struct channel *channel);

#endif
