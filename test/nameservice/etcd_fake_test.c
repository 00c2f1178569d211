/*
 * A client whose etcd is a fake one, which lies, breaks off, forgets, and ends leases: what real ones do at moments
 * that can't be chosen.
 */
#include "bridges/nodes.h"
#include "nameservice/etcd/text.h"
#include "nameservice/fake_etcd.h"
#include <soma/nameservice.h>
#include <soma/timer.h>

SOMA_MESSAGE(nothing, (u64, ignored))

static int on_nothing(soma_agent *self, void *my, const struct nothing *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior worker = {.name = "worker", .handlers = SOMA_HANDLERS(SOMA_ON(nothing, on_nothing))};

#define JUNK "L3Av" /* a key that is no name: /p/ */

/* ---- what the fake one has: names `a`, `b`… with revisions ---- */

#define NAMES_MOST 4

struct store {
    pthread_mutex_t lock;
    int64_t revision;
    int64_t names[NAMES_MOST]; /* since when each is as it is; 0: it is not there */
    bool junk;                 /* there are keys that are no names */
    bool compacts;             /* the next watch is told that its revision is gone */
    int watches;               /* that were begun */
    int64_t from;              /* the last of them, from this revision on */
    int lists;
    int64_t lease; /* the last that was granted */
    bool ends;     /* it has ended */
    int puts;      /* with that lease */
    const char *nonsense;
    int status;         /* of that */
    atomic_int hurries; /* a watch is to break off */
};

/* The ref tells the revision. */
static json_t *kv_of(int name, int64_t revision)
{
    const char text[] = {(char)('a' + name), 0};
    const struct etcd_entry entry = {.name = {.name = text, .agent = {99, 1, (uint32_t)revision}}, .home = 99};
    char *put = text_put("/p", &entry, 1, 0);
    json_t *json = json_loads(put, 0, NULL);
    json_t *kv = json_deep_copy(json_object_get(json_array_get(json_object_get(json, "success"), 0), "request_put"));
    json_object_set_new(kv, "mod_revision", json_integer(revision));
    json_decref(json);
    free(put);
    return kv;
}

static void json_say(int fd, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    fake_say(fd, text);
    fake_say(fd, "\n");
    free(text);
    json_decref(json);
}

static json_t *header_of(const struct store *store)
{
    return json_pack("{s:I}", "revision", (json_int_t)store->revision);
}

/* One key, or a page of two. */
static json_t *range(struct store *store, const json_t *body)
{
    json_t *kvs = json_array();
    char *key;
    bool more = false, page = json_object_get(body, "range_end") != NULL;
    store->lists += page && !strcmp(json_string_value(json_object_get(body, "key")), "L3Av");
    if (store->junk && page && !strcmp(json_string_value(json_object_get(body, "key")), "L3Av"))
        json_array_append_new(kvs, json_pack("{s:s, s:s, s:i}", "key", JUNK, "value", "eA==", "mod_revision", 1));
    for (int i = 0; i < NAMES_MOST && !more; i++) {
        if (!store->names[i])
            continue;
        json_t *kv = kv_of(i, store->names[i]);
        int order =
            strcmp(json_string_value(json_object_get(kv, "key")), json_string_value(json_object_get(body, "key")));
        more = page && order >= 0 && json_array_size(kvs) == 2;
        if (!more && (page ? order >= 0 : !order))
            json_array_append_new(kvs, kv);
        else
            json_decref(kv);
    }
    json_t *answer = json_pack("{s:o, s:o, s:b}", "header", header_of(store), "kvs", kvs, "more", more);
    assert_true(!text_page_next(answer, &key));
    free(key);
    return answer;
}

static json_t *answer_of(struct store *store, const char *path, const json_t *body)
{
    if (!strcmp(path, ETCD_GRANT)) {
        store->ends = false;
        store->puts = 0;
        return json_pack("{s:o, s:I, s:s}", "header", header_of(store), "ID", (json_int_t)++store->lease, "TTL", "1");
    }
    if (!strcmp(path, ETCD_KEEP))
        return json_pack("{s:{s:I, s:s}}", "result", "ID", (json_int_t)store->lease, "TTL", store->ends ? "0" : "1");
    if (!strcmp(path, ETCD_RANGE))
        return range(store, body);
    if (!strcmp(path, ETCD_TXN)) {
        store->puts++;
        store->revision++;
        return json_pack("{s:o, s:b}", "header", header_of(store), "succeeded", 1);
    }
    return json_object();
}

/* Tells all that is newer than what it told, while it lives; removals are told by a name's negative revision. */
static void watch_serve(struct fake *fake, struct store *store, int fd, const json_t *body)
{
    pthread_mutex_lock(&store->lock);
    int64_t told = json_integer_value(json_object_get(json_object_get(body, "create_request"), "start_revision")) - 1;
    int hurries = atomic_load(&store->hurries);
    bool compacts = store->compacts;
    store->watches++;
    store->from = told + 1;
    store->compacts = false;
    pthread_mutex_unlock(&store->lock);
    fake_answer(fd, 200, "{\"result\":{\"header\":{\"revision\":\"1\"},\"created\":true}}\n");
    if (compacts) {
        fake_say(fd, "{\"result\":{\"canceled\":true,\"compact_revision\":\"1000\"}}\n");
        fake_hold(fake, fd);
        return;
    }
    char byte;
    while (!atomic_load(&fake->closing) && atomic_load(&store->hurries) == hurries &&
           recv(fd, &byte, 1, MSG_DONTWAIT)) {
        pthread_mutex_lock(&store->lock);
        for (int64_t revision = told + 1; revision <= store->revision; revision++)
            for (int i = 0; i < NAMES_MOST; i++)
                if (store->names[i] == revision)
                    json_say(fd, json_pack("{s:{s:[{s:o}]}}", "result", "events", "kv", kv_of(i, revision)));
        told = store->revision;
        // What a transaction has put is told as a change of what is no name: so its revision is reached.
        json_say(fd, json_pack("{s:{s:[{s:{s:s, s:I}}]}}", "result", "events", "kv", "key", JUNK, "mod_revision",
                               (json_int_t)told));
        pthread_mutex_unlock(&store->lock);
        fake_nap();
    }
}

static void serve(struct fake *fake, int fd, const char *path, json_t *body)
{
    struct store *store = fake->context;
    if (store->nonsense) {
        fake_answer(fd, store->status, store->nonsense);
    } else if (!strcmp(path, ETCD_WATCH)) {
        watch_serve(fake, store, fd, body);
    } else {
        pthread_mutex_lock(&store->lock);
        json_t *answer = answer_of(store, path, body);
        pthread_mutex_unlock(&store->lock);
        fake_answer(fd, 200, "");
        json_say(fd, answer);
    }
}

/* ---- a client of it ---- */

struct world {
    struct store store, other;
    struct fake fake, liar; /* the second lies, if its store has nonsense */
    struct node node;
    soma_names *names;
};

static void world_open(struct world *world, const char *nonsense, int status)
{
    char address[64];
    const char *const addresses[] = {address, NULL};
    const soma_names_options options = {.addresses = addresses};
    *world =
        (struct world){.store = {.lock = PTHREAD_MUTEX_INITIALIZER, .revision = 10, .names = {5, 6, 7}, .lease = 100},
                       .other = {.lock = PTHREAD_MUTEX_INITIALIZER, .nonsense = nonsense, .status = status}};
    fake_open(&world->fake, serve, &world->store);
    fake_open(&world->liar, serve, &world->other);
    if (nonsense)
        snprintf(address, sizeof(address), "etcd://127.0.0.1:%d,127.0.0.1:%d/p", world->liar.port, world->fake.port);
    else
        snprintf(address, sizeof(address), "etcd://127.0.0.1:%d/p", world->fake.port);
    node_open(&world->node, "here");
    assert_int_equal(soma_names_open(world->node.system, world->node.bridge, &options, &world->names), 0);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->names), 0);
    nodes_close(&world->node, 1);
    fake_close(&world->fake);
    fake_close(&world->liar);
}

