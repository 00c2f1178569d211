/* Timers on the real clock: never early, periodic, cancelled, named, ended with their agent. Their order: driver_test.
 */
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(fire, (u64, deadline), (u32, n))
SOMA_MESSAGE(beat)
SOMA_MESSAGE(set_many, (u32, count))
SOMA_MESSAGE(set_far, (u32, count))
SOMA_MESSAGE(set_beat)
SOMA_MESSAGE(misuse)
SOMA_MESSAGE(count)
SOMA_MESSAGE(counted, (u32, fired), (u32, early), (u32, beats), (bool, ok))

struct sleeper {
    struct counted counted;
    soma_handle beat;
};

static int on_fire(soma_agent *self, struct sleeper *my, const struct fire *m)
{
    my->counted.fired++;
    my->counted.early += soma_now(self) < m->deadline;
    return 0;
}

static int on_set_many(soma_agent *self, struct sleeper *my, const struct set_many *m)
{
    (void)my;
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t delay = soma_random(self) % (20 * SOMA_MS);
        // the deadline that is told is a little earlier than the one that is set, which is counted from a later now
        soma_handle timer = soma_after(self, delay, fire, .deadline = soma_now(self) + delay, .n = i);
        if (timer <= 0)
            return (int)timer;
        if (i % 3 == 0 && soma_timer_cancel(self, timer))
            return SOMA_ESTATE;
    }
    return 0;
}

static int on_set_far(soma_agent *self, struct sleeper *my, const struct set_far *m)
{
    (void)my;
    soma_handle timer = 1;
    for (uint32_t i = 0; i < m->count && timer > 0; i++)
        timer = soma_after(self, 3600 * SOMA_SECOND + i * SOMA_US, fire);
    return timer > 0 ? (int)soma_after(self, 0, fire) : (int)timer;
}

static int on_beat(soma_agent *self, struct sleeper *my, const struct beat *m)
{
    (void)m;
    if (++my->counted.beats == 5)
        return soma_timer_cancel(self, soma_timer_find(self, "beat"));
    return 0;
}

static int on_set_beat(soma_agent *self, struct sleeper *my, const struct set_beat *m)
{
    (void)m;
    my->beat = soma_each(self, SOMA_MS, beat);
    return soma_timer_name(self, my->beat, "beat");
}

static int on_misuse(soma_agent *self, struct sleeper *my, const struct misuse *m)
{
    (void)m;
    soma_handle long_one = soma_after(self, SOMA_NEVER - 1, beat), other = soma_after(self, SOMA_SECOND, beat);
    my->counted.ok = long_one > 0 && soma_timer_name(self, long_one, "a") == 0 &&
                     soma_timer_name(self, long_one, "a") == 0 && soma_timer_name(self, other, "a") == SOMA_EEXIST &&
                     soma_timer_find(self, "a") == long_one && soma_timer_find(self, "b") == SOMA_ENOENT &&
                     soma_timer_cancel(self, soma_timer_find(self, "b")) == SOMA_ENOENT &&
                     soma_timer_cancel(self, long_one) == 0 && soma_timer_cancel(self, long_one) == SOMA_ENOENT &&
                     soma_timer_find(self, "a") == SOMA_ENOENT && soma_timer_name(self, other, "a") == 0 &&
                     soma_timer_cancel(self, 12345) == SOMA_ENOENT && soma_timer_cancel(self, 0) == SOMA_ENOENT &&
                     soma_timer_cancel(NULL, other) == SOMA_EINVAL && soma_each(self, 0, beat) == SOMA_EINVAL &&
                     soma_after(NULL, 1, beat) == SOMA_EINVAL && soma_after(self, SOMA_NEVER, beat) == SOMA_EINVAL &&
                     soma_timer_name(self, other, NULL) == SOMA_EINVAL && soma_timer_find(self, NULL) == SOMA_EINVAL;
    return 0;
}

static int on_count(soma_agent *self, struct sleeper *my, const struct count *m)
{
    (void)m;
    return soma_reply_send(self, 0, &counted_type, &my->counted);
}

