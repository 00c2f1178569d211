/* Monitors and links: every way to end, every order of setting and ending, exactly one word of it. */
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

SOMA_MESSAGE(leave, (i32, reason))
SOMA_MESSAGE(fail, (i32, code))
SOMA_MESSAGE(watch, (ref, agent))
SOMA_MESSAGE(forget, (ref, agent), (i32, kill))
SOMA_MESSAGE(bind_to, (ref, agent))
SOMA_MESSAGE(unbind, (ref, agent), (bool, leaves))
SOMA_MESSAGE(trap)
SOMA_MESSAGE(raise_child, (i32, how), (bool, linked))
SOMA_MESSAGE(ask)
SOMA_MESSAGE(regret, (bool, fails))
SOMA_MESSAGE(seen, (u32, downs), (u32, exits), (i32, reason), (string, text), (bool, handle_ok), (ref, agent),
             (i32, result))

/* ---- an agent that ends in every way, watches and counts ---- */

struct person {
    struct seen seen;
    char text[300];
    soma_handle monitor;
};

static int on_leave(soma_agent *self, struct person *my, const struct leave *m)
{
    (void)my;
    soma_agent_exit(self, m->reason);
    return 0;
}

static int on_fail(soma_agent *self, struct person *my, const struct fail *m)
{
    (void)my;
    return soma_fail(self, m->code, "%d is too much", 42);
}

static int on_watch(soma_agent *self, struct person *my, const struct watch *m)
{
    return (int)(my->monitor = soma_monitor(self, m->agent));
}

/* Ends a monitor whose down message may be in the mailbox already. */
static int on_forget(soma_agent *self, struct person *my, const struct forget *m)
{
    soma_handle monitor = soma_monitor(self, m->agent);
    if (m->kill)
        soma_kill(soma_agent_system(self), m->agent);
    my->seen.result = soma_demonitor(self, monitor);
    if (soma_demonitor(self, monitor) != SOMA_ENOENT)
        my->seen.result = SOMA_EINVAL;
    return 0;
}

static int on_bind_to(soma_agent *self, struct person *my, const struct bind_to *m)
{
    my->seen.result = soma_link(self, m->agent) ? SOMA_EINVAL : soma_link(self, m->agent);
    return 0;
}

static int on_unbind(soma_agent *self, struct person *my, const struct unbind *m)
{
    my->seen.result = soma_unlink(self, m->agent);
    if (soma_unlink(self, m->agent) != SOMA_ENOENT)
        my->seen.result = SOMA_EINVAL;
    return m->leaves ? -1 : 0;
}

static int on_trap(soma_agent *self, struct person *my, const struct trap *m)
{
    (void)my;
    (void)m;
    return soma_trap_exits(self, true);
}

static void seen_note(struct person *my, soma_ref agent, int reason, const char *text)
{
    my->seen.agent = agent;
    my->seen.reason = reason;
    my->seen.text = text ? strcpy(my->text, text) : NULL;
}

static int on_down(soma_agent *self, struct person *my, const struct soma_down *m)
{
    my->seen.downs++;
    my->seen.handle_ok = m->monitor == my->monitor && soma_demonitor(self, m->monitor) == SOMA_ENOENT;
    seen_note(my, m->agent, m->reason, m->text);
    return 0;
}

static int on_exited(soma_agent *self, struct person *my, const struct soma_exited *m)
{
    (void)self;
    my->seen.exits++;
    seen_note(my, m->agent, m->reason, m->text);
    return 0;
}

static int on_ask(soma_agent *self, struct person *my, const struct ask *m)
{
    (void)m;
    return soma_reply_send(self, 0, &seen_type, &my->seen);
}

static int on_raise_child(soma_agent *self, struct person *my, const struct raise_child *m);

static const soma_behavior person = {
    .name = "person",
    .state_size = sizeof(struct person),
    .handlers = SOMA_HANDLERS(SOMA_ON(leave, on_leave), SOMA_ON(fail, on_fail), SOMA_ON(watch, on_watch),
                              SOMA_ON(forget, on_forget), SOMA_ON(bind_to, on_bind_to), SOMA_ON(unbind, on_unbind),
                              SOMA_ON(trap, on_trap), SOMA_ON(soma_down, on_down), SOMA_ON(soma_exited, on_exited),
                              SOMA_ON(ask, on_ask), SOMA_ON(raise_child, on_raise_child)),
};

