/*
 * What etcd does late, twice, or beside what was asked of it: what a client is told must hold all the same, and nothing
 * may stay in etcd that nobody wants any more.
 */
#include "nameservice/etcd_world.h"

/* ---- asking from another thread, as the answer is to come late ---- */

struct asker {
    pthread_t thread;
    soma_names *names;
    soma_ref agent; /* is registered as "mine"; the null ref: that name is dropped */
    soma_ref holder;
    bool takeover;
    int error;
};

static void *asker_main(void *pointer)
{
    struct asker *asker = pointer;
    asker->error = asker->agent.node ? soma_names_register_as(asker->names, "mine", asker->agent, SOMA_VALUE_NONE,
                                                              asker->takeover, PATIENCE, &asker->holder)
                                     : soma_names_unregister(asker->names, "mine", PATIENCE);
    return NULL;
}

static void asker_start(struct asker *asker, struct world *world, soma_ref agent, bool takeover)
{
    *asker = (struct asker){.names = world->names, .agent = agent, .takeover = takeover};
    assert_int_equal(pthread_create(&asker->thread, NULL, asker_main, asker), 0);
}

static int asker_end(struct asker *asker)
{
    pthread_join(asker->thread, NULL);
    return asker->error;
}

static bool is_txn(struct world *world, const char *path)
{
    return !strcmp(path, ETCD_TXN) && world->left-- > 0;
}

static void quiet_set(struct world *world, bool quiet)
{
    pthread_mutex_lock(&world->store.lock);
    world->store.quiet = quiet;
    pthread_mutex_unlock(&world->store.lock);
}

static void left_set(struct world *world, int left)
{
    pthread_mutex_lock(&world->store.lock);
    world->left = left;
    pthread_mutex_unlock(&world->store.lock);
}

/* ---- what comes between a transaction and its answer ---- */

/* Somebody takes the name over, and the answer waits. */
static bool say_taken(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    struct world *world = store->context;
    if (!is_txn(world, path))
        return false;
    json_t *answer = store_do(store, path, body);
    store_change(store, "mine", true);
    pthread_mutex_unlock(&store->lock);
    while (!atomic_load(&world->goes_on) && !atomic_load(&fake->closing))
        fake_nap();
    fake_answer(fd, 200, "");
    json_say(fd, answer);
    pthread_mutex_lock(&store->lock);
    return true;
}

/* The watch is faster than the answer: who has lost the name by then must not be told that he has it. */
static void test_taken(void **state)
{
    struct world world;
    struct asker asker;
    (void)state;
    world_serve(&world, say_taken, 1);
    world.left = 1;
    world_names(&world, NULL);
    asker_start(&asker, &world, world_spawn(&world), false);
    there_wait(&world.store, "mine", true);
    find(&world, "mine", 9); // so the mirror knows
    atomic_store(&world.goes_on, true);
    assert_int_equal(asker_end(&asker), SOMA_EEXIST);
    assert_int_equal(asker.holder.node, STORE_OTHER);
    assert_int_equal(soma_names_unregister(world.names, "mine", PATIENCE), SOMA_ENOENT);
    world_close(&world);
}

struct alias {
    soma_ref names;
    atomic_int sent;
};

/* To be posted to an agent: "mine" has an alias, and nobody waits for it. */
static int alias_send(soma_agent *self, void *state, void *pointer)
{
    struct alias *alias = pointer;
    (void)state;
    int error = soma_send(self, alias->names, soma_name_alias, .name = "mine", .alias = "main", .address = "x");
    atomic_store(&alias->sent, 1);
    return error;
}

