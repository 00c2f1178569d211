/* Memory that runs out at each point of a spawn, send, request, timer and so on; see memory_world.h. */
#include "memory_world.h"
#include <stdio.h>

/* ---- spawning ---- */

static int spawn_plain(soma_agent *self, struct host *my)
{
    return soma_spawn(self, &leaf, NULL, &my->child);
}

static int spawn_ready(soma_agent *self, struct host *my)
{
    return soma_spawn(self, &ready_leaf, NULL, &my->child);
}

static int spawn_linked(soma_agent *self, struct host *my)
{
    return soma_spawn_link(self, &ready_leaf, NULL, &my->child);
}

static int spawn_monitored(soma_agent *self, struct host *my)
{
    my->handle = soma_spawn_monitor(self, &ready_leaf, NULL, &my->child);
    return my->handle < 0 ? (int)my->handle : 0;
}

static int spawn_kept(soma_agent *self, struct host *my)
{
    my->handle = soma_spawn_kept(self, &ready_leaf, NULL, true, 1, &my->child);
    return my->handle < 0 ? (int)my->handle : 0;
}

static int revive(soma_agent *self, struct host *my)
{
    return soma_revive(self, my->handle, &ready_leaf, NULL);
}

static int release(soma_agent *self, struct host *my)
{
    return soma_release(self, my->handle);
}

static void nobody_spawned(struct world *world)
{
    assert_true(soma_ref_is_null(host_of(world)->child));
    assert_int_equal(agents_of(world->system), world->agents);
    assert_int_equal(host_of(world)->ended, 0);
}

static int trap(soma_agent *self, struct host *my)
{
    (void)my;
    return soma_trap_exits(self, true);
}

/* It lives and handles mail; ended, so many hear of it. */
static void child_works(struct world *world, uint32_t ended)
{
    assert_int_equal(operate(world, trap, 0), 0);
    soma_ref child = host_of(world)->child;
    assert_int_equal(agents_of(world->system), world->agents + 1);
    assert_int_equal(soma_send(world->system, child, flat, .n = 5), 0);
    soma_test_settle(world->test);
    assert_int_equal(leaf_of(world, child)->got, 1);
    assert_int_equal(soma_kill(world->system, child), 0);
    soma_test_settle(world->test);
    assert_int_equal(host_of(world)->ended, ended);
}

static void child_plain(struct world *world)
{
    child_works(world, 0);
}

static void child_ready(struct world *world)
{
    assert_int_equal(leaf_of(world, host_of(world)->child)->readied, 1);
    child_works(world, 0);
}

static void child_watched(struct world *world)
{
    assert_int_equal(leaf_of(world, host_of(world)->child)->readied, 1);
    child_works(world, 1);
}

/* It goes down, and each life that it is then given may fail to begin. */
static void child_kept(struct world *world)
{
    child_watched(world);
    assert_int_equal(soma_send(world->system, host_of(world)->child, flat, .n = 5), 0); // which waits
    int result = operate(world, revive, world->n);
    if (result) {
        assert_int_equal(result, SOMA_ENOMEM);
        assert_null(soma_test_state(world->test, host_of(world)->child));
        assert_int_equal(operate(world, revive, 0), 0);
    }
    assert_int_equal(leaf_of(world, host_of(world)->child)->got, 1);
    assert_int_equal(leaf_of(world, host_of(world)->child)->readied, 1);
    assert_int_equal(operate(world, release, 0), 0);
    assert_int_equal(soma_kill(world->system, host_of(world)->child), 0);
    soma_test_settle(world->test);
}

SCENARIO(spawn_plain, spawn_plain, nobody_spawned, child_plain, 1)
SCENARIO(spawn_ready, spawn_ready, nobody_spawned, child_ready, 2)
SCENARIO(spawn_linked, spawn_linked, nobody_spawned, child_watched, 4)
SCENARIO(spawn_monitored, spawn_monitored, nobody_spawned, child_watched, 4)
SCENARIO(spawn_kept, spawn_kept, nobody_spawned, child_kept, 4)

static void test_spawn_outside(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    uint64_t n = 1;
    for (bool reached = true; reached; n++) {
        soma_ref ref;
        uint64_t before = soma_test_allocations(test), agents = agents_of(system);
        soma_test_fail_allocation(test, n);
        int error = soma_spawn(system, &ready_leaf, NULL, &ref);
        soma_test_settle(test);
        soma_test_fail_allocation(test, 0);
        reached = soma_test_allocations(test) - before >= n;
        assert_int_equal(error, reached ? SOMA_ENOMEM : 0);
        assert_int_equal(soma_ref_is_null(ref), reached);
        assert_int_equal(agents_of(system), agents + !reached);
    }
    assert_true(n > 3);
}

