/**
 * @file
 * Bridges: with one open, the refs of a system's agents work from other nodes, and theirs work here: sends, requests,
 * replies, monitors, links, kills and orders to shut down, with no change to the agents. Two nodes with a bridge are
 * joined by a *link*: a session over ZMTP, ZeroMQ's protocol, that numbers what it carries, keeps it until the other
 * side has it, and survives its connections. So nothing is lost, doubled or out of order while both processes live and
 * an outage is shorter than `down_ms`; after that the node is *down*: its monitors and links tell with SOMA_ENODEDOWN,
 * requests fail with it, and what was not acknowledged becomes dead letters. docs/protocol.md has the wire.
 */
#ifndef SOMA_BRIDGE_H
#define SOMA_BRIDGE_H

#include <soma/agent.h>
#include <soma/message.h>
#include <soma/system.h>

/** How a system reaches others, and they it. Opened by soma_bridge_open(). */
typedef struct soma_bridge soma_bridge;

/**
 * The local name of an agent that each bridge has. It tells of its node by attributes (soma/attribute.h), which are all
 * only read, so that anybody who may send to the node can look at it, as `soma nodes` and `soma top` do:
 *
 * - `node`: its identity, in hexadecimal; `name`; `addresses`; `uptime`, the seconds since the bridge was opened
 * - `peers`: what soma_bridge_peers() tells, an array of maps
 * - `stats`: what soma_system_stats() tells, a map
 * - `watch`: what soma_system_watch() tells: a map of `mailboxes` and `handlers`, arrays of maps
 */
#define SOMA_NODE "soma.node"

/** Room for a key in Z85, the text form of ZeroMQ: 40 characters and a NUL. */
#define SOMA_BRIDGE_KEY_SIZE 41

/**
 * What a bridge is opened with; zero means the default. All strings are copied.
 *
 * A bridge with a secret key speaks CURVE, and nothing else: all it says is encrypted, and it talks to those nodes
 * alone whose public keys it allows, whoever of the two connects. Its addresses then are of the form `tcp://IP:PORT
 * KEY`, with its public key, and so must be those that it is given. docs/bridge_security.md has it all.
 */
typedef struct soma_bridge_options {
    const char *name;             /**< the node's name, for logs; up to 63 bytes; else its number */
    const char *const *bind;      /**< where to listen, ended by NULL: `tcp://IP:PORT`, `tcp://IP` (any free port),
                                       `ipc://PATH`; NULL: nowhere. IPv4 only, and no host names */
    const char *const *advertise; /**< where others should connect, in place of the bound addresses (the public key is
                                       added); ended by NULL. It wants `bind`. Without, one that is
                                       bound to all interfaces tells the first IPv4 address of this machine that is
                                       not loopback */
    const char *const *connect;   /**< nodes to connect to from the start, and always again; ended by NULL. Host
                                       names are looked up at each attempt */
    bool insecure;                /**< addresses other than loopback and ipc are allowed without keys */
    const char *secret_key;       /**< the node's secret key, see soma_bridge_keygen() */
    const char *secret_file;      /**< or a file with it, which nobody else may read or write; not both */
    const char *allowed;      /**< public keys of other nodes: one a line, on which a name may follow behind a space;
                                   lines that begin with `# ` do not count. None: nobody is allowed */
    const char *allowed_file; /**< or a file with them; not both */
    bool relay;               /**< it passes on what two nodes send each other that can't connect to each other, and
                                   are both linked with it; docs/bridges.md */
    bool on_demand;           /**< a node of which another tells is called when first something is sent there, not at
                                   once: for programs that come to ask a few of many. Word of it is kept until then */
    uint32_t links_most;      /**< the most connections that others may have to this node; 1,024 */
    uint32_t heartbeat_ms;    /**< so often it wants to hear from others; half a second after one is missing another
                                   connection is made beside the old one, and after three times that in silence the
                                   old one is dropped; less than `down_ms`; 1,000, or some third of it if that is less */
    uint32_t down_ms;         /**< a node that was not heard of for so long is down; more than 10; 10,000 */
    uint32_t retry_most_ms;   /**< the longest wait between two attempts to connect; 5,000. At most 500 while an agent
                                 waits for who answers */
    uint32_t message_most;    /**< the most bytes of one message on the wire; 16 MiB */
    uint64_t window;          /**< the most bytes that a link keeps unacknowledged, and so carries in the time of a
                                   round trip; 2 MiB */
    uint32_t close_ms;        /**< how long closing waits for what is on its way; 5,000 */
    uint32_t compress_least;  /**< frames with at least so many bytes are compressed by zstd, if the other node reads
                                   that and it makes them smaller; 1,024 is a good value; 0: none is. With keys see
                                   docs/bridge_security.md */
} soma_bridge_options;

