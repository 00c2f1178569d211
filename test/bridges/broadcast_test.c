/*
 * One shared body for many agents on another node crosses once, is one block for all of them there, and is kept on both
 * sides no longer than somebody may send it.
 */
#include "pair.h"
#include "test_support.h"
#include <soma/body.h>
#include <soma/dead_letter.h>
#include <soma/error.h>

SOMA_MESSAGE(block, (u64, number), (bytes, data))
SOMA_MESSAGE(strange, (u64, number), (bytes, data))
SOMA_MESSAGE(act, (u64, what))

#define RECEIVERS 200u
#define LARGE 300000u /* bytes: five parts */

static struct pair pair;
static soma_ref receivers[RECEIVERS], actors[3];
static char bytes[LARGE];

/* What came to each receiver: the numbers, in their order. */
static struct received {
    uint64_t count;
    uint64_t numbers[64];
} received[RECEIVERS];

static const void *last_body; /* that came, and how many different ones there were */
static uint32_t bodies_seen, letters;

/* ---- agents ---- */

static int receiver_init(soma_agent *self, void *state, const void *number)
{
    (void)self;
    memcpy(state, number, sizeof(uint32_t));
    return 0;
}

static int on_block(soma_agent *self, uint32_t *my, const struct block *m)
{
    struct received *mine = &received[*my];
    soma_body *body = soma_current_body(self);
    REQUIRE(mine->count < 64 && (!m->data.size || !memcmp(m->data.data, bytes, m->data.size)));
    mine->numbers[mine->count++] = m->number;
    if (body) {
        bodies_seen += body != last_body;
        last_body = body;
    }
    soma_body_close(&body);
    return 0;
}

static const soma_behavior receiver = {.name = "receiver",
                                       .state_size = sizeof(uint32_t),
                                       .init = receiver_init,
                                       .handlers = SOMA_HANDLERS(SOMA_ON(block, on_block))};

static uint32_t body_size;
static soma_body *held[BODIES_MOST + 4]; /* that the test keeps */

static void broadcast(soma_agent *self, soma_body *body)
{
    for (uint32_t i = 0; i < RECEIVERS; i++)
        REQUIRE(!soma_send_body(self, receivers[i], body));
}

static int on_act(soma_agent *self, void *my, const struct act *m)
{
    (void)my;
    soma_body *body;
    switch (m->what) {
    case 0: // to all, and it is given up
        REQUIRE(!soma_body_new(&body, block, .number = 1, .data = {bytes, body_size}));
        broadcast(self, body);
        soma_body_close(&body);
        return 0;
    case 1: // plain words before and behind
        REQUIRE(!soma_body_new(&body, block, .number = 2, .data = {bytes, body_size}));
        for (uint32_t i = 0; i < RECEIVERS; i++) {
            REQUIRE(!soma_send(self, receivers[i], block, .number = 1));
            REQUIRE(!soma_send_body(self, receivers[i], body));
            REQUIRE(!soma_send(self, receivers[i], block, .number = 3));
        }
        soma_body_close(&body);
        return 0;
    case 2: // one that is kept
        broadcast(self, held[0]);
        return 0;
    case 3: // more of them than there is room for
        for (uint32_t i = 0; i < BODIES_MOST + 4; i++)
            broadcast(self, held[i]);
        return 0;
    case 7: // many, each given up at once
        for (uint64_t i = 0; i < SHARES_MOST; i++) {
            REQUIRE(!soma_body_new(&body, block, .number = 1, .data = {bytes, body_size}));
            REQUIRE(!soma_send_body(self, receivers[0], body));
            soma_body_close(&body);
        }
        return 0;
    case 8: // much for the others
        for (uint32_t i = 1; i < 160; i++)
            REQUIRE(!soma_send(self, receivers[i], block, .number = 1, .data = {bytes, 60000}));
        return 0;
    case 4: // a large one for the first alone
        REQUIRE(!soma_send(self, receivers[0], block, .number = 2, .data = {bytes, LARGE}));
        return 0;
    default: // a type that is not known there
        REQUIRE(!soma_body_new(&body, strange, .number = 1, .data = {bytes, body_size}));
        broadcast(self, body);
        soma_body_close(&body);
        return 0;
    }
}

static const soma_behavior actor = {.name = "actor", .handlers = SOMA_HANDLERS(SOMA_ON(act, on_act))};

static int on_letter(soma_agent *self, void *my, const struct soma_dead_letter *letter)
{
    (void)self, (void)my, (void)letter;
    letters++;
    return 0;
}

