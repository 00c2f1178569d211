/* Supervisors: who is restarted, with whom, how often, in which order all start and stop. In virtual time. */
#include "one_thread.h"

SOMA_MESSAGE(die, (i32, reason))
SOMA_MESSAGE(ping)
SOMA_MESSAGE(do_start, (ref, pool), (bytes, arg))
SOMA_MESSAGE(do_stop, (ref, supervisor), (ref, child))
SOMA_MESSAGE(do_list, (ref, supervisor))

/* ---- children: +a a starts, -a it stops ---- */

struct role {
    char name;
    int fails;     /* so many inits */
    bool stubborn; /* does not end when told to */
};

struct actor {
    struct role *role;
};

static int actor_init(soma_agent *self, void *state, const void *arg)
{
    struct actor *my = state;
    my->role = (struct role *)(uintptr_t)arg;
    note('+', my->role->name);
    if (my->role->fails > 0) {
        my->role->fails--;
        return SOMA_EFORMAT;
    }
    return my->role->stubborn ? soma_trap_exits(self, true) : 0;
}

static void actor_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    note(reason == SOMA_EKILLED ? '!' : '-', ((struct actor *)state)->role->name);
}

static int on_die(soma_agent *self, struct actor *my, const struct die *m)
{
    (void)my;
    soma_agent_exit(self, m->reason);
    return 0;
}

static int on_ping(soma_agent *self, struct actor *my, const struct ping *m)
{
    (void)self, (void)m;
    note('*', my->role->name);
    return 0;
}

static int on_exited(soma_agent *self, struct actor *my, const struct soma_exited *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior actor = {
    .name = "actor",
    .state_size = sizeof(struct actor),
    .init = actor_init,
    .stop = actor_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(die, on_die), SOMA_ON(ping, on_ping), SOMA_ON(soma_exited, on_exited)),
};

/* ---- one who asks supervisors ---- */

static struct {
    soma_ref started;
    int error;
    uint32_t stopped;
    uint32_t count;
    uint64_t restarts;
    char states[256];
    soma_ref refs[64];
} answers;

static int on_started(soma_agent *self, void *state, const struct soma_started *m)
{
    (void)self, (void)state;
    answers.started = m->child;
    return 0;
}

static int on_stopped(soma_agent *self, void *state, const struct soma_stopped *m)
{
    (void)self, (void)state, (void)m;
    answers.stopped++;
    return 0;
}

static int on_children(soma_agent *self, void *state, const struct soma_children *m)
{
    (void)self, (void)state;
    answers.count = m->list.count;
    answers.restarts = m->restarts;
    answers.states[0] = 0;
    for (uint32_t i = 0; i < m->list.count && i < 64; i++) {
        answers.refs[i] = m->list.items[i].agent;
        strcat(answers.states, m->list.items[i].state);
        strcat(answers.states, i + 1 < m->list.count ? " " : "");
    }
    return 0;
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    answers.error = *error;
    return 0;
}

static int on_do_start(soma_agent *self, void *state, const struct do_start *m)
{
    (void)state;
    return (int)soma_request(self, m->pool, SOMA_NEVER, SOMA_THEN(soma_started, on_started, on_error), soma_start_child,
                             .arg = m->arg);
}

static int on_do_stop(soma_agent *self, void *state, const struct do_stop *m)
{
    (void)state;
    return (int)soma_request(self, m->supervisor, SOMA_NEVER, SOMA_THEN(soma_stopped, on_stopped, on_error),
                             soma_stop_child, .child = m->child);
}

static int on_do_list(soma_agent *self, void *state, const struct do_list *m)
{
    (void)state;
    return (int)soma_request(self, m->supervisor, SOMA_NEVER, SOMA_THEN(soma_children, on_children, on_error),
                             soma_list_children);
}

