/* Nodes that end without a word, or fall silent: their names go in time. And are started again, soon or late, at the
 * same address: names are as before. */
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/monitor.h>
#include <soma/nameservice.h>

static const soma_behavior singer = {.name = "singer"};

static soma_names *names_open(soma_test *test, const char *node)
{
    static const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_names *names;
    soma_system *system = soma_test_node(test, node);
    assert_int_equal(soma_names_open(system, soma_test_bridge(test, node), &options, &names), 0);
    return names;
}

static soma_ref singer_new(soma_test *test, const char *node)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(test, node), &singer, NULL, &ref), 0);
    return ref;
}

/* What it was before is known to be dead by the time that it registers; another, which is cut off, is not. */
static void test_again(soma_test *test)
{
    soma_ref found, holder;
    soma_test_node(test, "hub");
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), NULL, NULL), 0);
    soma_names *other = names_open(test, "other"), *leaf = names_open(test, "leaf");
    soma_ref theirs = singer_new(test, "other"), before = singer_new(test, "leaf");
    assert_int_equal(soma_names_register(other, "theirs", theirs, SOMA_SECOND), 0);
    assert_int_equal(soma_names_register(leaf, "it", before, SOMA_SECOND), 0);
    soma_names *reader = names_open(test, "reader");
    assert_int_equal(soma_names_wait(reader, "it", 5 * SOMA_SECOND, &found), 0);
    soma_test_net_cut(test, "hub", "other");
    soma_test_net_cut(test, "leaf", "other");
    if (soma_test_random(test, 2))
        soma_test_advance(test, 4 * SOMA_SECOND);
    free(leaf); // it goes with its node
    soma_test_node_restart(test, "leaf");
    soma_test_advance(test, (10 + soma_test_random(test, 2) * 1000) * SOMA_MS); // the end of its connection is seen
    leaf = names_open(test, "leaf");
    soma_ref now = singer_new(test, "leaf");
    assert_int_equal(soma_names_register_as(leaf, "theirs", now, SOMA_VALUE_NONE, false, 2 * SOMA_SECOND, &holder),
                     SOMA_EEXIST);
    assert_true(soma_ref_equal(holder, theirs));
    assert_int_equal(soma_names_register(leaf, "it", now, 2 * SOMA_SECOND), 0);
    assert_int_equal(soma_names_wait(reader, "it", SOMA_SECOND, &found), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_names_lookup(reader, "it", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, now));
    soma_test_net_heal(test, "hub", "other");
    soma_test_net_heal(test, "leaf", "other");
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(soma_names_lookup(reader, "theirs", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, theirs));
    assert_int_equal(soma_names_close(&leaf), 0);
    assert_int_equal(soma_names_close(&other), 0);
    assert_int_equal(soma_names_close(&reader), 0);
}

#define LEAVES 4u

static const char *const nodes[LEAVES] = {"north", "south", "west", "east"};

static const struct nameserver *leaves_open(soma_test *test, soma_names *names[LEAVES])
{
    soma_ref server;
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), NULL, &server), 0);
    for (uint32_t i = 0; i < LEAVES; i++) {
        names[i] = names_open(test, nodes[i]);
        assert_int_equal(soma_names_register(names[i], nodes[i], singer_new(test, nodes[i]), 5 * SOMA_SECOND), 0);
    }
    return soma_test_state(test, server);
}

static void leaves_close(soma_names *names[LEAVES])
{
    for (uint32_t i = 0; i < LEAVES; i++)
        assert_int_equal(soma_names_close(&names[i]), 0);
}

#define DOWN_TIME (10 * SOMA_SECOND) /* a bridge's down_ms by default: for so long a node may be silent */
#define LOOK_TIME (20 * SOMA_MS)     /* between looks */
#define BACK_TIME (4200 * SOMA_MS)   /* from when the link is back: docs/nameservice.md, without down_ms */

/* A node that falls silent takes its names along when it is down for the server's, and no later. With the link, they
 * are back by themselves. */
static void test_silent(soma_test *test)
{
    soma_names *names[LEAVES];
    soma_ref found;
    const struct nameserver *state = leaves_open(test, names);
    soma_test_advance(test, 5 * SOMA_SECOND + soma_test_random(test, 5 * SOMA_SECOND));
    assert_int_equal(soma_names_lookup(names[1], nodes[0], SOMA_SECOND, &found), 0);
    bool stands = soma_test_random(test, 2);
    uint64_t silent_at = soma_test_now(test);
    if (stands)
        soma_test_node_stop(test, nodes[0]);
    else
        soma_test_net_partition(test, "hub", nodes[0]);
    while (index_find(&state->names, nodes[0])) {
        assert_true(soma_test_now(test) - silent_at <= DOWN_TIME + LOOK_TIME);
        soma_test_advance(test, LOOK_TIME);
    }
    assert_int_equal(state->names.count, LEAVES - 1);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_names_lookup(names[1], nodes[0], SOMA_SECOND, &found), SOMA_ENOENT);
    uint64_t back_at = soma_test_now(test);
    if (stands)
        soma_test_node_continue(test, nodes[0]);
    else
        soma_test_net_heal(test, "hub", nodes[0]);
    assert_int_equal(soma_names_wait(names[1], nodes[0], 20 * SOMA_SECOND, &found), 0);
    assert_true(soma_test_now(test) - back_at <= BACK_TIME);
    assert_int_equal(state->names.count, LEAVES);
    leaves_close(names);
}

