/* What is asked of etcd, and of which member; see directory.h. */
#include "nameservice/etcd/directory.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>

#define ALONE_MS 10000u    /* for a page of one name, which can't be made smaller if it takes long */
#define HEAD_START_MS 300u /* of a member before the next one is asked, too */
#define REST_MS 200u       /* about, the first time that all members have failed */

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
    while (ask && ask->id != id && ask->other != id)
        ask = ask->next;
    return ask;
}

bool ask_is_open(const struct directory *my, enum ask_kind kind, const char *name)
{
    const struct ask *ask = my->asks;
    while (ask && !(ask->kind == kind && ask->promise && !strcmp(ask->name.name, name)))
        ask = ask->next;
    return ask != NULL;
}

/* What it says, and where. */
static char *ask_text(const struct directory *my, const struct ask *ask, const char **path)
{
    const struct etcd_entry entry = {
        .name = ask->name, .client = my->client, .addresses = {my->own_addresses, my->own_address_count}};
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
        return text_page(prefix, my->from, my->snapshot, my->page_most, my->keys_only);
    case ASK_WATCH:
        *path = ETCD_WATCH;
        return text_watch(prefix, my->heard + 1);
    case ASK_PUT:
        *path = ETCD_TXN;
        return text_put(prefix, &entry, my->lease, ask->revision);
    case ASK_DROP:
        *path = ETCD_TXN;
        return text_drop(prefix, ask->name.name, ask->revision);
    case ASK_LOOKUP:
        break;
    }
    *path = ETCD_RANGE;
    return text_lookup(prefix, ask->name.name);
}

/* For how long an answer is waited for; 0: as long as it tells something. */
static uint32_t time_of(const struct directory *my, const struct ask *ask)
{
    switch (ask->kind) {
    case ASK_WATCH:
        return 0;
    case ASK_KEEP:
        return my->time_ms;
    case ASK_PAGE:
        return my->page_most == 1 ? ALONE_MS : TIME_MOST_MS;
    default:
        return TIME_MOST_MS;
    }
}

static int attempt(const struct directory *my, const struct ask *ask, uint64_t id, uint32_t member)
{
    char url[ETCD_URL_MOST];
    const char *path;
    char *text = ask_text(my, ask, &path);
    if (!text)
        return SOMA_ENOMEM;
    etcd_url(&my->address, member, path, url);
    return http_post(my->http, id, url, text, time_of(my, ask));
}

static int ask_behind(soma_agent *self, const struct ask *ask)
{
    return soma_after(self, HEAD_START_MS * SOMA_MS, etcd_behind, .ask = ask->id) < 0 ? SOMA_ENOMEM : 0;
}

/* Asks its member. What does no harm if it is done twice may be asked of another one, too, in a moment. */
static int ask_post(soma_agent *self, struct directory *my, struct ask *ask)
{
    bool twice = my->address.member_count > 1 && (ask->kind == ASK_GRANT || ask->kind == ASK_LOOKUP);
    ask->id = ++my->ids;
    ask->other = 0;
    ask->rests = false;
    ask->begun = soma_now(self);
    ask->before = my->reached;
    int error = attempt(my, ask, ask->id, ask->member);
    return error || !twice ? error : ask_behind(self, ask);
}

int ask_send(soma_agent *self, struct directory *my, struct ask *ask)
{
    ask->failures = 0;
    ask->member = my->member;
    return ask_post(self, my, ask);
}

/* ---- failing ---- */

/* Another member is to be asked; and to be watched, so that one that has fallen silent is noticed. */
static int member_next(soma_agent *self, struct directory *my, const struct ask *failed)
{
    char url[ETCD_URL_MOST];
    etcd_url(&my->address, my->member, "", url);
    if (!my->failures++ && my->lease) // else it is tried again and again
        soma_log_warning(self, "etcd at %s does not answer", url);
    my->member = (my->member + 1) % my->address.member_count;
    if (!my->watch || my->watch == failed || my->watch->rests)
        return 0;
    http_cancel(my->http, my->watch->id);
    my->watch->member = my->member;
    return ask_post(self, my, my->watch);
}

