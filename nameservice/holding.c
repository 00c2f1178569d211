/* What this node has registered; see client.h. A holding that changes is put again; one that ends is dropped. */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

struct holding *holding_find(const struct client *my, const char *name)
{
    struct index_node *node = index_find(&my->holdings, name);
    return node ? CONTAINER(node, holding, node) : NULL;
}

/* ---- holders ---- */

static void holding_leave(struct holding *holding)
{
    struct holder *holder = holding->holder;
    if (!holder)
        return;
    holding->holder = NULL;
    *(holding->previous ? &holding->previous->next : &holder->holdings) = holding->next;
    if (holding->next)
        holding->next->previous = holding->previous;
}

static struct holder *holder_get(soma_agent *self, struct client *my, soma_ref agent)
{
    struct holder *holder = (struct holder *)refs_find(&my->holders, agent);
    if (holder || !(holder = calloc(1, sizeof(*holder))))
        return holder;
    holder->monitor = soma_monitor(self, agent);
    if (holder->monitor < 0 || refs_add(&my->holders, &holder->node, agent)) {
        if (holder->monitor > 0)
            soma_demonitor(self, holder->monitor);
        free(holder);
        return NULL;
    }
    holder_ask(self, holder);
    return holder;
}

static int holding_join(soma_agent *self, struct client *my, struct holding *holding, soma_ref agent)
{
    struct holder *holder = holder_get(self, my, agent);
    if (!holder)
        return SOMA_ENOMEM;
    if (holding->holder == holder)
        return 0;
    holding_leave(holding);
    holding->holder = holder;
    holding->previous = NULL;
    holding->next = holder->holdings;
    if (holding->next)
        holding->next->previous = holding;
    holder->holdings = holding;
    return 0;
}

/* ---- their life ---- */

/* It is put, or will not be; with the last of those from before this session the server is told. */
static void holding_restored(soma_agent *self, struct client *my, struct holding *holding)
{
    if (!holding->restores)
        return;
    holding->restores = false;
    if (!--my->restores && self && my->up)
        soma_send(self, my->server, ns_restored);
}

/* `self` is NULL when the client itself is no more. */
static void holding_free(soma_agent *self, struct client *my, struct holding *holding)
{
    holding_restored(self, my, holding);
    holding_leave(holding);
    index_remove(&my->holdings, &holding->node);
    soma_name_destroy(&holding->entry);
    free(holding);
}

void holdings_free(struct client *my)
{
    while (my->holdings.root)
        holding_free(NULL, my, CONTAINER(my->holdings.root, holding, node));
    for (uint32_t i = 0; i < my->holders.bucket_count; i++)
        for (struct refs_node *node = my->holders.buckets[i], *next; node; node = next) {
            next = node->next;
            holder_free(NULL, my, (struct holder *)node);
        }
    refs_free(&my->holders);
    index_free(&my->holdings);
}

static void op_done(soma_agent *self, struct client *my, struct op *op, int error, soma_ref holder)
{
    const struct soma_name_registered registered = {.error = error, .holder = holder};
    if (error && (error != SOMA_EEXIST || !op->registers))
        op_fail(self, my, op, error);
    else if (op->registers)
        op_answer(self, my, op, &soma_name_registered_type, &registered);
    else
        op_answer(self, my, op, &soma_name_done_type, &(struct soma_name_done){0});
}

/* Ends the ops that wait for a revision, or an earlier one. */
static void ops_done(soma_agent *self, struct client *my, struct holding *holding, uint64_t revision, int error,
                     soma_ref holder)
{
    for (struct op *op = holding->ops, *next; op; op = next) {
        next = op->next;
        if (op->revision <= revision)
            op_done(self, my, op, error, holder);
    }
}

/* Another agent has the name, or the same by another client. */
static void lost_tell(soma_agent *self, const struct holding *holding, soma_ref holder)
{
    soma_log_warning(self, "the name '%s' is held by somebody else now", holding->entry.name);
    const struct soma_name_lost lost = {holding->entry.name, holding->entry.agent, holder};
    soma_agent_send(self, holding->registrant, &soma_name_lost_type, &lost);
}

