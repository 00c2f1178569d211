/*
 * A hierarchical timing wheel (Varghese and Lauck): pending timers by deadline, set and cancelled in constant time.
 *
 * Time is in microseconds. Level 0 has 64 places of one tick (128 microseconds) each; a place of a level spans the
 * whole level below it. A timer sits in the lowest level whose span holds its deadline, and moves down when its place
 * comes up. A bitmap a level finds the next place without walking. Deadlines are exact all the same: a place that is
 * due only in part gives only what is due.
 *
 * What a place holds stands in the order of setting: whatever was set earlier has moved down into it before anything
 * could be set there directly, as both take the same way when seen from the same tick. So timers come out sorted by
 * deadline, and then by the order of setting, by being dealt out to a place's 128 moments, without comparing any two.
 *
 * One thread at a time (clock.c has the locks).
 */
#ifndef RUNTIME_WHEEL_H
#define RUNTIME_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_BITS 7
#define WHEEL_BITS 6
#define WHEEL_PLACES (1u << WHEEL_BITS)
#define WHEEL_LEVELS 8 /* 7 + 8 * 6 = 55 bits: more than a thousand years */
#define WHEEL_NEVER UINT64_MAX

/* What stands in the wheel, within something larger. */
struct wheel_timer {
    struct wheel_timer *next; /* in its place, or in the list of what is due */
    struct wheel_timer *prev;
    uint64_t deadline;
    uint8_t level; /* where it stands, while armed */
    uint8_t place;
    bool armed;
    bool set_ever; /* these three are for whoever owns the timer, where padding would be */
    bool cancelled;
    uint16_t wheel;
};

struct wheel {
    uint64_t tick; /* all before it has fired */
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

/* Timers that are due, linked by `next`. */
struct wheel_list {
    struct wheel_timer *first;
    struct wheel_timer *last;
};

/*
 * Takes out all timers whose deadline is not after `now`, by deadline and then by the order of setting; those whose
 * deadline was past when they were set come in the order of setting, before what is due later.
 */
struct wheel_list wheel_due(struct wheel *wheel, uint64_t now);

/* Two such lists in one. */
struct wheel_list wheel_merge(struct wheel_list a, struct wheel_list b);

#endif
