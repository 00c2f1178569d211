/* The rules of the name service, one by one: in one program and between two nodes. With TEST_ETCD, of names in etcd. */
#include "bridges/nodes.h"
#ifdef TEST_ETCD
#include "nameservice/etcd_cluster.h"
#endif
#include <soma/nameservice.h>
#include <soma/timer.h>
#include <stdio.h>

SOMA_MESSAGE(hold_up, (u64, ignored))

static int on_hold_up(soma_agent *self, void *my, const struct hold_up *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior worker = {.name = "worker", .handlers = SOMA_HANDLERS(SOMA_ON(hold_up, on_hold_up))};

/* Two nodes, with a client each; the server is on the first, or etcd. */
struct world {
    struct node nodes[2];
    soma_names *names[2];
    const char *address;
};

#ifdef TEST_ETCD
static struct etcd_cluster cluster;

/* Each test has its own names. */
static const char *server_start(struct world *world)
{
    static char address[128];
    static int tests;
    char prefix[16];
    (void)world;
    snprintf(prefix, sizeof(prefix), "test/%d", tests++);
    return etcd_cluster_address(&cluster, prefix, address);
}
#else
static const char *server_start(struct world *world)
{
    const soma_nameserver_options quick = {.settle_ms = 1};
    assert_int_equal(soma_nameserver_start(world->nodes[0].system, &quick, NULL), 0);
    return soma_bridge_address(world->nodes[0].bridge, 0);
}
#endif

static soma_names *names_at(struct world *world, int node)
{
    const char *const addresses[] = {world->address, NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_names *names;
    assert_int_equal(soma_names_open(world->nodes[node].system, world->nodes[node].bridge, &options, &names), 0);
    assert_int_equal(soma_names_server(names, PATIENCE, NULL), 0);
    return names;
}

static void world_open(struct world *world)
{
    node_open(&world->nodes[0], "hub");
    node_open(&world->nodes[1], "leaf");
    world->address = server_start(world);
    for (int i = 0; i < 2; i++)
        world->names[i] = names_at(world, i);
}

static void world_close(struct world *world)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(soma_names_close(&world->names[i]), 0);
        assert_null(world->names[i]);
        assert_int_equal(soma_names_close(&world->names[i]), 0);
    }
    nodes_close(world->nodes, 2);
}

static soma_ref worker_at(struct world *world, int node)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(world->nodes[node].system, &worker, NULL, &ref), 0);
    return ref;
}

static void find(struct world *world, int node, const char *name, soma_ref expected)
{
    soma_ref found;
    assert_int_equal(soma_names_wait(world->names[node], name, PATIENCE, &found), 0);
    assert_true(soma_ref_equal(found, expected));
}

/* Waits until a name is not there any more. */
static void find_none(struct world *world, int node, const char *name)
{
    soma_ref found;
    int error = 0;
    for (int i = 0; i < 20000 && error != SOMA_ENOENT; i++) {
        const struct timespec nap = {0, 1000000};
        error = soma_names_lookup(world->names[node], name, PATIENCE, &found);
        if (!error)
            nanosleep(&nap, NULL);
    }
    assert_int_equal(error, SOMA_ENOENT);
    assert_true(soma_ref_is_null(found));
}

/* ---- registering and looking up ---- */

