/*
 * The ends of channels and connections over ipc and tcp: what was given before one still arrives, what was asked never
 * waits for ever, and how many are connected stays right whoever comes and goes.
 */
#include "player.h"
#include <stdlib.h>

static const soma_handler *const notes = PLAYER_NOTES;

/* ---- what was given just before ---- */

/* Answers, and closes in the same breath. */
static int on_last_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    (void)my;
    assert_int_equal(soma_reply(self, answer, .number = m->number + 1), 0);
    assert_int_equal(soma_close_channel(self, "desk"), 0);
    return 0;
}

static int on_last_word(soma_agent *self, struct player *my, const struct ask *m)
{
    (void)my;
    assert_int_equal(soma_reply(self, answer, .number = m->number + 1), 0);
    assert_int_equal(soma_publish(self, "desk", "last/", note, .number = 3), 0);
    soma_agent_exit(self, 0);
    return 0;
}

static int rep_closing(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_REP, "desk", "desk", SOMA_HANDLERS(SOMA_ON(ask, on_last_ask)));
    return 0;
}

static int pub_ending(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_SYNC_PUB, "desk", "desk", SOMA_HANDLERS(SOMA_ON(ask, on_last_word)));
    return 0;
}

static int connect_to(soma_agent *self, void *state, void *arg)
{
    soma_pattern pattern = *(const soma_pattern *)arg;
    (void)state;
    player_connect(self, pattern, "desk", "desk", pattern == SOMA_SYNC_PUB ? notes : NULL);
    return 0;
}

static int ask_one(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_true(soma_request_to(self, "desk", SOMA_NEVER, SOMA_THEN(answer, player_answer, player_error), ask,
                                .number = *(const uint32_t *)arg) > 0);
    return 0;
}

static const soma_pattern rep = SOMA_REP, async_rep = SOMA_ASYNC_REP, sync_pub = SOMA_SYNC_PUB;
static const uint32_t one = 1;

static void test_the_last_answer(soma_test *test)
{
    for (int i = 0; i < 20; i++) { // a lost one would be seen most times
        soma_ref replier = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
        player_do(test, replier, rep_closing, NULL);
        player_do(test, asker, connect_to, &rep);
        player_peers(test, asker, "desk", 1);
        player_do(test, asker, ask_one, &one);
        player_expect(test, asker, "answer2 ");
        assert_int_equal(soma_kill(soma_test_system(test), asker), 0);
        assert_int_equal(soma_kill(soma_test_system(test), replier), 0);
        soma_test_settle(test);
    }
}

static void test_the_last_word(soma_test *test)
{
    for (int i = 0; i < 20; i++) {
        soma_ref publisher = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
        player_do(test, publisher, pub_ending, NULL);
        player_do(test, asker, connect_to, &sync_pub);
        player_peers(test, asker, "desk", 1);
        player_peers(test, publisher, "desk", 1);
        player_do(test, asker, ask_one, &one);
        player_expect(test, asker, "answer2 last/3 ");
        assert_int_equal(soma_kill(soma_test_system(test), asker), 0);
        soma_test_settle(test);
    }
}

/* ---- what is open ---- */

static int on_ask_kept(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    return (my->promise = soma_reply_later(self)) < 0;
}

static int on_ask_now(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    return soma_reply(self, answer, .number = m->number * 2);
}

static int rep_keeping(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_connect(self, SOMA_ASYNC_REQ, "desk", "desk", SOMA_HANDLERS(SOMA_ON(ask, on_ask_kept)));
    return 0;
}

static int rep_prompt(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_connect(self, SOMA_ASYNC_REQ, "desk", "desk", SOMA_HANDLERS(SOMA_ON(ask, on_ask_now)));
    return 0;
}

static int req_binding(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_ASYNC_REQ, "desk", "desk", NULL);
    return 0;
}

static int close_desk(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_close_channel(self, "desk"), 0);
    return 0;
}

/* Of several who are asked one closes with a question open: the asker, who is connected to others, hears of it. */
static void test_one_of_several_closes(soma_test *test)
{
    soma_ref asker = player_open(test, &player_quiet), keeps = player_open(test, &player_quiet),
             prompt = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, asker, req_binding, NULL);
    player_do(test, keeps, rep_keeping, NULL);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &one);
    player_expect(test, keeps, "ask1 ");
    player_do(test, prompt, rep_prompt, NULL);
    player_peers(test, asker, "desk", 2);
    player_do(test, keeps, close_desk, NULL);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EGONE);
    player_expect(test, asker, expected);
    player_peers(test, asker, "desk", 1);
    // ZeroMQ may give a question to who has just gone, and then it is lost: so it is asked until it is answered.
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    do {
        if (looks % 500 == 0)
            player_do(test, asker, ask_one, &one);
        player_do(test, asker, player_look, look);
    } while (!strstr(look->log, "answer2 ") && player_wait(&looks));
    assert_non_null(strstr(look->log, "answer2 "));
}

