/* Bridges of the nodes of a run, and the wire below them; see carrier.h. */
#include "testkit/carrier.h"
#include "bridges/agent.h"
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "testkit/kit.h"
#include "testkit/memory.h"
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "sim://"

enum packet_kind { PACKET_DIAL = 1, PACKET_ACCEPTED, PACKET_FRAME, PACKET_END };

/* What the network's frames begin with. */
struct packet {
    uint64_t connection;
    uint64_t kind;
};

/* One end of a connection. */
struct end {
    struct end *next;
    uint64_t connection;
    uint32_t other; /* the node there */
    bool dialed;    /* by this node */
    bool broken;    /* of which the bridge is to be told */
};

/* ---- ends ---- */

static struct end *end_find(const struct node *node, uint64_t connection)
{
    struct end *end = node->carrier.ends;
    while (end && end->connection != connection)
        end = end->next;
    return end;
}

static struct end *end_add(struct node *node, uint64_t connection, uint32_t other, bool dialed)
{
    struct end *end = malloc(sizeof(*end));
    if (!end)
        kit_fail(node->test, "out of memory");
    *end = (struct end){node->carrier.ends, connection, other, dialed, false};
    node->carrier.ends = end;
    return end;
}

static void end_remove(struct node *node, struct end *end)
{
    struct end **link = &node->carrier.ends;
    while (*link != end)
        link = &(*link)->next;
    *link = end->next;
    free(end);
}

/* ---- turns ---- */

static void carrier_want(struct node *node)
{
    struct carrier *carrier = &node->carrier;
    if (carrier->ready || !carrier->bridge)
        return;
    carrier->ready = true;
    network_ready(node->test, (struct ready_agent){.node = node}, node->stopped);
}

/* Between true and false the node's bridge does something: in its thread's place, and with the kit's memory. */
static void carrier_enter(struct node *node, bool in)
{
    node->test->carrying = in;
    memory_own(in);
    worker_enter(in ? node->carrier.bridge->worker : NULL);
}

static struct end *broken_find(const struct node *node)
{
    struct end *end = node->carrier.ends;
    while (end && !end->broken)
        end = end->next;
    return end;
}

static struct node *node_at(soma_test *test, const char *address)
{
    const char *name = address + strlen(SCHEME);
    for (uint32_t i = 0; i < test->node_count; i++)
        if (!strncmp(address, SCHEME, strlen(SCHEME)) && !strcmp(test->nodes[i].name, name))
            return &test->nodes[i];
    return NULL;
}

/* Dials to nodes that can be reached again wait no longer. */
static void dials_hasten(struct node *node)
{
    struct dial *dial = node->carrier.healed ? node->carrier.bridge->dials : NULL;
    for (; dial; dial = dial->next) {
        const struct node *other = node_at(node->test, dial->address);
        if (other && node->carrier.healed >> other->number & 1)
            dial->due = 0;
    }
    node->carrier.healed = 0;
}

void carrier_turn(struct node *node)
{
    struct carrier *carrier = &node->carrier;
    carrier->ready = false;
    carrier_enter(node, true);
    for (struct end *end; (end = broken_find(node));) {
        uint64_t connection = end->connection;
        end_remove(node, end);
        bridge_broken(carrier->bridge, connection);
    }
    dials_hasten(node);
    carrier->due = bridge_turn(carrier->bridge);
    carrier_enter(node, false);
    if (broken_find(node) || carrier->due <= bridge_now(carrier->bridge))
        carrier_want(node);
}

uint64_t carriers_next(const soma_test *test)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < test->node_count; i++) {
        const struct node *node = &test->nodes[i];
        if (node->carrier.bridge && !node->stopped && node->carrier.due < next)
            next = node->carrier.due;
    }
    return next;
}

void carriers_fire(soma_test *test)
{
    for (uint32_t i = 0; i < test->node_count; i++) {
        struct node *node = &test->nodes[i];
        if (node->carrier.bridge && !node->stopped && node->carrier.due <= bridge_now(node->carrier.bridge))
            carrier_want(node);
    }
}

/* Who closes a bridge need not wait for word of watches and the like: here it is waited for what comes of them. */
static bool bridge_rests(const struct soma_bridge *bridge)
{
    for (uint32_t i = 0; i < bridge->peer_count; i++) {
        struct peer *peer = bridge->list[i];
        spin_lock(&peer->busy);
        bool rests = !peer->out.bytes && peer->session.acked == peer->session.sent;
        spin_unlock(&peer->busy);
        if (!rests)
            return false;
    }
    return true;
}

