/*
 * Chaos: a tree of ten thousand supervised agents works while some are killed, fail, or are told to end all the time,
 * supervisors among them. Once it stops the tree must be whole, every monitor have brought its one word, every request
 * its one answer, and the ledgers' sums be what was sent.
 *
 * What the sums rest on: a ledger keeps its ref and its mail while it is down, a message whose handler fails is gone,
 * and what a handler has stashed and sent before it fails stands. Its supervisor is the one that nobody harms.
 */
#include "test_support.h"
#include <sched.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define BRANCHES 25u
#define GROUPS 20u  /* a branch; supervisors */
#define WORKERS 20u /* a group */
#define LEDGERS 50u
#define WATCHERS 4u
#define FEEDERS 4u
#define OPEN 200u /* monitors at once, of each watcher */
#define BURST 10u
#define PATIENCE (60 * SOMA_SECOND)

SOMA_MESSAGE(tick)
SOMA_MESSAGE(work)
SOMA_MESSAGE(fail)
SOMA_MESSAGE(deposit, (i64, amount))
SOMA_MESSAGE(move, (i64, amount), (u32, fails))
SOMA_MESSAGE(ask)
SOMA_MESSAGE(account, (i64, balance), (u64, credits), (u64, moves))
SOMA_MESSAGE(tally, (u64, open), (u64, wrong), (u64, fired))

static struct {
    atomic_bool calm;    /* the chaos is over */
    atomic_bool rough;   /* inits may fail */
    atomic_llong sent;   /* into ledgers, from outside them */
    atomic_ullong count; /* how many times */
    atomic_ullong refused;
    atomic_ullong wrong_lives;
    atomic_ullong asked, answered;
    atomic_llong ops;
} world;

static char branch_names[BRANCHES][16], group_names[BRANCHES][GROUPS][16], worker_names[BRANCHES][GROUPS][WORKERS][20];
static char ledger_names[LEDGERS][16];
static soma_ref ledgers[LEDGERS];

static uint32_t below(soma_agent *self, uint32_t count)
{
    return (uint32_t)(soma_random(self) % count);
}

static soma_ref find(soma_system *system, const char *name)
{
    soma_ref ref;
    return soma_whereis(system, name, &ref) ? SOMA_REF_NULL : ref;
}

static soma_ref any_worker(soma_agent *self)
{
    uint32_t b = below(self, BRANCHES), g = below(self, GROUPS), w = below(self, WORKERS);
    return find(soma_agent_system(self), worker_names[b][g][w]);
}

/* ---- ledgers ---- */

static int ledger_init(soma_agent *self, void *state, const void *arg)
{
    (void)arg;
    const struct account *left = soma_stashed(self, account);
    if (left)
        *(struct account *)state = *left;
    return 0;
}

static int on_deposit(soma_agent *self, struct account *my, const struct deposit *m)
{
    my->balance += m->amount;
    my->credits++;
    return soma_stash_set(self, &account_type, my);
}

/* Passes an amount on to another ledger, and may fail: before it has begun, or when all is done. */
static int on_move(soma_agent *self, struct account *my, const struct move *m)
{
    if (m->fails == 1)
        return SOMA_EFORMAT;
    my->balance -= m->amount;
    my->moves++;
    int error = soma_stash_set(self, &account_type, my);
    if (!error)
        error = soma_send(self, ledgers[below(self, LEDGERS)], deposit, .amount = m->amount);
    if (error)
        atomic_fetch_add(&world.refused, 1);
    return m->fails == 2 ? SOMA_EFORMAT : 0;
}

static int on_account(soma_agent *self, struct account *my, const struct ask *m)
{
    (void)m;
    return soma_reply_send(self, 0, &account_type, my);
}

static int on_ledger_fail(soma_agent *self, struct account *my, const struct fail *m)
{
    (void)my, (void)m;
    return soma_fail(self, SOMA_EFORMAT, "ledger %u", below(self, 1000));
}

static const soma_behavior ledger = {
    .name = "ledger",
    .state_size = sizeof(struct account),
    .init = ledger_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(deposit, on_deposit), SOMA_ON(move, on_move), SOMA_ON(ask, on_account),
                              SOMA_ON(fail, on_ledger_fail)),
};

