/* Sends by agents: bodies of all sizes that are copied in their own way, refs that are none, and whose turn comes. */
#include "runtime/agent.h"
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

/* ---- bodies ---- */

SOMA_MESSAGE(size0)
SOMA_MESSAGE(size1, (u8, a))
SOMA_MESSAGE(size2, (u16, a))
SOMA_MESSAGE(size3, (u8, a), (u8, b), (u8, c))
SOMA_MESSAGE(size4, (u32, a))
SOMA_MESSAGE(size6, (u16, a), (u16, b), (u16, c))
SOMA_MESSAGE(size7, (u8, a), (u8, b), (u8, c), (u8, d), (u8, e), (u8, f), (u8, g))
SOMA_MESSAGE(size8, (u64, a))
SOMA_MESSAGE(size12, (u32, a), (u32, b), (u32, c))
SOMA_MESSAGE(size16, (ref, a))
SOMA_MESSAGE(size20, (u32, a), (u32, b), (u32, c), (u32, d), (u32, e))
SOMA_MESSAGE(size22, (u16, a), (u16, b), (u16, c), (u16, d), (u16, e), (u16, f), (u16, g), (u16, h), (u16, i), (u16, j),
             (u16, k))
SOMA_MESSAGE(size24, (u64, a), (u64, b), (u64, c))
SOMA_MESSAGE(size32, (u64, a), (u64, b), (u64, c), (u64, d))
SOMA_MESSAGE(size72, (ref, a), (ref, b), (ref, c), (ref, d), (u64, e))

static const soma_type *const types[] = {&size0_type,  &size1_type,  &size2_type,  &size3_type,  &size4_type,
                                         &size6_type,  &size7_type,  &size8_type,  &size12_type, &size16_type,
                                         &size20_type, &size22_type, &size24_type, &size32_type, &size72_type};

#define TYPES (sizeof(types) / sizeof(types[0]))

SOMA_MESSAGE(begin, (ref, to))

static atomic_uint right, wrong; // what handlers find, who can't fail a test themselves

static void expect(bool holds)
{
    atomic_fetch_add(holds ? &right : &wrong, 1);
}

static void body_fill(unsigned char *body, size_t size)
{
    for (size_t i = 0; i < size; i++)
        body[i] = (unsigned char)(i + size);
}

static int on_any(soma_agent *self, void *state, const soma_type *type, const void *body)
{
    (void)self, (void)state;
    unsigned char expected[72];
    body_fill(expected, type->size);
    expect(type == &size0_type || !memcmp(body, expected, type->size));
    return 0;
}

static const soma_behavior checker = {.name = "checker", .fallback = on_any};

/* Each by itself, then each twice: to one agent in a row they go together. */
static int on_begin(soma_agent *self, void *state, const struct begin *m)
{
    (void)state;
    for (size_t i = 0; i < 3 * TYPES; i++) {
        const soma_type *type = types[i < TYPES ? i : (i - TYPES) / 2];
        unsigned char *body = malloc(type->size); // of just that size, so that a sanitizer sees each byte too many
        if (!body)
            return SOMA_ENOMEM;
        body_fill(body, type->size);
        soma_agent_send(self, m->to, type, body);
        free(body);
    }
    return 0;
}

static const soma_behavior teller = {
    .name = "teller", .state_size = 0, .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

/* An agent tells the checker what it has to, and all is handled. */
static void checker_tell(const soma_behavior *who)
{
    atomic_store(&right, 0);
    atomic_store(&wrong, 0);
    soma_system *system;
    soma_ref to, from;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &checker, NULL, &to), 0);
    assert_int_equal(soma_spawn(system, who, NULL, &from), 0);
    assert_int_equal(soma_send(system, from, begin, .to = to), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_bodies_of_all_sizes(void **state)
{
    (void)state;
    checker_tell(&teller);
    assert_int_equal(atomic_load(&right), 3 * TYPES);
    assert_int_equal(atomic_load(&wrong), 0);
}

static void test_how_types_are_copied(void **state)
{
    (void)state;
    assert_int_equal(size0_type.small, SOMA_SMALL_NONE);
    assert_int_equal(size1_type.small, SOMA_SMALL_BYTES);
    assert_int_equal(size22_type.small, SOMA_SMALL_BYTES);
    assert_int_equal(size8_type.small, SOMA_SMALL_WORDS);
    assert_int_equal(size16_type.small, SOMA_SMALL_WORDS + 1);
    assert_int_equal(size24_type.small, SOMA_SMALL_WORDS + 2);
    assert_int_equal(size32_type.small, 0);
}

/* ---- as many as can be ---- */

/* The turn's budget is as after 2^31 sends but one: it wraps around, and must not be an overflow to a sanitizer. */
static int on_begin_many(soma_agent *self, void *state, const struct begin *m)
{
    (void)state;
    self->worker->budget = (uint32_t)INT32_MIN + 1;
    for (int i = 0; i < 4; i++)
        expect(soma_send(self, m->to, size0) == 0);
    expect(self->worker->budget == (uint32_t)INT32_MAX - 2);
    return 0;
}

static const soma_behavior chatterer = {.name = "chatterer", .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin_many))};

