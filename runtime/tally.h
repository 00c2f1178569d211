/*
 * What is counted of some agents beside their slot: their mail, against a limit, and whom they wait for. One tally a
 * slot, in reserved memory of which only what is touched exists; like slots never given back, so any thread may look.
 *
 * An agent whose mail is counted has LIFE_COUNTED, which takes it off the fast path; the others pay nothing. A message
 * remembers that it was counted, so each is counted out as it was counted in, whoever has the slot by then.
 */
#ifndef RUNTIME_TALLY_H
#define RUNTIME_TALLY_H

#include "runtime/message.h"
#include "runtime/slot.h"

struct tally {
    shared_u64 bytes;
    shared_u64 bytes_most; /* 0: any number */
    shared_u32 mail;
    shared_u32 mail_most; /* 0: any number */
    shared_u32 policy;    /* a soma_policy */
    shared_ptr behavior;  /* its name, of an agent that was counted from the start */
    shared_u64 waits;     /* generation and slot of whom it has asked last, and has no answer from; else 0 */
};

static inline struct tally *tally_of(const struct slots *slots, uint32_t slot)
{
    return &slots->tallies[slot];
}

/* For a new agent, with its limit if it has one. True if its mail is to be counted, as it has, or is watched. */
bool tally_begin(struct tally *tally, const soma_behavior *behavior, bool watched);

/* The limit ends with its agent; what is still counted is counted out as it goes. */
void tally_end(struct tally *tally);

/*
 * Counts a message or request that is about to be pushed to an agent with LIFE_COUNTED. 0; or SOMA_EAGAIN, it wasn't,
 * and *drops says whether it is to be dropped in silence.
 */
int tally_enter(struct tally *tally, struct message *message, bool *drops);

/* Counts a message out, which is counted, and which leaves the mailbox first. True if it is one too many, and old. */
bool tally_leave(struct tally *tally, struct message *message);

#endif
