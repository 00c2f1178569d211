/* Who waits when the body is over, beside timers: in vain, or not. */
#include "test_support.h"
#include "testkit/says.h"
#include <soma/error.h>
#include <soma/test.h>

SOMA_MESSAGE(ask, (ref, whom))
SOMA_MESSAGE(owed)
SOMA_MESSAGE(answer)
SOMA_MESSAGE(tick)

static int on_answer(soma_agent *self, void *my, const struct answer *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_no_answer(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_request(self, m->whom, SOMA_NEVER, SOMA_THEN(answer, on_answer, on_no_answer), owed) < 0 ? SOMA_ENOMEM
                                                                                                         : 0;
}

static const soma_behavior asker = {.name = "asker", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

/* Answers at a tick: the first of its timer, the second, or one that it sets then. */
struct debtor {
    enum { NEVER, AT_ONE_TICK, AT_TWO, AT_ANOTHER } when;
    uint32_t ticks;
    soma_handle promise;
};

static int debtor_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct debtor *)state = *(const struct debtor *)arg;
    return 0;
}

static int on_owed(soma_agent *self, struct debtor *my, const struct owed *m)
{
    (void)m;
    my->promise = soma_reply_later(self);
    if (my->when == AT_TWO)
        soma_each(self, SOMA_SECOND, tick);
    else if (my->when != NEVER)
        soma_after(self, SOMA_SECOND, tick);
    return my->promise < 0 ? (int)my->promise : 0;
}

static int on_tick(soma_agent *self, struct debtor *my, const struct tick *m)
{
    (void)m;
    my->ticks++;
    if (my->when == AT_ANOTHER && my->ticks == 1)
        soma_after(self, 2 * SOMA_SECOND, tick);
    return my->ticks == (my->when == AT_ONE_TICK ? 1 : 2) ? soma_reply_to(self, my->promise, answer) : 0;
}

static const soma_behavior debtor = {.name = "debtor",
                                     .state_size = sizeof(struct debtor),
                                     .init = debtor_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(owed, on_owed), SOMA_ON(tick, on_tick))};

/* A clock that nobody needs: one timer that goes off again and again, or one that it sets anew each time. */
static int on_clock_tick(soma_agent *self, const bool *anew, const struct tick *m)
{
    (void)m;
    if (*anew)
        soma_after(self, 10 * SOMA_MS, tick);
    return 0;
}

static int clock_ready(soma_agent *self, void *state)
{
    if (*(bool *)state)
        soma_after(self, 10 * SOMA_MS, tick);
    else
        soma_each(self, 10 * SOMA_MS, tick);
    return 0;
}

static int clock_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(bool *)state = arg != NULL;
    return 0;
}

static const soma_behavior wall_clock = {.name = "clock",
                                         .state_size = sizeof(bool),
                                         .init = clock_init,
                                         .ready = clock_ready,
                                         .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_clock_tick))};

static void clock_spawn(soma_test *test, bool anew)
{
    assert_int_equal(soma_spawn(soma_test_system(test), &wall_clock, anew ? test : NULL, NULL), 0);
}

static void debt_make(soma_test *test, const struct debtor *kind)
{
    soma_ref asks, owes;
    assert_int_equal(soma_spawn(soma_test_system(test), &asker, NULL, &asks), 0);
    assert_int_equal(soma_spawn(soma_test_system(test), &debtor, kind, &owes), 0);
    assert_int_equal(soma_send(soma_test_system(test), asks, ask, .whom = owes), 0);
}

static void test_answered(soma_test *test)
{
    clock_spawn(test, false);
    debt_make(test, &(struct debtor){.when = AT_ONE_TICK});
    debt_make(test, &(struct debtor){.when = AT_TWO});
    debt_make(test, &(struct debtor){.when = AT_ANOTHER});
}

static void body_clock(soma_test *test)
{
    clock_spawn(test, false);
    debt_make(test, &(struct debtor){.when = NEVER});
}

static void body_other(soma_test *test)
{
    clock_spawn(test, false);
    debt_make(test, &(struct debtor){.when = NEVER});
    debt_make(test, &(struct debtor){.when = AT_ANOTHER});
}

/* Both end: then nobody has a timer any more. */
static void body_timers_end(soma_test *test)
{
    debt_make(test, &(struct debtor){.when = NEVER});
    debt_make(test, &(struct debtor){.when = AT_ANOTHER});
}

/* A timer that is set anew may be what brings the answer, as far as can be known. */
static void test_unknown(soma_test *test)
{
    clock_spawn(test, true);
    debt_make(test, &(struct debtor){.when = NEVER});
}

static void test_says(void **state)
{
    static const char picture[] = "a deadlock: nobody can run any more, but\n"
                                  "    asker %u waits for an answer from debtor %u\n";
    char text[256];
    (void)state;
    snprintf(text, sizeof(text), picture, 1, 2);
    says(body_clock, text);
    says(body_other, text);
    snprintf(text, sizeof(text), picture, 0, 1);
    says(body_timers_end, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_answered, 100, 1000),
        SOMA_SIM(test_answered, 100, 1000, .late = 3, .pauses = 2),
        SOMA_SIM(test_unknown, 100, 1000),
        cmocka_unit_test(test_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
