/* Two name servers, each with a group of its own, and one agent of the first that talks to both groups. When the second
 * group is over the first goes on. docs/nameservice.md */
#include <soma/soma.h>
#include <stdio.h>

#define PATIENCE (5 * SOMA_SECOND)

SOMA_MESSAGE(hello, (string, from))
SOMA_MESSAGE(welcome, (string, group))

/* A name server and an agent in a system of their own, as they would be in another program. */
struct group {
    const char *name;
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names; /* a client of its own name server, */
    soma_names *other; /* and one of the other's, if it needs it */
};

static int on_hello(soma_agent *self, const char **name, const struct hello *m)
{
    (void)m;
    return soma_reply(self, welcome, .group = *name);
}

static int host_init(soma_agent *self, void *state, const void *name)
{
    (void)self;
    *(const char **)state = name;
    return 0;
}

static const soma_behavior host = {.name = "host",
                                   .state_size = sizeof(char *),
                                   .init = host_init,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(hello, on_hello))};

static int group_open(struct group *group)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    static const soma_options quiet = {.log_level = SOMA_LOG_ERROR};
    const soma_bridge_options listens = {.name = group->name, .bind = loopback, .close_ms = 500};
    soma_ref agent;
    if (soma_system_open(&group->system, &quiet) || soma_bridge_open(group->system, &listens, &group->bridge) ||
        soma_nameserver_start(group->system, NULL, NULL) ||
        soma_names_open(group->system, group->bridge, NULL, &group->names) ||
        soma_spawn(group->system, &host, group->name, &agent))
        return 1;
    return soma_names_register(group->names, "host", agent, PATIENCE);
}

/* Says hello to the host of whatever group a client belongs to. */
static int greet(struct group *group, soma_names *names)
{
    struct welcome answer = {0};
    soma_ref agent;
    int error = soma_names_wait_running(names, "host", PATIENCE, &agent);
    error = error ? error : soma_call(group->system, agent, PATIENCE, &answer, welcome, hello, .from = "main");
    printf("the host of %s\n", error ? soma_strerror(error) : answer.group);
    welcome_destroy(&answer);
    return error;
}

int main(void)
{
    struct group red = {.name = "red"}, blue = {.name = "blue"};
    if (group_open(&red) || group_open(&blue))
        return 1;
    const char *const addresses[] = {soma_bridge_address(blue.bridge, 0), NULL};
    if (soma_names_open(red.system, red.bridge, &(soma_names_options){.addresses = addresses}, &red.other))
        return 1;
    int error = greet(&red, red.names) || greet(&red, red.other);
    error = soma_names_close(&blue.names) || soma_system_close(&blue.system) || error;
    error = greet(&red, red.names) || error; /* its own group needs no other */
    return soma_names_close(&red.other) || soma_names_close(&red.names) || soma_system_close(&red.system) || error;
}
