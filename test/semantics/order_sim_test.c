/*
 * What one sends to another arrives in the order in which it was sent, all of it and once: messages, shared bodies and
 * requests, from agents, from outside, and to oneself; whatever the batch, who stands still, or whose mail overtakes
 * that of others.
 */
#include "test_support.h"
#include <soma/body.h>
#include <soma/error.h>
#include <soma/test.h>

#define SENDERS 3u
#define EACH 8u

SOMA_MESSAGE(begin, (ref, to))
SOMA_MESSAGE(item, (u32, from), (u32, number))
SOMA_MESSAGE(receipt, (u32, number))

/* ---- the receiver: knows which number comes next from each ---- */

struct receiver {
    uint32_t next[SENDERS + 1]; /* the last is for who is outside */
};

static int on_item(soma_agent *self, struct receiver *my, const struct item *m)
{
    assert_int_equal(m->number, my->next[m->from]);
    my->next[m->from]++;
    (void)soma_reply(self, receipt, .number = m->number); // SOMA_ESTATE if it is no request
    return 0;
}

static const soma_behavior receiver = {
    .name = "receiver", .state_size = sizeof(struct receiver), .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item))};

/* ---- senders: some items a turn, each in one way or another ---- */

struct sender {
    soma_ref to;
    uint32_t self;
    uint32_t sent;
    uint32_t receipts;
    uint32_t requests;
};

static int sender_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct sender *)state)->self = *(const uint32_t *)arg;
    return 0;
}

static int on_receipt(soma_agent *self, struct sender *my, const struct receipt *m)
{
    assert_int_equal(m->number, soma_tag(self));
    my->receipts++;
    return 0;
}

static int on_no_receipt(soma_agent *self, struct sender *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int item_send(soma_agent *self, struct sender *my)
{
    const struct item next = {.from = my->self, .number = my->sent++};
    soma_body *body;
    switch (soma_random(self) % 3) {
    case 0:
        my->requests++;
        return soma_request_send(self, my->to, SOMA_NEVER,
                                 SOMA_THEN(receipt, on_receipt, on_no_receipt, .tag = next.number), &item_type,
                                 &next) < 0;
    case 1:
        assert_int_equal(soma_body_copy(&body, &item_type, &next), 0);
        assert_int_equal(soma_send_body(self, my->to, body), 0);
        soma_body_close(&body);
        return 0;
    default:
        return soma_agent_send(self, my->to, &item_type, &next);
    }
}

static int on_begin(soma_agent *self, struct sender *my, const struct begin *m)
{
    my->to = m->to;
    for (uint64_t burst = 1 + soma_random(self) % 4; burst && my->sent < EACH; burst--)
        assert_int_equal(item_send(self, my), 0);
    return my->sent < EACH ? soma_send(self, soma_self(self), begin, .to = my->to) : 0;
}

static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct sender),
                                     .init = sender_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

static void test_order(soma_test *test)
{
    soma_system *system =
        soma_test_node_open(test, "node", &(soma_options){.batch = 1 + (uint32_t)soma_test_random(test, 8)});
    soma_ref to, from[SENDERS];
    assert_int_equal(soma_spawn(system, &receiver, NULL, &to), 0);
    for (uint32_t i = 0; i < SENDERS; i++) {
        assert_int_equal(soma_spawn(system, &sender, &i, &from[i]), 0);
        assert_int_equal(soma_send(system, from[i], begin, .to = to), 0);
    }
    for (uint32_t i = 0; i < EACH; i++) {
        assert_int_equal(soma_send(system, to, item, .from = SENDERS, .number = i), 0);
        soma_test_step(test);
    }
    soma_test_settle(test);
    for (uint32_t i = 0; i <= SENDERS; i++)
        assert_int_equal(((const struct receiver *)soma_test_state(test, to))->next[i], EACH);
    for (uint32_t i = 0; i < SENDERS; i++) {
        const struct sender *state = soma_test_state(test, from[i]);
        assert_int_equal(state->receipts, state->requests);
    }
}

/* ---- what an agent sends to itself comes in order, too, between what others send ---- */

SOMA_MESSAGE(own, (u32, number))

struct talker {
    uint32_t sent;
    uint32_t got;
};

static int on_own(soma_agent *self, struct talker *my, const struct own *m)
{
    assert_int_equal(m->number, my->got++);
    for (uint64_t more = soma_random(self) % 3; more && my->sent < 2 * EACH; more--)
        assert_int_equal(soma_send(self, soma_self(self), own, .number = my->sent++), 0);
    return 0;
}

static int on_talk(soma_agent *self, struct talker *my, const struct begin *m)
{
    (void)m;
    return soma_send(self, soma_self(self), own, .number = my->sent++);
}

static const soma_behavior talker = {.name = "talker",
                                     .state_size = sizeof(struct talker),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(own, on_own), SOMA_ON(begin, on_talk))};

static void test_order_to_itself(soma_test *test)
{
    soma_ref to;
    assert_int_equal(soma_spawn(soma_test_system(test), &talker, NULL, &to), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(soma_send(soma_test_system(test), to, begin), 0);
        soma_test_step(test);
    }
    soma_test_settle(test);
    const struct talker *state = soma_test_state(test, to);
    assert_int_equal(state->got, state->sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_order, 10000, 2000, .reorders = 8, .pauses = 2),
        SOMA_SIM(test_order, 10000, 2000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_REAL(test_order),
        SOMA_SIM(test_order_to_itself, 10000, 2000, .reorders = 8),
        SOMA_REAL(test_order_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
