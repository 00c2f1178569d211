/* ZAP, and the list of who has come; see door.h. */
#include "bridges/door.h"
#include "bridges/zmq_cut.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#define WEIGH (20 * SOMA_MS) /* how often that is looked at */
#define ZAP_ADDRESS "inproc://zeromq.zap.01"
#define ZAP_PARTS 7 /* version, id, domain, address, identity, mechanism, key */
#define ZAP_PART_MOST 256

/* A connection that was accepted. */
struct guest {
    struct guest *next;
    int socket;
    uint64_t cookie;
    uint64_t id;    /* 0: it has not said who it is */
    uint64_t until; /* when it ends if nothing happens */
    bool leaves;
    char from[INET6_ADDRSTRLEN];
};

#define UNSAID "ended before it said who it is"
#define QUIET "" /* the log has it already, or need not have it */

/* ---- sockets below ---- */

/* The other side's IP. */
static void origin_of(int socket, char *text, socklen_t room)
{
    struct sockaddr_storage there = {0};
    socklen_t size = sizeof(there);
    const void *ip = &((const struct sockaddr_in *)&there)->sin_addr;
    snprintf(text, room, "somewhere"); // it has gone already
    if (getpeername(socket, (struct sockaddr *)&there, &size))
        return;
    if (there.ss_family == AF_UNIX)
        snprintf(text, room, "this machine");
    if (there.ss_family == AF_INET6)
        ip = &((const struct sockaddr_in6 *)&there)->sin6_addr;
    if (there.ss_family == AF_INET || there.ss_family == AF_INET6)
        inet_ntop(there.ss_family, ip, text, room);
}

/* ---- guests ---- */

static struct guest *guest_find(const struct door *door, int socket, uint64_t id)
{
    struct guest *guest = door->first;
    while (guest && guest->socket != socket && !(id && guest->id == id))
        guest = guest->next;
    return guest;
}

static void guest_remove(struct door *door, struct guest *guest)
{
    struct guest *before = NULL;
    for (struct guest *other = door->first; other != guest; other = other->next)
        before = other;
    *(before ? &before->next : &door->first) = guest->next;
    if (door->last == guest)
        door->last = before;
    door->waiting -= !guest->id;
    free(guest);
}

/* Has one who has not said who it is made ZeroMQ's handshake, as far as can be known? */
static bool guest_shook(struct door *door)
{
    const bool shook = door->shaken > 0;
    door->shaken -= shook;
    return shook;
}

/* It has ended, from whichever side. */
static void guest_gone(struct door *door, struct guest *guest, const char *why)
{
    struct soma_bridge *bridge = door->bridge;
    if (!guest->id) {
        trust_count(bridge, &bridge->counts.failed);
        if (*why && trust_may_log(bridge))
            soma_log_warning(bridge->system, "bridge: a connection from %s has %s", guest->from, why);
    }
    guest_remove(door, guest);
}

/* It has ended it, and ZeroMQ did not say why. A node that has been called meanwhile goes again without a word. */
static void guest_left(struct door *door, struct guest *guest)
{
    if (!guest->id && guest_shook(door) && !guest->leaves)
        guest_remove(door, guest);
    else
        guest_gone(door, guest, UNSAID);
}

static void guest_cut(struct door *door, struct guest *guest)
{
    trust_count(door->bridge, &door->bridge->counts.cut_off);
    socket_cut(guest->socket, guest->cookie);
    if (!guest->id)
        guest_shook(door);
    guest_gone(door, guest, UNSAID);
}

/* One that can't be noted can't be cut off either; ZeroMQ's own time for handshakes is left. */
static void guest_arrive(struct door *door, int socket)
{
    struct guest *guest = guest_find(door, socket, 0);
    if (guest) // its end was not told
        guest_remove(door, guest);
    guest = calloc(1, sizeof(*guest));
    if (!guest)
        return;
    *guest = (struct guest){
        .socket = socket, .cookie = socket_cookie(socket), .until = bridge_now(door->bridge) + HANDSHAKE};
    origin_of(socket, guest->from, sizeof(guest->from));
    if (door->last)
        door->last->next = guest;
    else
        door->first = guest;
    door->last = guest;
    door->waiting++;
    door->due = earlier(door->due, bridge_now(door->bridge) + WEIGH);
}

