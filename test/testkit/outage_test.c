/* Faults between nodes: partitions, cuts, nodes that stop and restart, and what the seed chooses of them. */
#include "testkit/network_agents.h"
#include "testkit/says.h"

/* All that was sent has arrived, or is a dead letter at its sender; all requests have ended, once. */
static void test_ledger(soma_test *test)
{
    struct traffic traffic;
    soma_ref undertakers[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        undertakers[i] = spawn_at(test, names[i], &undertaker, NULL);
        assert_int_equal(soma_dead_letters_watch(soma_test_node(test, names[i]), undertakers[i]), 0);
    }
    traffic_begin(test, &traffic);
    if (soma_test_random(test, 2))
        soma_test_net_delay(test, "north", "south", 0, SOMA_MS);
    soma_test_advance(test, 60 * SOMA_SECOND);
    uint64_t sent = 0, arrived = 0, lost = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        const struct client *asked = client_of(test, traffic.clients[i]);
        assert_int_equal(asked->answers + asked->errors, asked->sent);
        assert_int_equal(asked->errors, 0); // no outage of the seed's lasts long enough to lose anything
        arrived += sink_of(test, traffic.sinks[i])->count;
        lost += *(const uint64_t *)soma_test_state(test, undertakers[i]);
        for (uint32_t j = 0; j < NODES; j++)
            sent += ((const struct source *)soma_test_state(test, traffic.sources[i][j]))->sent;
    }
    assert_int_equal(sent, 6 * NODES * NODES);
    assert_int_equal(arrived + lost, sent);
}

/* Who waits only so long is answered or not, but told once. */
static void test_timeouts(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &clerk, NULL), here = spawn_at(test, "north", &client, NULL);
    soma_test_net_delay(test, "north", "south", 0, 10 * SOMA_MS);
    requests(test, "north", here, there, 6, 10 * SOMA_MS);
    soma_test_advance(test, 30 * SOMA_SECOND);
    const struct client *asked = client_of(test, here);
    assert_int_equal(asked->answers + asked->errors, 6);
    assert_true(!asked->errors || asked->error == SOMA_ETIMEOUT);
}

/* A stream outlives its connections: the seed cuts them, and loses, doubles and swaps frames. */
static void test_stream(soma_test *test)
{
    uint64_t number = 0;
    soma_ref there = spawn_at(test, "south", &sink, NULL), here = spawn_at(test, "north", &source, &number);
    stream(test, "north", here, there, 6);
    soma_test_advance(test, 60 * SOMA_SECOND);
    assert_int_equal(sink_of(test, there)->count, 6);
    assert_int_equal(dead_letters(test, "north"), 0);
}

/* A seed's partition heals before the body sees that it rests. */
static void test_heals(soma_test *test)
{
    struct traffic traffic;
    traffic_begin(test, &traffic);
    soma_test_settle(test);
    traffic_check(test, &traffic);
}

/* Ticks for a minute, so that something always goes on. */
static int on_tick(soma_agent *self, uint64_t *ticks, const struct hold *m)
{
    (void)m;
    return ++*ticks < 600 && soma_after(self, SOMA_SECOND / 10, hold) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior ticker = {
    .name = "ticker", .state_size = sizeof(uint64_t), .handlers = SOMA_HANDLERS(SOMA_ON(hold, on_tick))};

/* A partition of the seed's lasts up to some seconds, and no longer. */
static void test_heals_in_time(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &clerk, NULL), here = spawn_at(test, "north", &client, NULL);
    soma_send(soma_test_node(test, "north"), spawn_at(test, "north", &ticker, NULL), hold);
    requests(test, "north", here, there, 6, 20 * SOMA_SECOND);
    soma_test_advance(test, 60 * SOMA_SECOND);
    assert_int_equal(client_of(test, here)->answers, 6);
}

static void test_one_way(soma_test *test)
{
    const uint64_t numbers[2] = {0, 1};
    soma_ref sinks[2], sources[2];
    char text[256];
    for (uint32_t i = 0; i < 2; i++) {
        sinks[i] = spawn_at(test, names[i], &sink, NULL);
        sources[i] = spawn_at(test, names[i], &source, &numbers[i]);
    }
    for (uint32_t i = 0; i < 2; i++)
        stream(test, names[i], sources[i], sinks[!i], 1); // so that they are connected
    soma_test_settle(test);
    soma_test_net_partition_way(test, "north", "south");
    stream(test, "north", sources[0], sinks[1], 6);
    stream(test, "south", sources[1], sinks[0], 6);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(sink_of(test, sinks[0])->count, 6);
    assert_int_equal(sink_of(test, sinks[1])->count, 1);
    soma_test_waits(test, text, sizeof(text));
    assert_non_null(strstr(text, "    north -> south: "));
    assert_non_null(strstr(text, ": a partition\n"));
    soma_test_net_heal(test, "south", "north");
    soma_test_settle(test);
    assert_int_equal(sink_of(test, sinks[1])->count, 6);
    assert_int_equal(soma_test_waits(test, text, sizeof(text)), 0);
    assert_int_equal(dead_letters(test, "north"), 0);
}

