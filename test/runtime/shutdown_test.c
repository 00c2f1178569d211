/* Closing at bad moments: under overload, while agents are born, from the wrong thread, with hooks that go on working.
 */
#include "runtime/system.h"
#include "test_support.h"
#include <pthread.h>
#include <sched.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

SOMA_MESSAGE(flood, (ref, to))
SOMA_MESSAGE(item)
SOMA_MESSAGE(breed)
SOMA_MESSAGE(never)
SOMA_MESSAGE(answer)

/* ---- muted agents ---- */

static atomic_bool gate_open;

static int on_item(soma_agent *self, void *state, const struct item *m)
{
    (void)self, (void)state, (void)m;
    while (!atomic_load(&gate_open))
        sched_yield();
    return 0;
}

static int on_flood(soma_agent *self, void *state, const struct flood *m)
{
    (void)state;
    for (uint32_t i = 0; i < 200; i++)
        soma_send(self, m->to, item);
    soma_random(self);
    return soma_send(self, soma_self(self), flood, .to = m->to);
}

static const soma_behavior slow = {.name = "slow", .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item))};
static const soma_behavior flooder = {.name = "flooder", .handlers = SOMA_HANDLERS(SOMA_ON(flood, on_flood))};

static soma_ref flooders[64];

/* Opens a system whose senders are all muted, waiting for one receiver whose gate is shut. */
static soma_system *system_muted_with(uint32_t senders, const soma_options *options)
{
    soma_system *system;
    soma_ref to, *from = flooders;
    soma_stats stats;
    assert_true(senders <= 64);
    atomic_store(&gate_open, false);
    assert_int_equal(soma_system_open(&system, options), 0);
    for (uint32_t i = 0; i < senders; i++)
        assert_int_equal(soma_spawn(system, &flooder, NULL, &from[i]), 0);
    assert_int_equal(soma_spawn(system, &slow, NULL, &to), 0); // last: it ends after those that wait for it
    for (uint32_t i = 0; i < senders; i++)
        assert_int_equal(soma_send(system, from[i], flood, .to = to), 0);
    do
        assert_int_equal(soma_system_stats(system, &stats), 0);
    while (stats.muted < senders);
    return system;
}

static soma_system *system_muted(uint32_t senders)
{
    return system_muted_with(senders, &(soma_options){.workers = 2, .drain_ms = 1, .log_level = SOMA_LOG_OFF});
}

static void *gate_opener(void *argument)
{
    (void)argument;
    const struct timespec while_closing = {.tv_nsec = 5000000}; // only makes it likely that the drain is late
    nanosleep(&while_closing, NULL);
    atomic_store(&gate_open, true);
    return NULL;
}

static void muted_end(int (*end)(soma_system **system), int result)
{
    for (uint32_t round = 0; round < 20; round++) {
        soma_system *system = system_muted(40);
        pthread_t opener;
        assert_int_equal(pthread_create(&opener, NULL, gate_opener, NULL), 0);
        assert_int_equal(end(&system), result);
        pthread_join(opener, NULL);
    }
}

static void test_cancel_muted(void **state)
{
    (void)state;
    muted_end(soma_system_cancel, 0);
}

/* A kill does not wait for the one that its victim waits for. */
static void test_kill_muted(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        soma_system *system = system_muted(40);
        soma_stats stats;
        for (uint32_t i = 0; i < 40; i++)
            assert_int_equal(soma_kill(system, flooders[i]), 0);
        do
            assert_int_equal(soma_system_stats(system, &stats), 0);
        while (stats.agents > 1 || stats.muted);
        atomic_store(&gate_open, true);
        assert_int_equal(soma_system_cancel(&system), 0);
    }
}

static void test_drain_late_muted(void **state)
{
    (void)state;
    muted_end(soma_system_close, SOMA_ETIMEOUT);
}

/* ---- agents that are born meanwhile ---- */

static const soma_behavior blocker = {.name = "blocker", .blocking = true};