/* Who closes what it asks through hears at once that there will be no answer. */
static void test_the_asker_closes(soma_test *test)
{
    soma_ref asker = player_open(test, &player_quiet), keeps = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, asker, req_binding, NULL);
    player_do(test, keeps, rep_keeping, NULL);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &one);
    player_expect(test, keeps, "ask1 ");
    player_do(test, asker, close_desk, NULL);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EGONE);
    player_expect(test, asker, expected);
}

static int pub_keeping(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_SYNC_PUB, "desk", "desk", SOMA_HANDLERS(SOMA_ON(ask, on_ask_kept)));
    return 0;
}

static int on_told(soma_agent *self, struct player *my, const int *error)
{
    player_log(my, "error%d:%s ", *error, soma_error_text(self));
    return 0;
}

static int ask_told(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_true(soma_request_to(self, "desk", SOMA_NEVER, SOMA_THEN(answer, player_answer, on_told), ask) > 0);
    return 0;
}

/* A publisher that closes says so to who has asked it: that is more than that the connection has ended. */
static void test_the_publisher_closes(soma_test *test)
{
    soma_ref publisher = player_open(test, &player_quiet), asker = player_open(test, &player_quiet);
    char expected[64];
    player_do(test, publisher, pub_keeping, NULL);
    player_do(test, asker, connect_to, &sync_pub);
    player_peers(test, publisher, "desk", 1);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_told, NULL);
    player_expect(test, publisher, "ask0 ");
    player_do(test, publisher, close_desk, NULL);
    snprintf(expected, sizeof(expected), "error%d:its channel is closed ", SOMA_EGONE);
    player_expect(test, asker, expected);
}

/* One who knows where `it/desk` is: at first at the first desk, and when it is told at the second. */
struct guide {
    soma_handle promise;
};

static void desk_print(const char *name, char text[SOMA_ADDRESS_TEXT_SIZE])
{
    soma_address desk = player_at(name, SOMA_ASYNC_REP);
    assert_true(soma_address_print(&desk, text, SOMA_ADDRESS_TEXT_SIZE) > 0);
}

static int on_find(soma_agent *self, struct guide *my, const struct soma_channel_find *m)
{
    char text[SOMA_ADDRESS_TEXT_SIZE];
    if (m->unless)
        return (my->promise = soma_reply_later(self)) < 0;
    desk_print("desk", text);
    return soma_reply(self, soma_channel_found, .address = text);
}

static int guide_on(soma_agent *self, void *state, void *arg)
{
    struct guide *my = state;
    char text[SOMA_ADDRESS_TEXT_SIZE];
    (void)arg;
    desk_print("other", text);
    soma_handle promise = my->promise;
    return soma_reply_to(self, promise, soma_channel_found, .address = text);
}

static const soma_behavior guides = {.name = "guide",
                                     .state_size = sizeof(struct guide),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_find, on_find))};

static int desk_bind(soma_agent *self, void *state, void *arg)
{
    char text[SOMA_ADDRESS_TEXT_SIZE];
    (void)state;
    desk_print(arg, text);
    const soma_channel_options options = {.place = text,
                                          .handlers = arg && !strcmp(arg, "desk")
                                                          ? SOMA_HANDLERS(SOMA_ON(ask, on_ask_kept))
                                                          : SOMA_HANDLERS(SOMA_ON(ask, on_ask_now))};
    assert_int_equal(soma_bind(self, SOMA_ASYNC_REP, "desk", &options, NULL), 0);
    return 0;
}

static int connect_by_name(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_connect_to(self, "it/desk", "desk", NULL, SOMA_NEVER), 0);
    return 0;
}

/* A channel moves with its name: what it has asked where it was is not waited for. */
static void test_the_asker_moves(soma_test *test)
{
    soma_ref first = player_open(test, &player_quiet), second = player_open(test, &player_quiet),
             guide = player_open(test, &guides), asker = player_open(test, &player_quiet);
    char expected[64];
    player_transport = SOMA_IPC; // a test over tcp has one port
    assert_int_equal(soma_name_set(soma_test_system(test), guide, SOMA_NAMES), 0);
    player_do(test, first, desk_bind, "desk");
    player_do(test, second, desk_bind, "other");
    player_do(test, asker, connect_by_name, NULL);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &one);
    player_expect(test, first, "ask1 ");
    player_do(test, guide, guide_on, NULL);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EGONE);
    player_expect(test, asker, expected);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_one, &one);
    snprintf(expected, sizeof(expected), "error%d answer2 ", SOMA_EGONE);
    player_expect(test, asker, expected);
    player_transport = SOMA_INPROC;
}

/* ---- what came before the end ---- */

#define MANY 120u
#define LARGE 100000u

struct collector {
    struct player player; /* for who looks at its peers */
    uint32_t answers;
    uint32_t errors;
    uint32_t asked;
};