static void test_register(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    soma_ref alice = worker_at(&world, 1), bob = worker_at(&world, 0), found, holder;
    assert_int_equal(soma_names_lookup(world.names[0], "alice", PATIENCE, &found), SOMA_ENOENT);
    assert_int_equal(soma_names_register(world.names[1], "alice", alice, PATIENCE), 0);
    assert_int_equal(soma_names_register(world.names[1], "alice", alice, PATIENCE), 0); // it has it
    for (int i = 0; i < 3; i++) {
        find(&world, 0, "alice", alice);
        find(&world, 1, "alice", alice);
    }
    // Another agent can't have it, on whatever node, and is told who does.
    soma_ref carol = worker_at(&world, 1);
    assert_int_equal(soma_names_register(world.names[0], "alice", bob, PATIENCE), SOMA_EEXIST);
    assert_int_equal(soma_names_register_as(world.names[0], "alice", bob, SOMA_VALUE_NONE, false, PATIENCE, &holder),
                     SOMA_EEXIST);
    assert_true(soma_ref_equal(holder, alice));
    assert_int_equal(soma_names_register_as(world.names[1], "alice", carol, SOMA_VALUE_NONE, false, PATIENCE, &holder),
                     SOMA_EEXIST);
    assert_true(soma_ref_equal(holder, alice));
    find(&world, 0, "alice", alice);
    // Only who has registered it can end it.
    assert_int_equal(soma_names_unregister(world.names[0], "alice", PATIENCE), SOMA_ENOENT);
    assert_int_equal(soma_names_unregister(world.names[1], "alice", PATIENCE), 0);
    assert_int_equal(soma_names_unregister(world.names[1], "alice", PATIENCE), SOMA_ENOENT);
    find_none(&world, 0, "alice");
    find_none(&world, 1, "alice");
    assert_int_equal(soma_names_register(world.names[0], "alice", bob, PATIENCE), 0);
    find(&world, 1, "alice", bob);
    world_close(&world);
}

/* Its server has that name, now, and for that agent. */
static void expect(soma_names *names, const char *name, soma_ref agent)
{
    struct soma_name entry;
    assert_int_equal(soma_names_info(names, name, PATIENCE, &entry), 0);
    assert_true(soma_ref_equal(entry.agent, agent));
    soma_name_destroy(&entry);
}

static void test_takeover(void **state)
{
    struct world world;
    soma_ref holder;
    (void)state;
    world_open(&world);
    soma_ref old = worker_at(&world, 1), new = worker_at(&world, 0), third = worker_at(&world, 0);
    assert_int_equal(soma_names_register(world.names[1], "king", old, PATIENCE), 0);
    find(&world, 0, "king", old);
    assert_int_equal(soma_names_register_as(world.names[0], "king", new, SOMA_VALUE_NONE, true, PATIENCE, &holder), 0);
    assert_true(soma_ref_equal(holder, new));
    expect(world.names[1], "king", new);
    assert_int_equal(soma_names_unregister(world.names[1], "king", PATIENCE), SOMA_ENOENT); // it was told
    // Within one node, too.
    assert_int_equal(soma_names_register_as(world.names[0], "king", third, SOMA_VALUE_NONE, true, PATIENCE, &holder),
                     0);
    assert_int_equal(soma_kill(world.nodes[0].system, new), 0); // does not matter any more
    expect(world.names[1], "king", third);
    world_close(&world);
}

/* Clients of two nodes, and of one, register one agent under one name: it is the first's, and none of the others' doing
 * ends that, until one asks for a takeover; then it is that one's. */
static void test_two_clients(void **state)
{
    struct world world;
    soma_ref holder;
    (void)state;
    world_open(&world);
    soma_ref agent = worker_at(&world, 1);
    soma_names *first = world.names[1], *others[] = {world.names[0], names_at(&world, 1)};
    assert_int_equal(soma_names_register(first, "it", agent, PATIENCE), 0);
    for (int i = 0; i < 2; i++) {
        expect(others[i], "it", agent); // so its node is known there
        assert_int_equal(soma_names_register_as(others[i], "it", agent, SOMA_VALUE_NONE, false, PATIENCE, &holder),
                         SOMA_EEXIST);
        assert_true(soma_ref_equal(holder, agent));
        assert_int_equal(soma_names_unregister(others[i], "it", PATIENCE), SOMA_ENOENT);
    }
    assert_int_equal(soma_names_close(&others[1]), 0);
    expect(others[0], "it", agent);
    assert_int_equal(soma_names_register(first, "it", agent, PATIENCE), 0); // it has it
    assert_int_equal(soma_names_register_as(others[0], "it", agent, SOMA_VALUE_NONE, true, PATIENCE, &holder), 0);
    assert_true(soma_ref_equal(holder, agent));
    expect(first, "it", agent);
    assert_int_equal(soma_names_unregister(first, "it", PATIENCE), SOMA_ENOENT); // it was told
    assert_int_equal(soma_names_close(&world.names[1]), 0);
    expect(others[0], "it", agent);
    assert_int_equal(soma_names_unregister(others[0], "it", PATIENCE), 0);
    find_none(&world, 0, "it");
    world_close(&world);
}