/* When to look at one again; 0: it is to end. */
static uint64_t guest_due(const struct guest *guest, uint64_t now)
{
    if (now >= guest->until || (!guest->id && socket_received(guest->socket) > UNSAID_MOST))
        return 0;
    return guest->id ? guest->until : earlier(guest->until, now + WEIGH);
}

/* The cookies are sure by now: had a socket gone before its cookie was read, that would have been told. */
uint64_t door_watch(struct door *door)
{
    uint64_t now = bridge_now(door->bridge), due = UINT64_MAX;
    for (struct guest *guest = door->first, *after; guest && door->waiting > WAITING_MOST; guest = after) {
        after = guest->next;
        if (!guest->id)
            guest_cut(door, guest);
    }
    if (now < door->due)
        return door->due;
    for (struct guest *guest = door->first, *after; guest; guest = after) {
        after = guest->next;
        uint64_t next = guest_due(guest, now);
        if (next)
            due = earlier(due, next);
        else
            guest_cut(door, guest);
    }
    door->due = due;
    return due;
}

/* ---- what ZeroMQ tells ---- */

static void events_receive(struct door *door)
{
    struct {
        uint16_t kind;
        unsigned char value[4];
    } event;
    char address[256];
    while (zmq_recv(door->monitor, &event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
        int value; // the socket, if it is not said what failed
        memcpy(&value, event.value, sizeof(value));
        zmq_recv(door->monitor, address, sizeof(address), ZMQ_DONTWAIT);
        struct guest *guest;
        switch (event.kind) {
        case ZMQ_EVENT_ACCEPTED:
            trust_count(door->bridge, &door->bridge->counts.accepted);
            guest_arrive(door, value);
            break;
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            door->shaken++;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            door->why = QUIET;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: // as of a node that has made another connection sooner
            if (value == EPIPE || value == ECONNRESET)
                door->why = QUIET;
            break;
        case ZMQ_EVENT_DISCONNECTED:
            guest = guest_find(door, value, 0);
            if (guest && door->why)
                guest_gone(door, guest, door->why);
            else if (guest)
                guest_left(door, guest);
            door->why = NULL;
            break;
        default:
            break;
        }
    }
}

/* One that has just come may have spoken before its coming was read, and so the going of who had its socket before. */
static struct guest *guest_meet(struct door *door, int socket, uint64_t id)
{
    struct guest *guest = guest_find(door, socket, 0);
    if (guest && guest->id == id)
        return guest;
    events_receive(door);
    guest = guest_find(door, socket, 0);
    return guest && (!guest->id || guest->id == id) ? guest : NULL;
}

void door_admit(struct door *door, int socket, uint64_t id)
{
    struct guest *guest = guest_meet(door, socket, id);
    if (!guest || guest->id)
        return;
    guest->id = id;
    guest->until = UINT64_MAX;
    door->waiting--;
    door->shaken--;
}

static struct guest *guest_of(struct door *door, int socket, uint64_t id)
{
    struct guest *guest = guest_find(door, -1, id);
    return guest ? guest : guest_meet(door, socket, id);
}

void door_dismiss(struct door *door, int socket, uint64_t id)
{
    struct guest *guest = guest_of(door, socket, id);
    if (!guest || guest->leaves)
        return;
    guest->leaves = true;
    guest->until = bridge_now(door->bridge) + FAREWELL;
    door->due = earlier(door->due, guest->until);
}

void door_eject(struct door *door, int socket, uint64_t id)
{
    struct guest *guest = guest_of(door, socket, id);
    if (guest && guest->leaves)
        guest_cut(door, guest);
}

void door_turn_away(struct door *door, int socket)
{
    struct guest *guest = guest_meet(door, socket, 0);
    if (guest)
        guest_cut(door, guest);
}

/* ---- ZAP ---- */

/* A request's parts. How many; what is longer than it may be counts as empty. */
static int zap_receive(void *zap, unsigned char parts[][ZAP_PART_MOST], size_t sizes[])
{
    int count = 0;
    for (int more = 1; more; count++) {
        unsigned char rest[1];
        bool wanted = count < ZAP_PARTS;
        size_t length = sizeof(more), most = wanted ? ZAP_PART_MOST : sizeof(rest);
        int size = zmq_recv(zap, wanted ? parts[count] : rest, most, ZMQ_DONTWAIT);
        if (size < 0)
            return 0;
        if (wanted)
            sizes[count] = size <= ZAP_PART_MOST ? (size_t)size : 0;
        if (zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &length))
            return 0;
    }
    return count;
}

