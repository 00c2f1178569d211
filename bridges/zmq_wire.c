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
#include "runtime/thread.h"
#include <errno.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    void *socket;
    void *monitor;
    bool connected;
    bool gone; /* hung up: closed after the round that it may be part of */
};

struct zmq_wire {
    struct soma_bridge *bridge;
    void *context;
    void *router;
    int bell; /* an eventfd */
    struct door door;
    zmq_msg_t *current; /* the frame of an accepted connection that the bridge has just been given */
    uint64_t current_id;
    struct dealer *dealers;
    uint32_t dealer_count;
    uint64_t next_id;
    zmq_pollitem_t *items;
    uint32_t item_capacity;
    uint64_t *broken; /* connections to tell the bridge of, once it has returned */
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

static void dealer_free(struct dealer *dealer, int linger)
{
    if (dealer->socket) {
        set(dealer->socket, ZMQ_LINGER, linger);
        zmq_socket_monitor(dealer->socket, NULL, 0);
        zmq_close(dealer->socket);
    }
    if (dealer->monitor)
        zmq_close(dealer->monitor);
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
    dealer->socket = zmq_socket(wire->context, ZMQ_DEALER);
    if (!dealer->socket)
        return SOMA_ENOMEM;
    socket_prepare(wire, dealer->socket);
    if (address->key[0] && !curve_dial(wire, dealer->socket, address))
        return SOMA_ENOMEM;
    set(dealer->socket, ZMQ_RECONNECT_IVL, NEVER_MS); // -1 would drop what has come and was not read at the end
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor(dealer->socket, monitor, events))
        return SOMA_ENOMEM;
    dealer->monitor = zmq_socket(wire->context, ZMQ_PAIR);
    if (!dealer->monitor || zmq_connect(dealer->monitor, monitor))
        return SOMA_ENOMEM;
    set(dealer->monitor, ZMQ_LINGER, 0);
    return zmq_connect(dealer->socket, address->place) ? SOMA_EINVAL : 0;
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
        dealer_free(dealer, 0);
        return error;
    }
    dealer->next = wire->dealers;
    wire->dealers = dealer;
    wire->dealer_count++;
    *connection = dealer->id;
    return 0;
}

