/*
 * A stranger in the tests of channels: who speaks ZeroMQ's protocol by a bare socket, as far as it suits the test.
 */
#ifndef TEST_CHANNELS_STRANGER_H
#define TEST_CHANNELS_STRANGER_H

#include "cut.h"

/* The frames of a stranger who says that he is of a kind. */
static inline size_t words_ready(unsigned char *words, const char *kind)
{
    size_t length = strlen(kind), at = 64;
    static const unsigned char greeting[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const unsigned char ready[21] = "\005READY\013Socket-Type";
    memcpy(words, greeting, sizeof(greeting));
    words[at++] = 4; // a command
    words[at++] = (unsigned char)(6 + 12 + 4 + length);
    memcpy(words + at, ready, sizeof(ready));
    at += sizeof(ready);
    words[at++] = (unsigned char)length;
    for (; *kind; kind++)
        words[at++] = (unsigned char)*kind;
    return at;
}

/* Until the other side has said that it is ready, too: before that nothing but a command makes sense to it. False if it
 * has cut him off. */
static inline bool stranger_hears(int stranger)
{
    unsigned char words[66 + 255];
    return recv(stranger, words, 66, MSG_WAITALL) == 66 &&
           recv(stranger, words + 66, words[65], MSG_WAITALL) == words[65];
}

static inline void stranger_hear(int stranger)
{
    assert_true(stranger_hears(stranger));
}

static inline void stranger_write(int stranger, const void *words, size_t size)
{
    if (send(stranger, words, size, MSG_NOSIGNAL) < 0)
        assert_true(errno == ECONNRESET || errno == EPIPE);
}

#endif
