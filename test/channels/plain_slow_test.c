/*
 * Channels and plain ZeroMQ sockets that do not read, or slowly: what can be kept is, and what is missed is counted:
 * what those miss who have asked, exactly; of what a subscriber misses that it was some, and no more than it was. How
 * much ZeroMQ and the kernels take nobody knows, so what has to be too much is given until it is.
 */
#include "plain.h"

#define MARK_LOOKS 100u /* until the next one is tried: the one before may have been missed, too */
#define ROUNDS 300u     /* of which each gives more: all of them are more than any kernel takes */

static const soma_handler *const bytes = SOMA_HANDLERS(SOMA_ON(chunk, plain_bytes));

/* ---- a slow subscriber ---- */

#define PUBLISHED 5000u /* in a round */

static int publish_many(soma_agent *self, void *state, void *arg)
{
    char whole[1000] = "x";
    (void)state, (void)arg;
    for (uint32_t i = 0; i < PUBLISHED; i++)
        assert_int_equal(soma_publish(self, "it", "t", chunk, .data = {whole, sizeof(whole)}), 0);
    return 0;
}

static int publish_mark(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_publish(self, "it", "t", chunk, .data = {arg, sizeof(uint32_t)});
}

/* How many had to be published until it missed some. */
static uint32_t publish_too_many(soma_test *test, soma_ref publisher)
{
    uint32_t rounds = 0;
    do
        player_do(test, publisher, publish_many, NULL);
    while (!counts_at_rest(test, publisher).missed && ++rounds < ROUNDS);
    assert_true(rounds < ROUNDS);
    return (rounds + 1) * PUBLISHED;
}

/* How many it has got once it has caught up: others are published now and then until it gets the last one. */
static uint32_t subscriber_catch_up(soma_test *test, soma_ref publisher, void *subscriber, uint32_t *marks)
{
    uint32_t received = 0, seen = 0, looks = 0;
    char last[64];
    while (!seen || seen != *marks) {
        int size = plain_receive(subscriber, last, ZMQ_DONTWAIT);
        if (size >= 0) {
            received++;
            if (size <= 5) // behind the topic, if that is in the same frame
                memcpy(&seen, last + size - sizeof(seen), sizeof(seen));
            continue;
        }
        assert_true(player_wait(&looks));
        if (looks % MARK_LOOKS == 1) {
            ++*marks;
            player_do(test, publisher, publish_mark, marks);
        }
    }
    return received;
}

/* That it misses some is counted, in whatever frames they are; not all, as ZeroMQ passes over one that was full, until
 * it has caught up, without a word. */
static void subscriber_is_slow(soma_test *test, soma_framing framing)
{
    uint32_t *marks = soma_test_alloc(test, sizeof(*marks));
    player_move();
    soma_ref publisher =
        agent_open(test, &(const struct opened){SOMA_PUB, true, {.high_water = 10, .framing = framing}});
    void *subscriber = plain_open(ZMQ_SUB, 1);
    zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "t", 1);
    plain_connect(subscriber);
    player_peers(test, publisher, "it", 1);
    uint32_t published = publish_too_many(test, publisher);
    uint32_t received = subscriber_catch_up(test, publisher, subscriber, marks);
    soma_channel_counts counts = counts_at_rest(test, publisher);
    assert_in_range(counts.missed, 1, published + *marks - received);
    plain_close(subscriber);
    assert_int_equal(soma_kill(soma_test_system(test), publisher), 0);
    soma_test_settle(test);
}

static void test_a_slow_subscriber(soma_test *test)
{
    subscriber_is_slow(test, SOMA_FRAMES_APART);
    subscriber_is_slow(test, SOMA_FRAMES_PREFIX);
}

PLAYER_WIRES(test_a_slow_subscriber)

/* ---- who asks and does not read ---- */

static const struct opened replies = {
    SOMA_ASYNC_REP, true, {.high_water = 10, .handlers = SOMA_HANDLERS(SOMA_ON(chunk, plain_question))}};

/* Questions from `first` on, each for a large answer. */
static void plain_ask_many(void *asker, uint32_t first, uint32_t count)
{
    char text[64];
    for (uint32_t i = first; i < first + count; i++) {
        snprintf(text, sizeof(text), "L%u", i);
        plain_ask(asker, text);
    }
}

/* Once so many questions have come, the answers to all of them have been sent, kept or missed: one to who reads comes
 * behind them. */
static soma_channel_counts counts_when_answered(soma_test *test, soma_ref replier, void *quick, uint32_t asked)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    char last[64];
    do
        player_do(test, replier, player_look, look);
    while (look->notes < asked && player_wait(&looks));
    assert_int_equal(look->notes, asked);
    plain_ask(quick, "q");
    assert_int_equal(plain_receive(quick, last, 0), 1);
    player_do(test, replier, player_counts, counts);
    return *counts;
}

