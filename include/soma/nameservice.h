/**
 * @file
 * The name service: which agent has that name, wherever it lives, and which address has that alias of its. A *name
 * server* is an agent that keeps names; each node that uses it has a *client* agent of its own, which keeps what its
 * node has registered, and what it has looked up. Programs need to share nothing but the name server's address.
 *
 *     soma_nameserver_start(system, NULL, &server);                                 // one program, with a bridge
 *
 *     soma_names_open(system, bridge, NULL, &names);                                // each of the others
 *     soma_names_register(names, "alice", alice, SOMA_SECOND);
 *
 *     soma_names_wait(names, "alice", 10 * SOMA_SECOND, &alice);                    // or soma_names_lookup()
 *     soma_send(system, alice, greet, .name = "Bob");
 *
 * **What holds.** A name is that of one agent at a time, and registered by one client: who registers it for another
 * agent, or by another client, gets SOMA_EEXIST and is told who has it, unless it asks for a takeover. A registration
 * ends with its agent, and with its agent's node as soon as that is down for the server. It comes back by itself when
 * the link does, or another name server answers in place of the one before: the client keeps it and registers it anew.
 * If somebody else has the name by then, or takes it over, the name is lost, and whoever registered it gets a
 * `soma_name_lost`.
 *
 * **Lookups** are answered from the client's cache if they can be: what the server removes or changes is told to all
 * clients that have it. A cached answer is used only if the client has heard from the server within `stale_ms`, so
 * it is never older than that, also when the network is cut. A fresh lookup always asks the server.
 *
 * **Two forms.** Threads outside call the functions, which wait. Agents send requests to the client agent,
 * soma_names_agent(); of each the timeout is a field of its own, in nanoseconds, 0 for #SOMA_NAMES_TIMEOUT, so the
 * request itself should be given SOMA_NEVER:
 *
 *     soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name, on_name, on_error), soma_name_lookup,
 *                  .name = "alice", .waits = true, .timeout = 10 * SOMA_SECOND)
 *
 * - `soma_name_register` (`name`; `agent`, null: the sender; `attributes`, `takeover`, `timeout`) is answered with a
 *   `soma_name_registered`. Its sender is who gets the `soma_name_lost` if somebody else has the name later; after the
 *   functions no agent does, and only the log tells
 * - `soma_name_unregister` (`name`, `timeout`): `soma_name_done`
 * - `soma_name_lookup` (`name`; `waits` until it is there, and its agent is not `unless`; `runs` until that answers;
 *   `fresh`, `timeout`): `soma_name`
 * - `soma_name_list` (`prefix`; names behind `after`, at most `most`; `timeout`): `soma_name_page`
 * - `soma_name_alias` (`name`, `alias`, `address`, NULL: none any more; `timeout`): `soma_name_done`
 * - `soma_name_watch` (`prefix`): `soma_name_watching`, then `soma_name_event` messages from who has answered
 * - `soma_name_unwatch` (`watch`): `soma_name_done`; what is on its way still comes
 *
 * A watcher that is slow, or takes no mail at all, holds up nobody: what it is to be told waits for it, a name that
 * changes again or goes only as it is then, so it never is more than a few words for each name that it knows or that is
 * there; and its watch goes on when it does.
 *
 * Errors, in both forms: SOMA_ENOENT (the server says that there is no such name, or alias), SOMA_ETIMEOUT (no server
 * could be reached in time), SOMA_EINVAL (a name, alias, address or attributes that may not be), SOMA_ETOOBIG (one that
 * is too long, or too many aliases), SOMA_EFULL (this node, or the server, has as many names as it may), SOMA_EAGAIN
 * (this node registers faster than the server lets it), SOMA_ESTATE (what is put: the server of the client's first
 * address follows another one, which alone takes names), SOMA_ENOMEM.
 *
 * Names are of 1 to #SOMA_NAME_MOST printable ASCII characters without the space; aliases of 1 to #SOMA_ALIAS_MOST of
 * them without `/`, so that `name/alias` means one thing; addresses of 1 to #SOMA_ADDRESS_MOST, with the space.
 * Attributes are a map of at most #SOMA_ATTRIBUTES_MOST packed bytes, whose keys are as aliases.
 */
