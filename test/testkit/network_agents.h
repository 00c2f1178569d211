/* The agents of network_test.c and outage_test.c: who asks and who answers, who streams and who takes it. */
#ifndef NETWORK_AGENTS_H
#define NETWORK_AGENTS_H

#include "test_support.h"
#include <soma/dead_letter.h>
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/test.h>
#include <string.h>

SOMA_MESSAGE(ask, (u64, id))
SOMA_MESSAGE(answer, (u64, id), (string, text))
SOMA_MESSAGE(work, (ref, to), (u64, count), (u64, timeout))
SOMA_MESSAGE(item, (u64, source), (u64, number), (bytes, load))
SOMA_MESSAGE(hold)
SOMA_MESSAGE(let_go)

#define NODES 3
static const char *const names[NODES] = {"north", "south", "west"};

/* ---- agents ---- */

/* Answers; or keeps the last request open, once it was told to hold. */
struct clerk {
    bool holds;
    soma_handle promise;
    soma_ref next; /* asked in its place, if there is one */
    uint64_t asked;
};

static inline int on_ask(soma_agent *self, struct clerk *my, const struct ask *m)
{
    my->asked++;
    if (!soma_ref_is_null(my->next))
        return soma_forward(self, my->next);
    if (my->holds)
        return (my->promise = soma_reply_later(self)) < 0 ? SOMA_ENOMEM : 0;
    return soma_reply(self, answer, .id = m->id, .text = m->id == 13 ? "\xff" : "ok");
}

static inline int on_hold(soma_agent *self, struct clerk *my, const struct hold *m)
{
    (void)self, (void)m;
    my->holds = true;
    return 0;
}

static inline int on_let_go(soma_agent *self, struct clerk *my, const struct let_go *m)
{
    (void)m;
    return soma_reply_to(self, my->promise, answer, .id = 1);
}

static inline int clerk_init(soma_agent *self, void *state, const void *next)
{
    (void)self;
    if (next)
        ((struct clerk *)state)->next = *(const soma_ref *)next;
    return 0;
}

static const soma_behavior clerk = {
    .name = "clerk",
    .state_size = sizeof(struct clerk),
    .init = clerk_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(hold, on_hold), SOMA_ON(let_go, on_let_go))};

/* Asks so many times at once, and counts how each request ended. */
struct client {
    uint64_t sent;
    uint64_t answers;
    uint64_t errors;
    int error; /* the last one */
};

static inline int on_answer(soma_agent *self, struct client *my, const struct answer *m)
{
    (void)self, (void)m;
    my->answers++;
    return 0;
}

static inline int on_error(soma_agent *self, struct client *my, const int *error)
{
    (void)self;
    my->errors++;
    my->error = *error;
    return 0;
}

static inline int on_work(soma_agent *self, struct client *my, const struct work *m)
{
    for (uint64_t i = 0; i < m->count; i++, my->sent++)
        if (soma_request(self, m->to, m->timeout, SOMA_THEN(answer, on_answer, on_error), ask, .id = i) < 0)
            return SOMA_ENOMEM;
    return 0;
}

static const soma_behavior client = {
    .name = "client", .state_size = sizeof(struct client), .handlers = SOMA_HANDLERS(SOMA_ON(work, on_work))};

/* Streams items, one a turn. */
struct source {
    uint64_t number; /* that it streams as */
    struct work work;
    uint64_t sent;
    uint64_t refused;
};

static inline int source_more(soma_agent *self, struct source *my)
{
    if (my->sent == my->work.count)
        return 0;
    int error = soma_send(self, my->work.to, item, .source = my->number, .number = my->sent++, .load = {"load", 4});
    my->refused += error != 0;
    return soma_send(self, soma_self(self), hold);
}

static inline int on_stream(soma_agent *self, struct source *my, const struct work *m)
{
    my->work = *m;
    return source_more(self, my);
}

static inline int on_more(soma_agent *self, struct source *my, const struct hold *m)
{
    (void)m;
    return source_more(self, my);
}

