/* The timing wheel against a plain sorted array: random sets, cancels and steps of time, small and huge. */
#include "runtime/wheel.h"
#include "test_support.h"
#include <string.h>

#define TIMERS 400

struct model {
    struct wheel wheel;
    struct wheel_timer timers[TIMERS];
    uint64_t order[TIMERS]; /* of setting */
    uint64_t sets;
    uint64_t seed;
    uint64_t now;
};

static uint64_t chance(struct model *model)
{
    model->seed = model->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return model->seed >> 20;
}

/* A distance in time of any magnitude: a microsecond to a year. */
static uint64_t distance(struct model *model)
{
    return chance(model) & ((UINT64_C(1) << (chance(model) % 45)) - 1);
}

static uint64_t first_deadline(const struct model *model)
{
    uint64_t first = WHEEL_NEVER;
    for (uint32_t i = 0; i < TIMERS; i++)
        if (model->timers[i].armed && model->timers[i].deadline < first)
            first = model->timers[i].deadline;
    return first;
}

static void step_time(struct model *model)
{
    uint32_t due = 0, fired = 0;
    model->now += chance(model) % 4 ? distance(model) : 0;
    if (chance(model) % 4 == 0 && first_deadline(model) != WHEEL_NEVER && first_deadline(model) > model->now)
        model->now = first_deadline(model); // to the very moment, as a simulation does
    for (uint32_t i = 0; i < TIMERS; i++)
        due += model->timers[i].armed && model->timers[i].deadline <= model->now;
    struct wheel_timer *before = NULL;
    for (struct wheel_timer *t = wheel_due(&model->wheel, model->now).first; t; t = t->next, fired++) {
        assert_true(t->deadline <= model->now);
        assert_false(t->armed);
        if (before)
            assert_true(before->deadline < t->deadline ||
                        (before->deadline == t->deadline &&
                         model->order[before - model->timers] < model->order[t - model->timers]));
        before = t;
    }
    assert_int_equal(fired, due);
    assert_true(model->wheel.next <= first_deadline(model));
}

static void set(struct model *model, struct wheel_timer *timer)
{
    model->order[timer - model->timers] = model->sets++;
    wheel_set(&model->wheel, timer, model->now + distance(model));
}

static void test_random(void **state)
{
    (void)state;
    static struct model model;
    for (uint64_t seed = 1; seed <= test_load(200); seed++) {
        memset(&model, 0, sizeof(model));
        model.seed = seed;
        model.now = distance(&model);
        wheel_init(&model.wheel, model.now);
        for (uint32_t step = 0; step < 2000; step++) {
            struct wheel_timer *timer = &model.timers[chance(&model) % TIMERS];
            if (chance(&model) % 8 == 0)
                step_time(&model);
            else if (!timer->armed)
                set(&model, timer);
            else if (chance(&model) % 2)
                wheel_cancel(&model.wheel, timer);
        }
    }
}

/* Waking at `next` again and again gives every timer at its own time, and not a wake a tick in between. */
static void test_next(void **state)
{
    (void)state;
    static struct wheel wheel;
    static struct wheel_timer timers[3];
    const uint64_t deadlines[3] = {UINT64_C(5000000), UINT64_C(3600000000000), UINT64_C(86400000000000) * 365};
    wheel_init(&wheel, 0);
    for (uint32_t i = 0; i < 3; i++)
        wheel_set(&wheel, &timers[i], deadlines[i]);
    uint32_t fired = 0, wakes = 0;
    while (wheel.next != WHEEL_NEVER) {
        uint64_t now = wheel.next;
        struct wheel_timer *due = wheel_due(&wheel, now).first;
        wakes++;
        if (due) {
            assert_int_equal(due->deadline, deadlines[fired]);
            assert_int_equal(now, deadlines[fired]);
            fired++;
        }
    }
    assert_int_equal(fired, 3);
    assert_in_range(wakes, 3, 3 * WHEEL_LEVELS);
}

static void test_past(void **state)
{
    (void)state;
    static struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, UINT64_C(1) << 40);
    wheel_set(&wheel, &timer, 0);
    assert_ptr_equal(wheel_due(&wheel, UINT64_C(1) << 40).first, &timer);
    wheel_set(&wheel, &timer, UINT64_C(1) << 54);
    assert_null(wheel_due(&wheel, UINT64_C(1) << 41).first);
    assert_true(timer.armed);
    wheel_cancel(&wheel, &timer);
    assert_null(wheel_due(&wheel, (UINT64_C(1) << 54) + 1).first);
}

static void test_merge(void **state)
{
    (void)state;
    struct wheel_timer timers[6] = {{.deadline = 1}, {.deadline = 3}, {.deadline = 9},
                                    {.deadline = 2}, {.deadline = 3}, {.deadline = 8}};
    for (uint32_t i = 0; i < 6; i++)
        timers[i].next = i % 3 == 2 ? NULL : &timers[i + 1];
    struct wheel_list a = {&timers[0], &timers[2]}, b = {&timers[3], &timers[5]}, none = {NULL, NULL};
    struct wheel_list all = wheel_merge(wheel_merge(none, a), wheel_merge(b, none));
    const uint32_t expected[6] = {0, 3, 1, 4, 5, 2};
    struct wheel_timer *timer = all.first;
    for (uint32_t i = 0; i < 6; i++, timer = timer->next)
        assert_ptr_equal(timer, &timers[expected[i]]);
    assert_null(timer);
    assert_ptr_equal(all.last, &timers[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
