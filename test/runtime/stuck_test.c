/* Closing always ends: also while a handler does not return. What is left goes when it does. */
#include "test_support.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <soma/error.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(block)

static atomic_bool entered, may_return, stopped, given_up;

static int on_block(soma_agent *self, void *state, const struct block *m)
{
    (void)self, (void)state, (void)m;
    atomic_store(&entered, true);
    while (!atomic_load(&may_return))
        sched_yield();
    return 0;
}

static void stuck_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)state, (void)reason;
    atomic_store(&stopped, true);
}

static const soma_behavior stuck = {
    .name = "stuck", .stop = stuck_stop, .handlers = SOMA_HANDLERS(SOMA_ON(block, on_block))};
static const soma_behavior stuck_blocking = {
    .name = "stuck", .stop = stuck_stop, .blocking = true, .handlers = SOMA_HANDLERS(SOMA_ON(block, on_block))};

static void sink(void *context, const soma_log_record *record)
{
    (void)context;
    if (strstr(record->text, "given up"))
        atomic_store(&given_up, true);
}

/* The reaper is the last of the system's threads: once it is gone, all that the system had is. */
static uint32_t threads(void)
{
    uint32_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    while (readdir(tasks))
        count++;
    closedir(tasks);
    return count;
}

static void close_check(const soma_behavior *behavior, int (*end)(soma_system **))
{
    soma_system *system;
    soma_ref ref;
    uint32_t before = threads();
    atomic_store(&entered, false);
    atomic_store(&may_return, false);
    atomic_store(&stopped, false);
    atomic_store(&given_up, false);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2, .drain_ms = 1, .log_sink = sink}), 0);
    assert_int_equal(soma_spawn(system, behavior, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, block), 0);
    while (!atomic_load(&entered))
        sched_yield();
    assert_int_equal(end(&system), SOMA_ETIMEOUT);
    assert_null(system);
    assert_false(atomic_load(&stopped)); // it may still use its state
    atomic_store(&may_return, true);
    while (!atomic_load(&stopped) || !atomic_load(&given_up) || threads() > before)
        sched_yield();
}

static void test_close(void **state)
{
    (void)state;
    close_check(&stuck, soma_system_close);
}

static void test_cancel_of_a_blocking_agent(void **state)
{
    (void)state;
    close_check(&stuck_blocking, soma_system_cancel);
}

static void *nothing(void *argument)
{
    return argument;
}

int main(void)
{
    pthread_t first; // at which sanitizers start a thread of their own, that stays
    if (pthread_create(&first, NULL, nothing, NULL) || pthread_join(first, NULL))
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_close), cmocka_unit_test(test_cancel_of_a_blocking_agent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
