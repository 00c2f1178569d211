/* A probe's life, what it records, and what the body expects of that. What it does is in act.c, mocks are in mock.c. */
#include "testkit/probe.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include "testkit/memory.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 40u /* what a report lists of the messages that came: the last so many */

/* ---- recording, on any thread ---- */

soma_probe *probe_of(const soma_agent *self)
{
    // Agents of a probe have the behavior that is in it.
    return (soma_probe *)(uintptr_t)((const char *)self->dispatch->behavior - offsetof(soma_probe, behavior));
}

static struct record *record_new(const soma_agent *self, soma_ref sender, const soma_type *type, const void *message)
{
    struct record *record = calloc(1, sizeof(*record));
    if (record && soma_body_copy(&record->body, type, message)) {
        free(record);
        return NULL;
    }
    if (record) {
        record->agent = soma_self(self);
        record->sender = sender;
        record->time = soma_test_now(probe_of(self)->test);
    }
    return record;
}

void probe_record(const soma_agent *self, soma_ref sender, const soma_type *type, const void *message,
                  soma_handle promise, bool answered)
{
    soma_probe *probe = probe_of(self);
    struct record *record = promise < 0 ? NULL : record_new(self, sender, type, message);
    if (!record) {
        u32_add(&probe->lost, 1);
        return;
    }
    record->promise = promise;
    record->answered = answered;
    pthread_mutex_lock(&probe->lock);
    // release: who follows it sees the record whole
    ptr_store(probe->last ? &probe->last->next : &probe->first, record);
    probe->last = record;
    pthread_mutex_unlock(&probe->lock);
}

void probe_answer(soma_agent *self, soma_handle promise, soma_ref sender, const soma_body *reply)
{
    if (soma_reply_send(self, promise, reply->type, reply->words) == SOMA_ESTATE)
        soma_agent_send(self, sender, reply->type, reply->words);
}

/* Gets all that comes. It is recorded before it is answered, as the answer may set off what the body waits for. */
static int probe_got(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    (void)state;
    const struct rule *rule = rule_find(ptr_load(&probe_of(self)->answers), type);
    memory_own(true);
    bool request = self->worker->current->kind == MESSAGE_REQUEST;
    soma_handle promise = request && !rule ? soma_reply_later(self) : 0;
    probe_record(self, soma_sender(self), type, message, promise, request && rule);
    if (rule && rule->reply)
        probe_answer(self, 0, soma_sender(self), rule->reply);
    else if (rule)
        soma_reply_error(self, rule->error);
    memory_own(false);
    return 0;
}

/* ---- a probe's life ---- */

void probe_begin(const soma_agent *self)
{
    soma_probe *probe = probe_of(self);
    pthread_mutex_lock(&probe->lock);
    probe->agent = soma_self(self);
    pthread_mutex_unlock(&probe->lock);
}

static int probe_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    probe_begin(self);
    return soma_trap_exits(self, true);
}

soma_probe *probe_new(soma_test *test, const char *name, int (*init)(soma_agent *self, void *state, const void *arg))
{
    soma_probe *probe = calloc(1, sizeof(*probe));
    char *copy = probe ? strdup(name) : NULL;
    if (!copy) {
        free(probe);
        kit_fail(test, "out of memory");
    }
    probe->test = test;
    probe->name = copy;
    probe->behavior = (soma_behavior){.name = copy, .init = init, .fallback = probe_got};
    pthread_mutex_init(&probe->lock, NULL);
    probe->next = ptr_load(&test->probes);
    return probe;
}

/* The name is the probe's from here on, whoever has it. */
static int name_take(soma_system *system, soma_ref agent, const char *name)
{
    int error;
    while ((error = soma_name_set(system, agent, name)) == SOMA_EEXIST)
        soma_name_set(system, SOMA_REF_NULL, name);
    return error;
}

soma_probe *soma_probe_open(soma_test *test, soma_system *system, const char *name)
{
    from_body(test, __func__);
    if (!node_of_system(test, system))
        kit_fail(test, "soma_probe_open: the system is no node of this run");
    soma_probe *probe = probe_new(test, name ? name : "probe", probe_init);
    ptr_store(&test->probes, probe);
    memory_own(true);
    int error = soma_spawn(system, &probe->behavior, NULL, NULL);
    if (!error && name)
        error = name_take(system, probe->agent, name);
    memory_own(false);
    if (error)
        kit_fail(test, "the probe '%s' can't be opened: %s", probe->name, soma_strerror(error));
    soma_test_spare(test, probe->agent);
    return probe;
}

static void rules_free(struct rule *rule)
{
    for (struct rule *next; rule; rule = next) {
        next = rule->next;
        soma_body_close(&rule->reply);
        free(rule);
    }
}

static void probe_free(soma_probe *probe)
{
    for (struct record *record = ptr_load(&probe->first), *next; record; record = next) {
        next = ptr_load(&record->next);
        soma_body_close(&record->body);
        free(record);
    }
    for (struct order *order = probe->orders, *next; order; order = next) {
        next = order->next;
        soma_body_close(&order->body);
        free(order);
    }
    rules_free(ptr_load(&probe->answers));
    rules_free(probe->ignored);
    pthread_mutex_destroy(&probe->lock);
    free(probe->name);
    free(probe);
}

void probes_free(soma_test *test)
{
    for (soma_probe *probe = ptr_load(&test->probes), *next; probe; probe = next) {
        next = probe->next;
        probe_free(probe);
    }
}

void probe_check(const soma_probe *probe, const char *function)
{
    if (!probe)
        soma_test_fail(NULL, "%s: the probe is NULL", function);
    from_body(probe->test, function);
}

