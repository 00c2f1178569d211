/* CRC-32C; see checksum.h. Bits are reflected. */
#include "bridges/checksum.h"
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78)
#define LANE ((size_t)1024) /* bytes that one of three sums at a time takes */
#define FOLD ((size_t)256)  /* bytes that are folded at a time, in four registers */

static uint32_t table[256];
static uint32_t lane_table[4][256]; /* what a sum becomes by as many zeros as a lane has, by each of its bytes */
static uint64_t fold_far[2];        /* what moves a first word of two, and a second, by a FOLD of bytes */
static uint64_t fold_near[2];       /* and by a register */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t byte_add(uint32_t sum, unsigned byte)
{
    return sum >> 8 ^ table[(sum ^ byte) & 0xff];
}

/* What a bit is so many bits later, one higher for the product of two reflected ones. */
static uint64_t power(size_t bits)
{
    uint32_t sum = UINT32_C(0x80000000);
    while (bits--)
        sum = sum >> 1 ^ (sum & 1 ? POLYNOMIAL : 0);
    return (uint64_t)sum << 1;
}

static void fold_fill(uint64_t factors[2], size_t bytes)
{
    factors[0] = power(8 * bytes + 32);
    factors[1] = power(8 * bytes - 32);
}

static void tables_fill(void)
{
    fold_fill(fold_far, FOLD);
    fold_fill(fold_near, FOLD / 4);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? POLYNOMIAL : 0);
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

#include <immintrin.h>

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
__attribute__((target("sse4.2"))) static uint32_t checksum_lanes(uint32_t sum, const void *bytes, size_t size)
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

#define FOLDED __attribute__((target("avx512f,vpclmulqdq,sse4.2")))

/* Each quarter of a register, moved as the factors say over the bytes there. */
FOLDED static inline __m512i fold(__m512i words, __m512i factors, __m512i there)
{
    __m512i first = _mm512_clmulepi64_epi128(words, factors, 0x00);
    __m512i second = _mm512_clmulepi64_epi128(words, factors, 0x11);
    return _mm512_ternarylogic_epi64(first, second, there, 0x96); // all three in an exclusive or
}

FOLDED static inline __m512i factors_load(const uint64_t factors[2])
{
    return _mm512_set4_epi64((long long)factors[1], (long long)factors[0], (long long)factors[1],
                             (long long)factors[0]);
}

FOLDED static inline __m512i bytes_load(const unsigned char *at, size_t place)
{
    return _mm512_loadu_si512(at + place * sizeof(__m512i));
}

/*
 * Some twice as many bytes a cycle: products without carries move what was read over what comes behind it, until one
 * register has bytes with the same sum as all. (Intel's "Fast CRC computation using PCLMULQDQ".)
 */
FOLDED static uint32_t checksum_folded(uint32_t sum, const unsigned char *at, size_t size)
{
    pthread_once(&tables_once, tables_fill);
    const __m512i far = factors_load(fold_far), near = factors_load(fold_near);
    __m512i all[4];
    uint64_t words[8], last = 0;
    for (size_t i = 0; i < 4; i++)
        all[i] = bytes_load(at, i);
    all[0] = _mm512_xor_si512(all[0], _mm512_set_epi64(0, 0, 0, 0, 0, 0, 0, ~sum));
    for (at += FOLD, size -= FOLD; size >= FOLD; at += FOLD, size -= FOLD)
        for (size_t i = 0; i < 4; i++)
            all[i] = fold(all[i], far, bytes_load(at, i));
    for (size_t i = 1; i < 4; i++)
        all[0] = fold(all[0], near, all[i]);
    memcpy(words, &all[0], sizeof(words));
    for (size_t i = 0; i < 8; i++)
        last = _mm_crc32_u64(last, words[i]);
    return checksum_lanes(~(uint32_t)last, at, size);
}

uint32_t checksum_fast(uint32_t sum, const void *bytes, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? checksum_lanes(sum, bytes, size) : checksum_plain(sum, bytes, size);
}

uint32_t checksum_more(uint32_t sum, const void *bytes, size_t size)
{
    if (size >= 2 * FOLD && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f"))
        return checksum_folded(sum, bytes, size);
    return checksum_fast(sum, bytes, size);
}

#else

uint32_t checksum_fast(uint32_t sum, const void *bytes, size_t size)
{
    return checksum_plain(sum, bytes, size);
}

uint32_t checksum_more(uint32_t sum, const void *bytes, size_t size)
{
    return checksum_plain(sum, bytes, size);
}

#endif
