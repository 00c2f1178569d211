/* What is asked of a name server, and its life; see server.h. */
#include "nameservice/server.h"
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <inttypes.h>
#include <soma/attribute.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/method.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/system.h>
#include <stdlib.h>
#include <string.h>

/** @cond internal */
SOMA_MESSAGE(ns_settle)
SOMA_MESSAGE(ns_doubt, (ref, client))
/** @endcond */

/* ---- sessions ---- */

static int on_hello(soma_agent *self, struct nameserver *my, const struct ns_hello *m)
{
    struct session *session = session_find(my, soma_sender(self));
    if (session && m->restores)
        session_renew(my, session);
    else if (session)
        session_end(self, my, session);
    session = session_get(self, my, soma_sender(self));
    if (!session) {
        soma_reply_error(self, SOMA_EFULL);
        return 0;
    }
    session->restores = m->restores;
    if (my->alone)
        follow_seen(self, my, session->node.ref.node);
    return soma_reply(self, ns_welcome, .settled = my->settled, .follows = my->follows.node != 0);
}

static int on_restored(soma_agent *self, struct nameserver *my, const struct ns_restored *m)
{
    (void)m;
    struct session *session = session_find(my, soma_sender(self));
    if (session)
        session_restored(self, my, session);
    return 0;
}

static int on_bye(soma_agent *self, struct nameserver *my, const struct ns_bye *m)
{
    (void)m;
    struct session *session = session_find(my, soma_sender(self));
    if (session)
        session_end(self, my, session);
    return 0;
}

/*
 * A node is told of as down also if it is this one that was to the other, as it stood still: then it is there again by
 * now, with all its agents, and will put its names anew. If it is not, that is told at once, or it says nothing soon.
 */
static bool session_doubt(soma_agent *self, const struct nameserver *my, struct session *session)
{
    soma_ref client = session->node.ref;
    if (session->doubted || soma_after(self, my->options.settle_ms * SOMA_MS, ns_doubt, .client = client) < 0)
        return false;
    soma_handle monitor = soma_monitor(self, client);
    if (monitor < 0)
        return false;
    session->doubted = true;
    session->monitor = monitor;
    return true;
}

static int on_doubt(soma_agent *self, struct nameserver *my, const struct ns_doubt *m)
{
    struct session *session = session_find(my, m->client);
    if (session && session->doubted && soma_ref_equal(soma_sender(self), soma_self(self)))
        session_end(self, my, session);
    return 0;
}

static int on_down(soma_agent *self, struct nameserver *my, const struct soma_down *m)
{
    struct session *session = session_find(my, m->agent);
    if (follow_down(self, my, m) || !session || session->monitor != m->monitor)
        return 0;
    if (m->reason == SOMA_ENODEDOWN && session_doubt(self, my, session))
        return 0;
    session_end(self, my, session);
    return 0;
}

/* ---- putting and dropping ---- */

/* May the name be put by this session? */
static int put_check(const struct nameserver *my, const struct session *session, const struct record *record,
                     const struct ns_put *m)
{
    if (record->owner && record->owner != session && !m->takeover)
        return SOMA_EEXIST; // also if it is for the same agent: there would be two who can end it
    if (record->owner != session && session->account->record_count >= my->options.node_most)
        return SOMA_EFULL;
    return !record->owner && my->names.count >= my->options.names_most ? SOMA_EFULL : 0;
}

static int put(soma_agent *self, struct nameserver *my, struct session *session, struct record *record,
               const struct ns_put *m)
{
    struct soma_name entry;
    int error = put_check(my, session, record, m);
    if (!error)
        error = soma_name_copy(&entry, &m->name);
    if (error)
        return error;
    if (record->owner && record->owner != session)
        soma_send(self, record->owner->node.ref, ns_lost, .name = entry.name, .agent = record->entry.agent,
                  .holder = entry.agent);
    bool is_new = !record->owner || !soma_name_equal(&record->entry, &entry);
    soma_name_destroy(&record->entry);
    record->entry = entry;
    record->node.key = entry.name;
    record->again = false;
    if (record->owner != session)
        record_own(my, record, session);
    if (is_new)
        record_tell(self, my, record);
    return 0;
}

