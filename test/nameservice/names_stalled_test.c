/*
 * Nodes that stand still while the way to them is full: whoever sends to them is held up until they are down, but not
 * those who serve others, too: the name server, and the clients of other nodes. In virtual time.
 */
#include "nameservice/client.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/nameservice.h>
#include <stdio.h>
#include <string.h>

#define SOON (50 * SOMA_MS)

SOMA_MESSAGE(load, (bytes, data))

static int on_load(soma_agent *self, void *my, const struct load *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior singer = {.name = "singer", .handlers = SOMA_HANDLERS(SOMA_ON(load, on_load))};

/* Nothing leaves any more. It is sent in nobody's name, so there is nobody else who is held up by it. */
static void way_fill(soma_test *test, const char *from, soma_ref to)
{
    static const char data[1 << 16];
    soma_system *system = soma_test_node(test, from);
    uint32_t sent = 0, before;
    do {
        before = sent;
        while (!soma_try_send(system, to, load, .data = {data, sizeof(data)}))
            assert_true(++sent < 1000);
        soma_test_settle(test);
    } while (sent > before);
}

struct world {
    soma_test *test;
    soma_names *hub, *leaf, *other;
    soma_ref on_hub, on_leaf, on_other;
};

static soma_names *names_new(soma_test *test, const char *node, soma_ref *agent)
{
    static const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_names *names;
    assert_int_equal(soma_names_open(soma_test_node(test, node), soma_test_bridge(test, node), &options, &names), 0);
    assert_int_equal(soma_names_server(names, SOMA_SECOND, NULL), 0);
    assert_int_equal(soma_spawn(soma_test_node(test, node), &singer, NULL, agent), 0);
    assert_int_equal(soma_names_register(names, node, *agent, SOMA_SECOND), 0);
    return names;
}

static void world_open(struct world *world, soma_test *test)
{
    soma_test_node(test, "hub");
    soma_test_node(test, "leaf");
    soma_test_node(test, "other");
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), NULL, NULL), 0);
    *world = (struct world){.test = test};
    world->hub = names_new(test, "hub", &world->on_hub);
    world->leaf = names_new(test, "leaf", &world->on_leaf);
    world->other = names_new(test, "other", &world->on_other);
    soma_test_advance(test, 5 * SOMA_SECOND);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->leaf), 0);
    assert_int_equal(soma_names_close(&world->other), 0);
    assert_int_equal(soma_names_close(&world->hub), 0);
}

static void find(soma_names *names, const char *name, soma_ref agent)
{
    struct soma_name entry;
    assert_int_equal(soma_names_info(names, name, SOON, &entry), 0); // which asks the server
    assert_true(soma_ref_equal(entry.agent, agent));
    soma_name_destroy(&entry);
}

static void count(void *context, const struct soma_name_event *event)
{
    *(uint32_t *)context += event->event == SOMA_NAME_ADDED;
}

/* The server has news for a node that takes none, and a name of that node's is taken over: others are served at once.
 */
static void test_client_stands(soma_test *test)
{
    struct world world;
    soma_ref watcher, found, lost = SOMA_REF_NULL;
    uint32_t *told = soma_test_alloc(test, sizeof(*told));
    world_open(&world, test);
    assert_int_equal(soma_names_watch(world.leaf, "new", count, told, &watcher), 0);
    assert_int_equal(soma_names_lookup(world.leaf, "other", SOMA_SECOND, &found), 0);
    assert_int_equal(soma_names_register(world.leaf, "taken", world.on_leaf, SOMA_SECOND), 0);
    soma_test_settle(test);
    soma_test_node_stop(test, "leaf");
    way_fill(test, "hub", world.on_leaf);
    assert_int_equal(soma_names_register(world.other, "new", world.on_other, SOON), 0);
    find(world.other, "hub", world.on_hub);
    assert_int_equal(soma_names_register_as(world.other, "taken", world.on_other, SOMA_VALUE_NONE, true, SOON, &lost),
                     0);
    find(world.hub, "taken", world.on_other);
    find(world.other, "leaf", world.on_leaf); // it is not down yet
    soma_test_node_continue(test, "leaf");
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(*told, 1);
    find(world.leaf, "taken", world.on_other);
    world_close(&world);
}

/* The client can't reach its server: who asks it is told in time, and others of its node are served. */
static void test_server_stands(soma_test *test)
{
    struct world world;
    soma_ref found;
    world_open(&world, test);
    assert_int_equal(soma_names_lookup(world.leaf, "hub", SOMA_SECOND, &found), 0);
    soma_test_node_stop(test, "hub");
    way_fill(test, "leaf", world.on_hub);
    uint64_t before = soma_test_now(test);
    assert_int_equal(soma_names_lookup(world.leaf, "nobody", SOON, &found), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_register(world.leaf, "late", world.on_leaf, SOON), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_lookup(world.leaf, "hub", SOON, &found), 0); // known well enough
    assert_in_range(soma_test_now(test) - before, 2 * SOON, 3 * SOON);
    soma_test_node_continue(test, "hub");
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(soma_names_register(world.leaf, "late", world.on_leaf, SOON), 0);
    find(world.other, "late", world.on_leaf);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_client_stands, test_load(100), 100000),
        SOMA_SIM(test_server_stands, test_load(100), 100000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
