/* PUSH and PULL: each message to one, each in turn; whoever binds, in any order of start, whoever comes and goes. */
#include "player.h"

/* The ends, by who binds. */
static const struct player_end push_bound = {SOMA_PUSH, "out", "jobs", NULL};
static const struct player_end pull_to_push = {SOMA_PUSH, "in", "jobs", PLAYER_NOTES};
static const struct player_end pull_bound = {SOMA_PULL, "in", "jobs", PLAYER_NOTES};
static const struct player_end push_to_pull = {SOMA_PULL, "out", "jobs", NULL};

/* Sends as many as `arg` says, numbered from 1. */
static int send_some(soma_agent *self, void *state, void *arg)
{
    (void)state;
    for (uint32_t i = 1; i <= *(const uint32_t *)arg; i++)
        assert_int_equal(soma_send_to(self, "out", note, .number = i), 0);
    return 0;
}

static int send_in_vain(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_channel_peers(self, "out"), 0);
    assert_int_equal(soma_send_to(self, "out", note, .number = 1), SOMA_EAGAIN);
    return 0;
}

static const uint32_t two = 2, six = 6, burst = 64, thousand = 1000;

static int count_note(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

/* Also in the first that a system has to do, for which all memory is new: nobody is overloaded by that, and they are
 * fewer than a batch. */
static void test_the_first_burst(soma_test *test)
{
    const struct player_end counts = {SOMA_PUSH, "in", "jobs", SOMA_HANDLERS(SOMA_ON(note, count_note))};
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    soma_ref pusher = player_open(test, &player_quiet), pullers[4];
    player_do(test, pusher, player_binds, &push_bound);
    for (int i = 0; i < 4; i++) {
        pullers[i] = player_open(test, &player_quiet);
        player_do(test, pullers[i], player_connects, &counts);
    }
    player_do(test, pusher, send_some, &burst);
    for (int i = 0; i < 4; i++) {
        player_do(test, pullers[i], player_look, look);
        assert_int_equal(look->notes, burst / 4);
    }
}

static void test_each_in_turn(soma_test *test)
{
    soma_ref pusher = player_open(test, &player), pullers[3];
    player_do(test, pusher, player_binds, &push_bound);
    player_do(test, pusher, send_in_vain, NULL);
    for (int i = 0; i < 3; i++) {
        pullers[i] = player_open(test, &player);
        player_do(test, pullers[i], player_connects, &pull_to_push);
        player_peers(test, pusher, "out", i + 1);
    }
    player_do(test, pusher, send_some, &six);
    player_expect(test, pusher, "out:1 out:2 out:3 ");
    player_expect(test, pullers[0], "in:1 1 4 ");
    player_expect(test, pullers[1], "in:1 2 5 ");
    player_expect(test, pullers[2], "in:1 3 6 ");
}

static int send_thousand(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    for (uint32_t i = 0; i < thousand; i++)
        assert_int_equal(soma_send_to(self, "out", note, .number = 1), 0);
    return 0;
}

static int on_counted_note(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

static const struct player_end counting = {SOMA_PUSH, "in", "jobs", SOMA_HANDLERS(SOMA_ON(note, on_counted_note))};

/* What they have got in all. */
static uint32_t notes_sum(soma_test *test, const soma_ref *agents, int count)
{
    uint32_t sum = 0;
    for (int i = 0; i < count; i++) {
        struct player_look *look = soma_test_alloc(test, sizeof(*look));
        player_do(test, agents[i], player_look, look);
        sum += look->notes;
    }
    return sum;
}

/* On threads one may be overloaded for a moment, and is passed over then; but all get some, and nothing is lost. */
static void test_all_have_their_share(soma_test *test)
{
    soma_ref pusher = player_open(test, &player_quiet), pullers[3];
    uint32_t looks = 0;
    player_do(test, pusher, player_binds, &push_bound);
    for (int i = 0; i < 3; i++) {
        pullers[i] = player_open(test, &player_quiet);
        player_do(test, pullers[i], player_connects, &counting);
        player_peers(test, pusher, "out", i + 1);
    }
    player_do(test, pusher, send_thousand, NULL);
    while (notes_sum(test, pullers, 3) != thousand && player_wait(&looks))
        ;
    assert_int_equal(notes_sum(test, pullers, 3), thousand);
    for (int i = 0; i < 3; i++)
        assert_true(notes_sum(test, &pullers[i], 1) > 0);
}

static void test_all_arrive_at_one(soma_test *test)
{
    soma_ref puller = player_open(test, &player_quiet), pushers[3];
    player_do(test, puller, player_binds, &pull_bound);
    for (int i = 0; i < 3; i++) {
        pushers[i] = player_open(test, &player_quiet);
        player_do(test, pushers[i], player_connects, &push_to_pull);
        player_peers(test, pushers[i], "out", 1);
        player_do(test, pushers[i], send_some, &two);
        player_expect(test, puller, &"1 2 1 2 1 2 "[8 - 4 * i]);
    }
}

/* Who connects first is connected when the other one binds, and again when it does so anew. */
static void test_any_order_of_start(soma_test *test)
{
    soma_ref puller = player_open(test, &player), pusher = player_open(test, &player), again;
    player_do(test, puller, player_connects, &pull_to_push);
    player_expect(test, puller, "");
    player_do(test, pusher, player_binds, &push_bound);
    player_peers(test, pusher, "out", 1);
    player_do(test, pusher, send_some, &two);
    player_expect(test, puller, "in:1 1 2 ");
    assert_int_equal(soma_kill(soma_test_system(test), pusher), 0);
    soma_test_settle(test);
    player_expect(test, puller, "in:1 1 2 in:0 ");
    again = player_open(test, &player);
    player_do(test, again, player_binds, &push_bound);
    player_peers(test, again, "out", 1);
    player_do(test, again, send_some, &two);
    player_expect(test, puller, "in:1 1 2 in:0 in:1 1 2 ");
}

/* Over sockets ZeroMQ tells of an end a moment before it stops to send there. Its thread has done so by the time that
 * it lets another one in, which is why a fourth comes. */
static void test_who_is_gone_gets_nothing(soma_test *test)
{
    soma_ref pusher = player_open(test, &player), pullers[4];
    uint32_t looks = 0;
    player_do(test, pusher, player_binds, &push_bound);
    for (int i = 0; i < 3; i++) {
        pullers[i] = player_open(test, &player_quiet);
        player_do(test, pullers[i], player_connects, &pull_to_push);
        player_peers(test, pusher, "out", i + 1);
    }
    assert_int_equal(soma_kill(soma_test_system(test), pullers[0]), 0);
    player_do(test, pullers[1], player_closes, "in");
    player_peers(test, pusher, "out", 1);
    pullers[3] = player_open(test, &player_quiet);
    player_do(test, pullers[3], player_connects, &pull_to_push);
    player_peers(test, pusher, "out", 2);
    player_do(test, pusher, send_some, &two);
    while (notes_sum(test, pullers + 2, 2) != two && player_wait(&looks))
        ;
    assert_int_equal(notes_sum(test, pullers + 2, 2), two);
    player_expect(test, pullers[1], "");
    for (int i = 2; i < 4; i++)
        player_do(test, pullers[i], player_closes, "in");
    player_peers(test, pusher, "out", 0);
    player_do(test, pusher, send_in_vain, NULL);
    assert_int_equal(player_stats(test).dead_letters, 0);
}

static const soma_behavior narrow = {
    .name = "narrow", .state_size = sizeof(struct player), .limit = {.messages = 2, .policy = SOMA_REJECT}};

static int send_until_refused(soma_agent *self, void *state, void *arg)
{
    uint32_t sent = 0;
    (void)state;
    while (!soma_send_to(self, "out", note, .number = sent + 1))
        sent++;
    *(uint32_t *)arg = sent;
    return 0;
}

/* Who turns a message away is passed over; when all do, the sender knows. */
static void test_limits_hold(soma_test *test)
{
    soma_ref pusher = player_open(test, &player), pullers[2];
    player_do(test, pusher, player_binds, &push_bound);
    for (int i = 0; i < 2; i++) {
        pullers[i] = player_open(test, &narrow);
        player_do(test, pullers[i], player_connects, &pull_to_push);
    }
    uint32_t *sent = soma_test_alloc(test, sizeof(*sent));
    player_do(test, pusher, send_until_refused, sent);
    assert_int_equal(*sent, 4);
    player_expect(test, pullers[0], "1 3 ");
    player_expect(test, pullers[1], "2 4 ");
}

/* Over sockets that is not so: they are not read while enough waits. */
static void test_limits_turn_nothing_away(soma_test *test)
{
    soma_ref pusher = player_open(test, &player_quiet), puller = player_open(test, &narrow);
    player_do(test, pusher, player_binds, &push_bound);
    player_do(test, puller, player_connects, &pull_to_push);
    player_peers(test, pusher, "out", 1);
    player_do(test, pusher, send_some, &six);
    player_expect(test, puller, "1 2 3 4 5 6 ");
    assert_int_equal(player_stats(test).rejected, 0);
}

/* Four thousand notes from four at once to one: nothing is lost, and each sender's are in order. */
struct tallies {
    struct player player; /* of which the number of notes is used */
    uint32_t last[4];
};

static int on_counted(soma_agent *self, struct tallies *my, const struct note *m)
{
    uint32_t from = m->number >> 16, number = m->number & 0xffff;
    (void)self;
    assert_int_equal(number, ++my->last[from]);
    my->player.notes++;
    return 0;
}

static const struct player_end tallying = {SOMA_PULL, "in", "jobs", SOMA_HANDLERS(SOMA_ON(note, on_counted))};
static const soma_behavior tally = {.name = "tally", .state_size = sizeof(struct tallies)};

static int send_many(soma_agent *self, void *state, void *arg)
{
    uint32_t from = (uint32_t)(uintptr_t)arg;
    (void)state;
    for (uint32_t i = 1; i <= thousand; i++)
        assert_int_equal(soma_send_to(self, "out", note, .number = from << 16 | i), 0);
    return 0;
}

static void test_many_at_once(soma_test *test)
{
    soma_ref puller = player_open(test, &tally), pushers[4];
    uint32_t looks = 0;
    player_do(test, puller, player_binds, &tallying);
    for (int i = 0; i < 4; i++) {
        pushers[i] = player_open(test, &player_quiet);
        player_do(test, pushers[i], player_connects, &push_to_pull);
        player_peers(test, pushers[i], "out", 1);
    }
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(soma_post(soma_test_system(test), pushers[i], send_many, (void *)i, NULL), 0);
    while (notes_sum(test, &puller, 1) != 4 * thousand && player_wait(&looks))
        ;
    assert_int_equal(notes_sum(test, &puller, 1), 4 * thousand);
}

/* ---- what a handler has ---- */

#define LETTER_MOST 9000u

SOMA_MESSAGE(letter, (string, text), (bytes, data))

static const uint32_t letter_sizes[] = {0, 300, 1000, 3000, LETTER_MOST};

static bool letter_is_whole(const struct letter *m)
{
    const unsigned char *data = m->data.data;
    for (uint32_t i = 0; i < m->data.size; i++)
        if (data[i] != (unsigned char)(m->data.size + i))
            return false;
    return true;
}

/* It is whole as long as it is handled, whatever becomes of the channel, and can be passed on. */
static int on_letter(soma_agent *self, struct player *my, const struct letter *m)
{
    if (m->data.size == LETTER_MOST)
        assert_int_equal(soma_close_channel(self, "in"), 0);
    player_log(my, "%s%u%s ", m->text, m->data.size, letter_is_whole(m) ? "" : "?");
    return soma_forward(self, soma_self(self));
}

static int on_passed(soma_agent *self, struct player *my, const struct letter *m)
{
    (void)self;
    player_log(my, "passed%u%s ", m->data.size, letter_is_whole(m) ? "" : "?");
    my->notes++;
    return 0;
}

static int send_letters(soma_agent *self, void *state, void *arg)
{
    unsigned char data[LETTER_MOST];
    (void)state, (void)arg;
    for (size_t i = 0; i < sizeof(letter_sizes) / sizeof(*letter_sizes); i++) {
        for (uint32_t at = 0; at < letter_sizes[i]; at++)
            data[at] = (unsigned char)(letter_sizes[i] + at);
        assert_int_equal(soma_send_to(self, "out", letter, .text = "of", .data = {data, letter_sizes[i]}), 0);
    }
    return 0;
}

static const struct player_end letters = {SOMA_PULL, "in", "jobs", SOMA_HANDLERS(SOMA_ON(letter, on_letter))};
static const soma_behavior letter_reader = {
    .name = "reader", .state_size = sizeof(struct player), .handlers = SOMA_HANDLERS(SOMA_ON(letter, on_passed))};

/* In whatever order those that are passed on come between the others. */
static void test_letters(soma_test *test)
{
    soma_ref reader = player_open(test, &letter_reader), sender = player_open(test, &player_quiet);
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    player_do(test, reader, player_binds, &letters);
    player_do(test, sender, player_connects, &push_to_pull);
    player_peers(test, sender, "out", 1);
    player_do(test, sender, send_letters, NULL);
    soma_test_settle(test);
    do
        player_do(test, reader, player_look, look);
    while (look->notes < 5 && player_wait(&looks));
    for (size_t i = 0; i < sizeof(letter_sizes) / sizeof(*letter_sizes); i++) {
        char expected[2][32];
        snprintf(expected[0], sizeof(expected[0]), "of%u ", letter_sizes[i]);
        snprintf(expected[1], sizeof(expected[1]), "passed%u ", letter_sizes[i]);
        assert_non_null(strstr(look->log, expected[0]));
        assert_non_null(strstr(look->log, expected[1]));
    }
}

PLAYER_WIRES(test_letters)
PLAYER_WIRES(test_each_in_turn)
PLAYER_WIRES(test_all_have_their_share)
PLAYER_WIRES(test_all_arrive_at_one)
PLAYER_WIRES(test_any_order_of_start)
PLAYER_WIRES(test_who_is_gone_gets_nothing)
PLAYER_WIRES(test_limits_turn_nothing_away)
PLAYER_WIRES(test_many_at_once)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_the_first_burst, 20, 2000),
        SOMA_REAL(test_the_first_burst),
        SOMA_SIM(test_each_in_turn, 200, 2000),
        PLAYER_OVER_WIRES(test_each_in_turn),
        PLAYER_TABLE(test_all_have_their_share, 20, 100000),
        PLAYER_TABLE(test_all_arrive_at_one, 200, 2000),
        PLAYER_TABLE(test_any_order_of_start, 200, 2000),
        PLAYER_TABLE(test_who_is_gone_gets_nothing, 200, 2000),
        SOMA_SIM(test_limits_hold, 200, 2000),
        PLAYER_OVER_WIRES(test_limits_turn_nothing_away),
        PLAYER_TABLE(test_many_at_once, 5, 100000),
        PLAYER_TABLE(test_letters, 20, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
