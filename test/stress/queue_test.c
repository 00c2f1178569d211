/* The scheduler's queues and the mailbox, each alone, between several threads: everything exactly once, in order. */
#include "runtime/mailbox.h"
#include "runtime/run_queue.h"
#include "runtime/slot.h"
#include "test_support.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 3u

/* What all tests look at: how often each item came out, and what else went wrong. */
static atomic_uchar *seen;
static atomic_uint taken, wrong, producing;

static void items_begin(uint32_t count)
{
    seen = calloc(count, sizeof(*seen));
    assert_non_null(seen);
    atomic_store(&taken, 0);
    atomic_store(&wrong, 0);
    atomic_store(&producing, THREADS);
}

static void item_taken(uint32_t item)
{
    atomic_fetch_add(&wrong, atomic_fetch_add(&seen[item], 1) != 0);
    atomic_fetch_add(&taken, 1);
}

static void items_end(uint32_t count)
{
    assert_int_equal(atomic_load(&taken), count);
    assert_int_equal(atomic_load(&wrong), 0);
    free(seen);
}

/* Runs some threads of each of two kinds; their argument is their index. */
static void threads_run(void *(*first)(void *), uint32_t firsts, void *(*second)(void *), uint32_t seconds)
{
    pthread_t threads[2 * THREADS];
    uint32_t count = 0;
    for (uintptr_t i = 0; i < firsts; i++)
        assert_int_equal(pthread_create(&threads[count++], NULL, first, (void *)i), 0);
    for (uintptr_t i = 0; i < seconds; i++)
        assert_int_equal(pthread_create(&threads[count++], NULL, second, (void *)i), 0);
    while (count)
        pthread_join(threads[--count], NULL);
}

/* ---- the ring: its owner and thieves ---- */

static struct run_ring ring;
static uint32_t ring_items;

/* Items are numbers + 1: nobody follows the pointers. */
static soma_agent *ring_item(uint32_t n)
{
    return (soma_agent *)(uintptr_t)(n + 1);
}

static uint32_t ring_number(const soma_agent *item)
{
    return (uint32_t)((uintptr_t)item - 1);
}

static void *ring_own(void *argument)
{
    (void)argument;
    soma_agent *item;
    for (uint32_t n = 0; n < ring_items; n++) {
        while (!run_ring_push(&ring, ring_item(n)))
            if ((item = run_ring_pop(&ring)))
                item_taken(ring_number(item));
        if (n % 3 == 0 && (item = run_ring_pop(&ring)))
            item_taken(ring_number(item));
    }
    while ((item = run_ring_pop(&ring)))
        item_taken(ring_number(item));
    atomic_store(&producing, 0);
    return NULL;
}

static void *ring_steal(void *argument)
{
    const uint32_t least = argument ? 1 : 16;
    while (atomic_load(&producing)) {
        soma_agent *some[RUN_RING_SIZE / 2];
        uint32_t count = run_ring_take_half(&ring, least, some);
        for (uint32_t i = 0; i < count; i++) {
            item_taken(ring_number(some[i]));
            atomic_fetch_add(&wrong, i && some[i - 1] >= some[i]); // oldest first
        }
        if (!count)
            sched_yield();
    }
    return NULL;
}

static void test_ring(void **state)
{
    (void)state;
    ring = (struct run_ring){0};
    ring_items = test_load(1000000);
    items_begin(ring_items);
    threads_run(ring_own, 1, ring_steal, THREADS);
    items_end(ring_items);
}

/* ---- the inbox, and the chunks of what overflowed: many on both sides ---- */

static struct run_inbox inbox;
static struct run_overflow overflow;
static soma_agent *agents; /* `state_size` is the number; each producer has a range of them */
static uint32_t each;

static void *inbox_produce(void *argument)
{
    uint32_t first = (uint32_t)(uintptr_t)argument * each;
    for (uint32_t n = first; n < first + each; n++) {
        agents[n].state_size = n;
        run_inbox_push(&inbox, &agents[n]);
    }
    atomic_fetch_sub(&producing, 1);
    return NULL;
}

/* Of one producer whatever comes later to the same consumer was put in later. */
static void order_check(uint32_t last[THREADS], uint32_t n)
{
    atomic_fetch_add(&wrong, n + 1 <= last[n / each]);
    last[n / each] = n + 1;
    item_taken(n);
}

static void *inbox_consume(void *argument)
{
    (void)argument;
    uint32_t last[THREADS] = {0};
    while (atomic_load(&producing) || !run_inbox_empty(&inbox)) {
        soma_agent *agent = run_inbox_take(&inbox, 64);
        if (!agent)
            sched_yield();
        for (; agent; agent = agent->run_next)
            order_check(last, agent->state_size);
    }
    return NULL;
}

