/* Who is trusted with what: keys of connections, what is counted of strangers, and how much of it is logged. */
#include "bridges/address.h"
#include "bridges/bridge.h"
#include <soma/error.h>
#include <soma/log.h>
#include <string.h>

#define LOG_LINES 10u
#define LOG_LINES_NODES 50u /* those that there are have more to say than strangers */
#define LOG_SPAN (10 * SOMA_SECOND)

/* ---- strangers ---- */

static bool may_log(struct soma_bridge *bridge, struct log_share *share, uint64_t most, const char *what)
{
    uint64_t now = bridge_now(bridge);
    pthread_mutex_lock(&bridge->lock);
    uint64_t left_out = 0;
    if (now >= share->begun + LOG_SPAN) {
        left_out = share->lines > most ? share->lines - most : 0;
        *share = (struct log_share){.begun = now};
    }
    bool may = share->lines++ < most;
    pthread_mutex_unlock(&bridge->lock);
    if (left_out)
        soma_log_warning(bridge->system, "bridge: %llu more lines about %s were left out", (unsigned long long)left_out,
                         what);
    return may;
}

bool trust_may_log(struct soma_bridge *bridge)
{
    return may_log(bridge, &bridge->strangers_log, LOG_LINES, "strangers");
}

bool own_may_log(struct soma_bridge *bridge)
{
    return may_log(bridge, &bridge->own_log, LOG_LINES, "addresses");
}

bool node_may_log(struct soma_bridge *bridge)
{
    return may_log(bridge, &bridge->nodes_log, LOG_LINES_NODES, "nodes");
}

void trust_count(struct soma_bridge *bridge, uint64_t *counter)
{
    pthread_mutex_lock(&bridge->lock);
    ++*counter;
    pthread_mutex_unlock(&bridge->lock);
}

/* ---- keys ---- */

bool trust_key(struct soma_bridge *bridge, const char *key)
{
    pthread_mutex_lock(&bridge->lock);
    bool has = keys_have(&bridge->keys.allowed, key);
    pthread_mutex_unlock(&bridge->lock);
    return has;
}

bool trust_address(struct soma_bridge *bridge, const struct address *address)
{
    bool trusted = !address->key[0] || trust_key(bridge, address->key);
    if (!trusted && own_may_log(bridge))
        soma_log_warning(bridge->system, "bridge: the key of '%s %s' is not among those that are allowed here",
                         address->place, address->key);
    return trusted;
}

/* The key that the other side has proven to have. */
static void key_learn(const struct soma_bridge *bridge, struct connection *connection)
{
    struct address address;
    const char *key = NULL;
    if (connection->dial && address_read(connection->dial->address, &address))
        key = address.key;
    else if (!connection->dial && bridge->wire.greeted)
        key = bridge->wire.greeted(bridge->wire.context, connection->id);
    if (key && strlen(key) == KEY_SIZE - 1)
        memcpy(connection->key, key, KEY_SIZE);
}

bool trust_connection(struct soma_bridge *bridge, struct connection *connection)
{
    key_learn(bridge, connection);
    return !bridge->keys.on || (connection->key[0] && trust_key(bridge, connection->key));
}

bool trust_peer(struct peer *peer, const struct connection *connection)
{
    const char *before = peers_key(&peer->bridge->peers, peer->node); // of one that was forgotten
    const char *known = peer->key[0] || !before ? peer->key : before;
    if (known[0] && strcmp(known, connection->key) != 0)
        return false;
    memcpy(peer->key, connection->key, KEY_SIZE);
    return true;
}

/* Keys have been taken away: what goes on with them ends now. Others have been added: dials that could not be can. */
void trust_review(struct soma_bridge *bridge)
{
    for (struct connection *connection = bridge->connections, *after; connection; connection = after) {
        after = connection->next;
        if (!connection->key[0] || trust_key(bridge, connection->key))
            continue;
        if (connection->peer) {
            soma_log_warning(bridge->system, "bridge: the key of node %s is not allowed any more",
                             connection->peer->name);
            peer_end(connection->peer, SOMA_ENODEDOWN);
        }
        connection_end(bridge, connection, true);
    }
    for (struct dial *dial = bridge->dials; dial; dial = dial->next)
        if (!dial->connection)
            dial->due = dial->wait = 0;
}
