/*
 * A cable that is pulled between two networks, with much under way: channels over it work again when it is back, by the
 * connections that they had, or, where the silent other side was given up, by new ones. The test is in a network
 * namespace of its own, and the other system in another one; where that is not allowed the test is skipped.
 */
#include "flow.h"
#include <fcntl.h>
#include <sched.h>
#include <soma/soma.h>
#include <stdlib.h>

#define SKIPPED 77

#define ROUND 8000u /* messages before the cable is pulled, meanwhile, and after */

/* ---- two networks ---- */

static int nets[2]; /* this one, and the far one */

static bool ran(const char *format, int number)
{
    char command[128];
    snprintf(command, sizeof(command), format, number);
    return system(command) == 0;
}

static bool net_new(int *net)
{
    if (unshare(CLONE_NEWNET))
        return false;
    *net = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return *net >= 0 && ran("ip link set lo up", 0);
}

static bool net_enter(int net)
{
    return setns(net, CLONE_NEWNET) == 0;
}

static bool nets_open(void)
{
    char command[128];
    snprintf(command, sizeof(command), "ip link add cable type veth peer name cable netns /proc/%ld/fd/%%d",
             (long)getpid());
    return net_new(&nets[1]) && net_new(&nets[0]) && ran(command, nets[1]) &&
           ran("ip address add 10.213.8.1/24 dev cable", 0) && ran("ip link set cable up", 0) && net_enter(nets[1]) &&
           ran("ip address add 10.213.8.2/24 dev cable", 0) && ran("ip link set cable up", 0) && net_enter(nets[0]);
}

static void cable_pull(void)
{
    assert_true(ran("ip link set cable down", 0));
}

static void cable_plug(void)
{
    assert_true(ran("ip link set cable up", 0));
}

/* ---- the far system ---- */

/* Its threads, and so its sockets, are of the far network. */
static soma_system *far_open(void)
{
    soma_system *far;
    assert_true(net_enter(nets[1]));
    assert_int_equal(soma_system_open(&far, NULL), 0);
    assert_true(net_enter(nets[0]));
    return far;
}

static void far_do(soma_test *test, soma_system *far, soma_ref ref, player_fn *fn, const void *arg)
{
    struct player_step *step = soma_test_alloc(test, sizeof(*step));
    *step = (struct player_step){.fn = fn, .arg = arg};
    assert_int_equal(soma_post(far, ref, player_step_run, step, player_step_drop), 0);
    for (uint32_t looks = 0; !atomic_load(&step->done) && player_wait(&looks);)
        ;
    assert_true(atomic_load(&step->done));
}

static void far_peers(soma_test *test, soma_system *far, soma_ref ref, int peers)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    look->alias = "it";
    do
        far_do(test, far, ref, player_look, look);
    while (look->peers != peers && player_wait(&looks));
    assert_int_equal(look->peers, peers);
}

static int look_pump(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct pump *)arg = *(const struct pump *)state;
    return 0;
}

/* Until it has sent all that it was told to. */
static void far_sent(soma_test *test, soma_system *far, soma_ref ref, uint32_t until)
{
    struct pump *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0;
    do
        far_do(test, far, ref, look_pump, seen);
    while (seen->next < until && player_wait(&looks));
    assert_int_equal(seen->next, until);
}

/* ---- what goes by the cable ---- */

enum { PUSH_BOUND, PUSH_CONNECTED, PUB_BOUND, REQ_CONNECTED, LINES };

/* A channel: of the first three numbers come from far, of the last one questions go there. */
struct cabled {
    soma_system *far;
    soma_ref here[LINES], there[LINES];
    uint64_t connected;
};

static const soma_pattern patterns[LINES] = {SOMA_PUSH, SOMA_PUSH, SOMA_PUB, SOMA_REP}; /* of the far sides */

static void line_open(soma_test *test, struct cabled *cabled, int i, uint16_t port, uint32_t heartbeat_ms)
{
    char *place = soma_test_alloc(test, 64);
    const bool binds = i == PUSH_CONNECTED, asks = i == REQ_CONNECTED;
    snprintf(place, 64, "tcp://10.213.8.%d:%d", binds ? 1 : 2, port + i);
    const struct side here = {
        soma_pattern_twin(patterns[i]), binds, place, asks ? NULL : takes, TAKEN_MOST, heartbeat_ms};
    const struct side there = {patterns[i], !binds, place, asks ? repliers : NULL, TAKEN_MOST, heartbeat_ms};
    cabled->here[i] = player_open(test, asks ? &lockstep : &taker);
    assert_int_equal(soma_spawn(cabled->far, asks ? &replier : &pump, NULL, &cabled->there[i]), 0);
    if (asks)
        far_do(test, cabled->far, cabled->there[i], replier_begin, "answers");
    if (patterns[i] == SOMA_PUB)
        far_do(test, cabled->far, cabled->there[i], pump_publishes, NULL);
    if (binds)
        player_do(test, cabled->here[i], taker_mixes, NULL);
    far_do(test, cabled->far, cabled->there[i], side_open, &there);
    player_do(test, cabled->here[i], side_open, &here);
}

static void all_connected(soma_test *test, struct cabled *cabled)
{
    cabled->connected++;
    for (int i = 0; i < LINES; i++) {
        connected_wait(test, cabled->here[i], cabled->connected);
        far_peers(test, cabled->far, cabled->there[i], 1);
    }
}

