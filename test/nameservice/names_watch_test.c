/* Watches, many names, limits of what is new, and memory that is short. In virtual time, where one seed is one run. */
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

SOMA_MESSAGE(nothing, (u64, ignored))

static int on_nothing(soma_agent *self, void *my, const struct nothing *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior singer = {.name = "singer", .handlers = SOMA_HANDLERS(SOMA_ON(nothing, on_nothing))};

struct world {
    soma_test *test;
    soma_ref server;
    soma_names *hub, *leaf;
};

static void world_open(struct world *world, soma_test *test, const soma_nameserver_options *options)
{
    static const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options client = {.addresses = addresses};
    soma_system *hub = soma_test_node(test, "hub"), *leaf = soma_test_node(test, "leaf");
    world->test = test;
    assert_int_equal(soma_nameserver_start(hub, options, &world->server), 0);
    assert_int_equal(soma_names_open(hub, soma_test_bridge(test, "hub"), &client, &world->hub), 0);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &client, &world->leaf), 0);
    assert_int_equal(soma_names_server(world->leaf, SOMA_SECOND, NULL), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->hub), 0);
    assert_int_equal(soma_names_close(&world->leaf), 0);
}

static soma_ref singer_new(soma_test *test, const char *node)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(test, node), &singer, NULL, &ref), 0);
    return ref;
}

static soma_probe *watcher_new(struct world *world, const char *prefix)
{
    soma_test *test = world->test;
    soma_probe *probe = soma_probe_open(test, soma_test_node(test, "leaf"), NULL);
    soma_probe_request(probe, soma_names_agent(world->leaf), SOMA_SECOND, soma_name_watching, soma_name_watch,
                       .prefix = prefix);
    soma_expect_among(probe, soma_name_watching, SOMA_SECOND);
    return probe;
}

static const struct soma_name *expect_event(soma_probe *probe, enum soma_name_event_kind event, const char *name)
{
    const struct soma_name_event *m = soma_expect(probe, soma_name_event, 15 * SOMA_SECOND);
    assert_int_equal(m->event, event);
    if (name)
        assert_string_equal(m->name.name, name);
    return &m->name;
}

/* ---- what a watcher is told ---- */

static void test_events(soma_test *test)
{
    struct world world;
    world_open(&world, test, NULL);
    soma_ref one = singer_new(test, "hub"), two = singer_new(test, "hub");
    assert_int_equal(soma_names_register(world.hub, "a/1", one, SOMA_SECOND), 0);
    assert_int_equal(soma_names_register(world.hub, "b/1", one, SOMA_SECOND), 0);
    soma_probe *all = watcher_new(&world, NULL), *some = watcher_new(&world, "a/");
    expect_event(all, SOMA_NAME_ADDED, "a/1");
    assert_true(soma_ref_equal(expect_event(all, SOMA_NAME_ADDED, "b/1")->agent, one));
    expect_event(all, SOMA_NAME_CURRENT, NULL);
    expect_event(some, SOMA_NAME_ADDED, "a/1");
    expect_event(some, SOMA_NAME_CURRENT, NULL);
    assert_int_equal(soma_names_register(world.hub, "a/2", two, SOMA_SECOND), 0);
    expect_event(some, SOMA_NAME_ADDED, "a/2");
    assert_int_equal(soma_names_alias(world.hub, "a/2", "main", "tcp://127.0.0.1:1", SOMA_SECOND), 0);
    assert_int_equal(expect_event(some, SOMA_NAME_CHANGED, "a/2")->aliases.count, 1);
    assert_int_equal(soma_names_register(world.hub, "a/2", two, SOMA_SECOND), 0); // nothing new
    assert_int_equal(soma_kill(soma_test_node(test, "hub"), two), 0);
    assert_true(soma_ref_equal(expect_event(some, SOMA_NAME_REMOVED, "a/2")->agent, two));
    soma_expect_none(some, SOMA_SECOND);
    // A server that is begun anew shows nothing but that it was away.
    soma_test_node_restart(test, "hub");
    assert_int_equal(soma_names_register(world.leaf, "a/3", singer_new(test, "leaf"), SOMA_MS), SOMA_ETIMEOUT);
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), NULL, &world.server), 0);
    expect_event(some, SOMA_NAME_STALE, NULL);
    soma_test_advance(test, 20 * SOMA_SECOND);
    assert_true(soma_ref_equal(expect_event(some, SOMA_NAME_REMOVED, "a/1")->agent, one)); // that lived there
    expect_event(some, SOMA_NAME_CURRENT, NULL);
    soma_expect_none(some, SOMA_SECOND);
    free(world.hub); // it went with its node
    assert_int_equal(soma_names_close(&world.leaf), 0);
}

static uint32_t called;

