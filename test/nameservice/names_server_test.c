/* A name server and clients that don't keep to the rules: who sends its messages need not have Soma's client, which
 * checks all of that before. And strangers: agents of other nodes that say what is not theirs to say. In virtual time.
 */
#include "nameservice/client.h"
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <soma/nameservice.h>
#include <soma/probe.h>
#include <stdio.h>
#include <string.h>

struct world {
    soma_test *test;
    soma_ref server, agent;
    soma_probe *client; /* on another node, as is the agent */
    const struct nameserver *state;
};

static void world_open(struct world *world, soma_test *test)
{
    static const soma_behavior singer = {.name = "singer"};
    const soma_nameserver_options quick = {.settle_ms = 1};
    soma_system *hub = soma_test_node(test, "hub"), *leaf = soma_test_node(test, "leaf");
    *world = (struct world){.test = test};
    assert_int_equal(soma_nameserver_start(hub, &quick, &world->server), 0);
    assert_int_equal(soma_spawn(leaf, &singer, NULL, &world->agent), 0);
    world->client = soma_probe_open(test, leaf, NULL);
    soma_test_advance(test, SOMA_SECOND);
    world->state = soma_test_state(test, world->server);
}

static void put_request(const struct world *world, soma_probe *client, const struct soma_name *entry)
{
    soma_probe_request(client, world->server, SOMA_NEVER, soma_name_registered, ns_put, .name = *entry);
}

static void refused(const struct world *world, const struct soma_name *entry, int error)
{
    put_request(world, world->client, entry);
    assert_int_equal(soma_expect(world->client, soma_probe_error, SOMA_SECOND)->error, error);
}

static void taken(const struct world *world, const struct soma_name *entry)
{
    put_request(world, world->client, entry);
    assert_int_equal(soma_expect(world->client, soma_name_registered, SOMA_SECOND)->error, 0);
}

/* A text of so many bytes. */
static const char *text_of(soma_test *test, char byte, size_t size)
{
    char *text = soma_test_alloc(test, size + 1);
    memset(text, byte, size);
    text[size] = 0;
    return text;
}

/* ---- bounds ---- */

static const char *const bad_texts[] = {NULL, "", "a b", "tab\t", "new\nline", "caf\xc3\xa9", "del\x7f"};

#define BAD_TEXTS (sizeof(bad_texts) / sizeof(*bad_texts))

static void test_names(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    for (size_t i = 0; i < BAD_TEXTS; i++) {
        refused(&world, &(struct soma_name){.name = bad_texts[i], .agent = world.agent}, SOMA_EINVAL);
        soma_probe_request(world.client, world.server, SOMA_NEVER, ns_found, ns_lookup, .name = bad_texts[i],
                           .keep = true);
        assert_int_equal(soma_expect(world.client, soma_probe_error, SOMA_SECOND)->error, SOMA_EINVAL);
    }
    const char *name = text_of(test, 'n', SOMA_NAME_MOST), *more = text_of(test, 'n', SOMA_NAME_MOST + 1);
    refused(&world, &(struct soma_name){.name = more, .agent = world.agent}, SOMA_ETOOBIG);
    soma_probe_request(world.client, world.server, SOMA_NEVER, ns_found, ns_lookup, .name = more, .keep = true);
    assert_int_equal(soma_expect(world.client, soma_probe_error, SOMA_SECOND)->error, SOMA_ETOOBIG);
    refused(&world, &(struct soma_name){.name = "it"}, SOMA_EINVAL); // nobody's
    assert_int_equal(world.state->names.count + world.state->wanted.count + world.state->accounts.count, 0);
    taken(&world, &(struct soma_name){.name = name, .agent = world.agent});
    assert_int_equal(world.state->names.count, 1);
}

/* An entry with one alias. */
static struct soma_name aliased(const struct world *world, const char *alias, const char *address)
{
    struct soma_alias *item = soma_test_alloc(world->test, sizeof(*item));
    *item = (struct soma_alias){alias, address};
    return (struct soma_name){.name = "it", .agent = world->agent, .aliases = {item, 1}};
}

