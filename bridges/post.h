/*
 * The post: where somebody waits for what the wire must see to. That is the wire's own thread; but a worker that has
 * nothing to do may wait beside it, and is the first to be told. So a message that it will handle needs not be handed
 * from thread to thread. Whoever is told of something takes the turn, which one has at a time, and sees to all of it.
 *
 * ZeroMQ's sockets are waited for by their handles, in an epoll. A handle becomes readable once ZeroMQ has something to
 * tell its socket, and any use of the socket may take that word without a sign of what it was. So who has used a
 * socket, other than by reading until nothing was left, must look at it again before he waits. (zmq_poll() looks at
 * every socket before and after each wait, with system calls for each.)
 *
 * Word of each thing goes to one who waits (edge-triggered), mostly the last to have come: Linux keeps them so. So a
 * worker comes after the thread: had it come first, the thread would be told, call the worker, and be the last to come
 * again. What is only quicker by that order, and stays right if it is another.
 */
#ifndef BRIDGES_POST_H
#define BRIDGES_POST_H

#include "runtime/concurrent.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define POST_MOST 64                   /* things that a wait tells of; the others by the next */
#define POST_NOTHING 0                 /* a key: the bell or the alarm */
#define POST_ENDED (UINT64_C(1) << 63) /* in the key of a handle: nothing comes any more, behind what is there */

struct post {
    int poll;             /* an epoll */
    int bell;             /* eventfds: there is something to be done; */
    int call;             /* and whoever waits beside the thread is wanted elsewhere */
    int alarm;            /* a timerfd */
    uint64_t due;         /* when that goes off, as far as is known; under the turn, as what follows */
    bool sits;            /* the thread waits */
    bool taken;           /* somebody waits beside it */
    uint64_t stays;       /* so often somebody did */
    shared_u32 wanted;    /* others wait for the turn */
    shared_ptr turned;    /* the futex of one who came while the thread did not wait; or NULL */
    bool shut;            /* nobody may any more */
    pthread_mutex_t turn; /* who has it sees to things; nobody waits with it */
    pthread_cond_t left;  /* nobody waits there any more */
};

/* 0 or SOMA_ENOMEM; to be closed in any case. */
int post_open(struct post *post);
void post_close(struct post *post);

/* Tells of a socket by a key, not POST_NOTHING, from now on. It is to be looked at first. False: it can't. */
bool post_watch(struct post *post, void *socket, uint64_t key);

/* The same of one that others use without that look: word that they have taken is told of all the same, and once more
 * when it is taken. */
bool post_watch_used(struct post *post, void *socket, uint64_t key);

/* The same of one that must not be read later than what follows it: until it has been read, all who are told of
 * anything are told of it. */
bool post_watch_first(struct post *post, void *socket, uint64_t key);

/* Tells of a handle that is no socket of ZeroMQ's: that it can be read or, if somebody `writes`, written to, once it
 * could not. It is forgotten when it is closed. */
bool post_watch_handle(const struct post *post, int handle, uint64_t key, bool writes);
bool post_watch_again(const struct post *post, int handle, uint64_t key, bool writes);

/* Before the socket is closed. */
void post_forget(struct post *post, void *socket);

/* Ends a context whose sockets are closed; a signal does not keep it. */
void post_end_context(void *context);

/* Would reading from a socket that something was sent by bring anything? */
bool post_socket_has(void *socket);

/* There is something to be done: any thread. */
void post_ring(const struct post *post);

/* Tells of nothing at a time, or a little before: under the turn. */
void post_set_alarm(struct post *post, uint64_t now, uint64_t until);

/* The thread waits, and has the turn only before and after; not at all if something `presses`. How many keys of what
 * there is. */
uint32_t post_wait(struct post *post, bool presses, uint64_t keys[POST_MOST]);

/* The thread has the turn only before and after, as it does, but is told of nothing for a while (ns): who comes
 * meanwhile may wait in its place. How many keys of what there is; none if somebody waits there, who is told of it. */
uint32_t post_doze(struct post *post, uint32_t time, uint64_t keys[POST_MOST]);

/* Whoever waits beside the thread, which has dozed and will wait now, leaves once. */
void post_clear(struct post *post);

/* The thread, which has much to do, lets others have the turn, if any want it. */
void post_share(struct post *post);

/* Notes what the keys tell, under the turn. Is something to be looked at? */
typedef bool post_note_fn(void *context, const uint64_t *keys, uint32_t count);

/*
 * Another waits beside the thread, unless it is `awake` already or something is to be looked at. False: nobody may now.
 * Then it may wait for `awake` as a futex, by which it is told to try again, if it likes. Else *mail says if something
 * has come, or is to be looked at; or it was called.
 */
bool post_await(struct post *post, const shared_u32 *awake, post_note_fn *note, void *context, bool *mail);

/* Calls whoever waits there: any thread. */
void post_call(const struct post *post);

/* From here on nobody waits beside the thread. */
void post_shut(struct post *post);

#endif
