/* Timers with channels: one publishes again and again for as long as somebody listens; the other closes its side when
 * it has heard enough, and counts how often it has had nothing to do. docs/timers.md, docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(tick)
SOMA_MESSAGE(price, (u32, cents))

static const soma_address market = {.transport = SOMA_INPROC, .pattern = SOMA_PUB, .host = "market"};

/* ---- the publisher: its state is the price ---- */

static int exchange_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_bind(self, SOMA_PUB, "market", &(soma_channel_options){.place = "inproc://market"}, NULL);
}

static int on_changed(soma_agent *self, uint32_t *my, const struct soma_channel_changed *m)
{
    (void)my;
    if (m->peers)
        return soma_timer_name(self, soma_each(self, 5 * SOMA_MS, tick), "tick");
    printf("nobody listens any more\n");
    int error = soma_timer_cancel(self, soma_timer_find(self, "tick"));
    return error ? error : soma_system_stop(soma_agent_system(self));
}

static int on_tick(soma_agent *self, uint32_t *my, const struct tick *m)
{
    (void)m;
    *my += 10;
    return soma_publish(self, "market", *my % 20 ? "odd" : "even", price, .cents = *my);
}

static const soma_behavior exchange = {
    .name = "exchange",
    .state_size = sizeof(uint32_t),
    .init = exchange_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed), SOMA_ON(tick, on_tick))};

/* ---- the subscriber ---- */

struct watcher {
    uint32_t prices, rests;
};

static int on_price(soma_agent *self, struct watcher *my, const struct price *m)
{
    printf("%s: %u\n", soma_topic(self), m->cents);
    if (++my->prices < 4)
        return 0;
    printf("it has rested %s\n", my->rests ? "in between" : "not once");
    return soma_close_channel(self, "prices");
}

static int watcher_idle(soma_agent *self, void *my)
{
    (void)self;
    ((struct watcher *)my)->rests++;
    return 0;
}

static int watcher_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_connect(self, &market, "prices", SOMA_HANDLERS(SOMA_ON(price, on_price)));
}

static const soma_behavior watcher = {
    .name = "watcher", .state_size = sizeof(struct watcher), .init = watcher_init, .idle = watcher_idle};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL) || soma_spawn(system, &exchange, NULL, NULL) ||
                soma_spawn(system, &watcher, NULL, NULL) || soma_system_run(system);
    return soma_system_close(&system) || error;
}