bool carriers_rest(const soma_test *test)
{
    for (uint32_t i = 0; i < test->node_count; i++)
        if (test->nodes[i].carrier.bridge && !bridge_rests(test->nodes[i].carrier.bridge))
            return false;
    return true;
}

/* ---- the wire ---- */

/* False if the network does not take it. */
static bool packet_send(struct node *node, uint32_t to, enum packet_kind kind, uint64_t connection, const void *frame,
                        size_t size)
{
    const struct packet packet = {connection, kind};
    return network_send(node->test, node->number, to, &packet, sizeof(packet), frame, size);
}

static int wire_dial(void *context, const char *address, uint64_t *connection)
{
    struct node *node = context;
    const struct node *other = node_at(node->test, address);
    if (!other)
        return SOMA_EINVAL;
    *connection = ++node->test->connections;
    struct end *end = end_add(node, *connection, other->number, true);
    end->broken = !packet_send(node, other->number, PACKET_DIAL, *connection, NULL, 0);
    return 0;
}

static void wire_send(void *context, uint64_t connection, const struct pieces *frame)
{
    struct node *node = context;
    struct end *end = end_find(node, connection);
    size_t size = pieces_size(frame);
    char *whole = malloc(size);
    if (whole)
        pieces_join(frame, whole);
    if (!end)
        end_add(node, connection, node->number, false)->broken = true;
    else if (!end->broken)
        end->broken = !whole || !packet_send(node, end->other, PACKET_FRAME, connection, whole, size);
    free(whole);
}

static void wire_hang_up(void *context, uint64_t connection)
{
    struct node *node = context;
    struct end *end = end_find(node, connection);
    if (!end || !end->dialed)
        return; // what was accepted ends from the other side, or by silence
    if (!end->broken)
        packet_send(node, end->other, PACKET_END, connection, NULL, 0);
    end_remove(node, end);
}

static void wire_wake(void *context)
{
    struct node *node = context;
    pthread_mutex_lock(&node->test->network.lock);
    carrier_want(node);
    pthread_mutex_unlock(&node->test->network.lock);
}

/* ---- what the network tells ---- */

static void packet_arrive(struct node *node, uint32_t from, const struct packet *packet, const void *frame, size_t size)
{
    struct end *end = end_find(node, packet->connection);
    if (packet->kind == PACKET_DIAL && !end) {
        end = end_add(node, packet->connection, from, false);
        end->broken = !packet_send(node, from, PACKET_ACCEPTED, packet->connection, NULL, 0);
    } else if (!end || end->broken) {
        return; // it has hung up
    } else if (packet->kind == PACKET_ACCEPTED) {
        bridge_connected(node->carrier.bridge, packet->connection);
    } else if (packet->kind == PACKET_FRAME) {
        bridge_received(node->carrier.bridge, packet->connection, frame, size);
    } else if (packet->kind == PACKET_END) {
        end_remove(node, end);
    }
}

void carrier_arrive(struct node *node, uint32_t from, const void *bytes, size_t size)
{
    struct packet packet;
    memcpy(&packet, bytes, sizeof(packet));
    carrier_enter(node, true);
    packet_arrive(node, from, &packet, (const char *)bytes + sizeof(packet), size - sizeof(packet));
    carrier_enter(node, false);
    carrier_want(node);
}

void carrier_break(struct node *node, uint32_t other)
{
    for (struct end *end = node->carrier.ends, *next; end; end = next) {
        next = end->next;
        if (end->other != other || end->broken)
            continue;
        if (end->dialed)
            end->broken = true;
        else
            end_remove(node, end);
        carrier_want(node);
    }
}

void carrier_heal(struct node *node, uint32_t other)
{
    node->carrier.healed |= UINT64_C(1) << other;
    carrier_want(node);
}

/* ---- introductions ---- */

struct node *carrier_node(soma_test *test, uint64_t identity)
{
    for (uint32_t i = 0; i < test->identities.count; i++)
        if (test->identities.all[i].identity == identity)
            return &test->nodes[test->identities.all[i].number];
    return NULL;
}

