/* What comes by the wire over ZeroMQ; see zmq_parts.h. */
#include "bridges/zmq_parts.h"
#include <soma/timer.h>
#include <string.h>

/* ---- reading ---- */

/* A frame of an accepted connection. What is left of one that was ended is not heard: its socket, too, may be
 * another's. */
static void frame_accepted(struct zmq_wire *wire, uint64_t connection, zmq_msg_t *frame, size_t size)
{
    if (wire->ended[connection % ENDED] == connection) {
        bool *ejected = &wire->ejected[connection % ENDED];
        if (!*ejected)
            door_eject(&wire->door, frame_socket(frame), connection);
        *ejected = true;
        return;
    }
    wire->current = frame;
    wire->current_id = connection;
    bridge_received(wire->keeper.bridge, connection, zmq_msg_data(frame), size);
    wire->current = NULL;
}

/* The number of an accepted connection, which sorts as its identity counts; 0: it has an identity of its own, which may
 * be any but for the zero at the begin. */
static uint64_t number_read(const unsigned char *identity, int size)
{
    uint64_t number = 0;
    for (int i = 0; i < IDENTITY_SIZE; i++)
        number = number << 8 | identity[i];
    return size == IDENTITY_SIZE && !identity[0] ? ACCEPTED | number : 0;
}

/* One frame of a socket, the router's or (not NULL) a dealer's, if there is any: its bytes; or -1. */
static int64_t frame_receive(struct zmq_wire *wire, void *socket, const struct dealer *dealer)
{
    unsigned char identity[256] = {0};
    zmq_msg_t frame;
    int size = dealer ? 0 : zmq_recv(socket, identity, sizeof(identity), ZMQ_DONTWAIT);
    if (size < 0)
        return -1;
    const uint64_t accepted = dealer ? 0 : number_read(identity, size);
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
        return -1;
    size_t bytes = zmq_msg_more(&frame) ? 0 : zmq_msg_size(&frame); // no node of ours sends parts: they are no frame
    if (dealer)
        bridge_received(wire->keeper.bridge, dealer->id, zmq_msg_data(&frame), bytes);
    else if (accepted)
        frame_accepted(wire, accepted, &frame, bytes);
    else
        door_turn_away(&wire->door, frame_socket(&frame));
    while (zmq_msg_more(&frame))
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
            break;
    zmq_msg_close(&frame);
    return (int64_t)bytes;
}

/* How many there were. One of them may end its connection: what has come by it since is not heard. */
static int frames_receive(struct zmq_wire *wire, struct end *end, const struct dealer *dealer)
{
    size_t total = 0;
    int count = 0;
    while (count < READ_FRAMES && total < READ_BYTES) {
        bool gone = dealer && dealer->gone;
        int64_t bytes = gone ? -1 : frame_receive(wire, end->socket, dealer);
        if (bytes < 0) {
            end->look = false;
            return count;
        }
        total += (size_t)bytes;
        count++;
    }
    end->look = wire->keeper.looks = true;
    return count;
}

/* What has come by a connection: no more than that can be, or who sends on would keep the thread here. */
static void frames_receive_all(struct zmq_wire *wire, struct end *end, const struct dealer *dealer)
{
    const struct soma_bridge *bridge = wire->keeper.bridge;
    int64_t most = READ_LAST * (dealer ? 1 : (int64_t)bridge->accepted + bridge->half_open + 1);
    do
        most -= frames_receive(wire, end, dealer);
    while (end->look && most > 0);
}

/* Why the other side does not want a connection, for the log; NULL: that is not it, as nobody was there. */
static const char *refusal(uint16_t kind, uint32_t value)
{
    switch (kind) {
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return "refuses this node's key: it is not on the list of keys that are allowed there";
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? "is of a node without keys, and this one has some"
                                                                   : "answers, but not as a node does";
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return "closed the connection during the handshake: is it of a node without keys, or with another one?";
    default:
        return NULL;
    }
}

/* What the monitor tells: an event's number and value, then an address. */
static void monitor_receive(struct zmq_wire *wire, struct dealer *dealer)
{
    unsigned char event[6];
    char address[ADDRESS_MAX + 1];
    while (zmq_recv(dealer->monitor.socket, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
        uint16_t kind;
        uint32_t value;
        memcpy(&kind, event, sizeof(kind));
        memcpy(&value, event + sizeof(kind), sizeof(value));
        zmq_recv(dealer->monitor.socket, address, sizeof(address), ZMQ_DONTWAIT);
        if (dealer->gone)
            continue;
        if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            bridge_connected(wire->keeper.bridge, dealer->id);
        } else {
            const char *why = refusal(kind, value);
            dealer->gone = true;
            if (why)
                bridge_turned_away(wire->keeper.bridge, dealer->id, why, kind == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL);
            else
                bridge_broken(wire->keeper.bridge, dealer->id);
        }
    }
}

/*
 * Connections by which nothing can be sent any more. What has come by one before, maybe a goodbye, may not be read yet:
 * ZeroMQ takes no more as soon as it knows of the end. True if there were any.
 */
bool zmq_tell(struct keeper *keeper)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    bool any = wire->broken_count;
    while (wire->broken_count) {
        uint64_t id = wire->broken[--wire->broken_count];
        struct dealer *dealer = id & ACCEPTED ? NULL : dealer_find(wire, id);
        frames_receive_all(wire, dealer ? &dealer->socket : &wire->router, dealer);
        if (dealer)
            dealer->gone = true;
        bridge_broken(wire->keeper.bridge, id);
    }
    return any;
}

/* True if it brought any frames. */
static bool dealer_look(struct zmq_wire *wire, struct dealer *dealer)
{
    bool told = dealer->monitor.look, any = false;
    if (dealer->socket.look || told)
        any = frames_receive(wire, &dealer->socket, dealer);
    while (told && dealer->socket.look) // the frames of one whose end is told came before that: all
        any = frames_receive(wire, &dealer->socket, dealer);
    if (told)
        monitor_receive(wire, dealer);
    dealer->monitor.look = false;
    return any || told;
}

bool zmq_look(struct keeper *keeper, bool all)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    bool any = false;
    keeper->looks = false;
    if (wire->guard.look)
        door_look(&wire->door); // who comes is known before what he says
    wire->guard.look = false;
    if (wire->router.look)
        any = frames_receive(wire, &wire->router, NULL);
    for (struct dealer *dealer = wire->dealers; dealer; dealer = dealer->next) {
        if (!dealer->socket.look && !dealer->monitor.look)
            continue;
        if (any && !all)
            keeper->looks = true;
        else
            any |= dealer_look(wire, dealer);
    }
    return any;
}

static void end_told(struct zmq_wire *wire, struct end *end)
{
    end->look = wire->keeper.looks = true;
}

void zmq_note(struct keeper *keeper, const uint64_t *keys, uint32_t count)
{
    struct zmq_wire *wire = (struct zmq_wire *)keeper;
    for (uint32_t i = 0; i < count; i++) {
        struct dealer *dealer = keys[i] >= 4 ? dealer_find(wire, keys[i] / 4) : NULL; // it may have gone
        if (keys[i] == KEY_ROUTER)
            end_told(wire, &wire->router);
        else if (keys[i] == KEY_DOOR)
            end_told(wire, &wire->guard);
        else if (dealer)
            end_told(wire, keys[i] % 4 == KEY_MONITOR ? &dealer->monitor : &dealer->socket);
    }
}
