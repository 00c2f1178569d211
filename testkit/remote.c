/* Messages between the nodes of a run; see remote.h. */
#include "testkit/remote.h"
#include "runtime/extension.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* A message that was sent and has not arrived. */
struct parcel {
    struct parcel *next;
    struct message *message;
    soma_ref to;
};

/* What a frame begins with; then the packed body. All nodes are in one process, so a type goes by its address. */
struct header {
    const soma_type *type;
    soma_ref to, sender;
    uint64_t word; /* the requester's handle */
    int64_t error;
    uint64_t kind;
};

/* Whose blocks this thread may free. In a simulation it is all there is; else a worker frees its own. */
static struct worker *worker_for(soma_system *system)
{
    struct worker *here = worker_here();
    if (system->driver.runnable)
        return &system->workers[0];
    return here && here->system == system ? worker_or_outside(here) : NULL;
}

/* ---- parcels ---- */

static struct parcel *parcel_take(struct parcels *parcels)
{
    struct parcel *parcel = parcels->first;
    parcels->first = parcel->next;
    if (!parcels->first)
        parcels->last = NULL;
    return parcel;
}

/* The one that was added last. */
static struct parcel *parcel_take_last(struct parcels *parcels)
{
    struct parcel **link = &parcels->first, *last = parcels->last;
    parcels->last = NULL;
    for (; *link != last; link = &(*link)->next)
        parcels->last = *link;
    *link = NULL;
    return last;
}

/* NULL when memory is out. */
static struct parcel *parcel_add(struct remote *remote, uint32_t number, soma_ref to, struct message *message)
{
    if (!remote->parcels)
        remote->parcels = calloc(NODES_MAX, sizeof(*remote->parcels));
    struct parcel *parcel = remote->parcels ? malloc(sizeof(*parcel)) : NULL;
    if (!parcel)
        return NULL;
    struct parcels *parcels = &remote->parcels[number];
    *parcel = (struct parcel){.message = message, .to = to};
    if (parcels->last)
        parcels->last->next = parcel;
    else
        parcels->first = parcel;
    parcels->last = parcel;
    return parcel;
}

/* ---- packing ---- */

/* *frame is the caller's to free. */
static int frame_pack(soma_ref to, const struct message *message, void **frame, size_t *size)
{
    struct header header = {.to = to, .sender = message->sender, .kind = message->kind};
    void *body = NULL;
    size_t length = 0;
    if (message->kind >= MESSAGE_REQUEST)
        header.word = message->body[0];
    if (message->kind == MESSAGE_SHARED)
        header.kind = MESSAGE_PLAIN;
    if (message->kind == MESSAGE_ERROR)
        header.error = (int64_t)message->body[1];
    else
        header.type = message->type;
    int error = header.type ? soma_type_pack(header.type, message_body(message), &body, &length) : 0;
    *frame = error ? NULL : malloc(sizeof(header) + length);
    *size = sizeof(header) + length;
    if (*frame) {
        memcpy(*frame, &header, sizeof(header));
        if (length)
            memcpy((char *)*frame + sizeof(header), body, length);
    }
    free(body);
    return error ? error : *frame ? 0 : SOMA_ENOMEM;
}

/* A block for a mailbox, from what stands behind a header. */
static int frame_unpack(const struct header *header, const char *body, size_t size, struct message **message)
{
    enum message_kind kind = (enum message_kind)header->kind;
    int error = SOMA_ENOMEM;
    if (kind == MESSAGE_ERROR) {
        *message = message_new(NULL, kind, 2 * sizeof(uint64_t));
        if (*message) {
            (*message)->body[0] = header->word;
            (*message)->body[1] = (uint64_t)header->error;
            error = 0;
        }
    } else {
        void *unpacked = malloc(header->type->size);
        if (unpacked)
            error = soma_type_unpack(header->type, unpacked, body, size);
        if (!error)
            error = message_build(NULL, kind, header->word, header->type, unpacked, message);
        if (unpacked)
            soma_type_destroy(header->type, unpacked);
        free(unpacked);
    }
    if (!error)
        (*message)->sender = header->sender;
    return error;
}

/* ---- sending: only messages, requests and their answers; all else is a bridge's ---- */

struct node *remote_node(soma_test *test, uint64_t identity)
{
    for (uint32_t i = 0; i < test->identities.count; i++)
        if (test->identities.all[i].identity == identity)
            return &test->nodes[test->identities.all[i].number];
    return NULL;
}

static int message_send(struct node *node, soma_ref to, struct message *message)
{
    soma_test *test = node->test;
    const struct node *other = remote_node(test, to.node);
    void *frame = NULL;
    size_t size;
    if (!other || !node->remote.identity || message->kind > MESSAGE_ERROR)
        return SOMA_ENOROUTE;
    if (other->remote.identity != to.node)
        return SOMA_ENODEDOWN;
    int error = frame_pack(to, message, &frame, &size);
    struct parcel *parcel = error ? NULL : parcel_add(&node->remote, other->number, to, message);
    if (!error && !parcel)
        error = SOMA_ENOMEM;
    if (!error) {
        error = network_send(test, node->number, other->number, frame, size);
        if (error)
            free(parcel_take_last(&node->remote.parcels[other->number]));
    }
    free(frame);
    return error;
}