/* Whoever is told the server's address by one node can use it at another; also if it is in that one's own system. */
static void test_server_address(void **state)
{
    struct world world;
    char address[SOMA_ADDRESS_MOST + 1];
    (void)state;
    world_open(&world);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(soma_names_server_address(world.names[i], PATIENCE, address), 0);
        assert_string_equal(address, world.address);
    }
    assert_int_equal(soma_names_server_address(NULL, PATIENCE, address), SOMA_EINVAL);
    assert_string_equal(address, "");
    assert_int_equal(soma_names_server_address(world.names[0], PATIENCE, NULL), SOMA_EINVAL);
#ifndef TEST_ETCD
    static const char *const local[] = {"local", NULL};
    soma_names *names;
    for (int with_bridge = 0; with_bridge < 2; with_bridge++) {
        assert_int_equal(soma_names_open(world.nodes[0].system, with_bridge ? world.nodes[0].bridge : NULL,
                                         &(soma_names_options){.addresses = local}, &names),
                         0);
        assert_int_equal(soma_names_server_address(names, PATIENCE, address), 0);
        assert_string_equal(address, with_bridge ? world.address : "local");
        assert_int_equal(soma_names_close(&names), 0);
    }
    assert_int_equal(soma_names_open(world.nodes[1].system, NULL, &(soma_names_options){.addresses = local}, &names),
                     0);
    assert_int_equal(soma_names_server_address(names, 20 * SOMA_MS, address), SOMA_ETIMEOUT); // none is there
    assert_string_equal(address, "");
    assert_int_equal(soma_names_close(&names), 0);
#endif
    world_close(&world);
}

/* An agent of a node that this one has never heard of can't be watched: who registers it is told so. */
static void test_unknown_node(void **state)
{
    struct world world;
    struct node apart;
    soma_ref agent;
    (void)state;
    world_open(&world);
    node_open(&apart, "apart");
    assert_int_equal(soma_spawn(apart.system, &worker, NULL, &agent), 0);
    assert_int_equal(soma_names_register(world.names[0], "apart", agent, PATIENCE), SOMA_ENOROUTE);
    find_none(&world, 1, "apart");
    nodes_close(&apart, 1);
    world_close(&world);
}

static void test_ends_with_agent(void **state)
{
    struct world world;
    soma_ref holder;
    (void)state;
    world_open(&world);
    soma_ref agent = worker_at(&world, 1), next = worker_at(&world, 0);
    assert_int_equal(soma_names_register(world.names[1], "one", agent, PATIENCE), 0);
    assert_int_equal(soma_names_register(world.names[1], "two", agent, PATIENCE), 0);
    find(&world, 0, "one", agent);
    assert_int_equal(soma_kill(world.nodes[1].system, agent), 0);
    find_none(&world, 0, "one");
    find_none(&world, 0, "two");
    find_none(&world, 1, "one");
    assert_int_equal(soma_names_register(world.names[0], "one", next, PATIENCE), 0);
    int error = soma_names_register_as(world.names[1], "gone", agent, SOMA_VALUE_NONE, false, PATIENCE, &holder);
    assert_true(error == SOMA_EGONE || error == 0); // the server may have taken it before the monitor has told
    find_none(&world, 0, "gone");
    world_close(&world);
}

