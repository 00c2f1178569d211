/* The log: levels of systems and agents, what a record says, a slow sink, dropped records. */
#include "runtime/log.h"
#include "runtime/type.h"
#include "test_support.h"
#include <pthread.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

/* A sink that keeps what it gets, and can be held. */
struct sink {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;
    bool waiting; /* it is in its hold */
    uint32_t count;
    uint64_t dropped;
    soma_log_level level;
    char origin[80];
    char text[600];
    uint32_t last[4]; /* of each thread, see test_threads */
    bool disordered;
};

static void sink_keep(void *context, const soma_log_record *record)
{
    struct sink *sink = context;
    pthread_mutex_lock(&sink->lock);
    sink->waiting = true;
    pthread_cond_broadcast(&sink->changed);
    while (sink->held)
        pthread_cond_wait(&sink->changed, &sink->lock);
    sink->waiting = false;
    sink->count++;
    sink->dropped += record->dropped;
    sink->level = record->level;
    snprintf(sink->origin, sizeof(sink->origin), "%s", record->origin);
    snprintf(sink->text, sizeof(sink->text), "%s", record->text);
    unsigned thread, n;
    if (sscanf(record->text, "thread %u says %u", &thread, &n) == 2) {
        sink->disordered |= n < sink->last[thread];
        sink->last[thread] = n;
    }
    pthread_cond_broadcast(&sink->changed);
    pthread_mutex_unlock(&sink->lock);
}

/* Waits until it has had so many records. */
static void sink_await(struct sink *sink, uint32_t count)
{
    pthread_mutex_lock(&sink->lock);
    while (sink->count < count)
        pthread_cond_wait(&sink->changed, &sink->lock);
    pthread_mutex_unlock(&sink->lock);
}

