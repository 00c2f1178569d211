/* Two nodes: the same send and request as ever, to an agent in another process. docs/bridges.md */
#include <soma/bridge.h>
#include <soma/soma.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(greet, (string, name))
SOMA_MESSAGE(greeting, (string, text))
SOMA_MESSAGE(leave)

static int on_greet(soma_agent *self, void *my, const struct greet *m)
{
    char text[64];
    (void)my;
    snprintf(text, sizeof(text), "Hello, %s, from process two!", m->name);
    return soma_reply(self, greeting, .text = text);
}

static int on_leave(soma_agent *self, void *my, const struct leave *m)
{
    (void)my, (void)m;
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior greeter = {.name = "greeter",
                                      .handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet), SOMA_ON(leave, on_leave))};

/* The node that listens: it tells where by a pipe, here; elsewhere it is a known port or a name server. */
static int serve(int out)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    if (soma_system_open(&system, NULL) ||
        soma_bridge_open(system, &(soma_bridge_options){.name = "two", .bind = bind}, &bridge) ||
        soma_spawn(system, &greeter, NULL, &agent) || soma_name_set(system, agent, "greeter"))
        return 1;
    dprintf(out, "%s", soma_bridge_address(bridge, 0));
    close(out);
    soma_system_run(system);
    return soma_system_close(&system);
}

static int call(const char *address)
{
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    struct greeting answer;
    if (soma_system_open(&system, NULL) || soma_bridge_open(system, &(soma_bridge_options){.name = "one"}, &bridge) ||
        soma_bridge_find(bridge, address, "greeter", 10 * SOMA_SECOND, &agent))
        return 1;
    int error = soma_call(system, agent, SOMA_SECOND, &answer, greeting, greet, .name = "process one");
    printf("%s\n", error ? soma_strerror(error) : answer.text);
    greeting_destroy(&answer);
    soma_send(system, agent, leave);
    return soma_system_close(&system) || error;
}

int main(void)
{
    int ends[2], status = 1;
    char address[256] = "";
    if (pipe(ends))
        return 1;
    if (!fork()) // before any system is open
        return serve(ends[1]);
    close(ends[1]);
    if (read(ends[0], address, sizeof(address) - 1) <= 0)
        return 1;
    int error = call(address);
    wait(&status);
    return error || status;
}
