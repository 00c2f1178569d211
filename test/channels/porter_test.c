/*
 * Agents send on sockets themselves, while the porter or a worker in its place reads them: no word of what comes, or of
 * room for more, is lost between those who use a socket, and who waits for it is woken for all else, too.
 */
#include "callers.h"
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define WINDOW 64u     /* sent ahead of what has come */
#define HIGH_WATER 10u /* so that senders are held up all the time */

static const soma_options two = {.workers = 2, .log_level = SOMA_LOG_ERROR};

/* ---- both ways at once ---- */

/* Two channels that are peers, each in an agent that asks or sends when something has come. */
struct both {
    soma_pattern patterns[2];
    const char *transport;
    uint64_t window;
    uint64_t all;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    atomic_uint ends;
    atomic_ulong wrong;
    atomic_uint bound;
};

struct side {
    bool connects;
    uint64_t sent;
    uint64_t got;
};

static struct both *both_of(const soma_agent *self)
{
    return soma_system_data(soma_agent_system(self));
}

static int send_more(soma_agent *self, struct side *my);

static int give_up(soma_agent *self, int error)
{
    printf("error %d\n", error);
    atomic_fetch_add(&both_of(self)->wrong, 1);
    return soma_system_stop(soma_agent_system(self));
}

static int take(soma_agent *self, struct side *my, uint64_t number)
{
    struct both *both = both_of(self);
    atomic_fetch_add(&both->wrong, number != my->got);
    if (++my->got == both->all && atomic_fetch_add(&both->ends, 1) + 1 == (both->patterns[1] == SOMA_PAIR ? 2 : 1))
        return soma_system_stop(soma_agent_system(self));
    return send_more(self, my);
}

static int on_answer(soma_agent *self, struct side *my, const struct answer *m)
{
    return take(self, my, m->number);
}

static int on_error(soma_agent *self, struct side *my, const int *error)
{
    (void)my;
    return give_up(self, *error);
}

static int send_more(soma_agent *self, struct side *my)
{
    const struct both *both = both_of(self);
    for (; my->sent < both->all && my->sent < my->got + both->window; my->sent++) {
        int64_t error = both->patterns[1] == SOMA_PAIR
                            ? soma_send_to(self, "it", ask, .number = my->sent)
                            : soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(answer, on_answer, on_error), ask,
                                              .number = my->sent);
        if (error < 0)
            return give_up(self, (int)error);
    }
    return 0;
}

static int on_ask(soma_agent *self, struct side *my, const struct ask *m)
{
    return both_of(self)->patterns[0] == SOMA_PAIR ? take(self, my, m->number)
                                                   : soma_reply(self, answer, .number = m->number);
}

static int on_changed(soma_agent *self, struct side *my, const struct soma_channel_changed *m)
{
    bool begins = m->peers && (my->connects || both_of(self)->patterns[0] == SOMA_PAIR);
    return begins ? send_more(self, my) : 0;
}

static const soma_handler *const asked = SOMA_HANDLERS(SOMA_ON(ask, on_ask));

static int binder_ready(soma_agent *self, struct side *my)
{
    struct both *both = both_of(self);
    const soma_channel_options options = {
        .place = both->place, .handlers = asked, .high_water = 2 * WINDOW}; // answers are never held up, but lost
    soma_address address;
    (void)my;
    int error = soma_bind(self, both->patterns[0], "it", &options, &address);
    if (!error)
        soma_address_print(&address, both->place, sizeof(both->place));
    atomic_store(&both->bound, 1);
    return error ? give_up(self, error) : 0;
}

static int connector_ready(soma_agent *self, struct side *my)
{
    struct both *both = both_of(self);
    const soma_channel_options options = {.handlers = both->patterns[1] == SOMA_PAIR ? asked : NULL,
                                          .high_water = HIGH_WATER};
    soma_address address;
    my->connects = true;
    int error = soma_address_parse(both->place, &address);
    if (!error)
        error = soma_connect_with(self, &address, "it", &options);
    return error ? give_up(self, error) : 0;
}

static const soma_behavior binder = {.name = "binder",
                                     .state_size = sizeof(struct side),
                                     .ready = (int (*)(soma_agent *, void *))binder_ready,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};
static const soma_behavior connector = {.name = "connector",
                                        .state_size = sizeof(struct side),
                                        .ready = (int (*)(soma_agent *, void *))connector_ready,
                                        .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

static void both_run(soma_pattern binds, soma_pattern connects, uint64_t window, const char *place, uint64_t all)
{
    struct both both = {.patterns = {binds, connects}, .window = window, .all = all};
    soma_options options = two;
    soma_system *system;
    soma_ref ref;
    options.data = &both;
    snprintf(both.place, sizeof(both.place), "%s", place);
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_spawn(system, &binder, NULL, &ref), 0);
    while (!atomic_load(&both.bound))
        sched_yield();
    assert_int_equal(soma_spawn(system, &connector, NULL, &ref), 0);
    assert_int_equal(soma_system_run(system), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&both.wrong), 0);
}

static void test_pair(void **state)
{
    (void)state;
    both_run(SOMA_PAIR, SOMA_PAIR, WINDOW, "ipc", test_load(20000));
    both_run(SOMA_PAIR, SOMA_PAIR, WINDOW, "tcp", test_load(20000));
}

static void test_requests(void **state)
{
    (void)state;
    both_run(SOMA_ASYNC_REP, SOMA_ASYNC_REQ, WINDOW, "ipc", test_load(20000));
    both_run(SOMA_ASYNC_REP, SOMA_ASYNC_REQ, WINDOW, "tcp", test_load(20000));
}