/* ---- sending ---- */

static int send_flat(soma_agent *self, struct host *my)
{
    return soma_send(self, my->leaf, flat, .n = 5);
}

static int send_text(soma_agent *self, struct host *my)
{
    static const char *const more[] = {"two", "three"};
    return soma_send(self, my->leaf, text, .text = "one", .more = {more, 2});
}

static int send_body(soma_agent *self, struct host *my)
{
    soma_body *body;
    int error = soma_body_new(&body, flat, .n = 5);
    if (!error)
        error = soma_send_body(self, my->leaf, body);
    soma_body_close(&body);
    return error;
}

static void nothing_got(struct world *world)
{
    assert_int_equal(leaf_of(world, host_of(world)->leaf)->got, 0);
    assert_int_equal(agents_of(world->system), world->agents);
}

static void one_got(struct world *world)
{
    assert_int_equal(leaf_of(world, host_of(world)->leaf)->got, 1);
    assert_int_equal(agents_of(world->system), world->agents);
}

SCENARIO(send_flat, send_flat, nothing_got, one_got, 1)
SCENARIO(send_text, send_text, nothing_got, one_got, 1)
SCENARIO(send_body, send_body, nothing_got, one_got, 2)

/* ---- asking: exactly one answer or error to each request that was made ---- */

static int ask_how(soma_agent *self, struct host *my, enum how how)
{
    my->handle = soma_request(self, my->leaf, SOMA_SECOND, SOMA_THEN(told, on_told, on_error), ask, .how = how);
    return my->handle < 0 ? (int)my->handle : 0;
}

static int ask_reply(soma_agent *self, struct host *my)
{
    return ask_how(self, my, REPLY);
}

static int ask_promise(soma_agent *self, struct host *my)
{
    return ask_how(self, my, PROMISE);
}

static int ask_broken(soma_agent *self, struct host *my)
{
    return ask_how(self, my, BREAK);
}

static int ask_forward(soma_agent *self, struct host *my)
{
    return ask_how(self, my, FORWARD);
}

static int ask_not(soma_agent *self, struct host *my)
{
    return ask_how(self, my, NOT);
}

static int ask_nobody(soma_agent *self, struct host *my)
{
    soma_ref leaf_ref = my->leaf;
    my->leaf.generation += 2;
    int error = ask_how(self, my, REPLY);
    my->leaf = leaf_ref;
    return error;
}

static void not_asked(struct world *world)
{
    nothing_got(world);
    soma_test_advance(world->test, 2 * SOMA_SECOND);
    assert_int_equal(host_of(world)->answers + host_of(world)->errors, 0);
}

static void one_answer(struct world *world)
{
    soma_test_advance(world->test, 2 * SOMA_SECOND);
    assert_int_equal(host_of(world)->answers + host_of(world)->errors, 1);
    assert_int_equal(agents_of(world->system), world->agents);
}

static void one_true_answer(struct world *world)
{
    one_answer(world);
    assert_int_equal(host_of(world)->answers, 1);
}

static void one_error(struct world *world)
{
    one_answer(world);
    assert_int_equal(host_of(world)->errors, 1);
}

static void one_error_of_one_that_lives(struct world *world)
{
    one_error(world);
    one_got(world);
}

SCENARIO(ask_reply, ask_reply, not_asked, one_true_answer, 4)
SCENARIO(ask_promise, ask_promise, not_asked, one_answer, 6)
SCENARIO(ask_broken, ask_broken, not_asked, one_error_of_one_that_lives, 6)
SCENARIO(ask_not, ask_not, not_asked, one_error, 4)
SCENARIO(ask_nobody, ask_nobody, not_asked, one_error, 3)

SCENARIO(ask_forward, ask_forward, not_asked, one_true_answer, 5)

static void test_call(soma_test *test)
{
    uint64_t n = 1;
    for (bool reached = true; reached; n++) {
        struct world world;
        struct told result;
        world_open(&world, test, n);
        uint64_t before = soma_test_allocations(test);
        soma_test_fail_allocation(test, n);
        int error = soma_call(world.system, host_of(&world)->leaf, SOMA_SECOND, &result, told, ask, .how = REPLY);
        soma_test_fail_allocation(test, 0);
        reached = soma_test_allocations(test) - before >= n;
        assert_true(!error || (reached && error == SOMA_ENOMEM));
        assert_int_equal(result.text != NULL, !error);
        told_destroy(&result);
        soma_test_settle(test);
        assert_int_equal(agents_of(world.system), world.agents);
        world_close(&world);
    }
    assert_true(n > 4);
}

/* ---- timers ---- */

