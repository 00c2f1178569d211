/*
 * ZeroMQ as a wire. One ROUTER takes all who connect here; each connection that this side makes is a DEALER of its own,
 * with a monitor that tells how it fares. A DEALER never connects again by itself: the bridge does, so that a
 * connection is one stream that ends once. All sockets are the thread's.
 *
 * A ROUTER's peers are told apart by the five bytes that it gives them, a zero and four that count; so their
 * connection's number is those with the highest bit set, and those of DEALERs are counted without it.
 */
#include "bridges/zmq_wire.h"
#include "bridges/address.h"
#include "bridges/block.h"
#include "bridges/zmq_parts.h"
#include "bridges/zmq_router.h"
#include "runtime/interface.h"
#include "runtime/thread.h"
#include <errno.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define NEVER_MS (24 * 60 * 60 * 1000)

/* ---- sockets ---- */

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof(value));
}

static void socket_prepare(const struct zmq_wire *wire, void *socket)
{
    const int64_t most = (int64_t)wire->keeper.bridge->options.message_most + (1 << 20);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof(most));
    set(socket, ZMQ_HANDSHAKE_IVL, (int)(HANDSHAKE / SOMA_MS));
    set(socket, ZMQ_BACKLOG, BACKLOG);
    set(socket, ZMQ_LINGER, 0);
    set(socket, ZMQ_SNDHWM, 0); // the session's window bounds what is under way, and nothing may be dropped
    // Nor may ZeroMQ ever stop to read: it aborts the process if a connection ends while it does, and there is a PING
    // of its protocol in what it had read last (4.3.4). Peers keep to their windows, and strangers are cut off.
    set(socket, ZMQ_RCVHWM, 0);
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

struct dealer *dealer_find(const struct zmq_wire *wire, uint64_t id)
{
    struct dealer *dealer = wire->dealers;
    while (dealer && dealer->id != id)
        dealer = dealer->next;
    return dealer;
}

static void socket_close(struct zmq_wire *wire, void *socket, int linger)
{
    if (!socket)
        return;
    post_forget(&wire->keeper.post, socket);
    set(socket, ZMQ_LINGER, linger);
    zmq_close(socket);
}

static void dealer_free(struct zmq_wire *wire, struct dealer *dealer, int linger)
{
    if (dealer->socket.socket)
        zmq_socket_monitor(dealer->socket.socket, NULL, 0);
    socket_close(wire, dealer->socket.socket, linger);
    socket_close(wire, dealer->monitor.socket, 0);
    free(dealer);
}

void dealers_sweep(struct zmq_wire *wire)
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

/* ---- the wire ---- */

static bool curve_dial(const struct zmq_wire *wire, void *socket, const struct address *address)
{
    const struct keys *keys = &wire->keeper.bridge->keys;
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
    if (!curve_dial(wire, socket, address))
        return SOMA_ENOMEM;
    set(socket, ZMQ_RECONNECT_IVL, NEVER_MS); // -1 would drop what has come and was not read at the end
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor(socket, monitor, events))
        return SOMA_ENOMEM;
    dealer->monitor.socket = zmq_socket(wire->context, ZMQ_PAIR);
    if (!dealer->monitor.socket || zmq_connect(dealer->monitor.socket, monitor) ||
        !post_watch(&wire->keeper.post, dealer->monitor.socket, KEY_OF(dealer) + KEY_MONITOR) ||
        !post_watch(&wire->keeper.post, socket, KEY_OF(dealer)))
        return SOMA_ENOMEM;
    dealer->socket.look = dealer->monitor.look = wire->keeper.looks = true;
    return zmq_connect(socket, address->place) ? SOMA_EINVAL : 0;
}

