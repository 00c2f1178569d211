/*
 * Who reads slowly over ipc and tcp: his socket is not read while much waits for him. Nobody may take him for dead for
 * that; and that the other side goes away in the meantime must do no harm.
 */
#include "channels/porter.h"
#include "channels/remote.h"
#include "stranger.h"
#include <fcntl.h>
#include <netinet/tcp.h>
#include <soma/system.h>

#define BEAT 50u           /* ms */
#define BYTES 4096u        /* of a message */
#define MANY 4000u         /* messages: more than wait anywhere on the way */
#define QUIET (4 * BEAT)   /* ms that a reader is held: until his silence would have been noticed */
#define STUCK 100          /* ms that nobody reads */
#define HEAD_LEAST 9u      /* bytes before a message in its frame, */
#define HEAD_MOST (2u + 9) /* and with an empty frame before it */

static atomic_bool held;
static atomic_uint got;

static void quiet_wait(int ms)
{
    poll(NULL, 0, ms);
}

/* Does not return before the test lets it. */
static int on_held(soma_agent *self, struct player *my, const struct chunk *m)
{
    uint32_t number = atomic_load(&got);
    (void)self, (void)my;
    while (atomic_load(&held))
        quiet_wait(1);
    if (m->data.size == BYTES && memcmp(m->data.data, &number, sizeof(number)) != 0)
        fail_msg("one of %u is missing", number);
    atomic_fetch_add(&got, 1);
    return 0;
}

static const soma_handler *const holds = SOMA_HANDLERS(SOMA_ON(chunk, on_held));

static void got_wait(uint32_t count)
{
    uint32_t looks = 0;
    while (atomic_load(&got) < count && player_wait(&looks))
        ;
    assert_true(atomic_load(&got) >= count);
}

struct opening {
    soma_pattern pattern;
    bool binds;
    char place[64];
    soma_channel_options options;
};

static int open_it(soma_agent *self, void *state, void *arg)
{
    const struct opening *opening = arg;
    soma_channel_options options = opening->options;
    soma_address address;
    (void)state;
    options.serializer = "raw";
    if (opening->binds) {
        options.place = opening->place;
        return soma_bind(self, opening->pattern, "it", &options, NULL);
    }
    int error = soma_address_parse(opening->place, &address);
    address.pattern = soma_pattern_twin(opening->pattern);
    return error ? error : soma_connect_with(self, &address, "it", &options);
}

static soma_ref opened(soma_test *test, soma_pattern pattern, bool binds, uint16_t port, soma_channel_options options)
{
    struct opening *opening = soma_test_alloc(test, sizeof(*opening));
    *opening = (struct opening){.pattern = pattern, .binds = binds, .options = options};
    snprintf(opening->place, sizeof(opening->place), "tcp://127.0.0.1:%u", port);
    soma_ref agent = player_open(test, &player_quiet);
    player_do(test, agent, open_it, opening);
    return agent;
}

/* ---- who goes away ---- */

struct writer {
    int socket;
    bool framed;     /* its messages have an empty frame before them: a topic, or the end of an envelope */
    uint32_t number; /* of the next message */
};

/* The next message as it goes over the wire. */
static size_t message_write(struct writer *writer, unsigned char bytes[HEAD_MOST + BYTES])
{
    size_t at = 0;
    if (writer->framed) {
        bytes[at++] = 1; // more follow
        bytes[at++] = 0;
    }
    memset(bytes + at, 0, HEAD_LEAST + BYTES);
    bytes[at] = 2; // of 8 bytes is its length
    bytes[at + 7] = BYTES >> 8;
    memcpy(bytes + at + HEAD_LEAST, &writer->number, sizeof(writer->number));
    writer->number++;
    return at + HEAD_LEAST + BYTES;
}

