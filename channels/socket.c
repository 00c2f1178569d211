/*
 * ZeroMQ sockets for channels: which kind a pattern is, options, binding with an address that others can use, and what
 * may be bound or connected without keys. See line.h.
 */
#include "bridges/zmq_router.h"
#include "channels/options.h"
#include "channels/porter.h"
#include "runtime/interface.h"
#include "runtime/timer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
#define HEARTBEAT_MS 5000u
#define HEARTBEAT_MOST_MS 32767000u /* that the kernel takes */
#define ASKS 2                      /* that are not answered: then the other side is gone */
#define RECONNECT_MS 100
#define RECONNECT_MOST_MS 5000
#define BIND_TRIES 50
#define BIND_PAUSE 2000000L             /* ns */
#define BIND_PATIENCE (5 * SOMA_SECOND) /* after a bound channel has ended */

/* ---- places ---- */

/* What stands in the place of an IP, if it may be an interface's name; its length, or 0. */
static size_t place_name(const char *text, char name[IFNAMSIZ])
{
    if (strncmp(text, "tcp://", 6) != 0)
        return 0;
    size_t length = strcspn(text + 6, ": ");
    if (length >= IFNAMSIZ)
        return 0;
    memcpy(name, text + 6, length);
    name[length] = '\0';
    return length;
}

/* The name of an interface, or a star for all of them, with a number in the name's place; false if that is not what it
 * is. */
static bool place_resolve(const char *text, char *resolved, size_t size)
{
    char name[IFNAMSIZ], host[SOMA_HOST_SIZE];
    size_t length = place_name(text, name);
    if (!length)
        return false;
    bool found = !strcmp(name, "*") ? snprintf(host, sizeof(host), "0.0.0.0") > 0
                                    : interface_find(name, AF_INET, host, sizeof(host));
    return found && (size_t)snprintf(resolved, size, "tcp://%s%s", host, text + 6 + length) < size;
}

int place_parse(const char *text, soma_address *address)
{
    char resolved[SOMA_ADDRESS_TEXT_SIZE];
    int error = soma_address_parse(text, address);
    return error == SOMA_EFORMAT && place_resolve(text, resolved, sizeof(resolved))
               ? soma_address_parse(resolved, address)
               : error;
}

/* Is it a port, or what stands for any? */
static bool port_reads(const char *text)
{
    size_t length = strspn(text, "0123456789");
    bool ends = !text[length] || text[length] == ' ';
    return (*text == '*' && (!text[1] || text[1] == ' ')) ||
           (length && length < 6 && ends && *text != '0' && strtoul(text, NULL, 10) - 1 < UINT16_MAX);
}

/* Of what stands behind tcp:// but is no IPv6. */
static const char *tcp_wrong(const char *rest)
{
    char host[64], ip[SOMA_HOST_SIZE];
    struct in_addr number;
    size_t length = strcspn(rest, ": ");
    snprintf(host, sizeof(host), "%.*s", (int)(length < sizeof(host) ? length : sizeof(host) - 1), rest);
    if (rest[length] == ':' && !port_reads(rest + length + 1))
        return ": a port is a number from 1 to 65535, or a star for any";
    if (if_nametoindex(host))
        return interface_find(host, AF_INET, ip, sizeof(ip)) ? "" : ": that interface has no IPv4 address now";
    return length && strcmp(host, "*") != 0 && inet_pton(AF_INET, host, &number) != 1
               ? ": that is no IP, nor the name of an interface here; names of hosts are not looked up"
               : "";
}

const char *place_wrong(const char *text)
{
    if (!strstr(text, "://"))
        return ": it begins with inproc://, ipc:// or tcp://";
    if (!strncmp(text, "tcp://[", 7) && strchr(text, '%'))
        return ": an IPv6 address with a scope (%) means another one on each machine";
    return strncmp(text, "tcp://", 6) != 0 || text[6] == '[' ? "" : tcp_wrong(text + 6);
}

bool place_is_transport(const char *place)
{
    return !strcmp(place, "inproc") || !strcmp(place, "ipc") || !strcmp(place, "tcp");
}

/* Can it be reached from this machine alone? */
static bool address_is_local(const soma_address *address)
{
    struct in_addr ip;
    if (address->transport != SOMA_TCP || !strcmp(address->host, "::1"))
        return true;
    return inet_pton(AF_INET, address->host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127;
}

/* What stands for all addresses, as one that others can use. */
static void address_publish(soma_address *address)
{
    bool v6 = !strcmp(address->host, "::");
    if (!v6 && strcmp(address->host, "0.0.0.0") != 0)
        return;
    if (!interface_find(NULL, v6 ? AF_INET6 : AF_INET, address->host, sizeof(address->host)))
        snprintf(address->host, sizeof(address->host), "%s", v6 ? "::1" : "127.0.0.1");
}

/* ---- sockets ---- */

static const int kinds[] = {
    [SOMA_PUSH] = ZMQ_PUSH,     [SOMA_PULL] = ZMQ_PULL,        [SOMA_PUB] = ZMQ_XPUB,
    [SOMA_SUB] = ZMQ_XSUB,      [SOMA_REQ] = ZMQ_DEALER,       [SOMA_REP] = ZMQ_ROUTER,
    [SOMA_PAIR] = ZMQ_PAIR,     [SOMA_ASYNC_REQ] = ZMQ_DEALER, [SOMA_ASYNC_REP] = ZMQ_ROUTER,
    [SOMA_SYNC_PUB] = ZMQ_XPUB, [SOMA_SYNC_SUB] = ZMQ_XSUB,
};

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof(value));
}

