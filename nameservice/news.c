/* What the name server tells its clients of names that change; see server.h and protocol.h. */
#include "nameservice/check.h"
#include "nameservice/server.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* ---- keeps ---- */

static struct keep *keep_find(const struct record *record, const struct session *session)
{
    struct keep *keep = record->keeps;
    while (keep && keep->session != session)
        keep = keep->record_next;
    return keep;
}

/* The session must not have one of the record. */
static struct keep *keep_new(struct session *session, struct record *record)
{
    struct keep *keep = calloc(1, sizeof(*keep));
    if (!keep)
        return NULL;
    *keep = (struct keep){.session = session,
                          .record = record,
                          .record_next = record->keeps,
                          .record_link = &record->keeps,
                          .next = session->keeps};
    if (keep->record_next)
        keep->record_next->record_link = &keep->record_next;
    if (keep->next)
        keep->next->previous = keep;
    record->keeps = session->keeps = keep;
    session->account->keep_count++;
    return keep;
}

/* It must not be among the news. */
static void keep_free(struct nameserver *my, struct keep *keep)
{
    struct record *record = keep->record;
    *keep->record_link = keep->record_next;
    if (keep->record_next)
        keep->record_next->record_link = keep->record_link;
    *(keep->previous ? &keep->previous->next : &keep->session->keeps) = keep->next;
    if (keep->next)
        keep->next->previous = keep->previous;
    keep->session->account->keep_count--;
    free(keep);
    record_release(my, record);
}

static void keeps_free(struct nameserver *my, struct session *session)
{
    session->new_first = session->new_last = NULL;
    session->new_count = 0;
    for (struct keep *keep = session->keeps, *next; keep; keep = next) {
        next = keep->next;
        keep_free(my, keep);
    }
}

bool keep_ask(struct session *session, struct record *record)
{
    struct keep *keep = keep_find(record, session);
    if (!keep && session->account->keep_count < KEEPS_MOST)
        keep = keep_new(session, record);
    if (keep)
        keep->asked = true;
    return keep != NULL;
}

void keep_forget(struct nameserver *my, struct session *session, struct record *record)
{
    struct keep *keep = keep_find(record, session);
    if (keep)
        keep->asked = false;
    if (keep && !keep->is_new)
        keep_free(my, keep);
}

/* ---- what is new ---- */

/* The client is too far behind: it gets all again. */
static void session_reset(struct nameserver *my, struct session *session)
{
    keeps_free(my, session);
    session->reset = true;
    for (struct watch *watch = session->watches; watch; watch = watch->next) {
        watch->begins = true;
        watch->ended = false;
        watch->told[0] = 0;
    }
}

static void news_add(struct session *session, struct keep *keep)
{
    if (keep->is_new)
        return;
    keep->is_new = true;
    keep->new_next = NULL;
    if (session->new_last)
        session->new_last->new_next = keep;
    else
        session->new_first = keep;
    session->new_last = keep;
    session->new_count++;
}

static bool is_watched(const struct session *session, const char *name)
{
    const struct watch *watch = session->watches;
    while (watch && !has_prefix(name, watch->prefix))
        watch = watch->next;
    return watch != NULL;
}

void record_tell(soma_agent *self, struct nameserver *my, struct record *record)
{
    record->pinned = true;
    my->changes++;
    for (struct keep *keep = record->keeps; keep; keep = keep->record_next) {
        news_add(keep->session, keep);
        keep->session->change = my->changes;
    }
    for (struct session *session = my->watching; session; session = session->watch_next) {
        if (session->change == my->changes || !is_watched(session, record->entry.name))
            continue;
        struct keep *keep = keep_new(session, record);
        if (keep)
            news_add(session, keep);
        else
            session_reset(my, session);
    }
    for (struct keep *keep = record->keeps, *next; keep; keep = next) {
        struct session *session = keep->session;
        next = keep->record_next; // telling may free the keep, but no other session's
        if (session->new_count > NEW_MOST)
            session_reset(my, session);
        news_tell(self, my, session);
    }
    record->pinned = false;
}

void news_close(struct nameserver *my, struct session *session)
{
    keeps_free(my, session);
    while (session->watches)
        news_unwatch(my, session, session->watches->id);
}

/* ---- watches ---- */