/* Its answers wait, and come in order when it reads them, and others get theirs meanwhile. */
static void test_a_slow_asker(soma_test *test)
{
    enum { MANY = 150 };
    char last[64], text[64];
    player_move();
    soma_ref replier = agent_open(test, &replies);
    void *slow = plain_open(ZMQ_DEALER, 1), *quick = plain_open(ZMQ_DEALER, 1);
    plain_connect(slow);
    plain_ask_many(slow, 0, MANY);
    plain_connect(quick);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "q%u", i);
        plain_ask(quick, text);
        assert_int_equal(plain_receive(quick, last, 0), strlen(text));
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(plain_receive(slow, last, 0), PLAIN_LARGE);
        snprintf(text, sizeof(text), "L%u", i);
        assert_string_equal(last, text);
    }
    assert_int_equal(counts_at_rest(test, replier).missed, 0);
    plain_close(slow);
    plain_close(quick);
}

PLAYER_WIRES(test_a_slow_asker)

/* How many answers it gets once it reads: it asks more now and then, which `asked` counts, until it gets the answer to
 * the last of these, as the one before may have been missed, too. */
static uint32_t asker_catch_up(void *slow, uint32_t *asked)
{
    char last[64] = "", text[64] = "end";
    uint32_t received = 0, looks = 0;
    for (uint32_t ends = 0; strcmp(last, text) != 0;) {
        if (plain_receive(slow, last, ZMQ_DONTWAIT) >= 0) {
            received++;
            continue;
        }
        assert_true(player_wait(&looks));
        if (looks % MARK_LOOKS == 1) {
            snprintf(text, sizeof(text), "end%u", ends++);
            plain_ask(slow, text);
            ++*asked;
        }
    }
    return received;
}

/*
 * What one of them may leave unread not all of many may: then some is missed, which is counted, and no more is kept.
 * Over ipc, where the kernel takes as little for each as it is set to: so all have as much waiting, far from what one
 * alone may have.
 */
static void many_are_slow(soma_test *test, uint32_t askers, uint32_t each)
{
    void *slow[20], *quick = plain_open(ZMQ_DEALER, 1);
    uint32_t rounds = 0, received = 0;
    player_move();
    soma_ref replier = agent_open(test, &replies);
    plain_connect(quick);
    for (uint32_t i = 0; i < askers; i++)
        plain_connect(slow[i] = plain_open(ZMQ_DEALER, 1));
    do {
        for (uint32_t i = 0; i < askers; i++)
            plain_ask_many(slow[i], rounds * each, each);
    } while (!counts_when_answered(test, replier, quick, (rounds + 1) * askers * each + rounds).missed &&
             ++rounds < ROUNDS);
    assert_true(rounds < ROUNDS);
    uint32_t asked = (rounds + 1) * askers * each;
    for (uint32_t i = 0; i < askers; i++)
        received += asker_catch_up(slow[i], &asked);
    assert_int_equal(received + counts_at_rest(test, replier).missed, asked);
    for (uint32_t i = 0; i < askers; i++)
        plain_close(slow[i]);
    plain_close(quick);
    assert_int_equal(soma_kill(soma_test_system(test), replier), 0);
    soma_test_settle(test);
}

static void test_many_slow_askers(soma_test *test)
{
    player_transport = SOMA_IPC;
    many_are_slow(test, 20, 50);  // too many of them
    many_are_slow(test, 12, 190); // too much for all of them
    player_transport = SOMA_INPROC;
}

/* Who leaves too much unread misses the rest, which is counted. */
static void test_a_stuck_asker(soma_test *test)
{
    enum { EACH = 300 };
    uint32_t asked = 0, rounds = 0;
    player_move();
    soma_ref replier = agent_open(test, &replies);
    void *slow = plain_open(ZMQ_DEALER, 1), *quick = plain_open(ZMQ_DEALER, 1);
    plain_connect(slow);
    plain_connect(quick);
    do {
        plain_ask_many(slow, asked, EACH);
        asked += EACH;
    } while (!counts_when_answered(test, replier, quick, asked + rounds).missed && ++rounds < ROUNDS);
    assert_true(rounds < ROUNDS);
    uint32_t received = asker_catch_up(slow, &asked);
    assert_int_equal(received + counts_at_rest(test, replier).missed, asked);
    plain_close(slow);
    plain_close(quick);
}

PLAYER_WIRES(test_a_stuck_asker)

/* ---- who is asked among publications and does not read ---- */

static int ask_to_the_end(soma_agent *self, uint64_t timeout, uint32_t expected)
{
    soma_handle handle;
    uint32_t asked = 0;
    const soma_then *then = SOMA_THEN(chunk, plain_bytes, player_error);
    while ((handle = soma_request_to(self, "it", timeout, then, chunk, .data = {"q", 1})) > 0)
        asked++;
    assert_int_equal(handle, SOMA_EAGAIN);
    assert_int_equal(asked, expected);
    return 0;
}

