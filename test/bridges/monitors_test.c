/*
 * Monitors over a link, very many of one agent: to set one, to be told and to end one costs the same whatever number
 * there is.
 */
#include "pair.h"
#include "runtime/extension.h"
#include "runtime/send.h"
#include "test_support.h"

SOMA_MESSAGE(watch_many, (ref, agent), (u32, count))
SOMA_MESSAGE(forget_all)
SOMA_MESSAGE(end)

#define BATCH 1000u

static uint64_t downs;

struct counter {
    soma_handle *monitors;
    uint32_t count;
};

static int on_watch_many(soma_agent *self, struct counter *my, const struct watch_many *m)
{
    my->monitors = realloc(my->monitors, (my->count + m->count) * sizeof(*my->monitors));
    for (uint32_t i = 0; i < m->count; i++)
        my->monitors[my->count++] = soma_monitor(self, m->agent);
    return 0;
}

static int on_forget_all(soma_agent *self, struct counter *my, const struct forget_all *m)
{
    (void)m;
    for (uint32_t i = 0; i < my->count; i++)
        soma_demonitor(self, my->monitors[i]);
    return 0;
}

static int on_down(soma_agent *self, struct counter *my, const struct soma_down *m)
{
    (void)self, (void)my, (void)m;
    downs++;
    return 0;
}

static void counter_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    free(((struct counter *)state)->monitors);
}

static const soma_behavior counter = {.name = "counter",
                                      .state_size = sizeof(struct counter),
                                      .stop = counter_stop,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(watch_many, on_watch_many),
                                                                SOMA_ON(forget_all, on_forget_all),
                                                                SOMA_ON(soma_down, on_down))};

static int on_end(soma_agent *self, void *my, const struct end *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior watched = {.name = "watched", .handlers = SOMA_HANDLERS(SOMA_ON(end, on_end))};

struct scene {
    struct pair pair;
    soma_ref watcher;
    soma_ref watched;
    uint32_t many;
};

static void scene_begin(struct scene *scene)
{
    struct pair *pair = &scene->pair;
    downs = 0;
    scene->many = test_load(80) * BATCH;
    pair_open(pair, (soma_bridge_options){.name = "first"}, &(soma_bridge_options){.name = "second"});
    assert_int_equal(soma_spawn(pair->sides[0].system, &counter, NULL, &scene->watcher), 0);
    assert_int_equal(soma_spawn(pair->sides[1].system, &watched, NULL, &scene->watched), 0);
    for (uint32_t i = 0; i < scene->many; i += BATCH) {
        assert_int_equal(
            soma_send(pair->sides[0].system, scene->watcher, watch_many, .agent = scene->watched, .count = BATCH), 0);
        lone_settle(&pair->sides[0]);
        pair_run(pair);
    }
    assert_int_equal(pair_peer(pair, 0)->debts.count, scene->many);
    assert_int_equal(pair_peer(pair, 1)->debts.count, scene->many);
}

static void scene_end(struct scene *scene, uint64_t told)
{
    struct pair *pair = &scene->pair;
    lone_settle(&pair->sides[0]);
    lone_settle(&pair->sides[1]);
    pair_run(pair);
    assert_int_equal(pair_peer(pair, 0)->debts.count, 0);
    assert_int_equal(pair_peer(pair, 1)->debts.count, 0);
    assert_int_equal(downs, told);
    const soma_agent *agent = target_find(pair->sides[1].system, scene->watched);
    assert_true(!agent || !agent->extension->watches);
    pair_close(pair);
}

static void test_told(void **state)
{
    struct scene scene;
    (void)state;
    scene_begin(&scene);
    assert_int_equal(soma_send(scene.pair.sides[1].system, scene.watched, end), 0);
    scene_end(&scene, scene.many);
}

static void test_forgotten(void **state)
{
    struct scene scene;
    (void)state;
    scene_begin(&scene);
    assert_int_equal(soma_send(scene.pair.sides[0].system, scene.watcher, forget_all), 0);
    scene_end(&scene, 0);
}

/* The session ends: the watchers are told, and the watched agent has nobody to tell any more. */
static void test_down(void **state)
{
    struct scene scene;
    (void)state;
    scene_begin(&scene);
    for (int side = 0; side < 2; side++) {
        worker_enter(scene.pair.sides[side].bridge->worker);
        peer_end(pair_peer(&scene.pair, side), SOMA_ENODEDOWN);
    }
    scene_end(&scene, scene.many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_told), cmocka_unit_test(test_forgotten),
                                       cmocka_unit_test(test_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
