/* See interface.h. */
#include "runtime/interface.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* An IPv6 address of that kind is another one at each interface, and so none without it. */
static bool is_link_local(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

bool interface_find(const char *name, int family, char *host, size_t size)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all))
        return false;
    for (const struct ifaddrs *at = all; at && !found; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != family || !(at->ifa_flags & IFF_UP) ||
            is_link_local(at->ifa_addr))
            continue;
        if (name ? strcmp(name, at->ifa_name) != 0 : (at->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        const void *ip = family == AF_INET ? (const void *)&((const struct sockaddr_in *)at->ifa_addr)->sin_addr
                                           : (const void *)&((const struct sockaddr_in6 *)at->ifa_addr)->sin6_addr;
        found = inet_ntop(family, ip, host, (socklen_t)size) != NULL;
    }
    freeifaddrs(all);
    return found;
}

#define FILES 20 /* a context takes six, what wakes its thread three, a socket three, binding two */

bool files_are_left(void)
{
    int files[FILES], count = 0;
    while (count < FILES && (files[count] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0)
        count++;
    bool left = count == FILES;
    int error = errno;
    while (count)
        close(files[--count]);
    errno = error;
    return left;
}

bool path_is_taken(const char *path)
{
    struct stat status;
    return !lstat(path, &status) && !S_ISSOCK(status.st_mode);
}

/* By a socket of a kind that can't be connected to who listens: so he sees nothing of it, and still it is told that he
 * is there. */
bool path_is_bound(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof(name.sun_path) || *path == '@')
        return false;
    memcpy(name.sun_path, path, length);
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return false;
    bool bound = !connect(probe, (const struct sockaddr *)&name, sizeof(name)) || errno == EPROTOTYPE;
    close(probe);
    return bound;
}
