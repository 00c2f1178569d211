/*
 * Planted: a check and an act in two messages. Two heirs ask for the balance, find that it is enough, and withdraw: if
 * both ask first, the account is overdrawn. The fixed account checks when it acts.
 */
#include "test_support.h"
#include <soma/test.h>

SOMA_MESSAGE(spend, (ref, account))
SOMA_MESSAGE(ask)
SOMA_MESSAGE(balance, (i64, amount))
SOMA_MESSAGE(withdraw, (i64, amount))

struct account {
    bool checks;
    int64_t balance;
};

static int account_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct account *)state = (struct account){.checks = *(const bool *)arg, .balance = 100};
    return 0;
}

static int on_ask(soma_agent *self, struct account *my, const struct ask *m)
{
    (void)m;
    return soma_reply(self, balance, .amount = my->balance);
}

static int on_withdraw(soma_agent *self, struct account *my, const struct withdraw *m)
{
    (void)self;
    if (!my->checks || my->balance >= m->amount)
        my->balance -= m->amount;
    return 0;
}

static const soma_behavior account = {.name = "account",
                                      .state_size = sizeof(struct account),
                                      .init = account_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(withdraw, on_withdraw))};

struct heir {
    soma_ref account;
};

static int on_balance(soma_agent *self, struct heir *my, const struct balance *m)
{
    return m->amount >= 100 ? soma_send(self, my->account, withdraw, .amount = 100) : 0;
}

static int on_no_balance(soma_agent *self, struct heir *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_spend(soma_agent *self, struct heir *my, const struct spend *m)
{
    my->account = m->account;
    soma_handle asked = soma_request(self, m->account, SOMA_NEVER, SOMA_THEN(balance, on_balance, on_no_balance), ask);
    return asked < 0 ? (int)asked : 0;
}

static const soma_behavior heir = {
    .name = "heir", .state_size = sizeof(struct heir), .handlers = SOMA_HANDLERS(SOMA_ON(spend, on_spend))};

static void in_credit(soma_test *test, void *arg)
{
    const struct account *state = soma_test_state(test, *(const soma_ref *)arg);
    assert_true(state->balance >= 0);
}

static void heirs_spend(soma_test *test, bool checks)
{
    soma_system *system = soma_test_system(test);
    soma_ref *shared = soma_test_alloc(test, sizeof(*shared)), heirs[2];
    assert_int_equal(soma_spawn(system, &account, &checks, shared), 0);
    soma_test_always(test, in_credit, shared);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(soma_spawn(system, &heir, NULL, &heirs[i]), 0);
        assert_int_equal(soma_send(system, heirs[i], spend, .account = *shared), 0);
    }
    soma_test_settle(test);
    assert_int_equal(((const struct account *)soma_test_state(test, *shared))->balance, 0);
}

static void test_overdraft(soma_test *test)
{
    heirs_spend(test, false);
}

static void test_no_overdraft(soma_test *test)
{
    heirs_spend(test, true);
}

/* Found within 20 seeds; the fixed twin holds in all of its schedules. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_overdraft, 20, 1000, .fails = true, .lines = 30),
        SOMA_SIM(test_overdraft, 20, 1000, .fails = true, .lines = 30, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_overdraft, 20, 1000, .fails = true, .lines = 30, .schedule = SOMA_SCHEDULE_EXHAUSTIVE),
        SOMA_SIM(test_no_overdraft, 10000, 1000),
        SOMA_SIM(test_no_overdraft, 10000, 1000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_no_overdraft, 10000, 1000, .schedule = SOMA_SCHEDULE_EXHAUSTIVE),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
