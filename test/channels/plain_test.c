/*
 * Channels and plain ZeroMQ sockets that are slow, or say what a channel would not: what is missed is counted exactly,
 * and what can be kept is.
 */
#include "player.h"
#include <stdlib.h>
#include <zmq.h>

#define LARGE 20000u
#define PATIENCE_MS 20000

/* ---- the plain side ---- */

static void *context;

static void *plain_open(int kind, int room)
{
    const int patience = PATIENCE_MS, none = 0;
    if (!context)
        context = zmq_ctx_new();
    void *socket = zmq_socket(context, kind);
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &room, sizeof(room));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof(patience));
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof(patience));
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    return socket;
}

static void plain_place(char text[64])
{
    snprintf(text, 64, "tcp://127.0.0.1:%u", player_port());
}

static void plain_connect(void *socket)
{
    char text[64];
    plain_place(text);
    assert_int_equal(zmq_connect(socket, text), 0);
}

static void plain_bind(void *socket)
{
    char text[64];
    plain_place(text);
    assert_int_equal(zmq_bind(socket, text), 0);
}

/* How many bytes its last frame had; -1 if nothing came in time. */
static int plain_receive(void *socket, char last[64], int flags)
{
    char whole[LARGE + 64];
    int more = 1, size = -1;
    size_t width = sizeof(more);
    while (more) {
        size = zmq_recv(socket, whole, sizeof(whole), flags);
        if (size < 0)
            return -1;
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &width);
    }
    memset(last, 0, 64);
    memcpy(last, whole, size < 63 ? (size_t)size : 63);
    return size;
}

static void plain_send(void *socket, const void *frame, size_t size, bool more)
{
    assert_int_equal(zmq_send(socket, frame, size, more ? ZMQ_SNDMORE : 0), size);
}

/* ---- the channel's side ---- */

/* How a channel of the test is opened. */
struct opened {
    soma_pattern pattern; /* its own */
    bool binds;
    soma_channel_options options;
};

static int channel_open(soma_agent *self, void *state, void *arg)
{
    struct opened opened = *(const struct opened *)arg;
    char place[64];
    soma_address address;
    (void)state;
    plain_place(place);
    opened.options.serializer = opened.options.serializer ? opened.options.serializer : "raw";
    if (opened.binds) {
        opened.options.place = place;
        assert_int_equal(soma_bind(self, opened.pattern, "it", &opened.options, NULL), 0);
        return 0;
    }
    assert_int_equal(soma_address_parse(place, &address), 0);
    address.pattern = soma_pattern_twin(opened.pattern);
    assert_int_equal(soma_connect_with(self, &address, "it", &opened.options), 0);
    return 0;
}

static soma_ref agent_open(soma_test *test, const struct opened *opened)
{
    soma_ref ref = player_open(test, &player_quiet);
    player_do(test, ref, channel_open, opened);
    return ref;
}

/* Once nothing waits to be sent any more. */
static soma_channel_counts counts_at_rest(soma_test *test, soma_ref agent)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    do
        player_do(test, agent, player_counts, counts);
    while (counts->waiting && player_wait(&looks));
    assert_int_equal(counts->waiting, 0);
    return *counts;
}

static int on_bytes(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)self;
    player_log(my, "%.*s ", (int)m->data.size, (const char *)m->data.data);
    return 0;
}

/* Answers with as much as the question asks for, which begins with the question. */
static int on_question(soma_agent *self, struct player *my, const struct chunk *m)
{
    char whole[LARGE] = "";
    (void)my;
    memcpy(whole, m->data.data, m->data.size < 64 ? m->data.size : 64);
    bool large = m->data.size && whole[0] == 'L';
    return soma_reply(self, chunk, .data = {whole, large ? LARGE : m->data.size});
}

static const soma_handler *const notes = SOMA_HANDLERS(SOMA_ON(note, player_note));
static const soma_handler *const bytes = SOMA_HANDLERS(SOMA_ON(chunk, on_bytes));
static const soma_handler *const questions = SOMA_HANDLERS(SOMA_ON(chunk, on_question));

/* ---- a slow subscriber ---- */

static int publish_many(soma_agent *self, void *state, void *arg)
{
    char whole[1000] = "x";
    (void)state;
    for (uint32_t i = 0; i < *(const uint32_t *)arg; i++)
        assert_int_equal(soma_publish(self, "it", "t", chunk, .data = {whole, sizeof(whole)}), 0);
    return 0;
}

