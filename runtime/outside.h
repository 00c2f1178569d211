/*
 * Threads outside that send. They are slowed down as agents are, by waiting or by SOMA_EAGAIN: while their receiver is
 * overloaded or muted, and, as one that never comes to the end of its batch never is, while several megabytes of
 * theirs wait in all: then they mark their receivers themselves.
 */
#ifndef RUNTIME_OUTSIDE_H
#define RUNTIME_OUTSIDE_H

#include "runtime/message.h"
#include "runtime/system.h"

/* Before a send by a thread that may be outside. Waits, or SOMA_EAGAIN if it is not to; 0 for the system's own threads
 * and for all that run handlers. */
int outside_enter(soma_system *system, soma_ref to, bool waits);

/* Counts a message from outside that is pushed next: a receiver that is marked for it must run for it, which ends the
 * mark; see pressure.h. */
void outside_mark(soma_system *system, soma_agent *target, struct message *message);

/* Lets go who waits: the system closes, or an agent's pressure has ended (its fence is the caller's). */
void outside_release(soma_system *system);

#endif
