/*
 * The name server's agent. It has *records*, one for each name that somebody has put or keeps; *sessions*, one for each
 * client; and *keeps*, each a record that a session is to have news of. A name that changes marks its keeps; what is
 * marked is told as soon as the client has heard the news before. What all clients of one node cost together is on its
 * *account*, by which a node is held to its share.
 */
#ifndef NAMESERVICE_SERVER_H
#define NAMESERVICE_SERVER_H

#include "nameservice/index.h"
#include "nameservice/protocol.h"
#include "nameservice/refs.h"
#include <soma/monitor.h>
#include <soma/timer.h>

#define NEW_MOST 8192u    /* names that are new to a session, before it is reset */
#define SESSIONS_MOST 64u /* of one node */
#define SYNCS_MOST 4096u  /* that clients are asked for at a time */
#define SETTLE_TIMES 15u  /* so often a server settles again, at most, while clients put what they had */

/** @cond internal: to itself */
SOMA_MESSAGE(ns_even, (u64, node))
/** @endcond */

/* A name. It goes when nobody has it and nobody keeps it. */
struct record {
    struct index_node node;         /* first */
    struct index *index;            /* it is in: the names, or those that are wanted; NULL: none, for now */
    struct session *owner;          /* who has put it; NULL: nobody, and there is only the name */
    struct soma_name entry;         /* with its name, also if nobody has it */
    struct record *previous, *next; /* of the owner */
    struct keep *keeps;
    int64_t past; /* a revision of etcd: changes up to it are known, see etcd/ */
    bool away;    /* its agent is known to be gone to a follower alone: it is as if it were not there, for now */
    bool pinned;  /* it stays for now */
    bool again;   /* its owner has begun anew, and is to put it again */
};

/* A session has news of a record: because it asked to, or, if it is not `asked`, just this once, for a watch. */
struct keep {
    struct session *session;
    struct record *record;
    struct keep *record_next, **record_link; /* of the record */
    struct keep *previous, *next;            /* of the session */
    struct keep *new_next;                   /* of the session's news */
    bool asked;
    bool is_new;
};

/* A session wants news of all names with a prefix. */
struct watch {
    struct watch *next;
    uint64_t id;
    bool begins; /* nothing was told yet */
    bool ended;  /* all that there was, was told */
    char *prefix;
    char told[SOMA_NAME_MOST + 1]; /* up to this name */
};

/* A node. It is kept until none of its clients is left, and it has made up for what it has put. */
struct account {
    struct refs_node node; /* first; by the node's identity */
    uint32_t session_count, record_count, keep_count;
    uint64_t even_at; /* when it will have made up: each put moves it on by a time, so it is a rate that is bounded */
    uint64_t refused;
    bool timed; /* it is looked at again */
};

struct session {
    struct refs_node node; /* first; the client */
    struct account *account;
    soma_handle monitor;
    struct session *previous, *next;             /* all of them */
    struct session *watch_previous, *watch_next; /* those that watch */
    struct record *records;
    struct keep *keeps;
    struct keep *new_first, *new_last;
    uint32_t new_count;
    struct watch *watches;
    uint32_t watch_count;
    uint64_t change; /* the last of which it was told as somebody who keeps the record */
    bool restores;   /* it has names from before this session, and has not put them all */
    bool unheard;    /* news is on its way */
    bool reset;      /* it is to be told that */
    bool settled;    /* it was told so */
    bool doubted;    /* its node was down, or this one to it; what it has put counts until that is known */
};

struct client_start;

struct nameserver {
    soma_nameserver_options options; /* all with values */
    struct index names;              /* that somebody has */
    struct index wanted;             /* that nobody has, but that somebody keeps */
    uint64_t begun;
    struct refs clients;
    struct refs accounts;
    struct session *sessions, *watching;
    soma_ref follows;     /* the client by which it follows another server; the null ref: it does not */
    char *following;      /* where it looks for that one, with commas between; NULL: it does not */
    soma_ref teller;      /* who tells what it hears there */
    struct session first; /* then that one's, which has put all names */
    struct account first_account;
    bool alone;           /* that one is lost */
    struct refs fars;     /* nodes whose agents have names, then; see follow.c */
    uint64_t changes;     /* counts what is told */
    uint64_t refused;     /* puts that would have been too many */
    uint32_t sync_count;  /* questions to clients whether they have put all */
    uint32_t settle_left; /* how often it waits again for those that restore */
    bool settled;
};

