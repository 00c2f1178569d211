/* What a client knows of names, and lookups; see client.h. */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/method.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is known ---- */

static struct known *known_find(const struct client *my, const char *name)
{
    struct index_node *node = index_find(&my->knowns, name);
    return node ? CONTAINER(node, known, node) : NULL;
}

static void known_unlink(struct client *my, struct known *known)
{
    *(known->newer ? &known->newer->older : &my->newest) = known->older;
    *(known->older ? &known->older->newer : &my->oldest) = known->newer;
}

static void known_link(struct client *my, struct known *known)
{
    known->newer = NULL;
    known->older = my->newest;
    *(known->older ? &known->older->newer : &my->oldest) = known;
    my->newest = known;
}

/* If nobody needs it. */
static void known_release(struct client *my, struct known *known)
{
    if (known->ops || known->kept || known->task.under_way || known->task.queued)
        return;
    known_unlink(my, known);
    index_remove(&my->knowns, &known->node);
    soma_name_destroy(&known->entry);
    free(known);
}

static void known_forget(soma_agent *self, struct client *my, struct known *known)
{
    if (known->kept)
        soma_send(self, my->server, ns_forget, .name = known->entry.name);
    known->kept = false;
    known_release(my, known);
}

/* Makes room: the one that was not used for the longest time goes, unless it is in use. */
static void knowns_bound(soma_agent *self, struct client *my)
{
    struct known *known = my->oldest;
    if (my->knowns.count < my->options.cache_most || !known)
        return;
    if (known->ops || known->task.under_way || known->task.queued) {
        known_unlink(my, known);
        known_link(my, known);
    } else {
        known_forget(self, my, known);
    }
}

static struct known *known_get(soma_agent *self, struct client *my, const char *name)
{
    struct known *known = known_find(my, name);
    if (known) {
        known_unlink(my, known);
        known_link(my, known);
        return known;
    }
    knowns_bound(self, my);
    known = calloc(1, sizeof(*known));
    if (!known || soma_name_copy(&known->entry, &(struct soma_name){.name = name})) {
        free(known);
        return NULL;
    }
    known->task.kind = TASK_LOOKUP;
    index_add(&my->knowns, &known->node, known->entry.name);
    known_link(my, known);
    return known;
}

/* How it is now. False when memory is out. */
static bool known_set(struct known *known, const struct soma_name *entry, bool there)
{
    struct soma_name copy;
    if (soma_name_copy(&copy, there ? entry : &(struct soma_name){.name = known->entry.name}))
        return false;
    soma_name_destroy(&known->entry);
    known->entry = copy;
    known->node.key = copy.name;
    known->there = there;
    return true;
}

void knowns_free(struct client *my)
{
    for (struct known *known = my->newest, *next; known; known = next) {
        next = known->older;
        soma_name_destroy(&known->entry);
        free(known);
    }
    index_free(&my->knowns);
}

/* ---- answers ---- */

static void op_found(soma_agent *self, struct client *my, struct op *op);

static void op_again(soma_agent *self, struct client *my, struct op *op)
{
    const struct known *known = op->of;
    if (known->kept && known->there)
        op_found(self, my, op);
}

/* The agent has answered, if only that it does not know what it was asked: it runs. */
static void op_runs(soma_agent *self, struct client *my, struct op *op)
{
    struct known *known = op->of;
    if (!known->kept || !known->there || !soma_ref_equal(known->entry.agent, op->agent)) {
        op->agent = SOMA_REF_NULL;
        op_again(self, my, op); // another one has taken its place, or that is to be seen
        return;
    }
    op_answer(self, my, op, &soma_name_type, &known->entry);
}

