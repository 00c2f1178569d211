/* Cutting connections off; see zmq_cut.h. */
#include "bridges/zmq_cut.h"
#include <fcntl.h>
#include <linux/tcp.h> // glibc's knows less of a connection
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Who is to be cut off may have taken the last descriptors. So two are kept, for the whole process and for good: one
 * that a socket is copied to, and what that is in between. Who comes first makes them.
 */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int spare[2] = {-1, -1};

static void spare_open(void)
{
    if (pipe2(spare, O_CLOEXEC))
        spare[0] = spare[1] = -1;
}

uint64_t socket_cookie(int socket)
{
    pthread_once(&once, spare_open);
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) ? 0 : cookie;
}

uint64_t socket_received(int socket)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) ? 0 : info.tcpi_bytes_received;
}

/* The copy is sure to stay the same socket while it is looked at. */
void socket_cut(int socket, uint64_t cookie)
{
    pthread_mutex_lock(&lock);
    if (cookie && dup3(socket, spare[1], O_CLOEXEC) >= 0) { // a cookie: so there is a spare, if it could be had
        if (socket_cookie(spare[1]) == cookie)
            shutdown(spare[1], SHUT_RDWR);
        dup3(spare[0], spare[1], O_CLOEXEC);
    }
    pthread_mutex_unlock(&lock);
}