static void zap_say(void *zap, const void *part, size_t size, int flags)
{
    zmq_send(zap, part, size, ZMQ_DONTWAIT | flags);
}

/* One who asks to come in with CURVE has proven to have the key. True if there may be more who ask. */
static bool zap_answer(struct door *door)
{
    unsigned char parts[ZAP_PARTS][ZAP_PART_MOST];
    size_t sizes[ZAP_PARTS];
    char key[KEY_SIZE] = "";
    int count = zap_receive(door->zap, parts, sizes);
    if (!count)
        return false;
    bool curve = count == ZAP_PARTS && sizes[5] == 5 && !memcmp(parts[5], "CURVE", 5) && sizes[6] == 32;
    bool allowed = curve && zmq_z85_encode(key, parts[6], 32) && trust_key(door->bridge, key);
    if (!allowed)
        trust_count(door->bridge, &door->bridge->counts.refused);
    if (!allowed && trust_may_log(door->bridge))
        soma_log_warning(door->bridge->system, "bridge: the key '%s' of %.*s is not allowed", key,
                         count > 3 ? (int)sizes[3] : 0, (const char *)parts[3]);
    zap_say(door->zap, "1.0", 3, ZMQ_SNDMORE);
    zap_say(door->zap, parts[1], count > 1 ? sizes[1] : 0, ZMQ_SNDMORE);
    zap_say(door->zap, allowed ? "200" : "400", 3, ZMQ_SNDMORE);
    zap_say(door->zap, "", 0, ZMQ_SNDMORE);
    zap_say(door->zap, key, allowed ? strlen(key) : 0, ZMQ_SNDMORE); // becomes each message's User-Id
    zap_say(door->zap, "", 0, 0);
    return true;
}

void door_look(struct door *door)
{
    events_receive(door);
    while (door->zap && zap_answer(door))
        ;
}

/* ---- opening and closing ---- */

static int curve_serve(struct door *door, void *context, void *router)
{
    const struct keys *keys = &door->bridge->keys;
    const int on = 1;
    door->zap = zmq_socket(context, ZMQ_REP);
    if (!door->zap || zmq_bind(door->zap, ZAP_ADDRESS)) // without it all keys would do
        return SOMA_ENOMEM;
    if (zmq_setsockopt(router, ZMQ_CURVE_SERVER, &on, sizeof(on)) ||
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, keys->secret_key, KEY_SIZE) ||
        zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, "soma", 4))
        return SOMA_ENOMEM;
    return 0;
}

int door_open(struct door *door, struct soma_bridge *bridge, void *context, void *router)
{
    const int all = 0, none = 0;
    *door = (struct door){.bridge = bridge, .due = UINT64_MAX};
    // Not ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: while it tells of what is no message by CURVE, ZeroMQ forgets what it
    // was about to do (4.3.4).
    const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                       ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    if (zmq_socket_monitor(router, "inproc://door", events))
        return SOMA_ENOMEM;
    door->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!door->monitor)
        return SOMA_ENOMEM;
    zmq_setsockopt(door->monitor, ZMQ_RCVHWM, &all, sizeof(all)); // ZeroMQ's thread must never wait for room
    zmq_setsockopt(door->monitor, ZMQ_LINGER, &none, sizeof(none));
    if (zmq_connect(door->monitor, "inproc://door"))
        return SOMA_ENOMEM;
    return bridge->keys.on ? curve_serve(door, context, router) : 0;
}

void door_close(struct door *door)
{
    while (door->first)
        guest_remove(door, door->first);
    if (door->monitor)
        zmq_close(door->monitor);
    if (door->zap)
        zmq_close(door->zap);
    door->monitor = door->zap = NULL;
}
