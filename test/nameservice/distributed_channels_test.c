/*
 * Channels of agents in programs that share nothing but the name server's address: an address by its alias, connected
 * to by name from inside, and all wired by proxies from a third program. With real processes, in both orders of start.
 */
#include "guide_world.h"

/* The alias of what is bound comes by itself, soon after the name. */
static void address_wait(soma_proxy *proxy, const char *alias, const char *begins)
{
    char address[SOMA_ADDRESS_MOST + 1];
    int error = SOMA_ENOENT;
    for (int i = 0; i < 20000 && error == SOMA_ENOENT; i++) {
        error = soma_proxy_address(proxy, PATIENCE, alias, address);
        if (error)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    assert_int_equal(error, 0);
    assert_memory_equal(address, begins, strlen(begins));
}

/* An agent elsewhere has bound a channel at `place`; that begins so is to be seen here, and a third program connects by
 * the name and the alias alone. In this order of start, or the other way round. */
static void channel_by_alias(void **state, const char *place, const char *begins)
{
    struct world world;
    world_open(&world, state, 1);
    struct program *taker = world.server_first ? NULL : tanks_start(&world, "taker", 0, "dealer/jobs", NULL);
    struct program *dealer = tanks_start(&world, "dealer", 0, "dealer", place);
    world_started(&world);
    soma_proxy *proxy = tank_proxy(&world, 0, "dealer");
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    program_says(dealer, "registered");
    address_wait(proxy, "jobs", begins);
    soma_proxy_close(&proxy);
    if (!taker)
        taker = tanks_start(&world, "taker", 0, "dealer/jobs", NULL);
    program_says(taker, "all jobs");
    world_close(&world);
}

/* The IP alone: any free port. */
static void test_tcp(void **state)
{
    channel_by_alias(state, "tcp://127.0.0.1", "tcp://127.0.0.1:");
}

/* That port. The IP is nobody else's, so it is free there. */
static void test_tcp_port(void **state)
{
    char place[64];
    unsigned pid = (unsigned)getpid();
    snprintf(place, sizeof(place), "tcp://127.%u.%u.%u:7801", 1 + (pid >> 16) % 254, (pid >> 8) % 256, 1 + pid % 254);
    channel_by_alias(state, place, place);
}

static void test_ipc(void **state)
{
    char place[64];
    snprintf(place, sizeof(place), "ipc:///tmp/soma_guide.%d.jobs", (int)getpid());
    channel_by_alias(state, place, place);
    socket_remove(place);
}

/* ---- wired from here ---- */

static void part_has(soma_proxy *proxy, const char *expected)
{
    soma_value value;
    const char *text;
    uint32_t size = 0;
    for (int i = 0; i < 20000 && size < strlen(expected); i++) {
        assert_int_equal(soma_proxy_get(proxy, PATIENCE, "log", &value), 0);
        assert_int_equal(soma_value_get_string(value, &text, &size), 0);
        if (size >= strlen(expected))
            assert_memory_equal(text, expected, strlen(expected));
        soma_value_destroy(&value);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    assert_int_equal(size, strlen(expected));
}

/* Two agents in programs of their own, which know nothing of each other; a third program binds the one where the
 * first's environment has it, and connects the other. */
static void test_wired(void **state)
{
    struct world world;
    char address[SOMA_ADDRESS_MOST + 1];
    world_open(&world, state, 1);
    assert_int_equal(setenv("SOMA_CHANNEL_PLACE", "tcp", 1), 0);
    tanks_start(&world, "part", 0, "parts/one", NULL);
    unsetenv("SOMA_CHANNEL_PLACE");
    tanks_start(&world, "part", 0, "parts/two", NULL);
    world_started(&world);
    soma_proxy *one = tank_proxy(&world, 0, "parts/one"), *two = tank_proxy(&world, 0, "parts/two");
    assert_int_equal(soma_proxy_wait(one, PATIENCE), 0);
    assert_int_equal(soma_proxy_wait(two, PATIENCE), 0);
    assert_int_equal(soma_proxy_bind(one, PATIENCE, SOMA_PUSH, "out", NULL, NULL, address), 0);
    assert_memory_equal(address, "tcp://127.0.0.1:", 16);
    assert_int_equal(soma_proxy_bind(one, PATIENCE, SOMA_PUSH, "out", NULL, NULL, address), SOMA_EEXIST);
    assert_int_equal(soma_proxy_connect(two, PATIENCE, "parts/one/out", "in", "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(one, PATIENCE, "out", 1), 0);
    soma_value value = json("[1,2]");
    assert_int_equal(soma_proxy_send_to(one, PATIENCE, "out", value), 0);
    soma_value_destroy(&value);
    part_has(two, "[1,2] ");
    assert_int_equal(soma_proxy_connect(two, PATIENCE, "parts/one/out", "more", "burn"), SOMA_ENOENT);
    soma_proxy_close(&one);
    soma_proxy_close(&two);
    world_close(&world);
}

int main(int argc, char **argv)
{
    int status;
    (void)argc;
    if (role_run(guide_roles, argv, &status))
        return status;
    const struct CMUnitTest tests[] = {BOTH_ORDERS(test_tcp), BOTH_ORDERS(test_tcp_port), BOTH_ORDERS(test_ipc),
                                       BOTH_ORDERS(test_wired)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
