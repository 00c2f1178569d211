/* Isolated agents: every kind of effect is captured, and handlers, answers and timers run one by one. */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/isolate.h>
#include <string.h>

SOMA_MESSAGE(buy, (u32, count), (string, by))
SOMA_MESSAGE(sold, (u32, count), (string, by))
SOMA_MESSAGE(order, (array, u32, parts))
SOMA_MESSAGE(ordered, (u32, number))
SOMA_MESSAGE(tick, (u32, n))
SOMA_MESSAGE(act, (u32, what), (ref, whom))
SOMA_MESSAGE(other)

struct clerk {
    uint32_t stock;
    uint32_t number;
    int error;
    uint32_t ticks;
    soma_ref spawned;
    soma_handle handle;
};

static int clerk_init(soma_agent *self, void *state, const void *arg)
{
    struct clerk *my = state;
    my->stock = arg ? 10 : 0;
    soma_log_debug(self, "stock: %u", my->stock);
    return 0;
}

static int on_buy(soma_agent *self, struct clerk *my, const struct buy *m)
{
    if (m->count > my->stock)
        return soma_reply_error(self, SOMA_ENOENT);
    my->stock -= m->count;
    return soma_reply(self, sold, .count = m->count, .by = m->by);
}

static int on_ordered(soma_agent *self, struct clerk *my, const struct ordered *m)
{
    my->number = m->number;
    return soma_tag(self) == 7;
}

static int on_failed(soma_agent *self, struct clerk *my, const int *error)
{
    (void)self;
    my->error = *error;
    return 3;
}

static int on_order(soma_agent *self, struct clerk *my, const struct order *m)
{
    soma_ref supplier;
    int error = soma_whereis(soma_agent_system(self), "supplier", &supplier);
    if (error)
        return soma_fail(self, error, "nobody supplies %u parts", m->parts.count);
    my->handle = soma_request(self, supplier, m->parts.count ? SOMA_SECOND : SOMA_NEVER,
                              SOMA_THEN(ordered, on_ordered, on_failed, .tag = 7), order, .parts = m->parts);
    return my->handle < 0 ? SOMA_ENOMEM : 0;
}

static int on_tick(soma_agent *self, struct clerk *my, const struct tick *m)
{
    my->ticks++;
    if (m->n == 9)
        soma_timer_cancel(self, my->handle);
    return (int)m->n;
}

enum { SENDS, SENDS_ITSELF, SPAWNS, TIMES, ROUNDS, WATCHES, ENDS_OTHERS, FORWARDS, PROMISES, BECOMES, ENDS, SHARES };

static const soma_behavior child = {.name = "child", .state_size = 8};
static const soma_behavior closed = {.name = "closed"};

static int act_sends(soma_agent *self, soma_ref whom)
{
    char text[] = "a text";
    int error = soma_send(self, whom, buy, .count = 1, .by = text);
    memset(text, 'x', sizeof(text) - 1);
    return error ? error : soma_send(soma_agent_system(self), whom, tick, .n = 2);
}

static int act_spawns(soma_agent *self, struct clerk *my)
{
    int error = soma_spawn(self, &child, &my->stock, &my->spawned);
    if (error)
        return error;
    soma_spawn_monitor(self, &child, NULL, NULL);
    soma_spawn_link(self, &child, NULL, NULL);
    return soma_spawn_kept(self, &child, NULL, true, 1, NULL) > 0 ? 0 : SOMA_ENOMEM;
}

static int act_shares(soma_agent *self, soma_ref whom)
{
    soma_body *body;
    int error = soma_body_new(&body, buy, .count = 4, .by = "shared");
    if (error)
        return error;
    error = soma_send_body(self, whom, body);
    soma_body_close(&body);
    return error;
}

static int act_watches(soma_agent *self, soma_ref whom)
{
    soma_handle monitor = soma_monitor(self, whom);
    soma_demonitor(self, monitor);
    soma_link(self, whom);
    return soma_unlink(self, whom);
}

static int nothing(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)state, (void)arg;
    return 0;
}

