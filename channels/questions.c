/* See questions.h. */
#include "channels/questions.h"
#include "runtime/spin.h"
#include <stdlib.h>

#define GENERATION_MASK 0x7fffffffu

struct question_place *place_of(struct questions *questions, uint32_t number)
{
    uint32_t index = number - 1, first = PLACES_FIRST;
    if (index < first)
        return &questions->shelves[0][index];
    uint32_t shelf = (uint32_t)(__builtin_clz(first) - __builtin_clz(index));
    return &questions->shelves[shelf + 1][index - (first << shelf)];
}

bool places_grow(struct questions *questions)
{
    // The memory is had, and made ready, before the lock is: all who answer would wait meanwhile.
    uint32_t before = questions->capacity, count = before ? before : PLACES_FIRST, shelf = 0;
    while (shelf < PLACE_SHELVES && questions->shelves[shelf]) // nobody else adds any
        shelf++;
    struct question_place *places = shelf < PLACE_SHELVES ? malloc(count * sizeof(*places)) : NULL;
    if (!places)
        return false;
    for (uint32_t i = 0; i < count; i++)
        places[i] = (struct question_place){.next_free = i + 1 < count ? before + i + 2 : 0};
    spin_lock(&questions->busy);
    places[count - 1].next_free = questions->free; // some may have become free meanwhile
    questions->free = before + 1;
    questions->shelves[shelf] = places;
    questions->capacity = before + count;
    spin_unlock(&questions->busy);
    return true;
}

void place_free(struct questions *questions, uint32_t number)
{
    struct question_place *place = place_of(questions, number);
    *place =
        (struct question_place){.generation = (place->generation + 1) & GENERATION_MASK, .next_free = questions->free};
    questions->free = number;
}
