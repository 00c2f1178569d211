/*
 * What is particular to channels over ipc and tcp: places and who may bind them, what does not fit, garbage and
 * disconnects, and that nobody's memory grows without bound.
 */
#include "player.h"
#include <arpa/inet.h>
#include <errno.h>
#include <soma/value.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

static const soma_handler *const notes = PLAYER_NOTES;
static const struct player_end pull_bound = {SOMA_PULL, "in", "jobs", PLAYER_NOTES};
static const struct player_end push_to_pull = {SOMA_PULL, "out", "jobs", NULL};

/* ---- places ---- */

static int bind_at(soma_agent *self, const char *place, bool insecure, soma_address *address)
{
    const soma_channel_options options = {.place = place, .insecure = insecure};
    int error = soma_bind(self, SOMA_PUSH, "out", &options, address);
    if (!error)
        assert_int_equal(soma_close_channel(self, "out"), 0);
    return error;
}

static int places(soma_agent *self, void *state, void *arg)
{
    soma_address address, second;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    (void)state, (void)arg;
    assert_int_equal(bind_at(self, "tcp://127.0.0.1", false, &address), 0); // a random port
    assert_true(address.port > 0);
    assert_string_equal(address.host, "127.0.0.1");
    assert_int_equal(address.pattern, SOMA_PUSH);
    assert_int_equal(bind_at(self, "tcp://lo:*", false, &second), 0); // by the name of the interface
    assert_string_equal(second.host, "127.0.0.1");
    assert_int_equal(bind_at(self, "tcp://nowhere0:*", true, &second), SOMA_EINVAL);
    assert_int_equal(bind_at(self, "tcp://0.0.0.0", false, &second), SOMA_EINVAL); // without keys
    assert_int_equal(bind_at(self, "tcp://*:*", true, &second), 0);
    assert_string_not_equal(second.host, "0.0.0.0"); // others could not connect to that
    assert_true(second.port > 0);
    assert_int_equal(bind_at(self, "tcp://192.0.2.1:7", true, &second), SOMA_EINVAL); // not of this machine
    assert_int_equal(bind_at(self, "ipc:///no/such/folder/socket", false, &second), SOMA_EINVAL);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &(soma_channel_options){.place = "tcp://127.0.0.1"}, &address), 0);
    assert_true(soma_address_print(&address, place, sizeof(place)) > 0);
    assert_int_equal(bind_at(self, place, false, &second), SOMA_EEXIST); // in use
    second = (soma_address){.transport = SOMA_TCP, .pattern = SOMA_PULL, .host = "192.0.2.1", .port = 7};
    assert_int_equal(soma_connect(self, &second, "b", NULL), SOMA_EINVAL); // elsewhere, without keys
    second.port = 0;
    assert_int_equal(soma_connect(self, &second, "b", NULL), SOMA_EINVAL);
    assert_int_equal(soma_channel_peers(self, "b"), SOMA_ENOENT);
    return 0;
}

static void test_places(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), places, NULL);
}

/* A socket's file is there once, and gone with its channel. */
static int files(soma_agent *self, void *state, void *arg)
{
    char path[SOMA_HOST_SIZE], place[SOMA_ADDRESS_TEXT_SIZE];
    struct stat status;
    soma_address second;
    (void)state, (void)arg;
    snprintf(path, sizeof(path), "/tmp/soma-%ld-file", (long)getpid());
    snprintf(place, sizeof(place), "ipc://%s", path);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &(soma_channel_options){.place = place}, NULL), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(bind_at(self, place, false, &second), SOMA_EEXIST);
    assert_int_equal(stat(path, &status), 0); // who came in vain has not taken it
    return 0;
}

/* What a process that was killed has left behind is no hindrance. */
static void leave_file(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/soma-%ld-file", (long)getpid());
    int left = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(left >= 0);
    assert_int_equal(bind(left, (const struct sockaddr *)&name, sizeof(name)), 0);
    close(left);
}

