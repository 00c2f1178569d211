/* Messages between nodes: what arrives, in which order, and when. */
#include "testkit/kit.h"
#include "testkit/network_agents.h"
#include <soma/body.h>
#include <soma/monitor.h>

SOMA_MESSAGE(watch_it, (ref, agent))

static void test_traffic(soma_test *test)
{
    struct traffic traffic;
    traffic_begin(test, &traffic);
    soma_test_settle(test);
    traffic_check(test, &traffic);
}

static void test_delays(soma_test *test)
{
    struct traffic traffic;
    for (uint32_t i = 0; i < NODES; i++)
        soma_test_node(test, names[i]);
    soma_test_net_delay(test, "north", "south", 0, SOMA_MS);
    soma_test_net_delay(test, "west", "south", 10 * SOMA_US, 10 * SOMA_MS);
    soma_test_net_speed(test, "west", "north", 1000000);
    traffic_begin(test, &traffic);
    soma_test_advance(test, SOMA_SECOND);
    traffic_check(test, &traffic);
}

/* Every kind of message; and what can't be delivered. */
static void test_ways(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &clerk, NULL), items = spawn_at(test, "west", &sink, NULL);
    soma_ref between = spawn_at(test, "west", &clerk, &there); // forwards, and the answer takes the direct way
    soma_system *north = soma_test_node(test, "north");
    struct answer got;
    soma_body *shared;
    assert_int_equal(soma_call(north, there, SOMA_SECOND, &got, answer, ask, .id = 5), 0);
    assert_int_equal(got.id, 5);
    assert_string_equal(got.text, "ok");
    answer_destroy(&got);
    assert_int_equal(soma_call(north, between, SOMA_SECOND, &got, answer, ask, .id = 6), 0);
    assert_int_equal(got.id, 6);
    answer_destroy(&got);
    // What can't be packed fails who waits for it, and what is unknown there is its sender's to hear of.
    assert_int_equal(soma_call(north, there, SOMA_SECOND, &got, answer, ask, .id = 13), SOMA_EFORMAT);
    assert_int_equal(soma_call(north, items, SOMA_SECOND, &got, answer, ask, .id = 1), SOMA_EUNHANDLED);
    assert_int_equal(soma_send(north, there, answer, .text = "\xff"), SOMA_EFORMAT);
    assert_int_equal(soma_body_new(&shared, item, .source = 1, .number = 7, .load = {"abc", 3}), 0);
    assert_int_equal(soma_send_body(north, items, shared), 0);
    soma_body_close(&shared);
    assert_int_equal(soma_kill(north, between), 0);
    assert_int_equal(soma_shutdown(north, there), 0);
    soma_test_settle(test);
    assert_null(soma_test_state(test, between));
    assert_null(soma_test_state(test, there));
    there.generation += 2;
    assert_int_equal(soma_call(north, there, SOMA_SECOND, &got, answer, ask, .id = 1), SOMA_EGONE);
    there.node ^= 1;
    assert_int_equal(soma_send(north, there, ask), SOMA_ENOROUTE);
    soma_test_settle(test);
    assert_int_equal(sink_of(test, items)->next[1], 8);
}

/* Ten times ten thousand bytes, at a million a second: a frame of some 70,000, as large as they get, and the rest. */
static void test_slow(soma_test *test)
{
    static const char load[10000];
    soma_ref there = spawn_at(test, "south", &sink, NULL);
    soma_system *north = soma_test_node(test, "north");
    soma_send(north, there, item); // so that they are connected
    soma_test_settle(test);
    uint64_t begun = soma_test_now(test);
    soma_test_net_speed(test, "north", "south", 1000000);
    soma_test_net_delay(test, "north", "south", 5 * SOMA_MS, 5 * SOMA_MS);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(soma_send(north, there, item, .number = i, .load = {load, sizeof(load)}), 0);
    soma_test_settle(test);
    const struct sink *got = sink_of(test, there);
    assert_int_equal(got->count, 1);
    soma_test_advance(test, 74 * SOMA_MS);
    assert_int_equal(got->count, 1);
    soma_test_advance(test, 2 * SOMA_MS);
    assert_int_equal(got->count, 8);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(got->count, 11);
    assert_in_range(got->last_at - begun, 105 * SOMA_MS, 106 * SOMA_MS);
}

/* Each takes its time, and none overtakes. */
static void test_delay(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &sink, NULL);
    soma_system *north = soma_test_node(test, "north");
    soma_send(north, there, item);
    soma_test_settle(test);
    soma_test_net_delay(test, "north", "south", SOMA_MS, 20 * SOMA_MS);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(soma_send(north, there, item, .number = i), 0);
    soma_test_advance(test, SOMA_MS - SOMA_US);
    assert_int_equal(sink_of(test, there)->count, 1);
    soma_test_advance(test, 20 * SOMA_MS);
    assert_int_equal(sink_of(test, there)->count, 11);
    assert_in_range(sink_of(test, there)->last_at, SOMA_MS, 20 * SOMA_MS);
    soma_test_net_delay(test, "north", "south", 0, 0);
    soma_send(north, there, item, .number = 11);
    soma_test_settle(test);
    assert_int_equal(sink_of(test, there)->count, 12);
}