#ifndef SOMA_NAMESERVICE_H
#define SOMA_NAMESERVICE_H

#include <soma/agent.h>
#include <soma/bridge.h>
#include <soma/message.h>
#include <soma/value.h>

#define SOMA_NAME_MOST 255u                           /**< bytes of a name */
#define SOMA_ALIAS_MOST 63u                           /**< bytes of an alias, or of an attribute's key */
#define SOMA_ADDRESS_MOST 255u                        /**< bytes of an address */
#define SOMA_ALIASES_MOST 64u                         /**< aliases of one name */
#define SOMA_ATTRIBUTES_MOST 4096u                    /**< bytes of one name's attributes, packed */
#define SOMA_NAMES_PAGE_MOST 256u                     /**< names in one page */
#define SOMA_NAMES_TIMEOUT (UINT64_C(5) * 1000000000) /**< nanoseconds, where a request says 0 */

/** The local name of a name server in its system: soma_whereis() finds it, and soma_bridge_find() from elsewhere. */
#define SOMA_NAMESERVER "soma.nameserver"

/** Where a name server listens if nothing else is said, and where it is looked for. */
#define SOMA_NAMESERVICE_DEFAULT "tcp://127.0.0.1:7662"

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_alias, (string, alias), (string, address))
SOMA_MESSAGE(soma_name, (string, name), (ref, agent), (value, attributes), (messages, soma_alias, aliases))

SOMA_MESSAGE(soma_name_register, (string, name), (ref, agent), (value, attributes), (bool, takeover), (u64, timeout))
SOMA_MESSAGE(soma_name_registered, (i32, error), (ref, holder)) /* 0, or SOMA_EEXIST; who has it now */
SOMA_MESSAGE(soma_name_unregister, (string, name), (u64, timeout))
SOMA_MESSAGE(soma_name_lookup, (string, name), (bool, waits), (bool, runs), (bool, fresh), (ref, unless),
             (u64, timeout))
SOMA_MESSAGE(soma_name_list, (string, prefix), (string, after), (u32, most), (u64, timeout))
SOMA_MESSAGE(soma_name_page, (messages, soma_name, names), (bool, more)) /* by name; more: behind the last one */
SOMA_MESSAGE(soma_name_alias, (string, name), (string, alias), (string, address), (u64, timeout))
SOMA_MESSAGE(soma_name_watch, (string, prefix))
SOMA_MESSAGE(soma_name_watching, (u64, watch))
SOMA_MESSAGE(soma_name_unwatch, (u64, watch))
SOMA_MESSAGE(soma_name_done)
SOMA_MESSAGE(soma_name_event, (u64, watch), (u8, event), (message, soma_name, name)) /* an enum soma_name_event_kind */
SOMA_MESSAGE(soma_name_lost, (string, name), (ref, agent), (ref, holder))
/** @endcond */

/** What a soma_name_event tells. */
enum soma_name_event_kind {
    SOMA_NAME_ADDED,   /**< a name is there; first come those that are there already */
    SOMA_NAME_CHANGED, /**< its agent, attributes or aliases are others */
    SOMA_NAME_REMOVED, /**< it is not there any more; it has only its name and the agent that it had */
    SOMA_NAME_CURRENT, /**< all that is there was told; from now on changes are. Without a name */
    SOMA_NAME_STALE    /**< the server is out of reach: what was told is of before, until the next CURRENT, and what
                            changed meanwhile is told ahead of that. Without a name */
};

/** A node's client of a name service. Opened by soma_names_open(). */
typedef struct soma_names soma_names;

