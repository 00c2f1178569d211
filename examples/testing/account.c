/* See account.h. Nothing here knows of tests. */
#include "account.h"
#include <stdlib.h>

/* ---- an account ---- */

static int account_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct account *)state)->amount = *(const uint64_t *)arg;
    return 0;
}

static int on_deposit(soma_agent *self, struct account *my, const struct deposit *m)
{
    my->amount += m->amount;
    return soma_reply(self, balance, .amount = my->amount);
}

static int on_withdraw(soma_agent *self, struct account *my, const struct withdraw *m)
{
    if (m->amount > my->amount)
        return soma_reply_error(self, ACCOUNT_EPOOR);
    my->amount -= m->amount;
    return soma_reply(self, balance, .amount = my->amount);
}

const soma_behavior account = {.name = "account",
                               .state_size = sizeof(struct account),
                               .init = account_init,
                               .handlers = SOMA_HANDLERS(SOMA_ON(deposit, on_deposit), SOMA_ON(withdraw, on_withdraw))};

/* ---- the teller: one transfer at a time ---- */

struct teller {
    soma_handle asked; /* for whom the transfer is, 0: none is on */
    soma_ref from;
    soma_ref to;
    uint64_t amount;
};

static int on_failed(soma_agent *self, struct teller *my, const int *error)
{
    soma_handle asked = my->asked;
    my->asked = 0;
    return soma_reply_error_to(self, asked, *error);
}

/* The amount has left one account and not come into the other: it goes back. */
static int on_returned(soma_agent *self, struct teller *my, const struct balance *m)
{
    const int error = SOMA_EGONE;
    (void)m;
    return on_failed(self, my, &error);
}

static int on_refused(soma_agent *self, struct teller *my, const int *error)
{
    (void)error;
    return soma_request(self, my->from, SOMA_SECOND, SOMA_THEN(balance, on_returned, on_failed), deposit,
                        .amount = my->amount);
}

static int on_deposited(soma_agent *self, struct teller *my, const struct balance *m)
{
    soma_handle asked = my->asked;
    (void)m;
    my->asked = 0;
    return soma_reply_to(self, asked, transferred, .amount = my->amount);
}

static int on_withdrawn(soma_agent *self, struct teller *my, const struct balance *m)
{
    (void)m;
    return soma_request(self, my->to, SOMA_SECOND, SOMA_THEN(balance, on_deposited, on_refused), deposit,
                        .amount = my->amount);
}

static int on_transfer(soma_agent *self, struct teller *my, const struct transfer *m)
{
    if (my->asked)
        return soma_reply_error(self, SOMA_EAGAIN);
    *my = (struct teller){soma_reply_later(self), m->from, m->to, m->amount};
    return soma_request(self, m->from, SOMA_SECOND, SOMA_THEN(balance, on_withdrawn, on_failed), withdraw,
                        .amount = m->amount);
}

const soma_behavior teller = {
    .name = "teller", .state_size = sizeof(struct teller), .handlers = SOMA_HANDLERS(SOMA_ON(transfer, on_transfer))};
