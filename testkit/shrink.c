/*
 * Shrinking: try tamer tapes, keep those that still fail and cost less. Since 0 is always the tame choice, zeroing a
 * part of the tape removes faults and switches between agents, and cutting its end lets the rest of the run go on
 * plainly; neither needs to know what the choices meant. (Hypothesis shrinks so, too.)
 */
#include "testkit/shrink.h"
#include <stdlib.h>
#include <string.h>

struct shrinking {
    const soma_sim *sim;
    uint64_t seed;
    struct shared *shared;
    const char *place;
    uint32_t *best;
    uint32_t *attempt;
    uint32_t count;    /* of best */
    uint64_t cost;     /* of best */
    uint32_t attempts; /* that are left */
};

/* Steps make a trace long, choices make it hard to follow, far-fetched ones more. */
static uint64_t cost_of(const struct shared *shared)
{
    uint64_t cost = shared->progress * 4 + shared->tape.count;
    for (uint32_t i = 0; i < shared->tape.count; i++)
        if (shared->tape.taken[i])
            cost += 40 - (uint64_t)__builtin_clz(shared->tape.taken[i]); // 8, and one for each bit
    return cost;
}

/* Takes over what a run has left on the shared tape, without the tame end. */
static void best_take(struct shrinking *s)
{
    const struct tape *tape = &s->shared->tape;
    s->cost = cost_of(s->shared);
    s->count = tape->count;
    while (s->count && !tape->taken[s->count - 1])
        s->count--; // so it is no longer than what was tried
    memcpy(s->best, tape->taken, s->count * sizeof(*s->best));
}

/* Runs `attempt`; if it fails in the same place and costs less, it is the best from now on. */
static bool attempt_run(struct shrinking *s, uint32_t count)
{
    if (!s->attempts)
        return false;
    s->attempts--;
    const struct job job = {.sim = s->sim, .seed = s->seed, .forced = s->attempt, .forced_count = count};
    struct result result;
    char place[256];
    child_run(&job, s->shared, &result);
    bool same = result.outcome != PASSED && !strcmp(result_place(&result, place, sizeof(place)), s->place);
    result_free(&result);
    if (!same || cost_of(s->shared) >= s->cost)
        return false;
    best_take(s);
    return true;
}

static bool cut(struct shrinking *s)
{
    bool better = false;
    for (uint32_t keep = 0; keep < s->count;) {
        memcpy(s->attempt, s->best, keep * sizeof(*s->best));
        if (attempt_run(s, keep))
            better = true; // and shorter than it was: the same length may do again
        else
            keep += (s->count - keep + 1) / 2;
        if (!s->attempts)
            break;
    }
    return better;
}

static bool is_tame(const uint32_t *choices, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (choices[i])
            return false;
    return true;
}

/* Zeroes parts of a size, or takes them out. */
static bool tame_parts(struct shrinking *s, uint32_t size, bool remove)
{
    bool better = false;
    for (uint32_t at = 0; at < s->count && s->attempts; at += size) {
        uint32_t part = size < s->count - at ? size : s->count - at, count = s->count;
        if (!remove && is_tame(s->best + at, part))
            continue;
        memcpy(s->attempt, s->best, s->count * sizeof(*s->best));
        if (remove) {
            memmove(s->attempt + at, s->attempt + at + part, (s->count - at - part) * sizeof(*s->best));
            count -= part;
        } else {
            memset(s->attempt + at, 0, part * sizeof(*s->best));
        }
        better |= attempt_run(s, count);
    }
    return better;
}

/* Lowers what can't be 0: whoever is nearer to his turn runs, a pause is shorter. */
static bool lower(struct shrinking *s)
{
    bool better = false;
    for (uint32_t at = 0; at < s->count; at++)
        for (uint32_t less = 1; at < s->count && less < s->best[at] && s->attempts; less *= 2) {
            memcpy(s->attempt, s->best, s->count * sizeof(*s->best));
            s->attempt[at] = less;
            if (attempt_run(s, s->count))
                better = true; // and the value is less now
        }
    return better;
}

static bool pass(struct shrinking *s)
{
    bool better = cut(s);
    for (uint32_t size = s->count / 2; size; size /= 2)
        better |= tame_parts(s, size, false);
    for (uint32_t size = 8; size; size /= 2)
        better |= tame_parts(s, size, true);
    better |= lower(s);
    return better;
}

uint32_t *shrink(const soma_sim *sim, uint64_t seed, struct shared *shared, const char *place, uint32_t attempts,
                 uint32_t *count)
{
    struct shrinking s = {.sim = sim, .seed = seed, .shared = shared, .place = place, .attempts = attempts};
    size_t bytes = (shared->tape.count + 1) * sizeof(uint32_t);
    s.best = malloc(bytes);
    s.attempt = malloc(bytes);
    if (!s.best || !s.attempt) {
        free(s.best);
        free(s.attempt);
        return NULL;
    }
    shared->progress -= shared->steps; // of the run that failed alone
    best_take(&s);
    while (s.attempts && pass(&s))
        ;
    free(s.attempt);
    *count = s.count;
    return s.best;
}
