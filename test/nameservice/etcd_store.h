/*
 * An etcd of one process, that a test has in its hands: keys with revisions, transactions, pages, watches and leases,
 * as far as the directory asks for them. A test writes to it, has it forget, break off or fall silent, and may have a
 * say in each request before it does.
 */
#ifndef TEST_NAMESERVICE_ETCD_STORE_H
#define TEST_NAMESERVICE_ETCD_STORE_H

#include "nameservice/etcd/base64.h"
#include "nameservice/etcd/text.h"
#include "nameservice/fake_etcd.h"
#include <limits.h>

#define STORE_KEY_MOST 64
#define STORE_OTHER 99 /* the lease and the node of who else writes to it */

/* A key has been put, or deleted. */
struct change {
    char key[STORE_KEY_MOST]; /* base64 */
    char *value;              /* base64; NULL: it is gone */
    int64_t lease, revision;
};

struct store {
    pthread_mutex_t lock;
    struct change changes[64];
    int count;
    int64_t revision, compacted; /* what was up to this one is forgotten */
    int64_t lease;               /* the last that was granted */
    bool ends;                   /* it has ended */
    int grants, keeps, lists, watches, txns, revokes;
    int64_t from; /* the last watch was from this revision on */
    bool deaf;    /* new watches are told of nothing */
    bool quiet;   /* all are, for now */
    /* Has a say, with the lock held. True: it has answered itself, or not, and that was all. */
    bool (*say)(struct fake *fake, struct store *store, int fd, const char *path, json_t *body);
    void *context;
    int hurries; /* watches are to break off */
};

