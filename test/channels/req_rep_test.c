/* REQ and REP, ASYNC_REQ and ASYNC_REP, PAIR: one question at a time or many, answers now and later, errors, limits of
 * time. */
#include "player.h"

#define REFUSES 1000u /* from this number on */
#define SILENT 2000u
#define BRIEF 3000u /* silent, and the question is not for long */

static int on_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    if (m->number >= SILENT)
        return (my->promise = soma_reply_later(self)) < 0;
    if (m->number >= REFUSES)
        return soma_reply_error(self, soma_fail(self, -77, "over %u", REFUSES));
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

#define ASKS SOMA_HANDLERS(SOMA_ON(ask, on_ask))

/* The ends, by who binds. */
static const struct player_end rep_bound = {SOMA_REP, "desk", "desk", ASKS};
static const struct player_end req_to_rep = {SOMA_REP, "desk", "desk", NULL};
static const struct player_end req_bound = {SOMA_REQ, "desk", "desk", NULL};
static const struct player_end rep_to_req = {SOMA_REQ, "desk", "desk", ASKS};
static const struct player_end async_bound = {SOMA_ASYNC_REP, "desk", "desk",
                                              SOMA_HANDLERS(SOMA_ON(ask, on_ask_later))};
static const struct player_end req_to_async = {SOMA_ASYNC_REP, "desk", "desk", NULL};
static const struct player_end paired = {SOMA_PAIR, "other", "pair", PLAYER_NOTES};

static int on_failed(soma_agent *self, struct player *my, const int *error)
{
    if (*error == -77)
        assert_string_equal(soma_error_text(self), "over 1000");
    return player_error(self, my, error);
}

static soma_handle question(soma_agent *self, uint32_t number)
{
    return soma_request_to(self, "desk", number >= BRIEF ? 100 * SOMA_MS : 20 * SOMA_SECOND,
                           SOMA_THEN(answer, player_answer, on_failed), ask, .number = number);
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

/* An ASYNC_REQ asks as many as it likes. */
static int ask_any(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_true(question(self, *(const uint32_t *)arg) > 0);
    return 0;
}

/* Who answers, by the pattern that is bound, and how who is connected to it asks. */
static const struct {
    soma_pattern answers;
    player_fn *ask;
} ways[] = {{SOMA_REP, ask_one}, {SOMA_ASYNC_REP, ask_any}};

#define WAYS (sizeof(ways) / sizeof(*ways))

/* They are connected, and know it. What was bound before is gone by then. */
static void desk_open(soma_test *test, soma_pattern answers, const soma_handler *handlers, soma_ref replier,
                      soma_ref asker)
{
    struct player_end *ends = soma_test_alloc(test, 2 * sizeof(*ends));
    ends[0] = (struct player_end){answers, "desk", "desk", handlers};
    ends[1] = (struct player_end){answers, "desk", "desk", NULL};
    player_move();
    player_do(test, replier, player_binds, &ends[0]);
    player_do(test, asker, player_connects, &ends[1]);
    player_peers(test, asker, "desk", 1);
}

static void desk_close(soma_test *test, soma_ref replier, soma_ref asker)
{
    assert_int_equal(soma_kill(soma_test_system(test), replier), 0);
    assert_int_equal(soma_kill(soma_test_system(test), asker), 0);
    soma_test_settle(test);
}

static const uint32_t three = 3, refused = REFUSES, silent = SILENT, brief = BRIEF;

static void test_one_at_a_time(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), askers[2];
    for (int i = 0; i < 2; i++) {
        askers[i] = player_open(test, &player_quiet);
        player_do(test, askers[i], player_connects, &req_to_rep);
        player_do(test, askers[i], ask_nobody, NULL);
    }
    player_do(test, replier, player_binds, &rep_bound);
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

static int answer_late(soma_agent *self, void *state, void *arg)
{
    (void)arg;
    assert_int_equal(soma_reply_to(self, ((struct player *)state)->promise, answer, .number = 1), 0);
    return 0;
}

static void late_expect(soma_test *test, uint64_t late)
{
    uint32_t looks = 0;
    while (player_stats(test).late_replies < late && player_wait(&looks))
        ;
    assert_int_equal(player_stats(test).late_replies, late);
}

/* Whoever is asked in vain: the question fails in its time, and then there may be another one. An answer that comes
 * too late is counted, and no more. */
static void test_a_limit_of_time(soma_test *test)
{
    char expected[64];
    for (size_t i = 0; i < WAYS; i++) {
        soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
        uint64_t late = player_stats(test).late_replies;
        desk_open(test, ways[i].answers, ASKS, replier, asker);
        player_do(test, asker, ways[i].ask, &brief);
        player_expect(test, replier, "ask3000 ");
        soma_test_advance(test, 200 * SOMA_MS);
        snprintf(expected, sizeof(expected), "error%d ", SOMA_ETIMEOUT);
        player_expect(test, asker, expected);
        player_do(test, asker, ways[i].ask, &three);
        snprintf(expected, sizeof(expected), "error%d answer6 ", SOMA_ETIMEOUT);
        player_expect(test, asker, expected);
        player_do(test, replier, answer_late, NULL);
        late_expect(test, late + 1);
        player_expect(test, asker, expected);
        desk_close(test, replier, asker);
    }
}

/* ---- by whom it likes ---- */

static int on_ask_here(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    return soma_reply(self, answer, .number = m->number * 2);
}

static const soma_behavior clerk = {
    .name = "clerk", .state_size = sizeof(struct player), .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask_here))};

static soma_ref clerk_ref;

static int on_ask_elsewhere(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "passed%u ", m->number);
    return soma_forward(self, clerk_ref);
}

