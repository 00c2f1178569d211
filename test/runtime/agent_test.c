/* Agents through the public interface: spawning, sending, ending, becoming, extending, refs that lead nowhere. */
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(add, (u32, n))
SOMA_MESSAGE(text, (string, s))
SOMA_MESSAGE(quit, (i32, reason))
SOMA_MESSAGE(change)
SOMA_MESSAGE(unknown)
SOMA_MESSAGE(pass, (ref, to))

/* What the agents of a test report; a test has its own and hands it to init. */
struct report {
    atomic_uint sum;
    atomic_int stopped;
    atomic_int reason;
    atomic_int other;
};

struct adder {
    struct report *report;
};

static int adder_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct adder *)state)->report = (struct report *)(uintptr_t)arg;
    return 0;
}

static void adder_stop(soma_agent *self, void *state, int reason)
{
    (void)self;
    struct report *report = ((struct adder *)state)->report;
    atomic_store(&report->reason, reason);
    atomic_fetch_add(&report->stopped, 1);
}

static int on_add(soma_agent *self, struct adder *my, const struct add *m)
{
    (void)self;
    atomic_fetch_add(&my->report->sum, m->n);
    return 0;
}

static int on_text(soma_agent *self, struct adder *my, const struct text *m)
{
    (void)self;
    atomic_fetch_add(&my->report->sum, (unsigned int)strlen(m->s));
    return 0;
}

static int on_quit(soma_agent *self, struct adder *my, const struct quit *m)
{
    (void)my;
    if (m->reason < 0)
        return m->reason;
    soma_agent_exit(self, m->reason);
    return 0;
}

static int on_add_double(soma_agent *self, struct adder *my, const struct add *m)
{
    (void)self;
    atomic_fetch_add(&my->report->sum, 2 * m->n);
    return 0;
}

static int adder_fallback(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    (void)self, (void)message;
    assert_string_equal(type->name, "unknown");
    atomic_fetch_add(&((struct adder *)state)->report->other, 1);
    return 0;
}

static int on_change(soma_agent *self, struct adder *my, const struct change *m);

static int on_pass(soma_agent *self, struct adder *my, const struct pass *m)
{
    (void)my;
    return soma_send(self, m->to, add, .n = soma_ref_is_null(soma_sender(self)) ? 100 : 1);
}

static const soma_behavior adder = {.name = "adder",
                                    .state_size = sizeof(struct adder),
                                    .init = adder_init,
                                    .stop = adder_stop,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(add, on_add), SOMA_ON(text, on_text),
                                                              SOMA_ON(quit, on_quit), SOMA_ON(change, on_change),
                                                              SOMA_ON(pass, on_pass))};

static const soma_behavior doubler = {.name = "doubler",
                                      .state_size = sizeof(struct adder),
                                      .base = &adder,
                                      .init = adder_init,
                                      .stop = adder_stop,
                                      .fallback = adder_fallback,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(add, on_add_double))};

static int on_change(soma_agent *self, struct adder *my, const struct change *m)
{
    (void)my, (void)m;
    return soma_become(self, &doubler);
}

static soma_system *open_one(struct report *report, const soma_behavior *behavior, soma_ref *ref)
{
    memset(report, 0, sizeof(*report));
    soma_system *system;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2}), 0);
    assert_int_equal(soma_spawn(system, behavior, report, ref), 0);
    return system;
}