/* ---- workers: send to ledgers and to each other ---- */

struct worker {
    uint32_t lives; /* begun in this state: one */
};

static int worker_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    return atomic_load(&world.rough) && !below(self, 2000) ? SOMA_EAGAIN : 0;
}

static int worker_ready(soma_agent *self, void *state)
{
    (void)self;
    if (++((struct worker *)state)->lives != 1)
        atomic_fetch_add(&world.wrong_lives, 1);
    return 0;
}

static int on_work(soma_agent *self, struct worker *my, const struct work *m)
{
    (void)m;
    if (my->lives != 1)
        atomic_fetch_add(&world.wrong_lives, 1);
    soma_ref to = ledgers[below(self, LEDGERS)];
    if (!below(self, 4))
        return soma_send(self, to, move, .amount = below(self, 100), .fails = below(self, 200));
    int64_t amount = (int64_t)below(self, 1000) - 300;
    if (soma_send(self, to, deposit, .amount = amount)) {
        atomic_fetch_add(&world.refused, 1);
        return 0;
    }
    atomic_fetch_add(&world.sent, amount);
    atomic_fetch_add(&world.count, 1);
    if (below(self, 2) && !atomic_load(&world.calm))
        soma_send(self, any_worker(self), work);
    return 0;
}

static int on_fail(soma_agent *self, struct worker *my, const struct fail *m)
{
    (void)self, (void)my, (void)m;
    return SOMA_EFORMAT;
}

static const soma_behavior worker = {
    .name = "worker",
    .state_size = sizeof(struct worker),
    .init = worker_init,
    .ready = worker_ready,
    .handlers = SOMA_HANDLERS(SOMA_ON(work, on_work), SOMA_ON(fail, on_fail)),
};

static int stubborn_init(soma_agent *self, void *state, const void *arg)
{
    int error = worker_init(self, state, arg);
    return error ? error : soma_trap_exits(self, true);
}

/* Told to end, it takes its time, or never does. */
static int on_exited(soma_agent *self, struct worker *my, const struct soma_exited *m)
{
    (void)my, (void)m;
    return below(self, 3) ? (int)soma_timer_after(self, SOMA_MS, &fail_type, &(struct fail){0}) : 0;
}

static const soma_behavior stubborn = {
    .name = "stubborn",
    .state_size = sizeof(struct worker),
    .base = &worker,
    .init = stubborn_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_exited, on_exited)),
};

/* ---- feeders: work for the workers, as long as the chaos lasts ---- */

static int on_feed(soma_agent *self, void *my, const struct tick *m)
{
    (void)my, (void)m;
    if (atomic_load(&world.calm))
        return 0;
    for (uint32_t i = 0; i < BURST; i++)
        soma_send(self, any_worker(self), work);
    return soma_send(self, soma_self(self), tick);
}

static const soma_behavior feeder = {.name = "feeder", .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_feed))};

/* ---- watchers ---- */

struct watcher {
    soma_handle open[OPEN];
    struct tally tally;
};

static soma_ref any_victim(soma_agent *self)
{
    uint32_t b = below(self, BRANCHES), g = below(self, GROUPS), kind = below(self, 100);
    if (!kind)
        return find(soma_agent_system(self), branch_names[b]);
    if (kind < 5)
        return find(soma_agent_system(self), group_names[b][g]);
    if (kind < 10)
        return ledgers[below(self, LEDGERS)];
    return any_worker(self);
}

static int on_watch(soma_agent *self, struct watcher *my, const struct tick *m)
{
    (void)m;
    if (atomic_load(&world.calm))
        return 0;
    for (uint32_t i = 0; i < BURST; i++) {
        soma_handle *place = &my->open[below(self, OPEN)];
        if (*place) { // its word has not come
            my->tally.wrong += soma_demonitor(self, *place) != 0;
            my->tally.open--;
        }
        *place = soma_monitor(self, any_victim(self));
        my->tally.wrong += *place < 0;
        my->tally.open++;
    }
    return (int)soma_timer_after(self, SOMA_MS / 2, &tick_type, &(struct tick){0});
}

