/* A bridge's parts come together and go: options, peers, addresses; see bridge.h. The public functions are in api.c. */
#include "bridges/address.h"
#include "bridges/agent.h"
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "runtime/thread.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

/* What the options say that others are to be told. */
static int bridge_advertise(struct soma_bridge *bridge, const char *text)
{
    struct address address;
    if (address_is_ipv6(bridge, text))
        return SOMA_EINVAL;
    if (!address_read(text, &address) || address.key[0] || address_is_any(text)) {
        soma_log_error(bridge->system, "bridge: others can't connect to '%s': tcp://HOST:PORT or ipc://PATH", text);
        return SOMA_EINVAL;
    }
    return bridge_bound(bridge, text);
}

/* Who listens nowhere has nowhere to tell of. */
static int advertise_check(const struct soma_bridge *bridge, const soma_bridge_options *options)
{
    if (!bridge->address_count || (options->bind && options->bind[0]))
        return 0;
    soma_log_error(bridge->system, "bridge: `advertise` wants `bind`: nobody listens at '%s'", bridge->addresses[0]);
    return SOMA_EINVAL;
}

static void options_fill(soma_bridge_options *options)
{
    options->down_ms = or_default(options->down_ms, 10000);
    options->heartbeat_ms =
        or_default(options->heartbeat_ms, options->down_ms < 3000 ? options->down_ms / 3 + 1 : 1000);
    options->retry_most_ms = or_default(options->retry_most_ms, 5000);
    options->message_most = or_default(options->message_most, 16u << 20);
    options->window = options->window ? options->window : 2u << 20;
    options->links_most = or_default(options->links_most, 1024);
    options->close_ms = or_default(options->close_ms, 5000);
}

/* Who hears nothing for as long as others may say nothing gives up each that has nothing to say. */
static int beats_check(soma_system *system, const soma_bridge_options *options)
{
    if (options->down_ms <= BEAT_LEAST_MS) {
        soma_log_error(system, "bridge: `down_ms` is %u, and must be more than %u: no node is heard more often",
                       options->down_ms, BEAT_LEAST_MS);
        return SOMA_EINVAL;
    }
    if (options->heartbeat_ms < options->down_ms)
        return 0;
    soma_log_error(system, "bridge: `heartbeat_ms` (%u) must be less than `down_ms` (%u), best a third of it",
                   options->heartbeat_ms, options->down_ms);
    return SOMA_EINVAL;
}

/* The worker of the bridge's thread: a pool and counters, no queue. */
static struct worker *worker_new(soma_system *system)
{
    struct worker *worker = aligned_alloc(64, sizeof(*worker));
    if (worker)
        worker_init(worker, system, WORKER_OWN, false);
    return worker;
}

int bridge_bound(struct soma_bridge *bridge, const char *address)
{
    char whole[ADDRESS_MAX + 1];
    int size = snprintf(whole, sizeof(whole), bridge->keys.on ? "%s %s" : "%s", address, bridge->keys.public_key);
    if (bridge->address_count == ADDRESSES_MAX || size > (int)ADDRESS_MAX)
        return SOMA_ETOOBIG;
    char *copy = strdup(whole);
    if (!copy)
        return SOMA_ENOMEM;
    bridge->addresses[bridge->address_count++] = copy;
    return 0;
}

/* The name that it has in logs; NULL: its number is. */
static int bridge_call(struct soma_bridge *bridge, const char *name)
{
    size_t size = name ? strlen(name) : 0;
    if (size > NODE_NAME_MAX) {
        soma_log_error(bridge->system, "bridge: the name has %zu bytes, and may have %u", size, NODE_NAME_MAX);
        return SOMA_ETOOBIG;
    }
    if (name && !type_utf8_valid(name, size)) {
        soma_log_error(bridge->system, "bridge: the name is no UTF-8");
        return SOMA_EINVAL;
    }
    if (name)
        snprintf(bridge->name, sizeof(bridge->name), "%s", name);
    else
        snprintf(bridge->name, sizeof(bridge->name), "%016llx", (unsigned long long)bridge->system->node);
    return 0;
}

