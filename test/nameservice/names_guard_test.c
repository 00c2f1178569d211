/*
 * Who may use a name server, with real nodes that have keys: those whose keys it allows, and nobody else; and one of
 * them that registers without measure does not keep another from being served.
 */
#include "bridges/nodes.h"
#include <soma/log.h>
#include <soma/nameservice.h>
#include <soma/proxy.h>
#include <soma/request.h>
#include <stdio.h>

#define MOST 500u /* names that a node may have, and may register at once */
#define RATE 100u /* a second, in the long run */

static const soma_behavior worker = {.name = "worker"};

/* ---- nodes with keys ---- */

enum { HUB, FRIEND, GUEST, STRANGER, NODES };

struct member {
    struct node node;
    soma_names *names;
    char public_key[SOMA_BRIDGE_KEY_SIZE], secret_key[SOMA_BRIDGE_KEY_SIZE];
};

#define LIST_SIZE (NODES * SOMA_BRIDGE_KEY_SIZE + 1) /* a key a line */

struct world {
    struct member members[NODES];
    char all[LIST_SIZE], friends[LIST_SIZE];
};

static void member_open(struct member *member, const char *name, const char *allowed)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    const soma_bridge_options options = {.name = name,
                                         .bind = loopback,
                                         .secret_key = member->secret_key,
                                         .allowed = allowed,
                                         .down_ms = 20000,
                                         .retry_most_ms = 100,
                                         .close_ms = 500};
    assert_int_equal(soma_system_open(&member->node.system, &quiet), 0);
    assert_int_equal(soma_bridge_open(member->node.system, &options, &member->node.bridge), 0);
    assert_int_equal(soma_spawn(member->node.system, &worker, NULL, &member->node.agent), 0);
}

static void list_add(char list[LIST_SIZE], const struct member *member)
{
    size_t size = strlen(list);
    snprintf(list + size, LIST_SIZE - size, "%s\n", member->public_key);
}

/* All of them allow all; but the hub, which has the server, does not allow the stranger. */
static void world_open(struct world *world)
{
    static const char *const names[NODES] = {"hub", "friend", "guest", "stranger"};
    const soma_nameserver_options server = {.node_most = MOST, .node_rate = RATE, .settle_ms = 1};
    *world = (struct world){0};
    for (int i = 0; i < NODES; i++) {
        struct member *member = &world->members[i];
        assert_int_equal(soma_bridge_keygen(member->public_key, member->secret_key), 0);
        list_add(world->all, member);
        if (i != STRANGER)
            list_add(world->friends, member);
    }
    for (int i = 0; i < NODES; i++)
        member_open(&world->members[i], names[i], i == HUB ? world->friends : world->all);
    assert_int_equal(soma_nameserver_start(world->members[HUB].node.system, &server, NULL), 0);
    const char *const addresses[] = {soma_bridge_address(world->members[HUB].node.bridge, 0), NULL};
    const soma_names_options options = {.addresses = addresses, .retry_ms = 50};
    for (int i = 0; i < NODES; i++)
        assert_int_equal(soma_names_open(world->members[i].node.system, world->members[i].node.bridge, &options,
                                         &world->members[i].names),
                         0);
}

static void world_close(struct world *world)
{
    for (int i = NODES; i-- > 0;) { // the server last
        assert_int_equal(soma_names_close(&world->members[i].names), 0);
        int error = soma_system_cancel(&world->members[i].node.system);
        assert_true(!error || i == STRANGER); // what it would tell the server nobody takes
    }
}

/* How many names there are, as the server's own node sees it. */
static uint32_t names_count(struct world *world)
{
    struct soma_name_page page;
    assert_int_equal(soma_names_list(world->members[HUB].names, NULL, NULL, 0, PATIENCE, &page), 0);
    uint32_t count = page.names.count;
    soma_name_page_destroy(&page);
    return count;
}

static int find(struct world *world, int by, const char *name, uint64_t timeout)
{
    struct soma_name entry;
    int error = soma_names_info(world->members[by].names, name, timeout, &entry);
    soma_name_destroy(&entry);
    return error;
}

static int enter(struct world *world, int by, const char *name, uint64_t timeout)
{
    return soma_names_register(world->members[by].names, name, world->members[by].node.agent, timeout);
}

/* ---- keys ---- */

static void events_count(void *context, const struct soma_name_event *event)
{
    (void)event;
    atomic_fetch_add((atomic_int *)context, 1);
}

static void wait_refused(const struct world *world)
{
    const struct timespec nap = {0, 1000000};
    soma_bridge_counts counts = {0};
    for (int i = 0; i < 20000 && !counts.refused; i++) {
        assert_int_equal(soma_bridge_count(world->members[HUB].node.bridge, &counts), 0);
        nanosleep(&nap, NULL);
    }
    assert_true(counts.refused > 0);
}

