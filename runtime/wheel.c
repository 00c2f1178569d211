/* The timing wheel; see wheel.h. */
#include "runtime/wheel.h"
#include <stddef.h>

#define SORT_BINS 48

void wheel_init(struct wheel *wheel, uint64_t now)
{
    *wheel = (struct wheel){.tick = now >> WHEEL_TICK_BITS, .next = WHEEL_NEVER};
}

/* ---- places ---- */

/* Appends to where the deadline belongs, seen from the wheel's tick: the level is that of the highest bit that differs.
 */
static void place_put(struct wheel *wheel, struct wheel_timer *timer)
{
    uint64_t tick = timer->deadline >> WHEEL_TICK_BITS;
    if (tick < wheel->tick)
        tick = wheel->tick;
    uint64_t differs = (tick ^ wheel->tick) | (WHEEL_PLACES - 1);
    timer->level = (uint8_t)((63 - __builtin_clzll(differs)) / WHEEL_BITS);
    timer->place = (uint8_t)(tick >> (timer->level * WHEEL_BITS) & (WHEEL_PLACES - 1));
    struct wheel_place *place = &wheel->places[timer->level][timer->place];
    timer->next = NULL;
    timer->prev = place->last;
    if (place->last)
        place->last->next = timer;
    else
        place->first = timer;
    place->last = timer;
    wheel->occupied[timer->level] |= UINT64_C(1) << timer->place;
}

static void place_remove(struct wheel *wheel, struct wheel_timer *timer)
{
    struct wheel_place *place = &wheel->places[timer->level][timer->place];
    if (timer->prev)
        timer->prev->next = timer->next;
    else
        place->first = timer->next;
    if (timer->next)
        timer->next->prev = timer->prev;
    else
        place->last = timer->prev;
    if (!place->first)
        wheel->occupied[timer->level] &= ~(UINT64_C(1) << timer->place);
}

/* The first occupied place and its first tick; false if the wheel is empty. A lower level is always earlier. */
static bool place_first(const struct wheel *wheel, uint32_t *level, uint32_t *place, uint64_t *start)
{
    for (uint32_t l = 0; l < WHEEL_LEVELS; l++) {
        if (!wheel->occupied[l])
            continue;
        *level = l;
        *place = (uint32_t)__builtin_ctzll(wheel->occupied[l]);
        uint32_t above = (l + 1) * WHEEL_BITS; // bits that all of the level's places share with the wheel's tick
        uint64_t block = wheel->tick >> above << above;
        *start = block | (uint64_t)*place << (l * WHEEL_BITS);
        return true;
    }
    return false;
}

/* Sets `next` to the first deadline there is. */
static void next_find(struct wheel *wheel)
{
    uint32_t level, place;
    uint64_t start;
    wheel->next = WHEEL_NEVER;
    if (!place_first(wheel, &level, &place, &start))
        return;
    if (level > 0) { // its timers are not walked: waking at the place's start moves them down
        wheel->next = start << WHEEL_TICK_BITS;
        return;
    }
    for (struct wheel_timer *timer = wheel->places[0][place].first; timer; timer = timer->next)
        if (timer->deadline < wheel->next)
            wheel->next = timer->deadline;
}

/* ---- setting and cancelling ---- */

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline)
{
    timer->deadline = deadline;
    timer->order = wheel->order++;
    timer->armed = true;
    place_put(wheel, timer);
    if (deadline < wheel->next)
        wheel->next = deadline;
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    place_remove(wheel, timer);
    timer->armed = false;
}

/* ---- firing ---- */

struct due {
    struct wheel_timer *first;
    struct wheel_timer *last;
};

static void due_add(struct due *due, struct wheel_timer *timer)
{
    timer->armed = false;
    timer->next = NULL;
    if (due->last)
        due->last->next = timer;
    else
        due->first = timer;
    due->last = timer;
}

/* Empties a place: what is due goes to the list, the rest to where it belongs now. */
static void place_open(struct wheel *wheel, uint32_t level, uint32_t place, uint64_t now, struct due *due)
{
    struct wheel_timer *timer = wheel->places[level][place].first;
    wheel->places[level][place] = (struct wheel_place){NULL, NULL};
    wheel->occupied[level] &= ~(UINT64_C(1) << place);
    while (timer) {
        struct wheel_timer *next = timer->next;
        if (timer->deadline <= now)
            due_add(due, timer);
        else
            place_put(wheel, timer);
        timer = next;
    }
}

struct wheel_timer *wheel_due(struct wheel *wheel, uint64_t now)
{
    struct due due = {NULL, NULL};
    uint64_t target = now >> WHEEL_TICK_BITS;
    uint32_t level, place;
    uint64_t start;
    if (now < wheel->next)
        return NULL;
    while (place_first(wheel, &level, &place, &start) && start <= target) {
        bool last = level == 0 && start == target; // what is left there is due later within this tick
        if (start > wheel->tick)
            wheel->tick = start;
        place_open(wheel, level, place, now, &due);
        if (last)
            break;
    }
    if (target > wheel->tick)
        wheel->tick = target;
    next_find(wheel);
    return due.first;
}

/* ---- sorting ---- */

static bool timer_before(const struct wheel_timer *a, const struct wheel_timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static struct wheel_timer *lists_merge(struct wheel_timer *a, struct wheel_timer *b)
{
    struct wheel_timer *merged = NULL, **end = &merged;
    while (a && b) {
        struct wheel_timer **least = timer_before(b, a) ? &b : &a;
        *end = *least;
        end = &(*least)->next;
        *least = *end;
    }
    *end = a ? a : b;
    return merged;
}

/* Merge sort by the runs that are there already: timers mostly come in order, and then this is one pass. */
struct wheel_timer *wheel_sort(struct wheel_timer *list)
{
    struct wheel_timer *bins[SORT_BINS] = {NULL};
    while (list) {
        struct wheel_timer *run = list, *last = list;
        while (last->next && !timer_before(last->next, last))
            last = last->next;
        list = last->next;
        last->next = NULL;
        uint32_t bin = 0;
        for (; bin < SORT_BINS - 1 && bins[bin]; bin++) {
            run = lists_merge(bins[bin], run);
            bins[bin] = NULL;
        }
        bins[bin] = lists_merge(bins[bin], run);
    }
    struct wheel_timer *sorted = NULL;
    for (uint32_t bin = 0; bin < SORT_BINS; bin++)
        sorted = lists_merge(bins[bin], sorted);
    return sorted;
}