static const soma_behavior asker = {
    .name = "asker",
    .handlers =
        SOMA_HANDLERS(SOMA_ON(do_start, on_do_start), SOMA_ON(do_stop, on_do_stop), SOMA_ON(do_list, on_do_list)),
};

static soma_ref the_asker;

static int open_with(const soma_supervision *spec, soma_ref *top)
{
    memset(&answers, 0, sizeof(answers));
    sys_open();
    assert_int_equal(soma_spawn(sys, &asker, NULL, &the_asker), 0);
    return soma_spawn(sys, &soma_supervisor, spec, top);
}

static void close_it(void)
{
    assert_int_equal(soma_system_close(&sys), 0);
    happened[0] = 0;
}

static void list(soma_ref supervisor)
{
    soma_send(sys, the_asker, do_list, .supervisor = supervisor);
    run_for(0);
}

static soma_ref named(const char *name)
{
    soma_ref ref;
    return soma_whereis(sys, name, &ref) ? SOMA_REF_NULL : ref;
}

static void tell_die(const char *name, int reason)
{
    soma_send(sys, named(name), die, .reason = reason);
    run_for(0);
}

static struct role a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

static soma_child three[] = {
    {.name = "a", .behavior = &actor, .arg = &a},
    {.name = "b", .behavior = &actor, .arg = &b},
    {.name = "c", .behavior = &actor, .arg = &c},
};

static void test_strategies(void **state)
{
    (void)state;
    static const struct {
        soma_strategy strategy;
        const char *happens; /* when b fails */
    } cases[] = {{SOMA_ONE_FOR_ONE, "-b+b"}, {SOMA_ONE_FOR_ALL, "-b-c-a+a+b+c"}, {SOMA_REST_FOR_ONE, "-b-c+b+c"}};
    for (uint32_t i = 0; i < 3; i++) {
        const soma_supervision spec = {.strategy = cases[i].strategy, .children = three, .count = 3};
        soma_ref top;
        assert_int_equal(open_with(&spec, &top), 0);
        HAPPENED("+a+b+c");
        soma_ref before = named("b");
        tell_die("b", SOMA_EFORMAT);
        HAPPENED(cases[i].happens);
        assert_true(soma_ref_equal(before, named("b"))); // the same ref, and the name
        soma_send(sys, before, ping);
        run_for(0);
        HAPPENED("*b");
        soma_shutdown(sys, top);
        run_for(0);
        HAPPENED("-c-b-a");
        assert_int_equal(soma_send(sys, top, ping), SOMA_EGONE);
        close_it();
    }
}

static void test_restart_kinds(void **state)
{
    (void)state;
    soma_child children[] = {three[0], three[1], three[2]};
    children[1].restart = SOMA_TRANSIENT;
    children[2].restart = SOMA_TEMPORARY;
    const soma_supervision spec = {.children = children, .count = 3, .intensity = 10};
    soma_ref top;
    assert_int_equal(open_with(&spec, &top), 0);
    HAPPENED("+a+b+c");
    tell_die("a", 0);
    HAPPENED("-a+a");
    tell_die("a", SOMA_ESHUTDOWN);
    HAPPENED("-a+a");
    tell_die("b", SOMA_EFORMAT);
    HAPPENED("-b+b");
    tell_die("c", SOMA_EFORMAT);
    HAPPENED("-c");
    assert_int_equal(soma_kill(sys, named("b")), 0);
    run_for(0);
    HAPPENED("!b+b");
    tell_die("b", 0);
    HAPPENED("-b");
    list(top);
    assert_string_equal(answers.states, "running ended ended");
    assert_int_equal(answers.restarts, 4);
    close_it();
}

