/* Bridges between systems of one process. */
#include "test_support.h"
#include <dirent.h>
#include <soma/bridge.h>
#include <soma/error.h>
#include <soma/monitor.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

SOMA_MESSAGE(greet, (string, name), (u64, number))
SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))
SOMA_MESSAGE(watch_it, (ref, agent), (ref, report_to))
SOMA_MESSAGE(fail_now)
SOMA_MESSAGE(ended, (i32, reason), (string, text))

/* ---- an agent that answers, and counts ---- */

struct server {
    uint64_t greeted;
};

static atomic_ullong greeted;

static int on_greet(soma_agent *self, struct server *my, const struct greet *m)
{
    (void)self;
    assert_string_equal(m->name, "Bob");
    assert_int_equal(m->number, my->greeted); // each once, and in order
    my->greeted++;
    atomic_store(&greeted, my->greeted);
    return 0;
}

static int on_ask(soma_agent *self, struct server *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .number = m->number * 2);
}

static int on_fail_now(soma_agent *self, struct server *my, const struct fail_now *m)
{
    (void)my, (void)m;
    return soma_fail(self, -1000, "it was asked to");
}

static const soma_behavior server = {
    .name = "server",
    .state_size = sizeof(struct server),
    .handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet), SOMA_ON(ask, on_ask), SOMA_ON(fail_now, on_fail_now))};

/* ---- one that watches ---- */

static atomic_int reason;
static atomic_bool watches;

static int on_watch_it(soma_agent *self, void *my, const struct watch_it *m)
{
    (void)my;
    int error = soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : 0;
    atomic_store(&watches, true);
    return error;
}

static int on_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)self, (void)my;
    if (m->reason == -1000)
        assert_string_equal(m->text, "it was asked to");
    atomic_store(&reason, m->reason);
    return 0;
}

static const soma_behavior watcher = {
    .name = "watcher", .handlers = SOMA_HANDLERS(SOMA_ON(watch_it, on_watch_it), SOMA_ON(soma_down, on_down))};

/* ---- two nodes ---- */

struct pair {
    soma_system *near, *far;
    soma_bridge *near_bridge, *far_bridge;
    soma_ref server; /* on the far one */
};

static void wait_for(const char *what, bool (*done)(void))
{
    for (int i = 0; i < 20000; i++) {
        if (done())
            return;
        const struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    fail_msg("waited in vain for %s", what);
}

static void pair_open(struct pair *pair)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options listens = {.name = "far", .bind = bind, .down_ms = 20000, .heartbeat_ms = 6000};
    const soma_bridge_options calls = {.name = "near", .down_ms = 20000, .heartbeat_ms = 6000};
    const soma_options quiet = {.log_level = SOMA_LOG_ERROR};
    atomic_store(&greeted, 0);
    atomic_store(&reason, 0);
    atomic_store(&watches, false);
    assert_int_equal(soma_system_open(&pair->near, &quiet), 0);
    assert_int_equal(soma_system_open(&pair->far, &quiet), 0);
    assert_int_equal(soma_bridge_open(pair->far, &listens, &pair->far_bridge), 0);
    assert_int_equal(soma_bridge_open(pair->near, &calls, &pair->near_bridge), 0);
    assert_int_equal(soma_spawn(pair->far, &server, NULL, &pair->server), 0);
    assert_int_equal(soma_name_set(pair->far, pair->server, "server"), 0);
    soma_ref found;
    assert_int_equal(soma_bridge_find(pair->near_bridge, soma_bridge_address(pair->far_bridge, 0), "server",
                                      10 * SOMA_SECOND, &found),
                     0);
    assert_true(soma_ref_equal(found, pair->server));
}

static void pair_close(struct pair *pair)
{
    assert_int_equal(soma_bridge_close(&pair->near_bridge), 0);
    assert_int_equal(soma_system_close(&pair->near), 0);
    assert_int_equal(soma_system_close(&pair->far), 0);
}

#define GREETINGS 10000u

static bool all_greeted(void)
{
    return atomic_load(&greeted) == GREETINGS;
}