static int knocked(soma_agent *self, struct client *my, int error)
{
    struct op *op = op_find(my, soma_tag(self));
    if (!op)
        return 0;
    op->knock = 0;
    if (error == SOMA_ENOMEM)
        op_fail(self, my, op, error);
    else if (error == SOMA_EGONE || error == SOMA_ENODEDOWN || error == SOMA_ENOROUTE)
        op_again(self, my, op); // another agent of the name may come
    else
        op_runs(self, my, op);
    return 0;
}

static int on_pong(soma_agent *self, struct client *my, const struct soma_result *m)
{
    (void)m;
    return knocked(self, my, 0);
}

static int on_ping_error(soma_agent *self, struct client *my, const int *error)
{
    return knocked(self, my, *error);
}

/* Does its agent run? It is asked for a method that none has. */
static void knock(soma_agent *self, struct client *my, struct op *op)
{
    op->knock = soma_request(self, op->agent, SOMA_NEVER,
                             SOMA_THEN(soma_result, on_pong, on_ping_error, .tag = op->node.ref.node), soma_invoke,
                             .method = "");
    if (op->knock < 0) {
        op->knock = 0;
        op_fail(self, my, op, SOMA_ENOMEM);
    }
}

/* The address that it waits for; NULL if that is not there. */
static const char *address_found(const struct op *op, const struct soma_name *entry)
{
    uint32_t place = alias_find(entry, op->alias);
    const char *address = place < entry->aliases.count ? entry->aliases.items[place].address : NULL;
    return address && (!op->besides || strcmp(address, op->besides) != 0) ? address : NULL;
}

/* Is that what it waits for? */
static bool op_fits(const struct op *op, const struct soma_name *entry)
{
    if (op->alias)
        return address_found(op, entry);
    return soma_ref_is_null(op->unless) || !soma_ref_equal(op->unless, entry->agent);
}

/* An address within another system is of no use to who wants to connect. */
static void address_answer(soma_agent *self, struct client *my, struct op *op, const struct soma_name *entry)
{
    const char *address = address_found(op, entry);
    if (op->waits && entry->agent.node != soma_self(self).node && !strncmp(address, "inproc:", 7))
        op_fail(self, my, op, soma_fail(self, SOMA_ENOROUTE, "that is an inproc place of another system"));
    else
        op_answer(self, my, op, &soma_channel_found_type, &(struct soma_channel_found){.address = address});
}

/* ---- an alias that is not there may have been given, and not put yet ---- */

static int synced(soma_agent *self, struct client *my)
{
    struct op *op = op_find(my, soma_tag(self));
    if (!op)
        return 0;
    struct known *known = op->of;
    op->knock = 0;
    op->asked = false;
    op->fresh = true;
    task_queue(my, &known->task);
    tasks_pump(self, my);
    return 0;
}

static int on_synced(soma_agent *self, struct client *my, const struct soma_result *m)
{
    (void)m;
    return synced(self, my);
}

/* Nobody can say more. */
static int on_not_synced(soma_agent *self, struct client *my, const int *error)
{
    (void)error;
    return synced(self, my);
}

/* Once, who has put the name is asked for all, by way of the server, unless that is this client itself. */
static void alias_miss(soma_agent *self, struct client *my, struct op *op)
{
    const struct known *known = op->of;
    if (op->knock)
        return;
    soma_ref to = holding_find(my, known->entry.name) ? soma_self(self) : my->server;
    if (!op->synced)
        op->knock = soma_request(self, to, SOMA_NEVER,
                                 SOMA_THEN(soma_result, on_synced, on_not_synced, .tag = op->node.ref.node), ns_sync,
                                 .name = known->entry.name);
    op->synced = true;
    if (op->knock <= 0) {
        op->knock = 0;
        op_fail(self, my, op, SOMA_ENOENT);
    }
}

