/*
 * Sessions under the simulated network: whatever it does, each message arrives exactly once and in order, or is
 * reported; requests, monitors and links end once. The bridges are those that run over ZeroMQ, to the last line.
 */
#include "session_agents.h"

/* ---- what must hold ---- */

/* Everything has arrived; nobody was told of a loss. */
static void streams_check(void)
{
    for (uint32_t i = 0; i < ledger.count; i++) {
        const struct stream *stream = &ledger.streams[i];
        assert_int_equal(stream->sent, MARKS);
        assert_int_equal(stream->arrived, MARKS);
        assert_int_equal(stream->letters, 0);
        assert_int_equal(stream->answers, MARKS);
        assert_int_equal(stream->errors, 0);
    }
}

/*
 * The same, after outages of any length. What was not acknowledged when the node was given up may have arrived, and is
 * reported all the same.
 */
static void stream_check(soma_test *test, const struct stream *stream)
{
    bool from = agent_alive(test, stream->from), to = agent_alive(test, stream->to);
    assert_true(stream->arrived <= stream->sent);
    assert_true(stream->downs <= 1);
    assert_true(stream->answers + stream->errors <= stream->asked);
    if (!from)
        return;
    assert_int_equal(stream->sent, MARKS);
    assert_int_equal(stream->answers + stream->errors, stream->asked);
    assert_true(stream->letters >= stream->refusals);
    if (!to) {
        assert_int_equal(stream->downs, 1);
        return; // what had arrived there ended with its node
    }
    assert_true(stream->arrived + stream->letters >= stream->sent);
    assert_true(stream->arrived + stream->refusals <= stream->sent);
    if (stream->letters == stream->refusals)
        assert_int_equal(stream->arrived + stream->letters, stream->sent);
}

static const struct connection *connection_at(const struct soma_bridge *bridge, uint64_t id)
{
    const struct connection *connection = bridge->connections;
    while (connection && connection->id != id)
        connection = connection->next;
    return connection;
}

/* Nodes that know each other have one connection, the same on both sides, and mean the same session. */
static void links_check(soma_test *test)
{
    for (uint32_t i = 0; i < test->node_count; i++)
        for (uint32_t j = 0; j < test->node_count; j++) {
            const struct soma_bridge *here = test->nodes[i].carrier.bridge, *there = test->nodes[j].carrier.bridge;
            if (i == j || !here || !there)
                continue;
            const struct peer *peer = peers_find(&here->peers, test->nodes[j].system->node);
            const struct peer *back = peers_find(&there->peers, test->nodes[i].system->node);
            if (!peer || !peer->connection)
                continue;
            assert_non_null(back);
            assert_int_equal(peer->connection, back->connection);
            assert_int_equal(peer->session.mine, back->session.yours);
            assert_int_equal(peer->session.sent, back->session.received);
            assert_int_equal(peer->session.acked, peer->session.sent);
            assert_true(connection_at(here, peer->connection)->ready);
        }
}

/* Who compresses has done so with the large marks; the others with nothing. */
static void sizes_check(soma_test *test)
{
    for (uint32_t i = 0; i < NODES; i++) {
        const struct soma_bridge *bridge = test->nodes[i].carrier.bridge;
        for (uint32_t j = 0; j < bridge->peer_count; j++) {
            const struct session *session = &bridge->list[j]->session;
            if (!bridge->options.compress_least || !compress_is_there())
                assert_true(session->after == session->before);
            else if (ledger.load)
                assert_true(session->before > ledger.load && session->after < session->before / 10);
        }
    }
}

/* ---- outages that are short ---- */

static void nodes_open(soma_test *test, uint32_t load)
{
    ledger = (struct ledger){.load = load};
    for (uint32_t i = 0; i < NODES; i++)
        node_watch(test, names[i]);
    nodes_compress(test);
}

static void streams_open(soma_test *test, uint64_t pause)
{
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NODES; j++)
            if (i != j)
                stream_open(test, names[i], names[j], pause);
}

/* Nothing is lost. */
static void faithful(soma_test *test, uint32_t load)
{
    nodes_open(test, load);
    if (soma_test_random(test, 2))
        soma_test_net_delay(test, "north", "south", 0, 100 * SOMA_MS);
    streams_open(test, soma_test_random(test, 2) * 2 * SOMA_SECOND);
    soma_ref one = spawn_at(test, "north", &twin, NULL), two = spawn_at(test, "south", &twin, &one);
    soma_test_advance(test, 60 * SOMA_SECOND);
    streams_check();
    links_check(test);
    sizes_check(test);
    assert_true(is_linked(test, one) && is_linked(test, two));
    for (uint32_t i = 0; i < ledger.count; i++)
        assert_int_equal(ledger.streams[i].downs, 0);
    soma_kill(soma_test_node(test, "north"), two); // across nodes
    soma_kill(soma_test_node(test, "west"), ledger.streams[0].to);
    soma_test_advance(test, SOMA_SECOND);
    assert_null(agent_alive(test, one));
    assert_int_equal(ledger.streams[0].downs, 1);
    assert_int_equal(ledger.streams[0].down_reason, -SOMA_EKILLED);
}

static void test_faithful(soma_test *test)
{
    faithful(test, 0);
}

/* Some of it crosses in parts. */
static void test_faithful_large(soma_test *test)
{
    faithful(test, LARGE_MOST);
}

