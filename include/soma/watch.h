/**
 * @file
 * Watching a running system: handlers that run for too long, who they belong to, and who has the most mail.
 *
 * With the option `handler_limit_ms` (SOMA_HANDLER_LIMIT_MS) a thread of the system's own looks at its workers, and
 * says in the log which agent has been in a handler for longer than that, and for which message; once more when the
 * time has doubled; and how long it took when it is over. Blocking agents may take their time and are left out. With
 * the option `guard` (SOMA_GUARD) a crash in a handler (SIGSEGV, SIGBUS, SIGFPE, SIGILL, abort()) is reported on
 * standard error before the process dies of it: the agent, the message, and the last ones that the worker handled
 * before. Both cost each message a look at the clock, so they are off by default.
 */
#ifndef SOMA_WATCH_H
#define SOMA_WATCH_H

#include <soma/agent.h>

/** How many of each a snapshot names. */
#define SOMA_WATCH_MOST 8

/** One agent with much mail. */
typedef struct soma_watch_mailbox {
    soma_ref agent;       /**< who */
    const char *behavior; /**< its behavior's name */
    uint32_t messages;    /**< how many wait */
} soma_watch_mailbox;

/** One slow handler. */
typedef struct soma_watch_handler {
    const char *behavior; /**< the behavior's name */
    const char *message;  /**< the type's name, or what it is instead */
    soma_ref agent;       /**< who took longest */
    uint64_t longest;     /**< nanoseconds that it took */
    bool running;         /**< it has not returned yet, and took so long up to now */
} soma_watch_handler;

/** A snapshot: most first. */
typedef struct soma_watch {
    soma_watch_mailbox
        mailboxes[SOMA_WATCH_MOST]; /**< of the agents whose mail is counted; with `handler_limit_ms`, all */
    uint32_t mailbox_count;         /**< how many there are */
    soma_watch_handler handlers[SOMA_WATCH_MOST]; /**< by behavior and message, since the system was opened */
    uint32_t handler_count;                       /**< how many there are; 0 without `handler_limit_ms` or `guard` */
} soma_watch;

/**
 * Takes a snapshot. Names are the behaviors' and types' own, and live as long as they do.
 * @return 0, SOMA_EINVAL (NULL). Any thread may call it; it looks at every slot that was ever used.
 */
SOMA_API int soma_system_watch(soma_system *system, soma_watch *watch);

#endif
