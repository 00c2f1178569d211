/*
 * Two nodes that can't reach each other, and one that relays between them, under the simulated network: what holds for
 * nodes that are joined directly holds for them, too.
 */
#include "session_agents.h"

static const struct peer *peer_at(soma_test *test, uint32_t from, uint32_t to)
{
    return peers_find(&test->nodes[from].carrier.bridge->peers, test->nodes[to].system->node);
}

/* North and west can't reach each other; south has a link to both. */
static void nodes_open(soma_test *test, bool relay)
{
    ledger = (struct ledger){0};
    for (uint32_t i = 0; i < NODES; i++)
        node_watch(test, names[i]);
    test->nodes[1].carrier.bridge->options.relay = relay;
    nodes_compress(test);
    soma_test_net_cut(test, "north", "west");
    stream_open(test, "north", "south", 0);
    stream_open(test, "west", "south", 0);
    soma_test_advance(test, SOMA_SECOND);
}

static void stream_arrived(const struct stream *stream)
{
    assert_int_equal(stream->arrived, MARKS); // in order, each once: see on_mark()
    assert_int_equal(stream->letters, 0);
    assert_int_equal(stream->answers, MARKS);
    assert_int_equal(stream->errors, 0);
    assert_int_equal(stream->downs, 0);
}

static void test_relayed(soma_test *test)
{
    nodes_open(test, true);
    stream_open(test, "north", "west", soma_test_random(test, 2) * SOMA_SECOND);
    stream_open(test, "west", "north", soma_test_random(test, 2) * SOMA_SECOND);
    soma_ref one = spawn_at(test, "north", &twin, NULL), two = spawn_at(test, "west", &twin, &one);
    soma_test_advance(test, 60 * SOMA_SECOND);
    for (uint32_t i = 0; i < ledger.count; i++)
        stream_arrived(&ledger.streams[i]);
    assert_true(is_linked(test, one) && is_linked(test, two));
    if (!test->sim->cuts) // those end by themselves, this one, too
        assert_true(peer_at(test, 0, 2)->connection & RELAYED && peer_at(test, 2, 0)->connection & RELAYED);
    assert_false(peer_at(test, 0, 1)->connection & RELAYED);
    soma_kill(soma_test_node(test, "north"), two); // through the relay
    soma_kill(soma_test_node(test, "west"), ledger.streams[2].to);
    soma_test_advance(test, SOMA_SECOND);
    assert_null(agent_alive(test, one));
    assert_int_equal(ledger.streams[2].downs, 1);
    assert_int_equal(ledger.streams[2].down_reason, -SOMA_EKILLED);
}

/* More than the ways hold, by the relay's links, too: it is slowed down, and all arrives. */
static void test_heavy(soma_test *test)
{
    nodes_open(test, true);
    soma_ref there = spawn_at(test, "west", &store, NULL);
    spawn_at(test, "north", &porter, &there);
    soma_test_advance(test, 60 * SOMA_SECOND);
    assert_int_equal(*(const uint64_t *)soma_test_state(test, there), LOADS);
}

/* The relay's links may hold as much as they like. */
static void test_any_window(soma_test *test)
{
    nodes_open(test, true);
    test->nodes[1].carrier.bridge->options.window = UINT64_MAX - OUT_HIGH + 1;
    const struct stream *stream = stream_open(test, "north", "west", 0);
    soma_test_advance(test, 60 * SOMA_SECOND);
    stream_arrived(stream);
}

/* A node relays only if it is told to. */
static void test_not_asked(soma_test *test)
{
    nodes_open(test, false);
    struct stream *stream = stream_open(test, "north", "west", 0);
    soma_test_advance(test, 60 * SOMA_SECOND);
    assert_int_equal(stream->arrived, 0);
    assert_int_equal(stream->downs, 1);
    assert_int_equal(stream->down_reason, -SOMA_ENODEDOWN);
    assert_int_equal(stream->errors, MARKS);
}

/* The relay dies, or the node behind it: each is told once, and nobody waits for ever. */
static void test_ends(soma_test *test)
{
    bool far = soma_test_random(test, 2);
    nodes_open(test, true);
    struct stream *stream = stream_open(test, "north", "west", 4 * SOMA_SECOND);
    soma_test_advance(test, 2 * SOMA_SECOND + soma_test_random(test, 10 * SOMA_SECOND));
    soma_test_node_down(test, far ? "west" : "south");
    soma_test_advance(test, 90 * SOMA_SECOND);
    assert_int_equal(stream->sent, MARKS);
    assert_int_equal(stream->downs, 1);
    assert_int_equal(stream->down_reason, -SOMA_ENODEDOWN);
    assert_int_equal(stream->answers + stream->errors, MARKS);
    assert_true(stream->arrived <= stream->sent);
    assert_true(far || stream->arrived + stream->letters >= stream->sent);
}

/* It comes up again: so do the links through it. */
static void test_relay_returns(soma_test *test)
{
    nodes_open(test, true);
    stream_open(test, "north", "west", 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
    soma_test_node_restart(test, "south");
    test->nodes[1].carrier.bridge->options.relay = true;
    nodes_compress(test);
    stream_open(test, "south", "north", 0); // so it knows both again, and tells them of each other
    stream_open(test, "south", "west", 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
    struct stream *again = stream_open(test, "west", "north", 0);
    soma_test_advance(test, 60 * SOMA_SECOND);
    stream_arrived(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_relayed, test_load(1000), 20000),
        SOMA_SIM(test_relayed, test_load(1000), 20000, .pauses = 2, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_relayed, test_load(1000), 20000, .cuts = 2),
        SOMA_SIM(test_relayed, test_load(1000), 20000, .frames = 2), // three in a row may be an outage of down_ms
        SOMA_SIM(test_heavy, test_load(50), 20000),
        SOMA_SIM(test_any_window, test_load(50), 20000),
        SOMA_SIM(test_not_asked, test_load(100), 20000),
        SOMA_SIM(test_ends, test_load(1000), 20000),
        SOMA_SIM(test_relay_returns, test_load(500), 20000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
