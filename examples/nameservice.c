/* Three processes that share nothing but a name server's address, started in any order. docs/nameservice.md */
#include <soma/soma.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(greet, (string, name))
SOMA_MESSAGE(greeting, (string, text)) /* back again */

static char server_address[64]; /* all that they share */

static int on_greet(soma_agent *self, void *my, const struct greet *m)
{
    (void)my;
    return soma_reply(self, greeting, .text = m->name);
}

static const soma_options quiet = {.log_level = SOMA_LOG_ERROR};
static const soma_behavior greeter = {.name = "greeter", .handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet))};

/* A node that listens at an address, until the parent closes its end of the pipe. */
static int node(const char *address, int until, bool serves)
{
    const char *const bind[] = {address, NULL}, *const servers[] = {server_address, NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names = NULL;
    soma_ref agent;
    char end;
    if (soma_system_open(&system, &quiet) ||
        soma_bridge_open(system, &(soma_bridge_options){.bind = bind, .close_ms = 500}, &bridge))
        return 1;
    int error = serves ? soma_nameserver_start(system, NULL, NULL)
                       : soma_names_open(system, bridge, &(soma_names_options){.addresses = servers}, &names);
    if (!serves && !error && !(error = soma_spawn(system, &greeter, NULL, &agent)))
        error = soma_names_register(names, "greeter", agent, 20 * SOMA_SECOND);
    error = error || read(until, &end, 1) < 0;
    soma_names_close(&names);
    return soma_system_close(&system) || error;
}

static int ask(void)
{
    const char *const servers[] = {server_address, NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names;
    soma_ref agent;
    struct greeting answer = {0};
    if (soma_system_open(&system, &quiet) || soma_bridge_open(system, &(soma_bridge_options){0}, &bridge) ||
        soma_names_open(system, bridge, &(soma_names_options){.addresses = servers}, &names))
        return 1;
    int error = soma_names_wait_running(names, "greeter", 20 * SOMA_SECOND, &agent);
    if (!error)
        error = soma_call(system, agent, SOMA_SECOND, &answer, greeting, greet, .name = "process three");
    printf("Hello, %s!\n", error ? soma_strerror(error) : answer.text);
    greeting_destroy(&answer);
    return soma_names_close(&names) || soma_system_close(&system) || error;
}

int main(void)
{
    int ends[2], first = 1, second = 1;
    snprintf(server_address, sizeof(server_address), "ipc:///tmp/soma-names-%d", (int)getpid());
    if (pipe(ends))
        return 1;
    for (int i = 0; i < 2; i++) { /* before any system is open */
        if (fork())
            continue;
        close(ends[1]);
        return i ? node(server_address, ends[0], true) : node("tcp://127.0.0.1", ends[0], false);
    }
    int error = ask();
    close(ends[1]);
    wait(&first);
    wait(&second);
    return error || first || second;
}