static void test_files(soma_test *test)
{
    soma_ref agent = player_open(test, &player_quiet);
    char path[SOMA_HOST_SIZE];
    uint32_t looks = 0;
    struct stat status;
    leave_file();
    player_do(test, agent, files, NULL);
    snprintf(path, sizeof(path), "/tmp/soma-%ld-file", (long)getpid());
    assert_int_equal(soma_kill(soma_test_system(test), agent), 0);
    player_transport = SOMA_IPC;
    while (!stat(path, &status) && player_wait(&looks))
        ;
    player_transport = SOMA_INPROC;
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(errno, ENOENT);
}

/* Who finds a place in use by somebody who is not about to go hears that at once. */
static _Thread_local uint32_t pauses;

int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    pauses++;
    return __real_nanosleep(time, rest);
}

static int bind_in_vain(soma_agent *self, void *state, void *arg)
{
    uint32_t before = pauses;
    soma_address address;
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &(soma_channel_options){.place = arg}, &address), 0);
    for (int i = 0; i < 2; i++) {
        char place[SOMA_ADDRESS_TEXT_SIZE];
        assert_true(soma_address_print(&address, place, sizeof(place)) > 0);
        assert_int_equal(soma_bind(self, SOMA_PUSH, "b", &(soma_channel_options){.place = place}, NULL), SOMA_EEXIST);
    }
    assert_int_equal(pauses, before);
    return 0;
}

static void test_in_use(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), bind_in_vain, "tcp");
    player_do(test, player_open(test, &player_quiet), bind_in_vain, "ipc");
}

/* What is no socket is nobody's to remove. */
static int bind_at_a_file(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address address;
    (void)state;
    snprintf(place, sizeof(place), "ipc://%s", (const char *)arg);
    assert_int_equal(bind_at(self, place, false, &address), SOMA_EEXIST);
    return 0;
}

static void test_a_file_of_another(soma_test *test)
{
    char path[] = "/tmp/soma-file-XXXXXX";
    struct stat status;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    player_do(test, player_open(test, &player_quiet), bind_at_a_file, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(unlink(path), 0);
}

/* ---- serializers ---- */

SOMA_MESSAGE(any, (value, content))
SOMA_MESSAGE(raw, (bytes, data))
SOMA_MESSAGE(mixed, (u32, number), (string, words), (array, f64, samples))

static int on_any(soma_agent *self, struct player *my, const struct any *m)
{
    char *json = NULL;
    (void)self;
    assert_int_equal(soma_value_to_json(m->content, &json), 0);
    player_log(my, "%s ", json);
    free(json);
    return 0;
}

static int on_raw(soma_agent *self, struct player *my, const struct raw *m)
{
    (void)self;
    player_log(my, "raw:%.*s ", (int)m->data.size, (const char *)m->data.data);
    return 0;
}

static int on_mixed(soma_agent *self, struct player *my, const struct mixed *m)
{
    (void)self;
    player_log(my, "%u%s%u ", m->number, m->words, m->samples.count);
    return 0;
}

/* One of the user's: a note as its number in decimal. */
static int decimal_pack(const soma_type *type, const void *message, void **data, size_t *size)
{
    char *text = malloc(16);
    if (type != &note_type || !text) {
        free(text);
        return SOMA_ETYPE;
    }
    *size = (size_t)snprintf(text, 16, "%u", ((const struct note *)message)->number);
    *data = text;
    return 0;
}

static int decimal_unpack(const soma_type *type, const void *data, size_t size, void *message)
{
    char text[16];
    if (type != &note_type)
        return SOMA_ETYPE;
    if (!size || size >= sizeof(text))
        return SOMA_EFORMAT;
    memcpy(text, data, size);
    text[size] = '\0';
    ((struct note *)message)->number = (uint32_t)strtoul(text, NULL, 10);
    return 0;
}

static const soma_serializer decimal = {"decimal", decimal_pack, decimal_unpack};

/* What each side speaks. */
struct speaks {
    const char *sends;
    const char *takes;
    const soma_serializer *own;
    const soma_handler *handlers;
};

static int pull_speaking(soma_agent *self, void *state, void *arg)
{
    const struct speaks *speaks = arg;
    soma_address at = player_at("speech", SOMA_PULL);
    char place[SOMA_ADDRESS_TEXT_SIZE];
    (void)state;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    const soma_channel_options options = {
        .place = place, .serializer = speaks->takes, .own_serializer = speaks->own, .handlers = speaks->handlers};
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &options, NULL), 0);
    return 0;
}