/* Twice as long after each round, but for the lease's sake; and about so long, so that not all come back at once. */
static int ask_rest(soma_agent *self, struct directory *my, struct ask *ask)
{
    uint32_t most = ask->kind == ASK_KEEP ? REST_MS : my->time_ms, rest = REST_MS;
    for (uint32_t round = ask->failures / my->address.member_count; round > 1 && rest < most; round--)
        rest *= 2;
    rest = rest < most ? rest : most;
    rest -= (uint32_t)(soma_random(self) % (rest / 2 + 1));
    ask->id = ++my->ids;
    ask->rests = true;
    return soma_after(self, rest * SOMA_MS, etcd_rested, .ask = ask->id) < 0 ? SOMA_ENOMEM : 0;
}

int ask_failed(soma_agent *self, struct directory *my, struct ask *ask, bool busy)
{
    uint32_t count = my->address.member_count;
    bool watches = ask == my->watch;
    if (watches)
        http_cancel(my->http, ask->id); // it may go on, in a way that makes no sense
    if (watches && soma_now(self) - ask->begun > TIME_MOST_MS * SOMA_MS)
        ask->failures = 0; // it was of use for a while
    ask->failures++;
    if (ask->kind == ASK_GRANT && ask->failures >= count) {
        directory_lose(self, my, NULL); // the client has other addresses, perhaps
        return 0;
    }
    busy = busy && !watches;
    int error = ask->member == my->member && !busy ? member_next(self, my, ask) : 0;
    ask->member = busy ? (ask->member + 1) % count : my->member;
    if (error)
        return error;
    return ask->failures % count ? ask_post(self, my, ask) : ask_rest(self, my, ask);
}

/* ---- two members at once ---- */

static uint32_t member_behind(const struct directory *my, const struct ask *ask)
{
    return (ask->member + 1) % my->address.member_count;
}

/* If its member, or this machine, is only slow, others are heard of, and asking more would make it worse. */
int on_etcd_behind(soma_agent *self, struct directory *my, const struct etcd_behind *m)
{
    struct ask *ask = ask_find(my, m->ask);
    if (!ask || ask->id != m->ask || ask->other || ask->rests || !soma_ref_equal(soma_sender(self), soma_self(self)))
        return 0;
    if (soma_now(self) - my->heard_at < HEAD_START_MS * SOMA_MS)
        return ask_behind(self, ask);
    ask->other = ++my->ids;
    return attempt(my, ask, ask->other, member_behind(my, ask));
}

int ask_won(soma_agent *self, struct directory *my, struct ask *ask, uint64_t id)
{
    if (ask->other != id)
        return 0;
    http_cancel(my->http, ask->id);
    uint32_t silent = ask->member;
    ask->id = id;
    ask->other = 0;
    ask->member = member_behind(my, ask);
    return my->member == silent ? member_next(self, my, NULL) : 0;
}

bool ask_half_failed(struct ask *ask, uint64_t id)
{
    if (!ask->other)
        return false;
    if (ask->id == id) // the next member is waited for in its place, and counts as it would
        ask->id = ask->other;
    ask->other = 0;
    return true;
}

int on_etcd_rested(soma_agent *self, struct directory *my, const struct etcd_rested *m)
{
    struct ask *ask = ask_find(my, m->ask);
    if (!ask || !ask->rests || !soma_ref_equal(soma_sender(self), soma_self(self)))
        return 0;
    ask->member = my->member;
    return ask_post(self, my, ask);
}

void ask_answered(soma_agent *self, struct directory *my)
{
    char url[ETCD_URL_MOST];
    my->heard_at = soma_now(self);
    if (!my->failures)
        return;
    my->failures = 0;
    etcd_url(&my->address, my->member, "", url);
    soma_log_info(self, "etcd at %s answers", url);
}