static int on_down(soma_agent *self, struct watcher *my, const struct soma_down *m)
{
    (void)self;
    uint32_t i = 0;
    while (i < OPEN && my->open[i] != m->monitor)
        i++;
    if (i == OPEN) { // a second one, or of one that was ended
        my->tally.wrong++;
        return 0;
    }
    my->open[i] = 0;
    my->tally.open--;
    my->tally.fired++;
    return 0;
}

static int on_tally(soma_agent *self, struct watcher *my, const struct ask *m)
{
    (void)m;
    return soma_reply_send(self, 0, &tally_type, &my->tally);
}

static const soma_behavior watcher = {
    .name = "watcher",
    .state_size = sizeof(struct watcher),
    .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_watch), SOMA_ON(soma_down, on_down), SOMA_ON(ask, on_tally))};

/* ---- the chaos ---- */

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my, (void)error;
    atomic_fetch_add(&world.answered, 1);
    return 0;
}

static int on_started(soma_agent *self, void *my, const struct soma_started *m)
{
    (void)my;
    atomic_fetch_add(&world.answered, 1);
    soma_send(self, m->child, work);
    return 0;
}

static int on_stopped(soma_agent *self, void *my, const struct soma_stopped *m)
{
    (void)self, (void)my, (void)m;
    atomic_fetch_add(&world.answered, 1);
    return 0;
}

/* One of a pool's ends some way or other, and another one begins. */
static int on_children(soma_agent *self, void *my, const struct soma_children *m)
{
    (void)my;
    atomic_fetch_add(&world.answered, 1);
    soma_ref pool = soma_sender(self);
    soma_ref it = m->list.count ? m->list.items[below(self, m->list.count)].agent : SOMA_REF_NULL;
    switch (below(self, 4)) {
    case 0:
        return soma_kill(soma_agent_system(self), it), 0;
    case 1:
        return soma_send(self, it, fail), 0;
    default:
        atomic_fetch_add(&world.asked, 2);
        soma_request(self, pool, SOMA_NEVER, SOMA_THEN(soma_stopped, on_stopped, on_error), soma_stop_child,
                     .child = it);
        soma_request(self, pool, SOMA_NEVER, SOMA_THEN(soma_started, on_started, on_error), soma_start_child);
        return 0;
    }
}

static void harm_one(soma_agent *self)
{
    soma_system *system = soma_agent_system(self);
    uint32_t b = below(self, BRANCHES), g = below(self, GROUPS), kind = below(self, 1000);
    if (kind == 0)
        soma_kill(system, find(system, branch_names[b]));
    else if (kind == 1)
        soma_shutdown(self, find(system, branch_names[b]));
    else if (kind < 10)
        soma_kill(system, find(system, group_names[b][g]));
    else if (kind < 15)
        soma_shutdown(self, find(system, group_names[b][g]));
    else if (kind < 100)
        soma_kill(system, ledgers[below(self, LEDGERS)]);
    else if (kind < 200)
        soma_send(self, ledgers[below(self, LEDGERS)], fail);
    else if (kind < 500)
        soma_kill(system, any_worker(self));
    else if (kind < 800)
        soma_send(self, any_worker(self), fail);
    else {
        atomic_fetch_add(&world.asked, 1); // mostly not of a pool, and then it does no harm
        soma_request(self, find(system, group_names[b][g % 4 == 3 ? g : 3]), SOMA_NEVER,
                     SOMA_THEN(soma_children, on_children, on_error), soma_list_children);
    }
}

static int on_chaos(soma_agent *self, void *my, const struct tick *m)
{
    (void)my, (void)m;
    for (uint32_t i = 0; i < BURST; i++)
        harm_one(self);
    if (atomic_fetch_sub(&world.ops, BURST) > (int64_t)BURST)
        return (int)soma_timer_after(self, SOMA_MS, &tick_type, &(struct tick){0});
    atomic_store(&world.rough, false);
    atomic_store(&world.calm, true);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior chaos = {.name = "chaos", .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_chaos))};

/* ---- the tree ---- */