static int publish_mark(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_publish(self, "it", "t", chunk, .data = {arg, sizeof(uint32_t)});
}

/* That it misses some is counted, in whatever frames they are; not all, as ZeroMQ passes over one that was full, until
 * it has caught up, without a word. */
static void subscriber_is_slow(soma_test *test, soma_framing framing)
{
    static const uint32_t many = 10000;
    uint32_t published = many, received = 0, *mark = soma_test_alloc(test, sizeof(*mark)), seen = 0;
    char last[64];
    soma_ref publisher =
        agent_open(test, &(const struct opened){SOMA_PUB, true, {.high_water = 10, .framing = framing}});
    void *subscriber = plain_open(ZMQ_SUB, 1);
    zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "t", 1);
    plain_connect(subscriber);
    player_peers(test, publisher, "it", 1);
    player_do(test, publisher, publish_many, &many);
    counts_at_rest(test, publisher);
    while (seen != *mark || !seen) { // until it has got the last one of all
        ++*mark;
        published++;
        player_do(test, publisher, publish_mark, mark);
        counts_at_rest(test, publisher);
        for (int size; (size = plain_receive(subscriber, last, ZMQ_DONTWAIT)) >= 0; received++)
            if (size <= 5) // behind the topic, if that is in the same frame
                memcpy(&seen, last + size - sizeof(seen), sizeof(seen));
    }
    soma_channel_counts counts = counts_at_rest(test, publisher);
    assert_true(counts.missed > 0);
    assert_true(received + counts.missed <= published);
    zmq_close(subscriber);
    assert_int_equal(soma_kill(soma_test_system(test), publisher), 0);
    soma_test_settle(test);
}

static void test_a_slow_subscriber(soma_test *test)
{
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    subscriber_is_slow(test, SOMA_FRAMES_APART);
    subscriber_is_slow(test, SOMA_FRAMES_PREFIX);
    player_transport = SOMA_INPROC;
}

/* ---- what a publication may begin with ---- */

static void test_bytes_like_a_mark(soma_test *test)
{
    char last[64];
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    void *publisher = plain_open(ZMQ_XPUB, 1000);
    plain_bind(publisher);
    soma_ref subscriber =
        agent_open(test, &(const struct opened){SOMA_SUB, false, {.handlers = bytes, .framing = SOMA_FRAMES_PREFIX}});
    assert_int_equal(plain_receive(publisher, last, 0), 1); // it wants all
    plain_send(publisher, "\003one", 4, false);
    plain_send(publisher, "two", 3, false);
    player_expect(test, subscriber, "\003one two ");
    zmq_close(publisher);
    player_transport = SOMA_INPROC;
}

/* ---- topics in UTF-8, of whose characters many have a byte 0x80 ---- */

static int publish_letters(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_publish(self, "it", "\xc3\x80\xe2\x80\xa6", note, .number = 1), 0);
    assert_int_equal(soma_publish(self, "it", "\xc3\x80", note, .number = 2), 0);
    assert_int_equal(soma_publish(self, "it", "", note, .number = 3), 0);
    assert_int_equal(soma_publish(self, "it", "\xc3\x80\x80", note, .number = 4), SOMA_EINVAL); // where does it end?
    return 0;
}

static void test_letters_like_a_separator(soma_test *test)
{
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    soma_ref publisher = agent_open(
        test, &(const struct opened){SOMA_PUB, true, {.serializer = "json", .framing = SOMA_FRAMES_SEPARATED}});
    soma_ref subscriber = agent_open(
        test, &(const struct opened){
                  SOMA_SUB, false, {.serializer = "json", .framing = SOMA_FRAMES_SEPARATED, .handlers = notes}});
    player_peers(test, publisher, "it", 1);
    player_do(test, publisher, publish_letters, NULL);
    player_expect(test, subscriber,
                  "\xc3\x80\xe2\x80\xa6"
                  "1 \xc3\x80"
                  "2 3 ");
    player_transport = SOMA_INPROC;
}

/* ---- who asks and does not read ---- */

static void plain_ask(void *asker, const char *text)
{
    plain_send(asker, "", 0, true);
    plain_send(asker, text, strlen(text), false);
}

