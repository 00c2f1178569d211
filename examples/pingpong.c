/* Two agents that pass a ball: sending back to the sender, and stopping the program from a handler. docs/pingpong.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(ball, (u32, left))

struct player {
    const char *shout;
};

static int player_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct player *)state)->shout = arg; /* a constant: it outlives the agent */
    return 0;
}

static int on_ball(soma_agent *self, struct player *my, const struct ball *m)
{
    soma_ref other = soma_sender(self);
    printf("%s\n", my->shout);
    if (m->left == 0)
        return soma_system_stop(soma_agent_system(self));
    return soma_send(self, other, ball, .left = m->left - 1);
}

/* The first ball comes from an agent too, so that the one who gets it knows where to send it back. */
SOMA_MESSAGE(serve, (ref, to), (u32, rallies))

static int on_serve(soma_agent *self, struct player *my, const struct serve *m)
{
    (void)my;
    return soma_send(self, m->to, ball, .left = m->rallies);
}

static const soma_behavior player = {.name = "player",
                                     .state_size = sizeof(struct player),
                                     .init = player_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(ball, on_ball), SOMA_ON(serve, on_serve))};

int main(void)
{
    soma_system *system;
    soma_ref ping, pong;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &player, "ping", &ping);
    if (!error)
        error = soma_spawn(system, &player, "pong", &pong);
    if (!error)
        error = soma_send(system, ping, serve, .to = pong, .rallies = 5);
    if (!error)
        error = soma_system_run(system); /* until a handler calls soma_system_stop */
    if (error)
        fprintf(stderr, "pingpong: %s\n", soma_strerror(error));
    int closing = soma_system_close(&system);
    return error || closing;
}