/* Both begin at once, and nothing else is there. */
static void test_glare(soma_test *test)
{
    nodes_open(test, 0);
    stream_open(test, "north", "south", 0);
    stream_open(test, "south", "north", 0);
    soma_test_advance(test, SOMA_SECOND);
    streams_check();
    links_check(test);
}

/* Who sends more than the way holds stands still until there is room again. */
static void test_pressure(soma_test *test)
{
    nodes_open(test, 0);
    soma_ref there = spawn_at(test, "south", &store, NULL), here;
    stream_open(test, "north", "south", 0);
    soma_test_advance(test, SOMA_SECOND);
    soma_test_net_cut(test, "north", "south");
    here = spawn_at(test, "north", &porter, &there);
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_in_range(((const struct porter *)soma_test_state(test, here))->sent, 10, LOADS - 10);
    assert_int_equal(*(const uint64_t *)soma_test_state(test, there), 0);
    soma_test_net_heal(test, "north", "south");
    soma_test_settle(test);
    assert_int_equal(*(const uint64_t *)soma_test_state(test, there), LOADS);
}

/* ---- outages of any length, and restarts ---- */

static void outage(soma_test *test)
{
    uint64_t a = soma_test_random(test, NODES), b = (a + 1 + soma_test_random(test, NODES - 1)) % NODES;
    switch (soma_test_random(test, 7)) {
    case 0:
        soma_test_net_cut(test, names[a], names[b]);
        break;
    case 1:
        soma_test_net_partition(test, names[a], names[b]);
        break;
    case 2:
        soma_test_net_partition_way(test, names[a], names[b]);
        break;
    case 3:
        soma_test_node_restart(test, names[a]);
        node_watch(test, names[a]);
        nodes_compress(test);
        stream_open(test, names[a], names[b], 2 * SOMA_SECOND);
        stream_open(test, names[b], names[a], 2 * SOMA_SECOND);
        break;
    default:
        soma_test_net_heal(test, names[a], names[b]);
        break;
    }
}

/* Between them up to `most` passes. */
static void outages(soma_test *test, uint32_t load, uint64_t most)
{
    soma_ref twins[2 * NODES];
    nodes_open(test, load);
    if (soma_test_random(test, 2))
        soma_test_net_delay(test, "north", "south", 0, 100 * SOMA_MS);
    streams_open(test, 6 * SOMA_SECOND);
    for (uint32_t i = 0; i < NODES; i++) {
        twins[2 * i] = spawn_at(test, names[i], &twin, NULL);
        twins[2 * i + 1] = spawn_at(test, names[(i + 1) % NODES], &twin, &twins[2 * i]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        outage(test);
        soma_test_advance(test, soma_test_random(test, 2) ? soma_test_random(test, most)
                                                          : soma_test_random(test, 100 * SOMA_MS));
    }
    for (uint32_t i = 0; i < NODES; i++)
        soma_test_net_heal(test, names[i], names[(i + 1) % NODES]);
    soma_test_advance(test, 90 * SOMA_SECOND);
    for (uint32_t i = 0; i < ledger.count; i++)
        stream_check(test, &ledger.streams[i]);
    for (uint32_t i = 0; i < NODES; i++)
        assert_int_equal(is_linked(test, twins[2 * i]), is_linked(test, twins[2 * i + 1]));
    links_check(test);
}

static void test_outages(soma_test *test)
{
    outages(test, 0, 14 * SOMA_SECOND);
}

static void test_outages_large(soma_test *test)
{
    outages(test, LARGE_MOST, 14 * SOMA_SECOND);
}

/* So long that nodes are forgotten, and come back or never do: in the end those are left that are there. */
static void test_forgotten(soma_test *test)
{
    outages(test, 0, 250 * SOMA_SECOND);
    soma_test_advance(test, 110 * SOMA_SECOND);
    links_check(test);
    for (uint32_t i = 0; i < NODES; i++) {
        const struct soma_bridge *bridge = test->nodes[i].carrier.bridge;
        assert_true(bridge->peer_count < NODES);
        for (uint32_t j = 0; j < bridge->peer_count; j++)
            assert_true(bridge->list[j]->joined);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_glare, test_load(1000), 10000),
        SOMA_SIM(test_glare, test_load(500), 10000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_faithful, test_load(500), 10000),
        SOMA_SIM(test_faithful, test_load(2000), 10000, .cuts = 2, .pauses = 2),
        SOMA_SIM(test_faithful, test_load(2000), 10000, .partitions = 2, .late = 2),
        SOMA_SIM(test_faithful, test_load(2000), 10000, .frames = 3),
        SOMA_SIM(test_faithful, test_load(1000), 10000, .cuts = 1, .frames = 1),
        SOMA_SIM(test_pressure, test_load(50), 10000),
        SOMA_SIM(test_outages, test_load(4000), 10000),
        SOMA_SIM(test_outages, test_load(4000), 10000, .frames = 4, .pauses = 2),
        SOMA_SIM(test_faithful_large, test_load(200), 10000, .cuts = 2, .partitions = 1, .frames = 2),
        SOMA_SIM(test_forgotten, test_load(500), 10000, .frames = 2, .pauses = 2),
        SOMA_SIM(test_outages_large, test_load(400), 10000, .frames = 2, .pauses = 2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