static struct sink sink_new(void)
{
    return (struct sink){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static void write_to(struct log *log, soma_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void write_to(struct log *log, soma_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_write(log, 0, level, "test", format, arguments);
    va_end(arguments);
}

static void test_text(void **state)
{
    (void)state;
    struct sink sink = sink_new();
    struct log log;
    char longer[1000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    log_open(&log, SOMA_LOG_INFO, sink_keep, &sink, false);
    write_to(&log, SOMA_LOG_INFO, "two\nlines\x1b[2J and %d", 5);
    sink_await(&sink, 1);
    assert_string_equal(sink.text, "two lines [2J and 5");
    assert_string_equal(sink.origin, "test");
    write_to(&log, SOMA_LOG_ERROR, "%s", longer);
    sink_await(&sink, 2);
    assert_int_equal(strlen(sink.text), SOMA_LOG_TEXT_MAX - 1);
    assert_string_equal(sink.text + SOMA_LOG_TEXT_MAX - 4, "...");
    assert_int_equal(sink.level, SOMA_LOG_ERROR);
    // what is no text is shown as '?', what a terminal would obey as a space; a cut leaves whole characters
    write_to(&log, SOMA_LOG_INFO, "%s", "ä€😀 \xc2\x9b[2J \xe2\x80\xa8 \xff\xc3 \xed\xa0\x80");
    sink_await(&sink, 3);
    assert_string_equal(sink.text, "ä€😀   [2J     ?? ???");
    for (size_t i = 0; i + 2 < sizeof(longer); i += 2)
        memcpy(longer + i, "ö", 2);
    longer[sizeof(longer) - 2] = 0;
    for (uint32_t shift = 0; shift < 2; shift++) {
        write_to(&log, SOMA_LOG_ERROR, "%s%s", shift ? "x" : "", longer);
        sink_await(&sink, 4 + shift);
        assert_true(type_utf8_valid(sink.text, strlen(sink.text)));
        assert_string_equal(sink.text + strlen(sink.text) - 5, "ö...");
    }
    log_close(&log);
    assert_int_equal(sink.count, 5);
}

/* The sink hangs: writers go on, what doesn't fit is counted, and comes to light with the next record. */
static void test_slow_sink(void **state)
{
    (void)state;
    struct sink sink = sink_new();
    struct log log;
    log_open(&log, SOMA_LOG_INFO, sink_keep, &sink, false);
    sink.held = true;
    write_to(&log, SOMA_LOG_INFO, "held");
    pthread_mutex_lock(&sink.lock);
    while (!sink.waiting)
        pthread_cond_wait(&sink.changed, &sink.lock);
    pthread_mutex_unlock(&sink.lock);
    for (uint32_t i = 0; i < 2 * LOG_RECORDS; i++)
        write_to(&log, SOMA_LOG_INFO, "%u", i);
    pthread_mutex_lock(&sink.lock);
    sink.held = false;
    pthread_cond_broadcast(&sink.changed);
    pthread_mutex_unlock(&sink.lock);
    sink_await(&sink, LOG_RECORDS);
    assert_int_equal(sink.count, LOG_RECORDS);
    assert_int_equal(sink.dropped, 0);
    write_to(&log, SOMA_LOG_INFO, "after");
    sink_await(&sink, LOG_RECORDS + 1);
    assert_int_equal(sink.count + sink.dropped, 1 + 2 * LOG_RECORDS + 1);
    log_close(&log);
}

/* Nothing comes after the dropped ones: the closing tells of them. */
static void test_dropped_last(void **state)
{
    (void)state;
    struct sink sink = sink_new();
    struct log log;
    log_open(&log, SOMA_LOG_INFO, sink_keep, &sink, false);
    sink.held = true;
    for (uint32_t i = 0; i < 2 * LOG_RECORDS; i++)
        write_to(&log, SOMA_LOG_INFO, "%u", i);
    pthread_mutex_lock(&sink.lock);
    sink.held = false;
    pthread_cond_broadcast(&sink.changed);
    pthread_mutex_unlock(&sink.lock);
    log_close(&log);
    assert_true(sink.dropped > 0);
    assert_int_equal(sink.count - 1 + sink.dropped, 2 * LOG_RECORDS);
    assert_string_equal(sink.origin, "log");
}

struct writer {
    struct log *log;
    uint32_t number;
};

static void *writer_main(void *argument)
{
    const struct writer *writer = argument;
    for (uint32_t i = 1; i <= 2000; i++)
        write_to(writer->log, SOMA_LOG_INFO, "thread %u says %u", writer->number, i);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct sink sink = sink_new();
    struct log log;
    struct writer writers[4];
    pthread_t threads[4];
    log_open(&log, SOMA_LOG_INFO, sink_keep, &sink, false);
    for (uint32_t i = 0; i < 4; i++) {
        writers[i] = (struct writer){&log, i};
        assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    log_close(&log);
    assert_false(sink.disordered);
    uint32_t closing = !strcmp(sink.origin, "log"); // one more record, if the last ones were dropped
    assert_int_equal(sink.count - closing + sink.dropped, 4 * 2000);
}

/* ---- from agents ---- */

SOMA_MESSAGE(speak)
SOMA_MESSAGE(louder)
SOMA_MESSAGE(done)

static int on_speak(soma_agent *self, void *state, const struct speak *m)
{
    (void)state;
    (void)m;
    soma_log_debug(self, "quietly");
    soma_log_warning(self, "loudly");
    return soma_reply(self, done);
}

static int on_louder(soma_agent *self, void *state, const struct louder *m)
{
    (void)state;
    (void)m;
    if (soma_log_level_set(self, SOMA_LOG_DEBUG + 1) != SOMA_EINVAL || soma_log_level_set(self, SOMA_LOG_DEBUG))
        return -1;
    return soma_reply(self, done);
}

static const soma_behavior speaker = {.name = "speaker",
                                      .handlers = SOMA_HANDLERS(SOMA_ON(speak, on_speak), SOMA_ON(louder, on_louder))};

/* A sink that logs each time that it is called must not hold up the closing. */
static void sink_echo(void *context, const soma_log_record *record)
{
    (void)record;
    write_to(context, SOMA_LOG_INFO, "echo");
}

static void test_echo(void **state)
{
    (void)state;
    struct log log;
    log_open(&log, SOMA_LOG_INFO, sink_echo, &log, false);
    write_to(&log, SOMA_LOG_INFO, "hello");
    log_close(&log);
}

static void test_levels(void **state)
{
    (void)state;
    struct sink sink = sink_new();
    soma_system *system;
    soma_ref ref;
    struct done reply;
    assert_int_equal(soma_system_open(&system, &(soma_options){.log_sink = sink_keep, .log_context = &sink}), 0);
    assert_int_equal(soma_spawn(system, &speaker, NULL, &ref), 0);
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &reply, done, speak), 0);
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &reply, done, louder), 0);
    assert_int_equal(soma_call(system, ref, 60 * SOMA_SECOND, &reply, done, speak), 0);
    assert_int_equal(soma_log_level_set(system, SOMA_LOG_OFF), 0);
    soma_log_error(system, "not heard");
    assert_int_equal(soma_log_level_set(system, SOMA_LOG_INFO), 0);
    soma_log_info(system, "heard %s", "too");
    soma_log_info((soma_system *)NULL, "nobody");
    assert_int_equal(soma_log_level_set((soma_system *)NULL, SOMA_LOG_INFO), SOMA_EINVAL);
    assert_int_equal(soma_log_level_set(system, SOMA_LOG_DEFAULT), SOMA_EINVAL);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(sink.count, 4); // a warning; then debug and warning; then the system's
    assert_string_equal(sink.text, "heard too");
    assert_string_equal(sink.origin, "system");
}

/* ---- agents that end by an error ---- */

SOMA_MESSAGE(fail_with, (i32, error))
SOMA_MESSAGE(leave_with, (i32, reason))

static int on_fail_with(soma_agent *self, void *state, const struct fail_with *m)
{
    (void)self;
    (void)state;
    return m->error;
}

static int on_leave_with(soma_agent *self, void *state, const struct leave_with *m)
{
    (void)state;
    soma_agent_exit(self, m->reason);
    return 0;
}

static const soma_behavior mortal = {
    .name = "mortal", .handlers = SOMA_HANDLERS(SOMA_ON(fail_with, on_fail_with), SOMA_ON(leave_with, on_leave_with))};

/* The log of a system in which a mortal agent gets two messages: an error, and a reason to leave. */
static struct sink mortal_log(int error, int reason)
{
    struct sink sink = sink_new();
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, &(soma_options){.log_sink = sink_keep, .log_context = &sink}), 0);
    assert_int_equal(soma_spawn(system, &mortal, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, fail_with, .error = error), 0);
    soma_send(system, ref, leave_with, .reason = reason);
    assert_int_equal(soma_system_close(&system), 0);
    return sink;
}