static void test_keys(void **state)
{
    static struct world world;
    static atomic_int events;
    soma_ref watcher, agent;
    soma_proxy *proxy;
    (void)state;
    world_open(&world);
    // Those whose keys are allowed find each other, and reach each other.
    assert_int_equal(enter(&world, FRIEND, "friend", PATIENCE), 0);
    assert_int_equal(find(&world, GUEST, "friend", PATIENCE), 0);
    assert_int_equal(
        soma_proxy_open_named(world.members[GUEST].node.system, world.members[GUEST].names, "friend", &proxy), 0);
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    // One with another key is not even told what there is.
    const uint64_t while_refused = 100 * SOMA_MS;
    assert_int_equal(soma_names_watch(world.members[STRANGER].names, NULL, events_count, &events, &watcher), 0);
    wait_refused(&world);
    assert_int_equal(enter(&world, STRANGER, "stranger", while_refused), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_lookup(world.members[STRANGER].names, "friend", while_refused, &agent), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_server(world.members[STRANGER].names, while_refused, NULL), SOMA_ETIMEOUT);
    assert_int_equal(atomic_load(&events), 0);
    assert_int_equal(names_count(&world), 1);
    // Until it is.
    assert_int_equal(soma_bridge_keys_reload(world.members[HUB].node.bridge, world.all), 0);
    assert_int_equal(enter(&world, STRANGER, "stranger", PATIENCE), 0);
    assert_int_equal(find(&world, STRANGER, "friend", PATIENCE), 0);
    assert_int_equal(find(&world, FRIEND, "stranger", PATIENCE), 0);
    wait_word("both names and that there are no more", &events, 3);
    // With a key that is taken away go the names that were registered by it.
    assert_int_equal(soma_bridge_keys_reload(world.members[HUB].node.bridge, world.friends), 0);
    for (int i = 0; names_count(&world) != 1 && i < 20000; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    assert_int_equal(find(&world, GUEST, "stranger", PATIENCE), SOMA_ENOENT);
    assert_int_equal(find(&world, GUEST, "friend", PATIENCE), 0);
    assert_int_equal(find(&world, STRANGER, "friend", while_refused), SOMA_ETIMEOUT);
    soma_proxy_close(&proxy);
    world_close(&world);
}

/* ---- a flood ---- */

static atomic_int flood_taken, flood_refused;

struct flood {
    soma_ref names;
    uint32_t next;
};

static int on_flood_error(soma_agent *self, struct flood *my, const int *error);
static int on_flood_registered(soma_agent *self, struct flood *my, const struct soma_name_registered *m);

/* Each a name of its own, each by its client, so that all of it costs the server what it can. */
static int flood_on(soma_agent *self, struct flood *my)
{
    char name[24];
    snprintf(name, sizeof(name), "flood/%u", my->next++);
    return soma_request(self, my->names, SOMA_NEVER,
                        SOMA_THEN(soma_name_registered, on_flood_registered, on_flood_error), soma_name_register,
                        .name = name, .timeout = SOMA_NEVER) > 0
               ? 0
               : SOMA_ENOMEM;
}

static int on_flood_registered(soma_agent *self, struct flood *my, const struct soma_name_registered *m)
{
    assert_int_equal(m->error, 0);
    atomic_fetch_add(&flood_taken, 1);
    return flood_on(self, my);
}

static int on_flood_error(soma_agent *self, struct flood *my, const int *error)
{
    assert_true(*error == SOMA_EAGAIN || *error == SOMA_EFULL);
    atomic_fetch_add(&flood_refused, 1);
    return flood_on(self, my);
}

static int flood_init(soma_agent *self, void *state, const void *names)
{
    struct flood *my = state;
    int error = 0;
    memcpy(&my->names, names, sizeof(my->names));
    for (int i = 0; i < 1000 && !error; i++) // more than its client has under way
        error = flood_on(self, my);
    return error;
}

static const soma_behavior flood = {.name = "flood", .state_size = sizeof(struct flood), .init = flood_init};

static void wait_more(const char *what, atomic_int *word, int before)
{
    for (int i = 0; i < 20000 && atomic_load(word) <= before; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    if (atomic_load(word) <= before)
        fail_msg("waited in vain for %s", what);
}

/* Whoever else is there registers and looks up meanwhile, and is told that all is well. */
static void test_flood(void **state)
{
    static struct world world;
    char name[24];
    (void)state;
    world_open(&world);
    soma_ref names = soma_names_agent(world.members[FRIEND].names), flooder;
    assert_int_equal(soma_names_server(world.members[FRIEND].names, PATIENCE, NULL), 0);
    assert_int_equal(soma_spawn(world.members[FRIEND].node.system, &flood, &names, &flooder), 0);
    wait_more("what is refused", &flood_refused, 0);
    int before = atomic_load(&flood_refused);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "guest/%d", i);
        assert_int_equal(enter(&world, GUEST, name, PATIENCE), 0);
        assert_int_equal(find(&world, GUEST, name, PATIENCE), 0);
    }
    wait_more("more that is refused", &flood_refused, before); // it went on all the time
    assert_in_range(atomic_load(&flood_taken), 1, MOST);
    assert_int_equal(soma_kill(world.members[FRIEND].node.system, flooder), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
