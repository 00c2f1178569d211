/* Pieces of one block; see arena.h. */
#include "runtime/arena.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_SIZE ((size_t)16 * 1024)

struct arena_piece {
    _Alignas(16) struct arena_piece *next;
};

static void *piece_take(struct arena *arena, size_t size)
{
    struct arena_piece *piece = size <= SIZE_MAX - sizeof(*piece) ? calloc(1, sizeof(*piece) + size) : NULL;
    if (!piece)
        return NULL;
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece + 1;
}

void *arena_take(struct arena *arena, size_t size)
{
    if (size > ARENA_SIZE)
        return piece_take(arena, size);
    if (!arena->block && (arena->block = malloc(ARENA_SIZE)))
        arena->size = ARENA_SIZE;
    if (!arena->block || size > arena->size - arena->used)
        return piece_take(arena, size);
    void *piece = arena->block + arena->used;
    size_t rounded = (size + 15) & ~(size_t)15;
    arena->used += rounded < arena->size - arena->used ? rounded : arena->size - arena->used;
    return memset(piece, 0, size);
}

void arena_reset(struct arena *arena)
{
    for (struct arena_piece *piece = arena->pieces, *next; piece; piece = next) {
        next = piece->next;
        free(piece);
    }
    arena->pieces = NULL;
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    arena_reset(arena);
    free(arena->block);
    *arena = (struct arena){0};
}
