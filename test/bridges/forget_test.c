/* Nodes that have left are forgotten in time, however many there were; but not that they are gone. */
#include "lone_node.h"
#include "test_support.h"
#include <soma/monitor.h>

SOMA_MESSAGE(note, (u64, number))

#define FAR 100u
#define DOWN_MS 1000u
#define GONE (HOPELESS * DOWN_MS * SOMA_MS) /* after that a node is forgotten */

static const soma_bridge_options options = {.name = "here", .down_ms = DOWN_MS};

/* A node has called, and is joined. */
static void comes_by(struct lone *lone, uint64_t node, uint64_t connection)
{
    const struct hello hello = lone_hello(node);
    lone_receive_hello(lone, connection, &hello);
    lone_receive_join(lone, connection, &(struct join){.mine = 5});
}

/* By a connection of its own number. */
static void comes(struct lone *lone, uint64_t node)
{
    comes_by(lone, node, node);
}

static void leaves(struct lone *lone, uint64_t node)
{
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    REQUIRE(bye_write(&frame));
    lone_receive(lone, node, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

static int send_to(const struct lone *lone, uint64_t node)
{
    return soma_send(lone->system, ((soma_ref){node, 7, 1}), note, .number = 1);
}

/* ---- an agent that watches another node's ---- */

static int down_reason;

static int watcher_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return soma_monitor(self, *(const soma_ref *)arg) < 0 ? SOMA_ENOMEM : 0;
}

static int on_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)self, (void)my;
    down_reason = m->reason;
    return 0;
}

static const soma_behavior watcher = {
    .name = "watcher", .init = watcher_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_down))};

static void watched(struct lone *lone, uint64_t node)
{
    const soma_ref there = {node, 7, 1};
    down_reason = 0;
    REQUIRE(!soma_spawn(lone->system, &watcher, &there, NULL));
    lone_pass(lone, 0);
}

/* ---- the rules ---- */

static void test_gone(void **state)
{
    (void)state;
    struct lone lone;
    lone_open(&lone, &options);
    assert_int_equal(send_to(&lone, FAR), SOMA_ENOROUTE);
    comes(&lone, FAR);
    assert_int_equal(send_to(&lone, FAR), 0);
    watched(&lone, FAR);
    leaves(&lone, FAR);
    lone_pass(&lone, 0);
    assert_int_equal(down_reason, SOMA_ENODEDOWN);
    assert_int_equal(send_to(&lone, FAR), SOMA_ENODEDOWN);
    lone_pass(&lone, GONE - 1);
    assert_false(peer_of(&lone, FAR)->open);
    lone_pass(&lone, 1);
    assert_null(peer_of(&lone, FAR));
    assert_int_equal(soma_bridge_peers(lone.bridge, NULL, 0), 0);
    assert_int_equal(send_to(&lone, FAR), SOMA_ENODEDOWN); // as ever
    watched(&lone, FAR);
    assert_int_equal(down_reason, SOMA_ENODEDOWN);
    lone_close(&lone);
}

/* One that was only silent is forgotten as well; one that comes back again and again is not. */
static void test_silent(void **state)
{
    (void)state;
    struct lone lone;
    lone_open(&lone, &options);
    comes(&lone, FAR);
    for (int i = 0; i < 50; i++) {
        lone_pass(&lone, GONE / 4);
        comes_by(&lone, FAR + 1, FAR + 1 + (uint64_t)i); // it was down in between
        assert_non_null(peer_of(&lone, FAR + 1));
    }
    assert_null(peer_of(&lone, FAR));
    lone_close(&lone);
}

/* With nothing else that would wake the bridge: it says itself when it must be. */
static void test_in_time(void **state)
{
    (void)state;
    struct lone lone;
    lone_open(&lone, &options);
    comes(&lone, FAR);
    const uint64_t begun = lone.now;
    for (;;) {
        worker_enter(lone.bridge->worker);
        uint64_t next = bridge_turn(lone.bridge);
        lone_settle(&lone);
        if (!peer_of(&lone, FAR))
            break;
        assert_true(next < UINT64_MAX);
        lone.now = next;
    }
    assert_int_equal(lone.now - begun, DOWN_MS * SOMA_MS + GONE);
    lone_close(&lone);
}

