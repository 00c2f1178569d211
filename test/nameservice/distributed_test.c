/*
 * The model of distributed systems, line by line, with real processes: name servers, programs with agents, and this
 * program, which shares nothing with them but the servers' addresses. Each test runs in both orders of start: the name
 * server first, or the programs first.
 */
#include "guide_world.h"

/* The program has said that it is registered, so the server knows; what is known here may yet be from before. */
static void address_find(struct world *world, soma_proxy *proxy, const char *name, const char *alias,
                         char address[SOMA_ADDRESS_MOST + 1])
{
    struct soma_name entry;
    assert_int_equal(soma_names_info(world->names[0], name, PATIENCE, &entry), 0);
    soma_name_destroy(&entry);
    assert_int_equal(soma_proxy_address(proxy, PATIENCE, alias, address), 0);
}

static int64_t litres_of(soma_proxy *proxy)
{
    soma_value value;
    int64_t litres;
    assert_int_equal(soma_proxy_get(proxy, PATIENCE, "litres", &value), 0);
    assert_int_equal(soma_value_get_i64(value, &litres), 0);
    soma_value_destroy(&value);
    return litres;
}

/* ---- the lines ---- */

/* The server by its address alone; by it an agent by name; by that an address by alias. And it is as a local one. */
static void test_by_address_name_and_alias(void **state)
{
    struct world world;
    soma_proxy *server;
    soma_value value;
    uint64_t count;
    char address[SOMA_ADDRESS_MOST + 1];
    world_open(&world, state, 1);
    tanks_start(&world, "tanks", 0, "tank/1", NULL);
    world_started(&world);
    soma_proxy *proxy = tank_proxy(&world, 0, "tank/1");
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    assert_int_equal(fill_by(proxy, 5), 5);
    assert_int_equal(fill_by(proxy, 7), 12);
    assert_int_equal(soma_proxy_call(proxy, PATIENCE, "fill", SOMA_VALUE_NONE, NULL), SOMA_ETYPE);
    assert_string_equal(soma_proxy_error(proxy), "fill wants litres");
    assert_int_equal(soma_proxy_call(proxy, PATIENCE, "burn", SOMA_VALUE_NONE, NULL), SOMA_ENOENT);
    program_says(&world.tanks[0], "registered"); // the alias, too
    address_find(&world, proxy, "tank/1", "levels", address);
    assert_string_equal(address, "ipc:///tmp/tank/1.levels");
    assert_int_equal(soma_proxy_address(proxy, PATIENCE, "depths", address), SOMA_ENOENT);
    soma_proxy_close(&proxy);
    assert_int_equal(
        soma_proxy_open_at(world.here.system, world.here.bridge, world.servers[0], SOMA_NAMESERVER, &server), 0);
    assert_int_equal(soma_proxy_ping(server, PATIENCE), 0);
    assert_int_equal(soma_proxy_get(server, PATIENCE, "names", &value), 0);
    assert_int_equal(soma_value_get_u64(value, &count), 0);
    assert_int_equal(count, 1);
    soma_value_destroy(&value);
    soma_proxy_close(&server);
    world_close(&world);
}

/* Several name servers, each for its own agents, and this program uses both; their agents can reach each other. */
static void test_several_servers(void **state)
{
    struct world world;
    soma_value_builder *builder;
    soma_value to, result;
    soma_ref ref, other;
    int64_t litres;
    world_open(&world, state, 2);
    tanks_start(&world, "tanks", 0, "tank/1", NULL);
    tanks_start(&world, "tanks", 1, "tank/1", "tank/2");
    world_started(&world);
    soma_proxy *one = tank_proxy(&world, 0, "tank/1"), *two = tank_proxy(&world, 1, "tank/1");
    assert_int_equal(soma_proxy_wait(one, PATIENCE), 0);
    assert_int_equal(soma_proxy_wait(two, PATIENCE), 0);
    program_says(&world.tanks[1], "registered");
    assert_int_equal(soma_names_lookup(world.names[0], "tank/2", PATIENCE, &ref), SOMA_ENOENT); // not its own
    assert_int_equal(soma_proxy_ref(one, PATIENCE, &other), 0);
    assert_int_equal(soma_proxy_ref(two, PATIENCE, &ref), 0);
    assert_false(soma_ref_equal(ref, other));
    assert_int_equal(fill_by(one, 30), 30);
    assert_int_equal(fill_by(two, 4), 4);
    assert_int_equal(soma_value_builder_open(&builder), 0);
    soma_value_add_ref(builder, ref);
    assert_int_equal(soma_value_builder_finish(builder, &to), 0);
    int error = soma_proxy_call(one, PATIENCE, "pour", to, &result);
    if (error)
        fail_msg("pour: %d (%s)", error, soma_proxy_error(one));
    assert_int_equal(soma_value_get_i64(result, &litres), 0);
    assert_int_equal(litres, 34);
    soma_value_destroy(&result);
    soma_value_builder_close(&builder);
    assert_int_equal(litres_of(one), 0);
    assert_int_equal(litres_of(two), 34);
    soma_proxy_close(&one);
    soma_proxy_close(&two);
    world_close(&world);
}

