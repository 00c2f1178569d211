/*
 * The seam between a system and the world: time, chance, and who runs which agent next. It is fixed when the system
 * opens. The real driver is the machine's clock, its random numbers and the workers' threads; a simulated one has
 * virtual time, a seed, and runs agents itself, in the order that it likes, in one thread. Nothing else in runtime/
 * reads a clock, draws a random number or starts a worker.
 */
#ifndef RUNTIME_DRIVER_H
#define RUNTIME_DRIVER_H

#include <soma/system.h>

struct message;

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
    void *context;
};

/* The machine's own clock and chance, and threads. */
extern const struct driver driver_real;

/* soma_system_open() with another driver; it is copied. */
int system_open_driven(soma_system **system, const soma_options *options, const struct driver *driver);

/*
 * Where messages to other nodes go: a bridge, or a simulated network. Set with system_route_set() at any time, also
 * while agents run; the route must outlive the system or be unset while nobody sends.
 */
struct route {
    /* Takes the message, whatever it returns: 0 or an error for the sender. Any thread; must not block. */
    int (*carry)(void *context, soma_ref to, struct message *message);
    void *context;
};

void system_route_set(soma_system *system, const struct route *route);

#endif
