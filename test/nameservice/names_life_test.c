/* The life of agents and of the name server from outside: who is there, and the end of one, of all, of the server. */
#include "bridges/nodes.h"
#include <soma/nameservice.h>
#include <soma/proxy.h>
#include <soma/timer.h>
#include <string.h>

static const soma_behavior worker = {.name = "worker"};

static atomic_int told; /* how often stubborn ones were told to end */

static int stubborn_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    return soma_trap_exits(self, true);
}

static int on_exited(soma_agent *self, void *my, const struct soma_exited *m)
{
    (void)self, (void)my, (void)m;
    atomic_fetch_add(&told, 1);
    return 0;
}

static const soma_behavior stubborn = {
    .name = "stubborn", .init = stubborn_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_exited, on_exited))};

/* Takes its time to end, and does it by itself. */
SOMA_MESSAGE(last)

static int on_last(soma_agent *self, void *my, const struct last *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, SOMA_ESHUTDOWN);
    atomic_fetch_add(&told, 1);
    return 0;
}

static int on_slow_exited(soma_agent *self, void *my, const struct soma_exited *m)
{
    (void)my, (void)m;
    return soma_after(self, 50 * SOMA_MS, last) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior slow = {.name = "slow",
                                   .init = stubborn_init,
                                   .handlers =
                                       SOMA_HANDLERS(SOMA_ON(soma_exited, on_slow_exited), SOMA_ON(last, on_last))};

/* It may wait, without holding up others. */
static const soma_behavior stuck = {.name = "stuck", .blocking = true};

static int stick(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)state;
    while (!atomic_load((atomic_int *)arg))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return 0;
}

/* Two nodes with a client each; the server is on the first. */
struct world {
    struct node nodes[2];
    soma_names *names[2];
    soma_ref server;
};

static void world_open(struct world *world)
{
    const soma_nameserver_options quick = {.settle_ms = 1};
    node_open(&world->nodes[0], "hub");
    node_open(&world->nodes[1], "leaf");
    assert_int_equal(soma_nameserver_start(world->nodes[0].system, &quick, &world->server), 0);
    const char *const addresses[] = {soma_bridge_address(world->nodes[0].bridge, 0), NULL};
    const soma_names_options options = {.addresses = addresses};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(soma_names_open(world->nodes[i].system, world->nodes[i].bridge, &options, &world->names[i]),
                         0);
        assert_int_equal(soma_names_server(world->names[i], PATIENCE, NULL), 0);
    }
}

static void world_close(struct world *world)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(soma_names_close(&world->names[i]), 0);
    nodes_close(world->nodes, 2);
}

static soma_ref worker_register(struct world *world, int node, const soma_behavior *behavior, const char *name)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(world->nodes[node].system, behavior, NULL, &ref), 0);
    assert_int_equal(soma_names_register(world->names[node], name, ref, PATIENCE), 0);
    return ref;
}

static void assert_gone(struct world *world, int node, soma_ref agent, bool gone)
{
    soma_proxy *proxy;
    assert_int_equal(soma_proxy_open_ref(world->nodes[node].system, agent, &proxy), 0);
    assert_int_equal(soma_proxy_ping(proxy, PATIENCE), gone ? SOMA_EGONE : 0);
    soma_proxy_close(&proxy);
}

