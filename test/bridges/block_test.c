/* A frame's bytes, made whole where its items are: the same as a copy, by one holder at a time, and free after the
 * last. */
#include "bridges/block.h"
#include "test_support.h"
#include <stdlib.h>
#include <string.h>

#define SIZE ((size_t)20000)

static struct pieces pieces_of(msgpack_sbuffer *head, struct frame_block *block, uint64_t number, size_t size)
{
    msgpack_sbuffer_clear(head);
    assert_true(packed_write(head, number, UINT64_MAX, COMPRESS_MOST, NULL, 0)); // the longest that there is
    struct pieces frame = frame_pieces(head, block->items, size);
    frame.block = block;
    return frame;
}

static struct frame_block *block_new(size_t size)
{
    msgpack_sbuffer items;
    assert_true(block_begin(&items, NULL, BLOCK_AHEAD + size + CHECKSUM_SIZE));
    assert_int_equal(block_size(&items), 0);
    for (size_t i = 0; i < size; i++)
        items.data[items.size++] = (char)(i * i >> 3);
    assert_int_equal(block_size(&items), size);
    return block_of(&items);
}

static void assert_whole(const char *whole, const struct pieces *frame)
{
    char *copy = malloc(pieces_size(frame));
    assert_non_null(copy);
    pieces_join(frame, copy);
    assert_non_null(whole);
    assert_memory_equal(whole, copy, pieces_size(frame));
    free(copy);
}

static void test_join(void **state)
{
    (void)state;
    msgpack_sbuffer head;
    msgpack_sbuffer_init(&head);
    struct frame_block *block = block_new(SIZE);
    struct pieces frame = pieces_of(&head, block, UINT64_MAX, SIZE);
    assert_whole(block_join(&frame), &frame);
    frame = pieces_of(&head, block, 1, SIZE); // again, with a shorter beginning, while the first may be read
    assert_null(block_join(&frame));
    assert_false(block_let_go(block));
    assert_whole(block_join(&frame), &frame);
    assert_false(block_let_go(block));
    assert_true(block_let_go(block));
    free(block);
    msgpack_sbuffer_destroy(&head);
}

/* What has no room round it, or is small, is copied. */
static void test_copy(void **state)
{
    (void)state;
    msgpack_sbuffer head;
    msgpack_sbuffer_init(&head);
    struct frame_block *block = block_new(SIZE);
    struct pieces frame = pieces_of(&head, block, 1, 100);
    assert_null(block_join(&frame));
    frame = pieces_of(&head, block, 1, SIZE);
    frame.block = NULL;
    assert_null(block_join(&frame));
    assert_true(block_let_go(block));
    free(block);
    msgpack_sbuffer_destroy(&head);
}

/* One that nobody holds any more is filled anew. */
static void test_again(void **state)
{
    (void)state;
    msgpack_sbuffer items;
    struct frame_block *block = block_new(SIZE);
    assert_true(block_let_go(block));
    assert_true(block_begin(&items, block, BLOCK_AHEAD + SIZE + CHECKSUM_SIZE));
    assert_int_equal(block_size(&items), 0);
    assert_int_equal(msgpack_sbuffer_write(&items, "text", 4), 0);
    assert_ptr_equal(block_of(&items), block);
    assert_memory_equal(block->items, "text", 4);
    assert_true(block_let_go(block));
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
