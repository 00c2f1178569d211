/**
 * @file
 * Channels: messaging patterns between agents that know each other by address and alias. An agent binds a channel under
 * an alias of its own and so has an address; others connect to that, under aliases of theirs, and then send by alias:
 *
 *     soma_bind(self, SOMA_PUSH, "jobs", &(soma_channel_options){.place = "inproc://jobs"}, &address);
 *     soma_send_to(self, "jobs", job, .n = 7);
 *
 *     soma_connect(self, &address, "work", SOMA_HANDLERS(SOMA_ON(job, on_job)));      // another agent
 *
 * Either side may bind, and the order does not matter: who connects to an address where nothing is bound yet is
 * connected when that happens, and again if what was bound there ends and another takes its place. What comes through a
 * channel is handled by the channel's own handlers, not by those of the behavior; apart from that they are handlers as
 * any: run by the agent, one at a time, on its state, and with the same meaning of their results. docs/channels.md has
 * what each pattern promises.
 *
 * All that is here but soma_wait_connected() may only be called by the agent itself, from a handler or hook. A channel
 * ends with its agent. Programs wire agents from outside by proxies (soma/proxy.h): those whose behavior extends
 * #soma_channel_agent.
 */
#ifndef SOMA_CHANNEL_H
#define SOMA_CHANNEL_H

#include <soma/address.h>
#include <soma/agent.h>
#include <soma/body.h>
#include <soma/message.h>
#include <soma/method.h>
#include <soma/request.h>
#include <soma/value.h>

/** The most bytes of an alias: printable ASCII characters without the space and `/`. */
#define SOMA_CHANNEL_ALIAS_MOST 63

/** The most bytes of a topic. (ZeroMQ 4.3 writes a longer one's subscription in a way that the other side can't read,
 *  and with it all that follow are lost, when it says them to a publisher that comes again.) */
#define SOMA_TOPIC_MOST 245

/** The most bytes of an identity. */
#define SOMA_IDENTITY_MOST 255

/** How the topic and the message of a publication share frames over ipc and tcp. */
typedef enum soma_framing {
    SOMA_FRAMES_APART,    /**< a frame each: what ZeroMQ's guide does */
    SOMA_FRAMES_PREFIX,   /**< one frame: the topic, and the message right behind. A subscriber takes its longest topic
                               that fits for the one that it was published under */
    SOMA_FRAMES_SEPARATED /**< one frame: the topic, a byte 0x80, and the message */
} soma_framing;

/** Bytes of a serializer's name, at most. */
#define SOMA_SERIALIZER_NAME_MOST 31

/** A serializer of one's own: how messages look over ipc and tcp. Its functions may be called by several threads at
 *  once. */
typedef struct soma_serializer {
    const char *name; /**< by which options, defaults, the environment and proxies say it */
    /** Makes bytes of a message: `*data` from malloc, to be freed by the channel. 0, SOMA_ETYPE (not of this type), or
     *  another negative error, which who sends gets; it gets SOMA_EINVAL for a size without data. */
    int (*pack)(const soma_type *type, const void *message, void **data, size_t *size);
    /** Makes a message of a type of bytes from anywhere, as soma_type_unpack() does, to be ended by the channel. 0, or
     *  a negative error: they are none of that type. */
    int (*unpack)(const soma_type *type, const void *data, size_t size, void *message);
} soma_serializer;

/**
 * Makes a serializer known to a system by its name. Any thread.
 * @param system the system; each that is to use it wants it registered
 * @param serializer the serializer, copied; its name and functions must outlive the system
 * @return 0, also if it is registered already; SOMA_EINVAL (NULL, also for its name or a function; an empty name),
 *         SOMA_ETOOBIG (a name over #SOMA_SERIALIZER_NAME_MOST), SOMA_EEXIST (another of that name, or one of Soma's),
 *         SOMA_ENOMEM
 */
SOMA_API int soma_serializer_register(soma_system *system, const soma_serializer *serializer);

/** Keys of a channel over ipc or tcp, which then speaks CURVE (encrypted, and each side knows whom it talks with) and
 *  nothing else: 40 characters in Z85, as zmq_curve_keypair() and soma_bridge_keygen() make them. All is copied. */
