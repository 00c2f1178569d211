/* 100,000 accounts and random transfers among them: the total never changes. See docs/tutorial.md. */
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ACCOUNTS 100000u
#define TRANSFERS 500000u

SOMA_MESSAGE(deposit, (u64, amount))
SOMA_MESSAGE(transfer, (u64, amount), (ref, to))

struct account {
    uint64_t balance;
};

static atomic_ullong total;

static int on_deposit(soma_agent *self, struct account *my, const struct deposit *m)
{
    (void)self;
    my->balance += m->amount;
    return 0;
}

static int on_transfer(soma_agent *self, struct account *my, const struct transfer *m)
{
    if (my->balance < m->amount) /* refused: nothing moves */
        return 0;
    my->balance -= m->amount;
    return soma_send(self, m->to, deposit, .amount = m->amount);
}

/* Runs when the system closes: by then every transfer has arrived. */
static void account_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    atomic_fetch_add(&total, ((struct account *)state)->balance);
}

static const soma_behavior account = {.name = "account",
                                      .state_size = sizeof(struct account),
                                      .stop = account_stop,
                                      .handlers =
                                          SOMA_HANDLERS(SOMA_ON(deposit, on_deposit), SOMA_ON(transfer, on_transfer))};

int main(void)
{
    static soma_ref refs[ACCOUNTS];
    soma_system *bank;
    int error = soma_system_open(&bank, NULL);
    for (uint32_t i = 0; !error && i < ACCOUNTS; i++)
        if (!(error = soma_spawn(bank, &account, NULL, &refs[i])))
            error = soma_send(bank, refs[i], deposit, .amount = 1000);
    unsigned int random = 1;
    for (uint32_t i = 0; !error && i < TRANSFERS; i++) {
        soma_ref from = refs[(uint32_t)rand_r(&random) % ACCOUNTS], to = refs[(uint32_t)rand_r(&random) % ACCOUNTS];
        error = soma_send(bank, from, transfer, .amount = (uint32_t)rand_r(&random) % 2000, .to = to);
    }
    int closing = soma_system_close(&bank);
    printf("%u accounts, %u transfers, total %llu of %llu\n", ACCOUNTS, TRANSFERS, atomic_load(&total),
           1000ull * ACCOUNTS);
    return error || closing || atomic_load(&total) != 1000ull * ACCOUNTS;
}
