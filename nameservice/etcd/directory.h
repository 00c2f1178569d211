/*
 * The agent that answers for an etcd cluster, see nameservice/etcd.h, in three parts. *Asks* are what it has asked of
 * etcd: each goes to the member that answered last, and to the next one if that fails, until one answers; after each
 * round of all members it rests, longer each time. What may be asked twice goes to the next member, too, if the first
 * has said nothing for a moment, to whatever. The *mirror* is all names as etcd has told them, in order, by one
 * watch; it is a struct nameserver, whose only session is the client's, so lists, watches and news are a name server's
 * own: this agent's behavior extends that one's. What the client puts, drops and looks up is asked of etcd first, and
 * answered when the mirror has come that far: so whatever the client hears comes in one order.
 *
 * All names that the client puts hang on one lease, which is kept alive, and ends with the agent.
 */
#ifndef NAMESERVICE_ETCD_DIRECTORY_H
#define NAMESERVICE_ETCD_DIRECTORY_H

#include "nameservice/etcd/http.h"
#include "nameservice/etcd/text.h"
#include "nameservice/server.h"
#include <soma/request.h>
#include <soma/timer.h>

#define TIME_MOST_MS 3000u /* for a member to answer; and between two attempts */
#define TIME_LEAST_MS 200u

/** @cond internal: to itself */
SOMA_MESSAGE(etcd_beat)
SOMA_MESSAGE(etcd_rested, (u64, ask)) /* its id */
SOMA_MESSAGE(etcd_behind, (u64, ask))
/** @endcond */

enum ask_kind { ASK_GRANT, ASK_KEEP, ASK_PAGE, ASK_WATCH, ASK_PUT, ASK_DROP, ASK_LOOKUP };

struct ask {
    struct ask *previous, *next;
    uint64_t id;    /* another one for each attempt; 0: it has been answered, and waits for the mirror */
    uint64_t other; /* the id of the same attempt at the next member; 0: none is under way */
    enum ask_kind kind;
    uint32_t member;       /* that was asked */
    uint32_t failures;     /* of attempts, in a row */
    bool rests;            /* for a moment: no member is of use */
    uint64_t begun;        /* when the last attempt was; or since when it waits for the mirror */
    soma_handle promise;   /* to the client; 0: none */
    struct soma_name name; /* what is put; or only the name */
    bool takeover;
    bool absent;      /* etcd has no such name */
    int64_t revision; /* of a put or drop: since when the key must have been as it is */
    int64_t until;    /* the revision that the mirror must have reached; not for drops */
    int64_t answered; /* the revision at which etcd has answered */
    int64_t before;   /* that of the mirror when it was asked */
    uint64_t home;    /* of a lookup: the node of which the bridge is being told */
};

/* What etcd has told: some changes, or a page of a list. */
struct batch {
    struct batch *next;
    struct etcd_kv *kvs;
    uint32_t count;
    int64_t snapshot;    /* of a page: the revision that is listed; else 0 */
    bool first;          /* of the pages */
    int64_t revision;    /* that the mirror has reached with it; 0: there is more of it */
    uint32_t introduced; /* the bridge was told of the nodes of so many */
};