static void holding_lose(soma_agent *self, struct client *my, struct holding *holding, soma_ref holder)
{
    lost_tell(self, holding, holder);
    ops_done(self, my, holding, UINT64_MAX, SOMA_EEXIST, holder);
    holding_free(self, my, holding);
}

/* ---- with the server ---- */

/* It is to be put or dropped. If there is no server for that, what ends is gone at once. */
static void holding_again(soma_agent *self, struct client *my, struct holding *holding)
{
    if ((my->up && !my->follows) || !holding->ends || holding->task.under_way) {
        task_queue(my, &holding->task);
        return;
    }
    ops_done(self, my, holding, UINT64_MAX, 0, SOMA_REF_NULL);
    holding_free(self, my, holding);
}

void holding_changed(soma_agent *self, struct client *my, struct holding *holding)
{
    holding->revision++;
    holding_again(self, my, holding);
}

static void holding_end(soma_agent *self, struct client *my, struct holding *holding)
{
    holding_leave(holding);
    holding->ends = true;
    holding_changed(self, my, holding);
}

/* The server has taken it, or somebody else has the name. */
static void holding_put(soma_agent *self, struct client *my, struct holding *holding,
                        const struct soma_name_registered *m)
{
    holding->confirmed |= !m->error;
    ops_done(self, my, holding, holding->put, m->error, m->holder);
    if (holding->takeover <= holding->put)
        holding->takeover = 0; // what changes later takes nothing over
}

static int on_registered(soma_agent *self, struct client *my, const struct soma_name_registered *m)
{
    struct holding *holding = (struct holding *)(uintptr_t)soma_tag(self);
    struct holder *holder = holding->holder;
    bool counts = task_ended(my, &holding->task), changed = !counts || holding->revision != holding->put;
    if (counts && m->error && holding->confirmed && !holding->ends) {
        holding_lose(self, my, holding, m->holder);
    } else {
        if (counts) {
            holding_restored(self, my, holding);
            holding_put(self, my, holding, m);
        }
        if (changed)
            holding_again(self, my, holding);
        else if (m->error)
            holding_free(self, my, holding);
    }
    holder_look(self, my, holder);
    tasks_pump(self, my);
    return 0;
}

static int on_dropped(soma_agent *self, struct client *my, const struct soma_name_done *m)
{
    struct holding *holding = (struct holding *)(uintptr_t)soma_tag(self);
    (void)m;
    task_ended(my, &holding->task);
    ops_done(self, my, holding, holding->put, 0, SOMA_REF_NULL);
    if (holding->ends)
        holding_free(self, my, holding);
    else
        task_queue(my, &holding->task); // it was registered again meanwhile
    tasks_pump(self, my);
    return 0;
}

/* It is more than the server lets a node put now. What it had before comes again; who asks anew is told. */
static bool is_patient(const struct holding *holding, int error)
{
    return error == SOMA_EAGAIN && holding->confirmed && !holding->ends;
}

static int on_put_error(soma_agent *self, struct client *my, const int *error)
{
    struct holding *holding = (struct holding *)(uintptr_t)soma_tag(self);
    bool failed = task_failed(self, my, &holding->task, *error), patient = failed && is_patient(holding, *error);
    struct holder *holder = holding->holder;
    if (failed && !patient) {
        holding_restored(self, my, holding);
        ops_done(self, my, holding, holding->put, *error, SOMA_REF_NULL);
    }
    if (patient)
        tasks_rest(self, my);
    if (!failed || patient || holding->revision != holding->put)
        holding_again(self, my, holding);
    else if (!holding->confirmed || holding->ends)
        holding_free(self, my, holding); // else it is put again in the next session
    holder_look(self, my, holder);
    tasks_pump(self, my);
    return 0;
}

