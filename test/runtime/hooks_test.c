/* What agents have besides handlers: ready and idle hooks, posted callbacks, user data, names, watched dead letters. */
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(poke)
SOMA_MESSAGE(get)
SOMA_MESSAGE(seen, (u32, ready), (u32, pokes), (u32, idles), (u32, posted), (bool, ready_first))
SOMA_MESSAGE(letters, (u32, count), (i32, reason), (bool, named))

struct hooked {
    struct seen seen;
};

static int hooked_ready(soma_agent *self, void *state)
{
    struct hooked *my = state;
    my->seen.ready++;
    my->seen.ready_first = my->seen.pokes == 0;
    return soma_agent_data(self) ? -1 : 0;
}

static int hooked_idle(soma_agent *self, void *state)
{
    (void)self;
    ((struct hooked *)state)->seen.idles++;
    return 0;
}

static int on_poke(soma_agent *self, struct hooked *my, const struct poke *m)
{
    (void)self;
    (void)m;
    my->seen.pokes++;
    return 0;
}

static int on_get(soma_agent *self, struct hooked *my, const struct get *m)
{
    (void)m;
    return soma_reply_send(self, 0, &seen_type, &my->seen);
}

static const soma_behavior base = {
    .name = "base",
    .ready = hooked_ready,
    .idle = hooked_idle,
    .handlers = SOMA_HANDLERS(SOMA_ON(poke, on_poke), SOMA_ON(get, on_get)),
};

static const soma_behavior hooked = {.name = "hooked", .state_size = sizeof(struct hooked), .base = &base};

static struct seen ask(soma_system *system, soma_ref ref)
{
    struct seen seen;
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &seen, seen, get), 0);
    return seen;
}

static void test_hooks(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &hooked, NULL, &ref), 0);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(soma_send(system, ref, poke), 0);
    struct seen seen;
    do
        seen = ask(system, ref);
    while (seen.idles < 3);
    assert_int_equal(seen.ready, 1);
    assert_true(seen.ready_first);
    assert_int_equal(seen.pokes, 10);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- posted callbacks and user data ---- */

static atomic_uint dropped;

static void drop(void *arg)
{
    atomic_fetch_add(&dropped, (unsigned int)(uintptr_t)arg);
}

static int run(soma_agent *self, void *state, void *arg)
{
    struct hooked *my = state;
    my->seen.posted += (uint32_t)(uintptr_t)arg;
    if (soma_agent_data_set(self, arg) || soma_agent_data(self) != arg || soma_agent_data_set(NULL, arg) != SOMA_EINVAL)
        return -1;
    return soma_agent_data_set(self, NULL);
}

