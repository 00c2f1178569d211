/* A name server and its agents: main lists them, and calls one that it knows by nothing but its name.
 * docs/nameservice.md, docs/proxy.md */
#include <soma/soma.h>
#include <stdio.h>

#define PATIENCE (5 * SOMA_SECOND)

static int greet(soma_agent *self, uint32_t *my, soma_value arguments, soma_value_builder *result)
{
    char text[64];
    (void)self, (void)arguments;
    snprintf(text, sizeof(text), "hello, you are number %u", ++*my);
    return soma_value_add_string(result, text);
}

static const soma_behavior greeter = {.name = "greeter",
                                      .state_size = sizeof(uint32_t),
                                      .methods = SOMA_METHODS(SOMA_METHOD("greet", greet, "gives a greeting"))};

static int list(soma_names *names)
{
    struct soma_name_page page;
    int error = soma_names_list(names, "agent/", NULL, 0, PATIENCE, &page);
    for (uint32_t i = 0; !error && i < page.names.count; i++)
        printf("%s\n", page.names.items[i].name);
    soma_name_page_destroy(&page);
    return error;
}

static int call(soma_system *system, soma_names *names)
{
    soma_proxy *proxy;
    soma_value greeting;
    const char *text;
    uint32_t size;
    int error = soma_proxy_open_named(system, names, "agent/1", &proxy);
    error = error ? error : soma_proxy_call(proxy, PATIENCE, "greet", SOMA_VALUE_NONE, &greeting);
    if (!error && !(error = soma_value_get_string(greeting, &text, &size)))
        printf("agent/1 says: %.*s\n", (int)size, text);
    if (error)
        printf("agent/1: %s\n", soma_proxy_error(proxy));
    soma_value_destroy(&greeting);
    soma_proxy_close(&proxy);
    return error;
}

int main(void)
{
    soma_system *system;
    soma_names *names;
    soma_ref agent, other = SOMA_REF_NULL;
    if (soma_system_open(&system, NULL) || soma_nameserver_start(system, NULL, NULL) ||
        soma_names_open(system, NULL, NULL, &names))
        return 1;
    int error = 0;
    for (int i = 0; i < 3 && !error; i++) {
        char name[32];
        snprintf(name, sizeof(name), "agent/%d", i);
        error = soma_spawn(system, &greeter, NULL, &agent);
        error = error ? error : soma_names_register(names, name, agent, PATIENCE);
    }
    error = error || list(names) || call(system, names) || soma_spawn(system, &greeter, NULL, &other);
    int taken = soma_names_register(names, "agent/2", other, PATIENCE);
    printf("another agent/2: %s\n", soma_strerror(taken));
    return soma_names_close(&names) || soma_system_close(&system) || error || taken != SOMA_EEXIST;
}
