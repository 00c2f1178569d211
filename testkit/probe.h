/*
 * Probes from inside the kit. A probe's agents (its own, or those that a mock stands in for) record whatever they get,
 * on whatever thread they run; the body reads along and never takes anything out, so what it has seen stays valid.
 */
#ifndef TESTKIT_PROBE_H
#define TESTKIT_PROBE_H

#include "testkit/kit.h"
#include <pthread.h>
#include <soma/body.h>
#include <soma/probe.h>

/* A message that came. */
struct record {
    shared_ptr next;
    soma_ref agent; /* that got it */
    soma_ref sender;
    uint64_t time;
    soma_body *body;
    soma_handle promise; /* of a request that waits for its answer; else 0 */
    bool expected;       /* the body's own once it is appended, as what follows */
    bool answered;       /* a request: it has its answer, or that is on its way */
};

/* What is told of a message type: the answer to it, by a message or an error; or that it is ignored. */
struct rule {
    struct rule *next;
    const soma_type *type;
    soma_body *reply; /* NULL: the error */
    int error;
};

/* What an agent of a probe is to do. */
struct order {
    struct order *next;
    soma_probe *probe;
    const struct record *record; /* of an answer: to what */
    soma_ref to;
    soma_body *body;
    const soma_type *reply; /* of a request, as is the timeout */
    uint64_t timeout;
    int error;
};

struct soma_probe {
    soma_probe *next;
    soma_test *test;
    char *name; /* NULL: it has none */
    soma_behavior behavior;
    const soma_behavior *replaced; /* by a mock; else NULL */
    pthread_mutex_t lock;          /* among those that record: who only reads follows `first` without it */
    shared_ptr first;              /* struct record */
    struct record *last;           /* under lock, as is `agent` */
    soma_ref agent;                /* the last that began */
    shared_u32 lost;               /* messages that memory was too short for */
    struct record *past;           /* up to here all are expected already; NULL: none */
    struct record *expected;       /* the last one */
    shared_ptr answers;            /* struct rule, the latest first */
    struct rule *ignored;
    struct order *orders;
};

/* A probe that is the test's, with nothing in it, for agents of this init. */
soma_probe *probe_new(soma_test *test, const char *name, int (*init)(soma_agent *self, void *state, const void *arg));

/* Whose an agent is. */
soma_probe *probe_of(const soma_agent *self);

/* It is the one that began last. */
void probe_begin(const soma_agent *self);

/* Fails if the probe is NULL, or somebody else than the body calls. */
void probe_check(const soma_probe *probe, const char *function);

/* Appends a message, with its promise and whether it is answered already. Any thread that runs one of the probe's
 * agents, in a handler. */
void probe_record(const soma_agent *self, soma_ref sender, const soma_type *type, const void *message,
                  soma_handle promise, bool answered);

/* A copy of a message of the body's. Fails the test, and then does not return. */
soma_body *probe_body(const soma_probe *probe, const char *function, const soma_type *type, const void *message);

/* Answers the request of a promise, or (0) the one that is being handled; or, if that is none, sends to `sender`. */
void probe_answer(soma_agent *self, soma_handle promise, soma_ref sender, const soma_body *reply);

/* The first rule for a type; NULL if there is none. */
const struct rule *rule_find(const struct rule *rules, const soma_type *type);

/* Adds one; `reply` is its own from then on. */
struct rule *rule_new(const soma_probe *probe, struct rule *next, const soma_type *type, soma_body *reply, int error);

/* The driver's `replace` of every node. Any thread. */
const soma_behavior *mock_replace(void *context, soma_system *system, const soma_behavior *behavior);

/* Frees all of a test's, once its nodes are closed. */
void probes_free(soma_test *test);

#endif