static void plain_ask_many(void *asker, uint32_t count)
{
    char text[64];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "L%u", i);
        plain_ask(asker, text);
    }
}

/* Its answers wait, and come in order when it reads them, and others get theirs meanwhile. */
static void test_a_slow_asker(soma_test *test)
{
    enum { MANY = 150 };
    char last[64], text[64];
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    soma_ref replier =
        agent_open(test, &(const struct opened){SOMA_ASYNC_REP, true, {.high_water = 10, .handlers = questions}});
    void *slow = plain_open(ZMQ_DEALER, 1), *quick = plain_open(ZMQ_DEALER, 1);
    plain_connect(slow);
    plain_ask_many(slow, MANY);
    plain_connect(quick);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "q%u", i);
        plain_ask(quick, text);
        assert_int_equal(plain_receive(quick, last, 0), strlen(text));
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(plain_receive(slow, last, 0), LARGE);
        snprintf(text, sizeof(text), "L%u", i);
        assert_string_equal(last, text);
    }
    assert_int_equal(counts_at_rest(test, replier).missed, 0);
    zmq_close(slow);
    zmq_close(quick);
    player_transport = SOMA_INPROC;
}

/* What one of them may leave unread not all of many may: then some is missed, which is counted, and no more is kept. */
static void test_many_slow_askers(soma_test *test)
{
    enum { MANY = 150, ASKERS = 20 };
    void *slow[ASKERS];
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    soma_ref replier =
        agent_open(test, &(const struct opened){SOMA_ASYNC_REP, true, {.high_water = 10, .handlers = questions}});
    for (uint32_t i = 0; i < ASKERS; i++) {
        slow[i] = plain_open(ZMQ_DEALER, 1);
        plain_connect(slow[i]);
        plain_ask_many(slow[i], MANY);
    }
    do
        player_do(test, replier, player_counts, counts);
    while (!counts->missed && player_wait(&looks));
    assert_true(counts->missed > 0);
    for (uint32_t i = 0; i < ASKERS; i++)
        zmq_close(slow[i]);
    player_transport = SOMA_INPROC;
}

/* Who leaves too much unread misses the rest, which is counted. */
static void test_a_stuck_asker(soma_test *test)
{
    enum { MANY = 1500 };
    char last[64] = "", text[64] = "end";
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t asked = MANY, received = 0, looks = 0;
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    soma_ref replier =
        agent_open(test, &(const struct opened){SOMA_ASYNC_REP, true, {.high_water = 10, .handlers = questions}});
    void *slow = plain_open(ZMQ_DEALER, 1);
    plain_connect(slow);
    plain_ask_many(slow, MANY);
    do
        player_do(test, replier, player_counts, counts);
    while (!counts->missed && player_wait(&looks));
    for (uint32_t ends = 0; strcmp(last, text) != 0;) {
        if (plain_receive(slow, last, ZMQ_DONTWAIT) >= 0) {
            received++;
        } else {
            assert_true(player_wait(&looks));
            if (looks % 100 == 1) { // the one before may have been too much, too
                snprintf(text, sizeof(text), "end%u", ends++);
                plain_ask(slow, text);
                asked++;
            }
        }
    }
    *counts = counts_at_rest(test, replier);
    assert_true(counts->missed > 0);
    assert_int_equal(received + counts->missed, asked);
    zmq_close(slow);
    player_transport = SOMA_INPROC;
}

/* ---- who is asked among publications and does not read ---- */

static int ask_to_the_end(soma_agent *self, uint64_t timeout, uint32_t expected)
{
    soma_handle handle;
    uint32_t asked = 0;
    const soma_then *then = SOMA_THEN(chunk, on_bytes, player_error);
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
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
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
    zmq_close(publisher);
    player_transport = SOMA_INPROC;
}

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
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
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
    zmq_close(publisher);
    player_transport = SOMA_INPROC;
}

/* ---- too much in a message ---- */

static void test_too_many_parts(soma_test *test)
{
    char half[600];
    soma_channel_counts counts;
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    memset(half, 'h', sizeof(half));
    soma_ref takes =
        agent_open(test, &(const struct opened){SOMA_PULL, true, {.message_most = 1000, .handlers = bytes}});
    void *sends = plain_open(ZMQ_PUSH, 1000);
    plain_connect(sends);
    for (uint32_t i = 0; i < 5000; i++)
        plain_send(sends, "part", 4, true);
    plain_send(sends, "end", 3, false);
    for (uint32_t i = 0; i < 8; i++) // none of them is too large
        plain_send(sends, half, sizeof(half), i < 7);
    plain_send(sends, "good", 4, false);
    player_expect(test, takes, "good ");
    counts = counts_at_rest(test, takes);
    assert_int_equal(counts.malformed, 2);
    assert_int_equal(counts.connected, 1);
    zmq_close(sends);
    player_transport = SOMA_INPROC;
}

