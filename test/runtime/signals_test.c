/* SIGINT and SIGTERM, in processes of their own: which of several are one wish, and which ends the process. */
#include "test_support.h"
#include <signal.h>
#include <soma/soma.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOO_SLOW 77 // the machine was: nothing was seen

static soma_system *system_open(void)
{
    soma_system *system;
    if (soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_OFF}) || soma_system_stop_on_signals(system))
        _exit(1);
    return system;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Each is taken before it goes on. */
static void signal_self(void)
{
    sigset_t pending;
    kill(getpid(), SIGTERM);
    do
        sigpending(&pending);
    while (sigismember(&pending, SIGTERM));
}

static void stop_by_two_at_once(void)
{
    soma_system *system = system_open();
    double before = seconds();
    signal_self();
    signal_self();
    if (seconds() - before > 0.1)
        _exit(TOO_SLOW);
    _exit(soma_system_run(system) || soma_system_close(&system));
}

static void stop_by_many(void)
{
    system_open();
    for (;;)
        signal_self();
}

static int status_of(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        body();
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* As of `timeout`, which signals its child, and then its group. */
static void test_twice_at_once(void **state)
{
    (void)state;
    int status;
    do
        status = status_of(stop_by_two_at_once);
    while (WIFEXITED(status) && WEXITSTATUS(status) == TOO_SLOW);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_more_end_it(void **state)
{
    (void)state;
    int status = status_of(stop_by_many);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_twice_at_once), cmocka_unit_test(test_more_end_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
