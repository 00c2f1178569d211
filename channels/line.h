/*
 * A line: the ZeroMQ socket of a channel over ipc or tcp. The agent makes it, binds or connects it, so that it knows at
 * once what came of that, and gives it to the porter (porter.h), which reads it from then on. Who sends does so at once
 * if it can (depart.c); else in between lies a queue of what is to be sent, which any thread may add to. What comes
 * goes into the mailbox of who reads it.
 *
 * Who has sent what must wait is held up at a *dam*: an agent without mail that is overloaded in the line's
 * place, so that runtime/pressure.h does the rest. It is never muted itself, and opens once all has left, nobody is
 * connected any more, or the line is closed, whatever agents do: so no cycle of those who wait goes through it.
 *
 * What comes is bounded, too: while over LINE_WINDOW bytes wait for who reads it, the socket is not read, which the
 * other side feels.
 */
#ifndef CHANNELS_LINE_H
#define CHANNELS_LINE_H

#include "channels/channel.h"
#include "runtime/concurrent.h"
#include <pthread.h>
#include <zmq.h>

#define LINE_PARTS 8u                        /* frames of a message, at most */
#define LINE_HEAD_MOST 1024u                 /* bytes of a message's frames before the last, at most */
#define LINE_WINDOW (UINT64_C(1) << 20)      /* bytes that may wait for their reader */
#define LINE_PART_COST 256u                  /* bytes that a message counts for beside its own */
#define LINE_QUEUE_MOST (UINT64_C(64) << 20) /* bytes that may wait to be sent: one handler can't send more */
#define LINE_HIGH_WATER 1000u                /* messages that ZeroMQ keeps, if the options don't say */
#define LINE_HANDSHAKE 10000u                /* ms for a connection to speak ZeroMQ */
#define LINE_RETRY 500u                      /* ms until it connects again if ZeroMQ doesn't */
#define LINE_LINGER 1000u                    /* ms for what was sent to leave after the end, if the options don't say */
#define LINE_MESSAGE_MOST (16 << 20)         /* bytes of a message that comes, if the options don't say */

struct porter;
struct asker;
struct clerk;

/* A frame on its way out. */
struct parcel {
    zmq_msg_t part;
    bool more; /* of its message follow */
};

#define CRATE_PARCELS 28u

struct crate {
    struct crate *next;
    uint32_t count;
    struct parcel parcels[CRATE_PARCELS];
};

/* A connection. */
struct guest {
    int socket;
    uint32_t topics;  /* that it wants of a publisher */
    uint32_t settled; /* the line's, when it came */
    uint64_t since;
    uint64_t identity; /* a hash of what it asks under; 0: it has not, or another one has that now */
    uint64_t cookie;   /* see bridges/zmq_cut.h */
    bool cut;          /* and does not count any more */
};

/* What an agent sees of a line; the porter adds. */
struct line_counts {
    shared_u64 connected; /* connections so far */
    shared_u64 malformed; /* messages that came and made no sense */
    shared_u64 missed;    /* that somebody did not get because it could not keep up, or was gone */
    shared_u64 refused;   /* connections that came to nothing */
};

/* Why one did. */
enum refusal {
    REFUSED_PATTERN,
    REFUSED_SECURITY, /* one side has keys */
    REFUSED_SERVER,   /* another key than it is taken for */
    REFUSED_ALLOWED,  /* a key that may not enter */
    REFUSED_PROTOCOL,
    REFUSED_IDENTITY, /* that of another one who is connected */
    REFUSED_CLOSED
};

struct line {
    struct porter *porter;
    uint32_t number;       /* which no other one of the porter's has */
    shared_u32 references; /* the channel's, the porter's, and one for each message on its way to its reader */
    soma_pattern pattern;
    bool bound;
    bool conflates;          /* only the newest of what comes is kept for who reads it */
    struct port_place owner; /* the channel, */
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1];
    struct clerk *clerk; /* who asks in the name of those beyond, of one that answers; else NULL */
    void *socket;
    void *monitor;
    char *allowed; /* keys, of one that is bound with some; else NULL */
    struct line *next_served;
    char *file;     /* of an ipc socket that is bound; NULL for none */
    char *endpoint; /* that it connects to; NULL: it is bound */
    uint32_t high_water;
    uint64_t message_most;
    shared_u32 linger; /* ms after the channel has ended, which is told by `busy`: any order will do */
    soma_agent *dam;   /* NULL: nobody is held up */
    soma_ref dam_ref;
    struct line_counts counts;

    shared_u32 busy; /* guards what follows */
    struct crate *first;
    struct crate *last;
    uint32_t waiting;       /* messages that are to be sent, also those that the porter has taken */
    uint64_t waiting_bytes; /* of them */
    uint32_t connections;   /* that speak ZeroMQ; the porter writes */
    struct arrival *newest; /* of one that conflates: what its reader has not taken yet */
    bool listed;            /* the porter is to look at it */
    bool closing;           /* the channel has ended */
    struct line *listed_next;

    pthread_mutex_t use; /* whoever uses the socket has it, the monitor apart; it guards what follows */
    bool skips;          /* the rest of a message that can't be sent */
    bool alone;          /* there was no more than one message when it was read last */

    shared_u64 handled; /* bytes that the reader is done with */
    shared_u32 stalled; /* the socket is not read: who makes room tells the porter */

    /* Of who has the porter's turn. */
    struct line *next;
    bool known;
    bool watched;  /* it is told of what happens at the sockets */
    bool stirred;  /* something has, or may have; */
    bool changed;  /* it may be at the monitor, too */
    bool blocked;  /* the socket takes no more for now */
    bool failing;  /* the connection whose end is told next has not spoken ZeroMQ */
    bool left;     /* the last connection of one that asks has ended, but what it had sent has not been read */
    uint64_t lost; /* when the connection of one that connects has ended, until ZeroMQ tries again; else 0 */
    struct crate *sending;
    uint32_t sent;        /* of its first crate's parcels */
    struct asker *askers; /* whom answers wait for: see hold.c */
    uint32_t asker_count;
    uint64_t held;     /* bytes of these answers */
    uint64_t retry;    /* when these are tried again */
    uint64_t pause;    /* before that */
    uint64_t taken;    /* bytes given to the reader */
    uint64_t deadline; /* of a closing one */
    struct guest *guests;
    uint32_t guest_count;
    uint32_t settled;     /* connections that have come to speak ZeroMQ, or are said to have failed to */
    uint32_t taken_since; /* of a PAIR: how many had when the last one came as far that it talks with */
    uint32_t cut_count;   /* of the guests */
    uint32_t unlisted;    /* connections that there was no memory for */
    uint32_t told;        /* the peers that its agent was told of */
};

