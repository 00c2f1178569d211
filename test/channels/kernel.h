/*
 * What the kernel takes of a connection whose other side does not read, in the tests of channels that need more than
 * that, or to be sure that it is not much.
 */
#ifndef TEST_CHANNELS_KERNEL_H
#define TEST_CHANNELS_KERNEL_H

#include "player.h"

#define KERNEL_ROOM 65536 /* bytes that it is asked to keep for one who is slow to read; it takes twice as many */

/* For sockets that are slow to read: from before they are connected or listen on, as over tcp the first moment says how
 * much the other side may ever send. */
static inline void kernel_keeps_little(int socket)
{
    const int room = KERNEL_ROOM;
    assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
}

/* Bytes that it takes of a sender at most, until some have been taken by the other side: an ipc socket's room is fixed,
 * a tcp socket's grows as far as this machine lets it. */
static inline uint64_t kernel_sends(void)
{
    unsigned long tcp = 0;
    int ipc = 0, any = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t size = sizeof(ipc);
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_wmem", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %*u %lu", &tcp), 1);
    fclose(file);
    assert_int_equal(getsockopt(any, SOL_SOCKET, SO_SNDBUF, &ipc, &size), 0);
    close(any);
    return tcp > (unsigned long)ipc ? tcp : (unsigned long)ipc;
}

#endif
