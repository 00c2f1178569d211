/* A client of the name service whose etcd is a store of the test's: one, or a cluster of two members. */
#ifndef TEST_NAMESERVICE_ETCD_WORLD_H
#define TEST_NAMESERVICE_ETCD_WORLD_H

#include "bridges/nodes.h"
#include "nameservice/etcd_store.h"
#include <soma/nameservice.h>
#include <soma/timer.h>

#define MEMBERS 2

SOMA_MESSAGE(nothing, (u64, ignored))

static int on_nothing(soma_agent *self, void *my, const struct nothing *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static const soma_behavior worker = {.name = "worker", .handlers = SOMA_HANDLERS(SOMA_ON(nothing, on_nothing))};

/* What a watch has told. */
struct events {
    pthread_mutex_t lock;
    char text[256]; /* +a5 a name and its revision, ~b7 changed, -c gone, . current, ! stale */
};

struct world {
    struct store store;
    struct fake fakes[MEMBERS];
    char address[64];
    uint32_t lease_s; /* long, unless it is to end: machines may stand still */
    struct node node;
    soma_names *names;
    struct events events;
    /* What `say` functions are to do. */
    const char *text;
    int status;
    const char *path;
    int left;     /* so often */
    int said;     /* it was */
    int held;     /* a connection that is not answered; 0: none */
    int overlaps; /* of those and of others */
    json_t *late; /* a transaction that was not done yet */
    atomic_bool goes_on;
};

typedef bool world_say(struct fake *fake, struct store *store, int fd, const char *path, json_t *body);

/* The names a, b and c are there, with revisions 5, 6 and 7. */
static inline void world_serve(struct world *world, world_say *say, int members)
{
    *world = (struct world){
        .lease_s = 20,
        .store = {.lock = PTHREAD_MUTEX_INITIALIZER, .revision = 4, .lease = 100, .say = say, .context = world},
        .events = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    store_change(&world->store, "a", true);
    store_change(&world->store, "b", true);
    store_change(&world->store, "c", true);
    for (int i = 0; i < MEMBERS; i++)
        fake_open(&world->fakes[i], store_serve, &world->store);
    int size = snprintf(world->address, sizeof(world->address), "etcd://127.0.0.1:%d", world->fakes[0].port);
    snprintf(world->address + size, sizeof(world->address) - (size_t)size, members > 1 ? ",127.0.0.1:%d/p" : "/p",
             world->fakes[1].port);
    node_open(&world->node, "here");
}

static inline void world_names(struct world *world, const char *second)
{
    const char *const addresses[] = {world->address, second, NULL};
    const soma_names_options options = {.addresses = addresses, .lease_s = world->lease_s};
    assert_int_equal(soma_names_open(world->node.system, world->node.bridge, &options, &world->names), 0);
}

static inline void world_open(struct world *world, world_say *say, int members)
{
    world_serve(world, say, members);
    world_names(world, NULL);
}

static inline void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->names), 0);
    nodes_close(&world->node, 1);
    for (int i = 0; i < MEMBERS; i++)
        fake_close(&world->fakes[i]);
    store_close(&world->store);
    json_decref(world->late);
}

static inline soma_ref world_spawn(struct world *world)
{
    soma_ref agent;
    assert_int_equal(soma_spawn(world->node.system, &worker, NULL, &agent), 0);
    return agent;
}

/* Its name is there, as it was put at a revision. */
static inline void find(struct world *world, const char *name, uint32_t revision)
{
    struct soma_name entry;
    assert_int_equal(soma_names_info(world->names, name, PATIENCE, &entry), 0);
    assert_int_equal(entry.agent.generation, revision);
    soma_name_destroy(&entry);
}

/* Waits until a number of the store is at least that. */
static inline void store_wait(struct store *store, const int *number, int least)
{
    bool good = false;
    for (int i = 0; i < 20000 && !good; i++, fake_nap()) {
        pthread_mutex_lock(&store->lock);
        good = *number >= least;
        pthread_mutex_unlock(&store->lock);
    }
    assert_true(good);
}

static inline int store_number(struct store *store, const int *number)
{
    pthread_mutex_lock(&store->lock);
    int value = *number;
    pthread_mutex_unlock(&store->lock);
    return value;
}

/* Waits until somebody has a name there, or nobody has. */
static inline void there_wait(struct store *store, const char *name, bool there)
{
    bool good = false;
    for (int i = 0; i < 20000 && !good; i++, fake_nap())
        good = store_has(store, name) == there;
    assert_true(good);
}

/* Changes a name, as somebody else. */
static inline void world_change(struct world *world, const char *name, bool there)
{
    pthread_mutex_lock(&world->store.lock);
    store_change(&world->store, name, there);
    pthread_mutex_unlock(&world->store.lock);
}

/* ---- watching ---- */

static inline void on_event(void *context, const struct soma_name_event *event)
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

static inline void world_watch(struct world *world, const char *prefix)
{
    soma_ref watcher;
    assert_int_equal(soma_names_watch(world->names, prefix, on_event, &world->events, &watcher), 0);
}

/* All that was told is `text` now. */
static inline void events_wait(struct world *world, const char *text)
{
    bool good = false;
    for (int i = 0; i < 20000 && !good; i++, fake_nap()) {
        pthread_mutex_lock(&world->events.lock);
        good = strlen(world->events.text) >= strlen(text);
        pthread_mutex_unlock(&world->events.lock);
    }
    assert_string_equal(world->events.text, text);
}

#endif
