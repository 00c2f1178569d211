/*
 * An isolated agent, see include/soma/isolate.h: it lives in a system of its own, whose driver runs nobody by itself,
 * takes down all that happens, and has stand-ins spawned in place of what is asked for.
 */
#ifndef TESTKIT_ISOLATE_H
#define TESTKIT_ISOLATE_H

#include "runtime/driver.h"
#include <soma/isolate.h>

struct effect_entry;

struct soma_isolated {
    soma_system *system;
    struct route route;
    soma_ref self; /* null until the agent begins its life */
    soma_ref sender;
    uint64_t now;
    uint64_t entropy;
    uint64_t failing; /* which allocation of the next handler fails; 0: none */
    int64_t asked;    /* requests that the test has made */
    int spawn_error;
    int result;                    /* of the handler that ran last */
    bool unhandled;                /* it had none */
    bool waits;                    /* it has mail of its own, and could run */
    bool quiet;                    /* what happens is the kit's own doing */
    uint64_t timeout;              /* of the request that it is about to make */
    const soma_behavior *wanted;   /* what it asked for, and gets a stand-in of */
    struct effect_entry **effects; /* each a block of its own, as tests keep pointers to them */
    uint32_t count;
    uint32_t capacity;
};

/* For the driver of its system. */
void isolated_observe(void *context, soma_system *system, const struct event *event);
void isolated_log(void *context, const soma_log_record *record);

/* A stand-in is given this. */
void isolated_spawn_arg(soma_isolated *iso, const void *arg);

#endif
