/*
 * The bytes of ZMTP alone, as fast as that goes: what fuzz_zmtp.c does with streams, sockets and all. The first byte
 * says who called; then come a greeting and frames. Whatever is found must lie in what has come, and be the same
 * however much has come behind it; a begin of it is never taken for the whole.
 */
#include "bridges/zmtp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define MOST 70000u

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Of a copy with nothing behind it, where a sanitizer sees any step too far. */
static unsigned char *copy_of(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    memcpy(copy, bytes, size);
    return copy;
}

/* What is wrong is so at once and stays so; what waits may become anything. */
static bool greeting_check(const unsigned char *bytes, size_t size)
{
    enum zmtp_greeted whole = zmtp_greeting_read(bytes, size);
    for (size_t i = 0; i < size && i < ZMTP_GREETING; i++) {
        enum zmtp_greeted part = zmtp_greeting_read(bytes, i);
        REQUIRE(part == ZMTP_WAITS || part == ZMTP_BEGUN || part == ZMTP_WRONG);
        REQUIRE(part != ZMTP_WRONG || whole == ZMTP_WRONG);
        REQUIRE(part != ZMTP_BEGUN || whole != ZMTP_WAITS);
    }
    REQUIRE(size < ZMTP_GREETING || (whole != ZMTP_WAITS && whole != ZMTP_BEGUN));
    return whole == ZMTP_GREETED;
}

static void command_check(const struct zmtp_frame *command, bool called)
{
    unsigned char answer[ZMTP_PONG_MOST];
    struct zmtp_frame pong;
    const size_t size = zmtp_answer(command, answer);
    REQUIRE(size <= sizeof(answer));
    REQUIRE(!size || !zmtp_ready_read(command, called));
    if (!size)
        return;
    REQUIRE(zmtp_frame_read(answer, size, MOST, &pong) == 1 && pong.whole == size && pong.command);
    REQUIRE(pong.size == 5 + command->size - 7 && !memcmp(pong.body + 5, command->body + 7, command->size - 7));
}

/* Bytes of the first frame; 0: there is no more. */
static size_t frame_check(const unsigned char *bytes, size_t size, bool called)
{
    struct zmtp_frame frame, part;
    const int whole = zmtp_frame_read(bytes, size, MOST, &frame);
    if (whole <= 0)
        return 0;
    REQUIRE(frame.whole <= size && frame.size < frame.whole && frame.size <= MOST);
    REQUIRE(frame.body + frame.size == bytes + frame.whole);
    for (size_t i = 0; i < frame.whole && i < 20; i++)
        REQUIRE(!zmtp_frame_read(bytes, i, MOST, &part) && (!part.whole || part.whole == frame.whole));
    REQUIRE(!zmtp_frame_read(bytes, frame.whole - 1, MOST, &part));
    if (frame.command)
        command_check(&frame, called);
    return frame.whole;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const bool called = size && data[0] & 1;
    const size_t left = size ? size - 1 : 0;
    unsigned char *bytes = copy_of(size ? data + 1 : data, left);
    size_t at = left && data[0] & 2 && greeting_check(bytes, left) ? ZMTP_GREETING : 0;
    for (size_t taken = 1; taken; at += taken)
        taken = frame_check(bytes + at, left - at, called);
    free(bytes);
    return 0;
}