int bridge_new(soma_system *system, const soma_bridge_options *options, struct soma_bridge **result)
{
    struct soma_bridge *bridge = calloc(1, sizeof(*bridge));
    if (!bridge)
        return SOMA_ENOMEM;
    bridge->system = system;
    bridge->options = *options;
    bridge->hellos = bridge->moves_said = bridge_now(bridge); // more than one before it has said, as others may know
    bridge->mail_most = MAIL_MOST;
    bridge->peers_most = PEERS_MOST;
    bridge->pings_most = PINGS_MOST;
    options_fill(&bridge->options);
    size_t four = (size_t)bridge->options.message_most * 4; // half of it, and an answer more, leave room for words
    bridge->owed_most = four > OWED_MOST ? four : OWED_MOST;
    msgpack_sbuffer_init(&bridge->frame);
    pthread_mutex_init(&bridge->lock, NULL);
    if (options->compress_least && !compress_is_there())
        soma_log_warning(system, "bridge: nothing is compressed: the library was built without zstd");
    bridge->worker = worker_new(system);
    int error = bridge->worker ? keys_open(system, options, &bridge->keys) : SOMA_ENOMEM;
    if (!error)
        error = beats_check(system, &bridge->options);
    if (!error)
        error = soma_type_register(system, &soma_failure_type);      // it comes in place of what agents ask for
    bridge->options.secret_key = bridge->options.secret_file = NULL; // the caller's
    bridge->options.allowed = bridge->options.allowed_file = NULL;
    if (!error)
        error = bridge_call(bridge, options->name);
    for (uint32_t i = 0; !error && options->advertise && options->advertise[i]; i++)
        error = bridge_advertise(bridge, options->advertise[i]);
    if (!error)
        error = advertise_check(bridge, options);
    for (uint32_t i = 0; !error && options->connect && options->connect[i]; i++)
        error = dial_add(bridge, options->connect[i], 0);
    if (error)
        bridge_free(bridge);
    else
        *result = bridge;
    return error;
}

static int occupied(soma_system *system)
{
    soma_log_error(system, "bridge: the system has a bridge already: one is all it can have, at as many addresses and "
                           "with as many nodes as you like");
    return SOMA_EEXIST;
}

/* The system's last bridge; NULL: it never had one. */
static struct soma_bridge *bridge_before(soma_system *system)
{
    const struct route *route = ptr_load(&system->route); // acquire: sees the bridge whole
    return route ? route->context : NULL;
}

int bridge_vacancy(soma_system *system)
{
    const struct soma_bridge *before = bridge_before(system);
    return before && !u32_load(&before->closing) ? occupied(system) : 0;
}

int bridge_start(struct soma_bridge *bridge, int (*stop)(void *), void (*release)(void *))
{
    soma_system *system = bridge->system;
    bridge->route = (struct route){.carry = bridge_carry,
                                   .send = bridge_send,
                                   .gate = bridge_gate,
                                   .stop = stop,
                                   .release = release,
                                   .context = bridge,
                                   .rest = {.await = bridge->wire.await,
                                            .attend = bridge->wire.attend,
                                            .rouse = bridge->wire.rouse,
                                            .context = bridge->wire.context}};
    pthread_mutex_lock(&system->lock);
    struct soma_bridge *before = bridge_before(system);
    bool taken = before && !u32_load(&before->closing);
    if (!taken) {
        if (before)
            counters_merge(&system->retired, &before->worker->counters);
        bridge->older = before;
        system->courier = bridge->worker;
        system_route_set(system, &bridge->route);
    }
    pthread_mutex_unlock(&system->lock);
    return taken ? occupied(system) : 0;
}

/* ---- peers ---- */

static int list_add(struct soma_bridge *bridge, struct peer *peer)
{
    uint32_t count = bridge->peer_count;
    if (!(count & (count - 1))) { // a power of two, or none: the list is full
        struct peer **grown = realloc(bridge->list, (count ? count * 2 : 1) * sizeof(struct peer *));
        if (!grown)
            return SOMA_ENOMEM;
        bridge->list = grown;
    }
    bridge->list[bridge->peer_count++] = peer;
    return 0;
}

