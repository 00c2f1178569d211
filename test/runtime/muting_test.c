/* Muting, turn by turn: who never comes to rest must catch up all the same, and who passes mail on is slowed down, too.
 */
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "test_support.h"
#include <soma/soma.h>

SOMA_MESSAGE(token, (u64, n))
SOMA_MESSAGE(go, (ref, to))
SOMA_MESSAGE(heavy, (bytes, data))
SOMA_MESSAGE(go_heavy, (ref, to))
SOMA_MESSAGE(go_body, (ref, to))
SOMA_MESSAGE(go_both, (ref, first), (ref, second))

/* ---- a system in one thread: the test says who runs ---- */

static soma_agent *waiting[64];
static uint32_t waiting_count;
static soma_system *sys;

static uint64_t virtual_now(void *context)
{
    (void)context;
    return 1;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    (void)context, (void)system;
    assert_true(waiting_count < 64);
    waiting[waiting_count++] = agent;
}

/* One turn each for all that can run now. */
static void run_once(void)
{
    uint32_t count = waiting_count;
    for (uint32_t i = 0; i < count; i++)
        agent_turn(&sys->workers[0], waiting[i], 100);
    waiting_count -= count;
    for (uint32_t i = 0; i < waiting_count; i++)
        waiting[i] = waiting[count + i];
}

static int open_batch(uint32_t batch)
{
    const struct driver driver = {.now = virtual_now, .date = virtual_now, .random = virtual_now, .runnable = runnable};
    waiting_count = 0;
    return system_open_driven(&sys, &(soma_options){.batch = batch, .log_level = SOMA_LOG_OFF}, &driver);
}

static int setup(void **state)
{
    (void)state;
    return open_batch(100);
}

/* Who has handled one message, and has another, is overloaded. */
static int setup_batch_of_one(void **state)
{
    (void)state;
    return open_batch(1);
}

static int teardown(void **state)
{
    (void)state;
    return soma_system_cancel(&sys);
}

static uint64_t muted(void)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(sys, &stats), 0);
    return stats.muted;
}

static uint32_t pressure(soma_ref ref)
{
    return u32_load(&sys->slots.base[ref.slot].pressure);
}

/* ---- agents ---- */

static int on_token_again(soma_agent *self, void *state, const struct token *m)
{
    (void)state;
    return soma_send(self, soma_self(self), token, .n = m->n);
}

