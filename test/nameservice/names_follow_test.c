/*
 * A name server that follows another one: what it has, who goes to it and comes back, what can't be done there; and
 * where a client looks for servers. In virtual time.
 */
#include "nameservice/client.h"
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/nameservice.h>
#include <soma/probe.h>
#include <stdio.h>
#include <string.h>

#define NAMES 12u

/* From the loss of the first until a client is served by the follower, at most: docs/nameservice.md. */
#define TAKEOVER_TIME (10 * SOMA_SECOND + 200 * SOMA_MS + 2 * SOMA_SECOND + SOMA_SECOND)

static const soma_behavior singer = {.name = "singer"};

struct world {
    soma_test *test;
    soma_ref first, second;
    soma_names *leaf;   /* of both, the first one first */
    soma_names *reader; /* of the second only */
};

static void second_start(struct world *world)
{
    static const char *const follow[] = {"sim://first", NULL};
    const soma_nameserver_options options = {.follow = follow, .bridge = soma_test_bridge(world->test, "second")};
    assert_int_equal(soma_nameserver_start(soma_test_node(world->test, "second"), &options, &world->second), 0);
}

static void world_open(struct world *world, soma_test *test)
{
    static const char *const both[] = {"sim://first", "sim://second", NULL};
    const soma_names_options leaf_options = {.addresses = both}, reader_options = {.addresses = both + 1};
    soma_system *first = soma_test_node(test, "first"), *leaf = soma_test_node(test, "leaf");
    soma_system *reader = soma_test_node(test, "reader");
    soma_test_node(test, "second");
    *world = (struct world){.test = test};
    assert_int_equal(soma_nameserver_start(first, NULL, &world->first), 0);
    second_start(world);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &leaf_options, &world->leaf), 0);
    assert_int_equal(soma_names_open(reader, soma_test_bridge(test, "reader"), &reader_options, &world->reader), 0);
    assert_int_equal(soma_names_server(world->reader, 10 * SOMA_SECOND, NULL), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->leaf), 0);
    assert_int_equal(soma_names_close(&world->reader), 0);
}

static soma_ref singer_new(struct world *world, const char *node)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(world->test, node), &singer, NULL, &ref), 0);
    return ref;
}

static const struct nameserver *state_of(const struct world *world, soma_ref server)
{
    return soma_test_state(world->test, server);
}

/* Both have the same. */
static void same_check(const struct world *world)
{
    const struct index *one = &state_of(world, world->first)->names, *other = &state_of(world, world->second)->names;
    assert_int_equal(one->count, other->count);
    for (struct index_node *node = index_from(one, "", false); node; node = index_from(one, node->key, true)) {
        const struct record *record = (struct record *)index_find(other, node->key);
        assert_non_null(record);
        assert_true(soma_name_equal(&record->entry, &((struct record *)node)->entry));
    }
}

/* ---- while both are there ---- */

static void test_follow(soma_test *test)
{
    struct world world;
    struct soma_name_page page;
    char name[16], address[SOMA_ADDRESS_MOST + 1];
    soma_ref found;
    world_open(&world, test);
    soma_ref agent = singer_new(&world, "leaf"), other = singer_new(&world, "reader");
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(soma_names_register(world.leaf, name, agent, SOMA_SECOND), 0);
    }
    soma_test_advance(test, SOMA_SECOND);
    same_check(&world);
    assert_int_equal(soma_names_lookup(world.reader, "n3", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, agent));
    assert_int_equal(soma_names_lookup(world.reader, "n99", SOMA_SECOND, &found), SOMA_ENOENT);
    assert_int_equal(soma_names_list(world.reader, "n1", NULL, 0, SOMA_SECOND, &page), 0);
    assert_int_equal(page.names.count, 3);
    soma_name_page_destroy(&page);
    // What changes at the first is told.
    assert_int_equal(soma_names_alias(world.leaf, "n3", "main", "tcp://10.0.0.1:1", SOMA_SECOND), 0);
    assert_int_equal(soma_names_unregister(world.leaf, "n4", SOMA_SECOND), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_names_address(world.reader, "n3", "main", SOMA_SECOND, address), 0);
    assert_string_equal(address, "tcp://10.0.0.1:1");
    assert_int_equal(soma_names_lookup(world.reader, "n4", SOMA_SECOND, &found), SOMA_ENOENT);
    // Nothing can be put at the follower, nor dropped; not by whoever forges it, either.
    uint64_t begun = soma_test_now(test);
    assert_int_equal(soma_names_register(world.reader, "mine", other, SOMA_SECOND), SOMA_ESTATE);
    assert_int_equal(soma_names_alias(world.reader, "mine", "main", "tcp://10.0.0.1:1", SOMA_SECOND), SOMA_ENOENT);
    assert_int_equal(soma_names_unregister(world.reader, "mine", SOMA_SECOND), SOMA_ENOENT);
    assert_true(soma_test_now(test) - begun < SOMA_SECOND);
    soma_probe *probe = soma_probe_open(test, soma_test_node(test, "reader"), NULL);
    const struct soma_name forged = {.name = "n3", .agent = other};
    soma_probe_request(probe, world.second, SOMA_SECOND, soma_name_registered, ns_put, .name = forged,
                       .takeover = true);
    assert_int_equal(soma_expect(probe, soma_probe_error, SOMA_SECOND)->error, SOMA_ESTATE);
    soma_probe_request(probe, world.second, SOMA_SECOND, soma_name_done, ns_drop, .name = "n3");
    soma_expect(probe, soma_name_done, SOMA_SECOND);
    same_check(&world);
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), agent), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(state_of(&world, world.second)->names.count, 0);
    world_close(&world);
}

