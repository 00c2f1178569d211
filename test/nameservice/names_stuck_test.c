/*
 * Agents that stand still, with more mail than they take: their node's client serves all others as before, and so does
 * the name server. In virtual time.
 */
#include "nameservice/client.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/nameservice.h>
#include <stdio.h>
#include <string.h>

#define NAMES 20u
#define ROUNDS 5u

/* ---- agents that have names, and count how often they lose one ---- */

SOMA_MESSAGE(load, (bytes, data))
SOMA_MESSAGE(enlist, (ref, names), (string, name))

static int on_load(soma_agent *self, uint32_t *losses, const struct load *m)
{
    (void)self, (void)losses, (void)m;
    return 0;
}

static int on_enlisted(soma_agent *self, uint32_t *losses, const struct soma_name_registered *m)
{
    (void)self, (void)losses;
    return m->error;
}

static int on_not_enlisted(soma_agent *self, uint32_t *losses, const int *error)
{
    (void)self, (void)losses;
    return *error;
}

static int on_enlist(soma_agent *self, uint32_t *losses, const struct enlist *m)
{
    (void)losses;
    return soma_request(self, m->names, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_enlisted, on_not_enlisted),
                        soma_name_register, .name = m->name) < 0
               ? SOMA_ENOMEM
               : 0;
}

static int on_name_lost(soma_agent *self, uint32_t *losses, const struct soma_name_lost *m)
{
    (void)self, (void)m;
    ++*losses;
    return 0;
}

static const soma_behavior singer = {.name = "singer",
                                     .state_size = sizeof(uint32_t),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(load, on_load), SOMA_ON(enlist, on_enlist),
                                                               SOMA_ON(soma_name_lost, on_name_lost))};

/* ---- the world ---- */

struct world {
    soma_test *test;
    soma_ref server, agent;
    soma_names *hub, *leaf;
};

static void world_open(struct world *world, soma_test *test)
{
    static const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses};
    soma_system *hub = soma_test_node(test, "hub"), *leaf = soma_test_node(test, "leaf");
    *world = (struct world){.test = test};
    assert_int_equal(soma_nameserver_start(hub, NULL, &world->server), 0);
    assert_int_equal(soma_names_open(hub, soma_test_bridge(test, "hub"), &options, &world->hub), 0);
    assert_int_equal(soma_names_open(leaf, soma_test_bridge(test, "leaf"), &options, &world->leaf), 0);
    assert_int_equal(soma_spawn(hub, &singer, NULL, &world->agent), 0);
    assert_int_equal(soma_names_server(world->leaf, SOMA_SECOND, NULL), 0);
    soma_test_advance(test, 5 * SOMA_SECOND);
}

static void world_close(struct world *world)
{
    assert_int_equal(soma_names_close(&world->hub), 0);
    assert_int_equal(soma_names_close(&world->leaf), 0);
}

/* The leaf's client does what it is asked to, at once. */
static void serves(struct world *world)
{
    struct soma_name entry;
    soma_ref agent;
    assert_int_equal(soma_spawn(soma_test_node(world->test, "leaf"), &singer, NULL, &agent), 0);
    assert_int_equal(soma_names_register(world->leaf, "served", agent, 50 * SOMA_MS), 0);
    assert_int_equal(soma_names_info(world->leaf, "served", 50 * SOMA_MS, &entry), 0);
    assert_true(soma_ref_equal(entry.agent, agent));
    soma_name_destroy(&entry);
    assert_int_equal(soma_names_unregister(world->leaf, "served", 50 * SOMA_MS), 0);
    assert_int_equal(soma_kill(soma_test_node(world->test, "leaf"), agent), 0);
}

/* An agent of the leaf's stands still, and has more mail than it takes. */
static void stick(struct world *world, soma_ref agent)
{
    static const char data[1 << 16];
    soma_system *leaf = soma_test_node(world->test, "leaf");
    int error;
    soma_test_pause(world->test, agent);
    for (uint32_t i = 0; !(error = soma_try_send(leaf, agent, load, .data = {data, sizeof(data)})); i++)
        assert_true(i < 10000);
    assert_int_equal(error, SOMA_EAGAIN);
}

