/*
 * Words that a request has gone on to another node: what a node makes of them, in whatever order they come and however
 * often they are said, and what it says itself.
 */
#include "bridges/item.h"
#include "lone_asker.h"

SOMA_MESSAGE(heap, (bytes, load))

/* ---- of requests of an agent here ---- */

/* Number 0: it has none. */
static void numbered_from(struct lone *lone, uint64_t node, soma_ref asker_ref, uint64_t next, uint64_t number)
{
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    msgpack_sbuffer_init(&items);
    item_begin(&writer, ITEM_MOVED, number ? 2 : 1, node, asker_ref.node, asker_ref, (soma_ref){next, 1, 1});
    write_number(&writer, 1); // the handle of the first thing that an agent waits for
    if (number)
        write_number(&writer, number);
    items_from(lone, node, CONNECTION + node - FAR, &items);
    msgpack_sbuffer_destroy(&items);
}

static void moved_from(struct lone *lone, uint64_t node, soma_ref asker_ref, uint64_t next)
{
    numbered_from(lone, node, asker_ref, next, 0);
}

/* An agent asks one of FAR; so many nodes are joined. */
static soma_ref asked(struct lone *lone, uint64_t nodes)
{
    soma_ref agent;
    failed = 0;
    lone_open(lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone->system, &asker, NULL, &agent), 0);
    lone_settle(lone);
    for (uint64_t i = 0; i < nodes; i++)
        join_from(lone, FAR + i, CONNECTION + i);
    assert_int_equal(soma_send(lone->system, agent, go, .to = {FAR, 1, 1}), 0);
    lone_settle(lone);
    bridge_turn(lone->bridge);
    assert_int_equal(debts_of(lone), 1);
    return agent;
}

/* The end of one node alone ends it. */
static void ends_with(struct lone *lone, uint64_t nodes, uint64_t last)
{
    for (uint64_t node = FAR; node < FAR + nodes; node++)
        if (node != last)
            bye_from(lone, node);
    lone_settle(lone);
    assert_int_equal(failed, 0);
    bye_from(lone, last);
    lone_settle(lone);
    assert_int_equal(failed, SOMA_ENODEDOWN);
}

/* Asked of FAR, it goes from each node to the next, and once back to where it was; the words of that come in an order
 * that is given by digits. Whose end ends it is the last one. */
static void moved_in_order(const char *order)
{
    static const uint64_t way[] = {FAR, FAR + 1, FAR + 2, FAR + 1, FAR + 3};
    struct lone lone;
    soma_ref agent = asked(&lone, 4);
    for (const char *word = order; *word; word++)
        moved_from(&lone, way[*word - '0'], agent, way[*word - '0' + 1]);
    assert_int_equal(debts_of(&lone), 1);
    assert_int_equal(lone.bridge->moves.count, 0);
    ends_with(&lone, 4, FAR + 3);
    lone_close(&lone);
}

static void test_moved(void **state)
{
    (void)state;
    static const char *const orders[] = {"0123", "0132", "1023", "1203", "1230", "2013", "1302",
                                         "1320", "1032", "2130", "2103", "0213"}; // 1 always before 3: by one link
    for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
        moved_in_order(orders[i]);
}

/* Word of a node that the request has gone on from there holds, though its session ends before it is known that the
 * request has come there. */
static void test_moved_by_one_that_ends(void **state)
{
    (void)state;
    for (int back = 0; back < 2; back++) {
        struct lone lone;
        soma_ref agent = asked(&lone, 3);
        moved_from(&lone, FAR + 1, agent, FAR + 2);
        bye_from(&lone, FAR + 1);
        if (back)
            join_from(&lone, FAR + 1, CONNECTION + 1);
        moved_from(&lone, FAR, agent, FAR + 1);
        assert_int_equal(lone.bridge->moves.count, 0);
        ends_with(&lone, back ? 3 : 1, FAR + 2);
        lone_close(&lone);
    }
}

static int on_forward(soma_agent *self, void *my, const struct note *m)
{
    (void)my;
    soma_forward(self, (soma_ref){FAR + m->number, 1, 1});
    return 0;
}

static int on_load(soma_agent *self, void *my, const struct heap *m)
{
    (void)my, (void)m;
    soma_forward(self, (soma_ref){FAR, 1, 1});
    return 0;
}

static const soma_behavior forwarder = {.name = "forwarder",
                                        .handlers = SOMA_HANDLERS(SOMA_ON(note, on_forward), SOMA_ON(heap, on_load))};