/* No name of the prefix is there, for who asks the server. */
static void assert_none(struct world *world, int node, const char *prefix)
{
    struct soma_name_page page;
    assert_int_equal(soma_names_list(world->names[node], prefix, NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, 0);
    soma_name_page_destroy(&page);
}

static void test_all_of_a_prefix(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    soma_ref near = worker_register(&world, 0, &worker, "w/near"), far = worker_register(&world, 1, &worker, "w/far");
    assert_int_equal(soma_names_register(world.names[1], "w/again", far, PATIENCE), 0); // of two names
    soma_ref other = worker_register(&world, 1, &worker, "x");
    assert_int_equal(soma_names_shutdown(world.names[0], "v/", PATIENCE), 0); // none
    assert_gone(&world, 0, near, false);
    assert_int_equal(soma_names_shutdown(world.names[0], "w/", PATIENCE), 0);
    assert_none(&world, 1, "w/");
    assert_gone(&world, 0, near, true);
    assert_gone(&world, 1, far, true);
    assert_gone(&world, 1, other, false);
    assert_int_equal(soma_names_shutdown(world.names[1], NULL, PATIENCE), 0);
    assert_gone(&world, 0, other, true);
    world_close(&world);
}

/* More than a page; and who does not end when told to is killed. */
static void test_many_and_stubborn(void **state)
{
    struct world world;
    char name[32];
    (void)state;
    world_open(&world);
    soma_ref last = SOMA_REF_NULL;
    for (uint32_t i = 0; i < SOMA_NAMES_PAGE_MOST + 50; i++) {
        snprintf(name, sizeof(name), "n%03u", i);
        last = worker_register(&world, 1, &worker, name);
    }
    atomic_store(&told, 0);
    soma_ref ox = worker_register(&world, 1, &stubborn, "ox");
    assert_int_equal(soma_names_shutdown(world.names[0], "", 4 * SOMA_SECOND), 0);
    assert_none(&world, 0, "");
    assert_gone(&world, 1, last, true);
    assert_gone(&world, 1, ox, true);
    assert_int_equal(atomic_load(&told), 1);
    world_close(&world);
}

/* Who ends by itself in half of the time is not killed. */
static void test_slow(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    atomic_store(&told, 0);
    soma_ref near = worker_register(&world, 0, &slow, "near"), far = worker_register(&world, 1, &slow, "far");
    assert_int_equal(soma_names_shutdown(world.names[0], NULL, PATIENCE), 0);
    assert_gone(&world, 0, near, true);
    assert_gone(&world, 1, far, true);
    assert_int_equal(atomic_load(&told), 2);
    world_close(&world);
}

/* One that can't even be killed, as it stands still in a handler: that is told in time, and another try does it. */
static void test_stuck(void **state)
{
    struct world world;
    soma_ref found;
    atomic_int released = 0;
    (void)state;
    world_open(&world);
    soma_ref ox = worker_register(&world, 1, &stuck, "ox"), other = worker_register(&world, 1, &worker, "other");
    assert_int_equal(soma_post(world.nodes[1].system, ox, stick, &released, NULL), 0);
    assert_int_equal(soma_names_shutdown(world.names[0], NULL, SOMA_SECOND), SOMA_ETIMEOUT);
    assert_gone(&world, 1, other, true);
    assert_int_equal(soma_names_lookup(world.names[0], "ox", PATIENCE, &found), 0); // it is there
    atomic_store(&released, 1);
    assert_int_equal(soma_names_shutdown(world.names[0], NULL, PATIENCE), 0);
    assert_gone(&world, 1, ox, true);
    world_close(&world);
}

static void test_server(void **state)
{
    struct world world;
    soma_proxy *server;
    soma_value value;
    const char *text;
    uint32_t size;
    uint64_t count;
    double uptime;
    (void)state;
    world_open(&world);
    worker_register(&world, 0, &worker, "it");
    assert_int_equal(soma_proxy_open_server(world.nodes[1].system, world.names[1], &server), 0);
    assert_int_equal(soma_proxy_ping(server, PATIENCE), 0);
    assert_int_equal(soma_proxy_get(server, PATIENCE, "version", &value), 0);
    assert_int_equal(soma_value_get_string(value, &text, &size), 0);
    assert_int_equal(size, strlen(soma_version()));
    assert_memory_equal(text, soma_version(), size);
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_get(server, PATIENCE, "names", &value), 0);
    assert_int_equal(soma_value_get_u64(value, &count), 0);
    assert_int_equal(count, 1);
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_get(server, PATIENCE, "uptime", &value), 0);
    assert_int_equal(soma_value_get_f64(value, &uptime), 0);
    assert_true(uptime > 0);
    soma_value_destroy(&value);
    assert_int_equal(soma_proxy_shutdown(server, PATIENCE), 0);
    assert_gone(&world, 0, world.server, true);
    assert_int_equal(soma_proxy_ping(server, 100 * SOMA_MS), SOMA_ETIMEOUT);
    assert_int_equal(soma_names_shutdown(world.names[1], NULL, 100 * SOMA_MS), SOMA_ETIMEOUT);
    const soma_nameserver_options quick = {.settle_ms = 1}; // another one takes over
    assert_int_equal(soma_nameserver_start(world.nodes[0].system, &quick, NULL), 0);
    assert_int_equal(soma_proxy_wait(server, PATIENCE), 0);
    soma_proxy_close(&server);
    world_close(&world);
}

static int shutdown_here(soma_agent *self, void *state, void *arg)
{
    struct world *world = arg;
    (void)self, (void)state;
    atomic_store(&told, soma_names_shutdown(world->names[0], NULL, PATIENCE));
    return 0;
}

static void test_wrong(void **state)
{
    struct world world;
    soma_proxy *proxy;
    (void)state;
    world_open(&world);
    assert_int_equal(soma_names_shutdown(NULL, NULL, PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_names_shutdown(world.names[0], "a b", PATIENCE), SOMA_EINVAL);
    assert_int_equal(soma_proxy_open_server(world.nodes[0].system, NULL, &proxy), SOMA_EINVAL);
    assert_null(proxy);
    soma_ref agent = worker_register(&world, 0, &worker, "it");
    atomic_store(&told, 0);
    assert_int_equal(soma_post(world.nodes[0].system, agent, shutdown_here, &world, NULL), 0);
    wait_word("the refusal", &told, SOMA_ESTATE); // it must not wait
    assert_gone(&world, 0, agent, false);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_of_a_prefix),
                                       cmocka_unit_test(test_many_and_stubborn),
                                       cmocka_unit_test(test_slow),
                                       cmocka_unit_test(test_stuck),
                                       cmocka_unit_test(test_server),
                                       cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
