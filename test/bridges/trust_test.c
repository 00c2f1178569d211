/* Whom a bridge believes: keys that connections have proven, how many links there may be, and what is said of them. */
#include "test/bridges/lone_node.h"
#include "test_support.h"
#include <stdatomic.h>

#define FAR 100u

static const struct peer *far_peer(const struct lone *lone)
{
    return peer_seen(lone->bridge, FAR);
}

/* A hello, and, if it is accepted, a word of a new session. */
static void comes(struct lone *lone, uint64_t connection, uint64_t node)
{
    const struct hello hello = lone_hello(node);
    const struct join join = {.mine = node};
    uint64_t ended = lone->hung_up;
    lone_receive_hello(lone, connection, &hello);
    if (lone->hung_up == ended || lone->last_ended != connection)
        lone_receive_join(lone, connection, &join);
}

/* The key that a node came with first is its own: another's does not do, even if it is allowed. */
static void test_key_of_node(void **state)
{
    (void)state;
    char mine[SOMA_BRIDGE_KEY_SIZE], keys[3][SOMA_BRIDGE_KEY_SIZE], secret[SOMA_BRIDGE_KEY_SIZE], allowed[200];
    assert_int_equal(soma_bridge_keygen(mine, secret), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(soma_bridge_keygen(keys[i], mine), 0);
    snprintf(allowed, sizeof(allowed), "# two of three\n%s the first\n\n\t%s\n", keys[0], keys[1]);
    const soma_bridge_options options = {.name = "here", .secret_key = secret, .allowed = allowed};
    struct lone lone;
    lone_open(&lone, &options);
    comes(&lone, 1, FAR); // it has no key
    assert_null(far_peer(&lone));
    lone.key = keys[2];
    comes(&lone, 2, FAR);
    assert_null(far_peer(&lone));
    lone.key = keys[0];
    comes(&lone, 3, FAR);
    assert_true(far_peer(&lone)->connection == 3);
    lone.key = keys[1];
    comes(&lone, 4, FAR);
    assert_true(lone.last_ended == 4 && far_peer(&lone)->connection == 3);
    assert_int_equal(soma_bridge_keys_reload(lone.bridge, keys[1]), 0);
    lone_pass(&lone, 0);
    assert_true(lone.last_ended == 3 && !far_peer(&lone)->connection && !far_peer(&lone)->open);
    lone_close(&lone);
}

static void test_links_most(void **state)
{
    (void)state;
    const soma_bridge_options options = {.name = "here", .links_most = 2};
    struct lone lone;
    lone_open(&lone, &options);
    for (uint64_t i = 1; i <= 3; i++) {
        comes(&lone, i, FAR + i);
    }
    assert_true(lone.last_ended == 3 && lone.kind == FRAME_REJECT);
    bridge_broken(lone.bridge, 1);
    comes(&lone, 4, FAR + 3);
    assert_int_equal(lone.hung_up, 1);
    comes(&lone, 5, FAR + 3); // it has lost the one before, which is not known here: that takes no more room
    assert_true(lone.hung_up == 2 && lone.last_ended == 4);
    assert_true(peer_seen(lone.bridge, FAR + 3)->joined);
    comes(&lone, 6, FAR);
    assert_true(lone.last_ended == 6 && lone.kind == FRAME_REJECT);
    lone_close(&lone);
}

#define FLAPPING 300u
#define ROUNDS 3u
#define LINES_MOST 51u /* in a while: of nodes, and of how many were left out */

struct lines {
    atomic_uint all; /* with those that got lost on their way here */
    atomic_uint left_out;
};

static void line_count(void *context, const soma_log_record *record)
{
    struct lines *lines = context;
    atomic_fetch_add(&lines->all, 1 + (unsigned)record->dropped);
    atomic_fetch_add(&lines->left_out, strstr(record->text, "about nodes were left out") != NULL);
}

/* Many links that come and go do not fill the log. */
static void test_flapping(void **state)
{
    (void)state;
    struct lines lines = {0};
    struct lone lone;
    lone_open(&lone, &(soma_bridge_options){.name = "here"});
    lone.heard = line_count;
    lone.hearer = &lines;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 1; i <= FLAPPING; i++)
            comes(&lone, round * FLAPPING + i, FAR + i);
        for (uint64_t i = 1; i <= FLAPPING; i++) {
            assert_true(peer_seen(lone.bridge, FAR + i)->joined);
            bridge_broken(lone.bridge, round * FLAPPING + i);
        }
        lone_pass(&lone, 0);
        lone_pass(&lone, 11 * SOMA_SECOND);
        assert_false(far_peer(&lone) && far_peer(&lone)->open);
        lone_pass(&lone, 11 * SOMA_SECOND);
    }
    lone_close(&lone);
    assert_in_range(atomic_load(&lines.all), ROUNDS, 2 * ROUNDS * LINES_MOST);
    assert_true(atomic_load(&lines.left_out) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_key_of_node), cmocka_unit_test(test_links_most),
                                       cmocka_unit_test(test_flapping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
