/*
 * A bridge: the node's peers, its connections, and what turns between them. It knows no sockets and no threads: a wire
 * (wire.h) carries its frames, and whoever drives it calls bridge_turn() when it is woken or its time has come. So the
 * same code runs over ZeroMQ and over the test kit's simulated network.
 */
#ifndef BRIDGES_BRIDGE_H
#define BRIDGES_BRIDGE_H

#include "bridges/peer.h"
#include "bridges/relay.h"
#include "bridges/unsaid.h"
#include "bridges/wire.h"
#include "runtime/arena.h"
#include "runtime/driver.h"
#include "runtime/system.h"
#include <soma/bridge.h>
#include <soma/timer.h>

#define BEAT_LEAST_MS 10u           /* nobody wants to hear more often */
#define HOPELESS UINT64_C(10)       /* a node that was down for so many times `down_ms` will not come back */
#define HANDSHAKE (5 * SOMA_SECOND) /* the longest that a handshake may take */
#define LATE (500 * SOMA_MS)        /* so late a beat may be before its link is doubted */
#define PEERS_MOST 65536u           /* at a time */
#define PINGS_MOST (1u << 20)       /* to one who may not read them; with half as many it has to show that it does */

/* A node that this one connects to, and connects to again. */
struct dial {
    struct dial *next;
    char *address;
    uint64_t connection;     /* 0: none */
    uint64_t node;           /* who answered there last; 0: nobody yet */
    uint64_t due;            /* when to try next */
    uint64_t wait;           /* what it waited before the last attempt, nanoseconds */
    uint64_t told;           /* when it was last logged why it comes to nothing; 0: never */
    const struct want *want; /* of agents; NULL: none */
    bool asked;    /* somebody wants to know who answers there: connect, even if its node has come by itself */
    bool relayed;  /* not to an address, but to the node, through another one */
    bool fleeting; /* for one node, of which another told: it ends when that has left */
};

/* A connection, until it is over. */
struct connection {
    struct connection *next;
    uint64_t id;
    struct dial *dial; /* NULL: the other side dialed */
    struct peer *peer; /* NULL: no hello has come yet */
    uint64_t begun;
    uint64_t said;      /* the count of the hello that was said over it */
    uint64_t heard;     /* and of that which came; 0: none yet */
    char key[KEY_SIZE]; /* that the other side has proven to have; empty for none */
    bool ready;         /* both sides agree on the session */
    bool calls;         /* it is among those that are counted in `calling` */
};

/* Lines are few in a while. */
struct log_share {
    uint64_t begun; /* the while */
    uint64_t lines; /* in it, also those that were left out */
};

struct soma_bridge {
    soma_system *system;
    soma_bridge_options options; /* all with values */
    struct wire wire;
    struct route route;
    struct worker *worker; /* whose pool the thread's blocks are from */
    soma_ref agent;
    char name[NODE_NAME_MAX + 1];
    char *addresses[ADDRESSES_MAX]; /* for others */
    uint32_t address_count;
    shared_ptr peers;     /* the struct peer_table */
    pthread_mutex_t lock; /* guards the list of peers, which the thread alone changes, and the wanted addresses */
    struct peer **list;
    uint32_t peer_count;
    struct want *wants;                 /* addresses that somebody asked for */
    struct introduction *introductions; /* nodes that somebody here told of; under the lock */
    struct keys keys;
    soma_bridge_counts counts;      /* under the lock, as the next four */
    struct log_share strangers_log; /* lines about strangers, */
    struct log_share own_log;       /* and about what this node itself was to do: they take nothing from each other */
    struct log_share nodes_log;     /* about nodes that come, go, and stand still: there may be hundreds */
    bool reloaded;                  /* the allowed keys have changed */
    struct unsaid unsaid;           /* likewise */
    shared_u32 closing;
    struct keeper *keeper;     /* its thread and sockets; NULL in a simulation */
    struct soma_bridge *older; /* the one before, closed: senders may still be in it */
    /* ---- the thread's own ---- */
    struct connection *connections;
    struct peer *strangers;
    uint32_t stranger_count;
    struct peer *spare; /* nobody's, see forget.c */
    uint32_t half_open; /* connections that others have made, and are not ready */
    uint32_t accepted;  /* and those that are */
    uint32_t calling;   /* that this side makes to where others say that somebody is, and that are not ready */
    const struct want *wants_seen;
    struct dial *dials;
    uint64_t due;        /* when its next turn is, at the latest */
    uint64_t hellos;     /* grows with each that is said */
    uint64_t moves_said; /* likewise, words that a request has moved */
    struct gate *gates;  /* that are not in use, see flow.h */
    struct burdens burdens;
    struct relay relay;
    struct debts moves;    /* DEBT_MOVED, of all requests */
    uint64_t mail_most;    /* MAIL_MOST, but in tests */
    uint32_t peers_most;   /* likewise PEERS_MOST */
    size_t owed_most;      /* and OWED_MOST */
    uint64_t pings_most;   /* and PINGS_MOST */
    msgpack_sbuffer frame; /* being written */
    struct compressor compressor;
    struct arena arena; /* for the message that is being read */
};