static void test_ends_with_node(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    assert_int_equal(soma_names_register(world.names[1], "far", worker_at(&world, 1), PATIENCE), 0);
    soma_ref found;
    assert_int_equal(soma_names_wait(world.names[0], "far", PATIENCE, &found), 0);
    assert_int_equal(soma_system_close(&world.nodes[1].system), 0);
    find_none(&world, 0, "far");
    assert_int_equal(soma_names_close(&world.names[0]), 0);
    nodes_close(world.nodes, 1);
    free(world.names[1]); // its system went first
}

/* What a client had registered goes with it. */
static void test_close(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    assert_int_equal(soma_names_register(world.names[1], "far", worker_at(&world, 1), PATIENCE), 0);
    soma_ref found;
    assert_int_equal(soma_names_wait(world.names[0], "far", PATIENCE, &found), 0);
    assert_int_equal(soma_names_close(&world.names[1]), 0);
    find_none(&world, 0, "far");
    world_close(&world);
}

/* ---- waiting ---- */

static void test_wait(void **state)
{
    struct world world;
    soma_ref found;
    (void)state;
    world_open(&world);
    assert_int_equal(soma_names_wait(world.names[0], "late", 300 * SOMA_MS, &found), SOMA_ENOENT);
    struct soma_name entry;
    soma_ref waiter = soma_names_agent(world.names[0]);
    soma_ref agent = worker_at(&world, 1);
    assert_int_equal(soma_names_register(world.names[1], "late", agent, PATIENCE), 0);
    assert_int_equal(soma_call(world.nodes[0].system, waiter, SOMA_NEVER, &entry, soma_name, soma_name_lookup,
                               .name = "late", .waits = true, .timeout = PATIENCE),
                     0);
    assert_true(soma_ref_equal(entry.agent, agent));
    soma_name_destroy(&entry);
    assert_int_equal(soma_names_wait_running(world.names[0], "late", PATIENCE, &found), 0);
    assert_true(soma_ref_equal(found, agent));
    assert_int_equal(soma_names_wait_running(world.names[1], "late", PATIENCE, &found), 0);
    world_close(&world);
}

/* ---- lists, attributes, aliases ---- */

