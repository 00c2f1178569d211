/* A follower whose first is lost: it does not give refs to agents that it knows to be gone, gives them again if they
 * turn out not to be, and who asks for what can't be reached reads why. In virtual time. */
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/nameservice.h>
#include <soma/proxy.h>
#include <stdlib.h>
#include <string.h>

#define LONG (60 * SOMA_SECOND)

/* Until the follower knows of a node's end: that the first is lost, then that the node is; and a little. */
#define KNOWN_TIME (25 * SOMA_SECOND)

static const soma_behavior singer = {.name = "singer"};

/* Of the leaf's two agents each has two names; the desk's has one, and reads at the follower. */
struct world {
    soma_test *test;
    soma_ref first, second, agents[3];
    soma_names *leaf, *desk, *reader;
};

static soma_names *names_open(soma_test *test, const char *node, const char *one, const char *other)
{
    const char *const addresses[] = {one, other, NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_system *system = soma_test_node(test, node);
    soma_names *names;
    assert_int_equal(soma_names_open(system, soma_test_bridge(test, node), &options, &names), 0);
    return names;
}

static void first_start(struct world *world)
{
    assert_int_equal(soma_nameserver_start(soma_test_node(world->test, "first"), NULL, &world->first), 0);
}

static void world_open(struct world *world, soma_test *test)
{
    static const char *const nodes[] = {"leaf", "leaf", "desk"}, *const follow[] = {"sim://first", NULL};
    static const char *const names[] = {"a", "b", "mine"};
    soma_system *second;
    *world = (struct world){.test = test};
    soma_test_node(test, "first");
    second = soma_test_node(test, "second");
    const soma_nameserver_options options = {.follow = follow, .bridge = soma_test_bridge(test, "second")};
    first_start(world);
    assert_int_equal(soma_nameserver_start(second, &options, &world->second), 0);
    world->leaf = names_open(test, "leaf", "sim://first", "sim://second");
    world->desk = names_open(test, "desk", "sim://first", NULL);
    world->reader = names_open(test, "desk", "sim://second", NULL);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(soma_spawn(soma_test_node(test, nodes[i]), &singer, NULL, &world->agents[i]), 0);
        soma_names *of = i < 2 ? world->leaf : world->desk;
        assert_int_equal(soma_names_register(of, names[i], world->agents[i], LONG), 0);
        if (i < 2)
            assert_int_equal(soma_names_register(of, i ? "b/too" : "a/too", world->agents[i], LONG), 0);
    }
    assert_int_equal(soma_names_server(world->reader, LONG, NULL), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
}

static void world_close(struct world *world)
{
    if (world->leaf)
        assert_int_equal(soma_names_close(&world->leaf), 0);
    assert_int_equal(soma_names_close(&world->desk), 0);
    assert_int_equal(soma_names_close(&world->reader), 0);
}

/* How it is for who reads at the follower: which agent, or none. */
static void expect(struct world *world, const char *name, const soma_ref *agent)
{
    soma_ref found;
    assert_int_equal(soma_names_lookup(world->reader, name, SOMA_SECOND, &found), agent ? 0 : SOMA_ENOENT);
    assert_true(!agent || soma_ref_equal(found, *agent));
}

static void expect_count(struct world *world, uint32_t count)
{
    struct soma_name_page page;
    assert_int_equal(soma_names_list(world->reader, NULL, NULL, 0, SOMA_SECOND, &page), 0);
    assert_int_equal(page.names.count, count);
    soma_name_page_destroy(&page);
}

static void expect_all(struct world *world)
{
    expect(world, "a", &world->agents[0]);
    expect(world, "a/too", &world->agents[0]);
    expect(world, "b", &world->agents[1]);
    expect(world, "mine", &world->agents[2]);
    expect_count(world, 5);
}

/* The first and the agents' node die, one soon after the other. */
static void test_node_dies(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    bool leaf_first = soma_test_random(test, 2);
    free(world.leaf); // it goes with its node
    world.leaf = NULL;
    soma_test_node_down(test, leaf_first ? "leaf" : "first");
    if (soma_test_random(test, 2))
        soma_test_advance(test, soma_test_random(test, SOMA_SECOND));
    soma_test_node_down(test, leaf_first ? "first" : "leaf");
    soma_test_advance(test, KNOWN_TIME);
    expect(&world, "a", NULL);
    expect(&world, "b/too", NULL);
    expect(&world, "mine", &world.agents[2]);
    expect_count(&world, 1);
    soma_test_node_restart(test, "first");
    first_start(&world);
    soma_test_advance(test, KNOWN_TIME);
    expect(&world, "a", NULL);
    expect(&world, "mine", &world.agents[2]);
    soma_test_node_restart(test, "leaf");
    world.leaf = names_open(test, "leaf", "sim://first", "sim://second");
    assert_int_equal(soma_spawn(soma_test_node(test, "leaf"), &singer, NULL, &world.agents[0]), 0);
    assert_int_equal(soma_names_register(world.leaf, "a", world.agents[0], LONG), 0);
    soma_test_advance(test, 2 * SOMA_SECOND);
    expect(&world, "a", &world.agents[0]);
    expect_count(&world, 2);
    world_close(&world);
}

/* An agent that is known to have ended; whether others of its node have is not asked, as long as one lives. */
static void test_agent_ends(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_test_node_down(test, "first");
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), world.agents[0]), 0);
    soma_test_advance(test, KNOWN_TIME);
    expect(&world, "a", NULL);
    expect(&world, "a/too", NULL);
    expect(&world, "b", &world.agents[1]);
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), world.agents[1]), 0);
    soma_test_advance(test, SOMA_SECOND);
    expect(&world, "b", NULL);
    expect_count(&world, 1);
    world_close(&world);
}

