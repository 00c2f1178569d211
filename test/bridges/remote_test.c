/* What agents do with each other, done across nodes: nothing of it may look different. */
#include "bridges/bridge.h"
#include "nodes.h"
#include "runtime/spin.h"
#include <soma/body.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <stdio.h>
#include <unistd.h>

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))
SOMA_MESSAGE(hold, (ref, agent))
SOMA_MESSAGE(held, (ref, agent))
SOMA_MESSAGE(get)
SOMA_MESSAGE(pass, (u64, number))
SOMA_MESSAGE(release, (u64, number))
SOMA_MESSAGE(leave)
SOMA_MESSAGE(block, (bytes, data))

/* ---- an agent that does as it is told ---- */

struct puppet {
    soma_ref agent; /* that it was told to hold */
    soma_handle promise;
};

static atomic_int blocks, promised;

static int on_ask(soma_agent *self, struct puppet *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .number = m->number + 1);
}

static int on_hold(soma_agent *self, struct puppet *my, const struct hold *m)
{
    (void)self;
    my->agent = m->agent;
    return 0;
}

static int on_get(soma_agent *self, struct puppet *my, const struct get *m)
{
    (void)m;
    return soma_reply(self, held, .agent = my->agent);
}

/* On to the next; to the one at the end: it answers later. */
static int on_pass(soma_agent *self, struct puppet *my, const struct pass *m)
{
    (void)m;
    if (my->agent.node) {
        soma_forward(self, my->agent);
        return 0;
    }
    my->promise = soma_reply_later(self);
    atomic_fetch_add(&promised, 1);
    return (int)my->promise;
}

static int on_release(soma_agent *self, struct puppet *my, const struct release *m)
{
    return soma_reply_to(self, my->promise, told, .number = m->number);
}

static int on_leave(soma_agent *self, struct puppet *my, const struct leave *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static int on_block(soma_agent *self, struct puppet *my, const struct block *m)
{
    (void)self, (void)my;
    if (m->data.size == 100000 && ((const char *)m->data.data)[99999] == 'x')
        atomic_fetch_add(&blocks, 1);
    return 0;
}

static const soma_behavior puppet = {.name = "puppet",
                                     .state_size = sizeof(struct puppet),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(hold, on_hold),
                                                               SOMA_ON(get, on_get), SOMA_ON(pass, on_pass),
                                                               SOMA_ON(release, on_release), SOMA_ON(leave, on_leave),
                                                               SOMA_ON(block, on_block))};

static void nodes_begin(struct node *nodes, int count)
{
    static const char *const names[] = {"first", "second", "third", "fourth"};
    atomic_store(&blocks, 0);
    atomic_store(&promised, 0);
    for (int i = 0; i < count; i++) {
        node_open(&nodes[i], names[i]);
        node_spawn(&nodes[i], &puppet);
    }
}

/* An agent holds another's ref from now on. */
static void tell(const struct node *from, soma_ref agent, soma_ref about)
{
    struct held answer;
    assert_int_equal(soma_send(from->system, agent, hold, .agent = about), 0);
    assert_int_equal(soma_call(from->system, agent, PATIENCE, &answer, held, get), 0);
    assert_true(soma_ref_equal(answer.agent, about));
}

static void ask_directly(const struct node *from, soma_ref agent)
{
    struct told answer;
    assert_int_equal(soma_call(from->system, agent, PATIENCE, &answer, told, ask, .number = 7), 0);
    assert_int_equal(answer.number, 8);
}

/* ---- refs ---- */

static void test_third_node(void **state)
{
    (void)state;
    struct node nodes[3];
    struct held answer;
    nodes_begin(nodes, 3);
    node_find(&nodes[0], &nodes[1], "puppet");
    node_find(&nodes[2], &nodes[1], "puppet"); // so the first and the third have never met
    tell(&nodes[1], nodes[1].agent, nodes[2].agent);
    assert_int_equal(soma_call(nodes[0].system, nodes[1].agent, PATIENCE, &answer, held, get), 0);
    assert_true(soma_ref_equal(answer.agent, nodes[2].agent));
    ask_directly(&nodes[0], answer.agent);
    nodes_close(nodes, 3);
}

/* A node at a local socket that says it were somewhere else, so that only those who know the socket get there. */
static void node_open_hidden(struct node *node, char *address, size_t size, int number)
{
    static const char *const elsewhere[] = {"tcp://127.0.0.1:1", NULL};
    snprintf(address, size, "ipc:///tmp/soma_remote_test.%d.%d", (int)getpid(), number);
    const char *const bind[] = {address, NULL};
    const soma_bridge_options options = {.bind = bind, .advertise = elsewhere, .down_ms = 3000};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF};
    *node = (struct node){0};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
    node_spawn(node, &puppet);
}

/*
 * A ref goes on to a node that the one that gives it has not been to itself. The second joins the first and the third,
 * and tells the first of the third, whom that can't reach; still the fourth, who only ever meets the first, learns of
 * that node before of the ref. So what it asks fails when it had time to connect, not at once.
 */