int peer_publish(struct soma_bridge *bridge, struct peer *peer)
{
    if (peers_find(&bridge->peers, peer->node) == peer)
        return 0;
    if (bridge->peer_count >= bridge->peers_most && !peers_make_room(bridge))
        return SOMA_EFULL;
    if (!peer->gate && !(peer->gate = gate_spawn(bridge)))
        return SOMA_ENOMEM;
    pthread_mutex_lock(&bridge->lock);
    int error = list_add(bridge, peer);
    if (!error && (error = peers_add(&bridge->peers, peer)))
        bridge->peer_count--;
    pthread_mutex_unlock(&bridge->lock);
    if (!error)
        stranger_remove(bridge, peer);
    return error;
}

struct peer *bridge_peer(struct soma_bridge *bridge, uint64_t node)
{
    struct peer *peer = peer_meet(bridge, node);
    return peer && !peer_publish(bridge, peer) ? peer : NULL;
}

void peer_open(struct peer *peer)
{
    spin_lock(&peer->busy);
    if (!peer->open)
        peer->since = bridge_now(peer->bridge);
    peer->open = true;
    spin_unlock(&peer->busy);
}

/* Nothing is to be said to it yet. */
static void peer_rest(struct peer *peer)
{
    spin_lock(&peer->busy);
    peer->idle = true;
    peer->hearsay = !peer->addresses[0];
    spin_unlock(&peer->busy);
    peer->since = UINT64_MAX;
    peer->ended = bridge_now(peer->bridge);
}

void peer_wake(struct peer *peer)
{
    if (!peer->idle)
        return;
    spin_lock(&peer->busy);
    peer->idle = peer->hearsay = false;
    spin_unlock(&peer->busy);
    peer->since = bridge_now(peer->bridge);
}

bool bridge_listens(const struct soma_bridge *bridge, const char *address)
{
    for (uint32_t i = 0; i < bridge->address_count; i++)
        if (!strcmp(bridge->addresses[i], address))
            return true;
    return false;
}

int peer_call(struct soma_bridge *bridge, const struct peer *peer)
{
    const char *address = peer->addresses[0];
    int error = relay_want(bridge, peer->node, address);
    if (error || !address ||
        bridge_listens(bridge, address)) // who is called there is this node; it has come in place of it
        return error;
    return dial_add(bridge, address, peer->node);
}

/* With so many nodes known, or `links_most`, if that is more, word of others counts only if one makes room. */
#define TOLD_LEAST 1024u

static bool told_have_room(struct soma_bridge *bridge)
{
    bool full = bridge->peer_count >= TOLD_LEAST && bridge->peer_count >= bridge->options.links_most;
    return !full || peers_make_room(bridge);
}

int node_arrive(struct soma_bridge *bridge, const struct item *item)
{
    if (item->node == bridge->system->node || !item->node)
        return 0;
    const bool known = peers_find(&bridge->peers, item->node);
    if (!known && !told_have_room(bridge)) { // it may still come by itself
        if (trust_may_log(bridge))
            soma_log_warning(bridge->system, "bridge: others tell of more than %u nodes: the rest is not noted",
                             bridge->peer_count);
        return SOMA_EFULL;
    }
    struct peer *peer = bridge_peer(bridge, item->node);
    if (!peer)
        return SOMA_ENOMEM;
    if ((peer->open && !peer->idle) || peer->replaced) {
        if (!known) // it has said hello, and no more yet
            peer_announce(bridge, peer);
        return 0;
    }
    bool waits = bridge->options.on_demand || !(item->address_count || relay_is_there(bridge));
    peer_learn(peer, &item->name, item->addresses, item->address_count);
    if (!peer->open) {
        peer_open(peer); // refs to it may come from now on, and go on from here
        peer_announce(bridge, peer);
    }
    peer_rest(peer);
    if (waits)
        return 0;
    peer_wake(peer); // also one that was out of reach, of which a relay tells
    return peer_call(bridge, peer);
}

void want_answered(struct soma_bridge *bridge, const char *address, soma_ref agent)
{
    bool awaited = false;
    pthread_mutex_lock(&bridge->lock);
    for (struct want *want = bridge->wants; want; want = want->next)
        if (!strcmp(want->address, address)) {
            want->agent = agent;
            awaited = want->awaited && agent.node;
            want->awaited &= !awaited;
        }
    pthread_mutex_unlock(&bridge->lock);
    if (awaited)
        bridge_agent_wake(bridge);
}