static void refused_alias(const struct world *world, const char *alias, const char *address, int error)
{
    const struct soma_name entry = aliased(world, alias, address);
    refused(world, &entry, error);
}

static void test_aliases(soma_test *test)
{
    struct world world;
    struct soma_alias many[SOMA_ALIASES_MOST + 1];
    char names[SOMA_ALIASES_MOST + 1][8];
    world_open(&world, test);
    const char *alias = text_of(test, 'a', SOMA_ALIAS_MOST), *address = text_of(test, 'x', SOMA_ADDRESS_MOST);
    for (size_t i = 0; i < BAD_TEXTS; i++) {
        refused_alias(&world, bad_texts[i], "tcp://10.0.0.1:1", SOMA_EINVAL);
        if (i != 2) // an address may have a space
            refused_alias(&world, "main", bad_texts[i], SOMA_EINVAL);
    }
    refused_alias(&world, "a/b", "tcp://10.0.0.1:1", SOMA_EINVAL);
    refused_alias(&world, text_of(test, 'a', SOMA_ALIAS_MOST + 1), "tcp://10.0.0.1:1", SOMA_ETOOBIG);
    refused_alias(&world, "main", text_of(test, 'x', SOMA_ADDRESS_MOST + 1), SOMA_ETOOBIG);
    for (size_t i = 0; i <= SOMA_ALIASES_MOST; i++) {
        snprintf(names[i], sizeof(names[i]), "a%zu", i);
        many[i] = (struct soma_alias){names[i], "tcp://10.0.0.1:1"};
    }
    struct soma_name entry = {.name = "it", .agent = world.agent, .aliases = {many, SOMA_ALIASES_MOST + 1}};
    refused(&world, &entry, SOMA_ETOOBIG);
    assert_int_equal(world.state->names.count, 0);
    entry.aliases.count = SOMA_ALIASES_MOST;
    taken(&world, &entry);
    entry = aliased(&world, alias, address);
    taken(&world, &entry);
}

/* A map with one key, of which the whole has so many bytes when packed; 0: as few as can be. */
static soma_value map_of(const char *key, size_t size, soma_value_builder *builder)
{
    static char filling[SOMA_ATTRIBUTES_MOST + 1];
    soma_value map;
    memset(filling, 'v', sizeof(filling));
    size_t around = 1 + 1 + strlen(key) + 3; // the map, the key, and the head of a text of more than 255 bytes
    soma_value_builder_reset(builder);
    soma_value_begin_map(builder);
    soma_value_add_key(builder, key);
    if (size)
        soma_value_add_bytes(builder, (soma_bytes){filling, (uint32_t)(size - around)});
    else
        soma_value_add_nil(builder);
    soma_value_end(builder);
    assert_int_equal(soma_value_builder_finish(builder, &map), 0);
    assert_true(!size || map.size == size);
    return map;
}

static void refused_attributes(const struct world *world, soma_value attributes, int error)
{
    refused(world, &(struct soma_name){.name = "it", .agent = world->agent, .attributes = attributes}, error);
}

static void test_attributes(soma_test *test)
{
    struct world world;
    soma_value_builder *builder;
    soma_value value;
    world_open(&world, test);
    assert_int_equal(soma_value_builder_open(&builder), 0);
    for (size_t i = 1; i < BAD_TEXTS; i++)
        refused_attributes(&world, map_of(bad_texts[i], 0, builder), SOMA_EINVAL);
    refused_attributes(&world, map_of("a/b", 0, builder), SOMA_EINVAL);
    refused_attributes(&world, map_of(text_of(test, 'k', SOMA_ALIAS_MOST + 1), 0, builder), SOMA_ETOOBIG);
    refused_attributes(&world, map_of("key", SOMA_ATTRIBUTES_MOST + 1, builder), SOMA_ETOOBIG);
    assert_int_equal(soma_value_from_json("[1]", 3, &value), 0);
    refused_attributes(&world, value, SOMA_EINVAL);
    soma_value_destroy(&value);
    assert_int_equal(world.state->names.count, 0);
    taken(&world, &(struct soma_name){
                      .name = "it", .agent = world.agent, .attributes = map_of("key", SOMA_ATTRIBUTES_MOST, builder)});
    taken(&world, &(struct soma_name){.name = "other",
                                      .agent = world.agent,
                                      .attributes = map_of(text_of(test, 'k', SOMA_ALIAS_MOST), 0, builder)});
    soma_value_builder_close(&builder);
}

