/* What the client asks, and what becomes of it; see directory.h. */
#include "nameservice/etcd/directory.h"
#include "nameservice/check.h"
#include "nameservice/etcd.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <stdlib.h>

#define FAREWELL_MS 500u /* for the lease to be ended at the end, */
#define FAREWELLS_MOST 2 /* by one of so many members */

void directory_lose(soma_agent *self, struct directory *my, const char *why)
{
    if (why && !my->lost)
        soma_log_warning(self, "etcd: %s; all are put again", why);
    my->lost = true;
    soma_agent_exit(self, 0);
}

/* ---- where agents live ---- */

bool home_introduce(soma_agent *self, const struct directory *my, const struct etcd_entry *entry, const soma_then *then)
{
    uint64_t home = entry->client.node;
    return my->bridge && home != my->self.node &&
           soma_request(self, soma_bridge_agent(my->bridge), SOMA_NEVER, then, soma_bridge_introduce, .node = home,
                        .addresses = {entry->addresses.items, entry->addresses.count}) > 0;
}

/* Its names are there all the same. Says so once, of its first one. */
void home_refused(soma_agent *self, struct directory *my, uint64_t home, const char *name, int error)
{
    const soma_ref key = {.node = home};
    if (error != SOMA_EINVAL || refs_find(&my->refused, key))
        return;
    struct refs_node *node = calloc(1, sizeof(*node));
    if (!node || refs_add(&my->refused, node, key)) {
        free(node);
        return; // there will be another time
    }
    soma_log_warning(self, "the node of '%s' can't be called from here: none of its agents can be reached", name);
}

static void refused_free(struct directory *my)
{
    for (uint32_t i = 0; i < my->refused.bucket_count; i++)
        for (struct refs_node *node = my->refused.buckets[i], *next; node; node = next) {
            next = node->next;
            free(node);
        }
    refs_free(&my->refused);
}

static bool is_client(const soma_agent *self, const struct directory *my)
{
    return soma_ref_equal(soma_sender(self), my->client);
}

/* In the other thread. */
static void give(void *context, struct http_result *result)
{
    const struct directory *my = context;
    soma_post(my->system, my->self, answer_take, result, http_result_free);
}

/* ---- what the client asks ---- */

static int on_hello(soma_agent *self, struct directory *my, const struct ns_hello *m)
{
    (void)m;
    if (!is_client(self, my) || my->hello)
        return 0;
    my->hello = soma_reply_later(self);
    struct ask *ask = ask_new(my, ASK_GRANT, NULL);
    if (my->hello < 0 || !ask || !session_get(self, &my->names, my->client))
        return SOMA_ENOMEM;
    return ask_send(self, my, ask);
}

static int on_put(soma_agent *self, struct directory *my, const struct ns_put *m)
{
    int error = is_client(self, my) && my->lease && m->name.agent.node ? check_entry(&m->name) : SOMA_EINVAL;
    struct ask *ask = error ? NULL : ask_new(my, ASK_PUT, NULL);
    if (error) {
        soma_reply_error(self, error);
        return 0;
    }
    if (!ask || soma_name_copy(&ask->name, &m->name))
        return SOMA_ENOMEM;
    ask->takeover = m->takeover;
    ask->promise = soma_reply_later(self);
    return ask_send(self, my, ask);
}

/* With the name alone. */
static int ask_name(soma_agent *self, struct directory *my, enum ask_kind kind, const char *name, int64_t revision)
{
    struct ask *ask = ask_new(my, kind, name);
    if (!ask)
        return SOMA_ENOMEM;
    ask->revision = revision;
    ask->promise = soma_reply_later(self);
    return ask_send(self, my, ask);
}

/* What is dropped is the key as the mirror has it: should etcd do it late, it can't be what was put since. */
static int on_drop(soma_agent *self, struct directory *my, const struct ns_drop *m)
{
    bool valid = is_client(self, my) && !check_name(m->name);
    const struct record *record = valid ? record_find(&my->names, m->name) : NULL;
    if (record && record->owner && record->owner == client_session(my))
        return ask_name(self, my, ASK_DROP, m->name, record->past);
    if (valid)
        soma_reply(self, soma_name_done); // it is another's
    else
        soma_reply_error(self, SOMA_EINVAL);
    return 0;
}

static int on_lookup(soma_agent *self, struct directory *my, const struct ns_lookup *m)
{
    if (is_client(self, my) && !check_name(m->name))
        return ask_name(self, my, ASK_LOOKUP, m->name, 0);
    soma_reply_error(self, SOMA_EINVAL);
    return 0;
}

static int on_watch(soma_agent *self, struct directory *my, const struct ns_watch *m)
{
    struct session *session = client_session(my);
    if (!session || !is_client(self, my) || !m->watch || !m->prefix || check_prefix(m->prefix))
        return 0;
    int error = news_watch(&my->names, session, m->watch, m->prefix);
    if (!error)
        news_tell(self, &my->names, session);
    return error; // the client must not take silence for peace
}

