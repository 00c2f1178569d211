/*
 * Kept agents: when one ends, its slot, generation and mail stay, and its keeper decides whether a successor takes its
 * place under the same ref. That is what supervisors are made of. See include/soma/keep.h.
 *
 * The keeper has a MESSAGE_KEPT among its pending; the kept agent has a watch of its own beside the others. Its end is
 * the same as any (its stop runs, who watches is told) up to where the slot would be released: instead its life is
 * marked LIFE_DOWN, and when its turn is over and nobody runs it, the watch goes to the keeper as a settled
 * MESSAGE_DOWN. With that message goes the slot: who has it may revive or bury the agent, and who drops it must bury
 * it.
 */
#ifndef RUNTIME_KEEP_H
#define RUNTIME_KEEP_H

#include "runtime/message.h"
#include "runtime/slot.h"
#include "runtime/system.h"

struct keep_how {
    bool mail;
    uint64_t tag;
};

/* For an agent that is being spawned, held and before its init. The keeper's handle, or SOMA_ENOMEM. */
int64_t keep_spawned(soma_agent *keeper, soma_agent *agent, soma_ref ref, const struct keep_how *how);

/* The agent is not kept any more. */
void keep_drop(struct worker *worker, soma_agent *agent);

/* The same for one that lives: word of it has come from its keeper. */
void keep_let_go(struct worker *worker, soma_agent *agent);

/* True if the agent has a keeper, who is to hear of its end. */
bool keep_wanted(const soma_agent *agent);

/* At the end of a kept agent: marks it down, and makes its watch the word of it. */
void keep_down(struct worker *worker, soma_agent *agent, int reason);

/* Sends that word, and with it the agent, which the caller must not touch any more. */
void keep_hand_over(struct worker *worker, soma_agent *agent);

/* What has reached an agent that takes no mail all the same, just before it went down or in an init that failed. */
void keep_drop_mail(struct worker *worker, soma_agent *agent);

/* The word has come. As a handler. */
int keep_deliver(struct worker *worker, soma_agent *keeper, struct message *message);

/* The number of an agent's life: 0 for its first, and for who is not kept. */
uint64_t keep_life(const soma_agent *agent);

/*
 * Before an agent's next life: marks where the mail ends that is from before it. 0 or SOMA_ENOMEM. keep_reached: the
 * mark has come. keep_outlived: is this an order of the keeper's that an earlier life was given and didn't come to?
 */
int keep_mark(struct worker *worker, soma_agent *agent);
void keep_reached(soma_agent *agent, const struct message *mark);
bool keep_outlived(const soma_agent *agent, const struct message *message);

/* A kept agent that is down, and that nobody wants: its slot goes back. `worker` as in send.h. */
void keep_bury(soma_system *system, struct worker *worker, soma_ref ref);

/* At the keeper's end: what was among its pending. Takes the block. */
void keep_end(soma_agent *keeper, struct message *entry);

#endif
