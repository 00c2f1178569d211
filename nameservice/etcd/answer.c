/* What becomes of etcd's answers; see directory.h. */
#include "nameservice/etcd/directory.h"
#include <soma/error.h>
#include <soma/log.h>

#define CODE_NOT_FOUND 5  /* of gRPC: the lease is gone */
#define CODE_COMPACTED 11 /* out of range: so is the revision */
#define STATUS_MOST 499   /* of HTTP; above it another member may do better */
#define STATUS_BUSY 429

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
    bool drops = ask->kind == ASK_DROP;
    if (!drops && (my->reached >= ask->until || !ask->absent))
        return my->reached >= ask->until;
    const struct record *record = record_find(&my->names, ask->name.name);
    return !record || !record->owner || (drops && record->past != ask->revision);
}

/* It was put; but the mirror may know of what came after that. */
static void put_settle(soma_agent *self, struct directory *my, const struct ask *ask)
{
    const struct record *record = record_find(&my->names, ask->name.name);
    if (!record || !record->owner)
        directory_lose(self, my, NAMES_REMOVED); // the client is told by that
    else
        put_reply(self, ask, record->owner == client_session(my) ? 0 : SOMA_EEXIST, record->entry.agent);
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
    ask->id = ask->other = 0;
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
    my->time_ms = time_ms > TIME_MOST_MS ? TIME_MOST_MS : time_ms < TIME_LEAST_MS ? TIME_LEAST_MS : (uint32_t)time_ms;
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

/* Somebody has the name. May the client have it, if it stays so? It may if it has put it, by whatever lease. */
static bool put_may(const struct directory *my, const struct ask *ask, const struct etcd_kv *kv)
{
    bool taken = kv->there && !soma_ref_equal(kv->entry.client, my->client); // what is no name is nobody's
    return !taken || ask->takeover;
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
    if (count && !put_may(my, ask, kvs)) {
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

/* The agent's node is called, if need be: the mirror has had that told long ago, and the bridge may have given it up.
 */
static int on_home_introduced(soma_agent *self, struct directory *my, const struct soma_bridge_introduced *m)
{
    struct ask *ask = ask_find(my, soma_tag(self));
    (void)m;
    return ask ? ask_wait(self, my, ask, ask->until, ask->answered) : 0;
}

static int on_home_not_introduced(soma_agent *self, struct directory *my, const int *error)
{
    const struct ask *ask = ask_find(my, soma_tag(self));
    if (ask)
        home_refused(self, my, ask->home, ask->name.name, *error);
    return on_home_introduced(self, my, NULL);
}

static bool lookup_introduce(soma_agent *self, struct directory *my, struct ask *ask, const struct etcd_entry *entry)
{
    ask->id = ++my->ids; // no member has anything to say any more
    ask->other = 0;
    ask->home = entry->client.node;
    return home_introduce(
        self, my, entry, SOMA_THEN(soma_bridge_introduced, on_home_introduced, on_home_not_introduced, .tag = ask->id));
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
    ask->until = ask->absent ? revision : kvs->revision;
    ask->answered = revision;
    bool introduces = !ask->absent && lookup_introduce(self, my, ask, &kvs->entry);
    kvs_free(kvs, count);
    return introduces ? 0 : ask_wait(self, my, ask, ask->until, revision);
}

/* What is answered by the majority is not older than what a member told before, unless etcd was restored. */
static bool has_gone_back(const struct ask *ask, const json_t *answer)
{
    int64_t revision;
    bool counts = ask->kind == ASK_PUT || ask->kind == ASK_DROP || ask->kind == ASK_LOOKUP;
    return counts && !text_revision(answer, &revision) && revision < ask->before;
}

static int answered(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    if (has_gone_back(ask, answer)) {
        directory_lose(self, my, "it is as it was some time ago");
        return 0;
    }
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

/* Says so, now and then: it is tried again as long as the client wants it. */
static void busy_tell(soma_agent *self, struct directory *my, const struct http_result *result)
{
    const char *text = json_string_value(json_object_get(result->json, "error"));
    if (!my->busy && my->lease) // else the client says so
        soma_log_warning(self, "etcd is busy: %s", text ? text : "it does not say why");
    my->busy = true;
}

/* A member was of no use. */
static int result_fail(soma_agent *self, struct directory *my, struct ask *ask, const struct http_result *result)
{
    bool busy = result->status == STATUS_BUSY || result->status > STATUS_MOST;
    if (ask_half_failed(ask, result->id))
        return 0;
    if (busy)
        busy_tell(self, my, result);
    if (ask->kind == ASK_PAGE)
        mirror_page_failed(my, false);
    return ask_failed(self, my, ask, busy);
}

int answer_take(soma_agent *self, void *state, void *pointer)
{
    struct directory *my = state;
    struct http_result *result = pointer;
    struct ask *ask = ask_find(my, result->id);
    bool won = ask && result->json && result->status == 200;
    int error = won ? ask_won(self, my, ask, result->id) : 0;
    if (ask && !error)
        error = result_read(self, my, ask, result);
    if (ask && !error)
        ask_answered(self, my);
    if (error == SOMA_EFORMAT && (ask = ask_find(my, result->id)))
        error = result_fail(self, my, ask, result);
    http_result_free(result);
    return error;
}
