/* Kept agents: what outlives a failure, what doesn't, and who owns an agent that is down. */
#include "runtime/system.h"
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(add, (u32, n))
SOMA_MESSAGE(poison)
SOMA_MESSAGE(leave)
SOMA_MESSAGE(total)
SOMA_MESSAGE(sum, (u64, value), (u32, life))
SOMA_MESSAGE(begin, (bool, mail), (u32, how))
SOMA_MESSAGE(revive, (u32, how))
SOMA_MESSAGE(release)
SOMA_MESSAGE(look)
SOMA_MESSAGE(seen, (u32, downs), (i32, reason), (string, text), (u64, tag), (i32, result), (ref, child), (i64, handle))

/* ---- the kept one: each life continues the sum of the last ---- */

enum { NORMAL, FAILS_IN_INIT, LEAVES_IN_INIT };

struct counter {
    struct sum sum;
};

static int counter_init(soma_agent *self, void *state, const void *arg)
{
    struct counter *my = state;
    uint32_t how = *(const uint32_t *)arg;
    const struct sum *before = soma_stashed(self, sum);
    if (before)
        my->sum = *before;
    my->sum.life++;
    if (how == FAILS_IN_INIT)
        return soma_fail(self, SOMA_EFORMAT, "not today");
    if (how == LEAVES_IN_INIT)
        soma_agent_exit(self, 7);
    return soma_timer_each(self, SOMA_SECOND, &leave_type, &(struct leave){0}) > 0 ? 0 : SOMA_ENOMEM;
}

static void counter_stop(soma_agent *self, void *state, int reason)
{
    (void)reason;
    soma_stash_set(self, &sum_type, &((struct counter *)state)->sum);
}

static int on_add(soma_agent *self, struct counter *my, const struct add *m)
{
    (void)self;
    my->sum.value = my->sum.value * 10 + m->n;
    return 0;
}

static int on_poison(soma_agent *self, struct counter *my, const struct poison *m)
{
    (void)my, (void)m;
    return soma_fail(self, SOMA_EFORMAT, "poisoned");
}

static int on_leave(soma_agent *self, struct counter *my, const struct leave *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static int on_total(soma_agent *self, struct counter *my, const struct total *m)
{
    (void)m;
    return soma_reply_send(self, 0, &sum_type, &my->sum);
}

static const soma_behavior counter = {
    .name = "counter",
    .state_size = sizeof(struct counter),
    .init = counter_init,
    .stop = counter_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(add, on_add), SOMA_ON(poison, on_poison), SOMA_ON(leave, on_leave),
                              SOMA_ON(total, on_total)),
};

/* ---- the keeper: does as it is told ---- */

struct keeper {
    struct seen seen;
    char text[64];
};

static int on_begin(soma_agent *self, struct keeper *my, const struct begin *m)
{
    my->seen.handle = soma_spawn_kept(self, &counter, &m->how, m->mail, 42, &my->seen.child);
    return 0;
}

static int on_down(soma_agent *self, struct keeper *my, const struct soma_down *m)
{
    my->seen.downs++;
    my->seen.reason = m->reason;
    my->seen.tag = soma_tag(self);
    my->seen.text = m->text ? strncpy(my->text, m->text, sizeof(my->text) - 1) : NULL;
    return m->monitor == my->seen.handle && soma_ref_equal(m->agent, my->seen.child) ? 0 : SOMA_ESTATE;
}

static int on_revive(soma_agent *self, struct keeper *my, const struct revive *m)
{
    my->seen.result = soma_revive(self, my->seen.handle, &counter, &m->how);
    return 0;
}

static int on_release(soma_agent *self, struct keeper *my, const struct release *m)
{
    (void)m;
    my->seen.result = soma_release(self, my->seen.handle);
    return 0;
}

static int on_look(soma_agent *self, struct keeper *my, const struct look *m)
{
    (void)m;
    return soma_reply_send(self, 0, &seen_type, &my->seen);
}

static int on_leave_keeper(soma_agent *self, struct keeper *my, const struct leave *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior keeper = {
    .name = "keeper",
    .state_size = sizeof(struct keeper),
    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(soma_down, on_down), SOMA_ON(revive, on_revive),
                              SOMA_ON(release, on_release), SOMA_ON(look, on_look), SOMA_ON(leave, on_leave_keeper)),
};

