/* Cutting connections off; see zmq_cut.h. */
#include "bridges/zmq_cut.h"
#include <fcntl.h>
#include <linux/tcp.h> // glibc's knows less of a connection
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t socket_cookie(int socket)
{
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
    int copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return;
    if (cookie && socket_cookie(copy) == cookie)
        shutdown(copy, SHUT_RDWR);
    close(copy);
}