/* The name is there. An agent that is to run is asked whether it does. */
static void op_found(soma_agent *self, struct client *my, struct op *op)
{
    struct known *known = op->of;
    if (!op_fits(op, &known->entry)) {
        if (!op->waits && op->alias)
            alias_miss(self, my, op);
        else if (!known->kept)
            op_fail(self, my, op, SOMA_EFULL); // nobody would tell
        return;
    }
    if (op->alias) {
        address_answer(self, my, op, &known->entry);
        return;
    }
    if (!op->runs) {
        op_answer(self, my, op, &soma_name_type, &known->entry);
        return;
    }
    if (soma_ref_equal(op->agent, known->entry.agent))
        return;
    if (op->knock) // at who had the name before, and may never answer
        soma_request_cancel(self, op->knock);
    op->agent = known->entry.agent;
    knock(self, my, op);
}

/* May what is kept be told to who asks now? */
static bool is_good(soma_agent *self, const struct client *my, const struct known *known)
{
    return known->kept && soma_now(self) < my->fresh_until;
}

/*
 * The server has said how it is: who waits for that is answered. Who came after the server was asked gets that only if
 * it is not too old: the answer may have been on its way for long.
 */
static void known_answer(soma_agent *self, struct client *my, struct known *known)
{
    bool good = is_good(self, my, known);
    for (struct op *op = known->ops, *next; op; op = next) {
        next = op->next;
        if (!op->asked && (op->fresh || !good)) {
            task_queue(my, &known->task);
            continue;
        }
        op->asked = true; // or what is good now is as if it had been
        if (known->there)
            op_found(self, my, op);
        else if (op->waits && !known->kept)
            op_fail(self, my, op, SOMA_EFULL); // nobody would tell
        else if (!op->waits && my->settled)
            op_fail(self, my, op, SOMA_ENOENT);
    }
}

static void known_fail(soma_agent *self, struct client *my, struct known *known, int error)
{
    while (known->ops)
        op_fail(self, my, known->ops, error);
    known_forget(self, my, known);
}

/* ---- with the server ---- */

static int on_found(soma_agent *self, struct client *my, const struct ns_found *m)
{
    struct known *known = (struct known *)(uintptr_t)soma_tag(self);
    if (!task_ended(my, &known->task)) {
        if (known->ops)
            task_queue(my, &known->task);
    } else if (!known_set(known, &m->name, m->there)) {
        known->kept = m->kept;
        known_fail(self, my, known, SOMA_ENOMEM);
        known = NULL;
    } else {
        known->kept = m->kept;
        uint64_t good = known->asked_at + my->options.stale_ms * SOMA_MS;
        if (!m->behind && good > my->fresh_until)
            my->fresh_until = good;
        known_answer(self, my, known);
    }
    if (known)
        known_release(my, known);
    tasks_pump(self, my);
    return 0;
}

static int on_not_found(soma_agent *self, struct client *my, const int *error)
{
    struct known *known = (struct known *)(uintptr_t)soma_tag(self);
    if (task_failed(self, my, &known->task, *error)) {
        known_fail(self, my, known, *error);
    } else {
        if (known->ops)
            task_queue(my, &known->task);
        known_release(my, known);
    }
    tasks_pump(self, my);
    return 0;
}

void known_ask(soma_agent *self, struct client *my, struct known *known)
{
    if (!known->ops) {
        known_release(my, known);
        return;
    }
    known->asked_at = soma_now(self);
    if (soma_request(self, my->server, SOMA_NEVER, SOMA_THEN(ns_found, on_found, on_not_found, .tag = (uintptr_t)known),
                     ns_lookup, .name = known->entry.name, .keep = true) < 0) {
        known_fail(self, my, known, SOMA_ENOMEM);
        return;
    }
    task_sent(my, &known->task);
    for (struct op *op = known->ops; op; op = op->next)
        op->asked = true;
}

void known_news(soma_agent *self, struct client *my, const struct ns_item *item)
{
    struct known *known = known_find(my, item->name.name);
    if (!known || !known->kept)
        return;
    if (!known_set(known, &item->name, item->there))
        known_fail(self, my, known, SOMA_ENOMEM);
    else if (item->there && !known->task.under_way) // else the answer is newer
        known_answer(self, my, known);
}

