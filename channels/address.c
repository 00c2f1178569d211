/*
 * Addresses of channels: reading, writing, comparing. They know nothing of channels. See include/soma/address.h.
 *
 * There is one way to write an address, which is the canonical one of inet_ntop(): so addresses that are equal are
 * equal byte by byte in their parts, and their texts too.
 */
#include <arpa/inet.h>
#include <soma/address.h>
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- patterns ---- */

static const struct {
    const char *name;
    soma_pattern twin;
} patterns[] = {
    [SOMA_PUSH] = {"push", SOMA_PULL},
    [SOMA_PULL] = {"pull", SOMA_PUSH},
    [SOMA_PUB] = {"pub", SOMA_SUB},
    [SOMA_SUB] = {"sub", SOMA_PUB},
    [SOMA_REQ] = {"req", SOMA_REP},
    [SOMA_REP] = {"rep", SOMA_REQ},
    [SOMA_PAIR] = {"pair", SOMA_PAIR},
    [SOMA_ASYNC_REQ] = {"async-req", SOMA_ASYNC_REP},
    [SOMA_ASYNC_REP] = {"async-rep", SOMA_ASYNC_REQ},
    [SOMA_SYNC_PUB] = {"sync-pub", SOMA_SYNC_SUB},
    [SOMA_SYNC_SUB] = {"sync-sub", SOMA_SYNC_PUB},
};

#define PATTERN_COUNT (sizeof(patterns) / sizeof(*patterns))

soma_pattern soma_pattern_twin(soma_pattern pattern)
{
    return (size_t)pattern < PATTERN_COUNT ? patterns[pattern].twin : SOMA_ANY_PATTERN;
}

const char *soma_pattern_name(soma_pattern pattern)
{
    return (size_t)pattern < PATTERN_COUNT ? patterns[pattern].name : NULL;
}

soma_pattern soma_pattern_find(const char *name)
{
    for (size_t i = SOMA_PUSH; name && i < PATTERN_COUNT; i++)
        if (!strcasecmp(name, patterns[i].name))
            return (soma_pattern)i;
    return SOMA_ANY_PATTERN;
}

/* ---- places ---- */

static const char *const schemes[] = {[SOMA_INPROC] = "inproc://", [SOMA_IPC] = "ipc://", [SOMA_TCP] = "tcp://"};

#define SCHEME_COUNT (sizeof(schemes) / sizeof(*schemes))

/* A path or name. */
static bool word_valid(const char *word)
{
    size_t length = strnlen(word, SOMA_HOST_SIZE);
    if (!length || length == SOMA_HOST_SIZE)
        return false;
    for (; *word; word++)
        if (*word <= ' ' || *word > '~')
            return false;
    return true;
}

/* An IP in the form that it is written in. */
static bool ip_valid(const char *host)
{
    unsigned char ip[sizeof(struct in6_addr)];
    char text[SOMA_HOST_SIZE];
    int family = memchr(host, ':', strnlen(host, SOMA_HOST_SIZE)) ? AF_INET6 : AF_INET;
    return memchr(host, '\0', SOMA_HOST_SIZE) && inet_pton(family, host, ip) == 1 &&
           inet_ntop(family, ip, text, sizeof(text)) && !strcmp(text, host);
}

bool soma_address_valid(const soma_address *address)
{
    if (!address || (size_t)address->transport >= SCHEME_COUNT || (size_t)address->pattern >= PATTERN_COUNT)
        return false;
    if (address->transport == SOMA_TCP)
        return ip_valid(address->host);
    return !address->port && word_valid(address->host);
}

static int host_set(soma_address *address, const char *text, size_t size)
{
    if (size >= SOMA_HOST_SIZE)
        return SOMA_ETOOBIG;
    memcpy(address->host, text, size);
    address->host[size] = '\0';
    return 0;
}

/* What stands behind the host: nothing, `:*`, or a colon and a number. */
static int port_read(soma_address *address, const char *text, size_t size)
{
    char digits[6];
    if (!size || (size == 2 && !memcmp(text, ":*", 2)))
        return 0;
    if (*text != ':' || size < 2 || size - 1 >= sizeof(digits) || text[1] == '0')
        return SOMA_EFORMAT;
    memcpy(digits, text + 1, size - 1);
    digits[size - 1] = '\0';
    if (strspn(digits, "0123456789") != size - 1)
        return SOMA_EFORMAT;
    unsigned long port = strtoul(digits, NULL, 10);
    address->port = (uint16_t)port;
    return port <= UINT16_MAX ? 0 : SOMA_EFORMAT;
}

static int tcp_read(soma_address *address, const char *text, size_t size)
{
    unsigned char ip[sizeof(struct in6_addr)];
    bool v6 = size && *text == '[';
    const char *end = memchr(text, v6 ? ']' : ':', size);
    if (v6 && !end)
        return SOMA_EFORMAT;
    const char *host = text + v6, *rest = !end ? text + size : end + v6;
    if (host_set(address, host, (size_t)(end ? end - host : (ptrdiff_t)size)))
        return SOMA_EFORMAT;
    int family = v6 ? AF_INET6 : AF_INET;
    if (inet_pton(family, address->host, ip) != 1 || !inet_ntop(family, ip, address->host, SOMA_HOST_SIZE))
        return SOMA_EFORMAT;
    return port_read(address, rest, size - (size_t)(rest - text));
}

static int address_read(const char *text, soma_address *address)
{
    size_t i = 0;
    while (i < SCHEME_COUNT && strncmp(text, schemes[i], strlen(schemes[i])) != 0)
        i++;
    if (i == SCHEME_COUNT)
        return SOMA_EFORMAT;
    address->transport = (soma_transport)i;
    text += strlen(schemes[i]);
    size_t size = strcspn(text, " ");
    if (text[size]) {
        address->pattern = soma_pattern_find(text + size + 1);
        if (!address->pattern)
            return SOMA_EFORMAT;
    }
    if (address->transport == SOMA_TCP)
        return tcp_read(address, text, size);
    int error = host_set(address, text, size);
    return error ? error : word_valid(address->host) ? 0 : SOMA_EFORMAT;
}

int soma_address_parse(const char *text, soma_address *address)
{
    if (address)
        *address = (soma_address){0};
    if (!text || !address)
        return SOMA_EINVAL;
    int error = address_read(text, address);
    if (error)
        *address = (soma_address){0};
    return error;
}

int soma_address_print(const soma_address *address, char *buf, size_t size)
{
    if ((!buf && size) || !soma_address_valid(address))
        return SOMA_EINVAL;
    char port[8] = "";
    if (address->port)
        snprintf(port, sizeof(port), ":%u", address->port);
    bool v6 = address->transport == SOMA_TCP && strchr(address->host, ':');
    const char *pattern = soma_pattern_name(address->pattern);
    return snprintf(buf, size, "%s%s%s%s%s%s%s", schemes[address->transport], v6 ? "[" : "", address->host,
                    v6 ? "]" : "", port, pattern ? " " : "", pattern ? pattern : "");
}

bool soma_address_equal(const soma_address *a, const soma_address *b)
{
    return soma_address_valid(a) && soma_address_valid(b) && a->transport == b->transport && a->pattern == b->pattern &&
           a->port == b->port && !strcmp(a->host, b->host);
}

int soma_address_twin(const soma_address *address, soma_address *twin)
{
    if (!twin || !soma_address_valid(address) || !address->pattern)
        return SOMA_EINVAL;
    *twin = *address;
    twin->pattern = soma_pattern_twin(address->pattern);
    return 0;
}
