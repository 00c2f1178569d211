/* Mocks: stand-ins for all agents of a behavior, what they record and answer; simulated and on real threads. */
#include "test_support.h"
#include "testkit/says.h"
#include <soma/error.h>
#include <soma/probe.h>
#include <soma/supervisor.h>

SOMA_MESSAGE(get, (u64, key))
SOMA_MESSAGE(value, (u64, of))
SOMA_MESSAGE(put, (u64, key))
SOMA_MESSAGE(stored)
SOMA_MESSAGE(work, (u64, key))

/* ---- what is tested: a shop with a store of its own, which it asks; the store is what no test wants ---- */

static int store_init(soma_agent *self, void *state, const void *arg)
{
    (void)self, (void)state, (void)arg;
    return SOMA_ENOROUTE; // there is no disk here
}

static const soma_behavior store = {.name = "store", .init = store_init};

struct shop {
    soma_ref store;
    soma_ref customer;
    uint64_t sum;
};

static int shop_init(soma_agent *self, void *state, const void *arg)
{
    struct shop *my = state;
    (void)arg;
    return soma_spawn(self, &store, NULL, &my->store);
}

static int on_value(soma_agent *self, struct shop *my, const struct value *m)
{
    my->sum += m->of;
    return soma_send(self, my->store, put, .key = my->sum);
}

static int on_error(soma_agent *self, struct shop *my, const int *error)
{
    return soma_send(self, my->store, put, .key = (uint64_t) - *error);
}

static int on_work(soma_agent *self, struct shop *my, const struct work *m)
{
    my->customer = soma_sender(self);
    return (int)soma_request(self, my->store, SOMA_SECOND, SOMA_THEN(value, on_value, on_error), get, .key = m->key);
}

static int on_stored(soma_agent *self, struct shop *my, const struct stored *m)
{
    (void)m;
    return soma_ref_is_null(my->customer) ? 0 : soma_send(self, my->customer, stored);
}

static const soma_behavior shop = {.name = "shop",
                                   .state_size = sizeof(struct shop),
                                   .init = shop_init,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(work, on_work), SOMA_ON(stored, on_stored))};

static soma_ref shop_new(soma_system *system)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &shop, NULL, &ref), 0);
    return ref;
}

static void shop_work(soma_test *test, soma_ref ref, uint64_t key)
{
    assert_int_equal(soma_send(soma_test_system(test), ref, work, .key = key), 0);
}

/* ---- recording and answering ---- */

static void test_stand_in(soma_test *test)
{
    soma_ref early;
    assert_int_equal(soma_spawn(soma_test_system(test), &shop, NULL, &early), SOMA_ENOROUTE);
    soma_probe *mock = soma_mock_open(test, &store);
    assert_true(soma_ref_is_null(soma_probe_ref(mock)));
    soma_ref ref = shop_new(soma_test_system(test));
    assert_false(soma_ref_is_null(soma_probe_ref(mock))); // it is there
    shop_work(test, ref, 7);
    assert_int_equal(soma_expect(mock, get, SOMA_SECOND)->key, 7);
    assert_true(soma_ref_equal(soma_probe_sender(mock), ref));
    soma_probe_reply(mock, value, .of = 70);
    assert_int_equal(soma_expect(mock, put, SOMA_SECOND)->key, 70);
    soma_expect_none(mock, 0);
}

static void test_answers(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *mock = soma_mock_open(test, &store);
    soma_probe *customer = soma_probe_open(test, system, "customer");
    soma_probe_answer(mock, get, value, .of = 5);
    soma_probe_answer(mock, put, stored); // no request: it goes to the sender
    soma_ref ref = shop_new(system);
    soma_probe_send(customer, ref, work, .key = 1);
    soma_expect(customer, stored, SOMA_SECOND);
    assert_int_equal(soma_expect(mock, get, SOMA_SECOND)->key, 1); // they are recorded
    assert_int_equal(soma_expect(mock, put, SOMA_SECOND)->key, 5);
    soma_probe_answer(mock, get, value, .of = 6); // the later one counts
    soma_probe_send(customer, ref, work, .key = 2);
    soma_expect(customer, stored, SOMA_SECOND);
    soma_expect(mock, get, SOMA_SECOND);
    assert_int_equal(soma_expect(mock, put, SOMA_SECOND)->key, 5 + 6);
    soma_probe_answer_error(mock, get, SOMA_EFULL);
    soma_probe_send(customer, ref, work, .key = 3);
    soma_expect(mock, get, SOMA_SECOND);
    assert_int_equal(soma_expect(mock, put, SOMA_SECOND)->key, (uint64_t)-SOMA_EFULL);
    soma_expect(customer, stored, SOMA_SECOND);
}

/* The body itself may wait for a mock, as that needs no body. */
static void test_call(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *mock = soma_mock_open(test, &store);
    soma_ref ref;
    struct value result;
    soma_probe_answer(mock, get, value, .of = 5);
    assert_int_equal(soma_spawn(system, &store, NULL, &ref), 0);
    assert_int_equal(soma_call(system, ref, SOMA_SECOND, &result, value, get, .key = 1), 0);
    assert_int_equal(result.of, 5);
    assert_true(soma_ref_equal(ref, soma_probe_ref(mock)));
    soma_expect(mock, get, 0);
}

