/* Taking addresses apart, and what may be done with them; see address.h. */
#include "bridges/address.h"
#include <arpa/inet.h>
#include <soma/error.h>
#include <soma/log.h>
#include <string.h>

bool address_read(const char *text, struct address *address)
{
    const char *space = strchr(text, ' ');
    size_t size = space ? (size_t)(space - text) : strlen(text);
    *address = (struct address){0};
    if (size > ADDRESS_MAX || (strncmp(text, "tcp://", 6) != 0 && strncmp(text, "ipc://", 6) != 0))
        return false;
    memcpy(address->place, text, size);
    if (!space)
        return true;
    if (!key_is_valid(space + 1))
        return false;
    memcpy(address->key, space + 1, KEY_SIZE);
    return true;
}

/* The host must be a number, whole: 127.example.org is somewhere else. */
bool address_is_local(const char *place)
{
    char host[64];
    struct in_addr ip;
    if (!strncmp(place, "ipc://", 6))
        return true;
    if (strncmp(place, "tcp://", 6) != 0)
        return false;
    const char *colon = strrchr(place + 6, ':');
    size_t size = colon && colon[-1] != ':' ? (size_t)(colon - place - 6) : strlen(place + 6);
    if (size >= sizeof(host))
        return false;
    memcpy(host, place + 6, size);
    host[size] = '\0';
    if (!strcmp(host, "localhost") || !strcmp(host, "[::1]"))
        return true;
    return inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127;
}

bool address_is_any(const char *place)
{
    static const char *const hosts[] = {"0.0.0.0:", "*:", "[::]:"};
    bool any = false;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
        any |= !strncmp(place, "tcp://", 6) && !strncmp(place + 6, hosts[i], strlen(hosts[i]));
    return any;
}

int address_check(struct soma_bridge *bridge, const char *text, struct address *address)
{
    const char *wrong = NULL;
    if (!address_read(text, address))
        wrong = "is no address: tcp://HOST:PORT or ipc://PATH, and for a node with keys a space and its public key";
    else if (bridge->keys.on && !address->key[0])
        wrong = "lacks the node's public key, behind a space: this node has keys, and talks to such alone";
    else if (!bridge->keys.on && address->key[0])
        wrong = "is of a node with keys, and this one has none";
    else if (!bridge->keys.on && !address_is_local(address->place) && !bridge->options.insecure)
        wrong = "is on another machine: that wants keys, or the option `insecure`";
    if (wrong && trust_may_log(bridge))
        soma_log_error(bridge->system, "bridge: '%s' %s", text, wrong);
    return wrong ? SOMA_EINVAL : 0;
}