static int on_token_end(soma_agent *self, void *state, const struct token *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static int on_go(soma_agent *self, void *state, const struct go *m)
{
    (void)state;
    return soma_send(self, m->to, token, .n = 0);
}

static int on_go_both(soma_agent *self, void *state, const struct go_both *m)
{
    (void)state;
    int error = soma_send(self, m->first, token, .n = 0);
    return error ? error : soma_send(self, m->second, token, .n = 0);
}

static uint8_t megabytes[2u << 20];
static soma_body *shared;

static int on_heavy(soma_agent *self, void *state, const struct heavy *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static int on_go_heavy(soma_agent *self, void *state, const struct go_heavy *m)
{
    (void)state;
    return soma_send(self, m->to, heavy, .data = {megabytes, sizeof(megabytes)});
}

/* The one that is shared, or else a new one. */
static int on_go_body(soma_agent *self, void *state, const struct go_body *m)
{
    (void)state;
    soma_body *body = soma_body_share(shared);
    if (!body)
        assert_int_equal(soma_body_new(&body, heavy, .data = {megabytes, sizeof(megabytes)}), 0);
    int error = soma_send_body(self, m->to, body);
    soma_body_close(&body);
    return error;
}

static const soma_behavior carrier = {
    .name = "carrier", .handlers = SOMA_HANDLERS(SOMA_ON(go_heavy, on_go_heavy), SOMA_ON(go_body, on_go_body))};
static const soma_behavior taker = {.name = "taker", .handlers = SOMA_HANDLERS(SOMA_ON(heavy, on_heavy))};
static const soma_behavior restless = {.name = "restless",
                                       .handlers = SOMA_HANDLERS(SOMA_ON(token, on_token_again), SOMA_ON(go, on_go))};
static const soma_behavior giver = {.name = "giver", .handlers = SOMA_HANDLERS(SOMA_ON(go_both, on_go_both))};
static const soma_behavior quiet = {.name = "quiet",
                                    .handlers = SOMA_HANDLERS(SOMA_ON(token, on_token_end), SOMA_ON(go, on_go))};

/* Agents with tokens of their own always have mail: still they catch up with what others send. */
static void test_restless_receiver(void **state)
{
    (void)state;
    soma_ref receiver, sender;
    assert_int_equal(soma_spawn(sys, &restless, NULL, &receiver), 0);
    assert_int_equal(soma_spawn(sys, &quiet, NULL, &sender), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(soma_send(sys, receiver, token, .n = i), 0);
    u32_store(&sys->slots.base[receiver.slot].pressure, PRESSURE_OVERLOADED); // as a sender does that takes much memory
    assert_int_equal(soma_send(sys, sender, go, .to = receiver), 0);
    run_once();
    assert_int_equal(muted(), 1);
    for (uint32_t i = 0; i < 10; i++)
        run_once();
    assert_int_equal(muted(), 0);
}

/* Nor is one overloaded for ever that sends to others, which would spare it from being muted. */
static void test_restless_sender_is_muted(void **state)
{
    (void)state;
    soma_ref receiver, sender;
    assert_int_equal(soma_spawn(sys, &quiet, NULL, &receiver), 0);
    assert_int_equal(soma_spawn(sys, &restless, NULL, &sender), 0);
    for (uint32_t i = 0; i < 300; i++) // overloaded: two turns are not enough
        assert_int_equal(soma_send(sys, receiver, token, .n = i), 0);
    agent_turn(&sys->workers[0], &sys->slots.base[receiver.slot], 100);
    assert_true(pressure(receiver));
    waiting_count = 0; // it does not run for now
    for (uint32_t i = 0; i < 150; i++)
        assert_int_equal(soma_send(sys, sender, token, .n = i), 0);
    u32_store(&sys->slots.base[sender.slot].pressure, PRESSURE_OVERLOADED);
    for (uint32_t i = 0; i < 20 && waiting_count; i++) {
        assert_int_equal(soma_send(sys, sender, go, .to = receiver), 0);
        run_once();
    }
    assert_int_equal(muted(), 1);
    agent_turn(&sys->workers[0], &sys->slots.base[receiver.slot], 1000);
    assert_int_equal(muted(), 0);
}

/* A router has nothing to say of its own, and still must not bury a member. */
static void test_router_is_muted(void **state)
{
    (void)state;
    soma_ref member, router;
    assert_int_equal(soma_spawn(sys, &quiet, NULL, &member), 0);
    const soma_routing routing = {.strategy = SOMA_ROUND_ROBIN, .members = &member, .count = 1};
    assert_int_equal(soma_spawn(sys, &soma_router, &routing, &router), 0);
    run_once();
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(soma_send(sys, member, token, .n = i), 0);
    run_once();
    assert_true(pressure(member));
    assert_int_equal(soma_send(sys, router, token, .n = 0), 0); // from outside, so it has no sender
    agent_turn(&sys->workers[0], &sys->slots.base[router.slot], 100);
    assert_int_equal(muted(), 1);
    agent_turn(&sys->workers[0], &sys->slots.base[member.slot], 1000);
    assert_int_equal(muted(), 0);
    waiting_count = 0;
}

/* A few large messages are as much as many small ones: who sends them need not wait for a batch to be slowed down. */
static void test_large_messages(void **state)
{
    (void)state;
    for (uint32_t how = 0; how < 3; how++) {
        soma_ref receiver, sender;
        assert_int_equal(soma_spawn(sys, &taker, NULL, &receiver), 0);
        assert_int_equal(soma_spawn(sys, &carrier, NULL, &sender), 0);
        assert_int_equal(soma_send(sys, receiver, heavy, .data = {NULL, 0}), 0); // so that it is not idle
        if (how == 2)
            assert_int_equal(soma_body_new(&shared, heavy, .data = {megabytes, sizeof(megabytes)}), 0);
        if (how)
            assert_int_equal(soma_send(sys, sender, go_body, .to = receiver), 0);
        else
            assert_int_equal(soma_send(sys, sender, go_heavy, .to = receiver), 0);
        agent_turn(&sys->workers[0], &sys->slots.base[sender.slot], 100);
        assert_int_equal(muted(), how < 2); // one that others hold as well takes no memory
        agent_turn(&sys->workers[0], &sys->slots.base[receiver.slot], 100);
        assert_int_equal(muted(), 0);
        waiting_count = 0;
        soma_body_close(&shared);
    }
}

static void turn_of(soma_ref ref, uint32_t batch)
{
    agent_turn(&sys->workers[0], &sys->slots.base[ref.slot], batch);
    waiting_count = 0; // the test knows who runs
}

static uint32_t backlog(soma_ref ref)
{
    uint32_t messages;
    assert_int_equal(soma_backlog(sys, ref, &messages), 0);
    return messages;
}

/* Who sends to two that are overloaded waits for the slow one, too, though the other one is the last it has sent to. */
static void test_two_receivers(void **state)
{
    (void)state;
    soma_ref slow, fast, sender;
    assert_int_equal(soma_spawn(sys, &quiet, NULL, &slow), 0);
    assert_int_equal(soma_spawn(sys, &quiet, NULL, &fast), 0);
    assert_int_equal(soma_spawn(sys, &giver, NULL, &sender), 0);
    for (uint32_t i = 0; i < 10000; i++) {
        for (uint32_t j = 0; j < 2; j++)
            assert_int_equal(soma_send(sys, fast, token, .n = j), 0);
        turn_of(fast, 1);
        assert_true(pressure(fast));
        if (!(pressure(sender) & PRESSURE_MUTED)) {
            assert_int_equal(soma_send(sys, sender, go_both, .first = slow, .second = fast), 0);
            turn_of(sender, 100);
        }
        turn_of(fast, 100);
        assert_false(pressure(fast));
        if (i % 4 == 3 && backlog(slow))
            turn_of(slow, 1);
        assert_in_range(backlog(slow), 0, 50);
    }
    if (backlog(slow))
        turn_of(slow, 100);
    assert_int_equal(muted(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_restless_receiver, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restless_sender_is_muted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_router_is_muted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_receivers, setup_batch_of_one, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