/* Several stand-ins, each answered as the one it is. */
static void test_several(soma_test *test)
{
    soma_probe *mock = soma_mock_open(test, &store), *later;
    soma_ref east = shop_new(soma_test_node(test, "east")), west = shop_new(soma_test_node(test, "west"));
    assert_int_equal(soma_send(soma_test_node(test, "east"), east, work, .key = 1), 0);
    assert_int_equal(soma_send(soma_test_node(test, "west"), west, work, .key = 2), 0);
    for (uint32_t i = 0; i < 2; i++) {
        const struct get *ask = soma_expect_among(mock, get, SOMA_SECOND);
        assert_true(soma_ref_equal(soma_probe_sender(mock), ask->key == 1 ? east : west));
        assert_true(soma_probe_ref(mock).node == (ask->key == 1 ? east : west).node);
        soma_probe_reply(mock, value, .of = ask->key * 10);
    }
    uint64_t sum = soma_expect(mock, put, SOMA_SECOND)->key;
    sum += soma_expect(mock, put, SOMA_SECOND)->key;
    assert_int_equal(sum, 10 + 20);
    later = soma_mock_open(test, &store);
    shop_work(test, shop_new(soma_test_system(test)), 3);
    soma_expect(later, get, SOMA_SECOND);
    soma_expect_none(mock, 0);
    soma_probe_reply(later, value);
}

/* ---- under a supervisor, which restarts stand-ins as it would restart the agents ---- */

static void test_supervised(soma_test *test)
{
    static const soma_child child = {.name = "store", .behavior = &store, .mail = true};
    static const soma_supervision plan = {.children = &child, .count = 1};
    soma_system *system = soma_test_system(test);
    soma_probe *mock = soma_mock_open(test, &store), *probe = soma_probe_open(test, system, NULL);
    soma_ref found;
    assert_int_equal(soma_spawn(system, &soma_supervisor, &plan, NULL), 0);
    soma_test_settle(test);
    soma_ref first = soma_probe_ref(mock);
    assert_int_equal(soma_whereis(system, "store", &found), 0);
    assert_true(soma_ref_equal(found, first));
    soma_probe_request(probe, first, SOMA_NEVER, value, get, .key = 1);
    soma_expect(mock, get, SOMA_SECOND);
    assert_int_equal(soma_kill(system, first), 0);
    assert_int_equal(soma_expect(probe, soma_probe_error, SOMA_SECOND)->error, SOMA_EGONE);
    soma_probe_reply(mock, value, .of = 1); // to a request of its earlier life: too late
    soma_probe_request(probe, first, SOMA_SECOND, value, get, .key = 2);
    assert_int_equal(soma_expect(mock, get, SOMA_SECOND)->key, 2);
    soma_probe_reply(mock, value, .of = 2);
    assert_int_equal(soma_expect(probe, value, SOMA_SECOND)->of, 2);
    soma_expect_none(probe, 0);
}

/* ---- spawned and recording on many threads ---- */

#define MANY 64

static void test_crowd(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *mock = soma_mock_open(test, &store);
    soma_probe_answer(mock, get, value, .of = 1);
    for (uint64_t i = 0; i < MANY; i++)
        shop_work(test, shop_new(system), i);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        sum += soma_expect_among(mock, get, SOMA_SECOND)->key;
        soma_expect_among(mock, put, SOMA_SECOND);
    }
    assert_int_equal(sum, MANY * (MANY - 1) / 2);
    soma_expect_none(mock, 0);
}

/* ---- what fails, and what it says ---- */

static void fail_other(soma_test *test)
{
    soma_probe *mock = soma_mock_open(test, &store);
    soma_probe_answer(mock, get, value, .of = 1);
    shop_work(test, shop_new(soma_test_system(test)), 7);
    soma_test_settle(test);
    soma_expect(mock, put, SOMA_SECOND);
}

static void fail_answered(soma_test *test)
{
    soma_probe *mock = soma_mock_open(test, &store);
    soma_probe_answer(mock, get, value, .of = 1);
    shop_work(test, shop_new(soma_test_system(test)), 7);
    soma_expect(mock, get, SOMA_SECOND);
    soma_probe_reply(mock, value, .of = 2);
}

static void fail_null(soma_test *test)
{
    soma_mock_open(test, NULL);
}

/* Who waits for a stand-in that never answers waits for ever. */
static void fail_deadlock(soma_test *test)
{
    soma_probe *mock = soma_mock_open(test, &store), *asker = soma_probe_open(test, soma_test_system(test), "asker");
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), &store, NULL, &ref), 0);
    soma_probe_request(asker, ref, SOMA_NEVER, value, get);
    soma_expect(mock, get, SOMA_SECOND);
}

static void test_failures(void **state)
{
    (void)state;
    says(fail_other, "the probe 'store' expected put within 1 s, but get came next\nIt has got:\n"
                     "    0.000000  get{key: 7} from shop 0, a request\n"
                     "    0.000000  put{key: 1} from shop 0\n");
    says(fail_answered, "soma_probe_reply: get is answered already");
    says(fail_null, "soma_mock_open: the behavior is NULL, or has no name");
    says(fail_deadlock, "asker 0 waits for an answer from store 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_stand_in, 300, 1000),   SOMA_REAL(test_stand_in),
        SOMA_SIM(test_answers, 300, 1000),    SOMA_REAL(test_answers),
        SOMA_SIM(test_call, 300, 1000),       SOMA_REAL(test_call),
        SOMA_SIM(test_several, 300, 1000),    SOMA_REAL(test_several),
        SOMA_SIM(test_supervised, 300, 1000), SOMA_REAL(test_supervised),
        SOMA_SIM(test_crowd, 30, 10000),      SOMA_REAL(test_crowd),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