/* ---- one that ends before it gets any message ---- */

enum { IN_INIT, LEAVES_INIT, IN_READY, LIVES };

struct child {
    int how;
};

static int child_init(soma_agent *self, void *state, const void *arg)
{
    struct child *my = state;
    my->how = *(const int *)arg;
    if (my->how == LEAVES_INIT)
        soma_agent_exit(self, 0);
    return my->how == IN_INIT ? SOMA_EFORMAT : 0;
}

static int child_ready(soma_agent *self, void *state)
{
    return ((struct child *)state)->how == IN_READY ? soma_fail(self, SOMA_ETYPE, "not ready") : 0;
}

static const soma_behavior child = {
    .name = "child", .state_size = sizeof(struct child), .init = child_init, .ready = child_ready};

static int on_raise_child(soma_agent *self, struct person *my, const struct raise_child *m)
{
    int how = m->how;
    if (m->linked)
        my->seen.result = soma_spawn_link(self, &child, &how, &my->seen.agent);
    else
        my->seen.result = (int)(my->monitor = soma_spawn_monitor(self, &child, &how, &my->seen.agent));
    return 0;
}

/* ---- the tests: one worker, so what was sent before is handled before ---- */

struct world {
    soma_system *system;
    soma_ref anna, bert;
};

static struct world world_open(void)
{
    struct world w;
    assert_int_equal(soma_system_open(&w.system, &(soma_options){.workers = 1, .log_level = SOMA_LOG_ERROR}), 0);
    assert_int_equal(soma_spawn(w.system, &person, NULL, &w.anna), 0);
    assert_int_equal(soma_spawn(w.system, &person, NULL, &w.bert), 0);
    return w;
}

/* What an agent has seen once all is quiet: a few round trips suffice for the longest chain of messages here. */
static struct seen look(struct world *w, soma_ref who)
{
    struct seen seen;
    for (int i = 0; i < 5; i++) {
        int error = soma_call(w->system, who, 60 * SOMA_SECOND, &seen, seen, ask);
        seen.result = error ? error : seen.result;
        if (i < 4)
            seen_destroy(&seen);
    }
    return seen;
}

/* Sends, and waits until what that brings about is done: the next sends come after it. */
#define TELL(w, who, ...)                                                                                              \
    do {                                                                                                               \
        soma_send((w).system, (who), __VA_ARGS__);                                                                     \
        struct seen told = look(&(w), (who));                                                                          \
        seen_destroy(&told);                                                                                           \
    } while (0)

static bool is_gone(struct world *w, soma_ref who)
{
    struct seen seen = look(w, who);
    bool gone = seen.result == SOMA_EGONE;
    seen_destroy(&seen);
    return gone;
}

static void check_down(struct world *w, soma_ref whose, int reason, const char *text)
{
    struct seen seen = look(w, w->anna);
    assert_int_equal(seen.downs, 1);
    assert_int_equal(seen.reason, reason);
    assert_true(seen.handle_ok);
    assert_true(soma_ref_equal(seen.agent, whose));
    assert_int_equal(seen.text != NULL, text != NULL);
    if (text)
        assert_string_equal(seen.text, text);
    seen_destroy(&seen);
    assert_int_equal(soma_system_close(&w->system), 0);
}

static void test_reasons(void **state)
{
    (void)state;
    struct world w = world_open();
    TELL(w, w.anna, watch, .agent = w.bert);
    soma_send(w.system, w.bert, leave, .reason = 0);
    check_down(&w, w.bert, 0, NULL);

    w = world_open();
    TELL(w, w.anna, watch, .agent = w.bert);
    soma_send(w.system, w.bert, leave, .reason = 7);
    check_down(&w, w.bert, 7, NULL);

    w = world_open();
    TELL(w, w.anna, watch, .agent = w.bert);
    soma_send(w.system, w.bert, fail, .code = SOMA_EFORMAT);
    check_down(&w, w.bert, SOMA_EFORMAT, "42 is too much");

    w = world_open();
    TELL(w, w.anna, watch, .agent = w.bert);
    assert_false(is_gone(&w, w.anna)); // the watch is there
    assert_int_equal(soma_kill(w.system, w.bert), 0);
    check_down(&w, w.bert, SOMA_EKILLED, NULL);
}