typedef struct soma_channel_keys {
    const char *secret;  /**< this side's own */
    const char *server;  /**< for connecting: the public key of what is bound there */
    const char *allowed; /**< for binding: the public keys of those who may connect, with white space between */
} soma_channel_keys;

/** How a channel is bound or connected; zero means the default. All is copied. What stands from `serializer` on is for
 *  ipc and tcp, where what comes is bytes; within a system messages go as they are. */
typedef struct soma_channel_options {
    const char *place;            /**< for binding: where, as soma_address_parse() reads it. For tcp also the name of
                                       an interface in place of the IP, and a star for all of them. "inproc", "ipc" or
                                       "tcp" alone: a place that nobody else has, on this machine. NULL: the default of
                                       soma_channel_defaults(), which is "inproc" */
    const soma_handler *handlers; /**< what handles what comes, made by #SOMA_HANDLERS. PULL, REP, ASYNC_REP and
                                       SYNC_PUB need some, PAIR may have some; for SUB they are a subscription to all
                                       topics; others have none */
    bool conflate;                /**< of a PULL or SUB: of what waits for its handlers only the newest is kept, whoever
                                       sent it, under whatever topic; what that takes the place of counts as `missed` */
    const char *serializer;       /**< "msgpack", "raw", "json", "typed": docs/channels.md has what each does; or one of
                                       soma_serializer_register(). NULL: the default of soma_channel_defaults(), which
                                       is "msgpack" */
    soma_framing framing;         /**< of publications */
    uint32_t high_water;   /**< messages that may wait at each connection, in ZeroMQ's own queues, before who sends is
                                held up; of a PUB: before a subscriber that is slow misses some; 1,000. Over
                                2,147,483,647: SOMA_EINVAL */
    uint32_t linger_ms;    /**< how long what was sent may take to leave after the channel has ended, at most; 1,000, if
                                soma_channel_defaults() has not said another time, and soma_channel_linger() can say
                                none. Over 2,147,483,647, some 24 days: SOMA_EINVAL. What has not left then is lost, and
                              not always told: docs/channels.md */
    uint32_t message_most; /**< bytes of a message: a larger one is not sent (SOMA_ETOOBIG), and who sends one is
                                disconnected; 16 MiB. Under 1,000: SOMA_EINVAL, as ZeroMQ's own words may be as large */
    uint32_t heartbeat_ms; /**< of tcp: after how long without a sign the other machine is asked whether it is there,
                                twice, in whole seconds; it is given up after three times that. If it is not zero, a
                                peer that takes nothing of what is on its way to it for so long is given up, too, even
                                if it only reads slowly, and that is lost; else TCP decides; 5,000 */
    const char *identity;  /**< of a REQ or ASYNC_REQ: what a ROUTER, as a REP is one, knows it by, in place of bytes of
                                its own choice: 1 to #SOMA_IDENTITY_MOST, none else's there; NULL for none */
    const soma_channel_keys *keys; /**< NULL: none; then only loopback and ipc will do, or: */
    bool insecure;                 /**< a place that other machines reach, without keys */
} soma_channel_options;

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_channel_changed, (string, alias), (u32, peers))
SOMA_MESSAGE(soma_channel_failed, (string, alias), (i32, error))
SOMA_MESSAGE(soma_channel_refused, (string, alias), (i32, error), (string, why))
SOMA_MESSAGE(soma_data, (value, value))
/** @endcond */

/*
 * soma_channel_changed is a message that an agent whose behavior has a handler for it gets each time that a channel of
 * its has more or fewer to talk to: `alias`, and how many there are now, as soma_channel_peers() tells it.
 *
 * soma_channel_failed comes in the same way when a channel that soma_connect_to() has opened is closed again, as what
 * it looked for did not come in time, or is of no use.
 *
 * soma_channel_refused comes in the same way when a connection over ipc or tcp came to nothing, at the side that has
 * refused it and at that which was refused: `why` in words, and by `error` SOMA_ETYPE (another pattern), SOMA_EINVAL
 * (keys that do not fit, or none), SOMA_EFORMAT (no ZeroMQ) or SOMA_EGONE (the other side has closed it: it may have
 * been first to see why, or has ended). And by SOMA_EEXIST at a REP or ASYNC_REP, when one that is connected there is
 * heard no more, as another has asked under its identity. As who connects tries again all the time, and strangers may
 * come often, it comes for the first such connection of a channel, the second, the fourth, the eighth and so on;
 * soma_channel_count() has the number of all.
 *
 * soma_data is a message that is a `value` (soma/value.h) and no more: what proxies send.
 */

