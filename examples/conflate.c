/* Conflate: who is slower than what comes has the newest next, not the oldest. Two read the same prices, one of them
 * so. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(price, (u32, cents))

#define LAST 100u

static const soma_address prices = {.transport = SOMA_INPROC, .pattern = SOMA_PUB, .host = "prices"};

/* ---- readers ---- */

struct reader {
    const char *name;
    bool conflate;
    uint32_t count;
};

static int on_price(soma_agent *self, struct reader *my, const struct price *m)
{
    my->count++;
    if (m->cents < LAST)
        return 0;
    soma_channel_counts counts;
    int error = soma_channel_count(self, "prices", &counts);
    printf("%s: the last price is %u; %s\n", my->name, m->cents,
           counts.missed + my->count == LAST ? "read and passed over: all" : "some are missing");
    if (!my->conflate && my->count != LAST)
        printf("%s has not read all\n", my->name);
    return error;
}

static int reader_init(soma_agent *self, void *state, const void *arg)
{
    struct reader *my = state;
    *my = *(const struct reader *)arg;
    const soma_channel_options options = {.conflate = my->conflate,
                                          .handlers = SOMA_HANDLERS(SOMA_ON(price, on_price))};
    return soma_connect_with(self, &prices, "prices", &options);
}

static const soma_behavior reader = {.name = "reader", .state_size = sizeof(struct reader), .init = reader_init};

/* ---- the market ---- */

static int market_ready(soma_agent *self, void *state)
{
    (void)state;
    return soma_bind(self, SOMA_PUB, "feed", &(soma_channel_options){.place = "inproc://prices"}, NULL);
}

static int on_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    int error = 0;
    (void)state;
    for (uint32_t cents = 1; m->peers == 2 && cents <= LAST && !error; cents++)
        error = soma_send_to(self, "feed", price, .cents = cents);
    return error;
}

static const soma_behavior market = {
    .name = "market", .ready = market_ready, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &reader, &(struct reader){"a log", false, 0}, NULL) ||
        soma_spawn(system, &reader, &(struct reader){"a screen", true, 0}, NULL) ||
        soma_spawn(system, &market, NULL, NULL))
        return 1;
    return soma_system_close(&system);
}