static void test_inbox(void **state)
{
    (void)state;
    each = test_load(200000);
    inbox = (struct run_inbox){0};
    agents = calloc(THREADS * each, sizeof(*agents));
    assert_non_null(agents);
    items_begin(THREADS * each);
    threads_run(inbox_produce, THREADS, inbox_consume, THREADS);
    items_end(THREADS * each);
    free(agents);
}

static void *overflow_produce(void *argument)
{
    uint32_t first = (uint32_t)(uintptr_t)argument * each;
    for (uint32_t n = first; n < first + each; n++) {
        struct run_chunk *chunk = malloc(sizeof(*chunk));
        assert_non_null(chunk);
        chunk->count = n;
        run_overflow_push(&overflow, chunk);
    }
    atomic_fetch_sub(&producing, 1);
    return NULL;
}

static void *overflow_consume(void *argument)
{
    (void)argument;
    uint32_t last[THREADS] = {0};
    while (atomic_load(&producing) || !run_overflow_empty(&overflow)) {
        struct run_chunk *chunk = run_overflow_pop(&overflow);
        if (!chunk) {
            sched_yield();
            continue;
        }
        order_check(last, chunk->count);
        free(chunk);
    }
    return NULL;
}

static void test_overflow(void **state)
{
    (void)state;
    each = test_load(50000);
    overflow = (struct run_overflow){0};
    items_begin(THREADS * each);
    threads_run(overflow_produce, THREADS, overflow_consume, THREADS);
    items_end(THREADS * each);
}

/* ---- the mailbox: whoever is told to schedule the agent runs it, and nobody else does ---- */

#define FRONT UINT32_MAX /* the sender of what is put before all others */

static struct mailbox box;
static atomic_uint inside, fronts;
static uint32_t box_last[THREADS]; /* the consumer's, which is one at a time */
static bool box_first;             /* is the next message the first of a turn? */

static struct message *mail_new(uint32_t sender, uint32_t n)
{
    struct message *message = malloc(sizeof(*message) + sizeof(uint64_t));
    assert_non_null(message);
    message->generation = sender;
    message->body[0] = n;
    return message;
}

static void mail_handle(const struct message *message)
{
    atomic_fetch_add(&wrong, atomic_fetch_add(&inside, 1) != 0);
    if (message->generation == FRONT) {
        atomic_fetch_add(&wrong, !box_first);
        atomic_fetch_add(&fronts, 1);
    } else {
        order_check(box_last, (uint32_t)message->body[0]);
    }
    box_first = false;
    atomic_fetch_sub(&inside, 1);
}

/* Ends with the agent idle, and its tail clear for box_hold(), or held as that of a muted one; then true if mail came
 * meanwhile, so there is another. */
static bool box_turn(bool holds)
{
    box_first = true;
    for (struct message *message = mailbox_first(&box), *next; message; message = next) {
        mail_handle(message);
        next = holds ? mailbox_next_or_hold(&box, message) : mailbox_next_to_hold(&box, message);
        free(message);
    }
    return holds && mailbox_unhold(&box);
}

static void box_run(uint32_t chance)
{
    while (box_turn(chance++ % 2))
        ;
}

static void *box_send(void *argument)
{
    uint32_t sender = (uint32_t)(uintptr_t)argument;
    for (uint32_t n = 0; n < each; n++)
        if (mailbox_push(&box, mail_new(sender, sender * each + n)))
            box_run(n);
    atomic_fetch_sub(&producing, 1);
    return NULL;
}

/* As a spawner does: takes the agent while it is idle, puts something before all mail, and gives it back. */
static void *box_hold(void *argument)
{
    (void)argument;
    uint32_t put = 0;
    while (atomic_load(&producing)) {
        if (!mailbox_hold(&box)) {
            sched_yield();
            continue;
        }
        if (put++ % 2)
            mailbox_push_front(&box, mail_new(FRONT, 0));
        else
            atomic_fetch_add(&fronts, 1); // nothing this time
        if (mailbox_unhold(&box))
            box_run(put);
    }
    atomic_fetch_sub(&fronts, put);
    return NULL;
}

static void test_mailbox(void **state)
{
    (void)state;
    each = test_load(300000);
    box = (struct mailbox){0};
    ptr_store(&box.head, MAIL_IDLE);
    for (uint32_t i = 0; i < THREADS; i++)
        box_last[i] = 0;
    atomic_store(&fronts, 0);
    items_begin(THREADS * each);
    threads_run(box_send, THREADS, box_hold, 1);
    items_end(THREADS * each);
    assert_int_equal(atomic_load(&fronts), 0);
    assert_ptr_equal(ptr_load(&box.head), MAIL_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ring), cmocka_unit_test(test_inbox),
                                       cmocka_unit_test(test_overflow), cmocka_unit_test(test_mailbox)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
