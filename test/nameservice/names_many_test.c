/* More names than are under way at once, or fit a page: registered, listed, watched, looked up, lost with a link and
 * put again. In virtual time. */
#include "nameservice/client.h"
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/nameservice.h>
#include <soma/request.h>
#include <stdio.h>
#include <string.h>

#define MANY 1000u
#define AT_ONCE 300u
#define ASKED 250u

/* ---- who registers them all ---- */

struct chorus {
    soma_ref names;
    uint32_t next;
};

static int on_sung(soma_agent *self, struct chorus *my, const struct soma_name_registered *m);

static int on_not_sung(soma_agent *self, struct chorus *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

/* One in four is of another kind. */
static void name_of(uint32_t number, char name[16])
{
    snprintf(name, 16, "%s/%05u", number % 4 ? "many" : "some", number);
}

static int sing(soma_agent *self, struct chorus *my)
{
    char name[16];
    name_of(my->next++ * 7 % MANY, name);
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_sung, on_not_sung),
                        soma_name_register, .name = name) < 0
               ? SOMA_ENOMEM
               : 0;
}

static int on_sung(soma_agent *self, struct chorus *my, const struct soma_name_registered *m)
{
    assert_int_equal(m->error, 0);
    return my->next < MANY ? sing(self, my) : 0;
}

static int chorus_init(soma_agent *self, void *state, const void *names)
{
    struct chorus *my = state;
    int error = 0;
    memcpy(&my->names, names, sizeof(my->names));
    for (uint32_t i = 0; i < AT_ONCE && !error; i++)
        error = sing(self, my);
    return error;
}

static const soma_behavior chorus = {.name = "chorus", .state_size = sizeof(struct chorus), .init = chorus_init};

/* ---- the world ---- */

struct world {
    soma_test *test;
    soma_ref server, singers;
    soma_names *hub, *leaf;
    uint32_t added, removed, current, stale;
};

static void note(void *context, const struct soma_name_event *event)
{
    struct world *world = context;
    world->added += event->event == SOMA_NAME_ADDED;
    world->removed += event->event == SOMA_NAME_REMOVED;
    world->current += event->event == SOMA_NAME_CURRENT;
    world->stale += event->event == SOMA_NAME_STALE;
}

static const struct nameserver *server_state(const struct world *world)
{
    return soma_test_state(world->test, world->server);
}

/* The hub has the server; the leaf has all the names. */
static void world_open(struct world *world, soma_test *test)
{
    static const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_system *hub = soma_test_node(test, "hub"), *leaf = soma_test_node(test, "leaf");
    *world = (struct world){.test = test};
    assert_int_equal(soma_nameserver_start(hub, NULL, &world->server), 0);
    assert_int_equal(soma_names_open(hub, soma_test_bridge(test, "hub"), &options, &world->hub), 0);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &options, &world->leaf), 0);
    soma_ref names = soma_names_agent(world->leaf);
    assert_int_equal(soma_spawn(leaf, &chorus, &names, &world->singers), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(server_state(world)->names.count, MANY);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->hub), 0);
    assert_int_equal(soma_names_close(&world->leaf), 0);
    soma_test_advance(world->test, SOMA_SECOND);
    assert_int_equal(server_state(world)->names.count, 0);
    assert_int_equal(server_state(world)->clients.count, 0);
    assert_int_equal(server_state(world)->accounts.count, 0);
}

static uint32_t list_all(soma_names *names, const char *prefix)
{
    char after[SOMA_NAME_MOST + 1] = "";
    struct soma_name_page page;
    uint32_t count = 0;
    bool more = true;
    while (more) {
        assert_int_equal(soma_names_list(names, prefix, after, 0, SOMA_SECOND, &page), 0);
        for (uint32_t i = 0; i < page.names.count; i++, count++) {
            assert_true(strcmp(page.names.items[i].name, after) > 0);
            snprintf(after, sizeof(after), "%s", page.names.items[i].name);
        }
        more = page.more;
        soma_name_page_destroy(&page);
    }
    return count;
}

/* ---- the tests ---- */

static void test_many(soma_test *test)
{
    struct world world;
    soma_ref found, watcher;
    char name[16];
    world_open(&world, test);
    assert_int_equal(list_all(world.hub, "some/"), MANY / 4);
    for (uint32_t i = 0; i < ASKED; i++) {
        snprintf(name, sizeof(name), "many/%05u-", i); // wanted by many, and nobody has it
        assert_int_equal(soma_names_lookup(world.hub, name, SOMA_SECOND, &found), SOMA_ENOENT);
        name_of(i, name);
        assert_int_equal(soma_names_lookup(world.hub, name, SOMA_SECOND, &found), 0);
        assert_true(soma_ref_equal(found, world.singers));
    }
    assert_int_equal(list_all(world.leaf, NULL), MANY);
    assert_int_equal(server_state(&world)->wanted.count, ASKED);
    assert_int_equal(soma_names_watch(world.hub, NULL, note, &world, &watcher), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(world.added, MANY);
    assert_int_equal(world.current, 1);
    // One end ends them all.
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), world.singers), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(world.removed, MANY);
    assert_int_equal(list_all(world.hub, NULL), 0);
    world_close(&world);
}

