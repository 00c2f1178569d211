/* Putting bodies together; see bodies.h. */
#include "bridges/bodies.h"
#include "bridges/item.h"
#include "runtime/value.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

static struct apart *place_of(struct bodies *bodies, uint64_t number)
{
    for (uint32_t i = 0; i < BODIES_MOST; i++)
        if (bodies->places[i].number == number)
            return &bodies->places[i];
    return NULL;
}

void bodies_drop(struct apart *body)
{
    free(body->bytes);
    soma_body_close(&body->made);
    *body = (struct apart){0};
}

static void body_lose(struct apart *body, int error)
{
    free(body->bytes);
    body->bytes = NULL;
    body->error = error;
}

/* Memory grows with what has come, not with what somebody says will come. */
static void part_append(struct apart *body, const struct reader *part)
{
    size_t size = reader_left(part), all = body->size + body->left;
    if (body->size + size > body->capacity) {
        size_t capacity = body->capacity * 2 > body->size + size ? body->capacity * 2 : body->size + size;
        capacity = capacity < all ? capacity : all;
        char *grown = realloc(body->bytes, capacity);
        if (!grown) {
            body_lose(body, SOMA_ENOMEM);
            return;
        }
        body->bytes = grown;
        body->capacity = capacity;
    }
    memcpy(body->bytes + body->size, part->at, size);
    body->size += size;
}

/* It must be one value: who gets it reads no further than that. */
static int body_check(const struct apart *body)
{
    struct reader reader = {(const unsigned char *)body->bytes, (const unsigned char *)body->bytes + body->size};
    return value_skip(&reader) || reader_left(&reader) ? SOMA_EFORMAT : 0;
}

static struct apart *body_begin(struct bodies *bodies, const struct item *item, uint64_t most)
{
    struct apart *body = place_of(bodies, 0);
    for (uint32_t i = 0; i < BODIES_MOST; i++)
        if (bodies->places[i].left) // one after another
            return NULL;
    if (!body)
        return NULL;
    *body = (struct apart){
        .number = item->number, .left = item->left + reader_left(&item->body), .shared = item->kind == ITEM_SHARED};
    if (body->left > most)
        body->error = SOMA_ETOOBIG;
    return body;
}

int bodies_put(struct bodies *bodies, const struct item *item, uint64_t most)
{
    struct apart *body = place_of(bodies, item->number);
    if (!body)
        body = body_begin(bodies, item, most);
    if (!body || body->left != item->left + reader_left(&item->body) || // also one that was whole already
        body->shared != (item->kind == ITEM_SHARED))
        return SOMA_EFORMAT;
    if (!body->error)
        part_append(body, &item->body);
    body->left = item->left;
    return body->left || body->error ? 0 : body_check(body);
}

struct apart *bodies_find(struct bodies *bodies, uint64_t number)
{
    struct apart *body = place_of(bodies, number);
    return body && !body->left ? body : NULL;
}

void bodies_made(struct apart *body, soma_body *made)
{
    free(body->bytes);
    body->bytes = NULL;
    body->made = made;
}

int bodies_forget(struct bodies *bodies, uint64_t number)
{
    struct apart *body = bodies_find(bodies, number);
    if (!body || !body->shared)
        return SOMA_EFORMAT;
    bodies_drop(body);
    return 0;
}

void bodies_reset(struct bodies *bodies)
{
    for (uint32_t i = 0; i < BODIES_MOST; i++)
        bodies_drop(&bodies->places[i]);
}
