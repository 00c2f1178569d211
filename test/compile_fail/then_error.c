/* Must not compile: the error handler takes no error. */
#include <soma/soma.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

static int on_a(soma_agent *self, void *my, const struct a *message)
{
    (void)self, (void)my, (void)message;
    return 0;
}

soma_handle ask(soma_agent *self, soma_ref to)
{
    return soma_request(self, to, SOMA_SECOND, SOMA_THEN(a, on_a, on_a), b);
}