/* ---- the tests: one worker, so what was sent before is handled before ---- */

struct world {
    soma_system *system;
    soma_ref keeper, child;
};

/* What the keeper has seen, once all is quiet. */
static struct seen look_at(struct world *w)
{
    struct seen seen;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(soma_call(w->system, w->keeper, 60 * SOMA_SECOND, &seen, seen, look), 0);
        if (i < 3)
            seen_destroy(&seen);
    }
    return seen;
}

static void settle(struct world *w)
{
    struct seen seen = look_at(w);
    seen_destroy(&seen);
}

static struct world world_open(bool mail, uint32_t how)
{
    struct world w;
    assert_int_equal(soma_system_open(&w.system, &(soma_options){.workers = 1, .log_level = SOMA_LOG_OFF}), 0);
    assert_int_equal(soma_spawn(w.system, &keeper, NULL, &w.keeper), 0);
    assert_int_equal(soma_send(w.system, w.keeper, begin, .mail = mail, .how = how), 0);
    struct seen seen = look_at(&w);
    w.child = seen.child;
    seen_destroy(&seen);
    return w;
}

static void check_down(struct world *w, uint32_t downs, int reason, const char *text)
{
    struct seen seen = look_at(w);
    assert_int_equal(seen.downs, downs);
    assert_int_equal(seen.reason, reason);
    assert_int_equal(seen.tag, 42);
    assert_int_equal(seen.text != NULL, text != NULL);
    if (text)
        assert_string_equal(seen.text, text);
    seen_destroy(&seen);
}

static int revive_now(struct world *w, uint32_t how)
{
    assert_int_equal(soma_send(w->system, w->keeper, revive, .how = how), 0);
    struct seen seen = look_at(w);
    int result = seen.result;
    seen_destroy(&seen);
    return result;
}

static void check_sum(struct world *w, uint64_t value, uint32_t life)
{
    struct sum sum;
    assert_int_equal(soma_call(w->system, w->child, 60 * SOMA_SECOND, &sum, sum, total), 0);
    assert_int_equal(sum.value, value);
    assert_int_equal(sum.life, life);
}

/* Ref, name, stash and mail stay; the message that failed does not come back. */
static void test_mail_stays(void **state)
{
    (void)state;
    struct world w = world_open(true, NORMAL);
    soma_ref found;
    assert_int_equal(soma_name_set(w.system, w.child, "counter"), 0);
    soma_send(w.system, w.child, add, .n = 1);
    soma_send(w.system, w.child, poison);
    soma_send(w.system, w.child, add, .n = 2);
    check_down(&w, 1, SOMA_EFORMAT, "poisoned");
    assert_int_equal(soma_send(w.system, w.child, add, .n = 3), 0);
    assert_int_equal(revive_now(&w, NORMAL), 0);
    check_sum(&w, 123, 2);
    assert_int_equal(soma_whereis(w.system, "counter", &found), 0);
    assert_true(soma_ref_equal(found, w.child));
    assert_int_equal(revive_now(&w, NORMAL), SOMA_ESTATE);
    soma_send(w.system, w.child, leave);
    check_down(&w, 2, 0, NULL);
    assert_int_equal(revive_now(&w, NORMAL), 0);
    check_sum(&w, 123, 3);
    assert_int_equal(soma_system_close(&w.system), 0);
}

static void test_mail_goes(void **state)
{
    (void)state;
    struct world w = world_open(false, NORMAL);
    soma_stats stats;
    soma_send(w.system, w.child, add, .n = 1);
    soma_send(w.system, w.child, poison);
    soma_send(w.system, w.child, add, .n = 2);
    check_down(&w, 1, SOMA_EFORMAT, "poisoned");
    assert_int_equal(soma_send(w.system, w.child, add, .n = 3), SOMA_EGONE);
    assert_int_equal(revive_now(&w, NORMAL), 0);
    assert_int_equal(soma_system_stats(w.system, &stats), 0); // one may slip in as it goes down, until here
    assert_int_equal(stats.dead_letters, 2);
    soma_send(w.system, w.child, add, .n = 4);
    check_sum(&w, 14, 2);
    assert_int_equal(soma_system_close(&w.system), 0);
}

