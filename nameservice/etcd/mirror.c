/* All names as etcd has told them; see directory.h. */
#include "nameservice/etcd/directory.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_CUT 8u /* a page after one that was too much */

/* ---- one name ---- */

/* A name of the client's is not its own any more. */
static void own_lost(soma_agent *self, struct directory *my, const struct record *record, const struct etcd_kv *kv)
{
    if (!kv->there && !ask_is_open(my, ASK_DROP, kv->name))
        directory_lose(self, my, NAMES_REMOVED); // by the end of the lease; or by hand
    else if (kv->there)
        soma_send(self, my->client, ns_lost, .name = kv->name, .agent = record->entry.agent,
                  .holder = kv->entry.name.agent);
}

/* It was put for the client by a request that etcd has done so late that nobody waits for it any more. */
static bool is_ghost(const struct directory *my, const struct record *record, const struct etcd_kv *kv)
{
    return record->owner != client_session(my) && !ask_is_open(my, ASK_PUT, kv->name);
}

/* It is nobody's, and taken back; as it is now, so never what is put from now on. */
static int ghost_drop(soma_agent *self, struct directory *my, const struct etcd_kv *kv)
{
    struct ask *ask = ask_new(my, ASK_DROP, kv->name);
    if (!ask)
        return SOMA_ENOMEM;
    ask->revision = kv->revision;
    return ask_send(self, my, ask);
}

static int record_apply(soma_agent *self, struct directory *my, struct record *record, const struct etcd_kv *kv)
{
    bool own = kv->there && kv->lease == my->lease, ghost = own && is_ghost(my, record, kv);
    struct session *client = client_session(my);
    struct session *owner = !kv->there ? NULL : own && !ghost ? client : &my->cluster;
    struct soma_name entry;
    bool changed = !record->owner != !kv->there || (kv->there && !soma_name_equal(&record->entry, &kv->entry.name));
    if (kv->there && soma_name_copy(&entry, &kv->entry.name))
        return SOMA_ENOMEM;
    if (record->owner && record->owner == client && owner != client)
        own_lost(self, my, record, kv);
    if (kv->there) {
        soma_name_destroy(&record->entry);
        record->entry = entry;
        record->node.key = entry.name;
    }
    record->past = kv->revision;
    record_own(&my->names, record, owner);
    if (changed)
        record_tell(self, &my->names, record);
    return ghost ? ghost_drop(self, my, kv) : 0;
}

static int name_apply(soma_agent *self, struct directory *my, const struct etcd_kv *kv)
{
    struct record *record = !kv->name[0] ? NULL
                            : kv->there  ? record_get(&my->names, kv->name)
                                         : record_find(&my->names, kv->name);
    int error = !record && kv->name[0] && kv->there ? SOMA_ENOMEM : 0;
    if (!record)
        return error;
    if (kv->revision > record->past) // else it was told already; or a lookup has told the client what came later
        error = record_apply(self, my, record, kv);
    record_release(&my->names, record);
    return error;
}

/* ---- a list ---- */

/* Names of the mirror behind the last that was listed, before `name` or, if that is NULL, all, are gone. */
static int sweep(soma_agent *self, struct directory *my, const char *name, int64_t revision)
{
    struct etcd_kv gone = {.revision = revision};
    struct index_node *node;
    int error = 0;
    while (!error && (node = index_from(&my->names.names, my->swept, my->swept[0])) &&
           (!name || strcmp(node->key, name) < 0)) {
        memcpy(my->swept, node->key, strlen(node->key) + 1);
        memcpy(gone.name, my->swept, sizeof(gone.name));
        error = name_apply(self, my, &gone);
    }
    if (name)
        memcpy(my->swept, name, strlen(name) + 1);
    return error;
}

static int page_apply(soma_agent *self, struct directory *my, const struct batch *batch)
{
    int error = 0;
    if (batch->first)
        my->swept[0] = 0;
    for (uint32_t i = 0; i < batch->count && !error; i++)
        if (batch->kvs[i].name[0] && !(error = sweep(self, my, batch->kvs[i].name, batch->snapshot)))
            error = name_apply(self, my, &batch->kvs[i]);
    if (error || !batch->revision)
        return error;
    error = sweep(self, my, NULL, batch->snapshot);
    my->names.settled = true;
    my->seen = batch->revision;
    if (client_session(my))
        news_tell(self, &my->names, client_session(my));
    return error;
}

/* ---- batches ---- */

/* A watch that begins again may tell what was told already; but never half of a revision. */
static int events_apply(soma_agent *self, struct directory *my, const struct batch *batch)
{
    int error = 0;
    for (uint32_t i = 0; i < batch->count && !error; i++) {
        if (batch->kvs[i].revision < my->seen)
            continue;
        my->seen = batch->kvs[i].revision;
        error = name_apply(self, my, &batch->kvs[i]);
    }
    return error;
}

static void batch_free(struct batch *batch)
{
    kvs_free(batch->kvs, batch->count);
    free(batch);
}

static int batches_work(soma_agent *self, struct directory *my);

static int on_introduced(soma_agent *self, struct directory *my, const struct soma_bridge_introduced *m)
{
    (void)m;
    my->introducing = false;
    my->first->introduced++;
    return batches_work(self, my);
}

