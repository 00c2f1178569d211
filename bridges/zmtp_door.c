/*
 * Where others come in: the addresses that a node listens at, and those who have come and not said who they are. These
 * have little time, little to say, and few places: the oldest gives way.
 */
#include "bridges/address.h"
#include "bridges/zmtp_parts.h"
#include "runtime/interface.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_MOST 64        /* before the others get their turn */
#define REOPEN (10 * SOMA_MS) /* until there may be files again */

/* ---- guests ---- */

void guest_said(struct zmtp_wire *wire, struct stream *stream)
{
    if (!stream->called || stream->said)
        return;
    stream->said = true;
    stream->until = UINT64_MAX;
    wire->waiting--;
}

void guest_gone(struct zmtp_wire *wire, struct stream *stream, const char *what)
{
    struct soma_bridge *bridge = wire->keeper.bridge;
    if (!stream->called || stream->said)
        return;
    trust_count(bridge, &bridge->counts.failed);
    if (what && trust_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: a connection from %s %s", stream->from, what);
}

void guest_cut(struct zmtp_wire *wire, struct stream *stream, const char *what)
{
    trust_count(wire->keeper.bridge, &wire->keeper.bridge->counts.cut_off);
    guest_gone(wire, stream, what);
    stream_end(wire, stream);
    bridge_broken(wire->keeper.bridge, stream->id);
}

/* The oldest of those who have not said who they are go, until there are no more than so many. */
static void guests_bound(struct zmtp_wire *wire, uint32_t most)
{
    for (struct stream *stream = wire->streams; stream && wire->waiting > most; stream = stream->next)
        if (stream->called && !stream->said && !stream->gone)
            guest_cut(wire, stream, "has ended before it said who it is, as others want its place");
}

/* ---- who comes ---- */

/* Or files are, which are that, too. */
static bool memory_is_out(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* The other side's IP. */
static void origin_write(const struct sockaddr_storage *there, char *text, socklen_t room)
{
    if (there->ss_family != AF_INET)
        snprintf(text, room, "this machine");
    else
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)there)->sin_addr, text, room);
}

static void guest_arrive(struct zmtp_wire *wire, int socket, const struct sockaddr_storage *there)
{
    const int on = 1;
    trust_count(wire->keeper.bridge, &wire->keeper.bridge->counts.accepted);
    if (there->ss_family == AF_INET)
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct stream *stream = stream_new(wire, socket, STREAM_GREETS);
    if (!stream) {
        close(socket);
        return;
    }
    stream->called = true;
    stream_until(wire, stream, bridge_now(wire->keeper.bridge) + HANDSHAKE);
    wire->waiting++;
    origin_write(there, stream->from, sizeof(stream->from));
    if (post_watch_handle(&wire->keeper.post, socket, stream->id, false))
        stream_greet(wire, stream);
    else
        stream_fail(wire, stream);
    guests_bound(wire, WAITING_MOST);
}

bool door_accept(struct zmtp_wire *wire, struct doorway *door)
{
    for (int i = 0; i < ACCEPT_MOST; i++) {
        struct sockaddr_storage there = {0};
        socklen_t size = sizeof(there);
        int socket = accept4(door->socket, (struct sockaddr *)&there, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            guest_arrive(wire, socket, &there);
        } else if (memory_is_out(errno)) {
            wire->opens = bridge_now(wire->keeper.bridge) + REOPEN; // no word comes of those who wait already
            guests_bound(wire, wire->waiting ? wire->waiting - 1 : 0);
            return false;
        } else if (errno == EAGAIN) {
            return false;
        } // else it is of one connection, that came to nothing
    }
    return true;
}

/* ---- addresses ---- */

/* The socket, or -1 with errno. */
static int listen_at(const struct sockaddr *here, socklen_t size)
{
    const int on = 1;
    int handle = socket(here->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (handle < 0)
        return -1;
    setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!bind(handle, here, size) && !listen(handle, BACKLOG))
        return handle;
    const int error = errno;
    close(handle);
    errno = error;
    return -1;
}

static int tcp_listen(const char *place)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    char host[ADDRESS_MAX + 8];
    here.sin_port = htons(address_split(place, host, sizeof(host)));
    if (strcmp(host, "*") != 0 && inet_pton(AF_INET, host, &here.sin_addr) != 1 &&
        !(interface_find(host, AF_INET, host, sizeof(host)) && inet_pton(AF_INET, host, &here.sin_addr) == 1)) {
        errno = ENODEV;
        return -1;
    }
    return listen_at((const struct sockaddr *)&here, sizeof(here));
}

static int path_listen(const char *path)
{
    struct sockaddr_un here;
    const socklen_t size = address_to_path(path, &here);
    errno = size ? path_obstacle(path) : ENAMETOOLONG;
    if (errno)
        return -1;
    if (path[0] != '@')
        unlink(path); // of one who does not listen there any more
    return listen_at((const struct sockaddr *)&here, size);
}

/* Where it listens, as others call it. */
static int door_publish(struct zmtp_wire *wire, const struct doorway *door, const char *place)
{
    struct soma_bridge *bridge = wire->keeper.bridge;
    struct sockaddr_in here = {0};
    socklen_t size = sizeof(here);
    char bound[ADDRESS_MAX + 8], host[INET_ADDRSTRLEN] = "";
    if (bridge->options.advertise)
        return 0;
    snprintf(bound, sizeof(bound), "%s", place);
    if (!door->path && !strncmp(place, "tcp://", 6)) {
        if (getsockname(door->socket, (struct sockaddr *)&here, &size))
            return SOMA_EINVAL;
        inet_ntop(AF_INET, &here.sin_addr, host, sizeof(host));
        snprintf(bound, sizeof(bound), "tcp://%s:%u", host, ntohs(here.sin_port));
        address_publish(bound, sizeof(bound));
    }
    return bridge_bound(bridge, bound);
}

int door_bind(struct keeper *keeper, const char *address)
{
    struct zmtp_wire *wire = (struct zmtp_wire *)keeper;
    char place[ADDRESS_MAX + 8];
    int error = address_bind(wire->keeper.bridge, address, place, sizeof(place));
    if (error)
        return error;
    if (wire->door_count == DOORS_MOST) {
        soma_log_error(wire->keeper.bridge->system, "bridge: '%s' is one address too many: %u can be bound", address,
                       DOORS_MOST);
        return SOMA_ETOOBIG;
    }
    struct doorway *door = &wire->doors[wire->door_count];
    const bool path = !strncmp(place, "ipc://", 6);
    *door = (struct doorway){.socket = path ? path_listen(place + 6) : tcp_listen(place)};
    if (door->socket < 0) {
        const bool out = memory_is_out(errno);
        error = address_refuse(wire->keeper.bridge, address, errno);
        return out ? SOMA_ENOMEM : error;
    }
    wire->door_count++;
    const bool file = path && place[6] != '@';
    door->path = file ? strdup(place + 6) : NULL;
    if (file && !door->path)
        return SOMA_ENOMEM;
    if (!post_watch_handle(&wire->keeper.post, door->socket, wire->door_count, false))
        return SOMA_ENOMEM;
    return door_publish(wire, door, place);
}

void doors_close(struct zmtp_wire *wire)
{
    for (; wire->door_count; wire->door_count--) {
        struct doorway *door = &wire->doors[wire->door_count - 1];
        close(door->socket);
        if (door->path)
            unlink(door->path);
        free(door->path);
    }
}
