/**
 * @file
 * Proxies: agents as a program's main, a test or a command line sees them. A proxy stands for the agent of a name, in
 * this system, on another node or at a name service; what it does looks the same for both: methods are called
 * (soma/method.h), attributes read and set (soma/attribute.h), with dynamic values (soma/value.h).
 *
 *     soma_proxy_open_at(system, bridge, "tcp://10.0.0.2:7000", "tank", &tank);
 *     if (soma_proxy_wait(tank, 10 * SOMA_SECOND) || soma_proxy_call(tank, SOMA_SECOND, "drain", SOMA_VALUE_NONE,
 * NULL)) fprintf(stderr, "%s\n", soma_proxy_error(tank));
 *
 * All goes through the agent's mailbox, one at a time, behind what waits there.
 *
 * **A proxy is for its name**, not for one agent: it looks the name up when it first needs it, and again when the agent
 * has ended or its node is down, so it survives restarts. A proxy of a name service also goes to the
 * agent that has taken its name over, as soon as this node has been told. If an agent ends before it has answered
 * (SOMA_EGONE), and the name is there again, the call is made anew while there is time. If its node goes down meanwhile
 * (SOMA_ENODEDOWN), nobody can tell whether a method has run; so only what does no harm twice is done anew: all but a
 * method.
 *
 * One thread at a time may use a proxy; a proxy costs an agent, so each thread may have its own. Functions that wait
 * are for threads outside: from one of the system's own they return SOMA_ESTATE; agents send requests. Timeouts are in
 * nanoseconds, above 0. Errors are those of soma_call(), and what the agent fails the call with; of either
 * soma_proxy_error() has the text. SOMA_ENOENT is also: no agent has that name now; a name is waited for by
 * soma_proxy_wait() alone.
 */
#ifndef SOMA_PROXY_H
#define SOMA_PROXY_H

#include <soma/address.h>
#include <soma/agent.h>
#include <soma/bridge.h>
#include <soma/channel.h>
#include <soma/nameservice.h>
#include <soma/value.h>

/** A handle on an agent anywhere. Opened by soma_proxy_open() and its like. */
typedef struct soma_proxy soma_proxy;

/** @name Opening
 *
 * Nothing is looked up yet, so the agent may come later. They return 0; SOMA_EINVAL (NULL, or an empty name),
 * SOMA_ENOMEM, or as soma_spawn(); `*proxy` is NULL on error. Any thread. */
/** @{ */

/** For the agent of a local name (soma_name_set()) in this system. The name is copied. */
SOMA_API int soma_proxy_open(soma_system *system, const char *name, soma_proxy **proxy);

/** For the agent of a local name on the node at an address, as soma_bridge_find() takes it. Both are copied; the bridge
 *  must not be closed before the proxy. */
SOMA_API int soma_proxy_open_at(soma_system *system, soma_bridge *bridge, const char *address, const char *name,
                                soma_proxy **proxy);

/** For the agent of a name at a name service. The name is copied; the client must not be closed before the proxy. */
SOMA_API int soma_proxy_open_named(soma_system *system, soma_names *names, const char *name, soma_proxy **proxy);

/** For the name server that a client uses, whichever it is: soma_proxy_ping() asks whether it is there, its attributes
 *  are those of soma_nameserver_start(), and soma_proxy_shutdown() ends it. The client must not be closed before the
 *  proxy. */
SOMA_API int soma_proxy_open_server(soma_system *system, soma_names *names, soma_proxy **proxy);

/** For one agent, wherever it lives: when that has ended, all ends with SOMA_EGONE. */
SOMA_API int soma_proxy_open_ref(soma_system *system, soma_ref agent, soma_proxy **proxy);

/** Ends a proxy; its agent is not touched. Functions of soma_proxy_call_then() that have not been called yet get
 *  SOMA_ECLOSED; from a thread outside this waits for those that run, so that their contexts may be freed on return. On
 *  one of the system's own threads, as in such a function, it does not wait. Sets `*proxy` to NULL, and may be called
 *  twice, also after its system was closed. 0. */
SOMA_API int soma_proxy_close(soma_proxy **proxy);

/** @} */
/** @name Life
 * @{ */

/**
 * Waits until the agent is there and runs: until it has answered a ping.
 * @param proxy the proxy
 * @param timeout nanoseconds; 0: looks once, so does not wait for an agent that is not there, and gives one that is
 *        #SOMA_NAMES_TIMEOUT to answer
 * @return 0; SOMA_ETIMEOUT, whatever was missing: soma_proxy_error() says what it was; SOMA_EGONE, at once: the proxy
 * is for one agent alone, and that has ended
 */
SOMA_API int soma_proxy_wait(soma_proxy *proxy, uint64_t timeout);

/** Asks the agent whether it is there: 0 when it has answered. */
SOMA_API int soma_proxy_ping(soma_proxy *proxy, uint64_t timeout);

