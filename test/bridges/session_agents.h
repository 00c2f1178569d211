/*
 * What session_sim_test.c lets loose on three nodes: streams, requests, monitors and links between all of them, and a
 * ledger in which every message is entered when it is sent, and crossed off when it arrives or is reported.
 */
#ifndef SESSION_AGENTS_H
#define SESSION_AGENTS_H

#include "bridges/bridge.h"
#include "runtime/extension.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/body.h>
#include <soma/dead_letter.h>
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/monitor.h>
#include <string.h>

SOMA_MESSAGE(mark, (u64, stream), (u64, number), (bytes, load))
SOMA_MESSAGE(tick)
SOMA_MESSAGE(ask, (u64, id))
SOMA_MESSAGE(told, (u64, id))
SOMA_MESSAGE(load, (u64, number), (bytes, load))

#define NODES 3u
#define MARKS 8u
#define STREAMS_MAX 64u
static const char *const names[NODES] = {"north", "south", "west"};

/* A stream of marks, a request each, a monitor and a link, from one agent to another on another node. */
struct stream {
    soma_ref from, to;
    uint64_t pause;         /* at most, between two marks */
    uint32_t sent, arrived; /* marks */
    uint64_t next;          /* the least number that may arrive */
    bool refused[MARKS];    /* the sender was told at once, so it must not arrive */
    uint32_t refusals, letters;
    uint32_t asked, answers, errors;
    uint32_t downs, down_reason; /* what the monitor told */
};

#define LARGE_MARK 3u /* the number of that which may be large; the next is then a small shared body */
#define LARGE_MOST 200000u
#define SMALL_LOAD 2000u

struct ledger {
    struct stream streams[STREAMS_MAX];
    uint32_t count;
    uint32_t load; /* bytes of the large marks */
};

static struct ledger ledger; // of the run: one after another, in a process of their own

static uint32_t load_of(uint64_t number)
{
    return number == LARGE_MARK ? ledger.load : number == LARGE_MARK + 1 && ledger.load ? SMALL_LOAD : 0;
}

/* ---- who sends ---- */

static int on_told(soma_agent *self, struct stream **my, const struct told *m)
{
    (void)self, (void)m;
    (*my)->answers++;
    return 0;
}

static int on_error(soma_agent *self, struct stream **my, const int *error)
{
    (void)self;
    assert_int_equal(*error, SOMA_ENODEDOWN);
    (*my)->errors++;
    return 0;
}

/* Some of the large ones as shared bodies, of which the other side may still have one. */
static int mark_send(soma_agent *self, const struct stream *stream, uint64_t number)
{
    static const char load[LARGE_MOST];
    uint64_t place = (uint64_t)(stream - ledger.streams);
    const struct mark m = {place, number, {load, load_of(number)}};
    soma_body *body;
    if (!m.load.size || (place & 1 && number == LARGE_MARK))
        return soma_agent_send(self, stream->to, &mark_type, &m);
    assert_int_equal(soma_body_copy(&body, &mark_type, &m), 0);
    int error = soma_send_body(self, stream->to, body);
    soma_body_close(&body);
    return error;
}

/* A mark, a request, and the next in a while. */
static int on_tick(soma_agent *self, struct stream **my, const struct tick *m)
{
    struct stream *stream = *my;
    (void)m;
    uint32_t number = stream->sent++;
    stream->refused[number] = mark_send(self, stream, number);
    stream->refusals += stream->refused[number];
    stream->asked++;
    assert_true(soma_request(self, stream->to, SOMA_NEVER, SOMA_THEN(told, on_told, on_error), ask, number) > 0);
    if (stream->sent < MARKS)
        assert_true(soma_after(self, stream->pause ? soma_random(self) % stream->pause : 0, tick) > 0);
    return 0;
}

static int on_down(soma_agent *self, struct stream **my, const struct soma_down *m)
{
    (void)self;
    assert_true(soma_ref_equal(m->agent, (*my)->to));
    (*my)->downs++;
    (*my)->down_reason = (uint32_t)-m->reason;
    return 0;
}

static int sender_init(soma_agent *self, void *state, const void *stream)
{
    struct stream **my = state;
    memcpy(my, stream, sizeof(struct stream *));
    if (soma_monitor(self, (*my)->to) < 0)
        return SOMA_ENOMEM;
    return soma_send(self, soma_self(self), tick);
}

static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct stream *),
                                     .init = sender_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_tick), SOMA_ON(soma_down, on_down))};

/* ---- who receives ---- */