/* What waits for a server is refused when the one that it is for turns out to follow another. */
static void test_follower_met_late(soma_test *test)
{
    struct world world;
    static const char *const addresses[] = {"sim://late", "sim://second", NULL};
    const soma_names_options options = {.addresses = addresses};
    static const char *const first[] = {"sim://first", NULL};
    soma_ref found, server;
    soma_names *names;
    world_open(&world, test);
    soma_system *node = soma_test_node(test, "writer"), *late = soma_test_node(test, "late");
    const soma_nameserver_options follow = {.follow = first, .bridge = soma_test_bridge(test, "late")};
    assert_int_equal(soma_nameserver_start(late, NULL, &server), 0);
    assert_int_equal(soma_names_open(node, soma_test_bridge(test, "writer"), &options, &names), 0);
    soma_ref agent = singer_new(&world, "writer"), other = singer_new(&world, "writer");
    assert_int_equal(soma_names_register(names, "it", agent, 10 * SOMA_SECOND), 0);
    // The server of that address is lost: what is registered waits for it at the one behind.
    assert_int_equal(soma_kill(late, server), 0);
    soma_probe *probe = soma_probe_open(test, node, NULL);
    soma_probe_request(probe, soma_names_agent(names), SOMA_NEVER, soma_name_registered, soma_name_register,
                       .name = "other", .agent = other, .timeout = SOMA_NEVER);
    soma_expect_none(probe, 10 * SOMA_SECOND);
    assert_int_equal(soma_names_server(names, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.second));
    // It is back, but follows.
    assert_int_equal(soma_nameserver_start(late, &follow, &server), 0);
    assert_int_equal(soma_expect(probe, soma_probe_error, 20 * SOMA_SECOND)->error, SOMA_ESTATE);
    assert_int_equal(soma_names_alias(names, "it", "main", "tcp://10.0.0.1:1", SOMA_SECOND), SOMA_ESTATE);
    assert_int_equal(soma_names_register(names, "other", other, SOMA_SECOND), SOMA_ESTATE);
    assert_int_equal(soma_names_unregister(names, "other", SOMA_SECOND), SOMA_ENOENT);
    assert_int_equal(soma_names_unregister(names, "it", SOMA_SECOND), 0);
    assert_int_equal(soma_names_close(&names), 0);
    world_close(&world);
}

/* ---- the first dies, and comes back ---- */

