/* Timers: once, again and again, several at a time, with what they say; by handle, by name, cancelled. docs/timers.md
 */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(beat, (u32, sound))
SOMA_MESSAGE(deadline, (string, what))

enum { SOUNDS = 2 };

static const char *const sounds[SOUNDS] = {"tick", "tock"};
static const uint32_t enough[SOUNDS] = {5, 2};

struct clockwork {
    uint32_t beats[SOUNDS];
};

/* A timer is a message that the agent sends to itself later, so it is handled like any other. */
static int clockwork_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    int error = soma_timer_name(self, soma_each(self, 10 * SOMA_MS, beat, .sound = 0), sounds[0]);
    if (!error) /* a failed soma_each is passed on by soma_timer_name */
        error = soma_timer_name(self, soma_each(self, 25 * SOMA_MS, beat, .sound = 1), sounds[1]);
    if (error)
        return error;
    soma_handle later = soma_after(self, 35 * SOMA_MS, deadline, .what = "later");
    soma_handle never = soma_after(self, 20 * SOMA_MS, deadline, .what = "never");
    printf("now\n");
    error = soma_timer_cancel(self, never);
    return later < 0 ? (int)later : error;
}

static int on_beat(soma_agent *self, struct clockwork *my, const struct beat *m)
{
    const char *sound = sounds[m->sound];
    printf("%s %u\n", sound, ++my->beats[m->sound]);
    if (my->beats[m->sound] < enough[m->sound])
        return 0;
    int error = soma_timer_cancel(self, soma_timer_find(self, sound));
    if (my->beats[0] < enough[0] || my->beats[1] < enough[1])
        return error; /* the other one goes on */
    return error ? error : soma_system_stop(soma_agent_system(self));
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
                                            SOMA_HANDLERS(SOMA_ON(beat, on_beat), SOMA_ON(deadline, on_deadline))};

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