/* An address that somebody here wants to be connected to, and who answers there; the null ref if nobody does. */
struct want {
    struct want *next;
    char *address;
    soma_ref agent;
    bool awaited; /* the bridge agent wants to know when somebody does; under the lock, too */
};

/* Fills in what options leave out, and copies what they point to. 0, SOMA_EINVAL, SOMA_ETOOBIG, SOMA_ENOMEM. */
int bridge_new(soma_system *system, const soma_bridge_options *options, struct soma_bridge **bridge);

/* Is there room for a bridge in the system? 0, or SOMA_EEXIST as bridge_start(). */
int bridge_vacancy(soma_system *system);

/*
 * Lets messages in: from here on the system's route is the bridge, which the system stops and releases at its end. The
 * wire must be there. 0, or SOMA_EEXIST: it has one, which is not closed, and the log says so.
 */
int bridge_start(struct soma_bridge *bridge, int (*stop)(void *), void (*release)(void *));

/* Who answers at an address that somebody asked for has changed. */
void want_answered(struct soma_bridge *bridge, const char *address, soma_ref agent);

/* The same for all addresses of a node; the null ref: it is gone. */
void wants_answered(struct soma_bridge *bridge, uint64_t node, soma_ref agent);

/* Peers are forgotten, all is freed. Nobody may drive it or send by it any more. */
void bridge_free(struct soma_bridge *bridge);

/* An address where others reach this node, as the wire has bound it; copied. 0, SOMA_ETOOBIG, SOMA_ENOMEM. */
int bridge_bound(struct soma_bridge *bridge, const char *address);

/* Is it one of those? Any thread. */
bool bridge_listens(const struct soma_bridge *bridge, const char *address);

/* ---- from the wire, in the bridge's thread ---- */

void bridge_connected(struct soma_bridge *bridge, uint64_t connection);
void bridge_broken(struct soma_bridge *bridge, uint64_t connection);
/* The same for one that this side has begun, and the other does not want: the log says so of its address. If that is a
 * guess, not where a node has answered before: then the network is to blame. */
void bridge_turned_away(struct soma_bridge *bridge, uint64_t connection, const char *why, bool guess);
/* A frame; from a connection that is not known yet, if somebody else dialed. */
void bridge_received(struct soma_bridge *bridge, uint64_t connection, const void *frame, size_t size);

/* Sends what waits, and does what time has brought. When it must be called again at the latest; UINT64_MAX: never. */
uint64_t bridge_turn(struct soma_bridge *bridge);

/* What agents had said was not acknowledged when a session ended, and may have arrived all the same. */
struct losses {
    uint64_t messages; /* each is a dead letter */
    uint64_t answers;  /* and errors in their place */
    uint64_t words;    /* of ends, links, kills and the like */
};

static inline bool losses_any(const struct losses *losses)
{
    return losses->messages || losses->answers || losses->words;
}

/* Goodbye to all, and what was left. True if nothing that agents have said waits for an acknowledgement, so that it may
 * be said. */
bool bridge_is_drained(struct soma_bridge *bridge);
struct losses bridge_goodbye(struct soma_bridge *bridge);

/* May a node be linked with, if it is not? Any, but while the bridge closes only one that has a session with it, or
 * that is yet to have what agents have said. */
bool bridge_admits(struct soma_bridge *bridge, uint64_t node);

/* ---- between the parts ---- */

/* The route: struct route's carry. */
int bridge_carry(void *context, soma_ref to, struct message *message);

