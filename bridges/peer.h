/*
 * A peer: another node as this one knows it, with the session that joins them and what waits to go there. Two parties
 * meet here: carriers, who are all threads that send, and the bridge's thread. What is under `busy` is both's, all else
 * the thread's alone.
 */
#ifndef BRIDGES_PEER_H
#define BRIDGES_PEER_H

#include "bridges/bodies.h"
#include "bridges/debt.h"
#include "bridges/flow.h"
#include "bridges/frame.h"
#include "bridges/keys.h"
#include "bridges/session.h"
#include "bridges/shares.h"
#include "bridges/transit.h"
#include "runtime/concurrent.h"
#include <soma/system.h>

struct soma_bridge;
struct item;

/* Bytes that wait for a frame, from which on senders are slowed down, and below which they may go on. */
#define OUT_HIGH ((size_t)1 << 20)
#define OUT_LOW ((size_t)1 << 18)

/* Bytes of what is owed, and waits for a frame: with so many, or four of the largest messages, if that is more, the
 * link is ended; with half as many answers fail. */
#define OWED_MOST ((size_t)1 << 26)

/* Items that will be one frame; or a body that leaves in parts, ahead of the chunk with its message. */
struct chunk {
    struct chunk *next;
    msgpack_sbuffer items; /* in a block */
    uint64_t number;       /* chunks of items are numbered in their order */
    uint64_t body;         /* a body's number; 0: items */
    size_t at;             /* where in `items` it or they begin, less what has left */
    size_t owed;           /* bytes in it that are, see outbound */
    bool shared;           /* many items will name it */
    bool full;             /* nothing more goes behind its items, as a body there would leave ahead of them */
};

/* A type as it was offered to the other side. */
struct offered {
    const soma_type *type;
    uint32_t index;
    bool again; /* it was refused: offer it anew */
    bool told;  /* and the log says so */
};

/* And as the other side has offered it. */
struct heard_type {
    const soma_type *type; /* NULL: unknown here */
    size_t room;           /* bytes of a block that its messages mostly fit */
};

#define HEAD_MOST 80

/* What the item of the last plain message began with, up to the packed message: the next is often for the same agent.
 * item_repeats() is the other side of this. */
struct head {
    soma_ref to;
    soma_ref from;
    const soma_type *type; /* NULL: there is none */
    size_t size;
    char bytes[HEAD_MOST];
};

struct outbound {
    struct chunk *first;
    struct chunk *last;
    size_t bytes;
    size_t owed;     /* of them: answers, words of an end and of the bridge itself, for which nobody is held up */
    uint64_t chunks; /* how many there were */
    size_t recent;   /* bytes of those that were taken last, about: the next has as much room from the first */
    bool streams;    /* it has had, since that was last looked at */
    bool owes;       /* agents here have said something that is in there */
    bool passes;     /* a request of another node's agent is in there: see DEBT_PASSED */
    /* Blocks for that. */
    struct frame_block *spare[SPENT_MOST];
    uint32_t spare_count;
    uint64_t bodies; /* how many were set apart: their numbers begin with 1 */
    struct head head;
    struct shares shares;
    struct offered *types; /* open addressing by the descriptor's address; at most half full */
    uint32_t type_count;
    uint32_t type_capacity; /* a power of two */
};

struct peer {
    struct soma_bridge *bridge;
    struct peer *next; /* of strangers, see stranger.c; of those that are nobody's, see forget.c */
    uint64_t node;
    char name[NODE_NAME_MAX + 1];
    soma_ref agent;                 /* its bridge agent */
    char key[KEY_SIZE];             /* that it has proven to have; empty for none. The thread's */
    char *addresses[ADDRESSES_MAX]; /* where it says it can be reached */
    shared_u32 busy;                /* guards what follows */
    struct outbound out;
    struct debts debts;
    uint64_t reads;   /* what the other side reads beyond the least, see frame.h */
    bool open;        /* items are taken: there is a session, or there may soon be one */
    bool dirty;       /* the thread has been woken for it */
    bool idle;        /* another told of it, and nothing is done until there is something to say: it listens nowhere, or
                         on_demand. The thread alone changes it */
    bool hearsay;     /* the former: only who is linked with it knows that it is there still */
    bool listens;     /* it has addresses */
    soma_agent *gate; /* for good; NULL: it never was in the table. An agent that never gets mail: its pressure is that
                         of the way to the peer, see flow.h */
    struct gates gates;  /* and those of its agents */
    shared_u32 overfull; /* too much is owed, so the session is to end; also looked at without the lock */
    struct shown {
        uint64_t sent, acked, received;
        size_t bytes;
        uint64_t before, after;
        bool connected;
        soma_ref agent;
    } shown; /* of the session, for who asks */
    /* ---- the thread's own ---- */
    struct session session;
    struct transit transit;
    struct compress_luck luck;
    struct bodies bodies;
    struct heard_type *types; /* by the index that the other side gave */
    uint32_t type_count;
    uint64_t connection; /* 0: none */
    bool joined;         /* and the session goes on over it */
    uint64_t beat;       /* so often the other side wants to hear something, nanoseconds */
    bool lost;           /* the connection was, since that was last looked at */
    bool replaced;       /* another is where it was: that it is there it must say itself */
    bool unsaid;         /* words for it wait until its session begins, see unsaid.h */
    uint64_t moved;      /* the number of the last word that it has said of a request that has moved; 0: none */
    uint64_t begun;      /* when the session began */
    uint64_t heard;      /* when the other side last spoke */
    uint64_t gained;     /* when it last acknowledged something new, or there was first something to; 0: not since the
                            session goes on by this connection, which may be slow, and is not to be left before */
    uint64_t pings;      /* that were sent by this connection since the other side last acknowledged something new */
    uint64_t tidied;     /* when memory for frames was last looked at */
    uint64_t spoken;     /* when this side did */
    uint64_t owed;       /* when what has come must be acknowledged, if it is not */
    uint64_t owing;      /* the number of the last frame with something that agents here have said */
    uint64_t since;      /* when there was first something to say, or the connection was lost; UINT64_MAX: neither */
    uint64_t ended;      /* when its session was over, or, if it is idle, when another told of it last */
};

