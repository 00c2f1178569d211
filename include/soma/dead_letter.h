/**
 * @file
 * Dead letters: messages that reached nobody, made visible to an agent that watches them.
 *
 * For each of them it gets a message of type `soma_dead_letter`: `to`, the ref that it was for; `sender`, the ref of
 * who sent it (the null ref: from outside); `type`, its message type's name; and `reason`:
 *  - SOMA_EGONE: the agent is gone, or never was; SOMA_EUNHANDLED: it has no handler for the type; SOMA_EAGAIN: dropped
 *    by a limit;
 *  - SOMA_ENOROUTE: no bridge leads to its node; SOMA_ENODEDOWN: its node is down, or went down before it acknowledged
 *    the message, which may have arrived or not;
 *  - on its way to another node: SOMA_ETOOBIG, it is larger than a message may be there; SOMA_EFORMAT, a string of it
 *    is no UTF-8;
 *  - at a node where it arrived by a bridge: SOMA_ETYPE, the type is not known here, or has another layout;
 *    SOMA_EFORMAT, its bytes are malformed; SOMA_ETOOBIG, SOMA_ENOMEM. The letter's `type` is "unknown" then;
 *  - SOMA_EGONE with the `type` "unknown": it came over ipc or tcp for a channel that ended, alone or with its agent,
 *    before it was read.
 */
#ifndef SOMA_DEAD_LETTER_H
#define SOMA_DEAD_LETTER_H

#include <soma/agent.h>

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_dead_letter, (ref, to), (ref, sender), (string, type), (i32, reason))
/** @endcond */

/**
 * Makes an agent the system's watcher of dead letters, in place of the one before. Letters to the watcher itself, and
 * those of a system that closes, are only counted (soma_stats). Whoever sends to a node that is down, or to nobody, is
 * not held up for it: give the watcher a limit (soma_behavior), or its mailbox grows with their speed.
 * @param system the system
 * @param watcher an agent of this system; the null ref: nobody watches from now on
 * @return 0, SOMA_EINVAL (NULL), SOMA_EGONE (no such agent here). Any thread may call it.
 */
SOMA_API int soma_dead_letters_watch(soma_system *system, soma_ref watcher);

#endif