/* Mail that slips into an agent that takes none is for no life of it. */
static void test_late_mail_goes(void **state)
{
    (void)state;
    struct world w = world_open(false, NORMAL);
    uint32_t mail;
    assert_int_equal(soma_backlog(w.system, w.child, &mail), 0);
    soma_send(w.system, w.child, poison);
    check_down(&w, 1, SOMA_EFORMAT, "poisoned");
    for (uint32_t i = 0; i < 3; i++) { // as if each had looked at the agent just before it went down
        uint64_t life = u64_load(&w.system->slots.base[w.child.slot].life);
        u64_store(&w.system->slots.base[w.child.slot].life, life & ~(uint64_t)LIFE_DEAF);
        assert_int_equal(soma_send(w.system, w.child, add, .n = 3), 0);
        u64_store(&w.system->slots.base[w.child.slot].life, life);
        assert_int_equal(revive_now(&w, i < 2 ? FAILS_IN_INIT : NORMAL), i < 2 ? SOMA_EFORMAT : 0);
    }
    check_sum(&w, 0, 4);
    assert_int_equal(soma_backlog(w.system, w.child, &mail), 0);
    assert_int_equal(mail, 0);
    assert_int_equal(soma_system_close(&w.system), 0);
}

/* A kill goes ahead of the mail, and takes none of it away. */
static void test_killed(void **state)
{
    (void)state;
    struct world w = world_open(true, NORMAL);
    assert_int_equal(soma_name_set(w.system, w.child, "counter"), 0);
    assert_int_equal(soma_kill(w.system, w.child), 0);
    assert_int_equal(soma_name_set(w.system, w.keeper, "counter"), SOMA_EEXIST); // at no time is it free
    soma_send(w.system, w.child, add, .n = 1);
    soma_send(w.system, w.child, add, .n = 2);
    check_down(&w, 1, SOMA_EKILLED, NULL);
    assert_int_equal(soma_kill(w.system, w.child), 0); // there is nobody to kill, and the next life is not meant
    assert_int_equal(revive_now(&w, NORMAL), 0);
    check_sum(&w, 12, 2);
    assert_int_equal(soma_system_close(&w.system), 0);
}

static void test_init_fails(void **state)
{
    (void)state;
    struct world w = world_open(true, FAILS_IN_INIT);
    struct seen seen = look_at(&w);
    assert_int_equal(seen.handle, SOMA_EFORMAT);
    assert_int_equal(seen.downs, 0);
    assert_true(soma_ref_is_null(seen.child));
    assert_int_equal(soma_system_close(&w.system), 0);

    w = world_open(true, NORMAL);
    soma_send(w.system, w.child, poison);
    soma_send(w.system, w.child, add, .n = 5);
    check_down(&w, 1, SOMA_EFORMAT, "poisoned");
    assert_int_equal(revive_now(&w, FAILS_IN_INIT), SOMA_EFORMAT);
    assert_int_equal(revive_now(&w, FAILS_IN_INIT), SOMA_EFORMAT);
    check_down(&w, 1, SOMA_EFORMAT, "poisoned");
    assert_int_equal(revive_now(&w, NORMAL), 0);
    check_sum(&w, 5, 4);
    assert_int_equal(soma_system_close(&w.system), 0);

    w = world_open(true, LEAVES_IN_INIT); // it was there, so this is no failure of the spawn
    check_down(&w, 1, 7, NULL);
    soma_send(w.system, w.child, add, .n = 5);
    assert_int_equal(revive_now(&w, LEAVES_IN_INIT), 0);
    check_down(&w, 2, 7, NULL);
    assert_int_equal(revive_now(&w, NORMAL), 0);
    check_sum(&w, 5, 3);
    assert_int_equal(soma_system_close(&w.system), 0);
}

static bool is_gone(struct world *w)
{
    struct sum sum;
    return soma_call(w->system, w->child, 60 * SOMA_SECOND, &sum, sum, total) == SOMA_EGONE;
}

