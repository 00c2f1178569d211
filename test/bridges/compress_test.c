/*
 * What nodes send is compressed if that is asked for, if the other side reads it, and if it gets smaller. What arrives
 * is the same, whatever becomes of connections; and who sends what can't be unpacked ends alone.
 */
#include "pair.h"
#include "test_support.h"
#include "testkit/memory.h"
#include <soma/dead_letter.h>
#include <soma/error.h>

SOMA_MESSAGE(block, (u64, number), (bytes, data))
SOMA_MESSAGE(act, (u64, count))

#define BLOCK 300000u /* bytes */
#define SMALL 5000u

static struct pair pair;
static soma_ref to, from;
static char plain[BLOCK], noise[BLOCK];
static const char *data; /* what is sent: the one or the other */
static uint64_t arrived;
static uint32_t letters;

/* The second message is large. */
static uint32_t size_of(uint64_t number)
{
    return number == 1 ? BLOCK : SMALL;
}

static const char *bytes_of(uint64_t number)
{
    return data + (number == 1 ? 0 : number * SMALL % BLOCK);
}

static int on_block(soma_agent *self, void *my, const struct block *m)
{
    (void)self, (void)my;
    REQUIRE(m->number == arrived++ && m->data.size == size_of(m->number));
    REQUIRE(!memcmp(m->data.data, bytes_of(m->number), m->data.size));
    return 0;
}

static const soma_behavior receiver = {.name = "receiver", .handlers = SOMA_HANDLERS(SOMA_ON(block, on_block))};

static int on_act(soma_agent *self, void *my, const struct act *m)
{
    (void)my;
    for (uint64_t i = 0; i < m->count; i++)
        REQUIRE(!soma_send(self, to, block, .number = i, .data = {bytes_of(i), size_of(i)}));
    return 0;
}

static const soma_behavior actor = {.name = "actor", .handlers = SOMA_HANDLERS(SOMA_ON(act, on_act))};

static int on_letter(soma_agent *self, void *my, const struct soma_dead_letter *letter)
{
    (void)self, (void)my;
    letters += !strcmp(letter->type, "block");
    return 0;
}

static const soma_behavior undertaker = {.name = "undertaker",
                                         .handlers = SOMA_HANDLERS(SOMA_ON(soma_dead_letter, on_letter))};

/* The first asks for it, the second does not, which does not matter for what that reads. */
static void begin(uint32_t least, uint64_t count, const char *what)
{
    static const soma_bridge_options second = {.name = "second"};
    soma_ref watcher;
    uint64_t seed = 1;
    arrived = letters = 0;
    data = what;
    for (uint32_t i = 0; i < BLOCK; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        noise[i] = (char)(seed >> 40);
    }
    pair_open(&pair, (soma_bridge_options){.name = "first", .compress_least = least}, &second);
    REQUIRE(!soma_spawn(pair.sides[1].system, &receiver, NULL, &to));
    REQUIRE(!soma_spawn(pair.sides[0].system, &actor, NULL, &from));
    REQUIRE(!soma_spawn(pair.sides[0].system, &undertaker, NULL, &watcher));
    REQUIRE(!soma_dead_letters_watch(pair.sides[0].system, watcher));
    pair_run(&pair);
    pair_count_anew(&pair);
    REQUIRE(!soma_send(pair.sides[0].system, from, act, .count = count));
}

static const struct session *session_of(int side)
{
    return &pair_peer(&pair, side)->session;
}

static void finish(uint64_t count)
{
    assert_int_equal(arrived, count);
    assert_int_equal(pair.sides[0].bridge->counts.bad_frames + pair.sides[1].bridge->counts.bad_frames, 0);
    pair_turn(&pair, SOMA_SECOND / 100); // a lone frame is not acknowledged at once
    pair_run(&pair);
    assert_int_equal(session_of(0)->bytes, 0);
    pair_close(&pair);
}

/* All four, of which the sizes before and after are told. */
static void compressed(void)
{
    soma_bridge_peer peer;
    begin(200, 4, plain);
    uint64_t before = session_of(0)->before, after = session_of(0)->after;
    pair_run(&pair);
    assert_int_equal(pair.packed, pair.frames);
    assert_true(pair.bytes < SMALL);
    assert_int_equal(soma_bridge_peers(pair.sides[0].bridge, &peer, 1), 1);
    assert_true(peer.bytes_before - before > BLOCK + 3 * SMALL);
    assert_in_range(peer.bytes_after - after, 1, pair.bytes);
    assert_int_equal(peer.bytes_before, session_of(0)->before);
    finish(4);
}