struct directory {
    struct nameserver names; /* first */
    struct session cluster;  /* has what others have put; no list has it */
    struct account others;   /* for that one */
    soma_system *system;     /* this and the next are for the other thread, too */
    soma_ref self;
    soma_bridge *bridge;
    struct etcd_address address;
    uint32_t lease_s;
    soma_ref client;
    const char *own_addresses[ETCD_ADDRESSES_MOST]; /* where this node listens */
    uint32_t own_address_count;
    struct refs refused; /* nodes that the bridge does not call: that was said */
    /* ---- asks ---- */
    struct http *http;
    struct ask *asks;
    uint64_t ids;      /* that were given to attempts */
    uint32_t member;   /* to be asked next */
    uint32_t failures; /* members in a row that did not answer */
    uint64_t heard_at; /* when one has answered last */
    bool busy;         /* one was, and that was told */
    uint32_t time_ms;  /* for a member to answer when the lease is to be kept: so that others can be asked in time */
    /* ---- the lease ---- */
    soma_handle hello; /* the client's, to be answered; 0: it was */
    int64_t lease;     /* 0: none yet */
    uint64_t ttl;      /* nanoseconds */
    uint64_t alive;    /* when etcd was last asked to keep it, and did */
    bool keeping;      /* it is being asked to */
    bool lost;         /* it is the end */
    /* ---- the mirror ---- */
    struct batch *first, *last;     /* to be worked in */
    bool introducing;               /* the bridge is being told of a node of the first */
    struct ask *watch;              /* NULL: a list is being read */
    char *from;                     /* where its next page begins; NULL: at the first name */
    int64_t snapshot;               /* the revision that is listed; 0: not known yet */
    uint32_t page_most;             /* names in a page: fewer after one that was too much */
    bool keys_only;                 /* the next one is a value that is too long, and so is no entry */
    int64_t heard;                  /* up to this revision changes have come */
    int64_t reached;                /* and were worked in */
    int64_t seen;                   /* of the last change that was worked in */
    char swept[SOMA_NAME_MOST + 1]; /* up to here the list and the mirror are the same */
};

/* ---- ask.c ---- */

/* NULL when memory is out. It is to be sent by ask_send(). */
struct ask *ask_new(struct directory *my, enum ask_kind kind, const char *name);

/* 0 or SOMA_ENOMEM. */
int ask_send(soma_agent *self, struct directory *my, struct ask *ask);

/* Its member has not answered, or made no sense: others are tried. `busy`: that one is still of use. 0, or the agent
 * must end. */
int ask_failed(soma_agent *self, struct directory *my, struct ask *ask, bool busy);

void ask_free(struct directory *my, struct ask *ask);

/* The attempt of a number; NULL: it does not count any more. */
struct ask *ask_find(const struct directory *my, uint64_t id);

/* Is the client waiting for an answer to that? */
bool ask_is_open(const struct directory *my, enum ask_kind kind, const char *name);

/* A member has answered. */
void ask_answered(soma_agent *self, struct directory *my);

/* Of two members that were asked the same, the one of that attempt has; or it has failed, and the other is waited for:
 * true. 0, or the agent must end. */
int ask_won(soma_agent *self, struct directory *my, struct ask *ask, uint64_t id);
bool ask_half_failed(struct ask *ask, uint64_t id);

int on_etcd_rested(soma_agent *self, struct directory *my, const struct etcd_rested *m);
int on_etcd_behind(soma_agent *self, struct directory *my, const struct etcd_behind *m);

/* ---- mirror.c ---- */

/* Reads all names, and then watches. 0 or SOMA_ENOMEM. */
int mirror_list(soma_agent *self, struct directory *my);

/* The page was too much, or came too late. `big`: its size is known to be why. */
void mirror_page_failed(struct directory *my, bool big);

/* The watch is over, as what it had to tell can't be told any more. 0 or SOMA_ENOMEM. */
int mirror_again(soma_agent *self, struct directory *my, const char *why);

/* A page has come, or a line of the watch. 0, SOMA_EFORMAT, or the agent must end. */
int mirror_page(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer);
int mirror_line(soma_agent *self, struct directory *my, const json_t *line);

void mirror_free(struct directory *my);

/* ---- directory.c ---- */

#define NAMES_REMOVED "its names were removed"

/* Nobody may rely on what this agent says any more: it ends. */
void directory_lose(soma_agent *self, struct directory *my, const char *why);

/* Refs to agents of nodes that this one has never heard of, or has given up, would lead nowhere: the bridge is told of
 * the node that has put an entry. True: its answer comes; else nothing has to be waited for. */
bool home_introduce(soma_agent *self, const struct directory *my, const struct etcd_entry *entry,
                    const soma_then *then);

/* It has not taken it. */
void home_refused(soma_agent *self, struct directory *my, uint64_t home, const char *name, int error);

/* ---- answer.c ---- */

/* To be posted for each result of a request. */
int answer_take(soma_agent *self, void *state, void *result);

/* Answers those whom the mirror lets. */
void asks_settle(soma_agent *self, struct directory *my);

static inline struct session *client_session(const struct directory *my)
{
    return session_find(&my->names, my->client);
}

#endif
