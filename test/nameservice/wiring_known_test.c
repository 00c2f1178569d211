/* What is bound can be asked for by whoever knows that it is: at once, on whatever node, at each client of a name
 * service where its agent is registered. */
#include "wiring.h"

#define TIMES 5u

/* A server at the hub, and a client of it. */
static soma_names *names_open(soma_test *test, const char *node)
{
    soma_system *hub = soma_test_node(test, "hub"), *system = soma_test_node(test, node);
    const char *const addresses[] = {soma_bridge_address(soma_test_bridge(test, "hub"), 0), NULL};
    const soma_nameserver_options server = {.settle_ms = 1};
    const soma_names_options options = {.addresses = addresses};
    soma_names *names;
    soma_nameserver_start(hub, &server, NULL); // or there is one
    assert_int_equal(soma_names_open(system, soma_test_bridge(test, node), &options, &names), 0);
    assert_int_equal(soma_names_server(names, LONG, NULL), 0);
    return names;
}

/* Binds, by itself, where it is told; nil: closes. */
static int move(soma_agent *self, struct part *my, soma_value arguments, soma_value_builder *result)
{
    const char *text;
    uint32_t size;
    char place[32];
    soma_address address;
    (void)my, (void)result;
    if (soma_value_get_string(arguments, &text, &size))
        return soma_close_channel(self, "own");
    snprintf(place, sizeof(place), "%.*s", (int)size, text);
    const soma_channel_options options = {.place = place};
    return soma_bind(self, SOMA_PUSH, "own", &options, &address);
}

static const soma_behavior mover = {.name = "mover",
                                    .state_size = sizeof(struct part),
                                    .base = &part,
                                    .methods = SOMA_METHODS(SOMA_METHOD("move", move))};

/* alice, on a node of hers, and a proxy on another node, which knows her name. */
struct world {
    soma_names *theirs, *mine;
    soma_proxy *alice;
    soma_ref ref;
};

static struct world world_open(soma_test *test)
{
    struct world world = {.theirs = names_open(test, "there"), .mine = names_open(test, "desk")};
    assert_int_equal(soma_spawn(soma_test_node(test, "there"), &mover, NULL, &world.ref), 0);
    assert_int_equal(soma_names_register(world.theirs, "alice", world.ref, LONG), 0);
    assert_int_equal(soma_proxy_open_named(soma_test_node(test, "desk"), world.mine, "alice", &world.alice), 0);
    assert_int_equal(soma_proxy_wait(world.alice, LONG), 0);
    return world;
}

static void world_close(struct world *world)
{
    soma_proxy_close(&world->alice);
    assert_int_equal(soma_names_close(&world->mine), 0);
    assert_int_equal(soma_names_close(&world->theirs), 0);
}

static void test_bound_by_proxy(soma_test *test)
{
    struct world world = world_open(test);
    char address[SOMA_ADDRESS_MOST + 1], place[32], again[SOMA_ADDRESS_MOST + 1];
    for (uint32_t i = 0; i < TIMES; i++) {
        snprintf(place, sizeof(place), "inproc://place%u", i);
        assert_int_equal(soma_proxy_bind(world.alice, LONG, SOMA_PUSH, "main", place, NULL, address), 0);
        assert_int_equal(soma_proxy_address(world.alice, LONG, "main", again), 0);
        assert_string_equal(again, address);
        assert_int_equal(soma_proxy_close_channel(world.alice, LONG, i % 2 ? "main" : NULL), 0);
        assert_int_equal(soma_proxy_address(world.alice, LONG, "main", again), SOMA_ENOENT);
    }
    world_close(&world);
}

static int move_to(const struct world *world, const char *text)
{
    soma_value place = json(text);
    int error = soma_proxy_call(world->alice, LONG, "move", place, NULL);
    soma_value_destroy(&place);
    return error;
}