static void find(struct world *world, const char *name, uint32_t revision)
{
    struct soma_name entry;
    assert_int_equal(soma_names_info(world->names, name, PATIENCE, &entry), 0);
    assert_int_equal(entry.agent.generation, revision);
    soma_name_destroy(&entry);
}

/* ---- members that make no sense ---- */

static void test_nonsense(void **state)
{
    static const struct {
        int status;
        const char *text;
    } lies[] = {{200, ""},
                {200, "{\"header\":{\"revision\":\"1"},
                {200, "[]"},
                {200, "7"},
                {200, "{}"},
                {200, "{\"header\":7,\"ID\":\"7\",\"TTL\":\"x\",\"kvs\":{},\"result\":[]}"},
                {200, "{\"header\":{\"revision\":[]},\"ID\":{},\"TTL\":\"99999999999999999999\",\"succeeded\":7}"},
                {404, "404 page not found"},
                {400, "{\"error\":7,\"code\":\"x\"}"},
                {400, "{\"error\":\"no\",\"code\":3}"},
                {503, "{\"error\":\"etcdserver: no leader\",\"code\":14}"}};
    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct world world;
        soma_ref found, agent;
        world_open(&world, lies[i].text, lies[i].status);
        find(&world, "a", 5);
        assert_int_equal(soma_names_lookup(world.names, "d", PATIENCE, &found), SOMA_ENOENT);
        assert_int_equal(soma_spawn(world.node.system, &worker, NULL, &agent), 0);
        assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
        world_close(&world);
    }
}

