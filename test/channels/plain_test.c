/*
 * Channels and plain ZeroMQ sockets that say what a channel would not.
 */
#include "plain.h"

static const soma_handler *const notes = SOMA_HANDLERS(SOMA_ON(note, player_note));
static const soma_handler *const bytes = SOMA_HANDLERS(SOMA_ON(chunk, plain_bytes));
static const soma_handler *const questions = SOMA_HANDLERS(SOMA_ON(chunk, plain_question));

/* ---- what a publication may begin with ---- */

static void test_bytes_like_a_mark(soma_test *test)
{
    char last[64];
    player_move();
    void *publisher = plain_open(ZMQ_XPUB, 1000);
    plain_bind(publisher);
    soma_ref subscriber =
        agent_open(test, &(const struct opened){SOMA_SUB, false, {.handlers = bytes, .framing = SOMA_FRAMES_PREFIX}});
    assert_int_equal(plain_receive(publisher, last, 0), 1); // it wants all
    plain_send(publisher, "\003one", 4, false);
    plain_send(publisher, "two", 3, false);
    player_expect(test, subscriber, "\003one two ");
    plain_close(publisher);
}

PLAYER_WIRES(test_bytes_like_a_mark)

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
    player_move();
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
}

PLAYER_WIRES(test_letters_like_a_separator)

/* ---- too much in a message ---- */

static void test_too_many_parts(soma_test *test)
{
    char half[600];
    soma_channel_counts counts;
    player_move();
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
    plain_close(sends);
}

PLAYER_WIRES(test_too_many_parts)

/* ---- whose answer it is ---- */

static int ask_seven(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(chunk, plain_bytes, player_error);
    (void)state, (void)arg;
    assert_true(soma_request_to(self, "it", SOMA_NEVER, then, chunk, .data = {"7", 1}) > 0);
    return 0;
}

#define NAME 12 /* bytes that who asks knows a question by */

/* A question of who calls himself "me", with what the answer begins with. */
static void question_take(void *answers, char name[NAME])
{
    char frame[64];
    assert_int_equal(zmq_recv(answers, frame, sizeof(frame), 0), 2);
    assert_memory_equal(frame, "me", 2);
    assert_int_equal(zmq_recv(answers, name, NAME, 0), NAME);
    assert_int_equal(zmq_recv(answers, frame, sizeof(frame), 0), 0);
    assert_int_equal(zmq_recv(answers, frame, sizeof(frame), 0), 1);
}

static void question_answer(void *answers, const char name[NAME], const char *text)
{
    plain_send(answers, "me", 2, true);
    plain_send(answers, name, NAME, true);
    plain_send(answers, "", 0, true);
    plain_send(answers, text, strlen(text), false);
}

/* Who knows nothing but REQ must not wait for ever. */
static void test_no_question(soma_test *test)
{
    // [SOMA_EFORMAT, why] in MessagePack
    static const char failure[] = "\x92\xf7\xd9\x2enobody here can make a message of the question";
    char last[64];
    player_move();
    soma_ref replier = agent_open(test, &(const struct opened){SOMA_REP, true, {.handlers = questions}});
    void *asker = plain_open(ZMQ_REQ, 1000);
    plain_connect(asker);
    for (uint32_t i = 0; i < 2; i++) {
        plain_send(asker, "two", 3, true);
        plain_send(asker, "frames", 6, false);
        assert_int_equal(plain_receive(asker, last, 0), sizeof(failure) - 1);
        assert_memory_equal(last, failure, sizeof(failure) - 1);
        plain_send(asker, "one", 3, false);
        assert_int_equal(plain_receive(asker, last, 0), 3);
    }
    assert_int_equal(counts_at_rest(test, replier).malformed, 2);
    plain_close(asker);
}

PLAYER_WIRES(test_no_question)

/* Who takes the place of one who has ended, under the same identity, gets no answer to what that one has asked. */
static void test_the_answer_to_another(soma_test *test)
{
    static const struct opened asks = {.pattern = SOMA_REQ, .options = {.identity = "me"}};
    char before[NAME], now[NAME];
    player_move();
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
    plain_close(answers);
}

PLAYER_WIRES(test_the_answer_to_another)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_OVER_WIRES(test_bytes_like_a_mark),     PLAYER_OVER_WIRES(test_letters_like_a_separator),
        PLAYER_OVER_WIRES(test_too_many_parts),        PLAYER_OVER_WIRES(test_no_question),
        PLAYER_OVER_WIRES(test_the_answer_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, plain_end);
}
