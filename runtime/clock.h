/*
 * A system's timers: a wheel a worker, so that workers do not meet when they set timers, and one thread that sleeps
 * until the first deadline and puts what is due into the mailboxes. So a timer is on time however long the handlers
 * run, the workers never read the clock for it, and a system without timers has neither thread nor cost.
 *
 * A timer is a message block that waits: it is allocated when it is set, and firing allocates nothing. Who cancels a
 * timer that has fired already marks it, and whoever holds its block then frees it. All that is under the wheel's lock.
 */
#ifndef RUNTIME_CLOCK_H
#define RUNTIME_CLOCK_H

#include "runtime/slot.h"
#include "runtime/wheel.h"
#include <pthread.h>

/* What a timer's block holds from its message's body on. */
struct timer {
    struct wheel_timer wheel_timer;
    union {
        uint64_t period; /* MESSAGE_TIMER: nanoseconds, 0 for once */
        uint64_t tag;    /* MESSAGE_TIMEOUT: the user's */
    };
    int64_t handle;  /* among its agent's pending */
    uint64_t body[]; /* the message, or a soma_then */
};

struct clock_wheel {
    shared_u32 busy; /* guards all here */
    struct wheel wheel;
    shared_u64 next; /* the wheel's next, to be read without the lock */
};

struct clock {
    struct clock_wheel *wheels;
    uint32_t count;
    shared_u64 alarm; /* until when the thread sleeps; 0: it doesn't, and will look before it does */
    shared_u32 bell;  /* the futex: rings when something is due before that */
    shared_u32 stopping;
    shared_u32 started;
    pthread_mutex_t lock; /* guards start and stop */
    pthread_t thread;
};

static inline struct timer *timer_of(struct message *message)
{
    return (struct timer *)message->body;
}

static inline struct message *timer_message(struct timer *timer)
{
    return (struct message *)((char *)timer - offsetof(struct message, body));
}

/* Opens the clock with a wheel for each of `count` workers. 0 or SOMA_ENOMEM. */
int clock_open(struct clock *clock, uint32_t count, uint64_t now);

/* Joins the thread; from now on nothing fires. Timers in wheels, also those that are still set, are their agents' to
 * free. */
void clock_stop(struct clock *clock);
void clock_close(struct clock *clock);

/* Sets a timer, into the wheel that it names, for a whole microsecond (given in nanoseconds). 0, or SOMA_ETHREAD if the
 * thread can't be started. Any thread. */
int clock_set(soma_system *system, struct timer *timer, uint64_t deadline);

/* After a periodic timer was handled: sets it for its next time, counted from the last. False if it was cancelled. */
bool clock_again(soma_system *system, struct timer *timer);

/* True if the caller owns the block again and must free it; false if it has fired and frees itself. */
bool clock_cancel(soma_system *system, struct timer *timer);

/* Fires what is due. The clock's thread, or a driver that has none. */
void clock_fire(soma_system *system, uint64_t now);

/* When there is something to fire at the earliest; WHEEL_NEVER if there is nothing. */
uint64_t clock_next(const struct clock *clock);

#endif