static int wire_dial(void *context, const char *address, uint64_t *connection)
{
    struct zmq_wire *wire = context;
    struct address parts;
    if (address_check(wire->keeper.bridge, address, &parts) || !trust_address(wire->keeper.bridge, &parts))
        return SOMA_EINVAL;
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

/* A frame that was not copied has left, or never will. Any thread of ZeroMQ's. */
static void frame_left(void *data, void *block)
{
    (void)data;
    if (block_let_go(block))
        free(block);
}

static int frame_prepare(zmq_msg_t *message, const struct pieces *frame)
{
    char *whole = block_join(frame);
    if (whole && zmq_msg_init_data(message, whole, pieces_size(frame), frame_left, frame->block)) {
        frame_left(whole, frame->block);
        return -1;
    }
    if (whole)
        return 0;
    if (zmq_msg_init_size(message, pieces_size(frame)))
        return -1;
    pieces_join(frame, zmq_msg_data(message));
    return 0;
}

/* Of a connection that was accepted: whom what is sent next is for. */
static int identity_write(void *router, uint64_t connection)
{
    unsigned char identity[IDENTITY_SIZE];
    for (int i = IDENTITY_SIZE; i--; connection >>= 8)
        identity[i] = (unsigned char)connection;
    return zmq_send(router, identity, sizeof(identity), ZMQ_SNDMORE | ZMQ_DONTWAIT);
}

/* The frame is ready before it is said whom it is for, as the socket would keep that for another's. */
static int frame_write(void *socket, uint64_t connection, const struct pieces *frame)
{
    zmq_msg_t message;
    if (frame_prepare(&message, frame))
        return -1;
    int sent = connection & ACCEPTED ? identity_write(socket, connection) : 0;
    if (sent >= 0)
        sent = zmq_msg_send(&message, socket, ZMQ_DONTWAIT);
    if (sent < 0)
        zmq_msg_close(&message);
    return sent;
}

static void wire_send(void *context, uint64_t connection, const struct pieces *frame)
{
    struct zmq_wire *wire = context;
    struct dealer *dealer = connection & ACCEPTED ? NULL : dealer_find(wire, connection);
    if (!(connection & ACCEPTED) && (!dealer || dealer->gone)) {
        broken_note(wire, connection);
        return;
    }
    struct end *end = dealer ? &dealer->socket : &wire->router;
    if (frame_write(end->socket, connection, frame) < 0)
        broken_note(wire, connection);
    end->look = wire->keeper.looks = true;
    wire->touched = end;
}

static void wire_hang_up(void *context, uint64_t connection)
{
    struct zmq_wire *wire = context;
    struct dealer *dealer = connection & ACCEPTED ? NULL : dealer_find(wire, connection);
    if (dealer)
        dealer->gone = true;
    if (!(connection & ACCEPTED))
        return;
    wire->ended[connection % ENDED] = connection;
    wire->ejected[connection % ENDED] = false;
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

/* ---- in the thread's place ---- */

static bool wire_enter(void *context)
{
    struct zmq_wire *wire = context;
    if (!keeper_enter(&wire->keeper))
        return false;
    wire->touched = NULL;
    wire->looked = wire->keeper.looks;
    return true;
}

/* The socket that something was sent by may have taken the word that something has come, which the thread waits for. */
static void wire_leave(void *context)
{
    struct zmq_wire *wire = context;
    bool wanted = wire->broken_count;
    if (wire->touched) {
        wire->touched->look = post_socket_has(wire->touched->socket);
        wanted |= wire->touched->look;
        wire->keeper.looks = wire->looked || wire->touched->look;
    }
    pthread_mutex_unlock(&wire->keeper.post.turn);
    if (wanted)
        keeper_wake(wire);
}

/* ---- addresses ---- */

static int wire_bind(struct keeper *keeper, const char *address)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    struct soma_bridge *bridge = wire->keeper.bridge;
    char bound[ADDRESS_MAX + 8];
    size_t size = sizeof(bound);
    int error = address_bind(bridge, address, bound, sizeof(bound));
    if (error)
        return error;
    error = strncmp(bound, "ipc://", 6) ? 0 : path_obstacle(bound + 6);
    if (!error && zmq_bind(wire->router.socket, bound))
        error = errno;
    if (error)
        return address_refuse(bridge, address, error);
    if (bridge->options.advertise)
        return 0;
    zmq_getsockopt(wire->router.socket, ZMQ_LAST_ENDPOINT, bound, &size);
    address_publish(bound, sizeof(bound));
    return bridge_bound(bridge, bound);
}

/* ---- opening and closing ---- */

#define HEAP_KEPT ((size_t)2 << 20) /* what a link may have under way */

/*
 * What ZeroMQ reads a frame into comes from its thread's heap, and goes back from another thread, which mostly finds it
 * at the heap's end: beyond M_TRIM_THRESHOLD, 128 KiB at first, malloc gives that to the kernel, who has to clear it
 * for the next frame. (A fifth of the time that 1 KiB messages took.) The threshold is twice the largest block that was
 * mapped and freed, unless the program has said how it wants it: malloc sees by that what the program is like.
 */
static void memory_prepare(void)
{
    void *volatile block = malloc(HEAP_KEPT); // volatile, or the compiler would leave out both
    free(block);
}

/* The router and the door. 0 or SOMA_ENOMEM. */
static int wire_sockets(struct zmq_wire *wire)
{
    wire->router.socket = router_open(wire->context);
    if (!wire->router.socket)
        return SOMA_ENOMEM;
    socket_prepare(wire, wire->router.socket);
    set(wire->router.socket, ZMQ_ROUTER_MANDATORY, 1);
    int error = door_open(&wire->door, wire->keeper.bridge, wire->context, wire->router.socket);
    if (error)
        return error;
    wire->keeper.looks = wire->router.look = wire->guard.look = true;
    bool watched = post_watch(&wire->keeper.post, wire->door.monitor, KEY_DOOR) &&
                   (!wire->door.zap || post_watch(&wire->keeper.post, wire->door.zap, KEY_DOOR)) &&
                   post_watch(&wire->keeper.post, wire->router.socket, KEY_ROUTER);
    return watched ? 0 : SOMA_ENOMEM;
}

/* What the thread waits by, and the sockets; errno says more of an error. 0 or SOMA_ENOMEM. */
static int wire_begin(struct zmq_wire *wire)
{
    if (!files_are_left())
        return SOMA_ENOMEM;
    wire->context = zmq_ctx_new();
    if (!wire->context)
        return SOMA_ENOMEM;
    // Three a connection that this side makes.
    zmq_ctx_set(wire->context, ZMQ_MAX_SOCKETS, zmq_ctx_get(wire->context, ZMQ_SOCKET_LIMIT));
    return wire_sockets(wire);
}

static uint64_t zmq_watch(struct keeper *keeper)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    uint64_t next = door_watch(&wire->door);
    dealers_sweep(wire);
    return next;
}

