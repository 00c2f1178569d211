/* Options of channels: the same meaning within a system, over ipc and over tcp. */
#include "channels/options.h"
#include "player.h"

static const soma_handler *const notes = PLAYER_NOTES;

/* ---- conflate: the newest alone ---- */

static soma_pattern conflates; /* the pattern that does */

static int open_both(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("newest", conflates);
    soma_channel_options takes = {.place = place, .conflate = true, .serializer = "typed"};
    (void)state, (void)arg;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    takes.handlers = conflates == SOMA_PULL ? notes : NULL;
    assert_int_equal(soma_bind(self, conflates, "in", &takes, NULL), 0);
    if (conflates == SOMA_SUB)
        assert_int_equal(soma_subscribe(self, "in", "a", notes), 0);
    player_connect(self, conflates, "out", "newest", NULL);
    return 0;
}

static uint64_t passed(soma_agent *self)
{
    soma_channel_counts counts;
    assert_int_equal(soma_channel_count(self, "in", &counts), 0);
    return counts.missed;
}

/* Sends as many as it is told; and does not return before those that are wanted have come, so that all wait. */
static int send_all(soma_agent *self, void *state, void *arg)
{
    static const char *const topics[] = {"a", "a", "c"};
    uint32_t count = *(const uint32_t *)arg, looks = 0,
             wanted = conflates == SOMA_SUB ? count - (count + 1) / 3 : count;
    uint64_t before = passed(self);
    (void)state;
    for (uint32_t i = 1; i <= count; i++) {
        const char *topic = conflates == SOMA_SUB ? topics[i % 3] : NULL;
        assert_int_equal(soma_channel_send(self, "out", topic, &note_type, &(struct note){i}), 0);
    }
    while (passed(self) < before + wanted - 1 && player_wait(&looks))
        ;
    return 0;
}

static uint64_t sum;

static int look_passed(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    sum = passed(self);
    return 0;
}

static const uint32_t one = 1, five = 5;

/* Of what waits the last one is handled; what nobody wants takes no place. */
static void conflate(soma_test *test, soma_pattern pattern, const char *first, const char *both, uint64_t missed)
{
    soma_ref agent = player_open(test, &player_quiet);
    conflates = pattern;
    player_do(test, agent, open_both, NULL);
    player_peers(test, agent, "out", 1);
    player_do(test, agent, send_all, &five);
    player_expect(test, agent, first);
    player_do(test, agent, send_all, &one);
    player_expect(test, agent, both);
    player_do(test, agent, look_passed, NULL);
    assert_int_equal(sum, missed);
}

static void test_the_newest_job(soma_test *test)
{
    conflate(test, SOMA_PULL, "5 ", "5 1 ", 4);
}

static void test_the_newest_publication(soma_test *test)
{
    conflate(test, SOMA_SUB, "a4 ", "a4 a1 ", 2);
}

static int close_in(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_close_channel(self, "in");
}

static int send_and_close(soma_agent *self, void *state, void *arg)
{
    int error = send_all(self, state, arg);
    return error ? error : soma_post(soma_agent_system(self), soma_self(self), close_in, NULL, NULL);
}

/* What waits for its turn goes with its channel. */
static void test_closed_while_one_waits(soma_test *test)
{
    soma_ref agent = player_open(test, &player_quiet);
    conflates = SOMA_PULL;
    player_do(test, agent, open_both, NULL);
    player_peers(test, agent, "out", 1);
    player_do(test, agent, send_and_close, &five);
    player_expect(test, agent, "");
    assert_int_equal(player_stats(test).dead_letters, 1);
}

PLAYER_WIRES(test_the_newest_job)
PLAYER_WIRES(test_the_newest_publication)

/* ---- what is for some patterns only ---- */

struct misuse {
    soma_channel_options options;
    soma_pattern pattern;
    int error;
    const char *why; /* NULL: it is not looked at */
};

