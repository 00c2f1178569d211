/* Timers: once, again and again, by name, cancelled. docs/timers.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(tick)
SOMA_MESSAGE(deadline, (string, what))

struct clockwork {
    uint32_t ticks;
};

/* A timer is a message that the agent sends to itself later, so it is handled like any other. */
static int clockwork_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    soma_handle beat = soma_each(self, 10 * SOMA_MS, tick);
    int error = soma_timer_name(self, beat, "beat"); /* a failed soma_each is passed on by this, too */
    if (error)
        return error;
    soma_handle late = soma_after(self, SOMA_SECOND, deadline, .what = "too late");
    soma_handle soon = soma_after(self, 35 * SOMA_MS, deadline, .what = "after three ticks");
    return late < 0 ? (int)late : soon < 0 ? (int)soon : soma_timer_name(self, late, "late");
}

static int on_tick(soma_agent *self, struct clockwork *my, const struct tick *m)
{
    (void)m;
    printf("tick %u\n", ++my->ticks);
    if (my->ticks < 5)
        return 0;
    soma_timer_cancel(self, soma_timer_find(self, "late")); /* a second would be too long to wait for */
    soma_timer_cancel(self, soma_timer_find(self, "beat"));
    return soma_system_stop(soma_agent_system(self));
}

static int on_deadline(soma_agent *self, struct clockwork *my, const struct deadline *m)
{
    (void)self, (void)my;
    printf("%s\n", m->what);
    return 0;
}

static const soma_behavior clockwork = {.name = "clockwork",
                                        .state_size = sizeof(struct clockwork),
                                        .init = clockwork_init,
                                        .handlers =
                                            SOMA_HANDLERS(SOMA_ON(tick, on_tick), SOMA_ON(deadline, on_deadline))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &clockwork, NULL, NULL);
    if (!error)
        error = soma_system_run(system);
    if (error)
        fprintf(stderr, "timers: %s\n", soma_strerror(error));
    int closing = soma_system_close(&system);
    return error || closing;
}