int news_watch(struct nameserver *my, struct session *session, uint64_t id, const char *prefix)
{
    news_unwatch(my, session, id);
    if (session->watch_count >= WATCHES_MOST)
        return SOMA_EFULL;
    struct watch *watch = calloc(1, sizeof(*watch));
    char *copy = watch ? strdup(prefix) : NULL;
    if (!copy) {
        free(watch);
        return SOMA_ENOMEM;
    }
    watch->id = id;
    watch->prefix = copy;
    watch->begins = true;
    watch->next = session->watches;
    session->watches = watch;
    if (!session->watch_count++) {
        session->watch_previous = NULL;
        session->watch_next = my->watching;
        if (session->watch_next)
            session->watch_next->watch_previous = session;
        my->watching = session;
    }
    return 0;
}

void news_unwatch(struct nameserver *my, struct session *session, uint64_t id)
{
    struct watch **link = &session->watches, *watch;
    while ((watch = *link) && watch->id != id)
        link = &watch->next;
    if (!watch)
        return;
    *link = watch->next;
    free(watch->prefix);
    free(watch);
    if (--session->watch_count)
        return;
    *(session->watch_previous ? &session->watch_previous->watch_next : &my->watching) = session->watch_next;
    if (session->watch_next)
        session->watch_next->watch_previous = session->watch_previous;
}

/* ---- telling ---- */

static struct ns_item item_of(const struct record *record)
{
    if (record_is_there(record))
        return (struct ns_item){true, record->entry};
    return (struct ns_item){false, {.name = record->entry.name}};
}

/* What is new, in the order in which it became so. */
static uint32_t news_take(const struct session *session, struct ns_item *items)
{
    uint32_t count = 0, bytes = 0;
    for (const struct keep *keep = session->new_first; keep && count < NEWS_ITEMS_MOST && bytes < NEWS_BYTES_MOST;
         keep = keep->new_next) {
        items[count] = item_of(keep->record);
        bytes += entry_weight(&items[count++].name);
    }
    return count;
}

/* The next names of a watch that was not told all yet; and whether there are no more. */
static uint32_t watch_take(const struct nameserver *my, const struct watch *watch, struct ns_item *items, bool *all)
{
    uint32_t count = 0, bytes = 0;
    const char *from = watch->told[0] ? watch->told : watch->prefix;
    struct index_node *node = index_from(&my->names, from, watch->told[0]);
    for (; node && has_prefix(node->key, watch->prefix); node = index_from(&my->names, node->key, true)) {
        if (count == NEWS_ITEMS_MOST || bytes >= NEWS_BYTES_MOST)
            break;
        items[count] = item_of((struct record *)node);
        bytes += entry_weight(&items[count++].name);
    }
    *all = !node || !has_prefix(node->key, watch->prefix);
    return count;
}

/* They were told. */
static void news_drop(struct nameserver *my, struct session *session, uint32_t count)
{
    for (struct keep *keep; count && (keep = session->new_first); count--) {
        session->new_first = keep->new_next;
        if (!session->new_first)
            session->new_last = NULL;
        session->new_count--;
        keep->is_new = false;
        if (!keep->asked)
            keep_free(my, keep);
    }
}

static void watch_told(struct watch *watch, const struct ns_news *news)
{
    watch->begins = false;
    watch->ended = news->ends;
    if (news->items.count)
        memcpy(watch->told, news->items.items[news->items.count - 1].name.name,
               strlen(news->items.items[news->items.count - 1].name.name) + 1);
}

void news_tell(soma_agent *self, struct nameserver *my, struct session *session)
{
    struct ns_item items[NEWS_ITEMS_MOST];
    struct ns_news news = {.reset = session->reset, .settled = my->settled, .items = {.items = items}};
    struct watch *watch = session->watches;
    bool all = false;
    if (session->unheard)
        return;
    news.items.count = news_take(session, items);
    uint32_t fresh = news.items.count;
    while (watch && watch->ended)
        watch = watch->next;
    if (!fresh && watch) {
        news.items.count = watch_take(my, watch, items, &all);
        news.watch = watch->id;
        news.begins = watch->begins;
        news.ends = all && my->settled; // else others may yet come
    }
    if (!news.items.count && !news.begins && !news.ends && !news.reset && session->settled == my->settled)
        return;
    if (soma_agent_send(self, session->node.ref, &ns_news_type, &news))
        return; // it is gone, and that will be told; or memory is out, and the next change tries again
    session->unheard = true;
    session->settled = my->settled;
    session->reset = false;
    news_drop(my, session, fresh);
    if (news.watch)
        watch_told(watch, &news);
}
