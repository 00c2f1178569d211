/* Monitors and links set, ended and fired on several threads at once: exactly one word for each. */
#include "test_support.h"
#include <sched.h>
#include <soma/soma.h>

#define WATCHERS 6
#define VICTIMS 20000

SOMA_MESSAGE(watch, (ref, agent))
SOMA_MESSAGE(tie, (ref, agent))
SOMA_MESSAGE(die)
SOMA_MESSAGE(ask)
SOMA_MESSAGE(tally, (u64, open), (u64, set), (u64, downs), (u64, dropped), (u64, wrong))

/* Sets two monitors on each agent that it is told of, and ends one of those that it set before. */
struct watcher {
    struct tally tally;
    soma_handle last[4];
};

static int on_watch(soma_agent *self, struct watcher *my, const struct watch *m)
{
    uint32_t place = (uint32_t)(soma_random(self) % 4);
    int error = my->last[place] ? soma_demonitor(self, my->last[place]) : SOMA_ENOENT;
    my->tally.dropped += error == 0;
    my->tally.wrong += error && error != SOMA_ENOENT;
    my->last[place] = soma_monitor(self, m->agent);
    my->tally.set += 2;
    return my->last[place] < 0 ? (int)my->last[place] : (int)soma_monitor(self, m->agent);
}

static int on_down(soma_agent *self, struct watcher *my, const struct soma_down *m)
{
    (void)self;
    my->tally.downs++;
    my->tally.wrong += m->reason != 0 && m->reason != SOMA_EKILLED && m->reason != SOMA_EGONE;
    for (uint32_t i = 0; i < 4; i++)
        if (my->last[i] == m->monitor)
            my->last[i] = 0;
    return 0;
}

static int on_ask(soma_agent *self, struct watcher *my, const struct ask *m)
{
    (void)m;
    my->tally.open = my->tally.set - my->tally.downs - my->tally.dropped;
    return soma_reply_send(self, 0, &tally_type, &my->tally);
}

static const soma_behavior watcher = {
    .name = "watcher",
    .state_size = sizeof(struct watcher),
    .handlers = SOMA_HANDLERS(SOMA_ON(watch, on_watch), SOMA_ON(soma_down, on_down), SOMA_ON(ask, on_ask))};

static int on_die(soma_agent *self, void *state, const struct die *m)
{
    (void)state;
    (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior victim = {.name = "victim", .handlers = SOMA_HANDLERS(SOMA_ON(die, on_die))};

static void test_one_down_each(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref watchers[WATCHERS], it;
    struct tally tally;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 4}), 0);
    for (uint32_t i = 0; i < WATCHERS; i++)
        assert_int_equal(soma_spawn(system, &watcher, NULL, &watchers[i]), 0);
    uint32_t victims = test_load(VICTIMS);
    for (uint32_t n = 0; n < victims; n++) {
        assert_int_equal(soma_spawn(system, &victim, NULL, &it), 0);
        for (uint32_t i = 0; i < WATCHERS; i++) {
            if (i == n % (WATCHERS + 1)) // somewhere between, so that some come too late
                n % 2 ? soma_kill(system, it) : soma_send(system, it, die);
            assert_int_equal(soma_send(system, watchers[i], watch, .agent = it), 0);
        }
        soma_kill(system, it);
    }
    for (uint32_t i = 0; i < WATCHERS; i++) {
        do
            assert_int_equal(soma_call(system, watchers[i], 60 * SOMA_SECOND, &tally, tally, ask), 0);
        while (tally.open && tally.open <= 2 * victims); // below 0 is an error
        assert_int_equal(tally.open, 0);
        assert_int_equal(tally.wrong, 0);
        assert_int_equal(tally.set, 2 * (uint64_t)victims);
    }
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- links: rings of agents that link in both directions at once; one is killed, and all must end ---- */

static int on_tie(soma_agent *self, void *state, const struct tie *m)
{
    (void)state;
    return soma_link(self, m->agent);
}

static const soma_behavior tied = {.name = "tied", .handlers = SOMA_HANDLERS(SOMA_ON(tie, on_tie))};

static void test_links_end_all(void **state)
{
    (void)state;
    enum { RING = 8 };
    soma_system *system;
    soma_stats stats;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 4, .log_level = SOMA_LOG_ERROR}), 0);
    for (uint32_t n = 0, rounds = test_load(3000); n < rounds; n++) {
        soma_ref ring[RING];
        for (uint32_t i = 0; i < RING; i++)
            assert_int_equal(soma_spawn(system, &tied, NULL, &ring[i]), 0);
        for (uint32_t i = 0; i < RING; i++) {
            soma_send(system, ring[i], tie, .agent = ring[(i + 1) % RING]);
            soma_send(system, ring[(i + 1) % RING], tie, .agent = ring[i]);
        }
        assert_int_equal(soma_kill(system, ring[n % RING]), 0);
    }
    do {
        assert_int_equal(soma_system_stats(system, &stats), 0);
        sched_yield();
    } while (stats.agents);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- names: who has heard of an end may take the name, however many have still to hear of it ---- */

#define HEIR "heir"

static int on_heir_watch(soma_agent *self, void *state, const struct watch *m)
{
    (void)state;
    int64_t error = 0;
    for (int i = 0; i < 50 && error >= 0; i++)
        error = soma_monitor(self, m->agent);
    return error < 0 ? (int)error : 0;
}

static int on_heir_down(soma_agent *self, struct tally *my, const struct soma_down *m)
{
    soma_ref holder;
    int error = soma_whereis(soma_agent_system(self), HEIR, &holder);
    my->downs++;
    my->wrong += !error && soma_ref_equal(holder, m->agent);
    return 0;
}

static int on_heir_ask(soma_agent *self, struct tally *my, const struct ask *m)
{
    (void)m;
    return soma_reply_send(self, 0, &tally_type, my);
}

static const soma_behavior heir = {
    .name = "heir",
    .state_size = sizeof(struct tally),
    .handlers =
        SOMA_HANDLERS(SOMA_ON(watch, on_heir_watch), SOMA_ON(soma_down, on_heir_down), SOMA_ON(ask, on_heir_ask))};

static void test_names_are_free(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref heirs[2], it;
    struct tally tally;
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 4}), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(soma_spawn(system, &heir, NULL, &heirs[i]), 0);
    for (uint32_t n = 0, rounds = test_load(3000); n < rounds; n++) {
        assert_int_equal(soma_spawn(system, &victim, NULL, &it), 0);
        assert_int_equal(soma_name_set(system, it, HEIR), 0);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(soma_send(system, heirs[i], watch, .agent = it), 0);
            assert_int_equal(soma_call(system, heirs[i], 60 * SOMA_SECOND, &tally, tally, ask), 0);
        }
        n % 2 ? soma_kill(system, it) : soma_send(system, it, die);
        for (uint32_t i = 0; i < 2; i++)
            do
                assert_int_equal(soma_call(system, heirs[i], 60 * SOMA_SECOND, &tally, tally, ask), 0);
            while (tally.downs < (n + 1) * 50 && !tally.wrong);
        assert_int_equal(tally.wrong, 0);
    }
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_down_each), cmocka_unit_test(test_links_end_all),
                                       cmocka_unit_test(test_names_are_free)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