/* Tells who sent it, or waits for it, what became of it. Takes it. */
static int message_refused(struct node *node, soma_ref to, struct message *message, int error)
{
    struct worker *worker = worker_for(node->system);
    if (message->kind == MESSAGE_REPLY && (error == SOMA_EFORMAT || error == SOMA_ETYPE)) {
        error = reply_fail(node->system, worker, message->sender, to, message->body[0], error); // who asked must know
        message_dispose(worker, message);
    } else {
        message_dead(node->system, worker, to, message, error);
    }
    return error;
}

static int remote_carry(void *context, soma_ref to, struct message *message)
{
    struct node *node = context;
    pthread_mutex_lock(&node->test->network.lock);
    int error = message_send(node, to, message);
    if (error)
        error = message_refused(node, to, message, error);
    pthread_mutex_unlock(&node->test->network.lock);
    return error;
}

/* ---- what the network tells ---- */

static void remote_deliver(void *context, uint32_t from, const void *bytes, size_t size)
{
    struct node *node = context, *sender = &node->test->nodes[from];
    struct parcel *parcel = parcel_take(&sender->remote.parcels[node->number]); // frames keep their order
    struct worker *worker = worker_for(sender->system);
    struct header header;
    struct message *message;
    memcpy(&header, bytes, sizeof(header));
    int error = frame_unpack(&header, (const char *)bytes + sizeof(header), size - sizeof(header), &message);
    if (error) {
        message_dead(sender->system, worker, parcel->to, parcel->message, error);
    } else {
        message_dispose(worker, parcel->message);
        message_push(node->system, NULL, header.to, message);
    }
    free(parcel);
}

/* Fails all requests that a node's agents have made to another node, and that have no answer. */
static void requests_fail(struct node *node, uint64_t identity, int reason)
{
    soma_system *system = node->system;
    uint32_t used = u32_load(&system->slots.used);
    for (uint32_t i = 0; i < used; i++) {
        soma_agent *agent = &system->slots.base[i];
        uint64_t life = u64_load(&agent->life);
        if (!life_runs(life) || !agent->extension)
            continue;
        const soma_ref self = {system->node, i, life_generation(life)};
        for (uint32_t j = 0; j < agent->extension->capacity; j++) {
            struct message *pending = agent->extension->pending[j].message;
            if (!pending || pending->kind != MESSAGE_TIMEOUT || request_asked(pending).node != identity)
                continue;
            if (reply_fail(system, worker_for(system), request_asked(pending), self, (uint64_t)pending_handle(agent, j),
                           reason) == SOMA_ENOMEM)
                soma_test_fail(node->test, "out of memory");
        }
    }
}

/* Is it a request that requests_fail() answers? */
static bool request_pends(struct node *node, uint64_t identity, const struct message *message)
{
    const soma_agent *agent = message->kind == MESSAGE_REQUEST ? agent_alive(node->test, message->sender) : NULL;
    if (!agent || message->sender.node != node->system->node)
        return false;
    struct message *pending = pending_find(agent, (int64_t)message->body[0]);
    return pending && pending->kind == MESSAGE_TIMEOUT && request_asked(pending).node == identity;
}

static void remote_broken(void *context, uint32_t peer, int reason)
{
    struct node *node = context;
    uint64_t identity = node->test->nodes[peer].remote.identity;
    while (node->remote.parcels && node->remote.parcels[peer].first) {
        struct parcel *parcel = parcel_take(&node->remote.parcels[peer]);
        parcel->message->settled |= request_pends(node, identity, parcel->message);
        message_dead(node->system, worker_for(node->system), parcel->to, parcel->message, reason);
        free(parcel);
    }
    if (identity)
        requests_fail(node, identity, reason);
}

/* ---- opening and closing ---- */

static void identity_add(soma_test *test, const struct node *node)
{
    struct identities *identities = &test->identities;
    if (identities->count == identities->capacity) {
        uint32_t capacity = identities->capacity ? identities->capacity * 2 : 4;
        struct identity *grown = realloc(identities->all, capacity * sizeof(*grown));
        if (!grown)
            soma_test_fail(test, "out of memory");
        identities->all = grown;
        identities->capacity = capacity;
    }
    identities->all[identities->count++] = (struct identity){node->remote.identity, node->number};
}

void remote_open(struct node *node)
{
    soma_test *test = node->test;
    const struct port port = {remote_deliver, remote_broken, node};
    pthread_mutex_lock(&test->network.lock);
    node->remote.identity = node->system->node;
    identity_add(test, node);
    network_port_open(test, node->number, &port);
    pthread_mutex_unlock(&test->network.lock);
    node->remote.route = (struct route){.carry = remote_carry, .context = node};
    system_route_set(node->system, &node->remote.route);
}

void remote_end(struct node *node)
{
    pthread_mutex_lock(&node->test->network.lock);
    for (uint32_t i = 0; node->remote.parcels && i < NODES_MAX; i++)
        while (node->remote.parcels[i].first) {
            struct parcel *parcel = parcel_take(&node->remote.parcels[i]);
            message_dispose(worker_for(node->system), parcel->message);
            free(parcel);
        }
    free(node->remote.parcels);
    node->remote.parcels = NULL;
    node->remote.identity = 0;
    pthread_mutex_unlock(&node->test->network.lock);
}

void remote_close(struct node *node)
{
    network_port_close(node->test, node->number, SOMA_ENODEDOWN);
    remote_end(node);
}
