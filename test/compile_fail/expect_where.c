/* Must not compile: the predicate takes another message than is expected. */
#include <soma/probe.h>

SOMA_MESSAGE(a, (u32, x))
SOMA_MESSAGE(b, (u32, x))

static bool is_seven(const struct a *message, const void *arg)
{
    (void)arg;
    return message->x == 7;
}

const struct b *find(soma_probe *probe)
{
    return soma_expect_where(probe, b, 0, is_seven, NULL);
}
