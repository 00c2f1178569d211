/*
 * Backpressure between agents. An agent that has used up its batch and still has mail is *overloaded* until it runs out
 * of mail; an agent that sends to an overloaded or muted one is *muted*: it does not run again until that one is
 * neither. So a hundred fast senders can't bury a slow receiver. (Pony's idea; the rules differ, for the proof below.)
 *
 * A receiver may also lose its core before it has noticed, so a sender whose message took fresh memory marks it, too:
 * before the push, so that the receiver, which must run for that message, finds the mark when it runs out of mail.
 *
 * No deadlock. Each muted agent waits for one other, which was under pressure when it got muted. An overloaded agent is
 * never muted, and it runs until its mail is gone, whatever the others do; then it lets its waiters go, and a muted one
 * that is let go lets its own go. So the only danger is a cycle of muted agents. Its last edge, from X to Y, was made
 * in a turn of X, which was not muted then and not overloaded; but such an agent has no waiters, as it let them go when
 * it became so (who comes in between looks again after it has entered itself). So X closes no cycle.
 *
 * A slot's `pressure` is 0, PRESSURE_OVERLOADED, or PRESSURE_MUTED with the index of the slot waited for.
 */
#ifndef RUNTIME_PRESSURE_H
#define RUNTIME_PRESSURE_H

#include "runtime/slot.h"

#define PRESSURE_OVERLOADED 1u
#define PRESSURE_MUTED 0x80000000u /* slots are fewer than 2^28 */
#define PRESSURE_LISTS 256u

/* Muted agents by the slot that they wait for, linked by run_next. */
struct pressure_list {
    shared_u32 busy;
    soma_agent *first;
};

/* Mutes an agent whose turn has ended and whose mailbox is held or has mail: from here it isn't the caller's. */
void pressure_mute(struct worker *worker, soma_agent *agent, uint32_t target);

/* A slot is no longer under pressure: lets go who waits for it. The caller has set its `pressure` to 0. */
void pressure_release(struct worker *worker, uint32_t target);

/* The agent, which the caller runs, is not overloaded any more: who waited for that may run. */
void pressure_end(struct worker *worker, soma_agent *agent);

#endif
