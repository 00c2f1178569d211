/*
 * A name service kept in etcd: an agent that speaks as a name server does (protocol.h), to the one client that has
 * spawned it, and keeps the truth in an etcd cluster. The client can't tell, but that it spawns this one instead of
 * looking for another. It ends when the client does, or when it can't answer for the truth any more: then the client is
 * told, as of any server that is lost, spawns the next, and puts all again.
 */
#ifndef NAMESERVICE_ETCD_H
#define NAMESERVICE_ETCD_H

#include <soma/bridge.h>
#include <soma/error.h>
#include <string.h>

static inline bool etcd_is_address(const char *address)
{
    return !strncmp(address, "etcd://", 7);
}

#ifdef SOMA_ETCD
/* 0 or SOMA_EINVAL. */
int etcd_check(const char *address);

/* Spawns it, for the client `self`; a lease is asked for `lease_s` seconds. 0, or as soma_spawn(). */
int etcd_spawn(soma_agent *self, soma_bridge *bridge, const char *address, uint32_t lease_s, soma_ref *server);
#else
static inline int etcd_check(const char *address)
{
    (void)address;
    return SOMA_ESTATE;
}

static inline int etcd_spawn(soma_agent *self, soma_bridge *bridge, const char *address, uint32_t lease_s,
                             soma_ref *server)
{
    (void)self, (void)bridge, (void)address, (void)lease_s, (void)server;
    return SOMA_ESTATE;
}
#endif

#endif