/* A takeover is asked for once: what changes afterwards takes nothing over, if the name is lost meanwhile. */
static void test_takeover(void **state)
{
    struct world world;
    struct asker asker;
    soma_ref found;
    (void)state;
    world_serve(&world, say_taken, 1);
    world.left = 1;
    world_names(&world, NULL);
    asker_start(&asker, &world, world_spawn(&world), true);
    there_wait(&world.store, "mine", true);
    struct alias alias = {.names = soma_names_agent(world.names)};
    soma_post(world.node.system, asker.agent, alias_send, &alias, NULL);
    wait_word("the alias", &alias.sent, 1);
    assert_int_equal(soma_names_lookup(world.names, "d", PATIENCE, &found), SOMA_ENOENT); // so the client has that
    find(&world, "mine", 9);
    atomic_store(&world.goes_on, true);
    assert_int_equal(asker_end(&asker), SOMA_EEXIST);
    int error = soma_names_unregister(world.names, "mine", PATIENCE); // it may be about to be told the same again
    assert_true(!error || error == SOMA_ENOENT);
    find(&world, "mine", 9);
    world_close(&world);
}

/* Somebody removes the name. */
static bool say_removed(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    (void)fake;
    if (!is_txn(store->context, path))
        return false;
    json_t *answer = store_do(store, path, body);
    store_change(store, "mine", false);
    fake_answer(fd, 200, "");
    json_say(fd, answer);
    return true;
}

/* A lookup has told so before the watch does: the name is put again all the same. */
static void test_removed(void **state)
{
    struct world world;
    struct asker asker;
    soma_ref found;
    (void)state;
    world_serve(&world, say_removed, 1);
    world.left = 1;
    world_names(&world, NULL);
    find(&world, "a", 5);
    assert_int_equal(soma_names_lookup(world.names, "mine", PATIENCE, &found), SOMA_ENOENT);
    quiet_set(&world, true);
    asker_start(&asker, &world, world_spawn(&world), false);
    store_wait(&world.store, &world.store.txns, 1);
    struct soma_name entry;
    assert_int_equal(soma_names_info(world.names, "mine", PATIENCE, &entry), SOMA_ENOENT);
    quiet_set(&world, false);
    assert_int_equal(asker_end(&asker), 0);
    there_wait(&world.store, "mine", true);
    world_close(&world);
}

/* ---- what etcd does late, or twice ---- */

/* The connection breaks before it is done. */
static bool say_late(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    struct world *world = store->context;
    (void)fake, (void)fd;
    if (!is_txn(world, path))
        return false;
    world->late = json_deep_copy(body);
    return true;
}

/* Now it is. */
static bool late_do(struct world *world)
{
    pthread_mutex_lock(&world->store.lock);
    json_t *answer = store_txn(&world->store, world->late);
    pthread_mutex_unlock(&world->store.lock);
    bool done = json_is_true(json_object_get(answer, "succeeded"));
    json_decref(answer);
    return done;
}

/* A name that was put, and dropped, is there again: it is taken back. */
static void test_put_late(void **state)
{
    struct world world;
    (void)state;
    world_serve(&world, say_late, 1);
    world.left = 1;
    world_names(&world, NULL);
    soma_ref agent = world_spawn(&world);
    assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
    assert_int_equal(soma_names_unregister(world.names, "mine", PATIENCE), 0);
    assert_false(store_has(&world.store, "mine"));
    assert_true(late_do(&world));
    there_wait(&world.store, "mine", false);
    assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
    assert_true(store_has(&world.store, "mine"));
    assert_int_equal(store_number(&world.store, &world.store.grants), 1); // and nothing else was disturbed
    world_close(&world);
}

/* A name that was dropped, and registered again, must not be dropped by what was meant for the first. */
static void test_drop_late(void **state)
{
    struct world world;
    (void)state;
    world_open(&world, say_late, 1);
    soma_ref agent = world_spawn(&world);
    assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
    left_set(&world, 1);
    assert_int_equal(soma_names_unregister(world.names, "mine", PATIENCE), 0);
    assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
    assert_false(late_do(&world));
    assert_true(store_has(&world.store, "mine"));
    world_close(&world);
}

/* It is done, but the connection breaks before the answer. */
static bool say_done(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    (void)fake, (void)fd;
    if (!is_txn(store->context, path))
        return false;
    json_decref(store_do(store, path, body));
    return true;
}

