/*
 * Planted: a timeout that races its reply. A till that gets no answer in time asks again; if the first answer was only
 * late, the bank has booked the payment twice. The fixed bank knows a payment again by its number.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/test.h>

SOMA_MESSAGE(sell, (ref, bank))
SOMA_MESSAGE(pay, (u64, number))
SOMA_MESSAGE(paid)

struct bank {
    bool remembers;
    uint32_t payments;
    uint64_t last;
};

static int bank_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct bank *)state)->remembers = *(const bool *)arg;
    return 0;
}

static int on_pay(soma_agent *self, struct bank *my, const struct pay *m)
{
    if (!my->remembers || my->last != m->number)
        my->payments++;
    my->last = m->number;
    return soma_reply(self, paid);
}

static const soma_behavior bank = {.name = "bank",
                                   .state_size = sizeof(struct bank),
                                   .init = bank_init,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(pay, on_pay))};

struct till {
    soma_ref bank;
    uint64_t number;
    uint32_t sales;
};

static int on_paid(soma_agent *self, struct till *my, const struct paid *m)
{
    (void)self, (void)m;
    my->sales++;
    return 0;
}

static int on_not_paid(soma_agent *self, struct till *my, const int *error);

static int payment_send(soma_agent *self, const struct till *my)
{
    soma_handle asked =
        soma_request(self, my->bank, SOMA_SECOND, SOMA_THEN(paid, on_paid, on_not_paid), pay, .number = my->number);
    return asked < 0 ? (int)asked : 0;
}

static int on_not_paid(soma_agent *self, struct till *my, const int *error)
{
    return *error == SOMA_ETIMEOUT ? payment_send(self, my) : *error;
}

static int on_sell(soma_agent *self, struct till *my, const struct sell *m)
{
    my->bank = m->bank;
    my->number++;
    return payment_send(self, my);
}

static const soma_behavior till = {
    .name = "till", .state_size = sizeof(struct till), .handlers = SOMA_HANDLERS(SOMA_ON(sell, on_sell))};

#define SALES 3u

static void till_sells(soma_test *test, bool remembers)
{
    soma_system *system = soma_test_system(test);
    soma_ref booking, selling;
    assert_int_equal(soma_spawn(system, &bank, &remembers, &booking), 0);
    assert_int_equal(soma_spawn(system, &till, NULL, &selling), 0);
    for (uint32_t i = 0; i < SALES; i++) {
        assert_int_equal(soma_send(system, selling, sell, .bank = booking), 0);
        soma_test_advance(test, 10 * SOMA_SECOND);
    }
    const struct till *sold = soma_test_state(test, selling);
    const struct bank *booked = soma_test_state(test, booking);
    assert_int_equal(sold->sales, SALES);
    assert_int_equal(booked->payments, SALES);
}

static void test_paid_twice(soma_test *test)
{
    till_sells(test, false);
}

static void test_paid_once(soma_test *test)
{
    till_sells(test, true);
}

/* Found within 100 seeds: only a machine that is late shows it. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_paid_twice, 100, 1000, .fails = true, .lines = 30, .late = 2),
        SOMA_SIM(test_paid_twice, 100, 1000, .fails = true, .lines = 30, .late = 2, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_paid_once, 10000, 1000, .late = 2),
        SOMA_SIM(test_paid_once, 10000, 1000, .late = 2, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
