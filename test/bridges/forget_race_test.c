/* Nodes come, leave and are forgotten, while other threads send to all of them, there or not. */
#include "nodes.h"
#include <pthread.h>

SOMA_MESSAGE(note, (u64, number))

#define VISITORS 24
#define SENDERS 2

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior host = {.name = "host", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note))};

/* Quick to forget. */
static void quick_open(struct node *node, const char *name)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {
        .name = name, .bind = loopback, .down_ms = 30, .heartbeat_ms = 10, .close_ms = 100};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF};
    *node = (struct node){0};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
    node_spawn(node, &host);
}

struct sending {
    soma_system *system;
    soma_ref seen[VISITORS];
    atomic_int count; /* release and acquire: a sender sees the refs up to it */
    atomic_int over;
    atomic_int wrong;
};

static void *send_main(void *argument)
{
    struct sending *sending = argument;
    while (!atomic_load(&sending->over))
        for (int i = 0, count = atomic_load(&sending->count); i < count; i++) {
            int error = soma_send(sending->system, sending->seen[i], note, .number = (uint64_t)i);
            if (error && error != SOMA_ENODEDOWN)
                atomic_store(&sending->wrong, error);
        }
    return NULL;
}

/* Waits until the hub has so many peers at most: it forgets the others. */
static void wait_peers(const struct node *hub, int most)
{
    const struct timespec nap = {0, 1000000};
    for (int i = 0; i < 20000 && soma_bridge_peers(hub->bridge, NULL, 0) > most; i++)
        nanosleep(&nap, NULL);
    assert_true(soma_bridge_peers(hub->bridge, NULL, 0) <= most);
}

static void test_race(void **state)
{
    (void)state;
    struct node hub, visitor;
    static struct sending sending;
    pthread_t threads[SENDERS];
    quick_open(&hub, "hub");
    sending = (struct sending){.system = hub.system};
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_main, &sending), 0);
    for (int i = 0; i < VISITORS; i++) {
        wait_peers(&hub, 5); // so that what was one's is another's while it is sent to
        quick_open(&visitor, "visitor");
        node_find(&visitor, &hub, "host");
        sending.seen[i] = visitor.agent;
        atomic_store(&sending.count, i + 1);
        soma_system_close(&visitor.system); // what is on its way there is lost
    }
    wait_peers(&hub, 0);
    atomic_store(&sending.over, 1);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&sending.wrong), 0);
    nodes_close(&hub, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_race)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
