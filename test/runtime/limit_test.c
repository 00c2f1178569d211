/* Bounded mail: each policy, what is never turned away, threads outside that wait, and requests that wait in a circle.
 */
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "runtime/outside.h"
#include "runtime/tally.h"
#include "test_support.h"
#include <pthread.h>
#include <sched.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

SOMA_MESSAGE(num, (u32, n))
SOMA_MESSAGE(blob, (u32, n), (bytes, data))
SOMA_MESSAGE(go, (ref, to))
SOMA_MESSAGE(answer)
SOMA_MESSAGE(die)

/* ---- a system in one thread: mail waits until the test lets it be handled ---- */

static soma_agent *waiting[64];
static uint32_t waiting_count;
static uint64_t now_ns = 1;

static uint64_t virtual_now(void *context)
{
    (void)context;
    return now_ns;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    (void)context, (void)system;
    assert_true(waiting_count < 64);
    waiting[waiting_count++] = agent;
}

static void run_all(soma_system *system)
{
    for (uint32_t i = 0; i < waiting_count; i++)
        agent_turn(&system->workers[0], waiting[i], 100);
    waiting_count = 0;
}

static soma_system *open_driven(void)
{
    soma_system *system;
    const struct driver driver = {.now = virtual_now, .date = virtual_now, .random = virtual_now, .runnable = runnable};
    waiting_count = 0;
    assert_int_equal(system_open_driven(&system, &(soma_options){.log_level = SOMA_LOG_OFF}, &driver), 0);
    return system;
}

static char got[64]; /* the numbers, as digits */

static int on_num(soma_agent *self, void *state, const struct num *m)
{
    (void)self, (void)state;
    size_t length = strlen(got);
    assert_true(length + 1 < sizeof(got));
    got[length] = (char)('0' + m->n);
    got[length + 1] = 0;
    soma_reply(self, answer); // if it was asked
    return 0;
}

static int on_blob(soma_agent *self, void *state, const struct blob *m)
{
    return on_num(self, state, &(struct num){m->n});
}

static int on_down(soma_agent *self, void *state, const struct soma_down *m)
{
    (void)m;
    return on_num(self, state, &(struct num){'d' - '0'});
}

static int on_go_watch(soma_agent *self, void *state, const struct go *m)
{
    (void)state;
    return soma_monitor(self, m->to) > 0 ? 0 : SOMA_ENOMEM;
}

