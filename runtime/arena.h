/* Memory for what is looked at once: pieces are taken one after another, and all are given back together. */
#ifndef RUNTIME_ARENA_H
#define RUNTIME_ARENA_H

#include <stddef.h>

struct arena {
    char *block; /* that pieces are taken from as long as they fit */
    size_t size;
    size_t used;
    struct arena_piece *pieces; /* those that did not fit; each from malloc */
};

/* Zeroed, aligned to 16; NULL when memory is out. */
void *arena_take(struct arena *arena, size_t size);

/* Gives back all that was taken. */
void arena_reset(struct arena *arena);

/* And the arena's own memory; it is as new. */
void arena_free(struct arena *arena);

#endif
