/*
 * Planted: a supervisor that restarts in the wrong order. A cache signs on with its store when it starts, so when one
 * of the two ends, both are to start anew, the store first. The buggy keeper starts them in the order in which it heard
 * of their ends; the word of a cache that starts first reaches nobody.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/keep.h>
#include <soma/test.h>

SOMA_MESSAGE(sign_on)
SOMA_MESSAGE(welcome)
SOMA_MESSAGE(put, (u32, value))
SOMA_MESSAGE(changed, (u32, value))

enum { STORE, CACHE, CHILDREN };

struct store {
    soma_ref reader;
};

static int on_sign_on(soma_agent *self, struct store *my, const struct sign_on *m)
{
    (void)m;
    my->reader = soma_sender(self);
    (void)soma_send(self, my->reader, welcome); // it may be gone
    return 0;
}

static int on_put(soma_agent *self, struct store *my, const struct put *m)
{
    if (!soma_ref_is_null(my->reader))
        (void)soma_send(self, my->reader, changed, .value = m->value); // it may be gone
    return 0;
}

static const soma_behavior store = {.name = "store",
                                    .state_size = sizeof(struct store),
                                    .handlers = SOMA_HANDLERS(SOMA_ON(sign_on, on_sign_on), SOMA_ON(put, on_put))};

struct cache {
    bool signed_on;
    uint32_t value;
};

static int cache_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    (void)soma_send(self, *(const soma_ref *)arg, sign_on); // nobody there: that is the bug
    return 0;
}

static int on_welcome(soma_agent *self, struct cache *my, const struct welcome *m)
{
    (void)self, (void)m;
    my->signed_on = true;
    return 0;
}

static int on_changed(soma_agent *self, struct cache *my, const struct changed *m)
{
    (void)self;
    my->value = m->value;
    return 0;
}

static const soma_behavior cache = {.name = "cache",
                                    .state_size = sizeof(struct cache),
                                    .init = cache_init,
                                    .handlers =
                                        SOMA_HANDLERS(SOMA_ON(welcome, on_welcome), SOMA_ON(changed, on_changed))};

/* ---- the keeper ---- */

struct keeper {
    bool in_order;
    soma_ref refs[CHILDREN];
    soma_handle kept[CHILDREN];
    uint32_t ended[CHILDREN]; /* who has, in the order in which we heard of it */
    uint32_t ended_count;
};

static const soma_behavior *const behaviors[CHILDREN] = {[STORE] = &store, [CACHE] = &cache};

static int keeper_init(soma_agent *self, void *state, const void *arg)
{
    struct keeper *my = state;
    my->in_order = *(const bool *)arg;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        my->kept[i] = soma_spawn_kept(self, behaviors[i], &my->refs[STORE], false, i, &my->refs[i]);
        if (my->kept[i] < 0)
            return (int)my->kept[i];
    }
    return 0;
}

static int children_start(soma_agent *self, struct keeper *my)
{
    for (uint32_t i = 0; i < CHILDREN; i++) {
        uint32_t child = my->in_order ? i : my->ended[i];
        int error = soma_revive(self, my->kept[child], behaviors[child], &my->refs[STORE]);
        if (error)
            return error;
    }
    my->ended_count = 0;
    return 0;
}

static int on_ended(soma_agent *self, struct keeper *my, const struct soma_down *m)
{
    (void)m;
    uint32_t child = (uint32_t)soma_tag(self);
    my->ended[my->ended_count++] = child;
    if (my->ended_count == CHILDREN)
        return children_start(self, my);
    soma_kill(soma_agent_system(self), my->refs[!child]); // it may have ended by itself meanwhile
    return 0;
}

static const soma_behavior keeper = {.name = "keeper",
                                     .state_size = sizeof(struct keeper),
                                     .init = keeper_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_ended))};

static void cache_is_kept(soma_test *test, bool in_order)
{
    soma_system *system = soma_test_system(test);
    soma_ref top;
    assert_int_equal(soma_spawn(system, &keeper, &in_order, &top), 0);
    soma_test_spare(test, top);
    const struct keeper *kept = soma_test_state(test, top);
    for (uint32_t i = 1; i <= 4; i++)
        (void)soma_send(system, kept->refs[STORE], put, .value = i); // it may be down
    soma_test_settle(test);
    assert_int_equal(soma_send(system, kept->refs[STORE], put, .value = 5), 0);
    soma_test_settle(test);
    const struct cache *cached = soma_test_state(test, kept->refs[CACHE]);
    assert_non_null(cached);
    assert_true(cached->signed_on);
}

static void test_restarts_out_of_order(soma_test *test)
{
    cache_is_kept(test, false);
}

static void test_restarts_in_order(soma_test *test)
{
    cache_is_kept(test, true);
}

/* Found within 100 seeds, each with a kill at most. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_restarts_out_of_order, 100, 1000, .fails = true, .lines = 30, .kills = 1),
        SOMA_SIM(test_restarts_out_of_order, 100, 1000, .fails = true, .lines = 30, .kills = 1,
                 .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_restarts_in_order, 10000, 1000, .kills = 1),
        SOMA_SIM(test_restarts_in_order, 10000, 1000, .kills = 1, .schedule = SOMA_SCHEDULE_PCT),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
