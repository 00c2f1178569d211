/*
 * The model of distributed systems, line by line, with real processes: name servers, programs with agents, and this
 * program, which shares nothing with them but the servers' addresses. Each test runs in both orders of start: the name
 * server first, or the programs first.
 */
#include "guide_programs.h"
#include <soma/nameservice.h>
#include <soma/proxy.h>

static bool first = true, last = false; /* the name server is started */

/* ---- a world of programs ---- */

#define SERVERS 2

struct world {
    struct node here;
    char servers[SERVERS][64]; /* their addresses */
    soma_names *names[SERVERS];
    struct program server[SERVERS];
    struct program tanks[3];
    int tanks_count, servers_count;
    bool server_first;
};

static void server_start(struct world *world, int which)
{
    program_start(&world->server[which], "server", (const char *const[]){world->servers[which], NULL});
}

/* The server is not there before its programs: nobody can tell, and nobody hangs. */
static void world_open(struct world *world, void *const *server_first, int servers_count)
{
    static int number;
    soma_ref found;
    *world = (struct world){.server_first = *(bool *)*server_first, .servers_count = servers_count};
    node_open(&world->here, "here");
    for (int i = 0; i < servers_count; i++) {
        snprintf(world->servers[i], sizeof(world->servers[i]), "ipc:///tmp/soma_guide.%d.%d", (int)getpid(), number++);
        const char *const addresses[] = {world->servers[i], NULL};
        assert_int_equal(soma_names_open(world->here.system, world->here.bridge,
                                         &(soma_names_options){.addresses = addresses, .retry_ms = 20},
                                         &world->names[i]),
                         0);
        assert_int_equal(soma_names_lookup(world->names[i], "tank/1", 20 * SOMA_MS, &found), SOMA_ETIMEOUT);
        if (world->server_first) {
            server_start(world, i);
            program_says(&world->server[i], "listens");
        }
    }
}

static void socket_remove(const char *address)
{
    unlink(address + strlen("ipc://")); // libzmq leaves it
}

/* A program whose first arguments are a server, and a place to listen at. */
static struct program *tanks_start(struct world *world, const char *role, int server, const char *name,
                                   const char *second)
{
    struct program *tanks = &world->tanks[world->tanks_count++];
    program_start(tanks, role, (const char *const[]){world->servers[server], "tcp://127.0.0.1", name, second, NULL});
    program_says(tanks, "started");
    return tanks;
}

/* All programs have been started; the servers are now, if they are the last. Agents are registered soon. */
static void world_started(struct world *world)
{
    for (int i = 0; i < world->servers_count && !world->server_first; i++)
        server_start(world, i);
}

static void world_close(struct world *world)
{
    for (int i = 0; i < world->tanks_count; i++)
        program_end(&world->tanks[i]);
    for (int i = 0; i < world->servers_count; i++)
        soma_names_close(&world->names[i]);
    nodes_close(&world->here, 1);
    for (int i = 0; i < world->servers_count; i++) {
        program_end(&world->server[i]);
        socket_remove(world->servers[i]);
    }
}

static soma_proxy *tank_proxy(struct world *world, int server, const char *name)
{
    soma_proxy *proxy;
    assert_int_equal(soma_proxy_open_named(world->here.system, world->names[server], name, &proxy), 0);
    return proxy;
}

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

/* Who is there; the end of one, of all, of the server. */
static void test_ends(void **state)
{
    struct world world;
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
    soma_proxy *proxy = tank_proxy(&world, 0, "tank/1");
    assert_int_equal(soma_proxy_shutdown(proxy, PATIENCE), 0);
    soma_proxy_close(&proxy);
    gone_wait(&world, "tank/1");
    assert_int_equal(soma_names_lookup(world.names[0], "tank/2", PATIENCE, &found), 0);
    assert_int_equal(soma_names_shutdown(world.names[0], NULL, PATIENCE), 0);
    gone_wait(&world, "tank/2");
    gone_wait(&world, "tank/3");
    for (; world.tanks_count; world.tanks_count--)
        program_end(&world.tanks[world.tanks_count - 1]);
    assert_int_equal(soma_proxy_shutdown(server, PATIENCE), 0);
    assert_int_equal(soma_proxy_ping(server, 50 * SOMA_MS), SOMA_ETIMEOUT);
    soma_proxy_close(&server);
    world_close(&world);
}

/* ---- channels ---- */

static atomic_int jobs_sum;

static int on_job(soma_agent *self, void *my, const struct guide_job *m)
{
    (void)self, (void)my;
    atomic_fetch_add(&jobs_sum, (int)m->number);
    return 0;
}

static int puller_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return soma_connect(self, arg, "work", SOMA_HANDLERS(SOMA_ON(guide_job, on_job)));
}

static const soma_behavior puller = {.name = "puller", .init = puller_init};

/* An agent elsewhere has bound a channel at `place`; here another one connects, by the name and the alias alone. */
static void channel_by_alias(void **state, const char *place, const char *begins)
{
    struct world world;
    char text[SOMA_ADDRESS_MOST + 1];
    soma_address address;
    soma_ref agent;
    world_open(&world, state, 1);
    tanks_start(&world, "dealer", 0, "dealer", place);
    world_started(&world);
    soma_proxy *proxy = tank_proxy(&world, 0, "dealer");
    assert_int_equal(soma_proxy_wait(proxy, PATIENCE), 0);
    program_says(&world.tanks[0], "registered");
    address_find(&world, proxy, "dealer", "jobs", text);
    soma_proxy_close(&proxy);
    assert_memory_equal(text, begins, strlen(begins));
    assert_int_equal(soma_address_parse(text, &address), 0);
    atomic_store(&jobs_sum, 0);
    assert_int_equal(soma_spawn(world.here.system, &puller, &address, &agent), 0);
    wait_word("all jobs", &jobs_sum, JOBS * (JOBS + 1) / 2);
    assert_int_equal(soma_kill(world.here.system, agent), 0);
    world_close(&world);
}

/* The IP alone: any free port. */
static void test_channel_tcp(void **state)
{
    channel_by_alias(state, "tcp://127.0.0.1", "tcp://127.0.0.1:");
}

static void test_channel_ipc(void **state)
{
    char place[64];
    snprintf(place, sizeof(place), "ipc:///tmp/soma_guide.%d.jobs", (int)getpid());
    channel_by_alias(state, place, place);
    socket_remove(place);
}

#define BOTH_ORDERS(test)                                                                                              \
    {#test ", server first", test, NULL, NULL, &first},                                                                \
    {                                                                                                                  \
#test ", programs first", test, NULL, NULL, &last                                                              \
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
        BOTH_ORDERS(test_ends),
        BOTH_ORDERS(test_channel_tcp),
        BOTH_ORDERS(test_channel_ipc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
