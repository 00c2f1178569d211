/* Every message exactly once and in order per sender, through real mailboxes, with stealing; and churn. */
#include "test_support.h"
#include <pthread.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

#define SENDERS 64u
#define THREADS 4u

SOMA_MESSAGE(number, (u32, sender), (u32, n))
SOMA_MESSAGE(start, (ref, to), (u32, sender), (u32, count))
SOMA_MESSAGE(proceed)
SOMA_MESSAGE(born, (ref, driver))
SOMA_MESSAGE(died)
SOMA_MESSAGE(wave, (u32, waves))

static atomic_uint wrong, arrived;

struct sink {
    uint32_t next[SENDERS + THREADS];
};

static int on_number(soma_agent *self, struct sink *my, const struct number *m)
{
    (void)self;
    if (my->next[m->sender]++ != m->n)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&arrived, 1);
    return 0;
}

static const soma_behavior sink = {
    .name = "sink", .state_size = sizeof(struct sink), .handlers = SOMA_HANDLERS(SOMA_ON(number, on_number))};

struct source {
    struct start job;
    uint32_t sent;
};

static int on_proceed(soma_agent *self, struct source *my, const struct proceed *m)
{
    (void)m;
    for (int burst = 0; burst < 10 && my->sent < my->job.count; burst++)
        if (soma_send(self, my->job.to, number, .sender = my->job.sender, .n = my->sent++))
            return SOMA_EGONE;
    return my->sent < my->job.count ? soma_send(self, soma_self(self), proceed) : 0;
}

static int on_start(soma_agent *self, struct source *my, const struct start *m)
{
    my->job = *m;
    return on_proceed(self, my, NULL);
}

static const soma_behavior source = {.name = "source",
                                     .state_size = sizeof(struct source),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(start, on_start), SOMA_ON(proceed, on_proceed))};

struct outside {
    soma_system *system;
    soma_ref to;
    uint32_t sender, count;
};