static int on_chunk_asked(soma_agent *self, struct collector *my, const struct ask *m)
{
    (void)m;
    void *bytes = calloc(1, LARGE);
    assert_non_null(bytes);
    assert_int_equal(soma_reply(self, chunk, .data = {bytes, LARGE}), 0);
    free(bytes);
    if (++my->asked == MANY)
        soma_agent_exit(self, 0);
    return 0;
}

static int on_chunk_answer(soma_agent *self, struct collector *my, const struct chunk *m)
{
    (void)self;
    assert_int_equal(m->data.size, LARGE);
    my->answers++;
    return 0;
}

static int on_chunk_error(soma_agent *self, struct collector *my, const int *error)
{
    (void)self;
    assert_int_equal(*error, SOMA_EGONE);
    my->errors++;
    return 0;
}

static const soma_behavior collects = {.name = "collects", .state_size = sizeof(struct collector)};

static int chunks_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_ASYNC_REP, "desk", "desk", SOMA_HANDLERS(SOMA_ON(ask, on_chunk_asked)));
    return 0;
}

static int ask_many(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(soma_request_to(self, "desk", SOMA_NEVER, SOMA_THEN(chunk, on_chunk_answer, on_chunk_error), ask,
                                    .number = i) > 0);
    return 0;
}

static int look_collected(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct collector *)arg = *(const struct collector *)state;
    return 0;
}

/* More than may wait for a reader is on its way when whoever has answered ends: all of it is answers. */
static void test_answers_before_the_end(soma_test *test)
{
    struct collector *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0;
    soma_ref replier = player_open(test, &collects), asker = player_open(test, &collects);
    player_do(test, replier, chunks_bind, NULL);
    player_do(test, asker, connect_to, &async_rep);
    player_peers(test, asker, "desk", 1);
    player_do(test, asker, ask_many, NULL);
    do
        player_do(test, asker, look_collected, seen);
    while (seen->answers + seen->errors < MANY && player_wait(&looks));
    assert_int_equal(seen->errors, 0);
    assert_int_equal(seen->answers, MANY);
    player_peers(test, asker, "desk", 0);
}

/* ---- how many are there ---- */

static int pull_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_PULL, "in", "desk", notes);
    return 0;
}

static int push_connect(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_connect(self, SOMA_PULL, "out", "desk", NULL);
    return 0;
}

static int stranger_connect(void)
{
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(player_port())};
    int stranger = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(stranger >= 0);
    assert_int_equal(connect(stranger, (const struct sockaddr *)&name, sizeof(name)), 0);
    return stranger;
}

/* Until the other side has closed it. */
static void stranger_end(int stranger)
{
    char buffer[256];
    while (read(stranger, buffer, sizeof(buffer)) > 0)
        ;
    close(stranger);
}

/* A greeting as it should be, and behind it a frame of 2^56 bytes: so it fails without ZeroMQ's saying so. */
static void stranger_fail(void)
{
    unsigned char words[64 + 9] = {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    int stranger = stranger_connect();
    words[64] = 2;
    words[65] = 1;
    assert_int_equal(write(stranger, words, sizeof(words)), sizeof(words));
    stranger_end(stranger);
}

static void test_strangers_do_not_count(soma_test *test)
{
    player_transport = SOMA_TCP;
    soma_ref takes = player_open(test, &player_quiet), first = player_open(test, &player_quiet),
             second = player_open(test, &player_quiet);
    player_do(test, takes, pull_bind, NULL);
    player_do(test, first, push_connect, NULL);
    player_peers(test, takes, "in", 1);
    for (int i = 0; i < 3; i++)
        stranger_fail();
    player_do(test, second, push_connect, NULL);
    player_peers(test, takes, "in", 2);
    int idle = stranger_connect();
    assert_int_equal(soma_kill(soma_test_system(test), first), 0);
    assert_int_equal(soma_kill(soma_test_system(test), second), 0);
    soma_test_settle(test);
    player_peers(test, takes, "in", 1); // it may be the stranger, who has said nothing so far
    close(idle);
    player_peers(test, takes, "in", 0);
    player_transport = SOMA_INPROC;
}

PLAYER_WIRES(test_the_last_answer)
PLAYER_WIRES(test_the_last_word)
PLAYER_WIRES(test_one_of_several_closes)
PLAYER_WIRES(test_the_asker_closes)
PLAYER_WIRES(test_the_publisher_closes)
PLAYER_WIRES(test_answers_before_the_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_OVER_WIRES(test_the_last_answer),       PLAYER_OVER_WIRES(test_the_last_word),
        PLAYER_OVER_WIRES(test_one_of_several_closes), PLAYER_OVER_WIRES(test_the_asker_closes),
        PLAYER_OVER_WIRES(test_the_publisher_closes),  PLAYER_OVER_WIRES(test_answers_before_the_end),
        SOMA_REAL(test_strangers_do_not_count),        SOMA_REAL(test_the_asker_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
