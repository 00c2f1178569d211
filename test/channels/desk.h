/* Somebody who is asked over tcp, at a desk, and somebody who asks, for answers of sizes, one after the other. */
#ifndef TEST_CHANNELS_DESK_H
#define TEST_CHANNELS_DESK_H

#include "../bridges/nodes.h"
#include <soma/channel.h>

SOMA_MESSAGE(chunk, (bytes, data))
SOMA_MESSAGE(more)  /* to who asks: the next question */
SOMA_MESSAGE(leave) /* to who is asked: the channel is closed */

#define MOST 1000u /* bytes of a message here */
#define BACK_MOST 16

static char bytes[MOST + 1];
static soma_address desk_place;
static atomic_int bound, answered, held, left;
static uint32_t sizes[BACK_MOST]; /* of the answers; */
static int errors[BACK_MOST];     /* or why there is none */

static soma_pattern desk_pattern = SOMA_ASYNC_REP;
static soma_channel_options speaks = {.serializer = "raw", .message_most = MOST};

/* ---- who asks: for one answer after the other, by its size ---- */

struct asker {
    const uint32_t *next; /* at a 0 it waits for more */
    int count;
};

static int ask_next(soma_agent *self, struct asker *my);

static int answer_note(soma_agent *self, struct asker *my, uint32_t size, int error)
{
    assert_true(my->count < BACK_MOST);
    sizes[my->count] = size;
    errors[my->count++] = error;
    atomic_fetch_add(&answered, 1);
    return ask_next(self, my);
}

static int on_answer(soma_agent *self, struct asker *my, const struct chunk *m)
{
    assert_memory_equal(m->data.data, bytes, m->data.size);
    return answer_note(self, my, m->data.size, 0);
}

static int on_no_answer(soma_agent *self, struct asker *my, const int *error)
{
    return answer_note(self, my, 0, *error);
}

static int ask_next(soma_agent *self, struct asker *my)
{
    uint32_t size = *my->next++;
    if (!size)
        return 0;
    return soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(chunk, on_answer, on_no_answer), chunk,
                           .data = {(const char *)&size, sizeof(size)}) < 0;
}

static int on_more(soma_agent *self, struct asker *my, const struct more *m)
{
    (void)m;
    return ask_next(self, my);
}

static int on_changed(soma_agent *self, struct asker *my, const struct soma_channel_changed *m)
{
    return m->peers ? ask_next(self, my) : 0;
}

static int asker_init(soma_agent *self, void *state, const void *asked)
{
    ((struct asker *)state)->next = asked;
    return soma_connect_with(self, &desk_place, "it", &speaks);
}

static const soma_behavior asker = {
    .name = "asker",
    .state_size = sizeof(struct asker),
    .init = asker_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed), SOMA_ON(more, on_more))};

/* ---- who is asked ---- */

static inline uint32_t size_asked(const struct chunk *m)
{
    uint32_t size;
    assert_int_equal(m->data.size, sizeof(size));
    memcpy(&size, m->data.data, sizeof(size));
    return size;
}

static int on_leave(soma_agent *self, void *my, const struct leave *m)
{
    (void)my, (void)m;
    assert_int_equal(soma_close_channel(self, "it"), 0);
    atomic_store(&left, 1);
    return 0;
}

static int desk_init(soma_agent *self, void *my, const void *handlers)
{
    soma_channel_options options = speaks;
    (void)my;
    options.place = "tcp";
    options.handlers = handlers;
    int error = soma_bind(self, desk_pattern, "it", &options, &desk_place);
    atomic_store(&bound, 1);
    return error;
}

static const soma_behavior desk = {
    .name = "desk", .init = desk_init, .handlers = SOMA_HANDLERS(SOMA_ON(leave, on_leave))};

/* A desk of a behavior, with such handlers for what is asked, is asked for answers of sizes. Who asks. */
static inline soma_ref desk_ask_at(struct node *node, const soma_behavior *behavior, const soma_handler *handlers,
                                   const uint32_t *asked)
{
    soma_ref ref;
    atomic_store(&bound, 0);
    atomic_store(&answered, 0);
    atomic_store(&held, 0);
    atomic_store(&left, 0);
    assert_int_equal(soma_spawn(node->system, behavior, handlers, &node->agent), 0);
    wait_word("a desk", &bound, 1);
    assert_int_equal(soma_spawn(node->system, &asker, asked, &ref), 0);
    return ref;
}

static inline soma_ref desk_ask(struct node *node, const soma_handler *handlers, const uint32_t *asked)
{
    return desk_ask_at(node, &desk, handlers, asked);
}

static inline void bytes_fill(void)
{
    for (uint32_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i % 251);
}

#endif
