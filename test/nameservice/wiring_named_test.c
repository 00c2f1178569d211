/* Channels by name: what is bound is known at the name service, and others connect to `name/alias`, on this node or
 * from another one's program, in any order of start, and follow it. */
#include "wiring.h"
#include <unistd.h>

/* A name server on the node, and a client. */
static soma_names *names_open(soma_test *test, const char *node)
{
    const soma_nameserver_options options = {.settle_ms = 1};
    soma_system *system = soma_test_node(test, node);
    soma_names *names;
    soma_nameserver_start(system, &options, NULL); // or there is one
    assert_int_equal(soma_names_open(system, soma_test_bridge(test, node), NULL, &names), 0);
    assert_int_equal(soma_names_server(names, LONG, NULL), 0);
    return names;
}

static void name_register(soma_test *test, soma_names *names, const char *node, const char *name)
{
    soma_ref ref;
    assert_int_equal(soma_whereis(soma_test_node(test, node), name, &ref), 0);
    assert_int_equal(soma_names_register(names, name, ref, LONG), 0);
}

/* Two agents, of which nobody knows a name yet, and a name server with alice's node; bob is there, or on a node with a
 * client of its own. */
struct two {
    soma_system *system; /* bob's */
    soma_names *names, *mine;
    soma_proxy *alice, *bob;
};

static struct two two_open(soma_test *test, bool apart)
{
    struct two two = {.names = names_open(test, "there")};
    const char *addresses[] = {NULL, NULL};
    two.alice = part_open(soma_test_node(test, "there"), "alice");
    two.system = soma_test_node(test, apart ? "desk" : "there");
    two.bob = part_open(two.system, "bob");
    addresses[0] = apart ? soma_bridge_address(soma_test_bridge(test, "there"), 0) : NULL;
    const soma_names_options options = {.addresses = addresses};
    if (apart)
        assert_int_equal(soma_names_open(two.system, soma_test_bridge(test, "desk"), &options, &two.mine), 0);
    return two;
}

static void two_close(struct two *two)
{
    soma_proxy_close(&two->alice);
    soma_proxy_close(&two->bob);
    assert_int_equal(soma_names_close(&two->mine), 0);
    assert_int_equal(soma_names_close(&two->names), 0);
}

/* Comes after a while. */
static void expect_alias(soma_names *names, const char *name, const char *alias, const char *expected)
{
    struct soma_name entry;
    for (;;) {
        assert_int_equal(soma_names_info(names, name, LONG, &entry), 0);
        uint32_t i = 0;
        while (i < entry.aliases.count && strcmp(entry.aliases.items[i].alias, alias) != 0)
            i++;
        const char *address = i < entry.aliases.count ? entry.aliases.items[i].address : NULL;
        bool same = expected ? address && !strcmp(address, expected) : !address;
        soma_name_destroy(&entry);
        if (same)
            return;
    }
}

/* Until so many things have come to a part. */
static void wait_count(soma_proxy *proxy, int64_t count)
{
    soma_value value;
    int64_t came = 0;
    while (came < count) {
        assert_int_equal(soma_proxy_get(proxy, LONG, "count", &value), 0);
        assert_int_equal(soma_value_get_i64(value, &came), 0);
        soma_value_destroy(&value);
    }
}

/* ---- what is bound has an alias ---- */

static void test_aliases(soma_test *test)
{
    struct two two = two_open(test, false);
    soma_proxy *named;
    char address[SOMA_ADDRESS_MOST + 1];
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUSH, "early", "inproc://early", NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect(two.alice, LONG, "inproc://early push", "mine", "take"), 0);
    name_register(test, two.names, "there", "alice");
    expect_alias(two.names, "alice", "early", "inproc://early push");
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PULL, "late", "inproc://late", "take", NULL), 0);
    expect_alias(two.names, "alice", "late", "inproc://late pull");
    expect_alias(two.names, "alice", "mine", NULL); // is not bound
    assert_int_equal(soma_proxy_open_named(two.system, two.names, "alice", &named), 0);
    assert_int_equal(soma_proxy_address(named, LONG, "late", address), 0);
    assert_string_equal(address, "inproc://late pull");
    assert_int_equal(soma_proxy_close_channel(two.alice, LONG, "early"), 0);
    expect_alias(two.names, "alice", "early", NULL);
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUSH, "early", "inproc://other", NULL, NULL), 0);
    expect_alias(two.names, "alice", "early", "inproc://other push");
    assert_int_equal(soma_proxy_close_channel(two.alice, LONG, NULL), 0);
    expect_alias(two.names, "alice", "early", NULL);
    expect_alias(two.names, "alice", "late", NULL);
    soma_proxy_close(&named);
    two_close(&two);
}

/* ---- connecting by name, from outside: simulated, as some of it must come too late ---- */

