/*
 * Strangers throw bytes at channels, while others go on: noise, ZeroMQ that breaks off, and messages that make no
 * sense. Nothing that is right is lost or changed by it, and what made no sense is counted. And they ping.
 */
#include "flow.h"
#include "stranger.h"

#define STRANGERS 40
#define THROWN 3 /* messages of each one that speaks ZeroMQ */
#define FLOW 20000u
#define PATIENCE 60 /* s, for a frame, or the end */

static uint16_t place_at;

/* Where nobody was before. */
static void place_next(char place[64])
{
    place_at = relay_free();
    relay_place(place_at, place);
}

/* ---- who throws ---- */

static int stranger_dial(void)
{
    const struct timeval patience = {PATIENCE, 0};
    int stranger = relay_dial(place_at);
    assert_true(stranger >= 0);
    setsockopt(stranger, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return stranger;
}

/* Says what a stranger of some kind says: noise; a greeting, and noise; or messages that make no sense, and a frame
 * that is none. Some may be cut off at any time. */
static void stranger_speak(soma_test *test, int number, const char *kind, bool cut)
{
    unsigned char words[1024];
    size_t size = number % 3 ? words_ready(words, kind) : 0;
    int stranger = stranger_dial();
    stranger_write(stranger, words, number % 3 == 1 ? 64 : size);
    if (number % 3 == 2)
        assert_true(stranger_hears(stranger) || cut);
    for (int i = 0; i < THROWN && number % 3 == 2; i++)
        stranger_write(stranger, "\0\007Garbage", 9);
    for (size_t i = 0; i < 200; i++) // of a length that can't be, or of any
        words[i] = number % 3 ? 0xff : (unsigned char)soma_test_random(test, 256);
    stranger_write(stranger, words, 200);
    shutdown(stranger, SHUT_WR);
    // Noise may be ZeroMQ's first protocol, and who speaks it at a PAIR too many is there for the handshake's ten
    // seconds. Any other is let go.
    ssize_t got = number % 3 || !cut;
    while (got > 0)
        got = read(stranger, words, sizeof(words));
    assert_true(!got || errno == ECONNRESET);
    close(stranger);
}

static int stranger_come(const char *kind)
{
    unsigned char words[256];
    int stranger = stranger_dial();
    stranger_write(stranger, words, words_ready(words, kind));
    stranger_hear(stranger);
    return stranger;
}

/* The next frame; its kind: 1 if more follow, 4 if it is a command. */
static unsigned char frame_hear(int stranger, unsigned char words[255])
{
    unsigned char head[2];
    assert_int_equal(recv(stranger, head, 2, MSG_WAITALL), 2);
    assert_int_equal(recv(stranger, words, head[1], MSG_WAITALL), head[1]);
    return head[0];
}

static void strangers_speak(soma_test *test, const char *kind, bool cut)
{
    for (int i = 0; i < STRANGERS; i++)
        stranger_speak(test, i, kind, cut);
}

/* What made no sense is counted, once nobody but so many is there. Noise may be some messages of ZeroMQ's first
 * protocol, too. */
static void garbage_expect(soma_test *test, soma_ref ref, int peers, uint64_t malformed)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    player_peers(test, ref, "it", peers);
    do
        player_do(test, ref, player_counts, counts);
    while (counts->malformed < malformed && player_wait(&looks));
    assert_true(counts->malformed >= malformed);
}

/* Of what a stranger throws nothing is read. */
static void garbage_unread(soma_test *test, soma_ref ref, uint64_t connected)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    player_peers(test, ref, "it", 1);
    player_do(test, ref, player_counts, counts);
    assert_int_equal(counts->malformed, 0);
    assert_in_range(counts->connected, 1, connected);
}

/* ---- at who takes ---- */