static void test_many(void **state)
{
    (void)state;
    checker_tell(&chatterer);
    assert_int_equal(atomic_load(&right), 4 + 4 + 1);
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ---- refs that are none ---- */

static int on_begin_forged(soma_agent *self, void *state, const struct begin *m)
{
    (void)state;
    const soma_ref to = m->to;
    soma_ref child;
    expect(soma_spawn(self, &checker, NULL, &child) == 0);
    expect(soma_send(self, child, size0) == 0); // so that the worker has seen all slots that there are
    const soma_ref forged[] = {{to.node, to.slot, to.generation + 1}, // what a slot that has ended has
                               {to.node, to.slot, to.generation + 2},
                               {to.node, to.slot, to.generation - 1},
                               {to.node, to.slot, 0},
                               {to.node, child.slot + 1, 0}, // what one that nobody has had yet has
                               {to.node, UINT32_MAX, 1},
                               SOMA_REF_NULL};
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
        expect(soma_send(self, forged[i], size0) == SOMA_EGONE);
    return soma_send(self, to, size0);
}

static const soma_behavior forger = {.name = "forger", .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin_forged))};

static int on_end(soma_agent *self, void *state, const struct size0 *m)
{
    (void)state, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior ends = {.name = "ends", .handlers = SOMA_HANDLERS(SOMA_ON(size0, on_end))};

static int on_begin_late(soma_agent *self, void *state, const struct begin *m)
{
    (void)state;
    const soma_ref free_now = {m->to.node, m->to.slot, m->to.generation + 1};
    expect(soma_send(self, soma_self(self), size0) == 0);
    expect(soma_send(self, m->to, size0) == SOMA_EGONE);
    expect(soma_send(self, free_now, size0) == SOMA_EGONE);
    return 0;
}

static const soma_behavior late = {.name = "late",
                                   .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin_late), SOMA_ON(size0, on_end))};

static void test_forged_refs(void **state)
{
    (void)state;
    atomic_store(&right, 0);
    atomic_store(&wrong, 0);
    soma_system *system;
    soma_ref to, from, after;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &forger, NULL, &from), 0);
    assert_int_equal(soma_spawn(system, &late, NULL, &after), 0);
    assert_int_equal(soma_spawn(system, &ends, NULL, &to), 0);
    assert_int_equal(soma_send(system, from, begin, .to = to), 0); // one worker: `to` ends before `after` begins
    assert_int_equal(soma_send(system, after, begin, .to = to), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&right), 13);
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ---- whose turn comes ---- */

SOMA_MESSAGE(ball, (ref, from), (u32, left))
SOMA_MESSAGE(step, (u32, left))

static atomic_bool arrived;

/* It and another one keep the worker's LIFO slot. */
static int on_ball(soma_agent *self, void *state, const struct ball *m)
{
    (void)state;
    return m->left ? soma_send(self, m->from, ball, .from = soma_self(self), .left = m->left - 1) : 0;
}

static const soma_behavior player = {.name = "player", .handlers = SOMA_HANDLERS(SOMA_ON(ball, on_ball))};

static int on_step(soma_agent *self, void *state, const struct step *m)
{
    (void)state;
    if (m->left)
        return soma_send(self, soma_self(self), step, .left = m->left - 1); // a batch of them, then through the ring
    atomic_store(&arrived, true);
    return 0;
}

static const soma_behavior walker = {.name = "walker", .handlers = SOMA_HANDLERS(SOMA_ON(step, on_step))};

#define PLAYERS 32

/* Two that would run for ever, more and more from outside that run for long, and one in the ring: it comes to its end.
 */
static void test_everybody_has_a_turn(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref players[PLAYERS], walks;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    for (size_t i = 0; i < PLAYERS; i++)
        assert_int_equal(soma_spawn(system, &player, NULL, &players[i]), 0);
    assert_int_equal(soma_spawn(system, &walker, NULL, &walks), 0);
    assert_int_equal(soma_send(system, players[0], ball, .from = players[1], .left = UINT32_MAX), 0);
    assert_int_equal(soma_send(system, walks, step, .left = test_load(10000)), 0);
    for (size_t i = 2; !atomic_load(&arrived); i = i + 2 < PLAYERS ? i + 2 : 2)
        assert_int_equal(soma_send(system, players[i], ball, .from = players[i + 1], .left = 1000), 0);
    assert_int_equal(soma_system_cancel(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bodies_of_all_sizes), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_how_types_are_copied), cmocka_unit_test(test_forged_refs),
                                       cmocka_unit_test(test_everybody_has_a_turn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