/* A node passes it on to an agent here, which passes it on to FAR + `next`. */
static void request_through(struct lone *lone, uint64_t node, soma_ref asker_ref, uint64_t next)
{
    const unsigned char body[] = {0x91, (unsigned char)next};
    soma_ref agent;
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    assert_int_equal(soma_spawn(lone->system, &forwarder, NULL, &agent), 0);
    msgpack_sbuffer_init(&items);
    note_type_write(&writer);
    item_begin(&writer, ITEM_REQUEST, 3, node, agent.node, agent, asker_ref);
    write_number(&writer, 1);
    write_number(&writer, 0);
    write_raw(&writer, (const char *)body, sizeof(body));
    items_from(lone, node, CONNECTION + node - FAR, &items);
    msgpack_sbuffer_destroy(&items);
    lone_settle(lone);
    bridge_turn(lone->bridge);
}

static void request_from(struct lone *lone, uint64_t node, soma_ref asker_ref)
{
    request_through(lone, node, asker_ref, 1);
}

/* It comes back, and goes on from here: of its second way word may come first. */
static void test_moved_home(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent = asked(&lone, 4);
    request_from(&lone, FAR, agent);
    assert_int_equal(debts_of(&lone), 2);
    moved_from(&lone, FAR + 2, agent, FAR + 3);
    moved_from(&lone, FAR, agent, agent.node);
    assert_int_equal(debts_of(&lone), 1);
    moved_from(&lone, FAR + 1, agent, FAR + 2);
    assert_int_equal(lone.bridge->moves.count, 0);
    ends_with(&lone, 4, FAR + 3);
    lone_close(&lone);
}

static void errs_from(struct lone *lone, uint64_t node, soma_ref asker_ref)
{
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    msgpack_sbuffer_init(&items);
    item_begin(&writer, ITEM_ERROR, 2, node, asker_ref.node, asker_ref, (soma_ref){node, 1, 1});
    write_number(&writer, 1);
    write_signed(&writer, -1000);
    items_from(lone, node, CONNECTION + node - FAR, &items);
    msgpack_sbuffer_destroy(&items);
    lone_settle(lone);
}

/* It comes back, and goes on from here: then it is waited for at two nodes. An answer that overtakes the words of that
 * ends both. */
static void test_home_and_on(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        struct lone lone;
        soma_ref agent = asked(&lone, 3);
        request_from(&lone, FAR, agent);
        if (told) // ahead of FAR's, that it has gone there
            moved_from(&lone, FAR + 2, agent, agent.node);
        errs_from(&lone, told ? FAR + 1 : FAR + 2, agent);
        assert_int_equal(failed, -1000);
        moved_from(&lone, FAR, agent, told ? FAR + 2 : agent.node);
        moved_from(&lone, FAR + 1, agent, FAR + 2);
        assert_int_equal(debts_of(&lone), 0);
        assert_int_equal(lone.bridge->moves.count, 0);
        lone_close(&lone);
    }
}

/* An answer that overtakes all word of its way leaves nothing behind. */
static void test_answer_overtakes(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent = asked(&lone, 3);
    moved_from(&lone, FAR + 1, agent, FAR + 2);
    assert_int_equal(lone.bridge->moves.count, 1);
    errs_from(&lone, FAR + 2, agent);
    assert_int_equal(failed, -1000);
    moved_from(&lone, FAR, agent, FAR + 1);
    assert_int_equal(lone.bridge->moves.count, 0);
    assert_int_equal(debts_of(&lone), 0);
    lone_close(&lone);
}

/* ---- words that are said again ---- */

/* Only their acknowledgement was lost; and the request has been there once more meanwhile, and gone elsewhere. */
static void test_said_again(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent = asked(&lone, 4);
    numbered_from(&lone, FAR, agent, FAR + 1, 1);
    bye_from(&lone, FAR);
    join_from(&lone, FAR, CONNECTION);
    numbered_from(&lone, FAR, agent, FAR + 1, 1);
    numbered_from(&lone, FAR + 1, agent, FAR, 1); // each node has its own numbers
    numbered_from(&lone, FAR, agent, FAR + 1, 1);
    numbered_from(&lone, FAR, agent, FAR + 3, 2);
    assert_int_equal(debts_of(&lone), 1);
    assert_int_equal(lone.bridge->moves.count, 0);
    ends_with(&lone, 4, FAR + 3);
    lone_close(&lone);
}