/* What is done twice counts once; and what has been dropped was not taken away by somebody. */
static void test_twice(void **state)
{
    struct world world;
    struct asker asker;
    (void)state;
    world_serve(&world, say_done, 1);
    world.left = 1;
    world_names(&world, NULL);
    soma_ref agent = world_spawn(&world);
    assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
    int before = store_number(&world.store, &world.store.txns);
    left_set(&world, 1);
    quiet_set(&world, true);
    asker_start(&asker, &world, SOMA_REF_NULL, false);
    store_wait(&world.store, &world.store.txns, before + 2);
    find(&world, "a", 5);
    quiet_set(&world, false);
    assert_int_equal(asker_end(&asker), 0);
    assert_false(store_has(&world.store, "mine"));
    assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
    assert_int_equal(store_number(&world.store, &world.store.grants), 1);
    world_close(&world);
}

/* ---- a watch that does not tell ---- */

/* A watch that tells nothing, though there is something to tell, gives way to another. */
static void test_deaf(void **state)
{
    struct world world;
    (void)state;
    world_serve(&world, NULL, 2);
    world.store.deaf = true;
    world.lease_s = 1; // after a part of it the watch is looked at
    world_names(&world, NULL);
    store_wait(&world.store, &world.store.watches, 1);
    pthread_mutex_lock(&world.store.lock);
    world.store.deaf = false;
    pthread_mutex_unlock(&world.store.lock);
    assert_int_equal(soma_names_register(world.names, "mine", world_spawn(&world), PATIENCE), 0);
    world_close(&world);
}

/* ---- a store that is not what it was ---- */

/* Etcd was restored from what it was some time ago, and the watch waits for revisions that are far ahead. */
static void test_restored(void **state)
{
    struct world world;
    (void)state;
    world_open(&world, NULL, 1);
    world_watch(&world, "a");
    events_wait(&world, "+a5 . ");
    world_change(&world, "a", true);
    events_wait(&world, "+a5 . ~a8 ");
    pthread_mutex_lock(&world.store.lock);
    while (world.store.count > 1)
        free(world.store.changes[--world.store.count].value);
    world.store.revision = 5;
    pthread_mutex_unlock(&world.store.lock);
    find(&world, "a", 5);
    events_wait(&world, "+a5 . ~a8 ! ~a5 . ");
    world_close(&world);
}

/* ---- what others have put there ---- */

#define FAT ((size_t)9 << 20) /* more than is read */

static void fat_put(struct store *store, const char *name)
{
    char key[STORE_KEY_MOST], *value = malloc(FAT + 1);
    memset(value, 'A', FAT);
    value[FAT] = 0;
    store_put(store, store_key(name, key), value, 0);
    free(value);
}

/* It is too much for an answer, and for a line of the watch. */
static void test_fat(void **state)
{
    struct world world;
    (void)state;
    world_serve(&world, NULL, 2);
    fat_put(&world.store, "");
    world_names(&world, NULL);
    find(&world, "b", 6);
    assert_int_equal(soma_names_register(world.names, "mine", world_spawn(&world), PATIENCE), 0);
    pthread_mutex_lock(&world.store.lock);
    fat_put(&world.store, "fat");
    store_change(&world.store, "d", true);
    pthread_mutex_unlock(&world.store.lock);
    find(&world, "d", (uint32_t)world.store.revision);
    assert_int_equal(soma_names_register(world.names, "fat", world_spawn(&world), PATIENCE), SOMA_ETOOBIG);
    assert_int_equal(store_number(&world.store, &world.store.grants), 1);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),    cmocka_unit_test(test_takeover),  cmocka_unit_test(test_removed),
        cmocka_unit_test(test_put_late), cmocka_unit_test(test_drop_late), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_deaf),     cmocka_unit_test(test_restored),  cmocka_unit_test(test_fat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
