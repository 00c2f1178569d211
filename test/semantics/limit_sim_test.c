/*
 * Limits: never more mail than allowed waits, and each message has one fate, which its sender and the counters know:
 * handled in order, refused, or dropped, the newest or the oldest as the policy says.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/test.h>

#define LIMIT 3u
#define SENDERS 2u
#define EACH 12u

SOMA_MESSAGE(begin, (ref, to))
SOMA_MESSAGE(item, (u32, from), (u32, number))

/* ---- the limited one: from each sender numbers rise ---- */

struct limited {
    uint32_t handled;
    uint32_t last[SENDERS];
};

static int on_item(soma_agent *self, struct limited *my, const struct item *m)
{
    (void)self;
    assert_true(m->number > my->last[m->from]);
    my->last[m->from] = m->number;
    my->handled++;
    return 0;
}

#define LIMITED(name_, policy_)                                                                                        \
    {                                                                                                                  \
        .name = name_, .state_size = sizeof(struct limited), .limit = {.messages = LIMIT, .policy = (policy_)},        \
        .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item))                                                              \
    }

static const soma_behavior limited[] = {[SOMA_REJECT] = LIMITED("rejecting", SOMA_REJECT),
                                        [SOMA_DROP_NEWEST] = LIMITED("dropping-newest", SOMA_DROP_NEWEST),
                                        [SOMA_DROP_OLDEST] = LIMITED("dropping-oldest", SOMA_DROP_OLDEST)};

/* ---- senders ---- */

struct sender {
    uint32_t self;
    uint32_t sent;    /* with 0 for an answer */
    uint32_t refused; /* with SOMA_EAGAIN */
    uint32_t number;
};

static int sender_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct sender *)state)->self = *(const uint32_t *)arg;
    return 0;
}

static int on_begin(soma_agent *self, struct sender *my, const struct begin *m)
{
    for (uint64_t burst = 1 + soma_random(self) % 5; burst && my->number < EACH; burst--) {
        int error = soma_send(self, m->to, item, .from = my->self, .number = ++my->number);
        assert_true(!error || error == SOMA_EAGAIN);
        my->sent += !error;
        my->refused += !!error;
    }
    return my->number < EACH ? soma_send(self, soma_self(self), begin, .to = m->to) : 0;
}

static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct sender),
                                     .init = sender_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

/* ---- the body ---- */

struct watched {
    soma_ref agent;
    uint32_t most;
};

static void is_bounded(soma_test *test, void *arg)
{
    const struct watched *watched = arg;
    uint32_t waiting;
    assert_int_equal(soma_backlog(soma_test_system(test), watched->agent, &waiting), 0);
    assert_true(waiting <= watched->most);
}

static void limit_holds(soma_test *test, soma_policy policy)
{
    soma_system *system = soma_test_system(test);
    struct watched *watched = soma_test_alloc(test, sizeof(*watched));
    soma_ref from[SENDERS];
    uint32_t sent = 0, refused = 0;
    soma_stats stats;
    watched->most = policy == SOMA_DROP_OLDEST ? 2 * LIMIT : LIMIT;
    assert_int_equal(soma_spawn(system, &limited[policy], NULL, &watched->agent), 0);
    soma_test_always(test, is_bounded, watched);
    for (uint32_t i = 0; i < SENDERS; i++) {
        assert_int_equal(soma_spawn(system, &sender, &i, &from[i]), 0);
        assert_int_equal(soma_send(system, from[i], begin, .to = watched->agent), 0);
    }
    soma_test_settle(test);
    const struct limited *state = soma_test_state(test, watched->agent);
    for (uint32_t i = 0; i < SENDERS; i++) {
        const struct sender *done = soma_test_state(test, from[i]);
        sent += done->sent;
        refused += done->refused;
    }
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(sent + refused, SENDERS * EACH);
    assert_int_equal(refused, stats.rejected);
    assert_int_equal(state->handled + stats.dropped, sent);
    assert_int_equal(stats.dropped, stats.dead_letters);
    assert_true(policy == SOMA_REJECT ? !stats.dropped : !refused);
    assert_true(state->handled >= LIMIT);
}

static void test_reject(soma_test *test)
{
    limit_holds(test, SOMA_REJECT);
}

static void test_drop_newest(soma_test *test)
{
    limit_holds(test, SOMA_DROP_NEWEST);
}

static void test_drop_oldest(soma_test *test)
{
    limit_holds(test, SOMA_DROP_OLDEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_reject, 10000, 2000, .pauses = 1),
        SOMA_SIM(test_reject, 10000, 2000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_drop_newest, 10000, 2000, .pauses = 1),
        SOMA_SIM(test_drop_oldest, 10000, 2000, .pauses = 1),
        SOMA_SIM(test_drop_oldest, 10000, 2000, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