/** One node that a bridge knows; see soma_bridge_peers(). */
typedef struct soma_bridge_peer {
    uint64_t node;           /**< its identity */
    char name[64];           /**< its name */
    bool connected;          /**< there is a connection now */
    bool down;               /**< it was given up */
    bool reachable;          /**< others that it has not called can reach it: it listens, or this bridge relays */
    uint64_t frames_sent;    /**< of data, in this session */
    uint64_t frames_waiting; /**< of them not acknowledged */
    uint64_t bytes_waiting;  /**< bytes of those, and of what is not in a frame yet */
    uint64_t received;       /**< frames of data that came, in this session */
    uint64_t bytes_before;   /**< of data that was put into frames in this session, before compression */
    uint64_t bytes_after;    /**< and after it: as many if none was compressed; what was sent again counts once */
    soma_ref agent;          /**< its agent #SOMA_NODE; the null ref before it was first connected */
} soma_bridge_peer;

/** What came to a bridge from outside, since it was opened; see soma_bridge_count(). */
typedef struct soma_bridge_counts {
    uint64_t accepted;   /**< connections */
    uint64_t failed;     /**< of them ended before they had said who they are: silent, garbage, a key not allowed; but
                              not those that a node makes while it is called, and ends itself */
    uint64_t refused;    /**< keys that were not allowed */
    uint64_t bad_frames; /**< frames, and parts of them, that made no sense */
    uint64_t bad_hellos; /**< nodes that were not let in: another version, a wrong key, too many */
    uint64_t cut_off;    /**< connections that this side has ended */
    uint64_t overfull;   /**< links that this side has ended, as the other did not take what it was owed: more than
                              64 MiB of answers and words of ends (or four messages of `message_most`, if that is
                              more), or a million acknowledgements */
} soma_bridge_counts;

/**
 * Opens a bridge: on return it listens at all addresses of `bind`, and connects in the background. A system has one at
 * most. Agents that live already are reachable, too.
 * @param system the system
 * @param options what it is to do
 * @param bridge gets it; NULL on error
 * @return 0; SOMA_EINVAL (NULL, a malformed address, one that is neither loopback nor ipc without keys or `insecure`,
 *         one without a key for a node with keys, a secret file that others may read, keys that are given both as text
 *         and by a file, a heartbeat as long as `down_ms`, or a `down_ms` of 10 or less; the log says
 *         which); SOMA_EFORMAT (a key is none);
 * SOMA_ENOENT (a file can't be read); SOMA_EEXIST (the system has a bridge, or the address is in use; the log says
 * which); SOMA_ESTATE (no CURVE in libzmq, or a thread of the system); SOMA_ENOMEM (also without file descriptors; the
 * log says so), SOMA_ETHREAD, SOMA_ETOOBIG (the name; the log says so). Any thread outside the system.
 */
SOMA_API int soma_bridge_open(soma_system *system, const soma_bridge_options *options, soma_bridge **bridge);

/**
 * Says goodbye to all nodes and ends the bridge, after what agents have said was acknowledged, or `close_ms`: messages,
 * answers, words of an end, links and kills. Closing the system does so, too. Sets `*bridge` to NULL, and may be called
 * twice. A link that is lost meanwhile is made anew; nodes that there is no link with are not let in any more. Requests
 * of other nodes that have no answer yet are not waited for, and fail there with SOMA_ENODEDOWN.
 * @return 0; SOMA_ETIMEOUT if something was left when the time was over: a line of the log counts it, and each message
 *         is a dead letter (it may have arrived all the same); SOMA_ESTATE from one of the system's threads
 */
SOMA_API int soma_bridge_close(soma_bridge **bridge);

/** An address that others can connect to, as bound or advertised, by its place in the options; NULL if there is none.
 *  It lives as long as the bridge. Any thread. */
SOMA_API const char *soma_bridge_address(const soma_bridge *bridge, uint32_t index);

/**
 * Tells of the nodes that the bridge knows, but those of which others only told and that listen nowhere. One that has
 * left, or is down, is forgotten after ten times `down_ms`.
 * @param bridge the bridge
 * @param peers gets up to `most` of them; may be NULL if that is 0
 * @param most room in peers
 * @return how many there are; SOMA_EINVAL (NULL). Any thread.
 */
SOMA_API int soma_bridge_peers(soma_bridge *bridge, soma_bridge_peer *peers, uint32_t most);