/* How far a node's words have come is known also if it was forgotten meanwhile. */
static void test_forgotten(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref agent = asked(&lone, 1);
    numbered_from(&lone, FAR, agent, FAR + 1, 7);
    bye_from(&lone, FAR);
    for (int i = 0; i < 500 && peer_of(&lone, FAR); i++)
        lone_pass(&lone, SOMA_SECOND / 4);
    assert_null(peer_of(&lone, FAR));
    for (uint64_t node = FAR + 1; node < FAR + 20; node++) { // others get its memory, and the table grows
        join_from(&lone, node, CONNECTION + node - FAR);
        assert_int_equal(peer_of(&lone, node)->moved, 0);
    }
    join_from(&lone, FAR, CONNECTION);
    assert_int_equal(peer_of(&lone, FAR)->moved, 7);
    lone_close(&lone);
}

/* ---- of others' requests, that an agent here passes on ---- */

static void join_reading(struct lone *lone, uint64_t node, uint64_t reads)
{
    join_as(lone, node, CONNECTION + node - FAR, reads);
}

/* A node has all. */
static void taken_by(struct lone *lone, uint64_t node)
{
    msgpack_sbuffer none;
    msgpack_sbuffer_init(&none);
    items_from(lone, node, CONNECTION + node - FAR, &none);
    bridge_turn(lone->bridge);
}

static void passed_taken(struct lone *lone)
{
    taken_by(lone, FAR + 1);
}

/* The numbers of the items of a kind that FAR was told, as the digits of one, 9 for none; the frames that were kept are
 * gone. */
static uint64_t items_said(struct lone *lone, enum item_kind said)
{
    uint64_t numbers = 0;
    for (struct lone_frame *frame; (frame = lone_take(lone)); free(frame)) {
        struct reader at;
        if (frame->connection != CONNECTION || !lone_items(frame, &at))
            continue;
        for (struct item item; reader_left(&at);) {
            assert_int_equal(item_read(&at, FAR, lone->system->node, &item), 0);
            if (item.kind == said)
                numbers = numbers * 10 + (item.number ? item.number : 9);
        }
    }
    return numbers;
}

static uint64_t words_said(struct lone *lone)
{
    return items_said(lone, ITEM_MOVED);
}

static void passing_open(struct lone *lone)
{
    lone_open(lone, &(soma_bridge_options){.name = "lone"});
    lone->keeps = true;
    lone->bridge->moves_said = 0;
    join_reading(lone, FAR + 1, READS_ALL);
}

/* Each keeps its number, and what is new has a greater one. */
static void test_numbers(void **state)
{
    (void)state;
    struct lone lone;
    passing_open(&lone);
    join_reading(&lone, FAR, READS_ALL);
    for (uint64_t i = 0; i < 2; i++)
        request_from(&lone, FAR, (soma_ref){FAR, 1, 1});
    passed_taken(&lone);
    assert_int_equal(words_said(&lone), 12);
    for (uint64_t i = 0; i < 2; i++) {
        bye_from(&lone, FAR); // and has acknowledged nothing
        request_from(&lone, FAR + 1, (soma_ref){FAR, 1, 1});
        passed_taken(&lone); // so this is not said
        join_reading(&lone, FAR, READS_ALL);
        bridge_turn(lone.bridge);
        assert_int_equal(words_said(&lone), i ? 1234 : 123);
    }
    lone_close(&lone);
}

/* An agent of FAR + 1 sends more to FAR, by an agent here, than one frame has room for. */
static void load_pass(struct lone *lone)
{
    static const char load[300000];
    soma_ref agent;
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    assert_int_equal(soma_spawn(lone->system, &forwarder, NULL, &agent), 0);
    msgpack_sbuffer_init(&items);
    write_array(&writer, 4);
    write_number(&writer, ITEM_TYPE);
    write_number(&writer, 1);
    write_text(&writer, "heap", 4);
    write_text(&writer, "bytes load", 10);
    item_begin(&writer, ITEM_SEND, 2, FAR + 1, agent.node, agent, (soma_ref){FAR + 1, 1, 1});
    write_number(&writer, 1);
    write_array(&writer, 1);
    write_bytes(&writer, load, sizeof(load));
    items_from(lone, FAR + 1, CONNECTION + 1, &items);
    msgpack_sbuffer_destroy(&items);
    lone_settle(lone);
    bridge_turn(lone->bridge);
}