soma_ref soma_probe_ref(const soma_probe *probe)
{
    if (!probe)
        return SOMA_REF_NULL;
    if (probe->expected)
        return probe->expected->agent;
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&probe->lock;
    pthread_mutex_lock(lock);
    soma_ref agent = probe->agent;
    pthread_mutex_unlock(lock);
    return agent;
}

soma_ref soma_probe_sender(const soma_probe *probe)
{
    return probe && probe->expected ? probe->expected->sender : SOMA_REF_NULL;
}

/* ---- the report of a failure ---- */

struct report {
    char text[8192];
    size_t length;
};

static void report_add(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void report_add(struct report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof(report->text) - report->length;
    int written = vsnprintf(report->text + report->length, room, format, arguments);
    report->length += written < 0 ? 0 : (size_t)written < room ? (size_t)written : room - 1;
    va_end(arguments);
}

static void report_record(struct report *report, const soma_probe *probe, const struct record *record)
{
    char what[160], from[96];
    const char *mark = record->expected                                ? ", expected before"
                       : rule_find(probe->ignored, record->body->type) ? ", ignored"
                                                                       : "";
    soma_type_print(record->body->type, record->body->words, what, sizeof(what));
    report_add(report, "\n    %llu.%06llu  %s from %s%s%s", (unsigned long long)(record->time / SOMA_SECOND),
               (unsigned long long)(record->time % SOMA_SECOND / SOMA_US), what,
               trace_agent(probe->test, record->sender, from, sizeof(from)),
               record->promise || record->answered ? ", a request" : "", mark);
}

static void report_fail(struct report *report, const soma_probe *probe, const soma_expectation *expectation)
    __attribute__((noreturn));

/* All that the probe has got, after what is wrong with it. */
static void report_fail(struct report *report, const soma_probe *probe, const soma_expectation *expectation)
{
    uint32_t count = 0, i = 0;
    for (struct record *record = ptr_load(&probe->first); record; record = ptr_load(&record->next))
        count++;
    report_add(report, count ? "\nIt has got:" : "\nIt has got nothing.");
    if (count > LIST_MAX)
        report_add(report, "\n    (%u more)", count - LIST_MAX);
    for (struct record *record = ptr_load(&probe->first); record; record = ptr_load(&record->next))
        if (i++ + LIST_MAX >= count)
            report_record(report, probe, record);
    soma_test_fail_at(probe->test, expectation->file, expectation->line, "%s", report->text);
}

/* ---- expecting ---- */

/* What the body waits for. */
struct search {
    soma_probe *probe;
    const soma_expectation *expectation;
    struct record *found;
};

static bool expectation_fits(const soma_expectation *expectation, const struct record *record)
{
    return type_same(expectation->type, record->body->type) &&
           (!expectation->where || expectation->where(record->body->words, expectation->arg));
}

static struct record *record_after(const soma_probe *probe, const struct record *last)
{
    return ptr_load(last ? &last->next : &probe->first);
}

static bool search_done(const void *arg)
{
    struct search *search = (struct search *)(uintptr_t)arg;
    const soma_probe *probe = search->probe;
    struct record *record = record_after(probe, probe->past);
    for (; record; record = ptr_load(&record->next)) {
        if (record->expected || rule_find(probe->ignored, record->body->type))
            continue;
        if (search->expectation->is_next || expectation_fits(search->expectation, record))
            break;
    }
    search->found = record;
    return record != NULL || u32_load(&probe->lost);
}

/* Waits; on real threads also, if nothing has come in time, for those that are slow. */
static struct record *expectation_await(soma_probe *probe, const soma_expectation *expectation)
{
    struct search search = {probe, expectation, NULL};
    if (!soma_test_until(probe->test, expectation->within, search_done, &search)) {
        soma_test_settle(probe->test);
        search_done(&search);
    }
    if (u32_load(&probe->lost))
        soma_test_fail_at(probe->test, expectation->file, expectation->line,
                          "the probe '%s' has lost a message: out of memory", probe->name);
    return search.found;
}

const void *soma_probe_expect(soma_probe *probe, const soma_expectation *expectation)
{
    probe_check(probe, "soma_expect");
    struct record *found = expectation_await(probe, expectation);
    if (!found || !expectation_fits(expectation, found)) {
        struct report report = {.length = 0};
        report_add(&report, "the probe '%s' expected %s%s", probe->name, expectation->type->name,
                   expectation->where ? " that fits" : "");
        if (expectation->within != SOMA_NEVER)
            report_add(&report, " within %g s", (double)expectation->within / (double)SOMA_SECOND);
        report_add(&report, ", but %s came%s", found ? found->body->type->name : "none", found ? " next" : "");
        report_fail(&report, probe, expectation);
    }
    found->expected = true;
    for (struct record *next; (next = record_after(probe, probe->past)) && next->expected;)
        probe->past = next;
    probe->expected = found;
    return found->body->words;
}

void soma_probe_expect_none(soma_probe *probe, const soma_expectation *expectation)
{
    probe_check(probe, "soma_expect_none");
    const struct record *found = expectation_await(probe, expectation);
    if (!found)
        return;
    struct report report = {.length = 0};
    report_add(&report, "the probe '%s' expected nothing, but %s came", probe->name, found->body->type->name);
    report_fail(&report, probe, expectation);
}

void soma_probe_ignore_type(soma_probe *probe, const soma_type *type)
{
    probe_check(probe, __func__);
    probe->ignored = rule_new(probe, probe->ignored, type, NULL, 0);
}