/**
 * A row for a channel's handlers: all messages that no row before it is for go to the agent's method of that name
 * (soma/method.h), which is looked up each time. It gets a soma_data's value, and any other message as the map of its
 * fields; what it gives is the answer, a soma_result, if the message is a question. `SOMA_HANDLERS(SOMA_ON(job,
 * on_job), SOMA_BY_METHOD("others"))`
 *
 * A channel may have several handlers for one message, which are run in their order: rows of the same type, or several
 * of these. A question has one: the first.
 */
#define SOMA_BY_METHOD(method_)                                                                                        \
    {                                                                                                                  \
        &soma_data_type, NULL, 0, (method_)                                                                            \
    }

/**
 * Sets what an agent's channels take if their options leave it out, those that it opens from now on, also when it is
 * told to from outside.
 * @param self the agent
 * @param options of which three may be said, and what is left out of these is the system's: `place`, which is a
 *        transport, or tcp without a port, as each channel wants its own; `serializer`; `linger_ms`. NULL: all are the
 *        system's. Whether a place can be bound is only seen by soma_bind()
 * @return 0; SOMA_EINVAL (NULL `self`; a place that is none, or of one channel alone, no such serializer, too long a
 *         linger, or another option, which the log says), SOMA_ENOMEM
 */
SOMA_API int soma_channel_defaults(soma_agent *self, const soma_channel_options *options);

/** The same for all agents of a system that have none of their own; what is left out is the environment's:
 *  SOMA_CHANNEL_PLACE, SOMA_CHANNEL_SERIALIZER and SOMA_CHANNEL_LINGER_MS (0: not said), else "inproc", "msgpack" and
 *  1,000. Any thread. 0; or as soma_channel_defaults(). */
SOMA_API int soma_system_channel_defaults(soma_system *system, const soma_channel_options *options);

/**
 * Binds a channel.
 * @param self the agent
 * @param pattern what it does
 * @param alias the name of the channel within the agent
 * @param options NULL for all defaults
 * @param address gets where it is bound, for others to connect to; zeroed on error; may be NULL
 * @return 0; SOMA_EINVAL (NULL, no such pattern, a bad alias, a malformed place, handlers missing or useless, an
 *         option that is not for the pattern, a place for other machines without keys), SOMA_EFORMAT (a key that is
 *         none, or that is missing in `keys`), SOMA_ESTATE (a libzmq without CURVE), SOMA_ETOOBIG (the alias, the
 *         identity, over 256 handlers), SOMA_ENOROUTE (a transport that is not there), SOMA_EEXIST (the agent has such
 *         an alias, or something is bound at that place), SOMA_EFULL (no more sockets), SOMA_ENOMEM
 */
SOMA_API int soma_bind(soma_agent *self, soma_pattern pattern, const char *alias, const soma_channel_options *options,
                       soma_address *address);

/**
 * Connects a channel to an address; its pattern is the twin of that which the address says. Who connects does not wait:
 * soma_channel_peers() tells whether something is there.
 * @param self the agent
 * @param address where to; with a pattern
 * @param alias the name of the channel within the agent
 * @param handlers what handles what comes, as in soma_channel_options; copied; may be NULL
 * @return 0; SOMA_EINVAL (NULL, a bad alias or address, handlers missing or useless), SOMA_ETYPE (within a system: what
 *         is bound there is of another pattern; else a soma_channel_refused tells), or as soma_bind()
 */
SOMA_API int soma_connect(soma_agent *self, const soma_address *address, const char *alias,
                          const soma_handler *handlers);

/** soma_connect() with options, the handlers among them; NULL for none. Its `place` must be NULL. */
SOMA_API int soma_connect_with(soma_agent *self, const soma_address *address, const char *alias,
                               const soma_channel_options *options);

