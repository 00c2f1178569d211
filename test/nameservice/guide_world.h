/*
 * The worlds of distributed_test.c and distributed_channels_test.c: name servers and programs with agents, and this
 * program, which shares nothing with them but the servers' addresses. Each test runs in both orders of start: the name
 * server first, or the programs first.
 */
#ifndef TEST_NAMESERVICE_GUIDE_WORLD_H
#define TEST_NAMESERVICE_GUIDE_WORLD_H

#include "guide_programs.h"
#include <soma/nameservice.h>
#include <soma/proxy.h>

static bool first = true, last = false; /* the name server is started */

#define BOTH_ORDERS(test)                                                                                              \
    {#test ", server first", test, NULL, NULL, &first},                                                                \
    {                                                                                                                  \
#test ", programs first", test, NULL, NULL, &last                                                              \
    }

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

static inline void server_start(struct world *world, int which)
{
    program_start(&world->server[which], "server", (const char *const[]){world->servers[which], NULL});
}

/* The server is not there before its programs: nobody can tell, and nobody hangs. */
static inline void world_open(struct world *world, void *const *server_first, int servers_count)
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

static inline void socket_remove(const char *address)
{
    unlink(address + strlen("ipc://")); // libzmq leaves it
}

/* A program whose first arguments are a server, and a place to listen at. */
static inline struct program *tanks_start(struct world *world, const char *role, int server, const char *name,
                                          const char *second)
{
    struct program *tanks = &world->tanks[world->tanks_count++];
    program_start(tanks, role, (const char *const[]){world->servers[server], "tcp://127.0.0.1", name, second, NULL});
    program_says(tanks, "started");
    return tanks;
}

/* All programs have been started; the servers are now, if they are the last. Agents are registered soon. */
static inline void world_started(struct world *world)
{
    for (int i = 0; i < world->servers_count && !world->server_first; i++)
        server_start(world, i);
}

static inline void world_close(struct world *world)
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

static inline soma_proxy *tank_proxy(struct world *world, int server, const char *name)
{
    soma_proxy *proxy;
    assert_int_equal(soma_proxy_open_named(world->here.system, world->names[server], name, &proxy), 0);
    return proxy;
}

#endif