/* Until it is not read any more. */
static void writer_flood(struct writer *writer)
{
    unsigned char bytes[HEAD_MOST + BYTES];
    struct pollfd ready = {writer->socket, POLLOUT, 0};
    size_t size = 0, gone = 0;
    assert_int_equal(fcntl(writer->socket, F_SETFL, O_NONBLOCK), 0);
    while (poll(&ready, 1, STUCK) == 1) {
        if (gone == size) {
            size = message_write(writer, bytes);
            gone = 0;
        }
        ssize_t count = send(writer->socket, bytes + gone, size - gone, MSG_NOSIGNAL);
        assert_true(count > 0 || errno == EAGAIN);
        gone += count > 0 ? (size_t)count : 0;
    }
}

static void writer_leave(struct writer *writer, bool abruptly)
{
    const struct linger now = {1, 0};
    if (abruptly)
        assert_int_equal(setsockopt(writer->socket, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(writer->socket);
}

static struct writer writer_come(const struct relay *relay, uint16_t port, bool framed, const char *kind)
{
    unsigned char words[256];
    struct writer writer = {.framed = framed, .number = atomic_load(&got)};
    writer.socket = port ? relay_dial(port) : accept(relay->listener, NULL, NULL);
    assert_true(writer.socket >= 0);
    stranger_write(writer.socket, words, words_ready(words, kind));
    stranger_hear(writer.socket);
    return writer;
}

/* Whoever floods a reader that has stopped to read, and is gone, is one who has left, and no more than that. */
static void stopped_and_gone(soma_test *test, soma_pattern pattern, const char *kind, bool abruptly)
{
    const bool binds = pattern != SOMA_SUB, framed = pattern != SOMA_PULL;
    unsigned char bytes[HEAD_MOST + BYTES];
    uint16_t port = player_free_port();
    struct relay relay; // for its port alone
    relay_listen(&relay, 0);
    soma_ref reader = opened(test, pattern, binds, binds ? port : relay.from,
                             (soma_channel_options){.handlers = holds, .heartbeat_ms = BEAT, .high_water = 10});
    atomic_store(&held, true);
    atomic_store(&got, 0);
    struct writer writer = writer_come(&relay, binds ? port : 0, framed, kind);
    writer_flood(&writer);
    writer_leave(&writer, abruptly);
    quiet_wait(QUIET);
    atomic_store(&held, false);
    player_peers(test, reader, "it", 0);
    uint32_t before = atomic_load(&got);
    assert_true(before > 0);
    soma_test_settle(test);
    writer = writer_come(&relay, binds ? port : 0, framed, kind);
    player_peers(test, reader, "it", 1);
    writer.number = atomic_load(&got);
    stranger_write(writer.socket, bytes, message_write(&writer, bytes));
    got_wait(writer.number);
    writer_leave(&writer, false);
    assert_int_equal(soma_kill(soma_test_system(test), reader), 0);
    soma_test_settle(test);
    close(relay.listener);
}

static void test_stopped_and_gone(soma_test *test)
{
    player_transport = SOMA_TCP;
    for (int abruptly = 0; abruptly < 2; abruptly++) {
        stopped_and_gone(test, SOMA_PULL, "PUSH", abruptly);
        stopped_and_gone(test, SOMA_ASYNC_REP, "DEALER", abruptly);
        stopped_and_gone(test, SOMA_SUB, "PUB", abruptly);
    }
    player_transport = SOMA_INPROC;
}

/* ---- who is slow, and alive ---- */

static int send_many(soma_agent *self, void *state, void *arg)
{
    static char bytes[BYTES];
    (void)state, (void)arg;
    for (uint32_t i = 0; i < MANY; i++) {
        memcpy(bytes, &i, sizeof(i));
        assert_int_equal(soma_send_to(self, "it", chunk, .data = {bytes, sizeof(bytes)}), 0);
    }
    return 0;
}

/* Nothing is lost, and the connection is the same. */
static void test_slow_and_alive(soma_test *test)
{
    uint16_t port = player_free_port();
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    player_transport = SOMA_TCP;
    atomic_store(&held, true);
    atomic_store(&got, 0);
    soma_ref reader = opened(test, SOMA_PULL, true, port,
                             (soma_channel_options){.handlers = holds, .heartbeat_ms = BEAT, .high_water = 10});
    soma_ref sender = opened(test, SOMA_PUSH, false, port, (soma_channel_options){0});
    player_peers(test, sender, "it", 1);
    assert_int_equal(soma_post(soma_test_system(test), sender, send_many, NULL, NULL), 0);
    quiet_wait(QUIET);
    atomic_store(&held, false);
    got_wait(MANY);
    player_do(test, reader, player_counts, counts);
    assert_int_equal(counts->connected, 1);
    player_transport = SOMA_INPROC;
}

/* ---- too much of one handler ---- */

#define MOST (UINT64_C(64) << 20) /* bytes that wait, beside what the sockets and their kernels take */

static atomic_uint sent;     /* 0: not yet */
static uint32_t waited_most; /* messages, before it was */

static int send_too_many(soma_agent *self, void *state, void *arg)
{
    static char bytes[BYTES];
    soma_channel_counts counts;
    uint32_t count = 0;
    int error;
    (void)state, (void)arg;
    for (waited_most = 0;; count++) {
        memcpy(bytes, &count, sizeof(count));
        if ((error = soma_send_to(self, "it", chunk, .data = {bytes, sizeof(bytes)})))
            break;
        assert_int_equal(soma_channel_count(self, "it", &counts), 0);
        waited_most = counts.waiting > waited_most ? counts.waiting : waited_most;
    }
    assert_int_equal(error, SOMA_EAGAIN);
    atomic_store(&sent, count);
    return 0;
}

/* It hears of that, and what it could send arrives. */
static void test_too_much(soma_test *test)
{
    uint16_t port = player_free_port();
    uint32_t looks = 0;
    player_transport = SOMA_TCP;
    atomic_store(&held, true);
    atomic_store(&got, 0);
    opened(test, SOMA_PULL, true, port, (soma_channel_options){.handlers = holds, .high_water = 10});
    soma_ref sender = opened(test, SOMA_PUSH, false, port, (soma_channel_options){.high_water = 10});
    player_peers(test, sender, "it", 1);
    assert_int_equal(soma_post(soma_test_system(test), sender, send_too_many, NULL, NULL), 0);
    while (!atomic_load(&sent) && player_wait(&looks))
        ;
    assert_in_range(waited_most, MOST / (BYTES + LINE_PART_COST), MOST / BYTES);
    atomic_store(&held, false);
    got_wait(atomic_load(&sent));
    player_transport = SOMA_INPROC;
}

#define PUBLISHED 100u
#define PAGE (UINT32_C(1) << 20) /* bytes of a publication */

static int publish_too_many(soma_agent *self, void *state, void *arg)
{
    static char bytes[PAGE];
    struct line *line = channel_find(self, "it")->remote->line;
    (void)state;
    pthread_mutex_lock(&line->use); // as if ZeroMQ took nothing
    for (uint32_t i = 0; i < PUBLISHED; i++)
        assert_int_equal(soma_publish(self, "it", "news", chunk, .data = {bytes, sizeof(bytes)}), 0);
    pthread_mutex_unlock(&line->use);
    return soma_channel_count(self, "it", arg);
}

/* Of a publisher all miss it, which is counted, and what could be published arrives. */
static void test_too_much_published(soma_test *test)
{
    uint16_t port = player_free_port();
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    player_transport = SOMA_TCP;
    atomic_store(&held, false);
    atomic_store(&got, 0);
    soma_ref publisher = opened(test, SOMA_PUB, true, port, (soma_channel_options){0});
    opened(test, SOMA_SUB, false, port, (soma_channel_options){.handlers = holds});
    player_peers(test, publisher, "it", 1);
    player_do(test, publisher, publish_too_many, counts);
    assert_in_range(counts->missed, 1, PUBLISHED - MOST / (PAGE + 1024));
    got_wait(PUBLISHED - (uint32_t)counts->missed);
    player_transport = SOMA_INPROC;
}

/* ---- who answers slowly ---- */

#define ASKED 1000u /* more than an agent takes in a turn, and than go into one mailbox in between */
#define STOPS 500u  /* the question whose handler does not return before the others' answers have come */
#define TURN 100u   /* questions that an agent handles in a turn */

static int on_slow_question(soma_agent *self, struct player *my, const struct chunk *m)
{
    int error = soma_reply(self, chunk, .data = m->data);
    for (my->notes++; my->notes == STOPS && atomic_load(&held);)
        quiet_wait(1);
    return error;
}

static int on_slow_answer(soma_agent *self, void *state, const struct chunk *m)
{
    (void)self, (void)state, (void)m;
    atomic_fetch_add(&got, 1);
    return 0;
}

static int ask_many(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(chunk, on_slow_answer, player_error);
    (void)state, (void)arg;
    for (uint32_t i = 0; i < ASKED; i++)
        assert_true(soma_request_to(self, "it", SOMA_NEVER, then, chunk, .data = {"?", 1}) > 0);
    return 0;
}

/* An answer leaves when the turn is over in which it is given, however many questions wait. */
static void test_slow_answers(soma_test *test)
{
    const soma_handler *slow = SOMA_HANDLERS(SOMA_ON(chunk, on_slow_question));
    uint16_t port = player_free_port();
    player_transport = SOMA_TCP;
    atomic_store(&held, true);
    atomic_store(&got, 0);
    opened(test, SOMA_REP, true, port, (soma_channel_options){.handlers = slow});
    soma_ref asks = opened(test, SOMA_ASYNC_REQ, false, port, (soma_channel_options){0});
    player_peers(test, asks, "it", 1);
    assert_int_equal(soma_post(soma_test_system(test), asks, ask_many, NULL, NULL), 0);
    got_wait(STOPS - TURN);
    atomic_store(&held, false);
    got_wait(ASKED);
    player_transport = SOMA_INPROC;
}

/* ---- who is silent ---- */

static int option_get(int file, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    getsockopt(file, level, option, &value, &size);
    return value;
}

/* The connections at a port ask the other machine after so many seconds; and give it up after so many milliseconds in
 * which nothing is taken, or, by 0, when TCP does. */
static void silence_expect(uint16_t port, int seconds, int given_up)
{
    uint32_t seen = 0;
    for (int file = 0; file < 1024; file++) {
        struct sockaddr_in here = {0}, there = {0};
        socklen_t here_size = sizeof(here), there_size = sizeof(there);
        if (getsockname(file, (struct sockaddr *)&here, &here_size) || here.sin_family != AF_INET ||
            getpeername(file, (struct sockaddr *)&there, &there_size) || ntohs(here.sin_port) != port)
            continue;
        seen++;
        assert_true(option_get(file, SOL_SOCKET, SO_KEEPALIVE));
        assert_int_equal(option_get(file, IPPROTO_TCP, TCP_KEEPIDLE), seconds);
        assert_int_equal(option_get(file, IPPROTO_TCP, TCP_KEEPINTVL), seconds);
        assert_int_equal(option_get(file, IPPROTO_TCP, TCP_KEEPCNT), 2);
        assert_int_equal(option_get(file, IPPROTO_TCP, TCP_USER_TIMEOUT), given_up);
    }
    assert_int_equal(seen, 1);
}

/* A machine that is gone can't be had here, so it is looked whether the kernel is to ask for it. */
static void silence(soma_test *test, uint32_t heartbeat_ms, int seconds, int given_up)
{
    uint16_t port = player_free_port();
    soma_ref reader =
        opened(test, SOMA_PULL, true, port, (soma_channel_options){.handlers = holds, .heartbeat_ms = heartbeat_ms});
    soma_ref sender = opened(test, SOMA_PUSH, false, port, (soma_channel_options){0});
    player_peers(test, sender, "it", 1);
    player_peers(test, reader, "it", 1);
    silence_expect(port, seconds, given_up);
    assert_int_equal(soma_kill(soma_test_system(test), reader), 0);
    assert_int_equal(soma_kill(soma_test_system(test), sender), 0);
    soma_test_settle(test);
}

static void test_silence(soma_test *test)
{
    player_transport = SOMA_TCP;
    silence(test, 0, 5, 0);
    silence(test, 1500, 2, 4500);
    silence(test, UINT32_MAX, 32767, 3 * 32767000);
    player_transport = SOMA_INPROC;
}

/* ---- who is slow at the end ---- */

struct loss {
    const char *text; /* that the log has of it */
    atomic_uint count;
};

static void count_lost(void *context, const soma_log_record *record)
{
    struct loss *loss = context;
    if (strstr(record->text, loss->text))
        atomic_fetch_add(&loss->count, 1);
}

/* Sends more than the kernels take, and less than ZeroMQ does, if that keeps a thousand. */
static int send_when_there(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    static char bytes[100 * BYTES];
    const uint32_t many = (uint32_t)(kernel_sends() / sizeof(bytes)) + 20;
    (void)state;
    for (uint32_t i = 0; m->peers && i < many; i++)
        assert_int_equal(soma_send_to(self, "it", chunk, .data = {bytes, sizeof(bytes)}), 0);
    if (m->peers)
        soma_system_stop(soma_agent_system(self));
    return 0;
}

static const soma_behavior hurried = {.name = "hurried",
                                      .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, send_when_there))};

