/* What is asked of etcd, and of which member; see directory.h. */
#include "nameservice/etcd/directory.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>

#define REST (200 * SOMA_MS) /* when no member has answered */

struct ask *ask_new(struct directory *my, enum ask_kind kind, const char *name)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask || soma_name_copy(&ask->name, &(struct soma_name){.name = name})) {
        free(ask);
        return NULL;
    }
    ask->kind = kind;
    ask->next = my->asks;
    if (ask->next)
        ask->next->previous = ask;
    my->asks = ask;
    return ask;
}

void ask_free(struct directory *my, struct ask *ask)
{
    *(ask->previous ? &ask->previous->next : &my->asks) = ask->next;
    if (ask->next)
        ask->next->previous = ask->previous;
    if (my->watch == ask)
        my->watch = NULL;
    soma_name_destroy(&ask->name);
    free(ask);
}

struct ask *ask_find(const struct directory *my, uint64_t id)
{
    struct ask *ask = my->asks;
    while (ask && ask->id != id)
        ask = ask->next;
    return ask;
}

/* What it says, and where. */
static char *ask_text(const struct directory *my, const struct ask *ask, const char **path)
{
    const struct etcd_entry entry = {
        .name = ask->name, .home = my->client.node, .addresses = {my->own_addresses, my->own_address_count}};
    const char *prefix = my->address.prefix;
    switch (ask->kind) {
    case ASK_GRANT:
        *path = ETCD_GRANT;
        return text_grant(my->lease_s);
    case ASK_KEEP:
        *path = ETCD_KEEP;
        return text_lease(my->lease);
    case ASK_PAGE:
        *path = ETCD_RANGE;
        return text_page(prefix, my->from, my->snapshot);
    case ASK_WATCH:
        *path = ETCD_WATCH;
        return text_watch(prefix, my->heard + 1);
    case ASK_PUT:
        *path = ETCD_TXN;
        return text_put(prefix, &entry, my->lease, ask->revision);
    case ASK_DROP:
        *path = ETCD_TXN;
        return text_drop(prefix, ask->name.name, my->lease);
    case ASK_LOOKUP:
        break;
    }
    *path = ETCD_RANGE;
    return text_lookup(prefix, ask->name.name);
}

int ask_send(soma_agent *self, struct directory *my, struct ask *ask)
{
    char url[ETCD_URL_MOST];
    const char *path;
    ask->id = ++my->ids;
    ask->rests = my->rests;
    if (my->rests)
        return 0;
    ask->member = my->member;
    ask->begun = soma_now(self);
    char *text = ask_text(my, ask, &path);
    if (!text)
        return SOMA_ENOMEM;
    etcd_url(&my->address, ask->member, path, url);
    return http_post(my->http, ask->id, url, text, ask->kind == ASK_WATCH);
}

/* Another member is to be asked; and to be watched. */
static int member_next(soma_agent *self, struct directory *my, const struct ask *failed)
{
    char url[ETCD_URL_MOST];
    etcd_url(&my->address, my->member, "", url);
    if (!my->failures++ && my->lease) // else it is tried again and again
        soma_log_warning(self, "etcd at %s does not answer", url);
    my->member = (my->member + 1) % my->address.member_count;
    if (!my->lease && my->failures >= my->address.member_count) {
        directory_lose(self, my, NULL); // the client has other addresses, perhaps
        return 0;
    }
    if (my->failures % my->address.member_count == 0) {
        my->rests = true;
        if (soma_after(self, REST, etcd_rested) < 0)
            return SOMA_ENOMEM;
    }
    if (!my->watch || my->watch == failed || my->watch->rests)
        return 0;
    http_cancel(my->http, my->watch->id);
    return ask_send(self, my, my->watch);
}

int ask_failed(soma_agent *self, struct directory *my, struct ask *ask)
{
    if (ask == my->watch)
        http_cancel(my->http, ask->id); // it may go on, in a way that makes no sense
    int error = ask->member == my->member && !my->rests ? member_next(self, my, ask) : 0;
    return error ? error : ask_send(self, my, ask);
}

int on_etcd_rested(soma_agent *self, struct directory *my, const struct etcd_rested *m)
{
    (void)m;
    int error = 0;
    if (!soma_ref_equal(soma_sender(self), soma_self(self)))
        return 0;
    my->rests = false;
    for (struct ask *ask = my->asks; ask && !error; ask = ask->next)
        if (ask->rests)
            error = ask_send(self, my, ask);
    return error;
}

void ask_answered(soma_agent *self, struct directory *my)
{
    char url[ETCD_URL_MOST];
    if (!my->failures)
        return;
    my->failures = 0;
    etcd_url(&my->address, my->member, "", url);
    soma_log_info(self, "etcd at %s answers", url);
}