/* ---- watches that break ---- */

struct events {
    pthread_mutex_t lock;
    char text[256]; /* +a5 a name and its revision, ~b7 changed, -c gone, . current, ! stale */
};

static void on_event(void *context, const struct soma_name_event *event)
{
    static const char *const kinds[] = {"+", "~", "-", ".", "!"};
    struct events *events = context;
    char text[32] = "", number[16] = "";
    if (event->event <= SOMA_NAME_CHANGED)
        snprintf(number, sizeof(number), "%u", event->name.agent.generation);
    if (event->name.name)
        snprintf(text, sizeof(text), "%.8s", event->name.name);
    pthread_mutex_lock(&events->lock);
    size_t size = strlen(events->text);
    snprintf(events->text + size, sizeof(events->text) - size, "%s%s%s ", kinds[event->event], text, number);
    pthread_mutex_unlock(&events->lock);
}

static void events_wait(struct events *events, const char *text)
{
    bool good = false;
    for (int i = 0; i < 20000 && !good; i++, fake_nap()) {
        pthread_mutex_lock(&events->lock);
        good = strlen(events->text) >= strlen(text);
        pthread_mutex_unlock(&events->lock);
    }
    assert_string_equal(events->text, text);
}

/* The store changes, all at once. */
static void change(struct store *store, int name, bool there)
{
    store->revision++;
    store->names[name] = there ? store->revision : 0;
}

