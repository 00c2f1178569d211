/*
 * A node's client of a name service: one agent, in four parts. The *link* finds a name server and holds a session with
 * it. *Holdings* are what this node has registered: they are put again at each new session. What is *known* of names
 * answers lookups. *Watchings* tell agents of this node of changes, and see to it that a new session shows them nothing
 * but what has really changed.
 *
 * What asks something of the server is a *task* in one of two queues, for what is put and for what is asked, which take
 * turns; a bounded number is under way. So a hundred thousand names that come back after a restart are put bit by bit,
 * and lookups go on between. Who waits for an answer is an *op*, with a time by which it gets one, whatever happens.
 *
 * The client is never muted, as it serves all its node. What it has to tell watchers, who may take no mail, a *teller*
 * for each takes from it bit by bit.
 */
#ifndef NAMESERVICE_CLIENT_H
#define NAMESERVICE_CLIENT_H

#include "nameservice/index.h"
#include "nameservice/protocol.h"
#include "nameservice/refs.h"
#include <soma/channel.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/timer.h>

#define UNDER_WAY_MOST 256u /* requests to the server */

/** @cond internal */
/* -> names_found_server, soma_name_done; from soma_names_server() and its like, and soma_names_close(). */
SOMA_MESSAGE(names_find_server, (u64, timeout))
SOMA_MESSAGE(names_found_server, (ref, server), (string, address))
SOMA_MESSAGE(names_close)
/* -> soma_channel_found; from names_address(). */
SOMA_MESSAGE(names_alias_find, (string, name), (string, alias), (bool, fresh), (u64, timeout))
/* As soma_name_watch, of an agent that calls a function of the user's: it ends before the client does. */
SOMA_MESSAGE(names_watch_call, (string, prefix))
/* To itself. */
SOMA_MESSAGE(names_retry, (u64, session))
SOMA_MESSAGE(names_behind, (u64, look))
SOMA_MESSAGE(names_deadline, (u64, op))
SOMA_MESSAGE(names_go_on)
/* Of its tellers: a names_tell may come, as soon as there is something; so many of the last were told. */
SOMA_MESSAGE(names_more, (u64, watch), (u32, heard))
SOMA_MESSAGE(names_tell, (messages, soma_name_event, events))
/** @endcond */

/* What a user has. */
struct soma_names {
    soma_system *system;
    soma_ref agent;   /* the client agent */
    char addresses[]; /* that it looks at, with commas between */
};

struct client;

enum task_kind { TASK_PUT, TASK_LOOKUP, TASK_LIST };

/* First in what asks the server for something. While its request is under way it must stay. */
struct task {
    struct task *next; /* in the queue */
    uint64_t session;  /* in which its request was sent */
    enum task_kind kind;
    bool queued;
    bool under_way;
};

struct tasks {
    struct task *first, *last;
};

/* Somebody waits for an answer. */
struct op {
    struct refs_node node; /* first; by its number, as a ref's node */
    struct op **link;      /* to it, in the list of whom it waits for */
    struct op *next;
    void *of; /* whom it waits for */
    soma_handle promise;
    soma_handle timer;
    void (*late)(soma_agent *self, struct client *my, struct op *op); /* its time is over; it must end */
    /* for a holding */
    uint64_t revision; /* that it waits for */
    bool registers;    /* it wants a soma_name_registered */
    /* for a name */
    bool waits, runs, fresh; /* as in soma_name_lookup */
    bool asked;              /* the server was, since it came */
    bool synced;             /* so was who has put the name whether that is all */
    soma_handle knock;       /* the request for that, or to the agent that is to run; 0: there is none */
    soma_ref agent;          /* that one; or, if it is not asked, one that turned out to be gone */
    soma_ref unless;         /* as in soma_name_lookup */
    char *alias;             /* whose address it wants, and another than this one; as in soma_channel_find */
    char *besides;
};