/* What docs/network.md shows. */
static void test_partitioned(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &clerk, NULL), here = spawn_at(test, "north", &client, NULL);
    soma_send(soma_test_node(test, "north"), here, work, .to = there, .count = 1, .timeout = SOMA_SECOND);
    soma_test_settle(test);
    soma_test_net_delay(test, "north", "south", 0, 10 * SOMA_MS);
    soma_send(soma_test_node(test, "north"), here, work, .to = there, .count = 1, .timeout = SOMA_SECOND);
    soma_test_net_partition_way(test, "south", "north"); // the request arrives, its answer does not
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(((const struct client *)soma_test_state(test, here))->error, SOMA_ETIMEOUT);
    soma_test_net_heal(test, "south", "north");
    soma_test_settle(test);
    assert_int_equal(((const struct clerk *)soma_test_state(test, there))->asked, 2);
    assert_int_equal(stats_of(test, "north").late_replies, 1);
}

/* One request on its way, one that has arrived, one whose answer is on its way, and one while there is no connection.
 */
static void cut(soma_test *test, soma_ref clients[4], soma_ref *keeper)
{
    soma_system *north = soma_test_node(test, "north");
    soma_ref there = spawn_at(test, "south", &clerk, NULL);
    *keeper = spawn_at(test, "south", &clerk, NULL);
    for (uint32_t i = 0; i < 4; i++)
        clients[i] = spawn_at(test, "north", &client, NULL);
    soma_send(north, *keeper, hold);
    requests(test, "north", clients[1], *keeper, 1, SOMA_NEVER);
    soma_test_advance(test, SOMA_SECOND / 10); // a lone frame is acknowledged a moment later
    soma_test_net_partition_way(test, "south", "north");
    requests(test, "north", clients[2], there, 1, SOMA_NEVER);
    soma_test_settle(test);
    soma_test_net_partition(test, "south", "north");
    requests(test, "north", clients[0], there, 1, SOMA_NEVER);
    soma_test_settle(test);
    soma_test_net_cut(test, "north", "south");
    requests(test, "north", clients[3], there, 1, SOMA_NEVER);
    soma_test_settle(test);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(client_of(test, clients[i])->answers + client_of(test, clients[i])->errors, 0);
}

/* A cut that is short loses nothing. */
static void test_cut(soma_test *test)
{
    soma_ref clients[4], keeper;
    cut(test, clients, &keeper);
    soma_test_advance(test, 5 * SOMA_SECOND);
    soma_test_net_heal(test, "north", "south");
    soma_send(soma_test_node(test, "south"), keeper, let_go);
    soma_test_settle(test);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(client_of(test, clients[i])->answers, 1);
        assert_int_equal(client_of(test, clients[i])->errors, 0);
    }
    assert_int_equal(dead_letters(test, "north"), 0);
}

/* After a long one the node is down to the other. */
static void test_down(soma_test *test)
{
    soma_ref clients[4], keeper;
    cut(test, clients, &keeper);
    soma_test_advance(test, 12 * SOMA_SECOND);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(client_of(test, clients[i])->errors, 1);
        assert_int_equal(client_of(test, clients[i])->error, SOMA_ENODEDOWN);
    }
    assert_int_equal(dead_letters(test, "north"), 3); // all but the one that was acknowledged
    assert_int_equal(soma_send(soma_test_node(test, "north"), keeper, hold), SOMA_ENODEDOWN);
    soma_test_net_heal(test, "north", "south");
    soma_test_settle(test);
    soma_send(soma_test_node(test, "north"), keeper, let_go); // too late
    requests(test, "north", clients[0], keeper, 1, SOMA_SECOND);
    soma_test_advance(test, 2 * SOMA_SECOND);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(client_of(test, clients[i])->answers, 0);
        assert_int_equal(client_of(test, clients[i])->errors, 1 + !i);
    }
    assert_int_equal(stats_of(test, "north").late_replies, 2); // and word of the answer that got lost
}

static void test_stop(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &clerk, NULL), here = spawn_at(test, "north", &client, NULL);
    soma_ref beyond = spawn_at(test, "south", &client, NULL);
    char text[512];
    soma_send(soma_test_node(test, "south"), there, hold);
    requests(test, "south", beyond, there, 1, SOMA_SECOND); // a timer, of the node that stops
    requests(test, "north", here, there, 1, 60 * SOMA_SECOND);
    soma_test_settle(test);
    soma_test_node_stop(test, "south");
    requests(test, "north", here, there, 1, 60 * SOMA_SECOND);
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(((const struct clerk *)soma_test_state(test, there))->asked, 2);
    assert_int_equal(client_of(test, beyond)->errors, 0);
    soma_test_waits(test, text, sizeof(text));
    assert_non_null(strstr(text, "    south is stopped\n    north -> south: "));
    assert_non_null(strstr(text, ": it is stopped\n"));
    soma_test_node_continue(test, "south");
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(((const struct clerk *)soma_test_state(test, there))->asked, 3);
    assert_int_equal(client_of(test, beyond)->error, SOMA_ETIMEOUT);
    soma_send(soma_test_node(test, "south"), there, let_go);
    soma_test_settle(test);
    assert_int_equal(client_of(test, here)->answers, 1);
}