static const soma_behavior sleeper = {
    .name = "sleeper",
    .state_size = sizeof(struct sleeper),
    .handlers = SOMA_HANDLERS(SOMA_ON(fire, on_fire), SOMA_ON(beat, on_beat), SOMA_ON(set_many, on_set_many),
                              SOMA_ON(set_far, on_set_far), SOMA_ON(set_beat, on_set_beat), SOMA_ON(misuse, on_misuse),
                              SOMA_ON(count, on_count)),
};

struct fixture {
    soma_system *system;
    soma_ref sleeper;
};

static struct counted ask_count(struct fixture *f)
{
    struct counted counted;
    assert_int_equal(soma_call(f->system, f->sleeper, 60 * SOMA_SECOND, &counted, counted, count), 0);
    return counted;
}

static int setup(void **state)
{
    static struct fixture f;
    *state = &f;
    return soma_system_open(&f.system, &(soma_options){.workers = 2}) ||
           soma_spawn(f.system, &sleeper, NULL, &f.sleeper);
}

static int teardown(void **state)
{
    return soma_system_close(&((struct fixture *)*state)->system);
}

static void test_many(void **state)
{
    struct fixture *f = *state;
    uint32_t many = test_load(20000);
    assert_int_equal(soma_send(f->system, f->sleeper, set_many, .count = many), 0);
    struct counted counted;
    do
        counted = ask_count(f);
    while (counted.fired < many - (many + 2) / 3);
    assert_int_equal(counted.fired, many - (many + 2) / 3);
    assert_int_equal(counted.early, 0);
}

/* However many are pending, one that is due fires; and they end with their agent. */
static void test_a_million_pending(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(soma_send(f->system, f->sleeper, set_far, .count = test_load(1000000)), 0);
    while (!ask_count(f).fired)
        ;
    assert_int_equal(ask_count(f).fired, 1);
}

static void test_periodic(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(soma_send(f->system, f->sleeper, set_beat), 0);
    while (ask_count(f).beats < 5)
        ;
    uint64_t later = soma_now(f->system) + 5 * SOMA_MS;
    while (soma_now(f->system) < later)
        assert_int_equal(ask_count(f).beats, 5);
}

static void test_misuse(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(soma_send(f->system, f->sleeper, misuse), 0);
    assert_true(ask_count(f).ok);
    assert_int_equal(soma_system_now(NULL), 0);
    assert_int_equal(soma_random(NULL), 0);
}

/* Agents that end with timers pending, due and in their mailbox: nothing fires for the slot's next agent. */
static void test_end(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < test_load(2000); i++) {
        soma_ref ref;
        assert_int_equal(soma_spawn(f->system, &sleeper, NULL, &ref), 0);
        assert_int_equal(soma_send(f->system, ref, set_many, .count = 30), 0);
        assert_int_equal(soma_kill(f->system, ref), 0);
    }
    assert_int_equal(ask_count(f).fired, 0);
}

static int on_beat_forward(soma_agent *self, soma_ref *to, const struct beat *m)
{
    (void)m;
    return soma_forward(self, *to);
}

static int forwarder_init(soma_agent *self, void *state, const void *arg)
{
    *(soma_ref *)state = *(const soma_ref *)arg;
    return (int)soma_after(self, 0, beat);
}

static const soma_behavior forwarder = {.name = "forwarder",
                                        .state_size = sizeof(soma_ref),
                                        .init = forwarder_init,
                                        .handlers = SOMA_HANDLERS(SOMA_ON(beat, on_beat_forward))};

/* A timer's message is passed on as one that the agent has sent itself. */
static void test_forward(void **state)
{
    struct fixture *f = *state;
    soma_ref ref;
    assert_int_equal(soma_spawn(f->system, &forwarder, &f->sleeper, &ref), 0);
    while (!ask_count(f).beats)
        assert_int_equal(soma_backlog(f->system, ref, &(uint32_t){0}), 0); // it lives: nothing has failed
}

/* ---- all at once ---- */

SOMA_MESSAGE(stop_all)