/* ---- whose answer it is ---- */

static int ask_seven(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(chunk, on_bytes, player_error);
    (void)state, (void)arg;
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, chunk, .data = {"7", 1}) > 0);
    return 0;
}

/* A question of who calls himself "me", with what the answer begins with. */
static void question_take(void *answers, char name[8])
{
    char frame[64];
    assert_int_equal(zmq_recv(answers, frame, sizeof(frame), 0), 2);
    assert_memory_equal(frame, "me", 2);
    assert_int_equal(zmq_recv(answers, name, 8, 0), 8);
    assert_int_equal(zmq_recv(answers, frame, sizeof(frame), 0), 0);
    assert_int_equal(zmq_recv(answers, frame, sizeof(frame), 0), 1);
}

static void question_answer(void *answers, const char name[8], const char *text)
{
    plain_send(answers, "me", 2, true);
    plain_send(answers, name, 8, true);
    plain_send(answers, "", 0, true);
    plain_send(answers, text, strlen(text), false);
}

/* Who knows nothing but REQ must not wait for ever. */
static void test_no_question(soma_test *test)
{
    char last[64];
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    soma_ref replier = agent_open(test, &(const struct opened){SOMA_REP, true, {.handlers = questions}});
    void *asker = plain_open(ZMQ_REQ, 1000);
    plain_connect(asker);
    for (uint32_t i = 0; i < 2; i++) {
        plain_send(asker, "two", 3, true);
        plain_send(asker, "frames", 6, false);
        assert_int_equal(plain_receive(asker, last, 0), 3);
        assert_memory_equal(last, "\x92\xf7\xc0", 3); // [SOMA_EFORMAT, nil] in MessagePack
        plain_send(asker, "one", 3, false);
        assert_int_equal(plain_receive(asker, last, 0), 3);
    }
    assert_int_equal(counts_at_rest(test, replier).malformed, 2);
    zmq_close(asker);
    player_transport = SOMA_INPROC;
}

/* Who takes the place of one who has ended, under the same identity, gets no answer to what that one has asked. */
static void test_the_answer_to_another(soma_test *test)
{
    static const struct opened asks = {.pattern = SOMA_REQ, .options = {.identity = "me"}};
    char before[8], now[8];
    player_transport = SOMA_TCP;
    player_move(); // a plain socket that was bound may not be gone
    void *answers = plain_open(ZMQ_ROUTER, 1000);
    zmq_setsockopt(answers, ZMQ_ROUTER_HANDOVER, &(const int){1}, sizeof(int));
    plain_bind(answers);
    soma_ref first = agent_open(test, &asks);
    player_peers(test, first, "it", 1);
    player_do(test, first, ask_seven, NULL);
    question_take(answers, before);
    assert_int_equal(soma_kill(soma_test_system(test), first), 0);
    soma_ref second = agent_open(test, &asks);
    player_peers(test, second, "it", 1);
    player_do(test, second, ask_seven, NULL);
    question_take(answers, now);
    question_answer(answers, before, "wrong");
    question_answer(answers, now, "right");
    player_expect(test, second, "right ");
    zmq_close(answers);
    player_transport = SOMA_INPROC;
}

static int context_end(void **state)
{
    (void)state;
    return context ? zmq_ctx_term(context) : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_REAL(test_a_slow_subscriber),
        SOMA_REAL(test_bytes_like_a_mark),
        SOMA_REAL(test_letters_like_a_separator),
        SOMA_REAL(test_a_slow_asker),
        SOMA_REAL(test_many_slow_askers),
        SOMA_REAL(test_a_stuck_asker),
        SOMA_REAL(test_questions_and_topics_arrive),
        SOMA_REAL(test_lost_answers_end_nothing),
        SOMA_REAL(test_too_many_parts),
        SOMA_REAL(test_no_question),
        SOMA_REAL(test_the_answer_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, context_end);
}
