/* The name server's records and sessions; see server.h. */
#include "nameservice/server.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>

/* ---- records ---- */

struct record *record_find(const struct nameserver *my, const char *name)
{
    struct index_node *node = index_find(&my->names, name);
    return (struct record *)(node ? node : index_find(&my->wanted, name));
}

struct record *record_get(struct nameserver *my, const char *name)
{
    struct record *record = record_find(my, name);
    if (record || !(record = calloc(1, sizeof(*record))))
        return record;
    if (soma_name_copy(&record->entry, &(struct soma_name){.name = name})) {
        free(record);
        return NULL;
    }
    return record;
}

static void record_move(struct record *record, struct index *index)
{
    if (record->index == index)
        return;
    if (record->index)
        index_remove(record->index, &record->node);
    record->index = index;
    if (index)
        index_add(index, &record->node, record->entry.name);
}

void record_release(struct nameserver *my, struct record *record)
{
    if (record->owner || record->pinned)
        return;
    record_move(record, record->keeps ? &my->wanted : NULL);
    if (record->keeps)
        return;
    soma_name_destroy(&record->entry);
    free(record);
}

static void record_disown(struct record *record)
{
    struct session *owner = record->owner;
    *(record->previous ? &record->previous->next : &owner->records) = record->next;
    if (record->next)
        record->next->previous = record->previous;
    owner->account->record_count--;
}

void record_own(struct nameserver *my, struct record *record, struct session *owner)
{
    if (record->owner)
        record_disown(record);
    record->owner = owner;
    record->again = record->away = false;
    record_move(record, owner ? &my->names : NULL);
    if (!owner) {
        record->entry.agent = SOMA_REF_NULL;
        return;
    }
    record->previous = NULL;
    record->next = owner->records;
    if (record->next)
        record->next->previous = record;
    owner->records = record;
    owner->account->record_count++;
}

/* ---- sessions ---- */

struct session *session_find(const struct nameserver *my, soma_ref client)
{
    return (struct session *)refs_find(&my->clients, client);
}

static struct account *account_get(struct nameserver *my, uint64_t node)
{
    const soma_ref key = {.node = node};
    struct account *account = (struct account *)refs_find(&my->accounts, key);
    if (account || !(account = calloc(1, sizeof(*account))))
        return account;
    if (refs_add(&my->accounts, &account->node, key)) {
        free(account);
        return NULL;
    }
    return account;
}

static void account_release(soma_agent *self, struct nameserver *my, struct account *account)
{
    uint64_t now = soma_now(self);
    if (account->session_count || account->timed)
        return;
    account->timed =
        account->even_at > now && soma_after(self, account->even_at - now, ns_even, .node = account->node.ref.node) > 0;
    if (account->timed)
        return;
    refs_remove(&my->accounts, &account->node);
    free(account);
}

int on_even(soma_agent *self, struct nameserver *my, const struct ns_even *m)
{
    struct account *account = (struct account *)refs_find(&my->accounts, (soma_ref){.node = m->node});
    if (!account || !soma_ref_equal(soma_sender(self), soma_self(self)))
        return 0;
    account->timed = false;
    account_release(self, my, account);
    return 0;
}

bool account_spend(soma_agent *self, const struct nameserver *my, struct account *account)
{
    uint32_t rate = my->options.node_rate, most = my->options.node_most > rate ? my->options.node_most : rate;
    uint64_t now = soma_now(self), each = SOMA_SECOND / rate;
    uint64_t even_at = account->even_at > now ? account->even_at : now;
    if (even_at - now > each * (most - 1))
        return false;
    account->even_at = even_at + each;
    return true;
}

static struct session *session_new(soma_agent *self, struct nameserver *my, soma_ref client, struct account *account)
{
    struct session *session = account->session_count < SESSIONS_MOST ? calloc(1, sizeof(*session)) : NULL;
    if (!session)
        return NULL;
    session->account = account;
    session->settled = my->settled;
    session->monitor = soma_monitor(self, client);
    if (session->monitor < 0 || refs_add(&my->clients, &session->node, client)) {
        soma_demonitor(self, session->monitor);
        free(session);
        return NULL;
    }
    session->next = my->sessions;
    if (session->next)
        session->next->previous = session;
    my->sessions = session;
    account->session_count++;
    return session;
}

struct session *session_get(soma_agent *self, struct nameserver *my, soma_ref client)
{
    struct session *session = session_find(my, client);
    struct account *account = session ? NULL : account_get(my, client.node);
    if (!account)
        return session;
    session = session_new(self, my, client, account);
    account_release(self, my, account);
    return session;
}

void session_renew(struct nameserver *my, struct session *session)
{
    news_close(my, session);
    session->unheard = session->reset = session->doubted = false;
    session->settled = my->settled;
    for (struct record *record = session->records; record; record = record->next)
        record->again = true;
}

/* What it has put is gone: all of that, or what it was to put again. */
static void records_end(soma_agent *self, struct nameserver *my, struct session *session, bool all)
{
    for (struct record *record = session->records, *next; record; record = next) {
        next = record->next;
        if (!all && !record->again)
            continue;
        record_own(my, record, NULL);
        record_tell(self, my, record);
        record_release(my, record);
    }
}

void session_restored(soma_agent *self, struct nameserver *my, struct session *session)
{
    session->restores = false;
    records_end(self, my, session, false);
}

void session_end(soma_agent *self, struct nameserver *my, struct session *session)
{
    *(session->previous ? &session->previous->next : &my->sessions) = session->next;
    if (session->next)
        session->next->previous = session->previous;
    refs_remove(&my->clients, &session->node);
    soma_demonitor(self, session->monitor);
    news_close(my, session);
    records_end(self, my, session, true);
    session->account->session_count--;
    account_release(self, my, session->account);
    free(session);
}

/* ---- all of it ---- */

int nameserver_open(struct nameserver *my, uint64_t seed)
{
    int error = index_open(&my->names, seed);
    return error ? error : index_open(&my->wanted, seed);
}

static void records_free(struct nameserver *my, struct session *session)
{
    for (struct record *record = session->records, *next; record; record = next) {
        next = record->next;
        record_own(my, record, NULL);
        record_release(my, record);
    }
}

void nameserver_free(struct nameserver *my)
{
    for (struct session *session = my->sessions, *next; session; session = next) {
        next = session->next;
        news_close(my, session);
        records_free(my, session);
        free(session);
    }
    records_free(my, &my->first);
    for (uint32_t i = 0; i < my->accounts.bucket_count; i++)
        for (struct refs_node *node = my->accounts.buckets[i], *behind; node; node = behind) {
            behind = node->next;
            free(node);
        }
    follow_free(my);
    refs_free(&my->clients);
    refs_free(&my->accounts);
    index_free(&my->names);
    index_free(&my->wanted);
    free(my->following);
}