void holding_ask(soma_agent *self, struct client *my, struct holding *holding)
{
    soma_handle request;
    uint64_t tag = (uintptr_t)holding;
    if (holding->ends)
        request =
            soma_request(self, my->server, SOMA_NEVER, SOMA_THEN(soma_name_done, on_dropped, on_put_error, .tag = tag),
                         ns_drop, .name = holding->entry.name);
    else
        request = soma_request(self, my->server, SOMA_NEVER,
                               SOMA_THEN(soma_name_registered, on_registered, on_put_error, .tag = tag), ns_put,
                               .name = holding->entry, .takeover = holding->takeover != 0);
    holding->put = holding->revision;
    if (request > 0)
        task_sent(my, &holding->task);
    else
        ops_done(self, my, holding, holding->put, SOMA_ENOMEM, SOMA_REF_NULL);
}

void holdings_up(soma_agent *self, struct client *my)
{
    my->restores = my->holdings.count;
    if (!my->restores)
        soma_send(self, my->server, ns_restored); // they ended while it said hello
    for (struct index_node *node = index_from(&my->holdings, "", false); node;
         node = index_from(&my->holdings, node->key, true)) {
        struct holding *holding = CONTAINER(node, holding, node);
        holding->restores = true;
        task_queue(my, &holding->task);
    }
}

/* What ends has ended with the session. */
void holdings_lost(soma_agent *self, struct client *my)
{
    for (struct index_node *node = index_from(&my->holdings, "", false), *next; node; node = next) {
        struct holding *holding = CONTAINER(node, holding, node);
        struct holder *holder = holding->holder;
        next = index_from(&my->holdings, node->key, true);
        holding_again(self, my, holding);
        holder_look(self, my, holder);
    }
}

/* What a server had before stays, for one that takes it again. */
void holdings_refused(soma_agent *self, struct client *my)
{
    for (struct index_node *node = index_from(&my->holdings, "", false), *next; node; node = next) {
        struct holding *holding = CONTAINER(node, holding, node);
        next = index_from(&my->holdings, node->key, true);
        if (holding->ends)
            continue;
        ops_done(self, my, holding, UINT64_MAX, SOMA_ESTATE, SOMA_REF_NULL);
        if (!holding->confirmed)
            holding_end(self, my, holding);
    }
}

int on_lost(soma_agent *self, struct client *my, const struct ns_lost *m)
{
    struct holding *holding = m->name ? holding_find(my, m->name) : NULL;
    if (!holding || !soma_ref_equal(soma_sender(self), my->server) || holding->ends ||
        !soma_ref_equal(holding->entry.agent, m->agent))
        return 0;
    if (!holding->task.under_way && !holding->task.queued) // else the server's answer tells
        holding_lose(self, my, holding, m->holder);
    return 0;
}

bool holder_down(soma_agent *self, struct client *my, const struct soma_down *m)
{
    struct holder *holder = (struct holder *)refs_find(&my->holders, m->agent);
    if (!holder || holder->monitor != m->monitor)
        return false;
    bool far = m->reason == SOMA_ENODEDOWN || m->reason == SOMA_ENOROUTE; // its node is, or is not known
    for (struct holding *holding = holder->holdings, *next; holding; holding = next) {
        next = holding->next;
        ops_done(self, my, holding, UINT64_MAX, far ? m->reason : SOMA_EGONE, SOMA_REF_NULL);
        holding_end(self, my, holding);
    }
    refs_remove(&my->holders, &holder->node);
    holder_free(self, my, holder);
    return true;
}

/* ---- what is asked ---- */

static void op_late(soma_agent *self, struct client *my, struct op *op)
{
    struct holding *holding = op->of;
    bool never = op->registers && !holding->confirmed && !holding->ends;
    op_fail(self, my, op, SOMA_ETIMEOUT);
    if (never && !holding->ops)
        holding_end(self, my, holding);
}

/* Its entry is a copy of this one from now on. */
static int holding_set(struct holding *holding, const struct soma_name *entry)
{
    struct soma_name copy;
    int error = soma_name_copy(&copy, entry);
    if (error)
        return error;
    soma_name_destroy(&holding->entry);
    holding->entry = copy;
    holding->node.key = copy.name;
    return 0;
}