/* If nothing of it is malformed, it has its other side, and strangers are as good as not there. */
static void garbage_for_a_taker(soma_test *test, soma_pattern pattern, const char *kind, uint64_t malformed)
{
    char place[64];
    place_next(place);
    const struct side there = {pattern, true, place, takes, FLOW, 0},
                      here = {soma_pattern_twin(pattern), false, place, NULL, FLOW, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    if (pattern == SOMA_SUB)
        player_do(test, sends, pump_publishes, NULL);
    player_do(test, gets, side_open, &there);
    player_do(test, sends, side_open, &here);
    player_peers(test, sends, "it", 1);
    pump_go(test, sends, FLOW);
    strangers_speak(test, kind, pattern == SOMA_PAIR); // which has its other side
    taker_wait(test, gets, FLOW, 0);                   // nothing is lost, nothing is added
    if (malformed)
        garbage_expect(test, gets, 1, malformed);
    else
        garbage_unread(test, gets, 1);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    assert_int_equal(soma_kill(soma_test_system(test), gets), 0);
    soma_test_settle(test);
}

static void test_garbage_for_takers(soma_test *test)
{
    const uint64_t all = THROWN * (uint64_t)(STRANGERS / 3);
    garbage_for_a_taker(test, SOMA_PULL, "PUSH", all);
    garbage_for_a_taker(test, SOMA_SUB, "PUB", all);
    garbage_for_a_taker(test, SOMA_PAIR, "PAIR", 0);
}

PLAYER_WIRES(test_garbage_for_takers)

/* What a stranger throws who is the other side of a PAIR is counted, and who comes after him is heard. */
static void test_garbage_for_a_pair(soma_test *test)
{
    char place[64];
    place_next(place);
    const struct side there = {SOMA_PAIR, true, place, takes, FLOW, 0}, here = {SOMA_PAIR, false, place, NULL, FLOW, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    player_do(test, gets, side_open, &there);
    stranger_speak(test, 2, "PAIR", false);
    garbage_expect(test, gets, 0, THROWN);
    player_do(test, sends, side_open, &here);
    player_peers(test, sends, "it", 1);
    pump_go(test, sends, FLOW);
    taker_wait(test, gets, FLOW, 0);
}

PLAYER_WIRES(test_garbage_for_a_pair)

/* ---- at who gives ---- */

/* Who subscribes misses nothing, and what is no subscription is counted. */
static void test_garbage_for_a_publisher(soma_test *test)
{
    char place[64];
    place_next(place);
    const struct side there = {SOMA_PUB, true, place, NULL, FLOW, 0}, here = {SOMA_SUB, false, place, takes, FLOW, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    uint64_t dead = player_stats(test).dead_letters;
    player_do(test, sends, pump_publishes, NULL);
    player_do(test, sends, side_open, &there);
    player_do(test, gets, side_open, &here);
    player_peers(test, sends, "it", 1);
    pump_go(test, sends, FLOW);
    strangers_speak(test, "SUB", false);
    taker_wait(test, gets, FLOW, 0);
    garbage_expect(test, sends, 1, THROWN * (uint64_t)(STRANGERS / 3));
    pump_go(test, sends, 2 * FLOW);
    taker_wait(test, gets, 2 * FLOW, 0);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    player_peers(test, gets, "it", 0);
    assert_int_equal(player_stats(test).dead_letters, dead);
}

PLAYER_WIRES(test_garbage_for_a_publisher)

/* What is pushed to him now he takes, like any PULL, and throws what he should not now and then. How much it was. */
static uint32_t pushed_hear(int stranger)
{
    struct pollfd ready = {stranger, POLLIN, 0};
    unsigned char words[255];
    uint32_t heard = 0;
    for (; poll(&ready, 1, 0) == 1; heard++) {
        if (heard % 1000 == 0)
            stranger_write(stranger, "\0\007Garbage", 9);
        assert_int_equal(frame_hear(stranger, words), 0);
    }
    return heard;
}

/* Until the taker and the stranger, if he is there (else he is below 0), have got so many together. What the taker has.
 */
static uint32_t taken_wait(soma_test *test, soma_ref gets, int stranger, uint32_t together)
{
    struct taker *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0, heard = 0;
    do {
        heard += stranger < 0 ? 0 : pushed_hear(stranger);
        player_do(test, gets, look_taker, seen);
    } while (heard + seen->count < together && player_wait(&looks));
    assert_true(heard + seen->count >= together);
    assert_true(stranger < 0 || (heard && heard + seen->count == together));
    return seen->count;
}

/* Who has to be pushed to, and throws, has his turns like another, and nothing is lost. Others come and go, who may
 * have their turns as well, but take no more than these. */
static void test_garbage_for_a_pusher(soma_test *test)
{
    char place[64];
    place_next(place);
    const struct side there = {SOMA_PUSH, true, place, NULL, FLOW, 0}, here = {SOMA_PULL, false, place, takes, FLOW, 0};
    soma_ref sends = player_open(test, &pump), gets = player_open(test, &taker);
    uint64_t dead = player_stats(test).dead_letters;
    player_do(test, sends, side_open, &there);
    player_do(test, gets, side_open, &here);
    int stranger = stranger_come("PULL");
    player_peers(test, sends, "it", 2);
    pump_go(test, sends, FLOW);
    uint32_t taken = taken_wait(test, gets, stranger, FLOW);
    assert_in_range(taken, 1, FLOW - 1);
    close(stranger);
    strangers_speak(test, "PULL", false);
    garbage_unread(test, sends, 2 + STRANGERS);
    pump_go(test, sends, FLOW + STRANGERS + 2); // turns for all of them, if ZeroMQ has not heard of their ends
    taken_wait(test, gets, -1, taken + 1);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    player_peers(test, gets, "it", 0);
    assert_int_equal(player_stats(test).dead_letters, dead);
}

PLAYER_WIRES(test_garbage_for_a_pusher)

/* ---- at who answers ---- */

static const uint32_t first = 0;

static void garbage_for_answers(soma_test *test, soma_pattern answering, soma_pattern asking, const char *kind)
{
    char place[64];
    place_next(place);
    const struct side there = {answering, true, place, repliers, 1000, 0}, here = {asking, false, place, NULL, 1000, 0};
    soma_ref answers = player_open(test, &replier), asks = player_open(test, &asker);
    player_do(test, answers, side_open, &there);
    player_do(test, asks, side_open, &here);
    player_peers(test, asks, "it", 1);
    player_do(test, answers, replier_begin, "answers");
    player_do(test, asks, ask_from, &first);
    strangers_speak(test, kind, false);
    asker_expect(test, asks, QUESTIONS, 0); // or a late answer would count for a question of the next ones
    player_do(test, asks, ask_from, &first);
    asker_expect(test, asks, 2 * QUESTIONS, 0);
    // a subscriber has subscribed to nothing
    garbage_expect(test, answers, asking == SOMA_SYNC_SUB ? 0 : 1, THROWN * (uint64_t)(STRANGERS / 3));
    assert_int_equal(soma_kill(soma_test_system(test), asks), 0);
    assert_int_equal(soma_kill(soma_test_system(test), answers), 0);
    soma_test_settle(test);
}

static void test_garbage_for_answers(soma_test *test)
{
    garbage_for_answers(test, SOMA_ASYNC_REP, SOMA_ASYNC_REQ, "DEALER");
    garbage_for_answers(test, SOMA_REP, SOMA_ASYNC_REQ, "REQ");
    garbage_for_answers(test, SOMA_SYNC_PUB, SOMA_SYNC_SUB, "XSUB");
}

PLAYER_WIRES(test_garbage_for_answers)

/* ---- at who asks ---- */

struct frame {
    const char *data;
    unsigned char size;
};

static void frames_throw(int stranger, const struct frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        unsigned char words[2 + 255] = {i + 1 < count, frames[i].size};
        memcpy(words + 2, frames[i].data, frames[i].size);
        stranger_write(stranger, words, 2 + (size_t)frames[i].size);
    }
}

/* Of a question the 12 bytes that it is known by. */
static void question_hear(int stranger, char name[12])
{
    unsigned char words[255];
    assert_int_equal(frame_hear(stranger, words), 1);
    memcpy(name, words, 12);
    assert_int_equal(frame_hear(stranger, words), 1);
    assert_int_equal(frame_hear(stranger, words), 0);
}

static int asker_bind(soma_agent *self, void *state, void *arg)
{
    char place[64];
    (void)state;
    relay_place(place_at, place);
    const soma_channel_options options = {.place = place, .serializer = "json"};
    return soma_bind(self, *(const soma_pattern *)arg, "it", &options, NULL);
}

static int ask_it(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    (void)state, (void)arg;
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = 1) > 0);
    return 0;
}

