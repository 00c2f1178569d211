/*
 * Where a run's choices come from. Every choice is a number below some count, and 0 is always the tame one: who has
 * waited longest runs, no fault strikes. All are written down on a tape. So a run is its seed and its tape, a shrunk
 * run is the same with a tamer tape, and all schedules of a small case are all tapes.
 */
#ifndef TESTKIT_CHOICE_H
#define TESTKIT_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#define TAPE_MAX (1u << 20)

/* In memory that the exploring process shares with its parent, so that it outlives a crash. */
struct tape {
    uint32_t count;
    uint32_t taken[TAPE_MAX];
    uint32_t options[TAPE_MAX]; /* among how many */
};

struct choices {
    uint64_t random;        /* the state of this run's own generator */
    const uint32_t *forced; /* what to choose; from its end on the tame one. NULL: as wished */
    uint32_t forced_count;
    bool exhaustive; /* wishes don't count */
    struct tape *tape;
};

void choices_begin(struct choices *choices, uint64_t seed, struct tape *tape);

/* A number below `options` (at least 1): what the tape to follow says, else `wish`. */
uint32_t choose(struct choices *choices, uint32_t options, uint32_t wish);

/* The next number of a generator (splitmix64), whose state is a counter. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A wish: any number below `options`. */
static inline uint32_t wish_any(struct choices *choices, uint32_t options)
{
    return (uint32_t)(((random_next(&choices->random) >> 32) * options) >> 32);
}

/* A wish for something once in `times`. */
static inline uint32_t wish_rarely(struct choices *choices, uint32_t times)
{
    return wish_any(choices, times) == 0;
}

/* Makes the tape of a run that is over that of the next one, depth first. False if it was the last. */
bool tape_next(struct tape *tape);

#endif
