/* What the client asks, and what becomes of it; see directory.h. */
#include "nameservice/etcd/directory.h"
#include "nameservice/check.h"
#include "nameservice/etcd.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <stdlib.h>

#define CODE_NOT_FOUND 5  /* of gRPC: the lease is gone */
#define CODE_COMPACTED 11 /* out of range: so is the revision */
#define STATUS_MOST 499   /* of HTTP; above it another member may do better */
#define STATUS_BUSY 429
#define FAREWELL_MS 500u /* for the lease to be ended at the end, */
#define FAREWELLS_MOST 2 /* by one of so many members */

void directory_lose(soma_agent *self, struct directory *my, const char *why)
{
    if (why && !my->lost)
        soma_log_warning(self, "etcd: %s; all are put again", why);
    my->lost = true;
    soma_agent_exit(self, 0);
}

static bool is_client(const soma_agent *self, const struct directory *my)
{
    return soma_ref_equal(soma_sender(self), my->client);
}

/* ---- answering the client ---- */

static void put_reply(soma_agent *self, const struct ask *ask, int error, soma_ref holder)
{
    soma_reply_to(self, ask->promise, soma_name_registered, .error = error, .holder = holder);
}

static void lookup_reply(soma_agent *self, struct directory *my, const struct ask *ask)
{
    struct soma_name nobody = {.name = ask->name.name};
    struct session *session = client_session(my);
    struct record *record = record_get(&my->names, ask->name.name);
    bool there = record && record->owner, kept = session && record && keep_ask(session, record);
    bool behind =
        my->reached < ask->answered || (session && (session->unheard || session->new_count || session->reset));
    if (!record) {
        soma_reply_error_to(self, ask->promise, SOMA_ENOMEM);
        return;
    }
    if (ask->absent && !there && record->past < ask->answered)
        record->past = ask->answered;
    soma_reply_to(self, ask->promise, ns_found, .there = there, .kept = kept, .behind = behind,
                  .name = there ? record->entry : nobody);
    record_release(&my->names, record);
}

/* Does the mirror know what etcd has answered? What is not there has not to be waited for. */
static bool ask_is_reached(const struct directory *my, const struct ask *ask)
{
    const struct record *record = record_find(&my->names, ask->name.name);
    bool there = record && record->owner;
    if (ask->kind == ASK_DROP)
        return !there || record->past != ask->revision;
    return my->reached >= ask->until || (ask->absent && !there);
}

/* It was put; but the mirror may know of what came after that. */
static void put_settle(soma_agent *self, struct directory *my, const struct ask *ask)
{
    const struct record *record = record_find(&my->names, ask->name.name);
    if (!record || !record->owner)
        directory_lose(self, my, NAMES_REMOVED); // the client is told by that
    else if (soma_ref_equal(record->entry.agent, ask->name.agent))
        put_reply(self, ask, 0, ask->name.agent);
    else
        put_reply(self, ask, SOMA_EEXIST, record->entry.agent);
}

static bool ask_settle(soma_agent *self, struct directory *my, struct ask *ask)
{
    if (ask->id || !ask_is_reached(my, ask))
        return false;
    if (ask->kind == ASK_PUT)
        put_settle(self, my, ask);
    else if (ask->kind == ASK_LOOKUP)
        lookup_reply(self, my, ask);
    else if (ask->promise)
        soma_reply_to(self, ask->promise, soma_name_done);
    ask_free(my, ask);
    return true;
}

void asks_settle(soma_agent *self, struct directory *my)
{
    for (struct ask *ask = my->asks, *next; ask; ask = next) {
        next = ask->next;
        ask_settle(self, my, ask);
    }
}

/* Etcd has answered: the mirror must get so far. */
static int ask_wait(soma_agent *self, struct directory *my, struct ask *ask, int64_t until, int64_t answered)
{
    ask->id = 0;
    ask->begun = soma_now(self);
    ask->until = until;
    ask->answered = answered;
    ask_settle(self, my, ask);
    return 0;
}

