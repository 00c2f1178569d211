/* Proxies: main looks at an agent in another process, sets it up and calls it, by names alone. docs/proxy.md */
#include <signal.h>
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct tank {
    int64_t litres;
    char place[32];
};

static int fill(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    int64_t litres;
    if (soma_value_get_i64(arguments, &litres) || litres < 0)
        return soma_fail(self, SOMA_EINVAL, "how many litres?");
    my->litres += litres;
    return soma_value_add_i64(result, my->litres);
}

static const soma_behavior tank = {
    .name = "tank",
    .state_size = sizeof(struct tank),
    .methods = SOMA_METHODS(SOMA_METHOD("fill", fill, "adds litres, gives how many there are")),
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE("place", struct tank, place, "where it stands"),
                                  SOMA_ATTRIBUTE_READ("litres", struct tank, litres, "how many are in it"))};

/* The other process: until it is told to stop. */
static int serve(const char *address)
{
    const char *const bind[] = {address, NULL};
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    if (soma_system_open(&system, NULL) || soma_system_stop_on_signals(system) ||
        soma_bridge_open(system, &(soma_bridge_options){.bind = bind}, &bridge) ||
        soma_spawn(system, &tank, NULL, &agent) || soma_name_set(system, agent, "tank"))
        return 1;
    soma_system_run(system);
    return soma_system_close(&system);
}

static int call(soma_proxy *proxy, const char *method, const char *json)
{
    soma_value arguments, result;
    char *text = NULL;
    int error = soma_value_from_json(json, strlen(json), &arguments);
    error = error ? error : soma_proxy_call(proxy, SOMA_SECOND, method, arguments, &result);
    error = error ? error : soma_value_to_json(result, &text);
    printf("%s(%s): %s\n", method, json, error ? soma_proxy_error(proxy) : text);
    free(text);
    soma_value_destroy(&result);
    soma_value_destroy(&arguments);
    return error;
}

int main(void)
{
    char address[64];
    soma_system *system;
    soma_bridge *bridge;
    soma_proxy *proxy;
    snprintf(address, sizeof(address), "ipc:///tmp/soma_proxy_example.%d", (int)getpid());
    pid_t child = fork(); // before any system is open
    if (!child)
        return serve(address);
    if (soma_system_open(&system, NULL) || soma_bridge_open(system, &(soma_bridge_options){0}, &bridge) ||
        soma_proxy_open_at(system, bridge, address, "tank", &proxy) || soma_proxy_wait(proxy, 10 * SOMA_SECOND))
        return 1;
    int error = call(proxy, "soma.set", "{\"place\":\"cellar\"}") || call(proxy, "fill", "40") ||
                call(proxy, "fill", "2") || call(proxy, "soma.get", "null") || !call(proxy, "fill", "\"some\"");
    kill(child, SIGTERM);
    soma_proxy_close(&proxy);
    return soma_system_close(&system) || waitpid(child, NULL, 0) != child || error;
}