static soma_ref stuck_new(struct world *world, const char *name)
{
    soma_ref agent;
    assert_int_equal(soma_spawn(soma_test_node(world->test, "leaf"), &singer, NULL, &agent), 0);
    assert_int_equal(soma_send(soma_test_node(world->test, "leaf"), agent, enlist, soma_names_agent(world->leaf), name),
                     0);
    soma_test_settle(world->test);
    stick(world, agent);
    return agent;
}

/* ---- watchers ---- */

struct view {
    bool there[NAMES];
    uint32_t events;
    bool current;
};

static void note(void *context, const struct soma_name_event *event)
{
    struct view *view = context;
    unsigned number;
    view->events++;
    if (event->event == SOMA_NAME_CURRENT || event->event == SOMA_NAME_STALE) {
        assert_true(view->current == (event->event == SOMA_NAME_STALE));
        view->current = !view->current;
    } else if (sscanf(event->name.name, "n/%u", &number) == 1) {
        assert_true(view->there[number] == (event->event != SOMA_NAME_ADDED));
        view->there[number] = event->event != SOMA_NAME_REMOVED;
    }
}

/* Names come, change and go, again and again; in the end those with even numbers are there. */
static void names_change(struct world *world)
{
    char name[16], text[64];
    soma_value_builder *builder;
    soma_value attributes;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < NAMES; i++) {
            snprintf(name, sizeof(name), "n/%u", i);
            snprintf(text, sizeof(text), "round %u", round);
            soma_value_builder_reset(builder);
            soma_value_begin_map(builder);
            soma_value_add_key(builder, "text");
            soma_value_add_string(builder, text);
            soma_value_end(builder);
            assert_int_equal(soma_value_builder_finish(builder, &attributes), 0);
            assert_int_equal(
                soma_names_register_as(world->hub, name, world->agent, attributes, false, SOMA_SECOND, NULL), 0);
            if (i % 2)
                assert_int_equal(soma_names_unregister(world->hub, name, SOMA_SECOND), 0);
        }
    soma_value_builder_close(&builder);
    soma_test_settle(world->test);
}

static void view_check(const struct view *view)
{
    assert_true(view->current);
    for (uint32_t i = 0; i < NAMES; i++)
        assert_true(view->there[i] == !(i % 2));
}

static void test_watcher(soma_test *test)
{
    struct world world;
    struct view stuck = {0}, well = {0};
    soma_ref watcher, other;
    world_open(&world, test);
    assert_int_equal(soma_names_watch(world.leaf, NULL, note, &stuck, &watcher), 0);
    assert_int_equal(soma_names_watch(world.leaf, NULL, note, &well, &other), 0);
    soma_test_settle(test);
    uint32_t told = stuck.events;
    stick(&world, watcher);
    names_change(&world);
    serves(&world);
    view_check(&well); // whoever else watches is told
    soma_test_net_partition(test, "hub", "leaf");
    soma_test_advance(test, 30 * SOMA_SECOND);
    soma_test_net_heal(test, "hub", "leaf");
    assert_int_equal(soma_names_server(world.leaf, 20 * SOMA_SECOND, NULL), 0);
    names_change(&world);
    serves(&world);
    view_check(&well);
    assert_int_equal(stuck.events, told);
    // What waits for it is no more than what there is.
    soma_test_resume(test, watcher);
    soma_test_settle(test);
    view_check(&stuck);
    assert_in_range(stuck.events - told, NAMES / 2, 4 * NAMES + 300);
    // One that stands still may end, and its watch with it.
    stick(&world, watcher);
    names_change(&world);
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), watcher), 0);
    soma_test_resume(test, watcher);
    soma_test_settle(test);
    serves(&world);
    const struct client *client = soma_test_state(test, soma_names_agent(world.leaf));
    assert_non_null(client->watchings);
    assert_null(client->watchings->next);
    world_close(&world);
}

/* ---- others that the client speaks to ---- */

static void test_running(soma_test *test)
{
    struct world world;
    soma_ref found;
    world_open(&world, test);
    soma_ref stuck = stuck_new(&world, "stuck");
    assert_int_equal(soma_names_wait_running(world.leaf, "stuck", SOMA_SECOND, &found), SOMA_ETIMEOUT);
    serves(&world);
    soma_test_resume(test, stuck);
    assert_int_equal(soma_names_wait_running(world.leaf, "stuck", SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, stuck));
    world_close(&world);
}

/* Waits for a name to run. */
struct waiter {
    soma_ref names, found;
};