static int timer_after(soma_agent *self, struct host *my)
{
    my->handle = soma_after(self, SOMA_MS, tick);
    return my->handle < 0 ? (int)my->handle : 0;
}

static int timer_each(soma_agent *self, struct host *my)
{
    my->handle = soma_each(self, SOMA_SECOND, tick);
    return my->handle < 0 ? (int)my->handle : 0;
}

static int timer_named(soma_agent *self, struct host *my)
{
    int error = timer_after(self, my);
    if (!error)
        error = soma_timer_name(self, my->handle, "tick");
    if (error)
        soma_timer_cancel(self, my->handle); // as nobody would find it
    return error;
}

static void no_tick(struct world *world)
{
    soma_test_advance(world->test, 2 * SOMA_SECOND);
    assert_int_equal(host_of(world)->ticks, 0);
}

static void one_tick(struct world *world)
{
    soma_test_advance(world->test, 10 * SOMA_SECOND);
    assert_int_equal(host_of(world)->ticks, 1);
}

static void ten_ticks(struct world *world)
{
    soma_test_advance(world->test, 10 * SOMA_SECOND);
    assert_int_equal(host_of(world)->ticks, 10);
}

SCENARIO(timer_after, timer_after, no_tick, one_tick, 2)
SCENARIO(timer_each, timer_each, no_tick, ten_ticks, 2)
SCENARIO(timer_named, timer_named, no_tick, one_tick, 3)

/* ---- what else an agent has ---- */

static int watch(soma_agent *self, struct host *my)
{
    soma_handle monitor = soma_monitor(self, my->leaf);
    return monitor < 0 ? (int)monitor : 0;
}

static int tie(soma_agent *self, struct host *my)
{
    int error = soma_trap_exits(self, true);
    return error ? error : soma_link(self, my->leaf);
}

static void not_watched(struct world *world)
{
    assert_int_equal(host_of(world)->ended, 0);
    assert_int_equal(agents_of(world->system), world->agents);
}

/* If memory was too short to be watched the leaf has ended by that, which is told, too. */
static void watched(struct world *world)
{
    assert_int_equal(operate(world, trap, 0), 0);
    int error = soma_kill(world->system, host_of(world)->leaf);
    soma_test_settle(world->test);
    assert_true(!error || error == SOMA_EGONE);
    assert_int_equal(host_of(world)->ended, 1);
}

static const soma_behavior host_too = {.name = "host too", .base = &host, .state_size = sizeof(struct host)};

static int become(soma_agent *self, struct host *my)
{
    (void)my;
    return soma_become(self, &host_too);
}

static int leave(soma_agent *self, struct host *my)
{
    (void)my;
    int error = soma_stash(self, text, .text = "left");
    const struct text *left = soma_stashed(self, text);
    assert_int_equal(left != NULL, !error);
    return error;
}

static int levels(soma_agent *self, struct host *my)
{
    (void)my;
    return soma_log_level_set(self, SOMA_LOG_OFF);
}

static int name(soma_agent *self, struct host *my)
{
    char each[48];
    for (; my->ticks < 100; my->ticks++) { // the table of names grows
        snprintf(each, sizeof(each), "%u of %u.%u", my->ticks, soma_self(self).slot, soma_self(self).generation);
        int error = soma_name_set(soma_agent_system(self), soma_self(self), each);
        if (error)
            return error;
    }
    return 0;
}

static void not_named(struct world *world)
{
    char each[48];
    soma_ref found;
    for (uint32_t i = 0; i <= host_of(world)->ticks; i++) {
        snprintf(each, sizeof(each), "%u of %u.%u", i, world->host.slot, world->host.generation);
        assert_int_equal(soma_whereis(world->system, each, &found), i < host_of(world)->ticks ? 0 : SOMA_ENOENT);
    }
}

static void nothing(struct world *world)
{
    assert_int_equal(agents_of(world->system), world->agents);
}

SCENARIO(watch, watch, not_watched, watched, 4)
SCENARIO(link, tie, not_watched, watched, 4)
SCENARIO(named, name, not_named, not_named, 100)
SCENARIO(stash, leave, nothing, nothing, 1)
SCENARIO(log_level, levels, nothing, nothing, 0)

static void test_become(soma_test *test)
{
    struct world world;
    world_open(&world, test, 1);
    assert_int_equal(operate(&world, become, 1), SOMA_ENOMEM); // only the first in a system makes what is needed
    assert_int_equal(operate(&world, become, 0), 0);
    assert_int_equal(operate(&world, timer_after, 0), 0);
    one_tick(&world);
    world_close(&world);
}

/* ---- what counts, and whom it strikes ---- */