/* ---- whose a name is ---- */

/* Who has not put a name can't drop it, and is told whose it is when he puts it himself. */
static void test_owner(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_probe *other = soma_probe_open(test, soma_test_node(test, "leaf"), NULL);
    const struct soma_name entry = {.name = "it", .agent = world.agent};
    const struct soma_name wanted = {.name = "it", .agent = soma_probe_ref(other)};
    taken(&world, &entry);
    soma_probe_request(other, world.server, SOMA_NEVER, soma_name_done, ns_drop, .name = "it");
    soma_expect(other, soma_name_done, SOMA_SECOND);
    soma_probe_request(other, world.server, SOMA_NEVER, soma_name_done, ns_drop);
    soma_expect(other, soma_name_done, SOMA_SECOND);
    assert_int_equal(world.state->names.count, 1);
    put_request(&world, other, &wanted);
    const struct soma_name_registered *answer = soma_expect(other, soma_name_registered, SOMA_SECOND);
    assert_int_equal(answer->error, SOMA_EEXIST);
    assert_true(soma_ref_equal(answer->holder, world.agent));
    soma_probe_request(world.client, world.server, SOMA_NEVER, soma_name_done, ns_drop, .name = "it");
    soma_expect(world.client, soma_name_done, SOMA_SECOND);
    put_request(&world, other, &wanted);
    assert_int_equal(soma_expect(other, soma_name_registered, SOMA_SECOND)->error, 0);
    assert_int_equal(world.state->names.count, 1);
}

/* ---- more than a node may have ---- */

/* Clients without number, which are one each for the server: some of them are let in, and others from elsewhere are. */
static void test_clients(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_system *leaf = soma_test_node(test, "leaf");
    for (uint32_t i = 0; i < SESSIONS_MOST; i++) {
        soma_probe *client = soma_probe_open(test, leaf, NULL);
        soma_probe_request(client, world.server, SOMA_NEVER, ns_welcome, ns_hello);
        soma_expect(client, ns_welcome, SOMA_SECOND);
    }
    soma_probe_request(world.client, world.server, SOMA_NEVER, ns_welcome, ns_hello);
    assert_int_equal(soma_expect(world.client, soma_probe_error, SOMA_SECOND)->error, SOMA_EFULL);
    refused(&world, &(struct soma_name){.name = "it", .agent = world.agent}, SOMA_EFULL);
    soma_probe_send(world.client, world.server, ns_watch, .watch = 1, .prefix = "");
    soma_expect_none(world.client, SOMA_SECOND);
    soma_probe *other = soma_probe_open(test, soma_test_node(test, "other"), NULL);
    soma_probe_request(other, world.server, SOMA_NEVER, ns_welcome, ns_hello);
    soma_expect(other, ns_welcome, SOMA_SECOND);
    assert_int_equal(world.state->clients.count, SESSIONS_MOST + 1);
}

/* Watches without number: with the first that is too many the client has none any more, and is not taken for one that
 * is told all. */
static void test_watches(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_probe_ignore(world.client, ns_news);
    soma_probe_request(world.client, world.server, SOMA_NEVER, ns_welcome, ns_hello);
    soma_expect(world.client, ns_welcome, SOMA_SECOND);
    soma_probe_send(world.client, world.server, ns_watch, .watch = 1, .prefix = text_of(test, 'p', SOMA_NAME_MOST + 1));
    soma_probe_send(world.client, world.server, ns_watch, .watch = 1, .prefix = "a b");
    soma_probe_send(world.client, world.server, ns_watch, .watch = 1);
    soma_test_settle(test);
    const struct session *session = session_find(world.state, soma_probe_ref(world.client));
    assert_int_equal(session->watch_count, 0);
    for (uint32_t i = 1; i <= WATCHES_MOST; i++)
        soma_probe_send(world.client, world.server, ns_watch, .watch = i, .prefix = "");
    soma_test_settle(test);
    assert_int_equal(session->watch_count, WATCHES_MOST);
    soma_probe_send(world.client, world.server, ns_watch, .watch = WATCHES_MOST + 1, .prefix = "");
    soma_test_settle(test);
    assert_null(session_find(world.state, soma_probe_ref(world.client)));
    assert_null(world.state->watching);
}