void knowns_forgotten(soma_agent *self, struct client *my)
{
    (void)self;
    my->fresh_until = 0;
    for (struct known *known = my->newest, *next; known; known = next) {
        next = known->older;
        known->kept = false;
        if (known->ops)
            task_queue(my, &known->task);
        known_release(my, known);
    }
}

void knowns_settled(soma_agent *self, struct client *my)
{
    for (struct known *known = my->newest, *next; known; known = next) {
        next = known->older;
        if (known->kept && !known->task.under_way)
            known_answer(self, my, known);
        else if (known->ops)
            task_queue(my, &known->task);
    }
}

void knowns_up(struct client *my)
{
    for (struct known *known = my->newest; known; known = known->older)
        if (known->ops)
            task_queue(my, &known->task);
}

/* ---- lookups ---- */

static void lookup_late(soma_agent *self, struct client *my, struct op *op)
{
    struct known *known = op->of;
    bool there = known->there && op_fits(op, &known->entry);
    bool missing = op->waits && op->asked && my->settled && known->kept && !there;
    op_fail(self, my, op, missing ? SOMA_ENOENT : SOMA_ETIMEOUT);
    known_release(my, known);
}

/* What it asks for beside the name. False: it has failed. */
static bool op_ask(soma_agent *self, struct client *my, struct op *op, const struct soma_name_lookup *m,
                   const struct soma_channel_find *find)
{
    op->waits = m->waits;
    op->runs = m->runs;
    op->fresh = m->fresh;
    op->unless = m->unless;
    op->alias = find ? strdup(find->alias) : NULL;
    op->besides = find && find->unless ? strdup(find->unless) : NULL;
    bool whole = !find || (op->alias && (op->besides || !find->unless));
    if (!whole)
        op_fail(self, my, op, SOMA_ENOMEM);
    return whole;
}

/* `find`: it is for the address of an alias. */
static int lookup(soma_agent *self, struct client *my, const struct soma_name_lookup *m,
                  const struct soma_channel_find *find)
{
    int error = check_name(m->name);
    if (is_stranger(self))
        return 0;
    if (!error && find)
        error = check_alias(find->alias);
    struct known *known = error ? NULL : known_get(self, my, m->name);
    if (!known) {
        soma_reply_error(self, error ? error : SOMA_ENOMEM); // or it was sent, and nobody wants an answer
        return 0;
    }
    bool good = !m->fresh && is_good(self, my, known);
    if (good && known->there && !m->runs && !find && soma_ref_is_null(m->unless)) {
        soma_reply_send(self, 0, &soma_name_type, &known->entry);
        return 0;
    }
    if (good && !known->there && !m->waits && my->settled) {
        soma_reply_error(self, SOMA_ENOENT);
        return 0;
    }
    struct op *op = op_new(self, my, &known->ops, known, m->timeout, lookup_late);
    if (op && op_ask(self, my, op, m, find)) {
        op->asked = good;
        if (good && known->there)
            op_found(self, my, op);
        else if (!good)
            task_queue(my, &known->task);
    }
    known_release(my, known);
    tasks_pump(self, my);
    return 0;
}

int on_name_lookup(soma_agent *self, struct client *my, const struct soma_name_lookup *m)
{
    return lookup(self, my, m, NULL);
}

int on_channel_find(soma_agent *self, struct client *my, const struct soma_channel_find *m)
{
    return lookup(self, my, &(struct soma_name_lookup){.name = m->name, .waits = true, .timeout = m->timeout}, m);
}

int on_alias_find(soma_agent *self, struct client *my, const struct names_alias_find *m)
{
    return lookup(self, my, &(struct soma_name_lookup){.name = m->name, .fresh = m->fresh, .timeout = m->timeout},
                  &(struct soma_channel_find){.alias = m->alias});
}