/* As an agent of the user's does. Volatile, or the compiler sees that the blocks serve nothing. */
static int take(soma_agent *self, struct host *my)
{
    (void)self, (void)my;
    void *volatile blocks[] = {malloc(8),      calloc(2, 8),      realloc(NULL, 8), aligned_alloc(64, 64),
                               strdup("text"), strndup("text", 2)};
    int error = 0;
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
        error = blocks[i] ? error : SOMA_ENOMEM;
        free(blocks[i]);
    }
    return error;
}

SCENARIO(own, take, nothing, nothing, 6)

static void test_count(soma_test *test)
{
    struct world world;
    world_open(&world, test, 0);
    uint64_t before = soma_test_allocations(test);
    assert_int_equal(operate(&world, take, 0), 0);
    assert_int_equal(soma_test_allocations(test) - before, 6 + 1); // and the post
    assert_int_equal(operate(&world, take, 7), 0);
    assert_int_equal(operate(&world, take, 0), 0);
    assert_int_equal(operate(&world, take, 6), SOMA_ENOMEM);
    world_close(&world);
}

static void send_many(soma_test *test, bool spared)
{
    struct world world;
    world_open(&world, test, 0);
    if (spared)
        soma_test_spare(test, world.host);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(operate(&world, send_flat, 0), 0);
    assert_int_equal(leaf_of(&world, host_of(&world)->leaf)->got, 50);
}

static void test_struck(soma_test *test)
{
    send_many(test, false);
}

static void test_spared(soma_test *test)
{
    send_many(test, true);
}

/* ---- as the seed likes it ---- */

static void test_seeds(soma_test *test)
{
    struct world world;
    operation *const all[] = {
        spawn_linked, spawn_monitored, spawn_kept,  send_text, send_body, ask_reply,
        ask_promise,  ask_forward,     timer_named, watch,     tie,       name,
    };
    world_open(&world, test, 0);
    while (operate(&world, trap, 0) == SOMA_ENOMEM)
        ;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 12 && soma_test_state(test, world.host); i++) {
        operation *one = all[soma_test_random(test, sizeof(all) / sizeof(*all))];
        struct call call = {one, 1234};
        assert_int_equal(soma_post(world.system, world.host, call_run, &call, NULL), 0);
        soma_test_settle(test);
        assert_true(call.result >= 0 || call.result == SOMA_ENOMEM || call.result == SOMA_EGONE ||
                    call.result == SOMA_EEXIST); // without the leaf, with a second timer of a name
        asked += call.result >= 0 && (one == ask_reply || one == ask_promise || one == ask_forward);
    }
    soma_test_advance(test, 2 * SOMA_SECOND);
    const struct host *my = soma_test_state(test, world.host);
    if (my) // one that can't be told whom it watches ends
        assert_int_equal(my->answers + my->errors, asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_spawn_plain, 1, 0),
        SOMA_SIM(test_spawn_ready, 1, 0),
        SOMA_SIM(test_spawn_linked, 1, 0),
        SOMA_SIM(test_spawn_monitored, 1, 0),
        SOMA_SIM(test_spawn_kept, 1, 0),
        SOMA_SIM(test_spawn_outside, 1, 0),
        SOMA_SIM(test_send_flat, 1, 0),
        SOMA_SIM(test_send_text, 1, 0),
        SOMA_SIM(test_send_body, 1, 0),
        SOMA_SIM(test_ask_reply, 1, 0),
        SOMA_SIM(test_ask_promise, 1, 0),
        SOMA_SIM(test_ask_forward, 1, 0),
        SOMA_SIM(test_ask_broken, 1, 0),
        SOMA_SIM(test_ask_not, 1, 0),
        SOMA_SIM(test_ask_nobody, 1, 0),
        SOMA_SIM(test_call, 1, 0),
        SOMA_SIM(test_timer_after, 1, 0),
        SOMA_SIM(test_timer_each, 1, 0),
        SOMA_SIM(test_timer_named, 1, 0),
        SOMA_SIM(test_named, 1, 0),
        SOMA_SIM(test_stash, 1, 0),
        SOMA_SIM(test_log_level, 1, 0),
        SOMA_SIM(test_become, 1, 0),
        SOMA_SIM(test_watch, 1, 0),
        SOMA_SIM(test_link, 1, 0),
        SOMA_SIM(test_own, 1, 0),
        SOMA_SIM(test_count, 1, 0),
        SOMA_SIM(test_struck, 100, 0, .allocations = 1, .fails = true),
        SOMA_SIM(test_spared, 100, 0, .allocations = 100),
        SOMA_REAL(test_spawn_plain),
        SOMA_REAL(test_send_flat),
        SOMA_REAL(test_call),
        SOMA_SIM(test_seeds, 500, 2000, .allocations = 4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
