/* The explorer: seeds, schedules, failures found, shrunk and replayed. */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/test.h>

SOMA_MESSAGE(add, (u64, by))
SOMA_MESSAGE(get)
SOMA_MESSAGE(total, (u64, sum))
SOMA_MESSAGE(put, (u64, sum))
SOMA_MESSAGE(work, (ref, store))

/* A store, and clerks that read it and then write: two of them lose an update if they come between each other. */
struct store {
    uint64_t sum;
};

static int on_get(soma_agent *self, struct store *my, const struct get *m)
{
    (void)m;
    return soma_reply(self, total, .sum = my->sum);
}

static int on_put(soma_agent *self, struct store *my, const struct put *m)
{
    (void)self;
    my->sum = m->sum;
    return 0;
}

static int on_add(soma_agent *self, struct store *my, const struct add *m)
{
    (void)self;
    my->sum += m->by;
    return 0;
}

static const soma_behavior store = {
    .name = "store",
    .state_size = sizeof(struct store),
    .handlers = SOMA_HANDLERS(SOMA_ON(get, on_get), SOMA_ON(put, on_put), SOMA_ON(add, on_add))};

struct clerk {
    soma_ref store;
};

static int on_total(soma_agent *self, struct clerk *my, const struct total *m)
{
    return soma_send(self, my->store, put, .sum = m->sum + 1);
}

static int on_error(soma_agent *self, struct clerk *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_work(soma_agent *self, struct clerk *my, const struct work *m)
{
    my->store = m->store;
    return soma_request(self, m->store, SOMA_NEVER, SOMA_THEN(total, on_total, on_error), get) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior clerk = {
    .name = "clerk", .state_size = sizeof(struct clerk), .handlers = SOMA_HANDLERS(SOMA_ON(work, on_work))};

#define CLERKS 3

static soma_ref clerks_work(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref shop, clerks[CLERKS];
    assert_int_equal(soma_spawn(system, &store, NULL, &shop), 0);
    for (uint32_t i = 0; i < CLERKS; i++)
        assert_int_equal(soma_spawn(system, &clerk, NULL, &clerks[i]), 0);
    for (uint32_t i = 0; i < CLERKS; i++)
        assert_int_equal(soma_send(system, clerks[i], work, .store = shop), 0);
    return shop;
}

static void test_lost_update(soma_test *test)
{
    soma_ref shop = clerks_work(test);
    soma_test_settle(test);
    assert_int_equal(((const struct store *)soma_test_state(test, shop))->sum, CLERKS);
}

static void test_counts(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref shop;
    struct total result;
    assert_int_equal(soma_spawn(system, &store, NULL, &shop), 0);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(soma_send(system, shop, add, .by = i), 0);
    assert_int_equal(soma_call(system, shop, SOMA_SECOND, &result, total, get), 0);
    assert_int_equal(result.sum, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_counts, 10000, 1000),
        SOMA_REAL(test_counts),
        SOMA_SIM(test_lost_update, 100, 1000, .fails = true, .lines = 30),
        SOMA_SIM(test_lost_update, 100, 1000, .fails = true, .lines = 30, .pauses = 1, .late = 1), // another test
        SOMA_SIM(test_lost_update, 100, 1000, .fails = true, .lines = 30, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_lost_update, 1000, 1000, .fails = true, .lines = 30, .schedule = SOMA_SCHEDULE_EXHAUSTIVE),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
