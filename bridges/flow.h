/*
 * Backpressure between nodes. Two things hold up agents here that send to a peer: too much waits for the way there, or
 * the agent that they send to is under pressure, as its node says. Either is a *gate*: an agent without mail, that is
 * overloaded in the place of what it stands for, so that runtime/pressure.h does the rest.
 *
 * Who sends while both are shut has sent to two that are overloaded, and waits for one of them, by lot as ever: else
 * the mailbox there could grow while only the way is waited for, or what waits for the way while only the agent is.
 *
 * The way's gate (struct peer) is never muted, and opens once enough has left or the session has ended, whatever agents
 * do; so no cycle goes through it.
 *
 * The gate of an agent there is shut and opened by words of its node (ITEM_PRESSURE). That node has a *burden* for each
 * agent of its own that is overloaded or muted and gets mail from other nodes: an agent that stands in for all those
 * who send from there. It is muted for the burdened agent as any local sender is, and when it is let go, which is when
 * the burdened one has caught up, is muted itself or has ended, the nodes that were told are told that it is over.
 *
 * No deadlock, by the proof in pressure.h, where "later" now is "after, and with a message's way in between": an agent
 * X1 that is still muted for a gate has entered itself after its node was told of the pressure (a gate that shuts lets
 * go who has entered before), that was told after the stand-in had entered itself, and that was after X2, if it is
 * muted, had entered itself, which would have let the stand-in go. So in a cycle each has entered itself later than the
 * next, as before.
 *
 * An agent is often overloaded for a moment only. So its senders are not told before `mail_most` bytes have come for it
 * from other nodes since its pressure began; what waits for it is that, what is on its way in the links, and what each
 * sender sends in the runs of its handler until it waits for the gate.
 */
#ifndef BRIDGES_FLOW_H
#define BRIDGES_FLOW_H

#include "runtime/concurrent.h"
#include <soma/agent.h>

struct soma_bridge;
struct peer;
struct item;
struct worker;
struct message;
struct burden;

#define MAIL_MOST ((uint64_t)1 << 18) /* bytes: see above */
#define GATES_MOST 4096u              /* of a peer's agents; from more than these nobody is held up */

struct gate {
    struct gate *next;
    soma_ref to; /* for whom it stands */
    soma_agent *agent;
};

/* Of a peer's agents; under its busy, and changed by the bridge's thread alone. */
struct gates {
    struct gate **buckets; /* NULL: there was none yet */
    shared_u32 count;      /* also looked at without the lock, for which a moment does not matter */
};

#define BURDEN_BUCKETS 256u

struct burdens {
    struct burden *buckets[BURDEN_BUCKETS];
    struct burden *spare; /* for the next, with their agents */
    shared_u32 relieved;  /* one of them is over */
};

/* An agent that can be a gate; NULL when memory or slots are out. */
soma_agent *gate_spawn(struct soma_bridge *bridge);

/* ---- at the sender ---- */

/* struct route's gate: the agent whose pressure holds up threads outside that send there; the way's comes last. */
soma_agent *bridge_gate(void *context, soma_ref to);

/* Under busy, after an item was appended: its sender is muted for a gate that is shut, if it is of a kind that
 * `presses`. */
void gate_press(struct peer *peer, struct worker *worker, soma_ref to, bool presses);

/* Opens the way's gate, if enough has left. */
void gate_look(struct peer *peer);

/* Word of the peer on one of its agents. 0 or SOMA_EFORMAT. */
int pressure_arrive(struct peer *peer, const struct item *item);

/* Opens those of all agents of a peer: its session is over. */
void gates_end(struct peer *peer);

/* The same at the very end, when nobody is held up any more. */
void gates_free(struct gates *gates);

/* ---- at the receiver ---- */

/* A message of so many bytes has come from a peer for an agent here, who is under pressure, or was just now. */
void burden_weigh(struct peer *peer, soma_ref agent, uint64_t bytes);

/* Tells of those that are over. */
void burdens_look(struct soma_bridge *bridge);

/* A peer's session is over: it is told no more. */
void burdens_forget(struct peer *peer);
void burdens_free(struct soma_bridge *bridge);

#endif