static void test_no_such_agent(void **state)
{
    (void)state;
    struct world w = world_open();
    soma_send(w.system, w.bert, leave, .reason = 7);
    assert_true(is_gone(&w, w.bert));
    TELL(w, w.anna, watch, .agent = w.bert);
    check_down(&w, w.bert, SOMA_EGONE, NULL);

    w = world_open();
    TELL(w, w.anna, watch, .agent = SOMA_REF_NULL);
    check_down(&w, SOMA_REF_NULL, SOMA_EGONE, NULL);

    w = world_open();
    const soma_ref elsewhere = {1, 2, 3};
    TELL(w, w.anna, watch, .agent = elsewhere);
    check_down(&w, elsewhere, SOMA_ENOROUTE, NULL);
}

static void test_forgotten(void **state)
{
    (void)state;
    for (int kill = 0; kill < 2; kill++) {
        struct world w = world_open();
        TELL(w, w.anna, forget, .agent = w.bert, .kill = kill);
        soma_send(w.system, w.bert, leave, .reason = 7);
        struct seen seen = look(&w, w.anna);
        assert_int_equal(seen.downs, 0);
        assert_int_equal(seen.result, 0);
        assert_true(is_gone(&w, w.bert));
        assert_int_equal(soma_system_close(&w.system), 0);
    }
}

/* A watcher that ends takes its monitors with it, and one that watches itself is nobody's to tell. */
static void test_watcher_ends(void **state)
{
    (void)state;
    struct world w = world_open();
    for (int i = 0; i < 3; i++)
        TELL(w, w.anna, watch, .agent = w.bert);
    TELL(w, w.anna, watch, .agent = w.anna);
    soma_send(w.system, w.anna, leave, .reason = 7);
    assert_true(is_gone(&w, w.anna));
    assert_false(is_gone(&w, w.bert));
    assert_int_equal(soma_system_close(&w.system), 0);
}

static void test_links(void **state)
{
    (void)state;
    for (int back = 0; back < 2; back++) { // either side's end is the other's
        struct world w = world_open();
        TELL(w, w.anna, bind_to, .agent = w.bert);
        TELL(w, w.bert, bind_to, .agent = w.anna); // both is one link
        assert_false(is_gone(&w, w.anna));
        soma_send(w.system, back ? w.anna : w.bert, leave, .reason = 7);
        assert_true(is_gone(&w, w.anna));
        assert_true(is_gone(&w, w.bert));
        assert_int_equal(soma_system_close(&w.system), 0);
    }
    struct world w = world_open(); // a normal end ends nobody
    TELL(w, w.anna, bind_to, .agent = w.bert);
    soma_send(w.system, w.bert, leave, .reason = 0);
    assert_false(is_gone(&w, w.anna));
    TELL(w, w.anna, bind_to, .agent = w.bert); // but a link with the dead is an error's end
    assert_true(is_gone(&w, w.anna));
    assert_int_equal(soma_system_close(&w.system), 0);
}

static void check_exits(struct world *w, uint32_t exits, int reason, const char *text)
{
    struct seen seen = look(w, w->anna);
    assert_int_equal(seen.exits, exits);
    assert_int_equal(seen.reason, reason);
    assert_int_equal(seen.text != NULL, text != NULL);
    if (text)
        assert_string_equal(seen.text, text);
    seen_destroy(&seen);
}

static void test_trapped(void **state)
{
    (void)state;
    struct world w = world_open();
    TELL(w, w.anna, trap);
    TELL(w, w.anna, bind_to, .agent = w.bert);
    soma_send(w.system, w.bert, fail, .code = SOMA_EFORMAT);
    check_exits(&w, 1, SOMA_EFORMAT, "42 is too much");
    TELL(w, w.anna, bind_to, .agent = w.bert); // with the dead: told at once
    check_exits(&w, 2, SOMA_EGONE, NULL);
    soma_kill(w.system, w.anna);
    assert_true(is_gone(&w, w.anna));
    assert_int_equal(soma_system_close(&w.system), 0);
}

static void test_unlinked(void **state)
{
    (void)state;
    for (int back = 0; back < 2; back++) {
        struct world w = world_open();
        TELL(w, w.anna, bind_to, .agent = w.bert);
        assert_false(is_gone(&w, w.bert));
        soma_send(w.system, back ? w.bert : w.anna, unbind, .agent = back ? w.anna : w.bert);
        assert_false(is_gone(&w, w.bert));
        soma_send(w.system, back ? w.anna : w.bert, leave, .reason = 7);
        assert_int_equal(is_gone(&w, w.anna), back);
        assert_int_equal(is_gone(&w, w.bert), !back);
        assert_int_equal(soma_system_close(&w.system), 0);
    }
}

