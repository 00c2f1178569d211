/* The timing wheel; see wheel.h. */
#include "runtime/wheel.h"
#include <stddef.h>

#define MOMENTS (1u << WHEEL_TICK_BITS) /* of a tick */

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

static void list_add(struct wheel_list *list, struct wheel_timer *timer)
{
    timer->next = NULL;
    if (list->last)
        list->last->next = timer;
    else
        list->first = timer;
    list->last = timer;
}

static void list_join(struct wheel_list *list, struct wheel_list more)
{
    if (!more.first)
        return;
    if (list->last)
        list->last->next = more.first;
    else
        list->first = more.first;
    list->last = more.last;
}

/* Empties a place; the caller walks what was in it. */
static struct wheel_timer *place_take(struct wheel *wheel, uint32_t level, uint32_t place)
{
    struct wheel_timer *timer = wheel->places[level][place].first;
    wheel->places[level][place] = (struct wheel_place){NULL, NULL};
    wheel->occupied[level] &= ~(UINT64_C(1) << place);
    return timer;
}

/* Moves a higher level's timers to where they belong now that their time has come near. */
static void place_move_down(struct wheel *wheel, uint32_t level, uint32_t place)
{
    struct wheel_timer *timer = place_take(wheel, level, place);
    while (timer) {
        struct wheel_timer *next = timer->next;
        place_put(wheel, timer);
        timer = next;
    }
}

/* Deals the due timers of the wheel's tick out to its moments; the others stay. */
static void place_fire(struct wheel *wheel, uint32_t place, uint64_t now, struct wheel_list *due)
{
    struct wheel_list moments[MOMENTS] = {{NULL, NULL}};
    uint64_t start = wheel->tick << WHEEL_TICK_BITS;
    struct wheel_timer *timer = place_take(wheel, 0, place);
    while (timer) {
        struct wheel_timer *next = timer->next;
        if (timer->deadline > now) {
            place_put(wheel, timer);
        } else {
            timer->armed = false;
            list_add(&moments[timer->deadline > start ? timer->deadline - start : 0], timer);
        }
        timer = next;
    }
    for (uint32_t i = 0; i < MOMENTS; i++)
        list_join(due, moments[i]);
}

struct wheel_list wheel_due(struct wheel *wheel, uint64_t now)
{
    struct wheel_list due = {NULL, NULL};
    uint64_t target = now >> WHEEL_TICK_BITS;
    uint32_t level, place;
    uint64_t start;
    if (now < wheel->next)
        return due;
    while (place_first(wheel, &level, &place, &start) && start <= target) {
        if (start > wheel->tick)
            wheel->tick = start;
        if (level > 0) {
            place_move_down(wheel, level, place);
            continue;
        }
        place_fire(wheel, place, now, &due);
        if (start == target) // what is left there is due later within this tick
            break;
    }
    if (target > wheel->tick)
        wheel->tick = target;
    next_find(wheel);
    return due;
}

struct wheel_list wheel_merge(struct wheel_list a, struct wheel_list b)
{
    if (!a.first || !b.first)
        return a.first ? a : b;
    struct wheel_list merged = {NULL, a.last->deadline > b.last->deadline ? a.last : b.last};
    struct wheel_timer **end = &merged.first;
    while (a.first && b.first) {
        struct wheel_timer **least = b.first->deadline < a.first->deadline ? &b.first : &a.first;
        *end = *least;
        end = &(*least)->next;
        *least = *end;
    }
    *end = a.first ? a.first : b.first;
    return merged;
}