static void as_it_is(uint32_t least, bool reads)
{
    begin(least, 4, plain);
    if (!reads)
        pair_peer(&pair, 0)->reads &= ~(uint64_t)READS_PACKED;
    pair_run(&pair);
    assert_int_equal(pair.packed, 0);
    assert_true(pair.bytes > BLOCK);
    assert_true(session_of(0)->before == session_of(0)->after);
    finish(4);
}

/* It is done if it is asked for; the library was built so that it can, or does without. */
static void test_compressed(void **state)
{
    (void)state;
    if (compress_is_there())
        compressed();
    else
        as_it_is(200, true);
}

static void test_not_asked_for(void **state)
{
    (void)state;
    as_it_is(0, true);
}

/* Frames below the size go as they are. */
static void test_too_small(void **state)
{
    (void)state;
    as_it_is(1 << 20, true);
}

static void test_not_read(void **state)
{
    (void)state;
    as_it_is(200, false);
}

/* After a while noise is not even tried, but for a frame now and then. */
static void test_noise(void **state)
{
    (void)state;
    begin(200, 1000, noise);
    const struct compress_luck *luck = &pair_peer(&pair, 0)->luck;
    pair_run(&pair);
    assert_true(pair.frames > 50);
    assert_int_equal(pair.packed, 0);
    assert_int_equal(luck->missed, compress_is_there() ? 5 : 0);
    data = plain;
    for (int i = 0; i < 20; i++) { // what is none is soon seen
        arrived = 0;
        REQUIRE(!soma_send(pair.sides[0].system, from, act, .count = 2));
        pair_run(&pair);
    }
    assert_true(!compress_is_there() || (pair.packed > 20 && !luck->missed));
    finish(2);
}

/* What is small and not worth it does not keep what is large from being tried. */
static void test_luck(void **state)
{
    (void)state;
    struct compressor compressor = {0};
    struct compress_luck luck = {0};
    size_t size;
    if (!compress_is_there())
        return;
    begin(200, 0, noise);
    for (int i = 0; i < 1000; i++)
        assert_null(compress(&compressor, &luck, noise, 100, &size));
    const char *smaller = compress(&compressor, &luck, plain, BLOCK, &size);
    assert_non_null(smaller);
    compressor_close(&compressor);
    finish(0);
}

/* What has been compressed can be read again, though there was no memory for more since. */
static void test_undone_without_memory(void **state)
{
    (void)state;
    struct compressor compressor = {0};
    struct compress_luck luck = {0};
    char kept[SMALL];
    size_t size, more;
    if (!compress_is_there())
        return;
    const char *smaller = compress(&compressor, &luck, plain, SMALL, &size);
    assert_non_null(smaller);
    memcpy(kept, smaller, size);
    memory_fail(1);
    assert_null(compress(&compressor, &luck, plain, BLOCK, &more));
    memory_fail(0);
    const char *again = compress_undo(&compressor, kept, size, SMALL);
    assert_non_null(again);
    assert_memory_equal(again, plain, SMALL);
    compressor_close(&compressor);
}

/* Sent again, it is the same. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    for (uint32_t frames = 0; frames < 10; frames++) {
        begin(200, 4, plain);
        pair_turn(&pair, 0);
        for (uint32_t i = 0; i < frames; i++)
            pair_step(&pair, 0);
        pair_cut(&pair);
        pair_run(&pair);
        finish(4);
    }
}

/* The window is of bytes before compression, as the other side must have room for those. */
static void test_window(void **state)
{
    (void)state;
    begin(200, 4000, plain);
    uint64_t window = pair.sides[0].bridge->options.window;
    pair_turn(&pair, 0);
    assert_in_range(session_of(0)->bytes, window, window + (1 << 20));
    pair_run(&pair);
    finish(4000);
}

/* Each message that was not acknowledged is a dead letter, also if its frame was compressed, and without memory. */
static void test_lost(void **state)
{
    (void)state;
    begin(200, 300, plain);
    pair_turn(&pair, 0);
    for (uint32_t i = 0; i < 3; i++)
        pair_step(&pair, 0);
    pair_run(&pair);
    assert_int_equal(arrived, 300);
    pair_turn(&pair, SOMA_SECOND / 100); // the last frame is acknowledged, too
    pair_run(&pair);
    REQUIRE(!soma_send(pair.sides[0].system, from, act, .count = 300));
    pair_turn(&pair, 0);
    worker_enter(pair.sides[0].bridge->worker);
    peer_end(pair_peer(&pair, 0), SOMA_ENODEDOWN);
    lone_settle(&pair.sides[0]);
    assert_int_equal(letters, 300);
    pair_close(&pair);
}