/** Finds the agent that has the name now; it is looked up each time. 0, and its ref; or an error, and the null ref. */
SOMA_API int soma_proxy_ref(soma_proxy *proxy, uint64_t timeout, soma_ref *agent);

/** Kills the agent (soma_kill()), and waits until it is gone: 0, also if it was before. SOMA_ENOENT: nobody has the
 *  name, and this proxy never met anybody who had. A supervisor may start it anew. */
SOMA_API int soma_proxy_kill(soma_proxy *proxy, uint64_t timeout);

/** Tells the agent to end (soma_shutdown()), and waits until it has. As soma_proxy_kill(); SOMA_ETIMEOUT if it does not
 *  end, or first has other mail to see to. */
SOMA_API int soma_proxy_shutdown(soma_proxy *proxy, uint64_t timeout);

/** @} */
/** @name Methods and attributes
 * @{ */

/**
 * Calls a method and waits for what it gives.
 * @param proxy the proxy
 * @param timeout nanoseconds, for finding the agent, too
 * @param method its name
 * @param arguments for it; copied
 * @param result gets what it gave, to be ended with soma_value_destroy(); empty on error; NULL: not wanted
 * @return 0, SOMA_ENOENT (no such agent, or no such method), or another error
 */
SOMA_API int soma_proxy_call(soma_proxy *proxy, uint64_t timeout, const char *method, soma_value arguments,
                             soma_value *result);

/**
 * Reads an attribute.
 * @param proxy the proxy
 * @param timeout nanoseconds
 * @param name which one; NULL: a map of all
 * @param value gets it, to be ended with soma_value_destroy(); empty on error
 * @return 0, SOMA_ENOENT (no such agent, or no such attribute), or another error
 */
SOMA_API int soma_proxy_get(soma_proxy *proxy, uint64_t timeout, const char *name, soma_value *value);

/**
 * Sets an attribute.
 * @param proxy the proxy
 * @param timeout nanoseconds
 * @param name which one; NULL: `value` is a map of some
 * @param value what it shall be; copied
 * @return 0, SOMA_ENOENT (no such agent, or no such attribute), SOMA_ESTATE (it is only read), SOMA_ETYPE, or another
 *         error
 */
SOMA_API int soma_proxy_set(soma_proxy *proxy, uint64_t timeout, const char *name, soma_value value);

/** Asks what the agent has: its behavior, methods and attributes, with their texts, as `soma.describe` of soma/method.h
 *  gives it. The map is to be ended with soma_value_destroy(). */
SOMA_API int soma_proxy_describe(soma_proxy *proxy, uint64_t timeout, soma_value *description);

/** What gets the end of a call that nobody waits for: 0 and what the method gave, or an error and its text. Both live
 *  during the call. It runs on one of the system's threads, so must not wait. */
typedef void soma_proxy_done(void *context, int error, soma_value result, const char *text);

/**
 * Calls a method, and does not wait for its end. Only the first time, and when the agent has ended since, it waits
 * until the agent is found. If the agent ends first, it is made anew as by soma_proxy_call().
 * @param proxy the proxy
 * @param timeout nanoseconds
 * @param method its name; copied
 * @param arguments for it; copied
 * @param done called once, unless this returns an error; also when the proxy is closed first, with SOMA_ECLOSED
 * @param context for it; it must live until `done` has returned, or soma_proxy_close() has (from a thread outside)
 * @return 0, SOMA_ENOENT (no such agent), or another error
 */
SOMA_API int soma_proxy_call_then(soma_proxy *proxy, uint64_t timeout, const char *method, soma_value arguments,
                                  soma_proxy_done *done, void *context);

/** Why the last function of this proxy's that failed did so, in a line for people: in the agent's own words if it had
 *  any. "" if none has. It lives until the next one fails. */
SOMA_API const char *soma_proxy_error(const soma_proxy *proxy);

/** @} */
/** @name Channels
 *
 * What soma/channel.h does from inside, for agents whose behavior extends #soma_channel_agent: programs wire agents,
 * wherever they live, and these need not know of each other. `handler` is the name of a method of the agent, see
 * #SOMA_BY_METHOD; it may be NULL where the pattern needs none. Errors are also those of the function that is done
 * there. What was wired so ends with the agent: one that is restarted has only what its behavior binds.
 * @{ */

/**
 * Has the agent bind a channel: soma_bind(). If the agent has names, and the name service is within reach of its node,
 * it is an alias of theirs when this returns, for whoever asks the server (soma_proxy_address() does). If it is not, or
 * is silent for seven eighths of the timeout, the channel is bound all the same, and an alias when it is back.
 * @param proxy the proxy
 * @param timeout nanoseconds
 * @param pattern what it does
 * @param alias its name within the agent
 * @param place where, as in soma_channel_options; NULL: wherever it likes
 * @param handler a method, or NULL
 * @param address gets where that is, as text; "" on error; may be NULL
 * @return 0, SOMA_EEXIST (the agent has such an alias, or something is bound there), SOMA_ENOENT (no such agent or
 *         method), or another error
 */
