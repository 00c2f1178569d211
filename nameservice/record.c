/* The name server's records and sessions; see server.h. */
#include "nameservice/server.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

/* ---- records ---- */

struct record *record_find(const struct nameserver *my, const char *name)
{
    return (struct record *)index_find(&my->names, name);
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
    index_add(&my->names, &record->node, record->entry.name);
    return record;
}

void record_release(struct nameserver *my, struct record *record)
{
    if (record->owner || record->keeps || record->pinned)
        return;
    index_remove(&my->names, &record->node);
    soma_name_destroy(&record->entry);
    free(record);
}

static void record_disown(struct nameserver *my, struct record *record)
{
    struct session *owner = record->owner;
    *(record->previous ? &record->previous->next : &owner->records) = record->next;
    if (record->next)
        record->next->previous = record->previous;
    owner->record_count--;
    my->name_count--;
}

void record_own(struct nameserver *my, struct record *record, struct session *owner)
{
    if (record->owner)
        record_disown(my, record);
    record->owner = owner;
    if (!owner) {
        record->entry.agent = SOMA_REF_NULL;
        return;
    }
    record->previous = NULL;
    record->next = owner->records;
    if (record->next)
        record->next->previous = record;
    owner->records = record;
    owner->record_count++;
    my->name_count++;
}

/* ---- sessions ---- */

struct session *session_find(const struct nameserver *my, soma_ref client)
{
    return (struct session *)refs_find(&my->clients, client);
}

static uint32_t sessions_of(const struct nameserver *my, uint64_t node)
{
    uint32_t count = 0;
    for (const struct session *session = my->sessions; session; session = session->next)
        count += session->node.ref.node == node;
    return count;
}

struct session *session_get(soma_agent *self, struct nameserver *my, soma_ref client)
{
    struct session *session = session_find(my, client);
    if (session || sessions_of(my, client.node) >= SESSIONS_MOST || !(session = calloc(1, sizeof(*session))))
        return session;
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
    return session;
}

void session_end(soma_agent *self, struct nameserver *my, struct session *session)
{
    *(session->previous ? &session->previous->next : &my->sessions) = session->next;
    if (session->next)
        session->next->previous = session->previous;
    refs_remove(&my->clients, &session->node);
    soma_demonitor(self, session->monitor);
    news_close(my, session);
    for (struct record *record = session->records, *next; record; record = next) {
        next = record->next;
        record_own(my, record, NULL);
        record_tell(self, my, record);
        record_release(my, record);
    }
    free(session);
}
