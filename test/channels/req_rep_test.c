/* REQ and REP, ASYNC_REQ and ASYNC_REP, PAIR: one question at a time or many, answers now and later, errors, limits of
 * time. */
#include "player.h"

#define REFUSES 1000u /* from this number on */
#define SILENT 2000u

static int on_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    if (m->number >= SILENT)
        return (my->promise = soma_reply_later(self)) < 0;
    if (m->number >= REFUSES)
        return soma_reply_error(self, -77);
    assert_int_equal(soma_reply(self, answer, .number = m->number * 2), 0);
    assert_int_equal(soma_reply(self, answer, .number = 0), SOMA_ESTATE); // there is one answer
    player_log(my, "done%u ", m->number);                                 // and it goes on working
    return 0;
}

/* Keeps one question, and answers it when the next has been answered. */
static int on_ask_later(soma_agent *self, struct player *my, const struct ask *m)
{
    if (!my->promise)
        return (my->promise = soma_reply_later(self)) < 0;
    assert_int_equal(soma_reply(self, answer, .number = m->number * 2), 0);
    assert_int_equal(soma_reply_to(self, my->promise, answer, .number = 1), 0);
    my->promise = 0;
    return 0;
}

static const soma_handler *const asks = SOMA_HANDLERS(SOMA_ON(ask, on_ask));
static const soma_handler *const asks_later = SOMA_HANDLERS(SOMA_ON(ask, on_ask_later));

static int rep_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_REP, "desk", "desk", asks);
    return 0;
}

static int rep_connect(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_connect(self, SOMA_REQ, "desk", "desk", asks);
    return 0;
}

static int async_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_ASYNC_REP, "desk", "desk", asks_later);
    return 0;
}

static int req_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_REQ, "desk", "desk", NULL);
    return 0;
}

static int req_connect(soma_agent *self, void *state, void *arg)
{
    (void)state;
    player_connect(self, arg ? SOMA_ASYNC_REP : SOMA_REP, "desk", "desk", NULL);
    return 0;
}

static soma_handle question(soma_agent *self, uint32_t number)
{
    return soma_request_to(self, "desk", SOMA_SECOND, SOMA_THEN(answer, player_answer, player_error), ask,
                           .number = number);
}

/* A REQ asks one question at a time. */
static int ask_one(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_true(question(self, *(const uint32_t *)arg) > 0);
    assert_int_equal(question(self, 5), SOMA_ESTATE);
    assert_int_equal(soma_send_to(self, "desk", note), SOMA_ESTATE);
    return 0;
}

static int ask_nobody(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(question(self, 5), SOMA_EAGAIN);
    return 0;
}

static const uint32_t three = 3, refused = REFUSES, silent = SILENT;

static void test_one_at_a_time(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), askers[2];
    for (int i = 0; i < 2; i++) {
        askers[i] = player_open(test, &player_quiet);
        player_do(test, askers[i], req_connect, NULL);
        player_do(test, askers[i], ask_nobody, NULL);
    }
    player_do(test, replier, rep_bind, NULL);
    for (int i = 0; i < 2; i++)
        player_peers(test, askers[i], "desk", 1);
    player_do(test, askers[0], ask_one, &three);
    player_expect(test, askers[0], "answer6 ");
    player_do(test, askers[1], ask_one, &refused);
    player_expect(test, askers[1], "error-77 ");
    player_do(test, askers[0], ask_one, &three);
    player_expect(test, replier, "ask3 done3 ask1000 ask3 done3 ");
    player_expect(test, askers[0], "answer6 answer6 ");
    player_expect(test, askers[1], "error-77 ");
}

/* Whoever is asked in vain: the question fails in its time, and then there may be another one. */
static void test_a_limit_of_time(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, replier, rep_bind, NULL);
    player_do(test, asker, req_connect, NULL);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &silent);
    player_expect(test, asker, "");
    soma_test_advance(test, 2 * SOMA_SECOND);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_ETIMEOUT);
    player_expect(test, asker, expected);
    player_do(test, asker, ask_one, &three);
    snprintf(expected, sizeof(expected), "error%d answer6 ", SOMA_ETIMEOUT);
    player_expect(test, asker, expected);
}

static int close_desk(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_close_channel(self, "desk"), 0);
    return 0;
}

/* The answerer closes its channel, or ends, with a question open. */
static void test_who_is_asked_leaves(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, replier, rep_bind, NULL);
    player_do(test, asker, req_connect, NULL);
    player_do(test, asker, ask_one, &silent);
    player_do(test, replier, close_desk, NULL); // what it has taken on stays
    player_expect(test, asker, "");
    player_do(test, asker, close_desk, NULL);
    player_do(test, replier, rep_bind, NULL);
    player_do(test, asker, req_connect, NULL);
    player_do(test, asker, ask_one, &silent);
    assert_int_equal(soma_kill(soma_test_system(test), replier), 0);
    soma_test_settle(test);
    snprintf(expected, sizeof(expected), "error%d error%d ", SOMA_EGONE, SOMA_EGONE);
    player_expect(test, asker, expected);
    player_do(test, asker, ask_nobody, NULL);
}

