/* Synchronous PUB: two listen, and one also asks its publisher, which answers it alone. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(price, (u32, cents))
SOMA_MESSAGE(bid, (u32, cents))
SOMA_MESSAGE(bid_taken, (bool, best))

static const soma_address auction = {.transport = SOMA_INPROC, .pattern = SOMA_SYNC_PUB, .host = "auction"};

/* ---- the auctioneer: its state is the price ---- */

static int on_bid(soma_agent *self, uint32_t *my, const struct bid *m)
{
    bool best = m->cents > *my;
    int error = soma_reply(self, bid_taken, .best = best);
    if (error || !best)
        return error;
    *my = m->cents;
    return soma_send_to(self, "auction", price, .cents = *my);
}

static int auctioneer_init(soma_agent *self, void *my, const void *arg)
{
    const soma_channel_options options = {.place = "inproc://auction", .handlers = SOMA_HANDLERS(SOMA_ON(bid, on_bid))};
    (void)my, (void)arg;
    return soma_bind(self, SOMA_SYNC_PUB, "auction", &options, NULL);
}

static const soma_behavior auctioneer = {.name = "auctioneer", .state_size = sizeof(uint32_t), .init = auctioneer_init};

/* ---- who listens; and who bids whenever the price is below what it would give ---- */

struct bidder {
    const char *name;
    uint32_t most; /* 0: only listens */
};

static int on_taken(soma_agent *self, struct bidder *my, const struct bid_taken *m)
{
    (void)self;
    printf("%s has bid %s\n", my->name, m->best ? "the most" : "too little");
    return 0;
}

static int on_failed(soma_agent *self, struct bidder *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_price(soma_agent *self, struct bidder *my, const struct price *m)
{
    printf("%s hears %u\n", my->name, m->cents);
    if (m->cents >= my->most)
        return 0;
    soma_handle asked = soma_request_to(self, "hall", SOMA_SECOND, SOMA_THEN(bid_taken, on_taken, on_failed), bid,
                                        .cents = m->cents + 10);
    return asked < 0 && asked != SOMA_EAGAIN ? (int)asked : 0; /* nobody is there: it is over, and no failure */
}

static int bidder_init(soma_agent *self, void *state, const void *arg)
{
    *(struct bidder *)state = *(const struct bidder *)arg;
    int error = soma_connect(self, &auction, "hall", SOMA_HANDLERS(SOMA_ON(price, on_price)));
    return error ? error : on_price(self, state, &(const struct price){0});
}

static const soma_behavior bidder = {.name = "bidder", .state_size = sizeof(struct bidder), .init = bidder_init};

int main(void)
{
    soma_system *system;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &auctioneer, NULL, NULL) ||
        soma_spawn(system, &bidder, &(struct bidder){"Alice", 0}, NULL) ||
        soma_spawn(system, &bidder, &(struct bidder){"Bob", 30}, NULL))
        return 1;
    return soma_system_close(&system);
}
