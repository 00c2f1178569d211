/* Where this machine's sockets can be bound, for all who bind some: its network interfaces, and paths; and whether
 * there are files left for them. */
#ifndef RUNTIME_INTERFACE_H
#define RUNTIME_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>

/* The IP of the interface of a name, or of the first that others can reach (NULL), as text; AF_INET or AF_INET6, but
 * no link-local one of these. False if there is none, or no room for it. */
bool interface_find(const char *name, int family, char *host, size_t size);

/* Does something lie at a path that is no socket? ZeroMQ would remove it without a question. */
bool path_is_taken(const char *path);

/* Has somebody a socket there, which need not notice the question? ZeroMQ would take its place unasked, and leave its
 * listener with none; but not that of `@NAME`, which is no file. */
bool path_is_bound(const char *path);

/* May this process still open as many files as ZeroMQ (4.3) needs to begin and to bind? It ends the process if it does
 * not get them. What other threads open meanwhile nobody knows, so some more are asked for. If not, errno says why. */
bool files_are_left(void);

#endif