static void place_set(soma_proxy *proxy, const char *place)
{
    soma_value_builder *builder;
    soma_value value;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    soma_value_add_string(builder, place);
    assert_int_equal(soma_value_builder_finish(builder, &value), 0);
    assert_int_equal(soma_proxy_set(proxy, PATIENCE, "place", value), 0);
    soma_value_builder_close(&builder);
}

static void place_check(soma_proxy *proxy, const char *place)
{
    soma_value value;
    const char *text;
    uint32_t size;
    assert_int_equal(soma_proxy_get(proxy, PATIENCE, "place", &value), 0);
    assert_int_equal(soma_value_get_string(value, &text, &size), 0);
    assert_int_equal(size, strlen(place));
    assert_memory_equal(text, place, size);
    soma_value_destroy(&value);
}

/* All agents are configured from here, while they run elsewhere. */
static void test_configure_all(void **state)
{
    static const char *const names[] = {"tank/1", "tank/2", "tank/3", "tank/4", "tank/5"};
    struct world world;
    struct soma_name_page page;
    char place[32];
    world_open(&world, state, 1);
    tanks_start(&world, "tanks", 0, "tank/3", "tank/1");
    tanks_start(&world, "tanks", 0, "tank/2", "tank/5");
    tanks_start(&world, "tanks", 0, "tank/4", NULL);
    world_started(&world);
    for (int i = 0; i < 3; i++)
        program_says(&world.tanks[i], "registered");
    assert_int_equal(soma_names_list(world.names[0], "tank/", NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, 5);
    for (uint32_t i = 0; i < page.names.count; i++) {
        assert_string_equal(page.names.items[i].name, names[i]);
        soma_proxy *proxy = tank_proxy(&world, 0, names[i]);
        snprintf(place, sizeof(place), "cellar %u", i);
        place_set(proxy, place);
        soma_proxy_close(&proxy);
    }
    soma_name_page_destroy(&page);
    for (uint32_t i = 0; i < 5; i++) { // by other proxies: it is the agents' own
        soma_proxy *proxy = tank_proxy(&world, 0, names[i]);
        snprintf(place, sizeof(place), "cellar %u", i);
        place_check(proxy, place);
        soma_proxy_close(&proxy);
    }
    world_close(&world);
}

/* Until it exists, and until it runs, each with a timeout; a name that is not there is a clear answer. */
static void test_wait_for(void **state)
{
    struct world world;
    soma_ref found;
    world_open(&world, state, 1);
    if (world.server_first) // so it is in touch with the server, which has settled
        assert_int_equal(soma_names_lookup(world.names[0], "tank/1", PATIENCE, &found), SOMA_ENOENT);
    assert_int_equal(soma_names_wait(world.names[0], "tank/1", 20 * SOMA_MS, &found),
                     world.server_first ? SOMA_ENOENT : SOMA_ETIMEOUT);
    struct program *stuck = tanks_start(&world, "stuck", 0, "tank/1", NULL);
    world_started(&world);
    soma_proxy *proxy = tank_proxy(&world, 0, "tank/1");
    assert_int_equal(soma_names_wait(world.names[0], "tank/1", PATIENCE, &found), 0);
    program_says(stuck, "registered");
    assert_int_equal(soma_names_wait_running(world.names[0], "tank/1", 50 * SOMA_MS, &found), SOMA_ETIMEOUT);
    assert_int_equal(soma_proxy_wait(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    program_go(stuck);
    assert_int_equal(soma_names_wait_running(world.names[0], "tank/1", PATIENCE, &found), 0);
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    assert_int_equal(fill_by(proxy, 5), 5);
    soma_proxy_close(&proxy);
    proxy = tank_proxy(&world, 0, "tank/2");
    assert_int_equal(soma_names_lookup(world.names[0], "tank/2", PATIENCE, &found), SOMA_ENOENT);
    assert_int_equal(soma_proxy_ping(proxy, PATIENCE), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "no agent is registered as 'tank/2'");
    assert_int_equal(soma_proxy_wait(proxy, 20 * SOMA_MS), SOMA_ETIMEOUT);
    soma_proxy_close(&proxy);
    world_close(&world);
}

/* Waits until a name is not there. */
static void gone_wait(struct world *world, const char *name)
{
    const struct timespec nap = {0, 1000000};
    soma_ref found;
    int error = 0;
    for (int i = 0; i < 20000 && error != SOMA_ENOENT; i++) {
        error = soma_names_lookup(world->names[0], name, PATIENCE, &found);
        if (!error)
            nanosleep(&nap, NULL);
    }
    assert_int_equal(error, SOMA_ENOENT);
}

/* The program of an agent is killed, and started again where it was: it has its name at once, and who has a proxy goes
 * on with that. */
static void test_restarts(void **state)
{
    struct world world;
    char place[64];
    world_open(&world, state, 1);
    snprintf(place, sizeof(place), "ipc:///tmp/soma_guide.%d.tank", (int)getpid());
    const char *const arguments[] = {world.servers[0], place, "tank/1", NULL};
    struct program *tanks = &world.tanks[world.tanks_count++];
    program_start(tanks, "tanks", arguments);
    world_started(&world);
    soma_proxy *proxy = tank_proxy(&world, 0, "tank/1");
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    program_says(tanks, "started");
    program_says(tanks, "registered");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fill_by(proxy, 5), 5); // of the one that is there now
        program_kill(tanks);
        program_start(tanks, "tanks", arguments);
        program_says(tanks, "started");
        program_says(tanks, "registered");
        assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    }
    assert_int_equal(fill_by(proxy, 5), 5);
    soma_proxy_close(&proxy);
    world_close(&world);
    socket_remove(place);
}

/* What the server's proxy shows. */
static void server_check(soma_proxy *server, uint64_t names)
{
    soma_value all, value;
    const char *text;
    uint32_t size;
    uint64_t count;
    double uptime;
    assert_int_equal(soma_proxy_ping(server, PATIENCE), 0);
    assert_int_equal(soma_proxy_get(server, PATIENCE, NULL, &all), 0);
    assert_int_equal(soma_value_get_entry(all, "names", &value), 0);
    assert_int_equal(soma_value_get_u64(value, &count), 0);
    assert_int_equal(count, names);
    assert_int_equal(soma_value_get_entry(all, "version", &value), 0);
    assert_int_equal(soma_value_get_string(value, &text, &size), 0);
    assert_int_equal(size, strlen(soma_version()));
    assert_memory_equal(text, soma_version(), size);
    assert_int_equal(soma_value_get_entry(all, "uptime", &value), 0);
    assert_int_equal(soma_value_get_f64(value, &uptime), 0);
    assert_true(uptime > 0);
    soma_value_destroy(&all);
}

/* Who is there; whether the server is, since when, and what it is; the end of one, of all, of the server. */
static void test_ends(void **state)
{
    struct world world;
    struct soma_name_page page;
    soma_proxy *server;
    soma_ref found;
    world_open(&world, state, 1);
    tanks_start(&world, "tanks", 0, "tank/1", "tank/2");
    tanks_start(&world, "tanks", 0, "tank/3", NULL);
    world_started(&world);
    assert_int_equal(soma_proxy_open_server(world.here.system, world.names[0], &server), 0);
    assert_int_equal(soma_proxy_wait(server, PATIENCE), 0);
    for (int i = 0; i < 2; i++)
        program_says(&world.tanks[i], "registered");
    assert_int_equal(soma_names_list(world.names[0], NULL, NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, 3);
    soma_name_page_destroy(&page);
    server_check(server, 3);
    soma_proxy *proxy = tank_proxy(&world, 0, "tank/1");
    assert_int_equal(soma_proxy_shutdown(proxy, PATIENCE), 0);
    soma_proxy_close(&proxy);
    gone_wait(&world, "tank/1");
    assert_int_equal(soma_names_lookup(world.names[0], "tank/2", PATIENCE, &found), 0);
    assert_int_equal(soma_names_shutdown(world.names[0], NULL, PATIENCE), 0);
    assert_int_equal(soma_names_list(world.names[0], NULL, NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, 0);
    soma_name_page_destroy(&page);
    for (; world.tanks_count; world.tanks_count--)
        program_end(&world.tanks[world.tanks_count - 1]);
    assert_int_equal(soma_proxy_shutdown(server, PATIENCE), 0);
    assert_int_equal(soma_proxy_ping(server, 50 * SOMA_MS), SOMA_ETIMEOUT);
    soma_proxy_close(&server);
    world_close(&world);
}

int main(int argc, char **argv)
{
    int status;
    (void)argc;
    if (role_run(guide_roles, argv, &status))
        return status;
    const struct CMUnitTest tests[] = {
        BOTH_ORDERS(test_by_address_name_and_alias),
        BOTH_ORDERS(test_several_servers),
        BOTH_ORDERS(test_configure_all),
        BOTH_ORDERS(test_wait_for),
        BOTH_ORDERS(test_restarts),
        BOTH_ORDERS(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