static int send_and_close(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    int error = send_when_there(self, state, m);
    if (!m->peers)
        return error;
    error = soma_bind(self, SOMA_PUSH, "other", &(soma_channel_options){.place = "ipc"}, NULL); // lingers longer
    return error ? error : soma_close_channel(self, "it");
}

static const soma_behavior closing = {.name = "closing",
                                      .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, send_and_close))};

/* What is still there when its time is over is gone; that is in the log. */
static void lost_at_the_end(const soma_behavior *behavior, uint32_t high_water, const char *text, int closed)
{
    struct loss loss = {.text = text};
    soma_system *system;
    soma_ref agent;
    struct relay relay; // for its port alone
    relay_listen(&relay, 0);
    struct opening opening = {.pattern = SOMA_PUSH, .options = {.linger_ms = 300, .high_water = high_water}};
    snprintf(opening.place, sizeof(opening.place), "tcp://127.0.0.1:%u", relay.from);
    const soma_options options = {.log_sink = count_lost, .log_context = &loss};
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_spawn(system, behavior, NULL, &agent), 0);
    assert_int_equal(soma_post(system, agent, open_it, &opening, NULL), 0);
    struct writer reader = writer_come(&relay, 0, false, "PULL");
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(soma_system_close(&system), closed);
    assert_int_equal(atomic_load(&loss.count), 1);
    writer_leave(&reader, false);
    close(relay.listener);
}

/* ZeroMQ does not tell whether it has something left. */
static void test_lost_at_the_end(void **state)
{
    (void)state;
    lost_at_the_end(&hurried, 1000, "it may not have left", 0);
}

static void test_left_at_the_end(void **state)
{
    (void)state;
    static const char *const text = "messages were left when their channel had ended";
    lost_at_the_end(&hurried, 1, text, SOMA_ETIMEOUT);
    lost_at_the_end(&closing, 1, text, SOMA_ETIMEOUT); // before the system, but not in time
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_REAL(test_stopped_and_gone),       SOMA_REAL(test_slow_and_alive),        SOMA_REAL(test_too_much),
        SOMA_REAL(test_too_much_published),     SOMA_REAL(test_slow_answers),          SOMA_REAL(test_silence),
        cmocka_unit_test(test_lost_at_the_end), cmocka_unit_test(test_left_at_the_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