/* All are to end while one of their nodes is silent: nobody can tell that they have, until it is down. */
static void test_shutdown(soma_test *test)
{
    soma_names *names[LEAVES];
    const struct nameserver *state = leaves_open(test, names);
    soma_test_node_stop(test, nodes[0]);
    assert_int_equal(soma_names_shutdown(names[1], NULL, SOMA_SECOND), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_shutdown(names[1], NULL, 30 * SOMA_SECOND), 0);
    assert_int_equal(state->names.count, 0); // the server knows, too
    soma_test_node_continue(test, nodes[0]);
    soma_test_advance(test, 20 * SOMA_SECOND);
    leaves_close(names);
}

/* A server that was away for long is no sooner asked what is not there than all clients are back. */
static void test_outage(soma_test *test)
{
    soma_names *names[LEAVES];
    soma_ref server, holder;
    leaves_open(test, names);
    soma_test_node_down(test, "hub");
    soma_test_advance(test, 8 * SOMA_SECOND + soma_test_random(test, 40 * SOMA_SECOND));
    soma_system *hub = soma_test_node_restart(test, "hub");
    assert_int_equal(soma_nameserver_start(hub, NULL, &server), 0);
    const struct nameserver *state = soma_test_state(test, server);
    while (!state->settled)
        soma_test_advance(test, 10 * SOMA_MS);
    assert_int_equal(state->names.count, LEAVES);
    soma_names *thief = names_open(test, "thief");
    assert_int_equal(soma_names_register_as(thief, nodes[0], singer_new(test, "thief"), SOMA_VALUE_NONE, false,
                                            5 * SOMA_SECOND, &holder),
                     SOMA_EEXIST);
    leaves_close(names);
    assert_int_equal(soma_names_close(&thief), 0);
}

/* Another has taken the name of a client that could not reach the server; which learns that as it waits to put more. */
static void test_taken(soma_test *test)
{
    soma_ref server;
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), NULL, &server), 0);
    const struct nameserver *state = soma_test_state(test, server);
    soma_names *leaf = names_open(test, "leaf"), *thief = names_open(test, "thief");
    assert_int_equal(soma_names_register(leaf, "it", singer_new(test, "leaf"), SOMA_SECOND), 0);
    soma_test_net_cut(test, "hub", "leaf");
    while (state->names.count)
        soma_test_advance(test, SOMA_SECOND);
    soma_test_advance(test, soma_test_random(test, 2) * DOWN_TIME);
    assert_int_equal(soma_names_register(thief, "it", singer_new(test, "thief"), SOMA_SECOND), 0);
    soma_test_net_heal(test, "hub", "leaf");
    assert_int_equal(soma_names_alias(leaf, "it", "main", "tcp://127.0.0.1:1", 60 * SOMA_SECOND), SOMA_EEXIST);
    assert_int_equal(soma_names_alias(leaf, "it", "main", "tcp://127.0.0.1:1", 60 * SOMA_SECOND), SOMA_ENOENT);
    assert_int_equal(soma_names_close(&leaf), 0);
    assert_int_equal(soma_names_close(&thief), 0);
}

/* A server that stood still for so long that all took it for down says of no name that lives that it is not there. */
static void test_standstill(soma_test *test)
{
    soma_names *names[LEAVES];
    const struct nameserver *state = leaves_open(test, names);
    soma_ref found, mortal = singer_new(test, nodes[1]);
    assert_int_equal(soma_names_register(names[1], "mortal", mortal, 5 * SOMA_SECOND), 0);
    soma_test_advance(test, SOMA_SECOND);
    soma_test_node_stop(test, "hub");
    soma_test_advance(test, 11 * SOMA_SECOND + soma_test_random(test, 20 * SOMA_SECOND));
    assert_int_equal(soma_kill(soma_test_node(test, nodes[1]), mortal), 0);
    soma_test_node_continue(test, "hub");
    for (uint32_t i = 0; i < 500; i++) {
        soma_test_advance(test, 10 * SOMA_MS);
        for (uint32_t j = 0; j < LEAVES; j++)
            assert_non_null(index_find(&state->names, nodes[j]));
    }
    assert_int_equal(state->names.count, LEAVES); // who had ended meanwhile is gone
    for (uint32_t i = 0; i < LEAVES; i++) {
        assert_int_equal(soma_names_lookup(names[i], nodes[(i + 1) % LEAVES], 5 * SOMA_SECOND, &found), 0);
        assert_int_equal(soma_kill(soma_test_node(test, "hub"), found), 0); // from there again
    }
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(state->names.count, 0);
    leaves_close(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_silent, test_load(200), 200000),     SOMA_SIM(test_shutdown, test_load(100), 200000),
        SOMA_SIM(test_standstill, test_load(200), 200000), SOMA_SIM(test_outage, test_load(200), 200000),
        SOMA_SIM(test_again, test_load(200), 200000),      SOMA_SIM(test_taken, test_load(100), 200000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
