/* Supervisors whose children can not be restarted at once: nobody starts before who must be there. In virtual time. */
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "test_support.h"
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(die, (i32, reason))
SOMA_MESSAGE(do_stop, (ref, supervisor), (ref, child))

/* ---- a system in one thread ---- */

static soma_agent *waiting[65536];
static uint32_t waiting_count;
static uint64_t now_ns;
static soma_system *system_now_open;

static uint64_t virtual_now(void *context)
{
    (void)context;
    return now_ns;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    (void)context, (void)system;
    assert_true(waiting_count < 65536);
    waiting[waiting_count++] = agent;
}

/* Runs what there is to run, in the order in which it came, and then lets time pass up to `span`. */
static void run_for(uint64_t span)
{
    uint64_t until = now_ns + span;
    for (;;) {
        for (uint32_t i = 0; i < waiting_count; i++)
            agent_turn(&system_now_open->workers[0], waiting[i], 100);
        waiting_count = 0;
        uint64_t next = clock_next(&system_now_open->clock);
        if (next > until)
            break;
        now_ns = next > now_ns ? next : now_ns;
        clock_fire(system_now_open, now_ns);
    }
    now_ns = until;
}

/* ---- what happened, as text: +a a starts, -a it stops ---- */

static char happened[4096];

static void note(char sign, char name)
{
    size_t length = strlen(happened);
    assert_true(length + 3 < sizeof(happened));
    happened[length] = sign;
    happened[length + 1] = name;
    happened[length + 2] = 0;
}

#define HAPPENED(text)                                                                                                 \
    do {                                                                                                               \
        assert_string_equal(happened, text);                                                                           \
        happened[0] = 0;                                                                                               \
    } while (0)

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
    const struct driver driver = {.now = virtual_now, .date = virtual_now, .random = virtual_now, .runnable = runnable};
    now_ns = SOMA_SECOND;
    waiting_count = 0;
    happened[0] = 0;
    stopped = 0;
    assert_int_equal(system_open_driven(&system_now_open, &(soma_options){.log_level = SOMA_LOG_OFF}, &driver), 0);
    assert_int_equal(soma_spawn(system_now_open, &soma_supervisor, spec, top), 0);
    HAPPENED("+a+b+c");
    assert_int_equal(soma_whereis(system_now_open, "b", failing), 0);
    b.fails = 1;
    soma_send(system_now_open, *failing, die, .reason = SOMA_EFORMAT);
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
    assert_int_equal(soma_system_close(&system_now_open), 0);
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
    assert_int_equal(soma_system_close(&system_now_open), 0);
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
    assert_int_equal(soma_spawn(system_now_open, &asker, NULL, &ask), 0);
    soma_send(system_now_open, ask, do_stop, .supervisor = top, .child = failing);
    run_for(0);
    assert_int_equal(stopped, 1);
    HAPPENED("+c");
    run_for(10 * SOMA_SECOND);
    HAPPENED("");
    assert_int_equal(soma_system_close(&system_now_open), 0);
}

/* It keeps so many times, so "any number" must be a number. */
static void test_intensity_too_big(void **state)
{
    (void)state;
    soma_ref top;
    soma_supervision spec = {.intensity = UINT32_MAX};
    open_failing(&(soma_supervision){.children = three, .count = 3, .backoff = SOMA_SECOND}, &top, &top);
    assert_int_equal(soma_spawn(system_now_open, &soma_supervisor, &spec, NULL), SOMA_ETOOBIG);
    spec.intensity = 1000000;
    assert_int_equal(soma_spawn(system_now_open, &soma_supervisor, &spec, NULL), 0);
    assert_int_equal(soma_system_close(&system_now_open), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rest_for_one), cmocka_unit_test(test_one_for_all),
                                       cmocka_unit_test(test_stopped_meanwhile),
                                       cmocka_unit_test(test_intensity_too_big)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