/* Who lists page by page, while names come and go between the pages, sees each that was there all the time, once. */
static void test_pages(soma_test *test)
{
    struct world world;
    struct soma_name_page page;
    static const soma_behavior singer = {.name = "singer"};
    char after[SOMA_NAME_MOST + 1] = "", name[16];
    soma_ref other;
    uint32_t count = 0;
    bool more = true;
    world_open(&world, test);
    assert_int_equal(soma_spawn(soma_test_node(test, "hub"), &singer, NULL, &other), 0);
    while (more) {
        assert_int_equal(soma_names_list(world.hub, NULL, after, 50, SOMA_SECOND, &page), 0);
        for (uint32_t i = 0; i < page.names.count; i++) {
            assert_true(strcmp(page.names.items[i].name, after) > 0);
            snprintf(after, sizeof(after), "%s", page.names.items[i].name);
            count += soma_ref_equal(page.names.items[i].agent, world.singers);
        }
        more = page.more;
        soma_name_page_destroy(&page);
        for (uint32_t i = 0; i < 5; i++) { // before it, behind it, and the last of the page itself
            snprintf(name, sizeof(name), "%s/%05u~", i % 2 ? "many" : "some", (uint32_t)soma_test_random(test, MANY));
            if (i == 4)
                snprintf(name, sizeof(name), "%.14s~", after);
            assert_int_equal(soma_names_register(world.hub, name, other, SOMA_SECOND), 0);
            if (soma_test_random(test, 2))
                assert_int_equal(soma_names_unregister(world.hub, name, SOMA_SECOND), 0);
        }
    }
    assert_int_equal(count, MANY);
    assert_int_equal(soma_kill(soma_test_node(test, "hub"), other), 0);
    world_close(&world);
}

/* A link that is lost takes them along, and brings all of them back. */
static void test_link_back(soma_test *test)
{
    struct world world;
    soma_ref found, watcher, other;
    world_open(&world, test);
    soma_system *hub = soma_test_node(test, "hub");
    static const soma_behavior singer = {.name = "singer"};
    assert_int_equal(soma_spawn(hub, &singer, NULL, &other), 0);
    assert_int_equal(soma_names_register(world.hub, "other", other, SOMA_SECOND), 0);
    assert_int_equal(soma_names_watch(world.hub, NULL, note, &world, &watcher), 0);
    soma_test_net_partition(test, "hub", "leaf");
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(server_state(&world)->names.count, 1);
    assert_int_equal(world.removed, MANY);
    soma_test_net_heal(test, "hub", "leaf");
    assert_int_equal(soma_names_server(world.leaf, 30 * SOMA_SECOND, NULL), 0);
    // Who asks meanwhile does not wait until all of them are put.
    assert_int_equal(soma_names_lookup(world.leaf, "other", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, other));
    assert_true(server_state(&world)->names.count < MANY);
    soma_test_advance(test, 5 * SOMA_SECOND);
    assert_int_equal(server_state(&world)->names.count, MANY + 1);
    assert_int_equal(world.added, 2 * MANY + 1);
    assert_int_equal(world.stale, 0); // the watcher's own node never lost it
    world_close(&world);
}

/* A server that is begun anew waits for those that put again what they had, also if that takes them long. */
static void test_restored(soma_test *test)
{
    struct world world;
    soma_ref found;
    char name[16];
    world_open(&world, test);
    soma_test_net_delay(test, "hub", "leaf", 100 * SOMA_MS, 100 * SOMA_MS);
    assert_int_equal(soma_kill(soma_test_node(test, "hub"), world.server), 0);
    soma_test_settle(test);
    const soma_nameserver_options hasty = {.settle_ms = 1000}; // in which about half of them comes back
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), &hasty, &world.server), 0);
    name_of(MANY - 2, name);
    assert_int_equal(soma_names_lookup(world.hub, name, 30 * SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, world.singers));
    soma_test_advance(test, 20 * SOMA_SECOND);
    assert_int_equal(server_state(&world)->names.count, MANY);
    assert_true(server_state(&world)->settled);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_many, 1, 2000000),
        SOMA_SIM(test_pages, test_load(20), 2000000),
        SOMA_SIM(test_link_back, 1, 2000000),
        SOMA_SIM(test_restored, 1, 2000000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