static void test_post(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, nobody = SOMA_REF_NULL, elsewhere = {1, 2, 3};
    void *five = (void *)5;
    dropped = 0;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &hooked, NULL, &ref), 0);
    assert_int_equal(soma_post(system, ref, run, five, drop), 0);
    assert_int_equal(ask(system, ref).posted, 5);
    assert_int_equal(dropped, 0);
    assert_int_equal(soma_post(system, nobody, run, five, drop), SOMA_EGONE);
    assert_int_equal(soma_post(system, elsewhere, run, five, drop), SOMA_ENOROUTE);
    assert_int_equal(soma_post(system, ref, NULL, five, drop), SOMA_EINVAL);
    assert_int_equal(soma_post(NULL, ref, run, five, drop), SOMA_EINVAL);
    assert_int_equal(dropped, 20);
    assert_int_equal(soma_kill(system, ref), 0);
    int late = soma_post(system, ref, run, five, drop); // gone already, or it waits for nobody
    assert_true(late == 0 || late == SOMA_EGONE);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(dropped, 25);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, other, found;
    char name[300];
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &hooked, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &hooked, NULL, &other), 0);
    assert_int_equal(soma_whereis(system, "alice", &found), SOMA_ENOENT);
    assert_int_equal(soma_name_set(system, ref, "alice"), 0);
    assert_int_equal(soma_name_set(system, ref, "alice"), 0);
    assert_int_equal(soma_name_set(system, other, "alice"), SOMA_EEXIST);
    assert_int_equal(soma_whereis(system, "alice", &found), 0);
    assert_true(soma_ref_equal(found, ref));
    assert_int_equal(soma_kill(system, ref), 0);
    struct seen seen;
    assert_int_equal(soma_call(system, ref, SOMA_SECOND, &seen, seen, get), SOMA_EGONE);
    assert_int_equal(soma_whereis(system, "alice", &found), SOMA_ENOENT);
    assert_true(soma_ref_is_null(found));
    assert_int_equal(soma_name_set(system, other, "alice"), 0);
    assert_int_equal(soma_name_set(system, SOMA_REF_NULL, "alice"), 0);
    assert_int_equal(soma_name_set(system, SOMA_REF_NULL, "alice"), SOMA_ENOENT);
    memset(name, 'x', sizeof(name));
    name[256] = 0;
    assert_int_equal(soma_name_set(system, other, name), SOMA_ETOOBIG);
    name[255] = 0;
    assert_int_equal(soma_name_set(system, other, name), 0);
    assert_int_equal(soma_name_set(system, ref, "late"), SOMA_EGONE);
    assert_int_equal(soma_name_set(system, other, ""), SOMA_EINVAL);
    assert_int_equal(soma_name_set(NULL, other, "x"), SOMA_EINVAL);
    assert_int_equal(soma_whereis(system, NULL, &found), SOMA_EINVAL);
    for (uint32_t i = 0; i < 5000; i++) { // more names than fit at first, most of them of agents that are gone
        soma_ref brief;
        snprintf(name, sizeof(name), "agent %u", i);
        assert_int_equal(soma_spawn(system, &hooked, NULL, &brief), 0);
        assert_int_equal(soma_name_set(system, brief, name), 0);
        if (i % 4)
            assert_int_equal(soma_kill(system, brief), 0);
    }
    for (uint32_t i = 0; i < 5000; i += 4) {
        snprintf(name, sizeof(name), "agent %u", i);
        assert_int_equal(soma_whereis(system, name, &found), 0);
    }
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- watched dead letters ---- */

struct watcher {
    struct letters letters;
};

static int on_letter(soma_agent *self, struct watcher *my, const struct soma_dead_letter *m)
{
    (void)self;
    my->letters.count++;
    my->letters.reason = m->reason;
    my->letters.named = !strcmp(m->type, "poke") && soma_ref_is_null(m->sender);
    return 0;
}

static int on_get_letters(soma_agent *self, struct watcher *my, const struct get *m)
{
    (void)m;
    return soma_reply_send(self, 0, &letters_type, &my->letters);
}

static const soma_behavior watcher = {
    .name = "watcher",
    .state_size = sizeof(struct watcher),
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter), SOMA_ON(get, on_get_letters)),
};

static void test_dead_letters(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, elsewhere = {1, 2, 3}, nobody = SOMA_REF_NULL;
    struct letters letters;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &watcher, NULL, &ref), 0);
    assert_int_equal(soma_dead_letters_watch(system, elsewhere), SOMA_EGONE);
    assert_int_equal(soma_dead_letters_watch(NULL, ref), SOMA_EINVAL);
    assert_int_equal(soma_dead_letters_watch(system, ref), 0);
    assert_int_equal(soma_send(system, elsewhere, poke), SOMA_ENOROUTE);
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &letters, letters, get), 0);
    assert_int_equal(letters.count, 1);
    assert_int_equal(letters.reason, SOMA_ENOROUTE);
    assert_true(letters.named);
    assert_int_equal(soma_send(system, nobody, poke), SOMA_EGONE);
    assert_int_equal(soma_send(system, ref, poke), 0); // the watcher does not handle it: counted, but not told to it
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &letters, letters, get), 0);
    assert_int_equal(letters.count, 2);
    assert_int_equal(letters.reason, SOMA_EGONE);
    assert_int_equal(soma_dead_letters_watch(system, SOMA_REF_NULL), 0);
    assert_int_equal(soma_send(system, elsewhere, poke), SOMA_ENOROUTE);
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &letters, letters, get), 0);
    assert_int_equal(letters.count, 2);
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.dead_letters, 4);
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_post),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_dead_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
