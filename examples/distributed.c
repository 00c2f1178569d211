/* Two agents, each in a process of its own, that know nothing of each other: main finds them by name, has one bind and
 * the other connect, and then ask. All that the three share is the name server's address. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE (20 * SOMA_SECOND)

static char server_address[64];

static int square(soma_agent *self, void *my, soma_value number, soma_value_builder *result)
{
    int64_t n;
    (void)self, (void)my;
    int error = soma_value_get_i64(number, &n);
    return error ? error : soma_value_add_i64(result, n * n);
}

static const soma_behavior person = {
    .name = "person", .base = &soma_channel_agent, .methods = SOMA_METHODS(SOMA_METHOD("square", square))};

/* A process with one agent, until main closes its end of the pipe. */
static int serve(const char *name, int until)
{
    const char *const servers[] = {server_address, NULL}, *const bind[] = {"tcp://127.0.0.1", NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names;
    soma_ref agent;
    char end;
    if (soma_system_open(&system, NULL) ||
        soma_bridge_open(system, &(soma_bridge_options){.bind = bind, .close_ms = 500}, &bridge) ||
        soma_names_open(system, bridge, &(soma_names_options){.addresses = servers}, &names) ||
        soma_spawn(system, &person, NULL, &agent))
        return 1;
    int error = soma_names_register(names, name, agent, PATIENCE) || read(until, &end, 1) < 0;
    return soma_names_close(&names) || soma_system_close(&system) || error;
}

static int run(soma_proxy *alice, soma_proxy *bob)
{
    soma_value seven, answer = SOMA_VALUE_NONE;
    int64_t number = 0;
    int error = soma_value_from_json("7", 1, &seven) || soma_proxy_wait(alice, PATIENCE) ||
                soma_proxy_wait(bob, PATIENCE) ||
                soma_proxy_bind(bob, PATIENCE, SOMA_REP, "main", "tcp://127.0.0.1", "square", NULL) ||
                soma_proxy_connect(alice, PATIENCE, "bob/main", "bob", NULL) ||
                soma_proxy_wait_peers(alice, PATIENCE, "bob", 1) ||
                soma_proxy_request_to(alice, PATIENCE, "bob", seven, &answer) || soma_value_get_i64(answer, &number);
    printf("alice asks bob what 7 squared is: %lld\n", (long long)number);
    soma_value_destroy(&answer);
    soma_value_destroy(&seven);
    return error;
}

int main(void)
{
    const char *const bind[] = {server_address, NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names;
    soma_proxy *alice, *bob;
    int ends[2], error = pipe(ends);
    snprintf(server_address, sizeof(server_address), "ipc:///tmp/soma-distributed-%d", (int)getpid());
    for (int i = 0; i < 2 && !error; i++)
        if (!fork()) /* before any system is open */
            return close(ends[1]) || serve(i ? "alice" : "bob", ends[0]);
    if (error || soma_system_open(&system, NULL) ||
        soma_bridge_open(system, &(soma_bridge_options){.bind = bind}, &bridge) ||
        soma_nameserver_start(system, NULL, NULL) || soma_names_open(system, bridge, NULL, &names) ||
        soma_proxy_open_named(system, names, "alice", &alice) || soma_proxy_open_named(system, names, "bob", &bob))
        return 1;
    error = run(alice, bob);
    close(ends[1]);
    error = wait(NULL) < 0 || wait(NULL) < 0 || error;
    return soma_proxy_close(&alice) || soma_proxy_close(&bob) || soma_names_close(&names) ||
           soma_system_close(&system) || error;
}
