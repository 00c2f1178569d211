/* A thousand agents in a ring, a token that goes round a thousand times: spawning from a handler. docs/ring.md */
#include <soma/soma.h>
#include <stdio.h>

#define AGENTS 1000u
#define ROUNDS 1000u

SOMA_MESSAGE(build, (ref, first), (u32, left)) /* spawn the rest of the ring */
SOMA_MESSAGE(token, (u32, left))

struct station {
    soma_ref next;
};

static int on_token(soma_agent *self, struct station *my, const struct token *m)
{
    if (m->left == 0)
        return soma_system_stop(soma_agent_system(self));
    return soma_send(self, my->next, token, .left = m->left - 1);
}

static int on_build(soma_agent *self, struct station *my, const struct build *m);

static const soma_behavior station = {.name = "station",
                                      .state_size = sizeof(struct station),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(token, on_token), SOMA_ON(build, on_build))};

static int on_build(soma_agent *self, struct station *my, const struct build *m)
{
    if (m->left == 0) { /* the last one closes the ring and starts the token */
        my->next = m->first;
        return soma_send(self, m->first, token, .left = AGENTS * ROUNDS);
    }
    int error = soma_spawn(self, &station, NULL, &my->next);
    return error ? error : soma_send(self, my->next, build, .first = m->first, .left = m->left - 1);
}

int main(void)
{
    soma_system *system;
    soma_ref first;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &station, NULL, &first);
    uint64_t start = error ? 0 : soma_now(system);
    if (!error)
        error = soma_send(system, first, build, .first = first, .left = AGENTS - 1);
    if (!error)
        error = soma_system_run(system);
    if (error)
        fprintf(stderr, "ring: %s\n", soma_strerror(error));
    else
        printf("%u hops in %.0f ms\n", AGENTS * ROUNDS, (double)(soma_now(system) - start) / SOMA_MS);
    int closing = soma_system_close(&system);
    return error || closing;
}
