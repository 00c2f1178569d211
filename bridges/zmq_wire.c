/*
 * ZeroMQ as a wire. One ROUTER takes all who connect here; each connection that this side makes is a DEALER of its own,
 * with a monitor that tells how it fares. A DEALER never connects again by itself: the bridge does, so that a
 * connection is one stream that ends once. All sockets are the thread's.
 *
 * A ROUTER's peers are told apart by the five bytes that it gives them, a zero and four that count; so their
 * connection's number is those four with the highest bit set, and those of DEALERs are counted without it.
 */
#include "bridges/zmq_wire.h"
#include "bridges/address.h"
#include "bridges/door.h"
#include "bridges/zmq_end.h"
#include "runtime/thread.h"
#include <errno.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define ACCEPTED (UINT64_C(1) << 63)
/* Of one socket, before the others and the bridge get their turn: acknowledgements, beats, handshakes wait for it. */
#define RECEIVE_MOST 256 /* frames */
#define RECEIVE_BYTES ((size_t)512 * 1024)
#define NEVER_MS (24 * 60 * 60 * 1000)
#define GOODBYE_MS 300 /* for what was said last to leave */
#define BACKLOG 1024

struct dealer {
    struct dealer *next;
    uint64_t id;
    struct zmq_end socket;
    struct zmq_end monitor;
    bool connected;
    bool gone; /* hung up: closed after the round that it may be part of */
};

struct zmq_wire {
    struct soma_bridge *bridge;
    void *context;
    int poll; /* an epoll */
    int bell; /* an eventfd */
    struct zmq_end router;
    struct zmq_end guard; /* for the door, whose sockets are its own */
    struct door door;
    zmq_msg_t *current; /* the frame of an accepted connection that the bridge has just been given */
    uint64_t current_id;
    struct dealer *dealers;
    uint64_t next_id;
    bool looks;              /* some end is to be looked at, whatever its handle says */
    struct zmq_end *touched; /* by which something was sent last */
    pthread_mutex_t turn;    /* the thread's, but while it waits: then who sends in its place may take it */
    bool waits;              /* under the turn */
    uint64_t *broken;        /* connections to tell the bridge of, once it has returned */
    uint32_t broken_count;
    uint32_t broken_capacity;
    bool drained;
    bool started;
    pthread_t thread;
};

/* ---- sockets ---- */

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof(value));
}

static void socket_prepare(const struct zmq_wire *wire, void *socket)
{
    const int64_t most = (int64_t)wire->bridge->options.message_most + (1 << 20);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof(most));
    set(socket, ZMQ_HANDSHAKE_IVL, (int)(HANDSHAKE / SOMA_MS));
    set(socket, ZMQ_BACKLOG, BACKLOG);
    set(socket, ZMQ_LINGER, 0);
    set(socket, ZMQ_SNDHWM, 0); // the session's window bounds what is under way, and nothing may be dropped
    set(socket, ZMQ_RCVHWM, 1000);
}

static void broken_note(struct zmq_wire *wire, uint64_t id)
{
    if (wire->broken_count == wire->broken_capacity) {
        uint32_t capacity = wire->broken_capacity ? wire->broken_capacity * 2 : 16;
        uint64_t *grown = realloc(wire->broken, capacity * sizeof(*grown));
        if (!grown)
            return; // silence will end it
        wire->broken = grown;
        wire->broken_capacity = capacity;
    }
    wire->broken[wire->broken_count++] = id;
}

static struct dealer *dealer_find(const struct zmq_wire *wire, uint64_t id)
{
    struct dealer *dealer = wire->dealers;
    while (dealer && dealer->id != id)
        dealer = dealer->next;
    return dealer;
}

static void socket_close(const struct zmq_wire *wire, void *socket, int linger)
{
    if (!socket)
        return;
    zmq_end_forget(wire->poll, socket);
    set(socket, ZMQ_LINGER, linger);
    zmq_close(socket);
}

static void dealer_free(const struct zmq_wire *wire, struct dealer *dealer, int linger)
{
    if (dealer->socket.socket)
        zmq_socket_monitor(dealer->socket.socket, NULL, 0);
    socket_close(wire, dealer->socket.socket, linger);
    socket_close(wire, dealer->monitor.socket, 0);
    free(dealer);
}

