/*
 * A client whose etcd is a fake one, which lies, breaks off, forgets, and ends leases: what real ones do at moments
 * that can't be chosen.
 */
#include "nameservice/etcd_world.h"

#define JUNK "L3Av" /* a key that is no name: /p/ */

/* ---- members that make no sense ---- */

/* The first member. */
static bool say_nonsense(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    struct world *world = store->context;
    (void)path, (void)body;
    if (fake == &world->fakes[0])
        fake_answer(fd, world->status, world->text);
    return fake == &world->fakes[0];
}

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
                {429, "slow down"},
                {503, "{\"error\":\"etcdserver: no leader\",\"code\":14}"}};
    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct world world;
        soma_ref found;
        world_serve(&world, say_nonsense, 2);
        world.text = lies[i].text;
        world.status = lies[i].status;
        world_names(&world, NULL);
        find(&world, "a", 5);
        assert_int_equal(soma_names_lookup(world.names, "d", PATIENCE, &found), SOMA_ENOENT);
        assert_int_equal(soma_names_register(world.names, "mine", world_spawn(&world), PATIENCE), 0);
        world_close(&world);
    }
}

/* ---- watches that break ---- */

static void test_watch(void **state)
{
    struct world world;
    (void)state;
    world_serve(&world, NULL, 1);
    store_put(&world.store, JUNK, "eA==", 0); // 8
    world_names(&world, NULL);
    world_watch(&world, NULL);
    events_wait(&world, "+a5 +b6 +c7 . ");
    pthread_mutex_lock(&world.store.lock);
    store_change(&world.store, "d", true); // 9
    store_change(&world.store, "a", true); // 10
    pthread_mutex_unlock(&world.store.lock);
    events_wait(&world, "+a5 +b6 +c7 . +d9 ~a10 ");
    // It breaks off, and the next goes on from where it was.
    pthread_mutex_lock(&world.store.lock);
    world.store.hurries++;
    store_change(&world.store, "b", true); // 11
    pthread_mutex_unlock(&world.store.lock);
    events_wait(&world, "+a5 +b6 +c7 . +d9 ~a10 ~b11 ");
    // What came meanwhile is forgotten there: all is read anew, and what is different is told.
    pthread_mutex_lock(&world.store.lock);
    assert_int_equal(world.store.lists, 1);
    assert_true(world.store.from >= 9 && world.store.from <= 11);
    world.store.hurries++;
    store_change(&world.store, "a", false);
    store_change(&world.store, "d", false);
    store_change(&world.store, "c", true); // 14
    world.store.compacted = 14;
    pthread_mutex_unlock(&world.store.lock);
    events_wait(&world, "+a5 +b6 +c7 . +d9 ~a10 ~b11 -a ~c14 -d ");
    pthread_mutex_lock(&world.store.lock);
    assert_int_equal(world.store.lists, 2);
    pthread_mutex_unlock(&world.store.lock);
    find(&world, "c", 14);
    world_close(&world);
}

/* ---- a lease that ends ---- */

/* Waits until a name hangs on a lease. */
static void lease_wait(struct store *store, const char *name, int64_t lease)
{
    char key[STORE_KEY_MOST];
    bool good = false;
    for (int i = 0; i < 20000 && !good; i++, fake_nap()) {
        pthread_mutex_lock(&store->lock);
        const struct change *at = store_get(store, store_key(name, key), INT64_MAX);
        good = at && at->lease == lease;
        pthread_mutex_unlock(&store->lock);
    }
    assert_true(good);
}

static void test_lease(void **state)
{
    struct world world;
    (void)state;
    world_serve(&world, NULL, 1);
    world.lease_s = 1;
    world_names(&world, NULL);
    soma_ref agent = world_spawn(&world);
    assert_int_equal(soma_names_register(world.names, "one", agent, PATIENCE), 0);
    assert_int_equal(soma_names_register(world.names, "two", agent, PATIENCE), 0);
    pthread_mutex_lock(&world.store.lock);
    world.store.ends = true;
    store_change(&world.store, "one", false); // but not the other, of which it would be told in a moment
    pthread_mutex_unlock(&world.store.lock);
    store_wait(&world.store, &world.store.grants, 2);
    lease_wait(&world.store, "one", 102); // both are put anew, on another lease
    lease_wait(&world.store, "two", 102);
    assert_int_equal(soma_names_unregister(world.names, "two", PATIENCE), 0);
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
    world_open(&world, NULL, 2);
    snprintf(text, sizeof(text), "%s,tcp://127.0.0.1:1,local", world.address);
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
