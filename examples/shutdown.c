/* Ending one agent of two by its proxy: the other one goes on. Then the rest with the system. docs/proxy.md */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE (5 * SOMA_SECOND)

SOMA_MESSAGE(tick)

struct clerk {
    char name[16];
    uint32_t ticks;
};

static int clerk_init(soma_agent *self, void *state, const void *arg)
{
    struct clerk *my = state;
    snprintf(my->name, sizeof(my->name), "%s", (const char *)arg);
    int error = soma_name_set(soma_agent_system(self), soma_self(self), my->name);
    return error ? error : soma_timer_name(self, soma_each(self, SOMA_MS, tick), "tick");
}

static int on_tick(soma_agent *self, struct clerk *my, const struct tick *m)
{
    (void)self, (void)m;
    my->ticks++;
    return 0;
}

static void clerk_stop(soma_agent *self, void *state, int reason)
{
    const struct clerk *my = state;
    (void)self;
    printf("%s ends: %s\n", my->name, reason ? soma_strerror(reason) : "all is done");
}

static const soma_behavior clerk = {
    .name = "clerk",
    .state_size = sizeof(struct clerk),
    .init = clerk_init,
    .stop = clerk_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_tick)),
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE_READ("ticks", struct clerk, ticks, "how often it has worked"))};

/* Until the agent has got so far. */
static int wait_for(soma_proxy *proxy, uint64_t least, uint64_t *ticks)
{
    for (*ticks = 0; *ticks < least;) {
        soma_value value;
        int error = soma_proxy_get(proxy, PATIENCE, "ticks", &value);
        error = error ? error : soma_value_get_u64(value, ticks);
        soma_value_destroy(&value);
        if (error)
            return error;
    }
    return 0;
}

int main(void)
{
    soma_system *system;
    soma_proxy *ann, *ben;
    uint64_t then = 0, now = 0;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &clerk, "Ann", NULL) ||
        soma_spawn(system, &clerk, "Ben", NULL) || soma_proxy_open(system, "Ann", &ann) ||
        soma_proxy_open(system, "Ben", &ben))
        return 1;
    int error = wait_for(ann, 3, &now) || wait_for(ben, 3, &then);
    error = error || soma_proxy_shutdown(ann, PATIENCE); /* on return it is gone */
    printf("Ann %s\n", soma_proxy_ping(ann, PATIENCE) ? "is gone" : "is still there");
    error = error || wait_for(ben, then + 3, &now);
    printf("Ben %s\n", now >= then + 3 ? "works on" : "does nothing");
    soma_proxy_close(&ann);
    soma_proxy_close(&ben);
    return soma_system_close(&system) || error;
}
