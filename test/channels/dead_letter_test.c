/*
 * What has come for a channel, and is not handled as that or its agent ends, is a dead letter, wherever it came from;
 * over ipc and tcp also what ZeroMQ still had.
 */
#include "channels/line.h"
#include "channels/remote.h"
#include "player.h"
#include "runtime/spin.h"

#define MESSAGES 10u
#define LARGE 100000u
#define LARGE_ONES 40u /* far more than may wait for who reads */
#define BURIED 10000u  /* that are read of a socket at the end, at most */
#define MORE 20000u    /* than that, and may wait for who reads, beside it */

enum how { CLOSES, EXITS, FAILS, IS_KILLED, HOWS };

/* ---- who gets it, and is held until all have come ---- */

struct hold {
    enum how how;
    bool inproc;
    uint64_t bytes; /* that the socket must have brought, */
    bool gone;      /* and who has sent them must be gone: then ZeroMQ has read all that he left */
};

static int hold_end(soma_agent *self, enum how how)
{
    switch (how) {
    case CLOSES:
        return soma_close_channel(self, "it");
    case EXITS:
        soma_agent_exit(self, 0);
        return 0;
    case FAILS:
        return SOMA_EINVAL;
    default:
        return soma_kill(soma_agent_system(self), soma_self(self));
    }
}

static uint64_t bytes_taken(const soma_agent *self)
{
    struct line *line = channel_find(self, "it")->remote->line;
    pthread_mutex_lock(&line->use);
    uint64_t taken = line->taken;
    pthread_mutex_unlock(&line->use);
    return taken;
}

static uint32_t connections(const soma_agent *self)
{
    struct line *line = channel_find(self, "it")->remote->line;
    spin_lock(&line->busy);
    uint32_t count = line->connections;
    spin_unlock(&line->busy);
    return count;
}

static bool all_are_there(const soma_agent *self, const struct hold *hold)
{
    uint32_t mail;
    if (hold->inproc)
        return !soma_backlog(soma_agent_system(self), soma_self(self), &mail) && mail >= MESSAGES;
    return bytes_taken(self) >= hold->bytes && !(hold->gone && connections(self));
}

/* Handles nothing until then, and ends. It looks now and then, as nothing tells who is busy that something has come. */
static int hold_run(soma_agent *self, void *state, void *arg)
{
    const struct hold *hold = arg;
    const struct timespec moment = {0, 500000};
    (void)state;
    while (!all_are_there(self, hold))
        nanosleep(&moment, NULL);
    return hold_end(self, hold->how);
}

static int look_taken(soma_agent *self, void *state, void *arg)
{
    (void)state;
    *(uint64_t *)arg = bytes_taken(self);
    return 0;
}

static int on_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    my->notes++;
    return soma_reply(self, answer, .number = m->number);
}

static int on_chunk(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

/* It waits, so it has a thread of its own. */
static const soma_behavior holder = {.name = "holder", .state_size = sizeof(struct player), .blocking = true};

/* ---- who sends ---- */

static int send_some(soma_agent *self, void *state, void *arg)
{
    (void)state;
    for (uint32_t i = 0; i < *(const uint32_t *)arg; i++)
        assert_int_equal(soma_send_to(self, "it", note, .number = 1), 0);
    return 0;
}

static int ask_some(soma_agent *self, void *state, void *arg)
{
    (void)state;
    for (uint32_t i = 0; i < *(const uint32_t *)arg; i++)
        assert_true(soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(answer, player_answer, player_error), ask,
                                    .number = 1) > 0);
    return 0;
}

static int send_large(soma_agent *self, void *state, void *arg)
{
    static const char bytes[LARGE];
    (void)state, (void)arg;
    for (uint32_t i = 0; i < LARGE_ONES; i++)
        assert_int_equal(soma_send_to(self, "it", chunk, .data = {bytes, LARGE}), 0);
    assert_int_equal(soma_channel_linger(self, "it", 60000), 0);
    soma_agent_exit(self, 0);
    return 0;
}

/* ---- who watches ---- */

struct watcher {
    soma_ref of;
    uint32_t letters;
};

static int on_letter(soma_agent *self, struct watcher *my, const struct soma_dead_letter *m)
{
    (void)self;
    assert_int_equal(m->reason, SOMA_EGONE);
    my->of = m->to;
    my->letters++;
    return 0;
}