/* And the context with its threads: then addresses are free again, and what was said last has left. */
static void zmq_close_all(struct keeper *keeper, int linger)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    for (struct dealer *dealer = wire->dealers; dealer; dealer = dealer->next)
        dealer->gone = true;
    dealers_sweep(wire);
    socket_close(wire, wire->router.socket, linger);
    wire->router.socket = NULL;
    door_close(&wire->door);
    if (wire->context)
        post_end_context(wire->context);
    wire->context = NULL;
}

static void zmq_free(struct keeper *keeper)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    free(wire->broken);
    free(wire);
}

int zmq_wire_open(struct soma_bridge *bridge)
{
    static const struct ways ways = {zmq_note, zmq_look, zmq_tell, zmq_watch, zmq_close_all, zmq_free};
    struct zmq_wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return SOMA_ENOMEM;
    memory_prepare();
    int error = keeper_open(&wire->keeper, &ways, bridge);
    if (!error)
        error = wire_begin(wire);
    if (error)
        soma_log_error(bridge->system, "bridge: no sockets: %s", zmq_strerror(errno));
    return keeper_begin(&wire->keeper, error, wire_bind,
                        &(const struct wire){.dial = wire_dial,
                                             .send = wire_send,
                                             .hang_up = wire_hang_up,
                                             .greeted = wire_greeted,
                                             .enter = wire_enter,
                                             .leave = wire_leave});
}
