/* Nodes of which others tell: when they are called, what waits for them, and when they are forgotten. */
#include "bridges/item.h"
#include "lone_asker.h"
#include <stdatomic.h>

static uint32_t dials_of(const struct lone *lone)
{
    uint32_t count = 0;
    for (const struct dial *dial = lone->bridge->dials; dial; dial = dial->next)
        count++;
    return count;
}

static void introduce_nowhere(const struct lone *lone, uint64_t node)
{
    const struct item item = {.kind = ITEM_NODE, .node = node, .name = {"far", 3}};
    assert_int_equal(node_arrive(lone->bridge, &item), 0);
}

/* In steps that the bridge does not take for a standstill. */
static void pass_slowly(struct lone *lone, uint64_t nanoseconds)
{
    for (uint64_t passed = 0; passed < nanoseconds; passed += SOMA_SECOND / 4)
        lone_pass(lone, SOMA_SECOND / 4);
}

/* A node that is never there is not called for ever; until somebody tells of it again. */
static void test_given_up(void **state)
{
    (void)state;
    static const char *const connect[] = {"sim://home", NULL};
    struct lone lone;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .connect = connect});
    for (int round = 0; round < 2; round++) {
        introduce(&lone, FAR);
        assert_int_equal(dials_of(&lone), 3); // directly, and through a relay
        uint64_t before = lone.dials;
        for (int i = 0; i < 300; i++) // down after 10 s, given up after 100 s more
            lone_pass(&lone, SOMA_SECOND / 2 - 1);
        assert_int_equal(dials_of(&lone), 1);
        assert_true(lone.dials > before + 10);
    }
    assert_string_equal(lone.bridge->dials->address, "sim://home"); // the user has asked for that
    lone_close(&lone);
}

/* One that is only to be called on demand is not, and is not taken for down meanwhile, until something is sent there.
 */
static void test_on_demand(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent;
    failed = 0;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .on_demand = true});
    assert_int_equal(soma_spawn(lone.system, &asker, NULL, &agent), 0);
    lone_settle(&lone);
    introduce(&lone, FAR);
    join_from(&lone, FAR + 1, CONNECTION); // of which it is not told before it is called
    pass_slowly(&lone, 100 * SOMA_SECOND);
    assert_int_equal(lone.dials, 0);
    assert_true(peer_of(&lone, FAR)->open);
    assert_int_equal(peer_of(&lone, FAR)->out.bytes, 0);
    assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR, 1, 1}), 0);
    lone_pass(&lone, 0);
    assert_int_equal(lone.dials, 1);
    assert_int_equal(dials_of(&lone), 2); // and soon through a relay
    pass_slowly(&lone, 9 * SOMA_SECOND);
    assert_int_equal(failed, 0);
    pass_slowly(&lone, 2 * SOMA_SECOND); // now it is
    assert_int_equal(failed, SOMA_ENODEDOWN);
    introduce(&lone, FAR);
    join_from(&lone, FAR, CONNECTION + 2); // it has come by itself
    assert_true(peer_of(&lone, FAR)->joined);
    assert_false(peer_of(&lone, FAR)->idle);
    lone_close(&lone);
}

/* What is sent to a node that listens nowhere, and of which another has told, waits until it comes. */
static void test_nowhere(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent;
    failed = 0;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone.system, &asker, NULL, &agent), 0);
    introduce_nowhere(&lone, FAR);
    pass_slowly(&lone, 50 * SOMA_SECOND);
    introduce_nowhere(&lone, FAR); // it does not begin anew
    assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR, 1, 1}), 0);
    pass_slowly(&lone, 9 * SOMA_SECOND);
    assert_int_equal(failed, 0);
    assert_int_equal(debts_of(&lone), 1);
    join_from(&lone, FAR, CONNECTION + 1);
    pass_slowly(&lone, SOMA_SECOND);
    assert_int_equal(failed, 0);
    assert_int_equal(peer_of(&lone, FAR)->out.bytes, 0); // it has been sent
    introduce_nowhere(&lone, FAR + 2);
    assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR + 2, 1, 1}), 0);
    pass_slowly(&lone, 11 * SOMA_SECOND);
    assert_int_equal(failed, SOMA_ENODEDOWN); // it has not come
    lone_close(&lone);
}

/* The kind of the first item that has left for a node; the frames that were kept are gone. */
static enum item_kind first_item(struct lone *lone, uint64_t node)
{
    struct item item = {.kind = 0};
    for (struct lone_frame *frame; (frame = lone_take(lone)); free(frame)) {
        struct reader at;
        if (item.kind || !lone_items(frame, &at))
            continue;
        assert_int_equal(item_read(&at, node, lone->system->node, &item), 0);
    }
    return item.kind;
}

/* Word of other nodes goes ahead of all that has waited for a node: it may have refs that lead there. */
static void test_word_ahead(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone.system, &asker, NULL, &agent), 0);
    introduce(&lone, FAR + 1);
    introduce(&lone, FAR);
    assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR, 1, 1}), 0);
    lone_settle(&lone);
    lone.keeps = true;
    join_from(&lone, FAR, CONNECTION);
    bridge_turn(lone.bridge);
    assert_int_equal(first_item(&lone, FAR), ITEM_NODE);
    assert_int_equal(debts_of(&lone), 1); // the question has left, too
    assert_int_equal(peer_of(&lone, FAR)->out.bytes, 0);
    lone_close(&lone);
}