static int on_die(soma_agent *self, void *state, const struct die *m)
{
    (void)state, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

#define HANDLERS                                                                                                       \
    SOMA_HANDLERS(SOMA_ON(num, on_num), SOMA_ON(blob, on_blob), SOMA_ON(soma_down, on_down), SOMA_ON(go, on_go_watch), \
                  SOMA_ON(die, on_die))

static const soma_behavior rejects = {.name = "rejects", .limit = {.messages = 3}, .handlers = HANDLERS};
static const soma_behavior newest = {
    .name = "newest", .limit = {.messages = 3, .policy = SOMA_DROP_NEWEST}, .handlers = HANDLERS};
static const soma_behavior oldest = {
    .name = "oldest", .limit = {.messages = 3, .policy = SOMA_DROP_OLDEST}, .handlers = HANDLERS};
static const soma_behavior bytes = {.name = "bytes", .limit = {.bytes = 4096}, .handlers = HANDLERS};
static const soma_behavior free_one = {.name = "free", .handlers = HANDLERS};

static void test_policies(void **state)
{
    (void)state;
    static const struct {
        const soma_behavior *behavior;
        int fourth;
        const char *got;
        uint64_t rejected, dropped;
    } cases[] = {{&rejects, SOMA_EAGAIN, "123", 5, 0},
                 {&newest, 0, "123", 0, 5},
                 {&oldest, 0, "456", 0, 5}, // 7 and 8 are over twice the limit
                 {&free_one, 0, "12345678", 0, 0}};
    for (uint32_t i = 0; i < 4; i++) {
        soma_system *system = open_driven();
        soma_ref ref;
        soma_stats stats;
        assert_int_equal(soma_spawn(system, cases[i].behavior, NULL, &ref), 0);
        for (uint32_t round = 0; round < 3; round++) { // what has left makes room
            got[0] = 0;
            for (uint32_t n = 1; n <= 8; n++)
                assert_int_equal(soma_send(system, ref, num, .n = n), n <= 3 ? 0 : cases[i].fourth);
            run_all(system);
            assert_string_equal(got, cases[i].got);
        }
        assert_int_equal(soma_system_stats(system, &stats), 0);
        assert_int_equal(stats.rejected, 3 * cases[i].rejected);
        assert_int_equal(stats.dropped, 3 * cases[i].dropped);
        assert_int_equal(stats.dead_letters, stats.dropped);
        assert_int_equal(soma_system_close(&system), 0);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    static const uint8_t data[8000];
    soma_system *system = open_driven();
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &bytes, NULL, &ref), 0);
    got[0] = 0;
    assert_int_equal(soma_send(system, ref, blob, .n = 1, .data = {data, 8000}), 0); // one always fits
    assert_int_equal(soma_send(system, ref, num, .n = 2), SOMA_EAGAIN);
    run_all(system);
    assert_int_equal(soma_send(system, ref, blob, .n = 3, .data = {data, 2000}), 0);
    assert_int_equal(soma_send(system, ref, blob, .n = 4, .data = {data, 1500}), 0);
    assert_int_equal(soma_send(system, ref, blob, .n = 5, .data = {data, 1500}), SOMA_EAGAIN);
    assert_int_equal(soma_send(system, ref, num, .n = 6), 0);
    run_all(system);
    assert_string_equal(got, "1346");
    assert_int_equal(u64_load(&tally_of(&system->slots, ref.slot)->bytes), 0);
    assert_int_equal(u32_load(&tally_of(&system->slots, ref.slot)->mail), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- what a limit never turns away, and what becomes of requests ---- */

static int answers, errors, last_error;

static int on_answer(soma_agent *self, void *state, const struct answer *m)
{
    (void)self, (void)state, (void)m;
    answers++;
    return 0;
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    errors++;
    last_error = *error;
    return 0;
}

static int on_go_ask(soma_agent *self, void *state, const struct go *m)
{
    (void)state;
    for (uint32_t n = 1; n <= 5; n++)
        soma_request(self, m->to, SOMA_SECOND, SOMA_THEN(answer, on_answer, on_error), num, .n = n);
    return 0;
}

static const soma_behavior asker = {
    .name = "asker", .limit = {.messages = 1}, .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go_ask))};

static int post_nothing(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)state, (void)arg;
    return 0;
}

