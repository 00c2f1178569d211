/* What others do who mean it ill: strangers who take the places of all who come, and a node that was let in and then
 * says what no node of ours does. The others are served throughout. */
#include "lone_node.h"
#include "test_support.h"
#include <soma/monitor.h>
#include <soma/request.h>

SOMA_MESSAGE(note, (u64, number))
SOMA_MESSAGE(go, (ref, to))

#define BAD 100u                  /* the hostile node */
#define GOOD 101u                 /* another one */
#define CONNECTION UINT64_C(1000) /* and their connections */

static uint64_t notes;
static int failed, told;

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    notes += m->number;
    return 0;
}

static int on_answer(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    notes += m->number;
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    failed = *error;
    return 0;
}

/* Links with who is named, and asks him. */
static int on_go(soma_agent *self, void *my, const struct go *m)
{
    (void)my;
    soma_link(self, m->to);
    return soma_request(self, m->to, SOMA_NEVER, SOMA_THEN(note, on_answer, on_error), note, .number = 1) < 0;
}

static int on_exited(soma_agent *self, void *my, const struct soma_exited *m)
{
    (void)self, (void)my;
    told = m->reason;
    return 0;
}

static int init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_trap_exits(self, true);
}

static const soma_behavior agent = {
    .name = "agent",
    .init = init,
    .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note), SOMA_ON(go, on_go), SOMA_ON(soma_exited, on_exited))};

static soma_ref opened(struct lone *lone)
{
    soma_ref ref;
    notes = 0;
    failed = told = 0;
    lone_open(lone, &(soma_bridge_options){.name = "lone"});
    assert_int_equal(soma_spawn(lone->system, &agent, NULL, &ref), 0);
    lone_settle(lone);
    return ref;
}

/* Says what was written. */
static void says(struct lone *lone, uint64_t node, struct writer *writer)
{
    const struct session *session = &peer_of(lone, node)->session;
    assert_false(writer->failed);
    lone_receive_data(lone, CONNECTION + node, session->received + 1, session->sent, writer->buffer->data,
                      writer->buffer->size);
    msgpack_sbuffer_clear(writer->buffer);
}

/* An agent of the node sends a note, and it arrives. */
static void served(struct lone *lone, uint64_t node, soma_ref to)
{
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    uint64_t before = notes;
    msgpack_sbuffer_init(&items);
    note_type_write(&writer);
    item_begin(&writer, ITEM_SEND, 2, node, to.node, to, SOMA_REF_NULL);
    write_number(&writer, 0);
    write_raw(&writer, "\x91\x01", 2);
    says(lone, node, &writer);
    msgpack_sbuffer_destroy(&items);
    assert_int_equal(notes, before + 1);
}

/* ---- strangers ---- */

/* As many as there is room for, and more, who go no further than to a hello: one who comes now gets in at once. */
static void test_crowd_of_hellos(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref ref = opened(&lone);
    for (uint64_t i = 1; i <= 3000; i++) {
        const struct hello hello = lone_hello(BAD + i);
        lone_receive_hello(&lone, 10 * CONNECTION + i, &hello);
        if (i % 2)
            bridge_broken(lone.bridge, 10 * CONNECTION + i);
        if (i % 1000 == 0) { // at each bound that there is
            join_from(&lone, BAD + 10000 + i, CONNECTION + BAD + 10000 + i);
            assert_non_null(peer_of(&lone, BAD + 10000 + i));
            served(&lone, BAD + 10000 + i, ref);
        }
    }
    assert_in_range(lone.bridge->half_open, 1, 256);
    assert_in_range(lone.bridge->stranger_count, 1, 1024);
    lone_close(&lone);
}

/* ---- what is no name ---- */

static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {"\xff", "a\xc3", "\xed\xa0\x80"};
    struct lone lone;
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    opened(&lone);
    msgpack_sbuffer_init(&items);
    join_from(&lone, GOOD, CONNECTION + GOOD);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct hello hello = lone_hello(BAD);
        hello.name = (struct span){names[i], (uint32_t)strlen(names[i])};
        lone_receive_hello(&lone, CONNECTION + BAD, &hello);
        assert_int_equal(lone.last_ended, CONNECTION + BAD);
        assert_null(peer_seen(lone.bridge, BAD));
        write_array(&writer, 4);
        write_number(&writer, ITEM_NODE);
        write_number(&writer, BAD);
        write_text(&writer, names[i], strlen(names[i]));
        write_array(&writer, 0);
        says(&lone, GOOD, &writer);
        assert_null(peer_seen(lone.bridge, BAD));
        assert_int_equal(lone.bridge->counts.bad_frames, 2 * (i + 1));
    }
    msgpack_sbuffer_destroy(&items);
    struct soma_bridge *bridge;
    assert_int_equal(bridge_new(lone.system, &(soma_bridge_options){.name = names[0]}, &bridge), SOMA_EINVAL);
    lone_close(&lone);
}

/* ---- words of those who were let in ---- */

