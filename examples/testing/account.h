/* Accounts, and a teller that moves money between two of them: what account_test.c tests. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <soma/soma.h>

SOMA_MESSAGE(deposit, (u64, amount))
SOMA_MESSAGE(withdraw, (u64, amount))
SOMA_MESSAGE(balance, (u64, amount))
SOMA_MESSAGE(transfer, (ref, from), (ref, to), (u64, amount))
SOMA_MESSAGE(transferred, (u64, amount))

#define ACCOUNT_EPOOR (-1000) /* there is not so much in the account */

struct account {
    uint64_t amount;
};

extern const soma_behavior account; /* spawned with a pointer to its first amount, a uint64_t */
extern const soma_behavior teller;

#endif