static inline int source_init(soma_agent *self, void *state, const void *number)
{
    (void)self;
    ((struct source *)state)->number = *(const uint64_t *)number;
    return 0;
}

static const soma_behavior source = {.name = "source",
                                     .state_size = sizeof(struct source),
                                     .init = source_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(work, on_stream), SOMA_ON(hold, on_more))};

/* Takes streams: nothing twice, nothing out of order; gaps are the test's to judge. */
struct sink {
    uint64_t next[NODES];
    uint64_t count;
    uint64_t first_at, last_at;
};

static inline int on_item(soma_agent *self, struct sink *my, const struct item *m)
{
    assert_true(m->source < NODES);
    assert_true(m->number >= my->next[m->source]);
    my->next[m->source] = m->number + 1;
    my->last_at = soma_now(self);
    if (!my->count++)
        my->first_at = my->last_at;
    return 0;
}

static const soma_behavior sink = {
    .name = "sink", .state_size = sizeof(struct sink), .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item))};

/* Counts items that were lost. */
static inline int on_letter(soma_agent *self, uint64_t *my, const struct soma_dead_letter *letter)
{
    (void)self;
    *my += !strcmp(letter->type, "item");
    return 0;
}

static const soma_behavior undertaker = {.name = "undertaker",
                                         .state_size = sizeof(uint64_t),
                                         .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

static inline soma_ref spawn_at(soma_test *test, const char *node, const soma_behavior *behavior, const void *arg)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(test, node), behavior, arg, &ref), 0);
    return ref;
}

static inline soma_stats stats_of(soma_test *test, const char *node)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(soma_test_node(test, node), &stats), 0);
    return stats;
}

static inline uint64_t dead_letters(soma_test *test, const char *node)
{
    return stats_of(test, node).dead_letters;
}

static const struct client *client_of(soma_test *test, soma_ref ref)
{
    return soma_test_state(test, ref);
}

static const struct sink *sink_of(soma_test *test, soma_ref ref)
{
    return soma_test_state(test, ref);
}

static inline void stream(soma_test *test, const char *node, soma_ref from, soma_ref to, uint64_t count)
{
    assert_int_equal(soma_send(soma_test_node(test, node), from, work, .to = to, .count = count), 0);
}

static inline void requests(soma_test *test, const char *node, soma_ref from, soma_ref to, uint64_t count,
                            uint64_t timeout)
{
    assert_int_equal(soma_send(soma_test_node(test, node), from, work, to, count, timeout), 0);
}

/* ---- traffic between three nodes ---- */

struct traffic {
    soma_ref sources[NODES][NODES], sinks[NODES], clients[NODES], clerks[NODES];
};

static inline void traffic_begin(soma_test *test, struct traffic *traffic)
{
    for (uint64_t i = 0; i < NODES; i++) {
        traffic->sinks[i] = spawn_at(test, names[i], &sink, NULL);
        traffic->clients[i] = spawn_at(test, names[i], &client, NULL);
        traffic->clerks[i] = spawn_at(test, names[i], &clerk, NULL);
        for (uint64_t j = 0; j < NODES; j++)
            traffic->sources[i][j] = spawn_at(test, names[i], &source, &i);
    }
    for (uint64_t i = 0; i < NODES; i++)
        for (uint64_t j = 0; j < NODES; j++) {
            stream(test, names[i], traffic->sources[i][j], traffic->sinks[j], 6);
            requests(test, names[i], traffic->clients[i], traffic->clerks[j], 2, SOMA_NEVER);
        }
}

/* Nothing is lost without a fault. */
static inline void traffic_check(soma_test *test, const struct traffic *traffic)
{
    for (uint64_t i = 0; i < NODES; i++) {
        const struct client *asked = client_of(test, traffic->clients[i]);
        assert_int_equal(sink_of(test, traffic->sinks[i])->count, 6 * NODES);
        assert_int_equal(asked->answers, 2 * NODES);
        assert_int_equal(asked->errors, 0);
        assert_int_equal(dead_letters(test, names[i]), 0);
    }
}

#endif