void wants_answered(struct soma_bridge *bridge, uint64_t node, soma_ref agent)
{
    for (const struct dial *dial = bridge->dials; dial; dial = dial->next)
        if (dial->node == node)
            want_answered(bridge, dial->address, agent);
}

static void wants_free(struct soma_bridge *bridge)
{
    for (struct want *want = bridge->wants, *next; want; want = next) {
        next = want->next;
        free(want->address);
        free(want);
    }
}

/* ---- the end ---- */

/* What the bridge itself would tell a node, of others for one, is of no use without this one: or a node that is dead,
 * and not known to be, would keep it. */
static bool peer_is_owed(struct peer *peer)
{
    spin_lock(&peer->busy);
    bool owed = peer->unsaid || peer->owing > peer->session.acked ||
                (peer->out.bytes && (peer->out.owes || peer->transit.owes)); // what memory was out for has gone
    spin_unlock(&peer->busy);
    return owed;
}

bool bridge_is_drained(struct soma_bridge *bridge)
{
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        if (peer_is_owed(bridge->list[i]))
            return false;
    return true;
}

bool bridge_admits(struct soma_bridge *bridge, uint64_t node)
{
    if (!u32_load(&bridge->closing))
        return true;
    struct peer *peer = peers_find(&bridge->peers, node);
    return peer && peer->open &&
           (peer->session.yours || peer_is_owed(peer)); // it may be by a relay, that is owed nothing
}

/*
 * To those at the other end of a relay, or to the others. To all that have heard hello, also over a connection that is
 * not agreed on: it may have taken the place of the one with the session there, while it has not here.
 */
static void bye_say(struct soma_bridge *bridge, bool relayed)
{
    for (const struct connection *connection = bridge->connections; connection; connection = connection->next) {
        msgpack_sbuffer_clear(&bridge->frame);
        if (connection->said && !(connection->id & RELAYED) != relayed && bye_write(&bridge->frame))
            frame_send(bridge, connection->id, NULL);
    }
    relayed_flush(bridge);
}

/* Of what ends with others' sessions no node hears any more: they have heard goodbye. */
static void peer_shut(struct peer *peer)
{
    spin_lock(&peer->busy);
    peer->open = false;
    spin_unlock(&peer->busy);
}

struct losses bridge_goodbye(struct soma_bridge *bridge)
{
    struct losses all = {0};
    bye_say(bridge, true);
    bye_say(bridge, false);
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        peer_shut(bridge->list[i]);
    for (uint32_t i = 0; i < bridge->peer_count; i++) {
        const struct losses left = peer_finish(bridge->list[i], SOMA_ENODEDOWN);
        all.messages += left.messages;
        all.answers += left.answers;
        all.words += left.words;
    }
    while (bridge->connections)
        connection_end(bridge, bridge->connections, true);
    return all;
}

void bridge_free(struct soma_bridge *bridge)
{
    for (uint32_t i = 0; i < bridge->peer_count; i++)
        peer_free(bridge->list[i]);
    strangers_free(bridge);
    spares_free(bridge);
    burdens_free(bridge);
    relay_free(bridge);
    free(bridge->list);
    peers_free(&bridge->peers);
    for (struct dial *dial = bridge->dials, *next; dial; dial = next) {
        next = dial->next;
        free(dial->address);
        free(dial);
    }
    for (struct connection *connection = bridge->connections, *next; connection; connection = next) {
        next = connection->next;
        free(connection);
    }
    wants_free(bridge);
    free(bridge->unsaid.words);
    debts_free(&bridge->moves);
    introductions_free(bridge);
    for (uint32_t i = 0; i < bridge->address_count; i++)
        free(bridge->addresses[i]);
    keys_close(&bridge->keys);
    compressor_close(&bridge->compressor);
    msgpack_sbuffer_destroy(&bridge->frame);
    arena_free(&bridge->arena);
    pthread_mutex_destroy(&bridge->lock);
    if (bridge->worker)
        pool_flush(&bridge->worker->pool);
    free(bridge->worker);
    free(bridge);
}