/* Nobody needs what a subscriber says at its end: what it wants goes with its connection, and what it has asked has
 * failed. And ZeroMQ may wait for ever to say it, if it is about to connect again. */
static void linger_set(const struct line *line, uint32_t linger)
{
    set(line->socket, ZMQ_LINGER, pattern_subscribes(line->pattern) ? 0 : (int)linger);
}

/*
 * The kernels ask each other who is still there, which they do whether anybody reads or not. ZeroMQ's own heartbeats
 * can't be had with backpressure: who has stopped to read sees none, takes the other side for dead, and is taken for
 * that; and if it is indeed gone, ZeroMQ's next one ends the process. If something is on its way they don't ask: then
 * TCP itself gives up, late, or, if the user has said how soon, even while the other side takes nothing.
 */
static void silence_prepare(void *socket, uint32_t heartbeat_ms)
{
    uint32_t ms = heartbeat_ms ? heartbeat_ms : HEARTBEAT_MS;
    ms = ms < HEARTBEAT_MOST_MS ? ms : HEARTBEAT_MOST_MS;
    const int seconds = (int)((ms + 999) / 1000);
    set(socket, ZMQ_TCP_KEEPALIVE, 1);
    set(socket, ZMQ_TCP_KEEPALIVE_IDLE, seconds);
    set(socket, ZMQ_TCP_KEEPALIVE_INTVL, seconds);
    set(socket, ZMQ_TCP_KEEPALIVE_CNT, ASKS);
    set(socket, ZMQ_TCP_MAXRT, heartbeat_ms ? (int)(3 * ms) : 0);
}

static void socket_prepare(const struct line *line, const soma_channel_options *options)
{
    void *socket = line->socket;
    const int64_t most = (int64_t)line->message_most;
    // From the first: a connection that ends before its socket lingers as was said when that was bound. With ZeroMQ's
    // default, what is left for one who goes in the moment in which the socket is closed holds that up for ever.
    linger_set(line, line->bound ? 0 : u32_load(&line->linger));
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof(most));
    // An XSUB drops what there is no room for: subscriptions, and questions, which remote_request() bounds.
    set(socket, ZMQ_SNDHWM, pattern_subscribes(line->pattern) ? 0 : (int)line->high_water);
    set(socket, ZMQ_RCVHWM, (int)line->high_water);
    set(socket, ZMQ_BACKLOG, BACKLOG);
    set(socket, ZMQ_HANDSHAKE_IVL, (int)LINE_HANDSHAKE);
    silence_prepare(socket, options->heartbeat_ms);
    set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS);
    // An answer or a publication must not reach whoever takes the place of the one that it was for. All else is kept
    // until there is a connection again; and what had come, which ZeroMQ would drop as well, is kept with it.
    set(socket, ZMQ_IMMEDIATE, pattern_answers(line->pattern) || pattern_publishes(line->pattern));
    if (pattern_publishes(line->pattern)) {
        set(socket, ZMQ_XPUB_VERBOSER, 1); // so that subscribers can be counted
        set(socket, ZMQ_XPUB_NODROP, 1);   // see part_send()
    }
    if (pattern_answers(line->pattern)) {
        set(socket, ZMQ_ROUTER_MANDATORY, 1);
        set(socket, ZMQ_ROUTER_HANDOVER, 1); // who comes again with his identity is not shut out by what is left of him
    }
    if (options->identity)
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, options->identity, strlen(options->identity));
}

int socket_error(soma_agent *self, int error)
{
    if (error != EMFILE && error != ENFILE)
        return SOMA_ENOMEM;
    soma_log_error(self, "channels: no more sockets: a channel needs three, each a file, and may have no more of these "
                         "(ulimit -n)");
    return SOMA_EFULL;
}

static int monitor_open(soma_agent *self, struct line *line)
{
    char name[64];
    const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                       ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                       ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED;
    snprintf(name, sizeof(name), "inproc://line-%u", line->number); // ZeroMQ keeps it for a while
    if (zmq_socket_monitor(line->socket, name, events) ||
        !(line->monitor = zmq_socket(line->porter->context, ZMQ_PAIR)))
        return socket_error(self, errno);
    set(line->monitor, ZMQ_RCVHWM, 0); // ZeroMQ's thread must never wait for room
    set(line->monitor, ZMQ_LINGER, 0);
    return zmq_connect(line->monitor, name) ? SOMA_ENOMEM : 0;
}