static int on_not_introduced(soma_agent *self, struct directory *my, const int *error)
{
    const struct etcd_kv *kv = &my->first->kvs[my->first->introduced];
    home_refused(self, my, kv->entry.client.node, kv->name, *error);
    return on_introduced(self, my, NULL);
}

/* The first one's; true when that is done. */
static bool batch_introduce(soma_agent *self, struct directory *my)
{
    struct batch *batch = my->first;
    while (!my->introducing && batch->introduced < batch->count) {
        const struct etcd_kv *kv = &batch->kvs[batch->introduced];
        bool again = batch->introduced && kv[-1].entry.client.node == kv->entry.client.node;
        my->introducing =
            kv->there && !again &&
            home_introduce(self, my, &kv->entry, SOMA_THEN(soma_bridge_introduced, on_introduced, on_not_introduced));
        batch->introduced += !my->introducing;
    }
    return !my->introducing;
}

static int batches_work(soma_agent *self, struct directory *my)
{
    int error = 0;
    bool worked = false;
    for (struct batch *batch; !error && (batch = my->first);) {
        if (!batch_introduce(self, my))
            break;
        error = batch->snapshot ? page_apply(self, my, batch) : events_apply(self, my, batch);
        if (batch->revision)
            my->reached = batch->revision;
        my->first = batch->next;
        if (!my->first)
            my->last = NULL;
        batch_free(batch);
        worked = true;
    }
    if (worked && !error)
        asks_settle(self, my);
    return error;
}

static int batch_add(soma_agent *self, struct directory *my, const struct batch *content)
{
    struct batch *batch = malloc(sizeof(*batch));
    if (!batch) {
        kvs_free(content->kvs, content->count);
        return SOMA_ENOMEM;
    }
    *batch = *content;
    if (my->last)
        my->last->next = batch;
    else
        my->first = batch;
    my->last = batch;
    return batches_work(self, my);
}

void mirror_free(struct directory *my)
{
    for (struct batch *batch = my->first, *next; batch; batch = next) {
        next = batch->next;
        batch_free(batch);
    }
    free(my->from);
}

/* ---- what etcd tells ---- */

int mirror_list(soma_agent *self, struct directory *my)
{
    struct ask *ask = ask_new(my, ASK_PAGE, NULL);
    free(my->from);
    my->from = NULL;
    my->snapshot = 0;
    my->keys_only = false;
    return ask ? ask_send(self, my, ask) : SOMA_ENOMEM;
}

/* All that comes next are changes. */
static int watch_begin(soma_agent *self, struct directory *my)
{
    my->heard = my->snapshot;
    my->watch = ask_new(my, ASK_WATCH, NULL);
    return my->watch ? ask_send(self, my, my->watch) : SOMA_ENOMEM;
}

void mirror_page_failed(struct directory *my, bool big)
{
    if (my->page_most > 1)
        my->page_most = my->page_most < PAGE_CUT ? 1 : my->page_most / PAGE_CUT;
    else if (big)
        my->keys_only = true;
}

int mirror_page(soma_agent *self, struct directory *my, struct ask *ask, const json_t *answer)
{
    struct batch batch = {.first = !my->from};
    int64_t revision;
    char *from;
    int error = text_revision(answer, &revision);
    if (!error && my->keys_only && !my->snapshot) { // by now that key may be another: it must be the same to be skipped
        my->snapshot = revision;
        my->keys_only = false;
        return ask_send(self, my, ask);
    }
    if (!error)
        error = text_page_next(answer, &from);
    if (error)
        return error;
    bool stands = from && my->from && !strcmp(from, my->from);
    error = stands ? SOMA_EFORMAT : text_kvs(answer, my->address.prefix, &batch.kvs, &batch.count);
    if (error) {
        free(from);
        return error;
    }
    my->page_most = my->page_most < ETCD_PAGE / 2 ? my->page_most * 2 : ETCD_PAGE;
    my->keys_only = false;
    free(my->from);
    my->from = from;
    if (!my->snapshot)
        my->snapshot = revision;
    batch.snapshot = my->snapshot;
    batch.revision = from ? 0 : my->snapshot;
    error = batch_add(self, my, &batch);
    if (!error && from)
        return ask_send(self, my, ask);
    ask_free(my, ask);
    return error ? error : watch_begin(self, my);
}

int mirror_again(soma_agent *self, struct directory *my, const char *why)
{
    soma_log_info(self, "etcd: %s; all names are read anew", why);
    http_cancel(my->http, my->watch->id);
    ask_free(my, my->watch);
    return mirror_list(self, my);
}

int mirror_line(soma_agent *self, struct directory *my, const json_t *line)
{
    const json_t *result = json_object_get(line, "result");
    struct batch batch = {.snapshot = 0};
    int64_t compacted = 0;
    bool canceled = false, fragment = false;
    int error = json_is_object(result) ? text_number(result, "compact_revision", &compacted) : SOMA_EFORMAT;
    if (!error && compacted)
        return mirror_again(self, my, "it has been compacted meanwhile");
    if (!error)
        error = text_flag(result, "canceled", &canceled);
    if (!error)
        error = canceled ? SOMA_EFORMAT : text_flag(result, "fragment", &fragment);
    if (!error)
        error = text_events(result, my->address.prefix, &batch.kvs, &batch.count);
    if (error || !batch.count)
        return error;
    if (!fragment)
        my->heard = batch.revision = batch.kvs[batch.count - 1].revision;
    return batch_add(self, my, &batch);
}
