/*
 * The network between two sides of a channel breaks in the middle of a frame, or goes silent; or the wrong one is at
 * the other side. What each pattern promises then, counted message by message.
 */
#include "cut.h"
#include "flow.h"
#include "plain.h"
#include "stranger.h"
#include "typed.h"
#include <errno.h>
#include <limits.h>

#define ROUNDS 2u
#define ROUND 4000u /* messages */

/* ---- both sides ---- */

static void places(const struct relay *relay, char bound[64], char connected[64])
{
    relay_place(relay->to, bound);
    relay_place(relay->from, connected);
}

/* ---- cuts ---- */

/* What is lost with a connection is one run of messages for each cut. */
static void sender_and_cuts(soma_test *test, soma_pattern pattern, bool binds)
{
    struct relay relay;
    char bound[64], connected[64];
    bool publishes = pattern == SOMA_PUB;
    relay_open(&relay, relay_free()); // who was bound before may not be gone
    places(&relay, bound, connected);
    const struct side here = {pattern, binds, binds ? bound : connected, NULL, ROUND, 0},
                      there = {soma_pattern_twin(pattern), !binds, binds ? connected : bound, takes, ROUND, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    if (publishes)
        player_do(test, sends, pump_publishes, NULL);
    if (!binds)
        player_do(test, gets, taker_mixes, NULL);
    player_do(test, binds ? sends : gets, side_open, binds ? &here : &there);
    player_do(test, binds ? gets : sends, side_open, binds ? &there : &here);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        connected_wait(test, sends, round);
        relay_cut(&relay, 20011 * (long)round);
        pump_go(test, sends, round * ROUND);
    }
    connected_wait(test, sends, ROUNDS + 1);
    pump_go(test, sends, (ROUNDS + 1) * ROUND);
    const struct taker *seen = taker_wait(test, gets, (ROUNDS + 1) * ROUND, ROUNDS);
    assert_true(seen->count >= ROUND + ROUNDS * 100); // what had passed had arrived
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    assert_int_equal(soma_kill(soma_test_system(test), gets), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

static void test_push_is_cut(soma_test *test)
{
    sender_and_cuts(test, SOMA_PUSH, true);
    sender_and_cuts(test, SOMA_PUSH, false);
}

PLAYER_WIRES(test_push_is_cut)

static void test_pair_is_cut(soma_test *test)
{
    sender_and_cuts(test, SOMA_PAIR, true);
    sender_and_cuts(test, SOMA_PAIR, false);
}

PLAYER_WIRES(test_pair_is_cut)

static void test_pub_is_cut(soma_test *test)
{
    sender_and_cuts(test, SOMA_PUB, true);
    sender_and_cuts(test, SOMA_PUB, false);
}

PLAYER_WIRES(test_pub_is_cut)

static const uint32_t first = 0;

/* ---- cuts, with a plain socket ---- */

static void *plain_at(int kind, const char *place)
{
    void *socket = plain_open(kind, (ROUNDS + 2) * ROUND);
    assert_int_equal(zmq_connect(socket, place), 0);
    return socket;
}

/* What a plain socket gets until the last one; the same holds for it. */
static void plain_takes(void *socket, uint32_t next)
{
    uint32_t expected = 0, count = 0, gaps = 0;
    char last[64];
    while (expected < next) {
        assert_true(plain_receive(socket, last, 0) > 0);
        uint32_t number = typed_number((const unsigned char *)last);
        assert_true(number >= expected);
        gaps += number != expected;
        expected = number + 1;
        count++;
    }
    assert_int_equal(expected, next);
    assert_in_range(gaps, 0, ROUNDS);
    assert_true(count >= ROUND + ROUNDS * 100);
}

/* It connects: one that is bound reads two connections side by side, if it has not read what came by the first. */
static void sender_and_plain(soma_test *test, soma_pattern pattern, int kind)
{
    struct relay relay;
    char bound[64], connected[64];
    relay_open(&relay, relay_free());
    places(&relay, bound, connected);
    const struct side here = {pattern, true, bound, NULL, ROUND, 0};
    soma_ref sends = player_open(test, &pump);
    player_do(test, sends, side_open, &here);
    void *gets = plain_at(kind, connected);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        connected_wait(test, sends, round);
        relay_cut(&relay, 20011 * (long)round);
        pump_go(test, sends, round * ROUND);
    }
    connected_wait(test, sends, ROUNDS + 1);
    pump_go(test, sends, (ROUNDS + 1) * ROUND);
    plain_takes(gets, (ROUNDS + 1) * ROUND);
    plain_close(gets);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

static void test_plain_takers_are_cut(soma_test *test)
{
    sender_and_plain(test, SOMA_PUSH, ZMQ_PULL);
    sender_and_plain(test, SOMA_PAIR, ZMQ_PAIR);
}

PLAYER_WIRES(test_plain_takers_are_cut)

/* The other way. */
static void plain_and_taker(soma_test *test, soma_pattern pattern, int kind)
{
    struct relay relay;
    char bound[64], connected[64];
    relay_open(&relay, relay_free());
    places(&relay, bound, connected);
    const struct side there = {pattern, true, bound, takes, ROUND, 0};
    soma_ref gets = player_open(test, &taker);
    player_do(test, gets, taker_mixes, NULL);
    player_do(test, gets, side_open, &there);
    void *sends = plain_at(kind, connected);
    for (uint32_t number = 0; number < (ROUNDS + 1) * ROUND; number++) {
        if (number % ROUND == 0) { // the last one without a cut
            connected_wait(test, gets, number / ROUND + 1);
            relay_cut(&relay, number < ROUNDS * ROUND ? 20011 : -1);
        }
        assert_int_equal(typed_send(sends, &note_type, number), 0);
    }
    const struct taker *seen = taker_wait(test, gets, (ROUNDS + 1) * ROUND, ROUNDS);
    assert_true(seen->count >= ROUND + ROUNDS * 100);
    plain_close(sends);
    assert_int_equal(soma_kill(soma_test_system(test), gets), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

static void test_plain_senders_are_cut(soma_test *test)
{
    plain_and_taker(test, SOMA_PULL, ZMQ_PUSH);
    plain_and_taker(test, SOMA_PAIR, ZMQ_PAIR);
}

PLAYER_WIRES(test_plain_senders_are_cut)

/* ---- who has not read what came before a cut ---- */

#define FLOOD 15000u  /* messages: more than a channel takes for one who does not read */
#define FIRST 200000L /* bytes: so many of them come by each connection, at least */

struct runs {
    struct player player;
    uint32_t next[2]; /* of each connection; the second's is 0 until something has come by it */
};

static atomic_bool held;

/* Each connection's are a run without a gap, but the two are read side by side. */
static int on_held(soma_agent *self, struct runs *my, const struct note *m)
{
    (void)self;
    while (atomic_load(&held))
        poll(NULL, 0, 1);
    if (m->number == my->next[0]) {
        my->next[0]++;
        return 0;
    }
    assert_true(my->next[1] ? m->number == my->next[1] : m->number > my->next[0]);
    my->next[1] = m->number + 1;
    return 0;
}

static const soma_behavior reader = {.name = "reader", .state_size = sizeof(struct runs)};
static const soma_handler *const helds = SOMA_HANDLERS(SOMA_ON(note, on_held));

static int look_runs(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct runs *)arg = *(const struct runs *)state;
    return 0;
}

static void test_cut_and_not_read(soma_test *test)
{
    struct relay relay;
    char bound[64], connected[64];
    struct runs *seen = soma_test_alloc(test, sizeof(*seen));
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    relay_open(&relay, relay_free());
    places(&relay, bound, connected);
    const struct side there = {SOMA_PULL, true, bound, helds, 2 * FLOOD, 0},
                      here = {SOMA_PUSH, false, connected, NULL, 2 * FLOOD, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &reader);
    player_do(test, gets, side_open, &there);
    player_do(test, sends, side_open, &here);
    connected_wait(test, sends, 1);
    atomic_store(&held, true);
    relay_cut(&relay, FIRST);
    pump_go(test, sends, FLOOD);
    while (atomic_load(&relay.budget) >= 0 && player_wait(&looks))
        ;
    relay_cut(&relay, LONG_MAX);
    pump_go(test, sends, 2 * FLOOD); // of the others all may have been under way
    while (atomic_load(&relay.budget) > LONG_MAX - FIRST && player_wait(&looks))
        ;
    atomic_store(&held, false);
    do
        player_do(test, gets, look_runs, seen);
    while (seen->next[0] != 2 * FLOOD && seen->next[1] != 2 * FLOOD && player_wait(&looks));
    assert_true(seen->next[0] == 2 * FLOOD || seen->next[1] == 2 * FLOOD);
    player_do(test, gets, player_counts, counts);
    assert_int_equal(counts->connected, 2);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    assert_int_equal(soma_kill(soma_test_system(test), gets), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

PLAYER_WIRES(test_cut_and_not_read)

/* ---- questions ---- */

/* Each question has one end, and is asked once at most. */
static void asker_and_cuts(soma_test *test, soma_pattern pattern)
{
    struct relay relay;
    char bound[64], connected[64];
    struct asker *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0;
    relay_open(&relay, relay_free()); // who was bound before may not be gone
    places(&relay, bound, connected);
    const struct side there = {soma_pattern_twin(pattern), true, bound, repliers, 1000, 0},
                      here = {pattern, false, connected, NULL, 1000, 0};
    soma_ref answers = player_open(test, &replier), asks = player_open(test, &asker);
    player_do(test, answers, side_open, &there);
    player_do(test, asks, side_open, &here);
    for (uint32_t round = 1; round <= ROUNDS + 1; round++) { // the last one without a cut
        connected_wait(test, asks, round);
        player_do(test, answers, replier_begin, "answers");
        if (round <= ROUNDS)
            relay_cut(&relay, 1500 * (long)round);
        player_do(test, asks, ask_from, &first);
        do
            player_do(test, asks, look_asker, seen);
        while (seen->answered + seen->gone < round * QUESTIONS && player_wait(&looks));
        assert_int_equal(seen->answered + seen->gone, round * QUESTIONS);
        for (uint32_t i = 0; i < QUESTIONS; i++)
            assert_int_equal(seen->ends[i], 1);
    }
    assert_true(seen->answered > 0);
    assert_true(seen->gone > 0);
    assert_int_equal(soma_kill(soma_test_system(test), asks), 0);
    assert_int_equal(soma_kill(soma_test_system(test), answers), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

static void test_questions_are_cut(soma_test *test)
{
    asker_and_cuts(test, SOMA_ASYNC_REQ);
    asker_and_cuts(test, SOMA_SYNC_SUB);
}

PLAYER_WIRES(test_questions_are_cut)

/* In lockstep: a cut costs one question at most, and the next one is asked by the next connection. */
static void lockstep_and_cuts(soma_test *test, bool binds)
{
    struct relay relay;
    char bound[64], connected[64];
    uint32_t *until = soma_test_alloc(test, sizeof(*until));
    const struct lockstep *seen = NULL;
    relay_open(&relay, relay_free());
    places(&relay, bound, connected);
    const struct side there = {SOMA_REP, !binds, binds ? connected : bound, repliers, 1000, 0},
                      here = {SOMA_REQ, binds, binds ? bound : connected, NULL, 1000, 0};
    soma_ref answers = player_open(test, &replier), asks = player_open(test, &lockstep);
    player_do(test, answers, replier_begin, "answers");
    player_do(test, binds ? asks : answers, side_open, binds ? &here : &there);
    player_do(test, binds ? answers : asks, side_open, binds ? &there : &here);
    for (uint32_t round = 1; round <= ROUNDS + 1; round++) { // the last one without a cut
        connected_wait(test, asks, round);
        if (round <= ROUNDS)
            relay_cut(&relay, 1500 * (long)round); // of the round's 7000 bytes and more
        *until = round * QUESTIONS;
        player_do(test, asks, lockstep_until, until);
        seen = lockstep_wait(test, asks, *until);
        assert_in_range(seen->gone, 0, round <= ROUNDS ? round : ROUNDS);
    }
    connected_wait(test, asks, ROUNDS + 1);
    assert_true(seen->gone > 0);
    assert_int_equal(soma_kill(soma_test_system(test), asks), 0);
    assert_int_equal(soma_kill(soma_test_system(test), answers), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

static void test_lockstep_is_cut(soma_test *test)
{
    lockstep_and_cuts(test, true);
    lockstep_and_cuts(test, false);
}

PLAYER_WIRES(test_lockstep_is_cut)

/* ---- silence ---- */

#define SILENCE 50000u /* messages: more than the kernels keep for one who does not take them */

/* Whoever takes nothing of what is for him is given up, if the sender has said how soon; and gets what comes later. */
static void sender_and_silence(soma_test *test, soma_pattern pattern)
{
    struct relay relay;
    char bound[64], connected[64];
    relay_open(&relay, relay_free()); // who was bound before may not be gone
    places(&relay, bound, connected);
    const struct side there = {soma_pattern_twin(pattern), true, bound, takes, ROUND, 0},
                      here = {pattern, false, connected, NULL, ROUND, 100};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    if (pattern == SOMA_PUB)
        player_do(test, sends, pump_publishes, NULL);
    player_do(test, gets, taker_mixes, NULL);
    player_do(test, gets, side_open, &there);
    player_do(test, sends, side_open, &here);
    connected_wait(test, sends, 1);
    relay_silence(&relay, true);
    pump_go(test, sends, SILENCE);
    player_peers(test, sends, "it", 0);
    relay_silence(&relay, false);
    connected_wait(test, sends, 2);
    pump_go(test, sends, SILENCE + ROUND / 2);            // of so many no subscriber misses any
    taker_wait(test, gets, SILENCE + ROUND / 2, SILENCE); // of the silence some
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    assert_int_equal(soma_kill(soma_test_system(test), gets), 0);
    soma_test_settle(test);
    relay_close(&relay);
}

static void test_silence(soma_test *test)
{
    player_transport = SOMA_TCP;
    sender_and_silence(test, SOMA_PUSH);
    sender_and_silence(test, SOMA_PUB);
    player_transport = SOMA_INPROC;
}

/* ---- who is not for it ---- */

/* Who is at an address for a moment, and is of the wrong kind, does not keep a channel from the right one. */
static void test_a_wrong_peer(soma_test *test)
{
    unsigned char words[256];
    struct relay relay; // for its port alone
    relay_listen(&relay, 0);
    char place[64];
    relay_place(relay.from, place);
    const struct side here = {SOMA_PUSH, true, place, NULL, 1000, 0}, there = {SOMA_PULL, false, place, takes, 1000, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    player_do(test, gets, side_open, &there);
    int wrong = accept(relay.listener, NULL, NULL);
    assert_true(wrong >= 0);
    close(relay.listener);
    stranger_write(wrong, words, words_ready(words, "PUB"));
    while (read(wrong, words, sizeof(words)) > 0)
        ;
    close(wrong);
    player_do(test, sends, side_open, &here);
    player_peers(test, sends, "it", 1);
    pump_go(test, sends, 10);
    taker_wait(test, gets, 10, 0);
}

PLAYER_WIRES(test_a_wrong_peer)

/* A PAIR too many is cut off, and may come again, also when a stranger who says nothing has come after it. */
static void test_a_third_and_a_stranger(soma_test *test)
{
    unsigned char words[256];
    char place[64];
    ssize_t heard;
    const size_t size = words_ready(words, "PAIR");
    uint16_t port = relay_free();
    relay_place(port, place);
    const struct side there = {SOMA_PAIR, true, place, takes, 1000, 0};
    soma_ref gets = player_open(test, &taker);
    player_do(test, gets, side_open, &there);
    int second = relay_dial(port);
    stranger_write(second, words, size);
    player_peers(test, gets, "it", 1);
    int third = relay_dial(port), silent = relay_dial(port);
    stranger_write(third, words, size);
    while (read(third, words, sizeof(words)) > 0)
        ;
    close(third);
    close(silent);
    player_peers(test, gets, "it", 1);
    // who speaks at once is cut off, but ZeroMQ does not tell that he is gone
    for (int i = 0; i < 30; i++) {
        words_ready(words, "PAIR");
        third = relay_dial(port);
        stranger_write(third, words, size);
        do {
            stranger_write(third, "\0\003abc", 5);
            heard = recv(third, words, sizeof(words), MSG_DONTWAIT);
        } while (heard > 0 || (heard < 0 && errno == EAGAIN));
        close(third);
    }
    close(second);
    player_peers(test, gets, "it", 0);
}

PLAYER_WIRES(test_a_third_and_a_stranger)

int main(void)
{
    const struct CMUnitTest tests[] = {PLAYER_OVER_WIRES(test_push_is_cut),
                                       PLAYER_OVER_WIRES(test_pair_is_cut),
                                       PLAYER_OVER_WIRES(test_pub_is_cut),
                                       PLAYER_OVER_WIRES(test_plain_takers_are_cut),
                                       PLAYER_OVER_WIRES(test_plain_senders_are_cut),
                                       PLAYER_OVER_WIRES(test_cut_and_not_read),
                                       PLAYER_OVER_WIRES(test_questions_are_cut),
                                       PLAYER_OVER_WIRES(test_lockstep_is_cut),
                                       SOMA_REAL(test_silence),
                                       PLAYER_OVER_WIRES(test_a_wrong_peer),
                                       PLAYER_OVER_WIRES(test_a_third_and_a_stranger)};
    return cmocka_run_group_tests(tests, NULL, plain_end);
}
