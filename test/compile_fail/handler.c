/* Must not compile: the handler takes `b`, the table says `a`. */
#include <soma/soma.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

static int on_b(soma_agent *self, void *my, const struct b *message)
{
    (void)self, (void)my, (void)message;
    return 0;
}

const soma_behavior wrong = {.name = "wrong", .handlers = SOMA_HANDLERS(SOMA_ON(a, on_b))};
