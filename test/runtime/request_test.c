/* Requests: replies, every way to fail, promises, forwarding, calls from outside. */
#include "test_support.h"
#include <pthread.h>
#include <soma/soma.h>
#include <string.h>

SOMA_MESSAGE(ask, (u64, n))
SOMA_MESSAGE(ask_text, (string, s))
SOMA_MESSAGE(answer, (u64, n))
SOMA_MESSAGE(answer_text, (string, s))
SOMA_MESSAGE(misfit)
SOMA_MESSAGE(keep)
SOMA_MESSAGE(how_many)
SOMA_MESSAGE(let_go, (u64, n))
SOMA_MESSAGE(silent)
SOMA_MESSAGE(refuse, (i32, error))
SOMA_MESSAGE(fall)
SOMA_MESSAGE(pass_on, (ref, to), (u64, n))
SOMA_MESSAGE(relay, (u64, n))
SOMA_MESSAGE(unknown)
SOMA_MESSAGE(twice)
SOMA_MESSAGE(settle, (bool, fails))
SOMA_MESSAGE(ask_later)
SOMA_MESSAGE(blunder)
SOMA_MESSAGE(torn, (bytes, data))

/* ---- a server that answers in every way ---- */

struct server {
    soma_handle kept;
    uint64_t keeps;
    soma_ref next;
};

static int on_ask(soma_agent *self, struct server *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, answer, .n = m->n + 1);
}

static int on_ask_text(soma_agent *self, struct server *my, const struct ask_text *m)
{
    (void)my;
    return soma_reply(self, answer_text, .s = m->s);
}

static int on_misfit(soma_agent *self, struct server *my, const struct misfit *m)
{
    (void)my;
    (void)m;
    return soma_reply(self, answer_text, .s = "not what you want");
}

static int on_keep(soma_agent *self, struct server *my, const struct keep *m)
{
    (void)m;
    my->keeps++;
    my->kept = soma_reply_later(self);
    if (my->kept < 0)
        return (int)my->kept;
    return soma_reply(self, answer, .n = 0) == SOMA_ESTATE ? 0 : SOMA_EINVAL; // it is a promise now
}

static int on_how_many(soma_agent *self, struct server *my, const struct how_many *m)
{
    (void)m;
    return soma_reply(self, answer, .n = my->keeps);
}

static int on_let_go(soma_agent *self, struct server *my, const struct let_go *m)
{
    int error = m->n ? soma_reply_to(self, my->kept, answer, .n = m->n) : soma_reply_error_to(self, my->kept, -77);
    if (error == 0 && soma_reply_to(self, my->kept, answer, .n = 0) != SOMA_ENOENT)
        return SOMA_EINVAL;
    return soma_reply(self, answer, .n = (uint64_t)-error) == SOMA_ESTATE ? 0 : SOMA_EINVAL; // this was a plain send
}

static int on_silent(soma_agent *self, struct server *my, const struct silent *m)
{
    (void)self;
    (void)my;
    (void)m;
    return 0;
}

static int on_refuse(soma_agent *self, struct server *my, const struct refuse *m)
{
    (void)my;
    if (soma_reply_error(self, 0) != SOMA_EINVAL)
        return SOMA_EINVAL;
    return soma_reply_error(self, m->error);
}

static int on_fall(soma_agent *self, struct server *my, const struct fall *m)
{
    (void)self;
    (void)my;
    (void)m;
    return -1;
}

static int on_pass(soma_agent *self, struct server *my, const struct pass_on *m)
{
    (void)my;
    if (soma_ref_is_null(m->to))
        return soma_reply(self, answer, .n = m->n);
    int error = soma_forward(self, my->next);
    return error == SOMA_EGONE ? 0 : error;
}

/* To the last of a chain, which answers who asked the first. */
static int on_relay(soma_agent *self, struct server *my, const struct relay *m)
{
    return soma_ref_is_null(my->next) ? soma_reply(self, answer, .n = m->n) : soma_forward(self, my->next);
}

static int on_twice(soma_agent *self, struct server *my, const struct twice *m)
{
    (void)my;
    (void)m;
    int first = soma_reply(self, answer, .n = 2);
    return first ? first : soma_reply(self, answer, .n = 3) == SOMA_ESTATE ? 0 : SOMA_EINVAL;
}