static void test_messages_arrive_before_close(void **state)
{
    (void)state;
    struct report report;
    soma_ref ref;
    soma_system *system = open_one(&report, &adder, &ref);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(soma_send(system, ref, add, .n = 1), 0);
    assert_int_equal(soma_send(system, ref, text, .s = "four"), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_null(system);
    assert_int_equal(report.sum, 1004);
    assert_int_equal(report.stopped, 1);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_exit_and_error_end_the_agent(void **state)
{
    (void)state;
    for (int reason = -5; reason <= 5; reason += 10) {
        struct report report;
        soma_ref ref;
        soma_system *system = open_one(&report, &adder, &ref);
        assert_int_equal(soma_send(system, ref, quit, .reason = reason), 0);
        while (!atomic_load(&report.stopped))
            ;
        assert_int_equal(report.reason, reason);
        soma_stats stats;
        int sent;
        do // stop runs just before the ref goes stale
            sent = soma_send(system, ref, add, .n = 1);
        while (sent == 0);
        assert_int_equal(sent, SOMA_EGONE);
        assert_int_equal(soma_system_stats(system, &stats), 0);
        assert_true(stats.dead_letters >= 1);
        assert_int_equal(stats.agents, 0);
        assert_int_equal(soma_system_close(&system), 0);
        assert_int_equal(report.sum, 0);
    }
}

static void test_kill(void **state)
{
    (void)state;
    struct report report;
    soma_ref ref;
    soma_system *system = open_one(&report, &adder, &ref);
    assert_int_equal(soma_kill(system, ref), 0);
    while (!atomic_load(&report.stopped))
        ;
    assert_int_equal(report.reason, SOMA_EKILLED);
    assert_int_equal(soma_kill(NULL, ref), SOMA_EINVAL);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.stopped, 1);
}

static void stop_that_exits(soma_agent *self, void *state, int reason)
{
    adder_stop(self, state, reason);
    soma_agent_exit(self, 7); // too late to mean anything
}

static const soma_behavior late = {
    .name = "late", .state_size = sizeof(struct adder), .init = adder_init, .stop = stop_that_exits};

/* An exit asked for in stop is nobody else's: the next agent on the same worker goes on. */
static void test_exit_in_stop_hurts_nobody(void **state)
{
    (void)state;
    struct report first = {0}, second = {0};
    soma_system *system;
    soma_ref killed, other;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &late, &first, &killed), 0);
    assert_int_equal(soma_spawn(system, &adder, &second, &other), 0);
    assert_int_equal(soma_kill(system, killed), 0);
    while (!atomic_load(&first.stopped))
        ;
    assert_int_equal(soma_send(system, other, add, .n = 1), 0);
    assert_int_equal(soma_send(system, other, add, .n = 1), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(second.sum, 2);
    assert_int_equal(second.reason, 0);
}

static void test_become_and_base(void **state)
{
    (void)state;
    struct report report;
    soma_ref ref;
    soma_system *system = open_one(&report, &adder, &ref);
    soma_send(system, ref, add, .n = 1);
    soma_send(system, ref, unknown); // no handler, no fallback: a dead letter
    soma_send(system, ref, change);
    soma_send(system, ref, add, .n = 1);        // the doubler's own
    soma_send(system, ref, text, .s = "three"); // its base's
    soma_send(system, ref, unknown);
    soma_stats stats;
    while (!atomic_load(&report.other))
        ;
    assert_int_equal(soma_system_stats(system, &stats), 0); // after the fact: the dead letter came before
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.sum, 1 + 2 + 5);
    assert_int_equal(report.other, 1);
    assert_int_equal(stats.dead_letters, 1);
}

static int adder_ready(soma_agent *self, void *state)
{
    (void)self;
    atomic_fetch_add(&((struct adder *)state)->report->other, 1);
    return 0;
}

static int changes_init(soma_agent *self, void *state, const void *arg)
{
    adder_init(self, state, arg);
    return soma_become(self, &adder);
}

static int on_change_to_blocking(soma_agent *self, struct adder *my, const struct change *m)
{
    (void)m;
    static const soma_behavior blocking = {.name = "blocking", .blocking = true};
    atomic_store(&my->report->reason, soma_become(self, &blocking));
    return 0;
}

static const soma_behavior changes = {
    .name = "changes", .state_size = sizeof(struct adder), .init = changes_init, .ready = adder_ready};

static const soma_behavior patient = {.name = "patient",
                                      .state_size = sizeof(struct adder),
                                      .init = adder_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(change, on_change_to_blocking))};

/* In its init already, away from a behavior whose ready hook was due; and never to one that would block its worker. */
static void test_become_early(void **state)
{
    (void)state;
    struct report report;
    soma_ref ref;
    soma_system *system = open_one(&report, &changes, &ref);
    soma_send(system, ref, add, .n = 1);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.sum, 1);
    assert_int_equal(report.other, 0);
    system = open_one(&report, &patient, &ref);
    soma_send(system, ref, change);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.reason, SOMA_ESTATE);
}

/* ---- sending in one's own name and as from outside ---- */

static int post_add(soma_agent *self, void *state, void *arg)
{
    (void)self;
    struct report *report = ((struct adder *)state)->report;
    atomic_store(&report->sum, atomic_load(&report->sum) * 10 + (unsigned int)(uintptr_t)arg);
    return 0;
}

static int on_digit(soma_agent *self, struct adder *my, const struct add *m)
{
    return post_add(self, my, (void *)(uintptr_t)m->n);
}

static int on_pass_mixed(soma_agent *self, struct adder *my, const struct pass *m)
{
    (void)my;
    soma_system *system = soma_agent_system(self);
    for (uint32_t n = 1; n <= 3; n++)
        soma_send(self, m->to, add, .n = n);
    soma_post(system, m->to, post_add, (void *)(uintptr_t)4, NULL);
    soma_send(self, m->to, add, .n = 5);
    soma_send(self, m->to, add, .n = 6);
    soma_send(system, m->to, add, .n = 7);
    return 0;
}