/* A body counts as a message of its size would. */
static void test_bytes_of_bodies(void **state)
{
    (void)state;
    static const uint8_t data[3000];
    soma_system *system = open_driven();
    soma_ref ref;
    soma_body *body;
    assert_int_equal(soma_spawn(system, &bytes, NULL, &ref), 0);
    assert_int_equal(soma_body_new(&body, blob, .n = 1, .data = {data, sizeof(data)}), 0);
    for (uint32_t round = 0; round < 3; round++) {
        got[0] = 0;
        assert_int_equal(soma_send_body(system, ref, body), 0);
        assert_int_equal(soma_send_body(system, ref, body), SOMA_EAGAIN);
        run_all(system);
        assert_string_equal(got, "1");
    }
    soma_body_close(&body);
    assert_int_equal(u64_load(&tally_of(&system->slots, ref.slot)->bytes), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_requests_and_signals(void **state)
{
    (void)state;
    uint32_t mail;
    soma_system *system = open_driven();
    soma_ref ref, ask, victim;
    got[0] = 0;
    answers = errors = 0;
    assert_int_equal(soma_spawn(system, &rejects, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &asker, NULL, &ask), 0);
    assert_int_equal(soma_send(system, ask, go, .to = ref), 0);
    run_all(system);
    assert_int_equal(answers, 3); // they all come, whatever the asker's own limit
    assert_int_equal(errors, 2);
    assert_int_equal(last_error, SOMA_EAGAIN);
    assert_int_equal(soma_spawn(system, &free_one, NULL, &victim), 0);
    assert_int_equal(soma_send(system, ref, go, .to = victim), 0);
    run_all(system);
    assert_int_equal(soma_kill(system, victim), 0);
    got[0] = 0;
    for (uint32_t n = 1; n <= 3; n++)
        assert_int_equal(soma_send(system, ref, num, .n = n), 0);
    assert_int_equal(soma_send(system, ref, num, .n = 4), SOMA_EAGAIN);
    assert_int_equal(soma_post(system, ref, post_nothing, NULL, NULL), 0); // counts no more than word of an end does
    assert_int_equal(soma_backlog(system, ref, &mail), 0);
    assert_int_equal(mail, 3);
    run_all(system);
    assert_int_equal(strlen(got), 4); // three numbers, and word of the end
    assert_non_null(strchr(got, 'd'));
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_backlog(void **state)
{
    (void)state;
    soma_system *system = open_driven();
    soma_ref ref;
    uint32_t mail;
    assert_int_equal(soma_spawn(system, &free_one, NULL, &ref), 0);
    soma_send(system, ref, num, .n = 1);
    assert_int_equal(soma_backlog(system, ref, &mail), 0);
    assert_int_equal(mail, 0); // counting begins here
    soma_send(system, ref, num, .n = 2);
    soma_send(system, ref, die);
    soma_send(system, ref, num, .n = 3);
    assert_int_equal(soma_backlog(system, ref, &mail), 0);
    assert_int_equal(mail, 3);
    run_all(system);
    assert_int_equal(soma_backlog(system, ref, &mail), SOMA_EGONE);
    assert_int_equal(u32_load(&tally_of(&system->slots, ref.slot)->mail), 0);
    assert_int_equal(soma_spawn(system, &free_one, NULL, &ref), 0); // in the same slot, and not counted
    assert_int_equal(u64_load(&system->slots.base[ref.slot].life), life_of(ref.generation));
    assert_int_equal(soma_backlog(system, SOMA_REF_NULL, &mail), SOMA_EGONE);
    assert_int_equal(soma_backlog(NULL, ref, &mail), SOMA_EINVAL);
    assert_int_equal(soma_backlog(system, ref, NULL), SOMA_EINVAL);
    assert_int_equal(soma_system_close(&system), 0);
}

/* ---- a circle of requests ---- */

struct circle {
    soma_ref next;
    soma_handle promise;
};

static int on_asked(soma_agent *self, struct circle *my, const struct num *m)
{
    my->promise = soma_reply_later(self);
    return m->n ? (int)soma_request(self, my->next, SOMA_SECOND, SOMA_THEN(answer, on_answer, on_error), num,
                                    .n = m->n - 1)
                : 0;
}

static int on_go_circle(soma_agent *self, struct circle *my, const struct go *m)
{
    (void)self;
    my->next = m->to;
    return 0;
}

static int on_die_ask(soma_agent *self, struct circle *my, const struct die *m)
{
    (void)m;
    return (int)soma_request(self, my->next, SOMA_SECOND / 2, SOMA_THEN(answer, on_answer, on_error), num, .n = 10);
}

static const soma_behavior in_circle = {
    .name = "in circle",
    .state_size = sizeof(struct circle),
    .handlers = SOMA_HANDLERS(SOMA_ON(num, on_asked), SOMA_ON(go, on_go_circle), SOMA_ON(die, on_die_ask))};

static void test_circles(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 4; size++) {
        soma_system *system = open_driven();
        soma_ref refs[4], stranger;
        errors = 0;
        for (uint32_t i = 0; i < size; i++)
            assert_int_equal(soma_spawn(system, &in_circle, NULL, &refs[i]), 0);
        assert_int_equal(soma_spawn(system, &in_circle, NULL, &stranger), 0);
        for (uint32_t i = 0; i < size; i++)
            soma_send(system, refs[i], go, .to = refs[(i + 1) % size]);
        soma_send(system, stranger, go, .to = refs[0]);
        run_all(system);
        soma_send(system, refs[0], die);
        run_all(system);
        now_ns += SOMA_SECOND / 2 + SOMA_MS; // the first who asked is the first who is tired of it
        clock_fire(system, now_ns);
        run_all(system);
        assert_int_equal(errors, 1);
        assert_int_equal(last_error, SOMA_EDEADLOCK);
        assert_int_equal(soma_system_cancel(&system), 0);
        system = open_driven(); // one who waits for others in a circle is in none
        errors = 0;
        assert_int_equal(soma_spawn(system, &in_circle, NULL, &refs[0]), 0);
        assert_int_equal(soma_spawn(system, &in_circle, NULL, &refs[1]), 0);
        soma_send(system, refs[0], go, .to = refs[1]);
        run_all(system);
        soma_send(system, refs[0], die);
        run_all(system);
        now_ns += SOMA_SECOND / 2 + SOMA_MS;
        clock_fire(system, now_ns);
        run_all(system);
        assert_int_equal(errors, 2); // whom it asked has nobody to ask
        assert_int_equal(last_error, SOMA_ETIMEOUT);
        assert_int_equal(soma_system_cancel(&system), 0);
    }
}

struct pair {
    soma_ref next, other;
};

static int pair_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct pair *)state = *(const struct pair *)arg;
    return 0;
}

