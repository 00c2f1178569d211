/*
 * The mailbox: an intrusive queue of many producers and one consumer, two words in the agent's slot.
 *
 * `head` is the last message pushed, or one of two marks:
 *   MAIL_IDLE  empty, and the agent is not scheduled: who pushes next must schedule it
 *   MAIL_HELD  empty, and somebody holds the agent (it is being spawned): who pushes next must not schedule it
 * A push is one exchange of head, then a link from the message before (or `tail`, if there was none). The consumer
 * walks the links and keeps the message that it handles until it knows the next; at the end it swaps that last message
 * for MAIL_IDLE by cas, and only then is it out of the queue. So an idle agent holds no message and there is no stub.
 * (Pony's mailbox, with the mark in place of its stub.)
 */
#ifndef RUNTIME_MAILBOX_H
#define RUNTIME_MAILBOX_H

#include "runtime/message.h"
#include <sched.h>

struct mailbox {
    shared_ptr head;
    shared_ptr tail;
};

#define MAIL_IDLE ((void *)1)
#define MAIL_HELD ((void *)2)

/*
 * Any thread. Pushes messages that are linked by next, which is NULL in the last; true if the agent was idle: the
 * caller, and only it, must schedule the agent.
 */
static inline bool mailbox_put(struct mailbox *box, struct message *first, struct message *last)
{
    // The exchange's release half publishes the messages; its acquire half orders us after the consumer that went idle.
    struct message *before = ptr_exchange(&box->head, last);
    if (__builtin_expect(before == MAIL_IDLE, 1)) {
        ptr_store(&box->tail, first); // pairs with mailbox_first
        return true;
    }
    if (before == MAIL_HELD)
        ptr_store(&box->tail, first);
    else
        ptr_store(&before->next, first); // pairs with the consumer's load of next
    return false;
}

/* The same whatever the last's next is. */
static inline bool mailbox_push_chain(struct mailbox *box, struct message *first, struct message *last)
{
    ptr_store(&last->next, NULL);
    return mailbox_put(box, first, last);
}

static inline bool mailbox_push(struct mailbox *box, struct message *message)
{
    return mailbox_push_chain(box, message, message);
}

/* A link that a producer has written, or will within a few instructions: it has exchanged head. */
static inline struct message *mailbox_await(shared_ptr *link)
{
    struct message *message = ptr_load(link);
    for (uint32_t spins = 0; __builtin_expect(!message, 0); spins++) {
        if (spins < 64)
            cpu_relax();
        else
            sched_yield(); // the producer lost its core in between
        message = ptr_load(link);
    }
    return message;
}

/*
 * The consumer: the first message of a scheduled agent. Who schedules an idle one has written the tail before. Only who
 * pushes to a held one may come to that after the holder has given it back, so whoever holds clears the tail first.
 */
static inline struct message *mailbox_first(struct mailbox *box)
{
    return mailbox_await(&box->tail);
}

/* Puts a message before all others of a held agent. Only who holds it. */
static inline void mailbox_push_front(struct mailbox *box, struct message *message)
{
    ptr_store(&message->next, NULL);
    if (!ptr_cas(&box->head, MAIL_HELD, message))
        ptr_store(&message->next, mailbox_first(box)); // who pushed first writes the tail, as for a consumer
    ptr_store(&box->tail, message);
}

/*
 * The consumer: if there is no message after `last`, the agent is idle from now on: then the caller owns `last`, and
 * must not touch the agent any more.
 */
static inline bool mailbox_rest(struct mailbox *box, struct message *last)
{
    // release: all that the turn wrote is seen by the next turn
    return __builtin_expect(!ptr_load(&last->next), 1) && ptr_cas(&box->head, last, MAIL_IDLE);
}

/* The message after `last`, or NULL if there is none, which is a mailbox_rest(). */
static inline struct message *mailbox_next(struct mailbox *box, struct message *last)
{
    struct message *next = ptr_load(&last->next);
    return next || mailbox_rest(box, last) ? next : mailbox_await(&last->next);
}

/* As mailbox_next, but what is idle from now on may be held by others: the turn of an agent that doesn't live. */
static inline struct message *mailbox_next_to_hold(struct mailbox *box, struct message *last)
{
    ptr_store(&box->tail, NULL);
    return mailbox_next(box, last);
}

/* As mailbox_next, but at the end the agent is held and not idle. */
static inline struct message *mailbox_next_or_hold(struct mailbox *box, struct message *last)
{
    struct message *next = ptr_load(&last->next);
    if (next)
        return next;
    ptr_store(&box->tail, NULL);
    return ptr_cas(&box->head, last, MAIL_HELD) ? NULL : mailbox_await(&last->next);
}

/* Takes an idle agent out of the scheduler's hands, whose tail is clear; false if it isn't idle. */
static inline bool mailbox_hold(struct mailbox *box)
{
    return ptr_load(&box->head) == MAIL_IDLE && ptr_cas(&box->head, MAIL_IDLE, MAIL_HELD);
}

/* Gives a held agent back. True if mail came meanwhile: the caller must schedule the agent. */
static inline bool mailbox_unhold(struct mailbox *box)
{
    return !ptr_cas(&box->head, MAIL_HELD, MAIL_IDLE);
}

#endif