/* One at a time, and two, of which some come while the one before is answered. */
static void test_few(void **state)
{
    (void)state;
    both_run(SOMA_REP, SOMA_REQ, 1, "ipc", test_load(10000));
    both_run(SOMA_REP, SOMA_REQ, 1, "tcp", test_load(10000));
    both_run(SOMA_ASYNC_REP, SOMA_ASYNC_REQ, 2, "tcp", test_load(20000));
}

/* ---- a question that comes while the one before is handled ---- */

SOMA_MESSAGE(word, (bytes, data))

struct hold {
    soma_ref holder; /* handles "hold", until there was a "free" */
    atomic_uint held;
    sem_t freed;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    atomic_uint bound;
};

static struct hold *hold_of(const soma_agent *self)
{
    return soma_system_data(soma_agent_system(self));
}

static int on_hold(soma_agent *self, void *my, const struct word *m)
{
    struct hold *hold = hold_of(self);
    (void)my;
    atomic_store(&hold->held, 1);
    while (sem_wait(&hold->freed))
        ;
    return soma_reply(self, word, .data = m->data);
}

static int on_word(soma_agent *self, void *my, const struct word *m)
{
    struct hold *hold = hold_of(self);
    (void)my;
    if (m->data.size && *(const char *)m->data.data == 'h')
        return soma_forward(self, hold->holder);
    if (m->data.size && *(const char *)m->data.data == 'f')
        sem_post(&hold->freed);
    return soma_reply(self, word, .data = m->data);
}

static int answerer_ready(soma_agent *self, void *my)
{
    struct hold *hold = hold_of(self);
    soma_address address;
    (void)my;
    int error = soma_bind(
        self, SOMA_REP, "it",
        &(soma_channel_options){.place = "ipc", .serializer = "raw", .handlers = SOMA_HANDLERS(SOMA_ON(word, on_word))},
        &address);
    if (!error)
        soma_address_print(&address, hold->place, sizeof(hold->place));
    atomic_store(&hold->bound, 1);
    return error;
}

static const soma_behavior holder = {.name = "holder", .handlers = SOMA_HANDLERS(SOMA_ON(word, on_hold))};
static const soma_behavior answerer = {.name = "answerer", .ready = answerer_ready};

static void word_send(void *socket, const char *text)
{
    assert_int_equal(zmq_send(socket, "", 0, ZMQ_SNDMORE), 0);
    assert_int_equal(zmq_send(socket, text, strlen(text), 0), strlen(text));
}

static void words_receive(void *socket, int count)
{
    char data[8];
    for (int i = 0; i < 2 * count; i++)
        assert_true(zmq_recv(socket, data, sizeof(data), 0) >= 0);
}

/* Who has read a question does not look at once if there is another one. It is heard of all the same, also if he is
 * held up by the first: else this lasts for ever. */
static void test_held(void **state)
{
    struct hold hold = {.bound = 0};
    soma_options options = two;
    soma_system *system;
    soma_ref ref;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    (void)state;
    options.data = &hold;
    sem_init(&hold.freed, 0, 0);
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_spawn(system, &holder, NULL, &hold.holder), 0);
    assert_int_equal(soma_spawn(system, &answerer, NULL, &ref), 0);
    while (!atomic_load(&hold.bound))
        sched_yield();
    hold.place[strcspn(hold.place, " ")] = '\0'; // behind it stands the pattern
    assert_int_equal(zmq_connect(socket, hold.place), 0);
    for (uint64_t round = 0; round < test_load(20); round++) {
        for (int trips = 0; trips < 100; trips++) {
            word_send(socket, "word");
            words_receive(socket, 1);
        }
        atomic_store(&hold.held, 0);
        word_send(socket, "hold");
        while (!atomic_load(&hold.held))
            sched_yield();
        word_send(socket, "free");
        words_receive(socket, 2);
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    assert_int_equal(soma_system_close(&system), 0);
    sem_destroy(&hold.freed);
}

/* ---- woken for something else ---- */

static int bind_ready(soma_agent *self, void *my)
{
    (void)my;
    return soma_bind(self, SOMA_PULL, "it", &(soma_channel_options){.place = "tcp", .handlers = asked}, NULL);
}

static const soma_behavior callee = {
    .name = "callee", .ready = bind_ready, .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_call))};

/* Callers of agents that have channels, in a system whose workers wait for those, with a bridge or without. */
static void called(bool bridged)
{
    soma_system *system;
    soma_bridge *bridge = NULL;
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    assert_int_equal(soma_system_open(&system, &two), 0);
    if (bridged)
        assert_int_equal(soma_bridge_open(system, &(soma_bridge_options){.bind = loopback}, &bridge), 0);
    callers_run(system, &callee, test_load(10000));
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_called(void **state)
{
    (void)state;
    called(false);
    called(true);
}

/* Closed while workers come and go there. */
static void test_closed(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < test_load(100); round++) {
        soma_system *system;
        soma_ref agents[2];
        struct answer got;
        assert_int_equal(soma_system_open(&system, &two), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(soma_spawn(system, &callee, NULL, &agents[i]), 0);
        if (round % 3)
            assert_int_equal(soma_call(system, agents[0], SOMA_NEVER, &got, answer, ask, .number = 1), 0);
        if (round % 2)
            assert_int_equal(soma_kill(system, agents[0]), 0);
        assert_int_equal(soma_system_close(&system), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pair),   cmocka_unit_test(test_requests),
                                       cmocka_unit_test(test_few),    cmocka_unit_test(test_held),
                                       cmocka_unit_test(test_called), cmocka_unit_test(test_closed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
