/* Message pools across threads: no block is handed out twice, none is lost, and a burst's chains come back. */
#include "runtime/pool.h"
#include "runtime/run_queue.h"
#include "test_support.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define MARK_FREE 0u
#define MARK_USED 0x5eedu
#define MARK_AT 4 /* words into the block: behind the links that a free block holds */

struct pair {
    struct pool_depot depot;
    struct run_ring ring; /* carries blocks here: it only moves pointers */
    uint32_t count;
    uint32_t wrong;
};

static void *consume(void *argument)
{
    struct pair *pair = argument;
    struct pool pool;
    pool_init(&pool, &pair->depot);
    for (uint32_t n = 0; n < pair->count;) {
        uint64_t *block = (void *)run_ring_pop(&pair->ring);
        if (!block) {
            sched_yield();
            continue;
        }
        pair->wrong += block[MARK_AT] != MARK_USED || block[MARK_AT + 1] != n;
        block[MARK_AT] = MARK_FREE;
        pool_give(&pool, 1, block);
        n++;
    }
    return NULL;
}

static void test_blocks_go_round(void **state)
{
    (void)state;
    static struct pair pair;
    pair = (struct pair){.count = test_load(2000000)};
    struct pool pool;
    pthread_t consumer;
    pool_init(&pool, &pair.depot);
    assert_int_equal(pthread_create(&consumer, NULL, consume, &pair), 0);
    for (uint32_t n = 0; n < pair.count; n++) {
        uint64_t *block = pool_take(&pool, 1);
        assert_non_null(block);
        block[MARK_AT] = MARK_USED;
        block[MARK_AT + 1] = n; // handed out twice, it would be overwritten before it is checked
        while (!run_ring_push(&pair.ring, (void *)block))
            sched_yield();
    }
    pthread_join(consumer, NULL);
    assert_int_equal(pair.wrong, 0);
    assert_true(u64_load(&pair.depot.memory[1]) < 1u << 20); // recycled, not made anew
    pool_depot_destroy(&pair.depot);
}

/* After a burst of a million blocks freed by one thread, another gets every one of them back, each once. */
static void test_a_burst_is_reused(void **state)
{
    (void)state;
    uint32_t count = test_load(1000000);
    struct pool_depot depot = {0};
    struct pool from, to;
    pool_init(&from, &depot);
    pool_init(&to, &depot);
    uint64_t **blocks = malloc(count * sizeof(*blocks));
    assert_non_null(blocks);
    for (uint32_t i = 0; i < count; i++)
        assert_non_null(blocks[i] = pool_take(&from, 1));
    for (uint32_t i = 0; i < count; i++)
        pool_give(&to, 1, blocks[i]);
    uint64_t memory = u64_load(&depot.memory[1]);
    uint32_t again = count - count / 8; // some stay in the other pool's own lists
    for (uint32_t i = 0; i < again; i++) {
        assert_non_null(blocks[i] = pool_take(&from, 1));
        blocks[i][MARK_AT] = i;
    }
    for (uint32_t i = 0; i < again; i++)
        assert_int_equal(blocks[i][MARK_AT], i);
    assert_int_equal(u64_load(&depot.memory[1]), memory);
    free(blocks);
    pool_depot_destroy(&depot);
}

static void test_classes(void **state)
{
    (void)state;
    assert_int_equal(pool_class(1), 0);
    assert_int_equal(pool_class(32), 0);
    assert_int_equal(pool_class(33), 1);
    assert_int_equal(pool_class(64), 1);
    assert_int_equal(pool_class(65), 2);
    assert_int_equal(pool_class(96), 2);
    assert_int_equal(pool_class(97), 3);
    assert_int_equal(pool_class(129), 4);
    assert_int_equal(pool_class_size(4), 192);
    assert_int_equal(pool_class_size(pool_class(513)), 640);
    assert_int_equal(pool_class_size(pool_class(1100)), 1280);
    assert_int_equal(pool_class(4096), POOL_CLASSES - 1);
    for (uint8_t class = 0; class < POOL_CLASSES; class ++) {
        assert_int_equal(pool_class(pool_class_size(class)), class);
        assert_int_not_equal(pool_class(pool_class_size(class) + 1), class);
    }
    for (size_t size = 1; size <= POOL_MOST; size++) { // each the least that holds it
        uint8_t class = pool_class(size);
        assert_in_range(size, class ? pool_class_size(class - 1) + 1 : 1, pool_class_size(class));
        assert_true(size <= 256 || pool_class_size(class) * 4 < size * 5);
        assert_true(size <= 128 || pool_class_size(class) % 64 == 0);
    }
    assert_int_equal(pool_class(4097), POOL_HEAP);
}

/* Blocks of every class are whole and apart from each other, over several slabs. */
static void test_blocks_apart(void **state)
{
    (void)state;
    enum { BLOCKS = 5000 };
    for (uint8_t class = 0; class < POOL_CLASSES; class ++) {
        struct pool_depot depot = {0};
        struct pool pool;
        pool_init(&pool, &depot);
        unsigned char *blocks[BLOCKS];
        size_t size = pool_class_size(class);
        for (uint32_t i = 0; i < BLOCKS; i++) {
            blocks[i] = pool_take(&pool, class);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 32, 0);
            memset(blocks[i], (int)(i % 251), size);
        }
        for (uint32_t i = 0; i < BLOCKS; i++)
            for (size_t at = 0; at < size; at += size - 1)
                assert_int_equal(blocks[i][at], i % 251);
        uint64_t held = u64_load(&depot.memory[class]);
        assert_in_range(held, BLOCKS * size, BLOCKS * size * 2 + 65536);
        pool_flush(&pool);
        pool_depot_destroy(&depot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks_go_round), cmocka_unit_test(test_a_burst_is_reused),
                                       cmocka_unit_test(test_classes), cmocka_unit_test(test_blocks_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
