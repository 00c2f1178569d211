/* Wherever a channel is bound over tcp, what comes back is an address that others can connect to. */
#include "player.h"

/* A place, and whether it must be said that other machines may reach it. */
struct reach {
    const char *place;
    bool insecure;
    soma_address address;
};

static int pull_bind(soma_agent *self, void *state, void *arg)
{
    struct reach *reach = arg;
    const soma_channel_options options = {.place = reach->place, .insecure = reach->insecure, .handlers = PLAYER_NOTES};
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &options, &reach->address), 0);
    return 0;
}

static int push_connect(soma_agent *self, void *state, void *arg)
{
    const struct reach *reach = arg;
    (void)state;
    assert_int_equal(
        soma_connect_with(self, &reach->address, "out", &(soma_channel_options){.insecure = reach->insecure}), 0);
    return 0;
}

static int send_seven(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", note, .number = 7);
}

/* A machine may have no IPv6. */
static bool has_ipv6(void)
{
    const struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = probe >= 0 && !bind(probe, (const struct sockaddr *)&name, sizeof(name));
    if (probe >= 0)
        close(probe);
    return has;
}

static void test_reach(soma_test *test)
{
    static const struct reach all[] = {{.place = "tcp"},
                                       {.place = "tcp://lo"},
                                       {.place = "tcp://*", .insecure = true},
                                       {.place = "tcp://0.0.0.0", .insecure = true},
                                       {.place = "tcp://[::1]"},
                                       {.place = "tcp://[::]", .insecure = true}};
    const size_t count = sizeof(all) / sizeof(*all) - (has_ipv6() ? 0 : 2);
    player_transport = SOMA_TCP;
    for (size_t i = 0; i < count; i++) {
        struct reach *reach = soma_test_alloc(test, sizeof(*reach));
        soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &player_quiet);
        *reach = all[i];
        player_do(test, takes, pull_bind, reach);
        player_do(test, sends, push_connect, reach);
        player_peers(test, sends, "out", 1);
        player_do(test, sends, send_seven, NULL);
        player_expect(test, takes, "7 ");
    }
    player_transport = SOMA_INPROC;
}

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(test_reach)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
