/* Must not compile: a handler returns nothing, and would end its agent by chance. */
#include <soma/soma.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

static void on_a(soma_agent *self, void *my, const struct a *message)
{
    (void)self, (void)my, (void)message;
}

const soma_behavior wrong = {.name = "wrong", .handlers = SOMA_HANDLERS(SOMA_ON(a, on_a))};
