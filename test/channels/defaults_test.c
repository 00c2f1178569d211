/* What channels take if their options leave it out: of their agent, of their system, of the environment. */
#include "channels/remote.h"
#include "player.h"
#include <soma/value.h>
#include <stdlib.h>

static soma_transport bound_by(soma_agent *self, const char *alias, const char *place)
{
    soma_address address;
    assert_int_equal(soma_bind(self, SOMA_PUSH, alias, &(soma_channel_options){.place = place}, &address), 0);
    assert_int_equal(address.pattern, SOMA_PUSH);
    assert_int_equal(soma_close_channel(self, alias), 0);
    return address.transport;
}

static int transports(soma_agent *self, void *state, void *arg)
{
    soma_address first, second;
    soma_channel_options ipc = {.place = "ipc"};
    (void)state, (void)arg;
    assert_int_equal(bound_by(self, "a", NULL), SOMA_INPROC);
    assert_int_equal(bound_by(self, "a", "inproc"), SOMA_INPROC);
    assert_int_equal(bound_by(self, "a", "tcp"), SOMA_TCP);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &ipc, &first), 0);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "b", &ipc, &second), 0);
    assert_false(soma_address_equal(&first, &second));
    assert_int_equal(soma_bind(self, SOMA_PUSH, "c", &(soma_channel_options){.place = "pigeon"}, NULL), SOMA_EINVAL);
    return 0;
}

/* The transport alone is a place that nobody else has. */
static void test_transport_alone(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), transports, NULL);
}

static int nearer_first(soma_agent *self, void *state, void *arg)
{
    soma_system *system = soma_agent_system(self);
    (void)state, (void)arg;
    assert_int_equal(setenv("SOMA_CHANNEL_PLACE", "ipc", 1), 0);
    assert_int_equal(bound_by(self, "a", NULL), SOMA_IPC);
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.place = "tcp"}), 0);
    assert_int_equal(bound_by(self, "a", NULL), SOMA_TCP);
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.place = "inproc", .serializer = "json"}), 0);
    assert_int_equal(bound_by(self, "a", NULL), SOMA_INPROC);
    assert_int_equal(bound_by(self, "a", "ipc"), SOMA_IPC); // what is said is said
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.serializer = "raw"}),
                     0); // as the system again
    assert_int_equal(bound_by(self, "a", NULL), SOMA_TCP);
    assert_int_equal(soma_system_channel_defaults(system, NULL), 0);
    assert_int_equal(bound_by(self, "a", NULL), SOMA_IPC);
    assert_int_equal(soma_close_channels(self), 0); // its defaults are none
    assert_int_equal(bound_by(self, "a", NULL), SOMA_IPC);
    assert_int_equal(soma_channel_peers(self, ""), SOMA_ENOENT);
    unsetenv("SOMA_CHANNEL_PLACE");
    assert_int_equal(bound_by(self, "a", NULL), SOMA_INPROC);
    return 0;
}

static void test_nearer_first(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), nearer_first, NULL);
}

/* What is each channel's own is refused, not passed over. */
static int own_options(soma_agent *self, void *state, void *arg)
{
    soma_system *system = soma_agent_system(self);
    (void)state, (void)arg;
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.high_water = 5}), SOMA_EINVAL);
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.identity = "me"}), SOMA_EINVAL);
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.insecure = true}), SOMA_EINVAL);
    return 0;
}

static void test_own_options(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), own_options, NULL);
}

/* An IP may be that of all channels, each at a port of its own, whoever has said it. */
static void bound_at(soma_agent *self, const char *host)
{
    soma_address first, second;
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", NULL, &first), 0);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "b", NULL, &second), 0);
    assert_string_equal(first.host, host);
    assert_string_equal(second.host, host);
    assert_int_not_equal(first.port, second.port);
    assert_int_equal(soma_close_channels(self), 0);
}

static int addresses(soma_agent *self, void *state, void *arg)
{
    soma_system *system = soma_agent_system(self);
    (void)state, (void)arg;
    assert_int_equal(setenv("SOMA_CHANNEL_PLACE", "tcp://127.0.0.2", 1), 0);
    bound_at(self, "127.0.0.2");
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.place = "tcp://127.0.0.3"}), 0);
    bound_at(self, "127.0.0.3");
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.place = "tcp://lo"}), 0);
    bound_at(self, "127.0.0.1");
    assert_int_equal(soma_system_channel_defaults(system, NULL), 0);
    assert_int_equal(soma_channel_defaults(self, NULL), 0);
    unsetenv("SOMA_CHANNEL_PLACE");
    return 0;
}

static void test_addresses(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), addresses, NULL);
}

/* By the serializer that a channel has whose options say this one. */
static void speaks(soma_agent *self, const char *said, const char *expected)
{
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", &(soma_channel_options){.place = "ipc", .serializer = said}, NULL),
                     0);
    assert_string_equal(channel_find(self, "a")->remote->speech.serializer->name, expected);
    assert_int_equal(soma_close_channel(self, "a"), 0);
}