/* Without memory for what a frame will be it has not arrived: it is sent again. */
static void test_no_memory(void **state)
{
    (void)state;
    if (!compress_is_there())
        return;
    begin(200, 4, plain);
    pair_turn(&pair, 0);
    pair_step(&pair, 0);
    uint64_t received = session_of(1)->received;
    memory_fail(1);
    pair_step(&pair, 0);
    memory_fail(0);
    assert_int_equal(session_of(1)->received, received);
    assert_int_equal(pair.sides[1].hung_up, 1);
    pair_cut(&pair);
    pair_run(&pair);
    finish(4);
}

/* ---- strangers ---- */

/* Whatever stands behind a size, it ends that node's connection and session, and is counted. */
static void stranger(struct lone *lone, uint64_t size, const void *bytes, size_t length)
{
    static uint64_t number;
    const uint64_t node = 100 + number, connection = 10 + number++;
    const uint64_t bad = lone->bridge->counts.bad_frames, ended = lone->hung_up;
    const struct hello hello = lone_hello(node);
    const struct join join = {.mine = 10};
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    REQUIRE(packed_write(&frame, 1, 0, size, bytes, length));
    lone_receive_hello(lone, connection, &hello);
    lone_receive_join(lone, connection, &join);
    const struct peer *peer = peers_find(&lone->bridge->peers, node);
    assert_true(peer->joined);
    lone_receive(lone, connection, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
    assert_int_equal(lone->bridge->counts.bad_frames, bad + 1);
    assert_int_equal(lone->hung_up, ended + 1);
    assert_int_equal(lone->last_ended, connection);
    assert_int_equal(peer->session.received, 0);
}

static void test_malformed(void **state)
{
    (void)state;
    static struct lone lone;
    static const soma_bridge_options options = {.name = "here"};
    static char twice[2 * SMALL];
    struct compressor compressor = {0};
    struct compress_luck luck = {0};
    const struct hello other = lone_hello(9);
    const struct join join = {.mine = 5};
    size_t length = 5;
    const char *smaller = compress(&compressor, &luck, plain, BLOCK, &length);
    if (!smaller) // then all of it is garbage
        smaller = "\0\0\0\0";
    REQUIRE(smaller && length < SMALL);
    memcpy(twice, smaller, length);
    memcpy(twice + length, smaller, length);
    lone_open(&lone, &options);
    lone_receive_hello(&lone, 1, &other);
    lone_receive_join(&lone, 1, &join);
    stranger(&lone, 0, smaller, length);
    stranger(&lone, 100, smaller, length);                         // a bomb
    stranger(&lone, BLOCK - 1, smaller, length);                   // nearly
    stranger(&lone, BLOCK + 1, smaller, length);                   // it is less
    stranger(&lone, COMPRESS_MOST + 1, smaller, 5);                // more than may be
    stranger(&lone, UINT64_MAX, smaller, length);                  // far more
    stranger(&lone, BLOCK, smaller, length - 1);                   // cut
    stranger(&lone, BLOCK, twice, length + 1);                     // something follows
    stranger(&lone, 2 * BLOCK, twice, 2 * length);                 // another one does
    stranger(&lone, BLOCK, "\x50\x2a\x4d\x18\x00\x00\x00\x00", 8); // what zstd skips
    stranger(&lone, BLOCK, "garbage", 7);
    stranger(&lone, BLOCK, "", 0);
    assert_true(peers_find(&lone.bridge->peers, 9)->joined);
    lone_close(&lone);
    compressor_close(&compressor);
}

/* What is well compressed may still be no items. */
static void test_no_items(void **state)
{
    (void)state;
    static struct lone lone;
    static const soma_bridge_options options = {.name = "here"};
    static char items[SMALL]; // each byte is the number 0, and none of them an item
    struct compressor compressor = {0};
    struct compress_luck luck = {0};
    const struct hello hello = lone_hello(9);
    const struct join join = {.mine = 5};
    msgpack_sbuffer frame;
    size_t length = 0;
    const char *smaller = compress(&compressor, &luck, items, SMALL, &length);
    msgpack_sbuffer_init(&frame);
    REQUIRE(packed_write(&frame, 1, 0, SMALL, smaller ? smaller : "", length));
    lone_open(&lone, &options);
    lone_receive_hello(&lone, 1, &hello);
    lone_receive_join(&lone, 1, &join);
    lone_receive(&lone, 1, frame.data, frame.size);
    assert_int_equal(lone.bridge->counts.bad_frames, smaller ? SMALL : 1);
    assert_int_equal(lone.hung_up, !smaller);
    lone_close(&lone);
    msgpack_sbuffer_destroy(&frame);
    compressor_close(&compressor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_not_asked_for),
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_not_read),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_undone_without_memory),
        cmocka_unit_test(test_luck),
        cmocka_unit_test(test_no_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
