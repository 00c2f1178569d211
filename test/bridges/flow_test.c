/* A receiver on another node that does not keep up, over real sockets: what waits for it is bounded, and no more. */
#include "bridges/bridge.h"
#include "nodes.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#define SENDERS 100u
#define LOAD_SIZE 1000u
#define WINDOW ((uint64_t)256 << 10)

SOMA_MESSAGE(step)
SOMA_MESSAGE(load, (u32, sender), (u32, number), (bytes, data))

/* ---- who sends until it is told to stop ---- */

static atomic_int stop, sent, finished, handled, others, disorder;

struct sender {
    soma_ref to;
    uint32_t index;
    uint32_t most; /* how many it sends, unless it is told to stop before */
    uint32_t next;
};

static int sender_init(soma_agent *self, void *state, const void *arg)
{
    memcpy(state, arg, sizeof(struct sender));
    return soma_send(self, soma_self(self), step);
}

static int on_step(soma_agent *self, struct sender *my, const struct step *m)
{
    static const char bytes[LOAD_SIZE];
    (void)m;
    if (atomic_load(&stop))
        return 0;
    if (my->next == my->most) {
        atomic_fetch_add(&finished, 1);
        return 0;
    }
    atomic_fetch_add(&sent, 1);
    soma_send(self, my->to, load, .sender = my->index, .number = my->next++, .data = {bytes, sizeof(bytes)});
    return soma_send(self, soma_self(self), step);
}

static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct sender),
                                     .init = sender_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(step, on_step))};

/* ---- who does not keep up: it stands still in its first message ---- */

static sem_t go_on;

struct slow {
    uint32_t next[SENDERS];
};

static int on_load(soma_agent *self, struct slow *my, const struct load *m)
{
    (void)self;
    if (!atomic_load(&handled))
        while (sem_wait(&go_on))
            ;
    if (m->number != my->next[m->sender]++)
        atomic_store(&disorder, 1);
    atomic_fetch_add(&handled, 1);
    return 0;
}

static const soma_behavior slow = {.name = "slow",
                                   .state_size = sizeof(struct slow),
                                   .blocking = true,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(load, on_load))};

static int on_other(soma_agent *self, void *my, const struct load *m)
{
    (void)self, (void)my, (void)m;
    atomic_fetch_add(&others, 1);
    return 0;
}

static const soma_behavior other = {.name = "other", .handlers = SOMA_HANDLERS(SOMA_ON(load, on_other))};

/* ---- the test ---- */

static void node_begin(struct node *node, const char *name)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {
        .name = name, .bind = bind, .window = WINDOW, .down_ms = 20000, .close_ms = 20000};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .handler_limit_ms = 0};
    *node = (struct node){0};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
}

/* Until as many agents are muted there, or done with all they had to send; they stay so until somebody lets them go. */
static void wait_muted(const struct node *node, uint64_t count)
{
    soma_stats stats = {0};
    for (int i = 0; i < 60000 && stats.muted + (uint64_t)atomic_load(&finished) != count; i++) {
        const struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
        assert_int_equal(soma_system_stats(node->system, &stats), 0);
    }
    assert_int_equal(stats.muted + (uint64_t)atomic_load(&finished), count);
}

/* Senders on one node, all muted for the slow agent on the other. */
static void flow_begin(struct node *nodes, uint32_t each)
{
    uint32_t waiting;
    atomic_int *const words[] = {&stop, &sent, &finished, &handled, &others, &disorder};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        atomic_store(words[i], 0);
    assert_int_equal(sem_init(&go_on, 0, 0), 0);
    node_begin(&nodes[0], "north");
    node_begin(&nodes[1], "south");
    node_spawn(&nodes[1], &slow);
    assert_int_equal(soma_backlog(nodes[1].system, nodes[1].agent, &waiting), 0); // from here on it is counted
    soma_ref to = node_find(&nodes[0], &nodes[1], "slow");
    for (uint32_t i = 0; i < SENDERS; i++)
        assert_int_equal(soma_spawn(nodes[0].system, &sender, &(struct sender){to, i, each, 0}, NULL), 0);
    wait_muted(&nodes[0], SENDERS);
}

static void test_bounded(void **state)
{
    (void)state;
    struct node nodes[2];
    uint32_t waiting;
    flow_begin(nodes, UINT32_MAX);
    const soma_ref receiver = nodes[1].agent;

    node_spawn(&nodes[1], &other); // those who send to others of that node go on
    soma_ref to = node_find(&nodes[0], &nodes[1], "other");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(soma_send(nodes[0].system, to, load, .number = 0), 0);
    wait_word("messages", &others, 1000);
    wait_muted(&nodes[0], SENDERS);

    // What takes fresh memory before the receiver is marked, what makes it known, what the link holds, and one more
    // message of each sender. Only now, as before the link itself may have been what held them up.
    const uint64_t most = (1 << 20) + MAIL_MOST + OUT_HIGH + 2 * WINDOW + SENDERS * LOAD_SIZE;
    assert_int_equal(soma_backlog(nodes[1].system, receiver, &waiting), 0);
    assert_in_range(waiting, 1, 2 * most / LOAD_SIZE);

    atomic_store(&stop, 1);
    assert_int_equal(sem_post(&go_on), 0);
    wait_muted(&nodes[0], 0);
    wait_word("messages", &handled, atomic_load(&sent));
    assert_int_equal(atomic_load(&disorder), 0);
    nodes_close(nodes, 2);
    sem_destroy(&go_on);
}

static void *system_close(void *system)
{
    return (void *)(intptr_t)soma_system_close(system);
}

/* Who is muted for another node when its system closes is waited for, and what it had still to send arrives. */
static void test_closed_while_muted(void **state)
{
    enum { EACH = 200 }; // all of them more than the link holds
    (void)state;
    struct node nodes[2];
    pthread_t closer;
    void *result;
    flow_begin(nodes, EACH);
    assert_true(atomic_load(&finished) < (int)SENDERS);
    assert_int_equal(pthread_create(&closer, NULL, system_close, &nodes[0].system), 0);
    while (!soma_spawn(nodes[0].system, &other, NULL, NULL)) // it can't end before the receiver goes on
        sched_yield();
    assert_int_equal(sem_post(&go_on), 0);
    assert_int_equal(pthread_join(closer, &result), 0);
    assert_int_equal((intptr_t)result, 0);
    assert_int_equal(atomic_load(&sent), SENDERS * EACH);
    wait_word("messages", &handled, SENDERS * EACH);
    assert_int_equal(atomic_load(&disorder), 0);
    nodes_close(&nodes[1], 1);
    sem_destroy(&go_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounded), cmocka_unit_test(test_closed_while_muted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