/* A REQ that binds asks its REPs in turn. */
static void test_the_asker_binds(soma_test *test)
{
    soma_ref asker = player_open(test, &player_quiet), repliers[2];
    player_do(test, asker, req_bind, NULL);
    for (int i = 0; i < 2; i++) {
        repliers[i] = player_open(test, &player_quiet);
        player_do(test, repliers[i], rep_connect, NULL);
        player_peers(test, asker, "desk", i + 1);
    }
    player_do(test, asker, ask_one, &three);
    player_expect(test, asker, "answer6 ");
    player_do(test, asker, ask_one, &three);
    player_expect(test, repliers[0], "ask3 done3 ");
    player_expect(test, repliers[1], "ask3 done3 ");
    player_expect(test, asker, "answer6 answer6 ");
}

static int ask_two(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_true(question(self, 10) > 0);
    assert_true(question(self, 20) > 0);
    return 0;
}

/* An ASYNC_REQ asks as much as it likes, and the answers come as they are given. */
static void test_many_at_a_time(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    player_do(test, replier, async_bind, NULL);
    player_do(test, asker, req_connect, "async");
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_two, NULL);
    player_do(test, asker, ask_two, NULL);
    player_expect(test, asker, "answer40 answer1 answer40 answer1 ");
}

/* What the channel has no handler for is the asker's error. */
static int ask_wrongly(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_true(soma_request_to(self, "desk", SOMA_SECOND, SOMA_THEN(answer, player_answer, player_error), note) > 0);
    return 0;
}

static void test_no_handler(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, replier, rep_bind, NULL);
    player_do(test, asker, req_connect, NULL);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_wrongly, NULL);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EUNHANDLED);
    player_expect(test, asker, expected);
}

/* ---- pairs ---- */

static const soma_handler *const notes = SOMA_HANDLERS(SOMA_ON(note, player_note));

static int pair_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_PAIR, "other", "pair", notes);
    return 0;
}

static int pair_connect(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_connect(self, SOMA_PAIR, "other", "pair", notes);
    return 0;
}

static int pair_send(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_send_to(self, "other", note, .number = *(const uint32_t *)arg), 0);
    return 0;
}

/* Both ways; a third has to wait until its turn has come. */
static void test_a_pair(soma_test *test)
{
    soma_ref a = player_open(test, &player), b = player_open(test, &player), c = player_open(test, &player);
    player_do(test, a, pair_bind, NULL);
    player_do(test, b, pair_connect, NULL);
    player_do(test, c, pair_connect, NULL);
    player_do(test, a, pair_send, &three);
    player_do(test, b, pair_send, &refused);
    player_expect(test, a, "other:1 1000 ");
    player_expect(test, b, "other:1 3 ");
    player_expect(test, c, "");
    assert_int_equal(soma_kill(soma_test_system(test), b), 0);
    soma_test_settle(test);
    player_do(test, a, pair_send, &three);
    player_expect(test, a, "other:1 1000 other:0 other:1 ");
    player_expect(test, c, "other:1 3 ");
}

/* Over sockets a third may be connected for a moment; so this is about the first two. */
static void test_a_pair_of_two(soma_test *test)
{
    soma_ref a = player_open(test, &player), b = player_open(test, &player), c;
    player_do(test, a, pair_bind, NULL);
    player_do(test, b, pair_connect, NULL);
    player_peers(test, a, "other", 1);
    player_peers(test, b, "other", 1);
    player_do(test, a, pair_send, &three);
    player_do(test, b, pair_send, &refused);
    player_expect(test, a, "other:1 1000 ");
    player_expect(test, b, "other:1 3 ");
    assert_int_equal(soma_kill(soma_test_system(test), b), 0);
    player_peers(test, a, "other", 0);
    c = player_open(test, &player);
    player_do(test, c, pair_connect, NULL);
    player_peers(test, a, "other", 1);
    player_do(test, a, pair_send, &three);
    player_expect(test, c, "other:1 3 ");
}

/* What nobody answers fails when whoever was asked is gone. */
static void test_the_asked_ends(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, replier, rep_bind, NULL);
    player_do(test, asker, req_connect, NULL);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &silent);
    player_expect(test, replier, "ask2000 ");
    assert_int_equal(soma_kill(soma_test_system(test), replier), 0);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EGONE);
    player_expect(test, asker, expected);
    player_peers(test, asker, "desk", 0);
    player_do(test, asker, ask_nobody, NULL);
}

PLAYER_WIRES(test_one_at_a_time)
PLAYER_WIRES(test_the_asked_ends)
PLAYER_WIRES(test_the_asker_binds)
PLAYER_WIRES(test_many_at_a_time)
PLAYER_WIRES(test_no_handler)
PLAYER_WIRES(test_a_pair_of_two)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_TABLE(test_one_at_a_time, 200, 2000),
        SOMA_SIM(test_a_limit_of_time, 200, 2000),
        SOMA_SIM(test_who_is_asked_leaves, 200, 2000),
        SOMA_REAL(test_who_is_asked_leaves),
        PLAYER_TABLE(test_the_asked_ends, 200, 2000),
        PLAYER_TABLE(test_the_asker_binds, 200, 2000),
        PLAYER_TABLE(test_many_at_a_time, 200, 2000),
        PLAYER_TABLE(test_no_handler, 200, 2000),
        SOMA_SIM(test_a_pair, 200, 2000),
        SOMA_REAL(test_a_pair),
        PLAYER_TABLE(test_a_pair_of_two, 200, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
