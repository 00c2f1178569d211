/* CRC-32C; see checksum.h. Bits are reflected: the polynomial is 0x82f63b78. */
#include "bridges/checksum.h"
#include <pthread.h>
#include <string.h>

#define LANE ((size_t)1024) /* bytes that one of three sums at a time takes */

static uint32_t table[256];
static uint32_t lane_table[4][256]; /* what a sum becomes by as many zeros as a lane has, by each of its bytes */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t byte_add(uint32_t sum, unsigned byte)
{
    return sum >> 8 ^ table[(sum ^ byte) & 0xff];
}

static void tables_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? UINT32_C(0x82f63b78) : 0);
        table[i] = sum;
    }
    for (uint32_t place = 0; place < 4; place++) {
        for (uint32_t bit = 1; bit < 256; bit *= 2) { // a sum of sums is the sums' sum, so the bits tell of all
            uint32_t sum = bit << 8 * place;
            for (size_t i = 0; i < LANE; i++)
                sum = byte_add(sum, 0);
            for (uint32_t below = 0; below < bit; below++)
                lane_table[place][bit + below] = sum ^ lane_table[place][below];
        }
    }
}

uint32_t checksum_plain(uint32_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    pthread_once(&tables_once, tables_fill);
    for (sum = ~sum; size; size--)
        sum = byte_add(sum, *at++);
    return ~sum;
}

#ifdef __x86_64__

#include <nmmintrin.h>

/* A sum as it is a lane later. */
static uint64_t lane_shift(uint64_t sum)
{
    return lane_table[0][sum & 0xff] ^ lane_table[1][sum >> 8 & 0xff] ^ lane_table[2][sum >> 16 & 0xff] ^
           lane_table[3][sum >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) static inline uint64_t word_add(uint64_t sum, const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return _mm_crc32_u64(sum, word);
}

/*
 * The instruction takes three cycles, and the next may begin after one: so three sums grow side by side, each over a
 * lane of its own, and are made one at the end. (Intel's idea, and Mark Adler's tables.)
 */
__attribute__((target("sse4.2"))) static uint32_t checksum_fast(uint32_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t first = ~sum;
    pthread_once(&tables_once, tables_fill);
    for (; size >= 3 * LANE; size -= 3 * LANE, at += 3 * LANE) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < LANE; i += sizeof(uint64_t)) {
            first = word_add(first, at + i);
            second = word_add(second, at + LANE + i);
            third = word_add(third, at + 2 * LANE + i);
        }
        first = lane_shift(lane_shift(first) ^ second) ^ third;
    }
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), at += sizeof(uint64_t))
        first = word_add(first, at);
    for (; size; size--)
        first = _mm_crc32_u8((uint32_t)first, *at++);
    return ~(uint32_t)first;
}

uint32_t checksum_more(uint32_t sum, const void *bytes, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? checksum_fast(sum, bytes, size) : checksum_plain(sum, bytes, size);
}

#else

uint32_t checksum_more(uint32_t sum, const void *bytes, size_t size)
{
    return checksum_plain(sum, bytes, size);
}

#endif
