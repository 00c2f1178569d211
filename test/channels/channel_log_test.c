/*
 * What channels leave in a system's log: what an agent was handling when it ended, which variable of the environment is
 * wrong, and what was lost when a system closed.
 */
#include "player.h"
#include "test_support.h"
#include <stdlib.h>
#include <zmq.h>

#define LARGE 100000u
#define MANY 100u /* more than ZeroMQ and the kernel keep of them */

static char place[SOMA_ADDRESS_TEXT_SIZE];

/* ---- the log ---- */

struct sink {
    char text[2000]; /* its lines */
    size_t length;
};

static void sink_keep(void *context, const soma_log_record *record)
{
    struct sink *sink = context;
    size_t room = sizeof(sink->text) - sink->length;
    int length = snprintf(sink->text + sink->length, room, "%s\n", record->text);
    assert_in_range(length, 1, room - 1);
    sink->length += (size_t)length;
}

/* A system with one agent, until that has it stopped. What closing gave. */
static int run(const soma_behavior *behavior, struct sink *sink)
{
    soma_system *system;
    *sink = (struct sink){.length = 0};
    assert_int_equal(soma_system_open(&system, &(soma_options){.log_sink = sink_keep, .log_context = sink}), 0);
    assert_int_equal(soma_spawn(system, behavior, NULL, NULL), 0);
    assert_int_equal(soma_system_run(system), 0);
    return soma_system_close(&system);
}

static void place_next(void)
{
    static uint32_t places;
    snprintf(place, sizeof(place), "ipc:///tmp/soma-%ld-logged%u", (long)getpid(), places++);
}

/* ---- what was handled ---- */

static int on_note_failing(soma_agent *self, void *state, const struct note *m)
{
    (void)self, (void)state, (void)m;
    return SOMA_ENOMEM;
}

static int fails_ready(soma_agent *self, void *state)
{
    const soma_channel_options in = {.place = place, .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note_failing))};
    soma_address at;
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &in, &at), 0);
    assert_int_equal(soma_connect(self, &at, "out", NULL), 0);
    return 0;
}

static int fails_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    return strcmp(m->alias, "out") != 0 || !m->peers ? 0 : soma_send_to(self, "out", note, .number = 1);
}

static int fails_at_once(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)self, (void)state, (void)m;
    return SOMA_ENOMEM;
}

static void stops(soma_agent *self, void *state, int reason)
{
    (void)state, (void)reason;
    soma_system_stop(soma_agent_system(self));
}

static const soma_behavior fails = {.name = "fails",
                                    .ready = fails_ready,
                                    .stop = stops,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, fails_changed))};
static const soma_behavior fails_early = {.name = "fails",
                                          .ready = fails_ready,
                                          .stop = stops,
                                          .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, fails_at_once))};

static void test_what_was_handled(void **state)
{
    struct sink sink;
    (void)state;
    snprintf(place, sizeof(place), "inproc://logged");
    assert_int_equal(run(&fails, &sink), 0);
    assert_non_null(strstr(sink.text, "ended while handling note: out of memory (-2)\n"));
    place_next();
    assert_int_equal(run(&fails, &sink), 0);
    assert_non_null(strstr(sink.text, "ended while handling note: out of memory (-2)\n"));
    place_next();
    assert_int_equal(run(&fails_early, &sink), 0);
    assert_non_null(strstr(sink.text, "ended while handling soma_channel_changed: out of memory (-2)\n"));
}

/* How a question fails. */
enum { BY_ERROR, BY_TEXT, BY_CLOSING, WAYS };

static int way;

static int on_ask_failing(soma_agent *self, void *state, const struct ask *m)
{
    (void)state, (void)m;
    if (way == BY_CLOSING)
        return soma_reply_later(self) > 0 ? soma_close_channel(self, "out") : SOMA_ESTATE;
    return soma_reply_error(self, way == BY_TEXT ? soma_fail(self, SOMA_EFULL, "no more") : SOMA_EFULL);
}

static int on_error_failing(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state, (void)error;
    return SOMA_ENOMEM;
}

static int asks_ready(soma_agent *self, void *state)
{
    const soma_channel_options in = {.place = place, .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask_failing))};
    soma_address at;
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_ASYNC_REP, "in", &in, &at), 0);
    assert_int_equal(soma_connect(self, &at, "out", NULL), 0);
    return 0;
}

static int asks_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    const soma_then *then = SOMA_THEN(answer, player_answer, on_error_failing);
    (void)state;
    if (!strcmp(m->alias, "out") && m->peers)
        assert_true(soma_request_to(self, "out", SOMA_NEVER, then, ask, .number = 1) > 0);
    return 0;
}

static const soma_behavior asks = {.name = "asks",
                                   .ready = asks_ready,
                                   .stop = stops,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, asks_changed))};