static int look_letters(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct watcher *)arg = *(const struct watcher *)state;
    return 0;
}

static const soma_behavior watcher = {.name = "watcher",
                                      .state_size = sizeof(struct watcher),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

static void letters_expect(soma_test *test, soma_ref ref, soma_ref of, uint32_t letters)
{
    struct watcher seen;
    uint32_t looks = 0;
    do
        player_do(test, ref, look_letters, &seen);
    while (seen.letters < letters && player_wait(&looks));
    assert_int_equal(seen.letters, letters);
    assert_true(soma_ref_equal(seen.of, of));
    assert_int_equal(player_stats(test).dead_letters, letters);
}

/* ---- what waits for its agent ---- */

struct kind {
    struct player_end binds, connects;
    bool asked;
};

static const struct kind kinds[] = {
    {{SOMA_PULL, "it", "it", PLAYER_NOTES}, {SOMA_PULL, "it", "it", NULL}, false},
    {{SOMA_PAIR, "it", "it", PLAYER_NOTES}, {SOMA_PAIR, "it", "it", NULL}, false},
    {{SOMA_SUB, "it", "it", PLAYER_NOTES}, {SOMA_SUB, "it", "it", NULL}, false},
    {{SOMA_ASYNC_REP, "it", "it", SOMA_HANDLERS(SOMA_ON(ask, on_ask))}, {SOMA_ASYNC_REP, "it", "it", NULL}, true},
};

/* The first is handled, and says how many bytes each is. */
static void waits_for_agent(soma_test *test, const struct kind *kind, enum how how, soma_ref watches, uint32_t letters)
{
    static const uint32_t one = 1, all = MESSAGES;
    struct hold *hold = soma_test_alloc(test, sizeof(*hold));
    soma_ref gets = player_open(test, &holder), sends = player_open(test, &player_quiet);
    uint32_t mail;
    *hold = (struct hold){how, player_transport == SOMA_INPROC, 0, false};
    player_move();
    player_do(test, gets, player_binds, &kind->binds);
    player_do(test, sends, player_connects, &kind->connects);
    player_peers(test, sends, "it", 1);
    assert_int_equal(soma_backlog(soma_test_system(test), gets, &mail), 0); // it counts from the first time on
    player_do(test, sends, kind->asked ? ask_some : send_some, &one);
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    do
        player_do(test, gets, player_look, look);
    while (!look->notes && player_wait(&looks));
    if (!hold->inproc)
        player_do(test, gets, look_taken, &hold->bytes);
    hold->bytes *= MESSAGES + 1;
    assert_int_equal(soma_post(soma_test_system(test), gets, hold_run, hold, NULL), 0);
    player_do(test, sends, kind->asked ? ask_some : send_some, &all);
    letters_expect(test, watches, gets, letters + MESSAGES);
    soma_kill(soma_test_system(test), sends);
    soma_kill(soma_test_system(test), gets);
    soma_test_settle(test);
}

static void test_waits_for_agent(soma_test *test)
{
    soma_ref watches = player_open(test, &watcher);
    uint32_t letters = 0;
    assert_int_equal(soma_dead_letters_watch(soma_test_system(test), watches), 0);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        for (enum how how = CLOSES; how < HOWS; how++, letters += MESSAGES)
            waits_for_agent(test, &kinds[i], how, watches, letters);
}

PLAYER_WIRES(test_waits_for_agent)

/* ---- what waits in ZeroMQ ---- */

static const struct player_end takes_large = {SOMA_PULL, "it", "it", SOMA_HANDLERS(SOMA_ON(chunk, on_chunk))};
static const struct player_end gives_large = {SOMA_PULL, "it", "it", NULL};

/* The socket is read no more while so much waits for the agent. */
static void waits_in_socket(soma_test *test, enum how how, soma_ref watches, uint32_t letters)
{
    struct hold *hold = soma_test_alloc(test, sizeof(*hold));
    soma_ref gets = player_open(test, &holder), sends = player_open(test, &player_quiet);
    *hold = (struct hold){how, false, LINE_WINDOW, true};
    player_move();
    player_do(test, gets, player_binds, &takes_large);
    player_do(test, sends, player_connects, &gives_large);
    player_peers(test, sends, "it", 1);
    assert_int_equal(soma_post(soma_test_system(test), gets, hold_run, hold, NULL), 0);
    player_do(test, sends, send_large, NULL);
    letters_expect(test, watches, gets, letters + LARGE_ONES);
    soma_kill(soma_test_system(test), gets);
    soma_test_settle(test);
}

static void test_waits_in_socket(soma_test *test)
{
    soma_ref watches = player_open(test, &watcher);
    assert_int_equal(soma_dead_letters_watch(soma_test_system(test), watches), 0);
    for (enum how how = CLOSES; how < HOWS; how++)
        waits_in_socket(test, how, watches, how * LARGE_ONES);
}

PLAYER_WIRES(test_waits_in_socket)

/* Whether it can be bound, into an int. */
static int takes_many(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("it", SOMA_PULL);
    (void)state;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    const soma_channel_options options = {
        .place = place, .handlers = PLAYER_NOTES, .serializer = "typed", .high_water = 2 * MORE};
    *(int *)arg = soma_bind(self, SOMA_PULL, "it", &options, NULL);
    return 0;
}

static int send_many_and_exit(soma_agent *self, void *state, void *arg)
{
    static const uint32_t many = MORE;
    (void)arg;
    send_some(self, state, (void *)(uintptr_t)&many);
    assert_int_equal(soma_channel_linger(self, "it", 60000), 0);
    soma_agent_exit(self, 0);
    return 0;
}

/* Once the place is free nothing more is read of what was bound there. */
static void takes_many_bind(soma_test *test, soma_ref ref)
{
    int *error = soma_test_alloc(test, sizeof(*error));
    uint32_t looks = 0;
    do
        player_do(test, ref, takes_many, error);
    while (*error == SOMA_EEXIST && player_wait(&looks));
    assert_int_equal(*error, 0);
}

/* Of more than so many no more are looked at, whatever ZeroMQ may keep. */
static void test_too_many_in_socket(soma_test *test)
{
    static const uint32_t one = 1;
    struct hold *hold = soma_test_alloc(test, sizeof(*hold));
    uint64_t *each = soma_test_alloc(test, sizeof(*each));
    soma_ref gets = player_open(test, &holder), sends = player_open(test, &player_quiet);
    player_move();
    takes_many_bind(test, gets);
    player_do(test, sends, player_connects, &gives_large);
    player_peers(test, sends, "it", 1);
    player_do(test, sends, send_some, &one);
    player_expect(test, gets, "1 ");
    player_do(test, gets, look_taken, each);
    *hold = (struct hold){CLOSES, false, *each + LINE_WINDOW, true};
    assert_int_equal(soma_post(soma_test_system(test), gets, hold_run, hold, NULL), 0);
    player_do(test, sends, send_many_and_exit, NULL);
    takes_many_bind(test, player_open(test, &player_quiet));
    // some may have been read as there was room again, before it was closed
    assert_in_range(player_stats(test).dead_letters, LINE_WINDOW / *each + BURIED, MORE - 1);
}

PLAYER_WIRES(test_too_many_in_socket)

/* ---- answers ---- */

/* Whose answers are here closes the channel: they are nobody's any more. */
static int ask_and_close(soma_agent *self, void *state, void *arg)
{
    static const uint32_t all = MESSAGES;
    ask_some(self, state, (void *)(uintptr_t)&all);
    return hold_run(self, state, arg);
}

static void test_answers_wait(soma_test *test)
{
    static const uint32_t one = 1;
    struct hold hold = {.how = CLOSES};
    soma_ref answers = player_open(test, &player_quiet), asks = player_open(test, &holder);
    player_do(test, answers, player_binds, &kinds[3].binds);
    player_do(test, asks, player_connects, &kinds[3].connects);
    player_peers(test, asks, "it", 1);
    player_do(test, asks, ask_some, &one);
    player_expect(test, asks, "answer1 ");
    player_do(test, asks, look_taken, &hold.bytes);
    hold.bytes *= MESSAGES + 1;
    player_do(test, asks, ask_and_close, &hold);
    player_expect_end(test, asks, "error-3 error-3 ");
    assert_int_equal(player_stats(test).late_replies, MESSAGES);
    assert_int_equal(player_stats(test).dead_letters, 0);
}

PLAYER_WIRES(test_answers_wait)

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(test_waits_for_agent), PLAYER_OVER_WIRES(test_waits_for_agent),
                                       PLAYER_OVER_WIRES(test_waits_in_socket),
                                       PLAYER_OVER_WIRES(test_too_many_in_socket),
                                       PLAYER_OVER_WIRES(test_answers_wait)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
