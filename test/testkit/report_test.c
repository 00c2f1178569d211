/* What a table of tests prints, and whether it fails: each is run in a process of its own, and its words are read. */
#include <soma/test.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a table; returns its exit code, 256 if it crashed, and what it printed. */
static int table_run_at(const struct CMUnitTest *tests, size_t count, char *text, size_t size)
{
    int file = memfd_create("report", MFD_CLOEXEC), status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(file >= 0 && child >= 0);
    if (!child) {
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        int failed = _cmocka_run_group_tests("table", tests, count, NULL, NULL);
        fflush(NULL);
        _exit(failed);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    ssize_t got = pread(file, text, size - 1, 0);
    text[got < 0 ? 0 : got] = '\0';
    close(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

#define table_run(tests, text) table_run_at((tests), sizeof(tests) / sizeof(*(tests)), (text), sizeof(text))

static void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("this is not there:\n%s\nin:\n%s", part, text);
}

/* ---- bodies ---- */

SOMA_MESSAGE(ping)
SOMA_MESSAGE(leave)

static int on_ping(soma_agent *self, void *my, const struct ping *m)
{
    (void)self;
    (void)my;
    (void)m;
    return 0;
}

static int on_leave(soma_agent *self, void *my, const struct leave *m)
{
    (void)self;
    (void)my;
    (void)m;
    exit(0);
}

static const soma_behavior pinged = {.name = "pinged",
                                     .handlers = SOMA_HANDLERS(SOMA_ON(ping, on_ping), SOMA_ON(leave, on_leave))};

/* Passes unless the agent is killed. */
static void alive(soma_test *test)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), &pinged, NULL, &ref), 0);
    soma_send(soma_test_system(test), ref, ping);
    soma_test_settle(test);
    assert_int_equal(soma_send(soma_test_system(test), ref, ping), 0);
}

/* ---- what handlers may not do ---- */

static soma_test *the_test;

static int on_settle(soma_agent *self, void *my, const struct ping *m)
{
    (void)self;
    (void)my;
    (void)m;
    soma_test_settle(the_test);
    return 0;
}

static int on_assert(soma_agent *self, void *my, const struct ping *m)
{
    (void)self;
    (void)my;
    assert_null(m);
    return 0;
}

static const soma_behavior settler = {.name = "settler", .handlers = SOMA_HANDLERS(SOMA_ON(ping, on_settle))};
static const soma_behavior asserter = {.name = "asserter", .handlers = SOMA_HANDLERS(SOMA_ON(ping, on_assert))};

static void pinged_with(soma_test *test, const soma_behavior *behavior)
{
    soma_ref ref;
    the_test = test;
    assert_int_equal(soma_spawn(soma_test_system(test), behavior, NULL, &ref), 0);
    soma_send(soma_test_system(test), ref, ping);
    soma_test_settle(test);
}

static void settles(soma_test *test)
{
    pinged_with(test, &settler);
}

static void asserts(soma_test *test)
{
    pinged_with(test, &asserter);
}

static int on_again(soma_agent *self, void *my, const struct ping *m)
{
    (void)my;
    (void)m;
    return soma_send(self, soma_self(self), ping);
}

static const soma_behavior restless = {.name = "restless", .handlers = SOMA_HANDLERS(SOMA_ON(ping, on_again))};

static void rests_never(soma_test *test)
{
    pinged_with(test, &restless);
}

static int on_spin(soma_agent *self, void *my, const struct ping *m)
{
    (void)self;
    (void)my;
    while (m)
        pause();
    return 0;
}

static const soma_behavior spinner = {.name = "spinner", .handlers = SOMA_HANDLERS(SOMA_ON(ping, on_spin))};

static void hangs(soma_test *test)
{
    pinged_with(test, &spinner);
}

static void left(soma_test *test)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), &pinged, NULL, &ref), 0);
    soma_send(soma_test_system(test), ref, leave);
    soma_test_settle(test);
}

static void skipped(soma_test *test)
{
    (void)test;
    skip();
}

static void forgetful(soma_test *test)
{
    static int runs; // left behind for the next seed
    (void)test;
    assert_true(++runs < 3);
}

/* ---- what is said of them ---- */

/* The command of a report is for the test that failed, and not for others of the same body. */
static void test_replay(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(alive, 100, 100), SOMA_SIM(alive, 100, 100, .kills = 1)};
    char text[32768], command[256];
    (void)state;
    assert_int_equal(table_run(tests, text), 1);
    const char *begin = strstr(text, "SOMA_REPLAY='alive/kills=1:");
    assert_non_null(begin);
    begin += strlen("SOMA_REPLAY='");
    snprintf(command, sizeof(command), "%.*s", (int)strcspn(begin, "'"), begin);
    setenv("SOMA_REPLAY", command, 1);
    int failed = table_run(tests, text);
    unsetenv("SOMA_REPLAY");
    assert_int_equal(failed, 1);
    expect_text(text, "[  SKIPPED ] 1 test(s)");
    expect_text(text, "report_test.c");
}

/* Two tests that differ only in how many seeds they run have labels of their own. */
static void test_labels(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(alive, 100, 100, .kills = 1), SOMA_SIM(alive, 200, 100, .kills = 1)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(tests, text), 2);
    expect_text(text, "SOMA_REPLAY='alive/kills=1:");
    expect_text(text, "SOMA_REPLAY='alive/kills=1#2:");
    setenv("SOMA_REPLAY", "alive/kills=1#2:1", 1);
    table_run(tests, text);
    unsetenv("SOMA_REPLAY");
    expect_text(text, "[  SKIPPED ] 1 test(s)");
}

