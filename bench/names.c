/*
 * Workload `names`: a name server in one process, and in another a node that registers an agent a name, looks names up,
 * lists and watches them, over TCP on loopback; then the server ends, and another one gets all again. A line each.
 * Many requests are on their way at a time, so it is a rate, not a wait, that is measured.
 */
#include "bench.h"
#include <soma/bridge.h>
#include <soma/nameservice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNDER_WAY 256u /* requests of the driver's */
#define CACHED_TIMES 10u

SOMA_MESSAGE(names_phase, (u32, kind))
SOMA_MESSAGE(names_phase_done)

enum phase { PHASE_REGISTER, PHASE_LOOKUP, PHASE_CACHED };

/* ---- the server's process ---- */

/* Says its address, and then, at each word: how much memory it takes, or that another server runs in place of its own.
 */
static _Noreturn void server_run(const struct bench *bench, int socket)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_nameserver_options quick = {.settle_ms = 1, .node_most = (uint32_t)bench->ops};
    const soma_options options = {.workers = bench->workers, .log_level = SOMA_LOG_ERROR};
    soma_system *system;
    soma_bridge *bridge;
    soma_ref server, found;
    char word;
    check(soma_system_open(&system, &options), "open");
    check(soma_bridge_open(system, &(soma_bridge_options){.name = "hub", .bind = bind}, &bridge), "bridge");
    check(soma_nameserver_start(system, &quick, &server), "nameserver");
    const char *address = soma_bridge_address(bridge, 0);
    bool alive = write(socket, address, strlen(address) + 1) > 0;
    while (alive && read(socket, &word, 1) == 1) {
        double bytes = rss();
        if (word == 'r') {
            check(soma_kill(system, server), "kill");
            while (!soma_whereis(system, SOMA_NAMESERVER, &found))
                usleep(100);
            check(soma_nameserver_start(system, &quick, &server), "nameserver");
        }
        alive = write(socket, &bytes, sizeof(bytes)) > 0;
    }
    soma_bridge_close(&bridge);
    soma_system_cancel(&system);
    _exit(0);
}

static double server_ask(int socket, char word)
{
    double bytes = 0;
    if (write(socket, &word, 1) != 1 || read(socket, &bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
        exit(1);
    return bytes;
}

/* ---- the node's agents ---- */

static int on_poke(soma_agent *self, void *my, const struct names_phase_done *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior bearer = {.name = "bearer", .handlers = SOMA_HANDLERS(SOMA_ON(names_phase_done, on_poke))};

/* Sends the requests of a phase. */
struct names_driver {
    soma_ref names;
    const soma_ref *agents;
    uint64_t count; /* of them, and of names */
    enum phase phase;
    uint64_t next, done, all;
    soma_handle promise;
};

static int driver_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    memcpy(state, arg, sizeof(struct names_driver));
    return 0;
}

static int driver_ask(soma_agent *self, struct names_driver *my);

static int driver_answered(soma_agent *self, struct names_driver *my)
{
    if (++my->done == my->all)
        return soma_reply_to(self, my->promise, names_phase_done);
    return my->next < my->all ? driver_ask(self, my) : 0;
}

static int on_registered(soma_agent *self, struct names_driver *my, const struct soma_name_registered *m)
{
    check(m->error, "register");
    return driver_answered(self, my);
}

static int on_name(soma_agent *self, struct names_driver *my, const struct soma_name *m)
{
    if (!soma_ref_equal(m->agent, my->agents[soma_tag(self)]))
        check(SOMA_EGONE, "lookup");
    return driver_answered(self, my);
}

static int on_failure(soma_agent *self, struct names_driver *my, const int *error)
{
    (void)self, (void)my;
    check(*error, "names");
    return 0;
}

/* Names are asked for in an order that jumps. */
static int driver_ask(soma_agent *self, struct names_driver *my)
{
    char name[32];
    uint64_t number = my->next++ * 7919 % my->count;
    soma_handle request;
    snprintf(name, sizeof(name), "bench/%07" PRIu64, number);
    if (my->phase == PHASE_REGISTER)
        request = soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_registered, on_failure),
                               soma_name_register, .name = name, .agent = my->agents[number]);
    else
        request = soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name, on_name, on_failure, .tag = number),
                               soma_name_lookup, .name = name, .fresh = my->phase == PHASE_LOOKUP);
    return request < 0 ? (int)request : 0;
}

static int on_phase(soma_agent *self, struct names_driver *my, const struct names_phase *m)
{
    my->phase = (enum phase)m->kind;
    my->next = my->done = 0;
    my->all = my->phase == PHASE_CACHED ? my->count * CACHED_TIMES : my->count;
    my->promise = soma_reply_later(self);
    int error = my->promise < 0 ? (int)my->promise : 0;
    for (uint32_t i = 0; i < UNDER_WAY && my->next < my->all && !error; i++)
        error = driver_ask(self, my);
    return error;
}