/** What a name server is started with. Zero means the default. */
typedef struct soma_nameserver_options {
    uint32_t names_most; /**< names in all; 1,000,000 */
    uint32_t node_most;  /**< names that the clients of one node may register; 200,000 */
    uint32_t node_rate;  /**< times a second that they may register or change one, in the long run; 10,000. At once
                              as often as they may have names, so that all can come back, or as in a second */
    uint32_t settle_ms;  /**< for so long from its start, and up to 16 times so long while clients put what they had, a
                              server says of no name that it is not there; 2,000 */
    const char *const *follow; /**< addresses of a name server that this one follows, tried in their order; ended by
                                    NULL. It has what that one has, and answers all that asks, but nothing can be
                                    registered at it. NULL: it follows none */
    soma_bridge *bridge;       /**< by which it reaches that one; it must be given if `follow` is */
} soma_nameserver_options;

/**
 * Starts a name server, with the local name #SOMA_NAMESERVER. Other programs reach it by the addresses of the
 * system's bridge. It ends with soma_shutdown(), or with the system. It shows the attributes `uptime`, in seconds,
 * `version`, of Soma, `names`, how many it has, `following`, where the server is that it follows ("" if it is none that
 * does), and `alone`, whether it can't reach that one, or that has not settled yet: soma_proxy_open_server() of
 * soma/proxy.h reads them, pings it and ends it.
 * @param system where it lives
 * @param options NULL for all defaults
 * @param server gets its ref; may be NULL; the null ref on error
 * @return 0; SOMA_EEXIST (the system has one); SOMA_EINVAL (NULL, or `follow` makes no sense: it may not be the
 *         server itself), SOMA_ETOOBIG (in it), or as soma_spawn(). Any thread.
 */
SOMA_API int soma_nameserver_start(soma_system *system, const soma_nameserver_options *options, soma_ref *server);

/** What a client is opened with. Zero means the default. All is copied. */
typedef struct soma_names_options {
    const char *const
        *addresses;      /**< of name servers, tried in their order, again and again, until one answers; ended
                              by NULL. Else those in the environment's SOMA_NAMESERVICE, with commas between.
                              Else the name server in this system, if there is one now, else
                              #SOMA_NAMESERVICE_DEFAULT. An address of this node's own bridge is its own server.
                              `etcd://HOST:PORT[,HOST:PORT…][/PREFIX]` is an etcd cluster in place of a server. From a
                              follower the client goes back to the first of them, when that is there */
    uint32_t names_most; /**< names that may be registered by it; 200,000 */
    uint32_t cache_most; /**< names that it keeps for lookups; 10,000 */
    uint32_t stale_ms;   /**< how old a cached answer may be; 1,000. 1 makes nearly every lookup ask */
    uint32_t retry_ms;   /**< the wait between two attempts to find a server; 200 */
    uint32_t lease_s;    /**< of an etcd cluster: how long names outlive a node that dies, or can't reach it; 10. Etcd
                              may make it longer */
} soma_names_options;

/**
 * Opens a client: spawns its agent, which looks for a name server from now on, and finds another when it loses one.
 * A node may have several, each for name servers of its own: what an agent binds is an alias of its names at each
 * where it is registered. To find `name/alias` its channels (soma/channel.h) use the first that was opened, and when
 * that is closed another one.
 * @param system the node's system
 * @param bridge its bridge; NULL: only a server in this system can be used
 * @param options NULL for all defaults
 * @param names gets it, NULL on error
 * @return 0 (also if no server is there yet); SOMA_EINVAL (NULL; an address where none can be), SOMA_ETOOBIG,
 *         SOMA_ESTATE (an address of etcd, and the library was built without; the log says so), SOMA_ENOMEM, or as
 *         soma_spawn(). Any thread.
 */
SOMA_API int soma_names_open(soma_system *system, soma_bridge *bridge, const soma_names_options *options,
                             soma_names **names);

/**
 * Ends a client: what it has registered is removed, as far as its server can be reached, and the watches that call
 * functions end; none of those is called any more. Sets `*names` to NULL, and may be called twice. Not after the system
 * is closed.
 * @return 0; SOMA_ESTATE from one of the system's threads. No other thread may use it any more.
 */
SOMA_API int soma_names_close(soma_names **names);