static void identity_add(soma_test *test, const struct node *node)
{
    struct identities *identities = &test->identities;
    if (identities->count == identities->capacity) {
        uint32_t capacity = identities->capacity ? identities->capacity * 2 : 4;
        struct identity *grown = realloc(identities->all, capacity * sizeof(*grown));
        if (!grown)
            kit_fail(test, "out of memory");
        identities->all = grown;
        identities->capacity = capacity;
    }
    identities->all[identities->count++] = (struct identity){node->system->node, node->number};
}

static const char *node_address(const struct node *node, char *buf, size_t size)
{
    snprintf(buf, size, SCHEME "%s", node->name);
    return buf;
}

/* The node hears of another one, to which it is about to send. One that is no more is known to be down. */
static void introduce(struct node *node, uint64_t identity)
{
    soma_test *test = node->test;
    const struct node *other = carrier_node(test, identity);
    char address[NODE_NAME_SIZE + sizeof(SCHEME)];
    bool carrying = test->carrying;
    if (!other || !node->carrier.bridge)
        return;
    test->carrying = true;
    memory_own(true);
    if (!other->system || other->system->node != identity) {
        bridge_peer(node->carrier.bridge, identity);
    } else {
        node_address(other, address, sizeof(address));
        const struct item item = {.kind = ITEM_NODE,
                                  .node = identity,
                                  .name = {other->name, (uint32_t)strlen(other->name)},
                                  .addresses = {{address, (uint32_t)strlen(address)}},
                                  .address_count = 1};
        node_arrive(node->carrier.bridge, &item);
    }
    memory_own(false);
    test->carrying = carrying;
}

static bool peer_is_open(const struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = peer_lock(&bridge->peers, node);
    if (!peer)
        return false;
    bool open = peer->open;
    spin_unlock(&peer->busy);
    return open;
}

static int carrier_carry(void *context, soma_ref to, struct message *message)
{
    struct soma_bridge *bridge = context;
    struct node *node = bridge->wire.context;
    // Who is not open may just be introduced, by another thread under the lock, in which the bridge's stands still.
    if (!peer_is_open(bridge, to.node)) {
        pthread_mutex_lock(&node->test->network.lock);
        if (!peers_know(&bridge->peers, to.node))
            introduce(node, to.node);
        pthread_mutex_unlock(&node->test->network.lock);
    }
    return bridge_carry(bridge, to, message);
}

/* ---- opening and closing ---- */

static void ends_free(struct node *node)
{
    while (node->carrier.ends)
        end_remove(node, node->carrier.ends);
}

static void carrier_release(void *context)
{
    bridge_free(context);
}

static void bridge_begin(struct node *node)
{
    const soma_bridge_options options = {.name = node->name};
    char address[NODE_NAME_SIZE + sizeof(SCHEME)];
    struct soma_bridge *bridge = NULL;
    int error = bridge_new(node->system, &options, &bridge);
    if (!error)
        error = bridge_bound(bridge, node_address(node, address, sizeof(address)));
    if (error)
        kit_fail(node->test, "out of memory");
    bridge->wire = (struct wire){
        .dial = wire_dial, .send = wire_send, .hang_up = wire_hang_up, .wake = wire_wake, .context = node};
    node->test->carrying = true;
    memory_own(true);
    error = bridge_agent_spawn(bridge);
    memory_own(false);
    node->test->carrying = false;
    if (error)
        soma_test_fail(node->test, "out of memory");
    bridge_start(bridge, NULL, carrier_release);
    bridge->route.carry = carrier_carry;
    bridge->route.send = NULL; // so that all goes that way
    node->carrier = (struct carrier){.bridge = bridge, .due = UINT64_MAX};
}

void carrier_open(struct node *node)
{
    soma_test *test = node->test;
    pthread_mutex_lock(&test->network.lock);
    identity_add(test, node);
    for (uint32_t i = 0; i < test->node_count && test->node_count > 1; i++)
        if (test->nodes[i].system && !test->nodes[i].carrier.bridge)
            bridge_begin(&test->nodes[i]);
    pthread_mutex_unlock(&test->network.lock);
}

void carrier_close(struct node *node)
{
    soma_test *test = node->test;
    pthread_mutex_lock(&test->network.lock);
    for (uint32_t i = 0; i < test->node_count; i++)
        if (&test->nodes[i] != node)
            network_break(test, node->number, i);
    ends_free(node);
    node->carrier = (struct carrier){.due = UINT64_MAX};
    pthread_mutex_unlock(&test->network.lock);
}
