/* Systems: options and environment, run and stop, two at once, cancel, calls in the wrong place. */
#include "runtime/system.h"
#include "test_support.h"
#include <signal.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

SOMA_MESSAGE(go)

static atomic_int result;

static int on_go_close(soma_agent *self, void *my, const struct go *m)
{
    (void)my, (void)m;
    soma_system *system = soma_agent_system(self);
    atomic_store(&result, soma_system_close(&system));
    soma_system_stop(system);
    return 0;
}

static int on_go_forever(soma_agent *self, void *my, const struct go *m)
{
    (void)my, (void)m;
    return soma_send(self, soma_self(self), go);
}

static const soma_behavior closer = {.name = "closer", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_close))};
static const soma_behavior restless = {.name = "restless", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_forever))};

static void test_bad_options(void **state)
{
    (void)state;
    soma_system *system = (void *)1;
    assert_int_equal(soma_system_open(NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 65}), SOMA_ETOOBIG);
    assert_null(system);
    assert_int_equal(soma_system_open(&system, &(soma_options){.batch = 1000001}), SOMA_ETOOBIG);
    assert_int_equal(soma_system_open(&system, &(soma_options){.slots = (1u << 28) + 1}), SOMA_ETOOBIG);
    assert_int_equal(soma_system_close(NULL), 0);
}

static void test_environment(void **state)
{
    (void)state;
    soma_system *system;
    setenv("SOMA_WORKERS", "many", 1);
    assert_int_equal(soma_system_open(&system, NULL), SOMA_EINVAL);
    setenv("SOMA_WORKERS", "-1", 1);
    assert_int_equal(soma_system_open(&system, NULL), SOMA_EINVAL);
    setenv("SOMA_WORKERS", "99999999999", 1);
    assert_int_equal(soma_system_open(&system, NULL), SOMA_ETOOBIG);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0); // the code's value wins
    assert_int_equal(soma_system_close(&system), 0);
    unsetenv("SOMA_WORKERS");
}

static char blamed[SOMA_LOG_TEXT_MAX];

static void keep_text(void *context, const soma_log_record *record)
{
    (void)context;
    snprintf(blamed, sizeof(blamed), "%s", record->text);
}

/* Each option has its variable, which counts if the code says nothing, and is named if it is wrong. */
static void test_environment_of_each(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        uint32_t value;
        size_t at;
    } variables[] = {
        {"SOMA_WORKERS", "3", 3, offsetof(soma_options, workers)},
        {"SOMA_BATCH", "7", 7, offsetof(soma_options, batch)},
        {"SOMA_SLOTS", "99", 99, offsetof(soma_options, slots)},
        {"SOMA_PIN", "1", 1, offsetof(soma_options, pin)},
        {"SOMA_HANDLER_LIMIT_MS", "1000", 1000, offsetof(soma_options, handler_limit_ms)},
        {"SOMA_GUARD", "1", 1, offsetof(soma_options, guard)},
        {"SOMA_DRAIN_MS", "50000", 50000, offsetof(soma_options, drain_ms)},
        {"SOMA_LOG_LEVEL", "error", SOMA_LOG_ERROR, offsetof(soma_options, log_level)},
    };
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
        soma_system *system;
        uint32_t value;
        setenv(variables[i].name, variables[i].text, 1);
        assert_int_equal(soma_system_open(&system, NULL), 0);
        memcpy(&value, (const char *)&system->options + variables[i].at, sizeof(value));
        assert_int_equal(value, variables[i].value);
        assert_int_equal(soma_system_close(&system), 0);
        setenv(variables[i].name, "1 or so", 1);
        blamed[0] = 0;
        assert_int_equal(soma_system_open(&system, &(soma_options){.log_sink = keep_text}), SOMA_EINVAL);
        assert_non_null(strstr(blamed, variables[i].name));
        unsetenv(variables[i].name);
    }
}

static void test_run_stop_and_close_from_a_worker(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &closer, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, go), 0);
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(result, SOMA_ESTATE);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(soma_system_run(NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_stop(NULL), SOMA_EINVAL);
}

/* A stop ends the waiting alone, and can't be missed by who waits later. */
static void test_works_on_when_stopped(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    atomic_store(&result, 0);
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_system_stop(system), 0);
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(soma_spawn(system, &closer, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, go), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(result, SOMA_ESTATE); // it has run
}