static void test_connect(soma_test *test)
{
    struct two two = two_open(test, false);
    assert_int_equal(soma_proxy_connect(two.bob, 30 * SOMA_MS, "alice/main", "in", "take"), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(two.bob),
                        "channel 'in' can't be connected to 'alice/main': there is no such thing");
    name_register(test, two.names, "there", "alice");
    assert_int_equal(soma_proxy_connect(two.bob, 30 * SOMA_MS, "alice/main", "in", "take"), SOMA_ENOENT);
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUSH, "main", NULL, NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect(two.bob, LONG, "alice/main", "in", "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(two.alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(two.alice, "main", NULL, "1"), 0);
    check_log(test, two.bob, "in-7 in-7 1 ");
    assert_int_equal(soma_proxy_connect(two.bob, LONG, "alice/main", "bad", NULL), SOMA_EINVAL); // PULL wants a handler
    assert_string_equal(soma_proxy_error(two.bob), "channel 'bad' can't be connected to 'alice/main': "
                                                   "a pull has no handlers, and wants some");
    // Bound anew, somewhere else: it follows.
    assert_int_equal(soma_proxy_close_channel(two.alice, LONG, "main"), 0);
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUSH, "main", NULL, NULL, NULL), 0);
    assert_int_equal(soma_proxy_wait_peers(two.alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(two.alice, "main", NULL, "2"), 0);
    check_log(test, two.bob, "in-7 in-7 1 bad-1 2 ");
    two_close(&two);
}

/* It has another pattern when it comes back: that is told. */
static void test_other_pattern(soma_test *test)
{
    struct two two = two_open(test, false);
    name_register(test, two.names, "there", "alice");
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUSH, "main", NULL, NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect(two.bob, LONG, "alice/main", "in", "take"), 0);
    assert_int_equal(soma_proxy_close_channel(two.alice, LONG, "main"), 0);
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUB, "main", NULL, NULL, NULL), 0);
    check_log(test, two.bob, "in-11 ");
    two_close(&two);
}

/* ---- from inside, before there is anything ---- */

static int subscribe_early(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_connect_to(self, "press/feed", "paper", NULL, LONG), 0);
    assert_int_equal(soma_connect_to(self, "press/feed", "paper", NULL, LONG), SOMA_EEXIST);
    assert_int_equal(soma_subscribe(self, "paper", "sport", SOMA_HANDLERS(SOMA_BY_METHOD("cheer"))), 0);
    assert_int_equal(soma_channel_peers(self, "paper"), 0);
    assert_int_equal(soma_send_to(self, "paper", job, .number = 1), SOMA_EAGAIN);
    const soma_channel_options all = {.handlers = SOMA_HANDLERS(SOMA_BY_METHOD("take"))};
    const soma_channel_options placed = {.place = "inproc"};
    assert_int_equal(soma_connect_to(self, "press/feed", "all", &all, LONG), 0);
    assert_int_equal(soma_connect_to(self, "press/feed", "placed", &placed, LONG), SOMA_EINVAL);
    assert_int_equal(soma_connect_to(self, "press/none", "none", NULL, 20 * SOMA_MS), 0);
    assert_int_equal(soma_connect_to(self, "press/feed", "closed", NULL, LONG), 0);
    assert_int_equal(soma_close_channel(self, "closed"), 0);
    assert_int_equal(soma_connect_to(self, "press/feed", "late", NULL, 0), SOMA_EINVAL);
    assert_int_equal(soma_connect_to(self, "press/", "late", NULL, LONG), SOMA_EINVAL);
    assert_int_equal(soma_connect_to(self, "/feed", "late", NULL, LONG), SOMA_EINVAL);
    assert_int_equal(soma_connect_to(self, "inproc://", "late", NULL, LONG), SOMA_EINVAL);
    assert_int_equal(soma_connect_to(self, "inproc://x", "late", NULL, LONG), SOMA_EINVAL); // no pattern
    return 0;
}

static void test_early(soma_test *test)
{
    soma_names *names = names_open(test, "here");
    soma_system *here = soma_test_node(test, "here");
    soma_proxy *press, *reader = part_open(here, "reader");
    soma_ref ref;
    assert_int_equal(soma_whereis(here, "reader", &ref), 0);
    assert_int_equal(soma_post(here, ref, subscribe_early, NULL, NULL), 0);
    check_log(test, reader, "none-7 ");
    press = part_open(here, "press");
    assert_int_equal(soma_proxy_bind(press, LONG, SOMA_PUB, "feed", NULL, NULL, NULL), 0);
    name_register(test, names, "here", "press");
    assert_int_equal(soma_proxy_wait_peers(press, LONG, "feed", 2), 0);
    assert_int_equal(send_json(press, "feed", "sport", "1"), 0);
    assert_int_equal(send_json(press, "feed", "weather", "2"), 0);
    wait_count(reader, 4);
    soma_proxy_close(&press);
    soma_proxy_close(&reader);
    assert_int_equal(soma_names_close(&names), 0);
}