/* Says so at the 1st, 2nd, 4th, 8th… time: it must not fill the log, too. */
static void put_refuse(soma_agent *self, struct nameserver *my, struct account *account, int error)
{
    uint64_t before = account->refused++;
    my->refused++;
    if (!(before & account->refused))
        soma_log_warning(self, "node %016" PRIx64 " registers too %s: %" PRIu64 " refused", account->node.ref.node,
                         error == SOMA_EFULL ? "many" : "fast", account->refused);
}

static int on_put(soma_agent *self, struct nameserver *my, const struct ns_put *m)
{
    int error = m->name.agent.node ? check_entry(&m->name) : SOMA_EINVAL;
    struct session *session = error ? NULL : session_get(self, my, soma_sender(self));
    if (!error && my->follows.node)
        error = SOMA_ESTATE; // only the first takes it
    if (!error)
        error = !session ? SOMA_EFULL : account_spend(self, my, session->account) ? 0 : SOMA_EAGAIN;
    struct record *record = error ? NULL : record_get(my, m->name.name);
    if (!error)
        error = record ? put(self, my, session, record, m) : SOMA_ENOMEM;
    if (session && (error == SOMA_EAGAIN || error == SOMA_EFULL))
        put_refuse(self, my, session->account, error);
    if (record && (!error || error == SOMA_EEXIST))
        soma_reply(self, soma_name_registered, .error = error, .holder = record->entry.agent);
    else
        soma_reply_error(self, error);
    if (record)
        record_release(my, record); // it was only looked for
    return 0;
}

static int on_drop(soma_agent *self, struct nameserver *my, const struct ns_drop *m)
{
    struct record *record = m->name ? record_find(my, m->name) : NULL;
    if (record && record->owner && !my->follows.node && soma_ref_equal(record->owner->node.ref, soma_sender(self))) {
        record_own(my, record, NULL);
        record_tell(self, my, record);
        record_release(my, record);
    }
    soma_reply(self, soma_name_done);
    return 0;
}

/* ---- looking up ---- */

static int on_lookup(soma_agent *self, struct nameserver *my, const struct ns_lookup *m)
{
    struct soma_name nobody = {.name = m->name};
    int error = check_name(m->name);
    struct session *session = !error && m->keep ? session_get(self, my, soma_sender(self)) : NULL;
    struct record *record = error ? NULL : session ? record_get(my, m->name) : record_find(my, m->name);
    bool there = record && record_is_there(record), kept = session && record && keep_ask(session, record);
    if (error)
        soma_reply_error(self, error);
    else
        soma_reply(self, ns_found, .there = there, .kept = kept,
                   .behind = session && (session->unheard || session->new_count || session->reset),
                   .name = there ? record->entry : nobody);
    if (record)
        record_release(my, record); // it was only looked for
    return 0;
}

static int on_forget(soma_agent *self, struct nameserver *my, const struct ns_forget *m)
{
    struct session *session = session_find(my, soma_sender(self));
    struct record *record = m->name ? record_find(my, m->name) : NULL;
    if (session && record)
        keep_forget(my, session, record);
    return 0;
}

/* ---- has a client put all? The tag is the promise to who wants to know. ---- */

static int on_synced(soma_agent *self, struct nameserver *my, const struct soma_result *m)
{
    (void)m;
    my->sync_count--;
    return soma_reply_to(self, (soma_handle)soma_tag(self), soma_result);
}

static int on_not_synced(soma_agent *self, struct nameserver *my, const int *error)
{
    my->sync_count--;
    return soma_reply_error_to(self, (soma_handle)soma_tag(self), *error);
}

static int on_sync_asked(soma_agent *self, struct nameserver *my, const struct ns_sync *m)
{
    const struct record *record = m->name ? record_find(my, m->name) : NULL;
    const struct session *owner = record ? record->owner : NULL;
    if (!owner || owner == &my->first || my->sync_count >= SYNCS_MOST)
        return soma_reply_error(self, SOMA_EAGAIN);
    soma_handle promise = soma_reply_later(self);
    if (promise < 0)
        return 0; // nobody waits
    uint64_t timeout = m->timeout && m->timeout < SOMA_NAMES_TIMEOUT ? m->timeout : SOMA_NAMES_TIMEOUT;
    soma_handle asked = soma_request(self, owner->node.ref, timeout,
                                     SOMA_THEN(soma_result, on_synced, on_not_synced, .tag = (uint64_t)promise),
                                     ns_sync, .name = m->name, .timeout = timeout);
    if (asked < 0)
        return soma_reply_error_to(self, promise, (int)asked);
    my->sync_count++;
    return 0;
}