/* ---- what etcd answers ---- */

static int granted(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    int64_t lease, ttl;
    int error = text_number(answer, "ID", &lease);
    if (!error)
        error = text_number(answer, "TTL", &ttl);
    if (error || !lease || !ttl || ttl > UINT32_MAX)
        return SOMA_EFORMAT;
    my->lease = lease;
    my->ttl = (uint64_t)ttl * SOMA_SECOND;
    // A third of it may be over when it is to be kept; in what is left all members have their turn.
    uint64_t time_ms = my->ttl / SOMA_MS * 2 / 3 / my->address.member_count;
    my->time_ms = time_ms < TIME_MOST_MS ? (uint32_t)time_ms : TIME_MOST_MS;
    my->alive = ask->begun;
    soma_reply_to(self, my->hello, ns_welcome, .settled = false);
    ask_free(my, ask);
    error = mirror_list(self, my);
    return error || soma_each(self, my->ttl / 3, etcd_beat) > 0 ? error : SOMA_ENOMEM;
}

static int kept(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    const json_t *result = json_object_get(answer, "result");
    int64_t ttl, lease;
    int error = text_number(result, "TTL", &ttl);
    if (!error)
        error = text_number(result, "ID", &lease);
    if (error || lease != my->lease)
        return SOMA_EFORMAT;
    if (!ttl)
        directory_lose(self, my, "the lease has ended, and its names with it");
    my->alive = ask->begun;
    my->keeping = false;
    ask_free(my, ask);
    return 0;
}

/* Somebody has the name. May the client have it? 0: yes, if it stays so; SOMA_EEXIST. */
static int put_may(const struct directory *my, const struct ask *ask, const struct etcd_kv *kv)
{
    bool same = !kv->there || soma_ref_equal(kv->entry.name.agent, ask->name.agent); // what is no name is nobody's
    return same || ask->takeover || kv->lease == my->lease ? 0 : SOMA_EEXIST;
}

static int put_done(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    struct etcd_kv *kvs = NULL;
    uint32_t count = 0;
    int64_t revision;
    bool done;
    int error = text_revision(answer, &revision);
    if (!error)
        error = text_flag(answer, "succeeded", &done);
    if (!error && done)
        return ask_wait(self, my, ask, revision, revision);
    if (!error)
        error = text_txn_kvs(answer, my->address.prefix, &kvs, &count);
    if (error)
        return error;
    int64_t since = count ? kvs->revision : 0;
    if (count && put_may(my, ask, kvs)) {
        put_reply(self, ask, SOMA_EEXIST, kvs->entry.name.agent);
        ask_free(my, ask);
    } else if (since == ask->revision) {
        error = SOMA_EFORMAT; // then it would have been done
    } else {
        ask->revision = since;
        error = ask_send(self, my, ask);
    }
    kvs_free(kvs, count);
    return error;
}

static int drop_done(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    int64_t revision;
    bool done;
    int error = text_revision(answer, &revision);
    if (!error)
        error = text_flag(answer, "succeeded", &done);
    return error ? error : ask_wait(self, my, ask, 0, revision); // done before, or another's: the mirror will know
}

static int lookup_done(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    struct etcd_kv *kvs = NULL;
    uint32_t count = 0;
    int64_t revision;
    int error = text_revision(answer, &revision);
    if (!error)
        error = text_kvs(answer, my->address.prefix, &kvs, &count);
    if (error)
        return error;
    ask->absent = !count || !kvs->there;
    int64_t until = ask->absent ? revision : kvs->revision;
    kvs_free(kvs, count);
    return ask_wait(self, my, ask, until, revision);
}

static int answered(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    switch (ask->kind) {
    case ASK_GRANT:
        return granted(self, my, ask, answer);
    case ASK_KEEP:
        return kept(self, my, ask, answer);
    case ASK_PAGE:
        return mirror_page(self, my, ask, answer);
    case ASK_WATCH:
        return mirror_line(self, my, answer);
    case ASK_PUT:
        return put_done(self, my, ask, answer);
    case ASK_DROP:
        return drop_done(self, my, ask, answer);
    case ASK_LOOKUP:
        break;
    }
    return lookup_done(self, my, ask, answer);
}