/* A message on its way to its reader; or, without parts, word to the channel of how many peers it has now, or of an
 * enum refusal. */
struct arrival {
    struct line *line;
    uint64_t weight;
    uint32_t peers;
    soma_handle question; /* that it brings; else 0 */
    bool came;            /* from the socket: if nobody handles it, it is a dead letter */
    uint32_t count;       /* of parts */
    zmq_msg_t parts[];
};

/* ---- line.c ---- */

struct line *line_new(struct porter *porter, soma_pattern pattern, const struct port_place *owner);
void line_unref(struct line *line);

/* Any thread; `worker` as in send.h, of an agent that is to be held up if there is too much. Takes the parts, whatever
 * it returns: 0, SOMA_EAGAIN (too much waits), SOMA_ENOMEM. */
int line_put(struct line *line, struct worker *worker, zmq_msg_t *parts, uint32_t count);

/* The porter is to look whether something has happened at its socket. */
void line_stir(struct line *line);

/* Its socket is ready: the porter's from now on. */
void line_begin(struct line *line);

/* The channel has ended: what was put still leaves, and then the socket is closed. Takes the reference. */
void line_close(struct line *line);

/* How long what was sent may take to leave after the channel has ended. */
void line_linger(struct line *line, uint32_t linger);

void line_count(struct line *line, soma_channel_counts *counts);

/* Whoever reads takes a message: no newer one comes into its place. */
void arrival_take(const struct arrival *arrival);

/* He is done with it. */
void arrival_end(struct arrival *arrival);

/* For the porter: takes what was put, and learns whether the line is closing. */
bool line_take(struct line *line);

/* So much has left, or the number of connections has changed. */
void line_relieve(struct line *line, uint32_t messages, uint64_t bytes);

/* ---- refusal.c ---- */

/* For the porter: a connection came to nothing. It is counted, and now and then the log and the channel hear why. */
void line_refuse(struct line *line, enum refusal why);

/* ---- part.c ---- */

/* A part for a line with room for so many bytes; `worker` may be NULL, as in send.h. False when memory is out. */
bool part_room(zmq_msg_t *part, const struct line *line, struct worker *worker, size_t size);

/* A small part with these bytes. False when memory is out; then it is empty. */
bool part_make(zmq_msg_t *part, const void *data, size_t size);

/* Into parts that are not made yet; what is left is empty. */
void parts_move(zmq_msg_t *to, zmq_msg_t *from, uint32_t count);
void parts_close(zmq_msg_t *parts, uint32_t count);

/* ---- socket.c ---- */

/* Why there is no socket, by errno: SOMA_EFULL, which is logged, or SOMA_ENOMEM. */
int socket_error(soma_agent *self, int error);

/* Makes the line's socket, and binds or connects it; `address` becomes what others reach it by. 0, SOMA_EINVAL,
 * SOMA_EEXIST, SOMA_ENOMEM, and what is wrong is in the log. */
int socket_open(soma_agent *self, struct line *line, const soma_channel_options *options, soma_address *address);
void socket_close(struct line *line, uint32_t linger);

/* ZeroMQ connects by itself whatever happens, but not again to who has broken its protocol, has sent too much, or has
 * refused a key. */
void socket_retry(const struct line *line);

/* ---- curve.c ---- */

/* Why the keys are not for the line, or none; NULL if they are. */
const char *keys_wrong(const struct line *line, const soma_channel_keys *keys);

/* Gives the line's socket keys that are, before it is bound or connected. 0, SOMA_ESTATE, SOMA_ENOMEM. */
int keys_set(struct line *line, const soma_channel_keys *keys);

/* Nobody can come in any more. */
void keys_forget(struct line *line);

/* ---- socket.c, too ---- */

/* The place that options name, where an interface's name may stand for its address. As soma_address_parse(). */
int place_parse(const char *text, soma_address *address);

/* More of why that is none, to be put behind; "" if there is nothing to say. */
const char *place_wrong(const char *text);

/* Is it the name of a transport alone? */
bool place_is_transport(const char *place);

#endif