/* A subtree that fails too often is its own supervisor's to restart; at the top it is the end. */
static void test_escalation(void **state)
{
    (void)state;
    const soma_supervision inner = {.children = &three[1], .count = 1, .intensity = 2, .period = SOMA_SECOND};
    const soma_child outer_children[] = {three[0], {.name = "inner", .behavior = &soma_supervisor, .arg = &inner}};
    const soma_supervision outer = {.children = outer_children, .count = 2, .intensity = 1, .period = SOMA_SECOND};
    soma_ref top;
    assert_int_equal(open_with(&outer, &top), 0);
    HAPPENED("+a+b");
    for (uint32_t i = 0; i < 6; i++) { // two a period are fine, for ever
        tell_die("b", SOMA_EFORMAT);
        HAPPENED("-b+b");
        run_for(SOMA_SECOND / 2 + 1);
    }
    run_for(SOMA_SECOND);
    soma_ref subtree = named("inner");
    for (uint32_t i = 0; i < 3; i++)
        tell_die("b", SOMA_EFORMAT);
    HAPPENED("-b+b-b+b-b+b"); // the third time by a new supervisor, under the old ref
    assert_true(soma_ref_equal(subtree, named("inner")));
    for (uint32_t i = 0; i < 3; i++)
        tell_die("b", SOMA_EFORMAT);
    HAPPENED("-b+b-b+b-b-a");
    assert_int_equal(soma_send(sys, top, ping), SOMA_EGONE);
    close_it();
}

static void test_backoff(void **state)
{
    (void)state;
    const soma_supervision spec = {.children = three,
                                   .count = 1,
                                   .intensity = 100,
                                   .period = 10 * SOMA_SECOND,
                                   .backoff = SOMA_SECOND,
                                   .backoff_max = 3 * SOMA_SECOND};
    static const uint64_t waits[] = {1, 2, 3, 3};
    soma_ref top;
    assert_int_equal(open_with(&spec, &top), 0);
    HAPPENED("+a");
    for (uint32_t i = 0; i < 4; i++) {
        tell_die("a", SOMA_EFORMAT);
        HAPPENED("-a");
        run_for(waits[i] * SOMA_SECOND - SOMA_US);
        HAPPENED("");
        list(top);
        assert_string_equal(answers.states, "restarting");
        run_for(2 * SOMA_US);
        HAPPENED("+a");
    }
    run_for(11 * SOMA_SECOND); // it has settled
    tell_die("a", SOMA_EFORMAT);
    run_for(SOMA_SECOND + SOMA_US);
    HAPPENED("-a+a");
    close_it();
}

static void test_mail(void **state)
{
    (void)state;
    soma_child child = three[0];
    const soma_supervision spec = {.children = &child, .count = 1, .backoff = SOMA_SECOND};
    for (int mail = 0; mail < 2; mail++) {
        soma_ref top, ref;
        child.mail = mail;
        assert_int_equal(open_with(&spec, &top), 0);
        ref = named("a");
        soma_send(sys, ref, die, .reason = SOMA_EFORMAT);
        soma_send(sys, ref, ping);
        run_for(0);
        assert_int_equal(soma_send(sys, ref, ping), mail ? 0 : SOMA_EGONE);
        run_for(2 * SOMA_SECOND);
        HAPPENED(mail ? "+a-a+a*a*a" : "+a-a+a");
        close_it();
    }
}

/* One that doesn't end when told to is killed when its time is over, and the others wait for that. */
static void test_bounded_shutdown(void **state)
{
    (void)state;
    b.stubborn = true;
    soma_child children[] = {three[0], three[1], three[2]};
    children[1].shutdown = 2 * SOMA_SECOND;
    const soma_supervision spec = {.children = children, .count = 3};
    soma_ref top;
    assert_int_equal(open_with(&spec, &top), 0);
    HAPPENED("+a+b+c");
    soma_shutdown(sys, top);
    run_for(SOMA_SECOND);
    HAPPENED("-c");
    list(top);
    assert_string_equal(answers.states, "running stopping ended");
    run_for(2 * SOMA_SECOND);
    HAPPENED("!b-a");
    b.stubborn = false;
    close_it();
}

