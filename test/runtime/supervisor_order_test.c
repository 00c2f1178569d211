/* Supervisors whose children can not be restarted at once: nobody starts before who must be there. In virtual time. */
#include "one_thread.h"

SOMA_MESSAGE(die, (i32, reason))
SOMA_MESSAGE(do_stop, (ref, supervisor), (ref, child))

/* ---- children: +a a starts, -a it stops ---- */

struct role {
    char name;
    int fails; /* so many inits */
};

struct actor {
    struct role *role;
};

static int actor_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    struct actor *my = state;
    my->role = (struct role *)(uintptr_t)arg;
    note('+', my->role->name);
    return my->role->fails && my->role->fails-- ? SOMA_EFORMAT : 0;
}

static void actor_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    note('-', ((struct actor *)state)->role->name);
}

static int on_die(soma_agent *self, struct actor *my, const struct die *m)
{
    (void)self, (void)my;
    return m->reason;
}

static const soma_behavior actor = {
    .name = "actor",
    .state_size = sizeof(struct actor),
    .init = actor_init,
    .stop = actor_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(die, on_die)),
};

static uint32_t stopped;

static int on_stopped(soma_agent *self, void *state, const struct soma_stopped *m)
{
    (void)self, (void)state, (void)m;
    stopped++;
    return 0;
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    return *error;
}

static int on_do_stop(soma_agent *self, void *state, const struct do_stop *m)
{
    (void)state;
    return (int)soma_request(self, m->supervisor, SOMA_NEVER, SOMA_THEN(soma_stopped, on_stopped, on_error),
                             soma_stop_child, .child = m->child);
}

static const soma_behavior asker = {.name = "asker", .handlers = SOMA_HANDLERS(SOMA_ON(do_stop, on_do_stop))};

static struct role a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

static const soma_child three[] = {
    {.name = "a", .behavior = &actor, .arg = &a},
    {.name = "b", .behavior = &actor, .arg = &b},
    {.name = "c", .behavior = &actor, .arg = &c},
};

/* Three children of which the second has failed, and fails in its next init, too. Gives the supervisor and the child.
 */
static void open_failing(const soma_supervision *spec, soma_ref *top, soma_ref *failing)
{
    stopped = 0;
    sys_open();
    assert_int_equal(soma_spawn(sys, &soma_supervisor, spec, top), 0);
    HAPPENED("+a+b+c");
    assert_int_equal(soma_whereis(sys, "b", failing), 0);
    b.fails = 1;
    soma_send(sys, *failing, die, .reason = SOMA_EFORMAT);
    run_for(0);
    HAPPENED("-b");
}

static void test_rest_for_one(void **state)
{
    (void)state;
    const soma_supervision spec = {
        .strategy = SOMA_REST_FOR_ONE, .children = three, .count = 3, .backoff = SOMA_SECOND};
    soma_ref top, failing;
    open_failing(&spec, &top, &failing);
    run_for(SOMA_SECOND);
    HAPPENED("-c+b-b");
    run_for(2 * SOMA_SECOND);
    HAPPENED("+b+c");
    assert_int_equal(soma_system_close(&sys), 0);
}

static void test_one_for_all(void **state)
{
    (void)state;
    const soma_supervision spec = {.strategy = SOMA_ONE_FOR_ALL, .children = three, .count = 3, .backoff = SOMA_SECOND};
    soma_ref top, failing;
    open_failing(&spec, &top, &failing);
    run_for(SOMA_SECOND);
    HAPPENED("-c-a+a+b-b");
    run_for(2 * SOMA_SECOND);
    HAPPENED("-a+a+b+c");
    assert_int_equal(soma_system_close(&sys), 0);
}

/* Once it is stopped for good nobody waits for it any more. */
static void test_stopped_meanwhile(void **state)
{
    (void)state;
    const soma_supervision spec = {
        .strategy = SOMA_REST_FOR_ONE, .children = three, .count = 3, .backoff = SOMA_SECOND};
    soma_ref top, failing, ask;
    open_failing(&spec, &top, &failing);
    run_for(SOMA_SECOND);
    HAPPENED("-c+b-b");
    assert_int_equal(soma_spawn(sys, &asker, NULL, &ask), 0);
    soma_send(sys, ask, do_stop, .supervisor = top, .child = failing);
    run_for(0);
    assert_int_equal(stopped, 1);
    HAPPENED("+c");
    run_for(10 * SOMA_SECOND);
    HAPPENED("");
    assert_int_equal(soma_system_close(&sys), 0);
}

/* It keeps so many times, so "any number" must be a number. */
static void test_intensity_too_big(void **state)
{
    (void)state;
    soma_ref top;
    soma_supervision spec = {.intensity = UINT32_MAX};
    open_failing(&(soma_supervision){.children = three, .count = 3, .backoff = SOMA_SECOND}, &top, &top);
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &spec, NULL), SOMA_ETOOBIG);
    spec.intensity = 1000000;
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &spec, NULL), 0);
    assert_int_equal(soma_system_close(&sys), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rest_for_one), cmocka_unit_test(test_one_for_all),
                                       cmocka_unit_test(test_stopped_meanwhile),
                                       cmocka_unit_test(test_intensity_too_big)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