/* The agent itself has bound it, and who has heard of that asks. */
static void test_bound_by_itself(soma_test *test)
{
    struct world world = world_open(test);
    char address[SOMA_ADDRESS_MOST + 1];
    assert_int_equal(soma_names_address(world.mine, "alice", "own", LONG, address), SOMA_ENOENT);
    assert_int_equal(move_to(&world, "\"inproc://own\""), 0);
    if (soma_test_random(test, 2))
        assert_int_equal(soma_names_address(world.theirs, "alice", "own", LONG, address), 0);
    else if (soma_test_random(test, 2))
        assert_int_equal(soma_names_address(world.mine, "alice", "own", LONG, address), 0);
    else
        assert_int_equal(soma_proxy_address(world.alice, LONG, "own", address), 0);
    assert_string_equal(address, "inproc://own push");
    world_close(&world);
}

/* Without a server to tell it to, it is bound all the same. */
static void test_bound_alone(soma_test *test)
{
    struct world world = world_open(test);
    soma_system *there = soma_test_node(test, "there");
    char address[SOMA_ADDRESS_MOST + 1];
    soma_proxy *here;
    soma_ref server;
    assert_int_equal(soma_proxy_open_ref(there, world.ref, &here), 0);
    assert_int_equal(soma_whereis(soma_test_node(test, "hub"), SOMA_NAMESERVER, &server), 0);
    assert_int_equal(soma_kill(soma_test_node(test, "hub"), server), 0);
    assert_int_equal(soma_proxy_bind(here, 2 * SOMA_SECOND, SOMA_PUSH, "main", "inproc://main", NULL, address), 0);
    assert_string_equal(address, "inproc://main push");
    soma_names *hubs = names_open(test, "hub"); // and a server again
    assert_int_equal(soma_names_server(world.theirs, LONG, NULL), 0);
    assert_int_equal(soma_proxy_bind(here, LONG, SOMA_PUSH, "more", "inproc://more", NULL, NULL), 0);
    assert_int_equal(soma_names_address(world.theirs, "alice", "main", LONG, address), 0);
    assert_int_equal(soma_names_address(world.theirs, "alice", "more", LONG, address), 0);
    soma_proxy_close(&here);
    assert_int_equal(soma_names_close(&hubs), 0);
    world_close(&world);
}

/* A node with two clients, and so perhaps with two name services: each has the aliases of what is registered there. */
static void test_two_clients(soma_test *test)
{
    struct world world = world_open(test);
    soma_names *second = names_open(test, "there");
    char address[SOMA_ADDRESS_MOST + 1];
    assert_int_equal(soma_proxy_bind(world.alice, LONG, SOMA_PUSH, "first", "inproc://first", NULL, NULL), 0);
    assert_int_equal(soma_names_register(second, "bob", world.ref, LONG), 0);
    assert_int_equal(soma_proxy_bind(world.alice, LONG, SOMA_PUSH, "second", "inproc://second", NULL, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(soma_names_address(i % 2 ? second : world.theirs, i % 2 ? "bob" : "alice",
                                            i / 2 ? "second" : "first", LONG, address),
                         0);
        assert_string_equal(address, i / 2 ? "inproc://second push" : "inproc://first push");
    }
    assert_int_equal(soma_names_close(&world.theirs), 0); // the other one is told as before
    assert_int_equal(soma_names_register(second, "carol", world.ref, LONG), 0);
    assert_int_equal(soma_names_address(second, "carol", "first", LONG, address), 0);
    assert_int_equal(soma_names_unregister(second, "bob", LONG), 0);
    assert_int_equal(soma_names_unregister(second, "carol", LONG), 0);
    assert_int_equal(move_to(&world, "\"inproc://own\""), 0);
    assert_int_equal(soma_names_register(second, "dora", world.ref, LONG), 0);
    assert_int_equal(soma_names_address(second, "dora", "own", LONG, address), 0);
    assert_int_equal(soma_names_close(&second), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_bound_by_proxy, test_load(200), 100000),  SOMA_REAL(test_bound_by_proxy),
        SOMA_SIM(test_bound_by_itself, test_load(400), 100000), SOMA_REAL(test_bound_by_itself),
        SOMA_SIM(test_bound_alone, test_load(100), 100000),     SOMA_SIM(test_two_clients, test_load(100), 100000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