/* ---- binding, connecting ---- */

/* As ZeroMQ wants it. */
static void endpoint_print(const soma_address *address, char *text, size_t size)
{
    soma_address place = *address;
    place.pattern = SOMA_ANY_PATTERN;
    soma_address_print(&place, text, size);
    if (place.transport == SOMA_TCP && !place.port)
        strncat(text, ":*", size - strlen(text) - 1);
}

static int endpoint_bind(const struct line *line, const soma_address *address, const char *text)
{
    if (address->transport == SOMA_IPC && path_is_taken(address->host))
        return EEXIST;
    if (address->transport == SOMA_IPC && path_is_bound(address->host))
        return EADDRINUSE;
    return zmq_bind(line->socket, text) ? errno : 0;
}

static int socket_bind(soma_agent *self, struct line *line, soma_address *address)
{
    char text[SOMA_ADDRESS_TEXT_SIZE + 16];
    size_t size = sizeof(text);
    endpoint_print(address, text, size);
    int error = endpoint_bind(line, address, text);
    uint64_t vacated = u64_load(&line->porter->vacated), now = system_now(line->porter->system);
    int tries = vacated && now < vacated + BIND_PATIENCE ? BIND_TRIES : 0; // else it is not one of ours that goes
    for (int i = 0; error == EADDRINUSE && i < tries; i++) {
        const struct timespec moment = {0, BIND_PAUSE};
        nanosleep(&moment, NULL);
        error = endpoint_bind(line, address, text);
    }
    if (error == EMFILE || error == ENFILE)
        return socket_error(self, error);
    if (error)
        return channel_refuse(self, line->alias, error == EADDRINUSE || error == EEXIST ? SOMA_EEXIST : SOMA_EINVAL,
                              "can't bind '%s': %s", text, zmq_strerror(error));
    if (address->transport == SOMA_IPC)
        return *address->host == '@' || (line->file = strdup(address->host)) ? 0 : SOMA_ENOMEM;
    soma_pattern pattern = address->pattern;
    if (zmq_getsockopt(line->socket, ZMQ_LAST_ENDPOINT, text, &size) || soma_address_parse(text, address))
        return SOMA_EINVAL;
    address->pattern = pattern;
    address_publish(address);
    return 0;
}

static int socket_connect(soma_agent *self, struct line *line, const soma_address *address)
{
    char text[SOMA_ADDRESS_TEXT_SIZE + 16];
    endpoint_print(address, text, sizeof(text));
    line->endpoint = strdup(text);
    if (!line->endpoint)
        return SOMA_ENOMEM;
    if (!zmq_connect(line->socket, text))
        return 0;
    return channel_refuse(self, line->alias, SOMA_EINVAL, "can't connect to '%s': %s", text, zmq_strerror(errno));
}

int socket_open(soma_agent *self, struct line *line, const soma_channel_options *options, soma_address *address)
{
    if (!address_is_local(address) && !options->insecure && !options->keys)
        return channel_refuse(self, line->alias, SOMA_EINVAL,
                              "'%s' is for other machines, too: that wants keys, or the option `insecure`",
                              address->host);
    const char *wrong = options->keys ? keys_wrong(line, options->keys) : NULL;
    if (wrong)
        return channel_refuse(self, line->alias, SOMA_EFORMAT, "%s", wrong);
    const int kind = kinds[line->pattern];
    line->socket = kind == ZMQ_ROUTER ? router_open(line->porter->context) : zmq_socket(line->porter->context, kind);
    if (!line->socket)
        return socket_error(self, errno);
    socket_prepare(line, options);
    set(line->socket, ZMQ_IPV6, address->transport == SOMA_TCP && strchr(address->host, ':'));
    int error = monitor_open(self, line);
    if (!error && options->keys)
        error = keys_set(line, options->keys);
    if (error)
        return error;
    return line->bound ? socket_bind(self, line, address) : socket_connect(self, line, address);
}

void socket_retry(const struct line *line)
{
    zmq_disconnect(line->socket, line->endpoint);
    if (zmq_connect(line->socket, line->endpoint))
        soma_log_error(line->porter->system, "can't connect to '%s' again: %s", line->endpoint, zmq_strerror(errno));
}

void socket_close(struct line *line, uint32_t linger)
{
    if (line->allowed)
        keys_forget(line);
    if (line->file)
        unlink(line->file); // ZeroMQ doesn't; before the place is free, so that it is nobody else's yet
    if (line->socket) {
        linger_set(line, linger);
        zmq_socket_monitor(line->socket, NULL, 0);
        zmq_close(line->socket);
    }
    if (line->monitor)
        zmq_close(line->monitor);
    line->socket = line->monitor = NULL;
}
