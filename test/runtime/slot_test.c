/* Slots: one that can't be held is passed over, one that is worn out does not come back, caches hide none. */
#include "runtime/slot.h"
#include "runtime/system.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

/* All free slots but one run for stray mail: that one is found, and when they are at rest all are there. */
static void test_strays(void **state)
{
    (void)state;
    struct slots slots;
    soma_agent *taken[8], *found[8];
    int error = 0;
    assert_int_equal(slots_open(&slots, 8), 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_non_null(taken[i] = slots_take(&slots, NULL, &error));
    assert_null(slots_take(&slots, NULL, &error));
    assert_int_equal(error, SOMA_EFULL);
    struct message mail;
    for (uint32_t i = 0; i < 8; i++) {
        assert_false(mailbox_unhold(&taken[i]->mailbox));
        slots_give(&slots, NULL, taken[i]);
        if (i != 3)
            assert_true(mailbox_push(&taken[i]->mailbox, &mail));
    }
    assert_ptr_equal(slots_take(&slots, NULL, &error), taken[3]);
    assert_int_equal(error, 0);
    assert_null(slots_take(&slots, NULL, &error));
    for (uint32_t i = 0; i < 8; i++)
        ptr_store(&taken[i]->mailbox.head, MAIL_IDLE);
    slots_give(&slots, NULL, taken[3]);
    for (uint32_t i = 0; i < 8; i++)
        assert_non_null(found[i] = slots_take(&slots, NULL, &error));
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_ptr_not_equal(found[i], found[k]);
    slots_close(&slots);
}

static int end_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior brief = {.name = "brief", .init = end_init};

/* A slot that has had all its generations never meets its first refs again. */
static void test_worn_out(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref first, last, next;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1, .slots = 2}), 0);
    assert_int_equal(soma_spawn(system, &brief, NULL, &first), 0);
    assert_int_equal(first.generation, 1);
    u64_store(&system->slots.base[first.slot].life, life_of(UINT32_MAX - 3));
    assert_int_equal(soma_spawn(system, &brief, NULL, &last), 0);
    assert_int_equal(last.slot, first.slot);
    assert_int_equal(last.generation, UINT32_MAX - 2);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(soma_spawn(system, &brief, NULL, &next), 0);
        assert_int_not_equal(next.slot, first.slot);
    }
    assert_int_equal(soma_system_close(&system), 0);
}

static const soma_behavior idle = {.name = "idle"};

static int parent_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    return soma_spawn(self, &idle, NULL, NULL);
}

SOMA_MESSAGE(go)

static int on_go(soma_agent *self, void *state, const struct go *m)
{
    (void)state, (void)m;
    soma_agent_exit(self, 0);
    return soma_spawn(self, &brief, NULL, NULL);
}

static const soma_behavior parent = {
    .name = "parent", .init = parent_init, .blocking = true, .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go))};

/* Blocking agents that spawn and end take no slots with them. */
static void test_blocking_agents_hoard_none(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    uint32_t rounds = test_load(65536 / SLOT_CACHE + 200); // if each hoarded a cache, they would be gone
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1, .slots = 65536}), 0);
    for (uint32_t i = 0; i < rounds; i++) {
        assert_int_equal(soma_spawn(system, &parent, NULL, &ref), 0);
        assert_int_equal(soma_send(system, ref, go), 0);
    }
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strays),
        cmocka_unit_test(test_worn_out),
        cmocka_unit_test(test_blocking_agents_hoard_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
