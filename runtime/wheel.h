/*
 * A hierarchical timing wheel (Varghese and Lauck): pending timers by deadline, set and cancelled in constant time.
 *
 * Level 0 has 64 places of one tick (2^17 ns, about 131 microseconds) each; a place of a level spans the whole level
 * below it. A timer sits in the lowest level whose span holds its deadline, and moves down when its place comes up. A
 * bitmap a level finds the next place without walking. Deadlines are exact all the same: a place that is due only in
 * part gives only what is due. One thread at a time (clock.c has the locks).
 */
#ifndef RUNTIME_WHEEL_H
#define RUNTIME_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_BITS 17
#define WHEEL_BITS 6
#define WHEEL_PLACES (1u << WHEEL_BITS)
#define WHEEL_LEVELS 8 /* 17 + 8 * 6 = 65 bits: every deadline has its place */
#define WHEEL_NEVER UINT64_MAX

/* What stands in the wheel, within something larger. */
struct wheel_timer {
    struct wheel_timer *next; /* in its place, or in the list of what is due */
    struct wheel_timer *prev;
    uint64_t deadline; /* nanoseconds of the driver's clock */
    uint64_t order;    /* among equal deadlines the one set first comes first */
    uint8_t level;     /* where it stands, while armed */
    uint8_t place;
    bool armed;
    bool set_ever; /* these three are for whoever owns the timer, where padding would be */
    bool cancelled;
    uint16_t wheel;
};

struct wheel {
    uint64_t tick; /* all before it has fired */
    uint64_t order;
    uint64_t next; /* no timer is due before; may be too early after a cancel, never too late */
    uint64_t occupied[WHEEL_LEVELS];
    struct wheel_place {
        struct wheel_timer *first;
        struct wheel_timer *last;
    } places[WHEEL_LEVELS][WHEEL_PLACES];
};

/* Begins a wheel, at a time before which nothing will be set. */
void wheel_init(struct wheel *wheel, uint64_t now);

/* Sets a timer that is not armed. A deadline in the past is due at once. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline);

/* Takes an armed timer out. */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);

/* Takes out all timers whose deadline is not after `now`; linked by `next`, in no order: see wheel_sort(). */
struct wheel_timer *wheel_due(struct wheel *wheel, uint64_t now);

/* Sorts such a list by deadline, then by the order of setting. */
struct wheel_timer *wheel_sort(struct wheel_timer *list);

#endif
