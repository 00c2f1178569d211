/* For tests of a lone node: others that are joined with it, and an agent of its own that asks theirs. */
#ifndef TEST_BRIDGES_LONE_ASKER_H
#define TEST_BRIDGES_LONE_ASKER_H

#include "lone_node.h"
#include "test_support.h"
#include <soma/request.h>

SOMA_MESSAGE(note, (u64, number))
SOMA_MESSAGE(go, (ref, to))

#define FAR 100u         /* the first other node */
#define CONNECTION 1000u /* and its connection, as those that others have made are numbered */

static inline void items_from(struct lone *lone, uint64_t node, uint64_t connection, const msgpack_sbuffer *items)
{
    const struct session *session = &peer_of(lone, node)->session;
    lone_receive_data(lone, connection, session->received + 1, session->sent, items->data, items->size);
}

static int failed;

static int on_answer(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my, (void)m;
    failed = 1;
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    failed = *error;
    return 0;
}

static int on_go(soma_agent *self, void *my, const struct go *m)
{
    (void)my;
    return soma_request(self, m->to, SOMA_NEVER, SOMA_THEN(note, on_answer, on_error), note, .number = 1) < 0;
}

static const soma_behavior asker = {.name = "asker", .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go))};

static inline void bye_over(struct lone *lone, uint64_t connection)
{
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    assert_true(bye_write(&frame));
    lone_receive(lone, connection, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

static inline void bye_from(struct lone *lone, uint64_t node)
{
    bye_over(lone, CONNECTION + node - FAR);
}

static inline uint64_t debts_of(const struct lone *lone)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < lone->bridge->peer_count; i++)
        count += lone->bridge->list[i]->debts.count;
    return count;
}

#endif