static const soma_behavior undertaker = {.name = "undertaker",
                                         .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

/* ---- the nodes ---- */

static void begin(uint32_t size)
{
    static const soma_bridge_options plain = {.name = "plain"};
    soma_ref ref;
    body_size = size;
    memset(received, 0, sizeof(received));
    last_body = NULL;
    bodies_seen = letters = 0;
    for (uint32_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    pair_open(&pair, plain, &plain);
    for (uint32_t i = 0; i < RECEIVERS; i++)
        REQUIRE(!soma_spawn(pair.sides[1].system, &receiver, &i, &receivers[i]));
    for (uint32_t i = 0; i < 3; i++)
        REQUIRE(!soma_spawn(pair.sides[0].system, &actor, NULL, &actors[i]));
    for (uint32_t i = 0; i < 2; i++) {
        REQUIRE(!soma_spawn(pair.sides[i].system, &undertaker, NULL, &ref));
        REQUIRE(!soma_dead_letters_watch(pair.sides[i].system, ref));
    }
}

static void held_open(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        REQUIRE(!soma_body_new(&held[i], block, .number = i, .data = {bytes, body_size}));
}

static void order(uint32_t number, uint64_t what)
{
    REQUIRE(!soma_send(pair.sides[0].system, actors[number], act, .what = what));
}

/* Each receiver got just these, in this order. */
static void check_received(const uint64_t *numbers, uint64_t count)
{
    for (uint32_t i = 0; i < RECEIVERS; i++) {
        assert_int_equal(received[i].count, count);
        for (uint64_t j = 0; j < count; j++)
            assert_int_equal(received[i].numbers[j], numbers[j]);
    }
}

/* How many bodies a side keeps: of those that it sends, and of those that came. */
static uint32_t kept(int side)
{
    const struct peer *peer = pair_peer(&pair, side);
    uint32_t count = peer->out.shares.count;
    for (uint32_t i = 0; i < BODIES_MOST; i++)
        count += peer->bodies.places[i].number != 0;
    return count;
}

static void finish(void)
{
    assert_int_equal(pair.sides[0].bridge->counts.bad_frames + pair.sides[1].bridge->counts.bad_frames, 0);
    assert_int_equal(pair_peer(&pair, 0)->out.bytes, 0);
    pair_close(&pair);
}

/* ---- what must hold ---- */

static void crosses_once(uint32_t size, uint64_t parts)
{
    const uint64_t one[] = {1};
    begin(size);
    order(0, 0);
    pair_run(&pair);
    check_received(one, 1);
    assert_int_equal(pair.items[ITEM_SHARED], parts);
    assert_int_equal(pair.items[ITEM_SEND], RECEIVERS);
    assert_int_equal(pair.items[ITEM_BODY], 0);
    assert_in_range(pair.bytes, size, size + RECEIVERS * 16);
    assert_int_equal(bodies_seen, 1);
    pair_turn(&pair, SOMA_SECOND / 2); // nobody has it any more
    pair_run(&pair);
    assert_int_equal(pair.items[ITEM_FORGET], 1);
    assert_int_equal(kept(0) + kept(1), 0);
    finish();
}

static void test_once(void **state)
{
    (void)state;
    crosses_once(10000, 1);
}

static void test_once_in_parts(void **state)
{
    (void)state;
    crosses_once(LARGE, 5);
}

/* What is small is copied, which costs no more. */
static void test_small(void **state)
{
    (void)state;
    const uint64_t one[] = {1};
    begin(100);
    order(0, 0);
    pair_run(&pair);
    check_received(one, 1);
    assert_int_equal(pair.items[ITEM_SHARED], 0);
    finish();
}

static void test_order(void **state)
{
    (void)state;
    const uint64_t three[] = {1, 2, 3};
    for (int large = 0; large < 2; large++) {
        begin(large ? LARGE : 10000);
        order(0, 1);
        pair_run(&pair);
        check_received(three, 3);
        assert_int_equal(pair.items[ITEM_SHARED], large ? 5 : 1);
        finish();
    }
}

/* One body is whole over there before another begins: a small one, too, that is sent ahead of large ones (but in the
 * same chunk), between them, or while their parts cross. */
static void test_between_parts(void **state)
{
    (void)state;
    const uint64_t one[] = {1};
    for (int before = 0; before < 20; before++) {
        begin(10000);
        pair.sides[0].bridge->options.window = 90000; // a part or two at a time
        for (int i = 0; i < 4; i++) {
            if (i == before)
                order(1, 0);
            if (i < 3)
                order(0, 4);
        }
        pair_turn(&pair, 0);
        for (int i = 4; i < before; i++) {
            pair_step(&pair, 0);
            pair_step(&pair, 1);
            pair_turn(&pair, 0);
        }
        if (before > 3)
            order(1, 0);
        pair_run(&pair);
        assert_int_equal(letters, 0);
        assert_int_equal(received[0].count, 4);
        received[0] = received[1];
        check_received(one, 1);
        assert_int_equal(pair.items[ITEM_SHARED], 1);
        assert_int_equal(pair.items[ITEM_BODY], 3 * 5);
        pair_turn(&pair, SOMA_SECOND);
        pair_run(&pair);
        assert_int_equal(kept(0) + kept(1), 0);
        finish();
    }
}

/* Those that are given up are forgotten there before others come, also if much waits to leave before that is said: else
 * there would be too many. */
static void test_forgotten_first(void **state)
{
    (void)state;
    begin(140000);
    pair.sides[0].bridge->options.window = 7500000; // all bodies, and some of what is behind them
    order(0, 7);
    order(1, 8);
    pair_turn(&pair, 0);
    while (pair_step(&pair, 0)) // they arrive, but nothing is acknowledged
        ;
    assert_int_equal(received[0].count, SHARES_MOST);
    order(2, 7); // who is not held up yet
    pair_run(&pair);
    assert_int_equal(received[0].count, 2 * SHARES_MOST);
    assert_int_equal(letters, 0);
    pair_turn(&pair, SOMA_SECOND);
    pair_run(&pair);
    assert_int_equal(kept(0) + kept(1), 0);
    finish();
}

/* As long as somebody has it, it need not cross again: whoever sends it, and however long nothing was said. */
static void test_kept(void **state)
{
    (void)state;
    const uint64_t zeros[] = {0, 0, 0};
    begin(LARGE);
    held_open(1);
    order(0, 2);
    pair_run(&pair);
    for (int i = 0; i < 20; i++) {
        pair_turn(&pair, SOMA_SECOND);
        pair_run(&pair);
    }
    order(0, 2);
    order(1, 2);
    pair_run(&pair);
    check_received(zeros, 3);
    assert_int_equal(pair.items[ITEM_SHARED], 5);
    assert_int_equal(pair.items[ITEM_FORGET], 0);
    assert_int_equal(kept(0) + kept(1), 2);
    soma_body_close(&held[0]);
    pair_turn(&pair, SOMA_SECOND);
    pair_run(&pair);
    assert_int_equal(kept(0) + kept(1), 0);
    finish();
}

/* More bodies than there is room for: all the same each receiver gets each, and what is kept is bounded. */
static void test_many(void **state)
{
    (void)state;
    uint64_t numbers[2 * (BODIES_MOST + 4)];
    begin(2000);
    held_open(BODIES_MOST + 4);
    for (uint64_t i = 0; i < 2 * (BODIES_MOST + 4); i++)
        numbers[i] = i % (BODIES_MOST + 4);
    for (int i = 0; i < 2; i++) {
        order(0, 3);
        pair_run(&pair);
        assert_in_range(kept(0), 1, SHARES_MOST);
        assert_in_range(kept(1), 1, SHARES_MOST);
    }
    check_received(numbers, 2 * (BODIES_MOST + 4));
    for (uint32_t i = 0; i < BODIES_MOST + 4; i++)
        soma_body_close(&held[i]);
    pair_turn(&pair, SOMA_SECOND);
    pair_run(&pair);
    assert_int_equal(kept(0) + kept(1), 0);
    finish();
}

/* And no more bytes than the window has. */
static void test_bytes(void **state)
{
    (void)state;
    uint64_t numbers[BODIES_MOST + 4];
    begin(20000);
    pair.sides[0].bridge->options.window = 90000;
    held_open(BODIES_MOST + 4);
    for (uint64_t i = 0; i < BODIES_MOST + 4; i++)
        numbers[i] = i;
    order(0, 3);
    pair_turn(&pair, 0);
    assert_in_range(pair_peer(&pair, 0)->out.shares.bytes, 20000, 90000);
    pair_run(&pair);
    check_received(numbers, BODIES_MOST + 4);
    for (uint32_t i = 0; i < BODIES_MOST + 4; i++)
        soma_body_close(&held[i]);
    finish();
}

/* Wherever the connection breaks, each gets it once. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    const uint64_t four[] = {1, 2, 3, 1};
    for (uint32_t frames = 0; frames<12; frames += test_load(50)> 1 ? 1 : 4) {
        begin(LARGE);
        order(0, 1);
        order(0, 0);
        pair_turn(&pair, 0);
        for (uint32_t i = 0; i < frames; i++)
            pair_step(&pair, 0);
        pair_cut(&pair);
        pair_run(&pair);
        check_received(four, 4);
        assert_int_equal(letters, 0);
        finish();
    }
}

/* The other side does not know the type: none arrives, each is a dead letter there, and nothing is kept. */
static void test_refused(void **state)
{
    (void)state;
    begin(10000);
    order(0, 5);
    order(0, 5);
    pair_run(&pair);
    assert_int_equal(letters, 2 * RECEIVERS);
    pair_turn(&pair, SOMA_SECOND);
    pair_run(&pair);
    assert_int_equal(kept(0) + kept(1), 0);
    finish();
}

/* The node is lost: each that has not arrived is a dead letter here, and the body is let go. */
static void test_lost(void **state)
{
    (void)state;
    begin(LARGE);
    order(0, 0);
    pair_turn(&pair, 0);
    pair_step(&pair, 0);
    worker_enter(pair.sides[0].bridge->worker);
    peer_end(pair_peer(&pair, 0), SOMA_ENODEDOWN);
    lone_settle(&pair.sides[0]);
    assert_int_equal(letters, RECEIVERS);
    assert_int_equal(kept(0), 0);
    pair_close(&pair);
}

/* ---- strangers ---- */

#define BAD(bytes)                                                                                                     \
    {                                                                                                                  \
        bytes, sizeof(bytes) - 1                                                                                       \
    }
#define TYPES                                                                                                          \
    "\x94\x01\x00\xa5"                                                                                                 \
    "block\xb5u64 number,bytes data\x94\x01\x01\xa3"                                                                   \
    "act\xa8u64 what"
#define SHARED(left, body) "\x94\x12\x07" left body
#define WHOLE SHARED("\x00", "\xc4\x04\x92\x05\xc4\x00")
#define FORGET "\x92\x13\x07"
#define SEND(type, number) "\x95\x04\x92\x00\x01\xc0" type number

static const struct {
    const char *bytes;
    size_t size;
} bads[] = {
    BAD(FORGET),                                                        // what never came
    BAD(SHARED("\x01", "\xc4\x01\x92") FORGET),                         // what is not all there
    BAD("\x94\x11\x07\x00\xc4\x01\x90" FORGET),                         // what is not shared
    BAD(WHOLE FORGET FORGET),                                           // what is forgotten
    BAD(TYPES WHOLE FORGET SEND("\x00", "\x07")),                       // it is named all the same
    BAD(TYPES WHOLE SEND("\x00", "\x07") SEND("\x01", "\x07")),         // with two types
    BAD(WHOLE WHOLE),                                                   // twice
    BAD(SHARED("\x01", "\xc4\x01\x91") "\x94\x11\x07\x00\xc4\x01\x05"), // its second part is not of a shared one
    BAD(TYPES WHOLE "\x96\x05\x92\x00\x01\xc0\x07\x00\x07"),            // in a request
    BAD("\x92\x13\x00"),                                                // no number
};

/* Each connection that says such a thing is ended, and counted, but for one that only misuses a body, which is left
 * out; another one goes on. */
static void test_malformed(void **state)
{
    (void)state;
    static struct lone lone;
    static const char good[] = TYPES WHOLE SEND("\x00", "\x07") SEND("\x00", "\x07") FORGET;
    static const soma_bridge_options options = {.name = "here"};
    const struct hello other = lone_hello(9);
    const struct join join = {.mine = 5};
    const uint32_t first = 0, count = sizeof(bads) / sizeof(*bads);
    soma_ref here;
    memset(received, 0, sizeof(received));
    lone_open(&lone, &options);
    REQUIRE(!soma_spawn(lone.system, &receiver, &first, &here) && !soma_type_register(lone.system, &act_type));
    assert_int_equal(here.slot, 0);
    lone_receive_hello(&lone, 1, &other);
    lone_receive_join(&lone, 1, &join);
    for (uint32_t i = 0; i < count; i++) {
        const struct hello hello = lone_hello(8);
        const struct join anew = {.mine = 10 + i};
        lone_receive_hello(&lone, 2 + i, &hello);
        lone_receive_join(&lone, 2 + i, &anew);
        lone_receive_data(&lone, 2 + i, 1, 0, bads[i].bytes, bads[i].size);
        assert_int_equal(lone.bridge->counts.bad_frames, i + 1);
        bool left_out = !memcmp(bads[i].bytes, TYPES, 2);
        assert_true(left_out == (lone.last_ended != 2 + i));
        lone_receive_data(&lone, 1, 1 + i, 0, good, sizeof(good) - 1);
    }
    assert_int_equal(lone.hung_up, count);
    assert_int_equal(received[0].count, 2 * count + 1); // one came before its line went bad
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_once_in_parts),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_between_parts),
        cmocka_unit_test(test_forgotten_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