/* What is no answer to the question is counted, or is late, and the question waits on; bytes that are none fail it. */
static void garbage_for_an_asker(soma_test *test, soma_pattern pattern)
{
    char name[12], expected[64];
    place_next((char[64]){0});
    soma_ref asks = player_open(test, &player_quiet);
    uint64_t late = player_stats(test).late_replies;
    player_do(test, asks, asker_bind, &pattern);
    int stranger = stranger_come("ROUTER");
    player_peers(test, asks, "it", 1);
    player_do(test, asks, ask_it, NULL);
    question_hear(stranger, name);
    frames_throw(stranger, (const struct frame[]){{"Garbage", 7}}, 1);
    frames_throw(stranger, (const struct frame[]){{name, 12}, {"x", 1}, {"{\"number\":1}", 12}}, 3);
    frames_throw(stranger, (const struct frame[]){{name, 11}, {"", 0}, {"{\"number\":2}", 12}}, 3);
    frames_throw(stranger, (const struct frame[]){{name, 12}, {"", 0}, {"", 0}, {"", 0}, {"", 0}}, 5);
    frames_throw(stranger, (const struct frame[]){{"somanobody's", 12}, {"", 0}, {"{\"number\":3}", 12}}, 3);
    frames_throw(stranger, (const struct frame[]){{name, 12}, {"", 0}, {"{\"number\":", 10}}, 3);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_EFORMAT);
    player_expect(test, asks, expected);
    garbage_expect(test, asks, 1, 5);
    assert_int_equal(player_stats(test).late_replies, late + 1);
    player_do(test, asks, ask_it, NULL);
    question_hear(stranger, name);
    frames_throw(stranger, (const struct frame[]){{name, 12}, {"", 0}, {"", 0}, {"\xc1", 1}}, 4); // a failure
    snprintf(expected, sizeof(expected), "error%d error%d ", SOMA_EFORMAT, SOMA_EFORMAT);
    player_expect(test, asks, expected);
    player_do(test, asks, ask_it, NULL);
    question_hear(stranger, name);
    frames_throw(stranger, (const struct frame[]){{name, 12}, {"", 0}, {"{\"number\":4}", 12}}, 3);
    player_expect_end(test, asks, "answer4 ");
    close(stranger);
}