/* A name that was registered here, or is being unregistered. */
struct holding {
    struct task task;       /* first */
    struct index_node node; /* by name */
    struct soma_name entry;
    soma_ref registrant; /* is told if the name is lost */
    struct holder *holder;
    struct holding *previous, *next; /* of the holder */
    struct op *ops;
    uint64_t revision, put; /* how often it has changed; which of those was put */
    bool confirmed;         /* the server had it, in this session or an earlier one */
    uint64_t takeover;      /* the revision that may take the name over; 0: none */
    bool restores;          /* it is of an earlier session, and was not put in this one yet */
    bool ends;              /* it is to be dropped */
};

/* An agent that has names of this client's, or had; until it ends: not to watch it any more would have to be said to
 * it. */
struct holder {
    struct refs_node node; /* first */
    soma_handle monitor;
    struct holding *holdings;
    struct soma_name *bound; /* whose aliases it has bound; NULL: none yet */
    struct op *ops;          /* they wait until all that it has is put */
};

/* What is known of a name. */
struct known {
    struct task task;            /* first */
    struct index_node node;      /* by name */
    struct soma_name entry;      /* with its name, also if it is not there */
    struct known *newer, *older; /* by their last use */
    struct op *ops;
    uint64_t asked_at;
    bool kept; /* the server sends news of it; else nothing is known */
    bool there;
};

/* A request for a page. */
struct listing {
    struct task task; /* first */
    struct listing *previous, *next;
    struct soma_name_list query;
    struct op *ops; /* one, or none any more */
};

/* What a watcher is to be told. A name that is there stands among it once, as it is now. */
struct telling {
    struct telling *previous, *next;
    struct seen *seen; /* the name, which may yet change or go before that was told; NULL: it is as it stands here */
    enum soma_name_event_kind event;
    bool leaves; /* the teller has it, and may ask for it again */
    struct soma_name name;
};

/* A name that a watcher was told of, or is to be. */
struct seen {
    struct index_node node; /* first */
    soma_ref agent;
    uint64_t digest;         /* of all that it was told */
    uint64_t round;          /* in which the server told it last */
    struct telling *telling; /* that it is there, and how; NULL: that was told */
    char name[];
};

struct watching {
    struct watching *next;
    uint64_t id;
    soma_ref watcher, teller;
    soma_handle monitor;          /* of the teller, which ends with the watcher; as the client closes, of that */
    bool calls;                   /* the watcher calls a function of the user's */
    bool asks;                    /* the teller takes more */
    struct telling *first, *last; /* at most three for each name that was told or is there, and as many marks */
    char *prefix;
    struct index seen;
    uint64_t round; /* goes up when the server tells all again */
    bool current;   /* the watcher was told that it has seen all */
};

struct client {
    soma_bridge *bridge;
    soma_names_options options; /* all with values, but the addresses */
    char *addresses;            /* each ends with a NUL, all with an empty one */
    uint64_t numbers;           /* that were given to ops and watchings */
    soma_handle elder;          /* the monitor of the client that channels use; 0: that is this one, or it is none */
    soma_handle closing;        /* the promise to whoever closes it; 0: nobody */
    struct refs ops;
    /* ---- link ---- */
    const char *address; /* being greeted, or used */
    const char *behind;  /* to be tried next */
    uint64_t round;      /* counts searches for a server; no look of an earlier one counts */
    uint32_t looks;      /* that are under way in it */
    bool patient;        /* it has just lost one */
    uint32_t vain;       /* attempts since then that should be fewer */
    soma_ref server;     /* the null ref: none was found */
    soma_ref probe;      /* of an etcd that was lost: is it back? The null ref: none */
    soma_handle monitor;
    uint64_t session; /* counts attempts; nothing of an earlier one counts */
    bool own;         /* the server is this client's, see etcd.h */
    bool up;          /* the server has said welcome */
    bool follows;     /* it follows another one: nothing is put there */
    bool settled;
    struct tasks puts, asks;
    bool asks_turn;
    bool puts_rest; /* the server has had enough of them for now */
    uint32_t under_way;
    struct op *server_ops; /* they wait for it to be up */
    /* ---- the other parts ---- */
    struct index holdings;
    uint32_t restores; /* how many of them do */
    struct refs holders;
    struct index knowns;
    struct known *newest, *oldest;
    uint64_t fresh_until; /* what is kept counts up to then */
    struct listing *listings;
    struct watching *watchings;
};