static void test_start_fails(void **state)
{
    (void)state;
    const soma_supervision spec = {.children = three, .count = 3}, none = {.count = 0};
    const soma_child nothing = {.name = "x"};
    soma_ref top;
    c.fails = 1;
    assert_int_equal(open_with(&spec, &top), SOMA_EFORMAT);
    assert_true(soma_ref_is_null(top));
    run_for(0);
    HAPPENED("+a+b+c-c!b!a");
    assert_int_equal(soma_spawn(sys, &soma_supervisor, NULL, &top), SOMA_EINVAL);
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &(soma_supervision){.count = 1}, &top), SOMA_EINVAL);
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &(soma_supervision){.children = &nothing, .count = 1}, &top),
                     SOMA_EINVAL);
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &none, &top), 0);
    close_it();
    assert_int_equal(open_with(&spec, &top), 0);
    HAPPENED("+a+b+c");
    c.fails = 2; // the next two starts
    tell_die("c", SOMA_EFORMAT);
    HAPPENED("-c+c-c+c-c+c");
    c.fails = 50;
    tell_die("c", SOMA_EFORMAT);
    HAPPENED("-c-b-a"); // three restarts there were already
    c.fails = 0;
    close_it();
}

static void test_killed_supervisor(void **state)
{
    (void)state;
    const soma_supervision inner = {.children = &three[1], .count = 2};
    const soma_child outer_children[] = {three[0], {.name = "inner", .behavior = &soma_supervisor, .arg = &inner}};
    const soma_supervision outer = {.children = outer_children, .count = 2};
    soma_ref top;
    assert_int_equal(open_with(&outer, &top), 0);
    HAPPENED("+a+b+c");
    assert_int_equal(soma_kill(sys, named("inner")), 0);
    run_for(0);
    run_for(SOMA_SECOND);
    list(top);
    assert_string_equal(answers.states, "running running");
    happened[0] = 0;
    assert_int_equal(soma_kill(sys, top), 0);
    run_for(0);
    soma_stats stats;
    assert_int_equal(soma_system_stats(sys, &stats), 0);
    assert_int_equal(stats.agents, 1); // who asks
    close_it();
}

static void test_pool(void **state)
{
    (void)state;
    const soma_child kind = {.behavior = &actor, .arg = &a, .restart = SOMA_TRANSIENT};
    const soma_supervision spec = {.strategy = SOMA_POOL, .children = &kind, .count = 3, .intensity = 10};
    struct role d = {.name = 'd'};
    soma_ref top;
    assert_int_equal(open_with(&spec, &top), 0);
    HAPPENED("+a+a+a");
    soma_send(sys, the_asker, do_start, .pool = top);
    run_for(0);
    HAPPENED("+a");
    soma_send(sys, answers.started, die, .reason = 0);
    run_for(0);
    HAPPENED("-a");
    list(top);
    assert_int_equal(answers.count, 3);
    soma_send(sys, answers.refs[1], die, .reason = SOMA_EFORMAT);
    run_for(0);
    HAPPENED("-a+a");
    soma_send(sys, the_asker, do_stop, .supervisor = top, .child = answers.refs[1]);
    soma_send(sys, the_asker, do_stop, .supervisor = top, .child = top);
    run_for(0);
    HAPPENED("-a");
    assert_int_equal(answers.stopped, 1);
    assert_int_equal(answers.error, SOMA_ENOENT);
    list(top);
    assert_int_equal(answers.count, 2);
    d.name = 'd';
    soma_send(sys, the_asker, do_start, .pool = top, .arg = {(const uint8_t *)&d, sizeof(d)});
    run_for(0);
    HAPPENED("+d");
    soma_send(sys, answers.started, die, .reason = SOMA_EFORMAT);
    run_for(0);
    HAPPENED("-d+d"); // with its own argument
    soma_shutdown(sys, top);
    run_for(0);
    assert_int_equal(strlen(happened), 6);
    close_it();
}