/* Are so many timers pending, and one of this name, or none if NULL? */
static bool has(const soma_agent *self, uint32_t timers, const char *name)
{
    const char *names[2] = {NULL, NULL};
    uint32_t pending = 99;
    int named = soma_timers_list(self, names, 2, &pending);
    return pending == timers && !names[1] && (name ? named == 1 && !strcmp(names[0], name) : named == 0 && !names[0]);
}

static bool lists(soma_agent *self)
{
    const char *names[3] = {NULL, NULL, NULL};
    uint32_t pending = 0;
    soma_handle first = soma_after(self, 3600 * SOMA_SECOND, beat), other = soma_each(self, 3600 * SOMA_SECOND, beat);
    bool ok = has(self, 2, NULL) && soma_timer_name(self, first, "a") == 0 && has(self, 2, "a") &&
              soma_timer_name(self, first, "b") == 0 && soma_timer_name(self, other, "c") == 0;
    ok = ok && soma_timers_list(self, names, 2, NULL) == 3 && !strcmp(names[0], "c") && !strcmp(names[1], "b") &&
         !names[2] && soma_timers_list(self, NULL, 0, &pending) == 3 && pending == 2;
    ok = ok && soma_timer_cancel(self, first) == 0 && has(self, 1, "c");
    return ok && soma_timers_list(self, NULL, 1, NULL) == SOMA_EINVAL && soma_timers_cancel(self) == 0 &&
           has(self, 0, NULL) && soma_timer_cancel(self, other) == SOMA_ENOENT;
}

/* Without any timer ever, in an init; and names are free again. */
static int stopper_init(soma_agent *self, void *state, const void *arg)
{
    struct sleeper *my = state;
    (void)arg;
    my->counted.ok = has(self, 0, NULL) && soma_timers_cancel(self) == 0 && lists(self) && lists(self) &&
                     soma_timers_cancel(NULL) == SOMA_EINVAL && soma_timers_list(NULL, NULL, 0, NULL) == SOMA_EINVAL;
    return 0;
}

/* The first that is due stops the others, which are due, too: some of them are in the mailbox already. */
static int on_stop_all(soma_agent *self, struct sleeper *my, const struct stop_all *m)
{
    (void)m;
    soma_handle timer = my->beat = soma_after(self, 0, set_beat);
    for (uint32_t i = 0; i < 100 && timer > 0; i++)
        timer = soma_after(self, 0, fire);
    return timer < 0 ? (int)timer : 0;
}

static int on_first(soma_agent *self, struct sleeper *my, const struct set_beat *m)
{
    (void)m;
    my->counted.ok = my->counted.ok && soma_timer_cancel(self, my->beat) == SOMA_ENOENT && has(self, 100, NULL) &&
                     soma_timers_cancel(self) == 0 && has(self, 0, NULL);
    return soma_timer_name(self, soma_each(self, SOMA_MS, beat), "beat");
}

/* A beat that stops itself. */
static int on_last_beat(soma_agent *self, struct sleeper *my, const struct beat *m)
{
    (void)m;
    my->counted.ok = my->counted.ok && has(self, 1, "beat");
    return ++my->counted.beats == 3 ? soma_timers_cancel(self) : 0;
}

static const soma_behavior stopper = {
    .name = "stopper",
    .state_size = sizeof(struct sleeper),
    .init = stopper_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(fire, on_fire), SOMA_ON(beat, on_last_beat), SOMA_ON(stop_all, on_stop_all),
                              SOMA_ON(set_beat, on_first), SOMA_ON(count, on_count)),
};

static void test_all_at_once(void **state)
{
    struct fixture f = *(struct fixture *)*state;
    assert_int_equal(soma_spawn(f.system, &stopper, NULL, &f.sleeper), 0);
    assert_int_equal(soma_send(f.system, f.sleeper, stop_all), 0);
    while (ask_count(&f).beats < 3)
        ;
    uint64_t later = soma_now(f.system) + 5 * SOMA_MS;
    while (soma_now(f.system) < later)
        assert_int_equal(ask_count(&f).beats, 3);
    assert_int_equal(ask_count(&f).fired, 0);
    assert_true(ask_count(&f).ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_million_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_periodic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forward, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