static int act_ends_others(soma_agent *self, soma_ref whom)
{
    soma_post(soma_agent_system(self), whom, nothing, NULL, NULL);
    soma_shutdown(self, whom);
    return soma_kill(soma_agent_system(self), whom);
}

static int on_act(soma_agent *self, struct clerk *my, const struct act *m)
{
    switch (m->what) {
    case SENDS:
        return act_sends(self, m->whom);
    case SENDS_ITSELF:
        return soma_send(self, soma_self(self), tick, .n = 1);
    case SPAWNS:
        return act_spawns(self, my);
    case TIMES:
        my->handle = soma_after(self, 3 * SOMA_MS, tick, .n = 5);
        return my->handle > 0 ? 0 : SOMA_ENOMEM;
    case ROUNDS:
        my->handle = soma_each(self, 3 * SOMA_MS, tick, .n = 6);
        return my->handle > 0 ? 0 : SOMA_ENOMEM;
    case WATCHES:
        return act_watches(self, m->whom);
    case ENDS_OTHERS:
        return act_ends_others(self, m->whom);
    case FORWARDS:
        return soma_forward(self, m->whom);
    case PROMISES:
        my->handle = soma_reply_later(self);
        return my->handle > 0 ? 0 : SOMA_ENOMEM;
    case BECOMES:
        return soma_become(self, &closed);
    case SHARES:
        return act_shares(self, m->whom);
    default:
        soma_agent_exit(self, SOMA_EEXIST);
        return 0;
    }
}

static void clerk_stop(soma_agent *self, void *state, int reason)
{
    (void)state;
    soma_log_info(self, "stopped: %d", reason);
}

static const soma_behavior clerk = {.name = "clerk",
                                    .state_size = sizeof(struct clerk),
                                    .init = clerk_init,
                                    .stop = clerk_stop,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(buy, on_buy), SOMA_ON(order, on_order),
                                                              SOMA_ON(tick, on_tick), SOMA_ON(act, on_act))};

static soma_isolated *iso;
static soma_ref peer;

static int setup(void **state)
{
    (void)state;
    iso = soma_isolate(&clerk, NULL);
    peer = soma_isolated_peer(iso, "supplier");
    soma_isolated_clear(iso);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    soma_isolated_close(&iso);
    assert_null(iso);
    return 0;
}

static struct clerk *my(void)
{
    return soma_isolated_state(iso);
}

static const soma_effect *only(soma_effect_kind kind)
{
    assert_int_equal(soma_isolated_count(iso), 1);
    const soma_effect *effect = soma_isolated_effect(iso, 0);
    assert_int_equal(effect->kind, kind);
    return effect;
}