static void test_told_on(void **state)
{
    (void)state;
    struct node nodes[4];
    struct held answer;
    struct told number;
    soma_ref found;
    char addresses[4][64];
    for (int i = 0; i < 4; i++)
        node_open_hidden(&nodes[i], addresses[i], sizeof(addresses[i]), i);
    assert_int_equal(soma_bridge_find(nodes[3].bridge, addresses[0], "puppet", PATIENCE, &found), 0);
    assert_int_equal(soma_bridge_find(nodes[1].bridge, addresses[0], "puppet", PATIENCE, &found), 0);
    assert_int_equal(soma_bridge_find(nodes[1].bridge, addresses[2], "puppet", PATIENCE, &found), 0);
    tell(&nodes[1], nodes[0].agent, nodes[2].agent);
    assert_int_equal(soma_call(nodes[3].system, nodes[0].agent, PATIENCE, &answer, held, get), 0);
    assert_int_equal(soma_call(nodes[3].system, answer.agent, PATIENCE, &number, told, ask, .number = 1),
                     SOMA_ENODEDOWN);
    nodes_close(nodes, 4);
    for (int i = 0; i < 4; i++)
        unlink(addresses[i] + strlen("ipc://"));
}

/* ---- requests ---- */

/* What stands open at a node with all others. */
static uint32_t debts_of(const struct node *node)
{
    uint32_t count = 0;
    pthread_mutex_lock(&node->bridge->lock);
    for (uint32_t i = 0; i < node->bridge->peer_count; i++) {
        struct peer *peer = node->bridge->list[i];
        spin_lock(&peer->busy);
        count += peer->debts.count;
        spin_unlock(&peer->busy);
    }
    pthread_mutex_unlock(&node->bridge->lock);
    return count;
}

struct passing {
    const struct node *from;
    soma_ref to;
    pthread_t thread;
    int error;
    uint64_t number;
};

static void *pass_main(void *argument)
{
    struct passing *passing = argument;
    struct told answer = {0};
    passing->error = soma_call(passing->from->system, passing->to, PATIENCE, &answer, told, pass, .number = 1);
    passing->number = answer.number;
    return NULL;
}

/* The first asks the second, whose agent forwards to the third, whose agent promises an answer. */
static void pass_begin(struct node *nodes, struct passing *passing)
{
    nodes_begin(nodes, 3);
    node_find(&nodes[0], &nodes[1], "puppet");
    node_find(&nodes[1], &nodes[2], "puppet");
    tell(&nodes[1], nodes[1].agent, nodes[2].agent);
    *passing = (struct passing){.from = &nodes[0], .to = nodes[1].agent};
    assert_int_equal(pthread_create(&passing->thread, NULL, pass_main, passing), 0);
    wait_word("the promise", &promised, 1);
}

/* Until the first one knows that the third has it: the second hears so at the latest with what that one answers, and
 * its own answer comes behind the word of it. */
static void passed_over(struct node *nodes)
{
    ask_directly(&nodes[1], nodes[2].agent);
    ask_directly(&nodes[0], nodes[1].agent);
}

static void test_forward(void **state)
{
    (void)state;
    struct node nodes[3];
    struct passing passing;
    pass_begin(nodes, &passing);
    assert_int_equal(soma_send(nodes[0].system, nodes[2].agent, release, .number = 5), 0);
    pthread_join(passing.thread, NULL);
    assert_int_equal(passing.error, 0);
    assert_int_equal(passing.number, 5);
    passed_over(nodes);
    for (int i = 0; i < 3; i++)
        assert_int_equal(debts_of(&nodes[i]), 0);
    nodes_close(nodes, 3);
}

static void test_forward_gone(void **state)
{
    (void)state;
    struct node nodes[3];
    struct passing passing;
    pass_begin(nodes, &passing);
    assert_int_equal(soma_kill(nodes[0].system, nodes[2].agent), 0);
    pthread_join(passing.thread, NULL);
    assert_int_equal(passing.error, SOMA_EGONE);
    nodes_close(nodes, 3);
}

/* The node that has passed it on is needed no more. */
static void test_forward_outlives(void **state)
{
    (void)state;
    struct node nodes[3];
    struct passing passing;
    pass_begin(nodes, &passing);
    passed_over(nodes);
    assert_int_equal(soma_system_close(&nodes[1].system), 0);
    nodes[1] = nodes[2];
    ask_directly(&nodes[0], nodes[1].agent);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, release, .number = 5), 0);
    pthread_join(passing.thread, NULL);
    assert_int_equal(passing.error, 0);
    assert_int_equal(passing.number, 5);
    nodes_close(nodes, 2);
}

/* The asker learns of the end of the node that has the request now. */
static void test_forward_down(void **state)
{
    (void)state;
    struct node nodes[3];
    struct passing passing;
    pass_begin(nodes, &passing);
    passed_over(nodes);
    assert_int_equal(soma_system_close(&nodes[2].system), 0);
    pthread_join(passing.thread, NULL);
    assert_int_equal(passing.error, SOMA_ENODEDOWN);
    nodes_close(nodes, 2);
}

