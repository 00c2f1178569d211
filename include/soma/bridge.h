/**
 * @file
 * Bridges: with one open, the refs of a system's agents work from other nodes, and theirs work here: sends, requests,
 * replies, monitors, links, kills and orders to shut down, with no change to the agents. Two nodes with a bridge are
 * joined by a *link*: a session over ZeroMQ that numbers what it carries, keeps it until the other side has it, and
 * survives its connections. So nothing is lost, doubled or out of order while both processes live and an outage is
 * shorter than `down_ms`; after that the node is *down*: its monitors and links tell with SOMA_ENODEDOWN, requests fail
 * with it, and what was not acknowledged becomes dead letters. docs/protocol.md has the wire.
 */
#ifndef SOMA_BRIDGE_H
#define SOMA_BRIDGE_H

#include <soma/agent.h>
#include <soma/message.h>
#include <soma/system.h>

/** How a system reaches others, and they it. Opened by soma_bridge_open(). */
typedef struct soma_bridge soma_bridge;

/** What a bridge is opened with; zero means the default. All strings are copied. */
typedef struct soma_bridge_options {
    const char *name;             /**< the node's name, for logs; up to 63 bytes; else its number */
    const char *const *bind;      /**< where to listen, ended by NULL: `tcp://IP:PORT`, `tcp://IP` (any free port),
                                       `ipc://PATH`; NULL: nowhere */
    const char *const *advertise; /**< where others should connect, in place of the bound addresses; ended by NULL */
    const char *const *connect;   /**< nodes to connect to from the start, and always again; ended by NULL */
    bool insecure;                /**< addresses other than loopback and ipc are allowed without keys */
    uint32_t heartbeat_ms;        /**< so often it wants to hear from others; after three times
                                       that in silence a connection is dropped; 1,000 */
    uint32_t down_ms;             /**< a node that was not heard of for so long is down; 10,000 */
    uint32_t retry_most_ms;       /**< the longest wait between two attempts to connect; 5,000 */
    uint32_t message_most;        /**< the most bytes of one message on the wire; 16 MiB */
    uint64_t window;              /**< the most bytes that a link keeps unacknowledged; 8 MiB */
    uint32_t close_ms;            /**< how long closing waits for what is on its way; 5,000 */
} soma_bridge_options;

/** One node that a bridge knows; see soma_bridge_peers(). */
typedef struct soma_bridge_peer {
    uint64_t node;           /**< its identity */
    char name[64];           /**< its name */
    bool connected;          /**< there is a connection now */
    bool down;               /**< it was given up */
    uint64_t frames_sent;    /**< of data, in this session */
    uint64_t frames_waiting; /**< of them not acknowledged */
    uint64_t bytes_waiting;  /**< bytes of those, and of what is not in a frame yet */
    uint64_t received;       /**< frames of data that came, in this session */
} soma_bridge_peer;

/**
 * Opens a bridge: on return it listens at all addresses of `bind`, and connects in the background. A system has one at
 * most. Agents that live already are reachable, too.
 * @param system the system
 * @param options what it is to do
 * @param bridge gets it; NULL on error
 * @return 0; SOMA_EINVAL (NULL, a malformed address, or one that is neither loopback nor ipc without `insecure`; the
 *         log says which); SOMA_EEXIST (the system has a bridge, or the address is in use); SOMA_ENOMEM, SOMA_ETHREAD,
 *         SOMA_ETOOBIG. Any thread outside the system.
 */
SOMA_API int soma_bridge_open(soma_system *system, const soma_bridge_options *options, soma_bridge **bridge);

/**
 * Says goodbye to all nodes and ends the bridge, after what is on its way was acknowledged, or `close_ms`. Closing the
 * system does so, too. Sets `*bridge` to NULL, and may be called twice.
 * @return 0; SOMA_ETIMEOUT if something was left, which the log counts; SOMA_ESTATE from one of the system's threads
 */
SOMA_API int soma_bridge_close(soma_bridge **bridge);

/** An address that others can connect to, as bound or advertised, by its place in the options; NULL if there is none.
 *  It lives as long as the bridge. Any thread. */
SOMA_API const char *soma_bridge_address(const soma_bridge *bridge, uint32_t index);

/**
 * Tells of the nodes that the bridge knows.
 * @param bridge the bridge
 * @param peers gets up to `most` of them; may be NULL if that is 0
 * @param most room in peers
 * @return how many there are; SOMA_EINVAL (NULL). Any thread.
 */
SOMA_API int soma_bridge_peers(soma_bridge *bridge, soma_bridge_peer *peers, uint32_t most);

/**
 * Finds an agent on the node at an address by its local name (soma_name_set()), connecting if need be, and waits for
 * both until the time is over.
 * @param bridge the bridge
 * @param address the node's
 * @param name the agent's
 * @param timeout nanoseconds
 * @param agent gets its ref; the null ref on error
 * @return 0; SOMA_ENOENT (the node has no agent of this name); SOMA_ETIMEOUT (the node can't be reached); SOMA_EINVAL,
 *         SOMA_ENOMEM; SOMA_ESTATE from one of the system's threads
 */
SOMA_API int soma_bridge_find(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout,
                              soma_ref *agent);

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_bridge_spawned, (ref, agent))
/** @endcond */

/**
 * Lets other nodes spawn agents of a behavior here, for as long as the system lives: an agent with the local name
 * `name` spawns one for each request of the type `argument`, whose struct is init's `arg`, and answers with a
 * `soma_bridge_spawned` (`agent`, its ref), or with the error of the spawn. Nothing else can be spawned from outside.
 * @param bridge the bridge
 * @param name under which it is offered; names are as for soma_name_set()
 * @param behavior what is offered; must outlive the system
 * @param argument the message type that comes with a request; must outlive the system
 * @return 0; SOMA_EEXIST (an agent has that name); SOMA_EINVAL, SOMA_ENOMEM, or as soma_spawn(). Any thread.
 */
SOMA_API int soma_bridge_offer(soma_bridge *bridge, const char *name, const soma_behavior *behavior,
                               const soma_type *argument);

/**
 * Spawns an agent on another node, of a behavior that is offered there:
 * `soma_bridge_spawn(bridge, "tcp://10.0.0.2:7000", "resizer", SOMA_SECOND, &ref, resize_options, .width = 64)`.
 * Handlers, which must not wait, find the agent `name` once, by soma_bridge_find() outside, and send it a
 * soma_request() of the argument's type instead.
 * @return 0; SOMA_ENOENT (nothing of this name is offered); SOMA_ETYPE (with another argument; the log says more); what
 *         init returned there; or as soma_bridge_find()
 */
#define soma_bridge_spawn(bridge, address, name, timeout, agent, ...)                                                  \
    soma_bridge_spawn_send((bridge), (address), (name), (timeout), (agent), SOMA_BODY_(__VA_ARGS__))

/** soma_bridge_spawn() with the argument's type and body spelled out. */
SOMA_API int soma_bridge_spawn_send(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout,
                                    soma_ref *agent, const soma_type *type, const void *body);

#endif