/* They keep their order also while something waits behind a large body, whose number, or sender, is that of a word. */
static void test_numbers_in_order(void **state)
{
    (void)state;
    struct lone lone;
    passing_open(&lone);
    join_reading(&lone, FAR + 2, READS_ALL);
    join_reading(&lone, FAR, READS_ALL);
    for (uint64_t i = 0; i < 4; i++)
        request_through(&lone, FAR, (soma_ref){FAR, 1, 1}, 1 + i / 2);
    lone.bridge->options.window = 1; // a frame at a time
    load_pass(&lone);
    for (uint64_t next = 1; next <= 2; next++)
        taken_by(&lone, FAR + next);
    uint64_t numbers = words_said(&lone);
    for (const struct peer *far = peer_of(&lone, FAR); far->out.bytes;) {
        taken_by(&lone, FAR);
        for (uint64_t more = words_said(&lone), ten = 10; more; more = 0) {
            while (ten <= more)
                ten *= 10;
            numbers = numbers * ten + more;
        }
    }
    assert_int_equal(numbers, 1234);
    lone_close(&lone);
}

/* A request that was to go back to who asked, and did not get there: he may wait for this node all the same, as word
 * of it may be late. */
static void test_lost_on_its_way_home(void **state)
{
    (void)state;
    struct lone lone;
    passing_open(&lone);
    join_reading(&lone, FAR, READS_ALL);
    request_through(&lone, FAR + 1, (soma_ref){FAR, 1, 1}, 0);
    bye_from(&lone, FAR);
    assert_int_equal(items_said(&lone, ITEM_ERROR), 0);
    join_reading(&lone, FAR, READS_ALL);
    bridge_turn(lone.bridge);
    assert_int_equal(items_said(&lone, ITEM_ERROR), 9); // one, and it has no number
    lone_close(&lone);
}

/* Who does not read numbers gets none. */
static void test_no_numbers(void **state)
{
    (void)state;
    struct lone lone;
    passing_open(&lone);
    join_reading(&lone, FAR, 0);
    request_from(&lone, FAR, (soma_ref){FAR, 1, 1});
    passed_taken(&lone);
    assert_int_equal(words_said(&lone), 9);
    lone_close(&lone);
}

static void both_release(void *context)
{
    struct soma_bridge *first = ((struct soma_bridge *)context)->older;
    bridge_free(context);
    bridge_free(first);
}

/* The node's next bridge goes on from where the one before was. */
static void test_opened_again(void **state)
{
    (void)state;
    struct lone lone;
    passing_open(&lone);
    for (uint64_t i = 0, last = 0; i < 2; i++) {
        join_reading(&lone, FAR, READS_ALL);
        request_from(&lone, FAR, (soma_ref){FAR, 1, 1});
        passed_taken(&lone);
        const uint64_t number = words_said(&lone);
        assert_true(number > last);
        last = number;
        if (i)
            break;
        const struct wire wire = lone.bridge->wire;
        u32_store(&lone.bridge->closing, 1);
        bridge_goodbye(lone.bridge);
        lone_settle(&lone);
        lone.now += SOMA_MS;
        assert_int_equal(bridge_new(lone.system, &(soma_bridge_options){.name = "again"}, &lone.bridge), 0);
        lone.bridge->wire = wire;
        assert_int_equal(bridge_start(lone.bridge, lone_stop, both_release), 0);
        worker_enter(lone.bridge->worker);
        join_reading(&lone, FAR + 1, READS_ALL);
    }
    lone_close(&lone);
}

/* Whose session has not begun is called, and waited for at the end: it would wait for this node. */
static void test_not_met(void **state)
{
    (void)state;
    static const char *const bind[] = {"sim://lone", NULL};
    struct lone lone;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .bind = bind, .on_demand = true});
    lone.keeps = true;
    lone.bridge->moves_said = 0;
    join_reading(&lone, FAR + 1, READS_ALL);
    introduce(&lone, FAR);
    bridge_turn(lone.bridge);
    assert_int_equal(lone.dials, 0);
    request_from(&lone, FAR + 1, (soma_ref){FAR, 1, 1});
    passed_taken(&lone);
    assert_true(lone.dials > 0);
    assert_false(bridge_is_drained(lone.bridge));
    join_reading(&lone, FAR, READS_ALL);
    bridge_turn(lone.bridge);
    assert_int_equal(words_said(&lone), 1);
    const struct session *session = &peer_of(&lone, FAR)->session;
    lone_receive_data(&lone, CONNECTION, 1, session->sent, NULL, 0);
    assert_true(bridge_is_drained(lone.bridge));
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved),        cmocka_unit_test(test_moved_by_one_that_ends),
        cmocka_unit_test(test_moved_home),   cmocka_unit_test(test_answer_overtakes),
        cmocka_unit_test(test_said_again),   cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_no_numbers),
        cmocka_unit_test(test_not_met),      cmocka_unit_test(test_numbers_in_order),
        cmocka_unit_test(test_opened_again), cmocka_unit_test(test_lost_on_its_way_home),
        cmocka_unit_test(test_home_and_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
