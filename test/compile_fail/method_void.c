/* Must not compile: a method returns nothing. */
#include <soma/soma.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

static void add(soma_agent *self, void *my, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)my, (void)arguments, (void)result;
}

const soma_behavior wrong = {.name = "wrong", .methods = SOMA_METHODS(SOMA_METHOD("add", add))};