static int misuse(soma_agent *self, void *state, void *arg)
{
    static char name[SOMA_IDENTITY_MOST + 2];
    memset(name, 'n', sizeof(name) - 1);
    const struct misuse cases[] = {
        {{.conflate = true}, SOMA_PUSH, SOMA_EINVAL, NULL},
        {{.conflate = true}, SOMA_PAIR, SOMA_EINVAL, NULL},
        {{.conflate = true}, SOMA_SYNC_SUB, SOMA_EINVAL, NULL},
        {{.conflate = true, .handlers = notes}, SOMA_REP, SOMA_EINVAL, NULL},
        {{.conflate = true}, SOMA_SUB, 0, NULL},
        {{.identity = "me"}, SOMA_PUSH, SOMA_EINVAL, NULL},
        {{.identity = "me", .handlers = notes}, SOMA_REP, SOMA_EINVAL, NULL},
        {{.identity = "me"}, SOMA_SYNC_SUB, SOMA_EINVAL, NULL},
        {{.identity = ""}, SOMA_REQ, SOMA_EINVAL, NULL},
        {{.identity = name}, SOMA_REQ, SOMA_ETOOBIG, NULL},
        {{.identity = name + 1}, SOMA_REQ, 0, NULL},
        {{.identity = "me"}, SOMA_ASYNC_REQ, 0, NULL},
        {{.serializer = "xml"}, SOMA_PUSH, SOMA_EINVAL, "there is no serializer 'xml'"},
        {{.high_water = 1u << 31}, SOMA_PUSH, SOMA_EINVAL, "a push has a high_water over 2147483647"},
        {{.high_water = INT32_MAX}, SOMA_PUSH, 0, NULL},
        {{.message_most = 1}, SOMA_PUSH, SOMA_EINVAL, "a push has a message_most under 1000"},
        {{.message_most = 999, .handlers = notes}, SOMA_REP, SOMA_EINVAL, NULL},
        {{.message_most = 1000}, SOMA_PUSH, 0, NULL},
        {{.linger_ms = 1u << 31}, SOMA_PUSH, SOMA_EINVAL, "a push has a linger_ms over 2147483647"},
        {{.linger_ms = INT32_MAX}, SOMA_PUSH, 0, NULL},
        {{.identity = "me", .handlers = notes},
         SOMA_ASYNC_REP,
         SOMA_EINVAL,
         "an async-rep can't have an identity: that is for a req or an async-req"},
        {{.framing = SOMA_FRAMES_SEPARATED}, SOMA_PUSH, SOMA_EINVAL, "a push can't have such frames"},
        {{.handlers = notes}, SOMA_PUSH, SOMA_EINVAL, "a push has handlers"},
        {{0}, SOMA_PULL, SOMA_EINVAL, "a pull has no handlers"},
    };
    (void)state, (void)arg;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        soma_address at = player_at("misuse", cases[i].pattern);
        soma_channel_options options = cases[i].options;
        char place[SOMA_ADDRESS_TEXT_SIZE];
        assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
        assert_int_equal(soma_address_twin(&at, &at), 0);
        assert_int_equal(soma_connect_with(self, &at, "a", &options), cases[i].error);
        assert_int_equal(soma_close_channels(self), 0);
        options.place = place;
        assert_int_equal(soma_bind(self, cases[i].pattern, "a", &options, NULL), cases[i].error);
        if (cases[i].why)
            assert_non_null(strstr(channel_refused(self, cases[i].error), cases[i].why));
        assert_int_equal(soma_close_channels(self), 0);
    }
    return 0;
}

static void test_misuse(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), misuse, NULL);
}

PLAYER_WIRES(test_misuse)

/* ---- immediate: nothing waits for one who is not there ---- */

static int answer_it(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "%u ", m->number);
    return soma_reply(self, answer, .number = m->number);
}

static const soma_handler *const all = SOMA_HANDLERS(SOMA_ON(note, player_note), SOMA_ON(ask, answer_it));

static int takes_bind(soma_agent *self, void *state, void *arg)
{
    soma_pattern pattern = *(const soma_pattern *)arg;
    (void)state;
    player_bind(self, pattern, "in", "here", all);
    return 0;
}

static int gives_connect(soma_agent *self, void *state, void *arg)
{
    soma_pattern pattern = *(const soma_pattern *)arg;
    (void)state;
    player_connect(self, pattern, "out", "here", pattern == SOMA_PAIR ? notes : NULL);
    return 0;
}

/* By the twin of a pattern. */
static soma_handle give(soma_agent *self, soma_pattern pattern, uint32_t number)
{
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    if (pattern == SOMA_PULL || pattern == SOMA_PAIR)
        return soma_send_to(self, "out", note, .number = number);
    return soma_request_to(self, "out", SOMA_SECOND, then, ask, .number = number);
}

static int give_in_vain(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(give(self, *(const soma_pattern *)arg, 1), SOMA_EAGAIN);
    return 0;
}

static int give_two(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_true(give(self, *(const soma_pattern *)arg, 2) >= 0);
    return 0;
}

static void test_nothing_waits(soma_test *test)
{
    static const soma_pattern patterns[] = {SOMA_PULL, SOMA_PAIR, SOMA_REP, SOMA_ASYNC_REP, SOMA_SYNC_PUB};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        soma_ref gives = player_open(test, &player_quiet), takes = player_open(test, &player_quiet);
        player_do(test, gives, gives_connect, &patterns[i]);
        player_do(test, gives, give_in_vain, &patterns[i]);
        player_do(test, takes, takes_bind, &patterns[i]);
        player_peers(test, gives, "out", 1);
        player_do(test, gives, give_two, &patterns[i]);
        player_expect(test, takes, "2 ");
        assert_int_equal(soma_kill(soma_test_system(test), takes), 0);
        player_peers(test, gives, "out", 0);
        player_do(test, gives, give_in_vain, &patterns[i]);
        assert_int_equal(soma_kill(soma_test_system(test), gives), 0);
        soma_test_settle(test);
    }
}

PLAYER_WIRES(test_nothing_waits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_TABLE(test_the_newest_job, 200, 2000),     PLAYER_TABLE(test_the_newest_publication, 200, 2000),
        SOMA_SIM(test_closed_while_one_waits, 200, 2000), PLAYER_TABLE(test_misuse, 1, 2000),
        PLAYER_TABLE(test_nothing_waits, 200, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
