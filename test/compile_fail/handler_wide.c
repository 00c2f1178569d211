/* Must not compile: a handler returns a handle, of which only half would arrive. */
#include <soma/soma.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

static soma_handle on_a(soma_agent *self, void *my, const struct a *message)
{
    (void)my, (void)message;
    return soma_after(self, SOMA_SECOND, a);
}

const soma_behavior wrong = {.name = "wrong", .handlers = SOMA_HANDLERS(SOMA_ON(a, on_a))};
