/* Waiting from outside until somebody is there: in a system, over ipc and over tcp. */
#include "player.h"

static const struct player_end pull_bound = {SOMA_PULL, "in", "jobs", PLAYER_NOTES};
static const struct player_end push_to_pull = {SOMA_PULL, "out", "jobs", NULL};

static void test_waiting(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &player_quiet);
    player_do(test, takes, player_binds, &pull_bound);
    assert_int_equal(soma_wait_connected(system, takes, "nothing", 1, SOMA_SECOND), SOMA_ENOENT);
    assert_int_equal(soma_wait_connected(system, takes, "in", 0, SOMA_SECOND), 0);
    assert_int_equal(soma_wait_connected(system, takes, "in", 1, SOMA_MS), SOMA_ETIMEOUT);
    assert_int_equal(soma_post(system, sends, player_connects, (void *)(uintptr_t)&push_to_pull, NULL), 0);
    assert_int_equal(soma_wait_connected(system, takes, "in", 1, 20 * SOMA_SECOND), 0);
    assert_int_equal(soma_wait_connected(system, takes, NULL, 1, 0), SOMA_EINVAL);
    assert_int_equal(soma_kill(system, sends), 0);
    soma_test_settle(test);
    assert_int_equal(soma_wait_connected(system, sends, "out", 1, SOMA_SECOND), SOMA_EGONE);
}

static const struct player_end pub_bound = {SOMA_PUB, "news", "news", NULL};
static const struct player_end sub_to_pub = {SOMA_PUB, "news", "news", PLAYER_NOTES};

static int publish_seven(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "news", note, .number = 7);
}

/* Once all subscribers are there, none misses anything. */
static void test_waiting_for_subscribers(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref publisher = player_open(test, &player_quiet), subscribers[3];
    player_do(test, publisher, player_binds, &pub_bound);
    for (int i = 0; i < 3; i++) {
        subscribers[i] = player_open(test, &player_quiet);
        assert_int_equal(soma_post(system, subscribers[i], player_connects, (void *)(uintptr_t)&sub_to_pub, NULL), 0);
    }
    assert_int_equal(soma_wait_connected(system, publisher, "news", 3, 20 * SOMA_SECOND), 0);
    player_do(test, publisher, publish_seven, NULL);
    for (int i = 0; i < 3; i++)
        player_expect(test, subscribers[i], "7 ");
}

PLAYER_WIRES(test_waiting)
PLAYER_WIRES(test_waiting_for_subscribers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_REAL(test_waiting),
        PLAYER_OVER_WIRES(test_waiting),
        SOMA_REAL(test_waiting_for_subscribers),
        PLAYER_OVER_WIRES(test_waiting_for_subscribers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
