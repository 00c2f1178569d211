/* A program outside the tree, built against an installed Soma. */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(tick)

static int on_tick(soma_agent *self, void *my, const struct tick *message)
{
    (void)my, (void)message;
    puts("tick");
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior ticker = {.name = "ticker", .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_tick))};

int main(void)
{
    soma_system *system;
    soma_ref ref;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &ticker, NULL, &ref) || soma_send(system, ref, tick))
        return 1;
    return soma_system_close(&system);
}
