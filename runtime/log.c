/* The log's queue and thread, the ready sink, and levels by name; see log.h. */
#include "runtime/log.h"
#include "runtime/text.h"
#include "runtime/thread.h"
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {"default", "off", "error", "warning", "info", "debug"};
#define LEVELS (sizeof(level_names) / sizeof(level_names[0]))

const char *soma_log_level_name(soma_log_level level)
{
    return (size_t)level < LEVELS ? level_names[level] : "unknown";
}

int soma_log_level_parse(const char *name, soma_log_level *level)
{
    for (size_t i = SOMA_LOG_OFF; name && level && i < LEVELS; i++) {
        if (!strcmp(name, level_names[i])) {
            *level = (soma_log_level)i;
            return 0;
        }
    }
    return SOMA_EINVAL;
}

void soma_log_stderr(void *context, const soma_log_record *record)
{
    (void)context;
    if (!record)
        return;
    time_t seconds = (time_t)(record->time / 1000000000u);
    struct tm parts;
    char date[32];
    gmtime_r(&seconds, &parts);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    if (record->dropped)
        fprintf(stderr, "%s.%03uZ warning log: %llu records dropped\n", date,
                (unsigned)(record->time / 1000000u % 1000u), (unsigned long long)record->dropped);
    fprintf(stderr, "%s.%03uZ %s %s: %s\n", date, (unsigned)(record->time / 1000000u % 1000u),
            soma_log_level_name(record->level), record->origin, record->text);
}

/* ---- the thread ---- */

static void entry_hand_over(const struct log *log, const struct log_entry *entry)
{
    const soma_log_record record = {entry->time, entry->level, entry->origin, entry->text, entry->dropped};
    log->sink(log->context, &record);
}

static void *log_main(void *argument)
{
    struct log *log = argument;
    struct log_entry entry;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        while (log->read == log->written && !log->stopping)
            pthread_cond_wait(&log->changed, &log->lock);
        if (log->read == log->written)
            break;
        entry = log->entries[log->read % LOG_RECORDS];
        pthread_mutex_unlock(&log->lock);
        entry_hand_over(log, &entry);
        pthread_mutex_lock(&log->lock);
        log->read++;
    }
    const soma_log_record record = {log->last, SOMA_LOG_WARNING, "log", "closed", log->dropped};
    pthread_mutex_unlock(&log->lock);
    if (record.dropped) { // and no record came after them to say so
        log->sink(log->context, &record);
    }
    return NULL;
}

/* Under the lock. Without memory or a thread the log stays silent: it must not be what ends a program. */
static bool log_start(struct log *log)
{
    if (log->started)
        return true;
    if (!log->entries)
        log->entries = malloc(LOG_RECORDS * sizeof(*log->entries));
    log->started = log->entries && !thread_start(&log->thread, log_main, log);
    return log->started;
}

/* ---- writing ---- */

void log_write(struct log *log, uint64_t time, soma_log_level level, const char *origin, const char *format,
               va_list arguments)
{
    struct log_entry entry;
    entry.time = time;
    entry.level = level;
    entry.dropped = 0;
    snprintf(entry.origin, sizeof(entry.origin), "%s", origin);
    text_clean(entry.origin);
    text_format(entry.text, sizeof(entry.text), format, arguments);
    if (log->direct) {
        if (log->inside)
            return;
        log->inside = true;
        entry_hand_over(log, &entry);
        log->inside = false;
        return;
    }
    pthread_mutex_lock(&log->lock);
    // Not while it closes: a sink that logs itself would never come to an end.
    if (log->stopping || !log_start(log) || log->written - log->read >= LOG_RECORDS) {
        log->dropped++;
        log->last = time;
    } else {
        entry.dropped = log->dropped;
        log->dropped = 0;
        log->entries[log->written++ % LOG_RECORDS] = entry;
        pthread_cond_signal(&log->changed);
    }
    pthread_mutex_unlock(&log->lock);
}

bool log_on_thread(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    bool here = log->started && pthread_equal(log->thread, pthread_self());
    pthread_mutex_unlock(&log->lock);
    return here;
}

/* ---- opening and closing ---- */

void log_open(struct log *log, soma_log_level level, soma_log_sink *sink, void *context, bool direct)
{
    *log = (struct log){.sink = sink, .context = context, .direct = direct};
    u32_store(&log->level, level);
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->changed, NULL);
}

void log_direct(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    log->stopping = true;
    pthread_cond_signal(&log->changed);
    pthread_mutex_unlock(&log->lock);
    if (log->started)
        pthread_join(log->thread, NULL);
    log->started = false;
    log->direct = true;
}

void log_close(struct log *log)
{
    log_direct(log);
    free(log->entries);
    pthread_cond_destroy(&log->changed);
    pthread_mutex_destroy(&log->lock);
}
