/*
 * The log of a system: a bounded queue of records and the thread that hands them to the sink. The queue's lock is held
 * only to copy a record, never while the sink runs, so a slow sink costs records and not time.
 */
#ifndef RUNTIME_LOG_H
#define RUNTIME_LOG_H

#include "runtime/concurrent.h"
#include <pthread.h>
#include <soma/log.h>
#include <stdarg.h>

#define LOG_RECORDS 512u
#define LOG_ORIGIN_MAX 64

struct log_entry {
    uint64_t time;
    uint64_t dropped;
    soma_log_level level;
    char origin[LOG_ORIGIN_MAX];
    char text[SOMA_LOG_TEXT_MAX];
};

struct log {
    shared_u32 level; /* a soma_log_level */
    bool direct;      /* no thread: the writer calls the sink */
    bool inside;      /* and it does so now: what the sink itself writes is dropped */
    soma_log_sink *sink;
    void *context;
    pthread_mutex_t lock;   /* guards all that follows */
    pthread_cond_t changed; /* something was written, or it is to end */
    struct log_entry *entries;
    uint64_t written;
    uint64_t read;
    uint64_t dropped;
    uint64_t last; /* when a record was last dropped */
    bool started;
    bool stopping;
    pthread_t thread;
};

/* `direct`: records go to the sink in the writer's call. */
void log_open(struct log *log, soma_log_level level, soma_log_sink *sink, void *context, bool direct);

static inline bool log_wanted(const struct log *log, soma_log_level level)
{
    return level <= u32_load(&log->level);
}

/* Writes a record that is wanted. Any thread. */
void log_write(struct log *log, uint64_t time, soma_log_level level, const char *origin, const char *format,
               va_list arguments) __attribute__((format(printf, 5, 0)));

/* Is the calling thread the one that runs the sink? */
bool log_on_thread(struct log *log);

/* Hands over what is left and ends the thread: from now on the sink runs in the writer's call. Only while a single
 * thread is left. */
void log_direct(struct log *log);

/* As log_direct, and frees. */
void log_close(struct log *log);

#endif