static void test_takeover(soma_test *test)
{
    struct world world;
    soma_ref found, agent, late;
    world_open(&world, test);
    agent = singer_new(&world, "leaf");
    late = singer_new(&world, "leaf");
    assert_int_equal(soma_names_register(world.leaf, "it", agent, SOMA_SECOND), 0);
    soma_test_advance(test, SOMA_SECOND);
    soma_test_node_down(test, "first");
    uint64_t lost = soma_test_now(test);
    assert_int_equal(soma_names_lookup(world.leaf, "it", 60 * SOMA_SECOND, &found), 0);
    assert_true(soma_test_now(test) - lost <= TAKEOVER_TIME);
    assert_true(soma_ref_equal(found, agent));
    assert_int_equal(soma_names_server(world.leaf, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.second));
    assert_int_equal(soma_names_lookup(world.leaf, "nobody", SOMA_SECOND, &found), SOMA_ENOENT);
    // Registrations wait for the first.
    assert_int_equal(soma_names_register(world.leaf, "soon", late, SOMA_SECOND), SOMA_ETIMEOUT);
    soma_probe *probe = soma_probe_open(test, soma_test_node(test, "leaf"), NULL);
    soma_probe_request(probe, soma_names_agent(world.leaf), SOMA_NEVER, soma_name_registered, soma_name_register,
                       .name = "late", .agent = late, .timeout = 100 * SOMA_SECOND);
    soma_expect_none(probe, 5 * SOMA_SECOND);
    assert_int_equal(soma_names_lookup(world.reader, "late", SOMA_SECOND, &found), SOMA_ENOENT);
    // It is back: all go back to it, and have there what they had.
    soma_system *first = soma_test_node_restart(test, "first");
    assert_int_equal(soma_nameserver_start(first, NULL, &world.first), 0);
    assert_int_equal(soma_expect(probe, soma_name_registered, 20 * SOMA_SECOND)->error, 0);
    assert_int_equal(soma_names_server(world.leaf, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.first));
    soma_test_advance(test, 20 * SOMA_SECOND);
    same_check(&world);
    assert_int_equal(state_of(&world, world.first)->names.count, 2);
    assert_int_equal(soma_names_lookup(world.reader, "late", SOMA_SECOND, &found), 0);
    world_close(&world);
}

/* All that were with the follower are back before the first, started anew, says of a name that it is not there. */
static void test_back(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    assert_int_equal(soma_names_register(world.leaf, "it", singer_new(&world, "leaf"), SOMA_SECOND), 0);
    soma_test_node_down(test, "first");
    soma_test_advance(test, 8 * SOMA_SECOND + soma_test_random(test, 20 * SOMA_SECOND));
    soma_system *first = soma_test_node_restart(test, "first");
    assert_int_equal(soma_nameserver_start(first, NULL, &world.first), 0);
    const struct nameserver *state = state_of(&world, world.first);
    while (!state->settled)
        soma_test_advance(test, 10 * SOMA_MS);
    assert_int_equal(state->names.count, 1);
    world_close(&world);
}

/* A follower that was started anew while the first is away knows nothing, and does not say that anything is not there.
 */
static void test_both_away(soma_test *test)
{
    struct world world;
    soma_ref found;
    world_open(&world, test);
    assert_int_equal(soma_names_register(world.leaf, "it", singer_new(&world, "leaf"), SOMA_SECOND), 0);
    soma_test_node_down(test, "first");
    soma_test_node_restart(test, "second");
    second_start(&world);
    assert_int_equal(soma_names_server(world.reader, 30 * SOMA_SECOND, NULL), 0);
    assert_int_equal(soma_names_lookup(world.reader, "it", SOMA_SECOND, &found), SOMA_ETIMEOUT);
    soma_system *first = soma_test_node_restart(test, "first");
    assert_int_equal(soma_nameserver_start(first, NULL, &world.first), 0);
    assert_int_equal(soma_names_lookup(world.reader, "it", 40 * SOMA_SECOND, &found), 0);
    world_close(&world);
}

/* ---- whatever happens between the four ---- */

static void happen(struct world *world)
{
    static const char *const nodes[] = {"first", "second", "leaf", "reader"};
    soma_test *test = world->test;
    uint64_t one = soma_test_random(test, 3), other = one + 1 + soma_test_random(test, 3 - one);
    char name[16];
    snprintf(name, sizeof(name), "n%u", (uint32_t)soma_test_random(test, NAMES));
    switch (soma_test_random(test, 6)) {
    case 0:
        soma_test_net_cut(test, nodes[one], nodes[other]);
        break;
    case 1:
        soma_test_net_partition(test, nodes[one], nodes[other]);
        break;
    case 2:
        soma_test_net_heal(test, nodes[one], nodes[other]);
        break;
    case 3:
        soma_names_register(world->leaf, name, singer_new(world, "leaf"), SOMA_MS);
        break;
    case 4:
        soma_names_unregister(world->leaf, name, SOMA_MS);
        break;
    default:
        soma_test_node_restart(test, "first");
        assert_int_equal(soma_nameserver_start(soma_test_node(test, "first"), NULL, &world->first), 0);
        break;
    }
}