#define CONTAINER(pointer, T, member) ((struct T *)(void *)((char *)(pointer)-offsetof(struct T, member)))

/* ---- ops and tasks, client.c ---- */

/*
 * The request that is being handled is answered later, by who ends the op. NULL if it can't be, or comes from another
 * node; it has failed then. `late` is called when the time is over.
 */
struct op *op_new(soma_agent *self, struct client *my, struct op **list, void *of, uint64_t timeout,
                  void (*late)(soma_agent *self, struct client *my, struct op *op));

/* Answers, unless `type` is NULL, or fails, with an error; and frees it. */
void op_answer(soma_agent *self, struct client *my, struct op *op, const soma_type *type, const void *body);
void op_fail(soma_agent *self, struct client *my, struct op *op, int error);

/* Frees its memory, no more. */
void op_release(struct op *op);

/* The op of that number; NULL if it has ended. */
struct op *op_find(const struct client *my, uint64_t number);

/* Refuses a request of another node's: true, and it has failed. */
bool is_stranger(soma_agent *self);

/* It asks when its turn comes. Nothing if it waits already. */
void task_queue(struct client *my, struct task *task);
void tasks_pump(soma_agent *self, struct client *my);
void tasks_drop(struct client *my);

/* Nothing is put for a while. */
void tasks_rest(soma_agent *self, struct client *my);

/* Its request has been sent, or has ended. False: it was one of an earlier session, and says nothing of this one. */
void task_sent(struct client *my, struct task *task);
bool task_ended(struct client *my, struct task *task);

/* ---- link.c ---- */

/* Looks for a server, from the first address on. */
void link_open(soma_agent *self, struct client *my);

/* The session is over: it looks for another. */
void link_lost(soma_agent *self, struct client *my);

/* What is put has no way to a server that takes it: the one that is used follows another, which this client knows
 * nothing of. From one that stands behind another address it goes back to that, so what is put waits. */
bool link_refuses(const struct client *my);

/* A request has ended by an error. True if it is of this session, which goes on; if the server is gone, it is lost. */
bool task_failed(soma_agent *self, struct client *my, struct task *task, int error);

int on_names_retry(soma_agent *self, struct client *my, const struct names_retry *m);
int on_names_behind(soma_agent *self, struct client *my, const struct names_behind *m);
int on_find_server(soma_agent *self, struct client *my, const struct names_find_server *m);

/* ---- holding.c ---- */

int on_register(soma_agent *self, struct client *my, const struct soma_name_register *m);
int on_unregister(soma_agent *self, struct client *my, const struct soma_name_unregister *m);
int on_lost(soma_agent *self, struct client *my, const struct ns_lost *m);
void holding_ask(soma_agent *self, struct client *my, struct holding *holding);
void holdings_up(soma_agent *self, struct client *my);
void holdings_lost(soma_agent *self, struct client *my);
/* See link_refuses(). */
void holdings_refused(soma_agent *self, struct client *my);
struct holding *holding_find(const struct client *my, const char *name);
/* It is to be put as it is now. */
void holding_changed(soma_agent *self, struct client *my, struct holding *holding);
bool holder_down(soma_agent *self, struct client *my, const struct soma_down *m);
void holdings_free(struct client *my);

/* ---- aliases.c ---- */

int on_alias(soma_agent *self, struct client *my, const struct soma_name_alias *m);
int on_channel_bound(soma_agent *self, struct client *my, const struct soma_channel_bound *m);
int on_channel_settle(soma_agent *self, struct client *my, const struct soma_channel_settle *m);
int on_sync(soma_agent *self, struct client *my, const struct ns_sync *m);