static const soma_behavior digits = {.name = "digits",
                                     .state_size = sizeof(struct adder),
                                     .init = adder_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(add, on_digit))};

static const soma_behavior mixed = {.name = "mixed", .handlers = SOMA_HANDLERS(SOMA_ON(pass, on_pass_mixed))};

static void test_order_of_one_handler(void **state)
{
    (void)state;
    struct report report = {0};
    soma_system *system;
    soma_ref to, from;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0); // busy, so it collects what it sends
    assert_int_equal(soma_spawn(system, &digits, &report, &to), 0);
    assert_int_equal(soma_spawn(system, &mixed, NULL, &from), 0);
    assert_int_equal(soma_send(system, from, pass, .to = to), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.sum, 1234567);
}

static void test_sender(void **state)
{
    (void)state;
    struct report report;
    soma_ref ref;
    soma_system *system = open_one(&report, &adder, &ref);
    soma_send(system, ref, pass, .to = ref);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.sum, 100);
}

static void test_forged_refs_are_harmless(void **state)
{
    (void)state;
    struct report report;
    soma_ref ref;
    soma_system *system = open_one(&report, &adder, &ref);
    soma_ref forged[] = {{ref.node, ref.slot, ref.generation + 1},
                         {ref.node, ref.slot, ref.generation + 2},
                         {ref.node, ref.slot + 1, 1},
                         {ref.node, UINT32_MAX, 1},
                         SOMA_REF_NULL,
                         {ref.node, 5, 0}};
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
        assert_int_equal(soma_send(system, forged[i], add, .n = 1), SOMA_EGONE);
    soma_ref elsewhere = {ref.node + 1, ref.slot, ref.generation};
    assert_int_equal(soma_send(system, elsewhere, add, .n = 1), SOMA_ENOROUTE);
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.dead_letters, 7);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(report.sum, 0);
}

static int failing_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send(self, soma_self(self), add, .n = 1), 0);
    return SOMA_ETYPE;
}

static void test_spawn_errors(void **state)
{
    (void)state;
    static const soma_behavior failing = {.name = "failing", .init = failing_init}, nameless = {.name = NULL};
    static const soma_behavior plain = {.name = "plain"};
    soma_system *system;
    soma_ref ref = {1, 1, 1};
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1, .slots = 2}), 0);
    assert_int_equal(soma_spawn(system, NULL, NULL, &ref), SOMA_EINVAL);
    assert_int_equal(soma_spawn(system, &nameless, NULL, &ref), SOMA_EINVAL);
    static soma_type types[257];
    static soma_handler rows[258];
    for (size_t i = 0; i < 257; i++) {
        types[i] = add_type;
        rows[i] = (soma_handler){&types[i], (soma_handler_fn *)(void (*)(void))failing_init, 0, NULL};
    }
    const soma_behavior many = {.name = "many", .handlers = rows}, most = {.name = "most", .handlers = rows + 1};
    static soma_behavior circle = {.name = "circle", .base = &circle}, busy = {.name = "busy", .base = &busy};
    busy.handlers = rows;
    assert_int_equal(soma_spawn(system, &many, NULL, NULL), SOMA_ETOOBIG);
    assert_int_equal(soma_spawn(system, &most, NULL, NULL), 0);
    assert_int_equal(soma_spawn(system, &circle, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_spawn(system, &busy, NULL, NULL), SOMA_EINVAL);
    for (int i = 0; i < 10; i++) { // a failed spawn gives its slot back, sooner or later
        int error;
        do
            error = soma_spawn(system, &failing, NULL, &ref);
        while (error == SOMA_EFULL);
        assert_int_equal(error, SOMA_ETYPE);
        assert_true(soma_ref_is_null(ref));
    }
    int spawned = 1;
    while (spawned < 2)
        spawned += soma_spawn(system, &plain, NULL, NULL) == 0;
    assert_int_equal(soma_spawn(system, &plain, NULL, &ref), SOMA_EFULL);
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages_arrive_before_close),
                                       cmocka_unit_test(test_exit_and_error_end_the_agent),
                                       cmocka_unit_test(test_kill),
                                       cmocka_unit_test(test_exit_in_stop_hurts_nobody),
                                       cmocka_unit_test(test_become_and_base),
                                       cmocka_unit_test(test_become_early),
                                       cmocka_unit_test(test_order_of_one_handler),
                                       cmocka_unit_test(test_sender),
                                       cmocka_unit_test(test_forged_refs_are_harmless),
                                       cmocka_unit_test(test_spawn_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
