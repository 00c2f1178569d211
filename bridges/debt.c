/* The table of what stands open; see debt.h. */
#include "bridges/debt.h"
#include <soma/error.h>
#include <stdlib.h>

static bool is_link(enum debt_kind kind)
{
    return kind == DEBT_LINK;
}

static bool is_by_there(enum debt_kind kind)
{
    return kind == DEBT_LINK || kind == DEBT_WATCHED;
}

static uint64_t ref_hash(soma_ref ref)
{
    return ((uint64_t)ref.generation << 32 | ref.slot) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t debt_hash(enum debt_kind kind, soma_ref here, soma_ref there, uint64_t handle)
{
    uint64_t hash = ref_hash(here);
    hash ^= (is_link(kind) ? 0 : handle) * UINT64_C(0xc2b2ae3d27d4eb4f) + (uint64_t)kind;
    if (is_by_there(kind)) // many there may watch one here, each by the same handle
        hash = hash * 31 ^ ref_hash(there) >> 7;
    return hash ^ hash >> 29;
}

static struct debt **bucket(const struct debts *debts, uint64_t hash)
{
    return &debts->buckets[hash & (debts->bucket_count - 1)];
}

static bool is_of(const struct debt *debt, soma_ref there)
{
    if (debt->kind == DEBT_MOVED)
        return !there.node || debt->by == there.node;
    return !is_by_there(debt->kind) || soma_ref_equal(debt->there, there);
}

static struct debt **debt_find(const struct debts *debts, enum debt_kind kind, soma_ref here, soma_ref there,
                               uint64_t handle)
{
    if (!debts->count)
        return NULL;
    struct debt **link = bucket(debts, debt_hash(kind, here, there, handle));
    for (; *link; link = &(*link)->next) {
        const struct debt *debt = *link;
        if (debt->kind == kind && soma_ref_equal(debt->here, here) && (is_link(kind) || debt->handle == handle) &&
            is_of(debt, there))
            return link;
    }
    return NULL;
}

/* Behind the others, so that those that are alike stay in their order. */
static void debt_append(const struct debts *debts, struct debt *debt)
{
    struct debt **to = bucket(debts, debt_hash(debt->kind, debt->here, debt->there, debt->handle));
    while (*to)
        to = &(*to)->next;
    debt->next = NULL;
    *to = debt;
}

static bool debts_grow(struct debts *debts)
{
    uint32_t count = debts->bucket_count ? debts->bucket_count * 2 : 64;
    struct debts grown = {calloc(count, sizeof(struct debt *)), count, debts->count};
    if (!grown.buckets)
        return debts->bucket_count; // a full table is slow, but holds more
    for (uint32_t i = 0; i < debts->bucket_count; i++) {
        for (struct debt *debt = debts->buckets[i], *next; debt; debt = next) {
            next = debt->next;
            debt_append(&grown, debt);
        }
    }
    free(debts->buckets);
    *debts = grown;
    return true;
}

int debts_add(struct debts *debts, const struct debt *debt)
{
    if (is_link(debt->kind) && debt_find(debts, debt->kind, debt->here, debt->there, 0))
        return 0;
    if (debts->count >= debts->bucket_count && !debts_grow(debts))
        return SOMA_ENOMEM;
    struct debt *added = malloc(sizeof(*added));
    if (!added)
        return SOMA_ENOMEM;
    *added = *debt;
    debt_append(debts, added);
    debts->count++;
    return 0;
}

bool debts_have(const struct debts *debts, enum debt_kind kind, soma_ref here, soma_ref there, uint64_t handle)
{
    return debt_find(debts, kind, here, there, handle);
}

static void debt_remove(struct debts *debts, struct debt **link, struct debt *found)
{
    struct debt *debt = *link;
    *found = *debt;
    *link = debt->next;
    debts->count--;
    free(debt);
}

bool debts_take(struct debts *debts, enum debt_kind kind, soma_ref here, soma_ref there, uint64_t handle,
                struct debt *found)
{
    struct debt **link = debt_find(debts, kind, here, there, handle);
    if (link)
        debt_remove(debts, link, found);
    return link;
}

bool debts_pop(struct debts *debts, struct debt *found)
{
    if (!debts->count)
        return false;
    while (!debts->buckets[debts->bucket_count - 1]) // nobody looks for any one any more
        debts->bucket_count--;
    debt_remove(debts, &debts->buckets[debts->bucket_count - 1], found);
    return true;
}

void debts_free(struct debts *debts)
{
    for (struct debt found; debts_pop(debts, &found);)
        ;
    free(debts->buckets);
    *debts = (struct debts){0};
}