/* Etcd will not do it, whoever is asked. SOMA_EFORMAT: perhaps another member. */
static int refused(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    const char *text = json_string_value(json_object_get(answer, "error"));
    int64_t code;
    int error = text_number(answer, "code", &code);
    if (error)
        return error;
    if (ask->kind == ASK_PAGE && code == CODE_COMPACTED) {
        ask_free(my, ask);
        return mirror_list(self, my);
    }
    if (ask->kind != ASK_PUT && ask->kind != ASK_DROP) {
        soma_log_debug(self, "etcd refuses: %s", text ? text : "it does not say why");
        return SOMA_EFORMAT;
    }
    if (code == CODE_NOT_FOUND) {
        directory_lose(self, my, "the lease has ended, and its names with it");
        return 0;
    }
    soma_log_warning(self, "etcd refuses the name '%s': %s", ask->name.name, text ? text : "it does not say why");
    soma_reply_error_to(self, ask->promise, SOMA_EINVAL);
    ask_free(my, ask);
    return 0;
}

/* What somebody else has put there is more than is read. SOMA_EFORMAT: it is not that. */
static int too_big(soma_agent *self, struct directory *my, struct ask *ask)
{
    bool lists = ask->kind == ASK_PAGE && !my->keys_only;
    if (ask->kind == ASK_WATCH)
        return mirror_again(self, my, "a value is too long");
    if (!lists && ask->kind != ASK_PUT && ask->kind != ASK_LOOKUP)
        return SOMA_EFORMAT;
    if (lists) {
        mirror_page_failed(my, true);
        return ask_send(self, my, ask);
    }
    soma_reply_error_to(self, ask->promise, SOMA_ETOOBIG);
    ask_free(my, ask);
    return 0;
}

/* What a member has said; SOMA_EFORMAT: nothing that is of use. */
static int result_read(soma_agent *self, struct directory *my, struct ask *ask, const struct http_result *result)
{
    bool refuses = result->status >= 400 && result->status <= STATUS_MOST && result->status != STATUS_BUSY;
    if (result->big && (result->more || ask->kind != ASK_WATCH))
        return too_big(self, my, ask);
    if (result->json && result->status == 200)
        return answered(self, my, ask, result->json);
    return result->json && refuses ? refused(self, my, ask, result->json) : SOMA_EFORMAT;
}

/* A function that is posted for each result. */
static int on_result(soma_agent *self, void *state, void *pointer)
{
    struct directory *my = state;
    struct http_result *result = pointer;
    struct ask *ask = ask_find(my, result->id);
    int error = ask ? result_read(self, my, ask, result) : 0;
    if (ask && !error)
        ask_answered(self, my);
    if (error == SOMA_EFORMAT && (ask = ask_find(my, result->id))) {
        if (ask->kind == ASK_PAGE)
            mirror_page_failed(my, false);
        error = ask_failed(self, my, ask, result->status == STATUS_BUSY || result->status > STATUS_MOST);
    }
    http_result_free(result);
    return error;
}

/* In the other thread. */
static void give(void *context, struct http_result *result)
{
    const struct directory *my = context;
    soma_post(my->system, my->self, on_result, result, http_result_free);
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
    .handlers = SOMA_HANDLERS(SOMA_ON(ns_lookup, on_lookup), SOMA_ON(ns_put, on_put), SOMA_ON(ns_drop, on_drop),
                              SOMA_ON(ns_watch, on_watch), SOMA_ON(ns_hello, on_hello),
                              SOMA_ON(ns_restored, on_restored), SOMA_ON(ns_bye, on_bye), SOMA_ON(soma_down, on_down),
                              SOMA_ON(etcd_beat, on_beat), SOMA_ON(etcd_rested, on_etcd_rested))};

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