static void assert_kinds(const soma_effect_kind *kinds, uint32_t count)
{
    assert_int_equal(soma_isolated_count(iso), count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(soma_isolated_effect(iso, i)->kind, kinds[i]);
}

#define ASSERT_KINDS(...)                                                                                              \
    assert_kinds((const soma_effect_kind[]){__VA_ARGS__}, sizeof((soma_effect_kind[]){__VA_ARGS__}) / sizeof(int))

/* ---- opening ---- */

static void test_init_is_captured(void **state)
{
    (void)state;
    soma_isolated *mine = soma_isolate(&clerk, "stocked");
    assert_int_equal(((struct clerk *)soma_isolated_state(mine))->stock, 10);
    assert_int_equal(soma_isolated_count(mine), 1);
    const soma_effect *logged = soma_isolated_take(mine, SOMA_EFFECT_LOGGED, NULL);
    assert_string_equal(logged->text, "stock: 10");
    assert_int_equal(logged->level, SOMA_LOG_DEBUG);
    assert_null(soma_isolated_take(mine, SOMA_EFFECT_LOGGED, NULL));
    soma_isolated_close(&mine);
    soma_isolated_close(&mine);
}

static int init_fails(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return soma_fail(self, *(const int *)arg, "as it was told");
}

static int ready_sends(soma_agent *self, void *state)
{
    (void)state;
    return soma_send(self, soma_self(self), other);
}

static int idle_logs(soma_agent *self, void *state)
{
    (void)state;
    soma_log_info(self, "idle");
    return 0;
}

static int take_all(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    (void)self, (void)state, (void)message;
    return (int)strlen(type->name);
}

static void test_init_may_fail(void **state)
{
    (void)state;
    const soma_behavior failing = {.name = "failing", .init = init_fails};
    int error = SOMA_EFULL;
    soma_isolated *mine;
    assert_int_equal(soma_isolate_open(&mine, &failing, &error), SOMA_EFULL);
    assert_null(mine);
    assert_int_equal(soma_isolate_open(&mine, NULL, NULL), SOMA_EINVAL);
    assert_null(mine);
}

static void test_hooks_run(void **state)
{
    (void)state;
    const soma_behavior hooked = {.name = "hooked", .ready = ready_sends, .fallback = take_all};
    const soma_behavior lazy = {.name = "lazy", .idle = idle_logs, .fallback = take_all};
    soma_isolated *mine = soma_isolate(&hooked, NULL);
    assert_non_null(soma_isolated_sent(mine, other, NULL));
    assert_int_equal(soma_isolated_handle(mine, tick), 4);
    assert_int_equal(soma_isolated_count(mine), 1);
    soma_isolated_close(&mine);
    mine = soma_isolate(&lazy, NULL);
    assert_int_equal(soma_isolated_handle(mine, other), 5);
    assert_string_equal(soma_isolated_take(mine, SOMA_EFFECT_LOGGED, NULL)->text, "idle");
    soma_isolated_close(&mine);
}

/* ---- requests to it ---- */

static void test_request(void **state)
{
    (void)state;
    const soma_effect *effect;
    char by[] = "Ann";
    my()->stock = 3;
    assert_int_equal(soma_isolated_request(iso, buy, .count = 2, .by = by), 0);
    by[0] = 'X';
    assert_int_equal(my()->stock, 1);
    const struct sold *sold = soma_isolated_replied(iso, sold, &effect);
    assert_non_null(sold);
    assert_int_equal(sold->count, 2);
    assert_string_equal(sold->by, "Ann");
    assert_int_equal(effect->handle, 1);
    soma_isolated_from(iso, peer);
    assert_int_equal(soma_isolated_request(iso, buy, .count = 2), 0);
    effect = soma_isolated_take(iso, SOMA_EFFECT_FAILED, NULL);
    assert_int_equal(effect->error, SOMA_ENOENT);
    assert_int_equal(effect->handle, 2);
    assert_true(soma_ref_equal(effect->to, peer));
    assert_int_equal(my()->stock, 1);
    assert_int_equal(soma_isolated_count(iso), 2);
}

static void test_request_without_answer(void **state)
{
    (void)state;
    assert_int_equal(soma_isolated_request(iso, tick, .n = 4), 4);
    assert_int_equal(only(SOMA_EFFECT_FAILED)->error, SOMA_ENOREPLY);
    assert_int_equal(soma_isolated_request(iso, other), SOMA_EUNHANDLED);
    assert_int_equal(soma_isolated_effect(iso, 1)->error, SOMA_EUNHANDLED);
    assert_int_equal(soma_isolated_handle(iso, other), SOMA_EUNHANDLED);
}

static void test_promise(void **state)
{
    (void)state;
    assert_int_equal(soma_isolated_request(iso, act, .what = PROMISES), 0);
    assert_int_equal(soma_isolated_count(iso), 0);
    assert_int_equal(soma_isolated_handle(iso, act, .what = ENDS), 0);
    ASSERT_KINDS(SOMA_EFFECT_LOGGED, SOMA_EFFECT_ENDED, SOMA_EFFECT_LOGGED, SOMA_EFFECT_FAILED);
    assert_int_equal(soma_isolated_effect(iso, 1)->error, SOMA_EEXIST);
    assert_int_equal(soma_isolated_effect(iso, 3)->error, SOMA_EGONE);
    assert_int_equal(soma_isolated_effect(iso, 3)->handle, 1);
}

/* ---- what it asks ---- */

static const soma_effect *ordered(uint32_t parts)
{
    const uint32_t numbers[] = {1, 2, 3};
    const soma_effect *effect;
    assert_int_equal(soma_isolated_handle(iso, order, .parts = {numbers, parts}), 0);
    const struct order *order = soma_isolated_requested(iso, order, &effect);
    assert_non_null(order);
    assert_int_equal(order->parts.count, parts);
    assert_true(soma_ref_equal(effect->to, peer));
    assert_int_equal(effect->handle, my()->handle);
    assert_true(soma_isolated_pending(iso, effect));
    return effect;
}

static void test_answers(void **state)
{
    (void)state;
    const soma_effect *effect = ordered(3);
    assert_int_equal(effect->delay, SOMA_SECOND);
    assert_int_equal(((const struct order *)effect->body)->parts.items[2], 3);
    assert_int_equal(soma_isolated_answer(iso, effect, ordered, .number = 5), 1);
    assert_int_equal(my()->number, 5);
    assert_false(soma_isolated_pending(iso, effect));
    assert_int_equal(soma_isolated_answer(iso, effect, ordered, .number = 6), SOMA_ENOENT);
    assert_int_equal(soma_isolated_answer_error(iso, effect, SOMA_EGONE), SOMA_ENOENT);
    assert_int_equal(soma_isolated_fire(iso, effect), SOMA_ENOENT);
    assert_int_equal(my()->number, 5);
    assert_int_equal(soma_isolated_answer(iso, ordered(3), tick), 3);
    assert_int_equal(my()->error, SOMA_ETYPE);
    assert_int_equal(soma_isolated_answer_error(iso, ordered(3), -1234), 3);
    assert_int_equal(my()->error, -1234);
    soma_isolated_time_set(iso, 5 * SOMA_SECOND);
    assert_int_equal(soma_isolated_fire(iso, ordered(3)), 3);
    assert_int_equal(my()->error, SOMA_ETIMEOUT);
    effect = ordered(0);
    assert_true(effect->delay == SOMA_NEVER);
    assert_int_equal(soma_isolated_answer(iso, effect, ordered, .number = 7), 1);
    assert_int_equal(my()->number, 7);
    assert_int_equal(soma_isolated_count(iso), 5);
}

/* ---- what it sends ---- */

static void test_sends(void **state)
{
    (void)state;
    const soma_effect *effect;
    assert_int_equal(soma_isolated_handle(iso, act, .what = SENDS, .whom = peer), 0);
    ASSERT_KINDS(SOMA_EFFECT_SENT, SOMA_EFFECT_SENT);
    assert_int_equal(soma_isolated_sent(iso, tick, &effect)->n, 2);
    assert_true(soma_ref_equal(effect->to, peer));
    assert_string_equal(soma_isolated_sent(iso, buy, NULL)->by, "a text");
    assert_null(soma_isolated_sent(iso, buy, &effect));
    assert_null(effect);
    soma_isolated_clear(iso);
    const soma_ref far = {99, 3, 1};
    assert_int_equal(soma_isolated_handle(iso, act, .what = SENDS, .whom = far), 0);
    assert_non_null(soma_isolated_sent(iso, buy, &effect));
    assert_true(soma_ref_equal(effect->to, far));
    assert_int_equal(soma_isolated_handle(iso, act, .what = SHARES, .whom = peer), 0);
    assert_string_equal(soma_isolated_sent(iso, buy, NULL)->by, "shared");
}

static void test_mail_of_its_own_waits(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(soma_isolated_handle(iso, act, .what = SENDS_ITSELF), 0);
    assert_int_equal(soma_isolated_count(iso), 3);
    assert_int_equal(my()->ticks, 0);
    assert_int_equal(soma_isolated_handle(iso, tick, .n = 8), 8);
    assert_int_equal(my()->ticks, 1);
    assert_int_equal(soma_isolated_handle(iso, act, .what = ENDS), 0);
    assert_null(soma_isolated_state(iso));
    assert_null(soma_isolated_behavior(iso));
    assert_int_equal(soma_isolated_handle(iso, tick), SOMA_EGONE);
}

static void test_forwards(void **state)
{
    (void)state;
    assert_int_equal(soma_isolated_request(iso, act, .what = FORWARDS, .whom = peer), 0);
    assert_true(soma_ref_equal(only(SOMA_EFFECT_FORWARDED)->to, peer));
    assert_int_equal(((const struct act *)only(SOMA_EFFECT_FORWARDED)->body)->what, FORWARDS);
    assert_int_equal(soma_isolated_handle(iso, act, .what = FORWARDS, .whom = peer), 0);
    ASSERT_KINDS(SOMA_EFFECT_FORWARDED, SOMA_EFFECT_FORWARDED);
}

static void test_outside(void **state)
{
    (void)state;
    soma_ref own = soma_isolated_from(iso, SOMA_REF_NULL);
    assert_false(soma_ref_is_null(own));
    assert_int_equal(soma_isolated_handle(iso, act, .what = FORWARDS, .whom = peer), 0);
    only(SOMA_EFFECT_SENT); // as if it had been for that one from the start
    assert_true(soma_ref_is_null(soma_isolated_from(iso, own)));
}

/* ---- what else it does ---- */

static void test_spawns(void **state)
{
    (void)state;
    assert_int_equal(soma_isolated_handle(iso, act, .what = SPAWNS), 0);
    ASSERT_KINDS(SOMA_EFFECT_SPAWNED, SOMA_EFFECT_SPAWNED, SOMA_EFFECT_MONITORED, SOMA_EFFECT_SPAWNED,
                 SOMA_EFFECT_LINKED, SOMA_EFFECT_SPAWNED, SOMA_EFFECT_KEPT);
    const soma_effect *effect = soma_isolated_effect(iso, 0);
    assert_ptr_equal(effect->behavior, &child);
    assert_ptr_equal(effect->arg, &my()->stock);
    assert_true(soma_ref_equal(effect->to, my()->spawned));
    assert_int_equal(soma_isolated_handle(iso, act, .what = SENDS, .whom = effect->to), 0);
    soma_isolated_clear(iso);
    soma_isolated_spawns_fail(iso, SOMA_EFULL);
    assert_int_equal(soma_isolated_handle(iso, act, .what = SPAWNS), SOMA_EFULL);
    assert_int_equal(soma_isolated_effect(iso, 0)->error, SOMA_EFULL);
    assert_int_equal(soma_isolated_take(iso, SOMA_EFFECT_ENDED, NULL)->error, SOMA_EFULL);
}

static void test_timers(void **state)
{
    (void)state;
    const soma_effect *effect;
    soma_isolated_time_set(iso, SOMA_SECOND);
    assert_int_equal(soma_isolated_handle(iso, act, .what = TIMES), 0);
    assert_int_equal(soma_isolated_timer(iso, tick, &effect)->n, 5);
    assert_int_equal(effect->delay, 3 * SOMA_MS);
    assert_int_equal(effect->period, 0);
    assert_int_equal(soma_isolated_fire(iso, effect), 5);
    assert_int_equal(soma_isolated_fire(iso, effect), SOMA_ENOENT);
    assert_int_equal(soma_isolated_handle(iso, act, .what = ROUNDS), 0);
    assert_non_null(soma_isolated_timer(iso, tick, &effect));
    assert_int_equal(effect->period, 3 * SOMA_MS);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(soma_isolated_fire(iso, effect), 6);
    assert_int_equal(my()->ticks, 4);
    assert_true(soma_isolated_pending(iso, effect));
    assert_int_equal(soma_isolated_handle(iso, tick, .n = 9), 9);
    assert_false(soma_isolated_pending(iso, effect));
    assert_int_equal(soma_isolated_fire(iso, effect), SOMA_ENOENT);
    assert_int_equal(soma_isolated_count(iso), 2);
}

static void test_watches_and_ends(void **state)
{
    (void)state;
    assert_int_equal(soma_isolated_handle(iso, act, .what = WATCHES, .whom = peer), 0);
    ASSERT_KINDS(SOMA_EFFECT_MONITORED, SOMA_EFFECT_DEMONITORED, SOMA_EFFECT_LINKED, SOMA_EFFECT_UNLINKED);
    soma_isolated_clear(iso);
    assert_int_equal(soma_isolated_handle(iso, act, .what = ENDS_OTHERS, .whom = peer), 0);
    ASSERT_KINDS(SOMA_EFFECT_POSTED, SOMA_EFFECT_SHUT_DOWN, SOMA_EFFECT_KILLED);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(soma_ref_equal(soma_isolated_effect(iso, i)->to, peer));
    const soma_ref far = {99, 3, 1};
    soma_isolated_clear(iso);
    assert_int_equal(soma_isolated_handle(iso, act, .what = WATCHES, .whom = far), 0);
    assert_int_equal(soma_isolated_handle(iso, act, .what = ENDS_OTHERS, .whom = far), 0); // a function can't travel
    ASSERT_KINDS(SOMA_EFFECT_MONITORED, SOMA_EFFECT_DEMONITORED, SOMA_EFFECT_LINKED, SOMA_EFFECT_UNLINKED,
                 SOMA_EFFECT_SHUT_DOWN, SOMA_EFFECT_KILLED);
}

static void test_becomes(void **state)
{
    (void)state;
    assert_ptr_equal(soma_isolated_behavior(iso), &clerk);
    assert_int_equal(soma_isolated_handle(iso, act, .what = BECOMES), 0);
    assert_ptr_equal(soma_isolated_behavior(iso), &closed);
    assert_int_equal(soma_isolated_handle(iso, tick), SOMA_EUNHANDLED);
}

static void test_error_ends_it(void **state)
{
    (void)state;
    soma_isolated *mine = soma_isolate(&clerk, NULL);
    soma_isolated_clear(mine);
    assert_int_equal(soma_isolated_handle(mine, order), SOMA_ENOENT);
    assert_int_equal(soma_isolated_take(mine, SOMA_EFFECT_ENDED, NULL)->error, SOMA_ENOENT);
    assert_non_null(strstr(soma_isolated_take(mine, SOMA_EFFECT_LOGGED, NULL)->text, "nobody supplies 0 parts"));
    assert_string_equal(soma_isolated_take(mine, SOMA_EFFECT_LOGGED, NULL)->text, "stopped: -7");
    soma_isolated_close(&mine);
}

static void test_shutdown(void **state)
{
    (void)state;
    assert_int_equal(soma_isolated_shutdown(iso), 0);
    ASSERT_KINDS(SOMA_EFFECT_ENDED, SOMA_EFFECT_LOGGED);
    assert_int_equal(soma_isolated_effect(iso, 0)->error, SOMA_ESHUTDOWN);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    uint32_t failures = 0;
    for (uint64_t n = 1;; n++) {
        soma_isolated *mine = soma_isolate(&clerk, "stocked");
        soma_isolated_clear(mine);
        soma_isolated_fail_allocation(mine, n);
        int error = soma_isolated_handle(mine, act, .what = TIMES);
        assert_true(!error || error == SOMA_ENOMEM);
        assert_int_equal(soma_isolated_count(mine) > 1, error != 0); // its end is logged
        soma_isolated_close(&mine);
        if (!error)
            break;
        failures++;
    }
    assert_int_equal(failures, 3); // the agent's extension, the timer, the table that it stands in
}

/* Beside nodes of a run, whose allocations are apart. */
static void test_in_a_run(soma_test *test)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), &clerk, NULL, &ref), 0);
    soma_isolated *mine = soma_isolate(&clerk, "stocked");
    soma_test_fail_allocation(test, 1);
    assert_int_equal(soma_isolated_handle(mine, act, .what = SENDS_ITSELF), SOMA_ENOMEM);
    soma_isolated_close(&mine);
    mine = soma_isolate(&clerk, "stocked");
    soma_test_settle(test);
    assert_int_equal(soma_isolated_request(mine, buy, .count = 1), 0);
    assert_non_null(soma_isolated_replied(mine, sold, NULL));
    soma_isolated_close(&mine);
    assert_non_null(soma_test_state(test, ref));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_is_captured),
        cmocka_unit_test(test_init_may_fail),
        cmocka_unit_test(test_hooks_run),
        cmocka_unit_test_setup_teardown(test_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_without_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mail_of_its_own_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forwards, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spawns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watches_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_becomes, setup, teardown),
        cmocka_unit_test(test_error_ends_it),
        cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
        cmocka_unit_test(test_memory_runs_out),
        SOMA_SIM(test_in_a_run, 10, 100),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