static int on_breed(soma_agent *self, void *state, const struct breed *m)
{
    (void)state, (void)m;
    soma_ref child;
    for (uint32_t i = 0; i < 4; i++)
        if (!soma_spawn(self, &blocker, NULL, &child))
            soma_kill(soma_agent_system(self), child);
    return soma_send(self, soma_self(self), breed);
}

static const soma_behavior breeder = {.name = "breeder", .handlers = SOMA_HANDLERS(SOMA_ON(breed, on_breed))};

static void test_cancel_while_blocking_agents_are_born(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < test_load(200); round++) {
        soma_system *system;
        soma_ref ref;
        assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2}), 0);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(soma_spawn(system, &breeder, NULL, &ref), 0);
            assert_int_equal(soma_send(system, ref, breed), 0);
        }
        sched_yield();
        assert_int_equal(soma_system_cancel(&system), 0);
    }
}

/* ---- stop hooks that go on working ---- */

struct hook {
    soma_system *system;
    soma_ref others[4];
    int closed;
};

static void busy_stop(soma_agent *self, void *state, int reason)
{
    (void)reason;
    struct hook *my = *(struct hook **)state;
    soma_after(self, SOMA_MS, item);
    for (uint32_t i = 0; i < 100; i++)
        soma_send(self, my->others[i % 4], item);
    soma_system_send(soma_agent_system(self), soma_self(self), &item_type, &(struct item){0});
    soma_system_send(soma_agent_system(self), my->others[3], &item_type, &(struct item){0});
    soma_system *system = my->system;
    my->closed = soma_system_close(&system);
}

static int busy_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(const void **)state = arg;
    return 0;
}

static const soma_behavior busy = {
    .name = "busy",
    .state_size = sizeof(struct hook *),
    .init = busy_init,
    .stop = busy_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item)),
};

static void test_stop_hooks_go_on(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 50; round++) {
        struct hook hook = {0};
        atomic_store(&gate_open, true);
        assert_int_equal(soma_system_open(&hook.system, NULL), 0);
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(soma_spawn(hook.system, &busy, &hook, &hook.others[i]), 0);
        soma_system *system = hook.system;
        assert_int_equal(round % 2 ? soma_system_cancel(&system) : soma_system_close(&system), 0);
        assert_int_equal(hook.closed, SOMA_ESTATE);
    }
}

/* ---- other threads ---- */

static void closing_sink(void *context, const soma_log_record *record)
{
    (void)record;
    struct hook *hook = context;
    soma_system *system = hook->system;
    hook->closed = soma_system_close(&system);
}

static void test_close_from_sink(void **state)
{
    (void)state;
    struct hook hook = {0};
    const soma_options options = {.log_sink = closing_sink, .log_context = &hook};
    assert_int_equal(soma_system_open(&hook.system, &options), 0);
    soma_log_info(hook.system, "a record");
    soma_system *system = hook.system;
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(hook.closed, SOMA_ESTATE);
}

/* A sink that makes and feeds agents of the very system that it logs for, to the end. */
static void busy_sink(void *context, const soma_log_record *record)
{
    const struct hook *hook = context;
    soma_ref ref;
    (void)record;
    soma_send(hook->system, hook->others[0], item);
    if (!soma_spawn(hook->system, &slow, NULL, &ref))
        soma_send(hook->system, ref, item);
}

static void logging_stop(soma_agent *self, void *state, int reason)
{
    (void)state;
    soma_log_info(self, "stops: %d", reason);
}

static void test_sink_goes_on(void **state)
{
    (void)state;
    static const soma_behavior logging = {.name = "logging", .stop = logging_stop};
    atomic_store(&gate_open, true);
    for (uint32_t round = 0; round < 50; round++) {
        struct hook hook = {0};
        const soma_options options = {.log_sink = busy_sink, .log_context = &hook};
        assert_int_equal(soma_system_open(&hook.system, &options), 0);
        assert_int_equal(soma_spawn(hook.system, &slow, NULL, &hook.others[0]), 0);
        for (uint32_t i = 0; i < 20; i++)
            assert_int_equal(soma_spawn(hook.system, &logging, NULL, NULL), 0);
        soma_log_info(hook.system, "a record");
        soma_system *system = hook.system;
        assert_int_equal(round % 2 ? soma_system_cancel(&system) : soma_system_close(&system), 0);
    }
}

