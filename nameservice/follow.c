/*
 * A name server that follows another one, the *first*: it has what that one has, and answers who can't reach it. It is
 * an ordinary client of the first, with a watch on all names; nothing can be put here. When the first is lost it goes
 * on with what it has, and after that what the watch finds to be different is told like any other change.
 */
#include "nameservice/client.h"
#include "nameservice/server.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>

static int on_watching(soma_agent *self, struct nameserver *my, const struct soma_name_watching *m)
{
    (void)m;
    my->teller = soma_sender(self);
    return 0;
}

static int on_not_watching(soma_agent *self, struct nameserver *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

/* The addresses, each of which ends with a NUL, and the last with two. */
static char *addresses_join(const struct client_start *start)
{
    char *list = malloc(start->size);
    if (list)
        memcpy(list, start->addresses, start->size);
    for (size_t i = 0; list && i + 2 < start->size; i++)
        if (!list[i])
            list[i] = ',';
    return list;
}

int follow_open(soma_agent *self, struct nameserver *my, const struct client_start *start)
{
    my->first.account = &my->first_account;
    my->following = addresses_join(start);
    int error = my->following ? soma_spawn_link(self, &names_behavior, start, &my->follows) // they end together
                              : SOMA_ENOMEM;
    if (!error && soma_request(self, my->follows, SOMA_NEVER,
                               SOMA_THEN(soma_name_watching, on_watching, on_not_watching), soma_name_watch) < 0)
        error = SOMA_ENOMEM;
    return error;
}

static int first_has(soma_agent *self, struct nameserver *my, const struct soma_name *name)
{
    struct soma_name entry;
    struct record *record = record_get(my, name->name);
    int error = record ? soma_name_copy(&entry, name) : SOMA_ENOMEM;
    if (!error) {
        soma_name_destroy(&record->entry);
        record->entry = entry;
        record->node.key = entry.name;
        if (!record->owner)
            record_own(my, record, &my->first);
        record_tell(self, my, record);
    }
    if (record)
        record_release(my, record);
    return error; // whoever has missed something must not go on
}

static void first_has_not(soma_agent *self, struct nameserver *my, const char *name)
{
    struct record *record = record_find(my, name);
    if (!record || !record->owner)
        return;
    record_own(my, record, NULL);
    record_tell(self, my, record);
    record_release(my, record);
}

int on_first_event(soma_agent *self, struct nameserver *my, const struct soma_name_event *m)
{
    if (!my->teller.node || !soma_ref_equal(soma_sender(self), my->teller))
        return 0;
    switch (m->event) {
    case SOMA_NAME_ADDED:
    case SOMA_NAME_CHANGED:
        return first_has(self, my, &m->name);
    case SOMA_NAME_REMOVED:
        first_has_not(self, my, m->name.name);
        return 0;
    case SOMA_NAME_CURRENT:
        my->alone = false;
        if (!my->settled)
            server_settle(self, my);
        return 0;
    default:
        my->alone = true;
        return 0;
    }
}
