/*
 * What docs/channels.md promises of every pattern, pattern by pattern: in order and once, who sends is held up, who is
 * overloaded is passed over, and what a limit turns away is known to who has asked.
 */
#include "player.h"
#include "runtime/pressure.h"
#include "runtime/system.h"

/* ---- the two ends of a pattern ---- */

/* How a side that sends or asks is connected with one that takes. */
struct way {
    soma_pattern bound; /* by the side that takes, if `takes`, else by the other: each has handlers if it must */
    bool takes;
    bool asks;
};

#define WAYS 7
static const struct way ways[WAYS] = {
    {SOMA_PUSH, false, false}, {SOMA_PAIR, false, false},    {SOMA_PUB, false, false},    {SOMA_SYNC_PUB, false, false},
    {SOMA_REP, true, true},    {SOMA_ASYNC_REP, true, true}, {SOMA_SYNC_PUB, true, true},
};

/* What an end is opened by, and what handles what comes to it. */
struct opening {
    const struct way *way;
    const soma_handler *handlers;
};

static int takes_open(soma_agent *self, void *state, void *arg)
{
    const struct opening *opening = arg;
    (void)state;
    (opening->way->takes ? player_bind : player_connect)(self, opening->way->bound, "it", "way", opening->handlers);
    return 0;
}

static int sends_open(soma_agent *self, void *state, void *arg)
{
    const struct opening *opening = arg;
    bool must = opening->way->bound == SOMA_SYNC_PUB && !opening->way->takes;
    (void)state;
    (opening->way->takes ? player_connect : player_bind)(self, opening->way->bound, "it", "way",
                                                         must ? opening->handlers : NULL);
    return 0;
}

static int on_no_answer(soma_agent *self, struct player *my, const struct answer *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

/* As the way has it. */
static soma_handle give_by(soma_agent *self, const struct way *way, const char *alias, uint32_t number)
{
    const soma_then *then = SOMA_THEN(answer, on_no_answer, player_error);
    return way->asks ? soma_request_to(self, alias, SOMA_SECOND, then, ask, .number = number)
                     : soma_send_to(self, alias, note, .number = number);
}

static soma_handle give(soma_agent *self, const struct way *way, uint32_t number)
{
    return give_by(self, way, "it", number);
}

/* One who sends, and so many who take. */
static soma_ref way_open(soma_test *test, const struct way *way, const soma_handler *handlers,
                         const soma_behavior *behavior, soma_ref *takes, int count)
{
    struct opening *opening = soma_test_alloc(test, sizeof(*opening));
    soma_ref sends = player_open(test, &player_quiet);
    player_move();
    *opening = (struct opening){way, handlers};
    for (int i = 0; i < count; i++)
        takes[i] = player_open(test, behavior);
    if (!way->takes)
        player_do(test, sends, sends_open, opening);
    for (int i = 0; i < count; i++) {
        player_do(test, takes[i], takes_open, opening);
        if (!way->takes)
            player_peers(test, sends, "it", i + 1);
    }
    if (way->takes)
        player_do(test, sends, sends_open, opening);
    player_peers(test, sends, "it", way->takes ? 1 : count);
    return sends;
}

static void way_close(soma_test *test, soma_ref sends, const soma_ref *takes, int count)
{
    soma_kill(soma_test_system(test), sends);
    for (int i = 0; i < count; i++)
        soma_kill(soma_test_system(test), takes[i]);
    soma_test_settle(test);
}

/* ---- in order, and once ---- */

#define MANY 300u

static int on_next(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    assert_int_equal(m->number, my->notes);
    my->notes++;
    return 0;
}

static int on_next_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    assert_int_equal(m->number, my->notes);
    my->notes++;
    return soma_reply(self, answer, .number = m->number);
}

#define ONE_AT_A_TIME 1u /* the tag of a question whose answer is followed by the next one */

static void ask_next(soma_agent *self, uint32_t number, uint64_t tag);

static int on_next_answer(soma_agent *self, struct player *my, const struct answer *m)
{
    assert_int_equal(m->number, my->notes);
    my->notes++;
    if (soma_tag(self) == ONE_AT_A_TIME && my->notes < MANY)
        ask_next(self, my->notes, ONE_AT_A_TIME);
    return 0;
}

static void ask_next(soma_agent *self, uint32_t number, uint64_t tag)
{
    const soma_then *then = SOMA_THEN(answer, on_next_answer, player_error, .tag = tag);
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = number) > 0);
}

static const soma_handler *const in_order = SOMA_HANDLERS(SOMA_ON(note, on_next), SOMA_ON(ask, on_next_ask));

