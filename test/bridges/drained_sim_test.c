/* What closing a bridge waits for: what agents have said, to nodes that may yet have it; and nothing else. */
#include "bridges/bridge.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/monitor.h>

SOMA_MESSAGE(word)
SOMA_MESSAGE(watch_it, (ref, agent))

static int on_word(soma_agent *self, uint32_t *words, const struct word *m)
{
    (void)self, (void)m;
    ++*words;
    return 0;
}

static int on_watch_it(soma_agent *self, uint32_t *words, const struct watch_it *m)
{
    (void)words;
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : 0;
}

static int on_down(soma_agent *self, uint32_t *words, const struct soma_down *m)
{
    (void)self, (void)words, (void)m;
    return 0;
}

static const soma_behavior listener = {
    .name = "listener",
    .state_size = sizeof(uint32_t),
    .handlers = SOMA_HANDLERS(SOMA_ON(word, on_word), SOMA_ON(watch_it, on_watch_it), SOMA_ON(soma_down, on_down))};

static soma_ref listener_at(soma_test *test, const char *node)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_node(test, node), &listener, NULL, &ref), 0);
    return ref;
}

static void say(soma_test *test, const char *node, soma_ref to)
{
    assert_int_equal(soma_send(soma_test_node(test, node), to, word), 0);
}

static bool is_drained(soma_test *test, const char *node)
{
    return bridge_is_drained(soma_test_bridge(test, node));
}

/* North knows west, which it can't reach; with all that it has to tell it of others, and of whom it watches. */
static void test_out_of_reach(soma_test *test)
{
    soma_ref north = listener_at(test, "north"), west = listener_at(test, "west"), south = listener_at(test, "south");
    say(test, "north", west);
    soma_test_advance(test, SOMA_SECOND);
    assert_true(is_drained(test, "north"));
    soma_test_net_partition(test, "north", "west");
    soma_test_net_partition(test, "south", "west");
    if (soma_test_random(test, 2)) // it has noticed, or not yet
        soma_test_advance(test, 5 * SOMA_SECOND);
    say(test, "south", north);
    assert_int_equal(soma_send(soma_test_node(test, "north"), north, watch_it, .agent = west), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_true(is_drained(test, "north"));
    assert_true(is_drained(test, "south"));
    say(test, "north", west);
    soma_test_advance(test, SOMA_SECOND);
    assert_false(is_drained(test, "north"));
    soma_test_net_heal(test, "north", "west");
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_true(is_drained(test, "north"));
    assert_int_equal(*(const uint32_t *)soma_test_state(test, west), 2);
    assert_int_equal(*(const uint32_t *)soma_test_state(test, south), 0);
}

/* What was said before gets there also if the link is lost while the bridge closes, whoever has called. */
static void test_lost_meanwhile(soma_test *test)
{
    const char *const names[] = {"north", "south"};
    soma_ref agents[2] = {listener_at(test, "north"), listener_at(test, "south")};
    uint64_t first = soma_test_random(test, 2), closes = soma_test_random(test, 2);
    say(test, names[first], agents[!first]);
    soma_test_advance(test, SOMA_SECOND);
    soma_test_net_cut(test, "north", "south");
    soma_test_advance(test, soma_test_random(test, 5 * SOMA_SECOND));
    say(test, names[closes], agents[!closes]);
    u32_store(&soma_test_bridge(test, names[closes])->closing, 1);
    soma_test_advance(test, soma_test_random(test, SOMA_SECOND));
    assert_false(is_drained(test, names[closes]));
    soma_test_net_heal(test, "north", "south");
    soma_test_advance(test, 8 * SOMA_SECOND); // a frame that is lost is missed when a beat is
    assert_true(is_drained(test, names[closes]));
    assert_int_equal(*(const uint32_t *)soma_test_state(test, agents[!closes]), 1 + (first == closes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(test_out_of_reach, test_load(200), 100000),
                                       SOMA_SIM(test_lost_meanwhile, test_load(200), 100000),
                                       SOMA_SIM(test_lost_meanwhile, test_load(500), 100000, .frames = 2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
