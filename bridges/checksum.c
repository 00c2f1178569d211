/* CRC-32C; see checksum.h. Bits are reflected: the polynomial is 0x82f63b78. */
#include "bridges/checksum.h"
#include <pthread.h>
#include <string.h>

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? UINT32_C(0x82f63b78) : 0);
        table[i] = sum;
    }
}

uint32_t checksum_plain(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint32_t sum = UINT32_MAX;
    pthread_once(&table_once, table_fill);
    for (; size; size--)
        sum = sum >> 8 ^ table[(sum ^ *at++) & 0xff];
    return ~sum;
}

#ifdef __x86_64__

#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t checksum_fast(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t sum = UINT32_MAX, word;
    for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sum = _mm_crc32_u64(sum, word);
    }
    for (; size; size--)
        sum = _mm_crc32_u8((uint32_t)sum, *at++);
    return ~(uint32_t)sum;
}

uint32_t checksum_of(const void *bytes, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? checksum_fast(bytes, size) : checksum_plain(bytes, size);
}

#else

uint32_t checksum_of(const void *bytes, size_t size)
{
    return checksum_plain(bytes, size);
}

#endif
