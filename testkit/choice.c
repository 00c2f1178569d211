/* Choices and their tape; see choice.h. */
#include "testkit/choice.h"
#include <stddef.h>

void choices_begin(struct choices *choices, uint64_t seed, struct tape *tape)
{
    *choices = (struct choices){.random = seed, .tape = tape};
    tape->count = 0;
}

uint32_t choose(struct choices *choices, uint32_t options, uint32_t wish)
{
    struct tape *tape = choices->tape;
    if (tape->count < choices->forced_count)
        wish = choices->forced[tape->count];
    else if (choices->forced || choices->exhaustive)
        wish = 0;
    uint32_t taken = wish < options ? wish : 0;
    if (tape->count < TAPE_MAX) { // what is beyond can't be shrunk any more, but still replays from the seed
        tape->options[tape->count] = options;
        tape->taken[tape->count++] = taken;
    }
    return taken;
}

bool tape_next(struct tape *tape)
{
    while (tape->count) {
        uint32_t last = tape->count - 1;
        if (++tape->taken[last] < tape->options[last])
            return true;
        tape->count = last;
    }
    return false;
}