/* An agent that ends while it looks, and a client that does. */
static void test_ends(soma_test *test)
{
    struct two two = two_open(test, false);
    soma_ref ref;
    assert_int_equal(soma_whereis(two.system, "alice", &ref), 0);
    assert_int_equal(soma_post(two.system, ref, subscribe_early, NULL, NULL), 0);
    assert_int_equal(soma_proxy_ping(two.alice, LONG), 0);
    assert_int_equal(soma_proxy_kill(two.alice, LONG), 0);
    assert_int_equal(soma_whereis(two.system, "bob", &ref), 0);
    assert_int_equal(soma_post(two.system, ref, subscribe_early, NULL, NULL), 0);
    assert_int_equal(soma_proxy_ping(two.bob, LONG), 0);
    assert_int_equal(soma_names_close(&two.names), 0);
    wait_count(two.bob, 3); // each that looked has failed
    two_close(&two);
}

/* ---- all wired from another node's program ---- */

static soma_proxy *open_at(soma_test *test, const char *node, const char *name)
{
    soma_proxy *proxy;
    const char *address = soma_bridge_address(soma_test_bridge(test, node), 0);
    assert_int_equal(
        soma_proxy_open_at(soma_test_node(test, "desk"), soma_test_bridge(test, "desk"), address, name, &proxy), 0);
    assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
    return proxy;
}

static void test_other_node(soma_test *test)
{
    soma_names *names = names_open(test, "there");
    soma_system *there = soma_test_node(test, "there");
    soma_proxy *mine[2] = {part_open(there, "alice"), part_open(there, "bob")};
    soma_test_node(test, "desk");
    soma_proxy *alice = open_at(test, "there", "alice"), *bob = open_at(test, "there", "bob");
    char address[SOMA_ADDRESS_MOST + 1];
    name_register(test, names, "there", "alice");
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PUSH, "main", NULL, NULL, address), 0);
    assert_int_equal(soma_proxy_connect(bob, LONG, "alice/main", "in", "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(alice, "main", NULL, "{\"from\":\"desk\"}"), 0);
    check_log(test, bob, "{\"from\":\"desk\"} ");
    assert_int_equal(soma_proxy_connect(bob, LONG, address, "too", "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(alice, LONG, "main", 2), 0);
    assert_int_equal(soma_proxy_close_channel(alice, LONG, "main"), 0);
    assert_int_equal(soma_proxy_address(alice, LONG, "main", address), SOMA_ENOENT);
    for (int i = 0; i < 2; i++)
        soma_proxy_close(&mine[i]);
    soma_proxy_close(&alice);
    soma_proxy_close(&bob);
    assert_int_equal(soma_names_close(&names), 0);
}

/* An address within another system is no use. */
static void test_out_of_reach(soma_test *test)
{
    struct two two = two_open(test, true);
    name_register(test, two.names, "there", "alice");
    assert_int_equal(soma_proxy_bind(two.alice, LONG, SOMA_PUSH, "main", "inproc://main", NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect(two.bob, LONG, "alice/main", "in", "take"), SOMA_ENOROUTE);
    assert_string_equal(soma_proxy_error(two.bob), "channel 'in' can't be connected to 'alice/main': "
                                                   "that is an inproc place of another system");
    two_close(&two);
}

/* Between nodes: over tcp and ipc, found by name, and followed to another port, with the options that were given. */
static void test_sockets(soma_test *test)
{
    struct two two = two_open(test, true);
    char place[64], again[SOMA_ADDRESS_MOST + 1], address[SOMA_ADDRESS_MOST + 1];
    soma_channel_options bound = {.place = "tcp://127.0.0.1", .serializer = "json"};
    const soma_channel_options json_too = {.serializer = "json"};
    name_register(test, two.names, "there", "alice");
    assert_int_equal(soma_proxy_bind_with(two.alice, LONG, SOMA_PUSH, "main", &bound, NULL, address), 0);
    assert_int_equal(soma_proxy_connect_with(two.bob, LONG, "alice/main", "in", &json_too, "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(two.alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(two.alice, "main", NULL, "{\"a\":1}"), 0);
    check_log(test, two.bob, "{\"a\":1} ");
    snprintf(place, sizeof(place), "ipc:///tmp/soma-wiring-%d", (int)getpid());
    assert_int_equal(soma_proxy_close_channel(two.alice, LONG, "main"), 0);
    bound.place = place;
    assert_int_equal(soma_proxy_bind_with(two.alice, LONG, SOMA_PUSH, "main", &bound, NULL, again), 0);
    assert_string_not_equal(address, again);
    assert_int_equal(soma_proxy_wait_peers(two.alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(two.alice, "main", NULL, "[2,3]"), 0);
    check_log(test, two.bob, "{\"a\":1} [2,3] ");
    two_close(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_aliases, test_load(100), 100000),     SOMA_REAL(test_aliases),
        SOMA_SIM(test_connect, test_load(200), 100000),     SOMA_SIM(test_other_pattern, test_load(100), 100000),
        SOMA_SIM(test_early, test_load(200), 100000),       SOMA_SIM(test_ends, test_load(100), 100000),
        SOMA_SIM(test_other_node, test_load(100), 100000),  SOMA_REAL(test_other_node),
        SOMA_SIM(test_out_of_reach, test_load(50), 100000), SOMA_REAL(test_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