static soma_child worker_specs[BRANCHES][GROUPS][WORKERS], group_specs[BRANCHES][GROUPS], branch_specs[BRANCHES];
static soma_child ledger_specs[LEDGERS], top_specs[2];
static soma_supervision groups[BRANCHES][GROUPS], branches[BRANCHES], forest, bank, top;

static soma_supervision generous(soma_strategy strategy, const soma_child *children, uint32_t count)
{
    return (soma_supervision){
        .strategy = strategy, .intensity = 1000, .period = 1, .children = children, .count = count};
}

/* Every fourth is a pool, every fifth escalates now and then, every third backs off. */
static void plan_group(uint32_t b, uint32_t g)
{
    soma_child *specs = worker_specs[b][g];
    bool pool = g % 4 == SOMA_POOL;
    for (uint32_t w = 0; w < WORKERS; w++) {
        snprintf(worker_names[b][g][w], sizeof(worker_names[b][g][w]), "b%u.g%u.w%u", b, g, w);
        specs[w] = (soma_child){.name = pool ? NULL : worker_names[b][g][w],
                                .behavior = w % 10 == 7 ? &stubborn : &worker,
                                .restart = w % 3 ? SOMA_PERMANENT : SOMA_TRANSIENT,
                                .mail = w % 2,
                                .shutdown = 2 * SOMA_MS};
    }
    groups[b][g] = generous((soma_strategy)(g % 4), specs, WORKERS);
    if (g % 5 == 0)
        groups[b][g].intensity = 8, groups[b][g].period = SOMA_SECOND;
    if (g % 3 == 0)
        groups[b][g].backoff = SOMA_MS, groups[b][g].backoff_max = 4 * SOMA_MS;
    snprintf(group_names[b][g], sizeof(group_names[b][g]), "b%u.g%u", b, g);
    group_specs[b][g] = (soma_child){.name = group_names[b][g],
                                     .behavior = &soma_supervisor,
                                     .arg = &groups[b][g],
                                     .restart = SOMA_PERMANENT,
                                     .mail = g % 2};
}

static void plan(void)
{
    for (uint32_t b = 0; b < BRANCHES; b++) {
        for (uint32_t g = 0; g < GROUPS; g++)
            plan_group(b, g);
        branches[b] = generous((soma_strategy)(b % 3), group_specs[b], GROUPS);
        snprintf(branch_names[b], sizeof(branch_names[b]), "b%u", b);
        branch_specs[b] = (soma_child){.name = branch_names[b], .behavior = &soma_supervisor, .arg = &branches[b]};
    }
    for (uint32_t i = 0; i < LEDGERS; i++) {
        snprintf(ledger_names[i], sizeof(ledger_names[i]), "ledger%u", i);
        ledger_specs[i] = (soma_child){.name = ledger_names[i], .behavior = &ledger, .mail = true};
    }
    forest = generous(SOMA_ONE_FOR_ONE, branch_specs, BRANCHES);
    bank = generous(SOMA_ONE_FOR_ONE, ledger_specs, LEDGERS);
    top_specs[0] = (soma_child){.name = "bank", .behavior = &soma_supervisor, .arg = &bank};
    top_specs[1] = (soma_child){.name = "forest", .behavior = &soma_supervisor, .arg = &forest};
    top = generous(SOMA_ONE_FOR_ALL, top_specs, 2);
}

/* ---- what must be true at the end ---- */

/* Counts what runs in a tree, itself included; adds to *restless what doesn't, or has lost its name. */
static uint64_t tree_count(soma_system *system, soma_ref supervisor, uint64_t *restless)
{
    struct soma_children children;
    int error = soma_call(system, supervisor, PATIENCE, &children, soma_children, soma_list_children);
    if (error) {
        ++*restless;
        return 0;
    }
    uint64_t count = 1;
    for (uint32_t i = 0; i < children.list.count; i++) {
        const struct soma_child_info *child = &children.list.items[i];
        *restless += strcmp(child->state, "running") != 0 ||
                     (child->name && !soma_ref_equal(find(system, child->name), child->agent));
        count += child->supervisor ? tree_count(system, child->agent, restless) : 1;
    }
    soma_children_destroy(&children);
    return count;
}

