/* Frames as bytes: what was altered on the way is found out. */
#include "bridges/checksum.h"
#include "bridges/frame.h"
#include "test_support.h"
#include <soma/error.h>
#include <string.h>

static void test_checksum(void **state)
{
    (void)state;
    static unsigned char bytes[20000];
    assert_int_equal(checksum_more(0, "123456789", 9), 0xe3069283); // as all the literature has it
    assert_int_equal(checksum_more(checksum_more(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(checksum_more(0, "", 0), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * i * 37 >> 3);
    for (size_t size = 0; size <= 100; size++)
        for (size_t from = 0; from < 9; from++)
            assert_int_equal(checksum_more(0, bytes + from, size), checksum_plain(0, bytes + from, size));
    for (size_t size = 100; size < sizeof(bytes); size += size < 2000 ? 7 : 71) { // folded, and in lanes
        assert_int_equal(checksum_more(7, bytes + size % 5, size - 5), checksum_plain(7, bytes + size % 5, size - 5));
        assert_int_equal(checksum_fast(7, bytes, size), checksum_plain(7, bytes, size));
    }
}

static bool is_whole(const msgpack_sbuffer *frame)
{
    struct reader reader = {(const unsigned char *)frame->data, (const unsigned char *)frame->data + frame->size};
    return frame_unseal(&reader);
}

/* Whichever bit it is, also one of the numbers: a ping that acknowledges too much would lose frames. */
static void test_flipped(void **state)
{
    (void)state;
    static const char items[] = "\x95\x04\x01\x02\x00\xc0";
    msgpack_sbuffer frames[2];
    msgpack_sbuffer_init(&frames[0]);
    msgpack_sbuffer_init(&frames[1]);
    assert_true(data_write(&frames[0], 7, 3, items, sizeof(items)));
    assert_true(ping_write(&frames[1], 12, 12));
    assert_true(frame_seal(&frames[0]) && frame_seal(&frames[1]));
    for (int i = 0; i < 2; i++) {
        msgpack_sbuffer *frame = &frames[i];
        assert_true(is_whole(frame));
        for (size_t bit = 0; bit < 8 * frame->size; bit++) {
            frame->data[bit / 8] = (char)(frame->data[bit / 8] ^ 1 << bit % 8);
            assert_false(is_whole(frame));
            frame->data[bit / 8] = (char)(frame->data[bit / 8] ^ 1 << bit % 8);
        }
        while (frame->size--) // cut off
            assert_false(is_whole(frame));
        msgpack_sbuffer_destroy(frame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