static const soma_behavior names_driver = {.name = "driver",
                                           .state_size = sizeof(struct names_driver),
                                           .init = driver_init,
                                           .handlers = SOMA_HANDLERS(SOMA_ON(names_phase, on_phase))};

/* ---- the phases ---- */

static void say(struct bench *bench, const char *what, uint64_t ops, double begun, bool json)
{
    bench->seconds = now() - begun;
    struct bench line = *bench;
    line.ops = ops;
    print_line(what, "soma", &line, json);
}

static double drive(struct bench *bench, soma_ref driver, enum phase phase)
{
    struct names_phase_done done;
    double begun = now();
    check(soma_call(bench->system, driver, SOMA_NEVER, &done, names_phase_done, names_phase, .kind = (uint32_t)phase),
          "phase");
    return begun;
}

static uint64_t list_all(soma_names *names)
{
    char after[SOMA_NAME_MOST + 1] = "";
    struct soma_name_page page;
    uint64_t count = 0;
    bool more = true;
    while (more) {
        check(soma_names_list(names, "bench/", after, 0, 0, &page), "list");
        more = page.more;
        count += page.names.count;
        if (page.names.count)
            snprintf(after, sizeof(after), "%s", page.names.items[page.names.count - 1].name);
        soma_name_page_destroy(&page);
    }
    return count;
}

static atomic_ullong currents; /* how often a watcher was told that it has seen all */

static void note_event(void *context, const struct soma_name_event *event)
{
    (void)context;
    if (event->event == SOMA_NAME_CURRENT)
        atomic_fetch_add_explicit(&currents, 1, memory_order_relaxed); // only counted
}

static void await_current(uint64_t times)
{
    while (atomic_load_explicit(&currents, memory_order_relaxed) < times)
        usleep(200);
}

static soma_ref *bearers_spawn(struct bench *bench)
{
    soma_ref *agents = calloc(bench->ops, sizeof(*agents));
    for (uint64_t i = 0; agents && i < bench->ops; i++)
        spawn(bench, &bearer, NULL, &agents[i]);
    if (!agents)
        check(SOMA_ENOMEM, "agents");
    return agents;
}

static void phases(struct bench *bench, soma_names *names, int socket, bool json)
{
    soma_ref *agents = bearers_spawn(bench), driver, watcher;
    const struct names_driver start = {.names = soma_names_agent(names), .agents = agents, .count = bench->ops};
    spawn(bench, &names_driver, &start, &driver);
    double server = server_ask(socket, 'm'), client = rss();
    double begun = drive(bench, driver, PHASE_REGISTER);
    double end = now();
    bench->name_bytes_server = (server_ask(socket, 'm') - server) / (double)bench->ops;
    bench->name_bytes_client = (rss() - client) / (double)bench->ops;
    say(bench, "names_register", bench->ops, begun + (now() - end), json);
    bench->name_bytes_server = bench->name_bytes_client = 0;
    begun = drive(bench, driver, PHASE_LOOKUP);
    say(bench, "names_lookup", bench->ops, begun, json);
    begun = drive(bench, driver, PHASE_CACHED);
    say(bench, "names_cached", bench->ops * CACHED_TIMES, begun, json);
    begun = now();
    if (list_all(names) != bench->ops)
        check(SOMA_ENOENT, "list");
    say(bench, "names_list", bench->ops, begun, json);
    begun = now();
    check(soma_names_watch(names, "bench/", note_event, NULL, &watcher), "watch");
    await_current(1);
    say(bench, "names_watch", bench->ops, begun, json);
    begun = now();
    server_ask(socket, 'r');
    await_current(2);
    while (list_all(names) < bench->ops)
        usleep(200);
    say(bench, "names_back", bench->ops, begun, json);
    free(agents);
}

void run_names(struct bench *bench, bool json)
{
    char address[256] = "";
    int ends[2];
    soma_bridge *bridge;
    soma_names *names;
    if (!bench->ops)
        bench->ops = 100000;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
        exit(1);
    if (!fork()) {
        close(ends[0]);
        server_run(bench, ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], address, sizeof(address)) <= 0)
        exit(1);
    const char *const addresses[] = {address, NULL}, *const connect[] = {address, NULL};
    system_open(bench);
    check(soma_bridge_open(bench->system, &(soma_bridge_options){.connect = connect}, &bridge), "bridge");
    const soma_names_options options = {
        .addresses = addresses, .names_most = (uint32_t)bench->ops, .cache_most = (uint32_t)bench->ops};
    check(soma_names_open(bench->system, bridge, &options, &names), "names");
    check(soma_names_server(names, 0, NULL), "server");
    phases(bench, names, ends[0], json);
    soma_names_close(&names);
    soma_bridge_close(&bridge);
    check(soma_system_cancel(&bench->system), "close");
    close(ends[0]);
    while (wait(NULL) > 0)
        ;
}