/* ---- the wire ---- */

static bool curve_dial(const struct zmq_wire *wire, void *socket, const struct address *address)
{
    const struct keys *keys = &wire->bridge->keys;
    return !zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, address->key, KEY_SIZE) &&
           !zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->public_key, KEY_SIZE) &&
           !zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, KEY_SIZE);
}

static int dealer_open(struct zmq_wire *wire, struct dealer *dealer, const struct address *address)
{
    char monitor[64];
    snprintf(monitor, sizeof(monitor), "inproc://monitor-%llu", (unsigned long long)dealer->id);
    void *socket = dealer->socket.socket = zmq_socket(wire->context, ZMQ_DEALER);
    if (!socket)
        return SOMA_ENOMEM;
    socket_prepare(wire, socket);
    if (address->key[0] && !curve_dial(wire, socket, address))
        return SOMA_ENOMEM;
    set(socket, ZMQ_RECONNECT_IVL, NEVER_MS); // -1 would drop what has come and was not read at the end
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor(socket, monitor, events))
        return SOMA_ENOMEM;
    dealer->monitor.socket = zmq_socket(wire->context, ZMQ_PAIR);
    if (!dealer->monitor.socket || zmq_connect(dealer->monitor.socket, monitor) ||
        !zmq_end_watch(wire->poll, dealer->monitor.socket, &dealer->monitor) ||
        !zmq_end_watch(wire->poll, socket, &dealer->socket))
        return SOMA_ENOMEM;
    wire->looks = true;
    return zmq_connect(socket, address->place) ? SOMA_EINVAL : 0;
}

static int wire_dial(void *context, const char *address, uint64_t *connection)
{
    struct zmq_wire *wire = context;
    struct address parts;
    if (address_check(wire->bridge, address, &parts))
        return SOMA_EINVAL;
    if (parts.key[0] && !trust_key(wire->bridge, parts.key)) {
        if (trust_may_log(wire->bridge))
            soma_log_warning(wire->bridge->system, "bridge: the key of '%s' is not allowed", address);
        return SOMA_EINVAL;
    }
    struct dealer *dealer = calloc(1, sizeof(*dealer));
    if (!dealer)
        return SOMA_ENOMEM;
    dealer->id = ++wire->next_id;
    int error = dealer_open(wire, dealer, &parts);
    if (error) {
        dealer_free(wire, dealer, 0);
        return error;
    }
    dealer->next = wire->dealers;
    wire->dealers = dealer;
    *connection = dealer->id;
    return 0;
}

static int frame_write(void *socket, const struct pieces *frame)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, pieces_size(frame)))
        return -1;
    pieces_join(frame, zmq_msg_data(&message));
    int sent = zmq_msg_send(&message, socket, ZMQ_DONTWAIT);
    if (sent < 0)
        zmq_msg_close(&message);
    return sent;
}