static int on_never(soma_agent *self, void *state, const struct never *m)
{
    (void)state, (void)m;
    return soma_reply_later(self) > 0 ? 0 : SOMA_ESTATE;
}

static const soma_behavior silent = {.name = "silent", .handlers = SOMA_HANDLERS(SOMA_ON(never, on_never))};

struct caller {
    soma_system *system;
    soma_ref to;
    atomic_bool calls;
    int result;
};

static void *caller_main(void *argument)
{
    struct caller *caller = argument;
    struct answer result;
    atomic_store(&caller->calls, true);
    caller->result = soma_call(caller->system, caller->to, SOMA_NEVER, &result, answer, never);
    return NULL;
}

/* A call that waits ends with the system. */
static void test_close_beside_call(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < test_load(200); round++) {
        struct caller caller = {0};
        soma_stats stats;
        pthread_t thread;
        assert_int_equal(soma_system_open(&caller.system, NULL), 0);
        assert_int_equal(soma_spawn(caller.system, &silent, NULL, &caller.to), 0);
        assert_int_equal(pthread_create(&thread, NULL, caller_main, &caller), 0);
        do
            assert_int_equal(soma_system_stats(caller.system, &stats), 0);
        while (stats.spawned < 2); // its call has begun, and is anywhere in it
        soma_system *system = caller.system;
        assert_int_equal(round % 2 ? soma_system_cancel(&system) : soma_system_close(&system), 0);
        pthread_join(thread, NULL);
        assert_int_equal(caller.result, SOMA_ECLOSED);
    }
}

/* ---- threads that wait, hooks that close, handlers that spawn ---- */

static void *runner_main(void *argument)
{
    struct caller *caller = argument;
    atomic_store(&caller->calls, true);
    caller->result = soma_system_run(caller->system);
    return NULL;
}

static void test_close_releases_runners(void **state)
{
    (void)state;
    struct caller caller = {.result = 1};
    pthread_t thread;
    assert_int_equal(soma_system_open(&caller.system, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, runner_main, &caller), 0);
    for (uint32_t running = 0; !running;) { // in soma_system_run(), not before
        pthread_mutex_lock(&caller.system->lock);
        running = caller.system->running;
        pthread_mutex_unlock(&caller.system->lock);
    }
    soma_system *system = caller.system;
    assert_int_equal(soma_system_close(&system), 0);
    pthread_join(thread, NULL);
    assert_int_equal(caller.result, 0);
}

static int closing_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    soma_system *system = soma_agent_system(self);
    struct answer result;
    assert_int_equal(soma_call(system, soma_self(self), SOMA_SECOND, &result, answer, never), SOMA_ESTATE);
    return soma_system_close(&system);
}

static void test_close_from_init(void **state)
{
    (void)state;
    static const soma_behavior closing = {.name = "closing", .init = closing_init};
    soma_system *system;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &closing, NULL, NULL), SOMA_ESTATE);
    assert_int_equal(soma_system_close(&system), 0);
}

SOMA_MESSAGE(descend, (u32, left))

static atomic_uint born;
static int on_descend(soma_agent *self, void *state, const struct descend *m);
static const soma_behavior ancestor = {.name = "ancestor", .handlers = SOMA_HANDLERS(SOMA_ON(descend, on_descend))};

/* Waits until the system closes; from then on each agent makes the next. */
static int on_descend(soma_agent *self, void *state, const struct descend *m)
{
    (void)state;
    soma_ref child;
    while (!u32_load(&soma_agent_system(self)->closing))
        sched_yield();
    int error = m->left % 2 ? soma_spawn(self, &ancestor, NULL, &child)
                            : soma_spawn(soma_agent_system(self), &ancestor, NULL, &child);
    if (error)
        return 0;
    atomic_fetch_add(&born, 1);
    return m->left ? soma_send(self, child, descend, .left = m->left - 1) : 0;
}