/* A REQ has but one question at a time: it begins. */
static int give_many(soma_agent *self, void *state, void *arg)
{
    const struct way *way = arg;
    (void)state;
    if (way->bound == SOMA_REP)
        ask_next(self, 0, ONE_AT_A_TIME);
    for (uint32_t i = 0; i < MANY && way->bound != SOMA_REP; i++)
        if (way->asks)
            ask_next(self, i, 0);
        else
            assert_int_equal(soma_send_to(self, "it", note, .number = i), 0);
    return 0;
}

static void notes_wait(soma_test *test, soma_ref agent)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    do
        player_do(test, agent, player_look, look);
    while (look->notes < MANY && player_wait(&looks));
    assert_int_equal(look->notes, MANY);
}

/* Answers, too. */
static void test_in_order_and_once(soma_test *test)
{
    for (int i = 0; i < WAYS; i++) {
        soma_ref takes;
        soma_ref sends = way_open(test, &ways[i], in_order, &player_quiet, &takes, 1);
        player_do(test, sends, give_many, &ways[i]);
        notes_wait(test, takes);
        if (ways[i].asks)
            notes_wait(test, sends);
        way_close(test, sends, &takes, 1);
    }
}

PLAYER_WIRES(test_in_order_and_once)

/* ---- held up, within a system ---- */

static uint32_t moment; /* of what happens, in any agent: in a simulation one acts at a time */

static int on_moment(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self, (void)m;
    player_log(my, "got%u ", moment++);
    return 0;
}

static int on_moment_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    (void)m;
    player_log(my, "got%u ", moment++);
    return soma_reply(self, answer, .number = 1);
}

static const soma_handler *const moments = SOMA_HANDLERS(SOMA_ON(note, on_moment), SOMA_ON(ask, on_moment_ask));

struct burden {
    const struct way *way;
    soma_ref overloaded[2];
    int count;
    bool given;
};

static int nothing(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)state, (void)arg;
    return 0;
}

/* They are as who has handled a batch, and has more. */
static int give_to_overloaded(soma_agent *self, void *state, void *arg)
{
    struct burden *burden = arg;
    soma_system *system = soma_agent_system(self);
    (void)state;
    for (int i = 0; i < burden->count; i++) {
        assert_int_equal(soma_post(system, burden->overloaded[i], nothing, NULL, NULL), 0);
        u32_store(&system->slots.base[burden->overloaded[i].slot].pressure, PRESSURE_OVERLOADED);
    }
    assert_true(give(self, burden->way, 1) >= 0);
    burden->given = true;
    return 0;
}

static int next_turn(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)arg;
    player_log(state, "next%u ", moment++);
    return 0;
}

/* Its next turn comes when who gets it has caught up, whatever the order in which agents run. */
static void test_who_sends_is_held_up(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct burden *burden = soma_test_alloc(test, sizeof(*burden));
    for (int i = 0; i < WAYS; i++) {
        soma_ref takes;
        soma_ref sends = way_open(test, &ways[i], moments, &player_quiet, &takes, 1);
        moment = 0;
        *burden = (struct burden){&ways[i], {takes}, 1, false};
        assert_int_equal(soma_post(system, sends, give_to_overloaded, burden, NULL), 0);
        while (!burden->given)
            assert_true(soma_test_step(test));
        assert_int_equal(soma_post(system, sends, next_turn, NULL, NULL), 0);
        player_expect(test, takes, "got0 ");
        player_expect(test, sends, "next1 ");
        way_close(test, sends, &takes, 1);
    }
}

/* ---- passed over ---- */

static int on_number(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    player_log(my, "%u ", m->number);
    return 0;
}

static int on_number_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "%u ", m->number);
    return soma_reply(self, answer, .number = 1);
}

static const soma_handler *const numbers = SOMA_HANDLERS(SOMA_ON(note, on_number), SOMA_ON(ask, on_number_ask));

/* Who sends to one each in turn, and is bound. */
static const struct way in_turn[] = {{SOMA_PUSH, false, false}, {SOMA_REQ, false, true}, {SOMA_ASYNC_REQ, false, true}};