/* ---- records, record.c ---- */

struct record *record_find(const struct nameserver *my, const char *name);

/* Finds or makes it; to be released. NULL when memory is out. */
struct record *record_get(struct nameserver *my, const char *name);

/* Frees it if it is of no use any more, and else sees to it that it is found. */
void record_release(struct nameserver *my, struct record *record);

/* It has another owner, or none (NULL, and then it has no agent, and is to be released). */
void record_own(struct nameserver *my, struct record *record, struct session *owner);

static inline bool record_is_there(const struct record *record)
{
    return record->owner && !record->away;
}

/* ---- sessions, record.c ---- */

/* May its node put a name, as far as the rate goes? Then it has. */
bool account_spend(soma_agent *self, const struct nameserver *my, struct account *account);

/* What was put by a node that is gone may be made up for by now. */
int on_even(soma_agent *self, struct nameserver *my, const struct ns_even *m);

/* The client's session, begun if need be; NULL: SOMA_ENOMEM, or too many of its node. */
struct session *session_get(soma_agent *self, struct nameserver *my, soma_ref client);

struct session *session_find(const struct nameserver *my, soma_ref client);

/* Begins anew for a client that will put again all that it has: until then, what it has put counts. */
void session_renew(struct nameserver *my, struct session *session);

/* It has put all: what it has not is gone. */
void session_restored(soma_agent *self, struct nameserver *my, struct session *session);

/* All that it has put is gone, too. */
void session_end(soma_agent *self, struct nameserver *my, struct session *session);

/* ---- news, news.c ---- */

/* The session wants news of a record. False when memory is out or it has too many. */
bool keep_ask(struct session *session, struct record *record);

void keep_forget(struct nameserver *my, struct session *session, struct record *record);

/* A record has changed: all that want to know are told. */
void record_tell(soma_agent *self, struct nameserver *my, struct record *record);

/* A session's watches and keeps are no more. */
void news_close(struct nameserver *my, struct session *session);

/* Says what is new to the session, unless it has not heard the last yet. */
void news_tell(soma_agent *self, struct nameserver *my, struct session *session);

int news_watch(struct nameserver *my, struct session *session, uint64_t id, const char *prefix);
void news_unwatch(struct nameserver *my, struct session *session, uint64_t id);

/* ---- all of it, record.c ---- */

/* Strangers must not know the seed. 0 or SOMA_ENOMEM, and then it is to be freed, too. */
int nameserver_open(struct nameserver *my, uint64_t seed);

/* With all sessions, and what they have put. */
void nameserver_free(struct nameserver *my);

/* ---- following another server, follow.c ---- */

/* What a server is spawned with. */
struct nameserver_start {
    soma_nameserver_options options;
    struct client_start *follow; /* NULL: it is nobody's follower */
};

/* A client for it; 0 or an error. Within init only. */
int follow_open(soma_agent *self, struct nameserver *my, const struct client_start *start);

/* What the client tells of the first. */
int on_first_event(soma_agent *self, struct nameserver *my, const struct soma_name_event *m);

/* Is it word of a node, or its agent, that a follower alone watches? */
bool follow_down(soma_agent *self, struct nameserver *my, const struct soma_down *m);

/* A client of that node is there. */
void follow_seen(soma_agent *self, struct nameserver *my, uint64_t node);
void follow_free(struct nameserver *my);

/* From now on it says of names that they are not there. */
void server_settle(soma_agent *self, struct nameserver *my);

extern const soma_behavior nameserver_behavior;

#endif
