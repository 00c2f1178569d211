/*
 * The seam between a system and the world: time, chance, and who runs which agent next. It is fixed when the system
 * opens. The real driver is the machine's clock, its random numbers and the workers' threads; a simulated one has
 * virtual time, a seed, and runs agents itself, in the order that it likes, in one thread. Nothing else in runtime/
 * reads a clock, draws a random number or starts a worker.
 */
#ifndef RUNTIME_DRIVER_H
#define RUNTIME_DRIVER_H

#include "runtime/concurrent.h"
#include <soma/system.h>
#include <stdbool.h>

struct message;
struct worker;

/* What happens in a system, told to a driver that observes it. */
enum event_kind {
    EVENT_SPAWN,   /* an agent begins a life; before its init */
    EVENT_END,     /* it ends, with a reason; before its stop */
    EVENT_SEND,    /* a message is on its way to an agent, wherever that lives */
    EVENT_HANDLE,  /* an agent is about to handle a message */
    EVENT_HANDLED, /* it has; the reason is what its handler returned */
    EVENT_DEAD,    /* a message reached nobody, for a reason */
    EVENT_TIMER    /* an agent sets a timer, or the timeout of a request; `delay` from now */
};

struct event {
    enum event_kind kind;
    int reason;
    soma_ref agent;                /* whom it happens to: of a message its receiver */
    soma_ref sender;               /* of a message */
    const soma_type *type;         /* of a message; NULL for one without */
    const struct message *message; /* if there is a block */
    const soma_behavior *behavior; /* of an agent's life */
    uint64_t delay;
};

struct driver {
    uint64_t (*now)(void *context);    /* steady nanoseconds from some start. Any thread */
    uint64_t (*date)(void *context);   /* nanoseconds since 1970, for people to read. Any thread */
    uint64_t (*random)(void *context); /* any thread; slow: it seeds what needs many */
    /*
     * NULL: workers with threads of their own run the agents. Else the system has one worker and no thread, and this is
     * told of each agent that has become runnable, once; whoever drives calls agent_turn() for it some time later, and
     * clock_fire() when it has moved the time on. All calls into the system come from the driving thread.
     */
    void (*runnable)(void *context, soma_system *system, soma_agent *agent);
    /* All that happens, as it happens; NULL for nobody. Only with `runnable`: agents then leave the fast path. */
    void (*observe)(void *context, soma_system *system, const struct event *event);
    /* The behavior to spawn in place of one that is asked for, or that one itself; NULL for none. Any thread. */
    const soma_behavior *(*replace)(void *context, soma_system *system, const soma_behavior *behavior);
    /*
     * The driving thread waits, as one outside would, for something that agents do: runs them until done(arg), and does
     * not return before. NULL: it can't wait.
     */
    void (*wait)(void *context, bool (*done)(const void *arg), const void *arg);
    void *context;
};

/* The machine's own clock and chance, and threads. */
extern const struct driver driver_real;

/* soma_system_open() with another driver; it is copied. */
int system_open_driven(soma_system **system, const soma_options *options, const struct driver *driver);

/* Where a worker without work may wait for what comes from outside, beside the thread that sees to it else. */
struct rest {
    /* Waits there, one at a time, unless it is awake already. False at once: not now; `awake` is woken as a futex,
     * unchanged, when it is worth another try. True: something has come (*mail), for which it must attend(), or it was
     * roused. NULL: none ever may. */
    bool (*await)(void *context, const shared_u32 *awake, bool *mail);
    void (*attend)(void *context, struct worker *worker);
    void (*rouse)(void *context); /* Any thread. */
    void *context;
};

/*
 * Where messages to other nodes go: a bridge, or a simulated network. Set with system_route_set() at any time, also
 * while agents run; the route must outlive the system or be unset while nobody sends.
 */
struct route {
    /* Takes the message, of any kind but those that stay (a MESSAGE_WAKE is a kill), whatever it returns: 0 or an error
     * for the sender. Any thread; must not block. */
    int (*carry)(void *context, soma_ref to, struct message *message);
    /* The same for a plain message that is not a block yet: its body stays the caller's. NULL: carry() has all. */
    int (*send)(void *context, soma_ref from, soma_ref to, const soma_type *type, const void *body);
    /* The agent here whose pressure holds up threads outside that send there; NULL for none. Any thread. */
    soma_agent *(*gate)(void *context, soma_ref to);
    /* The system closes: what is on its way may still leave, as long as that must take. 0, or SOMA_ETIMEOUT if
     * something was left. Nobody sends by it any more once this was called and the agents are at rest. NULL: nothing to
     * do. */
    int (*stop)(void *context);
    void (*release)(void *context); /* the very end; or NULL */
    void *context;
    struct rest rest;
};

void system_route_set(soma_system *system, const struct route *route);

#endif
