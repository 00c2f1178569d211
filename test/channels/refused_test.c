/*
 * Connections that come to nothing, as the patterns or keys of the two sides don't fit: both hear of it, and why; and
 * nobody hears of any where all is well.
 */
#include "stranger.h"
#include <soma/log.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zmq.h>

/* ---- two sides ---- */

enum { SERVER, FRIEND, STRANGER, KEYS };

static struct {
    char public_key[SOMA_BRIDGE_KEY_SIZE];
    char secret_key[SOMA_BRIDGE_KEY_SIZE];
} keys[KEYS];

/* Two sides that don't fit, and what each of them hears. */
struct misfit {
    soma_pattern bound, connected;
    int bound_error, connected_error;
    bool bound_has_keys;
    int own; /* whose key it is that connects, and -1: none */
    int server;
};

static int on_refused(soma_agent *self, struct player *my, const struct soma_channel_refused *m)
{
    soma_channel_counts counts;
    assert_string_equal(m->alias, "it");
    assert_true(strlen(m->why) > 20);
    player_log(my, "%d ", m->error);
    assert_int_equal(soma_channel_count(self, "it", &counts), 0);
    assert_true(counts.refused >= (uint64_t)1 << my->notes++); // or more by now
    return 0;
}

static const soma_behavior hears = {.name = "hears",
                                    .state_size = sizeof(struct player),
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_refused, on_refused),
                                                              SOMA_ON(soma_channel_changed, player_changed))};

static const soma_handler *const notes = PLAYER_NOTES;

static const soma_handler *handlers_for(soma_pattern pattern)
{
    switch (pattern) {
    case SOMA_PUSH:
    case SOMA_PUB:
    case SOMA_REQ:
    case SOMA_ASYNC_REQ:
        return NULL;
    default:
        return notes;
    }
}

static int misfit_bind(soma_agent *self, void *state, void *arg)
{
    const struct misfit *misfit = arg;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("misfit", misfit->bound);
    const soma_channel_keys own = {.secret = keys[SERVER].secret_key, .allowed = keys[FRIEND].public_key};
    (void)state;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    const soma_channel_options options = {
        .place = place, .handlers = handlers_for(misfit->bound), .keys = misfit->bound_has_keys ? &own : NULL};
    assert_int_equal(soma_bind(self, misfit->bound, "it", &options, NULL), 0);
    return 0;
}

static int misfit_connect(soma_agent *self, void *state, void *arg)
{
    const struct misfit *misfit = arg;
    soma_address at = player_at("misfit", soma_pattern_twin(misfit->connected));
    const soma_channel_keys own = {.secret = misfit->own < 0 ? NULL : keys[misfit->own].secret_key,
                                   .server = keys[misfit->server].public_key};
    const soma_channel_options options = {.handlers = handlers_for(misfit->connected),
                                          .keys = misfit->own < 0 ? NULL : &own};
    (void)state;
    assert_int_equal(soma_connect_with(self, &at, "it", &options), 0);
    return 0;
}

/* It has heard why, or that the other side has closed the connection, which was first to see it. True if why. */
static bool refused_expect(soma_test *test, soma_ref agent, int error)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    bool why = false;
    do
        player_do(test, agent, player_look, look);
    while (!*look->log && player_wait(&looks));
    assert_true(*look->log);
    for (char *at = look->log; *at; at++) { // behind each number is a space
        long heard = strtol(at, &at, 10);
        if (heard != error && heard != SOMA_EGONE)
            fail_msg("'%s' is not all %d", look->log, error);
        why |= heard == error;
    }
    return why;
}

static void misfits(soma_test *test, const struct misfit *misfit)
{
    soma_ref bound = player_open(test, &hears), connected = player_open(test, &hears);
    player_move();
    player_do(test, bound, misfit_bind, misfit);
    player_do(test, connected, misfit_connect, misfit);
    bool why = refused_expect(test, connected, misfit->connected_error);
    why |= refused_expect(test, bound, misfit->bound_error);
    assert_true(why);
    player_do(test, bound, player_closes, "it");
    player_do(test, connected, player_closes, "it");
}