/* If it comes back after all, it is welcome: in a new session. */
static void test_back(void **state)
{
    (void)state;
    struct lone lone;
    lone_open(&lone, &options);
    for (int i = 0; i < 3; i++) {
        comes(&lone, FAR);
        assert_true(peer_of(&lone, FAR)->joined);
        assert_int_equal(send_to(&lone, FAR), 0);
        lone_pass(&lone, 0);
        assert_int_equal(peer_of(&lone, FAR)->session.sent, 1); // it knows nothing of the one before
        leaves(&lone, FAR);
        lone_pass(&lone, 0);
        lone_pass(&lone, GONE);
        assert_null(peer_of(&lone, FAR));
    }
    lone_close(&lone);
}

/* More than a bridge has room for at a time, one after another: what was one's is the next one's. */
static void test_many(void **state)
{
    (void)state;
    struct lone lone;
    soma_stats before, after;
    lone_open(&lone, &options);
    comes(&lone, FAR);
    leaves(&lone, FAR);
    lone_pass(&lone, GONE);
    assert_int_equal(soma_system_stats(lone.system, &before), 0);
    uint32_t count = test_load(70000);
    for (uint32_t i = 1; i <= count; i++) {
        comes(&lone, FAR + i);
        assert_true(peer_of(&lone, FAR + i)->joined);
        leaves(&lone, FAR + i);
        lone_pass(&lone, GONE);
    }
    assert_int_equal(lone.bridge->peer_count, 0);
    assert_int_equal(soma_system_stats(lone.system, &after), 0);
    assert_int_equal(after.agents, before.agents);
    assert_int_equal(send_to(&lone, FAR), SOMA_ENODEDOWN);
    assert_int_equal(send_to(&lone, FAR + count / 2), SOMA_ENODEDOWN);
    assert_int_equal(send_to(&lone, FAR + count + 1), SOMA_ENOROUTE);
    lone_close(&lone);
}

/* Nobody else can be the node that was there, also if another had told of it in between. */
static void test_key_stays(void **state)
{
    (void)state;
    char secret[SOMA_BRIDGE_KEY_SIZE], keys[2][SOMA_BRIDGE_KEY_SIZE], mine[SOMA_BRIDGE_KEY_SIZE], allowed[100];
    for (int i = 0; i < 2; i++)
        assert_int_equal(soma_bridge_keygen(keys[i], secret), 0);
    assert_int_equal(soma_bridge_keygen(mine, secret), 0);
    snprintf(allowed, sizeof(allowed), "%s\n%s\n", keys[0], keys[1]);
    struct lone lone;
    lone_open(&lone,
              &(soma_bridge_options){.name = "here", .down_ms = DOWN_MS, .secret_key = secret, .allowed = allowed});
    lone.key = keys[0];
    comes(&lone, FAR);
    leaves(&lone, FAR);
    for (int i = 0; i < 2; i++) {
        lone_pass(&lone, GONE);
        assert_null(peer_of(&lone, FAR));
        if (i) {
            worker_enter(lone.bridge->worker);
            REQUIRE(bridge_peer(lone.bridge, FAR)); // told of
            worker_enter(NULL);
        }
        lone.key = keys[1];
        const struct hello hello = lone_hello(FAR);
        lone_receive_hello(&lone, 1000, &hello);
        assert_int_equal(lone.last_ended, 1000);
        assert_false(peer_seen(lone.bridge, FAR) && peer_seen(lone.bridge, FAR)->connection);
    }
    lone.key = keys[0];
    comes(&lone, FAR);
    assert_true(peer_of(&lone, FAR)->joined);
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gone),    cmocka_unit_test(test_silent),
                                       cmocka_unit_test(test_in_time), cmocka_unit_test(test_back),
                                       cmocka_unit_test(test_many),    cmocka_unit_test(test_key_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
