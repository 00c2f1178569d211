/* The smallest program: one agent that greets whoever it is told of. See docs/tutorial.md. */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(greet, (string, name)) /* the struct, its descriptor, its functions */

struct greeter { /* the agent's state: only its handlers see it */
    uint64_t greeted;
};

static int on_greet(soma_agent *self, struct greeter *my, const struct greet *message)
{
    (void)self;
    my->greeted++;
    printf("Hello, %s! You are number %llu.\n", message->name, (unsigned long long)my->greeted);
    return 0; /* an error here would end this agent alone */
}

static const soma_behavior greeter = {
    .name = "greeter", .state_size = sizeof(struct greeter), .handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet))};

int main(void)
{
    soma_system *system;
    soma_ref alice;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &greeter, NULL, &alice);
    if (!error)
        error = soma_send(system, alice, greet, .name = "Bob");
    if (!error)
        error = soma_send(system, alice, greet, .name = "Carol");
    if (error)
        fprintf(stderr, "hello: %s\n", soma_strerror(error));
    int closing = soma_system_close(&system); /* handles what was sent, joins, frees */
    return error || closing;
}