/* As users write it: what the answer returns is what the handler returns. */
static int on_settle(soma_agent *self, struct server *my, const struct settle *m)
{
    return m->fails ? soma_reply_error_to(self, my->kept, -77) : soma_reply_to(self, my->kept, answer, .n = 1);
}

/* A handle is no error. */
static int on_ask_later(soma_agent *self, struct server *my, const struct ask_later *m)
{
    (void)m;
    return (int)(my->kept = soma_reply_later(self));
}

static int server_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    if (arg)
        ((struct server *)state)->next = *(const soma_ref *)arg;
    return 0;
}

/* An answer that can't be sent is none: there may be another. */
static int on_blunder(soma_agent *self, struct server *my, const struct blunder *m)
{
    (void)my, (void)m;
    int error = soma_reply(self, torn, .data = {NULL, 5});
    return soma_reply(self, answer, .n = error == SOMA_EINVAL ? 1 : 0);
}

static const soma_behavior server = {
    .name = "server",
    .state_size = sizeof(struct server),
    .init = server_init,
    .handlers =
        SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(ask_text, on_ask_text), SOMA_ON(misfit, on_misfit),
                      SOMA_ON(keep, on_keep), SOMA_ON(how_many, on_how_many), SOMA_ON(let_go, on_let_go),
                      SOMA_ON(silent, on_silent), SOMA_ON(refuse, on_refuse), SOMA_ON(fall, on_fall),
                      SOMA_ON(pass_on, on_pass), SOMA_ON(relay, on_relay), SOMA_ON(twice, on_twice),
                      SOMA_ON(settle, on_settle), SOMA_ON(ask_later, on_ask_later), SOMA_ON(blunder, on_blunder)),
};

static soma_system *open_system(void)
{
    soma_system *system;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2}), 0);
    return system;
}

static soma_ref spawn_server(soma_system *system, const soma_ref *next)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &server, next, &ref), 0);
    return ref;
}

#define CALL(system, to, ...) soma_call((system), (to), 10 * SOMA_SECOND, &reply, answer, __VA_ARGS__)