static int on_list(soma_agent *self, struct nameserver *my, const struct soma_name_list *m)
{
    struct soma_name names[SOMA_NAMES_PAGE_MOST];
    const char *prefix = m->prefix ? m->prefix : "";
    uint32_t most = m->most && m->most < SOMA_NAMES_PAGE_MOST ? m->most : SOMA_NAMES_PAGE_MOST, count = 0, bytes = 0;
    bool beyond = m->after && strcmp(m->after, prefix) >= 0, more = false;
    struct index_node *node = index_from(&my->names, beyond ? m->after : prefix, beyond);
    for (; node && has_prefix(node->key, prefix) && !more; node = index_from(&my->names, node->key, true)) {
        if (!record_is_there((const struct record *)node))
            continue;
        more = count == most || bytes >= NEWS_BYTES_MOST;
        if (!more) {
            names[count] = ((const struct record *)node)->entry;
            bytes += entry_weight(&names[count++]);
        }
    }
    if (soma_reply(self, soma_name_page, .names = {names, count}, .more = more))
        soma_reply_error(self, SOMA_ENOMEM);
    return 0;
}

/* ---- news ---- */

static int on_watch(soma_agent *self, struct nameserver *my, const struct ns_watch *m)
{
    struct session *session = session_get(self, my, soma_sender(self));
    if (!session || !m->watch || !m->prefix || check_prefix(m->prefix))
        return 0;
    if (news_watch(my, session, m->watch, m->prefix))
        session_end(self, my, session); // it must not take silence for peace
    else
        news_tell(self, my, session);
    return 0;
}

static int on_unwatch(soma_agent *self, struct nameserver *my, const struct ns_unwatch *m)
{
    struct session *session = session_find(my, soma_sender(self));
    if (session)
        news_unwatch(my, session, m->watch);
    return 0;
}

static int on_heard(soma_agent *self, struct nameserver *my, const struct ns_heard *m)
{
    (void)m;
    struct session *session = session_find(my, soma_sender(self));
    if (!session)
        return 0;
    session->unheard = false;
    news_tell(self, my, session);
    return 0;
}

/* ---- what it shows ---- */

static int get_uptime(soma_agent *self, struct nameserver *my, soma_value_builder *result)
{
    return soma_value_add_f64(result, (double)(soma_now(self) - my->begun) / (double)SOMA_SECOND);
}

static int get_version(soma_agent *self, struct nameserver *my, soma_value_builder *result)
{
    (void)self, (void)my;
    return soma_value_add_string(result, soma_version());
}

static int get_following(soma_agent *self, struct nameserver *my, soma_value_builder *result)
{
    (void)self;
    return soma_value_add_string(result, my->following ? my->following : "");
}

static int get_alone(soma_agent *self, struct nameserver *my, soma_value_builder *result)
{
    (void)self;
    return soma_value_add_bool(result, my->following && (my->alone || !my->settled));
}

/* ---- its life ---- */

void server_settle(soma_agent *self, struct nameserver *my)
{
    my->settled = true;
    for (struct session *session = my->sessions; session; session = session->next)
        news_tell(self, my, session);
}

/* Are there clients that still put what they had? For so long they may be waited for. */
static bool settle_again(soma_agent *self, struct nameserver *my)
{
    const struct session *session = my->sessions;
    while (session && !session->restores)
        session = session->next;
    return session && my->settle_left-- && soma_after(self, my->options.settle_ms * SOMA_MS, ns_settle) > 0;
}

static int on_settle(soma_agent *self, struct nameserver *my, const struct ns_settle *m)
{
    (void)m;
    if (!soma_ref_equal(soma_sender(self), soma_self(self)) || settle_again(self, my))
        return 0;
    server_settle(self, my);
    return 0;
}