/** The client agent, to which other agents of the node send their requests. It lives until soma_names_close(). The null
 *  ref for NULL. Any thread. */
SOMA_API soma_ref soma_names_agent(const soma_names *names);

/*
 * All functions below wait, for at most `timeout` nanoseconds (0: #SOMA_NAMES_TIMEOUT), and return the errors that are
 * listed above, SOMA_EINVAL for NULL, or SOMA_ESTATE from one of the system's threads. Any thread outside may call
 * them.
 */

/**
 * Waits until the client has a name server.
 * @param names the client
 * @param timeout nanoseconds
 * @param server gets the server's ref; the null ref on error; may be NULL
 * @return 0, SOMA_ETIMEOUT
 */
SOMA_API int soma_names_server(soma_names *names, uint64_t timeout, soma_ref *server);

/**
 * Tells where the name server is that the client uses, once it has one: for others that are to use it, too. An address
 * as in the options; of a server in this system the first of the bridge, or `local` if that listens nowhere. With
 * several addresses it is another one after the server was lost.
 * @param names the client
 * @param timeout nanoseconds
 * @param address gets the text; "" on error
 * @return 0, SOMA_ETIMEOUT
 */
SOMA_API int soma_names_server_address(soma_names *names, uint64_t timeout, char address[SOMA_ADDRESS_MOST + 1]);

/** Registers an agent under a name: soma_names_register_as() without attributes. SOMA_EEXIST: it is taken. */
SOMA_API int soma_names_register(soma_names *names, const char *name, soma_ref agent, uint64_t timeout);

/**
 * Registers an agent under a name, or, if it has the name already by this client, changes its attributes.
 * @param names the client; it keeps the registration until it ends
 * @param name the name
 * @param agent a living agent; one of another node is lost when this node can't see that one any more
 * @param attributes a map, or #SOMA_VALUE_NONE; copied
 * @param takeover also if another agent has the name, or another client has registered this one, which lose it
 * @param timeout nanoseconds
 * @param holder gets who has the name now, also with SOMA_EEXIST; else the null ref; may be NULL
 * @return 0, SOMA_EEXIST (another agent has it, or this one by another client), SOMA_EGONE (the agent has ended),
 * SOMA_ENODEDOWN or SOMA_ENOROUTE (its node is down, or this one has never heard of it), SOMA_ETIMEOUT (nobody has
 * taken it in time: it is given up, and not registered later, unless the agent had the name before), or another error.
 * For one that is to be registered whenever a server comes, wait for #SOMA_NEVER, or send the client a
 * `soma_name_register` with that
 */
SOMA_API int soma_names_register_as(soma_names *names, const char *name, soma_ref agent, soma_value attributes,
                                    bool takeover, uint64_t timeout, soma_ref *holder);

/** Ends a registration of this client's, at the server too. 0, SOMA_ENOENT (this client has none of the name), or
 *  SOMA_ETIMEOUT: the client has forgotten it, and tells the server when it is back. */
SOMA_API int soma_names_unregister(soma_names *names, const char *name, uint64_t timeout);

/**
 * Finds the agent of a name, now: does not wait until it is there.
 * @param names the client
 * @param name the name
 * @param timeout nanoseconds, for the server to answer
 * @param agent gets the ref; the null ref on error
 * @return 0, SOMA_ENOENT, or another error
 */
SOMA_API int soma_names_lookup(soma_names *names, const char *name, uint64_t timeout, soma_ref *agent);

/**
 * Finds all that is known of a name. The server is asked, not the cache.
 * @param names the client
 * @param name the name
 * @param timeout nanoseconds, for the server to answer
 * @param entry gets `agent`, `attributes` and `aliases`; to be ended with soma_name_destroy(); zeroed on error
 * @return 0, SOMA_ENOENT, or another error
 */
SOMA_API int soma_names_info(soma_names *names, const char *name, uint64_t timeout, struct soma_name *entry);

/** As soma_names_lookup(), but waits until the name is there. SOMA_ENOENT: it did not come in time; SOMA_ETIMEOUT:
 * nobody can tell, as no server could be reached. */
