/*
 * A name server that follows another one, the *first*: it has what that one has, and answers who can't reach it. It is
 * an ordinary client of the first, with a watch on all names; nothing can be put here. When the first is lost it goes
 * on with what it has, and after that what the watch finds to be different is told like any other change.
 *
 * Alone it has to see by itself which agents are gone. Of each node, a *far* one, it watches one that has a name: when
 * that has ended, another one; when the node is down, all of its names are away, as if they were not there. They are
 * there again if a client of that node is, or the first.
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

/* ---- alone ---- */

struct far {
    struct refs_node node; /* first; by the node */
    soma_handle monitor;   /* of one of its agents */
    bool down;
};

static soma_ref far_key(uint64_t node)
{
    return (soma_ref){.node = node};
}

static bool is_of(const struct record *record, uint64_t node, const soma_ref *agent)
{
    return (!node || record->entry.agent.node == node) && (!agent || soma_ref_equal(record->entry.agent, *agent));
}

/* The names of a node, or, if it is 0, of all, or of just one agent. */
static void records_mark(soma_agent *self, struct nameserver *my, uint64_t node, const soma_ref *agent, bool away)
{
    for (struct index_node *at = index_from(&my->names, "", false); at; at = index_from(&my->names, at->key, true)) {
        struct record *record = (struct record *)at;
        if (record->away == away || !is_of(record, node, agent))
            continue;
        record->away = away;
        record_tell(self, my, record);
    }
}

/* Without memory the node is not watched, and its names stay. */
static void far_watch(soma_agent *self, struct nameserver *my, soma_ref agent)
{
    struct far *far = calloc(1, sizeof(*far));
    if (!far || refs_add(&my->fars, &far->node, far_key(agent.node))) {
        free(far);
        return;
    }
    far->monitor = soma_monitor(self, agent);
}

static void fars_watch(soma_agent *self, struct nameserver *my)
{
    for (struct index_node *at = index_from(&my->names, "", false); at; at = index_from(&my->names, at->key, true)) {
        const struct record *record = (const struct record *)at;
        if (!record->away && !refs_find(&my->fars, far_key(record->entry.agent.node)))
            far_watch(self, my, record->entry.agent);
    }
}

bool follow_down(soma_agent *self, struct nameserver *my, const struct soma_down *m)
{
    struct far *far = (struct far *)refs_find(&my->fars, far_key(m->agent.node));
    if (!far || far->monitor != m->monitor)
        return false;
    far->monitor = 0;
    far->down = m->reason == SOMA_ENODEDOWN;
    if (far->down) {
        records_mark(self, my, m->agent.node, NULL, true);
    } else if (m->reason != SOMA_ENOROUTE && m->reason != SOMA_ENOMEM) { // then nobody can say
        records_mark(self, my, m->agent.node, &m->agent, true);
        refs_remove(&my->fars, &far->node);
        free(far);
        fars_watch(self, my);
    }
    return true;
}

void follow_seen(soma_agent *self, struct nameserver *my, uint64_t node)
{
    struct far *far = (struct far *)refs_find(&my->fars, far_key(node));
    if (!far || !far->down)
        return;
    refs_remove(&my->fars, &far->node);
    free(far);
    records_mark(self, my, node, NULL, false);
    fars_watch(self, my);
}

static void fars_end(soma_agent *self, struct nameserver *my)
{
    for (uint32_t i = 0; i < my->fars.bucket_count; i++)
        for (struct refs_node *node = my->fars.buckets[i], *next; node; node = next) {
            const struct far *far = (const struct far *)node;
            next = node->next;
            if (self && far->monitor > 0)
                soma_demonitor(self, far->monitor);
            free(node);
        }
    refs_free(&my->fars);
}

void follow_free(struct nameserver *my)
{
    fars_end(NULL, my);
}

/* ---- what the first has ---- */

static int first_has(soma_agent *self, struct nameserver *my, const struct soma_name *name)
{
    struct soma_name entry;
    struct record *record = record_get(my, name->name);
    int error = record ? soma_name_copy(&entry, name) : SOMA_ENOMEM;
    if (!error) {
        soma_name_destroy(&record->entry);
        record->entry = entry;
        record->node.key = entry.name;
        record->away = false;
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
        fars_end(self, my);
        records_mark(self, my, 0, NULL, false);
        if (!my->settled)
            server_settle(self, my);
        return 0;
    default:
        my->alone = true;
        fars_watch(self, my);
        return 0;
    }
}