/* What is of no line of the test names its row in the table, in each process: here the line below. */
static void test_place(void **state)
{
    const int line = __LINE__ + 1;
    const struct CMUnitTest tests[] = {SOMA_SIM(rests_never, 10, 100)};
    char text[32768], place[512];
    (void)state;
    assert_int_equal(table_run(tests, text), 1);
    snprintf(place, sizeof(place), "\n    [  ERROR   ] --- [   LINE   ] --- %s:%d: error: Failure!\n", __FILE__, line);
    expect_text(text, place);
    snprintf(place, sizeof(place), "\n[  ERROR   ] --- [   LINE   ] --- %s:%d: error: Failure!\n", __FILE__, line);
    expect_text(text, place);
    assert_null(strstr(text, "testkit/explore.c"));
    assert_null(strstr(text, "testkit/sim.c"));
}

static void test_repeated(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(rests_never, 10, 100)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(tests, text), 1);
    expect_text(text, "     1    0.000000  restless 0 <- outside: ping\n"
                      "     2    0.000000  restless 0 <- itself: ping\n"
                      "   100    0.000000  the same, after 97 more between\n");
}

/* It is not shrunk: each attempt would take as long. */
static void test_hangs(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(hangs, 10, 100)};
    char text[32768];
    (void)state;
    setenv("SOMA_PATIENCE", "1", 1);
    int failed = table_run(tests, text);
    unsetenv("SOMA_PATIENCE");
    assert_int_equal(failed, 1);
    expect_text(text, "hangs: seed 1 hung: no step for a minute");
    expect_text(text, "SOMA_REPLAY='hangs:1");
}

static void test_left(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(left, 10, 100), SOMA_SIM(skipped, 10, 100),
                                       SOMA_SIM(left, 10, 100, .schedule = SOMA_SCHEDULE_EXHAUSTIVE)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(tests, text), 3);
    expect_text(text, "left: seed 1 was left: exit() or skip() was called in it");
    expect_text(text, "skipped: seed 1 was left: exit() or skip() was called in it");
}

/* A failure that does not come again is shown all the same. */
static void test_once(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(forgetful, 10, 100)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(tests, text), 1);
    expect_text(text, "seed 3 does not do the same again");
    expect_text(text, "seed 3 failed, after 2 that passed");
    expect_text(text, "++runs < 3");
}

static void test_wrong_table(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(NULL, 10, 100), SOMA_SIM(alive, 0, 100),
                                       SOMA_SIM(alive, 10, 100, .schedule = (soma_schedule)9)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(tests, text), 3);
    expect_text(text, "NULL: a SOMA_SIM wants a body, one seed at least, and a schedule that there is");
}

/* ---- what the kit does by itself ---- */

static void opens(soma_test *test)
{
    soma_system *system;
    (void)test;
    soma_system_open(&system, NULL);
}

static void runs(soma_test *test)
{
    soma_system_run(soma_test_system(test));
}

static void closes(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_system_close(&system);
}

static int on_cancel(soma_agent *self, void *my, const struct ping *m)
{
    soma_system *system = soma_agent_system(self);
    (void)my;
    (void)m;
    soma_system_cancel(&system);
    return 0;
}

static const soma_behavior canceler = {.name = "canceler", .handlers = SOMA_HANDLERS(SOMA_ON(ping, on_cancel))};

static void cancels(soma_test *test)
{
    pinged_with(test, &canceler);
}

static void test_calls(void **state)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(opens, 1, 100), SOMA_SIM(runs, 1, 100), SOMA_SIM(closes, 1, 100),
                                       SOMA_SIM(cancels, 1, 100)};
    const struct CMUnitTest real[] = {SOMA_REAL(closes)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(tests, text), 4);
    expect_text(text, "soma_system_open: not in a simulated run: soma_test_node_open() opens a node of it");
    expect_text(text, "soma_system_run: the test kit does that with the node 'node'");
    expect_text(text, "soma_system_close: the test kit does that with the node 'node'");
    expect_text(text, "soma_system_cancel: the test kit does that with the node 'node'");
    assert_int_equal(table_run(real, text), 1);
    expect_text(text, "soma_system_close: the test kit does that with the node 'node'");
}

/* On real threads cmocka can't end the test alone, but the process ends, and says why. */
static void test_real_threads(void **state)
{
    const struct CMUnitTest one[] = {SOMA_REAL(settles)}, two[] = {SOMA_REAL(asserts)}, three[] = {SOMA_REAL(left)};
    char text[32768];
    (void)state;
    assert_int_equal(table_run(one, text), 256);
    expect_text(text, "soma_test_settle: only the body may call it, not a handler or check");
    assert_int_equal(table_run(two, text), 256);
    expect_text(text, "report_test.c:");
    assert_int_equal(table_run(three, text), 256);
    expect_text(text, "a handler, on a thread of its system, has failed or called exit()");
}

int main(void)
{
    unsetenv("SOMA_SEEDS"); // with fewer than the tables have, what is to fail might not
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replay),      cmocka_unit_test(test_labels),
                                       cmocka_unit_test(test_place),       cmocka_unit_test(test_calls),
                                       cmocka_unit_test(test_repeated),    cmocka_unit_test(test_left),
                                       cmocka_unit_test(test_hangs),       cmocka_unit_test(test_once),
                                       cmocka_unit_test(test_wrong_table), cmocka_unit_test(test_real_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