/* The first one is, while the second is not; if both are, it is the first one's turn. */
static void test_the_overloaded_are_passed_over(soma_test *test)
{
    struct burden *burden = soma_test_alloc(test, sizeof(*burden));
    for (size_t i = 0; i < sizeof(in_turn) / sizeof(*in_turn); i++) {
        soma_ref takes[2];
        soma_ref sends = way_open(test, &in_turn[i], numbers, &player_quiet, takes, 2);
        *burden = (struct burden){&in_turn[i], {takes[0]}, 1, false};
        player_do(test, sends, give_to_overloaded, burden);
        player_do(test, sends, give_to_overloaded, burden);
        player_expect(test, takes[1], "1 1 ");
        *burden = (struct burden){&in_turn[i], {takes[0], takes[1]}, 2, false};
        player_do(test, sends, give_to_overloaded, burden);
        player_expect(test, takes[0], "1 ");
        player_expect(test, takes[1], "1 1 ");
        way_close(test, sends, takes, 2);
    }
}

/* ---- limits ---- */

static const soma_behavior narrow = {
    .name = "narrow", .state_size = sizeof(struct player), .limit = {.messages = 1, .policy = SOMA_REJECT}};

/* Of a REQ there is one question at a time: so the second one is that of another REQ, which the agent has, too. */
static const char *second_alias(const struct way *way)
{
    return way->bound == SOMA_REP ? "too" : "it";
}

static int second_open(soma_agent *self, void *state, void *arg)
{
    const struct way *way = arg;
    (void)state;
    player_connect(self, way->bound, second_alias(way), "way", NULL);
    return 0;
}

static int ask_two(soma_agent *self, void *state, void *arg)
{
    assert_true(give(self, arg, 1) > 0);
    soma_handle handle = give_by(self, arg, second_alias(arg), 2);
    return handle < 0 ? player_error(self, state, &(const int){(int)handle}) : 0;
}

/* By who was turned away. */
static int ask_again(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_true(give_by(self, arg, second_alias(arg), 3) > 0);
    return 0;
}

/* The question that is too many, and no other one: who has asked it may ask again. */
static void test_limits_fail_questions(soma_test *test)
{
    char expected[32];
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EAGAIN);
    for (int i = 0; i < WAYS; i++) {
        soma_ref takes;
        if (!ways[i].asks)
            continue;
        soma_ref sends = way_open(test, &ways[i], numbers, &narrow, &takes, 1);
        if (ways[i].bound == SOMA_REP) {
            player_do(test, sends, second_open, &ways[i]);
            player_peers(test, sends, "too", 1);
        }
        player_do(test, sends, ask_two, &ways[i]);
        player_expect(test, takes, "1 ");
        player_expect(test, sends, expected);
        player_do(test, sends, ask_again, &ways[i]);
        player_expect(test, takes, "1 3 ");
        player_expect(test, sends, expected);
        way_close(test, sends, &takes, 1);
    }
}

/* ---- several handlers for one message ---- */

static int on_first(soma_agent *self, struct player *my, const struct note *m)
{
    player_log(my, "first%u ", m->number);
    return m->number == 3 ? soma_close_channel(self, "it") : 0;
}

static int on_second(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    player_log(my, "second%u ", m->number);
    return 0;
}

static int on_first_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    (void)m;
    player_log(my, "first ");
    return soma_reply(self, answer, .number = 1);
}

static int on_second_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    (void)self, (void)m;
    player_log(my, "second ");
    return 0;
}

static const soma_handler *const two_each = SOMA_HANDLERS(SOMA_ON(note, on_first), SOMA_ON(ask, on_first_ask),
                                                          SOMA_ON(ask, on_second_ask), SOMA_ON(note, on_second));

static int give_number(soma_agent *self, void *state, void *arg)
{
    const struct burden *burden = arg;
    (void)state;
    for (uint32_t i = 2; i <= 4; i++)
        assert_true(give(self, burden->way, i) >= 0 || burden->way->asks);
    return 0;
}

/* They run in their order, unless one closes the channel; a question has the first alone. */
static void test_several_handlers(soma_test *test)
{
    struct burden *burden = soma_test_alloc(test, sizeof(*burden));
    for (int i = 0; i < WAYS; i++) {
        soma_ref takes;
        soma_ref sends = way_open(test, &ways[i], two_each, &player_quiet, &takes, 1);
        burden->way = &ways[i];
        player_do(test, sends, give_number, burden);
        player_expect(test, takes,
                      !ways[i].asks               ? "first2 second2 first3 "
                      : ways[i].bound == SOMA_REP ? "first "
                                                  : "first first first ");
        way_close(test, sends, &takes, 1);
    }
}

PLAYER_WIRES(test_several_handlers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_TABLE(test_in_order_and_once, 5, 100000),
        SOMA_SIM(test_who_sends_is_held_up, 200, 2000),
        SOMA_SIM(test_the_overloaded_are_passed_over, 200, 2000),
        SOMA_SIM(test_limits_fail_questions, 200, 2000),
        PLAYER_TABLE(test_several_handlers, 50, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