/* One that nobody wants, and that does not come, is forgotten; and may be told of again, or called by a relay. */
static void test_hearsay(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone.system, &asker, NULL, &agent), 0);
    for (int round = 0; round < 2; round++) {
        introduce_nowhere(&lone, FAR);
        pass_slowly(&lone, 99 * SOMA_SECOND);
        assert_non_null(peer_of(&lone, FAR));
        pass_slowly(&lone, 2 * SOMA_SECOND);
        assert_null(peer_of(&lone, FAR));
        failed = 0;
        assert_int_equal(soma_send(lone.system, agent, go, .to = {FAR, 1, 1}), 0);
        lone_settle(&lone);
        assert_int_equal(failed, SOMA_ENOROUTE); // it is not known to be dead
    }
    introduce_nowhere(&lone, FAR);
    join_from(&lone, FAR + 1, CONNECTION);
    assert_int_equal(peer_of(&lone, FAR + 1)->out.bytes, 0); // it is not told of hearsay
    peer_of(&lone, FAR + 1)->reads |= READS_RELAYED;
    assert_int_equal(dials_of(&lone), 0);
    introduce_nowhere(&lone, FAR);
    assert_int_equal(dials_of(&lone), 1);
    assert_false(peer_of(&lone, FAR)->idle);
    lone_close(&lone);
}

/* It is kept from when it was told of last: refs that lead there may have come with that word. */
static void test_told_again(void **state)
{
    (void)state;
    struct lone lone;
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    introduce_nowhere(&lone, FAR);
    pass_slowly(&lone, 99 * SOMA_SECOND);
    introduce_nowhere(&lone, FAR);
    pass_slowly(&lone, 99 * SOMA_SECOND);
    assert_non_null(peer_of(&lone, FAR));
    pass_slowly(&lone, 2 * SOMA_SECOND);
    assert_null(peer_of(&lone, FAR));
    lone_close(&lone);
}

/* Others hear of a node as soon as this one is told of it, also in the middle of its handshake: refs may go on. */
static void test_told_of_stranger(void **state)
{
    (void)state;
    struct lone lone;
    const struct hello hello = lone_hello(FAR);
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    join_from(&lone, FAR + 1, CONNECTION + 1);
    bridge_turn(lone.bridge);
    lone_receive_hello(&lone, CONNECTION, &hello);
    lone.keeps = true;
    introduce(&lone, FAR);
    bridge_turn(lone.bridge);
    assert_int_equal(first_item(&lone, FAR + 1), ITEM_NODE);
    introduce(&lone, FAR); // once
    bridge_turn(lone.bridge);
    assert_int_equal(first_item(&lone, FAR + 1), 0);
    lone_close(&lone);
}

/* Nobody says that a node has left which was only told of. So one that was told of long ago makes room for another. */
static void test_room(void **state)
{
    (void)state;
    struct lone lone;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .on_demand = true});
    lone.bridge->peers_most = 4;
    join_from(&lone, FAR, CONNECTION);
    for (uint64_t i = 1; i <= 3; i++) {
        introduce(&lone, FAR + i);
        lone_pass(&lone, 1);
    }
    introduce(&lone, FAR + 1); // once more
    introduce(&lone, FAR + 4);
    assert_null(peer_of(&lone, FAR + 2));
    join_from(&lone, FAR + 5, CONNECTION + 5);
    assert_null(peer_of(&lone, FAR + 3));
    for (uint64_t i = 0; i <= 5; i++)
        assert_true(i == 2 || i == 3 || peer_of(&lone, FAR + i)->open);
    lone_close(&lone);
}

static void line_count(void *lines, const soma_log_record *record)
{
    atomic_fetch_add((atomic_uint *)lines, 1 + (unsigned)record->dropped);
}

/* There are more than there is room for: the log says so, but not of each. */
static void test_too_many(void **state)
{
    (void)state;
    struct lone lone;
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    atomic_uint lines = 0;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .links_most = 5000});
    join_from(&lone, FAR, CONNECTION);
    lone.heard = line_count;
    lone.hearer = &lines;
    msgpack_sbuffer_init(&items);
    for (uint64_t i = 1; i <= 4200; i++) { // each has an agent, of which there may be 4,096
        write_array(&writer, 4);
        write_number(&writer, ITEM_NODE);
        write_number(&writer, FAR + i);
        write_text(&writer, "far", 3);
        write_array(&writer, 0);
    }
    items_from(&lone, FAR, CONNECTION, &items);
    msgpack_sbuffer_destroy(&items);
    lone_close(&lone);
    assert_in_range(atomic_load(&lines), 1, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_up),         cmocka_unit_test(test_on_demand),  cmocka_unit_test(test_nowhere),
        cmocka_unit_test(test_hearsay),          cmocka_unit_test(test_word_ahead), cmocka_unit_test(test_told_again),
        cmocka_unit_test(test_told_of_stranger), cmocka_unit_test(test_too_many),   cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
