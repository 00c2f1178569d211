/**
 * @file
 * Logging from agents and for the system: levels, a sink of the user's, and never a worker that waits for it.
 *
 * A record is formatted by the caller, put into a bounded queue, and handed to the sink by the system's log thread, one
 * at a time, in the order of each thread. If the sink is too slow and the queue is full, records are dropped, and the
 * next one that gets through says how many.
 */
#ifndef SOMA_LOG_H
#define SOMA_LOG_H

#include <soma/agent.h>

/** How much a record matters, and what a system or agent lets through: its level and all before it. */
typedef enum soma_log_level {
    SOMA_LOG_DEFAULT, /**< not chosen: the environment's, else info; for an agent the system's */
    SOMA_LOG_OFF,     /**< nothing gets through */
    SOMA_LOG_ERROR,   /**< something failed that should not have */
    SOMA_LOG_WARNING, /**< something that may need a look */
    SOMA_LOG_INFO,    /**< what happens, for operators */
    SOMA_LOG_DEBUG    /**< what happens, for developers */
} soma_log_level;

/** The longest text of a record, in bytes, its NUL included; what is longer is cut and ends in "...". */
#define SOMA_LOG_TEXT_MAX 480

/** What a sink gets. */
typedef struct soma_log_record {
    uint64_t time;        /**< nanoseconds since 1970 */
    soma_log_level level; /**< never DEFAULT or OFF */
    const char *origin;   /**< `greeter 12.3` (behavior, slot, generation) or `system` */
    const char *text;     /**< one line without its end: control characters are spaces */
    uint64_t dropped;     /**< records lost between the one before and this one */
} soma_log_record;

/** A sink: called by the log thread alone, one record at a time; the record lives during the call. */
typedef void soma_log_sink(void *context, const soma_log_record *record);

/** The sink of systems that were given none: a line on standard error. `context` is not used. Any thread. */
SOMA_API void soma_log_stderr(void *context, const soma_log_record *record);

/** A level's name: "error"; "unknown" for a number that is none. Any thread. */
SOMA_API const char *soma_log_level_name(soma_log_level level);

/** The level of a name (off, error, warning, info, debug): 0, or SOMA_EINVAL. Any thread. */
SOMA_API int soma_log_level_parse(const char *name, soma_log_level *level);

/**
 * Writes a record: `soma_log_info(self, "hello, %s", name)` from a handler, or from a system on any thread. Costs two
 * loads if the level does not let it through. Never waits for the sink. NULL does nothing.
 */
#define soma_log_error(from, ...) SOMA_FROM_(from, log)((from), SOMA_LOG_ERROR, __VA_ARGS__)
/** As soma_log_error(), for warnings. */
#define soma_log_warning(from, ...) SOMA_FROM_(from, log)((from), SOMA_LOG_WARNING, __VA_ARGS__)
/** As soma_log_error(), for information. */
#define soma_log_info(from, ...) SOMA_FROM_(from, log)((from), SOMA_LOG_INFO, __VA_ARGS__)
/** As soma_log_error(), for debugging. */
#define soma_log_debug(from, ...) SOMA_FROM_(from, log)((from), SOMA_LOG_DEBUG, __VA_ARGS__)

/** What the macros above call in a handler; `format` as for printf. Only the agent itself. */
SOMA_API void soma_agent_log(const soma_agent *self, soma_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** What the macros above call elsewhere. Any thread. */
SOMA_API void soma_system_log(soma_system *system, soma_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Changes what is let through: `soma_log_level_set(self, SOMA_LOG_DEBUG)` for one agent, or for a system with those of
 * its agents that have no level of their own.
 * @return 0, SOMA_EINVAL (NULL or no level), SOMA_ENOMEM
 */
#define soma_log_level_set(from, level) SOMA_FROM_(from, log_level_set)((from), (level))

/** soma_log_level_set() for an agent; SOMA_LOG_DEFAULT: the system's again. Only the agent itself. */
SOMA_API int soma_agent_log_level_set(soma_agent *self, soma_log_level level);

/** soma_log_level_set() for a system; SOMA_LOG_DEFAULT is SOMA_EINVAL. Any thread. */
SOMA_API int soma_system_log_level_set(soma_system *system, soma_log_level level);

#endif