static void count_call(void *context, const struct soma_name_event *event)
{
    assert_ptr_equal(context, &called);
    called += event->event == SOMA_NAME_ADDED;
}

static void test_function(soma_test *test)
{
    struct world world;
    soma_ref watcher, agent = singer_new(test, "hub");
    world_open(&world, test, NULL);
    called = 0;
    assert_int_equal(soma_names_watch(world.leaf, "a b", count_call, &called, &watcher), SOMA_EINVAL);
    assert_int_equal(soma_names_watch(world.leaf, NULL, count_call, &called, &watcher), 0);
    assert_int_equal(soma_names_register(world.hub, "one", agent, SOMA_SECOND), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(called, 1);
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), watcher), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_names_register(world.hub, "two", agent, SOMA_SECOND), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(called, 1);
    const struct nameserver *server = soma_test_state(test, world.server);
    for (const struct session *session = server->sessions; session; session = session->next)
        assert_int_equal(session->watch_count, 0); // nobody watches any more
    world_close(&world);
}

/* Once a client is closed nobody is told any more, even of what was under way. */
static void test_close(soma_test *test)
{
    struct world world;
    soma_ref watchers[2], agent = singer_new(test, "hub");
    world_open(&world, test, NULL);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(soma_names_watch(world.leaf, NULL, count_call, &called, &watchers[i]), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(soma_names_register(world.hub, "one", agent, SOMA_SECOND), 0);
    assert_int_equal(soma_names_close(&world.leaf), 0);
    uint32_t before = called;
    soma_test_settle(test);
    assert_int_equal(called, before);
    for (uint32_t i = 0; i < 2; i++)
        assert_null(soma_test_state(test, watchers[i]));
    assert_int_equal(soma_names_close(&world.hub), 0);
}

/* ---- more news than is kept ---- */

#define MANY (NEW_MOST + 500u)

struct choir {
    soma_ref names;
    uint32_t next;
};

static int on_sung(soma_agent *self, struct choir *my, const struct soma_name_registered *m);

static int on_not_sung(soma_agent *self, struct choir *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int sing(soma_agent *self, struct choir *my)
{
    char name[16];
    snprintf(name, sizeof(name), "n%05u", my->next++);
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_sung, on_not_sung),
                        soma_name_register, .name = name) < 0
               ? SOMA_ENOMEM
               : 0;
}

static int on_sung(soma_agent *self, struct choir *my, const struct soma_name_registered *m)
{
    assert_int_equal(m->error, 0);
    return my->next < MANY ? sing(self, my) : 0;
}

static int choir_init(soma_agent *self, void *state, const void *names)
{
    struct choir *my = state;
    memcpy(&my->names, names, sizeof(my->names));
    return sing(self, my);
}

static const soma_behavior choir = {.name = "choir", .state_size = sizeof(struct choir), .init = choir_init};

/* A node that hears nothing for a while is told all again, and its watchers see no name twice. */
static void test_reset(soma_test *test)
{
    struct world world;
    soma_ref singers, found;
    world_open(&world, test, NULL);
    soma_ref names = soma_names_agent(world.hub);
    called = 0;
    soma_ref watcher;
    assert_int_equal(soma_names_watch(world.leaf, NULL, count_call, &called, &watcher), 0);
    assert_int_equal(soma_names_lookup(world.leaf, "n00001", SOMA_SECOND, &found), SOMA_ENOENT);
    soma_test_net_partition(test, "hub", "leaf");
    assert_int_equal(soma_spawn(soma_test_node(test, "hub"), &choir, &names, &singers), 0);
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(((const struct nameserver *)soma_test_state(test, world.server))->names.count, MANY);
    soma_test_net_heal(test, "hub", "leaf");
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(called, MANY);
    assert_int_equal(soma_names_lookup(world.leaf, "n00001", SOMA_SECOND, &found), 0);
    struct soma_name_page page;
    char after[16] = "";
    uint32_t count = 0;
    do {
        assert_int_equal(soma_names_list(world.leaf, "n", after, 0, SOMA_SECOND, &page), 0);
        count += page.names.count;
        snprintf(after, sizeof(after), "%s", page.names.items[page.names.count - 1].name);
        soma_name_page_destroy(&page);
    } while (count < MANY);
    assert_int_equal(count, MANY);
    assert_int_equal(soma_kill(soma_test_node(test, "hub"), singers), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(((const struct nameserver *)soma_test_state(test, world.server))->names.count, 0);
    world_close(&world);
}

/* ---- the cache ---- */

static void test_cache(soma_test *test)
{
    struct world world;
    soma_ref found, agent = singer_new(test, "hub");
    world_open(&world, test, NULL);
    soma_names *small;
    const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses, .cache_most = 10};
    assert_int_equal(soma_names_open(soma_test_node(test, "leaf"), soma_test_bridge(test, "leaf"), &options, &small),
                     0);
    char name[16];
    for (uint32_t i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        if (i % 2)
            assert_int_equal(soma_names_register(world.hub, name, agent, SOMA_SECOND), 0);
        assert_int_equal(soma_names_lookup(small, name, SOMA_SECOND, &found), i % 2 ? 0 : SOMA_ENOENT);
    }
    soma_test_settle(test);
    const struct client *client = soma_test_state(test, soma_names_agent(small));
    const struct nameserver *server = soma_test_state(test, world.server);
    assert_int_equal(client->knowns.count, 10);
    const struct session *session = (struct session *)refs_find(&server->clients, soma_names_agent(small));
    assert_int_equal(session->account->keep_count, 10); // the server was told to forget the others
    assert_int_equal(soma_names_close(&small), 0);
    world_close(&world);
}