static struct cabled all_open(soma_test *test, uint16_t port, uint32_t heartbeat_ms)
{
    struct cabled cabled = {.far = far_open()};
    for (int i = 0; i < LINES; i++)
        line_open(test, &cabled, i, port, heartbeat_ms);
    all_connected(test, &cabled);
    return cabled;
}

/* In each round as many more. */
static void all_go(soma_test *test, const struct cabled *cabled, uint32_t round)
{
    uint32_t *until = soma_test_alloc(test, sizeof(*until));
    *until = round * QUESTIONS;
    for (int i = 0; i < REQ_CONNECTED; i++)
        assert_int_equal(soma_send(cabled->far, cabled->there[i], go, .until = round * ROUND), 0);
    player_do(test, cabled->here[REQ_CONNECTED], lockstep_until, until);
}

/* All of these rounds has come, but for so many gaps, or so many questions that have failed. */
static void all_wait(soma_test *test, const struct cabled *cabled, uint32_t round, uint32_t lost)
{
    for (int i = 0; i < REQ_CONNECTED; i++)
        assert_true(taker_wait(test, cabled->here[i], round * ROUND, lost)->count > ROUND / 8);
    assert_int_equal(lockstep_wait(test, cabled->here[REQ_CONNECTED], round * QUESTIONS)->gone, lost);
}

/* Until something has come by each, so that the cable is pulled in the middle of it. */
static void all_flow(soma_test *test, const struct cabled *cabled)
{
    struct taker *seen = soma_test_alloc(test, sizeof(*seen));
    for (int i = 0; i < REQ_CONNECTED; i++) {
        uint32_t looks = 0;
        do
            player_do(test, cabled->here[i], look_taker, seen);
        while (seen->count <= ROUND / 8 && player_wait(&looks));
        assert_true(seen->count > ROUND / 8);
    }
    lockstep_wait(test, cabled->here[REQ_CONNECTED], QUESTIONS);
}

static void all_close(soma_test *test, struct cabled *cabled)
{
    for (int i = 0; i < LINES; i++)
        assert_int_equal(soma_kill(soma_test_system(test), cabled->here[i]), 0);
    soma_test_settle(test);
    assert_int_equal(soma_system_close(&cabled->far), 0);
}

/* ---- for a moment ---- */

struct timed {
    uint32_t number;
    uint64_t timeout;
};

static int ask_timed(soma_agent *self, void *state, void *arg)
{
    const struct timed *timed = arg;
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    (void)state;
    assert_true(soma_request_to(self, "it", timed->timeout, then, ask, .number = timed->number) > 0);
    return 0;
}

/* Nobody is given up, so nothing is lost; but who asks with a time waits no longer than that, and may ask again. */
static void test_pulled_for_a_moment(soma_test *test)
{
    static const struct timed soon = {REPLIES - 1, SOMA_SECOND / 10}, ever = {REPLIES - 2, SOMA_NEVER};
    static const struct side hurried = {SOMA_REQ, false, "tcp://10.213.8.2:7003", NULL, ROUND, 0};
    char expected[64];
    player_transport = SOMA_TCP;
    struct cabled cabled = all_open(test, 7000, 0);
    soma_ref asks = player_open(test, &player_quiet);
    player_do(test, asks, side_open, &hurried);
    player_peers(test, asks, "it", 1);
    all_go(test, &cabled, 1);
    all_flow(test, &cabled);
    cable_pull();
    all_go(test, &cabled, 2);
    for (int i = 0; i < REQ_CONNECTED; i++)
        far_sent(test, cabled.far, cabled.there[i], 2 * ROUND);
    player_do(test, asks, ask_timed, &soon);
    snprintf(expected, sizeof(expected), "error%d ", SOMA_ETIMEOUT);
    player_expect(test, asks, expected);
    cable_plug();
    all_wait(test, &cabled, 2, 0);
    player_do(test, asks, ask_timed, &ever);
    snprintf(expected, sizeof(expected), "error%d answer%u ", SOMA_ETIMEOUT, 2 * ever.number);
    player_expect(test, asks, expected);
    for (int i = 0; i < LINES; i++)
        connected_wait(test, cabled.here[i], 1);
    all_close(test, &cabled);
    player_transport = SOMA_INPROC;
}

/* ---- for long ---- */

/* Both sides give each other up, as they have said how soon; and are there again when the cable is. */
static void test_pulled_for_long(soma_test *test)
{
    player_transport = SOMA_TCP;
    struct cabled cabled = all_open(test, 7100, 1000);
    all_go(test, &cabled, 1);
    all_flow(test, &cabled);
    cable_pull();
    all_go(test, &cabled, 2);
    for (int i = 0; i < LINES; i++) {
        player_peers(test, cabled.here[i], "it", 0);
        far_peers(test, cabled.far, cabled.there[i], 0);
    }
    cable_plug();
    all_connected(test, &cabled);
    all_go(test, &cabled, 3);
    all_wait(test, &cabled, 3, 1);
    all_close(test, &cabled);
    player_transport = SOMA_INPROC;
}

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(test_pulled_for_a_moment), SOMA_REAL(test_pulled_for_long)};
    if (!nets_open()) {
        fprintf(stderr, "SKIPPED: this machine does not allow network namespaces (root in a container is needed)\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