static int push_speaking(soma_agent *self, void *state, void *arg)
{
    const struct speaks *speaks = arg;
    soma_address at = player_at("speech", SOMA_PULL);
    const soma_channel_options options = {.serializer = speaks->sends, .own_serializer = speaks->own};
    (void)state;
    assert_int_equal(soma_connect_with(self, &at, "out", &options), 0);
    return 0;
}

static int send_mixed(soma_agent *self, void *state, void *arg)
{
    static const double samples[] = {0.5, 2};
    (void)state, (void)arg;
    return soma_send_to(self, "out", mixed, .number = 7, .words = "x", .samples = {samples, 2});
}

static int send_note(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_send_to(self, "out", note, .number = arg ? *(const uint32_t *)arg : 12);
}

static int send_raw(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", raw, .data = {"abc", 3});
}

static int send_not(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "out", mixed, .number = 7), SOMA_ETYPE); // it has no such form
    return 0;
}

static void speak(soma_test *test, const struct speaks *speaks, player_fn *send, const char *expected)
{
    soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &player_quiet);
    struct speaks *given = soma_test_alloc(test, sizeof(*given));
    *given = *speaks;
    player_do(test, takes, pull_speaking, given);
    player_do(test, sends, push_speaking, given);
    player_peers(test, sends, "out", 1);
    player_do(test, sends, send, NULL);
    player_expect(test, takes, expected);
    assert_int_equal(soma_kill(soma_test_system(test), takes), 0);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    soma_test_settle(test);
}

static const soma_handler *const mixeds = SOMA_HANDLERS(SOMA_ON(note, player_note), SOMA_ON(mixed, on_mixed));
static const soma_handler *const anys = SOMA_HANDLERS(SOMA_ON(any, on_any));
static const soma_handler *const raws = SOMA_HANDLERS(SOMA_ON(raw, on_raw));

static void test_serializers(soma_test *test)
{
    player_transport = SOMA_TCP;
    speak(test, &(struct speaks){.handlers = mixeds}, send_mixed, "7x2 "); // msgpack, by the names of the fields
    speak(test, &(struct speaks){"json", "json", NULL, mixeds}, send_mixed, "7x2 ");
    speak(test, &(struct speaks){"typed", "typed", NULL, mixeds}, send_mixed, "7x2 ");
    speak(test, &(struct speaks){.handlers = anys}, send_mixed,
          "{\"number\":7,\"words\":\"x\",\"samples\":[0.5,2.0]} ");
    speak(test, &(struct speaks){"json", "json", NULL, anys}, send_note, "{\"number\":12} ");
    speak(test, &(struct speaks){"json", "raw", NULL, raws}, send_note, "raw:{\"number\":12} ");
    speak(test, &(struct speaks){"raw", "raw", NULL, raws}, send_raw, "raw:abc ");
    speak(test, &(struct speaks){.own = &decimal, .handlers = notes}, send_note, "12 ");
    speak(test, &(struct speaks){"raw", "raw", NULL, raws}, send_not, "");
    player_transport = SOMA_INPROC;
}

/* What the two sides do not agree about is counted where it comes, and harms nothing that comes after it. */
static int look_malformed(soma_agent *self, void *state, void *arg)
{
    soma_channel_counts counts;
    (void)state;
    assert_int_equal(soma_channel_count(self, "in", &counts), 0);
    *(uint64_t *)arg = counts.malformed;
    return 0;
}

static void test_mismatch(soma_test *test)
{
    soma_ref takes, sends;
    uint64_t *malformed = soma_test_alloc(test, sizeof(*malformed));
    struct speaks *speaks = soma_test_alloc(test, sizeof(*speaks));
    uint32_t looks = 0;
    player_transport = SOMA_TCP;
    takes = player_open(test, &player_quiet);
    sends = player_open(test, &player_quiet);
    *speaks = (struct speaks){"json", "msgpack", NULL, notes};
    player_do(test, takes, pull_speaking, speaks);
    player_do(test, sends, push_speaking, speaks);
    player_peers(test, sends, "out", 1);
    player_do(test, sends, send_note, NULL);
    do
        player_do(test, takes, look_malformed, malformed);
    while (!*malformed && player_wait(&looks));
    assert_int_equal(*malformed, 1);
    soma_ref good = player_open(test, &player_quiet);
    *speaks = (struct speaks){"msgpack", "msgpack", NULL, notes};
    player_do(test, good, push_speaking, speaks);
    player_peers(test, good, "out", 1);
    player_do(test, good, send_note, NULL);
    player_expect(test, takes, "12 ");
    player_transport = SOMA_INPROC;
}

