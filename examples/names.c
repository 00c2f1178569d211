/* Names, functions posted into an agent, the log, and Ctrl-C. docs/names.md */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(reading, (f64, celsius))

struct station {
    uint32_t readings;
    double sum;
};

static int station_start(soma_agent *self, void *state, const void *name)
{
    (void)state;
    return soma_name_set(soma_agent_system(self), soma_self(self), name); /* SOMA_EEXIST fails the spawn */
}

static int on_reading(soma_agent *self, struct station *my, const struct reading *m)
{
    if (m->celsius < -90 || m->celsius > 60)
        soma_log_warning(self, "no such weather: %.1f", m->celsius);
    my->readings++;
    my->sum += m->celsius;
    return 0;
}

static const soma_behavior station = {.name = "station",
                                      .state_size = sizeof(struct station),
                                      .init = station_start,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(reading, on_reading))};

/* Posted by main: runs in the agent, as a handler does, so it may look at the state. */
static int report(soma_agent *self, void *state, void *arg)
{
    const struct station *my = state;
    printf("%s: %u readings, %.1f on average\n", (const char *)arg, my->readings, my->sum / my->readings);
    return soma_system_stop(soma_agent_system(self));
}

int main(void)
{
    soma_system *system;
    soma_ref oslo, other;
    if (soma_system_open(&system, NULL) || soma_system_stop_on_signals(system) ||
        soma_spawn(system, &station, "weather/oslo", NULL))
        return 1;
    int taken = soma_spawn(system, &station, "weather/oslo", &other);
    printf("a second one of that name: %s\n", soma_strerror(taken));

    if (soma_whereis(system, "weather/oslo", &oslo)) /* from anywhere in the program */
        return 1;
    for (int i = 0; i < 4; i++)
        soma_send(system, oslo, reading, .celsius = i == 3 ? 451 : -i);
    soma_post(system, oslo, report, "weather/oslo", NULL); /* behind the four */

    soma_system_run(system); /* until the report is out, or Ctrl-C */
    return soma_system_close(&system) || taken != SOMA_EEXIST;
}