static void test_call(void **state)
{
    (void)state;
    soma_system *system = open_system();
    soma_ref to = spawn_server(system, NULL);
    struct answer reply;
    assert_int_equal(CALL(system, to, ask, .n = 41), 0);
    assert_int_equal(reply.n, 42);
    assert_int_equal(CALL(system, to, blunder), 0);
    assert_int_equal(reply.n, 1);
    assert_int_equal(CALL(system, to, twice), 0);
    assert_int_equal(reply.n, 2);
    struct answer_text text;
    assert_int_equal(
        soma_call(system, to, SOMA_SECOND, &text, answer_text, ask_text, .s = "long enough to need a block"), 0);
    assert_string_equal(text.s, "long enough to need a block");
    answer_text_destroy(&text);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_failures(void **state)
{
    (void)state;
    soma_system *system = open_system();
    soma_ref to = spawn_server(system, NULL);
    const soma_ref elsewhere = {1, 2, 3}, nobody = SOMA_REF_NULL;
    struct answer reply = {.n = 9};
    assert_int_equal(CALL(system, to, misfit), SOMA_ETYPE);
    assert_int_equal(reply.n, 0);
    assert_int_equal(CALL(system, to, unknown), SOMA_EUNHANDLED);
    assert_int_equal(CALL(system, to, silent), SOMA_ENOREPLY);
    assert_int_equal(CALL(system, to, refuse, .error = 1234), 1234);
    assert_int_equal(CALL(system, to, refuse, .error = -5), -5);
    assert_int_equal(CALL(system, elsewhere, ask), SOMA_ENOROUTE);
    assert_int_equal(CALL(system, nobody, ask), SOMA_EGONE);
    assert_int_equal(soma_call(system, to, 0, &reply, answer, ask), SOMA_EINVAL);
    assert_int_equal(soma_call(NULL, to, 1, &reply, answer, ask), SOMA_EINVAL);
    assert_int_equal(CALL(system, to, fall), SOMA_EGONE);
    assert_int_equal(CALL(system, to, ask), SOMA_EGONE);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_promise(void **state)
{
    (void)state;
    soma_system *system = open_system();
    soma_ref to = spawn_server(system, NULL);
    struct answer reply;
    // nobody lets go: the timeout, and the answer is late
    assert_int_equal(soma_call(system, to, SOMA_MS, &reply, answer, keep), SOMA_ETIMEOUT);
    assert_int_equal(soma_send(system, to, let_go, .n = 1), 0);
    assert_int_equal(CALL(system, to, ask, .n = 1), 0);
    // an agent that ends breaks its promises
    assert_int_equal(soma_call(system, to, SOMA_MS, &reply, answer, keep), SOMA_ETIMEOUT);
    assert_int_equal(soma_kill(system, to), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

/* A requester that has given up is no error of whom it asked: its answer is late, and counted. */
static void test_answer_to_nobody(void **state)
{
    (void)state;
    soma_system *system;
    // one worker: the asker has ended before the server gets the next message
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    soma_ref to = spawn_server(system, NULL);
    struct answer reply;
    for (uint32_t fails = 0; fails < 2; fails++) {
        assert_int_equal(soma_call(system, to, SOMA_MS, &reply, answer, ask_later), SOMA_ETIMEOUT);
        assert_int_equal(soma_send(system, to, settle, .fails = fails), 0);
        assert_int_equal(CALL(system, to, ask, .n = 1), 0);
    }
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.late_replies, 2);
    assert_int_equal(soma_system_close(&system), 0);
}

struct waiter {
    soma_system *system;
    soma_ref to;
    int error;
    struct answer reply;
};

static void *wait_for_promise(void *argument)
{
    struct waiter *waiter = argument;
    waiter->error = soma_call(waiter->system, waiter->to, 60 * SOMA_SECOND, &waiter->reply, answer, keep);
    return NULL;
}

/* Calls `keep`, and once the server has it does what ends it. */
static int promise_ends(soma_system *system, soma_ref to, uint64_t *n, void (*end)(soma_system *, soma_ref))
{
    struct waiter waiter = {.system = system, .to = to};
    struct answer before, reply;
    assert_int_equal(CALL(system, to, how_many), 0);
    before = reply;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_promise, &waiter), 0);
    do // until the server has it
        assert_int_equal(CALL(system, to, how_many), 0);
    while (reply.n == before.n);
    end(system, to);
    pthread_join(thread, NULL);
    *n = waiter.reply.n;
    return waiter.error;
}

static void end_by_reply(soma_system *system, soma_ref to)
{
    assert_int_equal(soma_send(system, to, let_go, .n = 5), 0);
}

static void end_by_error(soma_system *system, soma_ref to)
{
    assert_int_equal(soma_send(system, to, let_go), 0);
}

static void end_by_death(soma_system *system, soma_ref to)
{
    assert_int_equal(soma_kill(system, to), 0);
}

static void test_promise_ends(void **state)
{
    (void)state;
    soma_system *system = open_system();
    soma_ref to = spawn_server(system, NULL);
    uint64_t n;
    assert_int_equal(promise_ends(system, to, &n, end_by_reply), 0);
    assert_int_equal(n, 5);
    assert_int_equal(promise_ends(system, to, &n, end_by_error), -77);
    assert_int_equal(promise_ends(system, to, &n, end_by_death), SOMA_EGONE);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_forward(void **state)
{
    (void)state;
    soma_system *system = open_system();
    soma_ref last = spawn_server(system, NULL), gone = spawn_server(system, NULL);
    soma_ref first = spawn_server(system, &last), broken = spawn_server(system, &gone);
    struct answer reply;
    // a pass_on with a `to` goes on to the next; the next is a server without a next, so its forward fails
    assert_int_equal(CALL(system, last, pass_on, .n = 3), 0);
    assert_int_equal(reply.n, 3);
    assert_int_equal(CALL(system, first, pass_on, .to = last, .n = 3), SOMA_EGONE);
    assert_int_equal(CALL(system, broken, pass_on, .to = gone), SOMA_EGONE);
    soma_ref longer = spawn_server(system, &first);
    assert_int_equal(CALL(system, longer, relay, .n = 7), 0);
    assert_int_equal(reply.n, 7);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- requests between agents ---- */

SOMA_MESSAGE(go, (ref, server))
SOMA_MESSAGE(report)
SOMA_MESSAGE(tally, (u32, replies), (u32, errors), (u64, tags), (i32, last_error), (bool, misuse_ok))

SOMA_MESSAGE(go_and_kill, (ref, server))

struct client {
    struct tally tally;
};

static int on_reply(soma_agent *self, struct client *my, const struct answer *m)
{
    (void)m;
    my->tally.replies++;
    my->tally.tags += soma_tag(self);
    return 0;
}

static int on_error(soma_agent *self, struct client *my, const int *error)
{
    my->tally.errors++;
    my->tally.tags += soma_tag(self);
    my->tally.last_error = *error;
    return 0;
}

static int on_go(soma_agent *self, struct client *my, const struct go *m)
{
    const uint64_t timeout = 60 * SOMA_SECOND;
    for (uint64_t i = 0; i < 10; i++)
        if (soma_request(self, m->server, timeout, SOMA_THEN(answer, on_reply, on_error, .tag = i), ask, .n = i) <= 0)
            return SOMA_EINVAL;
    soma_request(self, SOMA_REF_NULL, timeout, SOMA_THEN(answer, on_reply, on_error, .tag = 100), ask);
    soma_handle dropped = soma_request(self, m->server, timeout, SOMA_THEN(answer, on_reply, on_error), ask);
    struct answer reply;
    my->tally.misuse_ok =
        soma_request_cancel(self, dropped) == 0 && soma_request_cancel(self, dropped) == SOMA_ENOENT &&
        soma_request_cancel(self, SOMA_ENOMEM) == SOMA_ENOMEM && soma_request_cancel(NULL, dropped) == SOMA_EINVAL &&
        soma_request(self, m->server, 0, SOMA_THEN(answer, on_reply, on_error), ask) == SOMA_EINVAL &&
        soma_reply_later(self) == SOMA_ESTATE && soma_reply_later(NULL) == SOMA_EINVAL &&
        soma_call(soma_agent_system(self), m->server, timeout, &reply, answer, ask) == SOMA_ESTATE;
    return 0;
}

/* The request is the first that the server sees once it is killed. */
static int on_go_and_kill(soma_agent *self, struct client *my, const struct go_and_kill *m)
{
    (void)my;
    for (int i = 0; i < 2; i++)
        soma_request(self, m->server, SOMA_NEVER, SOMA_THEN(answer, on_reply, on_error), ask);
    return soma_kill(soma_agent_system(self), m->server);
}

static int on_report(soma_agent *self, struct client *my, const struct report *m)
{
    (void)m;
    return soma_reply_send(self, 0, &tally_type, &my->tally);
}

static const soma_behavior client = {
    .name = "client",
    .state_size = sizeof(struct client),
    .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go), SOMA_ON(go_and_kill, on_go_and_kill), SOMA_ON(report, on_report)),
};

static void test_between_agents(void **state)
{
    (void)state;
    soma_system *system = open_system();
    soma_ref to = spawn_server(system, NULL), asker;
    assert_int_equal(soma_spawn(system, &client, NULL, &asker), 0);
    assert_int_equal(soma_send(system, asker, go, .server = to), 0);
    struct tally tally;
    do
        assert_int_equal(soma_call(system, asker, 10 * SOMA_SECOND, &tally, tally, report), 0);
    while (tally.replies + tally.errors < 11);
    assert_int_equal(tally.replies, 10);
    assert_int_equal(tally.errors, 1);
    assert_int_equal(tally.last_error, SOMA_EGONE);
    assert_int_equal(tally.tags, 45 + 100);
    assert_true(tally.misuse_ok);
    struct answer reply;
    assert_int_equal(CALL(system, to, ask), 0); // behind the cancelled one, whose answer was late
    assert_int_equal(soma_call(system, asker, 10 * SOMA_SECOND, &tally, tally, report), 0);
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.late_replies, 1);
    assert_int_equal(soma_system_close(&system), 0);
}

/* What a killed agent has not handled fails, the one that it was about to handle too. */
static void test_killed(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref asker;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    soma_ref to = spawn_server(system, NULL);
    assert_int_equal(soma_spawn(system, &client, NULL, &asker), 0);
    assert_int_equal(soma_send(system, asker, go_and_kill, .server = to), 0);
    struct tally tally;
    for (int i = 0; i < 5; i++)
        assert_int_equal(soma_call(system, asker, 10 * SOMA_SECOND, &tally, tally, report), 0);
    assert_int_equal(tally.errors, 2);
    assert_int_equal(tally.last_error, SOMA_EGONE);
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),         cmocka_unit_test(test_failures),
        cmocka_unit_test(test_promise),      cmocka_unit_test(test_answer_to_nobody),
        cmocka_unit_test(test_killed),       cmocka_unit_test(test_forward),
        cmocka_unit_test(test_promise_ends), cmocka_unit_test(test_between_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