/* And back to the node of who has asked. */
static void test_forward_home(void **state)
{
    (void)state;
    struct node nodes[2];
    struct passing passing = {.from = &nodes[0]};
    soma_ref home;
    nodes_begin(nodes, 2);
    passing.to = node_find(&nodes[0], &nodes[1], "puppet");
    assert_int_equal(soma_spawn(nodes[0].system, &puppet, NULL, &home), 0);
    tell(&nodes[0], nodes[1].agent, home);
    assert_int_equal(pthread_create(&passing.thread, NULL, pass_main, &passing), 0);
    wait_word("the promise", &promised, 1);
    assert_int_equal(soma_send(nodes[0].system, home, release, .number = 6), 0);
    pthread_join(passing.thread, NULL);
    assert_int_equal(passing.error, 0);
    assert_int_equal(passing.number, 6);
    ask_directly(&nodes[0], nodes[1].agent);
    assert_int_equal(debts_of(&nodes[0]), 0);
    assert_int_equal(debts_of(&nodes[1]), 0);
    nodes_close(nodes, 2);
}

/* Whom it is asked of ends with the request, or with the promise. */
static void test_asked_ends(void **state)
{
    (void)state;
    struct node nodes[2];
    struct passing passing = {.from = &nodes[0]};
    struct told answer;
    nodes_begin(nodes, 2);
    passing.to = node_find(&nodes[0], &nodes[1], "puppet");
    assert_int_equal(pthread_create(&passing.thread, NULL, pass_main, &passing), 0);
    wait_word("the promise", &promised, 1);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, leave), 0);
    pthread_join(passing.thread, NULL);
    assert_int_equal(passing.error, SOMA_EGONE);
    assert_int_equal(soma_call(nodes[0].system, nodes[1].agent, PATIENCE, &answer, told, ask, .number = 1), SOMA_EGONE);
    nodes_close(nodes, 2);
}

/* ---- bodies ---- */

static void test_shared_body(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_body *body;
    soma_ref receivers[50];
    char *bytes = malloc(100000);
    memset(bytes, 'x', 100000);
    nodes_begin(nodes, 2);
    node_find(&nodes[0], &nodes[1], "puppet");
    assert_int_equal(soma_body_new(&body, block, .data = {bytes, 100000}), 0);
    free(bytes);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(soma_spawn(nodes[1].system, &puppet, NULL, &receivers[i]), 0);
        assert_int_equal(soma_send_body(nodes[0].system, receivers[i], body), 0);
    }
    soma_body_close(&body);
    wait_word("blocks", &blocks, 50);
    nodes_close(nodes, 2);
}

/* ---- opening and closing ---- */

static void test_ipc(void **state)
{
    (void)state;
    struct node nodes[2];
    char path[64], address[80];
    soma_ref found;
    snprintf(path, sizeof(path), "/tmp/soma_remote_test.%d", (int)getpid());
    snprintf(address, sizeof(address), "ipc://%s", path);
    const char *const bind[] = {"tcp://127.0.0.1", address, NULL};
    node_open(&nodes[0], "first");
    node_open_at(&nodes[1], "second", bind);
    node_spawn(&nodes[1], &puppet);
    assert_string_equal(soma_bridge_address(nodes[1].bridge, 1), address);
    assert_null(soma_bridge_address(nodes[1].bridge, 2));
    assert_int_equal(soma_bridge_find(nodes[0].bridge, address, "puppet", PATIENCE, &found), 0);
    ask_directly(&nodes[0], found);
    assert_int_equal(soma_bridge_find(nodes[0].bridge, address, "nobody", PATIENCE, &found), SOMA_ENOENT);
    nodes_close(nodes, 2);
    unlink(path);
}

/* What was sent before closing arrives: closing waits for it. */
static void test_close_drains(void **state)
{
    (void)state;
    struct node nodes[2];
    soma_body *body;
    char *bytes = malloc(100000);
    memset(bytes, 'x', 100000);
    nodes_begin(nodes, 2);
    node_find(&nodes[0], &nodes[1], "puppet");
    assert_int_equal(soma_body_new(&body, block, .data = {bytes, 100000}), 0);
    free(bytes);
    for (int i = 0; i < 300; i++)
        assert_int_equal(soma_send_body(nodes[0].system, nodes[1].agent, body), 0);
    soma_body_close(&body);
    assert_int_equal(soma_bridge_close(&nodes[0].bridge), 0);
    assert_int_equal(soma_send(nodes[0].system, nodes[1].agent, leave), SOMA_ENODEDOWN);
    wait_word("blocks", &blocks, 300);
    nodes_close(nodes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_third_node),       cmocka_unit_test(test_told_on),
        cmocka_unit_test(test_forward),          cmocka_unit_test(test_forward_gone),
        cmocka_unit_test(test_forward_outlives), cmocka_unit_test(test_forward_down),
        cmocka_unit_test(test_forward_home),     cmocka_unit_test(test_asked_ends),
        cmocka_unit_test(test_shared_body),      cmocka_unit_test(test_ipc),
        cmocka_unit_test(test_close_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