static int ask_until_full(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return ask_to_the_end(self, SOMA_NEVER, *(const uint32_t *)arg);
}

static int subscribe_many(soma_agent *self, void *state, void *arg)
{
    char topic[64];
    (void)state;
    for (uint32_t i = 0; i < *(const uint32_t *)arg; i++) {
        snprintf(topic, sizeof(topic), "topic%u", i);
        assert_int_equal(soma_subscribe(self, "it", topic, bytes), 0);
    }
    return 0;
}

static void test_questions_and_topics_arrive(soma_test *test)
{
    static const uint32_t most = 11, some = 5, many = 3000; // of a high-water mark of 20
    char last[64], handle[8];
    player_move();
    void *publisher = plain_open(ZMQ_XPUB, 1);
    plain_bind(publisher);
    soma_ref subscriber =
        agent_open(test, &(const struct opened){SOMA_SYNC_SUB, false, {.high_water = 20, .handlers = bytes}});
    player_peers(test, subscriber, "it", 1);
    player_do(test, subscriber, ask_until_full, &most);
    player_do(test, subscriber, subscribe_many, &many);
    char topic[18];
    assert_int_equal(plain_receive(publisher, last, 0), 18); // for its answers
    memcpy(topic, last + 1, 17);
    assert_int_equal(plain_receive(publisher, last, 0), 1); // all topics
    for (uint32_t i = 0; i < most; i++) {
        assert_int_equal(plain_receive(publisher, last, 0), 1 + 8 + 1 + 17 + 1);
        if (i == some - 1)
            memcpy(handle, last + 1, 8);
    }
    for (uint32_t i = 0; i < many; i++)
        assert_true(plain_receive(publisher, last, 0) > 1);
    plain_send(publisher, topic, 17, true); // it has read so many, at least
    plain_send(publisher, handle, 8, true);
    plain_send(publisher, "", 0, true);
    plain_send(publisher, "yes", 3, false);
    player_expect(test, subscriber, "yes ");
    player_do(test, subscriber, ask_until_full, &some);
    plain_close(publisher);
}

PLAYER_WIRES(test_questions_and_topics_arrive)

/* ---- all whose answers are lost ---- */

static int ask_shortly(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return ask_to_the_end(self, SOMA_MS, *(const uint32_t *)arg);
}

/* From the last question on: what it is known by. */
static void plain_asked(void *publisher, uint32_t count, char topic[17], char handle[8])
{
    char last[64];
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(plain_receive(publisher, last, 0), 1 + 8 + 1 + 17 + 1);
    memcpy(handle, last + 1, 8);
    memcpy(topic, last + 10, 17);
}

static void test_lost_answers_end_nothing(soma_test *test)
{
    static const uint32_t most = 6, one = 1; // of a high-water mark of 10
    char last[64], topic[17], handle[8];
    player_move();
    void *publisher = plain_open(ZMQ_XPUB, 1000);
    plain_bind(publisher);
    soma_ref subscriber =
        agent_open(test, &(const struct opened){SOMA_SYNC_SUB, false, {.high_water = 10, .handlers = bytes}});
    player_peers(test, subscriber, "it", 1);
    assert_int_equal(plain_receive(publisher, last, 0), 18); // for its answers
    assert_int_equal(plain_receive(publisher, last, 0), 1);  // all topics
    player_do(test, subscriber, ask_shortly, &most);
    player_expect(test, subscriber, "error-8 error-8 error-8 error-8 error-8 error-8 ");
    player_do(test, subscriber, ask_shortly, &one);
    player_expect_end(test, subscriber, "error-8 error-8 error-8 error-8 error-8 error-8 error-8 ");
    player_do(test, subscriber, ask_until_full, &one);
    plain_asked(publisher, most + 2, topic, handle);
    plain_send(publisher, topic, 17, true);
    plain_send(publisher, handle, 8, true);
    plain_send(publisher, "", 0, true);
    plain_send(publisher, "yes", 3, false);
    player_expect_end(test, subscriber, "yes ");
    player_do(test, subscriber, ask_until_full, &most);
    plain_close(publisher);
}

PLAYER_WIRES(test_lost_answers_end_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_OVER_WIRES(test_a_slow_subscriber),
        PLAYER_OVER_WIRES(test_a_slow_asker),
        SOMA_REAL(test_many_slow_askers),
        PLAYER_OVER_WIRES(test_a_stuck_asker),
        PLAYER_OVER_WIRES(test_questions_and_topics_arrive),
        PLAYER_OVER_WIRES(test_lost_answers_end_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, plain_end);
}