/* ---- patterns that ZeroMQ takes for fitting ---- */

static int ask_it(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    (void)state, (void)arg;
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = 1) > 0);
    return 0;
}

/* They connect, but a question to who can't answer makes no sense there, which is counted. */
static void test_questions_to_nobody(soma_test *test)
{
    static const struct misfit misfits_unseen[] = {{.bound = SOMA_REQ, .connected = SOMA_REQ, .own = -1},
                                                   {.bound = SOMA_REQ, .connected = SOMA_ASYNC_REQ, .own = -1},
                                                   {.bound = SOMA_ASYNC_REQ, .connected = SOMA_ASYNC_REQ, .own = -1},
                                                   {.bound = SOMA_PUB, .connected = SOMA_SYNC_SUB, .own = -1}};
    for (size_t i = 0; i < sizeof(misfits_unseen) / sizeof(*misfits_unseen); i++) {
        soma_ref bound = player_open(test, &player_quiet), connected = player_open(test, &player_quiet);
        soma_channel_counts counts;
        uint32_t looks = 0;
        player_move();
        player_do(test, bound, misfit_bind, &misfits_unseen[i]);
        player_do(test, connected, misfit_connect, &misfits_unseen[i]);
        player_peers(test, connected, "it", 1);
        player_do(test, connected, ask_it, NULL);
        do
            player_do(test, bound, player_counts, &counts);
        while (!counts.malformed && player_wait(&looks));
        assert_int_equal(counts.malformed, 1);
        assert_int_equal(counts.refused, 0);
        assert_int_equal(player_stats(test).late_replies, 0);
        player_do(test, bound, player_closes, "it");
        player_do(test, connected, player_closes, "it");
    }
}

PLAYER_WIRES(test_questions_to_nobody)

/* ---- patterns ---- */

static void test_patterns(soma_test *test)
{
    static const struct misfit of_patterns[] = {
        {SOMA_PUSH, SOMA_SUB, SOMA_ETYPE, SOMA_ETYPE, false, -1, 0},
        {SOMA_PULL, SOMA_REQ, SOMA_ETYPE, SOMA_ETYPE, false, -1, 0},
        {SOMA_REP, SOMA_PUSH, SOMA_ETYPE, SOMA_ETYPE, false, -1, 0},
        {SOMA_PUB, SOMA_PULL, SOMA_ETYPE, SOMA_ETYPE, false, -1, 0},
        {SOMA_PAIR, SOMA_SYNC_SUB, SOMA_ETYPE, SOMA_ETYPE, false, -1, 0},
    };
    for (size_t i = 0; i < 2 * sizeof(of_patterns) / sizeof(*of_patterns); i++) {
        player_transport = i % 2 ? SOMA_IPC : SOMA_TCP;
        misfits(test, &of_patterns[i / 2]);
    }
    player_transport = SOMA_INPROC;
}

/* ---- keys ---- */

static void test_keys(soma_test *test)
{
    static const struct misfit of_keys[] = {
        {SOMA_PULL, SOMA_PUSH, SOMA_EINVAL, SOMA_EINVAL, true, -1, 0},           // none
        {SOMA_PULL, SOMA_PUSH, SOMA_EINVAL, SOMA_EINVAL, false, FRIEND, SERVER}, // none there
        {SOMA_PULL, SOMA_PUSH, SOMA_EINVAL, SOMA_EINVAL, true, STRANGER, SERVER},
        {SOMA_PULL, SOMA_PUSH, SOMA_EINVAL, SOMA_EGONE, true, FRIEND, STRANGER},
        {SOMA_PULL, SOMA_REQ, SOMA_ETYPE, SOMA_EGONE, true, FRIEND, SERVER},
    };
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(soma_bridge_keygen(keys[i].public_key, keys[i].secret_key), 0);
    for (size_t i = 0; i < 2 * sizeof(of_keys) / sizeof(*of_keys); i++) {
        player_transport = i % 2 ? SOMA_IPC : SOMA_TCP;
        misfits(test, &of_keys[i / 2]);
    }
    player_transport = SOMA_INPROC;
}