static struct holding *holding_new(struct client *my, const struct soma_name *entry)
{
    struct holding *holding = calloc(1, sizeof(*holding));
    if (!holding || holding_set(holding, entry)) {
        free(holding);
        return NULL;
    }
    holding->task.kind = TASK_PUT;
    index_add(&my->holdings, &holding->node, holding->entry.name);
    return holding;
}

/* Without memory nothing has changed; but if it was to have another agent, it ends. */
static int holding_reset(soma_agent *self, struct client *my, struct holding *holding, const struct soma_name *entry)
{
    bool same = !holding->ends && soma_ref_equal(holding->entry.agent, entry->agent);
    int error = holding_set(holding, entry);
    if (!error)
        error = holding_join(self, my, holding, entry->agent);
    if (error && !same)
        holding_end(self, my, holding);
    return error;
}

/* 0: it has this agent now, perhaps in place of another, and is to be put. */
static int registration_take(soma_agent *self, struct client *my, const struct soma_name *wanted,
                             struct holding **result)
{
    struct soma_name entry = *wanted;
    struct holding *holding = *result = holding_find(my, entry.name);
    const struct holder *holder = (const struct holder *)refs_find(&my->holders, entry.agent);
    bool same = holding && !holding->ends && soma_ref_equal(holding->entry.agent, entry.agent);
    if (same)
        entry.aliases = holding->entry.aliases;
    else if (holder && holder->bound)
        entry.aliases = holder->bound->aliases;
    if (holding && !holding->ends && !same)
        lost_tell(self, holding, entry.agent);
    if (holding)
        return holding_reset(self, my, holding, &entry);
    if (my->holdings.count >= my->options.names_most)
        return SOMA_EFULL;
    if (!(holding = holding_new(my, &entry)))
        return SOMA_ENOMEM;
    int error = holding_join(self, my, holding, entry.agent);
    if (error)
        holding_free(self, my, holding);
    else
        *result = holding;
    return error;
}

int on_register(soma_agent *self, struct client *my, const struct soma_name_register *m)
{
    struct soma_name entry = {.name = m->name, .agent = m->agent, .attributes = m->attributes};
    int error = check_entry(&entry);
    if (is_stranger(self))
        return 0;
    if (soma_ref_is_null(entry.agent))
        entry.agent = soma_sender(self);
    struct holding *holding = error ? NULL : holding_find(my, entry.name);
    if (holding && !holding->ends && !m->takeover && !soma_ref_equal(holding->entry.agent, entry.agent)) {
        soma_reply(self, soma_name_registered, .error = SOMA_EEXIST, .holder = holding->entry.agent);
        return 0;
    }
    if (!error)
        error = link_refuses(my) ? SOMA_ESTATE : registration_take(self, my, &entry, &holding);
    if (error) {
        soma_reply_error(self, error);
        return 0;
    }
    holding->registrant = soma_sender(self);
    holding->ends = false;
    if (m->takeover)
        holding->takeover = holding->revision + 1;
    struct op *op = op_new(self, my, &holding->ops, holding, m->timeout, op_late);
    if (op) {
        op->registers = true;
        op->revision = holding->revision + 1;
    }
    holding_changed(self, my, holding);
    tasks_pump(self, my);
    return 0;
}

int on_unregister(soma_agent *self, struct client *my, const struct soma_name_unregister *m)
{
    struct holding *holding = m->name ? holding_find(my, m->name) : NULL;
    if (is_stranger(self))
        return 0;
    if (!holding || holding->ends) {
        soma_reply_error(self, m->name ? SOMA_ENOENT : SOMA_EINVAL);
        return 0;
    }
    struct op *op = op_new(self, my, &holding->ops, holding, m->timeout, op_late);
    if (op)
        op->revision = holding->revision + 1;
    holding_end(self, my, holding);
    tasks_pump(self, my);
    return 0;
}