/* A node that was only cut off is there again when its client is. */
static void test_node_cut(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_test_net_partition(test, "second", "leaf");
    soma_test_node_down(test, "first");
    soma_test_advance(test, KNOWN_TIME);
    expect(&world, "a", NULL);
    expect_count(&world, 1);
    soma_test_net_heal(test, "second", "leaf");
    soma_test_advance(test, KNOWN_TIME);
    expect_all(&world);
    world_close(&world);
}

/* So it is when the first is, which has had the names all the time. */
static void test_first_cut(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_test_net_partition(test, "second", "leaf");
    soma_test_net_partition(test, "second", "first");
    soma_test_advance(test, KNOWN_TIME);
    expect(&world, "a", NULL);
    expect_count(&world, 1);
    soma_test_net_heal(test, "second", "first");
    soma_test_advance(test, KNOWN_TIME);
    expect_all(&world);
    world_close(&world);
}

/* Until that is known, or where it can't be, it is said that the name is there, and its agent can't be reached. */
static void test_words(soma_test *test)
{
    struct world world;
    soma_proxy *proxy;
    char text[128];
    world_open(&world, test);
    assert_int_equal(soma_proxy_open_named(soma_test_node(test, "desk"), world.reader, "a", &proxy), 0);
    soma_test_node_down(test, "first");
    free(world.leaf);
    world.leaf = NULL;
    soma_test_node_down(test, "leaf");
    assert_int_equal(soma_proxy_call(proxy, LONG, "sing", SOMA_VALUE_NONE, NULL), SOMA_ENODEDOWN);
    snprintf(text, sizeof(text), "'a' is registered, but can't be reached: %s", soma_strerror(SOMA_ENODEDOWN));
    assert_string_equal(soma_proxy_error(proxy), text);
    soma_test_advance(test, KNOWN_TIME);
    assert_int_equal(soma_proxy_call(proxy, LONG, "sing", SOMA_VALUE_NONE, NULL), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "no agent is registered as 'a'");
    soma_proxy_close(&proxy);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_node_dies, test_load(100), 100000), SOMA_SIM(test_agent_ends, test_load(50), 100000),
        SOMA_SIM(test_node_cut, test_load(50), 100000),   SOMA_SIM(test_first_cut, test_load(50), 100000),
        SOMA_SIM(test_words, test_load(50), 100000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