/*
 * Peers by node: open addressing in a table that only grows and is read without a lock. One that was forgotten leaves
 * its place, without a peer: so that refs to it are known to be dead for as long as the bridge lives.
 */
struct place {
    shared_u64 node; /* 0: nobody */
    shared_ptr peer; /* NULL: forgotten */
    shared_u32 met;  /* it was more than told of */
    char *key;       /* of one that was forgotten, if it had any; the bridge's thread alone */
    uint64_t moved;  /* likewise */
};

struct peer_table {
    struct peer_table *older; /* the one before, which a reader may still have */
    uint32_t capacity;        /* a power of two; at most half full */
    uint32_t count;           /* places with a node */
    struct place places[];
};

/* In the bridge's thread; for others the peer may be another node's by the time they look at it: see peer_lock(). */
struct peer *peers_find(const shared_ptr *table, uint64_t node);

/* Takes `busy` of the node's peer; NULL: there is none. Any thread. */
struct peer *peer_lock(const shared_ptr *table, uint64_t node);

/* Is it a peer, or was it once? Any thread. */
bool peers_know(const shared_ptr *table, uint64_t node);

/* Was it one of which not only others have told, and that was forgotten? Any thread. */
bool peers_met(const shared_ptr *table, uint64_t node);

/* The thread alone: enters a peer, who has the key and the number of his last word that he had before; forgets one;
 * tells the key of one that was forgotten, or NULL. 0, SOMA_ENOMEM, SOMA_EFULL. */
int peers_add(shared_ptr *table, struct peer *peer);
int peers_forget(const shared_ptr *table, const struct peer *peer);
const char *peers_key(const shared_ptr *table, uint64_t node);
void peers_free(shared_ptr *table);

/* ---- going out: under busy ---- */

/* Appends the item of a message that goes to an agent of the peer. 0, or an error and nothing was appended. The message
 * stays, but for a watch that it carries. `body` is what it carries to a handler, if anything. */
int outbound_append(struct peer *peer, soma_ref to, struct message *message, const void *body, struct message **watch);

/* The same for a plain message that is no block. */
int outbound_plain(struct peer *peer, soma_ref from, soma_ref to, const soma_type *type, const void *body);

/* The chunk for the next item; NULL when memory is out. */
struct chunk *outbound_chunk(struct outbound *out);

/* So many bytes were appended to a chunk that are owed. */
void outbound_owe(struct peer *peer, struct chunk *chunk, size_t size);

/* What nobody has needed for a while is freed. */
void outbound_tidy(struct outbound *out);

/* A chunk that was taken from the queue, and is nobody's any more. */
void chunk_free(struct chunk *chunk);

/* Says which shared bodies need not be kept any more, and gives their references. How many. */
uint32_t outbound_forget(struct peer *peer, soma_body *bodies[SHARES_MOST]);

/* A request of the peer's agent, with its handle, was passed on from here, and another agent has it. The word's number
 * is 0 if it is new, and gets the next one. From the bridge's thread. 0 or SOMA_ENOMEM. */
int outbound_moved(struct peer *peer, soma_ref asker, soma_ref to, uint64_t handle, uint64_t number);

/* A refusal, or word of a node: from the bridge's thread. */
int outbound_refuse(struct peer *peer, uint64_t index, const char *layout, size_t size);

/* The types that were offered are forgotten, and what is not in a frame yet; whoever had sent it is told elsewhere. */
void outbound_reset(struct outbound *out);

/* The type of an index that this side gave; NULL if none. */
const soma_type *outbound_type(const struct outbound *out, uint64_t index);

/* The same for one that the other side has refused: it is offered anew the next time. NULL, too, if it is not the first
 * time that it is refused. */
const soma_type *outbound_refused(struct outbound *out, uint64_t index);

/* Word of the pressure of an agent here, from the bridge's thread. 0 or SOMA_ENOMEM. */
int outbound_pressure(struct peer *peer, soma_ref agent, bool on);

/* A frame between other nodes, or NULL: there is no way. From the bridge's thread. 0 or SOMA_ENOMEM. */
int outbound_relay(struct peer *peer, uint64_t to, uint64_t from, uint64_t channel, const void *frame, size_t size);

/* Word of another node, and where it is. 0 or SOMA_ENOMEM. */
int outbound_introduce(struct peer *peer, const struct peer *other);

/* That word itself. */
struct writer;
void introduction_write(struct writer *writer, const struct peer *other);

#endif