/* ---- strangers ---- */

/* Who does not speak ZeroMQ is no peer, and is nothing to those who do. */
static void test_garbage(soma_test *test)
{
    static const uint32_t seven = 7;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char garbage[4096];
    player_transport = SOMA_TCP;
    soma_ref takes = player_open(test, &player), sends = player_open(test, &player_quiet);
    player_do(test, takes, player_binds, &pull_bound);
    name.sin_port = htons(player_port());
    memset(garbage, 'G', sizeof(garbage));
    for (int i = 0; i < 5; i++) {
        int stranger = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(stranger >= 0);
        assert_int_equal(connect(stranger, (const struct sockaddr *)&name, sizeof(name)), 0);
        if (write(stranger, garbage, i ? sizeof(garbage) : 1) < 0)
            assert_int_equal(errno, ECONNRESET);
        close(stranger);
    }
    player_do(test, sends, player_connects, &push_to_pull);
    player_peers(test, sends, "out", 1);
    player_do(test, sends, send_note, &seven);
    player_expect(test, takes, "in:1 7 ");
    player_transport = SOMA_INPROC;
}

/* ---- too much ---- */

struct flow {
    struct player player;
    bool asks;
    uint32_t sent;
    uint32_t most; /* that ever waited in its line */
};

SOMA_MESSAGE(again)

#define FLOW 20000u

static int on_any_answer(soma_agent *self, void *state, const struct answer *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static soma_handle flow_give(soma_agent *self, const struct flow *my)
{
    const soma_then *then = SOMA_THEN(answer, on_any_answer, player_error);
    return my->asks ? soma_request_to(self, "out", SOMA_NEVER, then, ask, .number = my->sent)
                    : soma_send_to(self, "out", note, .number = my->sent);
}

/* Sends a few at a time, as long as it is let. */
static int on_again(soma_agent *self, struct flow *my, const struct again *m)
{
    soma_channel_counts counts;
    (void)m;
    for (uint32_t i = 0; i < 50 && my->sent < FLOW; i++, my->sent++)
        assert_true(flow_give(self, my) >= 0);
    assert_int_equal(soma_channel_count(self, "out", &counts), 0);
    my->most = counts.waiting > my->most ? counts.waiting : my->most;
    return my->sent < FLOW ? soma_send(self, soma_self(self), again) : 0;
}

static const soma_behavior pump = {
    .name = "pump", .state_size = sizeof(struct flow), .handlers = SOMA_HANDLERS(SOMA_ON(again, on_again))};

static int on_slow_note(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    assert_int_equal(m->number, my->notes);
    my->notes++;
    return 0;
}

static int on_slow_ask(soma_agent *self, struct player *my, const struct ask *m)
{
    assert_int_equal(m->number, my->notes);
    my->notes++;
    return soma_reply(self, answer, .number = m->number);
}

#define SLOW SOMA_HANDLERS(SOMA_ON(note, on_slow_note), SOMA_ON(ask, on_slow_ask))

static int flow_asks(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)arg;
    ((struct flow *)state)->asks = true;
    return 0;
}

static int look_flow(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct flow *)arg = *(const struct flow *)state;
    return 0;
}

/* Who sends faster than is read is held up; and all arrives, in order. */
static void fast_sender(soma_test *test, soma_pattern bound, bool asks)
{
    const struct player_end takes_all = {bound, "in", "jobs", SLOW}, sends_all = {bound, "out", "jobs", NULL};
    struct flow *flow = soma_test_alloc(test, sizeof(*flow));
    uint32_t looks = 0;
    soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &pump);
    player_move();
    player_do(test, takes, player_binds, &takes_all);
    player_do(test, sends, player_connects, &sends_all);
    player_peers(test, sends, "out", 1);
    if (asks)
        player_do(test, sends, flow_asks, NULL);
    assert_int_equal(soma_send(soma_test_system(test), sends, again), 0);
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    do
        player_do(test, takes, player_look, look);
    while (look->notes < FLOW && player_wait(&looks));
    assert_int_equal(look->notes, FLOW);
    player_do(test, sends, look_flow, flow);
    assert_true(flow->most < 1200); // the high-water mark, and what one handler may send beyond it
}

