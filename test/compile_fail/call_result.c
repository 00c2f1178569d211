/* Must not compile: the reply goes into another struct. */
#include <soma/soma.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

int ask(soma_system *system, soma_ref to)
{
    struct b reply;
    return soma_call(system, to, SOMA_SECOND, &reply, a, b);
}