static inline const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static inline int64_t number_in(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Keys are in the order of their bytes. */
static inline int key_order(const char *one, const char *other)
{
    unsigned char a[STORE_KEY_MOST], b[STORE_KEY_MOST];
    size_t size, other_size;
    assert_true(strlen(one) < STORE_KEY_MOST && strlen(other) < STORE_KEY_MOST);
    assert_true(etcd_base64_read(a, &size, one, strlen(one)));
    assert_true(etcd_base64_read(b, &other_size, other, strlen(other)));
    int order = memcmp(a, b, size < other_size ? size : other_size);
    return order ? order : (size > other_size) - (size < other_size);
}

/* ---- keys ---- */

/* How a key was at a revision; NULL: it was not there. */
static inline const struct change *store_get(const struct store *store, const char *key, int64_t revision)
{
    for (int i = store->count - 1; i >= 0; i--)
        if (store->changes[i].revision <= revision && !strcmp(store->changes[i].key, key))
            return store->changes[i].value ? &store->changes[i] : NULL;
    return NULL;
}

static inline void store_put(struct store *store, const char *key, const char *value, int64_t lease)
{
    struct change *change = &store->changes[store->count++];
    assert_true(store->count <= 64 && strlen(key) < STORE_KEY_MOST);
    *change = (struct change){.value = value ? strdup(value) : NULL, .lease = lease, .revision = ++store->revision};
    snprintf(change->key, sizeof(change->key), "%s", key);
}

static inline char *store_key(const char *name, char key[STORE_KEY_MOST])
{
    char text[STORE_KEY_MOST / 4 * 3 - 3];
    int size = snprintf(text, sizeof(text), "/p/%s", name);
    etcd_base64_write(key, text, (size_t)size);
    return key;
}

/* Somebody else puts a name, whose ref tells the revision; or removes it. */
static inline void store_change(struct store *store, const char *name, bool there)
{
    char key[STORE_KEY_MOST];
    const soma_ref agent = {STORE_OTHER, 1, (uint32_t)store->revision + 1};
    const struct etcd_entry entry = {.name = {.name = name, .agent = agent}, .client = {STORE_OTHER, 2, 1}};
    char *text = text_put("/p", &entry, STORE_OTHER, 0);
    json_t *json = json_loads(text, 0, NULL);
    json_t *put = json_object_get(json_array_get(json_object_get(json, "success"), 0), "request_put");
    store_put(store, store_key(name, key), there ? text_in(put, "value") : NULL, STORE_OTHER);
    json_decref(json);
    free(text);
}

static inline bool store_has(struct store *store, const char *name)
{
    char key[STORE_KEY_MOST];
    pthread_mutex_lock(&store->lock);
    bool has = store_get(store, store_key(name, key), INT64_MAX);
    pthread_mutex_unlock(&store->lock);
    return has;
}

static inline json_t *kv_json(const struct change *change, bool keys_only)
{
    json_t *json = json_pack("{s:s, s:I, s:I}", "key", change->key, "mod_revision", (json_int_t)change->revision,
                             "lease", (json_int_t)change->lease);
    if (change->value && !keys_only)
        json_object_set_new(json, "value", json_string(change->value));
    return json;
}

/* ---- requests ---- */

static inline json_t *header_json(const struct store *store)
{
    return json_pack("{s:I}", "revision", (json_int_t)store->revision);
}

/* The first key from one on, and behind what it last was. */
static inline const struct change *store_next(const struct store *store, const char *from, const char *behind,
                                              const char *end, int64_t revision)
{
    const struct change *next = NULL;
    for (int i = 0; i < store->count; i++) {
        const struct change *at = store_get(store, store->changes[i].key, revision);
        if (at && key_order(at->key, from) >= 0 && key_order(at->key, end) < 0 &&
            (!behind || key_order(at->key, behind) > 0) && (!next || key_order(at->key, next->key) < 0))
            next = at;
    }
    return next;
}

/* One key, or a page: of two, so that there are several. */
static inline json_t *store_range(struct store *store, const json_t *body)
{
    const char *key = text_in(body, "key"), *end = text_in(body, "range_end");
    int64_t limit = number_in(body, "limit"), revision = number_in(body, "revision");
    bool keys_only = json_is_true(json_object_get(body, "keys_only"));
    json_t *kvs = json_array();
    const struct change *at;
    if (!revision)
        revision = store->revision;
    if (!*end) {
        if ((at = store_get(store, key, revision)))
            json_array_append_new(kvs, kv_json(at, false));
        return json_pack("{s:o, s:o}", "header", header_json(store), "kvs", kvs);
    }
    store->lists += !strcmp(key, "L3Av") && !number_in(body, "revision"); // /p/
    if (!limit || limit > 2)
        limit = 2;
    for (at = store_next(store, key, NULL, end, revision); at && (int64_t)json_array_size(kvs) < limit;
         at = store_next(store, key, at->key, end, revision))
        json_array_append_new(kvs, kv_json(at, keys_only));
    return json_pack("{s:o, s:o, s:b}", "header", header_json(store), "kvs", kvs, "more", at != NULL);
}

static inline bool store_compare(const struct store *store, const json_t *compare)
{
    const struct change *at = store_get(store, text_in(compare, "key"), INT64_MAX);
    if (!strcmp(text_in(compare, "target"), "MOD"))
        return number_in(compare, "mod_revision") == (at ? at->revision : 0);
    assert_string_equal(text_in(compare, "target"), "LEASE");
    return number_in(compare, "lease") == (at ? at->lease : 0);
}

/* Does what a transaction asks for. */
static inline json_t *store_txn(struct store *store, const json_t *body)
{
    bool done = store_compare(store, json_array_get(json_object_get(body, "compare"), 0));
    const json_t *op = json_array_get(json_object_get(body, done ? "success" : "failure"), 0);
    const json_t *put = json_object_get(op, "request_put"), *range = json_object_get(op, "request_range"),
                 *gone = json_object_get(op, "request_delete_range");
    if (put)
        store_put(store, text_in(put, "key"), text_in(put, "value"), number_in(put, "lease"));
    if (gone && store_get(store, text_in(gone, "key"), INT64_MAX))
        store_put(store, text_in(gone, "key"), NULL, 0);
    json_t *answer = json_pack("{s:o, s:b}", "header", header_json(store), "succeeded", done);
    if (range)
        json_object_set_new(answer, "responses", json_pack("[{s:o}]", "response_range", store_range(store, range)));
    return answer;
}

/* With the lock held. */
static inline json_t *store_do(struct store *store, const char *path, const json_t *body)
{
    if (!strcmp(path, ETCD_GRANT)) {
        store->grants++;
        store->ends = false;
        return json_pack("{s:o, s:I, s:I}", "header", header_json(store), "ID", (json_int_t)++store->lease, "TTL",
                         number_in(body, "TTL"));
    }
    if (!strcmp(path, ETCD_KEEP)) {
        store->keeps++;
        return json_pack("{s:{s:I, s:i}}", "result", "ID", (json_int_t)store->lease, "TTL", store->ends ? 0 : 1);
    }
    if (!strcmp(path, ETCD_RANGE))
        return store_range(store, body);
    if (!strcmp(path, ETCD_TXN)) {
        store->txns++;
        return store_txn(store, body);
    }
    assert_string_equal(path, ETCD_REVOKE);
    store->revokes++;
    return json_object();
}

static inline void json_say(int fd, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    fake_say(fd, text);
    fake_say(fd, "\n");
    free(text);
    json_decref(json);
}

/* ---- watches ---- */

/* Tells what is newer than a revision. */
static inline void store_tell(const struct store *store, int fd, int64_t told)
{
    for (int i = 0; i < store->count; i++) {
        const struct change *change = &store->changes[i];
        if (change->revision > told)
            json_say(fd, json_pack("{s:{s:[{s:s, s:o}]}}", "result", "events", "type", change->value ? "PUT" : "DELETE",
                                   "kv", kv_json(change, false)));
    }
}

/* While it lives. */
static inline void store_watch(struct fake *fake, struct store *store, int fd, const json_t *body)
{
    char byte;
    pthread_mutex_lock(&store->lock);
    int64_t told = number_in(json_object_get(body, "create_request"), "start_revision") - 1;
    int hurries = store->hurries;
    bool deaf = store->deaf, compacted = told < store->compacted;
    store->watches++;
    store->from = told + 1;
    pthread_mutex_unlock(&store->lock);
    fake_answer(fd, 200, "{\"result\":{\"header\":{\"revision\":\"1\"},\"created\":true}}\n");
    if (compacted)
        fake_say(fd, "{\"result\":{\"canceled\":true,\"compact_revision\":\"1000\"}}\n");
    if (compacted || deaf) {
        fake_hold(fake, fd);
        return;
    }
    for (bool over = false; !over && recv(fd, &byte, 1, MSG_DONTWAIT); fake_nap()) {
        pthread_mutex_lock(&store->lock);
        over = atomic_load(&fake->closing) || store->hurries != hurries;
        if (!over && !store->quiet) {
            store_tell(store, fd, told);
            told = store->revision;
        }
        pthread_mutex_unlock(&store->lock);
    }
}

/* A fake's function; its context is the store. */
static inline void store_serve(struct fake *fake, int fd, const char *path, json_t *body)
{
    struct store *store = fake->context;
    pthread_mutex_lock(&store->lock);
    bool done = store->say && store->say(fake, store, fd, path, body), watch = !strcmp(path, ETCD_WATCH);
    json_t *answer = done || watch ? NULL : store_do(store, path, body);
    pthread_mutex_unlock(&store->lock);
    if (answer) {
        fake_answer(fd, 200, "");
        json_say(fd, answer);
    } else if (!done) {
        store_watch(fake, store, fd, body);
    }
}

static inline void store_close(struct store *store)
{
    for (int i = 0; i < store->count; i++)
        free(store->changes[i].value);
}

#endif
