/* Tests of account.c, from one handler to a whole run. See docs/testing.md, which goes through them. */
#include "account.h"
#include <soma/fault.h>
#include <soma/isolate.h>
#include <soma/probe.h>

/* One handler alone: a state, a message, what it did. */
static void test_poor(void **state)
{
    soma_isolated *iso = soma_isolate(&account, &(uint64_t){100});
    struct account *my = soma_isolated_state(iso);
    (void)state;
    assert_int_equal(soma_isolated_request(iso, withdraw, .amount = 30), 0);
    assert_int_equal(soma_isolated_replied(iso, balance, NULL)->amount, 70);
    my->amount = 5;
    assert_int_equal(soma_isolated_request(iso, withdraw, .amount = 30), 0);
    assert_int_equal(my->amount, 5);
    soma_isolated_close(&iso);
}

/* An account, and a probe that stands for whoever uses it. */
static void test_withdraw(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *customer = soma_probe_open(test, system, "customer");
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &account, &(uint64_t){100}, &ref), 0);
    soma_probe_request(customer, ref, SOMA_SECOND, balance, withdraw, .amount = 30);
    assert_int_equal(soma_expect(customer, balance, SOMA_SECOND)->amount, 70);
    soma_probe_request(customer, ref, SOMA_SECOND, balance, withdraw, .amount = 71);
    assert_int_equal(soma_expect(customer, soma_probe_error, SOMA_SECOND)->error, ACCOUNT_EPOOR);
}

/* The teller between two probes: what does it do if the second account does not answer? */
static void test_refused(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *customer = soma_probe_open(test, system, NULL);
    soma_probe *from = soma_probe_open(test, system, "from"), *to = soma_probe_open(test, system, "to");
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &teller, NULL, &ref), 0);
    soma_probe_request(customer, ref, SOMA_NEVER, transferred, transfer, .from = soma_probe_ref(from),
                       .to = soma_probe_ref(to), .amount = 30);
    assert_int_equal(soma_expect(from, withdraw, SOMA_SECOND)->amount, 30);
    soma_probe_reply(from, balance, .amount = 70);
    soma_expect(to, deposit, SOMA_SECOND);
    assert_int_equal(soma_expect(from, deposit, 2 * SOMA_SECOND)->amount, 30); // the teller's patience is at its end
    soma_probe_reply(from, balance, .amount = 100);
    assert_int_equal(soma_expect(customer, soma_probe_error, SOMA_SECOND)->error, SOMA_EGONE);
}

/* ---- money is neither made nor lost ---- */

#define ACCOUNTS 4u

static soma_ref accounts[ACCOUNTS];

static void check_total(soma_test *test, void *arg)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        total += ((const struct account *)soma_test_state(test, accounts[i]))->amount;
    assert_int_equal(total, *(const uint64_t *)arg);
}

static void test_total(soma_test *test)
{
    static uint64_t total = ACCOUNTS * 100;
    soma_system *system = soma_test_system(test);
    soma_ref tellers[2];
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        assert_int_equal(soma_spawn(system, &account, &(uint64_t){100}, &accounts[i]), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(soma_spawn(system, &teller, NULL, &tellers[i]), 0);
    soma_test_at_rest(test, check_total, &total);
    for (uint32_t i = 0; i < 10; i++) {
        soma_probe *customer = soma_probe_open(test, system, NULL);
        soma_probe_request(customer, tellers[i % 2], SOMA_NEVER, transferred, transfer,
                           .from = accounts[soma_test_random(test, ACCOUNTS)],
                           .to = accounts[soma_test_random(test, ACCOUNTS)], .amount = soma_test_random(test, 150));
    }
    soma_test_advance(test, 10 * SOMA_SECOND);
}

/* ---- a cluster: what the teller does not see ---- */

static void test_partitioned(soma_test *test)
{
    static uint64_t total = ACCOUNTS * 100;
    soma_system *north = soma_test_node(test, "north"), *south = soma_test_node(test, "south");
    soma_ref ref;
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        assert_int_equal(soma_spawn(i % 2 ? south : north, &account, &(uint64_t){100}, &accounts[i]), 0);
    assert_int_equal(soma_spawn(north, &teller, NULL, &ref), 0);
    soma_probe *customer = soma_probe_open(test, north, "customer");
    soma_test_net_delay(test, "north", "south", 0, 100 * SOMA_MS);
    soma_probe_request(customer, ref, SOMA_NEVER, transferred, transfer, .from = accounts[0], .to = accounts[1],
                       .amount = 10);
    soma_test_advance(test, soma_test_random(test, 200) * SOMA_MS);
    soma_test_net_partition_way(test, "south", "north"); // what south answers does not come
    soma_test_advance(test, 3 * SOMA_SECOND);
    soma_test_net_heal(test, "north", "south");
    soma_test_advance(test, 3 * SOMA_SECOND);
    check_total(test, &total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poor),
        SOMA_SIM(test_withdraw, 100, 1000),
        SOMA_REAL(test_withdraw),
        SOMA_SIM(test_refused, 100, 1000),
        SOMA_SIM(test_total, 1000, 10000),
        SOMA_SIM(test_total, 1000, 10000, .late = 2, .fails = true), // a bug that the page tells of
        SOMA_REAL(test_total),
        SOMA_SIM(test_partitioned, 1000, 10000, .fails = true), // the same
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
