/* Two nodes: the same send and request as ever, to an agent in another process. With arguments it is one of the two
 * alone, and the other may be python/hello.py: `serve ADDRESS`, or `call ADDRESS`. docs/bridges.md */
#include <soma/bridge.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(greet, (string, name))
SOMA_MESSAGE(greeting, (string, text))
SOMA_MESSAGE(leave)

static int on_greet(soma_agent *self, void *my, const struct greet *m)
{
    char text[64];
    (void)my;
    snprintf(text, sizeof(text), "Hello, %s, from C!", m->name ? m->name : "nobody");
    return soma_reply(self, greeting, .text = text);
}

static int on_leave(soma_agent *self, void *my, const struct leave *m)
{
    (void)my, (void)m;
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior greeter = {.name = "greeter",
                                      .handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet), SOMA_ON(leave, on_leave))};

/* The node that listens, and says where. */
static int serve(const char *address)
{
    const char *const bind[] = {address, NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &greeter, NULL, &agent) ||
        soma_name_set(system, agent, "greeter") ||
        soma_bridge_open(system, &(soma_bridge_options){.name = "two", .bind = bind}, &bridge))
        return 1;
    printf("%s\n", soma_bridge_address(bridge, 0));
    fflush(stdout);
    soma_system_run(system);
    return soma_system_close(&system);
}

static int call(const char *address)
{
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    struct greeting answer = {0};
    if (soma_system_open(&system, NULL) || soma_bridge_open(system, &(soma_bridge_options){.name = "one"}, &bridge))
        return 1;
    int error = soma_bridge_find(bridge, address, "greeter", 10 * SOMA_SECOND, &agent);
    if (!error)
        error = soma_call(system, agent, SOMA_SECOND, &answer, greeting, greet, .name = "C");
    printf("%s\n", error ? soma_strerror(error) : answer.text);
    greeting_destroy(&answer);
    soma_send(system, agent, leave);
    return soma_system_close(&system) || error;
}

int main(int argc, char **argv)
{
    char address[64];
    int status = 1;
    if (argc == 3)
        return strcmp(argv[1], "serve") ? call(argv[2]) : serve(argv[2]);
    if (argc > 1)
        return fprintf(stderr, "remote_hello [serve ADDRESS | call ADDRESS]\n") > 0;
    snprintf(address, sizeof(address), "ipc://@remote_hello.%d", (int)getpid());
    if (!fork()) // before any system is open
        return serve(address);
    int error = call(address);
    wait(&status);
    return error || status;
}