static void wire_send(void *context, uint64_t connection, const void *frame, size_t size)
{
    struct zmq_wire *wire = context;
    int sent;
    if (connection & ACCEPTED) {
        uint32_t number = (uint32_t)connection;
        unsigned char identity[5] = {0};
        memcpy(identity + 1, &number, sizeof(number));
        sent = zmq_send(wire->router, identity, sizeof(identity), ZMQ_SNDMORE | ZMQ_DONTWAIT);
        if (sent >= 0)
            sent = zmq_send(wire->router, frame, size, ZMQ_DONTWAIT);
    } else {
        const struct dealer *dealer = dealer_find(wire, connection);
        sent = dealer && !dealer->gone ? zmq_send(dealer->socket, frame, size, ZMQ_DONTWAIT) : -1;
    }
    if (sent < 0)
        broken_note(wire, connection);
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
    if (zmq_bind(wire->router, bound)) {
        soma_log_error(bridge->system, "bridge: can't bind '%s': %s", address, zmq_strerror(errno));
        return errno == EADDRINUSE ? SOMA_EEXIST : SOMA_EINVAL;
    }
    if (bridge->options.advertise)
        return 0;
    zmq_getsockopt(wire->router, ZMQ_LAST_ENDPOINT, bound, &size);
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

/* True if there may be more. */
static bool frames_receive(struct zmq_wire *wire, void *socket, uint64_t connection)
{
    zmq_msg_t frame;
    size_t total = 0;
    for (int i = 0; i < RECEIVE_MOST && total < RECEIVE_BYTES; i++) {
        unsigned char identity[256];
        int size = connection ? 0 : zmq_recv(socket, identity, sizeof(identity), ZMQ_DONTWAIT);
        if (size < 0)
            return false;
        uint32_t number = 0;
        if (!connection && size == 5)
            memcpy(&number, identity + 1, sizeof(number));
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
            return false;
        size_t bytes =
            zmq_msg_more(&frame) ? 0 : zmq_msg_size(&frame); // no node of ours sends parts: they are no frame
        total += bytes;
        if (connection)
            bridge_received(wire->bridge, connection, zmq_msg_data(&frame), bytes);
        else if (size == 5)
            frame_accepted(wire, ACCEPTED | number, &frame, bytes);
        while (zmq_msg_more(&frame))
            if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
                break;
        zmq_msg_close(&frame);
    }
    return true;
}

/* What the monitor tells: an event's number and value, then an address. */
static void monitor_receive(struct zmq_wire *wire, struct dealer *dealer)
{
    unsigned char event[6];
    char address[ADDRESS_MAX + 1];
    while (zmq_recv(dealer->monitor, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
        uint16_t kind;
        memcpy(&kind, event, sizeof(kind));
        zmq_recv(dealer->monitor, address, sizeof(address), ZMQ_DONTWAIT);
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
        wire->dealer_count--;
        dealer_free(dealer, GOODBYE_MS);
    }
}

#define ITEMS_OWN 4u /* poll items before those of the dealers */

/* The bell, the router, the door's, then two sockets a dealer. How many; 0 when memory is out. */
static uint32_t items_fill(struct zmq_wire *wire)
{
    uint32_t count = ITEMS_OWN + 2 * wire->dealer_count;
    if (count > wire->item_capacity) {
        zmq_pollitem_t *grown = realloc(wire->items, (size_t)count * 2 * sizeof(*grown));
        if (!grown)
            return 0;
        wire->items = grown;
        wire->item_capacity = count * 2;
    }
    wire->items[0] = (zmq_pollitem_t){NULL, wire->bell, ZMQ_POLLIN, 0};
    wire->items[1] = (zmq_pollitem_t){wire->router, 0, ZMQ_POLLIN, 0};
    wire->items[2] = (zmq_pollitem_t){wire->door.monitor, 0, ZMQ_POLLIN, 0};
    wire->items[3] = (zmq_pollitem_t){wire->door.zap, wire->bell, wire->door.zap ? ZMQ_POLLIN : 0, 0};
    uint32_t at = ITEMS_OWN;
    for (const struct dealer *dealer = wire->dealers; dealer; dealer = dealer->next) {
        wire->items[at++] = (zmq_pollitem_t){dealer->monitor, 0, ZMQ_POLLIN, 0};
        wire->items[at++] = (zmq_pollitem_t){dealer->socket, 0, ZMQ_POLLIN, 0};
    }
    return count;
}

static void round_run(struct zmq_wire *wire, long timeout)
{
    uint64_t rings;
    uint32_t count = items_fill(wire), at = ITEMS_OWN;
    if (!count || zmq_poll(wire->items, (int)count, timeout) <= 0)
        return;
    if (wire->items[0].revents && read(wire->bell, &rings, sizeof(rings)) < 0)
        return;
    if (wire->items[1].revents || wire->items[2].revents || wire->items[3].revents)
        door_look(&wire->door); // who comes is known before what he says
    if (wire->items[1].revents)
        frames_receive(wire, wire->router, 0);
    for (struct dealer *dealer = wire->dealers; dealer && at < count; dealer = dealer->next, at += 2) {
        bool more = wire->items[at + 1].revents && !dealer->gone;
        while (more) // the frames of one whose end is told, too, came before that: all of them
            more = frames_receive(wire, dealer->socket, dealer->id) && wire->items[at].revents && !dealer->gone;
        if (wire->items[at].revents)
            monitor_receive(wire, dealer);
    }
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
    return NULL;
}

/* ---- opening and closing ---- */

int zmq_wire_open(struct soma_bridge *bridge, struct zmq_wire **result)
{
    struct zmq_wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return SOMA_ENOMEM;
    wire->bridge = bridge;
    wire->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    wire->context = zmq_ctx_new();
    if (wire->context) // three a connection that this side makes
        zmq_ctx_set(wire->context, ZMQ_MAX_SOCKETS, zmq_ctx_get(wire->context, ZMQ_SOCKET_LIMIT));
    wire->router = wire->context ? zmq_socket(wire->context, ZMQ_ROUTER) : NULL;
    int error = wire->bell < 0 || !wire->router ? SOMA_ENOMEM : 0;
    if (!error) {
        socket_prepare(wire, wire->router);
        set(wire->router, ZMQ_ROUTER_MANDATORY, 1);
        error = door_open(&wire->door, bridge, wire->context, wire->router);
    }
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
    bridge->wire = (struct wire){wire_dial, wire_send, wire_hang_up, wire_wake, wire, wire_greeted};
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
    set(wire->router, ZMQ_LINGER, GOODBYE_MS);
    zmq_close(wire->router);
    wire->router = NULL;
    return wire->drained;
}

void zmq_wire_free(struct zmq_wire *wire)
{
    if (wire->router)
        zmq_close(wire->router);
    door_close(&wire->door);
    if (wire->context)
        zmq_ctx_term(wire->context);
    if (wire->bell >= 0)
        close(wire->bell);
    free(wire->items);
    free(wire->broken);
    free(wire);
}