static int serializers(soma_agent *self, void *state, void *arg)
{
    soma_system *system = soma_agent_system(self);
    (void)state, (void)arg;
    speaks(self, NULL, "msgpack");
    assert_int_equal(setenv("SOMA_CHANNEL_SERIALIZER", "raw", 1), 0);
    speaks(self, NULL, "raw");
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.serializer = "json"}), 0);
    speaks(self, NULL, "json");
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.serializer = "typed"}), 0);
    speaks(self, NULL, "typed");
    speaks(self, "msgpack", "msgpack");
    assert_int_equal(soma_system_channel_defaults(system, NULL), 0);
    unsetenv("SOMA_CHANNEL_SERIALIZER");
    return 0;
}

static void test_serializers(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), serializers, NULL);
}

/* The linger of a channel that says none, or that one. */
static uint32_t lingers(soma_agent *self, uint32_t linger_ms)
{
    assert_int_equal(
        soma_bind(self, SOMA_PUSH, "a", &(soma_channel_options){.place = "ipc", .linger_ms = linger_ms}, NULL), 0);
    uint32_t linger = u32_load(&channel_find(self, "a")->remote->line->linger);
    assert_int_equal(soma_close_channel(self, "a"), 0);
    return linger;
}

static int linger_nearer_first(soma_agent *self, void *state, void *arg)
{
    soma_system *system = soma_agent_system(self);
    (void)state, (void)arg;
    assert_int_equal(lingers(self, 0), 1000);
    assert_int_equal(setenv("SOMA_CHANNEL_LINGER_MS", "7", 1), 0);
    assert_int_equal(lingers(self, 0), 7);
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.linger_ms = 8}), 0);
    assert_int_equal(lingers(self, 0), 8);
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.linger_ms = 9}), 0);
    assert_int_equal(lingers(self, 0), 9);
    assert_int_equal(lingers(self, 10), 10);
    assert_int_equal(soma_channel_defaults(self, NULL), 0);
    assert_int_equal(lingers(self, 0), 8);
    assert_int_equal(soma_system_channel_defaults(system, NULL), 0);
    for (const char *const *wrong = (const char *const[]){"soon", "-1", "1s", "2147483648", NULL}; *wrong; wrong++) {
        assert_int_equal(setenv("SOMA_CHANNEL_LINGER_MS", *wrong, 1), 0);
        assert_int_equal(soma_bind(self, SOMA_PUSH, "a", NULL, NULL), SOMA_EINVAL);
    }
    unsetenv("SOMA_CHANNEL_LINGER_MS");
    return 0;
}

static void test_linger(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), linger_nearer_first, NULL);
}

static int malformed(soma_agent *self, void *state, void *arg)
{
    soma_system *system = soma_agent_system(self);
    (void)state, (void)arg;
    assert_int_equal(soma_channel_defaults(NULL, &(soma_channel_options){.place = "tcp"}), SOMA_EINVAL);
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.place = "pigeon"}), SOMA_EINVAL);
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.serializer = "smoke"}), SOMA_EINVAL);
    assert_int_equal(soma_system_channel_defaults(NULL, &(soma_channel_options){.place = "tcp"}), SOMA_EINVAL);
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.place = "tcp://"}), SOMA_EINVAL);
    assert_int_equal(soma_system_channel_defaults(system, &(soma_channel_options){.linger_ms = 1u << 31}), SOMA_EINVAL);
    for (const char *const *one = (const char *const[]){"tcp://127.0.0.1:7000", "ipc:///tmp/x", "inproc://x", NULL};
         *one; one++)
        assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.place = *one}), SOMA_EINVAL);
    assert_int_equal(bound_by(self, "a", NULL), SOMA_INPROC); // nothing of it has stayed
    setenv("SOMA_CHANNEL_SERIALIZER", "smoke", 1);
    assert_int_equal(soma_bind(self, SOMA_PUSH, "a", NULL, NULL), SOMA_EINVAL);
    unsetenv("SOMA_CHANNEL_SERIALIZER");
    return 0;
}

static void test_malformed(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), malformed, NULL);
}

static int pushes(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.place = "tcp", .serializer = "json"}), 0);
    return soma_bind(self, SOMA_PUSH, "out", NULL, arg);
}

static int pulls(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {.serializer = "json", .handlers = SOMA_HANDLERS(SOMA_ON(note, player_note))};
    (void)state;
    return soma_connect_with(self, arg, "in", &options);
}

static int send_note(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", note, .number = 12);
}

/* Who reads JSON alone understands it. */
static void test_serializer(soma_test *test)
{
    soma_ref sends = player_open(test, &player_quiet), takes = player_open(test, &player_quiet);
    soma_address address;
    player_transport = SOMA_TCP;
    player_do(test, sends, pushes, &address);
    assert_int_equal(address.transport, SOMA_TCP);
    player_do(test, takes, pulls, &address);
    player_peers(test, sends, "out", 1);
    player_do(test, sends, send_note, NULL);
    player_expect(test, takes, "12 ");
    player_transport = SOMA_INPROC;
}

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(test_transport_alone), SOMA_REAL(test_nearer_first),
                                       SOMA_REAL(test_addresses),       SOMA_REAL(test_serializers),
                                       SOMA_REAL(test_linger),          SOMA_REAL(test_malformed),
                                       SOMA_REAL(test_serializer),      SOMA_REAL(test_own_options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
