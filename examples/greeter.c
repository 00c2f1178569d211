/* Behaviors of one's own, wired from main: Alice's binds when she begins and has a method that sends; main asks for the
 * address by its alias, and has Bob's own method handle what comes. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

#define PATIENCE (5 * SOMA_SECOND)

SOMA_MESSAGE(greeting, (string, text))

static int greeter_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_bind(self, SOMA_PUSH, "main", NULL, NULL);
}

static int hello(soma_agent *self, void *my, soma_value name, soma_value_builder *result)
{
    char text[64];
    const char *who;
    uint32_t size;
    (void)my, (void)result;
    int error = soma_value_get_string(name, &who, &size);
    if (error)
        return error;
    snprintf(text, sizeof(text), "Hello, %.*s!", (int)size, who);
    return soma_send_to(self, "main", greeting, .text = text);
}

static const soma_behavior greeter = {.name = "greeter",
                                      .base = &soma_channel_agent,
                                      .init = greeter_init,
                                      .methods = SOMA_METHODS(SOMA_METHOD("hello", hello, "greets whom it is told"))};

static int received(soma_agent *self, void *my, soma_value message, soma_value_builder *result)
{
    soma_value field;
    const char *text;
    uint32_t size;
    (void)self, (void)my, (void)result;
    int error = soma_value_get_entry(message, "text", &field);
    error = error ? error : soma_value_get_string(field, &text, &size);
    if (!error)
        printf("Received: %.*s\n", (int)size, text);
    return error;
}

static const soma_behavior listener = {.name = "listener",
                                       .base = &soma_channel_agent,
                                       .methods = SOMA_METHODS(SOMA_METHOD("received", received, "prints a greeting"))};

int main(void)
{
    soma_system *system;
    soma_proxy *alice, *bob;
    soma_ref refs[2];
    soma_value name;
    char address[SOMA_ADDRESS_MOST + 1];
    if (soma_system_open(&system, NULL) || soma_spawn(system, &greeter, NULL, &refs[0]) ||
        soma_spawn(system, &listener, NULL, &refs[1]) || soma_proxy_open_ref(system, refs[0], &alice) ||
        soma_proxy_open_ref(system, refs[1], &bob) || soma_value_from_json("\"Bob\"", 5, &name))
        return 1;
    int error = soma_proxy_address(alice, PATIENCE, "main", address);
    error = error ? error : soma_proxy_connect(bob, PATIENCE, address, "in", "received");
    error = error ? error : soma_proxy_wait_peers(alice, PATIENCE, "main", 1);
    for (int i = 0; i < 3 && !error; i++)
        error = soma_proxy_call(alice, PATIENCE, "hello", name, NULL);
    soma_value_destroy(&name);
    return soma_proxy_close(&alice) || soma_proxy_close(&bob) || soma_system_close(&system) || error;
}