/* An answer that is no error, and has nothing in it, is none. */
static void test_error_of_nothing(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref ref = opened(&lone);
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    msgpack_sbuffer_init(&items);
    join_from(&lone, BAD, CONNECTION + BAD);
    assert_int_equal(soma_send(lone.system, ref, go, .to = {BAD, 1, 1}), 0);
    lone_pass(&lone, 0);
    for (int64_t error = 0; error > -2; error--) {
        item_begin(&writer, ITEM_ERROR, 2, BAD, ref.node, ref, (soma_ref){BAD, 1, 1});
        write_number(&writer, UINT64_C(2)); // the second thing that the agent waits for
        write_signed(&writer, error * 1000);
        says(&lone, BAD, &writer);
        assert_int_equal(failed, error * 1000);
    }
    assert_int_equal(lone.bridge->counts.bad_frames, 1);
    msgpack_sbuffer_destroy(&items);
    lone_close(&lone);
}

/* What a node says of the agents of another one is not believed: that they have ended, watch, or are linked. */
static void test_others_agents(void **state)
{
    (void)state;
    static const enum item_kind kinds[] = {ITEM_WATCH, ITEM_UNWATCH, ITEM_DOWN, ITEM_LINK, ITEM_UNLINK, ITEM_EXIT};
    struct lone lone;
    soma_ref ref = opened(&lone);
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    msgpack_sbuffer_init(&items);
    join_from(&lone, BAD, CONNECTION + BAD);
    join_from(&lone, GOOD, CONNECTION + GOOD);
    assert_int_equal(soma_send(lone.system, ref, go, .to = {GOOD, 1, 1}), 0);
    lone_pass(&lone, 0);
    uint32_t debts = peer_of(&lone, GOOD)->debts.count;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        for (uint64_t node = BAD; node <= GOOD; node++) { // as the other one's, and as this one's own
            bool ends = kinds[i] == ITEM_DOWN || kinds[i] == ITEM_EXIT;
            item_begin(&writer, kinds[i],
                       ends                      ? 3
                       : kinds[i] == ITEM_UNLINK ? 2
                                                 : 1,
                       BAD, ref.node, ref, (soma_ref){node == BAD ? ref.node : node, 1, 1});
            write_number(&writer, 1);
            if (ends || kinds[i] == ITEM_UNLINK)
                write_number(&writer, 1);
            if (ends)
                write_nil(&writer);
            says(&lone, BAD, &writer);
            assert_int_equal(lone.bridge->counts.bad_frames, 2 * i + node - BAD + 1);
        }
    assert_int_equal(told, 0);
    assert_int_equal(peer_of(&lone, BAD)->debts.count, 0);
    assert_int_equal(peer_of(&lone, GOOD)->debts.count, debts);
    item_begin(&writer, ITEM_EXIT, 3, GOOD, ref.node, ref, (soma_ref){GOOD, 1, 1});
    write_number(&writer, 1);
    write_signed(&writer, -1000);
    write_nil(&writer);
    says(&lone, GOOD, &writer);
    assert_int_equal(told, -1000);
    msgpack_sbuffer_destroy(&items);
    lone_close(&lone);
}

/* ---- nodes that are not there ---- */

/* Word of ever new nodes, each of which is somewhere else, and answers nothing. */
static void tells(struct lone *lone, uint64_t first, uint64_t count)
{
    msgpack_sbuffer items;
    struct writer writer = {&items, false};
    char address[64];
    msgpack_sbuffer_init(&items);
    for (uint64_t i = first; i < first + count; i++) {
        int size = snprintf(address, sizeof(address), "sim://%llu", (unsigned long long)i);
        write_array(&writer, 4);
        write_number(&writer, ITEM_NODE);
        write_number(&writer, 1000000 + i);
        write_text(&writer, "none", 4);
        write_array(&writer, 1);
        write_text(&writer, address, (size_t)size);
    }
    says(lone, BAD, &writer);
    msgpack_sbuffer_destroy(&items);
}

/* Only so many are called at a time, as each takes descriptors, and only so many are known: but any that comes. */
static void test_told_many(void **state)
{
    (void)state;
    struct lone lone;
    soma_ref ref = opened(&lone);
    join_from(&lone, BAD, CONNECTION + BAD);
    join_from(&lone, GOOD, CONNECTION + GOOD);
    for (uint64_t i = 0; i < 8; i++) {
        tells(&lone, i * 300, 300);
        lone_pass(&lone, SOMA_SECOND / 2 - 1);
        assert_in_range(lone.dials - lone.hung_up, 64, 128);
        assert_in_range(lone.bridge->peer_count, 300, 1024);
        served(&lone, GOOD, ref);
        served(&lone, BAD, ref);
    }
    join_from(&lone, GOOD + 1, CONNECTION + GOOD + 1);
    served(&lone, GOOD + 1, ref);
    assert_true(lone.dials > 200); // one gives way to another
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowd_of_hellos), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_error_of_nothing), cmocka_unit_test(test_others_agents),
                                       cmocka_unit_test(test_told_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
