/* What a node makes of others' words: of those that make no sense, that come out of order, or that are never kept. */
#include "bridges/item.h"
#include "lone_asker.h"

/* ---- items that make no sense ---- */

static uint64_t notes;

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    notes += m->number;
    return 0;
}

static const soma_behavior reader = {.name = "reader", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note))};

static void note_write(struct writer *writer, uint64_t from, soma_ref to, const char *body, size_t size)
{
    item_begin(writer, ITEM_SEND, 2, from, to.node, to, SOMA_REF_NULL);
    write_number(writer, 0);
    write_raw(writer, body, size);
}

static void items_left_out(const char *bad, size_t size, bool ends)
{
    struct lone lone;
    soma_ref agent;
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    notes = 0;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone.system, &reader, NULL, &agent), 0);
    lone_settle(&lone);
    join_from(&lone, FAR, CONNECTION);
    msgpack_sbuffer_init(&items);
    note_type_write(&writer);
    note_write(&writer, FAR, agent, "\x91\x01", 2);
    if (*bad == '\x95') // a whole item
        write_raw(&writer, bad, size);
    else
        note_write(&writer, FAR, agent, bad, size);
    note_write(&writer, FAR, agent, "\x91\x04", 2);
    items_from(&lone, FAR, CONNECTION, &items);
    assert_int_equal(notes, ends ? 1 : 5);
    assert_int_equal(lone.bridge->counts.bad_frames, 1);
    assert_int_equal(lone.hung_up, ends);
    assert_int_equal(peer_of(&lone, FAR)->open, !ends); // what is lost must not go unnoticed
    msgpack_sbuffer_destroy(&items);
    lone_close(&lone);
}

static void test_items_left_out(void **state)
{
    (void)state;
    items_left_out("\x82\xa6number\x01\xa6number\x02", 17, false); // a field that comes twice
    items_left_out("\x95\x63\xc0\xc0\x01\x02", 6, false);          // no such kind
    items_left_out("\x95\x04\xc0\xc0\x00\x91\x02", 7, false);      // for nobody
    items_left_out("\x95\xc1", 2, true);                           // where does it end?
}

/* ---- who only says hello ---- */

/* Each from another node; none gets any further. Nothing is kept of them in the end, and not much meanwhile. */
static void test_strangers(void **state)
{
    (void)state;
    struct lone lone;
    uint64_t node = FAR, turned_away = 0;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    uint32_t slots = u32_load(&lone.system->slots.used);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 200; i++, node++) {
            const struct hello hello = lone_hello(node);
            lone_receive_hello(&lone, CONNECTION + node, &hello);
            turned_away += lone.kind == FRAME_REJECT;
        }
        assert_in_range(lone.bridge->stranger_count, 200, 1024);
        assert_int_equal(lone.bridge->peer_count, 0);
        lone_pass(&lone, SOMA_SECOND + SOMA_SECOND / 2);
        lone_pass(&lone, SOMA_SECOND + SOMA_SECOND / 2); // then the handshakes have taken too long
    }
    assert_int_equal(turned_away, 0); // 200 each 3 s, for 10 s each, are not too many
    assert_int_equal(u32_load(&lone.system->slots.used), slots);
    lone_pass(&lone, 20 * SOMA_SECOND);
    assert_int_equal(lone.bridge->stranger_count, 0);
    lone_receive_hello(&lone, 1, &(struct hello){.version = PROTOCOL_VERSION, .node = FAR, .agent = {FAR, 1, 1}});
    lone_receive_join(&lone, 1, &(struct join){.mine = 5}); // one that has been forgotten comes anew
    assert_int_equal(lone.bridge->peer_count, 1);
    assert_int_equal(lone.bridge->stranger_count, 0);
    lone_close(&lone);
}

/* Who was forgotten in the middle of the handshake, but not too early, goes on where it was. */
static void test_stranger_returns(void **state)
{
    (void)state;
    struct lone lone;
    const struct hello hello = lone_hello(FAR);
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    lone_receive_hello(&lone, CONNECTION, &hello);
    uint64_t half = peer_seen(lone.bridge, FAR)->session.mine;
    bridge_broken(lone.bridge, CONNECTION);
    lone_pass(&lone, 5 * SOMA_SECOND);
    lone_receive_hello(&lone, CONNECTION + 1, &hello);
    lone_receive_join(&lone, CONNECTION + 1, &(struct join){5, half, 0});
    assert_int_equal(peer_of(&lone, FAR)->session.mine, half);
    assert_true(peer_of(&lone, FAR)->joined);
    lone_close(&lone);
}

/* A word that was said before others which have come meanwhile ends its connection alone. */
static void test_old_word(void **state)
{
    (void)state;
    struct lone lone;
    const struct hello hello = lone_hello(FAR);
    msgpack_sbuffer ping;
    soma_ref agent;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone.system, &asker, NULL, &agent), 0);
    join_from(&lone, FAR, CONNECTION);
    const struct session *session = &peer_of(&lone, FAR)->session;
    assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR, 1, 1}), 0);
    lone_settle(&lone);
    bridge_turn(lone.bridge);
    assert_int_equal(session->sent, 1);
    msgpack_sbuffer_init(&ping);
    assert_true(ping_write(&ping, 1, 0));
    lone_receive(&lone, CONNECTION, ping.data, ping.size);
    assert_int_equal(session->acked, 1);
    const struct join old = {session->yours, session->mine, 0};
    lone_receive_hello(&lone, CONNECTION + 1, &hello);
    lone_receive_join(&lone, CONNECTION + 1, &old);
    assert_int_equal(lone.last_ended, CONNECTION + 1);
    assert_int_equal(session->acked, 1);
    assert_int_equal(debts_of(&lone), 1); // it still waits for the answer
    lone_receive_hello(&lone, CONNECTION + 2, &hello);
    lone_receive_join(&lone, CONNECTION + 2, &(struct join){old.mine, old.yours, 1});
    assert_true(peer_of(&lone, FAR)->joined);
    lone_close(&lone);
    msgpack_sbuffer_destroy(&ping);
}