static void test_released(void **state)
{
    (void)state;
    for (int down = 0; down < 2; down++) {
        struct world w = world_open(true, NORMAL);
        if (down)
            soma_send(w.system, w.child, poison);
        if (down)
            check_down(&w, 1, SOMA_EFORMAT, "poisoned");
        soma_send(w.system, w.child, add, .n = 1);
        soma_send(w.system, w.keeper, release);
        settle(&w);
        assert_int_equal(revive_now(&w, NORMAL), SOMA_ENOENT);
        assert_int_equal(is_gone(&w), down);
        soma_send(w.system, w.child, poison);
        assert_true(is_gone(&w));
        assert_int_equal(soma_system_close(&w.system), 0);
    }
}

/* Nobody keeps an agent whose keeper is gone: not one that lives, nor one that is down, nor one whose word is on its
 * way. */
static void test_keeper_ends(void **state)
{
    (void)state;
    for (int down = 0; down < 3; down++) {
        struct world w = world_open(true, NORMAL);
        if (down)
            soma_send(w.system, w.child, poison);
        if (down == 1)
            settle(&w);
        soma_send(w.system, w.keeper, leave);
        assert_int_equal(is_gone(&w), down > 0);
        if (!down)
            check_sum(&w, 0, 1);
        soma_send(w.system, w.child, poison);
        assert_true(is_gone(&w));
        assert_int_equal(soma_system_close(&w.system), 0);
        w = world_open(true, NORMAL);
        if (down)
            soma_send(w.system, w.child, poison);
        if (down == 1)
            settle(&w);
        assert_int_equal(soma_system_cancel(&w.system), 0);
    }
}

/* ---- the ready hook: once a life, whatever became of those before ---- */

static struct {
    uint32_t lives, fails, readies;
    soma_handle handle;
} hooked;

static int hooked_init(soma_agent *self, void *state, const void *arg)
{
    (void)self, (void)state, (void)arg;
    hooked.lives++;
    return hooked.fails && hooked.fails-- ? SOMA_EFORMAT : 0;
}

static int hooked_ready(soma_agent *self, void *state)
{
    (void)self, (void)state;
    hooked.readies++;
    return 0;
}

static const soma_behavior hook = {.name = "hook", .init = hooked_init, .ready = hooked_ready};

static int on_begin_hook(soma_agent *self, void *my, const struct begin *m)
{
    (void)my;
    soma_ref ref;
    hooked.handle = soma_spawn_kept(self, &hook, NULL, m->mail, 0, &ref);
    return hooked.handle < 0 ? (int)hooked.handle : soma_kill(soma_agent_system(self), ref); // before it is ready
}

static int on_hook_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)my;
    hooked.fails = 2;
    while (soma_revive(self, m->monitor, &hook, NULL) == SOMA_EFORMAT)
        ;
    return 0;
}

static const soma_behavior reviver = {
    .name = "reviver", .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin_hook), SOMA_ON(soma_down, on_hook_down))};

static void test_ready_once_a_life(void **state)
{
    (void)state;
    for (int mail = 0; mail < 2; mail++) {
        soma_system *system;
        soma_ref ref;
        memset(&hooked, 0, sizeof(hooked));
        assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1, .log_level = SOMA_LOG_OFF}), 0);
        assert_int_equal(soma_spawn(system, &reviver, NULL, &ref), 0);
        soma_send(system, ref, begin, .mail = mail);
        assert_int_equal(soma_system_close(&system), 0); // when all is handled
        assert_int_equal(hooked.lives, 4);
        assert_int_equal(hooked.readies, 1);
    }
}

static void test_misuse(void **state)
{
    (void)state;
    assert_int_equal(soma_spawn_kept(NULL, &counter, NULL, true, 0, NULL), SOMA_EINVAL);
    assert_int_equal(soma_revive(NULL, 1, &counter, NULL), SOMA_EINVAL);
    assert_int_equal(soma_release(NULL, 1), SOMA_EINVAL);
    assert_int_equal(soma_stash_set(NULL, &sum_type, NULL), SOMA_EINVAL);
    assert_null(soma_stash_get(NULL, &sum_type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_stays),     cmocka_unit_test(test_mail_goes),
        cmocka_unit_test(test_late_mail_goes), cmocka_unit_test(test_killed),
        cmocka_unit_test(test_init_fails),     cmocka_unit_test(test_released),
        cmocka_unit_test(test_keeper_ends),    cmocka_unit_test(test_ready_once_a_life),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