/* ---- strangers ---- */

/* What the log has of them: how many there were, each time. */
struct told {
    char counts[256];
    atomic_uint lines; /* in the counts; the log is written behind the agents' backs */
};

static void refusals_keep(void *context, const soma_log_record *record)
{
    struct told *told = context;
    const char *count = strrchr(record->text, '(');
    if (!strstr(record->text, "no connection: ") || !count)
        return;
    strncat(told->counts, count, sizeof(told->counts) - strlen(told->counts) - 1);
    atomic_fetch_add(&told->lines, 1);
}

/* Until the other side has closed it. */
static void stranger_end(int stranger)
{
    char bytes[256];
    while (read(stranger, bytes, sizeof(bytes)) > 0)
        ;
    close(stranger);
}

static void refused_count_expect(soma_test *test, soma_ref agent, uint64_t refused)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    do
        player_do(test, agent, player_counts, counts);
    while (counts->refused < refused && player_wait(&looks));
    assert_int_equal(counts->refused, refused);
}

static const struct misfit pulls = {.bound = SOMA_PULL, .own = -1};

/* All are counted, and the 1st, 2nd, 4th, 8th … is told, to the channel and in the log. */
static void test_told_now_and_then(soma_test *test)
{
    unsigned char words[256];
    char expected[64];
    struct told *told = soma_test_alloc(test, sizeof(*told));
    *told = (struct told){0};
    soma_test_node_open(test, "node", &(soma_options){.log_sink = refusals_keep, .log_context = told});
    player_transport = SOMA_TCP;
    player_move();
    soma_ref bound = player_open(test, &hears);
    player_do(test, bound, misfit_bind, &pulls);
    for (uint64_t i = 1; i <= 17; i++) {
        int stranger = relay_dial(player_port());
        stranger_write(stranger, words, words_ready(words, "PUB"));
        stranger_end(stranger);
        refused_count_expect(test, bound, i);
    }
    const int e = SOMA_ETYPE;
    snprintf(expected, sizeof(expected), "%d %d %d %d %d ", e, e, e, e, e);
    player_expect(test, bound, expected);
    for (uint32_t looks = 0; atomic_load(&told->lines) < 5 && player_wait(&looks);)
        ;
    assert_string_equal(told->counts, "(1 so far)(2 so far)(4 so far)(8 so far)(16 so far)");
    player_transport = SOMA_INPROC;
}

/* Who is to speak ZeroMQ within so many ms; 0: as long as it is set to. */
static int handshake_ms;

int __real_zmq_setsockopt(void *socket, int option, const void *value, size_t size);
int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t size);

int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t size)
{
    if (option != ZMQ_HANDSHAKE_IVL || !handshake_ms)
        return __real_zmq_setsockopt(socket, option, value, size);
    assert_int_equal(*(const int *)value, 10000);
    return __real_zmq_setsockopt(socket, option, &handshake_ms, sizeof(handshake_ms));
}

/* Who connects and says nothing, or not all, is disconnected after ten seconds, which are fewer here. */
static void test_silent_strangers(soma_test *test)
{
    static const size_t said[] = {0, 1, 64};
    unsigned char words[256];
    player_transport = SOMA_TCP;
    player_move();
    soma_ref bound = player_open(test, &hears);
    handshake_ms = 100;
    player_do(test, bound, misfit_bind, &pulls);
    handshake_ms = 0;
    for (uint64_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        int stranger = relay_dial(player_port());
        words_ready(words, "PUSH");
        if (said[i])
            stranger_write(stranger, words, said[i]);
        stranger_end(stranger);
        refused_count_expect(test, bound, i + 1);
        player_peers(test, bound, "it", 0);
    }
    player_transport = SOMA_INPROC;
}

