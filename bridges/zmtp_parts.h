/*
 * What the files of the wire over ZMTP share: zmtp_wire.c is what the bridge calls, zmtp_in.c reads, zmtp_out.c sends,
 * zmtp_door.c is where others come in. All of it is for who has the turn, see keeper.h.
 */
#ifndef BRIDGES_ZMTP_PARTS_H
#define BRIDGES_ZMTP_PARTS_H

#include "bridges/block.h"
#include "bridges/keeper.h"
#include "bridges/lookup.h"
#include "bridges/zmtp.h"
#include "bridges/zmtp_wire.h"
#include <netinet/in.h>

#define READ_ROOM ((size_t)256 * 1024) /* that are read at a time */
#define DOORS_MOST 64u
#define READ_LAST 64 /* times that one which has failed is read, or closed */
#define STREAM_BUCKETS 256u

/* What the post tells of: POST_NOTHING, doors from 1 on, that a host was looked up, and streams by their number. */
#define KEY_SOUGHT (DOORS_MOST + 1)

enum stream_state {
    STREAM_SEEKS,    /* its host's name is looked up */
    STREAM_CONNECTS, /* who was called has not answered */
    STREAM_GREETS,   /* the other side's greeting is to come, */
    STREAM_MEETS,    /* and its READY */
    STREAM_OPEN,     /* frames come */
    STREAM_LEAVES,   /* the bridge has hung up: what was said last leaves, and nothing is heard any more */
    STREAM_RESTS     /* the other side, which had made it, has ended it: of that the bridge is to hear once it sends */
};

/* Bytes that the kernel has not taken yet. */
struct unsent {
    struct unsent *next;
    unsigned char head[ZMTP_HEAD_MOST];
    size_t head_size;
    const char *body;
    size_t size;
    struct frame_block *block; /* that holds the body; NULL: it is allocated */
    size_t sent;               /* of both */
};

/* A connection. */
struct stream {
    struct stream *next;      /* of all, in the order in which they came */
    struct stream *beside;    /* in the bucket */
    struct stream *next_look; /* that is to be looked at */
    uint64_t id;
    int socket; /* -1: none yet */
    enum stream_state state;
    bool called;         /* the other side has made it */
    bool said;           /* and has said who it is */
    bool greeted;        /* this side's greeting has left, to the end */
    bool looked;         /* it is among those to look at */
    bool ended;          /* nothing comes any more, behind what is there */
    bool failed;         /* nor can anything be sent */
    bool full;           /* the kernel takes no more for now */
    bool gone;           /* closed by the next sweep */
    bool unknown;        /* its host was looked up, and is none */
    uint64_t until;      /* when this side ends it, if nothing happens; UINT64_MAX: never */
    size_t unsaid;       /* bytes that came before it had said who it is */
    unsigned char *kept; /* the begin of a frame whose rest is to come */
    size_t kept_size;
    size_t kept_room;
    size_t kept_whole; /* bytes of all of the frame; 0: not known yet */
    size_t kept_at;    /* where what is whole begins, if `more` */
    bool more;         /* something of what is kept may be whole */
    bool answered;     /* a ping, of those that were read at once */
    struct unsent *first;
    struct unsent *last;
    struct lookup *lookup;       /* of its host; NULL: it is over, or there was none */
    in_port_t port;              /* for when that is over */
    char from[INET6_ADDRSTRLEN]; /* of one that was called */
};

/* Where others come in. */
struct doorway {
    int socket;
    bool look;
    char *path; /* to be removed; NULL: none */
};