/* What is a request is also only a message, and then does no harm. */
static void test_not_asked(void **state)
{
    (void)state;
    const soma_supervision spec = {.children = three, .count = 1};
    soma_ref top;
    assert_int_equal(open_with(&spec, &top), 0);
    soma_send(sys, top, soma_list_children);
    soma_send(sys, top, soma_start_child);
    soma_send(sys, top, soma_stop_child, .child = top);
    run_for(SOMA_SECOND);
    list(top);
    assert_string_equal(answers.states, "running");
    close_it();
}

/* One whose backoff ends while those behind it are cleared is started with them, not forgotten. */
static void test_retry_while_clearing(void **state)
{
    (void)state;
    soma_child children[] = {three[0], three[1], three[2]};
    children[2].shutdown = 4 * SOMA_SECOND;
    const soma_supervision spec = {
        .strategy = SOMA_REST_FOR_ONE, .children = children, .count = 3, .intensity = 10, .backoff = SOMA_SECOND};
    soma_ref top;
    c.stubborn = true;
    assert_int_equal(open_with(&spec, &top), 0);
    tell_die("b", SOMA_EFORMAT);
    run_for(SOMA_SECOND / 2);
    tell_die("a", SOMA_EFORMAT);
    run_for(4 * SOMA_SECOND); // b's is over, and c is told to stop, but doesn't; a's is over, too
    HAPPENED("+a+b+c-b-a");
    run_for(SOMA_SECOND);
    HAPPENED("!c+a+b+c");
    list(top);
    assert_string_equal(answers.states, "running running running");
    c.stubborn = false;
    close_it();
}

/* An order to stop that a child fails ahead of is not for its next life. */
static void test_order_outlived(void **state)
{
    (void)state;
    soma_child children[] = {three[0], three[1]};
    children[0].restart = SOMA_TRANSIENT;
    children[0].mail = true;
    const soma_supervision spec = {.strategy = SOMA_ONE_FOR_ALL, .children = children, .count = 2};
    soma_ref top;
    assert_int_equal(open_with(&spec, &top), 0);
    for (uint32_t i = 0; i < 250; i++) // so many turns until it comes to its end, and the order is behind that
        soma_send(sys, named("a"), ping);
    soma_send(sys, named("a"), die, .reason = SOMA_EFORMAT);
    tell_die("b", SOMA_EFORMAT);
    list(top);
    assert_string_equal(answers.states, "running running");
    assert_int_equal(answers.restarts, 1);
    close_it();
}

/* A supervisor that is killed frees its children's names even if they have just failed and word of it is on its way. */
static void test_names_of_the_killed(void **state)
{
    (void)state;
    const soma_supervision inner = {.children = &three[1], .count = 2};
    const soma_child subtree = {.name = "inner", .behavior = &soma_supervisor, .arg = &inner, .mail = true};
    const soma_supervision outer = {.children = &subtree, .count = 1};
    soma_ref top;
    assert_int_equal(open_with(&outer, &top), 0);
    soma_send(sys, named("b"), die, .reason = SOMA_EFORMAT);
    soma_kill(sys, named("c"));
    soma_kill(sys, named("inner"));
    run_for(0);
    list(top);
    assert_string_equal(answers.states, "running");
    assert_int_equal(answers.restarts, 1);
    assert_false(soma_ref_is_null(named("b")) || soma_ref_is_null(named("c")));
    close_it();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategies),     cmocka_unit_test(test_restart_kinds),
        cmocka_unit_test(test_escalation),     cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_mail),           cmocka_unit_test(test_bounded_shutdown),
        cmocka_unit_test(test_start_fails),    cmocka_unit_test(test_killed_supervisor),
        cmocka_unit_test(test_pool),           cmocka_unit_test(test_retry_while_clearing),
        cmocka_unit_test(test_order_outlived), cmocka_unit_test(test_names_of_the_killed),
        cmocka_unit_test(test_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