static void test_send(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    for (uint64_t i = 0; i < GREETINGS; i++)
        assert_int_equal(soma_send(pair.near, pair.server, greet, .name = "Bob", .number = i), 0);
    wait_for("greetings", all_greeted);
    pair_close(&pair);
}

static void test_request(void **state)
{
    (void)state;
    struct pair pair;
    struct told answer;
    pair_open(&pair);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(soma_call(pair.near, pair.server, 10 * SOMA_SECOND, &answer, told, ask, .number = i), 0);
        assert_int_equal(answer.number, 2 * i);
    }
    soma_ref nobody = pair.server;
    nobody.generation += 2;
    assert_int_equal(soma_call(pair.near, nobody, 10 * SOMA_SECOND, &answer, told, ask, .number = 1), SOMA_EGONE);
    pair_close(&pair);
}

static bool has_reason(void)
{
    return atomic_load(&reason) != 0;
}

static bool is_watched(void)
{
    return atomic_load(&watches);
}

static void test_monitor(void **state)
{
    (void)state;
    struct pair pair;
    soma_ref near;
    pair_open(&pair);
    assert_int_equal(soma_spawn(pair.near, &watcher, NULL, &near), 0);
    assert_int_equal(soma_send(pair.near, near, watch_it, .agent = pair.server), 0);
    wait_for("the watch", is_watched);
    struct told answer; // the monitor is on its way before this
    assert_int_equal(soma_call(pair.near, pair.server, 10 * SOMA_SECOND, &answer, told, ask, .number = 1), 0);
    assert_int_equal(soma_send(pair.near, pair.server, fail_now), 0);
    wait_for("the end", has_reason);
    assert_int_equal(atomic_load(&reason), -1000);
    pair_close(&pair);
}

static void test_node_down(void **state)
{
    (void)state;
    struct pair pair;
    soma_ref near;
    pair_open(&pair);
    assert_int_equal(soma_spawn(pair.near, &watcher, NULL, &near), 0);
    assert_int_equal(soma_send(pair.near, near, watch_it, .agent = pair.server), 0);
    wait_for("the watch", is_watched);
    struct told answer;
    assert_int_equal(soma_call(pair.near, pair.server, 10 * SOMA_SECOND, &answer, told, ask, .number = 1), 0);
    assert_int_equal(soma_system_close(&pair.far), 0);
    wait_for("the node's end", has_reason);
    assert_int_equal(atomic_load(&reason), SOMA_ENODEDOWN);
    assert_int_equal(soma_call(pair.near, pair.server, SOMA_SECOND, &answer, told, ask, .number = 1), SOMA_ENODEDOWN);
    assert_int_equal(soma_bridge_close(&pair.near_bridge), 0);
    assert_int_equal(soma_system_close(&pair.near), 0);
}

static uint32_t entries_of(const char *folder)
{
    uint32_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static uint32_t threads_wanted;

static bool threads_ended(void)
{
    return entries_of("/proc/self/task") == threads_wanted;
}

/* Once it is closed, its address is free for the next, and its threads are gone, though the system goes on. */
static void test_opened_again(void **state)
{
    (void)state;
    char address[64];
    const char *const anywhere[] = {"tcp://127.0.0.1", NULL}, *const there[] = {address, NULL};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF};
    soma_system *system;
    soma_bridge *bridge;
    assert_int_equal(soma_system_open(&system, &quiet), 0);
    threads_wanted = entries_of("/proc/self/task");
    for (int i = 0; i < 20; i++) {
        const soma_bridge_options options = {.bind = i ? there : anywhere};
        assert_int_equal(soma_bridge_open(system, &options, &bridge), 0);
        snprintf(address, sizeof(address), "%s", soma_bridge_address(bridge, 0));
        assert_int_equal(soma_bridge_close(&bridge), 0);
    }
    wait_for("its threads' end", threads_ended); // the kernel has them for a moment longer
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_send),      cmocka_unit_test(test_request),      cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_node_down), cmocka_unit_test(test_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
