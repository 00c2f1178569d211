/* Cutting connections off; see zmq_cut.h. */
#include "bridges/zmq_cut.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t socket_cookie(int socket)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) ? 0 : cookie;
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