static void test_turmoil(soma_test *test)
{
    static const char *const nodes[] = {"first", "second", "leaf", "reader"};
    struct world world;
    soma_ref found;
    world_open(&world, test);
    for (uint32_t i = 0; i < 10; i++) {
        happen(&world);
        soma_test_advance(test, soma_test_random(test, 2) ? soma_test_random(test, 14 * SOMA_SECOND)
                                                          : soma_test_random(test, 200 * SOMA_MS));
    }
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = i + 1; j < 4; j++)
            soma_test_net_heal(test, nodes[i], nodes[j]);
    soma_test_advance(test, 60 * SOMA_SECOND);
    same_check(&world);
    const struct client *client = soma_test_state(test, soma_names_agent(world.leaf));
    assert_int_equal(state_of(&world, world.first)->names.count, client->holdings.count);
    assert_false(state_of(&world, world.second)->alone);
    assert_int_equal(soma_names_server(world.leaf, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.first));
    world_close(&world);
}

/* ---- where servers are looked for ---- */

/* What a client that was opened so goes by: all addresses, with commas between. */
static void addresses_check(soma_test *test, const char *environment, const soma_names_options *options,
                            const char *wanted)
{
    char got[256] = "";
    soma_names *names;
    assert_int_equal(environment ? setenv("SOMA_NAMESERVICE", environment, 1) : unsetenv("SOMA_NAMESERVICE"), 0);
    soma_system *node = soma_test_node(test, "node");
    int error = soma_names_open(node, soma_test_bridge(test, "node"), options, &names);
    unsetenv("SOMA_NAMESERVICE");
    assert_int_equal(error, wanted ? 0 : SOMA_EINVAL);
    if (error)
        return;
    const struct client *client = soma_test_state(test, soma_names_agent(names));
    for (const char *address = client->addresses; *address; address += strlen(address) + 1)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", *got ? "," : "", address);
    assert_string_equal(got, wanted);
    assert_int_equal(soma_names_close(&names), 0);
}

static void test_addresses(soma_test *test)
{
    static const char *const given[] = {"sim://a", "local", NULL};
    const soma_names_options options = {.addresses = given};
    soma_ref server, found;
    soma_names *names;
    soma_system *node = soma_test_node(test, "node"), *far = soma_test_node(test, "far");
    addresses_check(test, "sim://b", &options, "sim://a,local");
    addresses_check(test, "sim://b", NULL, "sim://b");
    addresses_check(test, "sim://b,tcp://10.0.0.1:7662,local", NULL, "sim://b,tcp://10.0.0.1:7662,local");
    addresses_check(test, "sim://b, tcp://[::1]:65535 KEY,  ipc:///tmp/a", NULL,
                    "sim://b,tcp://[::1]:65535 KEY,ipc:///tmp/a");
    addresses_check(test, "sim://b,nonsense", NULL, NULL);
    addresses_check(test, "tcp://127.0.0.1", NULL, NULL);
    addresses_check(test, "tcp://127.0.0.1:0", NULL, NULL);
    addresses_check(test, "tcp://127.0.0.1:65536", NULL, NULL);
    addresses_check(test, "tcp://127.0.0.1:1x", NULL, NULL);
    addresses_check(test, "tcp://:1", NULL, NULL);
    addresses_check(test, "tcp://", NULL, NULL);
    addresses_check(test, "ipc://", NULL, NULL);
    addresses_check(test, "sim://b,,sim://c", NULL, NULL);
    addresses_check(test, "", NULL, SOMA_NAMESERVICE_DEFAULT);
    addresses_check(test, NULL, NULL, SOMA_NAMESERVICE_DEFAULT);
    // Those of a list are tried in their order: there is a node at the first, but no server.
    assert_int_equal(soma_nameserver_start(far, NULL, &server), 0);
    soma_test_node(test, "b");
    assert_int_equal(setenv("SOMA_NAMESERVICE", "sim://b,sim://far", 1), 0);
    assert_int_equal(soma_names_open(node, soma_test_bridge(test, "node"), NULL, &names), 0);
    unsetenv("SOMA_NAMESERVICE");
    assert_int_equal(soma_names_server(names, 10 * SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, server));
    assert_int_equal(soma_names_close(&names), 0);
    // A server in the same system comes before the default.
    assert_int_equal(soma_nameserver_start(node, NULL, NULL), 0);
    addresses_check(test, NULL, NULL, "local");
}

