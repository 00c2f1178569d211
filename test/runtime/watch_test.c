/* Handlers that run too long are named while they run; snapshots; crashes are reported by what was being handled. */
#include "test_support.h"
#include <sched.h>
#include <signal.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(slow_work)
SOMA_MESSAGE(quick_work)
SOMA_MESSAGE(crash, (u32, how))

static atomic_bool told, done; /* the log has said that it runs, and that it took long */
static atomic_bool seen;       /* the test has looked */

static void sink(void *context, const soma_log_record *record)
{
    (void)context;
    if (strstr(record->text, "'sluggish' 0.1 has been handling slow_work for"))
        atomic_store(&told, true);
    if (!strncmp(record->origin, "sluggish 0.1", 12) && strstr(record->text, "to handle slow_work"))
        atomic_store(&done, true);
}

static int on_slow_work(soma_agent *self, void *state, const struct slow_work *m)
{
    (void)self, (void)state, (void)m;
    while (!atomic_load(&told) || !atomic_load(&seen))
        sched_yield();
    return 0;
}

static int on_quick_work(soma_agent *self, void *state, const struct quick_work *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static const soma_behavior sluggish = {
    .name = "sluggish",
    .handlers = SOMA_HANDLERS(SOMA_ON(slow_work, on_slow_work), SOMA_ON(quick_work, on_quick_work))};

static void test_long_handler(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    soma_watch watch;
    const soma_options options = {.workers = 1, .handler_limit_ms = 1, .log_sink = sink};
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_spawn(system, &sluggish, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, slow_work), 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(soma_send(system, ref, quick_work), 0);
    while (!atomic_load(&told))
        sched_yield();
    assert_int_equal(soma_system_watch(system, &watch), 0);
    assert_int_equal(watch.handler_count, 1);
    assert_true(watch.handlers[0].running);
    assert_string_equal(watch.handlers[0].behavior, "sluggish");
    assert_string_equal(watch.handlers[0].message, "slow_work");
    assert_true(soma_ref_equal(watch.handlers[0].agent, ref));
    assert_true(watch.handlers[0].longest >= SOMA_MS);
    assert_int_equal(watch.mailbox_count, 1);
    assert_string_equal(watch.mailboxes[0].behavior, "sluggish");
    assert_true(soma_ref_equal(watch.mailboxes[0].agent, ref));
    assert_int_equal(watch.mailboxes[0].messages, 5);
    atomic_store(&seen, true);
    while (!atomic_load(&done))
        sched_yield();
    soma_stats stats;
    do
        assert_int_equal(soma_system_stats(system, &stats), 0);
    while (stats.processed < 6);
    assert_int_equal(soma_system_watch(system, &watch), 0);
    assert_int_equal(watch.mailbox_count, 0);
    assert_int_equal(watch.handler_count, 2);
    assert_string_equal(watch.handlers[0].message, "slow_work");
    assert_string_equal(watch.handlers[1].message, "quick_work");
    assert_false(watch.handlers[0].running);
    assert_int_equal(soma_system_watch(system, NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_watch(NULL, &watch), SOMA_EINVAL);
    assert_int_equal(soma_system_close(&system), 0);
}

/* Unwatched, there is nothing to say, and no fault. */
static void test_unwatched(void **state)
{
    (void)state;
    soma_system *system;
    soma_watch watch;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_system_watch(system, &watch), 0);
    assert_int_equal(watch.handler_count, 0);
    assert_int_equal(watch.mailbox_count, 0);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- crashes: this program runs itself to have one ---- */

enum { SEGV, ABORT, OVERFLOW, RAISED, OUTSIDE, CRASHES };

static volatile int *const nowhere = (volatile int *)4096; // in the pages that no process has
static volatile int depth;

static int overflow(int n)
{
    volatile char page[4096];
    page[0] = (char)n;
    depth = n;
    return n > 0 ? overflow(n + 1) + page[0] : 0;
}

static int on_crash(soma_agent *self, void *state, const struct crash *m)
{
    (void)self, (void)state;
    if (m->how == SEGV)
        *nowhere = 1;
    if (m->how == ABORT)
        abort();
    if (m->how == RAISED) { // not by an instruction that would come again
        raise(SIGFPE);
        _exit(3);
    }
    return overflow(1);
}

static const soma_behavior doomed = {
    .name = "doomed", .handlers = SOMA_HANDLERS(SOMA_ON(crash, on_crash), SOMA_ON(quick_work, on_quick_work))};

static int crash_now(int how)
{
    soma_system *system;
    soma_ref ref;
    if (soma_system_open(&system, &(soma_options){.workers = 1, .guard = 1}) || soma_spawn(system, &doomed, NULL, &ref))
        return 3;
    for (uint32_t i = 0; i < 3; i++)
        soma_send(system, ref, quick_work);
    if (how == OUTSIDE)
        abort();
    soma_send(system, ref, crash, .how = (uint32_t)how);
    soma_system_run(system);
    return 3;
}

static void test_crashes(void **state)
{
    (void)state;
    static const char *const signals[] = {"SIGSEGV", "SIGABRT", "SIGSEGV", "SIGFPE"};
    for (int how = 0; how < CRASHES; how++) {
        char path[512] = {0}, command[600], output[16384];
        assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
        snprintf(command, sizeof(command), "ulimit -c 0; exec '%s' %d 2>&1", path, how);
        FILE *child = popen(command, "r");
        assert_non_null(child);
        size_t length = fread(output, 1, sizeof(output) - 1, child);
        output[length] = 0;
        while (fgetc(child) != EOF) // a sanitizer may have much to say
            ;
        int status = pclose(child);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
        assert_int_not_equal(WIFEXITED(status) ? WEXITSTATUS(status) : 0, 3);
        if (how == OUTSIDE) {
            assert_null(strstr(output, "soma: SIG"));
            continue;
        }
        assert_non_null(strstr(output, signals[how]));
        assert_non_null(strstr(output, "soma: it was in 'doomed' 0.1, handling crash\n"));
        assert_non_null(strstr(output, "soma:   'doomed' 0.1, handling quick_work\n"));
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return crash_now(atoi(argv[1]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_long_handler),
        cmocka_unit_test(test_unwatched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
