/* The table of shared bodies; see shares.h. */
#include "bridges/shares.h"
#include "runtime/send.h"
#include "runtime/type.h"

struct share *shares_find(struct shares *shares, const soma_body *body)
{
    for (uint32_t i = 0; body && shares->count && i < SHARES_MOST; i++)
        if (shares->places[i].body == body && !shares->places[i].stale)
            return &shares->places[i];
    return NULL;
}

bool shares_room(const struct shares *shares, size_t size, size_t most)
{
    return shares->count < SHARES_MOST && (!shares->count || shares->bytes + size <= most);
}

void shares_add(struct shares *shares, soma_body *body, uint64_t number, size_t size, uint64_t chunk)
{
    struct share *place = shares->places;
    while (place->body)
        place++;
    *place = (struct share){soma_body_share(body), number, chunk, size, false};
    shares->count++;
    shares->bytes += size;
}

void shares_refuse(struct shares *shares, const soma_type *type)
{
    for (uint32_t i = 0; i < SHARES_MOST; i++)
        if (shares->places[i].body && type_same(shares->places[i].body->type, type))
            shares->places[i].stale = true;
}

bool shares_can_spare(const struct shares *shares, const struct share *share)
{
    if (share->stale || u32_load(&share->body->references) == 1) // with no other one, nobody can come by it any more
        return true;
    for (uint32_t i = 0; i < SHARES_MOST; i++)
        if (!shares->places[i].body || shares->places[i].used < share->used)
            return false;
    return true; // all places are taken, and this was used least lately
}

soma_body *shares_take(struct shares *shares, struct share *share)
{
    soma_body *body = share->body;
    shares->count--;
    shares->bytes -= share->size;
    *share = (struct share){0};
    return body;
}

void shares_reset(struct shares *shares)
{
    for (uint32_t i = 0; i < SHARES_MOST; i++)
        soma_body_close(&shares->places[i].body);
    *shares = (struct shares){0};
}