static void test_a_failed_question(void **state)
{
    struct sink sink;
    (void)state;
    for (int round = 0; round < 2 * WAYS; round++) {
        way = round % WAYS;
        snprintf(place, sizeof(place), "inproc://logged");
        if (round >= WAYS)
            place_next();
        else if (way == BY_CLOSING) // fails no question within a system
            continue;
        assert_int_equal(run(&asks, &sink), 0);
        assert_non_null(strstr(sink.text, "ended while handling a failed request: out of memory (-2)\n"));
    }
}

/* ---- the environment ---- */

static int binds_ready(soma_agent *self, void *state)
{
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "out", NULL, NULL), SOMA_EINVAL);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior binds = {.name = "binds", .ready = binds_ready};

/* The one that is wrong is named, and no other. */
static void test_environment(void **state)
{
    static const char *const variables[][4] = {
        {"SOMA_CHANNEL_PLACE", "ipc", "pigeon", "that is no place"},
        {"SOMA_CHANNEL_SERIALIZER", "json", "smoke", "there is no such serializer"},
        {"SOMA_CHANNEL_LINGER_MS", "10", "soon", "that is no number up to 2147483647"}};
    struct sink sink;
    char expected[100];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(setenv(variables[i][0], variables[i][1], 1), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(setenv(variables[i][0], variables[i][2], 1), 0);
        assert_int_equal(run(&binds, &sink), 0);
        snprintf(expected, sizeof(expected), "environment: %s=%s is wrong: %s\n", variables[i][0], variables[i][2],
                 variables[i][3]);
        assert_string_equal(sink.text, expected);
        assert_int_equal(setenv(variables[i][0], variables[i][1], 1), 0);
    }
    for (int i = 0; i < 3; i++)
        unsetenv(variables[i][0]);
}

/* ---- what may not be ---- */

static int refused_ready(soma_agent *self, void *state)
{
    const soma_channel_options taken = {.place = "inproc://taken"}, scoped = {.place = "tcp://[fe80::1%lo]:7000"},
                               one = {.place = "ipc:///tmp/one"};
    const soma_address pub = {.transport = SOMA_INPROC, .pattern = SOMA_PUB, .host = "taken"};
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "first", &taken, NULL), 0);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &taken, NULL), SOMA_EEXIST);
    assert_int_equal(soma_connect(self, &pub, "b", NULL), SOMA_ETYPE);
    assert_int_equal(soma_connect_to(self, "alice/jobs", "c", NULL, SOMA_SECOND), SOMA_ESTATE);
    assert_int_equal(soma_connect_to(self, "a b/jobs", "d", NULL, SOMA_SECOND), SOMA_EINVAL);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "e", &scoped, NULL), SOMA_EINVAL);
    assert_int_equal(soma_channel_defaults(self, &one), SOMA_EINVAL);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior refused = {.name = "refused", .ready = refused_ready};

static void test_what_may_not_be(void **state)
{
    struct sink sink;
    (void)state;
    assert_int_equal(run(&refused, &sink), 0);
    assert_string_equal(
        sink.text,
        "channel 'a': something is bound at 'inproc://taken'\n"
        "channel 'b': what is bound at 'inproc://taken' is of another pattern\n"
        "channel 'c': there is no client of a name service here to find 'alice/jobs'\n"
        "channel 'd': 'a b/jobs' is neither an address nor a name/alias\n"
        "channel 'e': 'tcp://[fe80::1%lo]:7000' is no place that it can be bound at: an IPv6 address with a scope (%) "
        "means another one on each machine\n"
        "defaults of channels: 'ipc:///tmp/one': only one channel can have that place: say a transport, or tcp://IP "
        "without a port\n");
}

/* A place that is none, and what is said of it. */
static const struct {
    const char *place, *why;
} no_places[] = {
    {"jobs", ": it begins with inproc://, ipc:// or tcp://"},
    {"udp://127.0.0.1:7000", ""},
    {"tcp://localhost:7000", ": that is no IP, nor the name of an interface here; names of hosts are not looked up"},
    {"tcp://127.0.0.1:0", ": a port is a number from 1 to 65535, or a star for any"},
    {"tcp://127.0.0.1:65536", ": a port is a number from 1 to 65535, or a star for any"},
    {"tcp://lo:7x", ": a port is a number from 1 to 65535, or a star for any"},
    {"tcp://127.0.0.1:080", ": a port is a number from 1 to 65535, or a star for any"},
    {"tcp://", ""},
    {"tcp://*:7000 pusch", ""},
};

static int places_ready(soma_agent *self, void *state)
{
    soma_address address = {.transport = SOMA_TCP, .host = "127.0.0.1", .port = 7000};
    (void)state;
    for (size_t i = 0; i < sizeof(no_places) / sizeof(*no_places); i++)
        assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &(soma_channel_options){.place = no_places[i].place}, NULL),
                         SOMA_EINVAL);
    assert_int_equal(soma_connect(self, &address, "b", NULL), SOMA_EINVAL);
    address = (soma_address){.transport = SOMA_TCP, .host = "127.0.0.1", .pattern = SOMA_PULL};
    assert_int_equal(soma_connect(self, &address, "c", NULL), SOMA_EINVAL);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior places = {.name = "places", .ready = places_ready};