static void *outside_send(void *argument)
{
    const struct outside *job = argument;
    for (uint32_t n = 0; n < job->count; n++)
        if (soma_send(job->system, job->to, number, .sender = job->sender, .n = n))
            atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void order_check(uint32_t workers, uint32_t batch)
{
    uint32_t count = test_load(20000);
    soma_system *system;
    soma_ref to, ref;
    atomic_store(&wrong, 0);
    atomic_store(&arrived, 0);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = workers, .batch = batch}), 0);
    assert_int_equal(soma_spawn(system, &sink, NULL, &to), 0);
    for (uint32_t i = 0; i < SENDERS; i++) {
        assert_int_equal(soma_spawn(system, &source, NULL, &ref), 0);
        assert_int_equal(soma_send(system, ref, start, .to = to, .sender = i, .count = count), 0);
    }
    pthread_t threads[THREADS];
    struct outside jobs[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct outside){system, to, SENDERS + i, count};
        assert_int_equal(pthread_create(&threads[i], NULL, outside_send, &jobs[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(arrived, (SENDERS + THREADS) * count);
}

static void test_order_one_worker(void **state)
{
    (void)state;
    order_check(1, 100);
}

static void test_order_two_workers_batch_of_one(void **state)
{
    (void)state;
    order_check(2, 1);
}

static void test_order_more_workers_than_cores(void **state)
{
    (void)state;
    order_check(16, 10);
}

struct driver {
    uint32_t waves, left;
};

static int on_born(soma_agent *self, void *my, const struct born *m)
{
    (void)my;
    soma_agent_exit(self, 0);
    return soma_send(self, m->driver, died);
}

static const soma_behavior mayfly = {
    .name = "mayfly", .state_size = 16, .handlers = SOMA_HANDLERS(SOMA_ON(born, on_born))};

static int wave_start(soma_agent *self, struct driver *my)
{
    my->waves--;
    for (my->left = 0; my->left < 100; my->left++) {
        soma_ref ref;
        int error = soma_spawn(self, &mayfly, NULL, &ref);
        if (!error)
            error = soma_send(self, ref, born, .driver = soma_self(self));
        if (error)
            return error;
    }
    return 0;
}

static int on_died(soma_agent *self, struct driver *my, const struct died *m)
{
    (void)m;
    atomic_fetch_add(&arrived, 1);
    return --my->left == 0 && my->waves ? wave_start(self, my) : 0;
}

static int on_wave(soma_agent *self, struct driver *my, const struct wave *m)
{
    my->waves = m->waves;
    return wave_start(self, my);
}

static const soma_behavior driver = {.name = "driver",
                                     .state_size = sizeof(struct driver),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(wave, on_wave), SOMA_ON(died, on_died))};

/* ---- sends of every kind, in one order ---- */

SOMA_MESSAGE(numbered, (u64, n))
SOMA_MESSAGE(go_on, (ref, to), (u64, from), (u64, end))

static atomic_ullong in_order, out_of_order;

struct mixed {
    uint64_t last;
};

static int on_numbered(soma_agent *self, struct mixed *my, const struct numbered *m)
{
    (void)self;
    atomic_fetch_add(m->n == ++my->last ? &in_order : &out_of_order, 1);
    return 0;
}

static int on_answer(soma_agent *self, struct mixed *my, const struct numbered *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_no_answer(soma_agent *self, struct mixed *my, const int *error)
{
    (void)self, (void)my;
    return *error == SOMA_ENOREPLY ? 0 : *error;
}

static int send_numbered(soma_agent *self, soma_ref to, uint64_t n)
{
    if (n % 11 == 0) {
        const struct soma_then *then = SOMA_THEN(numbered, on_answer, on_no_answer);
        return soma_request(self, to, SOMA_NEVER, then, numbered, .n = n) > 0 ? 0 : SOMA_ENOMEM;
    }
    if (n % 7)
        return soma_send(self, to, numbered, .n = n);
    soma_body *body;
    int error = soma_body_new(&body, numbered, .n = n);
    if (!error)
        error = soma_send_body(self, to, body);
    soma_body_close(&body);
    return error;
}

static int on_go_on(soma_agent *self, struct mixed *my, const struct go_on *m)
{
    (void)my;
    uint64_t n = m->from;
    for (uint32_t i = 0; i < 150 && n <= m->end; i++, n++) {
        int error = send_numbered(self, m->to, n);
        if (error)
            return error;
    }
    return n <= m->end ? soma_send(self, soma_self(self), go_on, .to = m->to, .from = n, .end = m->end) : 0;
}

static const soma_behavior mixed = {.name = "mixed",
                                    .state_size = sizeof(struct mixed),
                                    .handlers =
                                        SOMA_HANDLERS(SOMA_ON(numbered, on_numbered), SOMA_ON(go_on, on_go_on))};

/* Plain sends in bursts, bodies and requests from one agent to another arrive in the order of the calls. */
static void test_order_of_every_kind(void **state)
{
    (void)state;
    uint64_t end = test_load(50000);
    for (uint32_t workers = 1; workers <= 3; workers++) {
        soma_system *system;
        soma_ref from[4], to[4];
        atomic_store(&in_order, 0);
        atomic_store(&out_of_order, 0);
        assert_int_equal(soma_system_open(&system, &(soma_options){.workers = workers}), 0);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(soma_spawn(system, &mixed, NULL, &from[i]), 0);
            assert_int_equal(soma_spawn(system, &mixed, NULL, &to[i]), 0);
        }
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(soma_send(system, from[i], go_on, .to = to[i], .from = 1, .end = end), 0);
        assert_int_equal(soma_system_close(&system), 0);
        assert_int_equal(atomic_load(&in_order), 4 * end);
        assert_int_equal(atomic_load(&out_of_order), 0);
    }
}

/* ---- churn ---- */

/* Waves of each of four drivers: ten million agents in all, a million where the build is slow. */
#ifdef NDEBUG
#define CHURN_WAVES 25000
#else
#define CHURN_WAVES 2500
#endif

/* Millions of agents over the life of one system use few slots and the memory of a few. */
static void test_churn_keeps_memory_flat(void **state)
{
    (void)state;
    uint32_t waves = test_load(CHURN_WAVES);
    soma_system *system;
    soma_ref ref;
    soma_stats stats;
    atomic_store(&arrived, 0);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2, .slots = 65536}), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(soma_spawn(system, &driver, NULL, &ref), 0);
        assert_int_equal(soma_send(system, ref, wave, .waves = waves), 0);
    }
    while (atomic_load(&arrived) < 4 * waves * 100)
        sched_yield();
    assert_int_equal(soma_system_stats(system, &stats), 0);
    assert_int_equal(stats.spawned, 4 + 4ull * waves * 100);
    assert_true(stats.memory < 8u << 20);
    assert_int_equal(soma_system_close(&system), 0);
}

/* Sleep and wake in a row: an outside thread sends one message at a time and waits for it. A lost wake would hang. */
static void test_no_wake_is_lost(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref to;
    atomic_store(&wrong, 0);
    atomic_store(&arrived, 0);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 3}), 0);
    assert_int_equal(soma_spawn(system, &sink, NULL, &to), 0);
    for (uint32_t n = 0; n < test_load(20000); n++) {
        assert_int_equal(soma_send(system, to, number, .sender = 0, .n = n), 0);
        for (uint32_t spins = n % 97 * 20; spins; spins--) // at every phase of falling asleep
            atomic_load(&wrong);
        while (atomic_load(&arrived) <= n)
            sched_yield();
    }
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(wrong, 0);
}

/* Cancel at any moment of a load neither hangs nor leaks; the sanitizer builds see to the latter. */
static void test_cancel_under_load(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < test_load(100); round++) {
        soma_system *system;
        soma_ref ref, to;
        assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1 + round % 4}), 0);
        assert_int_equal(soma_spawn(system, &sink, NULL, &to), 0);
        for (uint32_t i = 0; i < SENDERS; i++) {
            assert_int_equal(soma_spawn(system, &source, NULL, &ref), 0);
            assert_int_equal(soma_send(system, ref, start, .to = to, .sender = i, .count = 1000), 0);
        }
        assert_int_equal(soma_system_cancel(&system), 0);
        assert_null(system);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_one_worker),
                                       cmocka_unit_test(test_order_two_workers_batch_of_one),
                                       cmocka_unit_test(test_order_more_workers_than_cores),
                                       cmocka_unit_test(test_order_of_every_kind),
                                       cmocka_unit_test(test_churn_keeps_memory_flat),
                                       cmocka_unit_test(test_no_wake_is_lost),
                                       cmocka_unit_test(test_cancel_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