static void test_another_answers(soma_test *test)
{
    for (size_t i = 0; i < WAYS; i++) {
        soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
        clerk_ref = player_open(test, &clerk);
        desk_open(test, ways[i].answers, SOMA_HANDLERS(SOMA_ON(ask, on_ask_elsewhere)), replier, asker);
        player_do(test, asker, ways[i].ask, &three);
        player_expect(test, asker, "answer6 ");
        player_expect(test, replier, "passed3 ");
        player_expect(test, clerk_ref, "ask3 ");
        desk_close(test, replier, asker);
    }
}

/* A question to one who never answers it. Both are connected. */
static void ask_in_vain(soma_test *test, soma_ref replier, soma_ref asker)
{
    player_do(test, replier, player_binds, &rep_bound);
    player_do(test, asker, player_connects, &req_to_rep);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &silent);
    player_expect(test, replier, "ask2000 ");
}

/* It fails when whoever was asked is gone. */
static void end_asked(soma_test *test, soma_ref replier, soma_ref asker)
{
    char expected[64];
    assert_int_equal(soma_kill(soma_test_system(test), replier), 0);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EGONE);
    player_expect(test, asker, expected);
    player_peers(test, asker, "desk", 0); // over sockets it is the connection's end that is seen last
    player_do(test, asker, ask_nobody, NULL);
}

static void test_the_asked_ends(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    ask_in_vain(test, replier, asker);
    end_asked(test, replier, asker);
}

/* What it has taken on stays when it closes its channel, within a system; and the place is free. */
static void test_the_asked_closes(soma_test *test)
{
    soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet),
             next = player_open(test, &player_quiet);
    ask_in_vain(test, replier, asker);
    player_do(test, replier, player_closes, "desk");
    player_expect(test, asker, "");
    player_do(test, next, player_binds, &rep_bound);
    player_do(test, asker, player_closes, "desk"); // what it has asked stays, too
    player_do(test, asker, player_connects, &req_to_rep);
    player_peers(test, asker, "desk", 1);
    player_expect(test, asker, "");
    assert_int_equal(soma_kill(soma_test_system(test), next), 0);
    end_asked(test, replier, asker);
}

/* A REQ that binds asks its REPs in turn. */
static void test_the_asker_binds(soma_test *test)
{
    soma_ref asker = player_open(test, &player_quiet), repliers[2];
    player_do(test, asker, player_binds, &req_bound);
    for (int i = 0; i < 2; i++) {
        repliers[i] = player_open(test, &player_quiet);
        player_do(test, repliers[i], player_connects, &rep_to_req);
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
    player_do(test, replier, player_binds, &async_bound);
    player_do(test, asker, player_connects, &req_to_async);
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
    player_do(test, replier, player_binds, &rep_bound);
    player_do(test, asker, player_connects, &req_to_rep);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_wrongly, NULL);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EUNHANDLED);
    player_expect(test, asker, expected);
}

/* ---- pairs ---- */

static int pair_send(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_send_to(self, "other", note, .number = *(const uint32_t *)arg), 0);
    return 0;
}

/* Both ways between two; then a third takes the place of one that ends, for which it may have waited. */
static void pair(soma_test *test, bool waits)
{
    soma_ref a = player_open(test, &player), b = player_open(test, &player), c = player_open(test, &player);
    player_do(test, a, player_binds, &paired);
    player_do(test, b, player_connects, &paired);
    player_peers(test, a, "other", 1);
    player_peers(test, b, "other", 1);
    if (waits)
        player_do(test, c, player_connects, &paired);
    player_do(test, a, pair_send, &three);
    player_do(test, b, pair_send, &refused);
    player_expect(test, a, "other:1 1000 ");
    player_expect(test, b, "other:1 3 ");
    assert_int_equal(soma_kill(soma_test_system(test), b), 0);
    soma_test_settle(test);
    if (!waits) {
        player_peers(test, a, "other", 0);
        player_do(test, c, player_connects, &paired);
    }
    player_expect(test, a, "other:1 1000 other:0 other:1 ");
    player_do(test, a, pair_send, &three);
    player_expect_end(test, c, "other:1 3 "); // it may have been turned away before, and have come again
}

static void test_a_pair(soma_test *test)
{
    pair(test, false);
}

static void test_a_third_waits(soma_test *test)
{
    pair(test, true);
}

PLAYER_WIRES(test_one_at_a_time)
PLAYER_WIRES(test_a_limit_of_time)
PLAYER_WIRES(test_another_answers)
PLAYER_WIRES(test_the_asked_ends)
PLAYER_WIRES(test_the_asker_binds)
PLAYER_WIRES(test_many_at_a_time)
PLAYER_WIRES(test_no_handler)
PLAYER_WIRES(test_a_pair)
PLAYER_WIRES(test_a_third_waits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_TABLE(test_one_at_a_time, 200, 2000),  SOMA_SIM(test_a_limit_of_time, 200, 2000),
        PLAYER_OVER_WIRES(test_a_limit_of_time),      PLAYER_TABLE(test_another_answers, 200, 2000),
        SOMA_SIM(test_the_asked_closes, 200, 2000),   SOMA_REAL(test_the_asked_closes),
        PLAYER_TABLE(test_the_asked_ends, 200, 2000), PLAYER_TABLE(test_the_asker_binds, 200, 2000),
        PLAYER_TABLE(test_many_at_a_time, 200, 2000), PLAYER_TABLE(test_no_handler, 200, 2000),
        PLAYER_TABLE(test_a_pair, 200, 2000),         PLAYER_TABLE(test_a_third_waits, 200, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
