/*
 * The name service of real processes: the server is killed and started anew, stopped and let go on, under a load of a
 * thousand lookups a second, while a farm of agents end and are replaced; and another server follows it and takes over.
 * No lookup may give an agent that was gone, and known to be so at the server, before the lookup began.
 */
#include "test_support.h"
#include <signal.h>
#include <soma/bridge.h>
#include <soma/error.h>
#include <soma/nameservice.h>
#include <soma/request.h>
#include <soma/soma.h>
#include <soma/timer.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAMES 40u
#define OXEN 10u /* names of agents that live on: they must never be said not to be there */
#define GONE_MOST 100000u
#define STALE_MS 200u
#define DOWN_MS 500u
#define ASK_MS 250u                 /* for a lookup of the load */
#define PATIENCE (60 * SOMA_SECOND) /* for what surely comes */

/* Shared by all processes. The farm writes who is gone, the asker reads. */
struct ledger {
    char addresses[2][256]; /* of the servers; empty: not up yet */
    atomic_uint gone_count;
    struct {
        soma_ref agent;
        uint64_t at; /* the server had another one in its place by then */
    } gone[GONE_MOST];
    atomic_ullong killed_at; /* the first server was, while another follows it; 0: no */
    atomic_uint farmed;      /* names that the farm has registered for the first time */
    soma_ref oxen[OXEN];     /* before all are farmed */
};

static struct ledger *ledger;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); // one for all processes
    return (uint64_t)t.tv_sec * SOMA_SECOND + (uint64_t)t.tv_nsec;
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static _Noreturn void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, soma_strerror(error));
    _exit(1);
}

static void must(const char *what, int error)
{
    if (error)
        die(what, error);
}

static void node_open(const char *name, const char *bind, soma_system **system, soma_bridge **bridge)
{
    const char *const addresses[] = {bind, NULL};
    const soma_bridge_options options = {
        .name = name, .bind = addresses, .heartbeat_ms = 100, .down_ms = DOWN_MS, .retry_most_ms = 100};
    must("system", soma_system_open(system, &(soma_options){.workers = 1, .log_level = SOMA_LOG_OFF}));
    must("bridge", soma_bridge_open(*system, &options, bridge));
}

static void names_open(soma_system *system, soma_bridge *bridge, soma_names **names)
{
    const char *addresses[] = {ledger->addresses[0], NULL, NULL};
    if (*ledger->addresses[1])
        addresses[1] = ledger->addresses[1];
    const soma_names_options options = {.addresses = addresses, .stale_ms = STALE_MS, .retry_ms = 50};
    must("names", soma_names_open(system, bridge, &options, names));
}

static int ledger_file; /* what the ledger is in: the other processes get its number */

static void ledger_map(void)
{
    ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, ledger_file, 0);
    if (ledger == MAP_FAILED)
        die("ledger", SOMA_ENOMEM);
}

/* This program anew, as something else: a fork alone would have the threads' state without its threads. */
static pid_t child(const char *role, uint32_t number)
{
    char which[16], file[16];
    snprintf(which, sizeof(which), "%u", number);
    snprintf(file, sizeof(file), "%d", ledger_file);
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl("/proc/self/exe", "names_crash_test", role, which, file, (char *)NULL);
    _exit(127);
}

/* ---- a server's process ---- */

/* Number 1 follows number 0. It listens where the one before it did. */
static _Noreturn void server_run(uint32_t number)
{
    char *address = ledger->addresses[number];
    const char *const follow[] = {ledger->addresses[0], NULL};
    soma_system *system;
    soma_bridge *bridge;
    node_open(number ? "second" : "first", *address ? address : "tcp://127.0.0.1", &system, &bridge);
    const soma_nameserver_options options = {.follow = number ? follow : NULL, .bridge = bridge};
    must("nameserver", soma_nameserver_start(system, &options, NULL));
    if (!*address)
        snprintf(address, sizeof(ledger->addresses[number]), "%s", soma_bridge_address(bridge, 0));
    for (;;)
        pause();
}

static pid_t server_start(uint32_t number)
{
    pid_t pid = child("server", number);
    while (!*(volatile char *)ledger->addresses[number]) // a word of another process; nothing hangs on its order
        nap();
    return pid;
}