/* And its send. */
int bridge_send(void *context, soma_ref from, soma_ref to, const soma_type *type, const void *body);

/* Sends what waits for a peer, as far as the window is open, in at most so many frames. False if there may be more. */
bool peer_flush(struct soma_bridge *bridge, struct peer *peer, uint32_t most);

/* The peer of a node, made if there is none; NULL when memory is out, or it would be too many. */
struct peer *bridge_peer(struct soma_bridge *bridge, uint64_t node);

/* The same for a node that has said hello: a stranger, if it is no peer. */
struct peer *peer_meet(struct soma_bridge *bridge, uint64_t node);

/* A peer or a stranger; NULL if it is neither. */
struct peer *peer_seen(const struct soma_bridge *bridge, uint64_t node);

/* A stranger is a peer from now on. 0, SOMA_EFULL or SOMA_ENOMEM. */
int peer_publish(struct soma_bridge *bridge, struct peer *peer);
struct peer *peer_new(struct soma_bridge *bridge, uint64_t node);
void peer_free(struct peer *peer);

/* It is nobody's any more: freed, or kept for the next node, if other threads may still have it. */
void peer_retire(struct peer *peer);
void spares_free(struct soma_bridge *bridge);

/* There are as many: of those that nobody here has wanted yet, the one that was told of longest ago is forgotten. False
 * if there is none. */
bool peers_make_room(struct soma_bridge *bridge);

/* Forgets those that are gone for good, as far as can be known. When to look again. */
uint64_t peers_watch(struct soma_bridge *bridge, uint64_t now);

void stranger_remove(struct soma_bridge *bridge, struct peer *peer);
void strangers_free(struct soma_bridge *bridge);

/* Forgets those whose time is over. When to look again. */
uint64_t strangers_watch(struct soma_bridge *bridge, uint64_t now);

/* What is sent to the peer is taken, and waits for a session; for as long as a silent one may last. */
void peer_open(struct peer *peer);

/* There is something to say to one that is idle, or it has come by itself: its time begins. */
void peer_wake(struct peer *peer);

/* Calls a node where it is said to be, until that is known to be gone. 0 or SOMA_ENOMEM. */
int peer_call(struct soma_bridge *bridge, const struct peer *peer);

/* Items that a frame brought, from a peer. 0, or SOMA_EFORMAT: where one ends is not known, and the rest is lost. */
int items_arrive(struct peer *peer, const unsigned char *items, size_t size);

/* A request is over: what was said of its way, ahead of other words, is of no use any more. */
void moves_forget(struct soma_bridge *bridge, soma_ref asker, uint64_t handle);

/* Another node, and where it is. 0 or SOMA_ENOMEM. */
struct item;
int node_arrive(struct soma_bridge *bridge, const struct item *item);

/* The same for those of which agents here have told, introduce.c. They are let know. */
void introductions_take(struct soma_bridge *bridge);
void introductions_free(struct soma_bridge *bridge);

/* Connects to an address from now on, unless that is done already; if it is for a `node` of which another told, until
 * that is known to be gone, else (0) as long as the bridge lives. 0 or SOMA_ENOMEM. */
int dial_add(struct soma_bridge *bridge, const char *address, uint64_t node);

/* The same for an address that agents ask for. */
void dial_want(struct soma_bridge *bridge, const struct want *want);

/* A node has left for good, or another is in its place, or it was down for long: nobody needs to look for it again. */
void dials_forget(struct soma_bridge *bridge, uint64_t node);

/* A connection by a dial has come to nothing: when the next one is due. */
void dial_later(struct soma_bridge *bridge, struct dial *dial);

/* May it be logged why a dial comes to nothing? Not each time. */
bool dial_may_log(struct soma_bridge *bridge, struct dial *dial);

/* Connects where it is time to, and gives up. When to look again. */
uint64_t dials_watch(struct soma_bridge *bridge, uint64_t now);

/* What a peer says of itself, or another of it: its name and where it is. */
void peer_learn(struct peer *peer, const struct span *name, const struct span *addresses, uint32_t count);

/* All others hear of a peer, ahead of any ref to it. */
void peer_announce(struct soma_bridge *bridge, struct peer *peer);

/* A connection by a dial gets on: others by it, that do not yet, come to nothing. */
void dial_settle(struct soma_bridge *bridge, struct dial *dial, uint64_t connection);

