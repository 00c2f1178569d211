/*
 * What is particular to channels over ipc and tcp: places and who may bind them, what does not fit, garbage and
 * disconnects, and that nobody's memory grows without bound.
 */
#include "player.h"
#include <arpa/inet.h>
#include <errno.h>
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

/* ---- strangers ---- */

static int send_note(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_send_to(self, "out", note, .number = arg ? *(const uint32_t *)arg : 12);
}

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
        SOMA_REAL(test_garbage),
        PLAYER_OVER_WIRES(test_a_fast_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