static void wire_send(void *context, uint64_t connection, const struct pieces *frame)
{
    struct zmq_wire *wire = context;
    struct dealer *dealer = connection & ACCEPTED ? NULL : dealer_find(wire, connection);
    struct zmq_end *end = connection & ACCEPTED ? &wire->router : dealer && !dealer->gone ? &dealer->socket : NULL;
    int sent = end ? 0 : -1;
    if (end == &wire->router) {
        uint32_t number = (uint32_t)connection;
        unsigned char identity[5] = {0};
        memcpy(identity + 1, &number, sizeof(number));
        sent = zmq_send(end->socket, identity, sizeof(identity), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    }
    if (sent >= 0)
        sent = frame_write(end->socket, frame);
    if (sent < 0)
        broken_note(wire, connection);
    if (end)
        end->look = wire->looks = true;
    wire->touched = end;
}

/* The socket that a frame came through. */
static int frame_socket(zmq_msg_t *frame)
{
    return zmq_msg_get(frame, ZMQ_SRCFD);
}

static void wire_hang_up(void *context, uint64_t connection)
{
    struct zmq_wire *wire = context;
    struct dealer *dealer = connection & ACCEPTED ? NULL : dealer_find(wire, connection);
    if (dealer)
        dealer->gone = true;
    if (connection & ACCEPTED)
        door_dismiss(&wire->door, wire->current && wire->current_id == connection ? frame_socket(wire->current) : -1,
                     connection);
}

static const char *wire_greeted(void *context, uint64_t connection)
{
    struct zmq_wire *wire = context;
    if (!wire->current || wire->current_id != connection)
        return NULL;
    door_admit(&wire->door, frame_socket(wire->current), connection);
    return zmq_msg_gets(wire->current, "User-Id"); // as zap_answer() has said
}

static void wire_wake(void *context)
{
    const uint64_t one = 1;
    if (write(((struct zmq_wire *)context)->bell, &one, sizeof(one)) != sizeof(one))
        return; // it rings already
}

/* ---- in the thread's place ---- */

static bool wire_enter(void *context)
{
    struct zmq_wire *wire = context;
    if (pthread_mutex_trylock(&wire->turn))
        return false;
    bool waits = wire->waits;
    wire->touched = NULL;
    if (!waits)
        pthread_mutex_unlock(&wire->turn);
    return waits;
}

/* The socket that something was sent by may have taken the word that something has come, which the thread waits for. */
static void wire_leave(void *context)
{
    struct zmq_wire *wire = context;
    bool wanted = wire->broken_count;
    if (wire->touched) {
        wire->touched->look = zmq_end_has(wire->touched->socket);
        wanted |= wire->touched->look;
    }
    pthread_mutex_unlock(&wire->turn);
    if (wanted)
        wire_wake(wire);
}

/* ---- addresses ---- */

static int wire_bind(struct zmq_wire *wire, const char *address)
{
    struct soma_bridge *bridge = wire->bridge;
    char bound[ADDRESS_MAX + 8];
    size_t size = sizeof(bound);
    bool tcp = !strncmp(address, "tcp://", 6);
    if ((!tcp && strncmp(address, "ipc://", 6) != 0) || strlen(address) > ADDRESS_MAX) {
        soma_log_error(bridge->system, "bridge: '%s' is no address: tcp://IP, tcp://IP:PORT or ipc://PATH", address);
        return SOMA_EINVAL;
    }
    if (!address_is_local(address) && !bridge->keys.on && !bridge->options.insecure) {
        soma_log_error(bridge->system,
                       "bridge: '%s' can be reached from other machines: that wants keys, or the option `insecure`",
                       address);
        return SOMA_EINVAL;
    }
    snprintf(bound, sizeof(bound), "%s%s", address, tcp && !strchr(address + 6, ':') ? ":*" : "");
    if (zmq_bind(wire->router.socket, bound)) {
        soma_log_error(bridge->system, "bridge: can't bind '%s': %s", address, zmq_strerror(errno));
        return errno == EADDRINUSE ? SOMA_EEXIST : SOMA_EINVAL;
    }
    if (bridge->options.advertise)
        return 0;
    zmq_getsockopt(wire->router.socket, ZMQ_LAST_ENDPOINT, bound, &size);
    return bridge_bound(bridge, bound);
}

/* ---- the thread ---- */

/* A frame of an accepted connection. */
static void frame_accepted(struct zmq_wire *wire, uint64_t connection, zmq_msg_t *frame, size_t size)
{
    if (wire->door.leaving && door_ignores(&wire->door, frame_socket(frame)))
        return;
    wire->current = frame;
    wire->current_id = connection;
    bridge_received(wire->bridge, connection, zmq_msg_data(frame), size);
    wire->current = NULL;
}

/* One frame of a socket, if there is any: its bytes; or -1. */
static int64_t frame_receive(struct zmq_wire *wire, void *socket, uint64_t connection)
{
    unsigned char identity[256];
    zmq_msg_t frame;
    int size = connection ? 0 : zmq_recv(socket, identity, sizeof(identity), ZMQ_DONTWAIT);
    if (size < 0)
        return -1;
    uint32_t number = 0;
    if (!connection && size == 5)
        memcpy(&number, identity + 1, sizeof(number));
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
        return -1;
    size_t bytes = zmq_msg_more(&frame) ? 0 : zmq_msg_size(&frame); // no node of ours sends parts: they are no frame
    if (connection)
        bridge_received(wire->bridge, connection, zmq_msg_data(&frame), bytes);
    else if (size == 5)
        frame_accepted(wire, ACCEPTED | number, &frame, bytes);
    while (zmq_msg_more(&frame))
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
            break;
    zmq_msg_close(&frame);
    return (int64_t)bytes;
}

/* True if there were any. */
static bool frames_receive(struct zmq_wire *wire, struct zmq_end *end, uint64_t connection)
{
    size_t total = 0;
    int count = 0;
    while (count < RECEIVE_MOST && total < RECEIVE_BYTES) {
        int64_t bytes = frame_receive(wire, end->socket, connection);
        if (bytes < 0) {
            end->look = false;
            return count;
        }
        total += (size_t)bytes;
        count++;
    }
    end->look = wire->looks = true;
    return true;
}

/* What the monitor tells: an event's number and value, then an address. */
static void monitor_receive(struct zmq_wire *wire, struct dealer *dealer)
{
    unsigned char event[6];
    char address[ADDRESS_MAX + 1];
    while (zmq_recv(dealer->monitor.socket, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
        uint16_t kind;
        memcpy(&kind, event, sizeof(kind));
        zmq_recv(dealer->monitor.socket, address, sizeof(address), ZMQ_DONTWAIT);
        if (dealer->gone)
            continue;
        if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            dealer->connected = true;
            bridge_connected(wire->bridge, dealer->id);
        } else {
            dealer->gone = true;
            bridge_broken(wire->bridge, dealer->id);
        }
    }
}

static void broken_tell(struct zmq_wire *wire)
{
    while (wire->broken_count) {
        uint64_t id = wire->broken[--wire->broken_count];
        struct dealer *dealer = id & ACCEPTED ? NULL : dealer_find(wire, id);
        if (dealer)
            dealer->gone = true;
        bridge_broken(wire->bridge, id);
    }
}

static void dealers_sweep(struct zmq_wire *wire)
{
    for (struct dealer **link = &wire->dealers; *link;) {
        struct dealer *dealer = *link;
        if (!dealer->gone) {
            link = &dealer->next;
            continue;
        }
        *link = dealer->next;
        dealer_free(wire, dealer, GOODBYE_MS);
    }
}

/* True if it brought any frames. */
static bool dealer_look(struct zmq_wire *wire, struct dealer *dealer)
{
    bool told = dealer->monitor.look, any = false;
    if ((dealer->socket.look || told) && !dealer->gone)
        any = frames_receive(wire, &dealer->socket, dealer->id);
    while (told && dealer->socket.look && !dealer->gone) // the frames of one whose end is told came before that: all
        any = frames_receive(wire, &dealer->socket, dealer->id);
    if (told)
        monitor_receive(wire, dealer);
    dealer->monitor.look = false;
    return any || told;
}

/* Reads what there is, of each end not too much at a time. False if there was nothing. */
static bool ends_look(struct zmq_wire *wire)
{
    bool any = false;
    wire->looks = false;
    if (wire->guard.look)
        door_look(&wire->door); // who comes is known before what he says
    wire->guard.look = false;
    if (wire->router.look)
        any = frames_receive(wire, &wire->router, 0);
    for (struct dealer *dealer = wire->dealers; dealer; dealer = dealer->next)
        if (dealer->socket.look || dealer->monitor.look)
            any |= dealer_look(wire, dealer);
    return any;
}

static void round_run(struct zmq_wire *wire, long timeout)
{
    if (wire->looks && ends_look(wire))
        return;
    wire->waits = true;
    pthread_mutex_unlock(&wire->turn);
    zmq_ends_await(wire->poll, wire->bell, wire->looks ? 0 : (int)timeout);
    pthread_mutex_lock(&wire->turn);
    wire->waits = false;
    ends_look(wire);
}

/* Milliseconds until a time, rounded up. */
static long timeout_until(const struct soma_bridge *bridge, uint64_t until)
{
    uint64_t now = bridge_now(bridge);
    if (until == UINT64_MAX)
        return -1;
    return until <= now ? 0 : (long)((until - now + SOMA_MS - 1) / SOMA_MS);
}

static void *wire_main(void *argument)
{
    struct zmq_wire *wire = argument;
    struct soma_bridge *bridge = wire->bridge;
    uint64_t deadline = UINT64_MAX; // of closing
    worker_enter(bridge->worker);
    pthread_mutex_lock(&wire->turn);
    for (;;) {
        uint64_t next = bridge_turn(bridge), due = door_watch(&wire->door);
        next = next < due ? next : due;
        broken_tell(wire);
        dealers_sweep(wire);
        if (u32_load(&bridge->closing)) {
            if (deadline == UINT64_MAX)
                deadline = bridge_now(bridge) + bridge->options.close_ms * SOMA_MS;
            wire->drained = bridge_is_drained(bridge);
            if (wire->drained || bridge_now(bridge) >= deadline)
                break;
            next = next < deadline ? next : deadline;
        }
        round_run(wire, timeout_until(bridge, next));
    }
    bridge_goodbye(bridge);
    pthread_mutex_unlock(&wire->turn);
    return NULL;
}

/* ---- opening and closing ---- */

/* The bell, the router and the door. 0 or SOMA_ENOMEM. */
static int wire_sockets(struct zmq_wire *wire)
{
    struct epoll_event rings = {.events = EPOLLIN, .data.ptr = NULL};
    wire->router.socket = zmq_socket(wire->context, ZMQ_ROUTER);
    if (!wire->router.socket || epoll_ctl(wire->poll, EPOLL_CTL_ADD, wire->bell, &rings))
        return SOMA_ENOMEM;
    socket_prepare(wire, wire->router.socket);
    set(wire->router.socket, ZMQ_ROUTER_MANDATORY, 1);
    int error = door_open(&wire->door, wire->bridge, wire->context, wire->router.socket);
    if (error)
        return error;
    wire->looks = true;
    bool watched = zmq_end_watch(wire->poll, wire->door.monitor, &wire->guard) &&
                   (!wire->door.zap || zmq_end_watch(wire->poll, wire->door.zap, &wire->guard)) &&
                   zmq_end_watch(wire->poll, wire->router.socket, &wire->router);
    return watched ? 0 : SOMA_ENOMEM;
}

int zmq_wire_open(struct soma_bridge *bridge, struct zmq_wire **result)
{
    struct zmq_wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return SOMA_ENOMEM;
    wire->bridge = bridge;
    pthread_mutex_init(&wire->turn, NULL);
    wire->poll = epoll_create1(EPOLL_CLOEXEC);
    wire->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    wire->context = zmq_ctx_new();
    if (wire->context) // three a connection that this side makes
        zmq_ctx_set(wire->context, ZMQ_MAX_SOCKETS, zmq_ctx_get(wire->context, ZMQ_SOCKET_LIMIT));
    int error = wire->bell < 0 || !wire->context ? SOMA_ENOMEM : wire_sockets(wire);
    for (const struct dial *dial = bridge->dials; !error && dial; dial = dial->next) {
        struct address parts;
        error = address_check(bridge, dial->address, &parts);
    }
    for (uint32_t i = 0; !error && bridge->options.bind && bridge->options.bind[i]; i++)
        error = wire_bind(wire, bridge->options.bind[i]);
    if (error) {
        zmq_wire_free(wire);
        return error;
    }
    bridge->wire =
        (struct wire){wire_dial, wire_send, wire_hang_up, wire_wake, wire, wire_greeted, wire_enter, wire_leave};
    *result = wire;
    return 0;
}

int zmq_wire_start(struct zmq_wire *wire)
{
    int error = thread_start(&wire->thread, wire_main, wire);
    wire->started = !error;
    return error;
}

bool zmq_wire_stop(struct zmq_wire *wire)
{
    if (!wire->started)
        return true;
    u32_store(&wire->bridge->closing, 1);
    wire_wake(wire);
    pthread_join(wire->thread, NULL);
    wire->started = false;
    for (struct dealer *dealer = wire->dealers; dealer; dealer = dealer->next)
        dealer->gone = true;
    dealers_sweep(wire);
    socket_close(wire, wire->router.socket, GOODBYE_MS);
    wire->router.socket = NULL;
    return wire->drained;
}

void zmq_wire_free(struct zmq_wire *wire)
{
    socket_close(wire, wire->router.socket, 0);
    door_close(&wire->door);
    if (wire->context)
        zmq_ctx_term(wire->context);
    if (wire->bell >= 0)
        close(wire->bell);
    if (wire->poll >= 0)
        close(wire->poll);
    free(wire->broken);
    pthread_mutex_destroy(&wire->turn);
    free(wire);
}