static void test_failed_agent(void **state)
{
    (void)state;
    struct sink sink = mortal_log(5, 0); // not negative: no error, it lives on, and leaves as it should
    assert_int_equal(sink.count, 0);
    sink = mortal_log(0, 7);
    assert_int_equal(sink.count, 1);
    assert_string_equal(sink.text, "ended while handling leave_with: unknown error (7)");
    sink = mortal_log(SOMA_ENOMEM, 7);
    assert_int_equal(sink.count, 1);
    assert_int_equal(sink.level, SOMA_LOG_WARNING);
    assert_string_equal(sink.text, "ended while handling fail_with: out of memory (-2)");
    assert_int_equal(strncmp(sink.origin, "mortal ", 7), 0);
}

static void test_names(void **state)
{
    (void)state;
    soma_log_level level;
    assert_int_equal(soma_log_level_parse("debug", &level), 0);
    assert_int_equal(level, SOMA_LOG_DEBUG);
    assert_int_equal(soma_log_level_parse("default", &level), SOMA_EINVAL);
    assert_int_equal(soma_log_level_parse(NULL, &level), SOMA_EINVAL);
    assert_string_equal(soma_log_level_name(SOMA_LOG_WARNING), "warning");
    assert_string_equal(soma_log_level_name((soma_log_level)99), "unknown");
    soma_system *system;
    setenv("SOMA_LOG_LEVEL", "loud", 1);
    assert_int_equal(soma_system_open(&system, NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_ERROR}), 0);
    assert_int_equal(soma_system_close(&system), 0);
    unsetenv("SOMA_LOG_LEVEL");
    soma_log_stderr(NULL, &(soma_log_record){.level = SOMA_LOG_INFO, .origin = "test", .text = "a line", .dropped = 3});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),         cmocka_unit_test(test_slow_sink),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_dropped_last), cmocka_unit_test(test_failed_agent), cmocka_unit_test(test_echo),
        cmocka_unit_test(test_levels),       cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
