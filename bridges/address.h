/*
 * Addresses, as people write them and nodes tell them: `tcp://HOST:PORT` or `ipc://PATH`, and, for a node with keys,
 * a space and its public key. So whoever knows the address knows the key.
 */
#ifndef BRIDGES_ADDRESS_H
#define BRIDGES_ADDRESS_H

#include "bridges/bridge.h"

struct address {
    char place[ADDRESS_MAX + 1]; /* for ZeroMQ */
    char key[KEY_SIZE];          /* empty: none */
};

/* Takes an address apart. False if it is malformed. */
bool address_read(const char *text, struct address *address);

/* Where ZeroMQ is to bind for an address whose port may be left out, or 0 or a star, which is any that is free. False
 * if it is malformed. */
bool address_to_bind(const char *text, char *place, size_t size);

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