/**
 * Connects a channel by text: to an address as soma_address_parse() reads it, or to
 * `name/alias`, which is whatever the agent that is registered at the name service by that name has bound under that
 * alias. The system must have a client of a name service (soma_names_open(); of several, the first). Who connects does
 * not wait: until the address is known the channel has no pattern, so it can be subscribed and closed, and who sends or
 * asks gets SOMA_EAGAIN. One with subscriptions, or handlers, that then turns out to have no use for them is closed, as
 * one whose time is over. When the alias gets another address, the channel moves there.
 * @param self the agent
 * @param to where to
 * @param alias the name of the channel within the agent
 * @param options NULL for all defaults; `place` must be NULL
 * @param timeout nanoseconds for `name/alias` to be there, above 0. When they are over the channel is closed, which is
 *        logged, and told by a soma_channel_failed
 * @return 0; SOMA_EINVAL (also: an address without a pattern); SOMA_ESTATE (there is no client of a name service);
 *         SOMA_ETOOBIG; or as soma_connect()
 */
SOMA_API int soma_connect_to(soma_agent *self, const char *to, const char *alias, const soma_channel_options *options,
                             uint64_t timeout);

/**
 * Sends by a PUSH or PAIR, or by a PUB or SYNC_PUB with the empty topic: `soma_send_to(self, "jobs", job, .n = 7)`.
 * @return 0; SOMA_ENOENT (no such alias), SOMA_ESTATE (a channel that can't send), SOMA_EAGAIN (a PUSH or PAIR that
 *         nobody is connected to, or all who are turn it away by their limits, or, over ipc and tcp, 64 MiB of one
 *         handler wait), SOMA_EINVAL (NULL), SOMA_ENOMEM, SOMA_ETOOBIG (also: over `message_most`), SOMA_ETYPE (the
 *         serializer has no form for it), SOMA_EFORMAT (over ipc and tcp: a string in it is not UTF-8), or what the
 *         serializer of one's own gives
 */
#define soma_send_to(self, alias, ...) soma_channel_send((self), (alias), NULL, SOMA_BODY_(__VA_ARGS__))

/**
 * Sends by a PUB or SYNC_PUB to all who want the topic: `soma_publish(self, "news", "sport/", result, .home = 2)`. Who
 * is slow may miss it: over ipc and tcp that counts as `missed` (soma_channel_count()), and all miss it while 64 MiB
 * wait to be published.
 * @return 0, also if nobody wants it, or gets it; else as soma_send_to(), but never SOMA_EAGAIN; SOMA_ETOOBIG also for
 *         the topic, SOMA_EINVAL also for one that begins with a byte 3, or is not UTF-8, with SOMA_FRAMES_SEPARATED
 */
#define soma_publish(self, alias, topic, ...) soma_channel_send((self), (alias), (topic), SOMA_BODY_(__VA_ARGS__))

/** soma_publish() with the type and body spelled out; a `topic` of NULL: soma_send_to(). */
SOMA_API int soma_channel_send(soma_agent *self, const char *alias, const char *topic, const soma_type *type,
                               const void *body);

/**
 * soma_send_to() of a body (soma/body.h): within a system it is handed over as it is, without a copy of its own for
 * anybody; over ipc and tcp it goes as any message. The caller keeps its reference. SOMA_EINVAL for NULL.
 */
#define soma_send_body_to(self, alias, body) soma_channel_send_body((self), (alias), NULL, (body))

/** soma_publish() of a body, as soma_send_body_to(); a `topic` of NULL: soma_send_body_to(). */
SOMA_API int soma_channel_send_body(soma_agent *self, const char *alias, const char *topic, soma_body *body);

/**
 * Asks by a REQ, ASYNC_REQ or SYNC_SUB: as soma_request(), of whoever is connected, one after another. The other side's
 * handler answers as it would any request: soma_reply(), soma_reply_later(), soma_forward(). Over ipc and tcp answers
 * may be missed by who reads slowly, and with one of several REPs; a question with SOMA_NEVER then waits until the last
 * connection has gone, or the channel is closed: so give it a time there.
 * @return the request's handle; SOMA_ENOENT (no such alias), SOMA_ESTATE (a channel that can't ask, or a REQ that waits
 *         for an answer already), SOMA_EAGAIN (nobody is connected, or a SYNC_SUB's questions are not answered), or as
 *         soma_request()
 */
#define soma_request_to(self, alias, timeout, then, ...)                                                               \
    soma_channel_request((self), (alias), (timeout), (then), SOMA_BODY_(__VA_ARGS__))