static void test_garbage_for_askers(soma_test *test)
{
    garbage_for_an_asker(test, SOMA_REQ);
    garbage_for_an_asker(test, SOMA_ASYNC_REQ);
}

PLAYER_WIRES(test_garbage_for_askers)

/* ---- heartbeats ---- */

/* ZeroMQ's own are answered, whatever the pattern. */
static void test_pings(soma_test *test)
{
    static const struct {
        soma_pattern bound;
        const char *kind;
    } all[] = {{SOMA_PUSH, "PULL"},        {SOMA_PULL, "PUSH"},     {SOMA_PUB, "SUB"},      {SOMA_SUB, "PUB"},
               {SOMA_REQ, "REP"},          {SOMA_REP, "REQ"},       {SOMA_PAIR, "PAIR"},    {SOMA_ASYNC_REQ, "ROUTER"},
               {SOMA_ASYNC_REP, "DEALER"}, {SOMA_SYNC_PUB, "XSUB"}, {SOMA_SYNC_SUB, "XPUB"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        unsigned char words[255];
        char place[64];
        place_next(place);
        const bool gives = all[i].bound == SOMA_PUSH || all[i].bound == SOMA_PUB || all[i].bound == SOMA_REQ ||
                           all[i].bound == SOMA_ASYNC_REQ;
        const struct side bound = {all[i].bound, true, place, gives ? NULL : PLAYER_NOTES, 1000, 0};
        soma_ref ref = player_open(test, &player_quiet);
        player_do(test, ref, side_open, &bound);
        int stranger = stranger_come(all[i].kind);
        for (int k = 0; k < 2; k++) {
            stranger_write(stranger, "\4\12\4PING\0\012abc", 12); // with a second's patience, and what is to come back
            while (frame_hear(stranger, words) != 4)              // subscriptions
                ;
            assert_memory_equal(words, "\4PONGabc", 8);
        }
        close(stranger);
        player_peers(test, ref, "it", 0);
    }
}

PLAYER_WIRES(test_pings)

int main(void)
{
    const struct CMUnitTest tests[] = {PLAYER_OVER_WIRES(test_garbage_for_takers),
                                       PLAYER_OVER_WIRES(test_garbage_for_a_pair),
                                       PLAYER_OVER_WIRES(test_garbage_for_a_publisher),
                                       PLAYER_OVER_WIRES(test_garbage_for_a_pusher),
                                       PLAYER_OVER_WIRES(test_garbage_for_answers),
                                       PLAYER_OVER_WIRES(test_garbage_for_askers),
                                       PLAYER_OVER_WIRES(test_pings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
