/*
 * Backpressure between agents. An agent that has handled a batch in a turn and still has mail is *overloaded* until it
 * has caught up, which is when it takes a message that no other follows, or has handled what waited at the end of the
 * turn (it may send to itself for ever): a message that it then sends itself tells when. An agent that sends to an
 * overloaded or muted one is *muted*: it does not run again until that one is neither. So a hundred fast senders can't
 * bury a slow receiver. (Pony's idea; the rules differ, for the proof below.)
 *
 * An `unmuted` agent runs on, and is in no such wait; it bounds by itself what it sends.
 *
 * An agent may send to several of those while it handles a message, and waits for one, or the proof would not hold. It
 * is drawn by lot, each send to one of them with the same chance: if it were always the last, one that is slower would
 * not be waited for as long as that one is overloaded, too, each time. So of b sends a run, a of them to the slow one,
 * a run ends in waiting for that with the chance a / b, after b / a runs on average: it gets no more meanwhile than b.
 *
 * A receiver may also lose its core before it has noticed, so a sender whose message took fresh memory marks it, too:
 * before the push, so that the receiver, which must run for that message, finds the mark when it catches up.
 *
 * No deadlock. Each muted agent waits for one other. If that one is overloaded, it is not muted, so it runs until it
 * has caught up, whatever the others do, and then lets its waiters go; who enters itself too late for that looks again
 * afterwards and finds it. If it is muted, it lets its waiters go when it is let go itself. So the only danger is a
 * cycle of muted agents X1 -> X2 -> ... -> X1. But an agent that is muted first enters itself and then lets go who
 * waits for it; so whoever still waits for X2 has entered itself later than X2 did, X2 later than X3, and so on round
 * to X1, later than itself. (Letting go is not enough at the moment when X2 is no longer overloaded: between that and
 * its muting X1 may enter itself, look again, and see the new mark.)
 *
 * A slot's `pressure` is 0, PRESSURE_OVERLOADED, PRESSURE_ENDING (the same, and the message is in its mailbox), or
 * PRESSURE_MUTED with the index of the slot waited for.
 */
#ifndef RUNTIME_PRESSURE_H
#define RUNTIME_PRESSURE_H

#include "runtime/slot.h"

#define PRESSURE_OVERLOADED 1u
#define PRESSURE_ENDING 2u
#define PRESSURE_MUTED 0x80000000u /* slots are fewer than 2^28 */
#define PRESSURE_LISTS 256u

/* Muted agents by the slot that they wait for, linked by run_next. */
struct pressure_list {
    shared_u32 busy;
    soma_agent *first;
};

/* Mutes an agent whose turn has ended and whose mailbox is held or has mail: from here it isn't the caller's. */
void pressure_mute(struct worker *worker, soma_agent *agent, uint32_t target);

/* Lets go who waits for a slot. The caller has set its `pressure` to 0, or has just muted it. */
void pressure_release(struct worker *worker, uint32_t target);

/* A sender's mark on an agent that takes much memory: it is overloaded, unless it is down. */
void pressure_mark(struct worker *worker, soma_agent *target);

/* Forgets who is muted: the system closes, and nobody runs any more. */
void pressure_forget(soma_system *system);

/* Any thread, after it has marked an agent's life: one that is muted is let go, to see it. `worker` as in send.h. */
void pressure_unmute(soma_system *system, struct worker *worker, soma_agent *agent);

/* The agent, which the caller runs and which has mail, is overloaded until it has come to the end of that. */
void pressure_begin(struct worker *worker, soma_agent *agent);

/* The agent, which the caller runs, is not overloaded any more: who waited for that may run. */
void pressure_end(struct worker *worker, soma_agent *agent);

#endif