/* ---- what is not theirs to say ---- */

/* That somebody else has ended. */
static void test_forged_end(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_probe *stranger = soma_probe_open(test, soma_test_node(test, "other"), NULL);
    taken(&world, &(struct soma_name){.name = "it", .agent = world.agent});
    const struct session *session = session_find(world.state, soma_probe_ref(world.client));
    soma_probe_send(stranger, world.server, soma_down, .monitor = session->monitor,
                    .agent = soma_probe_ref(world.client), .reason = SOMA_EGONE);
    soma_test_settle(test);
    assert_int_equal(world.state->names.count, 1);
}

/* A node's client does nothing for agents of other nodes, and believes its server alone. */
static void test_strangers(soma_test *test)
{
    struct world world;
    soma_names *names;
    soma_ref found;
    world_open(&world, test);
    soma_system *leaf = soma_test_node(test, "leaf");
    const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses};
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &options, &names), 0);
    assert_int_equal(soma_names_register(names, "it", world.agent, SOMA_SECOND), 0);
    assert_int_equal(soma_names_lookup(names, "it", SOMA_SECOND, &found), 0);
    soma_probe *stranger = soma_probe_open(test, soma_test_node(test, "other"), NULL);
    soma_ref client = soma_names_agent(names), self = soma_probe_ref(stranger);
    const struct client *state = soma_test_state(test, client);
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_registered, soma_name_register, .name = "mine");
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_done, soma_name_unregister, .name = "it");
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_done, soma_name_alias, .name = "it", .alias = "main",
                       .address = "tcp://10.0.0.1:1");
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name, soma_name_lookup, .name = "it");
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_page, soma_name_list);
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_watching, soma_name_watch);
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_done, soma_name_unwatch, .watch = 1);
    soma_probe_request(stranger, client, SOMA_SECOND, soma_name_done, names_close);
    for (uint32_t i = 0; i < 8; i++)
        soma_expect(stranger, soma_probe_error, 2 * SOMA_SECOND);
    const struct soma_name forged = {.name = "it", .agent = self};
    struct ns_item item = {true, forged};
    soma_probe_send(stranger, client, ns_news, .settled = true, .items = {&item, 1});
    soma_probe_send(stranger, client, ns_lost, .name = "it", .agent = world.agent, .holder = self);
    soma_probe_send(stranger, client, soma_down, .monitor = state->monitor, .agent = world.server);
    soma_test_settle(test);
    assert_true(state->up);
    assert_null(state->watchings);
    assert_int_equal(world.state->names.count, 1);
    const struct record *record = (struct record *)index_find(&world.state->names, "it");
    assert_true(soma_ref_equal(record->entry.agent, world.agent));
    assert_int_equal(record->entry.aliases.count, 0);
    assert_int_equal(soma_names_lookup(names, "it", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.agent));
    assert_int_equal(soma_names_unregister(names, "it", SOMA_SECOND), 0); // it is still its own
    assert_int_equal(soma_names_close(&names), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_names, test_load(20), 20000),      SOMA_SIM(test_aliases, test_load(20), 20000),
        SOMA_SIM(test_attributes, test_load(20), 20000), SOMA_SIM(test_owner, test_load(50), 20000),
        SOMA_SIM(test_clients, test_load(20), 20000),    SOMA_SIM(test_watches, test_load(20), 20000),
        SOMA_SIM(test_forged_end, test_load(50), 20000), SOMA_SIM(test_strangers, test_load(50), 20000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
