/* All is wired from main, by proxies: two agents that know nothing of each other, and a channel that main opens between
 * them, uses, and closes again. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE (5 * SOMA_SECOND)

/* ---- the agents: what they do with messages has a name, and that is all ---- */

struct person {
    char name[16];
};

static int person_init(soma_agent *self, void *state, const void *arg)
{
    struct person *my = state;
    snprintf(my->name, sizeof(my->name), "%s", (const char *)arg);
    return soma_name_set(soma_agent_system(self), soma_self(self), my->name);
}

static int hear(soma_agent *self, struct person *my, soma_value message, soma_value_builder *result)
{
    const char *text;
    uint32_t size;
    (void)self, (void)result;
    int error = soma_value_get_string(message, &text, &size);
    if (!error)
        printf("%s hears: %.*s\n", my->name, (int)size, text);
    return error;
}

static const soma_behavior person = {.name = "person",
                                     .state_size = sizeof(struct person),
                                     .base = &soma_channel_agent, /* so it can be wired from outside */
                                     .init = person_init,
                                     .methods = SOMA_METHODS(SOMA_METHOD("hear", hear, "prints what it is told"))};

/* ---- main ---- */

static int person_open(soma_system *system, const char *name, soma_proxy **proxy)
{
    int error = soma_spawn(system, &person, name, NULL);
    return error ? error : soma_proxy_open(system, name, proxy);
}

static int say(soma_proxy *who, const char *json)
{
    soma_value message;
    int error = soma_value_from_json(json, strlen(json), &message);
    error = error ? error : soma_proxy_send_to(who, PATIENCE, "main", message);
    soma_value_destroy(&message);
    return error;
}

int main(void)
{
    soma_system *system;
    soma_proxy *alice, *bob;
    char address[SOMA_ADDRESS_MOST + 1];
    if (soma_system_open(&system, NULL) || person_open(system, "alice", &alice) || person_open(system, "bob", &bob))
        return 1;
    int error = soma_proxy_bind(alice, PATIENCE, SOMA_PUSH, "main", NULL, NULL, address);
    error = error ? error : soma_proxy_connect(bob, PATIENCE, address, "in", "hear");
    error = error ? error : soma_proxy_wait_peers(alice, PATIENCE, "main", 1);
    for (int i = 0; i < 3 && !error; i++)
        error = say(alice, "\"Hello, Bob!\"");
    error = error ? error : soma_proxy_close_channel(alice, PATIENCE, "main");
    printf("alice: %s\n", !error && say(alice, "\"Bob?\"") ? soma_proxy_error(alice) : "that should have failed");
    soma_proxy_close(&alice);
    soma_proxy_close(&bob);
    return soma_system_close(&system) || error; /* bob has heard all by then */
}