static void test_restart(soma_test *test)
{
    soma_system *north = soma_test_node(test, "north");
    soma_ref there = spawn_at(test, "south", &clerk, NULL), keeper = spawn_at(test, "south", &clerk, NULL), clients[2];
    for (uint32_t i = 0; i < 2; i++)
        clients[i] = spawn_at(test, "north", &client, NULL);
    soma_send(north, keeper, hold);
    requests(test, "north", clients[0], keeper, 2, SOMA_NEVER);
    soma_test_advance(test, SOMA_SECOND / 10); // what has come is acknowledged, too
    soma_test_net_delay(test, "north", "south", 100 * SOMA_MS, 100 * SOMA_MS);
    requests(test, "north", clients[1], there, 3, SOMA_NEVER);
    soma_test_settle(test);
    soma_system *south = soma_test_node_restart(test, "south");
    assert_ptr_equal(south, soma_test_node(test, "south"));
    soma_test_advance(test, SOMA_SECOND); // north calls again, and another answers
    assert_int_equal(client_of(test, clients[0])->errors, 2);
    assert_int_equal(client_of(test, clients[1])->errors, 3);
    assert_int_equal(client_of(test, clients[0])->error, SOMA_ENODEDOWN);
    assert_int_equal(client_of(test, clients[1])->error, SOMA_ENODEDOWN);
    assert_int_equal(dead_letters(test, "north"), 3);
    assert_int_equal(soma_send(north, there, hold), SOMA_ENODEDOWN);
    soma_ref anew = spawn_at(test, "south", &clerk, NULL);
    requests(test, "north", clients[0], anew, 2, SOMA_NEVER);
    requests(test, "north", clients[1], there, 1, SOMA_NEVER);
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(client_of(test, clients[0])->answers, 2);
    assert_int_equal(client_of(test, clients[1])->errors, 4);
    soma_test_node_down(test, "south");
    soma_test_advance(test, 12 * SOMA_SECOND);
    assert_int_equal(soma_send(north, anew, hold), SOMA_ENODEDOWN);
    assert_ptr_not_equal(soma_test_node_restart(test, "south"), NULL);
    assert_int_equal(soma_send(north, anew, hold), SOMA_ENODEDOWN);
}

/* ---- what is said ---- */

/* The promise is never kept, and bridges go on telling each other that they are there. */
static void deadlocks(soma_test *test)
{
    soma_ref there = spawn_at(test, "south", &clerk, NULL), here = spawn_at(test, "north", &client, NULL);
    soma_send(soma_test_node(test, "north"), there, hold);
    requests(test, "north", here, there, 1, SOMA_NEVER);
}

static void cuts_itself(soma_test *test)
{
    soma_test_node(test, "north");
    soma_test_net_cut(test, "north", "north");
}

static void heals_nobody(soma_test *test)
{
    soma_test_node(test, "north");
    soma_test_net_heal(test, "north", "nowhere");
}

static void delays_backwards(soma_test *test)
{
    soma_test_node(test, "north");
    soma_test_node(test, "south");
    soma_test_net_delay(test, "north", "south", 2, 1);
}

static void uses_one_that_is_down(soma_test *test)
{
    soma_test_node(test, "south");
    soma_test_node_down(test, "south");
    soma_test_node(test, "south");
}

static void test_says(void **state)
{
    (void)state;
    says(deadlocks,
         "a deadlock: nobody can run any more, but\n    north/client 1 waits for an answer from south/clerk 0");
    says(cuts_itself, "soma_test_net_cut: 'north' is one node, not two");
    says(heals_nobody, "soma_test_net_heal: there is no node 'nowhere'");
    says(delays_backwards, "soma_test_net_delay: at least 2 ns and at most 1");
    says(uses_one_that_is_down, "the node 'south' is down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_ledger, test_load(3000), 10000, .cuts = 3, .partitions = 3, .pauses = 2),
        SOMA_SIM(test_timeouts, test_load(1000), 10000, .cuts = 1, .partitions = 2, .late = 2),
        SOMA_SIM(test_stream, test_load(1000), 10000, .cuts = 3),
        SOMA_SIM(test_stream, test_load(1000), 10000, .frames = 3),
        SOMA_SIM(test_heals, test_load(300), 10000, .partitions = 5),
        SOMA_SIM(test_heals_in_time, test_load(50), 10000, .partitions = 3),
        SOMA_SIM(test_one_way, test_load(100), 10000),
        SOMA_SIM(test_partitioned, test_load(100), 10000),
        SOMA_SIM(test_cut, test_load(300), 10000),
        SOMA_SIM(test_down, test_load(300), 10000),
        SOMA_SIM(test_stop, test_load(100), 10000),
        SOMA_SIM(test_restart, test_load(300), 10000),
        cmocka_unit_test(test_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