/* While nobody can say whether the cache is right, it is not used. */
static void test_cut_off(soma_test *test)
{
    struct world world;
    soma_ref found, agent = singer_new(test, "hub");
    world_open(&world, test, NULL);
    assert_int_equal(soma_names_register(world.hub, "it", agent, SOMA_SECOND), 0);
    assert_int_equal(soma_names_lookup(world.leaf, "it", SOMA_SECOND, &found), 0);
    soma_test_net_cut(test, "hub", "leaf");
    assert_int_equal(soma_names_lookup(world.leaf, "it", SOMA_SECOND, &found), 0); // it has just asked
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(soma_names_lookup(world.leaf, "it", SOMA_SECOND, &found), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_wait(world.leaf, "other", SOMA_SECOND, &found), SOMA_ETIMEOUT);
    soma_test_advance(test, 20 * SOMA_SECOND);
    assert_int_equal(soma_names_server(world.leaf, SOMA_SECOND, &found), SOMA_ETIMEOUT);
    soma_test_net_heal(test, "hub", "leaf");
    assert_int_equal(soma_names_server(world.leaf, 20 * SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.server));
    assert_int_equal(soma_names_lookup(world.leaf, "it", SOMA_SECOND, &found), 0);
    world_close(&world);
}

/* ---- several servers ---- */

static void test_several_servers(soma_test *test)
{
    static const char *const addresses[] = {"sim://first", "sim://second", NULL};
    soma_system *first = soma_test_node(test, "first"), *second = soma_test_node(test, "second");
    soma_names *names, *other;
    soma_ref one, two, found, agent;
    soma_system *leaf = soma_test_node(test, "leaf");
    assert_int_equal(soma_nameserver_start(second, NULL, &two), 0);
    const soma_names_options both = {.addresses = addresses}, last = {.addresses = addresses + 1};
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &both, &names), 0);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &last, &other), 0);
    assert_int_equal(soma_names_server(names, 10 * SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, two)); // nobody is at the first
    agent = singer_new(test, "leaf");
    assert_int_equal(soma_names_register(names, "it", agent, SOMA_SECOND), 0);
    assert_int_equal(soma_nameserver_start(first, NULL, &one), 0);
    soma_test_node_down(test, "second");
    soma_test_advance(test, 20 * SOMA_SECOND);
    assert_int_equal(soma_names_server(names, SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, one));
    assert_int_equal(soma_names_lookup(names, "it", SOMA_SECOND, &found), 0); // it has come along
    assert_true(soma_ref_equal(found, agent));
    assert_int_equal(soma_names_lookup(other, "it", SOMA_SECOND, &found), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_close(&names), 0);
    assert_int_equal(soma_names_close(&other), 0);
}

/* The clients of a node: the first is what its channels use, and when that is closed another one is, as long as any is
 * there. */
static void test_several_clients(soma_test *test)
{
    soma_system *leaf = soma_test_node(test, "leaf");
    soma_names *names[3];
    soma_ref found;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), NULL, &names[i]), 0);
        soma_test_settle(test);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(soma_whereis(leaf, SOMA_NAMES, &found), 0);
        assert_true(soma_ref_equal(found, soma_names_agent(names[0])) == !i);
        uint32_t has = 0;
        while (!names[has] || !soma_ref_equal(found, soma_names_agent(names[has])))
            assert_true(++has < 3);
        assert_int_equal(soma_names_close(&names[has]), 0);
        soma_test_settle(test);
    }
    assert_int_equal(soma_whereis(leaf, SOMA_NAMES, &found), SOMA_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_events, test_load(200), 20000),          SOMA_SIM(test_function, test_load(100), 20000),
        SOMA_SIM(test_close, test_load(100), 20000),           SOMA_SIM(test_reset, 1, 2000000),
        SOMA_SIM(test_cache, test_load(100), 20000),           SOMA_SIM(test_cut_off, test_load(100), 20000),
        SOMA_SIM(test_several_servers, test_load(100), 20000), SOMA_SIM(test_several_clients, test_load(100), 20000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
