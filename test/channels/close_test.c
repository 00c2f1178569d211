/*
 * A system that closes ends, whatever its channels were about when they were closed: others that left in the same
 * moment with much still on its way to them, a connection that was being made again, and signals.
 */
#include "channels/porter.h"
#include "channels/remote.h"
#include "plain.h"
#include "test_support.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#define PEERS 8u
#define LARGE 100000u
#define EACH 6u /* messages, more than a socket's buffer has room for */
#define ROUNDS 20u

static char place[SOMA_ADDRESS_TEXT_SIZE]; /* of the channels of a round */

/* Fewer where all is slow: what is looked for is no race that tools could see. */
static uint32_t rounds(void)
{
    const char *seeds = getenv("SOMA_SEEDS");
    uint32_t few = seeds ? (uint32_t)strtoul(seeds, NULL, 10) / 10 + 1 : ROUNDS;
    return test_load(few < ROUNDS ? few : ROUNDS);
}

/* Where nobody was before, who may not be gone. */
static void place_next(void)
{
    static uint32_t places;
    soma_address at = {.transport = player_transport, .pattern = SOMA_ANY_PATTERN, .host = "127.0.0.1"};
    if (player_transport == SOMA_TCP)
        at.port = player_free_port();
    else
        snprintf(at.host, sizeof(at.host), "/tmp/soma-%ld-closed%u", (long)getpid(), places++);
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
}

/* ---- the plain side ---- */

/* Sockets that read next to nothing, and are closed by a thread of their own. */
struct plain {
    void *sockets[PEERS];
    uint32_t count;
    pthread_t thread;
};

static void *plain_main(void *argument)
{
    struct plain *plain = argument;
    for (uint32_t i = 0; i < plain->count; i++)
        plain_close(plain->sockets[i]);
    return NULL;
}

/* One that is bound or connected where the test's channels are. */
static void *plain_socket(int kind, bool binds)
{
    void *socket = plain_open(kind, 1);
    if (kind == ZMQ_SUB)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    assert_int_equal((binds ? zmq_bind : zmq_connect)(socket, place), 0);
    return socket;
}

static void plain_come(struct plain *plain, int kind, uint32_t count, bool asks)
{
    *plain = (struct plain){.count = count};
    for (uint32_t i = 0; i < count; i++) {
        plain->sockets[i] = plain_socket(kind, false);
        for (uint32_t k = 0; k < EACH && asks; k++)
            plain_ask(plain->sockets[i], "?");
    }
}

static void plain_leave(struct plain *plain)
{
    assert_int_equal(pthread_create(&plain->thread, NULL, plain_main, plain), 0);
}

static void plain_gone(struct plain *plain)
{
    pthread_join(plain->thread, NULL);
}

/* ---- the channel's side ---- */

/* A pattern, and what leaves it. */
struct kind {
    soma_pattern pattern;
    int plain;
    uint32_t peers;
};

static const char bytes[LARGE];

static int on_question(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)m;
    my->notes++;
    return soma_reply(self, chunk, .data = {bytes, LARGE});
}

static int on_chunk(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

static int end_bind(soma_agent *self, void *state, void *arg)
{
    const struct kind *kind = arg;
    bool asked = pattern_answers(kind->pattern) || kind->pattern == SOMA_SYNC_PUB;
    (void)state;
    const soma_channel_options options = {.place = place,
                                          .serializer = "raw",
                                          .linger_ms = 10,
                                          .handlers = asked ? SOMA_HANDLERS(SOMA_ON(chunk, on_question)) : NULL};
    assert_int_equal(soma_bind(self, kind->pattern, "it", &options, NULL), 0);
    return 0;
}

static int flood(soma_agent *self, void *state, void *arg)
{
    (void)state;
    for (uint32_t i = 0; i < *(const uint32_t *)arg * EACH; i++)
        assert_int_equal(soma_send_to(self, "it", chunk, .data = {bytes, LARGE}), 0);
    return 0;
}

/* The others leave while it is closed: a little before, or a little after. */
static void closed_with_others(soma_test *test, const struct kind *kind)
{
    struct plain plain;
    bool asked = kind->pattern == SOMA_ASYNC_REP;
    soma_ref ref = player_open(test, &player_quiet);
    place_next();
    player_do(test, ref, end_bind, kind);
    plain_come(&plain, kind->plain, kind->peers, asked);
    player_peers(test, ref, "it", (int)kind->peers);
    if (!asked)
        player_do(test, ref, flood, &kind->peers);
    plain_leave(&plain);
    for (volatile uint64_t i = soma_test_random(test, 50000); i; i--)
        ;
    player_do(test, ref, player_closes, "it");
    plain_gone(&plain);
    assert_int_equal(soma_kill(soma_test_system(test), ref), 0);
    soma_test_settle(test);
}

static void test_others_leave(soma_test *test)
{
    static const struct kind kinds[] = {{SOMA_PUSH, ZMQ_PULL, PEERS},
                                        {SOMA_PUB, ZMQ_SUB, PEERS},
                                        {SOMA_SYNC_PUB, ZMQ_SUB, PEERS},
                                        {SOMA_ASYNC_REP, ZMQ_DEALER, PEERS},
                                        {SOMA_PAIR, ZMQ_PAIR, 1}};
    for (uint32_t i = 0; i < rounds() * sizeof(kinds) / sizeof(*kinds); i++)
        closed_with_others(test, &kinds[i % (sizeof(kinds) / sizeof(*kinds))]);
}

PLAYER_WIRES(test_others_leave)

/* Both sides of a channel are closed at once, by two agents, with or without a word between them, or as these end. */
static int words_send(soma_agent *self, void *state, void *arg)
{
    const struct kind *kind = arg;
    (void)state;
    if (pattern_answers(kind->pattern))
        return 0;
    for (uint32_t i = 0; i < EACH; i++)
        soma_send_to(self, "it", chunk, .data = {bytes, LARGE}); // nobody may be there any more
    return 0;
}

static int other_connect(soma_agent *self, void *state, void *arg)
{
    const struct kind *kind = arg;
    const soma_pattern own = soma_pattern_twin(kind->pattern);
    soma_address at;
    const soma_channel_options options = {
        .serializer = "raw",
        .linger_ms = 10,
        .handlers = pattern_asks(own) && !pattern_subscribes(own) ? NULL : SOMA_HANDLERS(SOMA_ON(chunk, on_chunk))};
    (void)state;
    assert_int_equal(soma_address_parse(place, &at), 0);
    at.pattern = kind->pattern;
    assert_int_equal(soma_connect_with(self, &at, "it", &options), 0);
    if (!pattern_asks(own))
        return 0;
    for (uint32_t i = 0; i < EACH; i++) // nobody may be there yet
        soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(chunk, on_chunk, player_error), chunk, .data = {"?", 1});
    return 0;
}

