/* Proxies to agents on other nodes, simulated and real: by their node's address, and by a name service; what becomes of
 * them when agents, nodes and links end and come again. */
#include "proxy_agents.h"
#include <soma/fault.h>
#include <stdlib.h>

#define LONG (60 * SOMA_SECOND)

/* A node's name service client, whose server is at the hub. */
static soma_names *names_open(soma_test *test, const char *node)
{
    soma_system *system = soma_test_node(test, node);
    const char *const addresses[] = {soma_bridge_address(soma_test_bridge(test, "hub"), 0), NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_names *names;
    assert_int_equal(soma_names_open(system, soma_test_bridge(test, node), &options, &names), 0);
    return names;
}

static void server_open(soma_test *test)
{
    const soma_nameserver_options options = {.settle_ms = 1};
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), &options, NULL), 0);
}

static soma_ref tank_register(soma_test *test, soma_names *names, const char *node, const char *name)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(test, node), &tank, NULL, &ref), 0);
    assert_int_equal(soma_names_register(names, name, ref, LONG), 0);
    return ref;
}

/* ---- by address ---- */

static void test_at(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here"), *there = soma_test_node(test, "there");
    const char *address = soma_bridge_address(soma_test_bridge(test, "there"), 0);
    soma_proxy *proxy;
    assert_int_equal(soma_proxy_open_at(here, soma_test_bridge(test, "here"), address, "tank", &proxy), 0);
    assert_int_equal(soma_proxy_ping(proxy, LONG), SOMA_ENOENT);
    assert_int_equal(soma_proxy_wait(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    for (int i = 0; i < 2; i++) {
        tank_open(there, "tank");
        assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
        assert_int_equal(fill_by(proxy, 5), 5);
        assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
        assert_int_equal(soma_proxy_ping(proxy, LONG), SOMA_ENOENT);
        assert_int_equal(soma_proxy_kill(proxy, LONG), 0); // it is gone
        assert_int_equal(soma_proxy_shutdown(proxy, LONG), 0);
    }
    soma_proxy_close(&proxy);
}

/* The other node is started anew: the agent that has the name there now is meant. */
static void test_at_restarted(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here");
    soma_proxy *proxy;
    tank_open(soma_test_node(test, "there"), "tank");
    assert_int_equal(soma_proxy_open_at(here, soma_test_bridge(test, "here"),
                                        soma_bridge_address(soma_test_bridge(test, "there"), 0), "tank", &proxy),
                     0);
    assert_int_equal(fill_by(proxy, 5), 5);
    soma_test_node_restart(test, "there");
    tank_open(soma_test_node(test, "there"), "tank");
    assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
    assert_int_equal(fill_by(proxy, 5), 5);
    soma_proxy_close(&proxy);
}

/* Whatever the network does: what is answered was done once, and what is not, once at most. */
static void test_at_cut_off(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here");
    soma_proxy *proxy;
    soma_value one, result;
    int64_t least = 0, litres;
    tank_open(soma_test_node(test, "there"), "tank");
    assert_int_equal(soma_value_from_json("1", 1, &one), 0);
    assert_int_equal(soma_proxy_open_at(here, soma_test_bridge(test, "here"),
                                        soma_bridge_address(soma_test_bridge(test, "there"), 0), "tank", &proxy),
                     0);
    for (int calls = 1; calls <= 10; calls++) {
        int error = soma_proxy_call(proxy, LONG, "fill", one, &result);
        if (error) {
            assert_true(error == SOMA_ETIMEOUT || error == SOMA_ENODEDOWN);
            continue;
        }
        assert_int_equal(soma_value_get_i64(result, &litres), 0);
        assert_true(litres > least && litres <= calls);
        least = litres;
        soma_value_destroy(&result);
    }
    soma_proxy_close(&proxy);
    soma_value_destroy(&one);
}

/* ---- by a name service ---- */

/* In either order: whoever calls may come first. */
static void test_named(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here");
    soma_proxy *proxy;
    soma_test_node(test, "hub");
    soma_test_node(test, "there");
    soma_names *names = names_open(test, "here"), *theirs = names_open(test, "there");
    assert_int_equal(soma_proxy_open_named(here, names, "tank", &proxy), 0);
    assert_int_equal(soma_proxy_wait(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    assert_string_equal(soma_proxy_error(proxy), "no name server was reached in time at sim://hub");
    assert_int_equal(soma_proxy_kill(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    server_open(test);
    assert_int_equal(soma_names_server(names, LONG, NULL), 0);
    soma_test_advance(test, SOMA_SECOND); // from when on it says of names that they are not there
    assert_int_equal(soma_proxy_ping(proxy, LONG), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "no agent is registered as 'tank'");
    assert_int_equal(soma_proxy_kill(proxy, LONG), SOMA_ENOENT); // whoever that is, it never was
    for (int i = 0; i < 3; i++) {
        tank_register(test, theirs, "there", "tank");
        assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
        assert_int_equal(fill_by(proxy, 40), 40);
        assert_int_equal(fill_by(proxy, 2), 42);
        assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
        soma_test_advance(test, SOMA_SECOND); // so that the server has heard of it
        assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
        assert_int_equal(soma_proxy_ping(proxy, LONG), SOMA_ENOENT);
    }
    soma_proxy_close(&proxy);
    assert_int_equal(soma_names_close(&theirs), 0);
    assert_int_equal(soma_names_close(&names), 0);
}

/* What was tried is said; and a server that is there, but can't tell yet, is another matter. */
static void test_unreached(soma_test *test)
{
    const char *const addresses[] = {"sim://hub", "sim://void", NULL};
    const soma_names_options options = {.addresses = addresses};
    const soma_nameserver_options unsettled = {.settle_ms = 100000};
    soma_system *here = soma_test_node(test, "here");
    soma_names *names;
    soma_proxy *proxy, *server;
    soma_test_node(test, "hub");
    assert_int_equal(soma_names_open(here, soma_test_bridge(test, "here"), &options, &names), 0);
    assert_int_equal(soma_proxy_open_named(here, names, "tank", &proxy), 0);
    assert_int_equal(soma_proxy_open_server(here, names, &server), 0);
    assert_int_equal(soma_proxy_ping(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    assert_string_equal(soma_proxy_error(proxy), "no name server was reached in time at sim://hub,sim://void");
    assert_int_equal(soma_proxy_ping(server, 50 * SOMA_MS), SOMA_ETIMEOUT);
    assert_string_equal(soma_proxy_error(server), "no name server was reached in time at sim://hub,sim://void");
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), &unsettled, NULL), 0);
    assert_int_equal(soma_names_server(names, LONG, NULL), 0);
    assert_int_equal(soma_proxy_ping(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT); // it has not settled
    assert_string_equal(soma_proxy_error(proxy), "the name server can't say yet who 'tank' is");
    soma_proxy_close(&server);
    soma_proxy_close(&proxy);
    assert_int_equal(soma_names_close(&names), 0);
}

static void test_aliases(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here");
    char address[SOMA_ADDRESS_MOST + 1];
    soma_proxy *proxy, *local;
    soma_test_node(test, "hub");
    server_open(test);
    soma_names *names = names_open(test, "here");
    tank_register(test, names, "here", "tank");
    assert_int_equal(soma_names_alias(names, "tank", "levels", "tcp://10.0.0.2:7001", LONG), 0);
    assert_int_equal(soma_proxy_open_named(here, names, "tank", &proxy), 0);
    assert_int_equal(soma_proxy_address(proxy, LONG, "levels", address), 0);
    assert_string_equal(address, "tcp://10.0.0.2:7001");
    assert_int_equal(soma_proxy_address(proxy, LONG, "colours", address), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "'tank' has no alias 'colours'");
    assert_string_equal(address, "");
    assert_int_equal(soma_proxy_address(proxy, 0, "levels", address), SOMA_EINVAL);
    assert_int_equal(soma_proxy_open(here, "tank", &local), 0);
    assert_int_equal(soma_proxy_address(local, LONG, "levels", address), SOMA_ENOENT);
    soma_proxy_close(&local);
    assert_int_equal(soma_proxy_open_named(here, NULL, "tank", &local), SOMA_EINVAL);
    assert_null(local);
    soma_proxy_close(&proxy);
    assert_int_equal(soma_names_close(&names), 0);
}

static bool is_holding(soma_test *test, soma_ref agent)
{
    const struct tank *my = soma_test_state(test, agent);
    return my && my->promise > 0;
}

static void done(void *context, int error, soma_value result, const char *text)
{
    (void)result, (void)text;
    *(int *)context = error;
}

/* Another node takes the name over, and the agent that had it lives on: as soon as that is known here, calls are for
 * the other one. What the first has taken on stays with it, until it ends. */
static void test_takeover(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here"), *there = soma_test_node(test, "there");
    int *outcome = soma_test_alloc(test, sizeof(*outcome));
    soma_proxy *proxy;
    soma_ref other, now;
    soma_test_node(test, "hub");
    server_open(test);
    soma_names *names = names_open(test, "here"), *theirs = names_open(test, "there");
    soma_ref ref = tank_register(test, theirs, "there", "tank");
    assert_int_equal(soma_proxy_open_named(here, names, "tank", &proxy), 0);
    assert_int_equal(fill_by(proxy, 40), 40);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "hold", SOMA_VALUE_NONE, done, outcome), 0);
    assert_int_equal(fill_by(proxy, 2), 42);
    assert_int_equal(soma_spawn(here, &tank, NULL, &other), 0);
    assert_int_equal(soma_names_register_as(names, "tank", other, SOMA_VALUE_NONE, true, LONG, NULL), 0);
    do // the news comes after a while, or not before a cut link is back
        assert_int_equal(soma_proxy_ref(proxy, LONG, &now), 0);
    while (soma_proxy_ping(proxy, LONG) || soma_ref_equal(now, ref));
    assert_true(soma_ref_equal(now, other));
    assert_int_equal(fill_by(proxy, 1), 1);
    assert_true(is_holding(test, ref));
    assert_false(is_holding(test, other));
    soma_kill(there, ref);
    soma_test_advance(test, SOMA_SECOND);
    assert_true(is_holding(test, other));
    soma_proxy_close(&proxy);
    soma_names_close(&theirs);
    soma_names_close(&names);
}

/* Its agent has ended, and no name server can say who has the name now: that it is nobody is not known. */
static void test_then_unreached(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here");
    int *outcome = soma_test_alloc(test, sizeof(*outcome));
    soma_proxy *proxy;
    soma_test_node(test, "hub");
    server_open(test);
    soma_names *names = names_open(test, "here");
    soma_ref ref = tank_register(test, names, "here", "tank");
    assert_int_equal(soma_proxy_open_named(here, names, "tank", &proxy), 0);
    assert_int_equal(soma_proxy_call_then(proxy, SOMA_SECOND, "hold", SOMA_VALUE_NONE, done, outcome), 0);
    soma_test_node_restart(test, "hub");
    soma_kill(here, ref);
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(*outcome, SOMA_ETIMEOUT);
    soma_proxy_close(&proxy);
    soma_names_close(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_at, test_load(200), 100000),
        SOMA_REAL(test_at),
        SOMA_SIM(test_at_restarted, test_load(300), 100000),
        SOMA_SIM(test_at_cut_off, test_load(500), 100000, .cuts = 2, .partitions = 2, .frames = 2),
        SOMA_SIM(test_named, test_load(100), 100000),
        SOMA_SIM(test_unreached, test_load(50), 100000),
        SOMA_SIM(test_aliases, test_load(50), 100000),
        SOMA_SIM(test_then_unreached, test_load(50), 100000),
        SOMA_SIM(test_takeover, test_load(300), 100000),
        SOMA_REAL(test_takeover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