static int on_running(soma_agent *self, struct waiter *my, const struct soma_name *m)
{
    (void)self;
    my->found = m->agent;
    return 0;
}

static int on_not_running(soma_agent *self, struct waiter *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int waiter_init(soma_agent *self, void *state, const void *arg)
{
    struct waiter *my = state;
    my->names = *(const soma_ref *)arg;
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name, on_running, on_not_running), soma_name_lookup,
                        .name = "stuck", .waits = true, .runs = true, .timeout = SOMA_NEVER) < 0;
}

static const soma_behavior waiter = {.name = "waiter", .state_size = sizeof(struct waiter), .init = waiter_init};

/* Whoever has taken the place of one that stands still may run. */
static void test_running_another(soma_test *test)
{
    struct world world;
    soma_ref names, waits;
    world_open(&world, test);
    soma_ref stuck = stuck_new(&world, "stuck");
    names = soma_names_agent(world.leaf);
    assert_int_equal(soma_spawn(soma_test_node(test, "leaf"), &waiter, &names, &waits), 0);
    soma_test_settle(test);
    assert_int_equal(soma_names_register_as(world.hub, "stuck", world.agent, SOMA_VALUE_NONE, true, SOMA_SECOND, NULL),
                     0);
    soma_test_advance(test, SOMA_SECOND);
    assert_true(soma_ref_equal(((const struct waiter *)soma_test_state(test, waits))->found, world.agent));
    soma_test_resume(test, stuck);
    world_close(&world);
}

/* One that has registered itself is told of the loss when it goes on. */
static void test_lost(soma_test *test)
{
    struct world world;
    world_open(&world, test);
    soma_ref stuck = stuck_new(&world, "lost");
    assert_int_equal(soma_names_register_as(world.leaf, "lost", world.agent, SOMA_VALUE_NONE, true, SOMA_SECOND, NULL),
                     0);
    serves(&world);
    soma_test_resume(test, stuck);
    soma_test_settle(test);
    assert_int_equal(*(const uint32_t *)soma_test_state(test, stuck), 1);
    world_close(&world);
}

/* It may be registered: that the client watches for its end does not hold up the client. */
static void test_registered(soma_test *test)
{
    struct world world;
    soma_ref stuck;
    struct soma_name entry;
    world_open(&world, test);
    assert_int_equal(soma_spawn(soma_test_node(test, "leaf"), &singer, NULL, &stuck), 0);
    stick(&world, stuck);
    assert_int_equal(soma_names_register(world.leaf, "still", stuck, 50 * SOMA_MS), 0);
    serves(&world);
    assert_int_equal(soma_names_info(world.hub, "still", 50 * SOMA_MS, &entry), 0);
    soma_name_destroy(&entry);
    assert_int_equal(soma_kill(soma_test_node(test, "leaf"), stuck), 0);
    soma_test_resume(test, stuck);
    soma_test_settle(test);
    assert_int_equal(soma_names_info(world.hub, "still", 50 * SOMA_MS, &entry), SOMA_ENOENT);
    world_close(&world);
}

/* Each time that its registration is renewed, or made anew, it gets no more to do. */
static void test_registered_again(soma_test *test)
{
    struct world world;
    soma_ref stuck;
    soma_stats before, after;
    world_open(&world, test);
    soma_system *leaf = soma_test_node(test, "leaf");
    assert_int_equal(soma_spawn(leaf, &singer, NULL, &stuck), 0);
    soma_test_pause(test, stuck);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(soma_names_register(world.leaf, "again", stuck, SOMA_SECOND), 0);
        if (i % 2)
            assert_int_equal(soma_names_unregister(world.leaf, "again", SOMA_SECOND), 0);
    }
    soma_test_settle(test);
    soma_system_stats(leaf, &before);
    soma_test_resume(test, stuck);
    soma_test_settle(test);
    soma_system_stats(leaf, &after);
    assert_in_range(after.processed - before.processed, 1, 10);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_watcher, test_load(20), 2000000),        SOMA_SIM(test_running, test_load(50), 200000),
        SOMA_SIM(test_running_another, test_load(50), 200000), SOMA_SIM(test_lost, test_load(50), 200000),
        SOMA_SIM(test_registered, test_load(50), 200000),      SOMA_SIM(test_registered_again, test_load(20), 200000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
