/*
 * Aliases: those that are given by hand, and those that an agent tells of as it binds channels, which all its names
 * have; and whether what was told has been put, for who must not ask too early. See client.h.
 */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/method.h>
#include <stdlib.h>
#include <string.h>

/* It has the alias for that address from now on, or none any more. */
static int alias_change(struct soma_name *entry, const char *alias, const char *address)
{
    struct soma_alias aliases[SOMA_ALIASES_MOST];
    struct soma_name changed = *entry, copy;
    uint32_t count = entry->aliases.count, place = alias_find(entry, alias);
    if (place == SOMA_ALIASES_MOST)
        return SOMA_ETOOBIG;
    if (!address && place == count)
        return SOMA_ENOENT;
    if (count)
        memcpy(aliases, entry->aliases.items, count * sizeof(*aliases));
    if (!address)
        aliases[place] = aliases[--count];
    else
        aliases[place] = (struct soma_alias){alias, address};
    changed.aliases.items = aliases;
    changed.aliases.count = place == count && address ? count + 1 : count;
    int error = soma_name_copy(&copy, &changed);
    if (error)
        return error;
    soma_name_destroy(entry);
    *entry = copy;
    return 0;
}

static int holding_alias(struct holding *holding, const char *alias, const char *address)
{
    int error = alias_change(&holding->entry, alias, address);
    holding->node.key = holding->entry.name;
    return error;
}

/* ---- given by hand ---- */

static void alias_late(soma_agent *self, struct client *my, struct op *op)
{
    op_fail(self, my, op, SOMA_ETIMEOUT);
}

int on_alias(soma_agent *self, struct client *my, const struct soma_name_alias *m)
{
    struct holding *holding = m->name ? holding_find(my, m->name) : NULL;
    int error = m->name ? check_alias(m->alias) : SOMA_EINVAL;
    if (is_stranger(self))
        return 0;
    if (!error && m->address)
        error = check_address(m->address);
    if (!error && (!holding || holding->ends))
        error = SOMA_ENOENT;
    if (!error)
        error = link_refuses(my) ? SOMA_ESTATE : holding_alias(holding, m->alias, m->address);
    if (error) {
        soma_reply_error(self, error);
        return 0;
    }
    struct op *op = op_new(self, my, &holding->ops, holding, m->timeout, alias_late);
    if (op)
        op->revision = holding->revision + 1;
    holding_changed(self, my, holding);
    tasks_pump(self, my);
    return 0;
}

/* ---- what an agent binds ---- */

/* In the agent. */
static int announce(soma_agent *self, void *state, void *names)
{
    soma_ref to = *(const soma_ref *)names;
    (void)state;
    free(names);
    int error = soma_channels_announce(self, to);
    return error == SOMA_ENOMEM ? error : 0;
}

void holder_ask(soma_agent *self, struct holder *holder)
{
    soma_ref *names = malloc(sizeof(*names));
    if (!names)
        return;
    *names = soma_self(self);
    soma_post(soma_agent_system(self), holder->node.ref, announce, names, free); // one of another node tells nothing
}

/* So that names which it gets later have them, too. */
static int bound_keep(struct holder *holder, const struct soma_channel_bound *m)
{
    if (!holder->bound && !(holder->bound = calloc(1, sizeof(*holder->bound))))
        return SOMA_ENOMEM;
    int error = alias_change(holder->bound, m->alias, m->address);
    return error == SOMA_ENOENT ? 0 : error;
}

/* Whatever its names are, they have what it has bound as an alias. */
int on_channel_bound(soma_agent *self, struct client *my, const struct soma_channel_bound *m)
{
    struct holder *holder = (struct holder *)refs_find(&my->holders, soma_sender(self));
    if (!holder || check_alias(m->alias) || (m->address && check_address(m->address)))
        return 0;
    int error = bound_keep(holder, m);
    for (struct holding *holding = holder->holdings, *next; holding && !error; holding = next) {
        next = holding->next;
        const struct soma_name *entry = &holding->entry;
        uint32_t place = alias_find(entry, m->alias);
        const char *before = place < entry->aliases.count ? entry->aliases.items[place].address : NULL;
        if (m->address ? before && !strcmp(before, m->address) : !before)
            continue;
        error = holding_alias(holding, m->alias, m->address);
        if (!error)
            holding_changed(self, my, holding);
    }
    if (error)
        soma_log_warning(self, "the names of an agent can't have the alias '%s': %s", m->alias, soma_strerror(error));
    tasks_pump(self, my);
    return 0;
}

void holder_free(soma_agent *self, struct client *my, struct holder *holder)
{
    while (self && holder->ops)
        op_answer(self, my, holder->ops, &soma_result_type, &(struct soma_result){SOMA_VALUE_NONE});
    if (holder->bound)
        soma_name_destroy(holder->bound);
    free(holder->bound);
    free(holder);
}

/* ---- is all of it put? ---- */

/* If there is nobody to put it to, nobody waits for that. */
static bool holder_puts(const struct client *my, const struct holder *holder)
{
    const struct holding *holding = my->up && !my->follows ? holder->holdings : NULL;
    while (holding && !holding->task.queued && !holding->task.under_way)
        holding = holding->next;
    return holding;
}

void holder_look(soma_agent *self, struct client *my, struct holder *holder)
{
    if (!holder || !holder->ops || holder_puts(my, holder))
        return;
    while (holder->ops)
        op_answer(self, my, holder->ops, &soma_result_type, &(struct soma_result){SOMA_VALUE_NONE});
}

static int holder_settle(soma_agent *self, struct client *my, struct holder *holder, uint64_t timeout)
{
    if (!holder || !holder_puts(my, holder))
        soma_reply(self, soma_result);
    else
        op_new(self, my, &holder->ops, holder, timeout, alias_late);
    return 0;
}

int on_channel_settle(soma_agent *self, struct client *my, const struct soma_channel_settle *m)
{
    return holder_settle(self, my, (struct holder *)refs_find(&my->holders, soma_sender(self)), m->timeout);
}

/* Of the server, who asks for another client, or of this one. */
int on_sync(soma_agent *self, struct client *my, const struct ns_sync *m)
{
    const struct holding *holding = m->name ? holding_find(my, m->name) : NULL;
    return holder_settle(self, my, holding ? holding->holder : NULL, m->timeout);
}
