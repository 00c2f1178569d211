/* Where the agents live that etcd has: the nodes of which only the entries there tell. */
#include "nameservice/etcd_world.h"
#include <soma/log.h>

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .number = m->number + 1);
}

static const soma_behavior teller = {.name = "teller", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

#define DOWN_MS 100

/* A port of this machine that nobody has. */
static int port_free(void)
{
    struct fake fake;
    fake_open(&fake, NULL, NULL);
    int port = fake.port;
    fake_close(&fake);
    return port;
}

/* A bridge that soon takes others for down, and forgets them. */
static void bridge_start(struct node *node, const char *bind)
{
    const char *const addresses[] = {bind, NULL};
    const soma_bridge_options options = {.bind = addresses, .heartbeat_ms = DOWN_MS / 4, .down_ms = DOWN_MS};
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
}

/* A store, and a node here with such a bridge. */
static void here_serve(struct world *world, soma_log_sink *sink)
{
    const soma_options options = {.log_level = sink ? SOMA_LOG_WARNING : SOMA_LOG_OFF, .log_sink = sink};
    world_serve(world, NULL, 1);
    nodes_close(&world->node, 1);
    assert_int_equal(soma_system_open(&world->node.system, &options), 0);
    bridge_start(&world->node, "tcp://127.0.0.1");
}

/* A name is there, of an agent whose node listens at an address, says the entry. */
static void entry_put(struct store *store, const char *name, soma_ref agent, const char *address)
{
    char key[STORE_KEY_MOST];
    const struct etcd_entry entry = {
        .name = {.name = name, .agent = agent}, .client = {agent.node, 1, 1}, .addresses = {&address, 1}};
    char *text = text_put("/p", &entry, STORE_OTHER, 0);
    json_t *json = json_loads(text, 0, NULL);
    json_t *put = json_object_get(json_array_get(json_object_get(json, "success"), 0), "request_put");
    pthread_mutex_lock(&store->lock);
    store_put(store, store_key(name, key), text_in(put, "value"), STORE_OTHER);
    pthread_mutex_unlock(&store->lock);
    json_decref(json);
    free(text);
}

/* What came of a lookup, and of asking who was found. */
static int find_and_ask(struct world *world, const char *name)
{
    struct soma_name entry;
    struct told answer = {0};
    assert_int_equal(soma_names_info(world->names, name, PATIENCE, &entry), 0);
    int error = soma_call(world->node.system, entry.agent, PATIENCE, &answer, told, ask, .number = 7);
    assert_int_equal(answer.number, error ? 0 : 8);
    soma_name_destroy(&entry);
    return error;
}

/* A node that could not be reached for so long that the bridge has given it up is called again for who looks up its
 * agents. */
static void test_forgotten(void **state)
{
    struct world world;
    struct node there = {.system = NULL};
    char address[64];
    (void)state;
    here_serve(&world, NULL);
    assert_int_equal(soma_system_open(&there.system, &(soma_options){.log_level = SOMA_LOG_OFF}), 0);
    node_spawn(&there, &teller);
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port_free());
    entry_put(&world.store, "it", there.agent, address);
    world_names(&world, NULL);
    assert_int_equal(find_and_ask(&world, "it"), SOMA_ENODEDOWN);
    int left = 1;
    for (int i = 0; i < 20000 && left; i++, fake_nap())
        left = soma_bridge_peers(world.node.bridge, NULL, 0);
    assert_int_equal(left, 0);
    bridge_start(&there, address);
    int error = SOMA_ENODEDOWN;
    for (int i = 0; i < 200 && error; i++) // a slow machine may take it for down again
        error = find_and_ask(&world, "it");
    assert_int_equal(error, 0);
    world_close(&world);
    nodes_close(&there, 1);
}

/* ---- nodes that can't be called ---- */

static atomic_int lines;

static void hear(void *context, const soma_log_record *record)
{
    (void)context;
    if (strstr(record->text, "'far/"))
        atomic_fetch_add(&lines, 1);
}

/* A node that this one may not call, as it has no keys: that is said once, and of which name. */
static void test_refused(void **state)
{
    struct world world;
    (void)state;
    here_serve(&world, hear);
    entry_put(&world.store, "far/a", (soma_ref){7, 1, 1}, "tcp://10.0.0.1:7000");
    entry_put(&world.store, "far/b", (soma_ref){7, 2, 1}, "tcp://10.0.0.1:7000");
    world_names(&world, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(find_and_ask(&world, "far/a"), SOMA_ENOROUTE);
        assert_int_equal(find_and_ask(&world, "far/b"), SOMA_ENOROUTE);
    }
    wait_word("the line", &lines, 1);
    world_close(&world);
    assert_int_equal(atomic_load(&lines), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forgotten), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
