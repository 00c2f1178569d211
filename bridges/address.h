/*
 * Addresses, as people write them and nodes tell them: `tcp://HOST:PORT` or `ipc://PATH`, and, for a node with keys,
 * a space and its public key. So whoever knows the address knows the key.
 */
#ifndef BRIDGES_ADDRESS_H
#define BRIDGES_ADDRESS_H

#include "bridges/bridge.h"
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    char place[ADDRESS_MAX + 1]; /* as ZeroMQ has it */
    char key[KEY_SIZE];          /* empty: none */
};

/* Takes an address apart. False if it is malformed. */
bool address_read(const char *text, struct address *address);

/* Where to bind for an address of the options, whose port may be left out, or 0 or a star, which is any that is free.
 * 0; else SOMA_EINVAL, and why is in the log. */
int address_bind(struct soma_bridge *bridge, const char *text, char *place, size_t size);

/* What is in the way of listening at a path: EEXIST, EADDRINUSE; 0: nothing. */
int path_obstacle(const char *path);

/* An address can't be bound, for that errno: the log says so. SOMA_EEXIST or SOMA_EINVAL. */
int address_refuse(const struct soma_bridge *bridge, const char *text, int error);

/* The host of a `tcp://HOST:PORT`, and its port; 0: any. */
uint16_t address_split(const char *place, char *host, size_t size);

/* The path of an `ipc://PATH` as a socket's name, of so many bytes; 0: it is too long. `@NAME` is no file. */
socklen_t address_to_path(const char *path, struct sockaddr_un *name);

/* Can it be reached from this machine alone? */
bool address_is_local(const char *place);

/* Is it where a node listens on all interfaces? */
bool address_is_any(const char *place);

/* Is it one of IPv6, which no bridge can use? The log says so. */
bool address_is_ipv6(struct soma_bridge *bridge, const char *text);

/* Has one that was bound to all interfaces name the machine, as others see it. */
void address_publish(char *place, size_t size);

/* May this node connect there? 0; else SOMA_EINVAL, and why is in the log. */
int address_check(struct soma_bridge *bridge, const char *text, struct address *address);

#endif