static void test_cancel_ends_a_restless_system(void **state)
{
    (void)state;
    soma_system *first, *second;
    soma_ref ref;
    assert_int_equal(soma_system_open(&first, NULL), 0);
    assert_int_equal(soma_system_open(&second, &(soma_options){.workers = 8}), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(soma_spawn(i % 2 ? first : second, &restless, NULL, &ref), 0);
        assert_int_equal(soma_send(i % 2 ? first : second, ref, go), 0);
        assert_int_equal(soma_send(i % 2 ? second : first, ref, go), SOMA_ENOROUTE);
    }
    assert_int_equal(soma_system_cancel(&first), 0);
    assert_int_equal(soma_system_cancel(&second), 0);
    assert_null(first);
}

static atomic_uint warnings;

static void count_warnings(void *context, const soma_log_record *record)
{
    (void)context;
    if (record->level == SOMA_LOG_WARNING && strstr(record->text, "closing: 'restless' "))
        atomic_fetch_add(&warnings, 1);
}

static void test_close_gives_up(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    const soma_options options = {.drain_ms = 20, .log_sink = count_warnings, .data = &warnings, .pin = 1};
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_ptr_equal(soma_system_data(system), &warnings);
    assert_int_equal(soma_spawn(system, &restless, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, go), 0);
    assert_int_equal(soma_system_close(&system), SOMA_ETIMEOUT);
    assert_null(system);
    assert_int_equal(warnings, 1);
    assert_null(soma_system_data(NULL));
}

static void test_signals(void **state)
{
    (void)state;
    soma_system *system;
    assert_int_equal(soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_OFF}), 0);
    assert_int_equal(soma_system_stop_on_signals(NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_stop_on_signals(system), 0);
    assert_int_equal(soma_system_stop_on_signals(system), SOMA_ESTATE);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_memory_is_told(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    soma_stats stats;
    assert_int_equal(soma_system_open(&system, &(soma_options){.drain_ms = 1, .log_level = SOMA_LOG_OFF}), 0);
    assert_int_equal(soma_spawn(system, &restless, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, go), 0);
    do
        assert_int_equal(soma_system_stats(system, &stats), 0);
    while (stats.processed < 10);
    assert_true(stats.memory > 0);
    assert_int_equal(stats.memory, stats.memory_by_class[0] + stats.memory_by_class[1]);
    assert_int_equal(soma_system_cancel(&system), 0);
}

SOMA_MESSAGE(answer)
SOMA_MESSAGE(ask)

static int on_ask_scatter(soma_agent *self, void *my, const struct ask *m)
{
    (void)my, (void)m;
    for (int i = 0; i < 3; i++)
        soma_send(self, soma_self(self), go);
    soma_send(self, SOMA_REF_NULL, go);
    return soma_reply(self, answer);
}

static const soma_behavior scatterer = {.name = "scatterer", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask_scatter))};

/* Whoever sends what to whom, on whichever way, counts once. */
static void test_sent_is_told(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    soma_stats stats;
    soma_body *body;
    struct answer reply;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &scatterer, NULL, &ref), 0);
    assert_int_equal(soma_call(system, ref, SOMA_SECOND, &reply, answer, ask), 0);
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.sent, 1 + 4 + 1); // the request, what its handler sent, the answer
    assert_int_equal(soma_send(system, ref, go), 0);
    assert_int_equal(soma_send(system, SOMA_REF_NULL, go), SOMA_EGONE);
    assert_int_equal(soma_body_new(&body, go), 0);
    assert_int_equal(soma_send_body(system, ref, body), 0);
    soma_body_close(&body);
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.sent, 6 + 3);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_open_close_many(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < test_load(500); i++) {
        soma_system *system;
        assert_int_equal(soma_system_open(&system, &(soma_options){.workers = i % 4 + 1}), 0);
        assert_int_equal(soma_system_close(&system), 0);
    }
}

static void test_errors_have_texts(void **state)
{
    (void)state;
    assert_string_equal(soma_strerror(0), "success");
    assert_string_equal(soma_strerror(SOMA_EGONE), "the agent is gone, or never was");
    assert_string_equal(soma_strerror(-9999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_options),           cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_of_each),   cmocka_unit_test(test_run_stop_and_close_from_a_worker),
        cmocka_unit_test(test_works_on_when_stopped), cmocka_unit_test(test_cancel_ends_a_restless_system),
        cmocka_unit_test(test_close_gives_up),        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_memory_is_told),        cmocka_unit_test(test_sent_is_told),
        cmocka_unit_test(test_open_close_many),       cmocka_unit_test(test_errors_have_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