static void both_leave(soma_test *test, const struct kind *kind, uint32_t round)
{
    soma_system *system = soma_test_system(test);
    soma_ref bound = player_open(test, &player_quiet), connected = player_open(test, &player_quiet);
    place_next();
    player_do(test, bound, end_bind, kind);
    player_do(test, connected, other_connect, kind);
    if (round % 2)
        player_peers(test, bound, "it", 1);
    assert_int_equal(soma_post(system, bound, words_send, (void *)(uintptr_t)kind, NULL), 0);
    if (round % 3) {
        assert_int_equal(soma_post(system, connected, player_closes, "it", NULL), 0);
        assert_int_equal(soma_post(system, bound, player_closes, "it", NULL), 0);
    }
    assert_int_equal(soma_kill(system, bound), 0);
    assert_int_equal(soma_kill(system, connected), 0);
    soma_test_settle(test);
}

static void test_both_leave(soma_test *test)
{
    static const struct kind kinds[] = {{SOMA_PUSH, 0, 1}, {SOMA_PUB, 0, 1},       {SOMA_SYNC_PUB, 0, 1},
                                        {SOMA_REP, 0, 1},  {SOMA_ASYNC_REP, 0, 1}, {SOMA_PAIR, 0, 1}};
    for (uint32_t i = 0; i < rounds() * sizeof(kinds) / sizeof(*kinds); i++)
        both_leave(test, &kinds[i % (sizeof(kinds) / sizeof(*kinds))], i / (sizeof(kinds) / sizeof(*kinds)));
}

PLAYER_WIRES(test_both_leave)

/* ---- a connection that is made again ---- */

/* As if ZeroMQ had said nothing for long of what it does about a connection that has ended. */
static int lose(soma_agent *self, void *state, void *arg)
{
    struct line *line = channel_find(self, "it")->remote->line;
    (void)state, (void)arg;
    pthread_mutex_lock(&line->porter->post.turn);
    line->lost = 1;
    pthread_mutex_unlock(&line->porter->post.turn);
    line_stir(line);
    return 0;
}

static int end_connect(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {.serializer = "raw", .linger_ms = 10};
    soma_address at;
    (void)state, (void)arg;
    assert_int_equal(soma_address_parse(place, &at), 0);
    at.pattern = SOMA_PULL;
    assert_int_equal(soma_connect_with(self, &at, "it", &options), 0);
    return 0;
}

/* What was left for the first connection holds nobody up when nobody comes for it. */
static void test_connected_again(soma_test *test)
{
    static const uint32_t two = 2;
    place_next();
    soma_ref sends = player_open(test, &player_quiet);
    void *takes = plain_socket(ZMQ_PULL, true);
    player_do(test, sends, end_connect, NULL);
    player_peers(test, sends, "it", 1);
    player_do(test, sends, flood, &two);
    plain_close(takes);
    player_peers(test, sends, "it", 0);
    player_do(test, sends, lose, NULL);
    player_do(test, sends, player_closes, "it");
}

PLAYER_WIRES(test_connected_again)

/* ---- signals ---- */

static void on_signal(int number)
{
    (void)number;
}

static int sender_ready(soma_agent *self, void *state)
{
    static const struct kind push = {SOMA_PUSH, 0, 1};
    return end_bind(self, state, (void *)(uintptr_t)&push);
}

static int sender_changed(soma_agent *self, struct player *my, const struct soma_channel_changed *m)
{
    static const uint32_t one = 1;
    int error = m->peers ? flood(self, my, (void *)(uintptr_t)&one) : 0;
    return error || !m->peers ? error : soma_system_stop(soma_agent_system(self));
}

static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct player),
                                     .ready = sender_ready,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, sender_changed))};

static uint32_t threads_count(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Signals come all the time while a system waits for what lingers: none of its threads is left. */
static void test_signals(void **state)
{
    const struct sigaction action = {.sa_handler = on_signal};
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct plain plain;
    soma_system *system;
    soma_ref ref;
    (void)state;
    player_transport = SOMA_IPC;
    place_next();
    plain_come(&plain, ZMQ_PULL, 1, false);
    uint32_t before = threads_count();
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &sender, NULL, &ref), 0);
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    soma_system_close(&system);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(threads_count(), before);
    plain_leave(&plain);
    plain_gone(&plain);
    player_transport = SOMA_INPROC;
}

int main(void)
{
    const struct CMUnitTest tests[] = {PLAYER_OVER_WIRES(test_others_leave), PLAYER_OVER_WIRES(test_connected_again),
                                       PLAYER_OVER_WIRES(test_both_leave), cmocka_unit_test(test_signals)};
    return cmocka_run_group_tests(tests, NULL, plain_end);
}