static int on_go_pair(soma_agent *self, struct pair *my, const struct go *m)
{
    soma_request(self, m->to, 2 * SOMA_SECOND, SOMA_THEN(answer, on_answer, on_error), num, .n = 1);
    return (int)soma_request(self, my->other, 2 * SOMA_SECOND, SOMA_THEN(answer, on_answer, on_error), num, .n = 1);
}

static int on_asked_keep(soma_agent *self, struct pair *my, const struct num *m)
{
    (void)my, (void)m;
    return soma_reply_later(self) > 0 ? 0 : SOMA_ENOMEM;
}

static const soma_behavior asks_two = {.name = "asks two",
                                       .state_size = sizeof(struct pair),
                                       .init = pair_init,
                                       .handlers = SOMA_HANDLERS(SOMA_ON(num, on_asked_keep), SOMA_ON(go, on_go_pair))};

/* One in the circle has asked somebody else since, and has had that answer. */
static void test_circle_beside_an_answer(void **state)
{
    (void)state;
    soma_system *system = open_driven();
    struct pair pair = {0};
    soma_ref first, second;
    answers = errors = 0;
    got[0] = 0;
    assert_int_equal(soma_spawn(system, &free_one, NULL, &pair.other), 0);
    assert_int_equal(soma_spawn(system, &asks_two, &pair, &first), 0);
    assert_int_equal(soma_spawn(system, &in_circle, NULL, &second), 0);
    soma_send(system, second, go, .to = first);
    soma_send(system, first, go, .to = second);
    run_all(system);
    assert_int_equal(answers, 1);
    now_ns += SOMA_SECOND + SOMA_MS; // whom the first asked is tired of it before the first is
    clock_fire(system, now_ns);
    run_all(system);
    assert_int_equal(errors, 1);
    assert_int_equal(last_error, SOMA_EDEADLOCK);
    assert_int_equal(soma_system_cancel(&system), 0);
}

/* ---- threads outside ---- */

static atomic_bool gate_open;
static atomic_uint handled;

static int on_num_slow(soma_agent *self, void *state, const struct num *m)
{
    (void)self, (void)state, (void)m;
    while (!atomic_load(&gate_open))
        sched_yield();
    atomic_fetch_add(&handled, 1);
    return 0;
}

static const soma_behavior slow = {.name = "slow", .handlers = SOMA_HANDLERS(SOMA_ON(num, on_num_slow))};

struct feeder {
    soma_system *system;
    soma_ref to;
    uint32_t count;
    atomic_uint sent;
};

static void *feeder_main(void *argument)
{
    struct feeder *feeder = argument;
    for (uint32_t i = 0; i < feeder->count; i++) {
        assert_int_equal(soma_send(feeder->system, feeder->to, num, .n = i), 0);
        atomic_fetch_add(&feeder->sent, 1);
    }
    return NULL;
}