/** soma_request_to() with the type and body spelled out. */
SOMA_API soma_handle soma_channel_request(soma_agent *self, const char *alias, uint64_t timeout, const soma_then *then,
                                          const soma_type *type, const void *body);

/**
 * Lets a SUB or SYNC_SUB have what is published under a topic and all that begin with it; the empty topic is all. A
 * message that several of its topics fit comes once, and then to the handlers of each. Handlers that were given for the
 * same topic before are replaced. The publisher hears of it later; within a system, when it has handled what was in its
 * mailbox before: what it publishes until then does not come.
 * @param self the agent
 * @param alias the channel
 * @param topic the topic
 * @param handlers for it; copied
 * @return 0; SOMA_ENOENT (no such alias), SOMA_ESTATE (no SUB), SOMA_EINVAL (NULL, handlers that are none, a topic that
 *         begins with a byte 3), SOMA_ETOOBIG (the topic, over 256 handlers), SOMA_ENOMEM
 */
SOMA_API int soma_subscribe(soma_agent *self, const char *alias, const char *topic, const soma_handler *handlers);

/** Ends a subscription: what is on its way for it is not handled any more. As soma_subscribe(), and SOMA_ENOENT also if
 *  there is none to this topic. */
SOMA_API int soma_unsubscribe(soma_agent *self, const char *alias, const char *topic);

/** The topic that the message being handled was published under; `""` if it came by a channel of another pattern (a
 *  PULL, say); NULL if it came by no channel, and for NULL. It lives during the call of the handler. */
SOMA_API const char *soma_topic(const soma_agent *self);

/** To how many others a channel is connected; of a PUB or SYNC_PUB how many have subscribed to something. Or
 *  SOMA_ENOENT (no such alias), SOMA_EINVAL (NULL). */
SOMA_API int soma_channel_peers(const soma_agent *self, const char *alias);

/**
 * Waits from outside until a channel is connected to so many others, as soma_channel_peers() counts them: so nothing is
 * sent before somebody is there to get it.
 * @param system the agent's system
 * @param agent the agent
 * @param alias its channel
 * @param peers how many; 0: the channel must be there
 * @param timeout nanoseconds; SOMA_NEVER for none, 0 is over at once
 * @return 0; SOMA_ETIMEOUT; SOMA_ENOENT (no such alias); SOMA_EGONE (the agent or the channel has ended); SOMA_ESTATE
 *         (a thread of the system's own, or a simulated system: there soma_channel_changed tells); SOMA_EINVAL (NULL).
 *         SOMA_ENOROUTE (the agent lives elsewhere), SOMA_ENOMEM. Any thread outside the system.
 */
SOMA_API int soma_wait_connected(soma_system *system, soma_ref agent, const char *alias, uint32_t peers,
                                 uint64_t timeout);

/** What has become of a channel's messages over ipc and tcp; see soma_channel_count(). */
typedef struct soma_channel_counts {
    uint64_t connected; /**< connections so far, so more than one of the same side are reconnects */
    uint64_t malformed; /**< messages that came and that no handler's type fits: another serializer, garbage */
    uint64_t missed;    /**< messages that were seen to be missed by somebody: a subscriber or asker that does not
                             read, or is gone; publications that nobody gets, as 64 MiB wait already; what came and
                             can't be read for want of memory; or what `conflate` has passed over, which counts within
                             a system, too. For publications it is no count of messages: ZeroMQ tells when it begins
                             to pass over a slow subscriber, and not of what that misses until it has caught up */
    uint32_t waiting;   /**< messages that wait to be sent */
    uint64_t refused;   /**< connections that came to nothing: another pattern, other keys, no ZeroMQ */
} soma_channel_counts;

/** Gets the counts of a channel; the others are zero within a system. 0, SOMA_ENOENT (no such alias), SOMA_EINVAL
 * (NULL). */
SOMA_API int soma_channel_count(const soma_agent *self, const char *alias, soma_channel_counts *counts);

/** Puts into `address` where a channel is bound, or connected to. 0, SOMA_ENOENT (no such alias), SOMA_EINVAL (NULL).
 */
SOMA_API int soma_channel_address(const soma_agent *self, const char *alias, soma_address *address);