struct zmtp_wire {
    struct keeper keeper; /* first, as whoever has that has this */
    struct doorway doors[DOORS_MOST];
    uint32_t door_count;
    struct stream *streams;
    struct stream **streams_end;
    struct stream *buckets[STREAM_BUCKETS];
    struct stream *look_first;
    struct stream **look_end;
    uint32_t look_count;
    uint64_t next_id;
    uint32_t waiting;    /* who have come, and not said who they are */
    uint64_t opens;      /* when doors are looked at again that nobody could be let in by; UINT64_MAX: there are none */
    bool any_gone;       /* some stream is to be swept */
    bool any_failed;     /* the bridge is to be told of some */
    uint64_t due;        /* when the time of some stream is over, at the earliest */
    unsigned char *room; /* READ_ROOM */
    size_t read;         /* bytes that were read since the bridge had its turn */
    struct lookup *lookups;
    bool sought; /* one of them may be over */
};

/* ---- zmtp_wire.c ---- */

/* A stream in a state, whose socket is given. NULL when memory is out: then that is still the caller's. */
struct stream *stream_new(struct zmtp_wire *wire, int socket, enum stream_state state);
struct stream *stream_find(const struct zmtp_wire *wire, uint64_t id);

/* It is to be looked at. */
void stream_look(struct zmtp_wire *wire, struct stream *stream);

/* It ends at the next sweep: nobody hears of it any more. */
void stream_end(struct zmtp_wire *wire, struct stream *stream);

/* This side ends it at that time, unless it is set anew. */
void stream_until(struct zmtp_wire *wire, struct stream *stream, uint64_t until);

/* Nothing can be sent by it: the bridge is told, once it has returned. */
void stream_fail(struct zmtp_wire *wire, struct stream *stream);

/* ---- zmtp_out.c ---- */

/* Sends a frame, now or as soon as the kernel takes it; false: that can't be. */
bool stream_send(struct zmtp_wire *wire, struct stream *stream, const struct pieces *frame);

/* The same for few bytes as they are. */
bool stream_say(struct zmtp_wire *wire, struct stream *stream, const unsigned char *bytes, size_t size);

/* What the kernel did not take, as far as it does now. False: it never will. */
bool stream_flush(struct zmtp_wire *wire, struct stream *stream);
void unsent_free(struct stream *stream);

/* ---- zmtp_in.c ---- */

/* Sees to whatever has happened to it. */
void stream_attend(struct zmtp_wire *wire, struct stream *stream);

/* Begins to connect. False: it comes to nothing. */
bool stream_dial(struct zmtp_wire *wire, struct stream *stream, const struct sockaddr *there, socklen_t size);

/* It is connected: both sides greet. */
void stream_greet(struct zmtp_wire *wire, struct stream *stream);

/* Reads all that has come by one that has failed, up to a bound. */
void stream_finish(struct zmtp_wire *wire, struct stream *stream);

/* ---- zmtp_seek.c ---- */

/* Looks a host up, then connects to it, at a port. False: it comes to nothing. */
bool stream_seek(struct zmtp_wire *wire, struct stream *stream, const char *host, in_port_t port);

/* All whose host has been found, or is none, go on. */
void seekers_attend(struct zmtp_wire *wire);
void lookups_drop(struct zmtp_wire *wire);

/* ---- zmtp_door.c ---- */

/* Listens at an address of the options, and tells the bridge. 0; SOMA_EINVAL, SOMA_EEXIST or SOMA_ETOOBIG, and the log
 * says why; SOMA_ENOMEM. */
int door_bind(struct keeper *keeper, const char *address);

/* Lets in who has come. True if there may be more. */
bool door_accept(struct zmtp_wire *wire, struct doorway *door);

/* One that has come has said who it is: its time is not bounded any more. */
void guest_said(struct zmtp_wire *wire, struct stream *stream);

/* One that has come ends: if it has not said who it is, that is counted, and logged with what it has done (NULL: it is
 * not logged). Nothing is done for others. */
void guest_gone(struct zmtp_wire *wire, struct stream *stream, const char *what);

/* This side ends one that has come. */
void guest_cut(struct zmtp_wire *wire, struct stream *stream, const char *what);

void doors_close(struct zmtp_wire *wire);

#endif