/* One that never ends its batch: who floods it from outside comes to a halt all the same, and nothing is lost. */
static void test_outside_waits(void **state)
{
    (void)state;
    struct feeder feeder = {.count = 200000};
    pthread_t thread;
    atomic_store(&gate_open, false);
    atomic_store(&handled, 0);
    assert_int_equal(soma_system_open(&feeder.system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(feeder.system, &slow, NULL, &feeder.to), 0);
    assert_int_equal(pthread_create(&thread, NULL, feeder_main, &feeder), 0);
    while (!u32_load(&feeder.system->outside_waiters))
        sched_yield();
    assert_true(atomic_load(&feeder.sent) < 100000); // four megabytes of them
    assert_int_equal(soma_try_send(feeder.system, feeder.to, num, .n = 1), SOMA_EAGAIN);
    atomic_store(&gate_open, true);
    pthread_join(thread, NULL);
    assert_int_equal(soma_system_close(&feeder.system), 0);
    assert_int_equal(atomic_load(&handled), feeder.count);
}

/* While much waits for one, what is not sent to another must not leave that one marked: it has nothing to catch up
 * with.
 */
static void test_outside_not_sent(void **state)
{
    (void)state;
    struct feeder feeder = {.count = 200000};
    soma_ref other;
    pthread_t thread;
    atomic_store(&gate_open, false);
    atomic_store(&handled, 0);
    assert_int_equal(soma_system_open(&feeder.system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(feeder.system, &slow, NULL, &feeder.to), 0);
    assert_int_equal(soma_spawn(feeder.system, &slow, NULL, &other), 0);
    assert_int_equal(pthread_create(&thread, NULL, feeder_main, &feeder), 0);
    while (!u32_load(&feeder.system->outside_waiters))
        sched_yield();
    assert_int_equal(soma_send(feeder.system, other, blob, .data = {NULL, 1}), SOMA_EINVAL);
    assert_int_equal(soma_try_send(feeder.system, other, num, .n = 1), 0);
    assert_int_equal(soma_try_send(feeder.system, other, num, .n = 1), SOMA_EAGAIN); // now it has
    atomic_store(&gate_open, true);
    pthread_join(thread, NULL);
    assert_int_equal(soma_system_close(&feeder.system), 0);
    assert_int_equal(atomic_load(&handled), feeder.count + 1);
}

/* Several at a time, against one that is now overloaded and now not. */
static void test_outside_many(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref to;
    struct feeder feeders[4];
    pthread_t threads[4];
    atomic_store(&gate_open, true);
    atomic_store(&handled, 0);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 2, .batch = 10}), 0);
    assert_int_equal(soma_spawn(system, &slow, NULL, &to), 0);
    for (uint32_t i = 0; i < 4; i++) {
        feeders[i] = (struct feeder){.system = system, .to = to, .count = test_load(50000)};
        assert_int_equal(pthread_create(&threads[i], NULL, feeder_main, &feeders[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&handled), 4 * test_load(50000));
}

/* A mark that no push followed would never go: the next to send from outside would wait for ever. */
static void test_outside_failed_send(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref to;
    atomic_store(&gate_open, true);
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &slow, NULL, &to), 0);
    u32_store(&system->outside_many, 1);
    assert_int_equal(soma_send(system, to, blob, .data = {NULL, 1}), SOMA_EINVAL);
    assert_int_equal(soma_try_send(system, to, num, .n = 1), 0);
    assert_int_equal(soma_system_close(&system), 0);
}

static atomic_int crossed; /* what the send to the other system gave; 1 before */

static int on_num_cross(soma_agent *self, const struct feeder *my, const struct num *m)
{
    (void)self;
    atomic_store(&crossed, soma_send(my->system, my->to, num, .n = m->n));
    return 0;
}

static int cross_init(soma_agent *self, void *state, const void *other)
{
    (void)self;
    struct feeder *my = state;
    my->system = ((const struct feeder *)other)->system;
    my->to = ((const struct feeder *)other)->to;
    return 0;
}

static const soma_behavior cross = {.name = "cross",
                                    .state_size = sizeof(struct feeder),
                                    .init = cross_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(num, on_num_cross))};

/* A handler waits for no agent of another system either: that one might wait for an agent of this. */
static void test_handler_of_another_system(void **state)
{
    (void)state;
    struct feeder feeder = {.count = 200000};
    soma_system *system;
    soma_ref from;
    pthread_t thread;
    atomic_store(&gate_open, false);
    atomic_store(&handled, 0);
    atomic_store(&crossed, 1);
    assert_int_equal(soma_system_open(&feeder.system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(feeder.system, &slow, NULL, &feeder.to), 0);
    assert_int_equal(pthread_create(&thread, NULL, feeder_main, &feeder), 0);
    while (!u32_load(&feeder.system->outside_waiters))
        sched_yield();
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1}), 0);
    assert_int_equal(soma_spawn(system, &cross, &feeder, &from), 0);
    assert_int_equal(soma_send(system, from, num, .n = 1), 0);
    assert_int_equal(soma_system_close(&system), 0); // waits for the handler, as the other system's gate is shut
    assert_int_equal(atomic_load(&crossed), 0);
    atomic_store(&gate_open, true);
    pthread_join(thread, NULL);
    assert_int_equal(soma_system_close(&feeder.system), 0);
    assert_int_equal(atomic_load(&handled), feeder.count + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_of_bodies),
        cmocka_unit_test(test_requests_and_signals),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_circles),
        cmocka_unit_test(test_circle_beside_an_answer),
        cmocka_unit_test(test_outside_waits),
        cmocka_unit_test(test_outside_not_sent),
        cmocka_unit_test(test_outside_many),
        cmocka_unit_test(test_outside_failed_send),
        cmocka_unit_test(test_handler_of_another_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