/* ---- all is well ---- */

static int none_refused(soma_agent *self, void *state, void *arg)
{
    soma_channel_counts counts;
    (void)state, (void)arg;
    assert_int_equal(soma_channel_count(self, "it", &counts), 0);
    assert_int_equal(counts.refused, 0);
    return 0;
}

static int in_vain_bind(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("misfit", SOMA_PUSH);
    (void)state, (void)arg;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "it", &(soma_channel_options){.place = place}, NULL), SOMA_EEXIST);
    return 0;
}

/* Who comes and goes in good order is not refused, nor is one who waits for his place, or finds it taken. */
static void test_nobody_is_refused(soma_test *test)
{
    static const struct misfit fits[] = {{SOMA_PULL, SOMA_PUSH, 0, 0, false, -1, 0},
                                         {SOMA_PAIR, SOMA_PAIR, 0, 0, false, -1, 0}};
    player_transport = SOMA_IPC;
    for (size_t i = 0; i < 2; i++) {
        soma_ref bound = player_open(test, &hears), first = player_open(test, &hears);
        soma_ref second = player_open(test, &hears);
        player_move();
        player_do(test, bound, misfit_bind, &fits[i]);
        player_do(test, first, in_vain_bind, NULL);
        player_do(test, first, misfit_connect, &fits[i]);
        player_peers(test, bound, "it", 1);
        player_do(test, second, misfit_connect, &fits[i]);
        player_do(test, first, player_closes, "it");
        player_peers(test, second, "it", 1);
        player_peers(test, bound, "it", 1);
        for (int k = 0; k < 2; k++)
            player_do(test, k ? bound : second, none_refused, NULL);
        player_do(test, second, player_closes, "it");
        player_peers(test, bound, "it", 0);
        player_do(test, bound, none_refused, NULL);
        player_do(test, bound, player_closes, "it");
    }
    player_transport = SOMA_INPROC;
}

/* ---- one identity ---- */

static int on_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, answer, .number = m->number);
}

static int me_connect(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {.serializer = "typed", .identity = "me"};
    const soma_address at = player_at("asked", SOMA_REP);
    (void)state, (void)arg;
    assert_int_equal(soma_connect_with(self, &at, "it", &options), 0);
    return 0;
}

static int me_ask(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = 7) > 0);
    return 0;
}

static soma_ref me_open(soma_test *test)
{
    soma_ref me = player_open(test, &player_quiet);
    player_do(test, me, me_connect, NULL);
    player_peers(test, me, "it", 1);
    player_do(test, me, me_ask, NULL);
    player_expect(test, me, "answer7 ");
    return me;
}

/* Who comes again is nobody else; but if another one comes, that is told. */
static void test_one_identity(soma_test *test)
{
    const struct player_end bound = {SOMA_REP, "it", "asked", SOMA_HANDLERS(SOMA_ON(ask, on_ask))};
    soma_ref asked = player_open(test, &hears);
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    player_move();
    player_do(test, asked, player_binds, &bound);
    player_do(test, me_open(test), player_closes, "it");
    player_expect(test, asked, "it:1 it:0 ");
    me_open(test);
    player_expect(test, asked, "it:1 it:0 it:1 ");
    me_open(test);
    do // he who was there may now come and go
        player_do(test, asked, player_look, look);
    while (!strstr(look->log, " -6 ") && player_wait(&looks));
    assert_non_null(strstr(look->log, " -6 "));
}

PLAYER_WIRES(test_one_identity)

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(test_patterns),
                                       SOMA_REAL(test_keys),
                                       SOMA_REAL(test_told_now_and_then),
                                       SOMA_REAL(test_silent_strangers),
                                       SOMA_REAL(test_nobody_is_refused),
                                       PLAYER_OVER_WIRES(test_questions_to_nobody),
                                       PLAYER_OVER_WIRES(test_one_identity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
