/* The clock of a system: wheels, their locks, and the thread that fires; see clock.h. */
#include "runtime/clock.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "runtime/thread.h"
#include <soma/error.h>
#include <soma/timer.h>
#include <stdlib.h>

/* ---- wheels ---- */

/* The next deadline is published with the lock, to be read without it. */
static void wheel_unlock(struct clock_wheel *wheel)
{
    u64_store(&wheel->next, wheel->wheel.next);
    spin_unlock(&wheel->busy);
}

static uint64_t next_us(const struct clock *clock)
{
    uint64_t next = WHEEL_NEVER;
    for (uint32_t i = 0; i < clock->count; i++) {
        uint64_t here = u64_load(&clock->wheels[i].next);
        if (here < next)
            next = here;
    }
    return next;
}

uint64_t clock_next(const struct clock *clock)
{
    uint64_t next = next_us(clock);
    return next == WHEEL_NEVER ? WHEEL_NEVER : next * SOMA_US;
}

/* Into the mailboxes; those of one agent that follow each other go together. */
static void timers_push(soma_system *system, struct wheel_timer *timers)
{
    while (timers) {
        struct message *first = timer_message((struct timer *)timers), *last = first;
        timers = timers->next; // before the push: then the block is its agent's
        while (timers) {
            struct message *next = timer_message((struct timer *)timers);
            if (next->sender.slot != first->sender.slot || next->generation != first->generation)
                break;
            __builtin_prefetch(timers->next);
            ptr_store(&last->next, next);
            last = next;
            timers = timers->next;
        }
        message_push_own(system, first, last);
    }
}

void clock_fire(soma_system *system, uint64_t now)
{
    struct wheel_list due = {NULL, NULL};
    now /= SOMA_US;
    for (uint32_t i = 0; i < system->clock.count; i++) {
        struct clock_wheel *wheel = &system->clock.wheels[i];
        if (u64_load(&wheel->next) > now)
            continue;
        spin_lock(&wheel->busy);
        struct wheel_list here = wheel_due(&wheel->wheel, now);
        wheel_unlock(wheel);
        due = wheel_merge(due, here);
    }
    timers_push(system, due.first);
}

/* ---- the thread ---- */

/*
 * No alarm is missed: the thread writes when it will wake, fences, and looks at the wheels again; who sets a timer puts
 * it into its wheel, fences, and looks at the alarm. One of the two comes second and sees the other.
 */
static void clock_sleep(soma_system *system)
{
    struct clock *clock = &system->clock;
    uint32_t bell = u32_load(&clock->bell);
    uint64_t until = clock_next(clock);
    u64_store(&clock->alarm, until);
    barrier_heavy();
    uint64_t now = system->driver.now(system->driver.context);
    if (clock_next(clock) >= until && until > now && !u32_load(&clock->stopping))
        futex_wait(&clock->bell, bell, until == WHEEL_NEVER ? FUTEX_FOREVER : until - now);
    u64_store(&clock->alarm, 0);
}

static void *clock_main(void *argument)
{
    soma_system *system = argument;
    while (!u32_load(&system->clock.stopping)) {
        clock_fire(system, system->driver.now(system->driver.context));
        clock_sleep(system);
    }
    return NULL;
}

static int clock_start(soma_system *system)
{
    struct clock *clock = &system->clock;
    int error = 0;
    pthread_mutex_lock(&clock->lock);
    if (!u32_load(&clock->started) && !u32_load(&clock->stopping)) {
        error = thread_start(&clock->thread, clock_main, system);
        if (!error)
            u32_store(&clock->started, 1);
    }
    pthread_mutex_unlock(&clock->lock);
    return error;
}

static void clock_ring(struct clock *clock)
{
    u32_add(&clock->bell, 1);
    futex_wake(&clock->bell);
}

/* ---- timers ---- */

static void clock_arm(soma_system *system, struct clock_wheel *wheel, struct timer *timer, uint64_t deadline)
{
    wheel_set(&wheel->wheel, &timer->wheel_timer, deadline / SOMA_US);
    wheel_unlock(wheel);
    barrier_light(); // pairs with clock_sleep
    if (deadline < u64_load(&system->clock.alarm))
        clock_ring(&system->clock);
}

int clock_set(soma_system *system, struct timer *timer, uint64_t deadline)
{
    if (!u32_load(&system->clock.started) && !system->driver.runnable) {
        int error = clock_start(system);
        if (error)
            return error;
    }
    struct clock_wheel *wheel = &system->clock.wheels[timer->wheel_timer.wheel];
    timer->wheel_timer.set_ever = true;
    spin_lock(&wheel->busy);
    clock_arm(system, wheel, timer, deadline);
    return 0;
}

bool clock_again(soma_system *system, struct timer *timer)
{
    struct clock_wheel *wheel = &system->clock.wheels[timer->wheel_timer.wheel];
    uint64_t now = system->driver.now(system->driver.context);
    spin_lock(&wheel->busy);
    if (timer->wheel_timer.cancelled) {
        wheel_unlock(wheel);
        return false;
    }
    uint64_t deadline = timer->wheel_timer.deadline * SOMA_US + timer->period;
    if (deadline <= now) // it fell behind: what was missed is not made up for, but the beat stays
        deadline += (now - deadline) / timer->period * timer->period + timer->period;
    clock_arm(system, wheel, timer, deadline);
    return true;
}

bool clock_cancel(soma_system *system, struct timer *timer)
{
    if (!timer->wheel_timer.set_ever)
        return true;
    struct clock_wheel *wheel = &system->clock.wheels[timer->wheel_timer.wheel];
    spin_lock(&wheel->busy);
    bool armed = timer->wheel_timer.armed;
    if (armed)
        wheel_cancel(&wheel->wheel, &timer->wheel_timer);
    else
        timer->wheel_timer.cancelled = true;
    wheel_unlock(wheel);
    return armed;
}

/* ---- opening and closing ---- */

int clock_open(struct clock *clock, uint32_t count, uint64_t now)
{
    clock->wheels = calloc(count, sizeof(*clock->wheels));
    if (!clock->wheels)
        return SOMA_ENOMEM;
    clock->count = count;
    pthread_mutex_init(&clock->lock, NULL);
    for (uint32_t i = 0; i < count; i++) {
        wheel_init(&clock->wheels[i].wheel, now / SOMA_US);
        u64_store(&clock->wheels[i].next, WHEEL_NEVER);
    }
    return 0;
}

void clock_stop(struct clock *clock)
{
    pthread_mutex_lock(&clock->lock); // a start has been, or sees the mark
    u32_store(&clock->stopping, 1);
    bool started = u32_load(&clock->started);
    pthread_mutex_unlock(&clock->lock);
    if (!started)
        return;
    clock_ring(clock);
    pthread_join(clock->thread, NULL);
}

void clock_close(struct clock *clock)
{
    if (clock->count)
        pthread_mutex_destroy(&clock->lock);
    free(clock->wheels);
    *clock = (struct clock){0};
}