/* While a system drains its agents go on as ever. */
static void test_drain_lets_agents_spawn(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    atomic_store(&born, 0);
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &ancestor, NULL, &ref), 0);
    assert_int_equal(soma_send(system, ref, descend, .left = 99), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&born), 100);
}

static atomic_uint slept;

static int on_wait(soma_agent *self, void *state, const struct never *m)
{
    (void)state, (void)m;
    atomic_fetch_add(&slept, 1);
    while (!u32_load(&self->worker->leave))
        sched_yield();
    return 0;
}

/* A cancel waits for the handler that runs, and not for the rest of its agent's batch. */
static void test_cancel_ends_batches(void **state)
{
    (void)state;
    static soma_behavior waiter = {.name = "waiter"};
    static const soma_handler handlers[] = {SOMA_ON(never, on_wait), {NULL, NULL, 0, NULL}};
    waiter.handlers = handlers;
    for (int blocking = 0; blocking < 2; blocking++) {
        soma_system *system;
        soma_ref ref;
        atomic_store(&slept, 0);
        waiter.blocking = blocking;
        assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
        assert_int_equal(soma_spawn(system, &waiter, NULL, &ref), 0);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(soma_send(system, ref, never), 0);
        while (!atomic_load(&slept))
            sched_yield();
        assert_int_equal(soma_system_cancel(&system), 0);
        assert_int_equal(atomic_load(&slept), 1);
    }
}

/* ---- in order, and with a word about who is left ---- */

static char ended[64];
static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;

static int letter_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(char *)state = *(const char *)arg;
    return 0;
}

static void letter_stop(soma_agent *self, void *state, int reason)
{
    (void)self;
    pthread_mutex_lock(&ended_lock);
    size_t length = strlen(ended);
    ended[length] = reason == SOMA_ESHUTDOWN ? *(char *)state : '!';
    ended[length + 1] = 0;
    pthread_mutex_unlock(&ended_lock);
}

static const soma_behavior letter = {.name = "letter", .state_size = 1, .init = letter_init, .stop = letter_stop};

/* Two trees, the second with a subtree: each from its top, the last child first, the tree that came first before. */
static void test_trees_end_in_order(void **state)
{
    (void)state;
    static const soma_child inner_children[] = {{.behavior = &letter, .arg = "c"}, {.behavior = &letter, .arg = "d"}};
    static const soma_supervision inner = {.children = inner_children, .count = 2};
    static const soma_child first_children[] = {{.behavior = &letter, .arg = "a"}, {.behavior = &letter, .arg = "b"}};
    static const soma_child second_children[] = {{.behavior = &letter, .arg = "e"},
                                                 {.behavior = &soma_supervisor, .arg = &inner},
                                                 {.behavior = &letter, .arg = "f"}};
    static const soma_supervision first = {.children = first_children, .count = 2};
    static const soma_supervision second = {.children = second_children, .count = 3};
    soma_system *system;
    soma_ref ref;
    ended[0] = 0;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &soma_supervisor, &first, &ref), 0);
    assert_int_equal(soma_spawn(system, &soma_supervisor, &second, &ref), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_string_equal(ended, "bafdce");
}

struct said {
    bool shutdown, child, mail, muted, sum;
};

static void telling_sink(void *context, const soma_log_record *record)
{
    struct said *told = context;
    told->shutdown |= strstr(record->text, "closing: 'stubborn' 0.1 had not shut down") != NULL;
    told->child |= strstr(record->text, "closing: 'stubborn' 1.1 had not shut down") != NULL;
    told->mail |= strstr(record->text, "closing: 'slow' ") != NULL;
    told->muted |= strstr(record->text, "it waited for 'slow' ") != NULL;
    told->sum |= strstr(record->text, "closing: 1 ms were not enough: ") != NULL;
}

static int stubborn_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    soma_trap_exits(self, true);
    return soma_shutdown_on_close(self);
}

static atomic_bool refused;

static int on_exited(soma_agent *self, void *state, const struct soma_exited *m)
{
    (void)self, (void)state, (void)m;
    atomic_store(&refused, true);
    return 0;
}