static void test_watch(void **state)
{
    struct world world;
    struct events events = {.lock = PTHREAD_MUTEX_INITIALIZER};
    soma_ref watcher;
    (void)state;
    world_open(&world, NULL, 0);
    pthread_mutex_lock(&world.store.lock);
    world.store.junk = true;
    pthread_mutex_unlock(&world.store.lock);
    assert_int_equal(soma_names_watch(world.names, NULL, on_event, &events, &watcher), 0);
    events_wait(&events, "+a5 +b6 +c7 . ");
    pthread_mutex_lock(&world.store.lock);
    change(&world.store, 3, true); // 11
    change(&world.store, 0, true); // 12
    pthread_mutex_unlock(&world.store.lock);
    events_wait(&events, "+a5 +b6 +c7 . +d11 ~a12 ");
    // It breaks off, and the next goes on from where it was.
    pthread_mutex_lock(&world.store.lock);
    atomic_fetch_add(&world.store.hurries, 1);
    change(&world.store, 1, true); // 13
    pthread_mutex_unlock(&world.store.lock);
    events_wait(&events, "+a5 +b6 +c7 . +d11 ~a12 ~b13 ");
    // What came meanwhile is forgotten there: all is read anew, and what is different is told.
    pthread_mutex_lock(&world.store.lock);
    assert_int_equal(world.store.lists, 1);
    assert_true(world.store.from >= 11 && world.store.from <= 13);
    atomic_fetch_add(&world.store.hurries, 1);
    world.store.compacts = true;
    change(&world.store, 0, false);
    change(&world.store, 3, false);
    change(&world.store, 2, true); // 16
    pthread_mutex_unlock(&world.store.lock);
    events_wait(&events, "+a5 +b6 +c7 . +d11 ~a12 ~b13 -a ~c16 -d ");
    pthread_mutex_lock(&world.store.lock);
    assert_int_equal(world.store.lists, 2);
    pthread_mutex_unlock(&world.store.lock);
    find(&world, "c", 16);
    world_close(&world);
}

/* ---- a lease that ends ---- */

static void test_lease(void **state)
{
    struct world world;
    soma_ref agent;
    (void)state;
    world_open(&world, NULL, 0);
    assert_int_equal(soma_spawn(world.node.system, &worker, NULL, &agent), 0);
    assert_int_equal(soma_names_register(world.names, "one", agent, PATIENCE), 0);
    assert_int_equal(soma_names_register(world.names, "two", agent, PATIENCE), 0);
    pthread_mutex_lock(&world.store.lock);
    int64_t before = world.store.lease;
    world.store.ends = true;
    pthread_mutex_unlock(&world.store.lock);
    bool again = false;
    for (int i = 0; i < 20000 && !again; i++, fake_nap()) {
        pthread_mutex_lock(&world.store.lock);
        again = world.store.lease > before && world.store.puts == 2;
        pthread_mutex_unlock(&world.store.lock);
    }
    assert_true(again); // both were put anew, on another lease
    world_close(&world);
}

/* ---- addresses ---- */

/* In the environment, too, where commas part addresses as well as members. */
static void test_environment(void **state)
{
    struct world world;
    soma_names *names;
    char text[128];
    soma_ref found;
    (void)state;
    world_open(&world, "{}", 200);
    snprintf(text, sizeof(text), "etcd://127.0.0.1:%d,127.0.0.1:%d/p,tcp://127.0.0.1:1,local", world.liar.port,
             world.fake.port);
    setenv("SOMA_NAMESERVICE", text, 1);
    assert_int_equal(soma_names_open(world.node.system, world.node.bridge, NULL, &names), 0);
    assert_int_equal(soma_names_lookup(names, "b", PATIENCE, &found), 0);
    assert_int_equal(found.generation, 6);
    assert_int_equal(soma_names_close(&names), 0);
    static const char *const bad[] = {"etcd://127.0.0.1:1,,local", "etcd://nowhere", "etcd://127.0.0.1:1,nowhere/p"};
    for (int i = 0; i < 3; i++) {
        setenv("SOMA_NAMESERVICE", bad[i], 1);
        assert_int_equal(soma_names_open(world.node.system, world.node.bridge, NULL, &names), SOMA_EINVAL);
    }
    unsetenv("SOMA_NAMESERVICE");
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nonsense), cmocka_unit_test(test_watch),
                                       cmocka_unit_test(test_lease), cmocka_unit_test(test_environment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