/* What is in etcd does not wait for those who put it. */
static int on_restored(soma_agent *self, struct directory *my, const struct ns_restored *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_bye(soma_agent *self, struct directory *my, const struct ns_bye *m)
{
    (void)m;
    if (is_client(self, my))
        soma_agent_exit(self, 0);
    return 0;
}

static int on_down(soma_agent *self, struct directory *my, const struct soma_down *m)
{
    if (soma_ref_equal(m->agent, my->client))
        soma_agent_exit(self, 0);
    return 0;
}

/* ---- its life ---- */

/* Has etcd answered what the watch should have told long ago? */
static bool watch_is_deaf(soma_agent *self, const struct directory *my)
{
    uint64_t now = soma_now(self), patience = my->time_ms * SOMA_MS;
    const struct ask *ask = my->asks;
    if (!my->watch || my->watch->rests || my->first || now - my->watch->begun < patience)
        return false;
    while (ask && (ask->id || now - ask->begun < patience))
        ask = ask->next;
    return ask != NULL;
}

static int on_beat(soma_agent *self, struct directory *my, const struct etcd_beat *m)
{
    (void)m;
    if (!soma_ref_equal(soma_sender(self), soma_self(self)))
        return 0;
    if (soma_now(self) > my->alive + my->ttl) {
        directory_lose(self, my, "no member has answered for as long as the lease lives");
        return 0;
    }
    my->busy = false;
    int error = watch_is_deaf(self, my) ? ask_failed(self, my, my->watch, false) : 0;
    if (error || my->keeping)
        return error;
    struct ask *ask = ask_new(my, ASK_KEEP, NULL);
    my->keeping = ask != NULL;
    return ask ? ask_send(self, my, ask) : SOMA_ENOMEM;
}

struct directory_start {
    soma_bridge *bridge;
    const char *address;
    uint32_t lease_s;
    soma_ref client;
};

static int directory_init(soma_agent *self, void *state, const void *arg)
{
    struct directory *my = state;
    const struct directory_start *start = arg;
    const char *address;
    my->system = soma_agent_system(self);
    my->self = soma_self(self);
    my->bridge = start->bridge;
    my->client = start->client;
    my->lease_s = start->lease_s;
    my->time_ms = TIME_MOST_MS;
    my->page_most = ETCD_PAGE;
    my->cluster.account = &my->others;
    my->names.begun = soma_now(self);
    while (my->own_address_count < ETCD_ADDRESSES_MOST &&
           (address = soma_bridge_address(my->bridge, my->own_address_count)))
        my->own_addresses[my->own_address_count++] = address;
    int error = etcd_address_read(start->address, &my->address);
    if (!error)
        error = nameserver_open(&my->names, soma_random(self));
    return error ? error : http_open(&my->http, give, my);
}

/* Its names are over now, if a member can be told. */
static void lease_revoke(const struct directory *my)
{
    char url[ETCD_URL_MOST], *text = text_lease(my->lease);
    long status = 0;
    for (uint32_t i = 0; i < FAREWELLS_MOST && i < my->address.member_count && status != 200; i++) {
        etcd_url(&my->address, (my->member + i) % my->address.member_count, ETCD_REVOKE, url);
        status = http_ask(my->http, url, text, FAREWELL_MS);
    }
    free(text);
}

/* It may wait, as it has a thread of its own. */
static void directory_stop(soma_agent *self, void *state, int reason)
{
    struct directory *my = state;
    (void)self, (void)reason;
    if (my->lease && !my->lost)
        lease_revoke(my);
    if (my->http)
        http_close(my->http);
    while (my->asks)
        ask_free(my, my->asks);
    mirror_free(my);
    refused_free(my);
    while (my->cluster.records) {
        struct record *record = my->cluster.records;
        record_own(&my->names, record, NULL);
        record_release(&my->names, record);
    }
    nameserver_free(&my->names);
}

/* What it does as any name server does is in its base: lists, and what is heard and forgotten. */
static const soma_behavior directory_behavior = {
    .name = "etcd",
    .base = &nameserver_behavior,
    .state_size = sizeof(struct directory),
    .init = directory_init,
    .stop = directory_stop,
    .blocking = true, // for its end
    .handlers =
        SOMA_HANDLERS(SOMA_ON(ns_lookup, on_lookup), SOMA_ON(ns_put, on_put), SOMA_ON(ns_drop, on_drop),
                      SOMA_ON(ns_watch, on_watch), SOMA_ON(ns_hello, on_hello), SOMA_ON(ns_restored, on_restored),
                      SOMA_ON(ns_bye, on_bye), SOMA_ON(soma_down, on_down), SOMA_ON(etcd_beat, on_beat),
                      SOMA_ON(etcd_rested, on_etcd_rested), SOMA_ON(etcd_behind, on_etcd_behind))};

int etcd_check(const char *address)
{
    struct etcd_address read;
    return etcd_address_read(address, &read);
}

int etcd_spawn(soma_agent *self, soma_bridge *bridge, const char *address, uint32_t lease_s, soma_ref *server)
{
    const struct directory_start start = {bridge, address, lease_s, soma_self(self)};
    return soma_spawn(self, &directory_behavior, &start, server);
}