/**
 * Sets how long what a channel has sent may take to leave once it is closed or its agent ends, in place of its option
 * `linger_ms`. Before soma_close_channel(), or whenever one likes.
 * @param self the agent
 * @param alias the channel; NULL: all that the agent has now
 * @param linger_ms milliseconds; 0: what has not left by then is dropped
 * @return 0, SOMA_ENOENT (no such alias), SOMA_EINVAL (NULL `self`, over 2,147,483,647)
 */
SOMA_API int soma_channel_linger(soma_agent *self, const char *alias, uint32_t linger_ms);

/**
 * Closes a channel: its alias is free. What it has sent still arrives; what waits for it in the agent's mailbox becomes
 * dead letters, and requests fail with SOMA_EGONE. Requests that it has made go on; over ipc and tcp their answers
 * can't come any more, so they fail with SOMA_EGONE, too, in a later turn.
 * @return 0, SOMA_ENOENT (no such alias), SOMA_EINVAL (NULL)
 */
SOMA_API int soma_close_channel(soma_agent *self, const char *alias);

/** Closes all channels of the agent. 0, or SOMA_EINVAL (NULL). */
SOMA_API int soma_close_channels(soma_agent *self);

/**
 * What an agent extends (`.base = &soma_channel_agent`) that is to be wired from outside, by soma_proxy_bind() and its
 * like or the command `soma call`: it has methods for what the functions above do. Their arguments are maps; `handler`
 * is the name of a method, as for #SOMA_BY_METHOD, or a list of several, run in that order; of a SUB it may also be a
 * map, by topics, of such names and lists. What is in brackets may be left out.
 *
 * | method | arguments | gives |
 * | --- | --- | --- |
 * | `soma.defaults` | [`place`], [`serializer`], [`linger_ms`], as soma_channel_defaults(); nil: the system's | nil |
 * | `soma.bind` | `pattern` (as in addresses), `alias`, [`place`], [`handler`], [options], [`timeout`] | the address |
 * | `soma.connect` | `to` (as soma_connect_to()), `alias`, [`handler`], [options], [`timeout`] | nil, once known |
 * | `soma.subscribe` | `alias`, `topic`, `handler` | nil |
 * | `soma.unsubscribe` | `alias`, `topic` | nil |
 * | `soma.send` | `alias`, [`topic`], `value`, sent as a soma_data | nil |
 * | `soma.request` | `alias`, `value`, [`timeout`] | the answer, which must be a soma_result |
 * | `soma.channels` | nil | a map by alias of maps: `pattern`, `address`, `bound`, `peers`, and soma_channel_counts |
 * | `soma.close` | the alias; nil: all; or a map of [`alias`], [`linger_ms`], [`timeout`] | nil |
 *
 * Where the agent has names, `soma.bind` and `soma.close` are answered when the name service has what they have
 * changed; if that takes longer than the timeout, or it is out of reach, they are answered all the same, and it has it
 * later.
 *
 * Timeouts are in nanoseconds; five seconds if left out. Options are those of soma_channel_options, by their names:
 * texts, numbers, true or false; `framing` is "apart", "prefix" or "separated"; `keys` is a map of `secret`, `server`
 * and `allowed`, the last of up to 8,191 bytes. What is none of a method's arguments is an error that names it.
 */
SOMA_API extern const soma_behavior soma_channel_agent;

/** The local name of whoever finds `name/alias` for a system's channels: a client of a name service. */
#define SOMA_NAMES "soma.names"

/** @cond internal */
/* What channels ask of it: the address of an alias, as soon as there is one, and it is not `unless`. */
SOMA_MESSAGE(soma_channel_find, (string, name), (string, alias), (string, unless), (u64, timeout))
SOMA_MESSAGE(soma_channel_found, (string, address))
/* And tell, see soma_channels_announce(): the sender has bound that alias there, or, without an address, has closed
 * it. The other is answered with a soma_result when whoever asks finds what was told before. */
SOMA_MESSAGE(soma_channel_bound, (string, alias), (string, address))
SOMA_MESSAGE(soma_channel_settle, (u64, timeout))
/** @endcond */

/** Tells an agent of this system of all that this one has bound, and from now on, until one of them ends, of what it
 *  binds and closes: for a client of a name service, when the agent is first registered there. Only the agent itself.
 *  0, SOMA_EINVAL (NULL), SOMA_ENOMEM. */
SOMA_API int soma_channels_announce(soma_agent *self, soma_ref names);

#endif