static int server_init(soma_agent *self, void *state, const void *arg)
{
    struct nameserver *my = state;
    const struct nameserver_start *start = arg;
    my->options = start->options;
    if (!my->options.names_most)
        my->options.names_most = 1000000;
    if (!my->options.node_most)
        my->options.node_most = 200000;
    if (!my->options.node_rate)
        my->options.node_rate = 10000;
    if (!my->options.settle_ms)
        my->options.settle_ms = 2000;
    my->settle_left = SETTLE_TIMES;
    my->begun = soma_now(self);
    int error = nameserver_open(my, soma_random(self));
    if (!error)
        error = soma_name_set(soma_agent_system(self), soma_self(self), SOMA_NAMESERVER);
    if (!error && start->follow)
        error = follow_open(self, my, start->follow);
    else if (!error && soma_after(self, my->options.settle_ms * SOMA_MS, ns_settle) < 0)
        error = SOMA_ENOMEM;
    return error;
}

static void server_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    nameserver_free(state);
}

const soma_behavior nameserver_behavior = {
    .name = "nameserver",
    .state_size = sizeof(struct nameserver),
    .init = server_init,
    .stop = server_stop,
    .unmuted = true, // news waits until the last was heard, and is all but answers that grows
    .attributes = SOMA_ATTRIBUTES(
        SOMA_ATTRIBUTE_GET("uptime", get_uptime, "seconds since it was started"),
        SOMA_ATTRIBUTE_GET("version", get_version, "of Soma"),
        SOMA_ATTRIBUTE_READ("names", struct nameserver, names.count, "how many it has"),
        SOMA_ATTRIBUTE_READ("refused", struct nameserver, refused, "names that a node had too many of, or too fast"),
        SOMA_ATTRIBUTE_GET("following", get_following, "where the server is that it follows, if it does"),
        SOMA_ATTRIBUTE_GET("alone", get_alone, "it follows one, and can't reach it, or that has not settled")),
    .handlers =
        SOMA_HANDLERS(SOMA_ON(ns_lookup, on_lookup), SOMA_ON(ns_put, on_put), SOMA_ON(ns_drop, on_drop),
                      SOMA_ON(ns_heard, on_heard), SOMA_ON(ns_forget, on_forget), SOMA_ON(soma_name_list, on_list),
                      SOMA_ON(ns_watch, on_watch), SOMA_ON(ns_unwatch, on_unwatch), SOMA_ON(ns_hello, on_hello),
                      SOMA_ON(ns_restored, on_restored), SOMA_ON(ns_bye, on_bye), SOMA_ON(soma_down, on_down),
                      SOMA_ON(ns_settle, on_settle), SOMA_ON(ns_doubt, on_doubt), SOMA_ON(ns_even, on_even),
                      SOMA_ON(ns_sync, on_sync_asked), SOMA_ON(soma_name_event, on_first_event))};

/* A server that follows another one needs a bridge to it, and does not follow itself. */
static int follow_check(const soma_nameserver_options *options)
{
    const char *own;
    for (uint32_t i = 0; options->follow[i]; i++) {
        if (!options->bridge || !strcmp(options->follow[i], "local"))
            return SOMA_EINVAL;
        for (uint32_t j = 0; (own = soma_bridge_address(options->bridge, j)); j++)
            if (!strcmp(options->follow[i], own))
                return SOMA_EINVAL;
    }
    return 0;
}

int soma_nameserver_start(soma_system *system, const soma_nameserver_options *options, soma_ref *server)
{
    struct nameserver_start start = {0};
    struct client_start follow = {0};
    int error = system ? 0 : SOMA_EINVAL;
    if (server)
        *server = SOMA_REF_NULL;
    if (!error && options) {
        start.options = *options;
        start.options.follow = NULL; // the caller's
        error = options->follow ? follow_check(options) : 0;
        if (options->follow && !error)
            error = client_start_fill(system, options->bridge, options->follow, &follow);
        start.follow = options->follow ? &follow : NULL;
    }
    if (!error)
        error = soma_spawn(system, &nameserver_behavior, &start, server);
    client_start_free(&follow);
    return error;
}