/* Its connection was lost: perhaps as another has come in its place. */
void peer_lost(struct soma_bridge *bridge, struct peer *peer);

/* After a new connection: what the other side has not got goes again, then what waits. */
void peer_resume(struct soma_bridge *bridge, struct peer *peer);

/* The peer has all frames up to a number, which are not forgotten yet: nodes whose agents' requests were passed on in
 * them hear of it. */
void passed_settle(struct peer *peer, uint64_t number);

/* The peer's session is over: whoever waits for it is told with the reason, and what was not acknowledged is a dead
 * letter. The second has the log count that. */
struct losses peer_finish(struct peer *peer, int reason);
void peer_end(struct peer *peer, int reason);

/* The same for one that takes what it is owed too slowly, if at all: that must not take all memory. */
void peer_cut_off(struct peer *peer);

/* The connection of a number; NULL if there is none any more. */
struct connection *connection_find(const struct soma_bridge *bridge, uint64_t id);

/* A new one, by a dial or of the other side. NULL when memory is out. */
struct connection *connection_new(struct soma_bridge *bridge, uint64_t id, struct dial *dial);

/* One by a dial is ready, or over: another may be made. */
void connection_called(struct soma_bridge *bridge, struct connection *connection);

/* A connection comes to nothing, and is forgotten; the wire is told unless it knows. */
void connection_end(struct soma_bridge *bridge, struct connection *connection, bool hang_up);

/* The one with a peer, if there is one. */
void peer_hang_up(struct peer *peer);

/* What the other side said in its hello is accepted or not; says ours if it has not been. */
void hello_arrive(struct soma_bridge *bridge, struct connection *connection, const struct hello *hello);
void hello_say(struct soma_bridge *bridge, struct connection *connection);

/* What it said of the session. 0, or SOMA_EFORMAT: it makes no sense. */
int join_arrive(struct soma_bridge *bridge, struct connection *connection, const struct join *join);

/* ---- strangers and keys, trust.c ---- */

/* May a line about a stranger be logged now? Few are, whatever strangers do. Any thread. */
bool trust_may_log(struct soma_bridge *bridge);

/* Or about an address that this node was to call, or listen at? Strangers can't use these up. Any thread. */
bool own_may_log(struct soma_bridge *bridge);

/* Or about a node that is linked, or was? Many may come and go together, or again and again. Any thread. */
bool node_may_log(struct soma_bridge *bridge);

/* Counts up one of bridge->counts. */
void trust_count(struct soma_bridge *bridge, uint64_t *counter);

/* Is a key allowed? */
bool trust_key(struct soma_bridge *bridge, const char *key);

/* Is that in an address, if there is one? If not, the log says so. */
struct address;
bool trust_address(struct soma_bridge *bridge, const struct address *address);

/* May the other side of a connection, which has said a hello, be talked to? */
bool trust_connection(struct soma_bridge *bridge, struct connection *connection);

/* Is it the node that it says it is, as far as can be known? */
bool trust_peer(struct peer *peer, const struct connection *connection);

/* The allowed keys have changed. */
void trust_review(struct soma_bridge *bridge);

/* Sends what was written to bridge->frame, and a frame's items behind it, if it has any (else NULL). */
struct kept_frame;
void frame_send(struct soma_bridge *bridge, uint64_t connection, const struct kept_frame *kept);

/* Sends what others' links have brought for a peer's. */
void relayed_flush(struct soma_bridge *bridge);

static inline uint64_t bridge_now(const struct soma_bridge *bridge)
{
    return bridge->system->driver.now(bridge->system->driver.context);
}

/* The earlier of two times. */
static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the link of a peer that is joined is to be doubted, unless something is heard before, or what was sent is
 * acknowledged: a network that was cut may be back for one of both ways only, as far as TCP has found out. */
static inline uint64_t peer_doubt(const struct peer *peer)
{
    const struct session *session = &peer->session;
    bool waits = session->acked != session->sent && peer->gained;
    return (waits ? earlier(peer->heard, peer->gained) : peer->heard) + peer->bridge->options.heartbeat_ms * SOMA_MS +
           LATE;
}

static inline uint64_t bridge_random(const struct soma_bridge *bridge)
{
    return bridge->system->driver.random(bridge->system->driver.context);
}

#endif