static void test_what_is_no_place(void **state)
{
    struct sink sink;
    char expected[sizeof(sink.text)];
    size_t length = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(no_places) / sizeof(*no_places); i++)
        length += (size_t)snprintf(expected + length, sizeof(expected) - length,
                                   "channel 'a': '%s' is no place that it can be bound at%s\n", no_places[i].place,
                                   no_places[i].why);
    snprintf(expected + length, sizeof(expected) - length,
             "channel 'b': an address without a pattern, as in 'tcp://IP:PORT push', leads nowhere\n"
             "channel 'c': an address without a port leads nowhere\n");
    assert_int_equal(run(&places, &sink), 0);
    assert_string_equal(sink.text, expected);
}

/* ---- what comes and can't be handled ---- */

static int stop_by(soma_agent *self, void *state, const struct note *m)
{
    (void)state, (void)m;
    return soma_system_stop(soma_agent_system(self));
}

static int fail_by(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    (void)state, (void)arguments, (void)result;
    soma_system_stop(soma_agent_system(self));
    return soma_fail(self, SOMA_EFORMAT, "a note is no song");
}

static bool sings; /* by a method; else what comes is JSON */

static int reads_ready(soma_agent *self, void *state)
{
    const soma_channel_options json = {
        .place = place, .serializer = "json", .handlers = SOMA_HANDLERS(SOMA_ON(note, stop_by))};
    const soma_channel_options song = {.place = "inproc://song", .handlers = SOMA_HANDLERS(SOMA_BY_METHOD("sing"))};
    const soma_channel_options raw = {.serializer = "raw"};
    soma_address at;
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", sings ? &song : &json, &at), 0);
    return soma_connect_with(self, &at, "out", &raw);
}

static int reads_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    static const char *const texts[] = {"{\"number\":7,\"more\":1}", "{\"number\":7} and more", "{\"number\":7}"};
    (void)state;
    if (strcmp(m->alias, "out") != 0 || !m->peers)
        return 0;
    if (sings)
        return soma_send_to(self, "out", note, .number = 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(soma_send_to(self, "out", text, .words = texts[i]), 0);
    return 0;
}

static const soma_behavior reads = {.name = "reads",
                                    .ready = reads_ready,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, reads_changed)),
                                    .methods = SOMA_METHODS(SOMA_METHOD("sing", fail_by))};

static void test_what_makes_no_sense(void **state)
{
    struct sink sink;
    (void)state;
    sings = true;
    assert_int_equal(run(&reads, &sink), 0);
    assert_string_equal(sink.text, "method 'sing' can't handle what came: a note is no song\n");
    sings = false;
    place_next();
    assert_int_equal(run(&reads, &sink), 0);
    assert_string_equal(sink.text,
                        "channel 'in' of agent 0.1: a message makes no sense as json of type note: a value or "
                        "message is of another type than expected (1 so far)\n"
                        "channel 'in' of agent 0.1: a message makes no sense as json of type note: the "
                        "bytes are malformed or truncated; is that what the other side speaks? (2 so far)\n");
}

/* ---- closing ---- */

static const char bytes[LARGE];

static int floods_ready(soma_agent *self, void *state)
{
    const soma_channel_options options = {.place = place, .serializer = "raw", .high_water = 1, .linger_ms = 50};
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "out", &options, NULL), 0);
    return 0;
}

static int floods_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    if (!m->peers)
        return 0;
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(soma_send_to(self, "out", chunk, .data = {bytes, LARGE}), 0);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior floods = {
    .name = "floods", .ready = floods_ready, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, floods_changed))};

/* What has waited for all the time that there was does not wait as long again within ZeroMQ. */
static void test_lingers_once(void **state)
{
    const int one = 1, none = 0;
    struct sink sink;
    void *context = zmq_ctx_new(), *takes = zmq_socket(context, ZMQ_PULL);
    (void)state;
    place_next();
    zmq_setsockopt(takes, ZMQ_RCVHWM, &one, sizeof(one));
    zmq_setsockopt(takes, ZMQ_LINGER, &none, sizeof(none));
    assert_int_equal(zmq_connect(takes, place), 0);
    assert_int_equal(run(&floods, &sink), SOMA_ETIMEOUT);
    assert_non_null(strstr(sink.text, "messages were left when their channel had ended"));
    assert_null(strstr(sink.text, "the time is over")); // of ZeroMQ
    zmq_close(takes);
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_handled), cmocka_unit_test(test_a_failed_question),
        cmocka_unit_test(test_environment),      cmocka_unit_test(test_what_may_not_be),
        cmocka_unit_test(test_what_is_no_place), cmocka_unit_test(test_what_makes_no_sense),
        cmocka_unit_test(test_lingers_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