/** Tells what came from outside. 0, or SOMA_EINVAL (NULL). Any thread. */
SOMA_API int soma_bridge_count(soma_bridge *bridge, soma_bridge_counts *counts);

/**
 * Makes a new pair of keys, in Z85.
 * @param public_key gets the one that others are told
 * @param secret_key gets the other, which nobody is told
 * @return 0, SOMA_EINVAL (NULL), SOMA_ESTATE (libzmq was built without CURVE). Any thread.
 */
SOMA_API int soma_bridge_keygen(char public_key[SOMA_BRIDGE_KEY_SIZE], char secret_key[SOMA_BRIDGE_KEY_SIZE]);

/**
 * Changes whose keys are allowed, while the bridge runs. Nodes whose key is not any more are cut off at once: they are
 * down, with all that follows. Links to others are not touched.
 * @param bridge the bridge, opened with a secret key
 * @param allowed the keys as in the options; NULL: the file of the options is read again
 * @return 0; SOMA_EINVAL (no bridge), SOMA_ESTATE (it has no secret key, or no file), SOMA_EFORMAT, SOMA_ENOENT,
 *         SOMA_ETOOBIG, SOMA_ENOMEM: all is as before, and the log says what is wrong. Any thread.
 */
SOMA_API int soma_bridge_keys_reload(soma_bridge *bridge, const char *allowed);

/**
 * Finds an agent on the node at an address by its local name (soma_name_set()), connecting if need be, and waits for
 * both until the time is over.
 * @param bridge the bridge
 * @param address the node's
 * @param name the agent's
 * @param timeout nanoseconds, not 0
 * @param agent gets its ref; the null ref on error
 * @return 0; SOMA_ENOENT (the node has no agent of this name); SOMA_ETIMEOUT (the node can't be reached, or lets nobody
 *         in with this one's key; then the log says so); SOMA_EINVAL (also, at once: a node that may not be connected
 *         to, see soma_bridge_options, or an address that soma_bridge_address() tells of this one; the log says why);
 *         SOMA_ETOOBIG (`message_most` is too small for the question); SOMA_EGONE, SOMA_ECLOSED (the bridge is being
 *         closed, or somebody here has killed its agent); SOMA_ENOMEM; SOMA_ESTATE from one of the system's threads
 */
SOMA_API int soma_bridge_find(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout,
                              soma_ref *agent);

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_bridge_locate, (string, address), (string, name), (u64, timeout))
SOMA_MESSAGE(soma_bridge_located, (ref, agent))
SOMA_MESSAGE(soma_bridge_spawned, (ref, agent))
SOMA_MESSAGE(soma_bridge_introduce, (u64, node), (array, string, addresses))
SOMA_MESSAGE(soma_bridge_introduced)
/** @endcond */

/**
 * The bridge's own agent, for handlers, which must not wait: a request to it of type `soma_bridge_locate` (`address`,
 * `name`, `timeout`) is soma_bridge_find(), and answered with a `soma_bridge_located` (`agent`) or its error. As the
 * time counts there, give the request itself SOMA_NEVER. Agents of its node only. It lives until the bridge is closed:
 * orders of other nodes to end it are ignored, and its own node must give none.
 *
 * A request of type `soma_bridge_introduce` (`node`, its identity, and up to 8 of its `addresses`, the best one first)
 * tells it of a node, as other nodes do with those that they know: from its answer on, a `soma_bridge_introduced`, refs
 * to agents of that node can be used. For directories that keep refs elsewhere. SOMA_EINVAL if the first address is one
 * that this node may not call (see soma_bridge_options; the log says why), or another is malformed; SOMA_EFULL if so
 * many nodes are known that this one must call by itself.
 * The null ref for NULL. Any thread.
 */
SOMA_API soma_ref soma_bridge_agent(const soma_bridge *bridge);

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
 * @return 0; SOMA_ENOENT (nothing of this name is there); SOMA_EUNHANDLED (it is an agent of another kind); SOMA_ETYPE
 *         (with another argument; if its type's layout is another there, the log says more); what init returned there;
 *         or as soma_bridge_find()
 */
#define soma_bridge_spawn(bridge, address, name, timeout, agent, ...)                                                  \
    soma_bridge_spawn_send((bridge), (address), (name), (timeout), (agent), SOMA_BODY_(__VA_ARGS__))

/** soma_bridge_spawn() with the argument's type and body spelled out. */
SOMA_API int soma_bridge_spawn_send(soma_bridge *bridge, const char *address, const char *name, uint64_t timeout,
                                    soma_ref *agent, const soma_type *type, const void *body);

#endif
