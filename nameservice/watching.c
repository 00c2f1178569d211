/* Watches of this node's agents; see client.h. */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a watcher has seen ---- */

static uint64_t mix(uint64_t digest, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
    return (digest ^ digest >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t digest_of(const struct soma_name *entry)
{
    uint64_t digest = mix(UINT64_C(0xcbf29ce484222325), &entry->agent, sizeof(entry->agent));
    digest = mix(digest, entry->attributes.data, entry->attributes.size);
    for (uint32_t i = 0; i < entry->aliases.count; i++) {
        digest = mix(digest, entry->aliases.items[i].alias, strlen(entry->aliases.items[i].alias));
        digest = mix(digest, entry->aliases.items[i].address, strlen(entry->aliases.items[i].address));
    }
    return digest;
}

/* False when memory is out. */
static bool seen_remove(struct watching *watching, struct seen *seen)
{
    if (!telling_remove(watching, seen))
        return false;
    index_remove(&watching->seen, &seen->node);
    free(seen);
    return true;
}

static struct seen *seen_add(struct watching *watching, const struct soma_name *entry)
{
    size_t size = strlen(entry->name) + 1;
    struct seen *seen = calloc(1, sizeof(*seen) + size);
    if (!seen)
        return NULL;
    memcpy(seen->name, entry->name, size);
    if (!telling_see(watching, seen, true, entry)) {
        free(seen);
        return NULL;
    }
    index_add(&watching->seen, &seen->node, seen->name);
    return seen;
}

/* A name is there, as it is now. False when memory is out. */
static bool watching_see(struct watching *watching, const struct soma_name *entry)
{
    struct seen *seen = (struct seen *)index_find(&watching->seen, entry->name);
    uint64_t digest = digest_of(entry);
    if (seen && seen->digest != digest && !telling_see(watching, seen, false, entry))
        return false;
    if (!seen && !(seen = seen_add(watching, entry)))
        return false;
    seen->round = watching->round;
    seen->digest = digest;
    seen->agent = entry->agent;
    return true; // NOLINT(clang-analyzer-unix.Malloc): the index has it
}

/* All that is there was told in this round: what was not is gone. False when memory is out. */
static bool watching_sweep(struct watching *watching)
{
    for (struct index_node *node = index_from(&watching->seen, "", false), *next; node; node = next) {
        struct seen *seen = (struct seen *)node;
        next = index_from(&watching->seen, node->key, true);
        if (seen->round != watching->round && !seen_remove(watching, seen))
            return false;
    }
    if (!watching->current && !telling_mark(watching, SOMA_NAME_CURRENT))
        return false;
    watching->current = true;
    return true;
}

/* ---- with the server ---- */

static bool item_see(struct watching *watching, const struct ns_item *item)
{
    if (!item->name.name || !has_prefix(item->name.name, watching->prefix))
        return true;
    if (item->there)
        return watching_see(watching, &item->name);
    struct seen *seen = (struct seen *)index_find(&watching->seen, item->name.name);
    return !seen || seen_remove(watching, seen);
}

static bool watching_news(struct watching *watching, const struct ns_news *news)
{
    if (watching->id == news->watch && news->begins)
        watching->round++;
    for (uint32_t i = 0; i < news->items.count; i++)
        if (!item_see(watching, &news->items.items[i]))
            return false;
    return watching->id != news->watch || !news->ends || watching_sweep(watching);
}

bool watchings_news(soma_agent *self, struct client *my, const struct ns_news *news)
{
    for (struct watching *watching = my->watchings; watching; watching = watching->next) {
        if (!watching_news(watching, news))
            return false;
        tellings_leave(self, watching);
    }
    return true;
}

void watchings_up(soma_agent *self, struct client *my)
{
    for (const struct watching *watching = my->watchings; watching; watching = watching->next)
        soma_send(self, my->server, ns_watch, .watch = watching->id, .prefix = watching->prefix);
}

void watchings_lost(soma_agent *self, struct client *my)
{
    for (struct watching *watching = my->watchings; watching; watching = watching->next) {
        if (watching->current)
            watching->current = !telling_mark(watching, SOMA_NAME_STALE);
        tellings_leave(self, watching);
    }
}

/* ---- watchers ---- */

static void watching_free(struct watching *watching)
{
    tellings_free(watching);
    while (watching->seen.root) {
        struct seen *seen = (struct seen *)watching->seen.root;
        index_remove(&watching->seen, &seen->node);
        free(seen);
    }
    index_free(&watching->seen);
    free(watching->prefix);
    free(watching);
}

void watchings_free(soma_agent *self, struct client *my)
{
    for (struct watching *watching = my->watchings, *next; watching; watching = next) {
        next = watching->next;
        soma_kill(soma_agent_system(self), watching->teller);
        watching_free(watching);
    }
}

static void watching_end(soma_agent *self, struct client *my, struct watching **link)
{
    struct watching *watching = *link;
    *link = watching->next;
    if (my->up)
        soma_send(self, my->server, ns_unwatch, .watch = watching->id);
    soma_demonitor(self, watching->monitor);
    soma_kill(soma_agent_system(self), watching->teller);
    watching_free(watching);
}

bool teller_down(soma_agent *self, struct client *my, const struct soma_down *m)
{
    struct watching **link = &my->watchings;
    while (*link && (*link)->monitor != m->monitor)
        link = &(*link)->next;
    if (!*link)
        return false;
    watching_end(self, my, link);
    return true;
}

static int watching_open(soma_agent *self, struct client *my, struct watching *watching, const char *prefix)
{
    watching->prefix = strdup(prefix ? prefix : "");
    int error = watching->prefix ? index_open(&watching->seen, my->knowns.seed) : SOMA_ENOMEM;
    watching->watcher = soma_sender(self);
    watching->id = ++my->numbers;
    watching->monitor = error ? error : teller_spawn(self, watching->id, &watching->teller);
    if (watching->monitor < 0)
        return (int)watching->monitor;
    watching->next = my->watchings;
    my->watchings = watching;
    return 0;
}

static int watch(soma_agent *self, struct client *my, const char *prefix, bool calls)
{
    int error = my->closing ? SOMA_ECLOSED : check_prefix(prefix);
    if (is_stranger(self))
        return 0;
    struct watching *watching = error ? NULL : calloc(1, sizeof(*watching));
    if (!error)
        error = watching ? watching_open(self, my, watching, prefix) : SOMA_ENOMEM;
    if (error) {
        if (watching)
            watching_free(watching);
        soma_reply_error(self, error);
        return 0;
    }
    watching->calls = calls;
    soma_forward(self, watching->teller); // if it can't be, that is known to who asked, and its teller has no use
    if (my->up)
        soma_send(self, my->server, ns_watch, .watch = watching->id, .prefix = watching->prefix);
    return 0;
}

int on_name_watch(soma_agent *self, struct client *my, const struct soma_name_watch *m)
{
    return watch(self, my, m->prefix, false);
}

int on_watch_call(soma_agent *self, struct client *my, const struct names_watch_call *m)
{
    return watch(self, my, m->prefix, true);
}

int on_more(soma_agent *self, struct client *my, const struct names_more *m)
{
    struct watching *watching = my->watchings;
    while (watching && (watching->id != m->watch || !soma_ref_equal(watching->teller, soma_sender(self))))
        watching = watching->next;
    if (!watching)
        return 0;
    watching->asks = true;
    tellings_heard(watching, m->heard);
    tellings_leave(self, watching);
    return 0;
}

void watchings_close(soma_agent *self, const struct client *my)
{
    for (struct watching *watching = my->watchings; watching; watching = watching->next) {
        soma_handle monitor = watching->calls ? soma_monitor(self, watching->watcher) : -1;
        if (monitor > 0) { // else the teller's tells, which comes later
            soma_demonitor(self, watching->monitor);
            watching->monitor = monitor;
        }
        if (watching->calls)
            soma_kill(soma_agent_system(self), watching->watcher);
    }
}

bool watchings_call(const struct client *my)
{
    const struct watching *watching = my->watchings;
    while (watching && !watching->calls)
        watching = watching->next;
    return watching;
}

int on_name_unwatch(soma_agent *self, struct client *my, const struct soma_name_unwatch *m)
{
    struct watching **link = &my->watchings;
    if (is_stranger(self))
        return 0;
    while (*link && !((*link)->id == m->watch && soma_ref_equal((*link)->watcher, soma_sender(self))))
        link = &(*link)->next;
    if (!*link) {
        soma_reply_error(self, SOMA_ENOENT);
        return 0;
    }
    watching_end(self, my, link);
    soma_reply(self, soma_name_done);
    return 0;
}