/* Two nodes send to a third one: either may be first. */
static const struct sink *race(soma_test *test)
{
    const uint64_t numbers[2] = {0, 1};
    soma_ref there = spawn_at(test, "west", &sink, NULL), other = spawn_at(test, "west", &clerk, NULL);
    for (uint32_t i = 0; i < 2; i++) // so that they are connected
        soma_send(soma_test_node(test, names[i]), other, hold);
    soma_test_settle(test);
    for (uint32_t i = 0; i < 2; i++)
        stream(test, names[i], spawn_at(test, names[i], &source, &numbers[i]), there, 1);
    while (!sink_of(test, there)->count)
        assert_true(soma_test_step(test));
    return sink_of(test, there);
}

static void test_north_first(soma_test *test)
{
    assert_int_equal(race(test)->next[0], 1);
}

static void test_south_first(soma_test *test)
{
    assert_int_equal(race(test)->next[1], 1);
}

static int on_watch_it(soma_agent *self, uint32_t *downs, const struct watch_it *m)
{
    (void)downs;
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : 0;
}

static int on_down(soma_agent *self, uint32_t *downs, const struct soma_down *m)
{
    (void)self, (void)m;
    ++*downs;
    return 0;
}

static const soma_behavior watcher = {.name = "watcher",
                                      .state_size = sizeof(uint32_t),
                                      .handlers =
                                          SOMA_HANDLERS(SOMA_ON(watch_it, on_watch_it), SOMA_ON(soma_down, on_down))};

/* Who has settled has heard what comes of watching, also if there is no link for a while. */
static void test_watched(soma_test *test)
{
    soma_ref here = spawn_at(test, "north", &watcher, NULL), there = spawn_at(test, "south", &clerk, NULL);
    soma_system *north = soma_test_node(test, "north");
    assert_int_equal(soma_send(north, here, watch_it, .agent = there), 0);
    soma_test_settle(test);
    assert_int_equal(*(const uint32_t *)soma_test_state(test, here), 0);
    assert_int_equal(soma_kill(soma_test_node(test, "south"), there), 0);
    soma_test_settle(test);
    assert_int_equal(*(const uint32_t *)soma_test_state(test, here), 1);
    pthread_mutex_lock(&test->network.lock);
    network_break(test, 0, 1);
    pthread_mutex_unlock(&test->network.lock);
    assert_int_equal(soma_send(north, here, watch_it, .agent = there), 0);
    soma_test_settle(test);
    assert_int_equal(*(const uint32_t *)soma_test_state(test, here), 2);
}

/* The run ends, and frames are on their way, or held up. */
static void test_left(soma_test *test)
{
    struct traffic traffic;
    for (uint32_t i = 0; i < NODES; i++)
        soma_test_node(test, names[i]);
    soma_test_net_delay(test, "north", "south", 0, 3600 * SOMA_SECOND);
    soma_test_net_partition(test, "west", "south");
    traffic_begin(test, &traffic);
    soma_test_settle(test);
    assert_int_equal(client_of(test, traffic.clients[2])->errors, 0);
}

/* Threads of a node that all send its first messages to another one at once: not in each run. */
static int test_often(void)
{
    const struct CMUnitTest once[] = {SOMA_REAL(test_traffic)};
    int failures = 0;
    for (uint32_t i = 0; i < 40 && !failures; i++)
        failures = cmocka_run_group_tests(once, NULL, NULL);
    return failures;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_traffic, test_load(1000), 10000),
        SOMA_SIM(test_traffic, test_load(300), 10000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_traffic, 1, 10000, .schedule = SOMA_SCHEDULE_ROUND_ROBIN),
        SOMA_SIM(test_delays, test_load(1000), 10000, .late = 3, .pauses = 3),
        SOMA_SIM(test_ways, test_load(100), 10000),
        SOMA_REAL(test_ways),
        SOMA_REAL(test_watched),
        SOMA_SIM(test_slow, test_load(100), 10000),
        SOMA_SIM(test_delay, test_load(300), 10000),
        SOMA_SIM(test_north_first, 1000, 100, .schedule = SOMA_SCHEDULE_EXHAUSTIVE, .fails = true, .lines = 20),
        SOMA_SIM(test_south_first, 1000, 100, .schedule = SOMA_SCHEDULE_EXHAUSTIVE, .fails = true, .lines = 20),
        SOMA_SIM(test_left, test_load(100), 10000, .waits = true),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    return failures ? failures : test_often();
}
