/* A node that registers without measure is held to its share, and harms nobody else. In virtual time. */
#include "nameservice/client.h"
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/nameservice.h>
#include <soma/request.h>
#include <soma/timer.h>
#include <stdio.h>
#include <string.h>

#define NAMES 100u /* that a node may have, and may register at once */
#define RATE 4u    /* a second, in the long run: so slow that all takes longer to make up for than a link is lost */

static const soma_behavior singer = {.name = "singer"};

struct world {
    soma_test *test;
    soma_ref server;
    soma_names *leaf, *flood;
    soma_ref flooder;
};

/* ---- who floods: past its client, with one name over and over, and never waits ---- */

SOMA_MESSAGE(pour)

struct flood {
    soma_ref server;
    uint32_t taken, refused, full;
    uint32_t next;
    bool many; /* each with a name of its own */
};

static int on_put(soma_agent *self, struct flood *my, const struct soma_name_registered *m)
{
    (void)self;
    assert_int_equal(m->error, 0);
    my->taken++;
    return 0;
}

static int on_put_error(soma_agent *self, struct flood *my, const int *error)
{
    (void)self;
    assert_true(*error == SOMA_EAGAIN || *error == SOMA_EFULL);
    my->refused += *error == SOMA_EAGAIN;
    my->full += *error == SOMA_EFULL;
    return 0;
}

/* A thousand a second. */
static int on_pour(soma_agent *self, struct flood *my, const struct pour *m)
{
    char name[16] = "flood/0";
    (void)m;
    for (uint32_t i = 0; i < 100; i++) {
        if (my->many)
            snprintf(name, sizeof(name), "flood/%u", my->next++);
        const struct soma_name entry = {.name = name, .agent = soma_self(self)};
        assert_true(soma_request(self, my->server, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_put, on_put_error),
                                 ns_put, .name = entry) > 0);
    }
    return 0;
}

static int flood_init(soma_agent *self, void *state, const void *arg)
{
    memcpy(state, arg, sizeof(struct flood));
    return soma_each(self, 100 * SOMA_MS, pour) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior flood = {.name = "flood",
                                    .state_size = sizeof(struct flood),
                                    .init = flood_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(pour, on_pour))};

/* ---- the world ---- */

static void world_open(struct world *world, soma_test *test)
{
    static const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options client = {.addresses = addresses};
    const soma_nameserver_options options = {.node_most = NAMES, .node_rate = RATE};
    soma_system *hub = soma_test_node(test, "hub"), *leaf = soma_test_node(test, "leaf");
    soma_system *node = soma_test_node(test, "flood");
    *world = (struct world){.test = test};
    assert_int_equal(soma_nameserver_start(hub, &options, &world->server), 0);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &client, &world->leaf), 0);
    assert_int_equal(soma_names_open(node, soma_test_bridge(test, "flood"), &client, &world->flood), 0);
    assert_int_equal(soma_names_server(world->leaf, SOMA_SECOND, NULL), 0);
    assert_int_equal(soma_names_server(world->flood, SOMA_SECOND, NULL), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
}

static void flood_begin(struct world *world, bool many)
{
    const struct flood start = {.server = world->server, .many = many};
    assert_int_equal(soma_spawn(soma_test_node(world->test, "flood"), &flood, &start, &world->flooder), 0);
}

static const struct nameserver *server_state(const struct world *world)
{
    return soma_test_state(world->test, world->server);
}

/* Another node does what it did before: one name a tenth of a second, and is answered at once. */
static void others_go_on(struct world *world, uint32_t times)
{
    char name[16];
    soma_ref agent, found;
    assert_int_equal(soma_spawn(soma_test_node(world->test, "leaf"), &singer, NULL, &agent), 0);
    for (uint32_t i = 0; i < times; i++) {
        snprintf(name, sizeof(name), "leaf/%u", i);
        assert_int_equal(soma_names_register(world->leaf, name, agent, 50 * SOMA_MS), 0);
        assert_int_equal(soma_names_lookup(world->leaf, name, 50 * SOMA_MS, &found), 0);
        assert_true(soma_ref_equal(found, agent));
        soma_test_advance(world->test, 100 * SOMA_MS);
    }
    assert_int_equal(soma_kill(soma_test_node(world->test, "leaf"), agent), 0);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->leaf), 0);
    assert_int_equal(soma_names_close(&world->flood), 0);
    soma_test_advance(world->test, (NAMES / RATE + 20) * SOMA_SECOND); // and nothing is kept of who is gone
    assert_int_equal(server_state(world)->names.count, 0);
    assert_int_equal(server_state(world)->accounts.count, 0);
}

/* ---- the tests ---- */

static void test_rate(soma_test *test)
{
    struct world world;
    soma_ref agent;
    world_open(&world, test);
    flood_begin(&world, false);
    others_go_on(&world, 40);
    const struct flood *state = soma_test_state(test, world.flooder);
    uint32_t time = 5; // seconds, at least as many as went by
    assert_in_range(state->taken, NAMES, NAMES + time * RATE);
    assert_true(state->refused > 3000);
    assert_in_range(server_state(&world)->refused, state->refused, state->refused + 1000); // some are on their way
    // Whoever asks politely on that node is told as well, until the flood has been made up for.
    assert_int_equal(soma_spawn(soma_test_node(test, "flood"), &singer, NULL, &agent), 0);
    assert_int_equal(soma_names_register(world.flood, "polite", agent, SOMA_SECOND), SOMA_EAGAIN);
    assert_int_equal(soma_kill(soma_test_node(test, "flood"), world.flooder), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_names_register(world.flood, "polite", agent, SOMA_SECOND), 0);
    world_close(&world);
}

static void test_count(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    flood_begin(&world, true);
    others_go_on(&world, 20);
    const struct flood *state = soma_test_state(test, world.flooder);
    assert_int_equal(state->taken, NAMES);
    assert_true(state->full > 0); // it had time to be let on, and had too many
    assert_true(state->refused > 0);
    assert_int_equal(soma_kill(soma_test_node(test, "flood"), world.flooder), 0);
    world_close(&world);
}

/* A client that has all it may have, and loses its link again and again, has them back in time. */
static void test_patience(soma_test *test)
{
    struct world world;
    soma_ref agent;
    char name[16];
    world_open(&world, test);
    assert_int_equal(soma_spawn(soma_test_node(test, "flood"), &singer, NULL, &agent), 0);
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(soma_names_register(world.flood, name, agent, SOMA_SECOND), 0);
    }
    uint64_t refused = server_state(&world)->refused;
    for (uint32_t i = 0; i < 3; i++) { // a new session each time, sooner than what it puts is made up for
        soma_test_net_partition(test, "hub", "flood");
        soma_test_advance(test, 12 * SOMA_SECOND);
        soma_test_net_heal(test, "hub", "flood");
        soma_test_advance(test, 2 * SOMA_SECOND);
    }
    assert_true(server_state(&world)->refused > refused);
    soma_test_advance(test, NAMES / RATE * SOMA_SECOND);
    assert_int_equal(server_state(&world)->names.count, NAMES);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_rate, test_load(20), 200000),
        SOMA_SIM(test_count, test_load(20), 200000),
        SOMA_SIM(test_patience, test_load(20), 200000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
