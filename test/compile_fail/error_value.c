/* Must not compile: the error handler takes a number, not a pointer to one. */
#include <soma/soma.h>

SOMA_MESSAGE(ask)
SOMA_MESSAGE(answer)

static int on_answer(soma_agent *self, void *my, const struct answer *m)
{
    return self && my && m;
}

static int on_error(soma_agent *self, void *my, int error)
{
    return self && my && error;
}

int use(soma_agent *self, soma_ref to)
{
    return (int)soma_request(self, to, SOMA_SECOND, SOMA_THEN(answer, on_answer, on_error), ask);
}