/* All that lives is in the tree, or one of `others`; nobody is missing there. */
static void whole_again(soma_system *system, soma_ref root, uint64_t others)
{
    uint64_t until = soma_now(system) + PATIENCE, restless, count;
    soma_stats stats;
    do {
        sched_yield();
        restless = 0;
        count = tree_count(system, root, &restless);
        assert_int_equal(soma_system_stats(system, &stats), 0);
    } while ((restless || stats.agents != count + others) && soma_now(system) < until);
    if (restless)
        soma_tree_print(system, root, stderr);
    assert_int_equal(restless, 0);
    assert_int_equal(stats.agents, count + others);
    assert_in_range(count, 3 + LEDGERS + BRANCHES * (1 + GROUPS * (1 + WORKERS * 3 / 4)), UINT64_MAX);
}

static void sums_agree(soma_system *system)
{
    uint64_t until = soma_now(system) + PATIENCE;
    struct account all, it;
    do {
        all = (struct account){0};
        for (uint32_t i = 0; i < LEDGERS; i++) {
            assert_true(soma_ref_equal(ledgers[i], find(system, ledger_names[i])));
            assert_int_equal(soma_call(system, ledgers[i], PATIENCE, &it, account, ask), 0);
            all.balance += it.balance, all.credits += it.credits, all.moves += it.moves;
        }
    } while (all.credits != atomic_load(&world.count) + all.moves && soma_now(system) < until);
    assert_int_equal(all.credits, atomic_load(&world.count) + all.moves);
    assert_int_equal(all.balance, atomic_load(&world.sent));
    assert_int_equal(atomic_load(&world.refused), 0);
}

/* With the tree gone every monitor has had its word. */
static void words_came(soma_system *system, const soma_ref *watchers)
{
    for (uint32_t i = 0; i < WATCHERS; i++) {
        uint64_t until = soma_now(system) + PATIENCE;
        struct tally tally;
        do
            assert_int_equal(soma_call(system, watchers[i], PATIENCE, &tally, tally, ask), 0);
        while (tally.open && soma_now(system) < until);
        assert_int_equal(tally.open, 0);
        assert_int_equal(tally.wrong, 0);
        assert_true(tally.fired > 0);
    }
}

static void alone(soma_system *system, uint64_t others)
{
    uint64_t until = soma_now(system) + PATIENCE;
    soma_stats stats;
    do {
        assert_int_equal(soma_system_stats(system, &stats), 0);
        sched_yield();
    } while (stats.agents != others && soma_now(system) < until);
    assert_int_equal(stats.agents, others);
}

static void test_chaos(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref root, watchers[WATCHERS], ref;
    atomic_store(&world.ops, test_load(20000));
    plan();
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 4, .log_level = SOMA_LOG_OFF}), 0);
    assert_int_equal(soma_spawn(system, &soma_supervisor, &top, &root), 0);
    for (uint32_t i = 0; i < LEDGERS; i++)
        ledgers[i] = find(system, ledger_names[i]);
    atomic_store(&world.rough, true);
    for (uint32_t i = 0; i < WATCHERS; i++) {
        assert_int_equal(soma_spawn(system, &watcher, NULL, &watchers[i]), 0);
        soma_send(system, watchers[i], tick);
    }
    for (uint32_t i = 0; i < FEEDERS; i++) {
        assert_int_equal(soma_spawn(system, &feeder, NULL, &ref), 0);
        soma_send(system, ref, tick);
    }
    assert_int_equal(soma_spawn(system, &chaos, NULL, &ref), 0);
    soma_send(system, ref, tick);
    assert_int_equal(soma_system_run(system), 0);

    uint64_t others = WATCHERS + FEEDERS + 1;
    whole_again(system, root, others);
    sums_agree(system);
    assert_int_equal(atomic_load(&world.wrong_lives), 0);
    assert_int_equal(atomic_load(&world.asked), atomic_load(&world.answered));
    assert_int_equal(soma_shutdown(system, root), 0);
    alone(system, others);
    words_came(system, watchers);
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chaos)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