static int on_mark(soma_agent *self, void *my, const struct mark *m)
{
    (void)my;
    struct stream *stream = &ledger.streams[m->stream];
    assert_true(soma_ref_equal(stream->to, soma_self(self)));
    assert_true(m->number >= stream->next); // neither twice nor out of order
    assert_true(m->number < stream->sent);
    assert_false(stream->refused[m->number]);
    assert_int_equal(m->load.size, load_of(m->number));
    stream->next = m->number + 1;
    stream->arrived++;
    return 0;
}

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .id = m->id);
}

static const soma_behavior receiver = {.name = "receiver",
                                       .handlers = SOMA_HANDLERS(SOMA_ON(mark, on_mark), SOMA_ON(ask, on_ask))};

/* ---- who sends more than a way holds ---- */

#define LOADS 60u
#define LOAD_SIZE 100000u

struct porter {
    soma_ref to;
    uint64_t sent;
};

static int on_porter_tick(soma_agent *self, struct porter *my, const struct tick *m)
{
    static const char bytes[LOAD_SIZE];
    (void)m;
    if (my->sent == LOADS)
        return 0;
    assert_int_equal(soma_send(self, my->to, load, .number = my->sent++, .load = {bytes, sizeof(bytes)}), 0);
    return soma_send(self, soma_self(self), tick);
}

static int porter_init(soma_agent *self, void *state, const void *to)
{
    memcpy(&((struct porter *)state)->to, to, sizeof(soma_ref));
    return soma_send(self, soma_self(self), tick);
}

static const soma_behavior porter = {.name = "porter",
                                     .state_size = sizeof(struct porter),
                                     .init = porter_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_porter_tick))};

static int on_load(soma_agent *self, uint64_t *loads, const struct load *m)
{
    (void)self;
    assert_int_equal(m->number, (*loads)++);
    assert_int_equal(m->load.size, LOAD_SIZE);
    return 0;
}

static const soma_behavior store = {
    .name = "store", .state_size = sizeof(uint64_t), .handlers = SOMA_HANDLERS(SOMA_ON(load, on_load))};

/* ---- who is linked ---- */

static int linked_init(soma_agent *self, void *state, const void *other)
{
    (void)state;
    return other ? soma_link(self, *(const soma_ref *)other) : 0;
}

static int on_nothing(soma_agent *self, void *my, const struct tick *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior twin = {
    .name = "twin", .init = linked_init, .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_nothing))};

/* ---- who hears of what is lost ---- */

static int on_letter(soma_agent *self, void *my, const struct soma_dead_letter *letter)
{
    (void)self, (void)my;
    if (strcmp(letter->type, "mark") != 0)
        return 0;
    for (uint32_t i = 0; i < ledger.count; i++) {
        struct stream *stream = &ledger.streams[i];
        if (soma_ref_equal(stream->from, letter->sender) && soma_ref_equal(stream->to, letter->to))
            stream->letters++;
    }
    return 0;
}

static const soma_behavior undertaker = {.name = "undertaker",
                                         .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

static soma_ref spawn_at(soma_test *test, const char *node, const soma_behavior *behavior, const void *arg)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(test, node), behavior, arg, &ref), 0);
    return ref;
}

static void node_watch(soma_test *test, const char *node)
{
    assert_int_equal(soma_dead_letters_watch(soma_test_node(test, node), spawn_at(test, node, &undertaker, NULL)), 0);
}

/* In half of the runs some nodes compress what they send. Once all are open. */
static void nodes_compress(soma_test *test)
{
    bool some = soma_test_random(test, 2);
    for (uint32_t i = 0; i < test->node_count; i++)
        test->nodes[i].carrier.bridge->options.compress_least = some && soma_test_random(test, 3) ? 64 : 0;
}

static struct stream *stream_open(soma_test *test, const char *from, const char *to, uint64_t pause)
{
    struct stream *stream = &ledger.streams[ledger.count++];
    assert_true(ledger.count <= STREAMS_MAX);
    *stream = (struct stream){.to = spawn_at(test, to, &receiver, NULL), .pause = pause};
    stream->from = spawn_at(test, from, &sender, &stream);
    return stream;
}

/* Has the agent an end of a link? */
static bool is_linked(soma_test *test, soma_ref ref)
{
    const soma_agent *agent = agent_alive(test, ref);
    const struct extension *extension = agent ? agent->extension : NULL;
    for (uint32_t i = 0; extension && i < extension->capacity; i++)
        if (extension->pending[i].message && extension->pending[i].message->kind == MESSAGE_LINKED)
            return true;
    return false;
}

#endif