static void test_a_fast_sender(soma_test *test)
{
    fast_sender(test, SOMA_PULL, false);
    fast_sender(test, SOMA_PAIR, false);
    fast_sender(test, SOMA_ASYNC_REP, true);
}

PLAYER_WIRES(test_a_fast_sender)

/* ---- keys ---- */

struct pair_of_keys {
    char public_key[SOMA_BRIDGE_KEY_SIZE];
    char secret_key[SOMA_BRIDGE_KEY_SIZE];
};

static struct pair_of_keys server_keys, friend_keys, stranger_keys;

static int pull_with_keys(soma_agent *self, void *state, void *arg)
{
    char allowed[2 * SOMA_BRIDGE_KEY_SIZE + 2];
    soma_address at = player_at("jobs", SOMA_PULL), address;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    (void)state, (void)arg;
    snprintf(allowed, sizeof(allowed), "%s\n%s", server_keys.public_key, friend_keys.public_key);
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    const soma_channel_keys keys = {.secret = server_keys.secret_key, .allowed = allowed};
    soma_channel_options options = {.place = place, .handlers = notes, .keys = &keys};
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &options, &address), 0);
    options.place = "tcp://0.0.0.0";
    assert_int_equal(soma_bind(self, SOMA_PULL, "all", &options, &address), 0); // keys make it good for others
    options.keys = &(const soma_channel_keys){.secret = server_keys.secret_key, .allowed = "no key"};
    assert_int_equal(soma_bind(self, SOMA_PULL, "wrong", &options, &address), SOMA_EFORMAT);
    options.keys = &(const soma_channel_keys){.secret = "no key", .allowed = allowed};
    assert_int_equal(soma_bind(self, SOMA_PULL, "wrong", &options, &address), SOMA_EFORMAT);
    return 0;
}

static int push_with_keys(soma_agent *self, void *state, void *arg)
{
    const struct pair_of_keys *own = arg;
    soma_address at = player_at("jobs", SOMA_PULL);
    const soma_channel_keys keys = {.secret = own ? own->secret_key : NULL, .server = server_keys.public_key};
    const soma_channel_options options = {.keys = own ? &keys : NULL};
    (void)state;
    assert_int_equal(soma_connect_with(self, &at, "out", &options), 0);
    return 0;
}

/* Who has a key that is allowed comes in; others, and who has none, do not. */
static void test_keys(soma_test *test)
{
    player_transport = SOMA_TCP;
    assert_int_equal(soma_bridge_keygen(server_keys.public_key, server_keys.secret_key), 0);
    assert_int_equal(soma_bridge_keygen(friend_keys.public_key, friend_keys.secret_key), 0);
    assert_int_equal(soma_bridge_keygen(stranger_keys.public_key, stranger_keys.secret_key), 0);
    soma_ref takes = player_open(test, &player_quiet), strangers[2], sends = player_open(test, &player_quiet);
    player_do(test, takes, pull_with_keys, NULL);
    for (int i = 0; i < 2; i++) {
        strangers[i] = player_open(test, &player_quiet);
        player_do(test, strangers[i], push_with_keys, i ? &stranger_keys : NULL);
    }
    player_do(test, sends, push_with_keys, &friend_keys);
    player_peers(test, sends, "out", 1);
    player_peers(test, takes, "in", 1);
    player_do(test, sends, send_note, NULL);
    player_expect(test, takes, "12 ");
    for (int i = 0; i < 2; i++)
        player_peers(test, strangers[i], "out", 0);
    player_transport = SOMA_INPROC;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_REAL(test_places),
        SOMA_REAL(test_in_use),
        SOMA_REAL(test_keys),
        SOMA_REAL(test_files),
        SOMA_REAL(test_a_file_of_another),
        SOMA_REAL(test_serializers),
        SOMA_REAL(test_mismatch),
        SOMA_REAL(test_garbage),
        PLAYER_OVER_WIRES(test_a_fast_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