static void server_kill(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- the farm's process: a thread of its own plays all agents' fate ---- */

static const soma_behavior cow = {.name = "cow"};

/* An agent in place of the one before, which ends. Written down is only what the server surely knew. */
static void farm_replace(soma_system *system, soma_names *names, uint32_t number, soma_ref *agent)
{
    char name[16];
    soma_ref before = *agent;
    snprintf(name, sizeof(name), "cow/%u", number);
    must("spawn", soma_spawn(system, &cow, NULL, agent));
    if (!soma_ref_is_null(before))
        soma_kill(system, before);
    int error;
    while ((error = soma_names_register(names, name, *agent, SOMA_SECOND)) != 0)
        if (error != SOMA_EEXIST && error != SOMA_ETIMEOUT) // the one before is not known to be gone; no server
            die("register", error);
    if (soma_ref_is_null(before)) {
        atomic_fetch_add(&ledger->farmed, 1);
        return;
    }
    unsigned count = atomic_load(&ledger->gone_count);
    if (count == GONE_MOST)
        return;
    ledger->gone[count].agent = before;
    ledger->gone[count].at = now();
    atomic_store(&ledger->gone_count, count + 1);
}

static void oxen_register(soma_system *system, soma_names *names)
{
    for (uint32_t i = 0; i < OXEN; i++) {
        char name[16];
        snprintf(name, sizeof(name), "ox/%u", i);
        must("spawn", soma_spawn(system, &cow, NULL, &ledger->oxen[i]));
        must("register", soma_names_register(names, name, ledger->oxen[i], PATIENCE));
    }
}

static _Noreturn void farm_run(void)
{
    soma_ref agents[NAMES] = {{0}};
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names;
    node_open("farm", "tcp://127.0.0.1", &system, &bridge);
    names_open(system, bridge, &names);
    oxen_register(system, names);
    for (uint32_t i = 0; i < NAMES; i++)
        farm_replace(system, names, i, &agents[i]);
    for (uint32_t i = 0;; i++, nap())
        farm_replace(system, names, i * 7 % NAMES, &agents[i * 7 % NAMES]);
}

/* ---- this process asks ---- */

SOMA_MESSAGE(ask)

struct counts {
    atomic_uint found, missing, late, wrong;
};

static struct counts counts;

struct asker {
    soma_ref names;
};

/*
 * Was it gone when the lookup began, and the server knew? The last word of a first server may not have reached its
 * follower.
 */
static bool known_gone(soma_ref agent, uint64_t begun)
{
    uint64_t killed_at = atomic_load(&ledger->killed_at);
    unsigned i = atomic_load(&ledger->gone_count);
    while (i > 0 && !soma_ref_equal(ledger->gone[i - 1].agent, agent))
        i--;
    if (!i || ledger->gone[i - 1].at >= begun)
        return false;
    return !killed_at || ledger->gone[i - 1].at + DOWN_MS * SOMA_MS < killed_at;
}

static int on_name(soma_agent *self, struct asker *my, const struct soma_name *m)
{
    (void)my;
    atomic_fetch_add(known_gone(m->agent, soma_tag(self)) ? &counts.wrong : &counts.found, 1);
    return 0;
}

static int on_no_name(soma_agent *self, struct asker *my, const int *error)
{
    (void)self, (void)my;
    atomic_fetch_add(*error == SOMA_ENOENT     ? &counts.missing
                     : *error == SOMA_ETIMEOUT ? &counts.late
                                               : &counts.wrong,
                     1);
    return 0;
}

static int on_ox(soma_agent *self, struct asker *my, const struct soma_name *m)
{
    (void)my;
    atomic_fetch_add(soma_ref_equal(m->agent, ledger->oxen[soma_tag(self)]) ? &counts.found : &counts.wrong, 1);
    return 0;
}

/* Nobody may say that it is not there. */
static int on_no_ox(soma_agent *self, struct asker *my, const int *error)
{
    (void)self, (void)my;
    atomic_fetch_add(*error == SOMA_ETIMEOUT ? &counts.late : &counts.wrong, 1);
    return 0;
}

static int ox_ask(soma_agent *self, const struct asker *my, bool fresh)
{
    char name[16];
    uint64_t number = soma_random(self) % OXEN;
    snprintf(name, sizeof(name), "ox/%u", (unsigned)number);
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name, on_ox, on_no_ox, .tag = number),
                        soma_name_lookup, .name = name, .fresh = fresh, .timeout = ASK_MS * SOMA_MS) < 0
               ? SOMA_ENOMEM
               : 0;
}

/* The tag is when what may be told was still right. */
static int on_ask(soma_agent *self, struct asker *my, const struct ask *m)
{
    char name[16];
    bool fresh = soma_random(self) % 2;
    if (soma_random(self) % 4 == 0)
        return ox_ask(self, my, fresh);
    uint64_t begun = now() - (fresh ? 0 : STALE_MS * SOMA_MS);
    (void)m;
    snprintf(name, sizeof(name), "cow/%u", (unsigned)(soma_random(self) % NAMES));
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name, on_name, on_no_name, .tag = begun),
                        soma_name_lookup, .name = name, .fresh = fresh, .timeout = ASK_MS * SOMA_MS) < 0
               ? SOMA_ENOMEM
               : 0;
}