static void test_list(void **state)
{
    struct world world;
    struct soma_name_page page;
    char name[32];
    (void)state;
    world_open(&world);
    soma_ref agent = worker_at(&world, 1);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "%s/%03d", i % 3 ? "b" : "a", i);
        assert_int_equal(soma_names_register(world.names[1], name, agent, PATIENCE), 0);
    }
    char after[32] = "";
    uint32_t count = 0, pages = 0;
    do {
        assert_int_equal(soma_names_list(world.names[0], "a/", after, 7, PATIENCE, &page), 0);
        assert_true(page.names.count <= 7);
        for (uint32_t i = 0; i < page.names.count; i++, count++) {
            snprintf(name, sizeof(name), "a/%03d", (int)(count * 3));
            assert_string_equal(page.names.items[i].name, name);
        }
        snprintf(after, sizeof(after), "%s", page.names.items[page.names.count - 1].name);
        bool more = page.more;
        soma_name_page_destroy(&page);
        pages++;
        if (!more)
            break;
    } while (pages < 100);
    assert_int_equal(count, 100);
    assert_int_equal(pages, 15);
    assert_int_equal(soma_names_list(world.names[0], NULL, NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, SOMA_NAMES_PAGE_MOST);
    assert_true(page.more);
    soma_name_page_destroy(&page);
    assert_int_equal(soma_names_list(world.names[0], "c", NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, 0);
    assert_false(page.more);
    soma_name_page_destroy(&page);
    world_close(&world);
}

static void test_attributes(void **state)
{
    struct world world;
    soma_value attributes, item;
    struct soma_name entry;
    uint64_t version;
    (void)state;
    world_open(&world);
    soma_ref agent = worker_at(&world, 1);
    assert_int_equal(soma_value_from_json("{\"version\": 7}", 14, &attributes), 0);
    assert_int_equal(soma_names_register_as(world.names[1], "it", agent, attributes, false, PATIENCE, NULL), 0);
    soma_value_destroy(&attributes);
    assert_int_equal(soma_names_info(world.names[0], "it", PATIENCE, &entry), 0);
    assert_int_equal(soma_value_get_entry(entry.attributes, "version", &item), 0);
    assert_int_equal(soma_value_get_u64(item, &version), 0);
    assert_int_equal(version, 7);
    soma_name_destroy(&entry);
    world_close(&world);
}

static void test_aliases(void **state)
{
    struct world world;
    char address[SOMA_ADDRESS_MOST + 1];
    (void)state;
    world_open(&world);
    soma_names *far = world.names[0], *near = world.names[1];
    assert_int_equal(soma_names_alias(near, "it", "main", "tcp://127.0.0.1:1", PATIENCE), SOMA_ENOENT);
    assert_int_equal(soma_names_register(near, "it", worker_at(&world, 1), PATIENCE), 0);
    assert_int_equal(soma_names_address(far, "it", "main", PATIENCE, address), SOMA_ENOENT);
    assert_int_equal(soma_names_alias(near, "it", "main", "tcp://127.0.0.1:1", PATIENCE), 0);
    assert_int_equal(soma_names_alias(near, "it", "other", "ipc:///tmp/it", PATIENCE), 0);
    struct soma_name entry;
    assert_int_equal(soma_names_info(far, "it", PATIENCE, &entry), 0);
    assert_int_equal(entry.aliases.count, 2);
    soma_name_destroy(&entry);
    assert_int_equal(soma_names_address(near, "it", "main", PATIENCE, address), 0);
    assert_string_equal(address, "tcp://127.0.0.1:1");
    assert_int_equal(soma_names_alias(near, "it", "main", "tcp://127.0.0.1:2", PATIENCE), 0);
    assert_int_equal(soma_names_alias(near, "it", "other", NULL, PATIENCE), 0);
    assert_int_equal(soma_names_alias(near, "it", "other", NULL, PATIENCE), SOMA_ENOENT);
    assert_int_equal(soma_names_info(far, "it", PATIENCE, &entry), 0);
    assert_int_equal(entry.aliases.count, 1);
    assert_string_equal(entry.aliases.items[0].address, "tcp://127.0.0.1:2");
    soma_name_destroy(&entry);
    assert_int_equal(soma_names_alias(far, "it", "main", "tcp://127.0.0.1:1", PATIENCE), SOMA_ENOENT); // not its own
    for (uint32_t i = 1; i < SOMA_ALIASES_MOST; i++) {
        char alias[16];
        snprintf(alias, sizeof(alias), "a%u", i);
        assert_int_equal(soma_names_alias(near, "it", alias, "inproc://x", PATIENCE), 0);
    }
    assert_int_equal(soma_names_alias(near, "it", "more", "inproc://x", PATIENCE), SOMA_ETOOBIG);
    world_close(&world);
}

/* ---- bounds ---- */

/* The longest that may be are kept whole; what is longer, or has other characters, is refused. */
static void bounds_of_aliases(struct world *world, const char *name)
{
    static const char *const bad[] = {"", "a/b", "a b", "tab\t", "caf\xc3\xa9", NULL};
    char alias[SOMA_ALIAS_MOST + 2], address[SOMA_ADDRESS_MOST + 2], found[SOMA_ADDRESS_MOST + 1];
    soma_names *far = world->names[0], *names = world->names[1];
    memset(alias, 'a', sizeof(alias));
    memset(address, 'x', sizeof(address));
    alias[SOMA_ALIAS_MOST + 1] = address[SOMA_ADDRESS_MOST + 1] = 0;
    for (uint32_t i = 0; bad[i]; i++) {
        assert_int_equal(soma_names_alias(names, name, bad[i], "x://y", PATIENCE), SOMA_EINVAL);
        assert_int_equal(soma_names_address(far, name, bad[i], PATIENCE, found), SOMA_EINVAL);
    }
    assert_int_equal(soma_names_alias(names, name, "a", "new\nline", PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_names_alias(names, NULL, "a", "x://y", PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_names_alias(names, name, "a", "", PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_names_alias(names, name, "a", address, PATIENCE), SOMA_ETOOBIG);
    assert_int_equal(soma_names_alias(names, name, alias, "x://y", PATIENCE), SOMA_ETOOBIG);
    alias[SOMA_ALIAS_MOST] = address[SOMA_ADDRESS_MOST] = 0;
    assert_int_equal(soma_names_alias(names, name, alias, address, PATIENCE), 0);
    struct soma_name entry;
    assert_int_equal(soma_names_info(far, name, PATIENCE, &entry), 0); // so that nothing older is kept there
    soma_name_destroy(&entry);
    assert_int_equal(soma_names_address(far, name, alias, PATIENCE, found), 0);
    assert_string_equal(found, address);
}

static void bounds_of_attributes(soma_names *names, soma_ref agent)
{
    static const char *const bad[] = {"[1]", "7", "{\"a b\": 1}", "{\"\": 1}", "{\"a/b\": 1}", NULL};
    char large[SOMA_ATTRIBUTES_MOST + 16];
    soma_value value;
    for (uint32_t i = 0; bad[i]; i++) {
        assert_int_equal(soma_value_from_json(bad[i], strlen(bad[i]), &value), 0);
        assert_int_equal(soma_names_register_as(names, "a", agent, value, false, PATIENCE, NULL), SOMA_EINVAL);
        soma_value_destroy(&value);
    }
    for (int more = 0; more < 2;
         more++) { // packed it is a byte and one of key's size, the key, and three of the text's
        int size = snprintf(large, sizeof(large), "{\"k\":\"%0*d\"}", (int)SOMA_ATTRIBUTES_MOST - 6 + more, 0);
        assert_int_equal(soma_value_from_json(large, (size_t)size, &value), 0);
        assert_int_equal(value.size, (int)SOMA_ATTRIBUTES_MOST + more);
        assert_int_equal(soma_names_register_as(names, "a", agent, value, false, PATIENCE, NULL),
                         more ? SOMA_ETOOBIG : 0);
        soma_value_destroy(&value);
    }
}

static void test_bounds(void **state)
{
    struct world world;
    soma_ref found;
    char name[SOMA_NAME_MOST + 2];
    (void)state;
    world_open(&world);
    soma_names *names = world.names[1];
    soma_ref agent = worker_at(&world, 1);
    static const char *const bad[] = {"", "a b", "tab\t", "caf\xc3\xa9", "del\x7f", NULL};
    for (uint32_t i = 0; bad[i]; i++) {
        assert_int_equal(soma_names_register(names, bad[i], agent, PATIENCE), SOMA_EINVAL);
        assert_int_equal(soma_names_lookup(names, bad[i], PATIENCE, &found), SOMA_EINVAL);
    }
    assert_int_equal(soma_names_register(names, NULL, agent, PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_names_register(names, "a", SOMA_REF_NULL, PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_names_register(NULL, "a", agent, PATIENCE), SOMA_EINVAL);
    memset(name, 'n', sizeof(name));
    name[SOMA_NAME_MOST + 1] = 0;
    assert_int_equal(soma_names_register(names, name, agent, PATIENCE), SOMA_ETOOBIG);
    assert_int_equal(soma_names_lookup(names, name, PATIENCE, &found), SOMA_ETOOBIG);
    name[SOMA_NAME_MOST] = 0;
    assert_int_equal(soma_names_register(names, name, agent, PATIENCE), 0);
    find(&world, 0, name, agent);
    struct soma_name_page page;
    assert_int_equal(soma_names_list(world.names[0], name, NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, 1);
    soma_name_page_destroy(&page);
    assert_int_equal(soma_names_list(world.names[0], "a b", NULL, 0, PATIENCE, &page), SOMA_EINVAL);
    bounds_of_aliases(&world, name);
    bounds_of_attributes(names, agent);
    world_close(&world);
}

#ifndef TEST_ETCD
/* A node can't have more names than the server lets it. */
static void test_flood(void **state)
{
    struct node nodes[1];
    soma_names *names;
    soma_ref agent, found;
    char name[16];
    (void)state;
    node_open(&nodes[0], "hub");
    assert_int_equal(
        soma_nameserver_start(
            nodes[0].system, &(soma_nameserver_options){.node_most = 5, .node_rate = 1000000000, .settle_ms = 1}, NULL),
        0);
    assert_int_equal(soma_nameserver_start(nodes[0].system, NULL, NULL), SOMA_EEXIST);
    assert_int_equal(soma_names_open(nodes[0].system, nodes[0].bridge, &(soma_names_options){.names_most = 8}, &names),
                     0);
    assert_int_equal(soma_spawn(nodes[0].system, &worker, NULL, &agent), 0);
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(soma_names_register(names, name, agent, PATIENCE), i < 5 ? 0 : SOMA_EFULL);
    }
    assert_int_equal(soma_names_lookup(names, "n5", PATIENCE, &found), SOMA_ENOENT);
    assert_int_equal(soma_names_unregister(names, "n0", PATIENCE), 0);
    assert_int_equal(soma_names_register(names, "n5", agent, PATIENCE), 0);
    assert_int_equal(soma_names_close(&names), 0);
    nodes_close(nodes, 1);
}
/* Nor can a server have more than it may, nor a client put more; what is taken over is not one more. */
static void test_full(void **state)
{
    struct node nodes[1];
    soma_names *small, *large;
    soma_ref agent, other;
    (void)state;
    node_open(&nodes[0], "hub");
    assert_int_equal(
        soma_nameserver_start(nodes[0].system, &(soma_nameserver_options){.names_most = 3, .settle_ms = 1}, NULL), 0);
    assert_int_equal(soma_names_open(nodes[0].system, nodes[0].bridge, &(soma_names_options){.names_most = 2}, &small),
                     0);
    assert_int_equal(soma_names_open(nodes[0].system, nodes[0].bridge, NULL, &large), 0);
    assert_int_equal(soma_spawn(nodes[0].system, &worker, NULL, &agent), 0);
    assert_int_equal(soma_spawn(nodes[0].system, &worker, NULL, &other), 0);
    assert_int_equal(soma_names_register(small, "a", agent, 0), 0); // 0: SOMA_NAMES_TIMEOUT
    assert_int_equal(soma_names_register(small, "b", agent, PATIENCE), 0);
    assert_int_equal(soma_names_register(small, "c", agent, PATIENCE), SOMA_EFULL);
    assert_int_equal(soma_names_register(large, "c", agent, PATIENCE), 0);
    assert_int_equal(soma_names_register(large, "d", agent, PATIENCE), SOMA_EFULL);
    assert_int_equal(soma_names_register_as(large, "a", other, SOMA_VALUE_NONE, true, PATIENCE, NULL), 0);
    assert_int_equal(soma_names_unregister(large, "c", PATIENCE), 0);
    assert_int_equal(soma_names_register(large, "d", agent, PATIENCE), 0);
    assert_int_equal(soma_names_close(&small), 0);
    assert_int_equal(soma_names_close(&large), 0);
    nodes_close(nodes, 1);
}
#else
static int setup(void **state)
{
    (void)state;
    etcd_cluster_start(&cluster, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    etcd_cluster_stop(&cluster);
    return 0;
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_register),       cmocka_unit_test(test_takeover),
        cmocka_unit_test(test_two_clients),    cmocka_unit_test(test_server_address),
        cmocka_unit_test(test_unknown_node),   cmocka_unit_test(test_ends_with_agent),
        cmocka_unit_test(test_ends_with_node), cmocka_unit_test(test_close),
        cmocka_unit_test(test_wait),           cmocka_unit_test(test_list),
        cmocka_unit_test(test_attributes),     cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_bounds),
#ifndef TEST_ETCD
        cmocka_unit_test(test_flood),          cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
#else
    };
    return cmocka_run_group_tests(tests, setup, teardown);
#endif
}
