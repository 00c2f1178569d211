/* Members of etcd that refuse, fall silent, or are away: others are asked, in time, and none too often. */
#include "nameservice/etcd_world.h"
#include <time.h>

/* All refuse one kind of request, for a while. */
static bool say_refused(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    struct world *world = store->context;
    (void)fake, (void)body;
    if (strcmp(path, world->path) != 0 || atomic_load(&world->goes_on))
        return false;
    world->said++;
    fake_answer(fd, world->status, world->text);
    return true;
}

/* They are asked again, but with rests. */
static void test_rests(void **state)
{
    static const char watch[] = ETCD_WATCH;
    static const struct {
        const char *path;
        int status;
        const char *text;
    } cases[] = {{ETCD_TXN, 429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}"},
                 {ETCD_TXN, 503, "{\"error\":\"etcdserver: request timed out\",\"code\":14}"},
                 {watch, 200, "{\"result\":{\"header\":{\"revision\":\"1\"},\"created\":true}}\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world world;
        world_serve(&world, say_refused, 2);
        world.path = cases[i].path;
        world.status = cases[i].status;
        world.text = cases[i].text;
        world_names(&world, NULL);
        soma_ref agent = world_spawn(&world);
        int error = soma_names_register(world.names, "mine", agent, 250 * SOMA_MS);
        assert_true(error == SOMA_ETIMEOUT || (!error && cases[i].path == watch)); // if it was put before all was read
        store_wait(&world.store, &world.said, 2);
        assert_in_range(store_number(&world.store, &world.said), 2, 20);
        atomic_store(&world.goes_on, true);
        assert_int_equal(soma_names_register(world.names, "mine", agent, PATIENCE), 0);
        world_close(&world);
    }
}

/* The first says nothing any more, to whatever. */
static bool say_nothing(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    struct world *world = store->context;
    (void)path, (void)body;
    if (fake != &world->fakes[0] || !atomic_load(&world->goes_on))
        return false;
    pthread_mutex_unlock(&store->lock);
    fake_hold(fake, fd);
    pthread_mutex_lock(&store->lock);
    return true;
}

/* Does the second keep the lease, which is no longer than a member is waited for otherwise? */
static bool is_kept(void)
{
    struct world world;
    world_serve(&world, say_nothing, 2);
    world.lease_s = 3;
    world_names(&world, NULL);
    assert_int_equal(soma_names_register(world.names, "mine", world_spawn(&world), PATIENCE), 0);
    int before = store_number(&world.store, &world.store.keeps);
    atomic_store(&world.goes_on, true);
    store_wait(&world.store, &world.store.keeps, before + 1);
    bool kept = store_number(&world.store, &world.store.grants) == 1;
    world_close(&world);
    return kept;
}

/* It is asked in time, unless the machine stands still, which it does not each time. */
static void test_silent(void **state)
{
    (void)state;
    assert_true(is_kept() || is_kept() || is_kept());
}

/* The first says nothing to one kind of request; when the second is asked the same, is the first still waited for? */
static bool say_only_second(struct fake *fake, struct store *store, int fd, const char *path, json_t *body)
{
    struct world *world = store->context;
    char byte;
    (void)body;
    if (strcmp(path, world->path) != 0 || atomic_load(&world->goes_on))
        return false;
    if (fake != &world->fakes[0]) {
        world->overlaps += world->held && recv(world->held, &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
        return false;
    }
    world->held = fd;
    pthread_mutex_unlock(&store->lock);
    fake_hold(fake, fd);
    pthread_mutex_lock(&store->lock);
    world->held = 0;
    return true;
}

/* One that is dead costs little, as others are asked meanwhile; and from then on the one that has answered is first. */
static void test_overlap(void **state)
{
    static const char *const paths[] = {ETCD_GRANT, ETCD_RANGE};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        soma_ref server;
        world_serve(&world, say_only_second, 2);
        world.path = paths[i];
        atomic_store(&world.goes_on, i == 1);
        world_names(&world, NULL);
        assert_int_equal(soma_names_server(world.names, PATIENCE, &server), 0);
        find(&world, "a", 5); // all of them are known now
        atomic_store(&world.goes_on, false);
        find(&world, "b", 6);
        assert_int_equal(store_number(&world.store, &world.overlaps), 1);
        find(&world, "c", 7);
        assert_int_equal(store_number(&world.store, &world.overlaps), 1); // the second is asked at once
        world_close(&world);
    }
}

/* Names are given back by whoever answers. */
static void test_close(void **state)
{
    struct world world;
    (void)state;
    world_open(&world, say_nothing, 2);
    assert_int_equal(soma_names_register(world.names, "mine", world_spawn(&world), PATIENCE), 0);
    atomic_store(&world.goes_on, true);
    assert_int_equal(soma_names_close(&world.names), 0);
    store_wait(&world.store, &world.store.revokes, 1);
    world_close(&world);
}

static uint64_t clock_now(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * SOMA_SECOND + (uint64_t)now.tv_nsec;
}

/* Without a majority, before there was any lease, it is tried less and less often; slow machines do so, too. */
static void test_no_majority(void **state)
{
    struct world world;
    soma_ref server;
    (void)state;
    world_serve(&world, say_refused, 1);
    world.path = ETCD_GRANT;
    world.status = 503;
    world.text = "{}";
    uint64_t begun = clock_now();
    world_names(&world, NULL);
    store_wait(&world.store, &world.said, 4); // after 0, 0.2, 0.6 and 1.4 s, about
    assert_true(clock_now() - begun >= SOMA_SECOND);
    atomic_store(&world.goes_on, true);
    assert_int_equal(soma_names_server(world.names, PATIENCE, &server), 0);
    world_close(&world);
}

/* ---- other addresses ---- */

/* A follower is for while etcd is away. */
static void test_follower(void **state)
{
    static const char *const nowhere[] = {"tcp://127.0.0.1:1", NULL};
    struct world world;
    soma_ref server, follower;
    (void)state;
    world_serve(&world, say_refused, 2);
    const soma_nameserver_options options = {.follow = nowhere, .bridge = world.node.bridge};
    assert_int_equal(soma_nameserver_start(world.node.system, &options, &follower), 0);
    world.path = ETCD_GRANT;
    world.status = 503;
    world.text = "{}";
    world_names(&world, "local");
    assert_int_equal(soma_names_server(world.names, PATIENCE, &server), 0);
    assert_true(soma_ref_equal(server, follower));
    store_wait(&world.store, &world.said, 2 * MEMBERS); // it is looked for
    atomic_store(&world.goes_on, true);
    assert_int_equal(soma_names_register(world.names, "mine", world_spawn(&world), PATIENCE), 0);
    find(&world, "a", 5);
    world_close(&world);
}

/* What gives no lease is no etcd, and the next address is tried. */
static void test_no_lease(void **state)
{
    struct world world;
    soma_ref server, other;
    (void)state;
    world_serve(&world, say_refused, 1);
    assert_int_equal(soma_nameserver_start(world.node.system, NULL, &other), 0);
    world.path = ETCD_GRANT;
    world.status = 200;
    world.text = "{\"ID\":\"7\",\"TTL\":\"x\"}";
    world_names(&world, "local");
    assert_int_equal(soma_names_server(world.names, PATIENCE, &server), 0);
    assert_true(soma_ref_equal(server, other));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rests),    cmocka_unit_test(test_silent),
                                       cmocka_unit_test(test_overlap),  cmocka_unit_test(test_close),
                                       cmocka_unit_test(test_follower), cmocka_unit_test(test_no_majority),
                                       cmocka_unit_test(test_no_lease)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