static const soma_behavior stubborn = {
    .name = "stubborn", .init = stubborn_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_exited, on_exited))};

static int stubborn_child_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    return soma_trap_exits(self, true);
}

static const soma_behavior stubborn_child = {.name = "stubborn", .init = stubborn_child_init, .base = &stubborn};

/* A late closing says who was left, in which state, with how much mail. */
static void test_late_closing_tells(void **state)
{
    (void)state;
    struct said told = {0};
    soma_system *system;
    soma_ref ref;
    const soma_options options = {.workers = 1, .drain_ms = 1, .log_sink = telling_sink, .log_context = &told};
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_spawn(system, &stubborn, NULL, &ref), 0);
    assert_int_equal(soma_system_close(&system), SOMA_ETIMEOUT);
    assert_true(told.shutdown && told.sum && !told.mail);
    told = (struct said){0};
    const soma_options two = {.workers = 2, .drain_ms = 1, .log_sink = telling_sink, .log_context = &told};
    system = system_muted_with(40, &two);
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, gate_opener, NULL), 0);
    assert_int_equal(soma_system_close(&system), SOMA_ETIMEOUT);
    pthread_join(opener, NULL);
    assert_true(told.mail && told.muted && told.sum);
}

/* Not only the supervisor, which waits, but who keeps it waiting. */
static void test_late_closing_tells_of_children(void **state)
{
    (void)state;
    static const soma_child child = {.behavior = &stubborn_child, .shutdown = SOMA_NEVER};
    static const soma_supervision spec = {.children = &child, .count = 1};
    struct said told = {0};
    soma_system *system;
    soma_ref ref;
    const soma_options options = {.workers = 1, .drain_ms = 1, .log_sink = telling_sink, .log_context = &told};
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_spawn(system, &soma_supervisor, &spec, &ref), 0);
    atomic_store(&refused, false);
    assert_int_equal(soma_shutdown(system, ref), 0);
    while (!atomic_load(&refused))
        sched_yield();
    assert_int_equal(soma_system_close(&system), SOMA_ETIMEOUT);
    assert_true(told.child && told.sum);
}

static atomic_uint items;

static int on_item_fail(soma_agent *self, void *state, const struct item *m)
{
    (void)self, (void)state, (void)m;
    return atomic_fetch_add(&items, 1) ? 0 : SOMA_EFORMAT;
}

static const soma_behavior fails_once = {.name = "fails", .handlers = SOMA_HANDLERS(SOMA_ON(item, on_item_fail))};

/* What is kept for an agent until its supervisor has restarted it is handled before the system closes. */
static void test_drain_waits_for_the_down(void **state)
{
    (void)state;
    static const soma_child child = {.name = "fails", .behavior = &fails_once, .mail = true};
    static const soma_supervision spec = {.children = &child, .count = 1, .backoff = 20 * SOMA_MS};
    soma_system *system;
    soma_ref top, ref;
    atomic_store(&items, 0);
    assert_int_equal(soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_OFF}), 0);
    assert_int_equal(soma_spawn(system, &soma_supervisor, &spec, &top), 0);
    assert_int_equal(soma_whereis(system, "fails", &ref), 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(soma_send(system, ref, item), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&items), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_muted),
        cmocka_unit_test(test_drain_late_muted),
        cmocka_unit_test(test_kill_muted),
        cmocka_unit_test(test_sink_goes_on),
        cmocka_unit_test(test_cancel_while_blocking_agents_are_born),
        cmocka_unit_test(test_stop_hooks_go_on),
        cmocka_unit_test(test_close_from_sink),
        cmocka_unit_test(test_close_beside_call),
        cmocka_unit_test(test_close_releases_runners),
        cmocka_unit_test(test_close_from_init),
        cmocka_unit_test(test_drain_lets_agents_spawn),
        cmocka_unit_test(test_cancel_ends_batches),
        cmocka_unit_test(test_trees_end_in_order),
        cmocka_unit_test(test_late_closing_tells),
        cmocka_unit_test(test_late_closing_tells_of_children),
        cmocka_unit_test(test_drain_waits_for_the_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
