/*
 * What happened in a run: a hash of every event, always, and a line of text for those that matter to people, when
 * somebody reads them. One seed gives one hash.
 */
#ifndef TESTKIT_TRACE_H
#define TESTKIT_TRACE_H

#include "runtime/driver.h"
#include <soma/test.h>
#include <stdio.h>

struct node;

struct trace {
    uint64_t hash;
    FILE *text; /* NULL: nobody reads */
};

/* An event on a node, at the run's step and time. */
void trace_event(struct trace *trace, const struct node *node, const struct event *event);

/* A line of the kit's own: what a fault or the body did. */
void trace_note(soma_test *test, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An agent as the trace calls it: `clerk 3`, `east/clerk 3.2`. Returns buf. */
const char *trace_agent(soma_test *test, soma_ref agent, char *buf, size_t size);

#endif