static int asker_init(soma_agent *self, void *state, const void *names)
{
    memcpy(state, names, sizeof(struct asker));
    return soma_each(self, SOMA_MS, ask) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior asker = {.name = "asker",
                                    .state_size = sizeof(struct asker),
                                    .init = asker_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

/* Waits until so many more answers of a kind have come. */
static void await(const char *what, atomic_uint *count, unsigned more)
{
    unsigned wanted = atomic_load(count) + more;
    for (uint64_t until = now() + PATIENCE; atomic_load(count) < wanted; nap())
        if (now() > until)
            fail_msg("waited in vain: %s", what);
}

static void await_time(uint64_t time)
{
    for (uint64_t until = now() + time; now() < until;)
        nap();
}

struct world {
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names;
    pid_t servers[2], farm;
};

static void world_open(struct world *world, uint32_t servers)
{
    soma_ref ref;
    ledger_file = memfd_create("ledger", 0);
    assert_true(ledger_file >= 0);
    assert_int_equal(ftruncate(ledger_file, sizeof(*ledger)), 0);
    ledger_map();
    memset(&counts, 0, sizeof(counts));
    *world = (struct world){0};
    for (uint32_t i = 0; i < servers; i++)
        world->servers[i] = server_start(i);
    world->farm = child("farm", 0);
    node_open("asker", "tcp://127.0.0.1", &world->system, &world->bridge);
    names_open(world->system, world->bridge, &world->names);
    while (atomic_load(&ledger->farmed) < NAMES)
        nap();
    soma_ref names = soma_names_agent(world->names);
    assert_int_equal(soma_spawn(world->system, &asker, &names, &ref), 0);
    await("answers", &counts.found, 100);
}

static void world_close(struct world *world)
{
    assert_int_equal(atomic_load(&counts.wrong), 0);
    assert_true(atomic_load(&ledger->gone_count) > 50); // agents did end meanwhile
    assert_int_equal(soma_names_close(&world->names), 0);
    assert_int_equal(soma_system_cancel(&world->system), 0); // before the others are gone, for whom it would wait
    for (uint32_t i = 0; i < 2; i++)
        if (world->servers[i])
            server_kill(world->servers[i]);
    server_kill(world->farm);
    print_message("%u found, %u missing, %u late, %u agents replaced\n", atomic_load(&counts.found),
                  atomic_load(&counts.missing), atomic_load(&counts.late), atomic_load(&ledger->gone_count));
    munmap(ledger, sizeof(*ledger));
    close(ledger_file);
}

/* The server has each name. */
static void all_back(const struct world *world)
{
    char name[16];
    uint64_t begun = now();
    for (uint32_t i = 0; i < NAMES; i++) {
        struct soma_name entry;
        snprintf(name, sizeof(name), "cow/%u", i);
        while (soma_names_info(world->names, name, SOMA_SECOND, &entry)) {
            assert_true(now() - begun < PATIENCE);
            nap();
        }
        soma_name_destroy(&entry);
    }
    print_message("all %u names are there after %.2f s\n", NAMES, (double)(now() - begun) / 1e9);
}

/* ---- the tests ---- */

static void test_killed(void **state)
{
    struct world world;
    (void)state;
    world_open(&world, 1);
    for (uint32_t i = 0; i < 2; i++) {
        server_kill(world.servers[0]);
        if (i) // it is away for a while
            await("word that nobody can tell", &counts.late, 100);
        world.servers[0] = server_start(0);
        all_back(&world);
        await("answers of the next server", &counts.found, 100);
    }
    world_close(&world);
}

static void test_stopped(void **state)
{
    struct world world;
    (void)state;
    world_open(&world, 1);
    assert_int_equal(kill(world.servers[0], SIGSTOP), 0); // for less than it takes to be down
    await_time(DOWN_MS / 3 * SOMA_MS);
    assert_int_equal(kill(world.servers[0], SIGCONT), 0);
    await("answers after a pause", &counts.found, 100);
    assert_int_equal(kill(world.servers[0], SIGSTOP), 0); // and for more
    await("word that nobody can tell", &counts.late, 100);
    await_time(DOWN_MS * SOMA_MS);
    assert_int_equal(kill(world.servers[0], SIGCONT), 0);
    all_back(&world);
    await("answers after an outage", &counts.found, 100);
    world_close(&world);
}

static void test_followed(void **state)
{
    struct world world;
    soma_ref server, before;
    (void)state;
    world_open(&world, 2);
    assert_int_equal(soma_names_server(world.names, PATIENCE, &before), 0);
    atomic_store(&ledger->killed_at, now());
    server_kill(world.servers[0]);
    do // until this node is the follower's client
        assert_int_equal(soma_names_server(world.names, PATIENCE, &server), 0);
    while (soma_ref_equal(server, before));
    await("answers of the follower", &counts.found, 100);
    before = server;
    world.servers[0] = server_start(0);
    do
        assert_int_equal(soma_names_server(world.names, PATIENCE, &server), 0);
    while (soma_ref_equal(server, before));
    all_back(&world);
    await_time(2 * SOMA_MS * STALE_MS); // until nothing counts that the follower said
    atomic_store(&ledger->killed_at, 0);
    await("answers of the first", &counts.found, 100);
    world_close(&world);
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        ledger_file = (int)strtol(argv[3], NULL, 10);
        ledger_map();
        if (!strcmp(argv[1], "farm"))
            farm_run();
        server_run((uint32_t)strtoul(argv[2], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