/* A new one: its agent is asked, this once, to tell what it binds. Without memory for that it tells nothing. */
void holder_ask(soma_agent *self, struct holder *holder);

/* Something was put, or can't be: is that all? Then who waits for that is answered. */
void holder_look(soma_agent *self, struct client *my, struct holder *holder);

/* `self` NULL: the client is no more. */
void holder_free(soma_agent *self, struct client *my, struct holder *holder);

/* ---- known.c, and listing ---- */

int on_alias_find(soma_agent *self, struct client *my, const struct names_alias_find *m);

int on_name_lookup(soma_agent *self, struct client *my, const struct soma_name_lookup *m);
int on_channel_find(soma_agent *self, struct client *my, const struct soma_channel_find *m);
void known_ask(soma_agent *self, struct client *my, struct known *known);
void known_news(soma_agent *self, struct client *my, const struct ns_item *item);
/* The server has forgotten what this client keeps. */
void knowns_forgotten(soma_agent *self, struct client *my);
void knowns_settled(soma_agent *self, struct client *my);
void knowns_up(struct client *my);
void knowns_free(struct client *my);

int on_name_list(soma_agent *self, struct client *my, const struct soma_name_list *m);
void listing_ask(soma_agent *self, struct client *my, struct listing *listing);
void listings_up(struct client *my);
void listings_free(struct client *my);

/* ---- watching.c ---- */

int on_name_watch(soma_agent *self, struct client *my, const struct soma_name_watch *m);
int on_watch_call(soma_agent *self, struct client *my, const struct names_watch_call *m);
int on_name_unwatch(soma_agent *self, struct client *my, const struct soma_name_unwatch *m);
int on_more(soma_agent *self, struct client *my, const struct names_more *m);
void watchings_up(soma_agent *self, struct client *my);
void watchings_lost(soma_agent *self, struct client *my);
/* False when memory is out: the watchers have missed something. */
bool watchings_news(soma_agent *self, struct client *my, const struct ns_news *news);
bool teller_down(soma_agent *self, struct client *my, const struct soma_down *m);
/* Ends those that call functions of the user's; are there any? */
void watchings_close(soma_agent *self, const struct client *my);
bool watchings_call(const struct client *my);
void watchings_free(soma_agent *self, struct client *my);

/* ---- tellings.c: all for one watcher ---- */

/* False when memory is out, and then nothing has changed. */
bool telling_see(struct watching *watching, struct seen *seen, bool is_new, const struct soma_name *entry);
bool telling_remove(struct watching *watching, struct seen *seen);
bool telling_mark(struct watching *watching, enum soma_name_event_kind event);

/* So many of those that leave were told; the others are to leave again. */
void tellings_heard(struct watching *watching, uint32_t count);

/* What is to be told leaves, if it was asked for. */
void tellings_leave(soma_agent *self, struct watching *watching);
void tellings_free(struct watching *watching);

/* ---- teller.c ---- */

/* The request for a watch that is being handled is to be passed on to it. Its monitor, or an error. */
soma_handle teller_spawn(soma_agent *self, uint64_t watch, soma_ref *teller);

/* As soma_names_address(); `fresh`: the server is asked, not the cache. */
int names_address(soma_names *names, const char *name, const char *alias, bool fresh, uint64_t timeout,
                  char address[SOMA_ADDRESS_MOST + 1]);

extern const soma_behavior names_behavior;

/* What it is spawned with. */
struct client_start {
    soma_bridge *bridge;
    const soma_names_options *options;
    char *addresses; /* as in struct client */
    size_t size;     /* bytes of them */
    bool opened;     /* by soma_names_open(), so channels may use it */
};

/* With the addresses that are given, else those that api.c finds; to be freed, also on error. */
int client_start_fill(soma_system *system, soma_bridge *bridge, const char *const *addresses,
                      struct client_start *start);
void client_start_free(struct client_start *start);

#endif