SOMA_API int soma_names_wait(soma_names *names, const char *name, uint64_t timeout, soma_ref *agent);

/** As soma_names_wait(), and until its agent runs: until it has answered, behind what waits for it, or an agent that
 *  has taken its place has. SOMA_ETIMEOUT also if the agent does not answer in time. */
SOMA_API int soma_names_wait_running(soma_names *names, const char *name, uint64_t timeout, soma_ref *agent);

/**
 * Lists names in their order, by bytes. Whoever lists page by page sees each name that was there all the time, once.
 * @param names the client
 * @param prefix what they begin with; NULL or "": all
 * @param after only those behind this one: the last one of the page before; NULL: from the first
 * @param most at most so many; 0, or more than #SOMA_NAMES_PAGE_MOST: so many. A page may be shorter all the same
 * @param timeout nanoseconds
 * @param page gets `names`, and `more`, if there are others behind; to be ended with soma_name_page_destroy()
 * @return 0, or an error
 */
SOMA_API int soma_names_list(soma_names *names, const char *prefix, const char *after, uint32_t most, uint64_t timeout,
                             struct soma_name_page *page);

/**
 * Gives a name of this client's an alias for an address, or another address to one that it has.
 * @param names the client
 * @param name a name that was registered by it
 * @param alias the alias
 * @param address any text; NULL: the alias is removed
 * @param timeout nanoseconds
 * @return 0, SOMA_ENOENT (this client has none of the name, or it no such alias to remove), SOMA_EEXIST (another has
 * taken the name meanwhile, while there was no server), or another error
 */
SOMA_API int soma_names_alias(soma_names *names, const char *name, const char *alias, const char *address,
                              uint64_t timeout);

/**
 * Finds the address of an alias. One that is not known is asked for, by way of the server, of the client that has
 * registered the name: so whoever has heard, from the agent or from others, that it has bound a channel, finds it,
 * though the name server may not have been told yet. Not so by way of a follower or of etcd, on other nodes than the
 * agent's; and one that has moved may be found where it was, as any cached answer, for `stale_ms`.
 * @param names the client
 * @param name the name, of whatever node
 * @param alias the alias
 * @param timeout nanoseconds
 * @param address gets the text; "" on error
 * @return 0, SOMA_ENOENT, or another error
 */
SOMA_API int soma_names_address(soma_names *names, const char *name, const char *alias, uint64_t timeout,
                                char address[SOMA_ADDRESS_MOST + 1]);

/**
 * Ends all agents of a prefix, wherever they live: tells them to shut down (soma_shutdown()), kills those that have not
 * ended when half of the time is over, and waits until all are gone, and the server, too, says so: what
 * soma_names_list() shows afterwards are others. An agent that another has in its care may be started anew.
 * @param names the client
 * @param prefix what their names begin with; NULL or "": all
 * @param timeout nanoseconds
 * @return 0: all that had such a name are gone, or their nodes are, and their names; SOMA_ETIMEOUT: some are not, or
 * the server, which may have ended with them, could not be asked, or still lists one, as a follower that is alone does;
 * or another error
 */
SOMA_API int soma_names_shutdown(soma_names *names, const char *prefix, uint64_t timeout);

/**
 * Has a function called for each event: first SOMA_NAME_ADDED for each name that is there, then SOMA_NAME_CURRENT, then
 * what changes. It runs in an agent of its own, one call at a time. A name that changes again before that was told is
 * told once, as it is then.
 * @param names the client
 * @param prefix what the names begin with; NULL or "": all
 * @param event the function; `event` lives during the call. It must not wait
 * @param context for it; it must last until the watcher has ended, as it has after soma_names_close() at the latest
 * @param watcher gets the agent: soma_kill() ends the watch
 * @return 0, or an error. Agents send a soma_name_watch and get the events as messages.
 */
SOMA_API int soma_names_watch(soma_names *names, const char *prefix,
                              void (*event)(void *context, const struct soma_name_event *event), void *context,
                              soma_ref *watcher);

#endif
