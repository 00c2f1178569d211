/*
 * Planted: a lost wake-up. A cook who finds the hatch empty goes to sleep, and says so, to be woken by the next order.
 * An order that comes between the look and the word of the sleep wakes nobody. The fixed hatch looks again when it
 * hears of the sleep.
 */
#include "test_support.h"
#include <soma/test.h>

SOMA_MESSAGE(open_kitchen, (ref, hatch))
SOMA_MESSAGE(order)
SOMA_MESSAGE(look)
SOMA_MESSAGE(nothing)
SOMA_MESSAGE(asleep)
SOMA_MESSAGE(wake)
SOMA_MESSAGE(cook)

struct hatch {
    bool looks_again;
    uint32_t orders;
    soma_ref sleeper;
};

static int hatch_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct hatch *)state)->looks_again = *(const bool *)arg;
    return 0;
}

static int hatch_wakes(soma_agent *self, struct hatch *my)
{
    soma_ref sleeper = my->sleeper;
    my->sleeper = SOMA_REF_NULL;
    return soma_ref_is_null(sleeper) ? 0 : soma_send(self, sleeper, wake);
}

static int on_order(soma_agent *self, struct hatch *my, const struct order *m)
{
    (void)m;
    my->orders++;
    return hatch_wakes(self, my);
}

static int on_look(soma_agent *self, struct hatch *my, const struct look *m)
{
    (void)m;
    if (!my->orders)
        return soma_send(self, soma_sender(self), nothing);
    my->orders--;
    return soma_send(self, soma_sender(self), cook);
}

static int on_asleep(soma_agent *self, struct hatch *my, const struct asleep *m)
{
    (void)m;
    my->sleeper = soma_sender(self);
    return my->looks_again && my->orders ? hatch_wakes(self, my) : 0;
}

static const soma_behavior hatch = {
    .name = "hatch",
    .state_size = sizeof(struct hatch),
    .init = hatch_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(order, on_order), SOMA_ON(look, on_look), SOMA_ON(asleep, on_asleep))};

struct chef {
    soma_ref hatch;
};

static int on_open_kitchen(soma_agent *self, struct chef *my, const struct open_kitchen *m)
{
    my->hatch = m->hatch;
    return soma_send(self, my->hatch, look);
}

static int on_nothing(soma_agent *self, struct chef *my, const struct nothing *m)
{
    (void)m;
    return soma_send(self, my->hatch, asleep);
}

static int on_wake(soma_agent *self, struct chef *my, const struct wake *m)
{
    (void)m;
    return soma_send(self, my->hatch, look);
}

static int on_cook(soma_agent *self, struct chef *my, const struct cook *m)
{
    (void)m;
    return soma_send(self, my->hatch, look);
}

static const soma_behavior chef = {.name = "chef",
                                   .state_size = sizeof(struct chef),
                                   .handlers = SOMA_HANDLERS(SOMA_ON(open_kitchen, on_open_kitchen),
                                                             SOMA_ON(nothing, on_nothing), SOMA_ON(wake, on_wake),
                                                             SOMA_ON(cook, on_cook))};

static int on_guest_order(soma_agent *self, void *my, const struct open_kitchen *m)
{
    (void)my;
    return soma_send(self, m->hatch, order);
}

static const soma_behavior guest = {.name = "guest", .handlers = SOMA_HANDLERS(SOMA_ON(open_kitchen, on_guest_order))};

static void kitchen(soma_test *test, bool looks_again)
{
    soma_system *system = soma_test_system(test);
    soma_ref at, agent;
    assert_int_equal(soma_spawn(system, &hatch, &looks_again, &at), 0);
    assert_int_equal(soma_spawn(system, &chef, NULL, &agent), 0);
    assert_int_equal(soma_send(system, agent, open_kitchen, .hatch = at), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(soma_spawn(system, &guest, NULL, &agent), 0);
        assert_int_equal(soma_send(system, agent, open_kitchen, .hatch = at), 0);
    }
    soma_test_settle(test);
    assert_int_equal(((const struct hatch *)soma_test_state(test, at))->orders, 0);
}

static void test_wakeup_lost(soma_test *test)
{
    kitchen(test, false);
}

static void test_wakeup_kept(soma_test *test)
{
    kitchen(test, true);
}

/* Found within 50 seeds. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_wakeup_lost, 50, 1000, .fails = true, .lines = 30),
        SOMA_SIM(test_wakeup_lost, 50, 1000, .fails = true, .lines = 30, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_wakeup_kept, 10000, 1000),
        SOMA_SIM(test_wakeup_kept, 10000, 1000, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
