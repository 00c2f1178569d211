/* Taking addresses apart, and what may be done with them; see address.h. */
#include "bridges/address.h"
#include "runtime/interface.h"
#include "runtime/type.h"
#include <arpa/inet.h>
#include <errno.h>
#include <soma/error.h>
#include <soma/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zmq.h>

static bool is_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && port > 0 && port <= UINT16_MAX;
}

/* The colon before a port; NULL if there is none. */
static const char *port_find(const char *place)
{
    const char *colon = strrchr(place + 6, ':');
    return colon && !strchr(colon, ']') ? colon : NULL;
}

static bool place_is_valid(const char *place)
{
    if (!type_utf8_valid(place, strlen(place)))
        return false;
    const char *colon = strncmp(place, "tcp://", 6) ? NULL : port_find(place);
    return strncmp(place, "ipc://", 6) ? colon && colon > place + 6 && is_port(colon + 1) : place[6] != '\0';
}

/* False if it is malformed. */
static bool place_to_bind(const char *text, char *place, size_t size)
{
    bool tcp = !strncmp(text, "tcp://", 6);
    if (strlen(text) > ADDRESS_MAX || strchr(text, ' '))
        return false;
    const char *colon = tcp ? port_find(text) : NULL;
    bool any = tcp && (!colon || !strcmp(colon, ":*") || !strcmp(colon, ":0"));
    snprintf(place, size, "%s%s", text, tcp && !colon ? ":*" : "");
    return any ? text[6] && text + 6 != colon : place_is_valid(text);
}

bool address_read(const char *text, struct address *address)
{
    const char *space = strchr(text, ' ');
    size_t size = space ? (size_t)(space - text) : strlen(text);
    *address = (struct address){0};
    if (size > ADDRESS_MAX)
        return false;
    memcpy(address->place, text, size);
    if (!place_is_valid(address->place))
        return false;
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
    if (!strcasecmp(host, "localhost") || !strcmp(host, "[::1]"))
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

int address_bind(struct soma_bridge *bridge, const char *text, char *place, size_t size)
{
    if (address_is_ipv6(bridge, text))
        return SOMA_EINVAL;
    if (!place_to_bind(text, place, size)) {
        soma_log_error(bridge->system, "bridge: '%s' is no address: tcp://IP, tcp://IP:PORT or ipc://PATH", text);
        return SOMA_EINVAL;
    }
    if (address_is_local(text) || bridge->keys.on || bridge->options.insecure)
        return 0;
    soma_log_error(bridge->system,
                   "bridge: '%s' can be reached from other machines: that wants keys, or the option `insecure`", text);
    return SOMA_EINVAL;
}

int path_obstacle(const char *path)
{
    return path_is_taken(path) ? EEXIST : path_is_bound(path) ? EADDRINUSE : 0;
}

int address_refuse(const struct soma_bridge *bridge, const char *text, int error)
{
    soma_log_error(bridge->system, "bridge: can't bind '%s': %s%s", text, zmq_strerror(error),
                   error == ENODEV ? ", and no name of a host will do: only a number, as 127.0.0.1" : "");
    return error == EADDRINUSE || error == EEXIST ? SOMA_EEXIST : SOMA_EINVAL;
}

uint16_t address_split(const char *place, char *host, size_t size)
{
    const char *colon = port_find(place);
    snprintf(host, size, "%.*s", colon ? (int)(colon - place - 6) : (int)size, place + 6);
    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0; // a star is no number
}

socklen_t address_to_path(const char *path, struct sockaddr_un *name)
{
    const size_t length = strlen(path);
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof(name->sun_path))
        return 0;
    memcpy(name->sun_path, path, length);
    if (*path == '@')
        name->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path != '@'));
}

void address_publish(char *place, size_t size)
{
    char host[INET_ADDRSTRLEN] = "127.0.0.1", port[8];
    const char *colon = port_find(place);
    if (!colon || !address_is_any(place))
        return;
    snprintf(port, sizeof(port), "%s", colon + 1);
    interface_find(NULL, AF_INET, host, sizeof(host)); // else it is reached from this machine alone
    snprintf(place, size, "tcp://%s:%s", host, port);
}

bool address_is_ipv6(struct soma_bridge *bridge, const char *text)
{
    char place[ADDRESS_MAX + 1]; // without the key, which may hold anything
    snprintf(place, sizeof(place), "%.*s", (int)strcspn(text, " "), text);
    bool is = !strncmp(place, "tcp://", 6) && (place[6] == '[' || strstr(place + 6, "::"));
    if (is && own_may_log(bridge))
        soma_log_error(bridge->system, "bridge: '%s' is an address of IPv6: bridges are IPv4 only", text);
    return is;
}

int address_check(struct soma_bridge *bridge, const char *text, struct address *address)
{
    const char *wrong = NULL;
    if (address_is_ipv6(bridge, text))
        return SOMA_EINVAL;
    if (!address_read(text, address))
        wrong = "is no address: tcp://HOST:PORT or ipc://PATH, and for a node with keys a space and its public key";
    else if (bridge->keys.on && !address->key[0])
        wrong = "lacks the node's public key, behind a space: this node has keys, and talks to such alone";
    else if (!bridge->keys.on && address->key[0])
        wrong = "is of a node with keys, and this one has none";
    else if (!bridge->keys.on && !address_is_local(address->place) && !bridge->options.insecure)
        wrong = "is on another machine: that wants keys, or the option `insecure`";
    if (wrong && own_may_log(bridge))
        soma_log_error(bridge->system, "bridge: '%s' %s", text, wrong);
    return wrong ? SOMA_EINVAL : 0;
}