/* What a server can't follow is said at once. */
static void test_follow_nonsense(soma_test *test)
{
    static const char *const wrong[][2] = {{"sim://it", NULL}, {"local", NULL}, {"tcp://a:1,tcp://b:1", NULL}};
    static const char *const right[] = {"sim://other", NULL};
    soma_system *system = soma_test_node(test, "it");
    soma_test_node(test, "other"); // one alone has no bridge
    for (uint32_t i = 0; i < 3; i++) {
        const soma_nameserver_options options = {.follow = wrong[i], .bridge = soma_test_bridge(test, "it")};
        assert_int_equal(soma_nameserver_start(system, &options, NULL), SOMA_EINVAL);
    }
    soma_nameserver_options options = {.follow = right};
    assert_int_equal(soma_nameserver_start(system, &options, NULL), SOMA_EINVAL); // without a bridge
    options.bridge = soma_test_bridge(test, "it");
    assert_int_equal(soma_nameserver_start(system, &options, NULL), 0);
}

/* An address where nobody is costs no more than its head start; where somebody is, it comes first. */
static void test_dead_first(soma_test *test)
{
    static const char *const both[] = {"sim://first", "sim://nobody", "sim://second", NULL};
    const soma_names_options options = {.addresses = both};
    soma_ref first, second, found;
    soma_names *names;
    soma_system *leaf = soma_test_node(test, "leaf");
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "first"), NULL, &first), 0);
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "second"), NULL, &second), 0);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &options, &names), 0);
    assert_int_equal(soma_names_server(names, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, first));
    assert_int_equal(soma_names_close(&names), 0);
    soma_test_node_down(test, "first");
    soma_test_node_restart(test, "leaf");
    leaf = soma_test_node(test, "leaf");
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &options, &names), 0);
    assert_int_equal(soma_names_server(names, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, second));
    assert_int_equal(soma_names_close(&names), 0);
}

/* ---- who loses a name is told ---- */

static void test_lost(soma_test *test)
{
    struct world world;
    soma_ref holder;
    world_open(&world, test);
    soma_ref agent = singer_new(&world, "leaf"), other = singer_new(&world, "reader");
    const char *const addresses[] = {"sim://first", NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_names *rival;
    assert_int_equal(
        soma_names_open(soma_test_node(test, "reader"), soma_test_bridge(test, "reader"), &options, &rival), 0);
    soma_probe *probe = soma_probe_open(test, soma_test_node(test, "leaf"), NULL);
    soma_probe_request(probe, soma_names_agent(world.leaf), SOMA_SECOND, soma_name_registered, soma_name_register,
                       .name = "it", .agent = agent);
    soma_expect(probe, soma_name_registered, SOMA_SECOND);
    assert_int_equal(soma_names_register(rival, "it", other, SOMA_SECOND), SOMA_EEXIST);
    soma_expect_none(probe, SOMA_SECOND);
    assert_int_equal(soma_names_register_as(rival, "it", other, SOMA_VALUE_NONE, true, SOMA_SECOND, &holder), 0);
    const struct soma_name_lost *lost = soma_expect(probe, soma_name_lost, SOMA_SECOND);
    assert_string_equal(lost->name, "it");
    assert_true(soma_ref_equal(lost->agent, agent));
    assert_true(soma_ref_equal(lost->holder, other));
    // Taken while its server was away, it is lost when that is back.
    soma_probe_request(probe, soma_names_agent(world.leaf), SOMA_SECOND, soma_name_registered, soma_name_register,
                       .name = "second", .agent = agent);
    soma_expect(probe, soma_name_registered, SOMA_SECOND);
    soma_test_net_partition(test, "first", "leaf");
    soma_test_net_partition(test, "second", "leaf");
    soma_test_advance(test, 15 * SOMA_SECOND);
    assert_int_equal(soma_names_register(rival, "second", other, SOMA_SECOND), 0);
    soma_test_net_heal(test, "first", "leaf");
    lost = soma_expect(probe, soma_name_lost, 30 * SOMA_SECOND);
    assert_string_equal(lost->name, "second");
    assert_true(soma_ref_equal(lost->holder, other));
    soma_expect_none(probe, SOMA_SECOND);
    assert_int_equal(soma_names_close(&rival), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_follow, test_load(50), 20000),
        SOMA_SIM(test_takeover, test_load(50), 20000),
        SOMA_SIM(test_follower_met_late, test_load(50), 20000),
        SOMA_SIM(test_back, test_load(200), 20000),
        SOMA_SIM(test_both_away, test_load(50), 20000),
        SOMA_SIM(test_turmoil, test_load(200), 100000),
        SOMA_SIM(test_addresses, 1, 20000),
        SOMA_SIM(test_follow_nonsense, 1, 20000),
        SOMA_SIM(test_dead_first, test_load(50), 20000),
        SOMA_SIM(test_lost, test_load(50), 20000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