/* A hello that was said before one that has come already, over another connection of the same side: as sockets are read
 * in any order. It was taken for the newer one. */
static void test_old_hello(void **state)
{
    (void)state;
    struct lone lone;
    struct hello hello = lone_hello(FAR);
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    hello.count = 2;
    lone_receive_hello(&lone, CONNECTION, &hello);
    hello.count = 1;
    lone_receive_hello(&lone, CONNECTION + 1, &hello);
    assert_int_equal(lone.last_ended, CONNECTION + 1);
    assert_int_equal(peer_seen(lone.bridge, FAR)->connection, CONNECTION);
    hello.count = 3;
    lone_receive_hello(&lone, CONNECTION + 2, &hello);
    assert_int_equal(lone.last_ended, CONNECTION);
    assert_int_equal(peer_seen(lone.bridge, FAR)->connection, CONNECTION + 2);
    lone_close(&lone);
}

/* ---- goodbye in the middle of a handshake ---- */

/* The node has made another connection, as its first one was no use yet, and leaves ahead of any word of a session. */
static void test_leaves_after_hello(void **state)
{
    (void)state;
    struct lone lone;
    struct hello hello = lone_hello(FAR);
    soma_ref agent;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone.system, &asker, NULL, &agent), 0);
    join_from(&lone, FAR, CONNECTION);
    assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR, 1, 1}), 0);
    lone_settle(&lone);
    hello.count = 2;
    lone_receive_hello(&lone, CONNECTION + 1, &hello);
    assert_int_equal(lone.last_ended, CONNECTION);
    failed = 0;
    bye_over(&lone, CONNECTION + 1);
    assert_int_equal(failed, SOMA_ENODEDOWN);
    assert_false(peer_of(&lone, FAR)->open);
    assert_int_equal(lone.bridge->counts.bad_frames, 0);
    bye_over(&lone, CONNECTION + 2); // before hello it is nobody's
    assert_int_equal(lone.bridge->counts.bad_frames, 0);
    lone_close(&lone);
}

/* Who has heard hello may have the node for one that it is joined with: over each connection it hears that it leaves.
 */
static void test_goodbye_after_hello(void **state)
{
    (void)state;
    struct lone lone;
    struct hello hello = lone_hello(FAR);
    bool heard[3] = {false};
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    join_from(&lone, FAR, CONNECTION);
    hello.count = 2;
    lone_receive_hello(&lone, CONNECTION + 1, &hello); // in place of the one before
    introduce(&lone, FAR + 1);
    lone_pass(&lone, SOMA_MS);
    worker_enter(lone.bridge->worker);
    bridge_connected(lone.bridge, 1);
    lone_pass(&lone, 2 * SOMA_SECOND); // as nothing is heard, it is called once more
    assert_int_equal(lone.dials, 2);   // and has heard nothing over that one yet
    worker_enter(lone.bridge->worker);
    lone.keeps = true;
    bridge_goodbye(lone.bridge);
    for (struct lone_frame *frame; (frame = lone_take(&lone)); free(frame)) {
        assert_int_equal(frame->kind, FRAME_BYE);
        heard[frame->connection == CONNECTION + 1 ? 0 : frame->connection == 1 ? 1 : 2] = true;
    }
    assert_true(heard[0] && heard[1]);
    assert_false(heard[2]);
    lone_close(&lone);
}

/* ---- another node at the address of one whose connection is lost ---- */

/* Is the first one taken for one that has ended? */
static bool is_replaced(const char *own, const char *theirs)
{
    struct lone lone;
    struct hello hello = lone_hello(FAR);
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    if (own)
        lone.bridge->addresses[lone.bridge->address_count++] = strdup(own);
    hello.addresses[0] = (struct span){theirs, (uint32_t)strlen(theirs)};
    hello.address_count = 1;
    for (uint64_t i = 0; i < 2; i++) {
        hello.node = hello.agent.node = FAR + i;
        lone_receive_hello(&lone, CONNECTION + i, &hello);
        lone_receive_join(&lone, CONNECTION + i, &(struct join){.mine = 5});
        if (!i)
            bridge_broken(lone.bridge, CONNECTION);
        bridge_turn(lone.bridge);
    }
    bool replaced = !peer_of(&lone, FAR)->open;
    assert_true(peer_of(&lone, FAR + 1)->open);
    lone_close(&lone);
    return replaced;
}

static void test_replaced(void **state)
{
    (void)state;
    assert_true(is_replaced("tcp://10.0.0.9:7000", "tcp://10.0.0.5:7000"));
    assert_true(is_replaced(NULL, "tcp://10.0.0.5:7000"));
    assert_false(is_replaced("tcp://10.0.0.9:7000", "tcp://0.0.0.0:7000")); // they may be on two machines
    assert_false(is_replaced("tcp://10.0.0.9:7000", "tcp://127.0.0.1:7000"));
    assert_false(is_replaced("tcp://10.0.0.9:7000", "ipc:///run/it"));
    assert_false(is_replaced(NULL, "tcp://127.0.0.1:7000"));
    assert_true(is_replaced("tcp://127.0.0.1:8000", "tcp://127.0.0.1:7000")); // they can't be
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_left_out),     cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_stranger_returns),   cmocka_unit_test(test_old_word),
        cmocka_unit_test(test_old_hello),          cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_leaves_after_hello), cmocka_unit_test(test_goodbye_after_hello)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