SOMA_API int soma_proxy_bind(soma_proxy *proxy, uint64_t timeout, soma_pattern pattern, const char *alias,
                             const char *place, const char *handler, char address[SOMA_ADDRESS_MOST + 1]);

/** soma_proxy_bind() with options, the place among them; NULL for all defaults. The serializer is one
 *  that the agent's system knows. Functions don't travel, so `handlers` may be up to 16 methods (#SOMA_BY_METHOD), and
 *  then `handler` is NULL. `keys` travel, with all that the proxy says: over a bridge that has keys, too. */
SOMA_API int soma_proxy_bind_with(soma_proxy *proxy, uint64_t timeout, soma_pattern pattern, const char *alias,
                                  const soma_channel_options *options, const char *handler,
                                  char address[SOMA_ADDRESS_MOST + 1]);

/**
 * Has the agent connect a channel: soma_connect_to().
 * @param proxy the proxy
 * @param timeout nanoseconds; for `name/alias` to be there, too
 * @param to an address, as soma_proxy_bind() and soma_proxy_address() give it; or `name/alias`, which the name service
 *        of the agent's own node knows
 * @param alias its name within the agent
 * @param handler a method, or NULL
 * @return 0; SOMA_ENOENT (also: there was no such name or alias in time), SOMA_ETIMEOUT (also: nor could anybody tell
 *         yet, as the name server has not settled, see `settle_ms`, or was not reached), or another error
 */
SOMA_API int soma_proxy_connect(soma_proxy *proxy, uint64_t timeout, const char *to, const char *alias,
                                const char *handler);

/** soma_proxy_connect() with options, as soma_proxy_bind_with() takes them; `place` must be NULL. */
SOMA_API int soma_proxy_connect_with(soma_proxy *proxy, uint64_t timeout, const char *to, const char *alias,
                                     const soma_channel_options *options, const char *handler);

/** Has a SUB or SYNC_SUB of the agent subscribe to a topic, for one of its methods: soma_subscribe(). */
SOMA_API int soma_proxy_subscribe(soma_proxy *proxy, uint64_t timeout, const char *alias, const char *topic,
                                  const char *handler);

/** Has it end that: soma_unsubscribe(). */
SOMA_API int soma_proxy_unsubscribe(soma_proxy *proxy, uint64_t timeout, const char *alias, const char *topic);

/** Has the agent send a value by a channel, as a soma_data: soma_send_to(). 0 says that it was sent. */
SOMA_API int soma_proxy_send_to(soma_proxy *proxy, uint64_t timeout, const char *alias, soma_value value);

/** Has the agent publish a value, as a soma_data: soma_publish(). */
SOMA_API int soma_proxy_publish(soma_proxy *proxy, uint64_t timeout, const char *alias, const char *topic,
                                soma_value value);

/**
 * Has the agent ask by a channel, with a soma_data, and waits for the answer: soma_request_to().
 * @param proxy the proxy
 * @param timeout nanoseconds, for all of it
 * @param alias the channel
 * @param value the question
 * @param answer gets the value of the soma_result that was answered, to be ended with soma_value_destroy(); empty on
 *        error; NULL: not wanted
 * @return 0, or an error: the agent's own, or of who was asked
 */
SOMA_API int soma_proxy_request_to(soma_proxy *proxy, uint64_t timeout, const char *alias, soma_value value,
                                   soma_value *answer);

/** Waits until a channel of the agent's has at least so many peers, as soma_channel_peers() counts them. 0;
 *  SOMA_ETIMEOUT; SOMA_ENOENT (no such agent or channel). */
SOMA_API int soma_proxy_wait_peers(soma_proxy *proxy, uint64_t timeout, const char *alias, uint32_t peers);

/** Has the agent close a channel; `alias` NULL: all of them. It is no alias any more on return, as soma_proxy_bind()
 *  has it. */
SOMA_API int soma_proxy_close_channel(soma_proxy *proxy, uint64_t timeout, const char *alias);

/**
 * Finds the address of one of the agent's aliases: what the name server knows now, for a proxy of
 * soma_proxy_open_named(), see soma_names_address(); else what the agent says of its channels.
 * @param proxy the proxy
 * @param timeout nanoseconds
 * @param alias the alias
 * @param address gets the text; "" on error, and for a channel that does not know it yet
 * @return 0; SOMA_ENOENT (no such agent, name or alias), or another error
 */
SOMA_API int soma_proxy_address(soma_proxy *proxy, uint64_t timeout, const char *alias,
                                char address[SOMA_ADDRESS_MOST + 1]);

/** @} */

#endif
