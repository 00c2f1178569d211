/*
 * A proxy's two sides: the functions that a thread outside calls (proxy.c), and the agent that asks and waits in their
 * place (proxy_agent.c). The agent is told whom to ask; finding the agent of a name may wait, so the thread does that.
 */
#ifndef NAMESERVICE_PROXY_H
#define NAMESERVICE_PROXY_H

#include <pthread.h>
#include <soma/proxy.h>

struct soma_proxy {
    soma_system *system;
    soma_ref agent; /* its own */
    /* Looks the name up, in at most `left` nanoseconds, and says why not; may wait until it is there, or leave that to
     * the caller. NULL: the proxy is for one agent alone. */
    int (*find)(soma_proxy *proxy, uint64_t left, bool waits, soma_ref *found);
    soma_names *names;
    soma_bridge *bridge;
    char *address;
    char *name;
    bool met;             /* its agent was found before; of the user's thread */
    char error[512];      /* why the last function failed; of the user's thread */
    pthread_mutex_t lock; /* what follows is of both sides */
    soma_ref found;       /* who has the name; null: to be looked up */
    bool agent_ended;
    bool closed; /* the second of these two frees it */
};

/* What the agent does for a thread, which waits for the answer. */
/** @cond internal */
SOMA_MESSAGE(soma_proxy_ask, (ref, to), (string, method), (value, arguments), (u64, timeout))
SOMA_MESSAGE(soma_proxy_end, (ref, to), (bool, kill)) /* answered when `to` is gone */
SOMA_MESSAGE(soma_proxy_nap, (u64, time))
SOMA_MESSAGE(soma_proxy_leave) /* answered when no function of the user's is called any more */
SOMA_MESSAGE(soma_proxy_answer, (i32, error), (string, text), (value, value))
/** @endcond */

/* A call that nobody waits for. */
struct later {
    struct later *next, **link; /* in the agent's list */
    soma_ref to;
    uint64_t until;
    char *method;
    soma_value arguments;
    soma_proxy_done *done;
    void *context;
};

/* The behavior of a proxy's agent; init's argument is the proxy. */
extern const soma_behavior proxy_agent;

/* To be posted to the agent: makes the call; and ends one that will not be made. */
int later_run(soma_agent *self, void *state, void *later);
void later_drop(void *later);

/* A call, while it is made. */
struct asking {
    const char *method;
    soma_value arguments;
    bool harmless; /* it may run twice */
    bool waits;    /* for an agent that is not there yet */
    uint64_t until;
    soma_ref to; /* whom it went to last; null: nobody was found */
};

/* Makes a call, again if need be, and waits for its end. */
int proxy_ask(soma_proxy *proxy, uint64_t timeout, struct asking *asking, soma_value *result);

/* Takes down why; gives the error back. */
int proxy_fail(soma_proxy *proxy, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What a function was called with makes no sense; there may be no proxy to take it down in. */
int proxy_misused(soma_proxy *proxy, const char *why);

/* With the text that came with it, if it is one; else with Soma's. */
int proxy_fail_by(soma_proxy *proxy, int error, const char *text);

/* Between two looks for what is not there yet. */
int proxy_nap(soma_proxy *proxy, uint64_t until);

/* Now and a timeout; and what is left until then, at least 1, as 0 is no timeout. */
uint64_t deadline_of(const soma_proxy *proxy, uint64_t timeout);
uint64_t time_left(const soma_proxy *proxy, uint64_t until);

#define PROXY_NAP (10 * SOMA_MS)

/* That one is gone: the name must be looked up anew. */
void proxy_forget(soma_proxy *proxy, soma_ref gone);

/* One of both sides has come to its end. */
void proxy_leave(soma_proxy *proxy, bool *side);

#endif