static void test_spawned(void **state)
{
    (void)state;
    struct world w = world_open();
    TELL(w, w.anna, raise_child, .how = IN_INIT);
    struct seen seen = look(&w, w.anna);
    assert_int_equal(seen.result, SOMA_EFORMAT);
    assert_int_equal(seen.downs, 0);
    assert_true(soma_ref_is_null(seen.agent));
    TELL(w, w.anna, raise_child, .how = LEAVES_INIT);
    seen = look(&w, w.anna);
    assert_int_equal(seen.downs, 1);
    assert_int_equal(seen.reason, 0);
    TELL(w, w.anna, raise_child, .how = IN_READY);
    seen = look(&w, w.anna);
    assert_int_equal(seen.downs, 2);
    assert_int_equal(seen.reason, SOMA_ETYPE);
    assert_string_equal(seen.text, "not ready");
    seen_destroy(&seen);
    TELL(w, w.anna, raise_child, .how = LIVES);
    seen = look(&w, w.anna);
    soma_kill(w.system, seen.agent);
    seen_destroy(&seen);
    seen = look(&w, w.anna);
    assert_int_equal(seen.downs, 3);
    assert_int_equal(seen.reason, SOMA_EKILLED);
    assert_int_equal(soma_system_close(&w.system), 0);

    w = world_open();
    TELL(w, w.anna, raise_child, .how = LEAVES_INIT, .linked = true); // normally, so she lives
    TELL(w, w.anna, trap);
    TELL(w, w.anna, raise_child, .how = IN_READY, .linked = true);
    check_exits(&w, 1, SOMA_ETYPE, "not ready");
    TELL(w, w.anna, raise_child, .how = LEAVES_INIT, .linked = true);
    check_exits(&w, 2, 0, NULL);
    TELL(w, w.anna, raise_child, .how = LIVES, .linked = true);
    seen = look(&w, w.anna);
    soma_ref living = seen.agent;
    seen_destroy(&seen);
    assert_int_equal(soma_send(w.system, w.anna, leave, .reason = 7), 0);
    assert_true(is_gone(&w, w.anna));
    assert_true(is_gone(&w, living));
    assert_int_equal(soma_system_close(&w.system), 0);
}

/* A handler that says why it fails, and then doesn't, has said nothing of what comes later. */
static int on_regret(soma_agent *self, void *my, const struct regret *m)
{
    (void)my;
    if (m->fails)
        return SOMA_EFORMAT;
    soma_fail(self, SOMA_EFORMAT, "never mind");
    return 0;
}

static const soma_behavior regretful = {.name = "regretful", .handlers = SOMA_HANDLERS(SOMA_ON(regret, on_regret))};

static void test_regretted(void **state)
{
    (void)state;
    struct world w = world_open();
    soma_ref ref;
    assert_int_equal(soma_spawn(w.system, &regretful, NULL, &ref), 0);
    TELL(w, w.anna, watch, .agent = ref);
    assert_int_equal(soma_send(w.system, ref, regret), 0);
    assert_int_equal(soma_send(w.system, ref, regret, .fails = true), 0);
    assert_true(is_gone(&w, ref));
    check_down(&w, ref, SOMA_EFORMAT, NULL);
}

static void test_misuse(void **state)
{
    (void)state;
    assert_int_equal(soma_monitor(NULL, SOMA_REF_NULL), SOMA_EINVAL);
    assert_int_equal(soma_demonitor(NULL, 1), SOMA_EINVAL);
    assert_int_equal(soma_link(NULL, SOMA_REF_NULL), SOMA_EINVAL);
    assert_int_equal(soma_unlink(NULL, SOMA_REF_NULL), SOMA_EINVAL);
    assert_int_equal(soma_trap_exits(NULL, true), SOMA_EINVAL);
    assert_int_equal(soma_spawn_monitor(NULL, &child, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_spawn_link(NULL, &child, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_fail(NULL, -1, "%d", 1), SOMA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),      cmocka_unit_test(test_no_such_agent), cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_watcher_ends), cmocka_unit_test(test_links),         cmocka_unit_test(test_trapped),
        cmocka_unit_test(test_unlinked),     cmocka_unit_test(test_spawned),       cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_regretted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
